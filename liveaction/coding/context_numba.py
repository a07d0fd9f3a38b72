"""Contexts of the entropy coder: what the symbols of a chunk are coded by; integers only, compiled by Numba.

A row is prepared by :func:`prepare` in both directions, then walked along. docs/entropy.md says the same in words.
What encoder and decoder must do alike stands here once, in functions that both call: a decoder that differs in a single
bit reads another table and loses the rest of its chunk. Arrays are the chunk's planes, with a border, unless they have
a shape.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator, assignment, arg-type"

from typing import NamedTuple

import numba
import numpy as np

from liveaction.coding.layout import (
    AFTER,
    BEFORE,
    BIN_ONE,
    BINS,
    CAP,
    CLASS_BINS,
    CLASS_ONE,
    FACTOR_BITS,
    FOLD,
    FOLD_BINS,
    LEVEL_BITS,
    LEVELS,
    MEAN_BITS,
    MOST_ACTIVE,
    ONE,
    ONE_BITS,
    PREDICT_BITS,
    PREDICT_ONE,
    SCALE_ONE,
    SCALES,
)

# Numba's caches name the classes of named tuples by their modules, and are read before their age is looked at: Plane,
# ClassScales, ChannelScale, Contexts, Costs, Magnitudes, Mixing and Sums keep names and modules, or caches of before
# raise AttributeError.
compiled = numba.njit(nogil=True, cache=True, error_model="numpy")

BORDER = BEFORE + AFTER


class ChannelScale(NamedTuple):
    """Of a channel's class: ``limit`` and ``factor`` make residuals magnitudes, ``shift`` makes bins scales."""

    limit: int
    factor: int
    shift: int


@compiled
def scale_of(scales, k):
    """The :class:`ChannelScale` of class k."""
    return ChannelScale(scales.limits[k], scales.factors[k], CLASS_BINS * (k - CLASS_ONE) + SCALE_ONE - BIN_ONE)


@compiled
def add(source, at, distances, weights, first, last, sums):
    """``sums[x] += sum_j weights[j] source[at + distances[j] + x]`` over first <= j < last, modulo 2**32."""
    # four at a time, so that sums is read and written a fourth as often
    length = len(sums)
    j = first
    while j + 4 <= last:
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        s0 = source[at + distances[j] : at + distances[j] + length]
        s1 = source[at + distances[j + 1] : at + distances[j + 1] + length]
        s2 = source[at + distances[j + 2] : at + distances[j + 2] + length]
        s3 = source[at + distances[j + 3] : at + distances[j + 3] + length]
        for x in range(length):
            sums[x] = np.int32(sums[x] + w0 * s0[x] + w1 * s1[x] + w2 * s2[x] + w3 * s3[x])
        j += 4
    while j < last:
        w, s = weights[j], source[at + distances[j] : at + distances[j] + length]
        for x in range(length):
            sums[x] = np.int32(sums[x] + w * s[x])
        j += 1


@compiled
def prepare(source, at, row, plane, weights, outer, sums):
    """Add to ``sums`` what the causal neighbours of row number ``row`` but the last two on it give.

    Those two, neighbours 0 and 1, are known only while the row is walked along, and are added there. ``outer`` holds
    what those outside the row's sheet, the last two axes, give to the whole sheet.
    """
    length, causal, inner = plane.length, plane.causal, plane.inner
    begin = (row % plane.rows) * (length + BORDER)
    if inner < len(causal):
        if begin == 0:
            outer[:] = 0
            add(source, at, causal, weights, inner, len(causal), outer)
        part = outer[begin : begin + length]
        for x in range(length):
            sums[x] += part[x]
    add(source, at, causal, weights, 2, inner, sums)


@compiled
def from_channels(activity, sources, alone, around, empty, ring, sums):
    """Start ``sums`` ``[N]`` with the constant and what the preceding channels add.

    ``activity`` holds the weights of 1 and, of each source, at the position and around it; a source that is not there,
    or is empty, has magnitude 1 everywhere. ``ring`` is how many positions are next to one.
    """
    constant = activity[0] * ONE
    for k in range(len(sources)):
        j = sources[k]
        if j < 0 or empty[j]:
            constant += activity[1 + 2 * k] * ONE + activity[2 + 2 * k] * ONE * ring
    sums[:] = constant
    for k in range(len(sources)):
        j = sources[k]
        if j >= 0 and not empty[j]:
            w0, w1, a, b = activity[1 + 2 * k], activity[2 + 2 * k], alone[j], around[j]
            for i in range(len(sums)):
                sums[i] = np.int32(sums[i] + w0 * a[i] + w1 * b[i])


@compiled
def keep(sizes, plane, alone, around):
    """Normalised magnitudes of a channel that is done, ``[N]``: by themselves, and of all next to a position."""
    starts, length, ring = plane.starts, plane.length, plane.around
    for r in range(len(starts)):
        at, a, b = starts[r], alone[r * length : (r + 1) * length], around[r * length : (r + 1) * length]
        own = sizes[at : at + length]
        d0, d1 = sizes[at + ring[0] : at + ring[0] + length], sizes[at + ring[1] : at + ring[1] + length]
        for x in range(length):
            a[x] = own[x]
            b[x] = d0[x] + d1[x]
        for i in range(2, len(ring), 2):
            d0, d1 = sizes[at + ring[i] : at + ring[i] + length], sizes[at + ring[i + 1] : at + ring[i + 1] + length]
            for x in range(length):
                b[x] += d0[x] + d1[x]


@compiled
def whole_of(p):
    """The integer next to a prediction in 256ths."""
    return (p + PREDICT_ONE // 2) >> PREDICT_BITS


@compiled
def split(p):
    """Prediction in 256ths to integer, sign and level of the rest: symbols on the rest's side are likelier."""
    whole = whole_of(p)
    rest = p - (whole << PREDICT_BITS)
    sign = 1
    if rest < 0:
        sign, rest = -1, -rest
    return whole, sign, min(rest >> LEVEL_BITS, LEVELS - 1)


@compiled
def row_of(active, level, shift, bins):
    """The row of residual frequencies by activity, in ``ONE * WEIGHT_ONE``, and level."""
    v = min(max(active >> ONE_BITS, 1), MOST_ACTIVE)
    b = bins[np.uint64(v)] if v < BINS else bins[np.uint64(v >> FOLD)] + FOLD_BINS
    return min(max(b + shift, 0), SCALES - 1) * LEVELS + level


@compiled
def magnitude(r, scale):
    """Normalised magnitude of a residual."""
    return min(min(abs(r), scale.limit) * scale.factor >> FACTOR_BITS, CAP)


@compiled
def unsigned(r):
    """0, 1, -1, 2, -2 to 0, 1, 2, 3, 4."""
    return 2 * r - 1 if r > 0 else -2 * r


@compiled
def signed(value):
    """Inverse of :func:`unsigned`."""
    return (value + 1) >> 1 if value & 1 else -(value >> 1)


@compiled
def class_of(total, count, bounds):
    """The class of a channel of ``count`` residuals by their sum of sizes."""
    mean, k = (total << MEAN_BITS) // count, np.int64(total > 0)
    while 0 < k < len(bounds) - 1 and mean >= bounds[k]:
        k += 1
    return k


@compiled
def spread(coarse, outer, index, fine):
    """Fill the first rows of ``fine`` with those of ``coarse`` from ``outer`` on, each at ``index`` ``[N]``."""
    for j in range(outer, len(coarse.empty)):
        fine.empty[j - outer] = coarse.empty[j]
        if not coarse.empty[j]:
            a, b, a0, b0 = fine.alone[j - outer], fine.around[j - outer], coarse.alone[j], coarse.around[j]
            for x in range(len(index)):
                i = np.uint64(index[x])
                a[x], b[x] = a0[i], b0[i]
