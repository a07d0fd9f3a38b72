"""What readers of hyperspectral files hand over, and what their bands are."""

import base64
import binascii
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.mapped import converted
from liveaction.modalities.third_party import one_line

AXES = ("band", "y", "x")
LONGEST_TEXT = 1 << 24
"""Bytes of a header unpacked from a stream; headers of thousands of bands have a few hundred thousand."""
_NANOMETRES = {"nm": 1.0, "nanometer": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3, "micron": 1e3, "micrometer": 1e3}


class Cube(NamedTuple):
    """``values`` ``[band, y, x]`` in native byte order and the file's dtype; ``metadata`` to write it back.

    ``no_data`` is what the file says stands where nothing was measured.
    """

    values: NDArray[Any]
    metadata: dict[str, Any]
    no_data: float | None = None


class Bands(NamedTuple):
    """Centre of every band in nm, and which are marked bad; None where the file does not say."""

    wavelengths: NDArray[np.float64] | None = None
    bad: NDArray[np.bool_] | None = None


def nanometres(values: list[float], unit: str) -> list[float] | None:
    """Wavelengths in nm; a unit that is not named is told by the size of the numbers, another one gives None."""
    unit = unit.strip().lower().removesuffix("s").replace("metre", "meter")
    if unit in {"", "unknown", "wavelength"}:
        unit = "um" if max(values, default=0.0) < 100 else "nm"
    scale = _NANOMETRES.get(unit)
    return None if scale is None else [value * scale for value in values]


def check_dtype(dtype: np.dtype[Any], path: Path) -> None:
    """Refuse what is not a real number of 8 to 64 bits that a stream holds."""
    if dtype.kind not in "iuf" or dtype.itemsize > 8 or dtype.name == "float16":
        raise FormatError(
            f"{path}: expected integers, float32 or float64, got {dtype.name!r}; convert the source, for example its "
            "magnitude"
        )


def contiguous(array: NDArray[Any]) -> NDArray[Any]:
    """The array itself where its last axis varies fastest, else a copy in which it does; a large one is mapped."""
    return array if array.flags.c_contiguous else converted(array, array.dtype)


def find_missing(values: NDArray[Any], no_data: float | None, path: Path) -> tuple[NDArray[np.bool_] | None, float]:
    """Where nothing was measured, and the one value that stands there.

    Raises:
        FormatError: both NaN and ``no_data`` stand for it.
    """
    nan = np.isnan(values) if values.dtype.kind == "f" else np.zeros((), bool)
    marked = np.zeros((), bool)
    if no_data is not None:
        marker = as_stored(no_data, values.dtype)
        marked = marked if marker is None else values == marker
    if nan.any() and marked.any():
        raise FormatError(
            f"{path}: expected either NaN or {no_data:g} where nothing was measured, got both; replace one of them"
        )
    if nan.any():
        return nan, float("nan")
    return marked if marked.any() else None, no_data or 0.0


def as_stored(no_data: float, dtype: np.dtype[Any]) -> Any:
    """The value of ``dtype`` that a no-data value stands for, or None: texts round the ends of float32 outwards."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(no_data) if np.isfinite(dtype.type(no_data)) else None
    info = np.iinfo(dtype)
    return dtype.type(int(no_data)) if info.min <= no_data <= info.max and no_data == int(no_data) else None


def pack_header(data: bytes) -> str:
    """An ENVI header as text for the metadata: itself where it is ASCII, since a stream packs its lists of numbers."""
    return data.decode("ascii") if data.isascii() and data.startswith(b"ENVI") else pack_bytes(data)


def pack_bytes(data: bytes) -> str:
    """Bytes as short text for the metadata: deflated, base64."""
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def unpack_bytes(text: Any, path: Path) -> bytes:
    """Inverse of :func:`pack_bytes` and :func:`pack_header`.

    Raises:
        FormatError: not such text, or too long.
    """
    if isinstance(text, str) and text.startswith("ENVI") and text.isascii() and len(text) <= LONGEST_TEXT:
        return text.encode("ascii")
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(text, validate=True), LONGEST_TEXT)
    except (binascii.Error, zlib.error, TypeError, ValueError) as error:
        raise FormatError(f"{path}: expected metadata with its source's header, got {one_line(error)}") from error
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise FormatError(
            f"{path}: expected metadata with its source's whole header, got a part; read the source again"
        )
    return data
