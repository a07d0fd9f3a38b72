"""Symbols to bytes and back: integers only.

Each channel's symbols stand together, as the narrowest of int8, int16 and int32 that holds all of them; 16- and 32-bit
symbols are split into planes of equal byte significance. Zstandard codes the result, one frame per channel, so that
every channel has statistics of its own.
"""

import struct

import numpy as np
import zstandard
from numpy.typing import NDArray

from liveaction.errors import FormatError

LEVEL = 19
_DTYPES = {1: "<i1", 2: "<i2", 4: "<i4"}


def encode_symbols(symbols: NDArray[np.int32]) -> bytes:
    """Bytes of integers ``[L, *G]``: the width in bytes, then per channel a length (uint32) and a Zstandard frame."""
    width = next(w for w, d in _DTYPES.items() if _fits(symbols, d))
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True)
    parts = [struct.pack("<B", width)]
    for channel in symbols.reshape(symbols.shape[0], -1):
        planes = channel.astype(_DTYPES[width]).view(np.uint8).reshape(-1, width).T
        frame = compressor.compress(np.ascontiguousarray(planes).tobytes())
        parts += [struct.pack("<I", len(frame)), frame]
    return b"".join(parts)


def decode_symbols(data: bytes, shape: tuple[int, ...], where: str) -> NDArray[np.int32]:
    """Integers ``shape`` = ``[L, *G]`` from :func:`encode_symbols`.

    Memory is bounded by ``shape``: a frame that would give more is refused before it is expanded.

    Raises:
        FormatError: the bytes do not hold that many symbols.
    """
    width = data[0] if data else 0
    if width not in _DTYPES:
        raise FormatError(f"{where}: expected symbols of 1, 2 or 4 bytes, got {width}")
    count, position = int(np.prod(shape[1:])), 1
    decompressor = zstandard.ZstdDecompressor()
    channels: list[NDArray[np.signedinteger]] = []
    for _ in range(shape[0]):
        if len(data) < position + 4:
            raise FormatError(f"{where}: expected {shape[0]} channels of symbols, got {len(channels)}")
        (length,) = struct.unpack_from("<I", data, position)
        frame = data[position + 4 : position + 4 + length]
        position += 4 + length
        channels.append(_expand(decompressor, frame, count, width, where))
    if position != len(data):
        raise FormatError(f"{where}: expected {position} bytes of symbols, got {len(data)}")
    return np.stack(channels).astype(np.int32).reshape(shape)


def _expand(
    decompressor: zstandard.ZstdDecompressor, frame: bytes, count: int, width: int, where: str
) -> NDArray[np.signedinteger]:
    expected = count * width
    try:
        if zstandard.frame_content_size(frame) != expected:
            raise FormatError(f"{where}: expected {count} symbols in a channel, got another number")
        planes = decompressor.decompress(frame)
    except zstandard.ZstdError as error:
        raise FormatError(f"{where}: expected a Zstandard frame, got {error}") from error
    columns = np.frombuffer(planes, np.uint8).reshape(width, count).T
    return np.ascontiguousarray(columns).view(_DTYPES[width]).reshape(-1)


def _fits(symbols: NDArray[np.int32], dtype: str) -> bool:
    limits = np.iinfo(dtype)
    return symbols.size == 0 or bool(limits.min <= symbols.min() and symbols.max() <= limits.max)


def encode_chunk(symbols, tables):
    return encode_symbols(symbols)


def decode_chunk(data, shape, tables, where):
    return decode_symbols(data, shape, where)
