"""Arrays of a store (HDF5, Zarr) to memory and back: large ones by rows of whole chunks, their pages let go behind."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.mapped import empty_values, is_large, release_pages

_AT_ONCE = 1 << 24  # bytes: many chunks, so that reading in rows costs little, and little memory


def load_rows(stored: Any) -> NDArray[Any]:
    """All values of an h5py dataset or a Zarr array; large ones in a temporary file."""
    if not is_large(stored.shape, stored.dtype):
        return np.asarray(stored[...])
    values = empty_values(stored.shape, np.dtype(stored.dtype).str)
    for rows in _rows(stored):
        values[rows] = stored[rows]
        release_pages(values)
    return values


def store_rows(stored: Any, values: NDArray[Any]) -> None:
    """Write all of ``values`` to an h5py dataset or a Zarr array of their shape."""
    if not is_large(values.shape, values.dtype):
        stored[...] = values
        return
    for rows in _rows(stored):
        stored[rows] = values[rows]
        release_pages(values)


def _rows(stored: Any) -> Iterator[slice]:
    """Slices of the first axis that hold whole chunks, or shards, of about 16 MiB where a row of them is not larger."""
    chunks = getattr(stored, "shards", None) or stored.chunks
    chunk = chunks[0] if chunks else 1
    row = stored.size * np.dtype(stored.dtype).itemsize * chunk // stored.shape[0]
    step = chunk * max(1, _AT_ONCE // max(1, row))
    for start in range(0, stored.shape[0], step):
        yield slice(start, start + step)
