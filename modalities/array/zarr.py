"""An array of a Zarr store, with the metadata documents that describe it.

The documents are JSON already (``zarr.json``, or ``.zarray``, ``.zattrs`` and ``.zgroup``), so they are kept as they
are: chunks, shards, compressors, fill value, dimension names and attributes come back as they were.
"""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.files import temporary_path
from liveaction.modalities.array.formats import Format, check_dtype, check_key, check_unpacked, choose_array
from liveaction.modalities.array.rows import load_rows, store_rows

MOST_FILES = 1 << 20
"""Chunks that a store may ask to be written: a stream's metadata of some bytes must not fill a disk with files."""
_DOCUMENTS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")


class Zarr(Format):
    """An array of a Zarr store, version 2 or 3: a folder ``.zarr``, or a zip ``.zarr.zip``."""

    suffixes = (".zarr", ".zarr.zip")

    def holds(self, path: Path) -> bool:
        """Whether ``path`` is a folder with Zarr's metadata, or a file ``.zarr.zip``."""
        if path.name.lower().endswith(".zip"):
            return path.is_file()
        return path.is_dir() and any((path / name).is_file() for name in _DOCUMENTS)

    def read(self, path: Path, key: str | None) -> tuple[NDArray[Any], dict[str, Any]]:
        """One array and its metadata.

        Chunks that are not there hold the fill value, as the format has it.

        Returns:
            The values, and ``key`` (empty for an array at the root), ``others`` (arrays beside it) and ``documents``.

        Raises:
            FormatError: not a store, no such array, several and no key, or one that holds no real numbers.
        """
        import zarr
        from zarr.storage import LocalStore, ZipStore

        if not self.holds(path):
            raise FormatError(f"{path}: expected a Zarr store, a folder with its metadata or a .zarr.zip, got neither")
        store = ZipStore(path, mode="r") if path.is_file() else LocalStore(path, read_only=True)
        try:
            root = zarr.open(store, mode="r")
            if isinstance(root, zarr.Array):
                if key is not None:
                    raise FormatError(f"{path}: expected no modality.options.key for an array at the root, got {key!r}")
                arrays, name = {"": root}, ""
            else:
                arrays = {where: node for where, node in root.members(max_depth=None) if isinstance(node, zarr.Array)}
                name = choose_array(path, arrays, key)
            array = arrays[name]
            documents = _documents(path, name)
            _refuse_pickles(path, documents)
            check_dtype(path, np.dtype(array.dtype))
            check_unpacked(path, array.nbytes, array.nbytes_stored())
            return load_rows(array), {
                "key": name,
                "others": sorted(arrays.keys() - {name}),
                "documents": documents,
            }
        finally:
            store.close()

    def write(self, path: Path, array: NDArray[Any], metadata: dict[str, Any]) -> None:
        """A store with the one array; a zip where the name ends in ``.zip``."""
        if not path.name.lower().endswith(".zip"):
            _write_folder(path, array, metadata)
            return
        folder = temporary_path(path)
        try:
            _write_folder(folder, array, metadata)
            with zipfile.ZipFile(path, "w") as archive:
                for file in sorted(folder.rglob("*")):
                    if file.is_file():
                        archive.write(file, file.relative_to(folder).as_posix())
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _write_folder(folder: Path, array: NDArray[Any], metadata: dict[str, Any]) -> None:
    import zarr

    key, documents = check_key(folder, metadata.get("key", "")), metadata.get("documents")
    folder.mkdir()
    if not documents:
        zarr.create_array(folder, name=key or None, data=array)
        return
    _refuse_pickles(folder, documents)
    allowed = {_joined(place, name) for place in _places(key) for name in _DOCUMENTS}
    if not documents.keys() <= allowed:
        raise FormatError(f"{folder}: expected metadata of the array {key!r} alone, got {sorted(documents)}")
    for place, document in documents.items():
        here = dict(document)
        if "shape" in here:
            here["shape"] = list(array.shape)
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(json.dumps(here, indent=2), encoding="utf-8")
    target = zarr.open_array(folder, path=key, mode="r+")
    if target.nchunks > MOST_FILES:
        raise FormatError(f"{folder}: expected at most {MOST_FILES} chunks, got {target.nchunks} of {target.chunks}")
    store_rows(target, array)


def _documents(path: Path, key: str) -> dict[str, Any]:
    """The metadata of an array and of every group above it; consolidated copies are left out."""
    found = {}
    archive = zipfile.ZipFile(path) if path.is_file() else None
    present = set() if archive is None else set(archive.namelist())
    for place in (_joined(place, name) for place in _places(key) for name in _DOCUMENTS):
        if archive is None and (path / place).is_file():
            found[place] = json.loads((path / place).read_text(encoding="utf-8"))
        elif archive is not None and place in present:
            found[place] = json.loads(archive.read(place))
    if archive is not None:
        archive.close()
    return {place: {k: v for k, v in d.items() if k != "consolidated_metadata"} for place, d in found.items()}


def _refuse_pickles(path: Path, documents: dict[str, Any]) -> None:
    """Codecs that run what they read."""
    for document in documents.values():
        parts = {name: document.get(name) for name in ("codecs", "compressor", "filters")}
        if "pickle" in json.dumps(parts).lower():
            raise FormatError(f"{path}: expected a codec of numbers, got pickle, which runs what it reads; recode it")


def _places(key: str) -> list[str]:
    parts = key.split("/") if key else []
    return ["/".join(parts[:n]) for n in range(len(parts) + 1)]


def _joined(place: str, name: str) -> str:
    return f"{place}/{name}" if place else name
