"""Frequencies that need no data: geometric mixtures in fixed point, the same on every machine."""

from functools import lru_cache
from itertools import pairwise
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.layout import CLASSES, DIRECT, LEVELS, SCALE_ONE, SCALES, TOKENS, modes

FREQUENCIES = 1 << 16
"""Sum of every row of frequencies."""
_ONE = 1 << 64
Weights = list[list[int]]


def quantised(weights: list[int], least: int) -> NDArray[np.uint16]:
    """Frequencies that sum up to 2**16, in proportion to integer ``weights``, each at least ``least``.

    What rounding leaves over goes to the greatest.
    """
    total, room = sum(weights), FREQUENCIES - least * len(weights)
    shares = [(2 * w * room + total) // (2 * total) + least for w in weights]
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
    """First value of every token, and the end of the last."""
    return [*range(DIRECT), *((4 + (t & 3)) << (3 + (t >> 2)) for t in range(TOKENS - DIRECT + 1))]


@lru_cache(1)
def residual_weights() -> list[Weights]:
    """Weights ``[SCALES][LEVELS][TOKENS]``: three geometric laws of half, once and twice the mean, leaning by level."""
    bounds = token_bounds()
    laws = [_geometric(scale, bounds) for scale in range(-4, SCALES + 4)]
    found = []
    for scale in range(SCALES):
        mean = _quarter_octaves(scale - SCALE_ONE)
        mixed = [a + 2 * b + c for a, b, c in zip(laws[scale], laws[scale + 4], laws[scale + 8], strict=True)]
        levels = []
        for level in range(LEVELS):
            away = _ONE * (2 * level + 1) // 16
            lean = _ONE * away // (mean + 2 * away)
            levels.append([(w * (_ONE + _sign(t) * lean) >> 64) + 1 for t, w in enumerate(mixed)])
        found.append(levels)
    return found


def _sign(token: int) -> int:
    """+1 and -1 for tokens of one sign, 0 for those of none or both."""
    return 0 if token == 0 or token >= DIRECT else 1 if token & 1 else -1


def _quarter_octaves(steps: int) -> int:
    """``2**(steps / 4)`` in 64-bit fixed point."""
    return isqrt(isqrt(1 << (256 + steps)))


def _geometric(scale: int, bounds: list[int]) -> list[int]:
    """Masses of the tokens where P(r) falls as theta**|r| and the mean of |r| is that of ``scale``."""
    mean = _quarter_octaves(scale - SCALE_ONE)
    theta = mean * _ONE // (_ONE + isqrt(_ONE * _ONE + mean * mean))
    single = [(_ONE - theta) * _power(theta, (v + 1) // 2) // (_ONE + theta) for v in range(DIRECT)]
    powers = [_power(theta, v // 2) for v in bounds[DIRECT:]]
    return single + [max(a - b, 0) for a, b in pairwise(powers)]


def _power(theta: int, exponent: int) -> int:
    result = _ONE
    while exponent:
        if exponent & 1:
            result = result * theta >> 64
        theta = theta * theta >> 64
        exponent >>= 1
    return result


@lru_cache(1)
def class_weights() -> Weights:
    """Weights ``[CLASSES + 1][CLASSES]``: near the preceding class; the last row is the first channel's."""
    rows = [[1 << 19] + [(8 << max(10 - k // 3, 0)) for k in range(1, CLASSES)]]
    for before in range(1, CLASSES):
        rows.append(
            [max(4, 512 >> (before // 4))] + [1 + (4096 >> min(abs(k - before), 12)) for k in range(1, CLASSES)]
        )
    return [*rows, [256] + [8 + (128 >> min(abs(k - 26) // 4, 7)) for k in range(1, CLASSES)]]


def mode_weights(axes: int) -> tuple[list[int], list[int]]:
    """Weights of the predictors of a channel of class 0, and of another."""
    count = modes(axes)
    return [4096, 8] + [4] * (count - 2), [64, 16] + [4] * (count - 2)
