"""Between a signal and bytes: compress, decompress."""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.codec.chunks import pack_chunk
from liveaction.codec.clock import Stopwatch, Timings, timings
from liveaction.codec.grid import Box, Layout, relative, slices
from liveaction.codec.header import MOST_VALUES, make_header
from liveaction.codec.model import Codec
from liveaction.codec.reader import StreamReader
from liveaction.coding.container import ContainerReader, ContainerWriter, open_bytes
from liveaction.errors import FormatError, LiveactionError, ShapeError, printable
from liveaction.files import atomic_path
from liveaction.kernels.parallel import in_threads
from liveaction.mapped import release_pages
from liveaction.registry import build_modality
from liveaction.signal import Signal
from liveaction.spec import Recipe

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality

Stage = Callable[[str], None]


@dataclass(frozen=True)
class Written:
    """A stream that was written: its bytes, its quantiser step, and how long it took."""

    bytes: int
    step: float
    timings: Timings


class SignalSource:
    """A signal's values ``[1, C, *S]`` in [-1, 1], made box by box as the codec asks for them."""

    def __init__(
        self, modality: "Modality", values: NDArray[Any], limits: tuple[float, float], device: torch.device
    ) -> None:
        self.modality, self.values, self.limits, self.device = modality, values, limits, device
        self.shape = (1, *values.shape)

    def crop(self, box: Box) -> torch.Tensor:
        """The values of a box, ``[1, C, *]``; pages of a mapped file are released behind it."""
        part = self.modality.normalise(self.values[(slice(None), *slices(box))], self.limits)[None].to(self.device)
        release_pages(self.values)
        return part


def compress(
    signal: Signal,
    codec: Codec,
    recipe: Recipe,
    digest: str,
    step: float | None = None,
    stage: Stage = lambda text: None,
    extras: Mapping[str, Any] | None = None,
) -> tuple[bytes, Timings]:
    """A signal to the bytes of a stream; arguments and errors as :func:`compress_file`."""
    file = io.BytesIO()
    written = write_stream(signal, file, codec, recipe, digest, step, stage, extras)
    return file.getvalue(), written.timings


def compress_file(
    signal: Signal,
    path: str | Path,
    codec: Codec,
    recipe: Recipe,
    digest: str,
    step: float | None = None,
    stage: Stage = lambda text: None,
    extras: Mapping[str, Any] | None = None,
) -> Written:
    """A signal to a stream on disk, which appears whole or not at all; memory does not grow with the signal.

    Args:
        signal: values ``[C, *S]`` in the unit of the recipe's modality; mapped from a file, they are read box by box.
        path: of the ``.lva`` file.
        codec, recipe, digest: as ``load_model`` returns them.
        step: quantiser step, in latent units; the recipe's where None. A larger one gives fewer bits.
        stage: is told what happens.
        extras: JSON data to keep in the header, which decoding does not need.

    Raises:
        ShapeError: the signal has other channels or axes than the recipe.
    """
    with atomic_path(Path(path)) as part, part.open("w+b") as file:
        return write_stream(signal, file, codec, recipe, digest, step, stage, extras)


def write_stream(
    signal: Signal,
    file: BinaryIO,
    codec: Codec,
    recipe: Recipe,
    digest: str,
    step: float | None = None,
    stage: Stage = lambda text: None,
    extras: Mapping[str, Any] | None = None,
) -> Written:
    """A signal to a stream in an empty file that can seek; arguments and errors as :func:`compress_file`."""
    if signal.values.shape[0] != codec.channels or len(signal.shape) != codec.axes or 0 in signal.shape:
        raise ShapeError(
            f"compress: expected values [{codec.channels}, *S] with {codec.axes} axes as recipe {recipe.name!r} has, "
            f"got {signal.values.shape}"
        )
    modality = build_modality(recipe.modality)
    chosen = float(step or codec.quantizer.step)
    whole, coding = Stopwatch(), Stopwatch()
    stage("encoding")
    with whole.running(stage):
        limits = modality.range_of(signal)
        header = make_header(signal, codec, recipe, digest, chosen, limits, extras or {})
        layout = header.layout
        writer = ContainerWriter(file, header.model_dump(mode="json"), layout.chunks)
        source = SignalSource(modality, signal.filled(), limits, next(codec.parameters()).device)
        ready: dict[int, bytes] = {}
        following = done = 0
        for box, symbols in codec.encode_slabs(source, layout, chosen):
            arrived = symbols[0].cpu().numpy()
            with coding.running():
                ready |= _pack_chunks(arrived, box, layout, signal, codec)
                while following in ready:
                    writer.add(ready.pop(following))
                    following += 1
            done += prod(high - low for low, high in box)
            stage(f"encoding, {done / prod(layout.grid):.0%}")
        size = writer.close()
    return Written(size, chosen, timings(whole, coding))


def _pack_chunks(
    symbols: NDArray[np.int32], box: Box, layout: Layout, signal: Signal, codec: Codec
) -> dict[int, bytes]:
    """The bytes of the chunks in ``box``, whose latents ``symbols`` ``[L, *]`` are, by number."""

    def pack(number: int) -> bytes:
        chunk = layout.chunk_box(number)
        missing = None
        if signal.missing is not None:
            missing = signal.missing[(slice(None), *slices(layout.samples(chunk)))]
        part = np.ascontiguousarray(symbols[(slice(None), *slices(relative(chunk, box)))])
        return pack_chunk(part, missing, codec.tables)

    numbers = list(layout.chunks_in(box))
    return dict(zip(numbers, in_threads(pack, numbers), strict=True))


def decompress(
    data: bytes | Path,
    codec: Codec,
    digest: str,
    where: str = "stream",
    stage: Stage = lambda text: None,
    region: Box | None = None,
    fill: float | None = None,
    most_values: int = MOST_VALUES,
) -> tuple[Signal, Timings]:
    """A stream to a signal; memory does not grow with it, a large result is mapped from a temporary file.

    Args:
        data: bytes, or the path of a file, of which only what is needed is read.
        codec, digest: as ``load_model`` returns them.
        where: stands first in errors; a path stands for itself.
        stage: is told what happens.
        region: half-open ranges of samples per axis; all of it where None. A region has the samples that the whole has.
        fill: what to put where a chunk is damaged, in the unit; where None, damage is an error.
        most_values: a stream that declares more is refused before anything is allocated.

    Raises:
        FormatError: not a stream, cut short, or inconsistent.
        IntegrityError: damaged, or made with other weights.
    """
    with open_reader(data, codec, digest, where, fill, most_values) as reader:
        return reader.read(region, stage), reader.timings


@contextmanager
def open_reader(
    data: bytes | Path,
    codec: Codec,
    digest: str,
    where: str = "stream",
    fill: float | None = None,
    most_values: int = MOST_VALUES,
    keep_windows: bool = False,
) -> Iterator[StreamReader]:
    """A stream that is open to be decoded; arguments and errors as :func:`decompress` and :class:`StreamReader`."""
    with open_bytes(data) as file:
        name = str(data) if isinstance(data, Path) else where
        yield StreamReader(ContainerReader(file, name), codec, digest, name, fill, most_values, keep_windows)


def write_signal(modality: "Modality", signal: Signal, target: Path) -> None:
    """Write what a stream held; its writer believes the metadata, and where they are not its own, that is one line.

    Raises:
        FormatError: the metadata are not those of such a file, or as the modality's ``write``.
    """
    try:
        modality.write(signal, target)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, LiveactionError):
            raise
        raise FormatError(
            f"{target}: expected metadata as they were read from a source, got {type(error).__name__}: "
            f"{printable(error)[:160]}"
        ) from error
