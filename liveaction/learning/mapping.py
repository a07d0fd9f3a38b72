"""Tensors of a safetensors file as memory maps: read where they are looked at, and pages given back by the system."""

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.files import require_regular
from liveaction.strict_json import read_json_bytes

_DTYPES = {
    "I8": "<i1", "U8": "|u1", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4", "I64": "<i8", "U64": "<u8",
    "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_LONGEST = 2**20


def map_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read-only views of the tensors of a file, by name; nothing is read but the header.

    Raises:
        FormatError: it is no such file, is cut short, or holds a dtype that no store has.
    """
    where = f"{path}: expected a safetensors file of a store"
    require_regular(path)
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            head = file.read(size) if size <= _LONGEST else b""
            there = file.seek(0, 2)
    except OSError as error:
        raise FormatError(f"{where}, got {error.strerror}") from error
    if not head or len(head) < size:
        raise FormatError(f"{where}, got another header")
    table = read_json_bytes(head, str(path))
    try:
        entries = {name: entry for name, entry in table.items() if name != "__metadata__"}
        return {name: _mapped(path, 8 + size, entry, there) for name, entry in entries.items()}
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise FormatError(f"{where}, got {json.dumps(str(error)[:80])}") from error


def _mapped(path: Path, base: int, entry: dict[str, Any], there: int) -> NDArray[Any]:
    dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
    low, high = entry["data_offsets"]
    if any(type(n) is not int or n < 0 for n in (low, high, *shape)) or high - low != prod(shape) * dtype.itemsize:
        raise ValueError("sizes that do not belong together")
    if base + high > there:
        raise ValueError("a file that is cut short")
    if high == low:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", base + low, shape)
