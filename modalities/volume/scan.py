"""Volumes that come as NIfTI files or as DICOM series: CT, MRI."""

from pathlib import Path
from typing import ClassVar

from liveaction.errors import FormatError
from liveaction.modalities.volume.dicom import check_dicom, read_dicom
from liveaction.modalities.volume.dicom_derived import Origin
from liveaction.modalities.volume.dicom_folder import DicomSeries, find_volumes, select_series, volume_parts
from liveaction.modalities.volume.dicom_write import DerivedSeries, check_template, write_dicom
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

    def check_series(self, signal: Signal, target: Path | str, template: Path | str) -> None:
        """Refuse, before a signal is decoded, what :meth:`write_series` would refuse for its shape and place.

        Args:
            signal: its values may be nothing but a shape.
            target, template: as for :meth:`write_series`.

        Raises:
            FormatError, SpecError, WriteError: as :meth:`write_series`.
        """
        check_template(signal, Path(target), self._template(Path(template)))

    def write_series(self, signal: Signal, target: Path | str, template: Path | str, origin: Origin) -> DerivedSeries:
        """Write a decoded volume as a derived DICOM series like the one that was compressed, see :func:`write_dicom`.

        Args:
            signal: ``[1, X, Y, Z]``.
            target: the folder to write; one that holds a derived series alone is replaced.
            template: the folder of the original series, or ``FOLDER/UID`` or ``FOLDER/NUMBER`` of one in it; it is
                read, and never written to.
            origin: the stream it was decoded from, as ``Origin.of(liveaction.read_info(path))`` says it.

        Raises:
            FormatError: the template is no such series, of other extents, spacing, orientation or place, or not what a
                lossless stream was made from; ``target`` holds something else; NaN or infinity that is not missing.
            SpecError: ``target`` is the template, lies in it, or holds it.
            WriteError: ``target`` cannot be written.
        """
        self.check_finite(signal.values, Path(target), signal.missing)
        return write_dicom(signal, Path(target), self._template(Path(template)), origin)

    def _template(self, path: Path) -> DicomSeries:
        series = select_series(path, self.in_hu, warn=False)
        if series is None:
            got = f"no such path as {str(path)!r}" if not path.exists() else f"a file, {str(path)!r}"
            raise FormatError(f"{path}: expected the folder of a DICOM series, got {got}; give the one it came from")
        return series
