"""The decoder of a part of a chunk: state and words to symbols; integers only."""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator, assignment, arg-type"

import numpy as np

from liveaction.coding.context_numba import (
    BORDER,
    compiled,
    from_channels,
    keep,
    magnitude,
    prepare,
    row_of,
    scale_of,
    signed,
    split,
    whole_of,
)
from liveaction.coding.layout import (
    BORDER_BITS,
    CLASSES,
    DIRECT,
    ESCAPE,
    ESCAPE_BITS,
    LARGEST,
    MOST_BORDER,
    ONE,
    STATE_BOTTOM,
    TOKENS,
    TRAINED,
)
from liveaction.coding.rans_numba import MASK, WORD, class_row, get, get_bits

GOOD, SHORT, TOO_LARGE, NO_TOKEN = 0, 1, 2, 3
"""What :func:`decode` found."""
FIRST_BITS = 8
"""The upper bits of a slot by which the first token that it may have is looked up."""


@compiled
def _rest_of_value(x, words, at, token):
    """A value from its token, :data:`ESCAPE` included; -1 for a token that does not exist."""
    if token == ESCAPE:
        x, at, token = get_bits(x, words, at, ESCAPE_BITS)
        if token >= TOKENS:
            return x, at, -1
    if token < DIRECT:
        return x, at, token
    bits = 3 + (token - DIRECT) // 4
    x, at, low = get_bits(x, words, at, bits)
    return x, at, (4 + ((token - DIRECT) & 3)) << bits | low


@compiled
def _heads(x, words, at, offsets, class_sums, mode_sums, classes, taken, bases):
    """Class, predictor and border value of every channel."""
    before = CLASSES
    for c in range(len(classes)):
        x, at, before = get(x, words, at, class_sums[class_row(before, offsets[c])])
        x, at, taken[c] = get(x, words, at, mode_sums[c, np.int64(before > 0)])
        classes[c] = before
        if taken[c]:
            x, at, bits = get_bits(x, words, at, BORDER_BITS)
            value = np.int64(bits > 0)
            if bits > MOST_BORDER:
                return x, at, TOO_LARGE
            if bits > 1:
                x, at, low = get_bits(x, words, at, bits - 1)
                value = 1 << (bits - 1) | low
            bases[c] = signed(value)
    return x, at, SHORT if at > len(words) else GOOD


@compiled
def _decode_row(row, values, sizes, start, prepared, active, weights, near, scale, bins, x, words, at, sums, firsts):
    """The symbols of a row.

    Must stay equal to ``trace_numba._trace_row`` but for where the residual comes from: there from the symbol, here
    from the words. :func:`advance` is written out, for the reason that ``rans_numba._put_values`` gives.
    """
    n1, n2 = np.int64(sizes[start - 1]), np.int64(sizes[start - 2])
    s1, s2 = np.int64(values[start - 1]), np.int64(values[start - 2])
    p1, p2, a1, a2 = weights[0], weights[1], near[0], near[1]
    largest = 0
    for i in range(len(row)):
        whole, sign, level = split(np.int64(np.int32(prepared[i] + p1 * s1 + p2 * s2)))
        table = np.uint64(row_of(active[i] + a1 * n1 + a2 * n2, level, scale.shift, bins))
        slot = x & MASK
        value = np.int64(firsts[table, np.uint64(slot >> FIRST_BITS)])
        low, high = sums[table, np.uint64(value)], sums[table, np.uint64(value + 1)]
        while high <= slot:
            value += 1
            low, high = high, sums[table, np.uint64(value + 1)]
        x = (high - low) * (x >> WORD) + slot - low
        if x < STATE_BOTTOM:
            x, at = x << WORD | (np.int64(words[np.uint64(at)]) if at < len(words) else 0), at + 1
        if value >= DIRECT:
            x, at, value = _rest_of_value(x, words, at, value)
            if value < 0:
                return x, at, NO_TOKEN
        r = signed(value)
        s = whole + r * sign
        largest = max(largest, abs(s))
        n2, s2, s1 = n1, s1, s
        n1 = magnitude(r, scale)
        row[i], sizes[start + i], values[start + i] = s, n1, s
    if at > len(words):
        return x, at, SHORT
    return x, at, TOO_LARGE if largest >= LARGEST else GOOD


@compiled
def _decode_plain(row, sizes, start, active, near, scale, bins, x, words, at, sums, firsts):
    """:func:`_decode_row` of a channel without a predictor; symbols are the residuals, and most are 0."""
    n1, n2 = np.int64(sizes[start - 1]), np.int64(sizes[start - 2])
    a1, a2 = near[0], near[1]
    largest = 0
    for i in range(len(row)):
        table = np.uint64(row_of(active[i] + a1 * n1 + a2 * n2, 0, scale.shift, bins))
        n2, slot = n1, x & MASK
        value, low, high = np.int64(0), np.int32(0), sums[table, 1]
        if slot >= high:
            value = np.int64(firsts[table, np.uint64(slot >> FIRST_BITS)])
            low, high = sums[table, np.uint64(value)], sums[table, np.uint64(value + 1)]
            while high <= slot:
                value += 1
                low, high = high, sums[table, np.uint64(value + 1)]
        x = (high - low) * (x >> WORD) + slot - low
        if x < STATE_BOTTOM:
            x, at = x << WORD | (np.int64(words[np.uint64(at)]) if at < len(words) else 0), at + 1
        if value == 0:
            n1, row[i], sizes[start + i] = 0, 0, 0
            continue
        if value >= DIRECT:
            x, at, value = _rest_of_value(x, words, at, value)
            if value < 0:
                return x, at, NO_TOKEN
        s = signed(value)
        largest = max(largest, abs(s))
        n1 = magnitude(s, scale)
        row[i], sizes[start + i] = s, n1
    if at > len(words):
        return x, at, SHORT
    return x, at, TOO_LARGE if largest >= LARGEST else GOOD


@compiled
def flat_row(row, values, start, prepared, weights):
    """The symbols of a row whose residuals are all 0: :func:`_decode_row` of a channel of class 0."""
    s1, s2 = np.int64(values[start - 1]), np.int64(values[start - 2])
    largest = 0
    for i in range(len(row)):
        s = whole_of(np.int64(np.int32(prepared[i] + weights[0] * s1 + weights[1] * s2)))
        s2, s1 = s1, s
        row[i], values[start + i] = s, s
        largest = max(largest, abs(s))
    return TOO_LARGE if largest >= LARGEST else GOOD


@compiled
def decode(symbols, plane, tables, scales, bins, near_rows, offsets, sums, x, words, at):
    """Fill ``symbols`` ``[L, N]`` of a part from a state and words, ``at`` of which are read.

    Fields of the arguments: :class:`~liveaction.coding.layout.Plane`, :class:`~liveaction.coding.layout.ClassScales`,
    :class:`~liveaction.coding.tables.Contexts`, :class:`~liveaction.coding.tables.Sums`,
    :class:`~liveaction.coding.layout.Magnitudes`, of which the coarser part's are there.

    Returns:
        what was found, the last state, and the words read.
    """
    alone, around, empty = near_rows
    starts, length = plane.starts, plane.length
    predictors, activity = tables.predictors.copy(), tables.activity
    channels, count = symbols.shape
    values, sizes = np.zeros(plane.size, np.int32), np.zeros(plane.size, np.int32)
    first = len(empty) - channels
    active, prepared = np.zeros(count, np.int32), np.zeros(length, np.int32)
    outer = np.zeros((2, (plane.rows - 1) * (length + BORDER) + length), np.int32)
    classes, taken, bases = np.zeros(channels, np.int32), np.zeros(channels, np.int32), np.zeros(channels, np.int32)
    x, at, found = _heads(np.int64(x), words, np.int64(at), offsets, sums.classes, sums.modes, classes, taken, bases)
    for c in range(channels):
        if found != GOOD:
            break
        predictors[TRAINED] = tables.trained[c]
        k, mode, near = np.int64(classes[c]), taken[c], activity[c]
        weights = predictors[mode]
        empty[first + c] = k == 0
        if k == 0 and mode == 0:
            symbols[c] = 0
            continue
        if k:
            own = near[len(plane.causal) :]
            from_channels(own, tables.sources[c], alone, around, empty, len(plane.around), active)
        values[:] = bases[c]
        sizes[:] = ONE
        prepared[:] = 0
        scale = scale_of(scales, k)
        for r in range(len(starts)):
            start, to, end = starts[r], r * length, (r + 1) * length
            if mode:
                prepared[:] = 0
                prepare(values, start, r, plane, weights, outer[0], prepared)
            if k:
                prepare(sizes, start, r, plane, near, outer[1], active[to:end])
            if k and not mode:
                x, at, found = _decode_plain(
                    symbols[c, to:end], sizes, start, active[to:end], near, scale, bins, x, words, at, sums.residuals,
                    sums.firsts,
                )  # fmt: skip
            elif k:
                x, at, found = _decode_row(
                    symbols[c, to:end], values, sizes, start, prepared, active[to:end], weights, near, scale, bins, x,
                    words, at, sums.residuals, sums.firsts,
                )  # fmt: skip
            else:
                found = flat_row(symbols[c, to:end], values, start, prepared, weights)
            if found != GOOD:
                return found, x, at
        if k:
            keep(sizes, plane, alone[first + c], around[first + c])
    return found, x, at
