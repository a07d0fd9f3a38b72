"""The bytes of one chunk: which values are missing, then the symbols.

bytes  what (little-endian)
4      M, length of the mask
M      nothing where no value of the chunk is missing; else one bit per value of its samples [C, *], 1 for missing,
       most significant bit first, deflated (zlib)
rest   the symbols, parts [L, *] from coarse to fine, entropy coded
"""

import struct
import zlib
from math import prod

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.entropy import HEAD
from liveaction.errors import FormatError

_LENGTH = struct.Struct("<I")


def pack_chunk(coded: bytes, missing: NDArray[np.bool_] | None) -> bytes:
    """Bytes of a chunk: what the entropy coder made of its symbols, and ``missing`` ``[C, *]`` among its samples."""
    mask = b"" if missing is None or not missing.any() else zlib.compress(np.packbits(missing).tobytes(), 9)
    return _LENGTH.pack(len(mask)) + mask + coded


def most_bytes(samples: int, symbols: tuple[int, int]) -> int:
    """Bytes of a chunk at most, for so many samples in all channels, and symbols of channels at positions.

    A mask may be deflated to twice its bits; a symbol takes four words of the coder at most, a channel's head five.
    """
    channels, positions = symbols
    return _LENGTH.size + 2 * -(-samples // 8) + 1024 + HEAD + 2 * channels * (4 * positions + 5)


def unpack_coded(data: bytes, where: str) -> bytes:
    """What the entropy coder made of a chunk's symbols.

    Raises:
        FormatError: the chunk is shorter than it says.
    """
    return data[_mask_end(data, where) :]


def unpack_mask(data: bytes, shape: tuple[int, ...], where: str) -> NDArray[np.bool_] | None:
    """Which of a chunk's samples ``[C, *]`` are missing; None where none is.

    Raises:
        FormatError: the bytes do not hold that many.
    """
    packed = data[_LENGTH.size : _mask_end(data, where)]
    if not packed:
        return None
    size = prod(shape)
    try:
        unpacker = zlib.decompressobj()
        bits = unpacker.decompress(packed, -(-size // 8) + 1)
    except zlib.error as error:
        raise FormatError(f"{where}: expected a deflated mask of missing values, got {error}") from error
    if len(bits) != -(-size // 8) or not unpacker.eof or unpacker.unused_data:
        raise FormatError(f"{where}: expected a mask of {size} values, got another size")
    if bits[-1] & ((1 << -size % 8) - 1):
        raise FormatError(f"{where}: expected a mask of {size} values, got bits beyond its last")
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=size).astype(bool).reshape(shape)


def _mask_end(data: bytes, where: str) -> int:
    length = _LENGTH.unpack_from(data)[0] if len(data) >= _LENGTH.size else len(data)
    end: int = _LENGTH.size + length
    if end > len(data):
        raise FormatError(f"{where}: expected a mask of {length} bytes, got {len(data)} in all")
    return end
