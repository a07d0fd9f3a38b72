"""Many signals of a folder to one stream, and a stream of many to files below a folder."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from liveaction.archive.find import check_targets, item_name
from liveaction.archive.item import ArchiveItem
from liveaction.archive.tasks import refuse_others, write_alone
from liveaction.codec.clock import Timings, total
from liveaction.codec.items import StreamItems
from liveaction.codec.model import Model
from liveaction.codec.outline import outline_at, outline_of, targets_of
from liveaction.codec.reader import Damage
from liveaction.codec.scaling import Scale
from liveaction.codec.writing import CompressOptions
from liveaction.errors import FormatError, LiveactionError, SpecError
from liveaction.files import atomic_path, write_errors
from liveaction.outputs import check_folder, is_within
from liveaction.signal import Signal

Count = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Together:
    """What went into a stream: items, the bytes of the stream, values, bits of them in the sources, and how long.

    ``clipped_share`` of the values that are there lies outside its signal's range, ``missing_share`` of all is missing.
    """

    items: int
    bytes: int
    values: int
    native_bits: int
    timings: Timings
    clipped_share: float
    missing_share: float


@dataclass(frozen=True)
class Apart:
    """What came out of a stream: items, their values, how long it took, and chunks that were filled in, by name."""

    items: int
    values: int
    timings: Timings
    damaged: dict[str, list[Damage]]


def compress_together(
    source: Path,
    target: Path,
    model: Model,
    count: Count = lambda done, total, text: None,
    **options: Unpack[CompressOptions],
) -> Together:
    """All signals of a folder, sorted by name, to one stream, which appears whole or not at all.

    Args:
        source: of the signals; their names are their paths below it.
        target: of the ``.lva`` file.
        model: as ``liveaction.load`` gives it.
        count: is told how many items of how many are done, and which is at hand.
        options: see :class:`~liveaction.codec.writing.CompressOptions`.

    Raises:
        SpecError: ``source`` is no folder, or ``target`` a source.
        FormatError: there is no signal, one cannot be read, or has a name that no item may have.
        ShapeError: as :func:`liveaction.codec.items.write_items`.
    """
    if not source.is_dir():
        raise SpecError(f"--together: expected a folder of signals, got {str(source)!r}; leave it out")
    named = sorted((item_name(source, path).as_posix(), path) for path in model.modality.find(source))
    values = native_bits = 0

    def signals() -> Iterator[Signal]:
        nonlocal values, native_bits
        for number, (name, path) in enumerate(named):
            count(number, len(named), name)
            signal = model.modality.read(path)
            values, native_bits = values + signal.values.size, native_bits + signal.native_bits
            yield signal

    files = [file for _, path in named for file in model.modality.parts(path)]
    check_targets([ArchiveItem(source / "x", target, str(source), target.name, 0)], files)
    written = model.compress_many_file(signals(), target, [name for name, _ in named], **options)
    count(len(named), len(named), "")
    spent = total(each.timings for each in written)
    shares = [
        sum(getattr(each, kind) for each in written) / len(written) for kind in ("clipped_share", "missing_share")
    ]
    return Together(len(written), target.stat().st_size, values, native_bits, spent, *shares)


def decompress_apart(
    items: StreamItems,
    source: Path,
    target: Path,
    model: Model,
    *,
    suffix: str = "",
    scale: Scale = 1,
    fill: float | None = None,
    force: bool = False,
    count: Count = lambda done, total, text: None,
) -> Apart:
    """All items of a stream to files under their names, none outside of a folder; each appears whole or not at all.

    Args:
        items: of the stream.
        source: the stream's file.
        target: the folder, made if missing.
        model: that made it.
        suffix: is added to names that do not end so.
        scale: see :class:`~liveaction.codec.stream.DecompressOptions`.
        fill: what to put where a chunk is damaged; where None, damage is an error.
        force: write over files that are there.
        count: is told how many items of how many are done, and which is at hand.

    Raises:
        SpecError: a file is there already, or a name leads out of the folder by a link.
        FormatError: an item has no name, its format does not write it, or it is damaged.
        WriteError: something cannot be written.
    """
    places = _places(items, source, target, suffix)
    _check_places(places, target, force)
    for number, place in enumerate(places):
        _check_format(items, number, place.target, scale)
    values, spent, damaged = 0, list[Timings](), dict[str, list[Damage]]()
    for number, place in enumerate(places):
        count(number, len(places), place.source_name)
        reader = items.reader(number, fill=fill, scale=scale)
        signal = reader.read()
        with write_errors(place.target):
            place.target.parent.mkdir(parents=True, exist_ok=True)
        _check_places([place], target, force)
        with atomic_path(place.target, follow=False) as part:
            write_alone(model.modality, signal, place.target, part)
        values += signal.values.size
        spent.append(reader.timings)
        if reader.damaged:
            damaged[place.source_name] = list(reader.damaged.values())
    count(len(places), len(places), "")
    return Apart(len(places), values, total(spent), damaged)


def _places(items: StreamItems, source: Path, target: Path, suffix: str) -> list[ArchiveItem]:
    """Where every item goes.

    Raises:
        SpecError: two go to one place, or one to that of the stream.
    """
    if target.exists() and not target.is_dir():
        raise SpecError(f"{target}: expected a folder to write into, got a file; choose another name")
    check_folder(str(target), target, {"SOURCE": source})
    found = []
    for number, name in enumerate(items.names):
        if not name:
            raise FormatError(
                f"{source}: expected a name of every item, got none of item {number}; take --item {number}"
            )
        goal = name if name.lower().endswith(suffix.lower()) else name + suffix
        found.append(ArchiveItem(source, target / goal, name, goal, 0))
    check_targets(found, [source])
    return found


def _check_format(items: StreamItems, number: int, target: Path, scale: Scale) -> None:
    """Refuse an item that its format does not write; whether it may be written there is seen in a folder that is there.

    Raises:
        FormatError, MissingDependencyError: as the modality's ``check_target``.
    """
    container = items.container(number)
    modality, outline = outline_of(container, items.max_voxels)
    outline = outline_at(modality, outline, scale)
    near = next(folder for folder in target.parents if folder.is_dir()) / target.name
    try:
        refuse_others(targets_of(modality, outline, None, near), near, near)
    except LiveactionError as error:
        said = str(error).replace(str(near), str(target))
        raise type(error)(f"{container.where}: {said} (--suffix gives names another ending)") from error


def _check_places(places: list[ArchiveItem], target: Path, force: bool) -> None:
    for place in places:
        if not is_within(place.target.parent, target):
            raise SpecError(
                f"{place.target}: expected a place in {str(target)!r}, got one outside of it, by a link; take another "
                "folder"
            )
        if os.path.lexists(place.target) and not force:
            raise SpecError(f"{place.target}: expected a new file, got an existing one; add --force to overwrite it")
