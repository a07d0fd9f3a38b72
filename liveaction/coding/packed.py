"""A header as few bytes: JSON, in it binary for base64, hexadecimal digits and lists of numbers, deflated.

``docs/stream.md`` is the specification. Bytes from 0x80 on, which JSON in ASCII has not, stand for what is packed; its
bytes follow the text behind a zero byte, in order.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Iterator

from liveaction.coding.dictionary import DICTIONARY
from liveaction.coding.numbers import find_decimals, find_floats, read_decimals, read_floats
from liveaction.coding.varint import read_varint, write_varint
from liveaction.errors import FormatError

BASE64, HEX, DECIMALS, FLOATS = range(0x80, 0x84)
_BASE64 = re.compile(r'(?<=")(?:[A-Za-z0-9+/]{4}){6,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?(?=")')
_HEX = re.compile(r'(?<=")(?:[0-9a-f]{2}){8,}(?=")')
_WINDOW = 1 << 15  # bytes that deflate looks back
_MOST_DECIMALS = 1 << 17  # bytes of all packed lists of decimals: they are read one number at a time

Found = Iterator[tuple[int, int, bytes]]


def pack_text(text: bytes, before: bytes = b"") -> bytes:
    """JSON in ASCII as deflated bytes; ``before`` is what :func:`payload_of` gives for the header before it."""
    return _deflate(payload_of(text), before)


def payload_of(text: bytes) -> bytes:
    """What is deflated."""
    letters = text.decode("ascii")
    finders: list[tuple[int, Callable[[str], Found]]] = [
        (HEX, _find_hex), (BASE64, _find_base64), (FLOATS, find_floats), (DECIMALS, find_decimals),
    ]  # fmt: skip
    found = sorted(
        (start, place, end, kind, data)
        for place, (kind, find) in enumerate(finders)
        for start, end, data in find(letters)
    )
    out, blobs, at, left = bytearray(), bytearray(), 0, _MOST_DECIMALS
    for start, _, end, kind, data in found:
        if start < at or len(data) + 2 > end - start or (kind == DECIMALS and len(data) > left):
            continue  # two bytes more: what stands for it, and the zero behind the text
        left -= len(data) * (kind == DECIMALS)
        out += text[at:start]
        out.append(kind)
        blobs += data
        at = end
    out += text[at:]
    return bytes(out + b"\0" + blobs if blobs else out)


def unpack_text(data: bytes, before: bytes, longest: int, where: str) -> tuple[bytes, bytes]:
    """The JSON, and what was deflated.

    Raises:
        FormatError: the bytes do not hold them, or more than ``longest`` bytes of either.
    """
    try:
        unpacker = zlib.decompressobj(-15, _dictionary(before))
        payload = unpacker.decompress(data, longest + 1)
        if len(payload) > longest:
            raise ValueError(f"more than {longest} bytes")
        if not unpacker.eof or unpacker.unused_data or unpacker.unconsumed_tail:
            raise ValueError("bytes that do not end with it")
        return _expand(payload, longest), payload
    except (ValueError, zlib.error) as error:
        raise FormatError(f"{where}: expected a deflated header, got {error}") from error


def _expand(payload: bytes, longest: int) -> bytes:
    """JSON of what was deflated.

    Raises:
        ValueError: no such bytes, or more than ``longest`` of JSON.
    """
    text, zero, blobs = payload.partition(b"\0")
    out, at, place = list[bytes](), 0, 0
    size, left = len(text), _MOST_DECIMALS
    readers = {BASE64: _read_base64, HEX: _read_hex, FLOATS: read_floats}
    for mark in re.finditer(rb"[\x80-\xff]", text):
        kind, began = mark[0][0], at
        if kind == DECIMALS:
            letters, at = read_decimals(blobs, at, left)
            left -= at - began
        elif kind in readers:
            letters, at = readers[kind](blobs, at)
        else:
            raise ValueError(f"the byte {kind:02x}, which stands for nothing")
        out += [text[place : mark.start()], letters.encode("ascii")]
        place = mark.end()
        size += len(letters)
        if size > longest:
            raise ValueError(f"more than {longest} bytes")
    if at != len(blobs) or bool(zero) != bool(blobs):
        raise ValueError("bytes that stand for nothing")
    return b"".join([*out, text[place:]])


def _dictionary(before: bytes) -> bytes:
    return (DICTIONARY + before)[-_WINDOW:]


def _deflate(payload: bytes, before: bytes) -> bytes:
    """The shortest of some ways; a block may end where the text does, for its letters are others than what follows."""
    text, zero, blobs = payload.partition(b"\0")
    made = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_FIXED):
        for flush in (zlib.Z_NO_FLUSH, zlib.Z_BLOCK):
            packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, strategy, _dictionary(before))
            data = packer.compress(text)
            if flush and blobs:
                data += packer.flush(flush)
            made.append(data + packer.compress(zero + blobs) + packer.flush())
    return min(made, key=len)


def _find_base64(text: str) -> Found:
    for found in _BASE64.finditer(text):
        data = base64.b64decode(found[0])
        if base64.b64encode(data).decode("ascii") == found[0]:
            yield found.start(), found.end(), write_varint(len(data)) + data


def _find_hex(text: str) -> Found:
    for found in _HEX.finditer(text):
        data = bytes.fromhex(found[0])
        yield found.start(), found.end(), write_varint(len(data)) + data


def _read_base64(data: bytes, at: int) -> tuple[str, int]:
    found, at = _read_bytes(data, at)
    return binascii.b2a_base64(found, newline=False).decode("ascii"), at


def _read_hex(data: bytes, at: int) -> tuple[str, int]:
    found, at = _read_bytes(data, at)
    return found.hex(), at


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = read_varint(data, at)
    if at + size > len(data):
        raise ValueError(f"expected {size} bytes, got fewer")
    return data[at : at + size], at + size
