"""File formats of the modality ``array``: npy, npz, HDF5, Zarr, and those that other packages bring.

A format of your own is a class with ``suffixes``, ``read`` and ``write`` under an entry point:

    [project.entry-points."liveaction.formats"]
    raw32 = "my_format:Raw32"
"""

import math
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.mapped import pieces

GROUP = "liveaction.formats"
MOST_UNPACKED = 1 << 14
DTYPES = (
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64",
)  # fmt: skip


class Format(ABC):
    """One array in a file, and what else must be kept to write the file back.

    ``read`` and ``write`` may raise what they like; the modality makes one line of it. Writing goes to a temporary name
    that takes the target's place at the end.
    """

    suffixes: tuple[str, ...] = ()

    def holds(self, path: Path) -> bool:
        """Whether ``path``, whose name ends in a suffix of this format, is there as one of its items."""
        return path.is_file()

    @abstractmethod
    def read(self, path: Path, key: str | None) -> tuple[NDArray[Any], dict[str, Any]]:
        """The array as it is stored, and JSON data that :meth:`write` needs to make an equal file.

        Args:
            path: an existing file.
            key: which array of several, as ``modality.options.key`` names it; None takes the only one.
        """

    @abstractmethod
    def write(self, path: Path, array: NDArray[Any], metadata: dict[str, Any]) -> None:
        """Write ``array`` in the dtype, byte order and memory order it has.

        Args:
            path: a file that does not exist yet, in a folder that does.
            metadata: what :meth:`read` gave; for a new file ``{"key": ...}`` where the recipe has one, else empty.
        """


def formats() -> dict[str, Format]:
    """Every installed format by the name of its entry point."""
    return {point.name: point.load()() for point in entry_points(group=GROUP)}


def find_format(path: Path) -> tuple[str, Format] | None:
    """Name and format of the longest suffix that ``path`` ends in, in any case; None where no format knows it.

    Raises:
        FormatError: two formats claim that suffix.
    """
    name = path.name.lower()
    fits = [(len(s), key, form) for key, form in formats().items() for s in form.suffixes if name.endswith(s.lower())]
    best = [(key, form) for length, key, form in fits if length == max(found[0] for found in fits)]
    if len(best) > 1:
        names = " and ".join(key for key, _ in best)
        raise FormatError(f"{path}: expected one format for this suffix, got {names}; uninstall one of the packages")
    return best[0] if best else None


def choose_array(path: Path, names: Iterable[str], key: str | None) -> str:
    """The array that ``key`` names, or the only one there is.

    Raises:
        FormatError: no such array, none at all, or several and no key.
    """
    names = sorted(names)
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "none"
    if key is not None:
        if key.strip("/") in names:
            return key.strip("/")
        raise FormatError(f"{path}: expected an array {key!r} as modality.options.key says, got {listed}; change key")
    if len(names) == 1:
        return names[0]
    raise FormatError(f"{path}: expected one array, got {listed}; name the one to take in modality.options.key")


def check_key(path: Path, key: Any) -> str:
    """A name that a stream says its array had, without slashes at the ends, empty for the root of a Zarr store.

    Raises:
        FormatError: no text, or one that would lead elsewhere as a path: ``..``, a drive, a backslash, NUL.
    """
    name = key.strip("/") if isinstance(key, str) and len(key) < 1000 else "."
    strange = re.search(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:", name)
    if strange or (name and any(part in ("", ".", "..") for part in name.split("/"))):
        raise FormatError(f"{path}: expected a plain name as key of the array, got {str(key)[:80]!r}")
    return name


def check_unpacked(path: Path, size: int, stored: int) -> None:
    """Refuse an array that would take far more memory than the bytes it is made from.

    Args:
        path: named in the message.
        size: bytes that the array declares.
        stored: bytes that it takes in the file.

    Raises:
        FormatError: more than a GiB, and more than :data:`MOST_UNPACKED` times what is stored.
    """
    if size > 2**30 and size > MOST_UNPACKED * max(stored, 1):
        raise FormatError(
            f"{path}: expected at most {MOST_UNPACKED} times the {stored} bytes stored, got an array of {size} bytes; "
            "store it with its values"
        )


def check_dtype(path: Path, dtype: np.dtype[Any]) -> None:
    """Refuse everything but real numbers of common widths, before a value is read.

    Raises:
        FormatError: complex, boolean, text, dates, objects, structures, numbers of other widths.
    """
    if dtype.name not in DTYPES:
        what = {"c": "split it into real and imaginary channels", "b": "store it as uint8"}.get(dtype.kind)
        raise FormatError(
            f"{path}: expected real numbers ({DTYPES[0]} to {DTYPES[-1]}), got {dtype.name}; "
            f"{what or 'convert it to such numbers'}"
        )


class Npy(Format):
    """NumPy's own file of one array; large ones are mapped, not read."""

    suffixes = (".npy",)

    def read(self, path: Path, key: str | None) -> tuple[NDArray[Any], dict[str, Any]]:
        """The array as a read-only memory map.

        Raises:
            FormatError: a key, of which npy files have none.
        """
        if key is not None:
            raise FormatError(f"{path}: expected no modality.options.key for an npy file, got {key!r}; remove it")
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False)), {}

    def write(self, path: Path, array: NDArray[Any], metadata: dict[str, Any]) -> None:
        """In C or Fortran order, as ``array`` lies in memory."""
        layout = np.lib.format.header_data_from_array_1_0(array)
        rows = array.T if layout["fortran_order"] else array
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, layout)
            for piece in pieces(np.atleast_1d(rows)):
                file.write(piece.tobytes())


class Npz(Format):
    """NumPy's zip of named arrays."""

    suffixes = (".npz",)

    def read(self, path: Path, key: str | None) -> tuple[NDArray[Any], dict[str, Any]]:
        """One array, whether it is deflated, and the names of the others."""
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        name = choose_array(path, members, key)
        _check_member(path, members[name])
        with np.load(path, allow_pickle=False) as file:
            array = file[name]
        deflated = members[name].compress_type != zipfile.ZIP_STORED
        return array, {"key": name, "others": sorted(members.keys() - {name}), "deflated": deflated}

    def write(self, path: Path, array: NDArray[Any], metadata: dict[str, Any]) -> None:
        """The one array under its name, deflated where it was."""
        method = zipfile.ZIP_DEFLATED if metadata.get("deflated") else zipfile.ZIP_STORED
        name = f"{check_key(path, metadata.get('key', 'values')) or 'values'}.npy"
        with zipfile.ZipFile(path, "w", method) as archive, archive.open(name, "w", force_zip64=True) as member:
            np.lib.format.write_array(member, array, allow_pickle=False)


def _check_member(path: Path, info: zipfile.ZipInfo) -> None:
    """Refuse a member whose header declares other bytes than it has, before there is room for them."""
    check_unpacked(path, info.file_size, info.compress_size)
    with zipfile.ZipFile(path) as archive, archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        wanted, got = math.prod(shape) * dtype.itemsize, info.file_size - member.tell()
    if not dtype.hasobject and wanted != got:
        raise FormatError(f"{path}: expected {wanted} bytes of {info.filename!r}, got {got}; copy the source again")


class HDF5(Format):
    """A dataset of an HDF5 file; its attributes, chunks and standard filters are kept."""

    suffixes = (".h5", ".hdf5")

    def read(self, path: Path, key: str | None) -> tuple[NDArray[Any], dict[str, Any]]:
        """One dataset, see :func:`liveaction.modalities.array.hdf5.read_hdf5`."""
        from liveaction.modalities.array.hdf5 import read_hdf5

        return read_hdf5(path, key)

    def write(self, path: Path, array: NDArray[Any], metadata: dict[str, Any]) -> None:
        """The one dataset with its groups, attributes and storage."""
        from liveaction.modalities.array.hdf5 import write_hdf5

        write_hdf5(path, array, metadata)


class Zarr(Format):
    """An array of a Zarr store, version 2 or 3: a folder ``.zarr``, or a zip ``.zarr.zip``."""

    suffixes = (".zarr", ".zarr.zip")

    def holds(self, path: Path) -> bool:
        """A folder with Zarr's metadata, or a zip file."""
        from liveaction.modalities.array.zarr import is_store

        return is_store(path)

    def read(self, path: Path, key: str | None) -> tuple[NDArray[Any], dict[str, Any]]:
        """One array, see :func:`liveaction.modalities.array.zarr.read_zarr`."""
        from liveaction.modalities.array.zarr import read_zarr

        return read_zarr(path, key)

    def write(self, path: Path, array: NDArray[Any], metadata: dict[str, Any]) -> None:
        """The one array under the metadata documents of its source."""
        from liveaction.modalities.array.zarr import write_zarr

        write_zarr(path, array, metadata)
