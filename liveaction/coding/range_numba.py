"""Binary decisions to bytes and back: a range coder with 16-bit probabilities; integers only.

The coder of LZMA: a range of 32 bits is divided in proportion, bytes leave it as soon as they are settled, and a carry
runs into those that are held back. G. N. N. Martin, "Range encoding", Video & Data Recording Conference, 1979.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator, assignment, arg-type"

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.context_numba import compiled

LOW, RANGE, CACHE, HELD, AT, CODE, DECODES = range(7)
"""Entries of a coder's state, int64 ``[7]``: see :func:`begin`."""
TOP = 1 << 24
"""A range below this takes in or gives out a byte: 2**24 / 2**16 leaves 8 bits to the least probability."""
FULL = 0xFFFFFFFF
EVEN = 1 << 15
"""The probability of a half."""
TAIL = 5
"""Bytes that :func:`finish` may add."""


def begin(data: NDArray[np.uint8] | None = None) -> NDArray[np.int64]:
    """The state of an encoder, or of a decoder of ``data``, uint8 ``[n]``."""
    state = np.zeros(7, np.int64)
    state[RANGE], state[CACHE] = FULL, -1
    if data is not None:
        state[DECODES] = 1
        for i in range(4):
            state[CODE] = state[CODE] << 8 | (int(data[i]) if i < len(data) else 0)
        state[AT] = 4
    return state


@compiled
def shift(state, data):
    """Move the upper byte of an encoder's low end out, or hold it back while a carry may still change it."""
    low = state[LOW]
    if low < 0xFF000000 or low > FULL:
        carry = low >> 32
        at = state[AT]
        if state[CACHE] >= 0:
            data[np.uint64(at)] = (state[CACHE] + carry) & 255
            at += 1
        for _ in range(state[HELD]):
            data[np.uint64(at)] = (255 + carry) & 255
            at += 1
        state[AT], state[HELD], state[CACHE] = at, 0, (low >> 24) & 255
    else:
        state[HELD] += 1
    state[LOW] = (low & 0xFFFFFF) << 8


@compiled
def code(bit, p, state, data):
    """A decision of probability ``p`` / 2**16 to be 1: ``bit`` is put, or what was read is given back.

    A decoder that has read all of ``data`` reads zeros on.
    """
    bound = (state[RANGE] >> 16) * p
    if state[DECODES]:
        bit = np.int64(state[CODE] < bound)
        if bit:
            state[RANGE] = bound
        else:
            state[CODE] -= bound
            state[RANGE] -= bound
        while state[RANGE] < TOP:
            at = state[AT]
            state[CODE] = state[CODE] << 8 | (np.int64(data[np.uint64(at)]) if at < len(data) else 0)
            state[RANGE] <<= 8
            state[AT] = at + 1
        return bit
    if bit:
        state[RANGE] = bound
    else:
        state[LOW] += bound
        state[RANGE] -= bound
    while state[RANGE] < TOP:
        state[RANGE] <<= 8
        shift(state, data)
    return bit


@compiled
def finish(state, data):
    """Write an encoder's last bytes: of the numbers in its range the one that ends with most zeros, without these.

    Returns:
        the bytes in all.
    """
    low, high = state[LOW], state[LOW] + state[RANGE] - 1
    for zeros in range(32, -1, -1):
        value = (high >> zeros) << zeros
        if value >= low:
            state[LOW] = value
            break
    for _ in range(5):
        shift(state, data)
    end = state[AT]
    while end and data[np.uint64(end - 1)] == 0:
        end -= 1
    return end
