"""The stored values of a DICOM slice: native as they lie there, compressed ones through imagecodecs."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.modalities.third_party import one_line, quiet
from liveaction.modalities.volume.dicom_header import Header

_SYNTAX = "1.2.840.10008.1.2"
_RLE = f"{_SYNTAX}.5"
_CODECS = {
    **dict.fromkeys((f"{_SYNTAX}.4.50", f"{_SYNTAX}.4.51"), "jpeg8_decode"),
    **dict.fromkeys((f"{_SYNTAX}.4.57", f"{_SYNTAX}.4.70"), "jpegsof3_decode"),
    **dict.fromkeys((f"{_SYNTAX}.4.80", f"{_SYNTAX}.4.81"), "jpegls_decode"),
    **dict.fromkeys([f"{_SYNTAX}.4.{n}" for n in (90, 91, 201, 202, 203)], "jpeg2k_decode"),
    _RLE: "dicomrle_decode",
}
_NATIVE = (_SYNTAX, f"{_SYNTAX}.1", f"{_SYNTAX}.1.99", f"{_SYNTAX}.2")
_END, _FILL = b"\xff\xd9", b"\0\xff"  # the last marker of JPEG, JPEG-LS and JPEG 2000, and what may stand behind it
_READING = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, NotImplementedError),
    *(MemoryError, IndexError, struct.error, zlib.error),
)


class Plane(NamedTuple):
    """One slice ``[X, Y]``: its stored values, and where they are padding."""

    values: NDArray[np.int64]
    padded: NDArray[np.bool_] | None


def read_plane(header: Header) -> Plane:
    """Read the pixels of a slice.

    Raises:
        FormatError: they are cut, in a compression that is not known, or not of the extents of the header.
    """
    import pydicom

    path, rows, columns = header.path, header.words["Rows"], header.words["Columns"]
    bits = header.words.get("BitsAllocated", 0)
    if bits not in (8, 16, 32):
        raise FormatError(f"{path}: expected 8, 16 or 32 bits for each value, got BitsAllocated {bits}; convert it")
    try:
        with quiet():
            data = pydicom.dcmread(path, force=True)
            syntax = str(getattr(data.file_meta, "TransferSyntaxUID", "") or _guessed(data))
            content = data.get("PixelData")
            if content is None:
                raise ValueError("no PixelData")
            if syntax in _NATIVE:
                words = _native(content, data, bits, rows * columns)
            else:
                words = _decoded(path, syntax, content, (rows, columns), bits)
    except FormatError:
        raise
    except _READING as error:
        raise FormatError(
            f"{path}: expected whole, readable pixel data, got {one_line(error)}; copy it again from its source"
        ) from error
    if words.size != rows * columns:
        raise FormatError(
            f"{path}: expected {rows} rows of {columns} values, got pixel data of {words.size} values; copy it again "
            "from its source"
        )
    return _settled(words.reshape(rows, columns).T, header, bits)


def _guessed(data: Any) -> str:
    """The transfer syntax of a file that does not name it, by how its elements were found."""
    implicit, little = data.original_encoding
    return _SYNTAX if implicit else f"{_SYNTAX}.1" if little else f"{_SYNTAX}.2"


def _native(content: bytes, data: Any, bits: int, count: int) -> NDArray[Any]:
    big = not data.original_encoding[1]
    need = count * bits // 8
    if len(content) < need:
        raise ValueError(f"{len(content)} of {need} bytes")
    if big and bits == 8 and data["PixelData"].VR == "OW":
        content = np.frombuffer(content, ">u2").astype("<u2").tobytes()
    return np.frombuffer(content[:need], f"{'>' if big else '<'}u{bits // 8}")


def _decoded(path: Path, syntax: str, content: bytes, shape: tuple[int, int], bits: int) -> NDArray[Any]:
    import imagecodecs
    from pydicom.encaps import get_frame
    from pydicom.uid import UID

    if syntax not in _CODECS:
        raise FormatError(
            f"{path}: expected pixel data without compression, or in JPEG, JPEG-LS, JPEG 2000 or RLE, got "
            f"{UID(syntax).name!r}; convert it with dcmdjpeg of DCMTK or gdcmconv --raw of GDCM"
        )
    frame = get_frame(content, 0, number_of_frames=1)
    decode: Callable[..., Any] = getattr(imagecodecs, _CODECS[syntax])
    if syntax == _RLE:
        return np.frombuffer(decode(frame, f"<u{bits // 8}"), f"<u{bits // 8}")
    if not frame.rstrip(_FILL).endswith(_END):
        raise ValueError("a compressed picture without its end")
    array = np.asarray(decode(frame))
    if array.shape != shape:
        raise ValueError(f"a picture of shape {array.shape}, not {shape}")
    return array


def _settled(words: NDArray[Any], header: Header, bits: int) -> Plane:
    """Values without the bits that are not used, with their sign; padding may use all bits that there are."""
    stored = header.words.get("BitsStored", bits)
    shift = header.words.get("HighBit", stored - 1) + 1 - stored
    if not 1 <= stored <= bits or not 0 <= shift <= bits - stored:
        raise FormatError(
            f"{header.path}: expected BitsStored and HighBit within {bits} bits, got {stored} and "
            f"{header.words.get('HighBit')}; repair the header"
        )
    whole = words.astype(np.int64)
    values = _with_sign(whole >> shift, stored, header.signed)
    bounds = padding_bounds(header)
    if bounds is None:
        return Plane(values, None)
    full = _with_sign(whole, bits, header.signed)
    low, high = bounds
    values = np.where((full >= low) & (full <= high), full, values)
    return Plane(values, (values >= low) & (values <= high))


def stored_limits(header: Header) -> tuple[int, int]:
    """The least and the largest value that BitsStored can hold."""
    bits = header.words.get("BitsStored", header.words["BitsAllocated"])
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if header.signed else (0, (1 << bits) - 1)


def _with_sign(words: NDArray[np.int64], bits: int, signed: bool) -> NDArray[np.int64]:
    values = words & ((1 << bits) - 1)
    return values - ((values >> (bits - 1)) << bits) if signed else values


def padding_bounds(header: Header) -> tuple[int, int] | None:
    """The least and the largest stored value that are padding (PS3.3 C.7.5.1.1.2); None where none is declared."""
    first = header.words.get("PixelPaddingValue")
    if first is None:
        return None
    last = header.words.get("PixelPaddingRangeLimit", first)
    # the tags' own type is often the wrong one of US and SS
    ends = [word - (1 << 16) if header.signed and 1 << 15 <= word < 1 << 16 else word for word in (first, last)]
    return min(ends), max(ends)
