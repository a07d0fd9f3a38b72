"""Lapped transform of one axis, as the kernels for CPUs take it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class AxisBlocks:
    """Blocks of M samples, a filter across every border between two and a transform of each block; forth and back.

    Of the h = M // 2 samples on either side of a border, mirrored pairs (a, b), a before it, become (a + b) / 2 plus
    and minus a product of all differences a - b. A transform has symmetric even rows and antisymmetric odd ones, so
    it is two products of half the size, over sums and differences of a block's mirrored samples; the middle one of an
    odd block counts as a sum. The even rows may be folded so again, ``folds`` times in all before the last.

    Tables are float32, with zeros behind to multiples of 4 rows and columns, as the kernel takes 4 of each at a time.

    Attributes:
        factor: M.
        border: ``[h, h]``, rows and columns from the border outwards.
        even: ``[n - n // 2, n - n // 2]`` with n = M / 2**folds: even rows of the last fold, of half its columns.
        odd: the odd rows of every fold, of half its columns from the middle outwards, one table behind the other, flat.
        rows: int64 ``[M]``: where each row of the transform is among those of ``even`` and of the tables of ``odd``,
            padding counted.
        border_back, even_back, odd_back: the same for the inverse, which is the transpose for a transform.
    """

    factor: int
    folds: int
    border: NDArray[np.float32]
    even: NDArray[np.float32]
    odd: NDArray[np.float32]
    rows: NDArray[np.int64]
    border_back: NDArray[np.float32]
    even_back: NDArray[np.float32]
    odd_back: NDArray[np.float32]
