"""NumPy's own files: npy, one array, and npz, a zip of several."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.mapped import pieces
from liveaction.modalities.array.formats import Format, check_key, check_unpacked, choose_array


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
        return np.asarray(np.lib.format.open_memmap(path, mode="r")), {}

    def write(self, path: Path, array: NDArray[Any], metadata: dict[str, Any]) -> None:
        """In C or Fortran order, as ``array`` lies in memory."""
        header = np.lib.format.header_data_from_array_1_0(array)
        rows = array.T if header["fortran_order"] else array
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
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

    def stripped(self, stored: dict[str, Any]) -> dict[str, Any]:
        """The key, and whether it is deflated."""
        return {name: stored[name] for name in ("key", "deflated") if name in stored}

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
