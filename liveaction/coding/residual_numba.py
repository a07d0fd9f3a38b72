"""What is left of samples through a range coder: decisions by counters of what lies around, mixed; integers only.

One walk encodes and decodes, so that both see the same. docs/entropy.md says it in words.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator, assignment, arg-type, operator"

import numpy as np

from liveaction.coding.context_numba import compiled
from liveaction.coding.mixing_numba import (
    LIMIT,
    LOGISTIC,
    LOGIT,
    LOGIT_ONE,
    LOGITS,
    RATE,
    RATE_BITS,
    code_counted,
    learn,
)
from liveaction.coding.range_numba import EVEN, code

VERBATIM = 1 << 62
"""Stands for a sample that is kept as it is."""
DECISIONS = 12
"""Whether a magnitude, less its lowest bits, exceeds 0, 1, .. 11; beyond, an exponent and bits follow."""
EXPONENTS = 31
"""Of what a magnitude has beyond; that none of them is it stands for :data:`VERBATIM`."""
MOST = (1 << 31) - 1
"""The largest magnitude."""
CAP = 1 << 12
"""Magnitudes around count as this at most."""
ROWS = 32
"""Expected magnitudes, half an octave each in 16ths."""
SHIFTS = 12
"""Of a magnitude that is expected to be large, so many lowest bits less one are not counted up but written."""
SETS = (ROWS * 4, 4**4, ROWS * 4)
"""Numbers of contexts: what is expected and the channel before; the pattern around; what was here and is beside."""
BEGIN_1, BEGIN_2 = SETS[0] * DECISIONS, (SETS[0] + SETS[1]) * DECISIONS
INPUTS = 4
"""Of a mixer: a prediction of each set, and a constant."""
SIGNS = 81
"""By the signs of what lies to the left, above, behind and in the channel before."""


def _halves():
    """Which row an expected magnitude in 16ths has, up to 2**12: 0, then two to an octave."""
    v = np.maximum(np.arange(1 << 12), 1)
    octave = np.floor(np.log2(v)).astype(np.int64)
    upper = v * v >= np.int64(1) << (2 * octave + 1)
    rows = 1 + 2 * octave + upper
    rows[0] = 0
    return np.minimum(rows, ROWS - 1)


HALVES = _halves()


@compiled
def row_of(v):
    """The row of an expected magnitude in 16ths."""
    if v < 4096:
        return np.int64(HALVES[np.uint64(v)])
    return min(np.int64(HALVES[np.uint64(min(v >> 8, 4095))]) + 16, ROWS - 1)


@compiled
def _mix(d, at, inputs, state, weights):
    """The probability of decision ``d`` to be 1, 16 bits."""
    x0 = np.int64(LOGIT[np.uint64(np.int64(state[np.uint64(at[0] + d)]) >> 20)])
    x1 = np.int64(LOGIT[np.uint64(np.int64(state[np.uint64(at[1] + d)]) >> 20)])
    x2 = np.int64(LOGIT[np.uint64(np.int64(state[np.uint64(at[2] + d)]) >> 20)])
    inputs[0], inputs[1], inputs[2] = x0, x1, x2
    found = (weights[0] * x0 + weights[1] * x1 + weights[2] * x2 + weights[3] * LOGIT_ONE) >> 16
    return np.int64(LOGISTIC[np.uint64(min(max(found, 1 - LOGITS), LOGITS - 1) + LOGITS)])


@compiled
def _teach(d, bit, p, at, inputs, state, weights):
    """Let all that :func:`_mix` used learn what came."""
    for j in range(3):
        learn(state, at[j] + d, bit, LIMIT)
    e, half = ((65535 if bit else 0) - p) * RATE, 1 << (RATE_BITS - 1)
    for j in range(3):
        weights[j] += (inputs[j] * e + half) >> RATE_BITS
    weights[3] += (LOGIT_ONE * e + half) >> RATE_BITS


@compiled
def _length(v):
    """Bits of a number from 0 on."""
    n = 0
    while v >> n:
        n += 1
    return n


@compiled
def _sign(v):
    """0, 1 or 2 for a number below, at and above 0."""
    return np.int64(v > 0) - np.int64(v < 0) + 1


@compiled
def _beyond(y, line, state, data):
    """A value from 0 on by exponent and bits; -1 stands for none, and is one."""
    e = 0
    z = y + 1
    while True:
        more = np.int64(1) if y < 0 else np.int64(z >> (e + 1) > 0)
        if not code_counted(more, line, e, LIMIT, state, data):
            break
        e += 1
        if e == EXPONENTS:
            return np.int64(-1)
    got = np.int64(1)
    for i in range(e - 1, -1, -1):
        got = got << 1 | code((z >> i) & 1, EVEN, state, data)
    return got - 1


@compiled
def walk(values, skip, around, energy, counters, mixers, exponents, lows, signs, state, data):
    """The residuals of a chunk, put or got.

    Args:
        values: int64 ``[C, Z, Y, X]``, :data:`VERBATIM` where a sample is kept as it is; filled where they are got.
        skip: bool, as ``values``, where there is nothing to code; of size 0 where that is nowhere.
        around: int64 ``[2, Y + 2, X + 3]``, zero.
        energy: int64 ``[Y, X]``, zero.
        counters: uint32 ``[sum(SETS) * DECISIONS]``; ``mixers``: int64 ``[DECISIONS * ROWS, INPUTS]``.
        exponents: uint32 ``[EXPONENTS]``; ``lows``: uint32 ``[SHIFTS * 4]``; ``signs``: uint32 ``[SIGNS]``.
        state, data: of the range coder.
    """
    channels, planes, rows, width = values.shape
    at, inputs = np.zeros(3, np.int64), np.zeros(3, np.int64)
    total = 10 + (8 if planes > 1 else 0)
    skips = skip.size > 0
    for c in range(channels):
        energy[:] = 0
        around[:] = 0
        scale = 65536 // (total + (6 if c else 0))
        for z in range(planes):
            now, last = around[z & 1], around[1 - (z & 1)]
            for y in range(rows):
                row, up, back = now[y + 1], now[y], last[y + 1]
                back_up, back_down = last[y], last[y + 2]
                for x in range(width):
                    if skips and skip[c, z, y, x]:
                        values[c, z, y, x] = 0
                        row[x + 2] = 0
                        continue
                    w, n, b = row[x + 1], up[x + 2], back[x + 2]
                    mw, mn, mb, ne = abs(w), abs(n), abs(b), abs(up[x + 3])
                    sum_ = 3 * mw + 3 * mn + 2 * ne + abs(up[x + 1]) + abs(row[x])
                    q, other = np.int64(0), np.int64(0)
                    if planes > 1:
                        sum_ += (
                            4 * mb + abs(back[x + 1]) + abs(back[x + 3]) + abs(back_up[x + 2]) + abs(back_down[x + 2])
                        )
                    if c:
                        other = values[c - 1, z, y, x]
                        other = np.int64(0) if other == VERBATIM else min(max(other, -CAP), CAP)
                        q = abs(other)
                        sum_ += 6 * q
                    expected = (sum_ * scale) >> 12
                    chosen = row_of(expected)
                    known = energy[y, x]
                    at[0] = (chosen * 4 + min(q, 3)) * DECISIONS
                    at[1] = BEGIN_1 + (((min(mw, 3) * 4 + min(mn, 3)) * 4 + min(mb, 3)) * 4 + min(ne, 3)) * DECISIONS
                    at[2] = BEGIN_2 + (row_of(known) * 4 + min(mw + mn, 3)) * DECISIONS
                    shift = min(max(_length(expected >> 4) - 2, 0), SHIFTS - 1)
                    v = values[c, z, y, x]
                    raw = v == VERBATIM
                    m = abs(v)
                    u, d, more = m >> shift, np.int64(0), np.int64(1)
                    if raw:
                        u = np.int64(DECISIONS)
                    while d < DECISIONS:
                        line = mixers[np.uint64(d * ROWS + chosen)]
                        p = _mix(d, at, inputs, counters, line)
                        more = code(np.int64(u > d), p, state, data)
                        _teach(d, more, p, at, inputs, counters, line)
                        if not more:
                            break
                        d += 1
                    got = d
                    if d == DECISIONS:
                        got = _beyond(np.int64(-1) if raw else u - DECISIONS, exponents, state, data)
                        raw = got < 0
                        got += DECISIONS
                    if raw:
                        values[c, z, y, x] = VERBATIM
                        row[x + 2] = 0
                        continue
                    if shift:
                        top = shift - 1
                        bit = code_counted((m >> top) & 1, lows, shift * 4 + min(got, 3), LIMIT, state, data)
                        got = got << 1 | bit
                        for i in range(top - 1, -1, -1):
                            got = got << 1 | code((m >> i) & 1, EVEN, state, data)
                    small = min(got, CAP)
                    v = got
                    if got:
                        pattern = ((_sign(w) * 3 + _sign(n)) * 3 + _sign(b)) * 3 + _sign(other)
                        if code_counted(np.int64(values[c, z, y, x] < 0), signs, pattern, LIMIT, state, data):
                            v, small = -v, -small
                    values[c, z, y, x] = v
                    row[x + 2] = small
                    energy[y, x] = known + ((256 * abs(small) - known * 16) >> 7)
