"""Contexts of the entropy coder: what the symbols of a chunk are coded by; integers only, compiled by Numba.

A row is prepared by :func:`_prepare` in both directions, then walked along. docs/entropy.md says the same in words.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator, assignment, arg-type"

import numba
import numpy as np

from liveaction.coding.layout import (
    AFTER,
    BEFORE,
    BIN_ONE,
    CAP,
    CLASS_ONE,
    LEVELS,
    ONE,
    SCALE_ONE,
    SCALES,
)

_compiled = numba.njit(nogil=True, cache=True, error_model="numpy")

BORDER = BEFORE + AFTER
MOST_ACTIVE = (1 << 18) - 1


@_compiled
def _add(source, at, distances, weights, first, last, sums):
    """``sums[x] += sum_j weights[j] source[at + distances[j] + x]`` over first <= j < last, modulo 2**32."""
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


@_compiled
def _prepare(source, at, row, plane, weights, outer, sums):
    """Add to ``sums`` what the causal neighbours of row number ``row`` but the last two on it give.

    ``outer`` holds what those outside the row's sheet, the last two axes, give to the whole sheet.
    """
    _, _, length, causal, _, rows, inner = plane
    begin = (row % rows) * (length + BORDER)
    if inner < len(causal):
        if begin == 0:
            outer[:] = 0
            _add(source, at, causal, weights, inner, len(causal), outer)
        part = outer[begin : begin + length]
        for x in range(length):
            sums[x] += part[x]
    _add(source, at, causal, weights, 2, inner, sums)


@_compiled
def _from_channels(activity, sources, alone, around, empty, ring, sums):
    """Start ``sums`` ``[N]`` with the constant and what the preceding channels add; ``activity`` their weights."""
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


@_compiled
def _keep(sizes, plane, alone, around):
    """Normalised magnitudes of a channel that is done, ``[N]``: by themselves, and of all next to a position."""
    _, starts, length, _, ring, _, _ = plane
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


@_compiled
def _level(p):
    """Prediction in 256ths to integer, sign and level of the rest."""
    q = (p + 128) >> 8
    rest = p - (q << 8)
    sign = 1
    if rest < 0:
        sign, rest = -1, -rest
    return q, sign, min(rest >> 5, LEVELS - 1)


@_compiled
def _trace_row(row, values, sizes, at, predicted, active, weights, near, scale, bins, contexts, coded):
    """Contexts and values of a row; ``values`` and ``sizes`` are the planes, filled up as the decoder will."""
    limit, factor, shift = scale
    n1, n2 = np.int64(sizes[at - 1]), np.int64(sizes[at - 2])
    s1, s2 = np.int64(values[at - 1]), np.int64(values[at - 2])
    p1, p2, a1, a2 = weights[0], weights[1], near[0], near[1]
    for x in range(len(row)):
        q, sign, level = _level(np.int64(np.int32(predicted[x] + p1 * s1 + p2 * s2)))
        v = min(max((active[x] + a1 * n1 + a2 * n2) >> 6, 1), MOST_ACTIVE)
        b = bins[np.uint64(v)] if v < 4096 else bins[np.uint64(v >> 6)] + 24
        contexts[x] = min(max(b + shift, 0), SCALES - 1) * LEVELS + level
        s = np.int64(row[x])
        r = (s - q) * sign
        coded[x] = 2 * r - 1 if r > 0 else -2 * r
        n2, s2, s1 = n1, s1, s
        n1 = min(min(abs(r), limit) * factor >> 24, CAP)
        sizes[at + x], values[at + x] = n1, s


@_compiled
def _residuals(values, plane, weights, sums):
    """Sum of |residual| of a channel under a predictor; ``values`` holds the symbols and the border."""
    _, starts, length, causal, _, _, _ = plane
    used = weights != 0
    first, last = starts[0], starts[-1] + length
    flat = sums[first:last]
    flat[:] = 0
    _add(values, first, causal[used], weights[used], 0, used.sum(), flat)
    total = 0
    for at in starts:
        own, predicted = values[at : at + length], sums[at : at + length]
        for x in range(length):
            total += abs(np.int64(own[x]) - ((np.int64(predicted[x]) + 128) >> 8))
    return total


@_compiled
def _choose(symbols, values, plane, predictors, sums):
    """Predictor, border value and sum of |residual| of a channel: another than none must spare a 64th and 16."""
    least, total = 0, 0
    for s in symbols:
        least += abs(np.int64(s))
        total += s
    if least == 0:
        return 0, 0, 0
    _, starts, length, _, _, _, _ = plane
    best, charged, base = 0, least, (2 * total + len(symbols)) // (2 * len(symbols))
    values[:] = base
    for r in range(len(starts)):
        values[starts[r] : starts[r] + length] = symbols[r * length : (r + 1) * length]
    for mode in range(1, len(predictors)):
        found = _residuals(values, plane, predictors[mode], sums)
        if found + (found >> 6) + 16 < charged:
            best, least, charged = mode, found, found + (found >> 6) + 16
    return best, base if best else 0, least


@_compiled
def trace(symbols, plane, tables, scales, bins, classes, taken, bases, contexts, coded):
    """Contexts and values of the symbols ``[L, N]`` of a chunk, with each channel's class, predictor and border value.

    Returns:
        how many of ``contexts`` and ``coded`` were written; channels of class 0 have none.
    """
    size, starts, length, causal, ring, rows, _ = plane
    predictors, activity, sources = tables[0].copy(), tables[2], tables[3]
    limits, factors, bounds = scales
    channels, count = symbols.shape
    values, sizes = np.zeros(size, np.int32), np.zeros(size, np.int32)
    alone, around = np.zeros((channels, count), np.uint16), np.zeros((channels, count), np.uint16)
    active, sums, whole = np.zeros(count, np.int32), np.zeros(length, np.int32), np.zeros(size, np.int32)
    outer = np.zeros((2, (rows - 1) * (length + BORDER) + length), np.int32)
    empty = np.zeros(channels, np.bool_)
    done = 0
    for c in range(channels):
        predictors[1] = tables[1][c]
        mode, base, total = _choose(symbols[c], values, plane, predictors, whole)
        mean, k = (total << 16) // count, np.int64(total > 0)
        while 0 < k < len(bounds) - 1 and mean >= bounds[k]:
            k += 1
        classes[c], taken[c], bases[c], empty[c] = k, mode, base, k == 0
        if k == 0:
            continue
        weights, near = predictors[mode], activity[c]
        _from_channels(near[len(causal) :], sources[c], alone, around, empty, len(ring), active)
        values[:] = base
        sizes[:] = ONE
        sums[:] = 0
        scale = (limits[k], factors[k], 2 * (k - CLASS_ONE) + SCALE_ONE - BIN_ONE)
        for r in range(len(starts)):
            at, to, end = starts[r], r * length, done + length
            if mode:
                sums[:] = 0
                _prepare(values, at, r, plane, weights, outer[0], sums)
            _prepare(sizes, at, r, plane, near, outer[1], active[to : to + length])
            _trace_row(symbols[c, to : to + length], values, sizes, at, sums, active[to : to + length], weights, near,
                       scale, bins, contexts[done:end], coded[done:end])  # fmt: skip
            done = end
        _keep(sizes, plane, alone[c], around[c])
    return done
