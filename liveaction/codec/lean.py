"""Which keys of a header are left out, and what then stands for them: rules of the format, which never change.

``docs/stream.md`` is the specification.
"""

import json
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from liveaction.codec.grid import chunk_extents, halo_of, window_extents

CHUNK_TOKENS = 4096
"""Latents of a chunk whose extents are left out, at most."""

WINDOW_SAMPLES = 2**24
"""Values of a window whose extents are left out, about."""

CODERS = ("fast",)

_CONSTANT: dict[str, Any] = {
    "bits": 0, "metadata": {}, "no_data": 0.0, "tree": 0, "components": 0, "coder": CODERS[0], "extras": {},
}  # fmt: skip


def fill(raw: dict[str, Any]) -> dict[str, Any]:
    """A header with what was left out; what cannot be found is still left out, and nothing of it is checked."""
    header = dict(raw)
    header["factors"] = _per_axis(header.get("factors"), header.get("shape"))
    for name, rule in _RULES.items():
        if name not in header and (found := rule(header)) is not None:
            header[name] = found
    for name, value in _CONSTANT.items():
        header.setdefault(name, value)
    return {name: value for name, value in header.items() if value is not None or name in raw}


def lean(header: dict[str, Any]) -> dict[str, Any]:
    """A header without the keys that :func:`fill` brings back as they are, texts and numbers of equal kinds."""
    kept = dict(header)
    factors = tuple(header["factors"])
    if len(set(factors)) == 1:
        kept["factors"] = factors[0]
    for name in (*_CONSTANT, *reversed(_RULES)):
        rest = {key: value for key, value in kept.items() if key != name}
        if _alike(fill(rest).get(name), header[name]):
            kept = rest
    return kept


def _alike(one: Any, other: Any) -> bool:
    """Whether two values are one in JSON, where 1 and 1.0 are two; what is no JSON is like nothing."""
    try:
        return one is not None and json.dumps(one) == json.dumps(other)
    except (TypeError, ValueError, RecursionError):
        return False


def _per_axis(factors: Any, shape: Any) -> Any:
    """One number stands for all axes."""
    return [factors] * (len(shape) - 1) if type(factors) is int and _is_list(shape) else factors


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and 1 < len(value) <= 16


def _sizes(value: Any) -> tuple[int, ...] | None:
    """Extents that may be reckoned with."""
    there = isinstance(value, list | tuple) and 0 < len(value) <= 16
    return tuple(value) if there and all(type(n) is int and 0 < n <= 2**62 for n in value) else None


def _grid(header: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None:
    """Shape, factors and grid, where they are right."""
    shape, factors = _sizes(header.get("shape")), _sizes(header.get("factors"))
    if shape is None or factors is None or len(factors) != len(shape) - 1:
        return None
    return shape, factors, tuple(-(-n // f) for n, f in zip(shape[1:], factors, strict=True))


def _chunk(header: dict[str, Any]) -> tuple[int, ...] | None:
    found = _grid(header)
    return None if found is None else chunk_extents(found[2], CHUNK_TOKENS)


def _window(header: dict[str, Any]) -> tuple[int, ...] | None:
    found, chunk = _grid(header), _sizes(header.get("chunk"))
    if found is None or chunk is None or len(chunk) != len(found[2]):
        return None
    shape, factors, grid = found
    channels = header.get("components") or shape[0]
    if type(channels) is not int or channels < 1:
        return None
    return window_extents(grid, chunk, WINDOW_SAMPLES // (channels * prod(factors)))


def _modality(header: dict[str, Any], key: str) -> Any:
    table = header.get("modality")
    return table.get(key) if isinstance(table, dict) else None


def _range(header: dict[str, Any]) -> list[Any] | None:
    """The modality's, or all that an integer holds."""
    said, native = _modality(header, "range"), header.get("native_dtype")
    if said == "native" and isinstance(native, str) and native in ("int8", "uint8", "int16", "uint16"):
        info = np.iinfo(native)
        return [float(info.min), float(info.max)]
    return said if isinstance(said, list) else None


_RULES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dtype": lambda header: header.get("native_dtype"),
    "axes": lambda header: _modality(header, "axes"),
    "unit": lambda header: _modality(header, "unit") or "",
    "spacing": lambda header: [1.0] * (len(header["shape"]) - 1) if _is_list(header.get("shape")) else None,
    "range": _range,
    "chunk": _chunk,
    "window": _window,
    "halo": lambda header: halo_of(len(header["shape"]) - 1) if _is_list(header.get("shape")) else None,
}
"""What stands for a key, from those before it; None where that cannot be said."""
