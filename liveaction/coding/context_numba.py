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
    TRAINED,
)

# Numba's caches name the classes of named tuples by their modules, and are read before their age is looked at: Plane,
# ClassScales, ChannelScale, Contexts, Costs, Magnitudes and Sums keep names and modules, or caches of before raise
# AttributeError.
compiled = numba.njit(nogil=True, cache=True, error_model="numpy")

BORDER = BEFORE + AFTER
SPARED, SPARED_SHIFT = 16, 6
"""What a predictor must spare to be taken: 16 and a 64th of its sum of |residual|, for its own cost.

16 is for the entry of the mode and the border value, some 15 bits, where a unit of |residual| costs about one: on CT
chunks of 216 positions 0 gives 2 % more bits, 64 gives 19 % more. The 64th keeps predictors that are hardly better from
being taken; by trial, from none to a 16th within 0.13 %."""


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
def _add(source, at, distances, weights, first, last, sums):
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
            _add(source, at, causal, weights, inner, len(causal), outer)
        part = outer[begin : begin + length]
        for x in range(length):
            sums[x] += part[x]
    _add(source, at, causal, weights, 2, inner, sums)


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
def _trace_row(row, values, sizes, at, prepared, active, weights, near, scale, bins, contexts, coded):
    """Contexts and values of a row; ``values`` and ``sizes`` are the planes, filled up as the decoder will.

    Must stay equal to ``rans_numba._decode_row`` but for where the residual comes from: there from the words, here from
    the symbol.
    """
    n1, n2 = np.int64(sizes[at - 1]), np.int64(sizes[at - 2])
    s1, s2 = np.int64(values[at - 1]), np.int64(values[at - 2])
    p1, p2, a1, a2 = weights[0], weights[1], near[0], near[1]
    for x in range(len(row)):
        whole, sign, level = split(np.int64(np.int32(prepared[x] + p1 * s1 + p2 * s2)))
        contexts[x] = row_of(active[x] + a1 * n1 + a2 * n2, level, scale.shift, bins)
        s = np.int64(row[x])
        r = (s - whole) * sign
        coded[x] = unsigned(r)
        n2, s2, s1 = n1, s1, s
        n1 = magnitude(r, scale)
        sizes[at + x], values[at + x] = n1, s


@compiled
def _residuals(values, plane, weights, sums):
    """Sum of |residual| of a channel under a predictor; ``values`` holds the symbols and the border."""
    starts, length, causal = plane.starts, plane.length, plane.causal
    used = weights != 0
    first, last = starts[0], starts[-1] + length
    flat = sums[first:last]
    flat[:] = 0
    _add(values, first, causal[used], weights[used], 0, used.sum(), flat)
    total = 0
    for at in starts:
        own, predicted = values[at : at + length], sums[at : at + length]
        for x in range(length):
            total += abs(np.int64(own[x]) - whole_of(np.int64(predicted[x])))
    return total


@compiled
def _choose(symbols, values, plane, predictors, sums):
    """Predictor, border value and sum of |residual| of a channel: another than none must spare a 64th and 16."""
    least, total = size_of(symbols), 0
    if least == 0:
        return 0, 0, 0
    for s in symbols:
        total += s
    starts, length = plane.starts, plane.length
    best, charged, base = 0, least, (2 * total + len(symbols)) // (2 * len(symbols))
    values[:] = base
    for r in range(len(starts)):
        values[starts[r] : starts[r] + length] = symbols[r * length : (r + 1) * length]
    for mode in range(1, len(predictors)):
        found = _residuals(values, plane, predictors[mode], sums)
        dearer = found + (found >> SPARED_SHIFT) + SPARED
        if dearer < charged:
            best, least, charged = mode, found, dearer
    return best, base if best else 0, least


@compiled
def class_of(total, count, bounds):
    """The class of a channel of ``count`` residuals by their sum of sizes."""
    mean, k = (total << MEAN_BITS) // count, np.int64(total > 0)
    while 0 < k < len(bounds) - 1 and mean >= bounds[k]:
        k += 1
    return k


@compiled
def size_of(symbols):
    """Sum of the sizes of symbols."""
    total = 0
    for s in symbols:
        total += abs(np.int64(s))
    return total


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


@compiled
def trace(symbols, plane, tables, scales, bins, near_rows, heads, contexts, coded):
    """Contexts and values of the symbols ``[L, N]`` of a part, with each channel's class, predictor and border value.

    ``near_rows`` are the :class:`~liveaction.coding.layout.Magnitudes`, of which the coarser part's are there.

    Returns:
        how many of ``contexts`` and ``coded`` were written; channels of class 0 have none.
    """
    alone, around, empty = near_rows
    classes, taken, bases = heads
    starts, length = plane.starts, plane.length
    predictors, activity = tables.predictors.copy(), tables.activity
    channels, count = symbols.shape
    first = len(empty) - channels
    values, sizes = np.zeros(plane.size, np.int32), np.zeros(plane.size, np.int32)
    active, sums, whole = np.zeros(count, np.int32), np.zeros(length, np.int32), np.zeros(plane.size, np.int32)
    outer = np.zeros((2, (plane.rows - 1) * (length + BORDER) + length), np.int32)
    done = 0
    for c in range(channels):
        predictors[TRAINED] = tables.trained[c]
        if predictors[TRAINED].any():
            mode, base, total = _choose(symbols[c], values, plane, predictors, whole)
        else:
            mode, base, total = 0, 0, size_of(symbols[c])
        k = class_of(total, count, scales.bounds)
        classes[c], taken[c], bases[c], empty[first + c] = k, mode, base, k == 0
        if k == 0:
            continue
        weights, near = predictors[mode], activity[c]
        from_channels(near[len(plane.causal) :], tables.sources[c], alone, around, empty, len(plane.around), active)
        values[:] = base
        sizes[:] = ONE
        sums[:] = 0
        scale = scale_of(scales, k)
        for r in range(len(starts)):
            at, to, end = starts[r], r * length, done + length
            if mode:
                sums[:] = 0
                prepare(values, at, r, plane, weights, outer[0], sums)
            prepare(sizes, at, r, plane, near, outer[1], active[to : to + length])
            _trace_row(symbols[c, to : to + length], values, sizes, at, sums, active[to : to + length], weights, near,
                       scale, bins, contexts[done:end], coded[done:end])  # fmt: skip
            done = end
        keep(sizes, plane, alone[first + c], around[first + c])
    return done
