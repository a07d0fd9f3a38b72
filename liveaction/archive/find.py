"""What a folder holds, where it goes, and that no target is a source: found before any work.

What cannot be looked at is an item like the others, whose work then fails and says why.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from liveaction.archive.item import ArchiveItem
from liveaction.errors import FormatError, SpecError
from liveaction.files import destination
from liveaction.outputs import Place, is_within, place_of

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality

SUFFIX = ".lva"


def find_items(modality: "Modality", source: Path, target: Path) -> list[ArchiveItem]:
    """What ``source`` holds, and where it goes below ``target``.

    Raises:
        FormatError: nothing readable is there.
        SpecError: ``target`` lies within an item, whose files would then never stay the same, or a target is a source.
    """
    items, files = [], dict[Path, list[Path]]()
    for path in modality.find(source):
        name = item_name(source, path)
        if path.is_dir() and is_within(target, path):
            raise SpecError(f"{target}: expected a folder outside of what is compressed, got one in {str(path)!r}")
        goal = name.with_name(name.name + SUFFIX)
        files[path] = _parts(modality, path)
        size = sum(_size(file) for file in files[path])
        items.append(ArchiveItem(path, target / goal, name.as_posix(), goal.as_posix(), size))
    check_targets(items, [file for found in files.values() for file in found])
    return items


def item_name(source: Path, path: Path) -> Path:
    """What an item that was found in ``source`` is called: its path below it."""
    name = path.relative_to(source) if path.is_relative_to(source) else Path(path.name)
    if name == Path():
        name = Path(source.name if source.name not in ("", "..") else source.resolve().name)
    return name


def find_streams(source: Path, target: Path, suffix: str) -> list[ArchiveItem]:
    """The streams below ``source``, sorted, but hidden ones, and where they go below ``target``.

    Raises:
        FormatError: there is none.
        SpecError: two would become the same, or a target is a source.
    """
    found = streams_below(source)
    if not found:
        raise FormatError(f"{source}: expected {SUFFIX} files, got none; check the folder")
    items: dict[str, ArchiveItem] = {}
    for path in found:
        name = path.relative_to(source)
        stem = name.name.removesuffix(SUFFIX)
        goal = name.with_name(stem if stem.lower().endswith(suffix.lower()) else stem + suffix)
        item = ArchiveItem(path, target / goal, name.as_posix(), goal.as_posix(), _size(path))
        if (other := items.setdefault(item.target_name, item)) is not item:
            raise SpecError(f"--suffix: expected names that differ, got {item.target} for {path} and {other.path}")
    check_targets(list(items.values()), found)
    return list(items.values())


def check_targets(items: list[ArchiveItem], files: Iterable[Path]) -> None:
    """Refuse targets that are sources, hold sources, or are one another, links of both kinds followed.

    Args:
        items: all of a run.
        files: that the items consist of.

    Raises:
        SpecError: there is such a target.
        WriteError: a target is a FIFO or a device.
    """
    read = {place_of(file): file for file in files}
    above = {place_of(folder): folder for folder in {folder for item in items for folder in _above(item.path)}}
    taken: dict[Place, ArchiveItem] = {}
    for item in items:
        destination(item.target)
        place = place_of(item.target)
        for known, how in ((read, "which is a source"), (above, "which holds sources")):
            if place in known:
                raise SpecError(
                    f"{item.target}: expected a place of its own for what becomes of {item.source_name!r}, got one "
                    f"{how}; choose another folder"
                )
        if (other := taken.setdefault(place, item)) is not item:
            raise SpecError(
                f"{item.target}: expected a place of its own for what becomes of {item.source_name!r}, got that of "
                f"{other.source_name!r}; choose another folder"
            )


def _above(path: Path) -> list[Path]:
    return list(Path(os.path.realpath(path)).parents)


def _parts(modality: "Modality", path: Path) -> list[Path]:
    """The files of an item; where they cannot be found, which its work says, the item alone."""
    try:
        return modality.parts(path)
    except Exception:
        return [path]


def _size(file: Path) -> int:
    with suppress(OSError):
        return file.stat().st_size if file.is_file() else 0
    return 0


def streams_below(source: Path) -> list[Path]:
    """The streams in a folder and those below, sorted, but hidden ones."""
    return sorted(_streams(source))


def _streams(source: Path) -> Iterator[Path]:
    """Files and dangling links that end in ``.lva``, and folders that cannot be listed."""
    unread: list[Path] = []

    def note(error: OSError) -> None:
        if Path(error.filename) == source:
            raise error
        unread.append(Path(error.filename))

    for place, _, names in os.walk(source, onerror=note):
        paths = [Path(place, name) for name in names if name.endswith(SUFFIX) and not name.startswith(".")]
        yield from (path for path in paths if path.is_file() or not path.exists())
    yield from unread
