"""Magnetic resonance volumes, and others in units of their own: NIfTI and DICOM series."""

from pathlib import Path

from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.volume.exhibits import one_window
from liveaction.modalities.volume.head_phantom import head_phantom
from liveaction.modalities.volume.preview import draw_preview, percentile_look
from liveaction.modalities.volume.scan import Scan
from liveaction.signal import Signal


class MRI(Scan):
    """MRI volumes ``[1, X, Y, Z]``; X, Y, Z are the axes as stored, placed by the affine in the metadata.

    Values have no unit that two scanners share, so a recipe takes its range from percentiles of each volume. Metadata
    are those of CT volumes. A PET series has the unit that its header names, such as ``BQML``.

    Raises:
        SpecError: the recipe does not ask for three axes and one channel.
    """

    in_hu = False
    wanted = "a NIfTI file (.nii, .nii.gz), a folder of DICOM slices that are not in HU, or a folder that holds such"

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
