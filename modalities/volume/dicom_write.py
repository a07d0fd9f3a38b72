"""A decoded volume as a derived DICOM series, slice by slice like the series that it was made from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.files import atomic_path
from liveaction.modalities.third_party import one_line, quiet
from liveaction.modalities.volume.dicom import lay_out
from liveaction.modalities.volume.dicom_derived import Derivation, Origin
from liveaction.modalities.volume.dicom_folder import DicomSeries
from liveaction.modalities.volume.dicom_header import READING, Header, is_dicom
from liveaction.modalities.volume.dicom_pixels import padding_bounds, read_plane
from liveaction.modalities.volume.dicom_stored import Stored, pack_words, store_plane
from liveaction.outputs import check_outputs
from liveaction.signal import Signal

_CLASS = "1.2.840.10008.5.1.4.1.1"
_WRITTEN = {f"{_CLASS}.2": "CT", f"{_CLASS}.4": "MR"}
_BIG = "1.2.840.10008.1.2.2"
_OFF = 0.01  # of a voxel, by which the corners of two volumes that are one may lie apart
_SPACING = 1e-3  # by which spacings may differ, relatively


@dataclass(frozen=True)
class DerivedSeries:
    """What was written.

    Attributes:
        uid: the SeriesInstanceUID.
        files: how many, one for each slice.
        lossy: whether stored values may differ from the template's.
        rounded: of a lossless stream, that they do, as values were rounded to whole ones when they were read.
        clipped: values that the template's BitsStored cannot hold.
        moved: measured values that would have read as padding, and were put beside it.
    """

    uid: str
    files: int
    lossy: bool
    rounded: bool
    clipped: int
    moved: int


def check_template(signal: Signal, target: Path, series: DicomSeries) -> list[Header]:
    """Refuse, before anything is decoded, a template that the signal does not lie in, and a target that may not be.

    Args:
        signal: its values may be nothing but a shape.
        target: the folder to write.
        series: the template.

    Returns:
        The template's slices, in the order of the signal's last axis.

    Raises:
        FormatError: the template has other slices, extents, spacing, orientation or position, is of another kind than
            CT or MR slices, or cannot be written again; ``target`` holds what is no derived series.
        SpecError: ``target`` is the template, lies in it, or holds it.
        WriteError: ``target`` cannot be written.
    """
    slices, affine = lay_out(series)
    paths = [header.path for header in slices]
    check_outputs({str(target): target}, {"the template": [paths[0].parent, *paths]})
    _check_folder(target)
    _check_geometry(signal, slices, affine)
    for header in slices:
        _check_slice(header)
    return slices


def write_dicom(signal: Signal, target: Path, series: DicomSeries, origin: Origin) -> DerivedSeries:
    """Write a folder of one file for each slice of the template, explicit little-endian; atomic.

    Patient, study, geometry, acquisition and the rescale are the template's, values are mapped back by it. What a
    slice says of its making is in :class:`~liveaction.modalities.volume.dicom_derived.Derivation`.

    Args:
        signal: ``[1, X, Y, Z]``, decoded, in the unit of the template.
        target: the folder; one that holds a derived series alone is replaced.
        series: the template.
        origin: the stream it was decoded from.

    Raises:
        FormatError, SpecError, WriteError: as :func:`check_template`; a lossless stream of another series.
    """
    slices = check_template(signal, target, series)
    lossy = not origin.lossless or not all(_kept(signal, slices))
    derivation = Derivation(origin, signal.unit, lossy)
    clipped = moved = 0
    digits = max(4, len(str(len(slices))))
    with atomic_path(target) as part:
        part.mkdir()
        for z, header in enumerate(slices):
            stored = _stored(signal, z, header)
            with _writing(header):
                _write_slice(part / f"{z + 1:0{digits}d}.dcm", stored, header, derivation)
            clipped, moved = clipped + stored.clipped, moved + stored.moved
    return DerivedSeries(derivation.series, len(slices), lossy, lossy and origin.lossless, clipped, moved)


def _stored(signal: Signal, z: int, header: Header) -> Stored:
    missing = None if signal.missing is None else signal.missing[0, :, :, z]
    return store_plane(signal.values[0, :, :, z], missing, signal.no_data, header, read_plane(header))


def _kept(signal: Signal, slices: list[Header]) -> list[bool]:
    """Of each slice, see :func:`_is_kept`; all are looked at, since one may be refused."""
    return [_is_kept(signal, z, header) for z, header in enumerate(slices)]


def _is_kept(signal: Signal, z: int, header: Header) -> bool:
    """Whether a lossless stream gives the stored values of a slice; not where they were rounded when it was read.

    Raises:
        FormatError: it was made from something else.
    """
    plane = read_plane(header)
    if np.array_equal(_stored(signal, z, header).values, plane.values):
        return True
    slope, intercept = header.rescale
    values, there = signal.values[0, :, :, z], np.ones(plane.values.shape, np.bool_)
    if plane.padded is not None:
        there &= ~plane.padded
    if signal.missing is not None:
        there &= ~signal.missing[0, :, :, z]
    wanted = plane.values * np.float64(slope) + np.float64(intercept)
    if values.dtype.kind in "iu" and np.array_equal(np.rint(wanted)[there], values[there]):
        return False
    raise FormatError(
        f"{header.path}: expected the slice that a lossless stream was made from, got other values; give the series "
        "that was compressed"
    )


def _write_slice(path: Path, stored: Stored, header: Header, derivation: Derivation) -> None:
    import pydicom

    with quiet():
        data = pydicom.dcmread(header.path, force=True)
        derivation.apply(data, header.kinds, header.texts["SOPClassUID"], _note(stored, header))
        data.PixelData = pack_words(stored.values, header)
        data["PixelData"].VR = "OB" if header.words["BitsAllocated"] == 8 else "OW"
        pydicom.dcmwrite(path, data, enforce_file_format=True)


def _note(stored: Stored, header: Header) -> str:
    """What happened to values behind the stream, whose promise does not cover it; clipping only brings them nearer."""
    slope, intercept = header.rescale
    rounded = "" if abs(slope) == 1 and intercept.is_integer() else ", then rounded to stored values"
    return rounded + (f", {stored.moved} values put beside the padding value" if stored.moved else "")


@contextmanager
def _writing(header: Header) -> Iterator[None]:
    """Make one line of what pydicom raises over a header that it reads, but cannot write; the system's errors stay."""
    try:
        yield
    except (FormatError, OSError):
        raise
    except READING as error:
        raise FormatError(
            f"{header.path}: expected a header that can be written again, got {one_line(error)}; repair it"
        ) from error


def _check_slice(header: Header) -> None:
    """Refuse what is no CT or MR slice, or has no instance to refer to."""
    import pydicom

    kind = header.texts.get("SOPClassUID", "")
    if kind not in _WRITTEN:
        got = pydicom.uid.UID(kind).name if kind else "no SOP class"
        raise FormatError(
            f"{header.path}: expected CT or MR slices to write DICOM like, got {got!r}; decompress to NIfTI"
        )
    used, high = header.words["BitsStored"], header.words.get("HighBit")
    if padding_bounds(header) is not None and high not in (None, used - 1):
        raise FormatError(
            f"{header.path}: expected HighBit {used - 1} beside PixelPaddingValue, got {high}, of which other values "
            "may read as padding; decompress to NIfTI"
        )
    with _writing(header), quiet():
        data = pydicom.dcmread(header.path, force=True, specific_tags=["SOPInstanceUID"], stop_before_pixels=True)
        syntax, instance = data.file_meta.get("TransferSyntaxUID", ""), data.get("SOPInstanceUID")
        big = syntax == _BIG or not data.original_encoding[1]
    if big:
        raise FormatError(
            f"{header.path}: expected little-endian slices to write DICOM like, got explicit big endian; convert them "
            "with dcmconv of DCMTK"
        )
    if not instance:
        raise FormatError(f"{header.path}: expected a SOPInstanceUID to refer to, got none; repair the header")


def _check_geometry(signal: Signal, slices: list[Header], affine: NDArray[np.float64]) -> None:
    """Refuse a template that is no copy of the place where the signal lies."""
    folder, first = slices[0].path.parent, slices[0].words
    shape = (first["Columns"], first["Rows"], len(slices))
    if signal.shape != shape:
        raise FormatError(
            f"{folder}: expected a template of {_extents(signal.shape)}, as the stream holds, got {_extents(shape)}; "
            "give the series that was compressed, whole"
        )
    ours = np.asarray(signal.metadata.get("affine"), dtype=np.float64)
    if ours.shape != (4, 4):
        raise FormatError(f"{folder}: expected a stream with a 4x4 affine, got {signal.metadata.get('affine')!r}")
    corners = np.array(np.meshgrid(*([0, n - 1] for n in shape), [1])).reshape(4, -1)
    off = float(np.linalg.norm(((ours - affine) @ corners)[:3], axis=0).max())
    sizes = [np.linalg.norm(matrix[:3, :3], axis=0) for matrix in (ours, affine)]
    if not np.allclose(sizes[0], sizes[1], rtol=_SPACING, atol=0):
        wanted, got = (f"spacing {np.round(size, 6).tolist()} mm" for size in sizes)
    elif not np.allclose(ours[:3, :3] / sizes[0], affine[:3, :3] / sizes[1], atol=_SPACING):
        pairs = zip((ours, affine), sizes, strict=True)
        wanted, got = (f"axes along {np.round((matrix[:3, :3] / size).T, 4).tolist()}" for matrix, size in pairs)
    elif off > _OFF * float(sizes[0].min()):
        wanted, got = (f"a first voxel at {np.round(matrix[:3, 3], 3).tolist()} mm" for matrix in (ours, affine))
    else:
        return
    raise FormatError(
        f"{folder}: expected a template of {wanted}, as the stream has it, got {got}; give the series that was "
        "compressed"
    )


def _extents(shape: tuple[int, ...]) -> str:
    return f"{shape[2]} slices of {shape[1]} rows and {shape[0]} columns" if len(shape) == 3 else f"extents {shape}"


def _check_folder(target: Path) -> None:
    """Refuse a file, and a folder with other things in it than what :func:`write_dicom` writes."""
    if not target.exists():
        return
    others = [] if not target.is_dir() else [path for path in sorted(target.iterdir()) if not _is_derived(path)]
    if target.is_dir() and not others:
        return
    got = f"a folder that holds {others[0].name!r}" if others else "a file"
    raise FormatError(
        f"{target}: expected a new folder, or one of a derived series to replace, got {got}; take another name"
    )


def _is_derived(path: Path) -> bool:
    import pydicom

    if path.is_symlink() or not is_dicom(path):
        return False
    try:
        with quiet():
            data: Any = pydicom.dcmread(
                path, force=True, specific_tags=["DerivationDescription"], stop_before_pixels=True
            )
            return str(data.get("DerivationDescription") or "").startswith("liveaction ")
    except READING:
        return False
