"""What the entries of tables cost in bits, for an encoder that weighs them against errors."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.layout import DIRECT, ESCAPE, ESCAPE_BITS, TOKENS

PRECISION = 16
"""Binary logarithm of the sum of a row of frequencies."""


class Costs(NamedTuple):
    """Bits, all float32.

    Attributes:
        residuals: ``[512, 116]``, of tokens with their raw bits.
        classes: ``[79, 78]``.
        modes: ``[L, 2, 3 + D]``.
    """

    residuals: NDArray[np.float32]
    classes: NDArray[np.float32]
    modes: NDArray[np.float32]


def costs_of(residuals: NDArray[np.uint16], classes: NDArray[np.uint16], modes: NDArray[np.uint16]) -> Costs:
    """Those of the tables of these names."""
    bits = _bits(np.maximum(residuals, 1))
    bits = np.where(residuals > 0, bits, bits[:, ESCAPE:] + ESCAPE_BITS)[:, :TOKENS]
    raw = np.maximum((np.arange(TOKENS) - DIRECT) // 4 + 3, 0) * (np.arange(TOKENS) >= DIRECT)
    return Costs((bits + raw).astype(np.float32), _bits(classes), _bits(modes))


def _bits(frequencies: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (PRECISION - np.log2(frequencies.astype(np.float32))).astype(np.float32)
