"""Series of volumes over time: 4-D NIfTI."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from liveaction.errors import ShapeError, SpecError
from liveaction.mapped import is_mapped
from liveaction.metrics import psnr_along
from liveaction.modalities.base import Modality
from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.options import Options, parse_options
from liveaction.modalities.volume.heart_phantom import heart_phantom
from liveaction.modalities.volume.nifti import (
    check_nifti_name,
    describe_affine,
    find_nifti,
    move_origin,
    read_nifti,
    write_nifti,
)
from liveaction.modalities.volume.series_exhibits import series_exhibits
from liveaction.modalities.volume.series_preview import draw_series
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec


class Series(Modality):
    """Series of volumes ``[1, T, X, Y, Z]``; the file's order is X, Y, Z, T.

    ``spacing`` is seconds between volumes (1 where the file has none), then mm. Metadata are those of volumes in NIfTI;
    the repetition time is in the header.

    Raises:
        SpecError: the recipe does not ask for four axes and one channel, or sets an option.
    """

    def __init__(self, spec: ModalitySpec) -> None:
        super().__init__(spec)
        if len(spec.axes) != 4 or spec.channels != 1:
            raise SpecError(
                f"[modality] series: expected 4 axes [t, x, y, z] and 1 channel, got axes {spec.axes!r} and channels "
                f"{spec.channels}"
            )
        parse_options(Options, spec.options)

    def find(self, path: Path) -> list[Path]:
        """NIfTI files under ``path``, sorted, see :func:`find_nifti`."""
        return find_nifti(path)

    def read(self, path: Path) -> Signal:
        """Read one series, see :func:`read_nifti` for dtypes and what is kept.

        Returns:
            ``[1, T, X, Y, Z]``, ``dtype`` as on disk.

        Raises:
            FormatError: not NIfTI, damaged, not a series of volumes, or NaN or infinity inside.
        """
        find_nifti(path)
        stored, dtype, metadata = read_nifti(path, axes=4)
        moved = np.moveaxis(stored, -1, 0)
        values = (moved if is_mapped(moved) else np.ascontiguousarray(moved))[np.newaxis]
        self.check_finite(values, path)
        spacing = (metadata["repetition_time"] or 1.0, *metadata["spacing"])
        return Signal(values, self.spec.axes, self.spec.unit, spacing, dtype, metadata)

    def write(self, signal: Signal, path: Path) -> None:
        """Write 4-D NIfTI with the source's affine, repetition time, dtype and header, see :func:`write_nifti`."""
        self.check_target(signal, path)
        if signal.values.ndim != 5:
            raise ShapeError(f"{path}: expected values [1, T, X, Y, Z], got {signal.values.shape}")
        self.check_finite(signal.values, path)
        x, y, z = signal.axes[1:]
        axes, spacing = (x, y, z, signal.axes[0]), (*signal.spacing[1:], signal.spacing[0])
        write_nifti(replace(signal, values=np.moveaxis(signal.values, 1, -1), axes=axes, spacing=spacing), path)

    def synthetic(self, seed: int, extents: tuple[int, ...] | None = None) -> Signal:
        """A seeded chest with a beating heart, int16 ``[1, 8, 48, 48, 32]`` (:func:`heart_phantom`)."""
        t, x, y, z = extents or (8, 48, 48, 32)
        phantom, seconds = heart_phantom(seed, (t, x, y, z))
        place = describe_affine(Path(f"phantom {seed}"), phantom.affine)
        metadata = {"source": "synthetic", "seed": seed, "values_dtype": "int16", "unit": "mm", **place}
        spacing = (seconds, *phantom.spacing)
        return Signal(phantom.values[np.newaxis], self.spec.axes, self.spec.unit, spacing, "int16", metadata)

    def check_target(self, signal: Signal, path: Path) -> list[Path]:
        """Refuse what is not NIfTI by its name."""
        check_nifti_name(path)
        return super().check_target(signal, path)

    def cropped(self, signal: Signal, box: tuple[tuple[int, int], ...], extents: tuple[int, ...]) -> Signal:
        """A region with the affine of its first voxel."""
        first = [low for low, _ in box[1:]]
        return replace(signal, metadata=move_origin(signal.metadata, first))

    def curves(self, original: Signal, reconstruction: Signal) -> dict[str, list[float]]:
        """``psnr_by_t``: of each volume, in dB on the original's range."""
        limits, values = self.range_of(original), (original.values, reconstruction.values)
        return {"psnr_by_t": psnr_along(*values, limits, 1, original.missing)}

    def pace(self, signal: Signal) -> tuple[float, str]:
        """Millions of voxels."""
        return signal.values.size / 1e6, "Mvoxel"

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
