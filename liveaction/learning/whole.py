"""Whether the parts of a store belong together: its table, its items, its shards and its labels."""

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError

if TYPE_CHECKING:
    from liveaction.learning.store import StoredItem, StoreTable

_WAY = "make the store again"
_LABELS: dict[str, dict[str, tuple[str, int]]] = {
    "class": {"classes": ("int64", 1)},
    "number": {"numbers": ("float32", 2)},
    "map": {"maps": ("int16", 1), "shapes": ("int64", 2)},
}
"""Of each task, what ``labels.safetensors`` has: dtypes, and how many axes."""


def check_table(about: "StoreTable", where: str) -> None:
    """Refuse a table whose entries contradict each other.

    Args:
        about: the table.
        where: stands first in the message.

    Raises:
        FormatError: they do.
    """
    channels, axes, exact = about.channels, about.axes, about.exact
    rows = (about.statistics.mean, exact.zero, exact.one, *exact.flips.values())
    for holds, expected in (
        (0 < len(axes) == len(about.factors) and axes == about.modality.axes, "one factor for each axis of its items"),
        (len(about.statistics.mean) == channels, f"statistics of {channels} channels"),
        (all(len(row) in (0, channels) for row in rows), f"numbers for each of {channels} channels"),
        (set(exact.flips) <= set(axes) and len(exact.reach) in (0, len(axes)), f"exact changes along {axes}"),
        (about.views and len(set(about.views)) == len(about.views), "each view once"),
        (set(about.fit) <= set(axes) and min(about.fit.values(), default=1) > 0, f"fit to samples along {axes}"),
        (about.task not in ("class", "map") or about.names, "names of classes"),
        (len(set(about.names)) == len(about.names), "each class once"),
        ((about.kind == "latents") == bool(about.model), "the digest of a model for latents alone"),
        (about.count, "at least one item"),
    ):
        if not holds:
            raise FormatError(f"{where}: expected {expected}, got what contradicts it; {_WAY}")


def check_items(about: "StoreTable", items: "list[StoredItem]", where: str) -> None:
    """Refuse items that are not those that the table counts, or whose extents are not those of its grids.

    Raises:
        FormatError: they are.
    """
    from liveaction.learning.store import counted

    if len(items) != about.count:
        raise FormatError(f"{where}: expected {about.count} items, got lines of {len(items)}; {_WAY}")
    if counted(items) != about.splits:
        raise FormatError(f"{where}: expected items of the splits {about.splits}, got {counted(items)}; {_WAY}")
    names = set[str]()
    for item in items:
        if item.name in names or not _is_below(item.name):
            raise FormatError(
                f"{where}: expected a path below the source for each item, once, got {item.name!r}; {_WAY}"
            )
        names.add(item.name)
        grid = tuple(-(-n // factor) for n, factor in zip(item.shape[1:], about.factors, strict=False))
        if len(item.shape) != len(about.axes) + 1 or item.grid != grid or not all((*item.shape, *grid)):
            raise FormatError(
                f"{where}: expected a grid of one position per {about.factors} samples for {item.name!r}, got "
                f"{item.grid} of {item.shape}; {_WAY}"
            )


def _is_below(name: str) -> bool:
    return bool(name) and "\0" not in name and not name.startswith("/") and ".." not in name.split("/")


def check_labels(
    about: "StoreTable", items: "list[StoredItem]", found: dict[str, NDArray[Any]], where: str
) -> dict[str, NDArray[Any]]:
    """The labels as they are, where they are those of the items.

    Raises:
        FormatError: tensors of another kind, or of other items.
    """
    wanted, count = _LABELS[about.task or "class"], len(items)
    kinds = {name: (each.dtype.name, each.ndim) for name, each in found.items()}
    if kinds != wanted or any(len(found[name]) != count for name in wanted if name != "maps"):
        raise FormatError(f"{where}: expected labels of {count} items, got {sorted(found)}; {_WAY}")
    if about.task == "class":
        number = {name: place for place, name in enumerate(about.names)}
        right = found["classes"].tolist() == [number.get(item.label) for item in items]
    elif about.task == "number":
        right = bool(found["numbers"].shape[1] and np.isfinite(found["numbers"]).all())
    else:
        right = found["shapes"].tolist() == [list(item.shape[1:]) for item in items]
        right = right and sum(prod(item.shape[1:]) for item in items) == len(found["maps"])
    if not right:
        raise FormatError(f"{where}: expected the labels that its items have, got others; {_WAY}")
    return found


def check_grids(about: "StoreTable", grids: NDArray[Any], size: int, items: "list[StoredItem]", path: Path) -> None:
    """Refuse a shard whose rows have other grids than its items, or another number of values.

    Args:
        about: the table.
        grids: ``[n, D]``.
        size: values of the shard.
        items: those of the shard.
        path: stands first in the message.

    Raises:
        FormatError: it has.
    """
    wanted = np.repeat(np.array([item.grid for item in items], np.float64), len(about.views), axis=0)
    if grids.dtype != np.int64 or not np.array_equal(grids, wanted):
        raise FormatError(f"{path}: expected the grids of its items, got others; {_WAY}")
    expected = about.channels * np.prod(wanted, axis=1).sum()  # in float64, which does not wrap around
    if size != expected:
        raise FormatError(f"{path}: expected {expected:.0f} values, got {size}; {_WAY}")
