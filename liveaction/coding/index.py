"""What containers of all versions share: the index of chunks, the header as JSON, limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.strict_json import read_json_bytes

LONGEST_HEADER = 1 << 24
MOST_CHUNKS = 1 << 28


@dataclass(frozen=True)
class Entry:
    """Where a chunk lies in the file, how long it is, and its CRC-32."""

    offset: int
    length: int
    crc: int


class Index(Sequence[Entry]):
    """The entries of an index, twelve bytes each.

    Args:
        first: where the first chunk begins.
        lengths, crcs: of the chunks, in pieces.
    """

    def __init__(self, first: int, lengths: list[NDArray[np.int64]], crcs: list[NDArray[np.uint32]]) -> None:
        self._ends = np.concatenate([np.array([first], np.int64), *lengths])
        np.cumsum(self._ends, out=self._ends)
        self._crcs = np.concatenate([np.zeros(0, "<u4"), *crcs])

    def __len__(self) -> int:
        return len(self._crcs)

    @overload
    def __getitem__(self, key: int) -> Entry: ...
    @overload
    def __getitem__(self, key: slice) -> list[Entry]: ...
    def __getitem__(self, key: int | slice) -> Entry | list[Entry]:
        if isinstance(key, slice):
            return [self[number] for number in range(len(self))[key]]
        number = range(len(self))[key]
        begin, end = int(self._ends[number]), int(self._ends[number + 1])
        return Entry(begin, end - begin, int(self._crcs[number]))

    @property
    def bytes_of_chunks(self) -> int:
        """Of all chunks together."""
        return int(self._ends[-1] - self._ends[0])


def check_end(expected: int, size: int, where: str) -> None:
    """Refuse a file whose size is not the one that its index says.

    Raises:
        FormatError: it is cut short, or something was appended.
    """
    if expected > size:
        raise FormatError(f"{where}: expected {expected} bytes, got {size}; the file is cut short")
    if expected < size:
        raise FormatError(f"{where}: expected {expected} bytes, got {size}; something was appended")


def check_item(item: int, items: int, where: str) -> None:
    """Refuse an item that a container does not hold.

    Raises:
        FormatError: there is none of that number.
    """
    if not 0 <= item < items:
        raise FormatError(f"{where}: expected an item from 0 to {items - 1}, got {item}")


def read_header(text: bytes, where: str) -> dict[str, Any]:
    """A header's JSON object.

    Raises:
        FormatError: no such text, or it holds something else.
    """
    header = read_json_bytes(text, where)
    if not isinstance(header, dict):
        raise FormatError(f"{where}: expected a JSON object as header, got {type(header).__name__}")
    return header
