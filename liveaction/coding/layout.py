"""What the entropy coder fixes for all tables: neighbours, predictors, classes, tokens.

Everything here is integers and follows from the number of axes D alone; docs/entropy.md says it in words.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import isqrt, prod

import numpy as np
from numpy.typing import NDArray

AXES = 4
"""Axes of latents that the coder knows at most."""
LARGEST = 1 << 24
"""Symbols are smaller than this in size."""
BEFORE, AFTER = 2, 1
"""Positions around a chunk, on every axis."""
SOURCES = 4
"""Preceding channels that a channel looks at."""
ONE = 64
"""A normalised magnitude of 1: |residual| equal to the mean of its channel in its chunk."""
CAP = 64 * ONE
"""Normalised magnitudes end here."""
WEIGHT_ONE = 1024
"""A weight of 1 in the sum that makes the activity."""
PREDICT_ONE = 256
"""A weight of 1 in a prediction."""
CLASSES = 78
"""Classes of a channel's mean |residual|, half an octave each; 0 is none at all, 26 is 1."""
CLASS_ONE = 26
LEVELS = 4
"""Levels of how far a prediction lies from the integer taken."""
SCALES = 128
"""Distributions of residuals, a quarter of an octave each; 40 is a mean of 1."""
SCALE_ONE = 40
BIN_ONE = 40
"""The quarter octave of a relative activity of 1."""
DIRECT = 32
"""Values coded as they are; larger ones as a token and raw bits."""
TOKENS = 116
ESCAPE = TOKENS
"""The token that stands for all that have no frequency in a table."""


@lru_cache
def neighbours(axes: int) -> tuple[tuple[int, ...], ...]:
    """Causal neighbours ``[F, D]``: the last position, the one before it, then all others.

    The others are the causal offsets of -1, 0 and 1 with at most two that are not 0, in lexicographic order, then -2
    along every axis but the last; of these, those within the last two axes stand first.
    """
    near = [t for t in product((-1, 0, 1), repeat=axes) if t < (0,) * axes and sum(map(abs, t)) <= 2]
    along = [tuple(-2 * (i == axis) for i in range(axes)) for axis in range(axes)]
    first = [tuple(-(i == axes - 1) for i in range(axes)), along[-1]]
    others = [t for t in near + along[:-1] if t not in first]
    return tuple(first + sorted(others, key=lambda t: any(t[:-2])))


@lru_cache
def fixed_predictors(axes: int) -> NDArray[np.int32]:
    """Weights ``[2 + D, F]`` beside the trained ones: none; the mean of the last along each axis; each of these."""
    offsets = neighbours(axes)
    weights = np.zeros((2 + axes, len(offsets)), np.int32)
    for axis in range(axes):
        column = offsets.index(tuple(-(i == axis) for i in range(axes)))
        weights[1, column] = (PREDICT_ONE * (axis + 1)) // axes - (PREDICT_ONE * axis) // axes
        weights[2 + axis, column] = PREDICT_ONE
    return weights


def modes(axes: int) -> int:
    """Predictors a channel of a chunk may take: 0 none, 1 trained, 2 the mean, 3 and on along one axis."""
    return 3 + axes


def half_octaves(steps: int, shift: int) -> int:
    """``floor(2**(steps / 2 + shift))``."""
    exponent = steps + 2 * shift
    return isqrt(1 << exponent) if exponent >= 0 else 0


@lru_cache
def class_scales() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Per class: the greatest |residual| looked at, its factor to a normalised magnitude, and the class's bound.

    ``n = min(|r|, limit) * factor >> 24``; a channel is in the first class whose bound exceeds ``sum |r| * 2**16 / N``.
    """
    k = range(CLASSES)
    limits = [half_octaves(i - CLASS_ONE, 6) + 1 for i in k]
    factors = [half_octaves(CLASS_ONE - i, 30) for i in k]
    bounds = [1] + [isqrt(isqrt(1 << (2 * (i - CLASS_ONE) + 1 + 64))) for i in k if i]
    return np.array(limits, np.int64), np.array(factors, np.int64), np.array(bounds, np.int64)


@lru_cache
def bins() -> NDArray[np.int32]:
    """Quarter octaves ``[4096]`` of v < 4096; those of a larger v are 24 more than those of v >> 6."""
    return np.array([_quarters(max(v, 1)) for v in range(4096)], np.int32)


def _quarters(v: int) -> int:
    e = v.bit_length() - 1
    return 4 * e + ((v << 2 >> e) & 3)


@dataclass(frozen=True)
class Plane:
    """Where the positions of a chunk ``c`` lie in a plane with a border, row after row along the last axis.

    Attributes:
        size: entries of the plane.
        starts: int64 ``[R]``, first position of each row.
        length: positions in a row.
        causal: int64 ``[F]``, distances of :func:`neighbours`.
        around: int64 ``[2 * D]``, distances of the next along every axis, both ways.
        rows: rows of a sheet, which is the last two axes.
        inner: how many of ``causal``, the first ones, lie in a position's sheet.
    """

    size: int
    starts: NDArray[np.int64]
    length: int
    causal: NDArray[np.int64]
    around: NDArray[np.int64]
    rows: int
    inner: int

    @property
    def parts(self) -> tuple[int, NDArray[np.int64], int, NDArray[np.int64], NDArray[np.int64], int, int]:
        """All of it, for the loops."""
        return self.size, self.starts, self.length, self.causal, self.around, self.rows, self.inner


@lru_cache(maxsize=64)
def plane(shape: tuple[int, ...]) -> Plane:
    """The plane of a chunk of ``shape``, channels left out."""
    axes = len(shape)
    wide = tuple(n + BEFORE + AFTER for n in shape)
    strides = [prod(wide[axis + 1 :]) for axis in range(axes)]
    starts = np.full((1,) * axes, 0, np.int64)
    for axis in range(axes - 1):
        steps = (np.arange(shape[axis], dtype=np.int64) + BEFORE) * strides[axis]
        starts = starts + steps.reshape((-1,) + (1,) * (axes - 1 - axis))
    causal = [sum(o * s for o, s in zip(offset, strides, strict=True)) for offset in neighbours(axes)]
    around = [sign * s for s in strides for sign in (-1, 1)]
    return Plane(
        size=prod(wide),
        starts=starts.reshape(-1) + BEFORE,
        length=shape[-1],
        causal=np.array(causal, np.int64),
        around=np.array(around, np.int64),
        rows=shape[-2] if axes > 1 else 1,
        inner=sum(not any(offset[:-2]) for offset in neighbours(axes)),
    )
