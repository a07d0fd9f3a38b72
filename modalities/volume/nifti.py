"""NIfTI volumes and series of them: values through nibabel, geometry and dtype kept in the header's own bytes."""

import base64
import binascii
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, ShapeError
from liveaction.files import atomic_path
from liveaction.modalities.find import find_files
from liveaction.modalities.third_party import one_line, quiet
from liveaction.modalities.volume.nifti_samples import is_large_image, read_large, settled_dtype, write_samples
from liveaction.signal import Signal

SUFFIXES = (".nii", ".nii.gz")
_FLAT = 1e-6  # volume of a voxel over that of a box with its sides; below, float32 headers cannot tell it from none
_SHEAR = 1e-4  # cosine between axes; what is less is the rounding of a header
_MILLIMETRES = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
_SECONDS = {"msec": 0.001, "usec": 1e-6}


def is_nifti(path: Path) -> bool:
    """Whether the name ends in ``.nii`` or ``.nii.gz``, in any case."""
    return path.name.lower().endswith(SUFFIXES)


_SHAPES = {3: "a volume [X, Y, Z]", 4: "a series of volumes [X, Y, Z, T]"}
_WAYS = {
    3: "split or stack it into volumes, or take a recipe for series",
    4: "take a recipe for volumes, or stack volumes to a series",
}


def find_nifti(path: Path) -> list[Path]:
    """The NIfTI file that ``path`` is, or all below the folder, see :func:`find_files`.

    Raises:
        FormatError: nothing is there, or nothing in it is NIfTI.
    """
    return find_files(path, "a NIfTI file (.nii, .nii.gz), or a folder that holds such", is_nifti)


def read_nifti(path: Path, axes: int = 3) -> tuple[NDArray[Any], str, dict[str, Any]]:
    """Read a volume or a series; trailing axes of extent one are dropped here and restored by :func:`write_nifti`.

    Integers on disk with slope 1 and an integer intercept stay integers: the on-disk dtype where the values fit, else
    int16 or int32. All else is float32, but float64 stays. The sform wins over the qform. Extensions are dropped.

    Args:
        path: ``.nii`` or ``.nii.gz``, NIfTI-1 or NIfTI-2, either byte order.
        axes: 3 for one volume, 4 for a series.

    Returns:
        values ``[X, Y, Z]`` or ``[X, Y, Z, T]`` with slope and intercept applied, the on-disk dtype's name, JSON
        metadata with the affine in the file's own spatial unit and ``spacing`` in mm.

    Raises:
        FormatError: the file is not a readable NIfTI file of real numbers with that many axes.
    """
    import nibabel
    from nibabel.openers import ImageOpener

    try:
        with quiet():
            image = nibabel.load(path, mmap=False)
            with ImageOpener(path) as file:
                header = type(image.header).from_fileobj(file)
            _check_header(path, image, axes)
            disk = header.get_data_dtype().newbyteorder("=")
            if is_large_image(image):
                values = read_large(path, image, disk)
            else:
                values = _settle(np.asarray(image.dataobj), disk, image.dataobj)
    except _read_errors() as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"{path}: expected a whole NIfTI file, got {one_line(error)}; copy or convert the source again"
        ) from error
    values = values.reshape(image.shape[:axes], order="A")
    metadata = {"source": "nifti", "values_dtype": values.dtype.name, **_geometry(path, header)}
    return values, disk.name, metadata


def _read_errors() -> tuple[type[Exception], ...]:
    """What nibabel and what it stands on raise over damaged files."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError, ImageDataError

    return OSError, EOFError, zlib.error, ValueError, MemoryError, ImageFileError, HeaderDataError, ImageDataError


def _check_header(path: Path, image: Any, axes: int) -> None:
    """Refuse what has other axes, or is not made of real numbers, before its samples are loaded."""
    import nibabel

    if not isinstance(image, nibabel.Nifti1Image | nibabel.Nifti2Image):
        raise FormatError(
            f"{path}: expected NIfTI-1 or NIfTI-2 in one file, got {type(image).__name__}; convert it to .nii.gz"
        )
    shape = tuple(int(n) for n in image.shape)
    if len(shape) < axes or any(n != 1 for n in shape[axes:]) or 0 in shape:
        raise FormatError(f"{path}: expected {_SHAPES[axes]}, got shape {shape}; {_WAYS[axes]}")
    dtype = image.get_data_dtype()
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise FormatError(f"{path}: expected real numbers of at most 64 bits, got {dtype.name!r}; convert the source")


def _settle(array: NDArray[Any], disk: np.dtype[Any], proxy: Any) -> NDArray[Any]:
    """Scaled samples in their settled dtype, native byte order, C order."""
    return np.array(array, dtype=settled_dtype(disk, proxy.slope, proxy.inter, iter([array])), order="C")


def _geometry(path: Path, header: Any) -> dict[str, Any]:
    """JSON of where the samples lie: affine, spacing in mm, orientation, unit, and the header itself."""
    affine = header.get_best_affine()
    unit, time = header.get_xyzt_units()
    about = {}
    if int(header["dim"][0]) > 3:
        about["repetition_time"] = float(header["pixdim"][4]) * _SECONDS.get(time, 1.0)
    header["vox_offset"] = 0
    return {
        **describe_affine(path, affine, _MILLIMETRES[unit]),
        **about,
        "unit": unit,
        "header_version": 2 if header["sizeof_hdr"] == 540 else 1,
        "header": base64.b64encode(header.binaryblock).decode("ascii"),
    }


def describe_affine(path: Path, affine: NDArray[Any], millimetres: float = 1.0) -> dict[str, Any]:
    """JSON of an affine: ``affine`` (4x4, RAS+), ``spacing`` in mm, ``orientation`` as in ``'LPS'``.

    Args:
        path: named in the message.
        affine: ``[4, 4]``, index to RAS+ position.
        millimetres: length of the affine's unit in mm.

    Raises:
        FormatError: the three axes are not finite or not independent.
    """
    from nibabel.orientations import aff2axcodes

    columns = np.asarray(affine, dtype=np.float64)[:3, :3]
    if not np.isfinite(affine).all() or abs(np.linalg.det(columns)) <= _FLAT * np.prod(np.linalg.norm(columns, axis=0)):
        raise FormatError(f"{path}: expected an affine with three independent axes, got {affine.tolist()!r}; set one")
    return {
        "affine": np.asarray(affine, dtype=np.float64).tolist(),
        "spacing": [float(n) * millimetres for n in np.linalg.norm(columns, axis=0)],
        "orientation": "".join(aff2axcodes(affine)),
    }


def move_origin(metadata: dict[str, Any], first: Sequence[int]) -> dict[str, Any]:
    """Metadata of the part of a volume that begins at voxel ``first`` (x, y, z): its affine starts there."""
    affine = np.array(metadata["affine"], dtype=np.float64)
    affine[:3, 3] += affine[:3, :3] @ np.asarray(first, dtype=np.float64)
    return {**metadata, "affine": affine.tolist()}


def check_nifti_name(path: Path) -> None:
    """Refuse a name that is none of NIfTI."""
    if not is_nifti(path):
        raise FormatError(f"{path}: expected a name ending in '.nii' or '.nii.gz', got {path.name!r}; rename it")


def write_nifti(signal: Signal, path: Path) -> None:
    """Write a volume or a series with its source's geometry, dtype, slope and intercept; atomic.

    A signal without a NIfTI header (DICOM, synthetic) gets one: its affine as sform with code 1 (scanner), mm, and the
    same as qform where it has no shear.

    Args:
        signal: ``[1, X, Y, Z]`` or ``[1, X, Y, Z, T]`` with finite values.
        path: ends in ``.nii`` or ``.nii.gz``, see :func:`check_nifti_name`; replaced where it exists.

    Raises:
        FormatError: metadata that do not describe a volume.
        ShapeError: not one channel of three or four axes.
    """
    import nibabel

    if signal.values.ndim not in (4, 5) or signal.values.shape[0] != 1:
        raise ShapeError(f"{path}: expected values [1, X, Y, Z], got {signal.values.shape}")
    with quiet():
        header = _header(signal, path)
        values = _prepare(signal, header)
        version = nibabel.Nifti2Image if signal.metadata.get("header_version") == 2 else nibabel.Nifti1Image
        place = np.asarray(signal.metadata["affine"], dtype=np.float64)
        image = version(np.broadcast_to(np.zeros((), np.uint8), values.shape), place, header)
        for key in ("scl_slope", "scl_inter"):  # forgotten by the image's constructor
            image.header[key] = header[key]
        with atomic_path(path) as part:
            write_samples(image, values, part)


def _header(signal: Signal, path: Path) -> Any:
    """The source's header, or a new one around the affine."""
    import nibabel
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    affine = np.asarray(signal.metadata.get("affine"), dtype=np.float64)
    if affine.shape != (4, 4):
        raise FormatError(f"{path}: expected metadata with a 4x4 affine, got {signal.metadata.get('affine')!r}")
    if signal.metadata.get("header") is None:
        header = nibabel.Nifti1Header()
        header.set_data_dtype(np.dtype(signal.dtype))
        header.set_data_shape(signal.shape)
        header.set_slope_inter(1, 0)
        header.set_xyzt_units("mm", "sec" if len(signal.shape) > 3 else None)
        header.set_zooms(signal.spacing)
        axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        header.set_qform(affine, code=int(np.allclose(axes.T @ axes, np.eye(3), atol=_SHEAR)))
        header.set_sform(affine, code=1)
        return header
    kind = nibabel.Nifti2Header if signal.metadata.get("header_version") == 2 else nibabel.Nifti1Header
    try:
        header = kind(base64.b64decode(signal.metadata["header"], validate=True))
    except (binascii.Error, TypeError, ValueError, HeaderDataError, WrapStructError) as error:
        raise FormatError(f"{path}: expected metadata with a NIfTI header, got {one_line(error)}") from error
    header["vox_offset"] = 0  # else a small file could be told to begin far away
    return header


def _prepare(signal: Signal, header: Any) -> NDArray[Any]:
    """Samples with the axes that were dropped; a header without a slope gets 1."""
    slope = header["scl_slope"].item()
    if not np.isfinite(slope) or slope == 0:
        header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    values = signal.values[0]
    rank = max(values.ndim, int(header["dim"][0]))
    whole: NDArray[Any] = values.reshape(values.shape + (1,) * (rank - values.ndim))
    return whole
