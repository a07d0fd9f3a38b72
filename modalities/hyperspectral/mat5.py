"""Numeric arrays of MATLAB files of version 5 to 7.2, from the published description of the format (MAT-File Format).

``scipy.io`` reads them too, but a type it does not know, one changed byte, ends the process. The tests hold this module
against it.
"""

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from liveaction.modalities.array.formats import check_unpacked

_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_KINDS = (
    "", "cell", "struct", "object", "char", "sparse", "double", "single", "int8", "uint8", "int16", "uint16", "int32",
    "uint32", "int64", "uint64", "function", "opaque",
)  # fmt: skip
_MATRIX, _COMPRESSED, _HEAD = 14, 15, 4096  # bytes of a variable that hold its name and sizes
_LOGICAL, _COMPLEX = 0x200, 0x800


class Variable(NamedTuple):
    """A variable of a file: where it lies, and where its samples begin within it."""

    name: str
    kind: str
    shape: tuple[int, ...]
    complex: bool
    place: int
    size: int
    packed: bool
    order: str
    samples: int


def variables(path: Path) -> list[Variable]:
    """What a file holds, in its order.

    Raises:
        ValueError, OSError: another file, cut short, or damaged.
    """
    return list(_variables(path))


def load(path: Path, variable: Variable) -> NDArray[Any]:
    """The samples in the type they are stored in, Fortran order, read-only; of complex numbers zeros.

    Raises:
        ValueError, OSError, zlib.error: damaged.
        FormatError: far more than the file can hold.
    """
    if variable.complex:
        return np.zeros(variable.shape, np.complex128)
    count = math.prod(variable.shape)
    check_unpacked(path, count, path.stat().st_size)
    with path.open("rb") as file:
        file.seek(variable.place)
        content = file.read(variable.size)
    if variable.packed:
        content = zlib.decompressobj().decompress(content, variable.samples + 8 + 8 * count)
    kind, size, start = _element(content, variable.samples, variable.order)
    if kind not in _STORED or size != count * int(_STORED[kind][1]) or len(content) < start + size:
        raise ValueError(f"{size} bytes of type {kind} for {count} values")
    dtype = np.dtype(variable.order + _STORED[kind])
    return np.frombuffer(content, dtype, count, start).reshape(variable.shape, order="F")


def _variables(path: Path) -> Iterator[Variable]:
    whole = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(128)
        order = {b"IM": "<", b"MI": ">"}.get(head[126:])
        if order is None:
            raise ValueError("no MATLAB 5 header")
        place = 128
        while place < whole:
            file.seek(place)
            start = file.read(8)
            kind, size, _ = _element(start, 0, order)
            if kind not in (_MATRIX, _COMPRESSED) or place + 8 + size > whole:
                raise ValueError("a variable cut short or damaged")
            packed = kind == _COMPRESSED
            content = file.read(min(size, _HEAD))
            if packed:
                content = zlib.decompressobj().decompress(content, _HEAD)
                if _element(content, 0, order)[0] != _MATRIX:
                    raise ValueError("a damaged variable")
            about = _describe(content, 8 if packed else 0, order)
            if about is not None:
                yield Variable(*about[:4], place + 8, size, packed, order, about[4])
            place += 8 + size


def _describe(content: bytes, at: int, order: str) -> tuple[str, str, tuple[int, ...], bool, int] | None:
    """Name, class, shape, whether complex, and where samples begin; None of objects, which are laid out otherwise."""
    kind, size, start = _element(content, at, order)
    if kind != 6 or size != 8:
        raise ValueError("a variable without flags")
    flags = int(np.frombuffer(content, f"{order}u4", 1, start)[0])
    number = flags & 0xFF
    if not 0 < number < len(_KINDS) or _KINDS[number] in ("function", "opaque"):
        return None
    _, size, start = _element(content, start + 8, order)
    shape = tuple(np.frombuffer(content, f"{order}i4", size // 4, start).tolist())
    if min(shape, default=-1) < 0:
        raise ValueError(f"sizes {shape}")
    _, size, start = _element(content, _end(start, size), order)
    name = content[start : start + size].decode("latin-1")
    told = "logical" if flags & _LOGICAL else _KINDS[number]
    return (name, told, shape, bool(flags & _COMPLEX), _end(start, size)) if name else None


def _element(content: bytes, at: int, order: str) -> tuple[int, int, int]:
    """Type, bytes and place of the content of an element; short ones have theirs within their own head."""
    if len(content) < at + 8:
        raise ValueError("a variable cut short")
    kind, size = (int(value) for value in np.frombuffer(content, f"{order}u4", 2, at))
    if kind >> 16:
        return kind & 0xFFFF, kind >> 16, at + 4
    return kind, size, at + 8


def _end(start: int, size: int) -> int:
    """Where the next element begins: elements take multiples of eight bytes."""
    return -(-(start + size) // 8) * 8
