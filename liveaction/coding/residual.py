"""What is left of a chunk's samples, as integers, to bytes: contexts of what lies around, which learn as it goes.

Every chunk begins anew, knowing nothing. docs/entropy.md says how bytes are laid out.
"""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.mixing import EVEN
from liveaction.errors import FormatError

END_BITS = 8
"""Even decisions of 0 behind the last sample: of damaged chunks one in 256 passes them."""
SAMPLE_BITS = 576
"""Of a sample at most: 12 decisions and 31 exponents of 11 bits, 12 lower and 30 further bits, a sign of 11."""

Residuals = NDArray[np.int64]


def most_residual(samples: int) -> int:
    """Bytes of so many samples at most."""
    return samples * SAMPLE_BITS // 8 + 64


def encode_residual(values: Residuals, skip: NDArray[np.bool_] | None = None) -> bytes:
    """Bytes of integers ``[C, *S]``; where there is nothing but 0, some.

    Args:
        values: at most ``residual_numba.MOST`` in size, or ``residual_numba.VERBATIM`` for what is kept otherwise.
        skip: ``[C, *S]``, where nothing is coded; nowhere where None.
    """
    from liveaction.coding.mixing_walk_numba import even
    from liveaction.coding.range_numba import begin, finish

    data = np.empty(most_residual(values.size), np.uint8)
    state = begin()
    _walk(np.array(values, np.int64), skip, state, data)
    even(0, END_BITS, state, data)
    return data[: finish(state, data)].tobytes()


def decode_residual(
    data: bytes, shape: tuple[int, ...], skip: NDArray[np.bool_] | None = None, where: str = "residual"
) -> Residuals:
    """The integers of :func:`encode_residual`, ``shape`` ``[C, *S]``; 0 where they were skipped.

    Raises:
        FormatError: the bytes are not those of so many.
    """
    from liveaction.coding.mixing_walk_numba import even
    from liveaction.coding.range_numba import AT, CODE, FULL, begin

    given = np.frombuffer(bytearray(data), np.uint8)
    state = begin(given)
    if state[CODE] == FULL:  # below the range it stays below it
        raise FormatError(f"{where}: expected no four bytes of 255 in front, got them; the data are damaged")
    values = _walk(np.zeros(shape, np.int64), skip, state, given)
    end = even(0, END_BITS, state, given)
    read, count = int(state[AT]), len(given)
    if end or count > read or (count and not given[-1]):
        raise FormatError(
            f"{where}: expected residuals that end at their bytes, at most {read}, got {count}; the data are damaged"
        )
    return values


def _walk(values: Residuals, skip: NDArray[np.bool_] | None, state: NDArray[np.int64], data: Any) -> Residuals:
    """Put or get values, in place."""
    from liveaction.coding.residual_numba import DECISIONS, EXPONENTS, INPUTS, ROWS, SETS, SHIFTS, SIGNS, walk

    lines = _lines(values.shape)
    height, width = lines[2:]
    mixers = np.full((DECISIONS * ROWS, INPUTS), round(0.4 * 65536), np.int64)
    mixers[:, -1] = 0
    counters = (np.full(n, EVEN, np.uint32) for n in (EXPONENTS, SHIFTS * 4, SIGNS))
    walk(
        values.reshape(lines), np.zeros((0, 0, 0, 0), bool) if skip is None else skip.reshape(lines),
        np.zeros((2, height + 2, width + 3), np.int64), np.zeros((height, width), np.int64),
        np.full(sum(SETS) * DECISIONS, EVEN, np.uint32), mixers, *counters, state, data,
    )  # fmt: skip
    return values


def _lines(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Channels, planes, rows and samples of a row: all axes but the last two count planes."""
    extents = (1, 1, *shape[1:])
    return shape[0], prod(extents[:-2]), extents[-2], extents[-1]
