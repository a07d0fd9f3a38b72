"""Ranges to bytes and back: rANS with 16-bit frequencies and 16-bit words, and the decoder of chunks; integers only.

The state lies in [2**24, 2**40). J. Duda, "Asymmetric numeral systems", arXiv 1311.2540.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator, assignment, arg-type"

import numpy as np

from liveaction.coding.context_numba import (
    BORDER,
    MOST_ACTIVE,
    _compiled,
    _from_channels,
    _keep,
    _level,
    _prepare,
)
from liveaction.coding.layout import (
    BIN_ONE,
    CAP,
    CLASS_ONE,
    CLASSES,
    DIRECT,
    ESCAPE,
    LARGEST,
    LEVELS,
    ONE,
    SCALE_ONE,
    SCALES,
    TOKENS,
)

BOTTOM = 1 << 24
GOOD, SHORT, TOO_LARGE, NO_TOKEN = 0, 1, 2, 3
"""What :func:`decode` found."""


@_compiled
def _put(x, words, at, start, frequency):
    if x >= frequency << 24:
        words[at] = x & 0xFFFF
        x, at = x >> 16, at + 1
    share = np.int64(np.uint64(x) // np.uint64(frequency))
    return x + share * (65536 - frequency) + start, at


@_compiled
def _put_bits(x, words, at, value, bits):
    """``bits`` <= 24 raw bits; the decoder gets those above the twelfth first."""
    low = min(bits, 12)
    x, at = _put(x, words, at, (value & ((1 << low) - 1)) << (16 - low), 1 << (16 - low))
    if bits > 12:
        x, at = _put(x, words, at, (value >> 12) << (28 - bits), 1 << (28 - bits))
    return x, at


@_compiled
def _top_bit(value):
    e = 0
    while value >> (e + 1):
        e += 1
    return e


@_compiled
def _put_rest(x, words, at, value):
    """The raw bits of a value from :data:`DIRECT` on, and its token."""
    e = _top_bit(value)
    x, at = _put_bits(x, words, at, value & ((1 << (e - 2)) - 1), e - 2)
    return x, at, DIRECT + 4 * (e - 5) + ((value >> (e - 2)) & 3)


@_compiled
def _put_values(contexts, coded, cumulative, inverses, words):
    """State and number of words after all values; written out, for calls that take arrays cost more than the rest.

    ``inverses`` are 2**32 // frequency: two estimates of the quotient, both too small, make a division.
    """
    x, at = np.int64(BOTTOM), 0
    for n in range(len(coded)):
        i = np.uint64(len(coded) - 1 - n)
        row, value = np.uint64(contexts[i]), np.int64(coded[i])
        token = value
        if value >= DIRECT:
            x, at, token = _put_rest(x, words, at, value)
        start = cumulative[row, np.uint64(token)]
        frequency = np.int64(cumulative[row, np.uint64(token + 1)] - start)
        if frequency == 0:
            x, at = _put_bits(x, words, at, token, 7)
            token = ESCAPE
            start = cumulative[row, np.uint64(token)]
            frequency = np.int64(cumulative[row, np.uint64(token + 1)] - start)
        if x >= frequency << 24:
            words[np.uint64(at)] = x & 0xFFFF
            x, at = x >> 16, at + 1
        inverse = inverses[row, np.uint64(token)]
        share = ((x >> 8) * inverse) >> 24
        rest = x - share * frequency
        more = (rest * inverse) >> 32
        share, rest = share + more, rest - more * frequency
        if rest >= frequency:
            share, rest = share + 1, rest - frequency
        x = (share << 16) + rest + start
    return x, at


@_compiled
def _class_row(before, offset):
    """The row of the table of classes: by the preceding channel's class, moved on by what is usual."""
    return min(max(before + offset, 1), CLASSES - 1) if 0 < before < CLASSES else before


@_compiled
def encode(heads, contexts, coded, class_sums, mode_sums, value_sums, inverses, words):
    """State, and how many ``words`` were written, for what `trace` found; they are read from the last to the first."""
    classes, taken, bases, offsets = heads
    x, at = _put_values(contexts, coded, value_sums, inverses, words)
    for c in range(len(classes) - 1, -1, -1):
        k, mode, base = np.int64(classes[c]), taken[c], np.int64(bases[c])
        if mode:
            value = 2 * base - 1 if base > 0 else -2 * base
            bits = _top_bit(value) + 1 if value else 0
            if bits > 1:
                x, at = _put_bits(x, words, at, value & ((1 << (bits - 1)) - 1), bits - 1)
            x, at = _put_bits(x, words, at, bits, 5)
        sums = mode_sums[c, np.int64(k > 0)]
        x, at = _put(x, words, at, sums[mode], sums[mode + 1] - sums[mode])
        sums = class_sums[_class_row(np.int64(classes[c - 1]) if c else CLASSES, offsets[c])]
        x, at = _put(x, words, at, sums[k], sums[k + 1] - sums[k])
    return x, at


@_compiled
def _advance(x, words, at, start, frequency):
    x = frequency * (x >> 16) + (x & 0xFFFF) - start
    if x < BOTTOM:
        x, at = x << 16 | (np.int64(words[np.uint64(at)]) if at < len(words) else 0), at + 1
    return x, at


@_compiled
def _get_bits(x, words, at, bits):
    high = 0
    if bits > 12:
        high = (x & 0xFFFF) >> (28 - bits)
        x, at = _advance(x, words, at, high << (28 - bits), 1 << (28 - bits))
    low = min(bits, 12)
    value = (x & 0xFFFF) >> (16 - low)
    x, at = _advance(x, words, at, value << (16 - low), 1 << (16 - low))
    return x, at, high << 12 | value


@_compiled
def _get(x, words, at, sums):
    slot, entry = x & 0xFFFF, 0
    while sums[entry + 1] <= slot:
        entry += 1
    x, at = _advance(x, words, at, sums[entry], sums[entry + 1] - sums[entry])
    return x, at, entry


@_compiled
def _rest_of_value(x, words, at, token):
    """A value from its token, :data:`ESCAPE` included; -1 for a token that does not exist."""
    if token == ESCAPE:
        x, at, token = _get_bits(x, words, at, 7)
        if token >= TOKENS:
            return x, at, -1
    if token < DIRECT:
        return x, at, token
    bits = 3 + (token - DIRECT) // 4
    x, at, low = _get_bits(x, words, at, bits)
    return x, at, (4 + ((token - DIRECT) & 3)) << bits | low


@_compiled
def _heads(x, words, at, offsets, class_sums, mode_sums, classes, taken, bases):
    before = CLASSES
    for c in range(len(classes)):
        x, at, before = _get(x, words, at, class_sums[_class_row(before, offsets[c])])
        x, at, taken[c] = _get(x, words, at, mode_sums[c, np.int64(before > 0)])
        classes[c] = before
        if taken[c]:
            x, at, bits = _get_bits(x, words, at, 5)
            value = np.int64(bits > 0)
            if bits > 25:
                return x, at, TOO_LARGE
            if bits > 1:
                x, at, low = _get_bits(x, words, at, bits - 1)
                value = 1 << (bits - 1) | low
            bases[c] = (value + 1) >> 1 if value & 1 else -(value >> 1)
    return x, at, SHORT if at > len(words) else GOOD


@_compiled
def _decode_row(row, values, sizes, start, predicted, active, weights, near, scale, bins, x, words, at, sums, firsts):
    """The symbols of a row."""
    limit, factor, shift = scale
    n1, n2 = np.int64(sizes[start - 1]), np.int64(sizes[start - 2])
    s1, s2 = np.int64(values[start - 1]), np.int64(values[start - 2])
    p1, p2, a1, a2 = weights[0], weights[1], near[0], near[1]
    largest = 0
    for i in range(len(row)):
        q, sign, level = _level(np.int64(np.int32(predicted[i] + p1 * s1 + p2 * s2)))
        v = min(max((active[i] + a1 * n1 + a2 * n2) >> 6, 1), MOST_ACTIVE)
        b = bins[np.uint64(v)] if v < 4096 else bins[np.uint64(v >> 6)] + 24
        context = min(max(b + shift, 0), SCALES - 1) * LEVELS + level
        slot, table = x & 0xFFFF, np.uint64(context)
        value = np.int64(firsts[table, np.uint64(slot >> 8)])
        low, high = sums[table, np.uint64(value)], sums[table, np.uint64(value + 1)]
        while high <= slot:
            value += 1
            low, high = high, sums[table, np.uint64(value + 1)]
        x = (high - low) * (x >> 16) + slot - low
        if x < BOTTOM:
            x, at = x << 16 | (np.int64(words[np.uint64(at)]) if at < len(words) else 0), at + 1
        if value >= DIRECT:
            x, at, value = _rest_of_value(x, words, at, value)
            if value < 0:
                return x, at, NO_TOKEN
        r = (value + 1) >> 1 if value & 1 else -(value >> 1)
        s = q + r * sign
        largest = max(largest, abs(s))
        n2, s2, s1 = n1, s1, s
        n1 = min(min(abs(r), limit) * factor >> 24, CAP)
        row[i], sizes[start + i], values[start + i] = s, n1, s
    if at > len(words):
        return x, at, SHORT
    return x, at, TOO_LARGE if largest >= LARGEST else GOOD


@_compiled
def _flat_row(row, values, start, predicted, weights):
    """The symbols of a row whose residuals are all 0."""
    s1, s2 = np.int64(values[start - 1]), np.int64(values[start - 2])
    largest = 0
    for i in range(len(row)):
        s, _, _ = _level(np.int64(np.int32(predicted[i] + weights[0] * s1 + weights[1] * s2)))
        s2, s1 = s1, s
        row[i], values[start + i] = s, s
        largest = max(largest, abs(s))
    return TOO_LARGE if largest >= LARGEST else GOOD


@_compiled
def decode(symbols, plane, tables, scales, bins, offsets, class_sums, mode_sums, value_sums, firsts, x, words):
    """Fill ``symbols`` ``[L, N]`` from a state and words; what was found, the last state, and the words read."""
    size, starts, length, causal, ring, rows, _ = plane
    predictors, activity, sources = tables[0].copy(), tables[2], tables[3]
    limits, factors, _ = scales
    channels, count = symbols.shape
    values, sizes = np.zeros(size, np.int32), np.zeros(size, np.int32)
    alone, around = np.zeros((channels, count), np.uint16), np.zeros((channels, count), np.uint16)
    active, sums = np.zeros(count, np.int32), np.zeros(length, np.int32)
    outer = np.zeros((2, (rows - 1) * (length + BORDER) + length), np.int32)
    classes, taken, bases = np.zeros(channels, np.int32), np.zeros(channels, np.int32), np.zeros(channels, np.int32)
    x, at, found = _heads(x, words, 0, offsets, class_sums, mode_sums, classes, taken, bases)
    for c in range(channels):
        if found != GOOD:
            break
        predictors[1] = tables[1][c]
        k, mode, near = np.int64(classes[c]), taken[c], activity[c]
        weights = predictors[mode]
        if k == 0 and mode == 0:
            symbols[c] = 0
            continue
        if k:
            _from_channels(near[len(causal) :], sources[c], alone, around, classes == 0, len(ring), active)
        values[:] = bases[c]
        sizes[:] = ONE
        sums[:] = 0
        scale = (limits[k], factors[k], 2 * (k - CLASS_ONE) + SCALE_ONE - BIN_ONE)
        for r in range(len(starts)):
            start, to, end = starts[r], r * length, (r + 1) * length
            if mode:
                sums[:] = 0
                _prepare(values, start, r, plane, weights, outer[0], sums)
            if k:
                _prepare(sizes, start, r, plane, near, outer[1], active[to:end])
                x, at, found = _decode_row(
                    symbols[c, to:end], values, sizes, start, sums, active[to:end], weights, near, scale, bins, x,
                    words, at, value_sums, firsts,
                )  # fmt: skip
            else:
                found = _flat_row(symbols[c, to:end], values, start, sums, weights)
            if found != GOOD:
                return found, x, at
        if k:
            _keep(sizes, plane, alone[c], around[c])
    return found, x, at
