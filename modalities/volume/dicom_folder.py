"""What a folder of DICOM files holds: its series, what is no volume, what cannot be read; nothing goes unseen.

A series that is all there is to read in its folder is the item ``FOLDER``; every other one is ``FOLDER/UID``, by its
SeriesInstanceUID, though there is no such file.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.modalities.find import find_files
from liveaction.modalities.volume.dicom_header import Header, is_dicom, read_header
from liveaction.modalities.volume.nifti import is_nifti

_CLASS = "1.2.840.10008.5.1.4.1.1"
_SCANS = {f"{_CLASS}.2": "CT", f"{_CLASS}.4": "MR", f"{_CLASS}.128": "PT"}  # classes of slices, with their modality
_DERIVED = (f"{_CLASS}.481.", f"{_CLASS}.66.", f"{_CLASS}.88.", f"{_CLASS}.104.")  # RT, segmentations, reports, PDF
_GEOMETRY = ("Rows", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_HOUNSFIELD = {"", "HU", "HU_MOD", "US"}  # RescaleType; US is "unspecified"
_LISTED = 20


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """Slices of one SeriesInstanceUID; localizers (scouts) of it are a series of their own."""

    uid: str
    number: int | None
    modality: str
    in_hu: bool
    is_localizer: bool
    slices: tuple[Header, ...]

    def __str__(self) -> str:
        number = "no number" if self.number is None else f"number {self.number}"
        kind = f"{self.modality} localizer" if self.is_localizer else self.modality
        count = f"{len(self.slices)} {'slice' if len(self.slices) == 1 else 'slices'}"
        return f"{self.uid} ({number}, {kind}, {count} from {_called(self.slices[0].path)})"


@dataclass(frozen=True)
class Survey:
    """All DICOM files that lie directly in a folder: series by number, ``others`` by name, errors of the unreadable."""

    series: list[DicomSeries]
    others: dict[str, list[Path]]
    errors: list[str]

    def taken(self, in_hu: bool) -> list[DicomSeries]:
        """The series of one kind of unit that are no localizers."""
        return [one for one in self.series if one.in_hu == in_hu and not one.is_localizer]

    def left(self, in_hu: bool) -> list[DicomSeries | str]:
        """All that is not taken: series, and words for other files."""
        series = [one for one in self.series if one.in_hu != in_hu or one.is_localizer]
        others = [
            f"{len(files)} {'file' if len(files) == 1 else 'files'} of {name!r} from {_called(files[0])}"
            for name, files in self.others.items()
        ]
        return [*series, *others]


def survey(folder: Path) -> Survey:
    """Read the headers of all DICOM files directly in a folder."""
    groups: dict[tuple[str, bool], list[Header]] = {}
    others: dict[str, list[Path]] = {}
    errors = []
    for path in sorted(path for path in folder.iterdir() if is_dicom(path)):
        try:
            header = read_header(path)
            if header.is_index:
                continue
            if (name := _other(header)) is not None:
                others.setdefault(name, []).append(path)
            else:
                groups.setdefault((header.series, "LOCALIZER" in header.kinds), []).append(header)
        except FormatError as error:
            errors.append(str(error))
    series = [_series(uid, localizer, headers) for (uid, localizer), headers in groups.items()]
    series.sort(key=lambda one: (one.number is None, one.number or 0, one.uid, one.is_localizer))
    return Survey(series, others, errors)


def _called(path: Path) -> str:
    """A file by its folder and name."""
    return repr(f"{path.parent.name}/{path.name}")


def _series(uid: str, localizer: bool, slices: list[Header]) -> DicomSeries:
    first = slices[0].texts
    number = first.get("SeriesNumber", "")
    modality = slices[0].code("Modality") or _SCANS.get(first.get("SOPClassUID", ""), "of no modality")
    scales = {one.texts.get("RescaleType", "") for one in slices}
    in_hu = scales == {"HU"} or (modality == "CT" and scales <= _HOUNSFIELD)
    whole = int(number) if number.lstrip("+-").isdecimal() and len(number) <= 12 else None
    return DicomSeries(uid, whole, modality, in_hu, localizer, tuple(slices))


def _other(header: Header) -> str | None:
    """The SOP class of what is no slice of a scan; None of what is, or ought to be."""
    from pydicom.uid import UID

    kind = header.texts.get("SOPClassUID", "")
    if kind in _SCANS or header.is_enhanced or not kind:
        return None
    if all(tag in header.texts or tag in header.words for tag in _GEOMETRY) and not kind.startswith(_DERIVED):
        return None
    return str(UID(kind).name)


def find_volumes(path: Path, wanted: str, in_hu: bool) -> list[Path]:
    """NIfTI files and DICOM series under ``path``, see :func:`find_files` and the head of this module.

    Localizers, series in another unit and files that are no slices are left out, with a warning that names them.

    Args:
        path: a file, a folder, or ``FOLDER/UID`` of a series in it.
        wanted: what counts, as messages say it.
        in_hu: whether series in HU are wanted, or all others.

    Raises:
        FormatError: nothing is there, or nothing of what is wanted.
    """
    if not path.exists() and (one := _named(path)) is not None:
        return [path.parent / one.uid]
    way = "give the folder of its series" if is_dicom(path) else "convert it"
    found: list[Path] = []
    left: list[DicomSeries | str] = []
    for item in find_files(path, wanted, is_nifti, _holds_dicom, way=way):
        if not item.is_dir():
            found.append(item)
            continue
        known = survey(item)
        taken = known.taken(in_hu)
        left += known.left(in_hu)
        if known.errors and not taken:
            found.append(item)  # reading it says why
        elif _is_all(item, known, taken):
            found.append(item)
        else:
            found += [_place(item, one) for one in taken]
    if not found:
        raise FormatError(f"{path}: expected {wanted}, got {_listed(left) or 'an index alone'}; {_way(left, in_hu)}")
    if left:
        _warn(path, left)
    return sorted(found)


def select_series(path: Path, in_hu: bool, *, warn: bool = True) -> DicomSeries | None:
    """The series that ``path`` is: all that a folder holds, or ``FOLDER/UID``, or ``FOLDER/NUMBER`` by SeriesNumber.

    With ``warn`` what else lies in a folder is named in a warning.

    Returns:
        None where ``path`` is neither.

    Raises:
        FormatError: a folder without DICOM slices, with several series, or with a file that cannot be read; a series
            of another unit than asked for.
    """
    if not path.is_dir():
        one = _named(path)
        if one is not None:
            _refuse_errors(survey(path.parent))
            if one.in_hu != in_hu:
                raise FormatError(f"{path}: expected a series {_unit(in_hu)}, got {one}; {_way([one], in_hu)}")
        return one
    known = survey(path)
    _refuse_errors(known)
    taken, left = known.taken(in_hu), known.left(in_hu)
    if not taken:
        got = _listed(left) or "none"
        way = _way(left, in_hu) if left else "give the folder that holds them"
        raise FormatError(f"{path}: expected DICOM files of one series {_unit(in_hu)}, got {got}; {way}")
    images = _images(path)
    if len(taken) > 1 or images:
        beside = [f"{len(images)} NIfTI {'file' if len(images) == 1 else 'files'}"] if images else []
        raise FormatError(
            f"{path}: expected one DICOM series, got {_listed([*taken, *beside])}; choose one with --series, or give "
            f"{str(path / taken[0].uid)!r}"
        )
    if left and warn:
        _warn(path, left)
    return taken[0]


def volume_parts(path: Path, in_hu: bool) -> list[Path] | None:
    """The files of a DICOM series; None where ``path`` is none that could be read."""
    if path.is_dir():
        known = survey(path)
        taken = known.taken(in_hu)
        one = taken[0] if len(taken) == 1 and not known.errors else None
    else:
        one = _named(path)
    return None if one is None else sorted(header.path for header in one.slices)


def _named(path: Path) -> DicomSeries | None:
    """The series of ``path.parent`` that ``path.name`` is the UID or the number of."""
    if path.is_dir() or not path.parent.is_dir() or (path.exists() and not is_dicom(path)):
        return None
    every = survey(path.parent).series
    known = [one for one in every if one.uid == path.name]
    if not known and not path.exists():
        known = [one for one in every if str(one.number) == path.name]
    known = [one for one in known if not one.is_localizer] or known
    if len(known) == 1 or path.exists() or not every or path.name.strip("0123456789."):
        return known[0] if known else None
    raise FormatError(
        f"{path.parent}: expected the UID of one series, or a number that one alone has, got {path.name!r} among "
        f"{_listed(every)}; choose another"
    )


def _holds_dicom(folder: Path) -> bool:
    return any(is_dicom(file) for file in folder.iterdir())


def _images(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if is_nifti(file) and not file.name.startswith(".")]


def _is_all(folder: Path, known: Survey, taken: list[DicomSeries]) -> bool:
    """Whether the one series that is taken is all there is to read in the folder."""
    return len(taken) == len(known.series) == 1 and not known.others and not _images(folder)


def _place(folder: Path, one: DicomSeries) -> Path:
    """What a series among others is called.

    Raises:
        FormatError: a folder is called so.
    """
    place = folder / one.uid
    if place.is_dir():
        raise FormatError(f"{place}: expected a series or a folder of that name, got both; move one elsewhere")
    return place


def _refuse_errors(known: Survey) -> None:
    """A file that cannot be read may be a slice of any series in its folder."""
    if known.errors:
        raise FormatError(known.errors[0])


def _listed(what: Sequence[DicomSeries | str]) -> str:
    """``2 series: ..., ...``, or words; no more than fits a screen."""
    words = [str(one) for one in what]
    more = [f"{len(words) - _LISTED} more"] if len(words) > _LISTED else []
    count = sum(isinstance(one, DicomSeries) for one in what)
    return (f"{count} series: " if count else "") + ", ".join(words[:_LISTED] + more)


def _warn(path: Path, left: Sequence[DicomSeries | str]) -> None:
    warnings.warn(f"{path}: left out {_listed(left)}", LiveactionWarning, 3)


def _unit(in_hu: bool) -> str:
    return "in HU" if in_hu else "in a unit of its own"


def _way(left: Sequence[DicomSeries | str], in_hu: bool) -> str:
    """How what is left out could be read."""
    series = [one for one in left if isinstance(one, DicomSeries)]
    if any(one.in_hu != in_hu for one in series):
        return f"take a recipe for {'MRI, such as mri_light' if in_hu else 'CT, such as ct_light'}"
    if series:
        place = series[0].slices[0].path.with_name(series[0].uid)
        return f"give the folder of its scan, or {str(place)!r} to take a localizer all the same"
    return "check what was copied there"
