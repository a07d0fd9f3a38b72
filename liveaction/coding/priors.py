"""Frequencies that need no data: geometric mixtures in fixed point, the same on every machine.

Streams of models without fitted tables depend on every number here, so none may change. The powers of two in
:func:`class_weights` and :func:`mode_weights` are guesses, which fitting corrects: a chunk has one class and one mode
per channel, so that a wrong one costs little.
"""

from functools import lru_cache
from itertools import pairwise
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.layout import CLASS_ONE, CLASSES, DIRECT, LEVELS, SCALE_ONE, SCALES, TOKENS, modes

FREQUENCIES = 1 << 16
"""Sum of every row of frequencies."""
Weights = list[list[int]]
_BITS = 64
_ONE = 1 << _BITS
"""1 in fixed point; Python's integers hold the products."""
_OCTAVE = 4
"""Scales to an octave."""


def quantised(weights: list[int], least: int) -> NDArray[np.uint16]:
    """Frequencies that sum up to 2**16, in proportion to integer ``weights``, each at least ``least``.

    What rounding leaves over goes to the greatest.
    """
    total, room = sum(weights), FREQUENCIES - least * len(weights)
    shares = [(2 * w * room + total) // (2 * total) + least for w in weights]  # rounded half up
    shares[shares.index(max(shares))] += FREQUENCIES - sum(shares)
    return np.array(shares, np.uint16)


def with_escape(weights: list[int]) -> NDArray[np.uint16]:
    """Frequencies of all tokens and the escape, which gets 1 and what rounding to 0 left out."""
    total, room = sum(weights), FREQUENCIES - 1
    shares = [(2 * w * room + total) // (2 * total) for w in weights]
    dropped = sum(w for w, share in zip(weights, shares, strict=True) if not share)
    escape = 1 + dropped * room // total
    shares[shares.index(max(shares))] += FREQUENCIES - escape - sum(shares)
    return np.array([*shares, escape], np.uint16)


def token_bounds() -> list[int]:
    """First value of every token, and the end of the last; from DIRECT on, all are even."""
    return [*range(DIRECT), *((4 + (t & 3)) << (3 + (t >> 2)) for t in range(TOKENS - DIRECT + 1))]


@lru_cache(1)
def residual_weights() -> list[Weights]:
    """Weights ``[SCALES][LEVELS][TOKENS]``: three geometric laws of half, once and twice the mean, leaning by level."""
    bounds = token_bounds()
    laws = {scale: _geometric(scale, bounds) for scale in range(-_OCTAVE, SCALES + _OCTAVE)}
    found = []
    for scale in range(SCALES):
        mean = _quarter_octaves(scale - SCALE_ONE)
        three = laws[scale - _OCTAVE], laws[scale], laws[scale + _OCTAVE]
        # a scale holds for its residuals on average only, so that their law is wider than geometric
        mixed = [half + 2 * once + twice for half, once, twice in zip(*three, strict=True)]
        levels = []
        for level in range(LEVELS):
            # the prediction lies about (2 level + 1) / 16 to one side of the integer taken: the middle of a level,
            # which is an eighth wide. A law exp(-|r| / mean) moved by so much makes one sign of a residual likelier
            # than the other as 1 + lean to 1 - lean, lean = tanh(away / mean); this is the same for large means, and
            # half at most
            away = _ONE * (2 * level + 1) // (4 * LEVELS)
            lean = _ONE * away // (mean + 2 * away)
            # 1 more, so that no weight is 0: too little to show in a frequency
            levels.append([(w * (_ONE + _sign(t) * lean) >> _BITS) + 1 for t, w in enumerate(mixed)])
        found.append(levels)
    return found


def _sign(token: int) -> int:
    """+1 and -1 for tokens of positive and of negative residuals, 0 for those of none or both."""
    return 0 if token == 0 or token >= DIRECT else 1 if token & 1 else -1


def _quarter_octaves(steps: int) -> int:
    """``2**(steps / 4)`` in 64-bit fixed point: the fourth root of ``2**steps * _ONE**4``."""
    return isqrt(isqrt(1 << (4 * _BITS + steps)))


def _geometric(scale: int, bounds: list[int]) -> list[int]:
    """Masses of the tokens where P(r) falls as theta**|r| and the mean of |r| is that of ``scale``.

    P(r) = (1 - theta) / (1 + theta) * theta**|r| has the mean 2 theta / (1 - theta**2), so
    theta = mean / (1 + sqrt(1 + mean**2)); all values from 2 n on, which are -n and what is larger in size, have the
    mass theta**n.
    """
    mean = _quarter_octaves(scale - SCALE_ONE)
    theta = mean * _ONE // (_ONE + isqrt(_ONE * _ONE + mean * mean))
    single = [(_ONE - theta) * _power(theta, (v + 1) // 2) // (_ONE + theta) for v in range(DIRECT)]
    powers = [_power(theta, v // 2) for v in bounds[DIRECT:]]
    return single + [max(a - b, 0) for a, b in pairwise(powers)]


def _power(theta: int, exponent: int) -> int:
    """``theta**exponent`` in fixed point, rounded down at every product: their order is part of the result."""
    result = _ONE
    while exponent:
        if exponent & 1:
            result = result * theta >> _BITS
        theta = theta * theta >> _BITS
        exponent >>= 1
    return result


@lru_cache(1)
def class_weights() -> Weights:
    """Weights ``[CLASSES + 1][CLASSES]``: near the preceding class; the last row is the first channel's."""
    # after an empty channel: more than ten to one empty again, as a warm start has its channels in order of variance;
    # else the lower the likelier, down by half every three classes, 1.5 octaves
    rows = [[1 << 19] + [(8 << max(10 - k // 3, 0)) for k in range(1, CLASSES)]]
    for before in range(1, CLASSES):
        # down by half with every class away from the preceding one; empty is the likelier the lower that was, down by
        # half every four classes, two octaves, from an eighth of the likeliest
        empty = max(4, 512 >> (before // 4))
        rows.append([empty] + [1 + (4096 >> min(abs(k - before), 12)) for k in range(1, CLASSES)])
    # the first channel: nearly even, a little more near a mean of one quantiser step
    first = [256] + [8 + (128 >> min(abs(k - CLASS_ONE) // 4, 7)) for k in range(1, CLASSES)]
    return [*rows, first]


def mode_weights(axes: int) -> tuple[list[int], list[int]]:
    """Weights of the predictors of a channel of class 0, and of another."""
    others = [4] * (modes(axes) - 2)
    # class 0 is nearly always all zeros, which mode 0 gives; of others about three in ten are predicted
    return [4096, 8, *others], [64, 16, *others]
