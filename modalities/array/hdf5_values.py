"""Values of an HDF5 dataset, wherever they are: in its file, in files beside it, or nowhere.

What a file names is read only where it lies in the folder of the file or below it, so that a file from elsewhere cannot
bring in what it does not hold.
"""

from math import prod
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.mapped import empty_values, release_pages
from liveaction.modalities.array.formats import check_unpacked, warn_absent
from liveaction.modalities.array.rows import load_rows


def load_dataset(path: Path, data: Any) -> NDArray[Any]:
    """All values of a dataset; warns of how many chunks or values are not stored.

    Args:
        path: of its file.
        data: an h5py dataset of numbers.

    Raises:
        FormatError: its values or those of a virtual dataset's sources are not there, lie elsewhere, need a filter that
            is not installed, or take far more memory than what is stored.
    """
    if data.is_virtual:
        return _load_virtual(path, data)
    _check_stored(path, data)
    return load_rows(data)


def virtual_files(path: Path, data: Any) -> list[Path]:
    """Source files of a virtual dataset, each once; none of another one.

    Raises:
        FormatError: one is not in the folder of the file.
    """
    if not data.is_virtual:
        return []
    return list(dict.fromkeys(_source(path, data.name.strip("/"), each.file_name) for each in data.virtual_sources()))


def _check_stored(path: Path, data: Any) -> None:
    """Refuse what is not in this file or cannot be unpacked; warn of chunks that were never written."""
    import h5py

    name, stored = data.name.strip("/"), data.id.get_storage_size()
    if data.external:
        raise FormatError(f"{path}: expected {name!r} to hold its values, got a list of other files; copy them in")
    plist = data.id.get_create_plist()
    for code, _, _, label in (plist.get_filter(i) for i in range(plist.get_nfilters())):
        if not h5py.h5z.filter_avail(code):
            raise FormatError(
                f"{path}: expected filters that are installed, got {label.decode(errors='replace') or code!r} on "
                f"{name!r}; write it again with gzip"
            )
    chunk = prod(data.chunks) * data.dtype.itemsize if data.chunks else 0
    check_unpacked(path, data.nbytes, stored, chunk)
    if data.chunks is None:
        warn_absent(path, name, data.size if stored else 0, data.size, data.fillvalue, "values")
        return
    total = prod(-(-n // c) for n, c in zip(data.shape, data.chunks, strict=True))
    warn_absent(path, name, data.id.get_num_chunks(), total, data.fillvalue)


def _load_virtual(path: Path, data: Any) -> NDArray[Any]:
    """Values of a virtual dataset, put together here: HDF5 itself would look for sources wherever it is told to."""
    import h5py

    name, files = data.name.strip("/"), virtual_files(path, data)
    check_unpacked(path, data.nbytes, sum(file.stat().st_size for file in files))
    values = empty_values(data.shape, data.dtype.str)
    values[...] = data.fillvalue
    covered = 0
    for place in files:
        with h5py.File(place, "r") as file:
            for each in data.virtual_sources():
                if _source(path, name, each.file_name) != place:
                    continue
                source = _dataset_inside(path, place, file, each.dset_name)
                _check_stored(place, source)
                here, there = (_part_of(path, name, each.vspace, data), _part_of(path, name, each.src_space, source))
                source.id.read(here, there, values)
                covered += here.get_select_npoints()
                release_pages(values)
    warn_absent(path, name, covered, data.size, data.fillvalue, "values")
    return values


def _source(path: Path, name: str, file: str) -> Path:
    """Where a source of a virtual dataset lies: beside its file or below, also where it was elsewhere when written."""
    if file == ".":
        return path.resolve()
    folder = path.resolve().parent
    places = [folder / file] + ([folder / Path(file).name] if Path(file).is_absolute() else [])
    for place in places:
        real = place.resolve()
        if real.is_relative_to(folder) and real.is_file():
            return real
    got = "one elsewhere" if any(place.exists() for place in places) else "no such file"
    raise FormatError(
        f"{path}: expected the source {file!r} of the virtual dataset {name!r} in the folder of the file, got {got}; "
        "copy it there"
    )


def _dataset_inside(path: Path, place: Path, file: Any, name: str) -> Any:
    """A dataset of a source file that no link leads to, and that is not virtual itself."""
    import h5py

    node = file
    for part in name.strip("/").split("/"):
        known = isinstance(node, h5py.Group) and isinstance(node.get(part, getlink=True), h5py.HardLink)
        node = node[part] if known else None
    if not isinstance(node, h5py.Dataset) or node.is_virtual:
        got = "a virtual one" if isinstance(node, h5py.Dataset) else "none"
        raise FormatError(f"{path}: expected a dataset {name!r} with values in {place.name!r}, got {got}; copy them in")
    return node


def _part_of(path: Path, name: str, space: Any, data: Any) -> Any:
    """A selection as one of a dataset; refused, before anything is read, where it is none of its shape, or no end."""
    part = space.copy()
    part.set_extent_simple(data.shape)  # sources come without
    try:
        inside = part.get_select_npoints() > 0
        for low, high, n in zip(*part.get_select_bounds(), data.shape, strict=True):
            inside &= 0 <= low <= high < n
    except (RuntimeError, ValueError):  # an open end
        inside = False
    if not inside:
        raise FormatError(
            f"{path}: expected the virtual dataset {name!r} to map parts of arrays of {data.shape}, got other parts; "
            "write its values into a file"
        )
    return part
