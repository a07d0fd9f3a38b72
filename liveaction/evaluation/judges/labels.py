"""What items really are: by their folders, by a table, or by what a judge says of the originals."""

import csv
from collections.abc import Sequence
from pathlib import Path

from liveaction.errors import FormatError, SpecError
from liveaction.evaluation.sources import Subject

FOLDERS, ORIGINAL = "folders", "original"


def labels_of(text: str, subjects: Sequence[Subject]) -> dict[str, str] | None:
    """The label of every item by :attr:`Subject.label`; None for ``original``: what the judge says of the original.

    Args:
        text: ``folders``, each item belongs to the folder that it lies in; ``original``; or a CSV file with the columns
            ``path``, below the data folder, and ``label``. Other columns, and rows of other files, are passed over.

    Raises:
        SpecError: neither of these.
        FormatError: the table cannot be read, or an item has no label in it.
    """
    if text == ORIGINAL:
        return None
    if text == FOLDERS:
        return {subject.label: subject.path.resolve().parent.name for subject in subjects}
    table = _table(Path(text))
    found = {}
    for subject in subjects:
        names = [name for name in (subject.name, subject.name.partition("/")[2]) if name in table]
        if not names:
            raise FormatError(f"--labels {text}: expected a row for every item, got none of {subject.name!r}")
        found[subject.label] = table[names[0]]
    return found


def _table(path: Path) -> dict[str, str]:
    if path.suffix.lower() != ".csv":
        raise SpecError(f"--labels: expected {FOLDERS}, {ORIGINAL} or a .csv file, got {str(path)!r}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"--labels {path}: expected a readable table, got {type(error).__name__}") from error
    if not rows or not {"path", "label"} <= set(rows[0]):
        got = sorted(map(str, rows[0])) if rows else "no rows"
        raise FormatError(f"--labels {path}: expected the columns path and label, got {got}")
    found: dict[str, str] = {}
    for row in rows:
        name, label = (row[key] or "" for key in ("path", "label"))
        if found.setdefault(name, label) != label:
            raise FormatError(f"--labels {path}: expected one label for {name!r}, got {found[name]!r} and {label!r}")
    return found
