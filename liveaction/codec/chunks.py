"""The bytes of one chunk: which values are missing, then the symbols.

bytes  what (little-endian)
1-9    M, length of the mask; 4 bytes in version 1
M      nothing where no value of the chunk is missing; else one byte for its kind, and the mask, deflated (raw):
       kind 0: one bit per value of its samples [C, *], 1 for missing, most significant bit first;
       kind 1: lengths of runs as numbers of 1 to 9 bytes, of values that are there and missing in turn.
       In version 1 no kind, but the bits, deflated (zlib)
1-9    R, length of what is left, where the header has a bound
R      what is left, see liveaction.codec.bound
rest   the symbols, parts [L, *] from coarse to fine, entropy coded
"""

import zlib
from math import prod

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.entropy import HEAD
from liveaction.coding.small import most_small
from liveaction.coding.varint import LONGEST, read_varint, read_varints, write_varint, write_varints
from liveaction.errors import FormatError

BITS, RUNS = 0, 1
MOST_RUNS = 1 << 16
"""Bytes of the lengths of all runs, before they are deflated; masks of more are bits."""


def pack_chunk(coded: bytes, missing: NDArray[np.bool_] | None, bounded: bool = False) -> bytes:
    """Bytes of a chunk: what the entropy coder made of its symbols, and ``missing`` ``[C, *]`` among its samples.

    Where it is ``bounded``, nothing is left yet.
    """
    mask = b"" if missing is None or not missing.any() else _pack_mask(missing.reshape(-1))
    return write_varint(len(mask)) + mask + (write_varint(0) if bounded else b"") + coded


def with_residual(data: bytes, residual: bytes) -> bytes:
    """A bounded chunk of which nothing was left, with what is."""
    begin = _mask_place(data, 2, "chunk").stop
    _, coded = unpack_bounded(data, "chunk")
    return data[:begin] + write_varint(len(residual)) + residual + coded


def unpack_bounded(data: bytes, where: str) -> tuple[bytes, bytes]:
    """What is left of a bounded chunk, and what the entropy coder made of its symbols.

    Raises:
        FormatError: the chunk is shorter than it says.
    """
    rest = unpack_coded(data, where)
    try:
        length, begin = read_varint(rest, 0)
    except ValueError as error:
        raise FormatError(f"{where}: expected the length of what is left, got: {error}") from error
    if begin + length > len(rest):
        raise FormatError(f"{where}: expected {length} bytes of what is left, got {len(data)} in all")
    return rest[begin : begin + length], rest[begin + length :]


def most_bytes(samples: int, symbols: tuple[int, int]) -> int:
    """Bytes of a chunk at most, for so many samples in all channels, and symbols of channels at positions.

    A mask may be deflated to twice its bits; of the coders ``small`` may take the more.
    """
    channels, positions = symbols
    return LONGEST + 2 * -(-samples // 8) + 1024 + HEAD + most_small(channels, positions)


def unpack_coded(data: bytes, where: str, version: int = 2) -> bytes:
    """What the entropy coder made of a chunk's symbols, of a container of ``version``.

    Raises:
        FormatError: the chunk is shorter than it says.
    """
    return data[_mask_place(data, version, where).stop :]


def unpack_mask(data: bytes, shape: tuple[int, ...], where: str, version: int = 2) -> NDArray[np.bool_] | None:
    """Which of a chunk's samples ``[C, *]`` are missing; None where none is.

    Raises:
        FormatError: the bytes do not hold that many.
    """
    packed = data[_mask_place(data, version, where)]
    if not packed:
        return None
    size, kind = prod(shape), packed[0] if version > 1 else BITS
    if kind not in (BITS, RUNS):
        raise FormatError(f"{where}: expected a mask of kind {BITS} or {RUNS}, got {kind}")
    most = MOST_RUNS if kind == RUNS else -(-size // 8)
    content = _inflate(packed[version > 1 :], most, -15 if version > 1 else zlib.MAX_WBITS, where)
    return (_from_runs if kind == RUNS else _from_bits)(content, size, where).reshape(shape)


def _pack_mask(missing: NDArray[np.bool_]) -> bytes:
    """The shorter of both kinds; runs are for whole channels, borders and the like, bits for what is scattered."""
    bits = np.packbits(missing).tobytes()
    made = [bytes([BITS]) + _deflate(bits)]
    ends = np.flatnonzero(np.diff(missing)) + 1
    runs = np.diff(np.concatenate([[0] * (2 if missing[0] else 1), ends, [missing.size]]))
    if len(runs) <= MOST_RUNS:
        content = write_varints(runs.tolist())
        if len(content) <= MOST_RUNS:
            made.append(bytes([RUNS]) + _deflate(content))
    return min(made, key=len)


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return packer.compress(data) + packer.flush()


def _inflate(packed: bytes, most: int, window: int, where: str) -> bytes:
    try:
        unpacker = zlib.decompressobj(window)
        content = unpacker.decompress(packed, most + 1)
    except zlib.error as error:
        raise FormatError(f"{where}: expected a deflated mask of missing values, got {error}") from error
    if len(content) > most or not unpacker.eof or unpacker.unused_data:
        raise FormatError(f"{where}: expected a mask of at most {most} bytes, got another size")
    return content


def _from_bits(content: bytes, size: int, where: str) -> NDArray[np.bool_]:
    if len(content) != -(-size // 8):
        raise FormatError(f"{where}: expected a mask of {size} values, got another size")
    if content[-1] & ((1 << -size % 8) - 1):
        raise FormatError(f"{where}: expected a mask of {size} values, got bits beyond its last")
    return np.unpackbits(np.frombuffer(content, np.uint8), count=size).astype(bool)


def _from_runs(content: bytes, size: int, where: str) -> NDArray[np.bool_]:
    try:
        runs = read_varints(content)
    except ValueError as error:
        raise FormatError(f"{where}: expected a mask of runs, got: {error}") from error
    if not len(runs) or runs.max() > size or int(runs.sum()) != size or (runs[1:] == 0).any():
        raise FormatError(f"{where}: expected runs of {size} values in all, got others")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)


def _mask_place(data: bytes, version: int, where: str) -> slice:
    """Where the mask lies in a chunk."""
    try:
        if version == 1 and len(data) < 4:
            raise ValueError(f"{len(data)} bytes")
        length, begin = (int.from_bytes(data[:4], "little"), 4) if version == 1 else read_varint(data, 0)
    except ValueError as error:
        raise FormatError(f"{where}: expected the length of a mask, got: {error}") from error
    if begin + length > len(data):
        raise FormatError(f"{where}: expected a mask of {length} bytes, got {len(data)} in all")
    return slice(begin, begin + length)
