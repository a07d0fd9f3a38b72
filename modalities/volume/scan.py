"""Volumes that come as NIfTI files or as DICOM series: CT, MRI."""

from pathlib import Path
from typing import ClassVar

from liveaction.errors import FormatError
from liveaction.modalities.volume.dicom import check_dicom, read_dicom
from liveaction.modalities.volume.dicom_folder import find_volumes, select_series, volume_parts
from liveaction.modalities.volume.modality import Volume
from liveaction.modalities.volume.nifti import check_nifti, is_nifti, read_nifti
from liveaction.signal import Signal


class Scan(Volume):
    """Volumes ``[1, X, Y, Z]``, in HU or in a unit of their own.

    Attributes:
        in_hu: which DICOM series are taken.
        wanted: what is looked for, in words.

    Raises:
        SpecError: the recipe does not ask for three axes and one channel.
    """

    in_hu: ClassVar[bool]
    wanted: ClassVar[str]

    def find(self, path: Path) -> list[Path]:
        """Volumes under ``path``, see :func:`find_volumes`: NIfTI files and DICOM series.

        Raises:
            FormatError: nothing is there, the folder is empty, or nothing in it is a volume.
        """
        return find_volumes(path, self.wanted, self.in_hu)

    def parts(self, path: Path) -> list[Path]:
        """The NIfTI file, or the slices of the DICOM series."""
        return volume_parts(path, self.in_hu) or super().parts(path)

    def check(self, path: Path) -> None:
        """Refuse by its header what cannot be read: NIfTI, or each slice of a DICOM series and their places."""
        super().check(path)
        if path.is_file() and is_nifti(path):
            check_nifti(path)
        elif (series := select_series(path, self.in_hu, warn=False)) is not None:
            check_dicom(series)

    def read(self, path: Path) -> Signal:
        """Read one volume, see :func:`read_nifti` and :func:`read_dicom` for dtypes and what is kept.

        Args:
            path: a NIfTI file, a folder that directly holds the slices of one DICOM series, or ``FOLDER/UID`` of one.

        Returns:
            ``[1, X, Y, Z]``, spacing in mm; ``dtype`` is the NIfTI file's; of DICOM in HU int16, or int32 where its
            padding needs it, of other units what holds the rescaled values.

        Raises:
            FormatError: not such a file or folder, damaged, not one volume, or infinity inside.
        """
        if path.is_file() and is_nifti(path):
            return self.signal_of(read_nifti(path), path)
        if (series := select_series(path, self.in_hu)) is not None:
            return self.signal_of(read_dicom(series), path)
        self.find(path)
        raise FormatError(f"{path}: expected {self.wanted}, got neither a file nor a folder")
