"""A whole array in its unit, with what is needed to write it back."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import ShapeError


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
    """

    values: NDArray[Any]
    axes: tuple[str, ...]
    unit: str
    spacing: tuple[float, ...]
    dtype: str
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.values.ndim != len(self.axes) + 1:
            raise ShapeError(
                f"signal: expected values [C, *S] with one extent per axis {self.axes!r}, got {self.values.shape}"
            )
        if len(self.spacing) != len(self.axes):
            raise ShapeError(f"signal: expected one spacing per axis {self.axes!r}, got {self.spacing!r}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the transformed axes, without the channels."""
        return self.values.shape[1:]

    @property
    def native_bits(self) -> int:
        """Bits that the values take in the source's dtype."""
        return int(self.values.size) * np.dtype(self.dtype).itemsize * 8
