"""What items become in a store: symbols of a model's streams, or samples, as they are or fewer of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from liveaction.archive.item import digest_of
from liveaction.codec.model import Model
from liveaction.codec.stream import open_reader
from liveaction.codec.symbols import read_latents
from liveaction.codec.writing import choose_coder
from liveaction.errors import FormatError, SpecError
from liveaction.files import file_digest
from liveaction.learning.exact import exact_of
from liveaction.learning.inputs import Exact
from liveaction.learning.resampling import resampled
from liveaction.learning.streams import OpenStream, stream_of
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.codec.reader import StreamReader
    from liveaction.modalities.base import Modality

LARGEST = {"int8": 127, "int16": 32767}


@dataclass(frozen=True)
class Encoded:
    """An item as it is kept: values ``[L, *G]``, the signal's ``[C, *S]``, bytes of its stream and of its container."""

    values: NDArray[Any]
    shape: tuple[int, ...]
    payload: int
    container: int


class ItemSource(ABC):
    """Gives items as they are kept; fields as those of :class:`~liveaction.learning.store.StoreTable`."""

    kind: str
    modality: "Modality"
    channels: int
    factors: tuple[int, ...]
    step: float
    dtype: str
    exact: Exact
    model: Model | None = None
    fast: bool = False

    @abstractmethod
    def encode(self, path: Path, fit: Mapping[str, int], views: tuple[str, ...]) -> list[Encoded]:
        """An item, once for each view.

        Raises:
            FormatError: it cannot be read.
            SpecError: a value does not fit what is kept, or it cannot be changed so.
        """

    def parts(self, path: Path) -> list[Path]:
        """The files of an item."""
        return self.modality.parts(path)

    def digest(self, path: Path) -> str:
        """SHA-256 of what is read of an item."""
        files = self.parts(path)
        return file_digest(files[0]) if len(files) == 1 else digest_of(files, path)

    def about(self) -> dict[str, Any]:
        """What tells it from others."""
        return {"kind": self.kind, "step": self.step, "dtype": self.dtype, "factors": list(self.factors)}


class LatentSource(ItemSource):
    """Streams of a model: of files the ones that ``compress`` would write, of ``.lva`` files those that are there.

    Items of one stream of many are paths below it, as :mod:`liveaction.learning.streams` has them.

    Args:
        model: whose latents are all of one number of channels.
        step: of the quantiser; the model's where None.
        fast: round symbols as they are, without weighing what each costs.
        dtype: ``int16`` or ``int8``.

    Raises:
        SpecError: the model's latents are no symbols of one grid: it predicts, has a basis of each signal's own, or its
            quantiser bends latents that its decoder is given straight; a step that is not positive.
    """

    kind = "latents"

    def __init__(self, model: Model, step: float | None = None, fast: bool = False, dtype: str = "int16") -> None:
        codec, recipe = model.codec, model.recipe
        for wrong, what in (
            (codec.own, "a basis of each signal's own"),
            (codec.predictor is not None, "a predict step"),
            (len(codec.trees) > 1, "several trees of bands"),
            (codec.spec.quantizer.kind == "gaussian", "a quantiser whose symbols times a step are no latents"),
        ):
            if wrong:
                raise SpecError(
                    f"--model: expected latents of one kind for all signals, got recipe {recipe.name!r} with {what}; "
                    "take one without, such as linear or sparse with one tree"
                )
        if step is not None and not 0 < step < float("inf"):
            raise SpecError(f"--step: expected a positive number, got {step}")
        self.model, self.modality, self.fast, self.dtype = model, model.modality, fast, dtype
        self.channels, self.factors = codec.latents, tuple(codec.packets.factors)
        self.step = step or codec.quantizer.step
        self.exact = exact_of(model)
        self._open = OpenStream(model)

    def about(self) -> dict[str, Any]:
        assert self.model is not None
        coding = self.model.codec.coding_digest(choose_coder(self.model.codec, None, self.fast))
        return super().about() | {"model": self.model.digest, "coding": coding, "fast": self.fast}

    def parts(self, path: Path) -> list[Path]:
        stream = stream_of(path)
        return super().parts(path) if stream is None else [stream]

    def digest(self, path: Path) -> str:
        return super().digest(path) if stream_of(path) in (None, path) else self._open.digest(path)

    def encode(self, path: Path, fit: Mapping[str, int], views: tuple[str, ...]) -> list[Encoded]:
        assert self.model is not None
        if stream_of(path) is not None:
            if fit or len(views) > 1:
                raise SpecError(f"{path}: expected no --fit and no --views of a stream, got them; take the signals")
            items, number = self._open.number(path)
            return [self._read(items.reader(number), str(path))]
        signal = fitted(self.modality.read(path), fit)
        streams = (self.model.compress(seen(signal, view), step=self.step, fast=self.fast) for view in views)
        found = []
        for data in streams:
            with open_reader(data, self.model) as reader:
                found.append(self._read(reader, str(path)))
        return found

    def _read(self, reader: "StreamReader", where: str) -> Encoded:
        """Symbols that are entropy-decoded and no more."""
        latents, step = read_latents(reader)
        if step != self.step:
            raise SpecError(
                f"{where}: expected a stream of step {self.step:g}, got {step:g}; give --step, or compress again"
            )
        symbols = np.rint(latents / np.float32(step))
        largest = float(np.abs(symbols).max(initial=0))
        if largest > LARGEST[self.dtype]:
            raise SpecError(
                f"{where}: expected symbols within {self.dtype}, got {largest:.0f} at step {step:g}; take "
                f"--step {step * largest / LARGEST[self.dtype] * 1.01:.3g}"
            )
        container = reader.container
        sizes = container.entries.bytes_of_chunks, container.overhead
        return Encoded(symbols.astype(self.dtype), reader.header.shape, *sizes)


class SampleSource(ItemSource):
    """Signals in their own dtype, or filtered and resampled to fewer samples along every axis.

    Args:
        modality: reads them.
        reduction: samples that become one, along every axis.
    """

    kind = "samples"

    def __init__(self, modality: "Modality", reduction: int = 1) -> None:
        spec = modality.spec
        self.modality, self.reduction, self.channels, self.step = modality, reduction, spec.channels, 1.0
        self.factors = (reduction,) * len(spec.axes)
        self.dtype = ""
        signs = tuple[Literal[-1, 1], ...]([1] * self.channels)
        self.exact = Exact(
            linear=True,
            zero=(0.0,) * self.channels,
            one=(1.0,) * self.channels,
            flips=dict.fromkeys(spec.axes, signs),
            reach=(0,) * len(spec.axes),
        )

    def encode(self, path: Path, fit: Mapping[str, int], views: tuple[str, ...]) -> list[Encoded]:
        signal = fitted(self.modality.read(path), fit)
        found = []
        for view in views:
            whole = seen(signal, view)
            values = resampled(whole.filled(), self.reduction)
            self.dtype = self.dtype or values.dtype.name
            if values.dtype.name != self.dtype:
                raise FormatError(f"{path}: expected {self.dtype} as the items before, got {values.dtype.name}")
            bits = whole.native_bits * values.size // whole.values.size
            found.append(Encoded(np.ascontiguousarray(values), whole.values.shape, -(-bits // 8), 0))
        return found


def fitted(signal: Signal, fit: Mapping[str, int]) -> Signal:
    """A signal of other extents along some axes: its middle, or continued on both sides by its outermost samples.

    Raises:
        SpecError: an axis that it has not.
    """
    unknown = sorted(set(fit) - set(signal.axes))
    if unknown:
        raise SpecError(f"--fit: expected axes among {signal.axes}, got {unknown[0]!r}")
    wanted = [fit.get(axis, n) for axis, n in zip(signal.axes, signal.shape, strict=True)]
    if tuple(wanted) == signal.shape:
        return signal
    cut = [slice(max(0, n - w) // 2, max(0, n - w) // 2 + min(n, w)) for n, w in zip(signal.shape, wanted, strict=True)]
    part = signal.crop(*cut)
    pad = [(0, 0), *((max(0, w - n) // 2, -(-max(0, w - n) // 2)) for n, w in zip(part.shape, wanted, strict=True))]
    missing = None if part.missing is None else np.pad(part.missing, pad, mode="edge")
    return replace(part, values=np.pad(part.values, pad, mode="edge"), missing=missing)


def seen(signal: Signal, view: str) -> Signal:
    """A signal as a view has it: ``identity``, ``flip:x``, ``flip:x+flip:y``.

    Raises:
        SpecError: it is no view, or of an axis that the signal has not.
    """
    for part in () if view == "identity" else view.split("+"):
        kind, _, axis = part.partition(":")
        if kind != "flip" or axis not in signal.axes:
            raise SpecError(f"--views: expected identity or flip:AXIS with an axis among {signal.axes}, got {view!r}")
        place = signal.axes.index(axis) + 1
        missing = None if signal.missing is None else np.flip(signal.missing, place)
        signal = replace(signal, values=np.flip(signal.values, place), missing=missing)
    return signal


def step_for_int8(model: Model, paths: Sequence[Path], fit: Mapping[str, int]) -> float:
    """The least step at which all latents of some signals are symbols of one byte; nothing is cut off.

    Raises:
        FormatError: one cannot be read.
        SpecError: one is a stream, whose step is what it is.
    """
    largest = 0.0
    for path in paths:
        if stream_of(path) is not None:
            raise SpecError(
                f"--int8: expected signals, got the stream {str(path)!r}; leave --int8 out, or take signals"
            )
        latents = model.encode(fitted(model.modality.read(path), fit))
        largest = max(largest, float(latents.abs().max()))
    return largest / (LARGEST["int8"] + 0.49)  # which rounds to the largest
