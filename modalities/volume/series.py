"""Series of volumes over time: 4-D NIfTI."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import ShapeError
from liveaction.mapped import is_mapped
from liveaction.metrics import psnr_along
from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.volume.heart_phantom import heart_phantom
from liveaction.modalities.volume.modality import Volume
from liveaction.modalities.volume.nifti import check_nifti, describe_affine, find_nifti, read_nifti
from liveaction.modalities.volume.nifti_header import move_time
from liveaction.modalities.volume.series_exhibits import series_exhibits
from liveaction.modalities.volume.series_preview import draw_series
from liveaction.signal import Signal


class Series(Volume):
    """Series of volumes ``[1, T, X, Y, Z]``; the file's order is X, Y, Z, T.

    ``spacing`` is seconds between volumes (1 where the file has none), then mm. Metadata are those of volumes in NIfTI;
    the repetition time is in the header.

    Raises:
        SpecError: the recipe does not ask for four axes and one channel.
    """

    rank = 4
    layout = "4 axes [t, x, y, z]"

    def find(self, path: Path) -> list[Path]:
        """NIfTI files under ``path``, sorted, see :func:`find_nifti`."""
        return find_nifti(path)

    def check(self, path: Path) -> None:
        """Refuse by its header what cannot be read."""
        super().check(path)
        check_nifti(path, axes=4)

    def read(self, path: Path) -> Signal:
        """Read one series, see :func:`read_nifti` for dtypes and what is kept.

        Returns:
            ``[1, T, X, Y, Z]``, ``dtype`` as on disk.

        Raises:
            FormatError: not NIfTI, damaged, not a series of volumes, or infinity inside.
        """
        find_nifti(path)
        return self.signal_of(read_nifti(path, axes=4), path)

    def _laid_out(self, array: NDArray[Any]) -> NDArray[Any]:
        moved = np.moveaxis(array, -1, 0)
        return (moved if is_mapped(moved) else np.ascontiguousarray(moved))[np.newaxis]

    def _spacing(self, metadata: dict[str, Any]) -> tuple[float, ...]:
        return (metadata["repetition_time"] or 1.0, *metadata["spacing"])

    def write(self, signal: Signal, path: Path) -> None:
        """Write 4-D NIfTI with the source's affine, repetition time, dtype and header, see :func:`write_nifti`."""
        if signal.values.ndim != 5:
            raise ShapeError(f"{path}: expected values [1, T, X, Y, Z], got {signal.values.shape}")
        x, y, z = signal.axes[1:]
        axes, spacing = (x, y, z, signal.axes[0]), (*signal.spacing[1:], signal.spacing[0])
        values, missing = (
            None if array is None else np.moveaxis(array, 1, -1) for array in (signal.values, signal.missing)
        )
        assert values is not None
        super().write(replace(signal, values=values, missing=missing, axes=axes, spacing=spacing), path)

    def synthetic(self, seed: int, extents: tuple[int, ...] | None = None) -> Signal:
        """A seeded chest with a beating heart, int16 ``[1, 8, 48, 48, 32]`` (:func:`heart_phantom`)."""
        t, x, y, z = extents or (8, 48, 48, 32)
        phantom, seconds = heart_phantom(seed, (t, x, y, z))
        place = describe_affine(Path(f"phantom {seed}"), phantom.affine)
        metadata = {"source": "synthetic", "seed": seed, "values_dtype": "int16", "unit": "mm", **place}
        spacing = (seconds, *phantom.spacing)
        return Signal(phantom.values[np.newaxis], self.spec.axes, self.spec.unit, spacing, "int16", metadata)

    def cropped(self, signal: Signal, box: tuple[tuple[int, int], ...], extents: tuple[int, ...]) -> Signal:
        """A region with the affine of its first voxel, and the time of its first volume."""
        part = super().cropped(signal, box, extents)
        return replace(part, metadata=move_time(part.metadata, box[0][0]))

    def curves(self, original: Signal, reconstruction: Signal) -> dict[str, list[float]]:
        """``psnr_by_t``: of each volume, in dB on the original's range."""
        limits, values = self.range_of(original), (original.values, reconstruction.values)
        return {"psnr_by_t": psnr_along(*values, limits, 1, original.missing)}

    def preview(self, original: Signal | None, reconstruction: Signal, path: Path, title: str = "") -> None:
        """Draw the middle volume in three planes, its error, and a few voxels over time, as PNG.

        Args:
            original: ``[1, T, X, Y, Z]``, or None.
            reconstruction: the same shape.
            path: the PNG to write.
            title: a line above the picture.

        Raises:
            ShapeError: the two shapes differ.
        """
        draw_series(original, reconstruction, path, title)

    def exhibits(self, signal: Signal, like: Signal) -> list[Exhibit]:
        """Three planes of the middle volume, and a line of voxels over time, see :func:`series_exhibits`."""
        return series_exhibits(signal, like)
