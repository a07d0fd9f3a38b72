"""Attributes and dimension scales of an HDF5 dataset as JSON, and back."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liveaction.errors import FormatError
from liveaction.modalities.array.formats import Step, check_key

_OF_SCALES = ("CLASS", "NAME", "REFERENCE_LIST")  # written by HDF5 itself
_LONGEST_SCALE = 1 << 20  # bytes


def keep_attributes(node: Any, but: tuple[str, ...] = ()) -> tuple[dict[str, Any], list[str]]:
    """JSON of a node's attributes by name, and words for those that have none."""
    kept: dict[str, Any] = {}
    lost = []
    for label in node.attrs:
        if label in but:
            continue
        try:
            value = keep_value(node.attrs[label])
        except (OSError, TypeError, ValueError):  # HDF5 itself cannot read it
            value = None
        if value is None:
            lost.append(f"attribute {label}")
        else:
            kept[label] = value
    return kept, lost


def write_attributes(node: Any, kept: dict[str, Any]) -> None:
    """Inverse of :func:`keep_attributes`."""
    import h5py

    for label, value in kept.items():
        octets = isinstance(value, dict) and "octets" in value
        node.attrs.create(label, restore_value(value), dtype=h5py.string_dtype() if octets else None)


def keep_value(value: Any) -> Any:
    """JSON of an attribute: texts as they are, numbers by dtype, shape and bytes; None for references and the like.

    Texts that are no UTF-8, which HDF5 does not forbid, are kept by their bytes.
    """
    if isinstance(value, str):
        return value if _is_utf8(value) else {"octets": [_octets(value)], "shape": []}
    array = np.asarray(value)
    if array.dtype.kind in "iufbS" and array.dtype.fields is None:
        data = base64.b64encode(array.tobytes()).decode()
        return {"dtype": array.dtype.str, "shape": list(array.shape), "base64": data}
    if array.dtype.kind == "O" and array.size and all(isinstance(entry, str) for entry in array.flat):
        if all(_is_utf8(entry) for entry in array.flat):
            return {"texts": list(array.flat), "shape": list(array.shape)}
        return {"octets": [_octets(entry) for entry in array.flat], "shape": list(array.shape)}
    return None


def restore_value(kept: Any) -> Any:
    """Inverse of :func:`keep_value`."""
    if isinstance(kept, str):
        return kept
    if "texts" in kept:
        return np.array(kept["texts"], dtype=object).reshape(kept["shape"])
    if "octets" in kept:
        return np.array([base64.b64decode(text) for text in kept["octets"]], dtype=object).reshape(kept["shape"])
    values = np.frombuffer(base64.b64decode(kept["base64"]), dtype=np.dtype(kept["dtype"]))
    return values.reshape(kept["shape"])[()]


def is_scale(data: Any) -> bool:
    """Whether a dataset holds the places of samples along an axis of others."""
    return bool(data.is_scale)


def keep_scales(data: Any) -> list[dict[str, Any]]:
    """The scales of numbers along the axes of a dataset: ``key``, ``axis``, ``label``, ``values``, ``attributes``."""
    found = []
    for axis, dimension in enumerate(data.dims):
        for label, scale in dimension.items():
            fits = scale.shape == (data.shape[axis],) and scale.dtype.kind in "iuf" and scale.name is not None
            if not fits or scale.is_virtual or scale.external or scale.nbytes > _LONGEST_SCALE:
                continue
            attributes, _ = keep_attributes(scale, _OF_SCALES)
            about = {"key": scale.name.strip("/"), "axis": axis, "label": label}
            found.append({**about, "values": keep_value(scale[...]), "attributes": attributes})
    return found


def crop_scales(scales: list[dict[str, Any]], box: tuple[slice, ...]) -> list[dict[str, Any]]:
    """Scales of a region, one slice per axis of the dataset."""
    return [{**s, "values": keep_value(restore_value(s["values"])[box[s["axis"]]])} for s in scales]


def scale_scales(scales: list[dict[str, Any]], steps: Sequence[Step | None]) -> list[dict[str, Any]]:
    """Scales of fewer samples, one step per axis of the dataset: numbers between two of the whole, others nearest."""
    made = []
    for scale in scales:
        step, values = steps[scale["axis"]], restore_value(scale["values"])
        if step is not None:
            places = step.origin + step.factor * np.arange(step.samples)
            if values.dtype.kind == "f":
                values = np.interp(places, np.arange(len(values)), values).astype(values.dtype)
            else:
                values = values[np.floor(places).astype(int).clip(0, len(values) - 1)]
        made.append({**scale, "values": keep_value(values)})
    return made


def write_scales(path: Path, data: Any, scales: list[dict[str, Any]]) -> None:
    """Inverse of :func:`keep_scales`.

    Raises:
        FormatError: a scale is not of its axis, or would take the place of something else.
    """
    for scale in scales:
        key, axis, values = check_key(path, scale["key"]), scale["axis"], restore_value(scale["values"])
        if np.shape(values) != data.shape[axis : axis + 1]:
            raise FormatError(f"{path}: expected a scale of {data.shape[axis]} values, got shape {np.shape(values)}")
        if key not in data.file:
            made = data.file.create_dataset(key, data=values)
            made.make_scale(scale["label"])
            write_attributes(made, scale["attributes"])
        if not np.array_equal(data.file[key][...], values, equal_nan=True):  # one of two axes, cut unlike the other
            continue
        data.dims[axis].attach_scale(data.file[key])


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _octets(text: str) -> str:
    """The bytes of a text that h5py could not decode."""
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()
