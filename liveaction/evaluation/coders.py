"""What is measured: a model at its quantiser steps, or a baseline along its ladder, both from a signal to bytes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from liveaction.codec.clock import Stopwatch, Timings, timings
from liveaction.codec.model import load
from liveaction.codec.quality import check_step
from liveaction.codec.stream import compress, decompress
from liveaction.codec.summary import summarise
from liveaction.codec.writing import choose_coder
from liveaction.evaluation.baselines.base import Array, Baseline
from liveaction.evaluation.item import Source
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality


class Coder(ABC):
    """One codec with the settings that it is measured at; fields as those of an item.

    ``only`` are labels of the signals that it codes; None for all.
    """

    curve: str
    codec: str
    kind: Literal["model", "baseline"]
    setting: str
    values: tuple[float, ...]
    seed: int | None = None
    weights: str | None = None
    recipe: str | None = None
    library: str | None = None
    device: str = "cpu"
    dtype: str = "float32"
    modality: "Modality"
    only: frozenset[str] | None = None

    def refuses(self, signal: Signal, source: Source) -> str | None:
        """Why it cannot code the signal; None where it can."""
        return None

    @abstractmethod
    def encode(self, signal: Signal, source: Source, value: float) -> tuple[bytes, Timings]:
        """Bytes that stand for the signal, and what they took."""

    @abstractmethod
    def decode(self, data: bytes, original: Signal, source: Source) -> tuple[Signal, Timings]:
        """The reconstruction in the native dtype; of ``original`` only what is not coded is taken: metadata, dtype."""

    def macs(self, shape: tuple[int, ...]) -> dict[str, float] | None:
        """Multiply-accumulates per element of a signal ``[C, *S]``, there and back; None where nobody counts."""
        return None


class ModelCoder(Coder):
    """A model directory.

    Args:
        folder: of the model.
        curve, codec: names; ``seed`` of its training.
        factors: multiples of the trained quantiser step.
        device, dtype: as for ``liveaction.load``.
        coder: of symbols, as :class:`~liveaction.codec.writing.CompressOptions` says.
    """

    kind = "model"
    setting = "quantiser step"

    def __init__(
        self,
        folder: Path,
        curve: str,
        codec: str,
        factors: Sequence[float],
        seed: int | None = None,
        device: str = "cpu",
        dtype: str = "",
        coder: str | None = None,
    ) -> None:
        self._model = load(folder, device=device, dtype=dtype)
        self.curve, self.codec, self.seed = curve, codec, seed
        self.device, self.dtype = device, str(self._model.codec.compute_dtype).removeprefix("torch.")
        self.values = tuple(self._model.codec.quantizer.step * factor for factor in factors)
        for value, factor in zip(self.values, factors, strict=True):
            check_step(value, f"--factors: {factor:g} times the step that {folder} was trained with")
        self.recipe = self._model.recipe.name
        self.coder = choose_coder(self._model.codec, coder, False)
        self.weights = f"{self._model.digest}+{self._model.codec.coding_digest(self.coder)}"
        self.modality = self._model.modality

    def encode(self, signal: Signal, source: Source, value: float) -> tuple[bytes, Timings]:
        """A stream."""
        return compress(signal, self._model, step=value, coder=self.coder)

    def decode(self, data: bytes, original: Signal, source: Source) -> tuple[Signal, Timings]:
        """From the stream alone."""
        return decompress(data, self._model)

    def macs(self, shape: tuple[int, ...]) -> dict[str, float]:
        """Learned parts, wavelets and a signal's own basis; what padding adds is counted."""
        sizes = summarise(self._model.recipe, shape[1:], shape[0])
        more = np.prod(sizes.padded) / np.prod(sizes.shape)
        return {
            "encode": float((sizes.encoder_macs + sizes.wavelet_macs + sizes.basis_macs) * more),
            "decode": float((sizes.decoder_macs + sizes.wavelet_macs + sizes.basis_macs) * more),
        }


class BaselineCoder(Coder):
    """A baseline; the signal is clipped to its range first, missing values are filled in, as for our codecs."""

    kind = "baseline"
    _prepared: ClassVar[tuple[Signal, Array] | None] = None  # of all baselines, so that a large signal is there once

    def __init__(
        self,
        baseline: Baseline,
        modality: "Modality",
        values: Sequence[float] | None = None,
        only: frozenset[str] | None = None,
    ) -> None:
        self.baseline, self.modality, self.only = baseline, modality, only
        self.curve = self.codec = baseline.name
        self.setting, self.library = baseline.setting, baseline.library
        self.values = tuple(baseline.ladder if values is None else values)

    def _array(self, signal: Signal, source: Source) -> Array:
        """The signal as baselines take it, prepared once for all of them."""
        known = BaselineCoder._prepared
        if known is None or known[0] is not signal or known[1].limits != source.limits:
            known = BaselineCoder._prepared = signal, _array(signal, source)
        return known[1]

    def refuses(self, signal: Signal, source: Source) -> str | None:
        """As the baseline says."""
        return self.baseline.refuses(self._array(signal, source))

    def encode(self, signal: Signal, source: Source, value: float) -> tuple[bytes, Timings]:
        """Clipping and filling in are not timed: they are no part of the codec."""
        array = self._array(signal, source)
        whole = Stopwatch()
        with whole.running():
            data = self.baseline.encode(array, value)
        return data, timings(whole, Stopwatch())

    def decode(self, data: bytes, original: Signal, source: Source) -> tuple[Signal, Timings]:
        """From the bytes alone; rounding to the native dtype is not timed."""
        whole = Stopwatch()
        with whole.running():
            values = self.baseline.decode(data)
        return _finished(values, original, source), timings(whole, Stopwatch())


def _array(signal: Signal, source: Source) -> Array:
    filled = signal.filled()
    values = np.clip(filled, *(np.asarray(limit, filled.dtype) for limit in _native_limits(source, filled.dtype)))
    rate = 1 / signal.spacing[0] if signal.axes == ("t",) else None
    return Array(values, signal.axes, source.limits, rate)


def _finished(values: NDArray[Any], original: Signal, source: Source) -> Signal:
    """Clipped and rounded to the native dtype; what was missing is missing again."""
    dtype = np.dtype(original.values.dtype)
    if dtype.kind in "iu":
        values = np.rint(values)
    finished = np.clip(values, *_native_limits(source, dtype)).astype(dtype)
    if original.missing is not None:
        finished[original.missing] = original.values[original.missing]
    return replace(original, values=finished)


def _native_limits(source: Source, dtype: np.dtype[Any]) -> tuple[float, float]:
    """The range as far as the dtype goes: of integers the outermost ones within it."""
    low, high = source.limits
    if dtype.kind not in "iu":
        return low, high
    info = np.iinfo(dtype)
    return max(np.ceil(low), info.min), min(np.floor(high), info.max)


@dataclass(frozen=True)
class Refusal:
    """A codec that could not be measured on a signal, and why."""

    codec: str
    source: str
    reason: str
    failed: bool
