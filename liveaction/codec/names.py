"""Names of a stream's items: relative paths, kept in the headers' extras, that no file is ever written outside by."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from liveaction.coding.container import ContainerReader
from liveaction.coding.source import Source
from liveaction.errors import FormatError, printable

ITEM = "item"
"""The key of ``extras`` that holds an item's name."""

LONGEST_NAME = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def open_item(source: Source, where: str, item: int = 0) -> ContainerReader:
    """An item of a stream; where there are several, errors say which, by number and name.

    Raises:
        FormatError, IntegrityError: as :class:`~liveaction.coding.container.ContainerReader`.
    """
    container = ContainerReader(source, where, item)
    container.where = where_of(container, where, item)
    return container


def item_at(container: ContainerReader, item: int, where: str) -> ContainerReader:
    """Another item of a container, as :func:`open_item` gives it; what stands before all items is not read again."""
    other = container.at(item)
    other.where = where_of(other, where, item)
    return other


def where_of(container: ContainerReader, where: str, item: int) -> str:
    """What stands first in errors of an item."""
    if container.items == 1:
        return where
    extras = container.header.get("extras")
    name = extras.get(ITEM) if isinstance(extras, dict) else None
    return f"{where}: item {item}" + (f" {printable(name)[:200]!r}" if isinstance(name, str) else "")


def name_of(header: dict[str, Any], where: str) -> str:
    """The name of an item with a header, empty where it has none.

    Raises:
        FormatError: it is none that an item may have.
    """
    extras = header.get("extras", {})
    if not isinstance(extras, dict) or ITEM not in extras:
        return ""
    return check_name(extras[ITEM], where)


def names_of(container: ContainerReader, where: str) -> tuple[str, ...]:
    """The names of all items of a container, empty where one has none.

    Raises:
        FormatError: one is none that an item may have, or they cannot stand beside each other.
    """
    names = tuple(name_of(container.at(item).header, f"{where}: item {item}") for item in range(container.items))
    check_names(names, where)
    return names


def find_item(path: Path, text: str) -> int:
    """Which item of a stream a text means: its number, or else its name.

    Raises:
        FormatError: there is none such, or the file is no stream.
    """
    with Source(path) as source:
        container = ContainerReader(source, str(path))
        if text.isdecimal():
            return container.at(int(text)).item
        names = names_of(container, str(path))
    if not text or text not in names:
        raise FormatError(f"{path}: expected the name of one of its {len(names)} items, got {text!r}")
    return names.index(text)


def check_name(name: object, where: str) -> str:
    """A name that an item may have: a path that leads down, with slashes, the same on every system.

    Raises:
        FormatError: it is none.
    """
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or _CONTROL.search(name):
        raise _wrong(where, f"a name of 1 to {LONGEST_NAME} characters without control characters", name)
    if "\\" in name or PureWindowsPath(name).drive or any(part in ("", ".", "..") for part in name.split("/")):
        raise _wrong(where, "a relative path with slashes, without '.' and '..'", name)
    return name


def check_names(names: Sequence[str], where: str) -> None:
    """Refuse names of one stream that could not stand beside each other; empty ones are none.

    Raises:
        FormatError: one is there twice, or is the folder of another.
    """
    known = set[str]()
    for name in names:
        if name and name in known:
            raise _wrong(where, "every name once", name, " again")
        known.add(name)
    for name in names:
        for folder in list(PurePosixPath(name).parents)[:-1]:
            if str(folder) in known:
                raise _wrong(where, "no name that is another one's folder", str(folder))


def _wrong(where: str, expected: str, name: object, more: str = "") -> FormatError:
    got = repr(printable(name)[:200]) if isinstance(name, str) else type(name).__name__
    return FormatError(f"{where}: expected {expected} for an item, got {got}{more}")
