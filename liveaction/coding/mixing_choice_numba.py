"""Which symbols an encoder of the mixing coder takes for latents; a decoder does not ask, so that floats may decide."""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator, assignment, arg-type"

import numpy as np

from liveaction.coding.context_numba import compiled, unsigned
from liveaction.coding.layout import CLASS_BINS, CLASS_ONE, LEVELS, SCALE_ONE, SCALES
from liveaction.coding.mixing import DECISIONS
from liveaction.coding.rdo_numba import NEAR_ZERO, TRIED, _value_cost, tried_for

SILENT_SHARE = 0.7
"""What a channel's symbols cost beside what tables say that know nothing of where they lie. By trial, of squares and
bits by their weight: 0.5 and 0.7 are alike; 1, and none, give 0.3 to 2 % more at low rates."""
COSTS = (-np.log2((np.arange(4096) + 0.5) / 4096)).astype(np.float32)
"""Bits of a decision by the upper 12 bits of its probability."""


@compiled
def bits_of(value):
    """How many bits a value has; 0 of 0."""
    b = 0
    while value > 0:
        value >>= 1
        b += 1
    return b


@compiled
def _cost_of(v, ps):
    """Bits of magnitude v by the probabilities of its decisions; of larger ones, about."""
    bits = np.float32(0)
    for d in range(min(v, DECISIONS)):
        bits += COSTS[np.uint64(ps[d] >> 4)]
    if v < DECISIONS:
        return bits + COSTS[np.uint64((65535 - ps[v]) >> 4)]
    return bits + np.float32(2 * bits_of(v - DECISIONS + 1) - 1)


@compiled
def most_needed(nearest, whole):
    """The last decision that what :func:`chosen_for` tries may need."""
    most = abs(nearest - whole)
    if nearest and abs(nearest) <= NEAR_ZERO + 1:
        most = max(most, abs(whole))
    return min(most + np.int64(whole != 0), DECISIONS - 1)


@compiled
def chosen_for(u, whole, ps, weight):
    """The symbol of least squared error and weighed bits, of those next to a latent."""
    nearest = np.int64(np.rint(u))
    s, least = nearest, np.inf
    for which in range(TRIED):
        tried = tried_for(which, nearest, whole)
        if which and tried == nearest:
            continue
        v = abs(tried - whole)
        found = weight * (np.float64(_cost_of(v, ps)) + (v > 0)) - tried * (2 * u - tried)
        if found < least:
            s, least = tried, found
    return s


@compiled
def is_silent(latents, symbols, k, costs, weight):
    """Whether symbols of a channel spare less than they cost, about: by its class alone, in the fast coder's tables."""
    row = np.uint64(min(max(SCALE_ONE + CLASS_BINS * (k - CLASS_ONE), 0), SCALES - 1) * LEVELS)
    bits, spared = 0.0, 0.0
    for x in range(len(symbols)):
        s = np.int64(symbols[x])
        bits += _value_cost(costs, row, unsigned(s))
        spared += s * (2 * np.float64(latents[x]) - s)
    return spared <= weight * SILENT_SHARE * bits
