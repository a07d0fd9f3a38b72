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

import io
import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from liveaction.errors import FormatError, IntegrityError

MAGIC = b"\x89LVA\r\n\x1a\n"
VERSION = 1
LONGEST_HEADER = 1 << 24
MOST_CHUNKS = 1 << 28
_PREFIX = struct.Struct("<8sHIIII")
_CRC = struct.Struct("<I")
_ENTRY = struct.Struct("<QII")
FIXED = _PREFIX.size + _CRC.size


class ContainerWriter:
    """Writes a container to a file that can seek: header first, chunks as they come, the index at the end.

    Args:
        file: at position 0, empty.
        header: JSON data.
        chunks: how many will come.
    """

    def __init__(self, file: BinaryIO, header: dict[str, Any], chunks: int) -> None:
        self._file, self._entries, self._count = file, list[tuple[int, int, int]](), chunks
        self._text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
        if len(self._text) > LONGEST_HEADER:
            raise FormatError(
                f"stream: expected a header of at most {LONGEST_HEADER} bytes, got {len(self._text)}; the source's "
                "metadata are too long"
            )
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
    """Reads a container from a file that can seek; chunks only when they are asked for.

    Args:
        file: from its beginning to its end a container.
        where: stands first in errors.

    Raises:
        FormatError: not a container, a version this one does not know, cut short, or longer than its index says.
        IntegrityError: a checksum does not match.
    """

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file, self._where = file, where
        self.size = file.seek(0, io.SEEK_END)
        file.seek(0)
        header_length, header_crc, self.chunks, self._index_crc = _read_prefix(file.read(FIXED), where)
        self._index_at = FIXED + header_length
        if self.size < self._index_at + _ENTRY.size * self.chunks:
            raise FormatError(
                f"{where}: expected at least {self._index_at + _ENTRY.size * self.chunks} bytes of header and index, "
                f"got {self.size}; the file is cut short"
            )
        self.header = _read_header(file.read(header_length), header_crc, where)
        self._entries: Sequence[Entry] | None = None

    @property
    def entries(self) -> Sequence[Entry]:
        """The index, read when it is first asked for, and checked against the size of the file."""
        if self._entries is None:
            self._entries = self._read_index()
        return self._entries

    def read(self, number: int) -> bytes:
        """The bytes of a chunk.

        Raises:
            IntegrityError: they are not the ones that were written.
        """
        entry = self.entries[number]
        self._file.seek(entry.offset)
        data = self._file.read(entry.length)
        if len(data) != entry.length or zlib.crc32(data) != entry.crc:
            raise IntegrityError(
                f"{self._where}: expected checksum {entry.crc:08x} of chunk {number}, got another; the file is damaged"
            )
        return data

    def _read_index(self) -> Sequence[Entry]:
        where = self._where
        self._file.seek(self._index_at)
        data = self._file.read(_ENTRY.size * self.chunks)
        if zlib.crc32(data) != self._index_crc:
            raise IntegrityError(f"{where}: expected index checksum {self._index_crc:08x}, got another; it is damaged")
        entries = [Entry(*fields) for fields in _ENTRY.iter_unpack(data)]
        place = self._index_at + len(data)
        for number, entry in enumerate(entries):
            if entry.offset != place:
                raise FormatError(f"{where}: expected chunk {number} at byte {place}, got {entry.offset}")
            place += entry.length
        if place > self.size:
            raise FormatError(f"{where}: expected {place} bytes, got {self.size}; the file is cut short")
        if place < self.size:
            raise FormatError(f"{where}: expected {place} bytes, got {self.size}; something was appended")
        return entries


@contextmanager
def open_bytes(data: bytes | str | Path) -> Iterator[BinaryIO]:
    """Bytes, or a file on disk, as a file to read at any place.

    Raises:
        FormatError: it cannot be opened.
    """
    if isinstance(data, bytes):
        yield io.BytesIO(data)
        return
    path = Path(data)
    try:
        file = path.open("rb")
    except OSError as error:
        raise FormatError(f"{data}: expected a readable .lva file, got {error.strerror}") from error
    with file:
        yield file


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
    try:
        header = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: expected a JSON header, got {type(error).__name__}") from error
    if not isinstance(header, dict):
        raise FormatError(f"{where}: expected a JSON object as header, got {type(header).__name__}")
    return header


def _refuse_constant(name: str) -> None:
    """NaN and infinities are no JSON."""
    raise ValueError(name)
