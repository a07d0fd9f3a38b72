"""Files of tensors, safetensors: written whole, and looked at before they are read."""

from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import load, load_file, save_file

from liveaction.errors import FormatError
from liveaction.files import atomic_path, require_regular
from liveaction.model_folder import PACKED, unpacked

UNREADABLE = (OSError, SafetensorError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, MemoryError)
"""What reading a file that is none may raise."""
Wanted = Mapping[str, tuple[str, tuple[int, ...]]]
"""Of tensors by name: the dtype as torch and NumPy call it, and the shape."""


def read_tensors(path: Path, wanted: Wanted, expected: str) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, read once its header says that they are the ones that are wanted.

    A file whose name ends in ``.gz`` is unpacked, to no more than these take.

    Raises:
        FormatError: others are there, or some are missing.
        Exception: of safetensors, where it is no such file.
    """
    if path.suffix == PACKED:
        return _read_packed(path, wanted, expected)
    require_regular(path)
    with safe_open(path, framework="np") as file:  # maps the file; for torch it would ask for as much memory
        parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        kinds = {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in parts.items()}
    found = {name: (_DTYPES.get(kind, kind), shape) for name, (kind, shape) in kinds.items()}
    _require(found, wanted, path, expected)
    return load_file(path)


def _read_packed(path: Path, wanted: Wanted, expected: str) -> dict[str, torch.Tensor]:
    """The tensors of a packed file: unpacked in memory, with room for a header."""
    values = sum(prod(shape) * torch.empty(0, dtype=getattr(torch, dtype)).itemsize for dtype, shape in wanted.values())
    tensors = load(unpacked(path, values + _HEADER * (len(wanted) + 1)))
    found = {name: (str(each.dtype).removeprefix("torch."), tuple(each.shape)) for name, each in tensors.items()}
    _require(found, wanted, path, expected)
    return tensors


def _require(found: Wanted, wanted: Wanted, path: Path, expected: str) -> None:
    """Refuse other tensors than those that are wanted."""
    for name in sorted(found.keys() ^ wanted.keys()):
        got = "none" if name in wanted else "one that does not belong there"
        raise FormatError(f"{path}: expected {expected}, got {got} of the name {ascii(name)[1:-1][:80]!r}")
    for name, (dtype, shape) in wanted.items():
        kind, extents = found[name]
        if (kind, extents) != (dtype, shape):
            raise FormatError(f"{path}: expected {expected}, {name} as {dtype} {shape}, got {kind} {extents}")


_HEADER = 1024  # bytes that the header of a safetensors file has for a tensor, at most

_DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32",
    "U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
}  # fmt: skip


def save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write a safetensors file, atomically."""
    _save(save_file, tensors, path)


def save_arrays(arrays: dict[str, NDArray[Any]], path: Path) -> None:
    """Write a safetensors file, atomically."""
    _save(save_numpy, arrays, path)


def _save(write: Callable[[Any, Path], None], data: Any, path: Path) -> None:
    with atomic_path(path, follow=False) as part:
        part.touch()
        mode = part.stat().st_mode
        write(data, part)
        part.chmod(mode)  # safetensors lets only the owner read
