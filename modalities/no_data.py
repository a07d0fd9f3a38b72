"""Values that stand where nothing was measured."""

from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.mapped import empty_values, parts, release_pages

Mask = NDArray[np.bool_]


def find_nan(values: NDArray[Any]) -> Mask | None:
    """Where floating-point values are NaN; None where none is. The mask of a large array is mapped."""
    return None if values.dtype.kind != "f" else _where(values, np.isnan)


def find_value(values: NDArray[Any], no_data: float, path: Path) -> Mask | None:
    """Where values equal ``no_data``, NaN being equal to NaN; None where none does.

    Raises:
        FormatError: integers that cannot hold ``no_data``.
    """
    if values.dtype.kind in "iu":
        info = np.iinfo(values.dtype)
        if isnan(no_data) or no_data != round(no_data) or not info.min <= no_data <= info.max:
            raise FormatError(
                f"{path}: expected values that can hold modality.options.no_data {no_data:g}, got "
                f"{values.dtype.name}; change no_data"
            )
    elif isnan(no_data):
        return find_nan(values)
    mark = values.dtype.type(no_data)
    return _where(values, lambda part: part == mark)


def _where(values: NDArray[Any], test: Callable[[NDArray[Any]], Any]) -> Mask | None:
    found: Mask | None = None
    for part in parts(values):
        marked = test(values[part])
        if found is None and marked.any():
            found = _nowhere(values)
        if found is not None:
            found[part] = marked
            release_pages(found)
    return found


def _nowhere(values: NDArray[Any]) -> Mask:
    """A mask of the values' shape and order in memory, False everywhere."""
    order = sorted(range(values.ndim), key=lambda axis: -abs(values.strides[axis]))
    room = empty_values(tuple(values.shape[axis] for axis in order), "bool")
    room[...] = False
    moved: Mask = room.transpose(np.argsort(order))
    return moved
