"""The labels of all items as tensors: classes by number, rows of numbers, maps one after the other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, printable
from liveaction.learning.inputs import Task
from liveaction.learning.labels import LabelledItem, class_names
from liveaction.learning.sources import ItemSource
from liveaction.learning.store import StoredItem


@dataclass(frozen=True)
class LabelTensors:
    """The labels of all items as tensors."""

    arrays: dict[str, NDArray[Any]]
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, items: list[LabelledItem], task: Task | None, source: ItemSource) -> "LabelTensors":
        """Read from texts, and maps from their files.

        Raises:
            FormatError: one is not of the task.
        """
        if task is None:
            return cls({})
        bare = next((item.name for item in items if not item.label), None)
        if bare is not None:
            raise FormatError(f"--labels: expected a label for every item, got none for {bare!r}")
        if task == "class":
            names = class_names(items)
            number = {name: place for place, name in enumerate(names)}
            return cls({"classes": np.array([number[item.label] for item in items], np.int64)}, names)
        if task == "number":
            rows = [_numbers(item) for item in items]
            if len({len(row) for row in rows}) > 1:
                raise FormatError(f"--labels: expected as many numbers for every item, got {rows[0]} and others")
            return cls({"numbers": np.array(rows, np.float32)})
        maps = [read_map(Path(item.label), item.name, source) for item in items]
        top = max(int(each.max(initial=0)) for each in maps)
        shapes = np.array([each.shape for each in maps], np.int64)
        flat = np.concatenate([each.reshape(-1) for each in maps])
        return cls({"maps": flat, "shapes": shapes}, tuple(str(number) for number in range(top + 1)))

    def check(self, stored: list[StoredItem]) -> None:
        """Maps have the extents of their signals.

        Raises:
            FormatError: one has others.
        """
        for item, shape in zip(stored, self.arrays.get("shapes", ()), strict=False):
            if tuple(shape.tolist()) != item.shape[1:]:
                raise FormatError(
                    f"--labels: expected a map of extents {item.shape[1:]} for {item.name!r}, got "
                    f"{tuple(shape.tolist())}"
                )


def _numbers(item: LabelledItem) -> list[float]:
    try:
        row = [float(word) for word in item.label.split()]
    except ValueError:
        row = []
    if not row or not np.isfinite(row).all():
        raise FormatError(f"--labels: expected numbers for {item.name!r}, got {item.label!r}")
    return row


def read_map(path: Path, name: str, source: ItemSource) -> NDArray[np.int16]:
    """The classes of an item's samples, from an array file or what the modality reads.

    Raises:
        FormatError: it cannot be read, or holds something else than small integers.
    """
    try:
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else source.modality.read(path).values[0]
    except (OSError, EOFError, ValueError) as error:
        raise FormatError(f"--labels: expected a map for {name!r}, got {printable(error)}") from error
    if values.dtype.kind not in "iu" or values.size == 0 or not -1 <= values.min() <= values.max() < 2**15:
        raise FormatError(f"{path}: expected classes from 0, and -1 where nobody said, got {values.dtype}")
    return np.asarray(values, np.int16)
