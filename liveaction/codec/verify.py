"""Whether a stream is whole: structure, checksums, digests, and that it decodes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from liveaction.codec.header import MAX_VOXELS, StreamHeader, parse_header
from liveaction.codec.names import check_names, item_at, name_of
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
        header: what the stream says of itself, the first item where there are several.
        bytes, chunks: of the stream, all items together.
        damaged: the chunks that cannot be read or decoded, of all items.
        decoded: the whole signal, what is damaged filled with 0; None without a model, and of several items.
        names: of the items, empty where one has none.
    """

    header: StreamHeader
    bytes: int
    chunks: int
    damaged: tuple[Damage, ...]
    decoded: Signal | None
    names: tuple[str, ...] = ("",)


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
    path, chunks, damaged, names = Path(path), 0, list[Damage](), list[str]()
    with Source(path) as source:
        first = ContainerReader(source, str(path))
        header = parse_header(first.header, first.chunks, str(path), max_voxels)
        for item in range(first.items):
            container = item_at(first, item, str(path))
            names.append(name_of(container.header, container.where) if first.items > 1 else "")
            found, decoded = _verify_item(container, model, item, stage, max_voxels)
            chunks += container.chunks
            damaged += found
        check_names(names, str(path))
    return Verification(header, first.size, chunks, tuple(damaged), decoded if len(names) == 1 else None, tuple(names))


def _verify_item(
    container: ContainerReader, model: "Model | None", item: int, stage: Callable[[str], None], max_voxels: int
) -> tuple[list[Damage], Signal | None]:
    """What is damaged of an item, and what it decodes to."""
    header = parse_header(container.header, container.chunks, container.where, max_voxels)
    _ = container.entries  # a wrong index is no damaged chunk
    of, damaged = f" of item {item} of {container.items}" if container.items > 1 else "", dict[int, Damage]()
    for number in range(container.chunks):
        stage(f"checking chunk {number} of {container.chunks}{of}")
        try:
            container.check(number, header.chunk_bytes(number))
        except FormatError as error:
            samples = header.layout.samples(header.layout.chunk_box(number))
            damaged[number] = Damage(number, samples, str(error), item)
    decoded = None
    if model is not None:
        reader = StreamReader(container, model, container.where, fill=0.0, max_voxels=max_voxels)
        decoded = reader.read(None, stage)
        damaged |= {number: replace(found, item=item) for number, found in reader.damaged.items()}
    return [damaged[number] for number in sorted(damaged)], decoded
