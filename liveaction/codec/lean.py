"""Headers as they are written: which keys are left out, and what stands for them: rules of the format for ever.

``docs/stream.md`` is the specification.
"""

import json
from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from liveaction.codec.grid import chunk_extents, halo_of, window_extents

if TYPE_CHECKING:
    from liveaction.codec.bound import Bound
    from liveaction.codec.front import Front
    from liveaction.codec.model import Model
    from liveaction.signal import Signal

DTYPES = (
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64",
)  # fmt: skip

WEIGHTS_DIGITS, TABLES_DIGITS = 32, 16
"""Hexadecimal digits of the digests that are written: they tell models apart; accidents are the checksums' work."""

CHUNK_TOKENS = 4096
"""Latents of a chunk whose extents are left out, at most."""

WINDOW_SAMPLES = 2**24
"""Values of a window whose extents are left out, about."""

CODERS = ("fast", "small")
"""Of symbols; the first is the one that headers leave out."""

_CONSTANT: dict[str, Any] = {
    "bits": 0, "metadata": {}, "no_data": 0.0, "tree": 0, "components": 0, "coder": CODERS[0], "extras": {},
}  # fmt: skip


def make_header(
    signal: "Signal", model: "Model", front: "Front", step: float, limits: tuple[float, float], coder: str,
    extras: Mapping[str, Any], bound: "Bound | None" = None,
) -> dict[str, Any]:  # fmt: skip
    """The header of a stream of ``signal``, as JSON data that nobody has looked at yet, without what can be told."""
    recipe, digest, codec = model.recipe, model.digest, model.codec.trees[front.tree]
    layout = codec.layout(signal.shape, front.batch)
    header = {
        "recipe": recipe.name,
        "weights": digest[:WEIGHTS_DIGITS],
        "tables": model.codec.coding_digest(coder)[:TABLES_DIGITS],
        "modality": recipe.modality.model_dump(mode="json", exclude_defaults=True),
        "shape": signal.values.shape,
        "dtype": signal.values.dtype.name,
        "native_dtype": signal.dtype,
        "bits": signal.bits,
        "axes": signal.axes,
        "unit": signal.unit,
        "spacing": [float(step) for step in signal.spacing],
        "metadata": signal.metadata,
        "no_data": None if np.isnan(signal.no_data) else float(signal.no_data),
        "range": [end.item() if isinstance(end, np.generic) else end for end in limits],
        "latent_channels": codec.latents * front.batch,
        "factors": layout.factors,
        "chunk": layout.chunk,
        "window": layout.window,
        "halo": layout.halo,
        "step": step,
        "tree": front.tree,
        "components": front.components,
        "coder": coder,
        "extras": dict(extras),
    }
    return lean(header) | ({} if bound is None else {"bound": bound.model_dump()})


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


def _chunk(header: dict[str, Any]) -> tuple[int, ...] | None:
    shape, factors = _sizes(header.get("shape")), _sizes(header.get("factors"))
    if shape is None or factors is None or len(factors) != len(shape) - 1:
        return factors  # is refused
    return chunk_extents([-(-n // f) for n, f in zip(shape[1:], factors, strict=True)], CHUNK_TOKENS)


def _window(header: dict[str, Any]) -> tuple[int, ...] | None:
    shape, factors, chunk = (_sizes(header.get(name)) for name in ("shape", "factors", "chunk"))
    if shape is None or factors is None or chunk is None or not len(factors) == len(chunk) == len(shape) - 1:
        return chunk  # is refused
    grid = [-(-n // f) for n, f in zip(shape[1:], factors, strict=True)]
    channels = header.get("components") or shape[0]
    if type(channels) is not int or channels < 1:
        return chunk
    return window_extents(grid, chunk, WINDOW_SAMPLES // (channels * prod(factors)))


def _modality(header: dict[str, Any], key: str) -> Any:
    table = header.get("modality")
    return table.get(key) if isinstance(table, dict) else None


def _dtype(header: dict[str, Any]) -> str | None:
    found = header.get("native_dtype")
    return found if isinstance(found, str) and found in DTYPES else None


def _range(header: dict[str, Any]) -> list[Any] | None:
    """The modality's, or all that an integer holds."""
    said, native = _modality(header, "range"), header.get("native_dtype")
    if said == "native" and isinstance(native, str) and native in ("int8", "uint8", "int16", "uint16"):
        info = np.iinfo(native)
        return [float(info.min), float(info.max)]
    return said if isinstance(said, list) else None


_RULES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dtype": _dtype,
    "axes": lambda header: _modality(header, "axes"),
    "unit": lambda header: _modality(header, "unit") or "",
    "spacing": lambda header: [1.0] * (len(header["shape"]) - 1) if _is_list(header.get("shape")) else None,
    "range": _range,
    "chunk": _chunk,
    "window": _window,
    "halo": lambda header: halo_of(len(header["shape"]) - 1) if _is_list(header.get("shape")) else None,
}
"""What stands for a key, from those before it; None where that cannot be said."""
