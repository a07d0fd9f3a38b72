"""What volumes of any scanner have in common: CT and MRI."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from liveaction.metrics import psnr_along
from liveaction.modalities.base import Modality
from liveaction.modalities.volume.canvas import Phantom
from liveaction.modalities.volume.nifti import check_nifti_name, describe_affine, move_origin
from liveaction.signal import Signal


class Volume(Modality):
    """Volumes ``[1, X, Y, Z]``, placed by the affine in their metadata."""

    def as_signal(self, phantom: Phantom, seed: int) -> Signal:
        """A phantom, int16 ``[1, X, Y, Z]``, with the metadata that place it."""
        place = describe_affine(Path(f"phantom {seed}"), phantom.affine)
        metadata = {"source": "synthetic", "seed": seed, "values_dtype": "int16", "unit": "mm", **place}
        return Signal(phantom.values[np.newaxis], self.spec.axes, self.spec.unit, phantom.spacing, "int16", metadata)

    def check_target(self, signal: Signal, path: Path) -> list[Path]:
        """Refuse what is not NIfTI by its name."""
        check_nifti_name(path)
        return super().check_target(signal, path)

    def cropped(self, signal: Signal, box: tuple[tuple[int, int], ...], extents: tuple[int, ...]) -> Signal:
        """A region with the affine of its first voxel."""
        first = [low for low, _ in box]
        return replace(signal, metadata=move_origin(signal.metadata, first))

    def curves(self, original: Signal, reconstruction: Signal) -> dict[str, list[float]]:
        """``psnr_by_z``: of each slice of the last axis, in dB on the original's range."""
        limits, values = self.range_of(original), (original.values, reconstruction.values)
        return {"psnr_by_z": psnr_along(*values, limits, 3, original.missing)}

    def pace(self, signal: Signal) -> tuple[float, str]:
        """Millions of voxels."""
        return signal.values.size / 1e6, "Mvoxel"
