"""Rate-distortion optimised quantisation: latents to symbols, with their contexts, in one walk over a part.

The walk is that of ``trace_numba.trace``; where that reads a symbol, this one chooses it by what it costs there. An
encoder is free in it, so that floats may decide: what follows from the symbols is integers.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator, assignment, arg-type"

import numpy as np

from liveaction.coding.context_numba import (
    BORDER,
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
)
from liveaction.coding.layout import BORDER_BITS, CLASSES, DIRECT, ONE, TRAINED
from liveaction.coding.optimise import DEAD_ZONE
from liveaction.coding.rans_numba import _top_bit, class_row
from liveaction.coding.trace_numba import choose

HALF = np.float32(0.5)
SILENT = int(np.float32(0.5 + DEAD_ZONE).view(np.int32))
"""Bits of the float32 size from which on a latent leaves a symbol there; sizes order as their bits do."""
SIZE_BITS = np.int32(0x7FFFFFFF)
"""All bits of a float32 but its sign."""
TRIED = 4
"""Symbols that :func:`tried_for` has for a latent."""
NEAR_ZERO = 2
"""Zero is tried for symbols up to this size: from 3 on it would have to spare 50 bits."""


@compiled
def _value_cost(costs, row, value):
    if value < DIRECT:
        return costs[row, value]
    shift = _top_bit(value) - 2
    return costs[row, DIRECT + 4 * (shift - 3) + ((value >> shift) & 3)]


@compiled
def value_bits(contexts, coded, costs):
    """Bits of all values of a part."""
    bits = 0.0
    for x in range(len(coded)):
        bits += _value_cost(costs, np.uint64(contexts[x]), np.int64(coded[x]))
    return bits


@compiled
def _decide_plain(latents, row, sizes, at, active, near, scale, bins, costs, weight, contexts, coded):
    """Choose the symbols of a row that nothing is predicted of; their bits, and the squares they spare beside zeros."""
    n1, n2 = np.int64(sizes[at - 1]), np.int64(sizes[at - 2])
    a1, a2 = near[0], near[1]
    bits, spared = 0.0, 0.0
    for x in range(len(row)):
        context = row_of(active[x] + a1 * n1 + a2 * n2, 0, scale.shift, bins)
        contexts[x] = context
        n2 = n1
        u = abs(latents[x])
        if u < HALF:
            bits += costs[np.uint64(context), 0]
            row[x], coded[x], sizes[at + x], n1 = 0, 0, 0, 0
            continue
        nearest = np.int64(u + HALF)
        sign = np.int64(1) if latents[x] > 0 else np.int64(-1)
        s, gain, price, least = np.int64(0), 0.0, 0.0, np.inf
        for size in range(nearest, nearest - (3 if nearest == NEAR_ZERO else 2), -1):
            found = np.float64(_value_cost(costs, context, unsigned(size * sign)))
            more = size * (2 * np.float64(u) - size)
            if weight * found - more < least:
                s, gain, price, least = size * sign, more, found, weight * found - more
        bits += price
        spared += gain
        n1 = magnitude(s, scale)
        row[x], coded[x], sizes[at + x] = s, unsigned(s), n1
    return bits, spared


@compiled
def tried_for(which, nearest, whole):
    """A symbol to try for a latent: the nearest, the next towards its prediction, the next towards 0, and a near 0.

    The nearest again stands for none.
    """
    if which == 1:
        return nearest + np.sign(whole - nearest)
    if which == 2:
        return nearest - np.sign(nearest)
    if which == 3 and abs(nearest) <= NEAR_ZERO:
        return np.int64(0)
    return nearest


@compiled
def _decide_row(latents, row, values, sizes, at, prepared, active, weights, near, scale, bins, costs, weight, contexts,
                coded):  # fmt: skip
    """:func:`_decide_plain` with a prediction: the next symbol towards it is tried, too."""
    n1, n2 = np.int64(sizes[at - 1]), np.int64(sizes[at - 2])
    s1, s2 = np.int64(values[at - 1]), np.int64(values[at - 2])
    p1, p2, a1, a2 = weights[0], weights[1], near[0], near[1]
    bits, spared = 0.0, 0.0
    for x in range(len(row)):
        whole, sign, level = split(np.int64(np.int32(prepared[x] + p1 * s1 + p2 * s2)))
        context = row_of(active[x] + a1 * n1 + a2 * n2, level, scale.shift, bins)
        u = np.float64(latents[x])
        nearest = np.int64(np.rint(u))
        s, gain, price, least = nearest, 0.0, 0.0, np.inf
        for which in range(TRIED):
            tried = tried_for(which, nearest, whole)
            if which and tried == nearest:
                continue
            found = np.float64(_value_cost(costs, context, unsigned((tried - whole) * sign)))
            more = tried * (2 * u - tried)
            if weight * found - more < least:
                s, gain, price, least = tried, more, found, weight * found - more
        r = (s - whole) * sign
        bits += price
        spared += gain
        contexts[x], coded[x] = context, unsigned(r)
        n2, s2, s1 = n1, s1, s
        n1 = magnitude(r, scale)
        row[x], sizes[at + x], values[at + x] = s, n1, s
    return bits, spared


@compiled
def peak(bits):
    """The largest size among latents, as the bits of a float32 ``[N]``; integers, for a loop of floats is slower.

    Of what is no number the bits are above those of all numbers.
    """
    most = np.int32(0)
    for x in range(len(bits)):
        most = max(most, bits[x] & SIZE_BITS)
    return most


@compiled
def _plain_symbols(latents, row):
    """Dead-zone symbols of a channel; the sum of their sizes."""
    total = 0
    for x in range(len(row)):
        u = latents[x]
        size = np.int32(max(abs(u) + np.float32(0.5 - DEAD_ZONE), np.float32(0)))
        row[x] = size if u > 0 else -size
        total += np.int64(size)
    return total


@compiled
def _head_bits(costs, row, c, k, mode, base):
    """What class, mode and border value of a channel cost beside those of an empty one."""
    bits = costs.classes[row, k] + costs.modes[c, 1, mode] - costs.classes[row, 0] - costs.modes[c, 0, 0]
    return bits + BORDER_BITS + _top_bit(unsigned(base)) if mode else np.float64(bits)


@compiled
def optimise(latents, symbols, plane, tables, scales, bins, offsets, costs, weight, near_rows, heads, contexts, coded):
    """Choose ``symbols`` ``[L, N]`` of a part for ``latents``, float32 in units of the step; trace them.

    The other arguments are those of ``trace_numba.trace``.

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
        row = symbols[c]
        classes[c], taken[c], bases[c], empty[first + c] = 0, 0, 0, True
        if peak(latents[c].view(np.int32)) < SILENT:
            row[:] = 0
            continue
        predictors[TRAINED] = tables.trained[c]
        mode, base, total = np.int64(0), np.int64(0), np.int64(0)
        if predictors[TRAINED].any():
            for x in range(count):
                row[x] = np.int32(np.rint(latents[c, x]))
            mode, base, total = choose(row, values, plane, predictors, whole)
        if mode == 0:
            total = _plain_symbols(latents[c], row)
        k = class_of(total, count, scales.bounds)
        if k == 0:
            taken[c], bases[c] = mode, base
            continue
        weights, near = predictors[mode], activity[c]
        from_channels(near[len(plane.causal) :], tables.sources[c], alone, around, empty, len(plane.around), active)
        sizes[:] = ONE
        if mode:
            values[:] = base
        scale, begin, bits, spared = scale_of(scales, k), done, 0.0, 0.0
        for r in range(len(starts)):
            at, to, end = starts[r], r * length, done + length
            prepare(sizes, at, r, plane, near, outer[1], active[to : to + length])
            if mode:
                sums[:] = 0
                prepare(values, at, r, plane, weights, outer[0], sums)
                more, less = _decide_row(latents[c, to : to + length], row[to : to + length], values, sizes, at, sums,
                                         active[to : to + length], weights, near, scale, bins, costs.residuals, weight,
                                         contexts[done:end], coded[done:end])  # fmt: skip
            else:
                more, less = _decide_plain(latents[c, to : to + length], row[to : to + length], sizes, at,
                                           active[to : to + length], near, scale, bins, costs.residuals, weight,
                                           contexts[done:end], coded[done:end])  # fmt: skip
            bits, spared, done = bits + more, spared + less, end
        before = class_row(np.int64(classes[c - 1]) if c else CLASSES, offsets[c])
        if spared <= weight * (bits + _head_bits(costs, before, c, k, mode, base)):
            row[:] = 0
            done = begin
            continue
        classes[c], taken[c], bases[c], empty[first + c] = k, mode, base, False
        keep(sizes, plane, alone[first + c], around[first + c])
    return done
