"""Differences of samples; sums run in float64, part by part."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.errors import ShapeError
from liveaction.mapped import parts

Array = NDArray[Any]
Missing = NDArray[np.bool_] | None


def mean_squared_error(x: torch.Tensor, y: torch.Tensor) -> float:
    """MSE of two tensors of equal shape, any dtype; a slab at a time, so no float64 copy of the whole is made.

    Raises:
        ShapeError: the shapes differ, or there is nothing to compare.
    """
    if x.shape != y.shape or x.numel() == 0:
        raise ShapeError(
            f"metrics: expected two tensors of equal shape with entries, got {tuple(x.shape)}, {tuple(y.shape)}"
        )
    total = 0.0
    for a, b in zip(x.reshape(-1).split(1 << 22), y.reshape(-1).split(1 << 22), strict=True):
        total += float((a.double() - b.double()).square().sum())
    return total / x.numel()


def psnr(x: torch.Tensor, y: torch.Tensor, peak: float) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(peak**2 / MSE); infinite for equal tensors.

    Args:
        x, y: equal shapes.
        peak: the range that the figure is stated on: 2 for signals in [-1, 1], 4095 for CT in HU from -1024 to 3071.

    Example:
        >>> import torch
        >>> round(psnr(torch.zeros(1, 8, 8), torch.full((1, 8, 8), 0.2), peak=2), 6)
        20.0
    """
    return _decibels(mean_squared_error(x, y), peak)


def psnr_within(x: Array, y: Array, windows: Sequence[tuple[float, float]], missing: Missing = None) -> list[float]:
    """PSNR in dB as seen through windows of values: both signals clipped to a window, the peak being its width.

    Args:
        x, y: real arrays of equal shape, mapped or not.
        windows: ``(low, high)`` in the unit of the values; the arrays are read once for all of them.
        missing: entries that do not count.

    Returns:
        one figure per window; infinite where nothing differs within it.

    Raises:
        ShapeError: the shapes differ, or there is nothing to compare.
    """
    _check_alike(x, y, missing)
    count, sums = 0, [0.0] * len(windows)
    for part in parts(x, y):
        one, two = (_known(array, part, missing) for array in (x, y))
        count += one.size
        for number, (low, high) in enumerate(windows):
            error = (np.clip(one, low, high) - np.clip(two, low, high)).reshape(-1)
            sums[number] += float(np.dot(error, error))
    if count == 0:
        raise ShapeError("psnr_within: expected values to compare, got none that were measured")
    return [_decibels(total / count, high - low) for total, (low, high) in zip(sums, windows, strict=True)]


def psnr_along(x: Array, y: Array, limits: tuple[float, float], axis: int, missing: Missing = None) -> list[float]:
    """PSNR in dB of every slice across an axis, both signals clipped to their limits, the peak being the limits' width.

    Args:
        x, y: real arrays of equal shape, mapped or not.
        limits: the range that the figures are stated on.
        axis: that the slices are counted along.
        missing: entries that do not count.

    Returns:
        one figure per slice; infinite where it is exact, NaN where nothing of it was measured.

    Raises:
        ShapeError: the shapes differ, or there is nothing to compare.
    """
    _check_alike(x, y, missing)
    sums, counts = np.zeros(x.shape[axis]), np.zeros(x.shape[axis], np.int64)
    others = tuple(other for other in range(x.ndim) if other != axis)
    for part in parts(x, y):
        one, two = (np.clip(array[part].astype(np.float64), *limits) for array in (x, y))
        error = np.square(one - two)
        there = np.ones((), bool) if missing is None else ~missing[part]
        sums[part[axis]] += np.sum(error, axis=others, where=there)
        counts[part[axis]] += np.sum(np.broadcast_to(there, error.shape), axis=others)
    peak = limits[1] - limits[0]
    return [_decibels(total / n, peak) if n else math.nan for total, n in zip(sums.tolist(), counts, strict=True)]


class Percentile:
    """A high percentile of values that come part by part: exact, in the room of those above it, so a thousandth of all.

    It equals ``numpy.percentile`` of all of them at once, linear between neighbours.

    Args:
        count: of all values that will come.
        percent: 0 to 100; what is above it is kept.
    """

    def __init__(self, count: int, percent: float) -> None:
        rank = (count - 1) * percent / 100
        self._share = rank - math.floor(rank)
        self._kept = count - math.floor(rank)
        self._largest: NDArray[np.float64] = np.empty(0)
        self._least = -math.inf  # of those kept, once they are as many as are needed

    def add(self, values: Array) -> None:
        """Take a part of the values, in any shape and order; NaN is not among them."""
        above = values[values > self._least]
        if above.size == 0:
            return
        self._largest = np.concatenate([self._largest, above.astype(np.float64)])
        if self._largest.size >= self._kept:
            at = self._largest.size - self._kept
            self._largest = np.partition(self._largest, at)[at:]
            self._least = float(self._largest[0])

    @property
    def value(self) -> float:
        """The percentile, once all values have come."""
        low, *rest = np.partition(self._largest, range(min(2, self._kept)))[:2].tolist()
        return float(low + self._share * (rest[0] - low) if rest else low)


def _known(array: Array, part: tuple[slice, ...], missing: Missing) -> NDArray[np.float64]:
    """What was measured in a part, in float64."""
    values = array[part] if missing is None else array[part][~missing[part]]
    return values.astype(np.float64)


def _check_alike(x: Array, y: Array, missing: Missing) -> None:
    shapes = {array.shape for array in (x, y, missing) if array is not None}
    if len(shapes) != 1 or x.size == 0:
        raise ShapeError(f"metrics: expected two arrays of equal shape with entries, got {x.shape}, {y.shape}")


def _decibels(mse: float, peak: float) -> float:
    return math.inf if mse == 0 else 20 * math.log10(peak) - 10 * math.log10(mse)
