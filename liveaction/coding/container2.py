"""What stands before the chunks of a container of version 2, made and read. ``docs/stream.md`` is the specification."""

import copy
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.index import LONGEST_HEADER, MOST_CHUNKS, Index, check_end, check_item, read_header
from liveaction.coding.packed import unpack_text
from liveaction.coding.source import Source
from liveaction.coding.varint import LONGEST, read_varint, read_varints, write_varint, write_varints
from liveaction.errors import FormatError, IntegrityError

LONGEST_SIDE = 1 << 24
MOST_ITEMS = 1 << 16
START = 10
"""Bytes of magic and version, which every version has."""

_CRC = 4
_PIECE = 1 << 16  # of the head, looked at at a time


class NewItem:
    """An item that is being written: its header and side as bytes; lengths and checksums of its chunks as they come."""

    def __init__(self, header: bytes, side: bytes, count: int) -> None:
        self.header, self.side, self.count, self.chunks = header, side, count, 0
        self._lengths, self._crcs, self._bytes = bytearray(), bytearray(), 0

    @property
    def size(self) -> int:
        """Bytes of its part of the head and of its chunks so far."""
        return len(self.build()) + self._bytes

    def add(self, chunk: bytes) -> None:
        """Take note of the next chunk."""
        self._bytes += len(chunk)
        self._lengths += write_varint(len(chunk))
        self._crcs += zlib.crc32(chunk).to_bytes(_CRC, "little")
        self.chunks += 1

    def build(self) -> bytes:
        """Its part of the head."""
        sizes = write_varints([len(self.header), len(self.side), self.chunks, len(self._lengths)])
        return b"".join([sizes, self.header, self.side, self._lengths, self._crcs])


def build_head(start: bytes, items: list[NewItem]) -> bytes:
    """All that stands before the chunks; ``start`` is magic and version."""
    head = b"".join([write_varint(len(items)), *(item.build() for item in items)])
    whole = start + write_varint(len(head)) + head
    return whole + zlib.crc32(whole).to_bytes(_CRC, "little")


@dataclass(frozen=True)
class _Item:
    """Where an item's parts are: bytes of header, side and lengths, how many chunks. It begins at ``begin`` with their
    sizes, they at ``at``."""

    begin: int
    at: int
    header: int
    side: int
    chunks: int
    lengths: int

    @property
    def bytes(self) -> int:
        """Of the head, its sizes with them."""
        return self.end - self.begin

    @property
    def lengths_at(self) -> int:
        return self.at + self.header + self.side

    @property
    def crcs_at(self) -> int:
        return self.lengths_at + self.lengths

    @property
    def end(self) -> int:
        return self.crcs_at + _CRC * self.chunks


@dataclass(frozen=True)
class _Place:
    """Where an item's first chunk is, and the CRC-32 of its part of the head."""

    first: int
    crc: int


class Head2:
    """What stands before the chunks.

    Attributes:
        prefix: tells one stream from another: it holds the checksum of all that holds checksums.
        items: how many there are; ``header``, ``side`` and ``chunks`` are those of one.
        own: bytes of the head that are the item's.

    Raises:
        FormatError, IntegrityError: as :class:`liveaction.coding.container.ContainerReader`.
    """

    version = 2

    def __init__(self, source: Source, where: str, item: int) -> None:
        self._source, self._where = source, where
        start = source.read_at(0, START + LONGEST)
        size, self._at = self._varint(start, START)
        self._end = self._at + size
        if source.size < self._end + _CRC:
            raise FormatError(
                f"{where}: expected at least {self._end + _CRC} bytes of header and index, got {source.size}; the file "
                "is cut short"
            )
        self._crc = source.read_at(self._end, _CRC)
        self.prefix = start[: self._at] + self._crc
        self._check()
        self._items = self._walk()
        self.items = len(self._items)
        self._places, self._first = list[_Place](), b""
        self._take(item)

    def at(self, item: int) -> "Head2":
        """The same head as another item has it; only what is that item's is read."""
        other = copy.copy(self)
        other._take(item)
        return other

    def _take(self, item: int) -> None:
        check_item(item, self.items, self._where)
        found, self._item = self._items[item], item
        self.chunks, self.own = found.chunks, found.bytes
        self.header = self._header(item)
        self.side = self._source.read_at(found.at + found.header, found.side)

    def read_index(self) -> Index:
        """In pieces: what a damaged or sparse index claims takes no memory. The first time all items are looked at."""
        own = self._items[self._item]
        lengths = list(self._lengths(own))
        crcs = list[NDArray[np.uint32]]()
        for at in range(own.crcs_at, own.end, _PIECE):
            piece = self._source.read_at(at, min(_PIECE, own.end - at))
            crcs.append(np.frombuffer(piece[: len(piece) // _CRC * _CRC], "<u4"))  # it may shrink meanwhile
        if not self._places:
            self._places += self._find_places()
        elif self._crc_of(own.begin, own.end) != self._places[self._item].crc:  # it may have changed meanwhile
            raise self._damage()
        return Index(self._places[self._item].first, lengths, crcs)

    def _find_places(self) -> list["_Place"]:
        """Where every item's chunks begin; their lengths lead to the end of the file."""
        place, places = self._end + _CRC, list[_Place]()
        for item in self._items:
            places.append(_Place(place, self._crc_of(item.begin, item.end)))
            for lengths in self._lengths(item):
                place += int(lengths.sum())
        self._check()  # the file may have changed since the header was read
        check_end(place, self._source.size, self._where)
        return places

    def _check(self) -> None:
        if self._crc_of(0, self._end) != int.from_bytes(self._crc, "little"):
            raise self._damage()

    def _crc_of(self, begin: int, end: int) -> int:
        crc = 0
        for at in range(begin, end, _PIECE):
            crc = zlib.crc32(self._source.read_at(at, min(_PIECE, end - at)), crc)
        return crc

    def _damage(self) -> IntegrityError:
        expected = int.from_bytes(self._crc, "little")
        return IntegrityError(
            f"{self._where}: expected checksum {expected:08x} of header and index, got another; the file is damaged"
        )

    def _walk(self) -> list[_Item]:
        """Where the items are, each within the head."""
        count, at = self._varint(self._source.read_at(self._at, LONGEST), 0)
        if not 0 < count <= MOST_ITEMS:
            raise FormatError(f"{self._where}: expected 1 to {MOST_ITEMS} items, got {count}")
        at, items = self._at + at, list[_Item]()
        for _ in range(count):
            sizes, read = [], 0
            data = self._source.read_at(at, 4 * LONGEST)
            for _ in range(4):
                value, read = self._varint(data, read)
                sizes.append(value)
            item = _Item(at, at + read, *sizes)
            self._check_sizes(item)
            items.append(item)
            at = item.end
        if at != self._end:
            raise FormatError(f"{self._where}: expected header and index to end at byte {self._end}, got {at}")
        return items

    def _check_sizes(self, item: _Item) -> None:
        where = self._where
        if item.header > LONGEST_HEADER:
            raise FormatError(f"{where}: expected a header of at most {LONGEST_HEADER} bytes, got {item.header}")
        if item.side > LONGEST_SIDE:
            raise FormatError(f"{where}: expected at most {LONGEST_SIDE} bytes beside the header, got {item.side}")
        if item.chunks > MOST_CHUNKS:
            raise FormatError(f"{where}: expected at most {MOST_CHUNKS} chunks, got {item.chunks}")
        if item.end > self._end:
            raise FormatError(f"{where}: expected header and index to end at byte {self._end}, got {item.end}")
        if not item.chunks <= item.lengths <= LONGEST * item.chunks:
            raise FormatError(f"{where}: expected {item.chunks} lengths of chunks, got {item.lengths} bytes of them")

    def _header(self, number: int) -> dict[str, Any]:
        text = b""
        if not self._first or not number:
            text, self._first = self._text(self._items[0], b"")
        if number:
            text, _ = self._text(self._items[number], self._first)
        return read_header(text, self._where)

    def _text(self, item: _Item, before: bytes) -> tuple[bytes, bytes]:
        return unpack_text(self._source.read_at(item.at, item.header), before, LONGEST_HEADER, self._where)

    def _lengths(self, item: _Item) -> Iterator[NDArray[np.int64]]:
        """Lengths of an item's chunks, piece by piece; each at least 1, so that what is not there has none."""
        left, counted, limit = b"", 0, self._source.size
        for at in range(item.lengths_at, item.crcs_at, _PIECE):
            data = left + self._source.read_at(at, min(_PIECE, item.crcs_at - at))
            cut = len(data) - next((n for n, byte in enumerate(data[: -LONGEST - 1 : -1]) if byte < 0x80), len(data))
            data, left = data[:cut], data[cut:]
            try:
                lengths = read_varints(data)
            except ValueError as error:
                raise self._wrong(error) from error
            if len(lengths) and not 0 < lengths.min() <= lengths.max() <= limit:
                worst = lengths.min() if lengths.min() < 1 else lengths.max()
                raise FormatError(f"{self._where}: expected chunks of 1 to {limit} bytes, got {worst}")
            counted += len(lengths)
            yield lengths
        if counted != item.chunks or left:
            raise FormatError(f"{self._where}: expected {item.chunks} lengths of chunks, got {counted}")

    def _varint(self, data: bytes, at: int) -> tuple[int, int]:
        try:
            return read_varint(data, at)
        except ValueError as error:
            raise self._wrong(error) from error

    def _wrong(self, error: ValueError) -> FormatError:
        return FormatError(f"{self._where}: expected sizes of header and index, got: {error}")
