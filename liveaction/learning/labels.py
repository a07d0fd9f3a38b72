"""Labels of items: from the folders they lie in, from their names, or from a table."""

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from liveaction.errors import FormatError, SpecError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "test": TEST,
}
"""Names of folders that are splits, and which."""
FOLDERS = "folders"
_SURROGATES = re.compile("[\ud800-\udfff]")  # of file names that are no UTF-8
_COLUMNS = {"path", "label", "split", "group"}


@dataclass(frozen=True)
class LabelledItem:
    """An item to learn from or to be tested on.

    Attributes:
        name: its path below the source, with slashes.
        path: of the file or folder.
        label: as text: a class, numbers with spaces between, or the path of a map; empty where there is none.
        split: ``train``, ``validation`` or ``test``.
        group: what must not be on both sides of a split: a speaker, a patient, a room; empty where nobody said.
    """

    name: str
    path: Path
    label: str
    split: str = TRAIN
    group: str = ""


def labelled_items(source: Path, paths: Sequence[Path], labels: str, suffix: str = "") -> list[LabelledItem]:
    """The items of a folder with their labels, sorted by name.

    Args:
        source: the folder that was searched.
        paths: what was found in it.
        labels: ``folders``: the class is the folder that an item lies in, the split the first folder where that is
            called ``train``, ``validation`` or ``test``; a regular expression with ``(?P<label>...)``, and perhaps
            ``(?P<split>...)`` and ``(?P<group>...)``, that the path below the source is searched for; else a CSV file
            with the columns ``path,label`` and perhaps ``split`` and ``group``. Empty: no labels.
        suffix: that items have behind the names which labels go by, such as ``.lva``.

    Raises:
        FormatError: a table cannot be read or names what is not there; an item has no label, or a name that is no
            UTF-8.
        SpecError: ``labels`` is none of the above.
    """
    named = {_name(source, path).removesuffix(suffix): path for path in paths}
    odd = next((name for name in named if _SURROGATES.search(name)), None)
    if odd is not None:
        raise FormatError(f"{source}: expected names in UTF-8, got {odd!r}; rename it")
    if "(?P<" in labels:
        found = _by_pattern(named, labels)
    elif labels == FOLDERS:
        found = [_by_folder(name, path) for name, path in named.items()]
    elif labels:
        found = _by_table(named, Path(labels))
    else:
        found = [LabelledItem(name, path, "") for name, path in named.items()]
    check_groups(found)
    return sorted(found, key=lambda item: item.name)


def training_labels(find: Callable[[Path], Sequence[Path]], sources: Iterable[str], labels: str) -> dict[Path, str]:
    """The classes of files to learn a codec from, by path.

    Args:
        find: gives the items of a file or folder.
        sources: files and folders.
        labels: as for :func:`labelled_items`.

    Raises:
        FormatError: as :func:`labelled_items`; an item is of another split than ``train``.
        SpecError: a source is neither.
    """
    classes: dict[Path, str] = {}
    for source in map(Path, sources):
        if not source.exists():
            raise SpecError(f"--labels: expected --data of labelled files or folders, got {str(source)!r}")
        for item in labelled_items(source, find(source), labels):
            if item.split != TRAIN:
                raise FormatError(
                    f"--labels: expected files to learn from alone, got {item.name!r} of the split {item.split}; give "
                    "--data the folder of the training split"
                )
            classes[item.path] = item.label
    return classes


def class_names(items: Iterable[LabelledItem]) -> tuple[str, ...]:
    """The classes of all items; numbers by value, all else by letters."""
    names = {item.label for item in items}
    numbers = all(re.fullmatch(r"-?[0-9]{1,18}", name) for name in names)
    return tuple(sorted(names, key=lambda name: (int(name) if numbers else 0, name)))


def check_groups(items: Iterable[LabelledItem]) -> None:
    """Refuse a group that is in two splits.

    Raises:
        FormatError: there is one.
    """
    known: dict[str, str] = {}
    for item in items:
        before = known.setdefault(item.group, item.split) if item.group else item.split
        if before != item.split:
            raise FormatError(
                f"--labels: expected every group in one split, got {item.group!r} in {before} and {item.split}; "
                "split by group"
            )


def _name(source: Path, path: Path) -> str:
    return path.relative_to(source).as_posix() if path != source and path.is_relative_to(source) else path.name


def _split(text: str, where: str) -> str:
    if text.lower() not in SPLITS:
        raise FormatError(f"{where}: expected a split among {TRAIN}, {VALIDATION}, {TEST}, got {text!r}")
    return SPLITS[text.lower()]


def _by_folder(name: str, path: Path) -> LabelledItem:
    folders = PurePosixPath(name).parts[:-1]
    split = TRAIN
    if folders and folders[0].lower() in SPLITS:
        split, folders = SPLITS[folders[0].lower()], folders[1:]
    if not folders:
        raise FormatError(
            f"--labels folders: expected every item in a folder that names its class, got {name!r}; move it, or give a "
            "table"
        )
    if folders[-1].lower() in SPLITS:
        raise FormatError(
            f"--labels folders: expected a split above the classes, got {name!r}, whose class would be "
            f"{folders[-1]!r}; move it, or give a pattern such as '(?P<label>[^/]+)/(?P<split>[^/]+)/'"
        )
    return LabelledItem(name, path, folders[-1], split)


def _by_pattern(named: dict[str, Path], pattern: str) -> list[LabelledItem]:
    try:
        rule = re.compile(pattern)
    except re.error as error:
        raise SpecError(f"--labels: expected a regular expression, got {pattern!r}: {error}") from error
    if "label" not in rule.groupindex or set(rule.groupindex) - {"label", "split", "group"}:
        raise SpecError(
            f"--labels: expected the groups (?P<label>), (?P<split>) and (?P<group>), got {sorted(rule.groupindex)}"
        )
    items = []
    for name, path in named.items():
        found = rule.search(name)
        if found is None or not found["label"]:
            raise FormatError(f"--labels: expected {pattern!r} in the name of every item, got {name!r}; take it out")
        parts = found.groupdict()
        split = _split(parts["split"], name) if parts.get("split") else TRAIN
        items.append(LabelledItem(name, path, parts["label"], split, parts.get("group") or ""))
    return items


def _by_table(named: dict[str, Path], table: Path) -> list[LabelledItem]:
    """Items that a table names; those that it does not name are left out."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeError, csv.Error) as error:
        raise FormatError(
            f"{table}: expected a readable CSV file of labels, got {error}; else say {FOLDERS}, or a pattern with "
            "(?P<label>...)"
        ) from error
    if not {"path", "label"} <= set(columns) or set(columns) - _COLUMNS:
        raise FormatError(f"{table}: expected the columns path,label and perhaps split,group, got {list(columns)}")
    items: dict[str, LabelledItem] = {}
    for line, row in enumerate(rows, start=2):
        where, name = f"{table}: line {line}", (row["path"] or "").strip()
        if None in row or None in row.values():
            raise FormatError(f"{where}: expected {len(columns)} fields, got another number")
        if name not in named:
            raise FormatError(
                f"{where}: expected an item below the folder, got {name!r}; write paths as {next(iter(named), '')!r}"
            )
        if name in items:
            raise FormatError(f"{where}: expected every item once, got {name!r} again")
        split = _split(row["split"].strip(), where) if row.get("split") else TRAIN
        items[name] = LabelledItem(name, named[name], row["label"].strip(), split, (row.get("group") or "").strip())
    if not items:
        raise FormatError(f"{table}: expected a line for each item, got none")
    return list(items.values())
