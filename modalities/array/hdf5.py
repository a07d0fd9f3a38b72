"""A dataset of an HDF5 file, with what is needed to write an equal one."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.mapped import is_large
from liveaction.modalities.array.formats import Format, check_dtype, check_key, check_unpacked, choose_array
from liveaction.modalities.array.rows import load_rows, store_rows

_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 32000: "lzf"}
_STORAGE = ("compression", "compression_opts", "shuffle", "fletcher32")


class HDF5(Format):
    """A dataset of an HDF5 file; its attributes, chunks and standard filters are kept."""

    suffixes = (".h5", ".hdf5")

    def read(self, path: Path, key: str | None) -> tuple[NDArray[Any], dict[str, Any]]:
        """One dataset and its metadata.

        Returns:
            The values, and ``key``, ``others`` (datasets beside it), ``storage`` (chunks, filters, fill value),
            ``attributes`` of the dataset and of every group above it, and ``lost``: what has no JSON form.

        Raises:
            FormatError: no such dataset, several and no key, or one that holds no real numbers.
        """
        import h5py

        with h5py.File(path, "r") as file:
            datasets: dict[str, Any] = {}
            file.visititems(
                lambda name, node: datasets.update({name: node}) if isinstance(node, h5py.Dataset) else None
            )
            candidates = [name for name, node in datasets.items() if node.ndim and node.dtype.kind in "iufc"]
            name = choose_array(path, datasets if key is not None else candidates or datasets, key)
            data = datasets[name]
            check_dtype(path, data.dtype)
            if data.external:
                raise FormatError(
                    f"{path}: expected {name!r} to hold its values, got a list of other files; copy them in"
                )
            if not data.is_virtual:
                check_unpacked(path, data.nbytes, data.id.get_storage_size())
            storage, lost = _storage(data)
            attributes: dict[str, Any] = {}
            for place in _places(name):
                attributes[place] = {}
                for label, value in _attributes(file[place or "/"]):
                    kept = _keep(value)
                    if kept is None:
                        lost.append(f"attribute {label}")
                    else:
                        attributes[place][label] = kept
            others = sorted(datasets.keys() - {name})
            about = {"key": name, "others": others, "storage": storage, "attributes": attributes, "lost": lost}
            return load_rows(data), about

    def write(self, path: Path, array: NDArray[Any], metadata: dict[str, Any]) -> None:
        """A file with the one dataset, its groups, attributes and storage."""
        import h5py

        key, given = check_key(path, metadata.get("key", "values")) or "values", metadata.get("storage", {})
        if given.get("compression") not in (None, "gzip", "lzf", "szip"):
            raise FormatError(
                f"{path}: expected gzip, lzf or szip, got {given['compression']!r}, which may be a plug-in"
            )
        storage = {name: given[name] for name in (*_STORAGE, "chunks", "maxshape", "fillvalue") if name in given}
        if storage.get("chunks"):
            storage["chunks"] = tuple(min(c, n) for c, n in zip(storage["chunks"], array.shape, strict=True))
        if storage.get("maxshape"):
            most = zip(storage["maxshape"], array.shape, strict=True)
            storage["maxshape"] = tuple(None if m is None else max(m, n) for m, n in most)
        if isinstance(storage.get("compression_opts"), list):
            storage["compression_opts"] = tuple(storage["compression_opts"])
        if "fillvalue" in storage:
            storage["fillvalue"] = _restore(storage["fillvalue"])
        # through Python's file: HDF5's own ends the process where the disk is full
        with path.open("w+b") as raw, h5py.File(raw, "w") as file:
            _store(file, key, array, storage)
            for place in _places(key):
                for label, kept in metadata.get("attributes", {}).get(place, {}).items():
                    file[place or "/"].attrs.create(label, _restore(kept))
            file.flush()


def _store(file: Any, key: str, array: NDArray[Any], storage: dict[str, Any]) -> None:
    """A dataset with the values of ``array``."""
    if is_large(array.shape, array.dtype):
        store_rows(file.create_dataset(key, array.shape, array.dtype, **storage), array)
    else:
        file.create_dataset(key, data=array, **storage)


def _places(name: str) -> list[str]:
    """The root as an empty text, every group above ``name``, and ``name``."""
    parts = name.split("/")
    return ["/".join(parts[:n]) for n in range(len(parts) + 1)]


def _storage(data: Any) -> tuple[dict[str, Any], list[str]]:
    """Arguments of ``create_dataset``, and the filters that are not kept."""
    import h5py

    plist = data.id.get_create_plist()
    filters = [plist.get_filter(i) for i in range(plist.get_nfilters())]
    lost = [f"filter {f[3].decode() or f[0]}" for f in filters if f[0] not in _FILTERS]
    storage = {name: value for name in _STORAGE if (value := getattr(data, name))}
    if data.chunks is not None:
        storage |= {"chunks": list(data.chunks), "maxshape": list(data.maxshape)}
    if plist.fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED:
        storage["fillvalue"] = _keep(data.fillvalue)
    return storage, lost


def _attributes(node: Any) -> list[tuple[str, Any]]:
    """Names and values; None where HDF5 itself cannot read one."""
    found = []
    for label in node.attrs:
        try:
            found.append((label, node.attrs[label]))
        except (OSError, TypeError, ValueError):
            found.append((label, None))
    return found


def _keep(value: Any) -> Any:
    """JSON of an attribute: texts as they are, numbers by dtype, shape and bytes; None for references and the like."""
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.dtype.kind in "iufbS" and array.dtype.fields is None:
        data = base64.b64encode(array.tobytes()).decode()
        return {"dtype": array.dtype.str, "shape": list(array.shape), "base64": data}
    if array.dtype.kind == "O" and array.size and all(isinstance(entry, str) for entry in array.flat):
        return {"texts": list(array.flat), "shape": list(array.shape)}
    return None


def _restore(kept: Any) -> Any:
    if isinstance(kept, str):
        return kept
    if "texts" in kept:
        return np.array(kept["texts"], dtype=object).reshape(kept["shape"])
    values = np.frombuffer(base64.b64decode(kept["base64"]), dtype=np.dtype(kept["dtype"]))
    return values.reshape(kept["shape"])[()]
