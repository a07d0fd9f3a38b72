"""What a path holds for a modality: the file itself, or all items below a folder, hidden ones left out."""

import os
from collections.abc import Callable
from pathlib import Path

from liveaction.errors import FormatError

Counts = Callable[[Path], bool]


def find_files(
    path: Path,
    wanted: str,
    is_file: Counts,
    is_folder: Counts | None = None,
    *,
    search_items: bool = True,
    way: str = "convert it",
) -> list[Path]:
    """The file that ``path`` is, or all items of the folder that it is and of those below, sorted.

    Files and folders whose name begins with a dot are left out; links to folders are not followed. What cannot be
    looked at, a folder without the right to list it, a link that leads nowhere, counts as an item: reading it fails,
    and names it.

    Args:
        path: what was asked for; it counts under any name where ``is_file`` or ``is_folder`` says so.
        wanted: a word for what counts, as the messages say it.
        is_file: whether a file is an item.
        is_folder: whether a folder is one, as a whole.
        search_items: whether a folder that is an item may hold others.
        way: out for a file that is no item.

    Raises:
        FormatError: no such path, a file that is no item, or a folder without one.
    """
    if path.is_file() and is_file(path):
        return [path]
    if not path.is_dir():
        got = "a link that leads nowhere; mend it" if leads_nowhere(path) else "no such path; check the spelling"
        got = f"a file named {path.name!r}; {way}" if path.exists() else got
        raise FormatError(f"{path}: expected {wanted}, got {got}")
    found = [path] if is_folder is not None and is_folder(path) else []
    if search_items or not found:
        found += _below(path, is_file, is_folder, search_items)
    if not found:
        got = "other files only" if any(path.iterdir()) else "an empty folder"
        raise FormatError(f"{path}: expected {wanted}, got {got}; check what was copied there")
    return sorted(found)


def _below(path: Path, is_file: Counts, is_folder: Counts | None, search_items: bool) -> list[Path]:
    found: list[Path] = []

    def note(error: OSError) -> None:
        if Path(error.filename) == path:
            raise error
        if Path(error.filename) not in found:
            found.append(Path(error.filename))

    for place, folders, files in os.walk(path, onerror=note):
        visible = [[Path(place) / name for name in names if not name.startswith(".")] for names in (folders, files)]
        visible[0] = [folder for folder in visible[0] if not folder.is_symlink()]
        whole = [folder for folder in visible[0] if is_folder is not None and _counts(is_folder, folder)]
        there = [file for file in visible[1] if file.is_file() or leads_nowhere(file)]
        found += whole + [file for file in there if _counts(is_file, file)]
        folders[:] = [folder.name for folder in visible[0] if search_items or folder not in whole]
    return found


def leads_nowhere(path: Path) -> bool:
    """Whether a name is that of a link to what is not there."""
    return path.is_symlink() and not path.exists()


def _counts(counts: Counts, path: Path) -> bool:
    """Whether a file or folder counts; it does where that cannot be seen."""
    try:
        return counts(path)
    except (OSError, FormatError):
        return True
