"""Container version 1, which is read for ever and written no more. ``docs/stream.md`` is the specification.

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
"""

import struct
import zlib
from typing import Any

import numpy as np

from liveaction.coding.index import LONGEST_HEADER, MOST_CHUNKS, Index, check_end, check_item, read_header
from liveaction.coding.source import Source
from liveaction.errors import FormatError, IntegrityError

_PREFIX = struct.Struct("<8sHIIII")
_CRC = struct.Struct("<I")
_ENTRY = np.dtype([("offset", "<u8"), ("length", "<u4"), ("crc", "<u4")])
FIXED = _PREFIX.size + _CRC.size
_PIECE = _ENTRY.itemsize << 16  # of the index, looked at at a time


class Head1:
    """What stands before the chunks.

    Attributes:
        prefix: tells one stream from another: it holds the checksums of all of it.
        header, chunks: of the signal.
        items, side: one, and none.
        own: bytes that stand before the chunks.

    Raises:
        FormatError, IntegrityError: as :class:`liveaction.coding.container.ContainerReader`.
    """

    version, items, side = 1, 1, b""

    def __init__(self, source: Source, where: str, item: int) -> None:
        self._source, self._where = source, where
        check_item(item, self.items, where)
        self.prefix = source.read_at(0, FIXED)
        length, crc, self.chunks, self._index_crc = _read_prefix(self.prefix, where)
        self._index_at = FIXED + length
        self._end = self._index_at + _ENTRY.itemsize * self.chunks
        if source.size < self._end:
            raise FormatError(
                f"{where}: expected at least {self._end} bytes of header and index, got {source.size}; the file is cut "
                "short"
            )
        text = source.read_at(FIXED, length)
        if zlib.crc32(text) != crc:
            raise IntegrityError(f"{where}: expected header checksum {crc:08x}, got another; the file is damaged")
        self.header: dict[str, Any] = read_header(text, where)
        self.own = self._end

    def at(self, item: int) -> "Head1":
        """The same: there is one item."""
        check_item(item, self.items, self._where)
        return self

    def read_index(self) -> Index:
        """In pieces: what a damaged or sparse index claims takes no memory."""
        where, crc, place, wrong = self._where, 0, self._end, ""
        kept = list[Any]()
        for at in range(self._index_at, self._end, _PIECE):
            piece = self._source.read_at(at, min(_PIECE, self._end - at))
            crc = zlib.crc32(piece, crc)
            whole = np.frombuffer(piece[: len(piece) // _ENTRY.itemsize * _ENTRY.itemsize], _ENTRY)  # it may shrink
            lengths = whole["length"].astype(np.int64)
            places = place + np.cumsum(lengths) - lengths
            if not wrong and (bad := np.flatnonzero(whole["offset"] != places.astype(np.uint64))).size:
                number = (at - self._index_at) // _ENTRY.itemsize + int(bad[0])
                found = int(whole["offset"][bad[0]])
                wrong = f"{where}: expected chunk {number} at byte {places[bad[0]]}, got {found}"
            if not wrong:
                place += int(lengths.sum())
                kept.append((lengths, whole["crc"].copy()))
        if crc != self._index_crc:
            raise IntegrityError(f"{where}: expected index checksum {self._index_crc:08x}, got another; it is damaged")
        if wrong:
            raise FormatError(wrong)
        check_end(place, self._source.size, where)
        return Index(self._end, [lengths for lengths, _ in kept], [crcs for _, crcs in kept])


def _read_prefix(data: bytes, where: str) -> tuple[int, int, int, int]:
    """Length and CRC-32 of the header, number of chunks, CRC-32 of the index."""
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
