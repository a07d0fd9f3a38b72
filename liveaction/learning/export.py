"""A store for others' tools: Zarr arrays, or the tar files that WebDataset reads."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import SpecError
from liveaction.files import atomic_path
from liveaction.learning.store import LatentStore

Count = Callable[[int, int, str], None]
ITEMS_OF_CHUNK, ITEMS_OF_SHARD = 1, 512


def export_store(store: LatentStore, out: Path, count: Count = lambda done, total, text: None) -> None:
    """Write a store to ``NAME.zarr`` or ``NAME.tar``, which appears whole.

    A Zarr group (version 3) has ``latents`` ``[N, L, *G]``, a chunk for each item, zstd, in shards of
    512, ``labels`` where there are some, and in its attributes what the store says of itself. In a tar
    file every item has ``KEY.latents.npy`` (int, ``[L, *G]``), ``KEY.json`` with name, split, group and label, and
    ``KEY.cls`` or ``KEY.map.npy``; it is what the package webdataset takes. Values are symbols: times ``step`` they are
    latents. Of several views the first is written.

    Raises:
        SpecError: another suffix; items of several grids for Zarr.
        WriteError: no room, or no right.
    """
    if out.suffix == ".zarr":
        _to_zarr(store, out, count)
    elif out.suffix == ".tar":
        _to_tar(store, out, count)
    else:
        raise SpecError(f"--export: expected a name that ends in .zarr or .tar, got {str(out)!r}")


def _to_zarr(store: LatentStore, out: Path, count: Count) -> None:
    import zarr

    grid, about = store.uniform, store.about
    if grid is None:
        raise SpecError("--export: expected items of one grid for Zarr, got several; take .tar, or make it with --fit")
    shape = (len(store), about.channels, *grid)
    with atomic_path(out) as part:
        group = zarr.create_group(part, attributes={"liveaction": about.model_dump(mode="json")})
        latents = group.create_array(
            "latents", shape=shape, dtype=about.dtype, chunks=(ITEMS_OF_CHUNK, *shape[1:]),
            shards=(min(ITEMS_OF_SHARD, len(store)), *shape[1:]), dimension_names=["item", "latent", *about.axes],
        )  # fmt: skip
        for first in range(0, len(store), ITEMS_OF_SHARD):
            numbers = list(range(first, min(first + ITEMS_OF_SHARD, len(store))))
            count(first, len(store), store.items[first].name)
            latents[first : first + len(numbers)] = store.batch(numbers)
        labels = _labels(store)
        if labels is not None:
            group.create_array("labels", data=labels)
    count(len(store), len(store), "")


def _labels(store: LatentStore) -> NDArray[Any] | None:
    """Of all items as one array; maps of one shape alone."""
    task = store.about.task
    if task == "class":
        return np.asarray(store.classes)
    if task == "number":
        return np.asarray(store.numbers)
    if task == "map" and len({item.shape for item in store.items}) == 1:
        return np.stack([store.map(number) for number in range(len(store))])
    return None


def _to_tar(store: LatentStore, out: Path, count: Count) -> None:
    about = store.about
    table = {"liveaction": about.model_dump(mode="json")}
    with atomic_path(out) as part, tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as file:
        _add(file, "store.json", json.dumps(table).encode())
        for number, item in enumerate(store.items):
            count(number, len(store), item.name)
            key = f"{number:08}"
            _add(file, f"{key}.latents.npy", _npy(store.latents(number)))
            told = {"name": item.name, "split": item.split, "group": item.group, "label": item.label}
            _add(file, f"{key}.json", json.dumps(told).encode())
            if about.task == "class":
                _add(file, f"{key}.cls", str(int(store.classes[number])).encode())
            elif about.task == "map":
                _add(file, f"{key}.map.npy", _npy(store.map(number)))
    count(len(store), len(store), "")


def _npy(values: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(values), allow_pickle=False)
    return file.getvalue()


def _add(file: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    file.addfile(entry, io.BytesIO(data))
