"""Between a signal and bytes: compress, decompress."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypedDict, Unpack

from liveaction.codec.aiming import split_options, write_for_target
from liveaction.codec.clock import Timings
from liveaction.codec.grid import Box
from liveaction.codec.header import MAX_VOXELS
from liveaction.codec.names import open_item
from liveaction.codec.outline import metadata_errors
from liveaction.codec.reader import ReaderOptions, StreamReader
from liveaction.codec.scaling import Scale
from liveaction.codec.writing import CompressOptions, Stage, StreamWriter, Written
from liveaction.coding.source import Source, StreamData
from liveaction.errors import LiveactionWarning
from liveaction.files import atomic_path
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.codec.model import Model
    from liveaction.modalities.base import Modality


class DecompressOptions(TypedDict, total=False):
    """Options of decompressing, all by name.

    Attributes:
        item: which of the stream's items; the first where left out.
        region: half-open ranges of samples per axis; all of it where None. A region has the samples that the whole has.
        scale: ``"1/2"``, ``"1/4"`` or ``"1/8"`` (or such a number) of the samples along each axis but those of time and
            bands, from fewer bands, see :mod:`liveaction.codec.scaling`; ``region`` counts the samples at the scale.
        fill: what to put where a chunk is damaged, in the unit; where None, damage is an error.
        max_voxels: a stream that declares more is refused before anything is allocated.
        stage: is told what happens, in words.
    """

    item: int
    region: Box | None
    scale: Scale
    fill: float | None
    max_voxels: int
    stage: Stage


def compress(signal: Signal, model: "Model", **options: Unpack[CompressOptions]) -> tuple[bytes, Timings]:
    """A signal to the bytes of a stream, and what it took; arguments and errors as :func:`write_stream`."""
    file = io.BytesIO()
    written = write_stream(signal, file, model, **options)
    return file.getvalue(), written.timings


def compress_file(signal: Signal, path: str | Path, model: "Model", **options: Unpack[CompressOptions]) -> Written:
    """A signal to a stream on disk, which appears whole or not at all; else as :func:`write_stream`.

    Args:
        signal: as for :func:`write_stream`.
        path: of the ``.lva`` file.
        model: as for :func:`write_stream`.
        options: see :class:`~liveaction.codec.writing.CompressOptions`.

    Raises:
        ShapeError, SpecError: as :func:`write_stream`.
    """
    with atomic_path(Path(path)) as part, part.open("w+b") as file:
        return write_stream(signal, file, model, **options)


def write_stream(signal: Signal, file: BinaryIO, model: "Model", **options: Unpack[CompressOptions]) -> Written:
    """A signal to a stream in an empty file that can seek; memory does not grow with the signal.

    Args:
        signal: values ``[C, *S]`` in the unit of the model's modality; mapped from a file, they are read box by box.
        file: open to read and write.
        model: as ``liveaction.load`` gives it.
        options: see :class:`~liveaction.codec.writing.CompressOptions`.

    Raises:
        ShapeError: the signal has other channels or axes than the recipe.
        SpecError: ``quality``, ``step`` or a target is out of its range, or two of them are given; the target is out of
            the model's reach; the model has no state of ``coder``; the modality cannot strip metadata.
        FormatError: metadata or extras are no JSON data that a reader takes; nothing is written then.
    """
    target, rest = split_options(options)
    if target is not None:
        return write_for_target(signal, file, model, target, rest)
    writer = StreamWriter(file, model)
    written = writer.add(signal, **rest)
    return replace(written, bytes=writer.close())


def decompress(
    data: StreamData,
    model: "Model",
    *,
    item: int = 0,
    region: Box | None = None,
    scale: Scale = 1,
    fill: float | None = None,
    max_voxels: int = MAX_VOXELS,
    stage: Stage = lambda text: None,
) -> tuple[Signal, Timings]:
    """A stream to a signal; memory does not grow with it, a large result is mapped from a temporary file.

    Args:
        data: bytes, or the path of a file, of which only what is needed is read.
        model: that made it, as ``liveaction.load`` gives it.
        item, region, scale, fill, max_voxels, stage: see :class:`DecompressOptions`.

    Returns:
        The signal, and what it took.

    Raises:
        FormatError: not a stream, cut short, or inconsistent.
        IntegrityError: damaged, or made with other weights.
        SpecError: another scale.
    """
    with open_reader(data, model, item=item, fill=fill, max_voxels=max_voxels, scale=scale) as reader:
        signal = reader.read(region, stage)
        if reader.damaged:
            first = next(iter(reader.damaged.values()))
            warnings.warn(
                f"{reader.where}: {len(reader.damaged)} damaged chunks are filled with {reader.fill}, the first with "
                f"samples {first.samples}: {first.reason}",
                LiveactionWarning,
                stacklevel=2,
            )
        return signal, reader.timings


@contextmanager
def open_reader(
    data: StreamData,
    model: "Model",
    *,
    where: str = "stream",
    item: int = 0,
    **options: Unpack[ReaderOptions],
) -> Iterator[StreamReader]:
    """A stream that is open to be decoded.

    Args:
        data: as for :func:`decompress`.
        model: as for :func:`decompress`.
        where: stands first in errors; a path stands for itself.
        item: which of the stream's items; most streams have one.
        options: see :class:`liveaction.codec.reader.ReaderOptions`.

    Raises:
        FormatError, IntegrityError: as :class:`StreamReader`.
    """
    with Source(data) as source:
        name = str(data) if isinstance(data, str | Path) else where
        container = open_item(source, name, item)
        yield StreamReader(container, model, container.where, **options)


def write_signal(modality: "Modality", signal: Signal, target: Path) -> None:
    """Write what a stream held; its writer believes the metadata, and where they are not its own, that is one line.

    Raises:
        FormatError: the metadata are not those of such a file, or as the modality's ``write``.
    """
    with metadata_errors(str(target)):
        modality.write(signal, target)
