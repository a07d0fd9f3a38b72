"""An array of a Zarr store, with the metadata documents that describe it.

The documents are JSON already (``zarr.json``, or ``.zarray``, ``.zattrs`` and ``.zgroup``), so they are kept as they
are: chunks, shards, compressors, fill value, dimension names and attributes come back as they were.
"""

import json
import shutil
import zipfile
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.files import temporary_path
from liveaction.modalities.array.formats import (
    Format,
    Step,
    check_dtype,
    check_key,
    check_unpacked,
    choose_array,
    warn_absent,
)
from liveaction.modalities.array.rows import load_rows, store_rows
from liveaction.modalities.array.zarr_documents import (
    DOCUMENTS,
    is_array,
    joined,
    keep_documents,
    list_store,
    move_places,
    places_above,
    read_documents,
    refuse_pickles,
    scale_places,
    strip_documents,
    written_documents,
)

MOST_FILES = 1 << 20
"""Chunks that a store may ask to be written: a stream's metadata of some bytes must not fill a disk with files."""


class Zarr(Format):
    """An array of a Zarr store, version 2 or 3: a folder ``.zarr``, or a zip ``.zarr.zip``."""

    suffixes = (".zarr", ".zarr.zip")

    def holds(self, path: Path) -> bool:
        """Whether ``path`` is a folder with Zarr's metadata, or a file ``.zarr.zip``."""
        if path.name.lower().endswith(".zip"):
            return path.is_file()
        return path.is_dir() and any((path / name).is_file() for name in DOCUMENTS)

    def read(self, path: Path, key: str | None) -> tuple[NDArray[Any], dict[str, Any]]:
        """One array and its metadata.

        Chunks that are not there hold the fill value, as the format has it; a warning says how many.

        Returns:
            The values, and ``key`` (empty for an array at the root), ``others`` (arrays beside it),
            ``documents``, and ``numbers`` in them that JSON has no word for.

        Raises:
            FormatError: not a store, no such array, several and no key, or one that holds no real numbers.
        """
        import zarr
        from zarr.storage import LocalStore, ZipStore

        if not self.holds(path):
            raise FormatError(f"{path}: expected a Zarr store, a folder with its metadata or a .zarr.zip, got neither")
        files = list_store(path)
        everything = read_documents(path, files)
        refuse_pickles(path, everything)
        arrays = [place for place in {name.rpartition("/")[0] for name in everything} if is_array(everything, place)]
        if "" in arrays and key is not None:
            raise FormatError(f"{path}: expected no modality.options.key for an array at the root, got {key!r}")
        name = "" if "" in arrays else choose_array(path, arrays, key)
        store = ZipStore(path, mode="r") if path.is_file() else LocalStore(path, read_only=True)
        try:
            array = zarr.open_array(store, path=name, mode="r")
            check_dtype(path, np.dtype(array.dtype))
            _check_stored(path, name, array, {file[len(name) :].lstrip("/"): n for file, n in files.items()
                                              if file.startswith(f"{name}/" if name else "")})  # fmt: skip
            about = {"key": name, "others": sorted({*arrays} - {name})}
            return load_rows(array), {**about, **keep_documents(name, everything)}
        finally:
            store.close()

    def stripped(self, stored: dict[str, Any]) -> dict[str, Any]:
        """The key, and the documents without attributes but those of OME-Zarr that place an image."""
        return {"key": stored.get("key", ""), "documents": strip_documents(stored.get("documents", {}))}

    def cropped(self, stored: dict[str, Any], box: tuple[slice, ...]) -> dict[str, Any]:
        """The places of OME-Zarr moved to the region's first sample; all else holds for a part as well."""
        return {**stored, "documents": move_places(stored.get("documents", {}), stored.get("key", ""), box)}

    def scaled(self, stored: dict[str, Any], steps: Sequence[Step | None]) -> dict[str, Any]:
        """The scales and places of OME-Zarr are those of fewer samples; all else holds for them as well."""
        return {**stored, "documents": scale_places(stored.get("documents", {}), stored.get("key", ""), steps)}

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
    documents = written_documents(documents, key, metadata.get("numbers", []))
    refuse_pickles(folder, documents)
    allowed = {joined(place, name) for place in places_above(key) for name in DOCUMENTS}
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


def _check_stored(path: Path, name: str, array: Any, files: dict[str, int]) -> None:
    """Refuse what cannot be unpacked; warn of chunks, or shards, that are not there and read as the fill value.

    Args:
        path: of the store.
        name: of the array in it.
        array: a Zarr array.
        files: all below it, and their sizes.
    """
    sides, sharded = array.shards or array.chunks, array.shards is not None
    check_unpacked(path, array.nbytes, sum(files.values()), prod(sides) * np.dtype(array.dtype).itemsize)
    if 0 in array.shape:
        return
    grid = [-(-n // side) for n, side in zip(array.shape, sides, strict=True)]
    mark = array.metadata.encode_chunk_key((0,) * len(grid))
    lead, between = ("c", mark[1:2]) if mark.startswith("c") else ("", mark[1:2] or ".")
    there = 0
    for file in (file for file, size in files.items() if size):  # an empty shard holds nothing
        place = file.removeprefix(lead + between).split(between) if file.startswith(lead) else []
        numbers = [int(n) for n in place if n.isdecimal() and n.isascii() and len(n) < 19]
        there += len(numbers) == len(place) == len(grid) and all(i < n for i, n in zip(numbers, grid, strict=True))
    warn_absent(path, name, there, prod(grid), array.fill_value, "shards" if sharded else "chunks")
