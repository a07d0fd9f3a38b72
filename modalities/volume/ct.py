"""3-D CT: NIfTI volumes and DICOM series in HU."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.mapped import parts
from liveaction.metrics import psnr_within
from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.ranges import extremes
from liveaction.modalities.volume.ct_phantom import ct_phantom
from liveaction.modalities.volume.exhibits import volume_exhibits
from liveaction.modalities.volume.preview import Look, draw_preview
from liveaction.modalities.volume.scan import Scan
from liveaction.signal import Signal

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


class CT(Scan):
    """CT volumes ``[1, X, Y, Z]`` in HU; X, Y, Z are the axes as stored, placed by the affine in the metadata.

    Metadata are plain JSON: ``source``, ``affine`` (4x4, RAS+), ``spacing`` in mm, ``orientation``, ``values_dtype``,
    and for NIfTI the header itself. They are enough to write a decoded volume.

    Raises:
        SpecError: the recipe does not ask for three axes and one channel.
    """

    in_hu = True
    wanted = "a NIfTI file (.nii, .nii.gz), a folder of DICOM slices, or a folder that holds such"

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
