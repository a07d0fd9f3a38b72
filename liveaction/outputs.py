"""Whether what is written leaves alone what is read: one check of all outputs of a command, before any work."""

import os
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path

from liveaction.errors import SpecError, WriteError
from liveaction.files import destination

Place = tuple[int | str, ...]


def place_of(path: Path) -> Place:
    """What two names of one file have in common: device and inode, through links of both kinds.

    Of what is not there yet, those of the nearest folder that is, and the names below it.
    """
    whole, below = Path(os.path.realpath(path)), list[str]()
    for folder in (whole, *whole.parents):
        try:
            found = folder.stat()
        except OSError:
            below.insert(0, folder.name)
        else:
            return (found.st_dev, found.st_ino, *below)
    return tuple(below)


def is_within(path: Path, folder: Path) -> bool:
    """Whether ``path`` is ``folder``, or lies in it, however both are spelt."""
    whole, place = Path(os.path.realpath(path)), place_of(folder)
    return place in (place_of(path), *map(place_of, whole.parents))


def check_outputs(
    outputs: Mapping[str, Path | Iterable[Path]],
    inputs: Mapping[str, Path | Iterable[Path] | None],
    kept: Mapping[str, Path] | None = None,
) -> None:
    """Refuse outputs that are inputs or each other, and those that cannot be written; nothing is read or written.

    Args:
        outputs: files and folders to be written, each as a whole, by what the messages call them.
        inputs: files and folders that are read, as a whole; None is none.
        kept: folders in which new files may be written, but none that is there.

    Raises:
        SpecError: an output is an input or another output, lies in it, or is a folder that holds it.
        WriteError: an output has no folder, or there is no right to write to it, or it is a FIFO or a device.
    """
    written = [(name, path) for name, paths in outputs.items() for path in _all(paths)]
    read = [(name, path) for name, paths in inputs.items() for path in _all(paths)]
    for name, path in written:
        check_place(path, name)
        for other, source in read:
            _refuse_shared(name, path, other, source)
        for other, folder in (kept or {}).items():
            if path.exists() and is_within(path, folder) and not is_within(folder, path):
                raise SpecError(f"{name}: expected a new file, got {str(path)!r}, which is in {other}; take another")
    for (name, path), (other, there) in combinations(written, 2):
        if name != other:
            _refuse_shared(name, path, other, there)


def check_folder(
    name: str, folder: Path, inputs: Mapping[str, Path | Iterable[Path] | None], items: Iterable[Path] = ()
) -> None:
    """Refuse a folder, into which more than one file will be written, that is an input or lies in an item.

    Args:
        name: stands first in the message.
        folder: made if missing.
        inputs: what is read, by what the message calls it; a folder of them may hold ``folder``.
        items: files and folders that are one signal each.

    Raises:
        SpecError: it is, or does.
    """
    place = place_of(folder)
    for other, paths in inputs.items():
        if any(place_of(path) == place for path in _all(paths)):
            raise SpecError(
                f"{name}: expected a folder of its own, got {str(folder)!r}, which is {other}; choose another one"
            )
    around = {place, *map(place_of, Path(os.path.realpath(folder)).parents)}
    for item in items:
        if place_of(item) in around:
            raise SpecError(
                f"{name}: expected a folder outside of what is read, got {str(folder)!r}, which lies in {str(item)!r}; "
                "choose another one"
            )


def check_place(path: Path, name: str) -> None:
    """Refuse what cannot be written under ``path``; ``name`` stands first in the message.

    Raises:
        SpecError: it has no folder to go to.
        WriteError: there is no right to write there, or it is a FIFO or a device.
    """
    if path.name == "-":
        raise SpecError(f"{name}: expected the name of a file, got '-'; what is written appears whole, at a place")
    folder = destination(path).parent
    if not folder.is_dir():
        raise SpecError(f"{name}: expected an existing folder {str(folder)!r}; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise WriteError(f"{name}: expected the right to write in {str(folder)!r}, got none; choose another place")


def _refuse_shared(name: str, path: Path, other: str, there: Path) -> None:
    if place_of(path) == place_of(there):
        how = f"which is {other}"
    elif is_within(path, there):
        how = f"which lies in {other}"
    elif is_within(there, path):
        how = f"in which {other} lies"
    else:
        return
    raise SpecError(f"{name}: expected a place of its own, got {str(path)!r}, {how}; choose another one")


def _all(paths: Path | Iterable[Path] | None) -> list[Path]:
    return [] if paths is None else [paths] if isinstance(paths, Path) else list(paths)
