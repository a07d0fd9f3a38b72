"""Magnetic resonance volumes: NIfTI in arbitrary units."""

from pathlib import Path

import numpy as np

from liveaction.errors import ShapeError, SpecError
from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.options import Options, parse_options
from liveaction.modalities.volume.exhibits import one_window
from liveaction.modalities.volume.head_phantom import head_phantom
from liveaction.modalities.volume.modality import Volume
from liveaction.modalities.volume.nifti import find_nifti, read_nifti, write_nifti
from liveaction.modalities.volume.preview import draw_preview, percentile_look
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec


class MRI(Volume):
    """MRI volumes ``[1, X, Y, Z]``; X, Y, Z are the axes as stored, placed by the affine in the metadata.

    Values have no unit that two scanners share, so a recipe takes its range from percentiles of each volume. Metadata
    are those of CT volumes in NIfTI.

    Raises:
        SpecError: the recipe does not ask for three axes and one channel, or sets an option.
    """

    def __init__(self, spec: ModalitySpec) -> None:
        super().__init__(spec)
        if len(spec.axes) != 3 or spec.channels != 1:
            raise SpecError(
                f"[modality] mri: expected 3 axes and 1 channel, got axes {spec.axes!r} and channels {spec.channels}"
            )
        parse_options(Options, spec.options)

    def find(self, path: Path) -> list[Path]:
        """NIfTI files under ``path``, sorted, see :func:`find_nifti`."""
        return find_nifti(path)

    def read(self, path: Path) -> Signal:
        """Read one volume, see :func:`read_nifti` for dtypes and what is kept.

        Returns:
            ``[1, X, Y, Z]``, spacing in mm, ``dtype`` as on disk.

        Raises:
            FormatError: not NIfTI, damaged, not one volume, or NaN or infinity inside.
        """
        find_nifti(path)
        values, dtype, metadata = read_nifti(path)
        self.check_finite(values[np.newaxis], path)
        spacing = tuple(metadata["spacing"])
        return Signal(values[np.newaxis], self.spec.axes, self.spec.unit, spacing, dtype, metadata)

    def write(self, signal: Signal, path: Path) -> None:
        """Write NIfTI with the source's affine, codes, unit, dtype, slope and intercept, see :func:`write_nifti`."""
        self.check_target(signal, path)
        if signal.values.ndim != 4:
            raise ShapeError(f"{path}: expected values [1, X, Y, Z], got {signal.values.shape}")
        self.check_finite(signal.values, path)
        write_nifti(signal, path)

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
