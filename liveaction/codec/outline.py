"""What a stream will become, known from its header alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liveaction.codec.grid import Box
from liveaction.codec.header import MAX_VOXELS, parse_header
from liveaction.codec.names import open_item
from liveaction.codec.scaling import Scale, halvings_of
from liveaction.coding.container import ContainerReader
from liveaction.coding.source import Source
from liveaction.errors import FormatError, LiveactionError, SpecError, UnknownNameError, printable
from liveaction.registry import build_modality
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality


def read_outline(path: str | Path, max_voxels: int = MAX_VOXELS, item: int | None = None) -> tuple["Modality", Signal]:
    """A stream's modality, and its signal without values: all are zero, and take no memory.

    Args:
        path: of the stream.
        max_voxels: a stream that declares more is refused.
        item: which of its items; where None there must be one alone.

    Raises:
        FormatError: the file cannot be read, or its header is not right.
    """
    with Source(Path(path)) as source:
        container = open_item(source, str(path), item or 0)
        if item is None and container.items > 1:
            raise FormatError(
                f"{path}: expected a stream of one item, got {container.items}; take one with --item, or --all of them"
            )
        return outline_of(container, max_voxels)


def outline_of(container: ContainerReader, max_voxels: int = MAX_VOXELS) -> tuple["Modality", Signal]:
    """As :func:`read_outline`, of an item of a stream that is open.

    Raises:
        FormatError: its header is not right.
    """
    where = container.where
    header = parse_header(container.header, container.chunks, where, max_voxels)
    values: Any = np.broadcast_to(np.zeros((), header.dtype), header.shape)
    about = header.native_dtype, header.metadata, header.bits
    return modality_of(header.modality, where), Signal(values, header.axes, header.unit, header.spacing, *about)


def outline_at(modality: "Modality", outline: Signal, scale: Scale) -> Signal:
    """An outline as it is decoded at a scale; where its first sample lies is not known.

    Raises:
        SpecError: another scale.
        FormatError: the metadata do not place it.
    """
    halvings = halvings_of(scale)
    if not halvings:
        return outline
    factors = tuple(2 ** (halvings * on) for on in modality.scaled_axes(outline.axes))
    shape = (-(-n // f) for n, f in zip(outline.shape, factors, strict=True))
    values: Any = np.broadcast_to(np.zeros((), outline.values.dtype), (len(outline.values), *shape))
    with metadata_errors("--scale"):
        return modality.scaled(replace(outline, values=values), factors, (0.0,) * len(factors))


def targets_of(modality: "Modality", outline: Signal, box: Box | None, target: Path) -> list[Path]:
    """What writing a signal, or a region of it, to ``target`` will make; refused where it cannot be.

    Raises:
        FormatError, MissingDependencyError: as the modality's ``check_target``.
    """
    with metadata_errors(str(target)):
        if box is not None:
            outline = modality.cropped(outline.crop(*(slice(low, high) for low, high in box)), box, outline.shape)
        return modality.check_target(outline, target)


@contextmanager
def metadata_errors(where: str) -> Iterator[None]:
    """Make one line of what a modality raises that believes metadata, where they are not its own.

    Raises:
        FormatError: the metadata are not those of such a file.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, LiveactionError):
            raise
        raise FormatError(
            f"{where}: expected metadata as they were read from a source, got {type(error).__name__}: "
            f"{printable(error)[:160]}"
        ) from error


def modality_of(spec: ModalitySpec, where: str) -> "Modality":
    """The modality that a stream names.

    Raises:
        FormatError: this installation has none of that name, or it refuses its settings.
    """
    try:
        modality: Modality = build_modality(spec)
    except (SpecError, UnknownNameError) as error:
        raise FormatError(
            f"{where}: expected a modality that this installation has, got: {printable(error)}"
        ) from error
    return modality
