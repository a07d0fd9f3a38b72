"""Ranges to bytes and back: rANS with 16-bit frequencies and 16-bit words; integers only.

The state lies in [2**24, 2**40). J. Duda, "Asymmetric numeral systems", arXiv 1311.2540.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator, assignment, arg-type"

import numpy as np

from liveaction.coding.context_numba import (
    compiled,
    unsigned,
)
from liveaction.coding.layout import (
    BORDER_BITS,
    CLASSES,
    DIRECT,
    ESCAPE,
    ESCAPE_BITS,
    STATE_BOTTOM,
)

WORD = 16
"""Bits of a word, and of a frequency: no step takes in or gives out more than one word."""
MASK = (1 << WORD) - 1
FULL = 24
"""From ``frequency << FULL`` on a state gives out a word first, as its step would end at 2**40 or beyond."""
RAW = 12
"""Raw bits to a step; the longest rest of a value and of a border value, 24, takes two."""


@compiled
def _put(x, words, at, start, frequency):
    """State and count of words after an entry; undone by :func:`advance`."""
    if x >= frequency << FULL:
        words[at] = x & MASK
        x, at = x >> WORD, at + 1
    share = np.int64(np.uint64(x) // np.uint64(frequency))
    return x + share * ((1 << WORD) - frequency) + start, at


@compiled
def _put_bits(x, words, at, value, bits):
    """``bits`` <= 2 * RAW raw bits, of equal frequencies; undone by :func:`get_bits`, which gets the upper first."""
    low = min(bits, RAW)
    x, at = _put(x, words, at, (value & ((1 << low) - 1)) << (WORD - low), 1 << (WORD - low))
    if bits > RAW:
        rest = WORD - (bits - RAW)
        x, at = _put(x, words, at, (value >> RAW) << rest, 1 << rest)
    return x, at


@compiled
def _top_bit(value):
    """Number of the highest bit of a value from 1 on; of 0, 0."""
    e = 0
    while value >> (e + 1):
        e += 1
    return e


@compiled
def _put_rest(x, words, at, value):
    """The raw bits of a value from :data:`DIRECT` on, and its token: its highest bit and the two below.

    Undone by ``decode_numba._rest_of_value``; ``entropy.tokens`` counts the same.
    """
    bits = _top_bit(value) - 2
    x, at = _put_bits(x, words, at, value & ((1 << bits) - 1), bits)
    return x, at, DIRECT + 4 * (bits - 3) + ((value >> bits) & 3)


@compiled
def _put_values(contexts, coded, cumulative, inverses, x, words, at):
    """State and number of words after all values of a part, the last first: the decoder takes them from a stack.

    The body of :func:`_put` is written out, for calls that take arrays cost more than the rest. ``inverses`` are
    2**32 // frequency, and divide: as x < frequency * 2**24, no product reaches 2**48; the first estimate of the share
    is too small by less than frequency / 256 + 256 / frequency + 1, and the second, of what that leaves, by at most 1.
    """
    for n in range(len(coded)):
        i = np.uint64(len(coded) - 1 - n)  # an unsigned index spares the test for a negative one, here and below
        row, value = np.uint64(contexts[i]), np.int64(coded[i])
        token = value
        if value >= DIRECT:
            x, at, token = _put_rest(x, words, at, value)
        start = cumulative[row, np.uint64(token)]
        frequency = np.int64(cumulative[row, np.uint64(token + 1)] - start)
        if frequency == 0:
            x, at = _put_bits(x, words, at, token, ESCAPE_BITS)
            token = ESCAPE
            start = cumulative[row, np.uint64(token)]
            frequency = np.int64(cumulative[row, np.uint64(token + 1)] - start)
        if x >= frequency << FULL:
            words[np.uint64(at)] = x & MASK
            x, at = x >> WORD, at + 1
        inverse = inverses[row, np.uint64(token)]
        share = ((x >> 8) * inverse) >> 24
        rest = x - share * frequency
        more = (rest * inverse) >> 32
        share, rest = share + more, rest - more * frequency
        if rest >= frequency:
            share, rest = share + 1, rest - frequency
        x = (share << WORD) + rest + start
    return x, at


@compiled
def class_row(before, offset):
    """The row of the table of classes: by the preceding channel's class, moved on by what is usual.

    Those of an empty channel and of none, 0 and CLASSES, are not moved. Must stay equal to ``entropy.class_rows``.
    """
    return min(max(before + offset, 1), CLASSES - 1) if 0 < before < CLASSES else before


@compiled
def encode(heads, contexts, coded, sums, inverses, x, words, at):
    """State, and how many ``words`` were written, for what ``trace`` found of a part; they are read from the last on.

    ``x`` and ``at`` are those of the part behind it, which is put first. ``heads`` are each channel's class, predictor,
    border value and usual step of the class; they are put in the reverse of the order in which ``decode_numba._heads``
    takes them.
    """
    classes, taken, bases, offsets = heads
    x, at = _put_values(contexts, coded, sums.residuals, inverses, np.int64(x), words, np.int64(at))
    for c in range(len(classes) - 1, -1, -1):
        k, mode, base = np.int64(classes[c]), taken[c], np.int64(bases[c])
        if mode:
            value = unsigned(base)
            bits = _top_bit(value) + 1 if value else 0
            if bits > 1:
                x, at = _put_bits(x, words, at, value & ((1 << (bits - 1)) - 1), bits - 1)
            x, at = _put_bits(x, words, at, bits, BORDER_BITS)
        row = sums.modes[c, np.int64(k > 0)]
        x, at = _put(x, words, at, row[mode], row[mode + 1] - row[mode])
        row = sums.classes[class_row(np.int64(classes[c - 1]) if c else CLASSES, offsets[c])]
        x, at = _put(x, words, at, row[k], row[k + 1] - row[k])
    return x, at


@compiled
def advance(x, words, at, start, frequency):
    """State and count of words after an entry was taken; beyond the words there are zeros, and the count tells."""
    x = frequency * (x >> WORD) + (x & MASK) - start
    if x < STATE_BOTTOM:
        x, at = x << WORD | (np.int64(words[np.uint64(at)]) if at < len(words) else 0), at + 1
    return x, at


@compiled
def get_bits(x, words, at, bits):
    """Inverse of :func:`_put_bits`."""
    high = 0
    if bits > RAW:
        rest = WORD - (bits - RAW)
        high = (x & MASK) >> rest
        x, at = advance(x, words, at, high << rest, 1 << rest)
    low = min(bits, RAW)
    value = (x & MASK) >> (WORD - low)
    x, at = advance(x, words, at, value << (WORD - low), 1 << (WORD - low))
    return x, at, high << RAW | value


@compiled
def get(x, words, at, sums):
    """An entry by its cumulative frequencies, searched from the first on; heads alone, so it need not be fast."""
    slot, entry = x & MASK, 0
    while sums[entry + 1] <= slot:
        entry += 1
    x, at = advance(x, words, at, sums[entry], sums[entry + 1] - sums[entry])
    return x, at, entry
