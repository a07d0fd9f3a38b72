"""One DICOM series as a volume: slices checked first, then read through pydicom and laid in order of position."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.mapped import empty_values, is_large, release_pages
from liveaction.modalities.third_party import one_line, quiet
from liveaction.modalities.volume.nifti import describe_affine
from liveaction.modalities.volume.volume_file import VolumeFile

_NUMBERS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_NEEDED = ("SeriesInstanceUID", "Rows", "Columns", *_NUMBERS)
_TAGS = [
    *_NEEDED,
    *("Modality", "Manufacturer", "ConvolutionKernel", "SliceThickness", "SpacingBetweenSlices"),
    *("NumberOfFrames", "SamplesPerPixel", "ModalityLUTSequence"),
]
_OFF = 0.01  # largest error of a slice's place, as a share of the distance between slices
_SPACING, _TURN = (
    1e-4,
    1e-3,
)  # by which spacings (relatively) and cosines may differ: they are decimals, rounded by hand
_APART = 1e-3  # mm; slices nearer than that lie at one place


@dataclass(frozen=True)
class _Slice:
    path: Path
    header: Any
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing: NDArray[np.float64]

    @property
    def normal(self) -> NDArray[np.float64]:
        return np.cross(self.orientation[:3], self.orientation[3:])


def is_dicom(path: Path) -> bool:
    """Whether a file's name ends in ``.dcm`` or its bytes carry the DICM preamble; a DICOMDIR index is neither."""
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    if path.suffix.lower() == ".dcm":
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def is_series(folder: Path) -> bool:
    """Whether DICOM files lie directly in a folder."""
    return any(is_dicom(file) for file in folder.iterdir())


def read_dicom(folder: Path) -> VolumeFile:
    """Read the one series that a folder holds; whatever the file names and instance numbers say, order is by position.

    Rescale slope and intercept are applied; values that are not whole are rounded, with a warning. Patient, study and
    date tags are not kept. A tilted gantry gives an affine with shear.

    Args:
        folder: DICOM files of one single-frame series, directly inside.

    Returns:
        values ``[X, Y, Z]`` in HU, X along a row, Y down a column, Z along their normal; JSON metadata with ``affine``
        (RAS+, mm) and ``spacing`` in mm.

    Raises:
        FormatError: mixed series or geometry, a missing or doubled slice, colour, several frames, unreadable pixels.
    """
    paths = sorted(path for path in folder.iterdir() if is_dicom(path))
    if not paths:
        raise FormatError(f"{folder}: expected DICOM files of one series, got none; give the folder that holds them")
    slices = [_scan(path) for path in paths]
    _check_alike(folder, slices)
    normal = slices[0].normal
    slices.sort(key=lambda item: float(item.position @ normal))
    _check_steps(folder, slices)
    values = _stack(slices)
    first = slices[0].header
    kernel = first.get("ConvolutionKernel")
    metadata = {
        "source": "dicom",
        "values_dtype": "int16",
        **describe_affine(folder, _place(slices)),
        "unit": "mm",
        "modality": str(first.get("Modality", "")),
        "manufacturer": str(first.get("Manufacturer", "")),
        "kernel": kernel if isinstance(kernel, str | None) else "\\".join(map(str, kernel)),
    }
    return VolumeFile(values, "int16", metadata)


def _scan(path: Path) -> _Slice:
    """Read one header, without the pixels, and refuse what cannot be a slice of a volume."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        with quiet():
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
            missing = [tag for tag in _NEEDED if header.get(tag) is None]
            frames, samples = int(header.get("NumberOfFrames") or 1), int(header.get("SamplesPerPixel") or 1)
            numbers = [np.atleast_1d(np.array(header.get(tag) or (), dtype=np.float64)) for tag in _NUMBERS]
            position, orientation, spacing = numbers
    except (OSError, EOFError, ValueError, TypeError, AttributeError, NotImplementedError, InvalidDicomError) as error:
        raise FormatError(f"{path}: expected a DICOM header, got {one_line(error)}; remove or replace it") from error
    if frames > 1:
        raise FormatError(f"{path}: expected one frame per file, got {frames}; convert it to single-frame files")
    if samples != 1:
        raise FormatError(f"{path}: expected one sample per pixel, got {samples} (a colour image); remove it")
    if missing:
        raise FormatError(f"{path}: expected a slice with {', '.join(_NEEDED)}, got no {', '.join(missing)}; remove it")
    if "ModalityLUTSequence" in header:
        raise FormatError(f"{path}: expected rescale slope and intercept, got a modality look-up table; convert it")
    counts = tuple(map(len, (position, orientation, spacing)))
    if counts != (3, 6, 2) or not np.isfinite([*position, *orientation, *spacing]).all():
        raise FormatError(
            f"{path}: expected 3 finite numbers of position, 6 of orientation and 2 of spacing, got "
            f"{position.tolist()!r}, {orientation.tolist()!r} and {spacing.tolist()!r}; repair the header"
        )
    return _Slice(path, header, position, orientation, spacing)


def _check_alike(folder: Path, slices: list[_Slice]) -> None:
    """Refuse slices of several series, extents, spacings or orientations."""
    series = {str(item.header.SeriesInstanceUID) for item in slices}
    if len(series) > 1:
        raise FormatError(f"{folder}: expected one DICOM series, got {len(series)}; put each into a folder of its own")
    first = slices[0]
    for item in slices[1:]:
        for tag in ("Rows", "Columns", "PixelSpacing"):
            ours, theirs = (np.atleast_1d(np.array(x.header.get(tag), dtype=float)) for x in (first, item))
            if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=_SPACING, atol=0):
                raise FormatError(
                    f"{item.path}: expected {tag} {ours.tolist()!r} as in {first.path.name!r}, got "
                    f"{theirs.tolist()!r}; put each kind of slice into a folder of its own"
                )
        if not np.allclose(first.orientation, item.orientation, atol=_TURN):
            raise FormatError(
                f"{item.path}: expected orientation {first.orientation.tolist()!r} as in {first.path.name!r}, got "
                f"{item.orientation.tolist()!r}; put each kind of slice into a folder of its own"
            )


def _check_steps(folder: Path, slices: list[_Slice]) -> None:
    """Refuse a doubled slice, a gap, and slices that do not lie on one line; ``slices`` are in order."""
    if len(slices) < 2:
        return
    steps = np.diff([item.position for item in slices], axis=0)
    along = steps @ slices[0].normal
    for i in np.flatnonzero(along < _APART):
        raise FormatError(
            f"{folder}: expected slices at different places, got {slices[i].path.name!r} and "
            f"{slices[i + 1].path.name!r} at {slices[i].position.tolist()!r}; remove one"
        )
    step = float(np.median(along))
    for i in np.flatnonzero(np.abs(along - step) > _OFF * step):
        raise FormatError(
            f"{folder}: expected slices {step:.4g} mm apart, got {along[i]:.4g} mm between {slices[i].path.name!r} and "
            f"{slices[i + 1].path.name!r} (a missing slice or uneven spacing); complete or resample the series"
        )
    if np.abs(steps - steps.mean(axis=0)).max() > 2 * _OFF * step:
        raise FormatError(
            f"{folder}: expected slices along one line, got positions that jump sideways; split the series"
        )


def _stack(slices: list[_Slice]) -> NDArray[np.int16]:
    """Read slice by slice: HU ``[X, Y, Z]``."""
    first = slices[0]
    shape = (int(first.header.Columns), int(first.header.Rows), len(slices))
    values = empty_values(shape[::-1], "int16").T if is_large(shape, "int16") else np.empty(shape, np.int16)
    limits, rounded = np.iinfo(np.int16), False
    for z, item in enumerate(slices):
        plane = _read_slice(item.path)
        whole = np.rint(plane)
        if plane.shape != values.shape[:2] or not np.isfinite(plane).all() or whole.min() < limits.min:
            raise FormatError(f"{item.path}: expected {values.shape[:2]} samples in HU, got {plane.shape} out of range")
        if whole.max() > limits.max:
            raise FormatError(
                f"{item.path}: expected at most {limits.max} HU, got {whole.max():.0f}; check its rescale"
            )
        rounded = rounded or bool((whole != plane).any())
        values[:, :, z] = whole
        release_pages(values)
    if rounded:
        warnings.warn(f"{first.path.parent}: rescaled values are not whole; rounded to HU", LiveactionWarning, 2)
    return values


def _place(slices: list[_Slice]) -> NDArray[np.float64]:
    """The affine, index ``x, y, z`` to position in mm; DICOM's positions are LPS, these are RAS.

    The columns are DICOM's equation of a plane (PS3.3 C.7.6.2.1.1) and the step from slice to slice. Orientation is
    that of a row, then of a column; spacing is between rows, then between columns: X takes the first and the second.
    """
    first, last = slices[0], slices[-1]
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[:3] * first.spacing[1]
    affine[:3, 1] = first.orientation[3:] * first.spacing[0]
    affine[:3, 3] = first.position
    if len(slices) > 1:
        affine[:3, 2] = (last.position - first.position) / (len(slices) - 1)
    else:
        gap = first.header.get("SpacingBetweenSlices") or first.header.get("SliceThickness") or 1.0
        affine[:3, 2] = first.normal * abs(float(gap))
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _read_slice(path: Path) -> NDArray[Any]:
    """One slice ``[X, Y]``, float64 where it has a rescale, else as stored."""
    import pydicom

    try:
        with quiet():
            data = pydicom.dcmread(path)
            plane: NDArray[Any] = data.pixel_array.T
            if "RescaleSlope" in data or "RescaleIntercept" in data:
                slope, intercept = data.get("RescaleSlope", 1.0), data.get("RescaleIntercept", 0.0)
                plane = plane * np.float64(slope) + np.float64(intercept)
            return plane
    except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise FormatError(
            f"{path}: expected whole, readable pixel data, got {one_line(error)}; copy it again or decompress it"
        ) from error
