"""Loops of fitting that are slow as array operations."""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator"

import numpy as np

from liveaction.coding.context_numba import compiled
from liveaction.coding.layout import DIRECT
from liveaction.coding.rans_numba import _top_bit


@compiled
def least_squares(square, right, weights, sweeps):
    """Minimum of w square w / 2 - right w over w >= 0, coordinate by coordinate; float64, ``weights`` in place."""
    for i in range(len(weights)):
        weights[i] = max(weights[i], 0.0)
    for _ in range(sweeps):
        for i in range(len(weights)):
            rest = right[i]
            for j in range(len(weights)):
                rest -= square[i, j] * weights[j]
            weights[i] = max(0.0, weights[i] + rest / square[i, i])


@compiled
def count(contexts, coded, counts):
    """Add the tokens of values to ``counts`` int64 ``[512, 116]``; they are those of ``entropy.tokens``."""
    for i in range(len(coded)):
        value = np.int64(coded[i])
        if value >= DIRECT:
            bits = _top_bit(value) - 2
            value = DIRECT + 4 * (bits - 3) + ((value >> bits) & 3)
        counts[contexts[i], value] += 1
