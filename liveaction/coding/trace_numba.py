"""What an encoder finds: predictor, class and border value of each channel, contexts and values of its symbols."""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator, assignment, arg-type"

import numpy as np

from liveaction.coding.context_numba import (
    BORDER,
    add,
    class_of,
    compiled,
    from_channels,
    keep,
    magnitude,
    prepare,
    row_of,
    scale_of,
    split,
    unsigned,
    whole_of,
)
from liveaction.coding.layout import ONE, TRAINED

SPARED, SPARED_SHIFT = 16, 6
"""What a predictor must spare to be taken: 16 and a 64th of its sum of |residual|, for its own cost.

16 is for the entry of the mode and the border value, some 15 bits, where a unit of |residual| costs about one: on CT
chunks of 216 positions 0 gives 2 % more bits, 64 gives 19 % more. The 64th keeps predictors that are hardly better from
being taken; by trial, from none to a 16th within 0.13 %."""


@compiled
def size_of(symbols):
    """Sum of the sizes of symbols."""
    total = 0
    for s in symbols:
        total += abs(np.int64(s))
    return total


@compiled
def _residuals(values, plane, weights, sums):
    """Sum of |residual| of a channel under a predictor; ``values`` holds the symbols and the border."""
    starts, length, causal = plane.starts, plane.length, plane.causal
    used = weights != 0
    first, last = starts[0], starts[-1] + length
    flat = sums[first:last]
    flat[:] = 0
    add(values, first, causal[used], weights[used], 0, used.sum(), flat)
    total = 0
    for at in starts:
        own, predicted = values[at : at + length], sums[at : at + length]
        for x in range(length):
            total += abs(np.int64(own[x]) - whole_of(np.int64(predicted[x])))
    return total


@compiled
def choose(symbols, values, plane, predictors, sums):
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
def _trace_row(row, values, sizes, at, prepared, active, weights, near, scale, bins, contexts, coded):
    """Contexts and values of a row; ``values`` and ``sizes`` are the planes, filled up as the decoder will.

    Must stay equal to ``decode_numba._decode_row`` but for where the residual comes from: there from the words, here
    from the symbol.
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
            mode, base, total = choose(symbols[c], values, plane, predictors, whole)
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
