"""What a file holds, told by its name and header without torch: which modality it is of, and why.

Names that several modalities read (``.npy``, ``.h5``, ``.zarr``) tell nothing. Of a folder the first item decides.
"""

import os
from pathlib import Path
from typing import NamedTuple

from liveaction.errors import FormatError
from liveaction.modalities.audio.read import CONTAINERS, channels_of
from liveaction.modalities.hyperspectral.envi import SUFFIXES, header_of, is_envi_header
from liveaction.modalities.image.files import READABLE
from liveaction.modalities.image.guess import guess_picture
from liveaction.modalities.video.read import READERS
from liveaction.modalities.volume.dicom_header import is_dicom
from liveaction.modalities.volume.guess import guess_nifti, guess_series, is_series
from liveaction.modalities.volume.nifti import is_nifti

_ARRAYS = (".npy", ".npz", ".h5", ".hdf5", ".zarr", ".zarr.zip")


class Guess(NamedTuple):
    """A modality's name, and what it was told by."""

    modality: str
    why: str


def guess_modality(path: Path) -> Guess | None:
    """The modality of a file, a DICOM series (also as ``FOLDER/UID``), or a folder; None where nobody can say.

    Raises:
        FormatError: no such path, a damaged header, or a folder whose items are of several modalities.
        OSError: it cannot be read.
    """
    if path.is_file():
        return _of_file(path)
    if path.is_dir():
        return _of_folder(path)
    if path.parent.is_dir() and (found := guess_series(path.parent, path.name)):
        return Guess(*found[0])
    raise FormatError(f"{path}: expected a file or a folder, got no such path; check the spelling")


def _of_file(path: Path) -> Guess | None:
    """By its name, then its header."""
    suffix = path.suffix.lower()
    found: tuple[str, str] | None = None
    if is_nifti(path):
        found = guess_nifti(path)
    elif suffix in CONTAINERS:
        count = channels_of(path)
        found = "music" if count <= 2 else "array_audio", f"{count} channel{'s' if count > 1 else ''} of sound"
    elif suffix in READABLE:
        found = guess_picture(path)
    elif suffix in READERS:
        found = "video", f"a clip, {suffix}"
    elif suffix == ".mat" or _is_cube(path):
        found = "hyperspectral", f"an image of many bands, {suffix}"
    elif not path.name.lower().endswith(_ARRAYS) and is_dicom(path):
        found = next(iter(guess_series(path.parent, path.name)), None)
    return None if found is None else Guess(*found)


def _of_folder(path: Path) -> Guess | None:
    """By its first item; all others must be alike."""
    if path.suffix.lower() == ".zarr":
        return None
    if (path / "clip.json").is_file():
        return Guess("video", "a folder of frames with a clip.json")
    first: Guess | None = None
    where = path
    for item in _items(path):
        try:
            found = _of_item(item, first is None)
        except (FormatError, OSError):  # its own work says so
            continue
        if first is None:
            first, where = found, item
        if first is None:
            return None
        if others := _differing(first, found):
            raise FormatError(
                f"{path}: expected items of one modality, got {first.modality} in {where.name!r} and {others} in "
                f"{item.name!r}; name a model with --model, which takes its own items alone"
            )
    if first is None:
        raise FormatError(f"{path}: expected a signal in the folder, got none of a known kind; pass --model DIR")
    return first._replace(why=f"{where.name!r}: {first.why}")


def _differing(first: Guess, found: Guess | None) -> str:
    """What another item is that is not of the first one's modality; empty where it is."""
    if found is None:
        return "what may be several"
    alike = found.modality == first.modality or (found.modality == "volume" and first.modality in ("ct", "mri"))
    return "" if alike else found.modality


def _of_item(item: Path, first: bool) -> Guess | None:
    """As one file; of DICOM slices in a folder those of all its series; of another volume than the first its axes."""
    if item.is_dir():
        found = guess_series(item)
        return Guess(*found[0]) if len(dict(found)) == 1 else None
    if is_nifti(item) and not first:
        return Guess("series" if is_series(item) else "volume", "its header")
    return _of_file(item)


def _items(path: Path) -> list[Path]:
    """Files that tell of a modality, or may be of several, and folders of DICOM slices in their stead; sorted."""
    found = []
    for place, folders, files in os.walk(path):
        here = [Path(place, name) for name in folders if not name.startswith(".")]
        found += [folder for folder in here if folder.suffix.lower() == ".zarr"]
        folders[:] = [folder.name for folder in here if folder.suffix.lower() != ".zarr"]
        named = [Path(place, name) for name in files if not name.startswith(".")]
        rest = [file for file in named if not _is_known(file)]
        found += [file for file in named if file not in rest]
        if any(is_dicom(file) for file in rest):
            found.append(Path(place))
    return sorted(found)


def _is_known(path: Path) -> bool:
    """Whether a file's name says that it is a signal."""
    suffix = path.suffix.lower()
    named = suffix in CONTAINERS or suffix in READABLE or suffix in READERS or suffix == ".mat"
    return named or is_nifti(path) or path.name.lower().endswith(_ARRAYS) or _is_cube(path)


def _is_cube(path: Path) -> bool:
    """Whether it is an ENVI header, or the raw file beside one."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    header = header_of(path)
    return header is not None and is_envi_header(header)
