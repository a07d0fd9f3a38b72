"""What the arrays of tables must be: their names, dtypes and shapes, and what may stand in them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.layout import (
    AXES,
    CLASSES,
    LEVELS,
    PREDICT_ONE,
    SCALES,
    SOURCES,
    TOKENS,
    WEIGHT_ONE,
    modes,
    neighbours,
)
from liveaction.coding.priors import FREQUENCIES
from liveaction.errors import FormatError

DTYPES = {
    "predict": np.int16,
    "activity": np.uint16,
    "sources": np.int16,
    "class_offset": np.int8,
    "classes": np.uint16,
    "modes": np.uint16,
    "residuals": np.uint16,
}
MOST_ROWS = 1 << 15
"""Rows that sources may name, those of the coarser part and the own: they are int16."""
GREATEST_PREDICT, GREATEST_ACTIVITY = 8 * PREDICT_ONE, 4 * WEIGHT_ONE
"""Largest weights; with these of activity, all neighbours and sources at their caps, the sum stays within 32 bits."""


def _shapes(channels: int, axes: int) -> dict[str, tuple[int, ...]]:
    count = len(neighbours(axes))
    return {
        "predict": (channels, count),
        "activity": (channels, count + 1 + 2 * SOURCES),
        "sources": (channels, SOURCES),
        "class_offset": (channels,),
        "classes": (CLASSES + 1, CLASSES),
        "modes": (channels, 2, modes(axes)),
        "residuals": (SCALES * LEVELS, TOKENS + 1),
    }


def table_shapes(channels: int, axes: int, outer: int = 0) -> dict[str, tuple[str, tuple[int, ...]]]:
    """NumPy's name of the dtype, and the shape, of every array in tables of L channels on D axes.

    Args:
        channels: L.
        axes: D.
        outer: channels of the coarser part.
    """
    shapes = _shapes(channels, axes)
    single = {"axes": ("uint8", (1,))} | ({"outer": ("uint16", (1,))} if outer else {})
    return {name: (np.dtype(DTYPES[name]).name, shapes[name]) for name in DTYPES} | single


def check_arrays(arrays: dict[str, NDArray[Any]], where: str) -> tuple[int, int]:
    """Axes and rows of the coarser part of tables, all of whose arrays are checked.

    Raises:
        FormatError: see ``EntropyTables.from_arrays``.
    """
    if arrays.keys() - {"outer"} != {"axes", *DTYPES}:
        raise FormatError(f"{where}: expected tables axes, {', '.join(DTYPES)}, got {', '.join(sorted(arrays))}")
    axes, predict = arrays["axes"], arrays["predict"]
    if axes.dtype != np.uint8 or axes.shape != (1,) or not 1 <= axes[0] <= AXES:
        raise FormatError(f"{where}: expected axes as one uint8 from 1 to {AXES}, got {axes.dtype} {axes.tolist()}")
    shapes = _shapes(len(predict) if predict.ndim else 0, int(axes[0]))
    for name, shape in shapes.items():
        array, dtype = arrays[name], np.dtype(DTYPES[name])
        if array.dtype != dtype or array.shape != shape or not array.size:
            raise FormatError(f"{where}: expected {name} as {dtype} {shape}, got {array.dtype} {array.shape}")
    outer = _checked_outer(arrays, where)
    _check_values(arrays, outer, where)
    return int(axes[0]), outer


def _checked_outer(arrays: dict[str, NDArray[Any]], where: str) -> int:
    if "outer" not in arrays:
        return 0
    outer, most = arrays["outer"], MOST_ROWS - len(arrays["predict"])
    if outer.dtype != np.uint16 or outer.shape != (1,) or not 1 <= outer[0] <= most:
        got = f"{outer.dtype} {outer.tolist()}"
        raise FormatError(f"{where}: expected outer as one uint16 from 1 to {most}, got {got}")
    return int(outer[0])


def _check_values(arrays: dict[str, NDArray[Any]], outer: int, where: str) -> None:
    for name in ("classes", "modes", "residuals"):
        table = arrays[name]
        if (table.sum(-1, dtype=np.int64) != FREQUENCIES).any():
            raise FormatError(f"{where}: expected frequencies of {name} that sum up to {FREQUENCIES}, got others")
        needed = table[:, -1:] if name == "residuals" else table
        if not needed.all():
            raise FormatError(f"{where}: expected frequencies of {name} from 1 on, got 0")
    sources = arrays["sources"].astype(np.int64)
    if ((sources < -1) | (sources >= outer + np.arange(len(sources))[:, None])).any():
        raise FormatError(f"{where}: expected sources among the preceding channels or -1, got others")
    for name, greatest in (("predict", GREATEST_PREDICT), ("activity", GREATEST_ACTIVITY)):
        largest = int(np.abs(arrays[name].astype(np.int64)).max())
        if largest > greatest:
            raise FormatError(f"{where}: expected weights in {name} of at most {greatest}, got {largest}")
