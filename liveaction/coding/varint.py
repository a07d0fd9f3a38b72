"""Numbers of as many bytes as they need: seven bits a byte, the lowest first, the high bit set where more follow.

One number has one form: its last byte is not 0 unless it is the only one.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

LONGEST = 9
"""Bytes of a number, which is below 2**63: it fits an int64."""


def write_varint(value: int) -> bytes:
    """Bytes of a number from 0 to 2**63 - 1."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_varints(values: Iterable[int]) -> bytes:
    """Bytes of numbers one after the other."""
    return b"".join(map(write_varint, values))


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it.

    Raises:
        ValueError: the bytes end within it, it is longer than :data:`LONGEST`, or not its shortest form.
    """
    value = 0
    for number, byte in enumerate(data[at : at + LONGEST]):
        value |= (byte & 0x7F) << 7 * number
        if byte < 0x80:
            if byte == 0 and number:
                raise ValueError("expected the shortest form of a number, got a longer one")
            return value, at + number + 1
    raise ValueError(f"expected a number of at most {LONGEST} bytes, got none that ends")


def read_varints(data: bytes) -> NDArray[np.int64]:
    """All numbers of bytes that end with one.

    Raises:
        ValueError: as :func:`read_varint`.
    """
    found = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(found < 0x80)
    if len(found) and (not len(ends) or ends[-1] != len(found) - 1):
        raise ValueError("expected a number that ends, got none")
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    lengths = ends - starts + 1
    if len(ends) and lengths.max() > LONGEST:
        raise ValueError(f"expected numbers of at most {LONGEST} bytes, got {lengths.max()}")
    if ((found[ends] == 0) & (lengths > 1)).any():
        raise ValueError("expected the shortest form of a number, got a longer one")
    places = np.arange(len(found)) - np.repeat(starts, lengths)
    parts = (found & 0x7F).astype(np.int64) << 7 * places
    sums: NDArray[np.int64] = np.add.reduceat(parts, starts) if len(starts) else np.zeros(0, np.int64)
    return sums
