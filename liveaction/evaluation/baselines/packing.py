"""Small headers of baselines: whole numbers of as few bytes as they need, and parts whose common beginning stands once.

Slices coded one by one each repeat the codec's own header. Keeping what all parts begin with only once, and lengths in
one to three bytes, costs a rival nothing that it would not pay within a container made for volumes.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError


class Writer:
    """Bytes, appended."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def whole(self, *numbers: int) -> None:
        """Non-negative integers, seven bits to a byte, least first; the top bit says that more follow (LEB128)."""
        for number in numbers:
            while number >= 128:
                self._bytes.append(number & 127 | 128)
                number >>= 7
            self._bytes.append(number)

    def pack(self, layout: str, *values: float) -> None:
        """Numbers by a layout of :mod:`struct`, little-endian."""
        self._bytes += struct.pack("<" + layout, *values)

    def raw(self, data: bytes) -> None:
        """A length, then bytes."""
        self.whole(len(data))
        self._bytes += data

    def parts(self, parts: Sequence[bytes]) -> None:
        """Byte strings: their number, what all begin with, and the rest of each."""
        start = _common_start(parts) if len(parts) > 1 else b""
        self.whole(len(parts))
        self.raw(start)
        for part in parts:
            self.raw(part[len(start) :])

    def integers(self, numbers: NDArray[np.int64]) -> None:
        """Integers that differ by less than 2**31, in as many bits each as their range needs."""
        least = int(numbers.min())
        width = int(numbers.max() - least).bit_length()
        self.pack("iB", least, width)
        places = (numbers - least)[:, np.newaxis] >> np.arange(width) & 1
        self._bytes += np.packbits(places.astype(np.uint8)).tobytes()

    def done(self) -> bytes:
        """All of it."""
        return bytes(self._bytes)


class Reader:
    """What a :class:`Writer` has written, in the same order.

    Raises:
        FormatError: the data end before what is asked for.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def _take(self, count: int) -> bytes:
        if self._at + count > len(self._data):
            raise FormatError(
                f"baseline: expected {self._at + count} bytes, got {len(self._data)}; decode what encode gave"
            )
        self._at += count
        return self._data[self._at - count : self._at]

    def whole(self) -> int:
        """One non-negative integer."""
        number = shift = 0
        while (byte := self._take(1)[0]) >= 128:
            number |= (byte & 127) << shift
            shift += 7
        return number | byte << shift

    def wholes(self, count: int) -> tuple[int, ...]:
        """Several of them."""
        return tuple(self.whole() for _ in range(count))

    def unpack(self, layout: str) -> tuple[float, ...]:
        """Numbers by a layout of :mod:`struct`."""
        layout = "<" + layout
        return struct.unpack(layout, self._take(struct.calcsize(layout)))

    def integers(self, count: int) -> NDArray[np.int64]:
        """As many integers."""
        least, width = (int(number) for number in self.unpack("iB"))
        packed = np.frombuffer(self._take((count * width + 7) // 8), np.uint8)
        places = np.unpackbits(packed, count=count * width).reshape(count, width).astype(np.int64)
        numbers: NDArray[Any] = (places << np.arange(width)).sum(axis=1) + least
        return numbers

    def raw(self) -> bytes:
        """Bytes after their length."""
        return self._take(self.whole())

    def rest(self) -> bytes:
        """All that is left."""
        return self._take(len(self._data) - self._at)

    def parts(self) -> list[bytes]:
        """Byte strings."""
        count = self.whole()
        start = self.raw()
        return [start + self.raw() for _ in range(count)]


def _common_start(parts: Sequence[bytes]) -> bytes:
    """What all parts begin with: what the first and the last in order of the alphabet share."""
    first, last = min(parts), max(parts)
    return next((first[:at] for at, (one, two) in enumerate(zip(first, last, strict=False)) if one != two), first)
