"""Audio samples between libsndfile's left-justified integers and the numbers that the file holds."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 18  # samples per channel read or written at once


class Samples(NamedTuple):
    """How one subtype is handed over.

    Attributes:
        dtype: NumPy name of the native values.
        bits: significant bits.
        read_as: the dtype that libsndfile reads and writes without loss, integers moved to its top.
        zero: the integer that stands for silence.
    """

    dtype: str
    bits: int
    read_as: str
    zero: int = 0

    @property
    def shift(self) -> int:
        """Bits that libsndfile moves the integers up."""
        return 8 * np.dtype(self.read_as).itemsize - self.bits


NATIVE = {
    "PCM_S8": Samples("int8", 8, "int16"),
    "PCM_U8": Samples("uint8", 8, "int16", zero=128),
    "PCM_16": Samples("int16", 16, "int16"),
    "PCM_24": Samples("int32", 24, "int32"),
    "PCM_32": Samples("int32", 32, "int32"),
    "FLOAT": Samples("float32", 32, "float32"),
    "DOUBLE": Samples("float64", 64, "float64"),
}
CODED = frozenset({"VORBIS", "OPUS", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32"})
"""Lossy subtypes, beside ``MPEG_LAYER_*``."""


def to_native(block: NDArray[Any], samples: Samples, coded: bool) -> NDArray[Any]:
    """What libsndfile gives to native values, any shape; ``coded`` blocks are floats in [-1, 1], cut to 16 bits."""
    if coded:
        return np.rint(block * 2.0**15).clip(-(2.0**15), 2.0**15 - 1).astype(np.int16)
    if np.dtype(samples.dtype).kind == "f":
        return block
    native: NDArray[Any] = ((block >> samples.shift) + samples.zero).astype(samples.dtype)
    return native


def to_disk(values: NDArray[Any], samples: Samples) -> NDArray[Any]:
    """Values of any real dtype to what libsndfile takes: rounded, cut to the subtype's limits, moved to the top."""
    if np.dtype(samples.dtype).kind == "f":
        return values.astype(samples.read_as)
    wide = np.rint(values.astype(np.float64)) if values.dtype.kind == "f" else values.astype(np.int64)
    half = 2 ** (samples.bits - 1)
    whole = wide.clip(samples.zero - half, samples.zero + half - 1).astype(np.int64) - samples.zero
    return (whole << samples.shift).astype(samples.read_as)


def whole_bytes(native: NDArray[Any], bits: int) -> bytes:
    """Samples ``[T, C]`` as FLAC's MD5 counts them: signed, little-endian, in whole bytes."""
    wide = np.ascontiguousarray(native, np.dtype(native.dtype).newbyteorder("<"))
    data = wide.view(np.uint8).reshape(*native.shape, -1)
    return data[..., : bits // 8].tobytes()
