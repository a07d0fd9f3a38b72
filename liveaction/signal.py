"""A whole array in its unit, with what is needed to write it back."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import ShapeError
from liveaction.mapped import converted, parts


@dataclass(frozen=True)
class Signal:
    """A signal as its file holds it.

    Attributes:
        values: ``[C, *S]``, channels first, native dtype, in ``unit``.
        axes: one name per transformed axis, ``len(axes) == values.ndim - 1``.
        unit: unit of the values (``"HU"``).
        spacing: distance between samples per axis, in the axis' own unit (mm for CT).
        dtype: NumPy name of the dtype in the source file; ratios are stated on its width.
        metadata: JSON data that the modality needs to write the file back (affine, header, ...).
        bits: significant bits of a value in the source where they are not the width of ``dtype``; 0 where they are.
        missing: bool ``[C, *S]``, where there is no measurement, or None. These entries count in no loss and no metric
            and come back exactly.
        no_data: what stands where values are missing; may be NaN.

    Example:
        >>> values = np.zeros((1, 4, 6), np.int16)
        >>> signal = Signal(values, axes=("y", "x"), unit="HU", spacing=(0.5, 0.5), dtype="int16")
        >>> signal.shape, signal.native_bits
        ((4, 6), 384)
    """

    values: NDArray[Any]
    axes: tuple[str, ...]
    unit: str
    spacing: tuple[float, ...]
    dtype: str
    metadata: dict[str, Any] = field(default_factory=dict)
    bits: int = 0
    missing: NDArray[np.bool_] | None = None
    no_data: float = 0.0

    def __post_init__(self) -> None:
        if self.values.ndim != len(self.axes) + 1:
            raise ShapeError(
                f"signal: expected values [C, *S] with one extent per axis {self.axes!r}, got {self.values.shape}"
            )
        if len(self.spacing) != len(self.axes):
            raise ShapeError(f"signal: expected one spacing per axis {self.axes!r}, got {self.spacing!r}")
        if self.missing is not None and self.missing.shape != self.values.shape:
            raise ShapeError(
                f"signal: expected missing of shape {self.values.shape}, as the values, got {self.missing.shape}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the transformed axes, without the channels."""
        return self.values.shape[1:]

    @property
    def native_bits(self) -> int:
        """Bits that the values take in the source's dtype."""
        return int(self.values.size) * (self.bits or np.dtype(self.dtype).itemsize * 8)

    def crop(self, *slices: slice) -> "Signal":
        """The part that one slice per axis names; metadata stay those of the whole."""
        part = (slice(None), *slices)
        missing = None if self.missing is None else self.missing[part]
        return replace(self, values=self.values[part], missing=missing)

    def filled(self) -> NDArray[Any]:
        """The values, with what is missing taken from the nearest measurement along the first axis that has one.

        So a bad band looks like its neighbours, and a border without data like the border; where nothing at all was
        measured it is 0. The codec then spends little on it.
        """
        if self.missing is None or not self.missing.any():
            return self.values
        values, missing = converted(self.values, self.values.dtype.newbyteorder("=")), self.missing.copy()
        for axis in range(1, values.ndim):
            for box in parts(values, whole=axis):
                _fill_along(values[box], missing[box], axis)
        for box in parts(values):
            values[box][missing[box]] = 0
        return values


def _fill_along(values: NDArray[Any], missing: NDArray[np.bool_], axis: int) -> None:
    """Fill from the nearest entry along ``axis`` that is there, the one before where two are as near; in place."""
    n = values.shape[axis]
    rows, gone = (np.moveaxis(array, axis, -1).reshape(-1, n) for array in (values, missing))  # copies, or views
    patterns, which = np.unique(np.packbits(gone, axis=1), axis=0, return_inverse=True)
    place = np.arange(n)
    for number, packed in enumerate(patterns):
        lost = np.unpackbits(packed, count=n).astype(bool)
        there = np.flatnonzero(~lost)
        if not lost.any() or len(there) == 0:
            continue
        behind = np.searchsorted(there, place).clip(0, len(there) - 1)
        before = np.where(there[behind] > place, behind - 1, behind).clip(0)
        nearest = there[np.where(np.abs(place - there[before]) <= np.abs(there[behind] - place), before, behind)]
        alike = np.flatnonzero(which.reshape(-1) == number)
        rows[np.ix_(alike, place[lost])] = rows[np.ix_(alike, nearest[lost])]
        gone[alike] = False
    shape = np.moveaxis(values, axis, -1).shape
    np.moveaxis(values, axis, -1)[...] = rows.reshape(shape)
    np.moveaxis(missing, axis, -1)[...] = gone.reshape(shape)
