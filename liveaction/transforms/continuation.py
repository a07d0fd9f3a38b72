"""Further wavelet levels of a band, by themselves inside a chunk: as many coefficients as samples, any extents.

A level along an axis of n samples gives ceil(n/2) low and floor(n/2) high passes, by reflection about both end samples
as JPEG 2000 has it, so it inverts exactly for odd n too. A chunk's levels read nothing of its neighbours: chunks decode
alone, and what is damaged stays within one.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.errors import SpecError
from liveaction.transforms.wavelet import level_filters, reflection

Floats = NDArray[Any]
Taps = NDArray[np.float64]
MODEL = 64
"""Samples of the axis that the inverse's taps are read off; the longest wavelets reach over less than half of it."""
LONGEST_MATRIX = 256
"""Longer axes are gathered tap by tap: as a matrix they would cost more than a hundred products a sample."""
SMALLEST_TAP = 1e-9
"""The share of the largest tap below which an entry of the inverse is what computing it left over."""


class Rows(NamedTuple):
    """Sparse rows along an axis of n samples: what each reads, ``[n, T]``, and what it is multiplied with."""

    read: NDArray[np.int64]
    weights: Floats


class Continuation:
    """Steps of further levels, each along some of the axes.

    Args:
        wavelet: a biorthogonal wavelet of PyWavelets with filters of odd length, such as bior4.4 or bior6.8.
        steps: for each step 1 for every axis that it splits, 0 for the others.

    Raises:
        SpecError: the wavelet's filters have no sample in their middle, and there is a step.
    """

    def __init__(self, wavelet: str, steps: tuple[tuple[int, ...], ...]) -> None:
        if steps and reflection(wavelet):
            raise SpecError(
                f"[codec] continuation: expected a wavelet with filters of odd length, got {wavelet!r}; take bior4.4 "
                "or bior6.8"
            )
        self.wavelet, self.steps = wavelet, steps

    def bands(self) -> list[int]:
        """How many bands of a channel each part of :meth:`split` has: 1, then the steps' from the last to the first."""
        return [1, *(2 ** sum(step) - 1 for step in reversed(self.steps))]

    def shapes(self, extents: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Extents of each part of :meth:`split`."""
        found = [extents]
        for step in self.steps:
            found.append(tuple(-(-n // 2) if on else n for n, on in zip(found[-1], step, strict=True)))
        return [found[-1], *found[:0:-1]]

    def split(self, x: Floats) -> list[Floats]:
        """A band to its parts, from coarse to fine.

        Args:
            x: ``[n, *c]``.

        Returns:
            The lowest band ``[n, *]``, then of each step, the last one first, its other bands ``[n * bands, *]``, those
            of a channel together. Of an odd axis the high passes end with a 0 that stands for nothing.
        """
        parts = []
        for step in self.steps:
            bands = x[:, None]
            for axis in _axes(step):
                bands = _split_axis(bands, axis + 2, self.wavelet)
            x = bands[:, 0]
            parts.append(np.ascontiguousarray(bands[:, 1:]).reshape(-1, *x.shape[1:]))
        return [np.ascontiguousarray(x), *reversed(parts)]

    def details(self, x: torch.Tensor, step: tuple[int, ...]) -> torch.Tensor:
        """What :meth:`split` makes of one step beside the lowest band, ``[n, *c] -> [n, bands, *]``, with gradients."""
        bands = x[:, None]
        for axis in _axes(step):
            last, n = bands.movedim(axis + 2, -1), bands.shape[axis + 2]
            y = _apply_torch(_rows(self.wavelet, n, False), _matrix(self.wavelet, n, False), last)
            pairs = torch.nn.functional.pad(y, [0, y.shape[-1] % 2]).unflatten(-1, (-1, 2))
            bands = pairs.movedim(-1, 2).flatten(1, 2).movedim(-1, axis + 2)
        return bands[:, 1:]

    def join(self, parts: list[Floats], extents: tuple[int, ...]) -> Floats:
        """The inverse of :meth:`split`: ``[n, *extents]``, in float64 where the parts are."""
        x, shapes = parts[0], [*self.shapes(extents)[2:], extents]
        for step, rest, shape in zip(reversed(self.steps), parts[1:], shapes, strict=False):
            others = rest.reshape(len(x), -1, *x.shape[1:])
            bands = np.concatenate([x[:, None], others], axis=1)
            for axis in reversed(_axes(step)):
                bands = _join_axis(bands, axis + 2, shape[axis], self.wavelet)
            x = bands[:, 0]
        return np.ascontiguousarray(x)


def _axes(step: tuple[int, ...]) -> list[int]:
    return [axis for axis, on in enumerate(step) if on]


def _split_axis(x: Floats, axis: int, wavelet: str) -> Floats:
    """``[n, b, *c]`` to ``[n, 2 b, *]``: band 2 i is the low pass of band i, band 2 i + 1 its high pass."""
    y = _apply(_rows(wavelet, x.shape[axis], False), _matrix(wavelet, x.shape[axis], False), x, axis)
    if y.shape[axis] % 2:
        y = np.concatenate([y, np.zeros_like(y.take([0], axis))], axis)
    pairs = y.reshape(*y.shape[:axis], -1, 2, *y.shape[axis + 1 :])
    moved = np.moveaxis(pairs, axis + 1, 2)
    return moved.reshape(len(x), -1, *moved.shape[3:])


def _join_axis(x: Floats, axis: int, n: int, wavelet: str) -> Floats:
    """The inverse of :func:`_split_axis`, to ``n`` samples."""
    pairs = np.moveaxis(x.reshape(len(x), -1, 2, *x.shape[2:]), 2, axis + 1)
    y = pairs.reshape(*pairs.shape[:axis], -1, *pairs.shape[axis + 2 :])
    y = y[(slice(None),) * axis + (slice(0, n),)]
    dtype = y.dtype.name
    return _apply(_rows(wavelet, n, True, dtype), _matrix(wavelet, n, True, dtype), y, axis)


def _apply(rows: Rows, matrix: Floats | None, x: Floats, axis: int) -> Floats:
    """Rows along an axis of ``x``."""
    last = x.swapaxes(axis, -1)
    if matrix is not None:
        y = last @ matrix
    else:
        y = np.zeros_like(last)
        for read, weight in zip(rows.read.T, rows.weights.T, strict=True):
            y += last[..., read] * weight
    return y.swapaxes(axis, -1)


def _apply_torch(rows: Rows, matrix: Floats | None, x: torch.Tensor) -> torch.Tensor:
    """Rows along the last axis of ``x``."""
    if matrix is not None:
        return x @ torch.from_numpy(matrix).to(x.device)
    read, weights = (torch.from_numpy(part).to(x.device) for part in rows)
    return (x[..., read] * weights).sum(-1)


@lru_cache(maxsize=256)
def _matrix(wavelet: str, n: int, inverse: bool, dtype: str = "float32") -> Floats | None:
    """:func:`_rows` as a matrix to multiply with from the right, ``[n, n]``; None for a long axis."""
    if n > LONGEST_MATRIX:
        return None
    rows = _rows(wavelet, n, inverse, dtype)
    matrix = np.zeros((n, n), dtype)
    np.add.at(matrix, (rows.read, np.arange(n)[:, None]), rows.weights)
    return matrix


@lru_cache(maxsize=256)
def _rows(wavelet: str, n: int, inverse: bool, dtype: str = "float32") -> Rows:
    """One level on n samples, low and high passes taking turns, or its inverse."""
    if n == 1:  # a single sample is its own low pass
        return Rows(np.zeros((1, 1), np.int64), np.ones((1, 1), dtype))
    even, odd = _taps(wavelet)[inverse]
    reach = len(even) // 2
    index = np.arange(n)[:, None] + np.arange(-reach, reach + 1)
    index = index % (2 * n - 2)
    index = np.where(index < n, index, 2 * n - 2 - index)
    weights = np.where(np.arange(n)[:, None] % 2, odd, even)
    return Rows(index, weights.astype(dtype))


@lru_cache(maxsize=16)
def _taps(wavelet: str) -> tuple[tuple[Taps, Taps], tuple[Taps, Taps]]:
    """Taps around an even and an odd position, of a level and of its inverse; each of odd length."""
    low, high = level_filters(wavelet)
    half = len(low) // 2
    # y[k] = sum_s h[s] x[2 k + L/2 - s]; a high pass k stands at 2 k + 1
    offsets = half - np.arange(len(low))
    wide = 2 * (half + 1) + 1
    even, odd = np.zeros(wide), np.zeros(wide)
    even[offsets + half + 1] = low
    odd[offsets - 1 + half + 1] = high
    matrix = np.zeros((MODEL, MODEL))
    for at in range(MODEL):  # wrapped: its middle does not feel the ends
        np.add.at(matrix[at], (at + np.arange(wide) - half - 1) % MODEL, odd if at % 2 else even)
    inverse: Taps = np.asarray(np.linalg.inv(matrix), np.float64)
    middle = MODEL // 2
    used = np.flatnonzero(np.abs(inverse[middle : middle + 2]).max(0) > SMALLEST_TAP * np.abs(inverse).max())
    reach = max(middle + 1 - used[0], used[-1] - middle)
    back: list[Taps] = [inverse[at, at - reach : at + reach + 1] for at in (middle, middle + 1)]
    return (even, odd), (back[0], back[1])
