"""What every modality does: a file format, a unit, a value range."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec


class Modality(ABC):
    """Files to signals, signals to [-1, 1], and back.

    A subclass is registered under the entry-point group ``liveaction.modalities``; the codec knows only these
    methods. ``spec`` is the recipe's ``modality`` table.
    """

    def __init__(self, spec: ModalitySpec) -> None:
        self.spec = spec

    @abstractmethod
    def find(self, path: Path) -> list[Path]:
        """Items under ``path`` that :meth:`read` takes, sorted: the file itself, or all that a folder holds.

        Raises:
            FormatError: nothing readable is there.
        """

    @abstractmethod
    def read(self, path: Path) -> Signal:
        """Read one item.

        Raises:
            FormatError: the file cannot be read, or holds values that the modality refuses (NaN, infinity).
        """

    @abstractmethod
    def write(self, signal: Signal, path: Path) -> None:
        """Write ``signal`` so that geometry, metadata and dtype equal its source's; atomic."""

    @abstractmethod
    def synthetic(self, seed: int) -> Signal:
        """A seeded phantom: equal seeds give equal signals on every machine."""

    @abstractmethod
    def preview(self, original: Signal | None, reconstruction: Signal, path: Path, title: str = "") -> None:
        """Draw a PNG to look at: original (where there is one), reconstruction and error."""

    def normalise(self, values: NDArray[Any]) -> torch.Tensor:
        """Map values in the unit onto [-1, 1], clipped to the recipe's range.

        Args:
            values: ``[C, *S]`` in the unit, any real dtype.

        Returns:
            float32 ``[C, *S]``.
        """
        low, high = self.spec.range
        x = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
        return x.clamp_(low, high).sub_(low).mul_(2.0 / (high - low)).sub_(1.0)

    def denormalise(self, x: torch.Tensor, dtype: str) -> NDArray[Any]:
        """Inverse of :meth:`normalise`, rounded and clipped to the native dtype.

        Args:
            x: float ``[C, *S]``, nominally in [-1, 1]; what lies outside is clipped.
            dtype: NumPy name of the dtype to return.
        """
        low, high = self.spec.range
        target = np.dtype(dtype)
        values = x.detach().to("cpu", torch.float32).clamp(-1.0, 1.0).add_(1.0).mul_((high - low) / 2.0).add_(low)
        if target.kind == "f":
            return values.numpy().astype(target)
        limits = np.iinfo(target)
        rounded: NDArray[Any] = np.clip(np.rint(values.numpy()), limits.min, limits.max).astype(target)
        return rounded

    def check_finite(self, values: NDArray[Any], path: Path) -> None:
        """Refuse NaN and infinity, naming how many there are and where the first one is."""
        if values.dtype.kind != "f":
            return
        bad = ~np.isfinite(values)
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            raise FormatError(
                f"{path}: expected finite values in {self.spec.unit}, got {int(bad.sum())} NaN or infinite, the first "
                f"at {first}; replace them in the source"
            )
