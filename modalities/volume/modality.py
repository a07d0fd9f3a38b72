"""What volumes and series of them have in common: CT, MRI, series."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionWarning, ShapeError, SpecError
from liveaction.metrics import psnr_along
from liveaction.modalities.base import Modality
from liveaction.modalities.no_data import find_value
from liveaction.modalities.options import NoDataOptions, parse_options
from liveaction.modalities.volume.canvas import Phantom
from liveaction.modalities.volume.nifti import check_nifti_name, describe_affine, move_origin, scale_places, write_nifti
from liveaction.modalities.volume.nifti_header import strip_metadata
from liveaction.modalities.volume.volume_file import VolumeFile
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

_ELSEWHERE = 0.1  # of a voxel, by which the places of an original and a reconstruction may differ
_WRITTEN = 1e-3  # of a step between stored integers, by which a value named in decimals may be off


class Volume(Modality):
    """Volumes ``[1, X, Y, Z]``, placed by the affine in their metadata.

    ``options.no_data`` names a value that stands where nothing was measured; NaN always does.

    Attributes:
        rank: how many axes there are.
        layout: the same, in words.

    Raises:
        SpecError: the recipe does not ask for these axes and one channel, or an unknown option.
    """

    rank: ClassVar[int] = 3
    layout: ClassVar[str] = "3 axes"

    def __init__(self, spec: ModalitySpec) -> None:
        super().__init__(spec)
        if len(spec.axes) != self.rank or spec.channels != 1:
            raise SpecError(
                f"[modality] {spec.name}: expected {self.layout} and 1 channel, got axes {spec.axes!r} and channels "
                f"{spec.channels}"
            )
        self.options = parse_options(NoDataOptions, spec.options)

    def signal_of(self, found: VolumeFile, path: Path) -> Signal:
        """The signal of what a reader found, with what is missing; metadata may name ``value_unit`` and ``bits``.

        Raises:
            FormatError: infinity, or NaN where it is not missing; two values that both stand for no data.
        """
        missing, no_data = self._missing(found, path)
        values, lost = (None if array is None else self._laid_out(array) for array in (found.values, missing))
        assert values is not None
        self.check_finite(values, path, lost)
        about = found.metadata
        unit, bits = about.get("value_unit", self.spec.unit), about.get("bits", 0)
        return Signal(values, self.spec.axes, unit, self._spacing(about), found.dtype, about, bits, lost, no_data)

    def padding_of(self, values: NDArray[Any]) -> float | None:
        """A value that can only be padding around what was scanned; None where no value is."""
        return None

    def _missing(self, found: VolumeFile, path: Path) -> tuple[NDArray[np.bool_] | None, float]:
        """What the reader found missing, else what the recipe names, else padding; and what stands there."""
        named = self.options.no_data
        wanted = self.padding_of(found.values) if named is None else named
        known = found.missing is not None and named is None
        if wanted is None or (known and wanted != found.no_data):
            return found.missing, found.no_data
        no_data = _as_read(float(wanted), found)
        marked = find_value(found.values, no_data, path)
        if found.missing is None or known:  # padding that a header names in some slices alone
            return marked, no_data
        if marked is not None and not found.missing[marked].all():
            raise FormatError(
                f"{path}: expected either {found.no_data:g} or modality.options.no_data {no_data:g} where nothing was "
                "measured, got both; replace one of them"
            )
        return found.missing, found.no_data

    def _laid_out(self, array: NDArray[Any]) -> NDArray[Any]:
        """``[X, Y, Z]`` as read to ``[C, *S]``."""
        return array[np.newaxis]

    def _spacing(self, metadata: dict[str, Any]) -> tuple[float, ...]:
        return tuple(metadata["spacing"])

    def write(self, signal: Signal, path: Path) -> None:
        """Write NIfTI whose affines, codes, unit, dtype, slope and intercept equal the source's; atomic.

        Values of any real dtype are taken, rounded and clipped to what the on-disk dtype holds. Missing ones are
        written as ``no_data`` exactly; a measured value that would read as such moves by the least step there is.

        Args:
            signal: ``[1, X, Y, Z]``, of a series ``[1, T, X, Y, Z]``, with the metadata of :meth:`read` or
                :meth:`synthetic`.
            path: ends in ``.nii`` or ``.nii.gz``.

        Raises:
            FormatError: another suffix, no such folder, NaN or infinity that is not missing, or metadata that describe
                no volume.
            ShapeError: other axes.
        """
        self.check_target(signal, path)
        if signal.values.ndim != len(self.spec.axes) + 1:
            raise ShapeError(f"{path}: expected values [1, X, Y, Z], got {signal.values.shape}")
        self.check_finite(signal.values, path, signal.missing)
        named = self.options.no_data
        write_nifti(signal, path, None if named in (None, "nan") else float(named))

    def stripped(self, signal: Signal) -> Signal:
        """The signal with affine, spacing, unit, dtype and scaling alone, and a NIfTI header that says no more."""
        return replace(signal, metadata=strip_metadata(signal.metadata))

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
        first = [low for low, _ in box[-3:]]
        return replace(signal, metadata=move_origin(signal.metadata, first))

    def scaled(self, signal: Signal, factors: tuple[int, ...], origin: tuple[float, ...]) -> Signal:
        """Fewer voxels, with the affine and the spacing of those."""
        signal = super().scaled(signal, factors, origin)
        return replace(signal, metadata=scale_places(signal.metadata, factors[-3:], origin[-3:]))

    def compare(self, original: Signal, reconstruction: Signal) -> dict[str, float]:
        """As of every modality; warns where the two lie at different places, as flipped or cropped copies do."""
        report = super().compare(original, reconstruction)
        ours, theirs = (np.array(signal.metadata.get("affine")) for signal in (original, reconstruction))
        if ours.shape == theirs.shape == (4, 4):
            extents = np.array(original.shape[-3:]) - 1
            ends = np.vstack([np.column_stack([np.zeros(3), np.diag(extents)]), np.ones(4)])
            off = float(np.abs((ours - theirs) @ ends).max())
            if off > _ELSEWHERE * np.linalg.norm(theirs[:3, :3], axis=0).min():
                said = f"--against: the original lies elsewhere, by up to {off:.4g} {_unit(original)}"
                warnings.warn(
                    f"{said}; its axes may be flipped, or it is another file", LiveactionWarning, stacklevel=2
                )
        return report

    def curves(self, original: Signal, reconstruction: Signal) -> dict[str, list[float]]:
        """``psnr_by_z``: of each slice of the last axis, in dB on the original's range."""
        limits, values = self.range_of(original), (original.values, reconstruction.values)
        return {"psnr_by_z": psnr_along(*values, limits, 3, original.missing)}

    def pace(self, signal: Signal) -> tuple[float, str]:
        """Millions of voxels."""
        return signal.values.size / 1e6, "Mvoxel"


def _as_read(no_data: float, found: VolumeFile) -> float:
    """What a value that people write in decimals reads as where integers on disk are scaled."""
    if found.values.dtype.kind != "f" or np.dtype(found.dtype).kind == "f":
        return no_data
    slope, inter = found.scaling
    near = np.rint((no_data - inter) / slope) * slope + inter
    return float(found.values.dtype.type(near)) if abs(near - no_data) <= _WRITTEN * abs(slope) else no_data


def _unit(signal: Signal) -> str:
    """Of the affine; NIfTI may leave it unknown."""
    unit: str = signal.metadata.get("unit", "mm")
    return "mm" if unit == "unknown" else unit
