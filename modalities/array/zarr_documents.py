"""Metadata documents of a Zarr store: read whole, checked before the library sees them, made to fit what is written.

A store is taken at the word of its documents, not of consolidated copies of them; those are checked all the same.
"""

import copy
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from liveaction.errors import FormatError
from liveaction.modalities.array.formats import Step

DOCUMENTS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
_CONSOLIDATED = ".zmetadata"
_CODECS = {"codecs", "compressor", "filters", "index_codecs", "storage_transformers"}
_LONGEST = 1 << 26  # bytes of one document


def list_store(path: Path) -> dict[str, int]:
    """Names of all files in a store, by ``/``, with their sizes in bytes.

    Raises:
        FormatError: a folder in it is a link, which may lead anywhere.
    """
    if path.is_file():
        with zipfile.ZipFile(path) as archive:
            return {info.filename: info.file_size for info in archive.infolist() if not info.is_dir()}
    found = {}
    for place, folders, _ in os.walk(path):
        here = Path(place)
        link = next((folder for folder in folders if (here / folder).is_symlink()), None)
        if link is not None:
            raise FormatError(f"{path}: expected a store without links to folders, got {link!r}; copy what it leads to")
        lead = here.relative_to(path).as_posix() + "/" if here != path else ""
        found.update({lead + entry.name: entry.stat().st_size for entry in os.scandir(here) if entry.is_file()})
    return found


def read_documents(path: Path, files: dict[str, int]) -> dict[str, Any]:
    """Every metadata document of a store by its name, consolidated ones among them.

    Raises:
        FormatError: one is not a JSON object, or is very long.
    """
    wanted = [name for name in files if name.rpartition("/")[2] in (*DOCUMENTS, _CONSOLIDATED)]
    long = next((name for name in wanted if files[name] > _LONGEST), None)
    if long is not None:
        raise FormatError(f"{path}: expected metadata of at most {_LONGEST} bytes, got {files[long]} in {long!r}")
    if not path.is_file():
        return {name: _parse(path, name, (path / name).read_bytes()) for name in wanted}
    with zipfile.ZipFile(path) as archive:
        return {name: _parse(path, name, archive.read(name)) for name in wanted}


def is_array(documents: dict[str, Any], place: str) -> bool:
    """Whether an array stands at a place of a store."""
    whole = documents.get(joined(place, "zarr.json"))
    return joined(place, ".zarray") in documents if whole is None else whole.get("node_type") == "array"


def keep_documents(key: str, everything: dict[str, Any]) -> dict[str, Any]:
    """``documents`` of an array and of the groups above it, without consolidated copies; and ``numbers`` in them.

    JSON has no NaN and no infinity, but Zarr's attributes do: null stands for each, and ``numbers`` lists document,
    path and word.
    """
    names = [joined(place, name) for place in places_above(key) for name in DOCUMENTS]
    kept = {
        name: copy.deepcopy({k: v for k, v in everything[name].items() if k != "consolidated_metadata"})
        for name in names
        if name in everything
    }
    numbers = []
    for name, document in kept.items():
        for holder, label, value, where in list(_leaves(document)):
            if isinstance(value, float) and not isfinite(value):
                numbers.append([name, where, repr(value)])
                holder[label] = None
    return {"documents": kept, **({"numbers": numbers} if numbers else {})}


def written_documents(documents: dict[str, Any], key: str, numbers: list[Any]) -> dict[str, Any]:
    """Documents as they hold for a store with the one array ``key``: their numbers, and lists of what is there.

    OME-Zarr lists levels, images, wells and labels by path; those that are not written are left out.
    """
    made = copy.deepcopy(documents)
    for name, where, word in numbers:
        holder = made[name]
        for label in where[:-1]:
            holder = holder[label]
        holder[where[-1]] = float(word)
    for name, attributes in _groups(made):
        place = name.rpartition("/")[0]
        for holder in (attributes, attributes.get("ome")):
            if isinstance(holder, dict):
                _leave_out(holder, place, key)
    return made


def move_places(documents: dict[str, Any], key: str, box: tuple[slice, ...]) -> dict[str, Any]:
    """Documents whose OME-Zarr translations are those of a region, one slice per stored axis."""
    return _placed(documents, key, [float(part.start or 0) for part in box], [1] * len(box))


def scale_places(documents: dict[str, Any], key: str, steps: Sequence[Step | None]) -> dict[str, Any]:
    """Documents whose OME-Zarr scales and translations are those of fewer samples, one step per stored axis."""
    origin, factors = [step.origin if step else 0.0 for step in steps], [step.factor if step else 1 for step in steps]
    return _placed(documents, key, origin, factors)


def _placed(documents: dict[str, Any], key: str, origin: list[float], factors: list[int]) -> dict[str, Any]:
    """Documents whose level ``key`` begins at ``origin`` and has a sample for ``factors`` of them, per stored axis."""
    made = copy.deepcopy(documents)
    for name, attributes in _groups(made):
        place = name.rpartition("/")[0]
        for holder in (attributes, attributes.get("ome")):
            scales = holder.get("multiscales") if isinstance(holder, dict) else None
            for level in (level for scale in _tables(scales) for level in _tables(scale.get("datasets"))):
                if joined(place, str(level.get("path")).strip("/")) == key:
                    _translate(level, origin, factors)
    return made


def strip_documents(documents: dict[str, Any]) -> dict[str, Any]:
    """Documents whose attributes are those of OME-Zarr that place an image, and no others."""
    made = copy.deepcopy(documents)
    for _, attributes in _groups(made):
        left, inner = _scales(attributes), attributes.get("ome")
        if isinstance(inner, dict) and (scales := _scales(inner)):
            left["ome"] = {**scales, **({"version": inner["version"]} if "version" in inner else {})}
        attributes.clear()
        attributes.update(left)
    return made


def _scales(attributes: dict[str, Any]) -> dict[str, Any]:
    """OME-Zarr's axes and levels, without names and how they were made."""
    labels = ("version", "axes", "datasets", "coordinateTransformations")
    scales = [
        {name: scale[name] for name in labels if name in scale} for scale in _tables(attributes.get("multiscales"))
    ]
    return {"multiscales": scales} if scales else {}


def refuse_pickles(path: Path, documents: dict[str, Any]) -> None:
    """Codecs that run what they read, in any list of any document.

    Raises:
        FormatError: there is one.
    """
    for name, document in documents.items():
        for _, label, value, where in _leaves(document):
            names = isinstance(value, str) and (label in ("id", "name") or isinstance(label, int))
            if names and _CODECS & {*where} and "pickle" in value.lower():
                raise FormatError(
                    f"{path}: expected a codec of numbers, got {value!r} in {name}, which runs what it reads; recode it"
                )


def places_above(key: str) -> list[str]:
    """The root as an empty text, every group above ``key``, and ``key``."""
    parts = key.split("/") if key else []
    return ["/".join(parts[:n]) for n in range(len(parts) + 1)]


def joined(place: str, name: str) -> str:
    """A name below a place; the root is empty."""
    return f"{place}/{name}" if place else name


def _parse(path: Path, name: str, text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: expected JSON in {name}, got {type(error).__name__}: {str(error)[:80]}") from error
    if not isinstance(document, dict):
        raise FormatError(f"{path}: expected a JSON object in {name}, got {type(document).__name__}")
    return document


def _leaves(document: dict[str, Any]) -> Iterator[tuple[Any, Any, Any, list[Any]]]:
    """Every entry of nested JSON: what holds it, its label there, itself, and the path to it."""
    open_ones: list[tuple[Any, list[Any]]] = [(document, [])]
    while open_ones:
        holder, where = open_ones.pop()
        for label, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
            yield holder, label, value, [*where, label]
            if isinstance(value, dict | list):
                open_ones.append((value, [*where, label]))


def _groups(documents: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names of documents, and the attributes that they hold."""
    for name, document in documents.items():
        table = document if isinstance(document, dict) else {}
        attributes = table if name.endswith(".zattrs") else table.get("attributes")
        if isinstance(attributes, dict):
            yield name, attributes


def _tables(entries: Any) -> list[dict[str, Any]]:
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _leave_out(holder: dict[str, Any], place: str, key: str) -> None:
    """Take out of OME-Zarr's lists what is neither ``key`` nor above it; in place."""

    def stays(path: Any) -> bool:
        return f"{key}/".startswith(f"{joined(place, str(path).strip('/'))}/")

    for scale in _tables(holder.get("multiscales")):
        scale["datasets"] = [level for level in _tables(scale.get("datasets")) if stays(level.get("path"))]
    if "multiscales" in holder:
        holder["multiscales"] = [scale for scale in _tables(holder["multiscales"]) if scale["datasets"]]
        if not holder["multiscales"]:
            del holder["multiscales"]
    for table, listed in (("plate", "wells"), ("well", "images")):
        if isinstance(holder.get(table), dict) and listed in holder[table]:
            there = [entry for entry in _tables(holder[table][listed]) if stays(entry.get("path"))]
            holder[table] = {**holder[table], listed: there}
    if isinstance(holder.get("labels"), list):
        holder["labels"] = [path for path in holder["labels"] if stays(path)]


def _translate(level: dict[str, Any], first: list[float], factors: list[int]) -> None:
    """Move a level by samples per axis, and make them larger; in place. What is not as OME-Zarr has it stays."""
    steps = [dict(step) for step in _tables(level.get("coordinateTransformations"))]
    named = {kind: step for step in steps for kind in ("scale", "translation") if step.get("type") == kind in step}
    scale = named["scale"]["scale"] if "scale" in named else [1.0] * len(first)
    before = named["translation"]["translation"] if "translation" in named else [0.0] * len(first)
    plain = all(isinstance(n, list) and all(isinstance(v, int | float) for v in n) for n in (scale, before))
    if not plain or not len(scale) == len(before) == len(first) or not (any(first) or max(factors) > 1):
        return
    moved = [float(b + s * n) for b, s, n in zip(before, scale, first, strict=True)]
    kept = [step for step in steps if step is not named.get("translation")]
    if max(factors) > 1:
        wide = {"type": "scale", "scale": [float(s * f) for s, f in zip(scale, factors, strict=True)]}
        kept = [wide, *(step for step in kept if step is not named.get("scale"))]
    level["coordinateTransformations"] = [*kept, {"type": "translation", "translation": moved}]
