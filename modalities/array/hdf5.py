"""A dataset of an HDF5 file, with what is needed to write an equal one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.mapped import is_large
from liveaction.modalities.array.formats import Format, Step, check_dtype, check_key, choose_array
from liveaction.modalities.array.hdf5_attributes import (
    crop_scales,
    is_scale,
    keep_attributes,
    keep_scales,
    keep_value,
    restore_value,
    scale_scales,
    write_attributes,
    write_scales,
)
from liveaction.modalities.array.hdf5_values import load_dataset, virtual_files
from liveaction.modalities.array.rows import store_rows

_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 32000: "lzf"}
_STORAGE = ("compression", "compression_opts", "shuffle", "fletcher32")


class HDF5(Format):
    """A dataset of an HDF5 file; its attributes, chunks and standard filters are kept."""

    suffixes = (".h5", ".hdf5")

    def read(self, path: Path, key: str | None) -> tuple[NDArray[Any], dict[str, Any]]:
        """One dataset and its metadata.

        Returns:
            The values, and ``key``, ``others`` (datasets beside it), ``storage`` (chunks, filters, fill value),
            ``attributes`` of the dataset and of every group above it, ``scales`` of its axes, and ``lost``: what has no
            JSON form.

        Raises:
            FormatError: no such dataset, several and no key, one that holds no real numbers, or whose values are not
                there.
        """
        import h5py

        with h5py.File(path, "r") as file:
            datasets, links = _contents(file)
            name = _choose(path, datasets, links, key)
            data = datasets[name]
            check_dtype(path, data.dtype)
            if data.shape is None:
                raise FormatError(f"{path}: expected values in {name!r}, got a dataset without any; take another")
            storage, lost = _storage(data)
            scales = keep_scales(data)
            attributes: dict[str, Any] = {}
            for place in _places(name):
                attributes[place], left = keep_attributes(
                    file[place or "/"], ("DIMENSION_LIST",) if scales and place == name else ()
                )
                lost += left
            others = sorted(datasets.keys() - {name} - {scale["key"] for scale in scales})
            about = {"key": name, "others": others, "storage": storage, "attributes": attributes}
            lost += [f"the link {link}" for link in sorted(links)]
            return load_dataset(path, data), {**about, "lost": lost, **({"scales": scales} if scales else {})}

    def parts(self, path: Path) -> list[Path]:
        """The file, and those that virtual datasets in it take their values from."""
        import h5py

        try:
            with h5py.File(path, "r") as file:
                found = [place for data in _contents(file)[0].values() for place in virtual_files(path, data)]
        except Exception:  # whatever is wrong, reading it says so
            found = []
        return sorted({path, *found} - ({path.resolve()} - {path}))

    def stripped(self, stored: dict[str, Any]) -> dict[str, Any]:
        """The key, how the dataset is stored, and the scales of its axes."""
        return {name: stored[name] for name in ("key", "storage", "scales") if name in stored}

    def cropped(self, stored: dict[str, Any], box: tuple[slice, ...]) -> dict[str, Any]:
        """Scales of the region's samples; all else holds for a part as well."""
        scales = stored.get("scales")
        return {**stored, "scales": crop_scales(scales, box)} if scales else stored

    def scaled(self, stored: dict[str, Any], steps: Sequence[Step | None]) -> dict[str, Any]:
        """Scales of the samples that are left, between those of the whole where they are numbers."""
        scales = stored.get("scales")
        return {**stored, "scales": scale_scales(scales, steps)} if scales else stored

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
            storage["fillvalue"] = restore_value(storage["fillvalue"])
        # through Python's file: HDF5's own ends the process where the disk is full
        with path.open("w+b") as raw, h5py.File(raw, "w") as file:
            _store(file, key, array, storage)
            write_scales(path, file[key], metadata.get("scales", []))
            for place in _places(key):
                write_attributes(file[place or "/"], metadata.get("attributes", {}).get(place, {}))
            file.flush()


def _contents(file: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Datasets of a file by name, and what its links lead to; no link is followed."""
    import h5py

    datasets: dict[str, Any] = {}
    links: dict[str, str] = {}

    def note(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            links[name] = f"{link.path!r} of the file {link.filename!r}; take that file, or copy the values in"
        elif isinstance(link, h5py.SoftLink):
            links[name] = f"{link.path!r}; name that in modality.options.key"

    file.visititems(lambda name, node: datasets.update({name: node}) if isinstance(node, h5py.Dataset) else None)
    file.visititems_links(note)
    return datasets, links


def _choose(path: Path, datasets: dict[str, Any], links: dict[str, str], key: str | None) -> str:
    """The dataset to read.

    Raises:
        FormatError: as :func:`choose_array`; or a link stands where it should be.
    """
    wanted = key.strip("/") if key is not None else ""
    link = wanted if wanted in links else next(iter(links)) if links and not datasets else None
    if link is not None:
        raise FormatError(f"{path}: expected {link!r} to be a dataset of this file, got a link to {links[link]}")
    if key is not None:
        return choose_array(path, datasets, key)
    numbers = [name for name, node in datasets.items() if node.ndim and node.dtype.kind in "iufc"]
    return choose_array(path, [name for name in numbers if not is_scale(datasets[name])] or numbers or datasets, None)


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
    if data.is_virtual:
        lost.append("its being virtual")
    if h5py.check_enum_dtype(data.dtype) is not None:
        lost.append("names of its numbers")
    if data.chunks is not None:
        storage |= {"chunks": list(data.chunks), "maxshape": list(data.maxshape)}
    if plist.fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED:
        storage["fillvalue"] = keep_value(data.fillvalue)
    return storage, lost
