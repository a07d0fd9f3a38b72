"""Whether a volume is a CT, an MRI or a series: NIfTI by axes, the JSON beside it and values, DICOM by its tags."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from liveaction.errors import FormatError
from liveaction.files import read_small
from liveaction.modalities.volume.dicom_folder import survey
from liveaction.modalities.volume.nifti import SUFFIXES, reading
from liveaction.modalities.volume.nifti_header import Layout, read_layout
from liveaction.modalities.volume.nifti_samples import goes_below

AIR = -500
"""HU; integers below it are those of a CT, which has air around the body, or lungs."""

_KINDS = {"CT": "ct", "MR": "mri", "PT": "mri"}
_LONGEST_SIDECAR = 1 << 20


def guess_nifti(path: Path) -> tuple[str, str]:
    """``ct``, ``mri`` or ``series``, and what it was told by.

    Four axes are a series. The Modality that BIDS and dcm2niix put in ``NAME.json`` decides, else whether integers go
    below -500.

    Raises:
        FormatError: no readable NIfTI file.
    """
    layout = _layout(path)
    if layout is None:
        return "series", "NIfTI of four axes"
    tag = _sidecar(path).get("Modality")
    if tag in _KINDS:
        return _KINDS[tag], f"Modality {tag} in the JSON beside it"
    if layout.disk.kind not in "iu":
        return "mri", f"NIfTI of {layout.disk.name}, with no JSON beside it that says CT"
    with reading(path):
        low = goes_below(path, layout, AIR)
    return ("ct", f"integers below {AIR}") if low else ("mri", f"integers, none below {AIR}")


def is_series(path: Path) -> bool:
    """Whether a NIfTI file has four axes.

    Raises:
        FormatError: no readable NIfTI file.
    """
    return _layout(path) is None


def guess_series(folder: Path, name: str = "") -> list[tuple[str, str]]:
    """Of the DICOM series directly in a folder: ``ct`` where it is in HU, else ``mri``, and what it was told by.

    Args:
        folder: with the slices.
        name: of one of them, its UID or number, or of one of its files; all but localizers where empty.
    """
    every = [one for one in survey(folder).series if not one.is_localizer]
    named = [
        one
        for one in every
        if not name or name in (one.uid, str(one.number)) or name in {header.path.name for header in one.slices}
    ]
    return [("ct" if one.in_hu else "mri", f"DICOM Modality {one.modality}") for one in named]


def _layout(path: Path) -> Layout | None:
    """Of a volume; None of a series of them.

    Raises:
        FormatError: no readable NIfTI file.
    """
    with reading(path):
        try:
            return read_layout(path, 3)
        except FormatError:
            read_layout(path, 4)
            return None


def _sidecar(path: Path) -> dict[str, Any]:
    """The JSON beside a NIfTI file; nothing where there is none, or another thing."""
    stem = next(path.name[: -len(end)] for end in sorted(SUFFIXES, key=len)[::-1] if path.name.lower().endswith(end))
    with suppress(OSError, ValueError, RecursionError):
        data = json.loads(read_small(path.with_name(stem + ".json"), _LONGEST_SIDECAR))
        return data if isinstance(data, dict) else {}
    return {}
