"""The container: a header, an index, chunks; every byte is checked. ``docs/stream.md`` is the specification.

Version 2 is written, version 1 is read as well. The magic has a high bit and both line endings, so a transfer as text
is noticed.
"""

import zlib
from typing import Any, BinaryIO

from liveaction.coding.container1 import Head1
from liveaction.coding.container2 import LONGEST_SIDE, MOST_ITEMS, START, Head2, NewItem, build_head
from liveaction.coding.index import LONGEST_HEADER, MOST_CHUNKS, Entry, Index, read_header
from liveaction.coding.packed import pack_text, payload_of
from liveaction.coding.source import Source
from liveaction.errors import FormatError, IntegrityError
from liveaction.strict_json import write_json_bytes

__all__ = ["LONGEST_HEADER", "MAGIC", "MOST_CHUNKS", "VERSION", "ContainerReader", "ContainerWriter", "Entry", "Index"]

MAGIC = b"\x89LVA\r\n\x1a\n"
VERSION = 2
_PIECE = 1 << 20  # of a chunk, or of the file, at a time


class ContainerWriter:
    """Writes a container: chunks as they come; what stands before them, which nobody can know sooner, at the end.

    Args:
        file: empty; open to read, write and seek. Nothing is written before the first chunk.
        header: JSON data.
        chunks: how many will come.
        side: bytes beside the header, that the transform of this signal needs.

    Attributes:
        header: as a reader finds it.

    Raises:
        FormatError: a reader would refuse the header or the side; what is at fault is named.
    """

    def __init__(self, file: BinaryIO, header: dict[str, Any], chunks: int, side: bytes = b"") -> None:
        self._file, self._size, self._first = file, 0, b""
        self._items = list[NewItem]()
        self.next_item(header, chunks, side)

    def next_item(self, header: dict[str, Any], chunks: int, side: bytes = b"") -> None:
        """Begin another item; arguments and errors as for the first.

        Raises:
            FormatError: as for the first, or there are as many as a container holds.
            ValueError: the chunks of the item before are not all there.
        """
        self._check_count()
        if len(self._items) == MOST_ITEMS:
            raise FormatError(f"stream: expected at most {MOST_ITEMS} items, got more; make several streams of them")
        way = "change it in the source, or leave it out there"
        text = write_json_bytes(header, "stream", way, LONGEST_HEADER)
        self.header = read_header(text, "stream")
        if len(side) > LONGEST_SIDE:
            raise FormatError(f"stream: expected at most {LONGEST_SIDE} bytes beside the header, got {len(side)}")
        self._items.append(NewItem(pack_text(text, self._first), side, chunks))
        self._first = self._first or payload_of(text)

    def add(self, chunk: bytes) -> None:
        """Append the next chunk, of at least one byte."""
        if not chunk:
            raise ValueError("expected a chunk of at least one byte, got none")
        self._items[-1].add(chunk)
        self._file.write(chunk)
        self._size += len(chunk)

    @property
    def item_bytes(self) -> int:
        """That the item at hand takes of the container so far: its part of the head, and its chunks."""
        return self._items[-1].size

    def close(self) -> int:
        """Move the chunks to their place and write what stands before them; the file itself stays open.

        Returns:
            The size of the container in bytes.
        """
        self._check_count()
        head = build_head(MAGIC + VERSION.to_bytes(2, "little"), self._items)
        for end in range(self._size, 0, -_PIECE):
            begin = max(0, end - _PIECE)
            self._file.seek(begin)
            data = self._file.read(end - begin)
            self._file.seek(begin + len(head))
            self._file.write(data)
        self._file.seek(0)
        self._file.write(head)
        self._file.seek(len(head) + self._size)
        return len(head) + self._size

    def _check_count(self) -> None:
        for item in self._items[-1:]:
            if item.chunks != item.count:
                raise ValueError(f"expected {item.count} chunks, got {item.chunks}")


class ContainerReader:
    """Reads a container at any place; chunks only when they are asked for. Threads and forked processes may share it.

    It may be pickled where its source may, and is refused where that holds another stream when it is opened again.

    Args:
        file: from its beginning to its end a container; a file object must be able to seek.
        where: stands first in errors.
        item: which of its items; most containers have one.

    Attributes:
        where: as given; who knows what an item is called may change it.
        item: as given.
        version: of the container, 1 or 2.
        items: how many it holds.
        header, chunks, side: of the item: JSON data, how many chunks, and bytes beside the header.
        size: of the container in bytes.

    Raises:
        FormatError: not a container, a version this one does not know, cut short, or longer than its index says.
        IntegrityError: a checksum does not match.
    """

    def __init__(self, file: Source | BinaryIO, where: str, item: int = 0) -> None:
        self._source, self.where, self.item = file if isinstance(file, Source) else Source(file), where, item
        self.size = self._source.size
        self.version = _version_of(self._source.read_at(0, START), where)
        self._head = (Head1 if self.version == 1 else Head2)(self._source, where, item)
        self.prefix, self.items = self._head.prefix, self._head.items
        self._take()

    def _take(self) -> None:
        self.chunks, self.header, self.side = self._head.chunks, self._head.header, self._head.side
        self._entries: Index | None = None

    def at(self, item: int) -> "ContainerReader":
        """The same container as another item has it; what both need is not read again.

        Raises:
            FormatError: it holds no such item, or its header is not right.
        """
        other = ContainerReader.__new__(ContainerReader)
        vars(other).update(vars(self))  # copy.copy would open it again
        other._head, other.item = self._head.at(item), item
        other._take()
        return other

    @property
    def overhead(self) -> int:
        """Bytes that are not chunks: all of them where there is one item, else the item's part of the head."""
        return self._head.own if self.items > 1 else self.size - self.entries.bytes_of_chunks

    @property
    def entries(self) -> Index:
        """The index, read when it is first asked for, and checked against the size of the file."""
        if self._entries is None:
            self._entries = self._head.read_index()
        return self._entries

    def read(self, number: int, most: int | None = None) -> bytes:
        """The bytes of a chunk.

        Args:
            number: in the order of the index.
            most: a longer one is refused before it is read.

        Raises:
            IntegrityError: they are not the ones that were written.
            FormatError: they are more than ``most``.
        """
        entry = self._entry(number, most)
        data = self._source.read_at(entry.offset, entry.length)
        if len(data) != entry.length or zlib.crc32(data) != entry.crc:
            raise self._damage(number)
        return data

    def check(self, number: int, most: int | None = None) -> None:
        """What :meth:`read` checks, piece by piece.

        Raises:
            IntegrityError, FormatError: as :meth:`read`.
        """
        entry = self._entry(number, most)
        crc, end = 0, entry.offset + entry.length
        for at in range(entry.offset, end, _PIECE):
            crc = zlib.crc32(self._source.read_at(at, min(_PIECE, end - at)), crc)
        if crc != entry.crc or end > self.size:
            raise self._damage(number)

    def _entry(self, number: int, most: int | None) -> Entry:
        entry = self.entries[number]
        if most is not None and entry.length > most:
            raise FormatError(
                f"{self.where}: expected at most {most} bytes for what chunk {number} holds, got {entry.length}"
            )
        return entry

    def _damage(self, number: int) -> IntegrityError:
        return IntegrityError(
            f"{self.where}: expected checksum {self.entries[number].crc:08x} of chunk {number}, got another; the file "
            "is damaged"
        )

    def check_unchanged(self, prefix: bytes) -> None:
        """Refuse what is not the stream that began with ``prefix``, which holds the checksums of all of it.

        Raises:
            FormatError: it is another one.
        """
        if self.prefix != prefix:
            raise FormatError(
                f"{self.where}: expected the stream that was opened, got another one; it changed, open it anew"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened_again, (self._source, self.where, self.item, self.prefix)


def _opened_again(source: Source, where: str, item: int, prefix: bytes) -> ContainerReader:
    """What a pickled reader becomes.

    Raises:
        FormatError: the source holds another stream now, whose checksums are others.
    """
    reader = ContainerReader(source, where)
    reader.check_unchanged(prefix)  # before an item is looked for that another stream may not have
    return ContainerReader(source, where, item) if item else reader


def _version_of(data: bytes, where: str) -> int:
    """The version of a container that begins so."""
    if data[:8] != MAGIC:
        hint = "; it went through a transfer as text" if data[1:4] == b"LVA" else ""
        raise FormatError(f"{where}: expected a liveaction stream, got other bytes{hint}")
    if len(data) < START:
        raise FormatError(f"{where}: expected at least {START} bytes, got {len(data)}; the file is cut short")
    version = int.from_bytes(data[8:START], "little")
    if version == 0:
        raise FormatError(f"{where}: expected stream version {VERSION}, got 0, a draft; compress the source again")
    if version > VERSION:
        raise FormatError(f"{where}: expected stream version {VERSION}, got {version}; use the version that wrote it")
    return version
