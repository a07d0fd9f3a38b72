"""NIfTI volumes and series of them: values through nibabel, geometry and dtype kept in the header's own bytes."""

import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionWarning, ShapeError
from liveaction.files import atomic_path
from liveaction.modalities.find import find_files
from liveaction.modalities.no_data import find_nan
from liveaction.modalities.third_party import one_line, quiet
from liveaction.modalities.volume.nifti_header import (
    LONGEST_EXTENSIONS,
    Layout,
    new_header,
    pack_header,
    place_header,
    read_layout,
    scale_header,
    unpack_header,
)
from liveaction.modalities.volume.nifti_samples import read_samples, write_samples
from liveaction.modalities.volume.volume_file import VolumeFile
from liveaction.signal import Signal

SUFFIXES = (".nii", ".nii.gz")
_FLAT = 1e-6  # volume of a voxel over that of a box with its sides; below, float32 headers cannot tell it from none
_MILLIMETRES = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
_SECONDS = {"msec": 0.001, "usec": 1e-6}


def is_nifti(path: Path) -> bool:
    """Whether the name ends in ``.nii`` or ``.nii.gz``, in any case."""
    return path.name.lower().endswith(SUFFIXES)


def find_nifti(path: Path) -> list[Path]:
    """The NIfTI file that ``path`` is, or all below the folder, see :func:`find_files`.

    Raises:
        FormatError: nothing is there, or nothing in it is NIfTI.
    """
    return find_files(path, "a NIfTI file (.nii, .nii.gz), or a folder that holds such", is_nifti)


def read_nifti(path: Path, axes: int = 3) -> VolumeFile:
    """Read a volume or a series; trailing axes of extent one are dropped here and restored by :func:`write_nifti`.

    Integers on disk with slope 1 and an integer intercept stay integers: the on-disk dtype where the values fit, else
    int16 or int32. All else is float32, but float64 stays. The sform wins over the qform. NaN is
    missing. Extensions are kept up to
    :data:`~liveaction.modalities.volume.nifti_header.LONGEST_EXTENSIONS` bytes.

    Args:
        path: ``.nii`` or ``.nii.gz``, NIfTI-1 or NIfTI-2, either byte order.
        axes: 3 for one volume, 4 for a series.

    Returns:
        values ``[X, Y, Z]`` or ``[X, Y, Z, T]`` with slope and intercept applied, the on-disk dtype's name, JSON
        metadata with the affine in the file's own spatial unit and ``spacing`` in mm.

    Raises:
        FormatError: the file is not a readable NIfTI file of real numbers with that many axes.
    """
    with reading(path):
        layout = read_layout(path, axes)
        place = _geometry(path, layout)
        values = read_samples(path, layout)
    if layout.repairs:
        warnings.warn(f"{path}: taken, as the header's cannot be: {layout.repairs}", LiveactionWarning, stacklevel=3)
    if layout.extensions is None:
        warnings.warn(
            f"{path}: header extensions are left out, at most {LONGEST_EXTENSIONS} bytes of them are kept",
            LiveactionWarning,
            stacklevel=3,
        )
    values = values.reshape(layout.shape[:axes], order="A")
    metadata = {"source": "nifti", "values_dtype": values.dtype.name, **place}
    missing = find_nan(values)
    no_data = 0.0 if missing is None else float("nan")
    return VolumeFile(values, layout.disk.name, metadata, missing, no_data, (layout.slope, layout.inter))


def check_nifti(path: Path, axes: int = 3) -> None:
    """Refuse by its header what :func:`read_nifti` will not take.

    Raises:
        FormatError: it is no NIfTI file of real numbers with that many axes, or shorter than its header says.
    """
    with reading(path):
        _geometry(path, read_layout(path, axes))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Third parties keep quiet, and what they raise over a damaged file is one line."""
    try:
        with quiet():
            yield
    except _read_errors() as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"{path}: expected a whole NIfTI file, got {one_line(error)}; copy or convert the source again"
        ) from error


def _read_errors() -> tuple[type[Exception], ...]:
    """What nibabel and what it stands on raise over damaged files."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    return OSError, EOFError, zlib.error, ValueError, OverflowError, MemoryError, ImageFileError, HeaderDataError


def _geometry(path: Path, layout: Layout) -> dict[str, Any]:
    """JSON of where the samples lie: affine, spacing in mm, orientation, unit, and the header itself."""
    header, about = layout.header, {}
    try:
        unit, time = header.get_xyzt_units()
    except KeyError:  # a code that stands for nothing
        unit, time = "unknown", "unknown"
    if int(header["dim"][0]) > 3:
        seconds = float(header["pixdim"][4]) * _SECONDS.get(time, 1.0)
        about["repetition_time"] = seconds if 0 < seconds < np.inf else 0.0
    place = describe_affine(path, header.get_best_affine(), _MILLIMETRES.get(unit, 1.0))
    return {**place, **about, "unit": unit, **pack_header(layout)}


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
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(columns, axis=0)
        flat = not abs(np.linalg.det(columns)) > _FLAT * np.prod(lengths)
    codes = [] if flat or not np.isfinite(affine).all() else [code for code in aff2axcodes(affine) if code]
    if len(codes) != 3:
        raise FormatError(f"{path}: expected an affine with three independent axes, got {affine.tolist()!r}; set one")
    return {
        "affine": np.asarray(affine, dtype=np.float64).tolist(),
        "spacing": [float(n) * millimetres for n in lengths],
        "orientation": "".join(codes),
    }


def move_origin(metadata: dict[str, Any], first: Sequence[int]) -> dict[str, Any]:
    """Metadata of the part of a volume that begins at voxel ``first`` (x, y, z): its affine starts there."""
    affine = np.array(metadata["affine"], dtype=np.float64)
    affine[:3, 3] += affine[:3, :3] @ np.asarray(first, dtype=np.float64)
    return {**metadata, "affine": affine.tolist()}


def scale_places(metadata: dict[str, Any], factors: Sequence[int], origin: Sequence[float]) -> dict[str, Any]:
    """Metadata of every so many voxels along x, y and z, the first at ``origin`` among them, in voxels."""
    step = np.eye(4)
    step[:3, :3], step[:3, 3] = np.diag(factors), origin
    affine = np.array(metadata["affine"], dtype=np.float64) @ step
    spacing = [float(n * f) for n, f in zip(metadata["spacing"], factors, strict=True)]
    return {**scale_header(metadata, step), "affine": affine.tolist(), "spacing": spacing}


def check_nifti_name(path: Path) -> None:
    """Refuse a name that is none of NIfTI."""
    if not is_nifti(path):
        raise FormatError(
            f"{path}: expected a name ending in '.nii' or '.nii.gz', got {path.name!r}; rename it, or add "
            "--suffix .nii.gz for a folder"
        )


def write_nifti(signal: Signal, path: Path, no_data: float | None = None) -> None:
    """Write a volume or a series with its source's geometry, dtype, slope, intercept and extensions; atomic.

    A signal without a NIfTI header (DICOM, synthetic) gets one, see :func:`new_header`.

    Args:
        signal: ``[1, X, Y, Z]`` or ``[1, X, Y, Z, T]``, finite where it is not missing.
        path: ends in ``.nii`` or ``.nii.gz``, see :func:`check_nifti_name`; replaced where it exists.
        no_data: will be read as missing, also where nothing is.

    Raises:
        FormatError: metadata that do not describe a volume.
        ShapeError: not one channel of three or four axes.
    """
    if signal.values.ndim not in (4, 5) or signal.values.shape[0] != 1:
        raise ShapeError(f"{path}: expected values [1, X, Y, Z], got {signal.values.shape}")
    affine = np.asarray(signal.metadata.get("affine"), dtype=np.float64)
    if affine.shape != (4, 4):
        raise FormatError(f"{path}: expected metadata with a 4x4 affine, got {signal.metadata.get('affine')!r}")
    with quiet():
        if signal.metadata.get("header") is None:
            header, extensions = new_header(signal.shape, signal.dtype, signal.spacing, affine), b""
        else:
            header, extensions = unpack_header(signal.metadata, path)
            place_header(header, signal.shape, affine, path)
        whole = signal.shape + (1,) * (int(header["dim"][0]) - len(signal.shape))
        lost = None if signal.missing is None else signal.missing.reshape(whole)
        missing = lost, no_data if lost is None else signal.no_data
        disk = header.get_data_dtype()
        if lost is not None and np.isnan(signal.no_data) and disk.kind != "f":
            raise FormatError(f"{path}: expected a header of floats, for NaN where none was measured, got {disk.name}")
        with atomic_path(path) as part:
            write_samples(header, extensions, signal.values.reshape(whole), missing, part)
