"""Whether a stream is whole: structure, checksums, digests, and that it decodes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from liveaction.codec.header import MAX_VOXELS, StreamHeader, parse_header
from liveaction.codec.reader import Damage, StreamReader
from liveaction.coding.container import ContainerReader
from liveaction.coding.source import Source
from liveaction.errors import FormatError
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.codec.model import Model


class VerifyOptions(TypedDict, total=False):
    """Options of checking a stream, all by name; see :func:`verify_stream`."""

    stage: Callable[[str], None]
    max_voxels: int


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        header: what the stream says of itself.
        bytes, chunks: of the stream.
        damaged: the chunks that cannot be read or decoded.
        decoded: the whole signal, what is damaged filled with 0; None without a model.
    """

    header: StreamHeader
    bytes: int
    chunks: int
    damaged: tuple[Damage, ...]
    decoded: Signal | None


def verify_stream(
    path: str | Path,
    model: "Model | None" = None,
    *,
    stage: Callable[[str], None] = lambda text: None,
    max_voxels: int = MAX_VOXELS,
) -> Verification:
    """Check a stream on disk: header, index and the checksum of every chunk; with a model, decode all of it.

    Args:
        path: of the ``.lva`` file.
        model: that made it.
        stage: is told what happens.
        max_voxels: as for :func:`liveaction.codec.stream.decompress`.

    Raises:
        FormatError: it is no stream, or its header or index is damaged, so that nothing can be read.
        IntegrityError: as that, or made with another model.
    """
    path = Path(path)
    with Source(path) as source:
        container = ContainerReader(source, str(path))
        header = parse_header(container.header, container.chunks, str(path), max_voxels)
        _ = container.entries  # a wrong index is no damaged chunk
        damaged: dict[int, Damage] = {}
        for number in range(container.chunks):
            stage(f"checking chunk {number} of {container.chunks}")
            try:
                container.check(number, header.chunk_bytes(number))
            except FormatError as error:
                damaged[number] = Damage(number, header.layout.samples(header.layout.chunk_box(number)), str(error))
        decoded = None
        if model is not None:
            reader = StreamReader(container, model, str(path), fill=0.0, max_voxels=max_voxels)
            decoded = reader.read(None, stage)
            damaged |= reader.damaged
    found = tuple(damaged[number] for number in sorted(damaged))
    return Verification(header, container.size, container.chunks, found, decoded)
