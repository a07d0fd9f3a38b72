"""Studies whose answer is a signal: its latents are predicted, decoded with its codec, and compared with the truth."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.codec.model import Model
from liveaction.errors import SpecError
from liveaction.learning.dataset import LatentDataset, selection
from liveaction.learning.sources import fitted
from liveaction.learning.store import LatentStore
from liveaction.signal import Signal
from liveaction.spec import Percentiles

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality

MEASURED = ("si_sdr", "psnr_normalised", "ssim", "level_error_db", "phase_error_degrees")
"""Measures of signals that a study keeps, where a modality has them; the first is what inputs are compared by."""
MOST = 100.0
"""What measures are cut to, up and down: two equal signals differ by infinitely many dB."""

Scores = dict[str, float]


@dataclass(frozen=True)
class Target:
    """What networks predict in one fold: latents of the target signals, less their means, over one number.

    Attributes:
        model: codec of the targets, trained from those of the fold's training items.
        store: latents of all targets.
        paths: of the targets, by the name of their item; ``fit`` extents that they are cut or continued to.
        mean: per channel over the training items, ``[L, 1, ...]``; ``scale`` of all channels.
    """

    model: Model
    store: LatentStore
    paths: Mapping[str, Path]
    fit: Mapping[str, int]
    mean: NDArray[np.float32]
    scale: float

    @classmethod
    def of(
        cls, model: Model, store: LatentStore, paths: Mapping[str, Path], learn: Sequence[str], fit: Mapping[str, int],
        token: Mapping[str, int],
    ) -> "Target":  # fmt: skip
        """With the statistics of the items that are learnt from.

        Raises:
            SpecError: the codec maps values by what each signal holds, which nobody knows of what is predicted; its
                tokens are not those of the networks.
        """
        if isinstance(model.recipe.modality.range, Percentiles):
            raise SpecError("target: expected a codec with a range of two numbers or native, got percentiles")
        about = store.about
        wanted = tuple(token.get(axis, 1) for axis in about.axes)
        if tuple(about.factors) != wanted:
            raise SpecError(f"target: expected a codec with the network's tokens {wanted}, got {tuple(about.factors)}")
        numbers = {item.name: number for number, item in enumerate(store.items)}
        known = selection(store, [numbers[name] for name in learn]).statistics
        mean = np.array(known.mean, np.float32).reshape(-1, *(1,) * len(about.axes))
        return cls(model, store, paths, fit, mean, known.scale or 1.0)

    @property
    def modality(self) -> "Modality":
        """Of the target signals."""
        return self.model.modality

    def latents(self, name: str) -> NDArray[np.float32]:
        """Of an item's target, as its stream has them, ``[L, *G]``."""
        return self.store.latents(self._numbers[name]).astype(np.float32) * np.float32(self.store.about.step)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {item.name: number for number, item in enumerate(self.store.items)}

    def truth(self, name: str) -> Signal:
        """An item's target itself."""
        return fitted(self.modality.read(self.paths[name]), self.fit)

    def decoded(self, latents: NDArray[np.float32], like: Signal) -> Signal:
        """A signal from latents ``[L, *G]``, of the extents, type and range of another one."""
        codec = self.model.codec
        with torch.no_grad():
            x = codec.synthesise(torch.from_numpy(latents)[None].to(codec.device), like.shape, self.store.about.step)[0]
        values = self.modality.denormalise(x, like.values.dtype.name, self.modality.range_of(like))
        return replace(like, values=values)

    def compared(self, truth: Signal, found: Signal) -> Scores:
        """The measures of :data:`MEASURED` that the modality has, within :data:`MOST`; NaN where not defined."""
        report = self.modality.compare(truth, found)
        return {key: float(np.clip(report[key], -MOST, MOST)) for key in MEASURED if key in report}

    def scores(self, outputs: NDArray[np.float32], names: Sequence[str]) -> list[Scores]:
        """Of every item, from what a network gave for it, ``[N, L, *G]``."""
        truths = (self.truth(name) for name in names)
        return [
            self.compared(truth, self.decoded(output * np.float32(self.scale) + self.mean, truth))
            for truth, output in zip(truths, outputs, strict=True)
        ]

    def alone(self, names: Sequence[str]) -> list[Scores]:
        """Of every item, its target coded and decoded: what no network can be expected to exceed by much."""
        truths = ((name, self.truth(name)) for name in names)
        return [self.compared(truth, self.decoded(self.latents(name), truth)) for name, truth in truths]

    def unlearnt(self, names: Sequence[str], inputs: Mapping[str, Path], modality: "Modality") -> list[Scores]:
        """Of every item, what is there before anything is learnt, see :meth:`start`."""
        found = []
        for name in names:
            truth = self.truth(name)
            found.append(self.compared(truth, self.start(fitted(modality.read(inputs[name]), self.fit), truth)))
        return found

    def start(self, given: Signal, truth: Signal) -> Signal:
        """The input taken for the target, one channel for all of them; where it is of another kind, the mean target."""
        channels, values = len(truth.values), given.values
        if given.shape == truth.shape and values.dtype == truth.values.dtype and len(values) in (1, channels):
            return replace(truth, values=np.broadcast_to(values, truth.values.shape).copy())
        grid = (-(-n // factor) for n, factor in zip(truth.shape, self.store.about.factors, strict=True))
        return self.decoded(np.broadcast_to(self.mean, (len(self.mean), *grid)).copy(), truth)


class Pairs:
    """Items of a store with the latents of their targets for labels; see :class:`~liveaction.learning.fit.Items`.

    Raises:
        SpecError: an item's target has other tokens than the item.
    """

    def __init__(self, data: LatentDataset, target: Target) -> None:
        self.data, self.target = data, target
        channels = target.store.about.channels
        self.spec = data.spec.model_copy(update={"task": "signal", "outputs": channels, "names": ()})
        self._names = [data.store.items[number].name for number in data.numbers]
        factors = target.store.about.factors
        tokens = tuple(-(-n // factor) for n, factor in zip(self.spec.samples, factors, strict=True))
        grids = {item.name: item.grid for item in target.store.items}
        odd = next((name for name in self._names if grids[name] != tokens), None)
        if odd is not None:
            raise SpecError(f"target: expected {tokens} tokens, those of its input, for {odd!r}, got {grids[odd]}")

    def __len__(self) -> int:
        return len(self.data)

    def set_epoch(self, epoch: int) -> None:
        """What is drawn is that of this epoch."""
        self.data.set_epoch(epoch)

    def batch(self, places: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """``[B, C, *S]`` and ``[B, L, *G]``, the latter less their means, over one number."""
        x, _ = self.data.batch(places)
        rows = [(self.target.latents(self._names[place]) - self.target.mean) / self.target.scale for place in places]
        return x, torch.from_numpy(np.stack(rows))

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All items in order, so many at once."""
        return (self.batch(range(first, min(first + size, len(self)))) for first in range(0, len(self), size))


def means_of(rows: Sequence[Scores]) -> Scores:
    """Of every measure its mean over the items that it is defined for; measures defined for none are left out."""
    found = {key: [row[key] for row in rows if not np.isnan(row[key])] for key in rows[0]}
    return {key: float(np.mean(values)) for key, values in found.items() if values}


def each_of(rows: Sequence[Scores]) -> list[float]:
    """Of every item what inputs are compared by."""
    key = next(key for key in MEASURED if key in rows[0])
    return [row[key] for row in rows]


def digest_parts(target: Target | None) -> list[Any]:
    """What of a target decides a training."""
    return [] if target is None else [target.store.about.model, [item.digest for item in target.store.items]]
