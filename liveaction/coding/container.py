"""Container version 0: one header, one payload, both checked.

    offset  bytes  what (little-endian)
    0       8      magic 89 4C 56 41 0D 0A 1A 0A
    8       2      version, 0
    10      4      length of the header
    14      4      CRC-32 of the header
    18      8      length of the payload
    26      4      CRC-32 of the payload
    30             header, UTF-8 JSON; then the payload; then nothing

The magic has a high bit and both line endings, so a transfer as text is noticed.
"""

import json
import struct
import zlib
from typing import Any

from liveaction.errors import FormatError, IntegrityError

MAGIC = b"\x89LVA\r\n\x1a\n"
VERSION = 0
_FIXED = struct.Struct("<8sHIIQI")
LONGEST_HEADER = 1 << 24


def pack(header: dict[str, Any], payload: bytes) -> bytes:
    """Bytes of a container."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return _FIXED.pack(MAGIC, VERSION, len(text), zlib.crc32(text), len(payload), zlib.crc32(payload)) + text + payload


def unpack_header(data: bytes, where: str) -> tuple[dict[str, Any], int, int, int]:
    """Header, offset of the payload, its length, its CRC-32; the payload itself is not looked at.

    Args:
        data: the beginning of a container, or all of it.
        where: stands first in the error.

    Raises:
        FormatError: not a container, a version this one does not know, or cut short.
        IntegrityError: the header's checksum does not match.
    """
    if data[:8] != MAGIC:
        hint = "; it went through a transfer as text" if data[1:4] == b"LVA" else ""
        raise FormatError(f"{where}: expected a liveaction stream, got other bytes{hint}")
    if len(data) < _FIXED.size:
        raise FormatError(f"{where}: expected at least {_FIXED.size} bytes, got {len(data)}; the file is cut short")
    _, version, header_length, header_crc, payload_length, payload_crc = _FIXED.unpack_from(data)
    if version != VERSION:
        raise FormatError(f"{where}: expected stream version {VERSION}, got {version}; use the version that wrote it")
    end = _FIXED.size + header_length
    if header_length > LONGEST_HEADER:
        raise FormatError(f"{where}: expected a header of at most {LONGEST_HEADER} bytes, got {header_length}")
    if len(data) < end:
        raise FormatError(f"{where}: expected a header of {header_length} bytes, got less; the file is cut short")
    text = data[_FIXED.size : end]
    if zlib.crc32(text) != header_crc:
        raise IntegrityError(f"{where}: expected header checksum {header_crc:08x}, got another; the file is damaged")
    try:
        header = json.loads(text)
    except ValueError as error:
        raise FormatError(f"{where}: expected a JSON header, got {error}") from error
    if not isinstance(header, dict):
        raise FormatError(f"{where}: expected a JSON object as header, got {type(header).__name__}")
    return header, end, payload_length, payload_crc


def unpack(data: bytes, where: str) -> tuple[dict[str, Any], bytes]:
    """Header and payload, both verified.

    Raises:
        FormatError: not a container, cut short, or with something behind its end.
        IntegrityError: a checksum does not match.
    """
    header, start, length, crc = unpack_header(data, where)
    payload = data[start:]
    if len(payload) != length:
        way = "the file is cut short" if len(payload) < length else "something was appended"
        raise FormatError(f"{where}: expected a payload of {length} bytes, got {len(payload)}; {way}")
    if zlib.crc32(payload) != crc:
        raise IntegrityError(f"{where}: expected payload checksum {crc:08x}, got another; the file is damaged")
    return header, payload
