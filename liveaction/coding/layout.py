"""What the entropy coder fixes for all tables: neighbours, predictors, classes, tokens.

Everything here is integers and follows from the number of axes D alone; docs/entropy.md says it in words.
"""

from functools import lru_cache
from itertools import product
from math import isqrt, prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

AXES = 4
"""Axes of latents that the coder knows at most."""
LARGEST = 1 << 24
"""Symbols are smaller than this in size."""
BEFORE, AFTER = 2, 1
"""Positions around a chunk, on every axis: as far as :func:`neighbours` and the next along an axis reach."""
SOURCES = 4
"""Preceding channels that a channel looks at."""
ONE_BITS = 6
ONE = 1 << ONE_BITS
"""A normalised magnitude of 1: |residual| equal to the mean of its channel in its chunk."""
CAP_OCTAVES = 6
CAP = ONE << CAP_OCTAVES
"""Normalised magnitudes end here: the weighted sum of four axes' neighbours and sources stays within 32 bits, and the
sum of those next to a position within 16."""
WEIGHT_ONE = 1024
"""A weight of 1 in the sum that makes the activity; as ONE is shifted out of the sum, also a relative activity of 1."""
PREDICT_BITS = 8
PREDICT_ONE = 1 << PREDICT_BITS
"""A weight of 1 in a prediction."""
CLASSES = 78
"""Classes of a channel's mean |residual|, half an octave each; 0 is none at all, :data:`CLASS_ONE` is 1.

Class 2 is 2**-12, a single 1 in a usual chunk of 4096 positions, and class 1 all that is less. Class 77 is 2**25.5,
more than a residual can be: symbols below 2**24 and predictions of at most 2**23 lie less than 2**24.6 apart.
"""
CLASS_ONE = 26
CLASS_BINS = 2
"""Quarter octaves in the half octave of a class."""
LEVELS = 4
"""Levels of how far a prediction lies from the integer taken, each an eighth; half an integer is the most."""
LEVEL_BITS = 5
"""An eighth of :data:`PREDICT_ONE` is ``1 << LEVEL_BITS``."""
SCALES = 128
"""Distributions of residuals, a quarter of an octave each, from a mean of 2**-10 on; SCALE_ONE is a mean of 1."""
SCALE_ONE = 40
BIN_ONE = 40
"""The quarter octave of a relative activity of 1: four times the binary logarithm of :data:`WEIGHT_ONE`."""
BINS = 4096
"""Entries of :func:`bins`; 16 KiB stay in the first cache."""
FOLD, FOLD_BINS = 6, 24
"""From BINS on an activity is shifted right by FOLD first, which takes FOLD_BINS = 4 * FOLD quarter octaves away."""
MOST_ACTIVE = (BINS << FOLD) - 1
"""Activities end where one fold no longer leads into :func:`bins`, at 256 times the channel's mean."""
DIRECT = 32
"""Values coded as they are; larger ones as a token and raw bits."""
TOKENS = 116
"""32 direct values, then four an octave for values of 6 to 26 bits: twice the largest residual has 26."""
ESCAPE = TOKENS
"""The token that stands for all that have no frequency in a table."""
ESCAPE_BITS = 7
"""Raw bits of a token behind :data:`ESCAPE`: enough for TOKENS."""
BORDER_BITS = 5
"""Raw bits that say how many bits a border value has: at most 25, as it is twice a symbol."""
MOST_BORDER = 25
STATE_BOTTOM = 1 << 24
"""The least state of the entropy coder, where an encoder begins and a decoder ends."""


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


TRAINED = 1
"""The mode of the predictor in the tables."""


def modes(axes: int) -> int:
    """Predictors a channel of a chunk may take: 0 none, 1 trained, 2 the mean, 3 and on along one axis."""
    return 3 + axes


def half_octaves(steps: int, shift: int) -> int:
    """``floor(2**(steps / 2 + shift))``."""
    exponent = steps + 2 * shift
    return isqrt(1 << exponent) if exponent >= 0 else 0


FACTOR_BITS = 24
"""Fraction of a factor to normalised magnitudes: the least, of class 77, still has five bits."""
MEAN_BITS = 16
"""Fraction of a mean |residual|: a single 1 in the largest chunk, of 2**14 positions, is not 0."""


class ClassScales(NamedTuple):
    """Per class, int64 ``[CLASSES]``.

    Attributes:
        limits: the greatest |residual| looked at.
        factors: its factor to a normalised magnitude, ``min(|r|, limit) * factor >> FACTOR_BITS``, at most CAP.
        bounds: a channel is in the first class whose bound exceeds ``sum |r| * 2**MEAN_BITS / N``.
    """

    limits: NDArray[np.int64]
    factors: NDArray[np.int64]
    bounds: NDArray[np.int64]


@lru_cache
def class_scales() -> ClassScales:
    """Those of :class:`ClassScales`, for all classes."""
    k = range(CLASSES)
    # from CAP // ONE means on all is CAP; larger residuals times their factors would leave 64 bits
    limits = [half_octaves(i - CLASS_ONE, CAP_OCTAVES) + 1 for i in k]
    factors = [half_octaves(CLASS_ONE - i, ONE_BITS + FACTOR_BITS) for i in k]
    # a quarter of an octave above the class's own mean, which is halfway to the next class
    bounds = [1] + [isqrt(isqrt(1 << (2 * (i - CLASS_ONE) + 1 + 4 * MEAN_BITS))) for i in k if i]
    return ClassScales(np.array(limits, np.int64), np.array(factors, np.int64), np.array(bounds, np.int64))


@lru_cache
def bins() -> NDArray[np.int32]:
    """Quarter octaves ``[BINS]`` of v < BINS; those of a larger v are FOLD_BINS more than those of v >> FOLD."""
    return np.array([_quarters(max(v, 1)) for v in range(BINS)], np.int32)


def _quarters(v: int) -> int:
    e = v.bit_length() - 1
    return 4 * e + ((v << 2 >> e) & 3)


class Plane(NamedTuple):
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


class Magnitudes(NamedTuple):
    """Normalised magnitudes of residuals that a part may look at: M rows of the coarser part, then its own L.

    Attributes:
        alone: uint16 ``[M + L, N]``, at each position; of an empty row, whatever was there.
        around: uint16 ``[M + L, N]``, the sum of all next to it, likewise.
        empty: bool ``[M + L]``, rows of class 0 and those that are not done: their magnitudes are 1 everywhere.
    """

    alone: NDArray[np.uint16]
    around: NDArray[np.uint16]
    empty: NDArray[np.bool_]


@lru_cache(maxsize=64)
def raised(coarse: tuple[int, ...], fine: tuple[int, ...]) -> NDArray[np.int64]:
    """The position of a part ``coarse`` that each of the next part ``fine`` lies in, int64 ``[N]``.

    Half the index on an axis that grew, at most the last; the same index on the others.
    """
    axes = [np.minimum(np.arange(n) >> (n > m), m - 1) for m, n in zip(coarse, fine, strict=True)]
    return np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), coarse).reshape(-1).astype(np.int64)
