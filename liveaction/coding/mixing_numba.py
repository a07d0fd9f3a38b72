"""Predictions of the mixing coder: counters of contexts, mixed by weights that learn; integers only.

What encoder and decoder must do alike stands here once. M. Mahoney, "Adaptive weighing of context models for lossless
data compression", Florida Tech. CS-2005-16; docs/entropy.md says what is done here.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator, assignment, arg-type"

import numpy as np

from liveaction.coding.context_numba import compiled
from liveaction.coding.mixing import CONTEXTS, COUNT_BITS, COUNT_MASK, DECISIONS
from liveaction.coding.range_numba import code

BEGIN_0, BEGIN_1, BEGIN_2, BEGIN_3 = (int(sum(CONTEXTS[:i])) * DECISIONS for i in range(4))
"""Where the counters of each set begin."""
LOGIT_ONE = 256
"""A logit of 1."""
LOGITS = 2048
"""Logits end at 8."""
APART_BITS = 7
APART = 1 << APART_BITS
"""Points of a correction are so far apart, half a logit."""
LEAST = 32
"""Probabilities are LEAST / 2**16 at least: a decision then costs 11 bits at most, and 0.0007 at least."""
MOST = (1 << 32 - COUNT_BITS) - 1
"""The most that a counter's probability is."""
LIMIT = 255
"""A counter has seen as much at most: it moves by 1 / 256 of what it errs at least."""
LIMIT_HEAD = 30
"""The same for what a channel begins with, of which there is little."""
RATE = 24
"""How fast weights learn: by error, input and RATE / 2**20. By trial, 10 to 40 are alike to 0.1 %."""
RATE_BITS = 20
CORRECT_BITS = 6
"""Corrections move by 1 / 64 of what they err."""


def _rates():
    """Shares of the error that a counter learns by what it has seen, 16 bits: as a mean does, with 1.6 seen before."""
    return 655360 // (10 * np.arange(LIMIT + 1) + 16)


# of what is rounded below nothing lies within 0.00009 of a half: float64, exact to 1e-10, gives the same everywhere


def _logistic():
    """16-bit probabilities of logits from -LOGITS on."""
    x = np.arange(-LOGITS, LOGITS) / LOGIT_ONE
    return np.clip(np.rint(65536 / (1 + np.exp(-x))), LEAST, 65536 - LEAST).astype(np.uint16)


def _logit():
    """Logits of 12-bit probabilities."""
    p = (np.arange(4096) + 0.5) / 4096
    return np.clip(np.rint(np.log(p / (1 - p)) * LOGIT_ONE), 1 - LOGITS, LOGITS - 1).astype(np.int16)


RATES, LOGISTIC, LOGIT = _rates(), _logistic(), _logit()


@compiled
def probability(counter):
    """Of a counter, 16 bits."""
    return min(max(np.int64(counter) >> 16, LEAST), 65536 - LEAST)


@compiled
def learn(counters, at, bit, limit):
    """Move a counter towards what came."""
    c = np.int64(counters[np.uint64(at)])
    p, n = c >> COUNT_BITS, c & COUNT_MASK
    p += (((MOST if bit else 0) - p) * RATES[np.uint64(n)]) >> 16
    counters[np.uint64(at)] = np.uint32(p << COUNT_BITS | min(n + 1, limit))


@compiled
def code_counted(bit, counters, at, limit, state, data):
    """A decision by one counter."""
    bit = code(bit, probability(counters[np.uint64(at)]), state, data)
    learn(counters, at, bit, limit)
    return bit


@compiled
def mix(d, contexts, inputs, mixing, chosen, kind, out):
    """The probability of decision ``d`` to be 1, 16 bits.

    Args:
        d: 0 to DECISIONS - 1.
        contexts: where the counters of a symbol's contexts begin, one of each set.
        inputs: int64 ``[INPUTS]``, filled with logits for :func:`teach`.
        mixing: the state.
        chosen, kind: rows of ``by_magnitude`` and ``by_kind``.
        out: int64 ``[3]``, filled for :func:`teach`: what each mixer says, and the nearer point of the correction.
    """
    counters, a, b = mixing.contexts, mixing.by_magnitude[np.uint64(chosen)], mixing.by_kind[np.uint64(kind)]
    x0 = np.int64(LOGIT[np.uint64(np.int64(counters[np.uint64(contexts[0] + d)]) >> 20)])
    x1 = np.int64(LOGIT[np.uint64(np.int64(counters[np.uint64(contexts[1] + d)]) >> 20)])
    x2 = np.int64(LOGIT[np.uint64(np.int64(counters[np.uint64(contexts[2] + d)]) >> 20)])
    x3 = np.int64(LOGIT[np.uint64(np.int64(counters[np.uint64(contexts[3] + d)]) >> 20)])
    inputs[0], inputs[1], inputs[2], inputs[3] = x0, x1, x2, x3
    first = (a[0] * x0 + a[1] * x1 + a[2] * x2 + a[3] * x3 + a[4] * LOGIT_ONE) >> 16
    second = (b[0] * x0 + b[1] * x1 + b[2] * x2 + b[3] * x3 + b[4] * LOGIT_ONE) >> 16
    first, second = min(max(first, 1 - LOGITS), LOGITS - 1), min(max(second, 1 - LOGITS), LOGITS - 1)
    both = ((first + second) >> 1) + LOGITS
    low, part = both >> APART_BITS, both & (APART - 1)
    line = mixing.corrections[np.uint64(chosen)]
    corrected = (line[np.uint64(low)] * (APART - part) + line[np.uint64(low + 1)] * part) >> APART_BITS
    out[0], out[1] = LOGISTIC[np.uint64(first + LOGITS)], LOGISTIC[np.uint64(second + LOGITS)]
    out[2] = low + (part >> (APART_BITS - 1))
    return min(max((np.int64(LOGISTIC[np.uint64(both)]) + corrected) >> 1, LEAST), 65536 - LEAST)


@compiled
def teach(d, bit, contexts, inputs, mixing, chosen, kind, out):
    """Let all that :func:`mix` used learn what came."""
    for j in range(len(contexts)):
        learn(mixing.contexts, contexts[j] + d, bit, LIMIT)
    came = 65535 if bit else 0
    a, b = mixing.by_magnitude[np.uint64(chosen)], mixing.by_kind[np.uint64(kind)]
    e, f = (came - out[0]) * RATE, (came - out[1]) * RATE
    half = 1 << (RATE_BITS - 1)
    for j in range(4):
        a[j] += (inputs[j] * e + half) >> RATE_BITS
        b[j] += (inputs[j] * f + half) >> RATE_BITS
    a[4] += (LOGIT_ONE * e + half) >> RATE_BITS
    b[4] += (LOGIT_ONE * f + half) >> RATE_BITS
    line, near = mixing.corrections[np.uint64(chosen)], np.uint64(out[2])
    line[near] += (came - line[near]) >> CORRECT_BITS
