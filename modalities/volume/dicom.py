"""One DICOM series as a volume: slices checked first, then read and laid in order of position."""

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.mapped import converted, empty_values, is_large, release_pages
from liveaction.modalities.volume.dicom_folder import DicomSeries
from liveaction.modalities.volume.dicom_header import Header
from liveaction.modalities.volume.dicom_pixels import padding_bounds, read_plane, stored_limits
from liveaction.modalities.volume.nifti import describe_affine
from liveaction.modalities.volume.volume_file import VolumeFile

_GEOMETRY = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
_NEEDED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", *_GEOMETRY)
_OFF = 0.01  # largest error of a slice's place, as a share of the distance between slices
_ROUNDED = 0.1  # mm; or one unit of the last decimal that positions are written with, where that is no more than this
_GAP = 0.25  # but never more than this share of the least distance, or a missing slice could pass for rounding
_SPACING = 1e-4  # by which spacings may differ, relatively: they are decimals, rounded by hand
_TURN = 1e-3  # by which direction cosines may differ
_UNIT = 0.01  # by which the length of a direction may differ from 1, and the cosine between two of them from 0
_APART = 1e-3  # mm; slices nearer than that lie at one place


@dataclass(frozen=True)
class _Slice:
    header: Header
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing: NDArray[np.float64]

    @property
    def path(self) -> Path:
        return self.header.path

    @cached_property
    def normal(self) -> NDArray[np.float64]:
        return np.cross(self.orientation[:3], self.orientation[3:])


def read_dicom(series: DicomSeries) -> VolumeFile:
    """Read a series; whatever the file names and instance numbers say, order is by position.

    Rescale slope and intercept of each slice are applied. A series in HU is int16, rounded with a warning where values
    are not whole, int32 where its padding needs it. Any other is of integers where all slopes and intercepts are whole,
    else float32, float64 for stored values of more than 24 bits. PixelPaddingValue is missing, and comes back. Patient,
    study and date tags are not kept. A tilted gantry gives an affine with shear.

    Returns:
        values ``[X, Y, Z]``, X along a row, Y down a column, Z along their normal; JSON metadata with ``affine`` (RAS+,
        mm) and ``spacing`` in mm, ``bits`` of a stored value where ``dtype`` is wider, ``value_unit`` of PET and of
        material maps.

    Raises:
        FormatError: mixed geometry, a missing or doubled slice, colour, several frames, unreadable pixels.
    """
    slices = _ordered(series)
    folder = slices[0].path.parent
    place = describe_affine(folder, _place(slices))
    if series.in_hu and any("RescaleIntercept" not in item.header.texts for item in slices):
        warnings.warn(f"{folder}: no RescaleIntercept; stored values are taken for HU", LiveactionWarning, 3)
    values, missing, no_data = _stack(slices, series.in_hu)
    first = slices[0].header
    stored = first.words["BitsAllocated"]
    about: dict[str, Any] = {} if stored >= 8 * values.dtype.itemsize else {"bits": stored}
    of_map = series.modality == "CT" and not series.in_hu
    if unit := first.code("Units") or (first.code("RescaleType") if of_map else ""):
        about["value_unit"] = unit
    if missing is not None:
        about["padding"] = no_data
    metadata = {
        "source": "dicom",
        "values_dtype": values.dtype.name,
        **place,
        **about,
        "unit": "mm",
        "modality": series.modality,
        "manufacturer": first.labels["Manufacturer"],
        "kernel": first.labels["ConvolutionKernel"],
    }
    return VolumeFile(values, values.dtype.name, metadata, missing, no_data)


def lay_out(series: DicomSeries) -> tuple[list[Header], NDArray[np.float64]]:
    """The slices of a series in the order in which :func:`read_dicom` lays them, and the affine it gives.

    Raises:
        FormatError: as :func:`check_dicom`.
    """
    slices = _ordered(series)
    return [item.header for item in slices], _place(slices)


def check_dicom(series: DicomSeries) -> None:
    """Refuse by its headers what :func:`read_dicom` will not take.

    Raises:
        FormatError: mixed geometry, a missing or doubled slice, colour, several frames.
    """
    _ordered(series)


def _ordered(series: DicomSeries) -> list[_Slice]:
    """The slices by position, checked to be those of one volume."""
    slices = [_scan(header) for header in series.slices]
    _check_alike(slices)
    normal = slices[0].normal
    slices.sort(key=lambda item: float(item.position @ normal))
    _check_steps(slices[0].path.parent, slices)
    return slices


def _scan(header: Header) -> _Slice:
    """The place of a slice, by its header; what cannot be a slice of a volume is refused."""
    path, words = header.path, header.words
    frames, samples = header.number("NumberOfFrames", 1), words.get("SamplesPerPixel", 1)
    if frames > 1 or header.is_enhanced:
        got = f"{frames:.0f}" if frames > 1 else "one in an enhanced file"
        raise FormatError(f"{path}: expected one frame per file, got {got}; convert it to single-frame files")
    colours = header.code("PhotometricInterpretation") or "MONOCHROME2"
    if samples != 1 or not colours.startswith("MONOCHROME"):
        raise FormatError(
            f"{path}: expected one sample of MONOCHROME2 per pixel, got {samples} of {colours} (a colour image); "
            "remove it"
        )
    if "MOSAIC" in header.kinds:
        raise FormatError(f"{path}: expected one slice per file, got a mosaic of many; convert it to NIfTI")
    absent = [tag for tag in _NEEDED if tag not in header.texts and tag not in words]
    absent += [tag for tag in ("Rows", "Columns") if words.get(tag) == 0]
    if absent:
        raise FormatError(f"{path}: expected a slice with {', '.join(_NEEDED)}, got no {', '.join(absent)}; remove it")
    if header.has_table:
        raise FormatError(f"{path}: expected rescale slope and intercept, got a modality look-up table; convert it")
    position, orientation, spacing = (np.array(header.numbers(tag, count)) for tag, count in _GEOMETRY.items())
    row, column = orientation[:3], orientation[3:]
    off = max(abs(float(np.linalg.norm(row)) - 1), abs(float(np.linalg.norm(column)) - 1), abs(float(row @ column)))
    if spacing.min() <= 0 or off > _UNIT:
        raise FormatError(
            f"{path}: expected positive spacing and two directions of length 1 at a right angle, got "
            f"{spacing.tolist()!r} and {orientation.tolist()!r}; repair the header"
        )
    return _Slice(header, position, orientation, spacing)


def _check_alike(slices: list[_Slice]) -> None:
    """Refuse slices of several extents, spacings or orientations."""
    first = slices[0]
    for item in slices[1:]:
        for tag in ("Rows", "Columns"):
            ours, theirs = first.header.words[tag], item.header.words[tag]
            if ours != theirs:
                raise FormatError(
                    f"{item.path}: expected {tag} {ours} as in {first.path.name!r}, got {theirs}; put each kind of "
                    "slice into a folder of its own"
                )
        if not np.allclose(first.spacing, item.spacing, rtol=_SPACING, atol=0):
            raise FormatError(
                f"{item.path}: expected PixelSpacing {first.spacing.tolist()!r} as in {first.path.name!r}, got "
                f"{item.spacing.tolist()!r}; put each kind of slice into a folder of its own"
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
    positions = np.array([item.position for item in slices])
    along = np.diff(positions @ slices[0].normal)
    for i in np.flatnonzero(along < _APART):
        raise FormatError(
            f"{folder}: expected slices at different places, got {slices[i].path.name!r} and "
            f"{slices[i + 1].path.name!r} at {slices[i].position.tolist()!r}; remove copies, or split repeated scans"
        )
    step = float(np.median(along))
    allowed = max(_OFF * step, min(_last_decimal(slices), _GAP * float(along.min())))
    index = np.arange(len(slices))
    even = np.polynomial.polynomial.polyfit(index, positions, 1)
    off = positions - (even[0] + index[:, np.newaxis] * even[1])
    if np.abs(off @ slices[0].normal).max() > allowed:
        worst = int(np.abs(along - step).argmax())
        one, other = slices[worst : worst + 2]
        raise FormatError(
            f"{folder}: expected slices {step:.4g} mm apart, got {along[worst]:.4g} mm between {one.path.name!r} and "
            f"{other.path.name!r} (a missing slice or uneven spacing); complete or resample the series"
        )
    if np.abs(off).max() > 2 * allowed:
        raise FormatError(
            f"{folder}: expected slices along one line, got positions that jump sideways; split the series"
        )


def _last_decimal(slices: list[_Slice]) -> float:
    """One unit of the last decimal that any position is written with, in mm; 0 where that is coarser than rounding."""
    texts = "\\".join(item.header.texts["ImagePositionPatient"] for item in slices).split("\\")
    if any("e" in text.lower() for text in texts):
        return 0.0
    unit = float(10.0 ** -max(len(text.strip().partition(".")[2]) for text in texts))
    return unit if unit <= _ROUNDED else 0.0


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
        gap = abs(first.header.number("SpacingBetweenSlices", 0) or first.header.number("SliceThickness", 0))
        if gap == 0:
            warnings.warn(f"{first.path}: a slice without thickness; it is taken for 1 mm", LiveactionWarning, 4)
        affine[:3, 2] = first.normal * (gap or 1.0)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _stack(slices: list[_Slice], in_hu: bool) -> tuple[NDArray[Any], NDArray[np.bool_] | None, float]:
    """Read slice by slice: values ``[X, Y, Z]``, where they are padding, and what padding is."""
    headers = [item.header for item in slices]
    dtype = _dtype(headers, in_hu)
    shape = (headers[0].words["Columns"], headers[0].words["Rows"], len(headers))
    read_plane(headers[0])  # before room is made for what a header says
    values = _room(shape, dtype)
    missing = _room(shape, "bool") if any(padding_bounds(header) for header in headers) else None
    rounded = False
    for z, header in enumerate(headers):
        plane = read_plane(header)
        slope, intercept = header.rescale
        scaled = plane.values * np.float64(slope) + np.float64(intercept)
        whole = np.rint(scaled)
        if in_hu:
            known = slice(None) if plane.padded is None else ~plane.padded
            _check_hounsfield(header, whole[known])
            rounded = rounded or bool((whole != scaled)[known].any())
        if missing is not None:
            missing[:, :, z] = False if plane.padded is None else plane.padded
        values[:, :, z] = whole if np.dtype(dtype).kind in "iu" else scaled
        release_pages(values)
    folder = headers[0].path.parent
    if rounded:
        warnings.warn(f"{folder}: rescaled values are not whole; rounded to HU", LiveactionWarning, 4)
    if missing is not None and missing.any():
        return values, missing, _one_padding(folder, values, missing)
    if in_hu and dtype != "int16":
        values = converted(values, np.dtype("int16"), fortran=is_large(shape, dtype))
    return values, None, 0.0


def _one_padding(folder: Path, values: NDArray[Any], missing: NDArray[np.bool_]) -> float:
    """What stands where values are missing, the least of several; it is put everywhere there, with a warning."""
    found: set[float] = set()
    for z in range(values.shape[2]):
        found.update(np.unique(values[:, :, z][missing[:, :, z]]).tolist())
    least = min(found)
    if len(found) > 1:
        values[missing] = least
        said = f"{folder}: padding of {len(found)} values; all of it comes back as {least:g}"
        warnings.warn(said, LiveactionWarning, 5)
    return float(least)


def _room(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    return empty_values(shape[::-1], dtype).T if is_large(shape, dtype) else np.empty(shape, dtype)


def _check_hounsfield(header: Header, values: NDArray[np.float64]) -> None:
    """Refuse what int16 cannot hold."""
    limits = np.iinfo(np.int16)
    low, high = values.min(initial=0), values.max(initial=0)
    if high > limits.max:
        raise FormatError(f"{header.path}: expected at most {limits.max} HU, got {high:.0f}; check its rescale")
    if low < limits.min:
        raise FormatError(
            f"{header.path}: expected at least {limits.min} HU, got {low:.0f}; if that is padding, name its stored "
            "value in PixelPaddingValue"
        )


def _dtype(headers: list[Header], in_hu: bool) -> str:
    """The narrowest dtype that holds all that the slices may hold, padding included."""
    ends: list[float] = []
    for header in headers:
        slope, intercept = header.rescale
        bits = header.words.get("BitsStored", header.words["BitsAllocated"])
        low, high = stored_limits(header)
        bounds = padding_bounds(header) or ()
        ends += [slope * end + intercept for end in (bounds if in_hu else (low, high, *bounds))]
        if not in_hu and not (slope.is_integer() and intercept.is_integer()):
            return "float64" if bits > 24 else "float32"
    small = ["uint8"] if all(header.words["BitsAllocated"] == 8 for header in headers) else []
    kinds = ["int16", "int32"] if in_hu else [*small, "int16", "uint16", "int32"]
    for kind in kinds:
        limits = np.iinfo(kind)
        if not ends or (limits.min <= min(ends) and max(ends) <= limits.max):
            return kind
    if in_hu:
        raise FormatError(
            f"{headers[0].path}: expected padding within 32 bits, got {min(ends):.0f} to {max(ends):.0f} HU; check its "
            "rescale"
        )
    return "float64"
