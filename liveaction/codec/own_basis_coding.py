"""The bytes of an own basis: a scale and one chunk of integers; and the orthonormal rows that those stand for."""

import struct
from functools import lru_cache
from math import ldexp, log2, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.entropy import ideal_bits
from liveaction.coding.fast import decode_chunk, encode_chunk
from liveaction.coding.layout import LARGEST, SOURCES
from liveaction.coding.tables import EntropyTables, generic_tables
from liveaction.errors import FormatError

MOST_EXPONENT = 2048
"""In size, of a quantum: steps from 2**-100 to 2**100 and all of float32 lie within, and float64 does not end."""
LEAST_SINE = 2.0**-20
"""A vector leans at least so much out of the span of those before it: of less, rounding at 2**-52 would be a share of
2**-32 and more, which float32 sees."""
_QUARTERS = 1.0, sqrt(sqrt(2)), sqrt(2), sqrt(2) * sqrt(sqrt(2))
_HEAD = struct.Struct("<hB")


class Scale(NamedTuple):
    """What the integers of a basis are multiples of.

    Attributes:
        exponent: ``step * 2**(-exponent / 4)`` is the quantum of the vectors.
        octaves: that of the mean is ``2**octaves`` times as large.
    """

    exponent: int
    octaves: int

    def quanta(self, step: float) -> tuple[float, float]:
        """Of the mean and of the vectors, the same on every machine."""
        whole, quarter = divmod(-self.exponent, 4)
        vectors = ldexp(step * _QUARTERS[quarter], whole)
        return ldexp(vectors, self.octaves), vectors


def fitting_scale(step: float, positions: float, mean: float, loading: float) -> Scale:
    """Quanta next to ``step / sqrt(positions)``, so far coarser that the largest mean and loading are below 2**24.

    A quarter octave is fine enough: 9 % off the quantum costs a hundredth of a bit for each number. What is coarser is
    so by powers of two. Of a mean as large as that, 2**-24 is what float32 drops.
    """
    scale = Scale(round(2 * log2(positions)), 0)
    while np.rint(loading / scale.quanta(step)[1]) >= LARGEST:
        scale = Scale(scale.exponent - 4, 0)
    while np.rint(mean / scale.quanta(step)[0]) >= LARGEST:
        scale = Scale(scale.exponent, scale.octaves + 1)
    return scale


def pack(symbols: NDArray[np.int32], scale: Scale) -> bytes:
    """Bytes of int32 ``[1 + K, C]``: a row, the mean or a component, is a channel of the entropy coder."""
    return _HEAD.pack(*scale) + encode_chunk([symbols], [_tables(len(symbols))])


def unpack(data: bytes, shape: tuple[int, int], where: str) -> tuple[NDArray[np.int32], Scale]:
    """Integers of ``shape`` and their scale from :func:`pack`.

    Raises:
        FormatError: the bytes are not those of so many integers.
    """
    if len(data) < _HEAD.size:
        raise FormatError(f"{where}: expected a scale of {_HEAD.size} bytes first, got {len(data)} bytes")
    scale = Scale(*_HEAD.unpack_from(data))
    if abs(scale.exponent) > MOST_EXPONENT:
        raise FormatError(f"{where}: expected an exponent of at most {MOST_EXPONENT} in size, got {scale.exponent}")
    return decode_chunk(data[_HEAD.size :], [shape], [_tables(shape[0])], where)[0], scale


def bits_after(rows: list[NDArray[np.int32]], row: NDArray[np.int32]) -> float:
    """Bits that ``row`` takes in a chunk after ``rows``, of which the coder looks at the last few."""
    before = rows[-SOURCES:]
    bits = ideal_bits([np.stack([*before, row])], [_tables(len(before) + 1)])
    return bits - ideal_bits([np.stack(before)], [_tables(len(before))]) if before else bits


def orthonormal(vectors: NDArray[np.int32], where: str) -> NDArray[np.float64]:
    """Rows ``[K, C]`` that span what the first ones of ``vectors`` ``[K, C]`` do, by Householder's reflections.

    Each has a positive product with its vector, so that nothing is left to choice.

    Raises:
        FormatError: a vector is zero, or within :data:`LEAST_SINE` of a sum of those before it.
    """
    used = vectors.any(0)  # reflections would leave 1e-17 where every vector is 0
    rows = vectors[:, used].astype(np.float64)
    lengths = np.sqrt((rows * rows).sum(1))
    if not lengths.all():
        raise FormatError(f"{where}: expected vectors other than 0, got one at {int(np.argmin(lengths))}")
    q, r = np.linalg.qr((rows / lengths[:, None]).T)
    sines = np.diagonal(r)
    dependent = np.append(np.abs(sines) < LEAST_SINE, len(sines) < len(rows))
    if dependent.any():
        at = int(np.argmax(dependent))
        raise FormatError(f"{where}: expected independent vectors, got one at {at} that those before it make up")
    found = np.zeros(vectors.shape)
    found[:, used] = (q * np.sign(sines)).T
    return found


@lru_cache(16)
def _tables(rows: int) -> EntropyTables:
    return generic_tables(rows, 1)
