"""Bare arrays of three axes: MATLAB files up to 7.2 and 7.3 (h5py), and ``.npy``."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.files import atomic_path
from liveaction.mapped import converted
from liveaction.modalities.array.hdf5_values import load_dataset
from liveaction.modalities.hyperspectral import mat5
from liveaction.modalities.hyperspectral.cube import AXES, Cube, check_dtype
from liveaction.modalities.third_party import one_line

Order = tuple[str, ...]
_CLASSES = {"double": "float64", "single": "float32"} | {
    name: name for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}


def read_npy(path: Path, order: Order) -> Cube:
    """Read a ``.npy`` array of three axes; metadata hold its byte order and memory order.

    Raises:
        FormatError: not such an array.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:
        raise FormatError(f"{path}: expected a whole .npy array, got {one_line(error)}; save it again") from error
    metadata = {"source": "npy", "descr": array.dtype.str, "fortran": not array.flags.c_contiguous}
    return Cube(_bands_first(array, order, path), metadata)


def write_npy(cube: Cube, path: Path, order: Order) -> None:
    """Write ``.npy`` in the source's byte order and memory order; atomic."""
    array = _as_stored(cube.values, order)
    descr = np.dtype(cube.metadata.get("descr", array.dtype.str))
    array = np.asarray(array, descr, order="F" if cube.metadata.get("fortran") else "C")
    with atomic_path(path) as part, part.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def read_mat(path: Path, order: Order, key: str) -> Cube:
    """Read the one numeric array of three axes in a MATLAB file, or the one named ``key``.

    MATLAB stores doubles that are whole numbers as integers; those are read as such, and written as doubles again.

    Raises:
        FormatError: the file is damaged, or holds no such array, or several.
    """
    from h5py import is_hdf5

    try:
        if not path.is_file():
            raise FileNotFoundError("no such file")
        newer = bool(is_hdf5(path))
        names = _names_73(path) if newer else _names_5(path)
        chosen = _choose(names, key, path)
        array, kind = _load_73(path, chosen) if newer else _load_5(path, chosen)
    except (FormatError, MemoryError):
        raise
    except Exception as error:  # of a damaged file the libraries raise what they come upon
        raise FormatError(f"{path}: expected a whole MATLAB file, got {one_line(error)}; save it again") from error
    left = sorted(names.keys() - {chosen})
    metadata = {"source": "mat", "key": chosen, "class": kind, "version": "7.3" if newer else "5", "left_out": left}
    return Cube(_bands_first(array, order, path), metadata)


def write_mat(cube: Cube, path: Path, order: Order, key: str) -> None:
    """Write a MATLAB file of the source's version with the array under its key; atomic.

    Raises:
        FormatError: the array is too large for the version.
    """
    from scipy.io import savemat

    array, name = _as_stored(cube.values, order), cube.metadata.get("key") or key or "data"
    array = array.astype(_CLASSES.get(cube.metadata.get("class", ""), array.dtype.name))
    left = cube.metadata.get("left_out")
    if left:
        warnings.warn(
            f"{path}: holds {name!r} alone; left out of its source: {', '.join(map(repr, left))}",
            LiveactionWarning,
            stacklevel=3,
        )
    with atomic_path(path) as part:
        if cube.metadata.get("version") == "7.3":
            _save_73(part, name, array)
            return
        if array.nbytes >= 1 << 31:
            raise FormatError(f"{path}: expected less than 2 GiB for MATLAB 5, got {array.nbytes}; save as 7.3")
        with part.open("wb") as file:
            savemat(file, {name: array}, do_compression=True)


def _names_5(path: Path) -> dict[str, bool]:
    """Variables of a file up to 7.2, and whether each is a numeric array of three axes."""
    return {one.name: one.kind in _CLASSES and len(one.shape) == 3 for one in mat5.variables(path)}


def _load_5(path: Path, name: str) -> tuple[NDArray[Any], str]:
    """The array, and its class in MATLAB."""
    variable = next(one for one in mat5.variables(path) if one.name == name)
    disk, kind = mat5.load(path, variable), variable.kind
    whole = disk.dtype.kind in "iu" and _CLASSES[kind].startswith("float")
    return disk if whole or disk.dtype.kind == "c" else disk.astype(_CLASSES[kind]), kind


def _names_73(path: Path) -> dict[str, bool]:
    """As :func:`_names_5`, for 7.3."""
    import h5py

    with h5py.File(path, "r") as file:
        return {
            name: isinstance(file[name], h5py.Dataset) and file[name].ndim == 3 and file[name].dtype.kind in "iufcV"
            for name in file
            if not name.startswith("#") and isinstance(file.get(name, getlink=True), h5py.HardLink)
        }


def _load_73(path: Path, name: str) -> tuple[NDArray[Any], str]:
    import h5py

    with h5py.File(path, "r") as file:
        check_dtype(file[name].dtype, path)
        array = load_dataset(path, file[name]).T
        return array, next(kind for kind, dtype in _CLASSES.items() if dtype == array.dtype.name)


def _save_73(part: Path, name: str, array: NDArray[Any]) -> None:
    """HDF5 behind MATLAB's block of 512 bytes, axes reversed, each variable with its class."""
    import h5py

    classes = {dtype: kind for kind, dtype in _CLASSES.items()}
    # through Python's file: HDF5's own ends the process where the disk is full
    with part.open("w+b") as raw, h5py.File(raw, "w", userblock_size=512) as file:
        item = file.create_dataset(name, data=array.T, compression="gzip", compression_opts=3)
        item.attrs["MATLAB_class"] = np.bytes_(classes[array.dtype.name])
        file.flush()
    with part.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, written by liveaction".ljust(116) + bytes(8) + b"\x00\x02IM")


def _choose(names: dict[str, bool], key: str, path: Path) -> str:
    """The variable to read."""
    fitting = [name for name, fits in names.items() if fits]
    if key:
        if key not in fitting:
            fits = f"of which {', '.join(map(repr, fitting)) or 'none'} fits"
            raise FormatError(
                f"{path}: expected a numeric array of three axes named {key!r} as [modality.options] key says, got "
                f"{', '.join(map(repr, names)) or 'no variables'}, {fits}; name another"
            )
        return key
    if len(fitting) != 1:
        got = f"{len(fitting)} ({', '.join(map(repr, fitting))})" if fitting else "none"
        others = [repr(name) for name in names if name not in fitting]
        beside = f" beside {', '.join(others)}" if others else ""
        way = "say which with [modality.options] key" if fitting else "name a file with a cube"
        raise FormatError(f"{path}: expected one numeric array of three axes, got {got}{beside}; {way}")
    return fitting[0]


def _bands_first(array: NDArray[Any], order: Order, path: Path) -> NDArray[Any]:
    """``[band, y, x]``, contiguous, native byte order."""
    check_dtype(array.dtype, path)
    if array.ndim != 3 or 0 in array.shape:
        raise FormatError(f"{path}: expected an array with axes {', '.join(order)}, got shape {array.shape}")
    moved = array.transpose([order.index(axis) for axis in AXES])
    return converted(moved, array.dtype.newbyteorder("="))  # not a part of a read-only map


def _as_stored(values: NDArray[Any], order: Order) -> NDArray[Any]:
    """Inverse of :func:`_bands_first`."""
    return values.transpose([AXES.index(axis) for axis in order])
