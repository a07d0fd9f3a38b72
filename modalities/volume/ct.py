"""3-D CT: NIfTI volumes and DICOM series in HU."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, SpecError
from liveaction.mapped import parts
from liveaction.metrics import psnr_within
from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.ranges import extremes
from liveaction.modalities.volume.ct_phantom import ct_phantom
from liveaction.modalities.volume.dicom import check_dicom, read_dicom
from liveaction.modalities.volume.dicom_folder import find_volumes, select_series, volume_parts
from liveaction.modalities.volume.exhibits import volume_exhibits
from liveaction.modalities.volume.modality import Volume
from liveaction.modalities.volume.nifti import check_nifti, is_nifti, read_nifti
from liveaction.modalities.volume.preview import Look, draw_preview
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

_WANTED = "a NIfTI file (.nii, .nii.gz), a folder of DICOM slices, or a folder that holds such"
_WINDOWS = {"lung": (-1350.0, 150.0), "soft_tissue": (-160.0, 240.0), "bone": (-300.0, 1200.0)}
_LOOK = Look(
    name="CT",
    unit="HU",
    windows=(("soft tissue window, W 400 L 40", -160, 240), ("lung window, W 1500 L -600", -1350, 150)),
    body=-300,
    faint=1.0,
)

_IMPOSSIBLE = -1200  # HU; air is -1000
_OVERVIEW = "soft tissue and bone, -1000 to 1000 HU", -1000.0, 1000.0


class CT(Volume):
    """CT volumes ``[1, X, Y, Z]`` in HU; X, Y, Z are the axes as stored, placed by the affine in the metadata.

    Metadata are plain JSON: ``source``, ``affine`` (4x4, RAS+), ``spacing`` in mm, ``orientation``, ``values_dtype``,
    and for NIfTI the header itself. They are enough to write a decoded volume.

    Raises:
        SpecError: the recipe does not ask for three axes and one channel.
    """

    def __init__(self, spec: ModalitySpec) -> None:
        super().__init__(spec)
        if len(spec.axes) != 3 or spec.channels != 1:
            raise SpecError(
                f"[modality] ct: expected 3 axes and 1 channel, got axes {spec.axes!r} and channels {spec.channels}"
            )

    def find(self, path: Path) -> list[Path]:
        """Volumes under ``path``, see :func:`find_volumes`: NIfTI files and DICOM series in HU.

        Raises:
            FormatError: nothing is there, the folder is empty, or nothing in it is a volume.
        """
        return find_volumes(path, _WANTED, in_hu=True)

    def parts(self, path: Path) -> list[Path]:
        """The NIfTI file, or the slices of the DICOM series."""
        return volume_parts(path, in_hu=True) or super().parts(path)

    def check(self, path: Path) -> None:
        """Refuse by its header what cannot be read: NIfTI, or each slice of a DICOM series and their places."""
        super().check(path)
        if path.is_file() and is_nifti(path):
            check_nifti(path)
        elif (series := select_series(path, in_hu=True, warn=False)) is not None:
            check_dicom(series)

    def read(self, path: Path) -> Signal:
        """Read one volume, see :func:`read_nifti` and :func:`read_dicom` for dtypes and what is kept.

        Args:
            path: a NIfTI file, a folder that directly holds the slices of one DICOM series, or ``FOLDER/UID`` of one.

        Returns:
            ``[1, X, Y, Z]`` in HU, spacing in mm; ``dtype`` is the NIfTI file's, int16 for DICOM, or int32 where its
            padding needs it.

        Raises:
            FormatError: not such a file or folder, damaged, not one volume, or infinity inside.
        """
        if path.is_file() and is_nifti(path):
            return self.signal_of(read_nifti(path), path)
        if (series := select_series(path, in_hu=True)) is not None:
            return self.signal_of(read_dicom(series), path)
        self.find(path)
        raise FormatError(f"{path}: expected {_WANTED}, got neither a file nor a folder")

    def padding_of(self, values: NDArray[Any]) -> float | None:
        """What scanners and exporters put around the circle that was scanned: -2000, -3024, -32768.

        That is the least value where it lies below -1200 HU, which nothing that is scanned does but noise and streaks,
        where it is at least one in a thousand of all values, and nine in ten of those below -1200 HU.
        """
        least, _ = extremes(values)
        if not -np.inf < least < _IMPOSSIBLE:
            return None
        equal = below = 0
        for part in parts(values):
            equal += int(np.count_nonzero(values[part] == least))
            below += int(np.count_nonzero(values[part] < _IMPOSSIBLE))
        return float(least) if equal >= max(values.size / 1000, 0.9 * below) else None

    def synthetic(self, seed: int, extents: tuple[int, ...] | None = None) -> Signal:
        """A seeded phantom of chest and abdomen, int16 ``[1, 160, 160, 96]`` in HU (:func:`ct_phantom`)."""
        x, y, z = extents or (160, 160, 96)
        return self.as_signal(ct_phantom(seed, (x, y, z)), seed)

    def compare(self, original: Signal, reconstruction: Signal) -> dict[str, float]:
        """As of every modality, and PSNR as radiologists see a scan, both clipped to a window, peak its width.

        Returns:
            also, in dB, ``psnr_lung`` (centre -600, width 1500 HU), ``psnr_soft_tissue`` (40, 400) and ``psnr_bone``
            (450, 1500).
        """
        report = super().compare(original, reconstruction)
        seen = psnr_within(original.values, reconstruction.values, list(_WINDOWS.values()), original.missing)
        return report | {f"psnr_{name}": value for name, value in zip(_WINDOWS, seen, strict=True)}

    def preview(self, original: Signal | None, reconstruction: Signal, path: Path, title: str = "") -> None:
        """Draw three planes in two windows, and the signed error where there is an original, as PNG.

        Args:
            original: ``[1, X, Y, Z]`` in HU, or None.
            reconstruction: the same shape.
            path: the PNG to write.
            title: a line above the picture.

        Raises:
            ShapeError: the two shapes differ.
        """
        draw_preview(original, reconstruction, path, _LOOK, title)

    def exhibits(self, signal: Signal, like: Signal) -> list[Exhibit]:
        """The axial plane in two windows, the coronal and the sagittal one, see :func:`volume_exhibits`."""
        return volume_exhibits(signal, like, _LOOK, _OVERVIEW)
