"""Container version 1: a header, an index, chunks; every byte is checked. ``docs/stream.md`` is the specification.

    offset  bytes  what (little-endian)
    0       8      magic 89 4C 56 41 0D 0A 1A 0A
    8       2      version, 1
    10      4      H, length of the header
    14      4      CRC-32 of the header
    18      4      N, number of chunks
    22      4      CRC-32 of the index
    26      4      CRC-32 of bytes 0 to 25
    30      H      header, a JSON object in UTF-8
    30+H    16 N   index: offset (8), length (4) and CRC-32 (4) of each chunk
    ...            the chunks in order, without gaps; then nothing

The magic has a high bit and both line endings, so a transfer as text is noticed.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, overload

from liveaction.coding.source import Source
from liveaction.errors import FormatError, IntegrityError
from liveaction.strict_json import read_json_bytes, write_json_bytes

MAGIC = b"\x89LVA\r\n\x1a\n"
VERSION = 1
LONGEST_HEADER = 1 << 24
MOST_CHUNKS = 1 << 28
_PREFIX = struct.Struct("<8sHIIII")
_CRC = struct.Struct("<I")
_ENTRY = struct.Struct("<QII")
FIXED = _PREFIX.size + _CRC.size
_PIECE = _ENTRY.size << 16  # of the index, looked at at a time


class ContainerWriter:
    """Writes a container to a file that can seek: header first, chunks as they come, the index at the end.

    Args:
        file: at position 0, empty; nothing is written before the first chunk.
        header: JSON data.
        chunks: how many will come.

    Attributes:
        header: as a reader finds it.

    Raises:
        FormatError: a reader would refuse the header; the key at fault is named.
    """

    def __init__(self, file: BinaryIO, header: dict[str, Any], chunks: int) -> None:
        self._file, self._entries, self._count = file, list[tuple[int, int, int]](), chunks
        way = "change it in the source, or leave it out there"
        self._text = write_json_bytes(header, "stream", way, LONGEST_HEADER)
        self.header = _read_header(self._text, zlib.crc32(self._text), "stream")
        self._next = FIXED + len(self._text) + _ENTRY.size * chunks
        file.seek(self._next)

    def add(self, chunk: bytes) -> None:
        """Append the next chunk."""
        self._entries.append((self._next, len(chunk), zlib.crc32(chunk)))
        self._file.write(chunk)
        self._next += len(chunk)

    def close(self) -> int:
        """Write what stands before the chunks; the file itself stays open.

        Returns:
            The size of the container in bytes.
        """
        if len(self._entries) != self._count:
            raise ValueError(f"expected {self._count} chunks, got {len(self._entries)}")
        index = b"".join(_ENTRY.pack(*entry) for entry in self._entries)
        prefix = _PREFIX.pack(MAGIC, VERSION, len(self._text), zlib.crc32(self._text), self._count, zlib.crc32(index))
        self._file.seek(0)
        self._file.write(prefix + _CRC.pack(zlib.crc32(prefix)) + self._text + index)
        self._file.seek(self._next)
        return self._next


@dataclass(frozen=True)
class Entry:
    """Where a chunk lies in the file, how long it is, and its CRC-32."""

    offset: int
    length: int
    crc: int


class ContainerReader:
    """Reads a container at any place; chunks only when they are asked for. Threads and forked processes may share it.

    It may be pickled where its source may, and is refused where that holds another stream when it is opened again.

    Args:
        file: from its beginning to its end a container; a file object must be able to seek.
        where: stands first in errors.

    Raises:
        FormatError: not a container, a version this one does not know, cut short, or longer than its index says.
        IntegrityError: a checksum does not match.
    """

    def __init__(self, file: Source | BinaryIO, where: str) -> None:
        self._source, self._where = file if isinstance(file, Source) else Source(file), where
        self.size = self._source.size
        self.prefix = self._source.read_at(0, FIXED)
        header_length, header_crc, self.chunks, self._index_crc = _read_prefix(self.prefix, where)
        self._index_at = FIXED + header_length
        if self.size < self._index_at + _ENTRY.size * self.chunks:
            raise FormatError(
                f"{where}: expected at least {self._index_at + _ENTRY.size * self.chunks} bytes of header and index, "
                f"got {self.size}; the file is cut short"
            )
        self.header = _read_header(self._source.read_at(FIXED, header_length), header_crc, where)
        self._entries: Index | None = None

    @property
    def entries(self) -> "Index":
        """The index, read when it is first asked for, and checked against the size of the file."""
        if self._entries is None:
            self._entries = self._read_index()
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
                f"{self._where}: expected at most {most} bytes for what chunk {number} holds, got {entry.length}"
            )
        return entry

    def _damage(self, number: int) -> IntegrityError:
        return IntegrityError(
            f"{self._where}: expected checksum {self.entries[number].crc:08x} of chunk {number}, got another; the file "
            "is damaged"
        )

    def _read_index(self) -> "Index":
        """In pieces: what a damaged or sparse index claims takes no memory."""
        where, end = self._where, self._index_at + _ENTRY.size * self.chunks
        crc, place, wrong, kept = 0, end, "", bytearray()
        for at in range(self._index_at, end, _PIECE):
            piece = self._source.read_at(at, min(_PIECE, end - at))
            crc = zlib.crc32(piece, crc)
            first = (at - self._index_at) // _ENTRY.size
            whole = piece[: len(piece) // _ENTRY.size * _ENTRY.size]  # it may shrink meanwhile
            for number, (offset, length, _) in enumerate(() if wrong else _ENTRY.iter_unpack(whole), first):
                if offset != place:
                    wrong = f"{where}: expected chunk {number} at byte {place}, got {offset}"
                    break
                place += length
            if not wrong:
                kept += piece
        if crc != self._index_crc:
            raise IntegrityError(f"{where}: expected index checksum {self._index_crc:08x}, got another; it is damaged")
        if wrong:
            raise FormatError(wrong)
        if place > self.size:
            raise FormatError(f"{where}: expected {place} bytes, got {self.size}; the file is cut short")
        if place < self.size:
            raise FormatError(f"{where}: expected {place} bytes, got {self.size}; something was appended")
        return Index(bytes(kept))

    def check_unchanged(self, prefix: bytes) -> None:
        """Refuse what is not the stream that began with ``prefix``, which holds the checksums of all of it.

        Raises:
            FormatError: it is another one.
        """
        if self.prefix != prefix:
            raise FormatError(
                f"{self._where}: expected the stream that was opened, got another one; it changed, open it anew"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened_again, (self._source, self._where, self.prefix)


class Index(Sequence[Entry]):
    """The entries of an index, in the bytes that they take in the file."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data) // _ENTRY.size

    @overload
    def __getitem__(self, key: int) -> Entry: ...
    @overload
    def __getitem__(self, key: slice) -> list[Entry]: ...
    def __getitem__(self, key: int | slice) -> Entry | list[Entry]:
        if isinstance(key, slice):
            return [self[number] for number in range(len(self))[key]]
        return Entry(*_ENTRY.unpack_from(self._data, _ENTRY.size * range(len(self))[key]))

    @property
    def bytes_of_chunks(self) -> int:
        """Of all chunks together."""
        return sum(length for _, length, _ in _ENTRY.iter_unpack(self._data))


def _opened_again(source: Source, where: str, prefix: bytes) -> ContainerReader:
    """What a pickled reader becomes.

    Raises:
        FormatError: the source holds another stream now, whose checksums are others.
    """
    reader = ContainerReader(source, where)
    reader.check_unchanged(prefix)
    return reader


def _read_prefix(data: bytes, where: str) -> tuple[int, int, int, int]:
    """Length and CRC-32 of the header, number of chunks, CRC-32 of the index."""
    if data[:8] != MAGIC:
        hint = "; it went through a transfer as text" if data[1:4] == b"LVA" else ""
        raise FormatError(f"{where}: expected a liveaction stream, got other bytes{hint}")
    version = int.from_bytes(data[8:10], "little") if len(data) >= 10 else VERSION
    if version == 0:
        raise FormatError(f"{where}: expected stream version {VERSION}, got 0, a draft; compress the source again")
    if version != VERSION:
        raise FormatError(f"{where}: expected stream version {VERSION}, got {version}; use the version that wrote it")
    if len(data) < FIXED:
        raise FormatError(f"{where}: expected at least {FIXED} bytes, got {len(data)}; the file is cut short")
    if _CRC.unpack_from(data, _PREFIX.size)[0] != zlib.crc32(data[: _PREFIX.size]):
        raise IntegrityError(f"{where}: expected another checksum of the first {_PREFIX.size} bytes; it is damaged")
    _, _, header_length, header_crc, chunks, index_crc = _PREFIX.unpack_from(data)
    if header_length > LONGEST_HEADER:
        raise FormatError(f"{where}: expected a header of at most {LONGEST_HEADER} bytes, got {header_length}")
    if chunks > MOST_CHUNKS:
        raise FormatError(f"{where}: expected at most {MOST_CHUNKS} chunks, got {chunks}")
    return header_length, header_crc, chunks, index_crc


def _read_header(text: bytes, crc: int, where: str) -> dict[str, Any]:
    if zlib.crc32(text) != crc:
        raise IntegrityError(f"{where}: expected header checksum {crc:08x}, got another; the file is damaged")
    header = read_json_bytes(text, where)
    if not isinstance(header, dict):
        raise FormatError(f"{where}: expected a JSON object as header, got {type(header).__name__}")
    return header
