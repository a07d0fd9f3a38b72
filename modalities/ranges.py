"""Ranges of values that map onto [-1, 1]: of constants, and of what float32 does not tell apart."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.mapped import is_mapped, parts


def extremes(values: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> tuple[Any, Any]:
    """The least and the largest value that is not missing, as Python numbers, integers exactly; one there must be."""
    there = (values[part] if missing is None else values[part][~missing[part]] for part in parts(values))
    each = [(part.min().item(), part.max().item()) for part in there if part.size]
    return min(low for low, _ in each), max(high for _, high in each)


def constant_range(value: float) -> tuple[float, float]:
    """The range of a signal of one value: itself and the next larger float64. Integers beyond 2**53 stay integers."""
    low = float(value) if float(value) == value else value
    return low, math.nextafter(float(value), math.inf)


def is_constant(limits: tuple[float, float]) -> bool:
    """Whether a range is one that :func:`constant_range` gave."""
    return limits[1] == math.nextafter(float(limits[0]), math.inf)


def constant_values(shape: tuple[int, ...], value: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array of one value, clipped to what its dtype holds."""
    if dtype.kind == "f":
        return np.full(shape, min(max(value, float(np.finfo(dtype).min)), float(np.finfo(dtype).max)), dtype)
    return np.full(shape, min(max(round(value), int(np.iinfo(dtype).min)), int(np.iinfo(dtype).max)), dtype)


def needs_float64(limits: tuple[float, float]) -> bool:
    """Whether float32 has too few steps between the ends of a range, or no number for what scales it."""
    low, high = limits
    return high - low < max(max(abs(low), abs(high)) * 2.0**-12, 2.0**-100)


def as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """A float32 copy in memory; pages of a mapped file are released as it is made."""
    with np.errstate(over="ignore"):  # what float32 does not hold is infinite, and clipped
        if not is_mapped(values):
            return np.array(values, dtype=np.float32, order="C")
        copy = np.empty(values.shape, np.float32)
        for part in parts(values):
            copy[part] = values[part]
    return copy
