"""Magnetic resonance volumes, and others in units of their own: NIfTI and DICOM series."""

from pathlib import Path

from liveaction.errors import FormatError, SpecError
from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.volume.dicom import check_dicom, read_dicom
from liveaction.modalities.volume.dicom_folder import find_volumes, select_series, volume_parts
from liveaction.modalities.volume.exhibits import one_window
from liveaction.modalities.volume.head_phantom import head_phantom
from liveaction.modalities.volume.modality import Volume
from liveaction.modalities.volume.nifti import check_nifti, is_nifti, read_nifti
from liveaction.modalities.volume.preview import draw_preview, percentile_look
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

_WANTED = "a NIfTI file (.nii, .nii.gz), a folder of DICOM slices that are not in HU, or a folder that holds such"


class MRI(Volume):
    """MRI volumes ``[1, X, Y, Z]``; X, Y, Z are the axes as stored, placed by the affine in the metadata.

    Values have no unit that two scanners share, so a recipe takes its range from percentiles of each volume. Metadata
    are those of CT volumes. A PET series has the unit that its header names, such as ``BQML``.

    Raises:
        SpecError: the recipe does not ask for three axes and one channel.
    """

    def __init__(self, spec: ModalitySpec) -> None:
        super().__init__(spec)
        if len(spec.axes) != 3 or spec.channels != 1:
            raise SpecError(
                f"[modality] mri: expected 3 axes and 1 channel, got axes {spec.axes!r} and channels {spec.channels}"
            )

    def find(self, path: Path) -> list[Path]:
        """Volumes under ``path``, see :func:`find_volumes`: NIfTI files and DICOM series that are not in HU."""
        return find_volumes(path, _WANTED, in_hu=False)

    def parts(self, path: Path) -> list[Path]:
        """The NIfTI file, or the slices of the DICOM series."""
        return volume_parts(path, in_hu=False) or super().parts(path)

    def check(self, path: Path) -> None:
        """Refuse by its header what cannot be read: NIfTI, or each slice of a DICOM series and their places."""
        super().check(path)
        if path.is_file() and is_nifti(path):
            check_nifti(path)
        elif (series := select_series(path, in_hu=False, warn=False)) is not None:
            check_dicom(series)

    def read(self, path: Path) -> Signal:
        """Read one volume, see :func:`read_nifti` and :func:`read_dicom` for dtypes and what is kept.

        Args:
            path: a NIfTI file, a folder that directly holds the slices of one DICOM series, or ``FOLDER/UID`` of one.

        Returns:
            ``[1, X, Y, Z]``, spacing in mm, ``dtype`` as on disk, float32 where a rescale makes DICOM values so.

        Raises:
            FormatError: not such a file or folder, damaged, not one volume, or infinity inside.
        """
        if path.is_file() and is_nifti(path):
            return self.signal_of(read_nifti(path), path)
        if (series := select_series(path, in_hu=False)) is not None:
            return self.signal_of(read_dicom(series), path)
        self.find(path)
        raise FormatError(f"{path}: expected {_WANTED}, got neither a file nor a folder")

    def synthetic(self, seed: int, extents: tuple[int, ...] | None = None) -> Signal:
        """A seeded head, int16 ``[1, 144, 168, 144]`` (:func:`head_phantom`)."""
        x, y, z = extents or (144, 168, 144)
        return self.as_signal(head_phantom(seed, (x, y, z)), seed)

    def preview(self, original: Signal | None, reconstruction: Signal, path: Path, title: str = "") -> None:
        """Draw three planes in one window, and the signed error where there is an original, as PNG.

        Args:
            original: ``[1, X, Y, Z]``, or None.
            reconstruction: the same shape.
            path: the PNG to write.
            title: a line above the picture.

        Raises:
            ShapeError: the two shapes differ.
        """
        look = percentile_look(reconstruction if original is None else original, "MRI")
        draw_preview(original, reconstruction, path, look, title)

    def exhibits(self, signal: Signal, like: Signal) -> list[Exhibit]:
        """Three planes in a window of percentiles of ``like``, see :func:`volume_exhibits`."""
        return one_window(signal, like, percentile_look(like, "MRI"))
