"""Items of a store as a data set for torch: a function of seed, epoch and number, however many workers there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from liveaction.errors import SpecError
from liveaction.learning.augment import Augmentation, parse_augmentations
from liveaction.learning.inputs import InputSpec, Statistics
from liveaction.learning.labels import TRAIN
from liveaction.learning.store import UNLABELLED, LatentStore
from liveaction.learning.tally import Tally

Item = tuple[torch.Tensor, torch.Tensor]
_DRAW = 0x1A7E  # apart from what else a seed may start


@dataclass(frozen=True)
class Selection:
    """Some items of a store, by number, and the statistics that networks scale them by: those of a training split."""

    numbers: tuple[int, ...]
    statistics: Statistics


def selection(store: LatentStore, learn: Sequence[int], take: Sequence[int] | None = None) -> Selection:
    """Items with the statistics of those that are learnt from.

    Args:
        learn: numbers of the items to learn from.
        take: numbers of the items to give; those where None.
    """
    tally = Tally(store.about.channels, store.about.step)
    for number in learn:
        tally.add(store.latents(number).reshape(store.about.channels, -1))
    return Selection(tuple(learn if take is None else take), tally.statistics())


class LatentDataset(Dataset[Item]):
    """Items of a store: latents ``[L, *grid]`` in float32, dequantised, and their labels.

    Labels are a class, an int64 number; ``[K]`` numbers in float32; or a map of int64 classes, -1 where nobody said, at
    the samples that the latents stand for or, with ``labels="grid"``, the class of most samples of each position.

    What is drawn for an item depends on seed, epoch and number alone: crops at whole positions, views, augmentations.

    Args:
        store: or its folder.
        split: of the store, or a :class:`Selection`.
        crop: positions per axis of a crop; drawn at random where ``random``, else from the middle. A grid that is
            shorter is continued by its outermost latents. None: whole items, which must be of one grid.
        augment: such as ``flip:x``, ``gain:0.8:1.2``, ``noise``; see :mod:`liveaction.learning.augment`. Of training.
        seed: of what is drawn.
        random: whether anything is drawn; by default for the split ``train``, or where something is to be augmented.
        labels: of maps: at ``samples`` or on the ``grid``.

    Attributes:
        spec: what a network needs to know.
        numbers: of the items, in the store.

    Raises:
        FormatError: it is no store.
        SpecError: no such split; items of several grids without a crop; an augmentation that is not exact here; another
            seed, or another word for ``labels``.

    Example:
        >>> from liveaction.learning.dataset import LatentDataset
        >>> data = LatentDataset("store", split="train", seed=0)
        >>> latents, label = data[0]
        >>> latents.shape[0] == data.spec.channels
        True
    """

    def __init__(
        self,
        store: LatentStore | str | Path,
        split: str | Selection = TRAIN,
        crop: Sequence[int] | None = None,
        augment: Sequence[str] = (),
        seed: int = 0,
        random: bool | None = None,
        labels: Literal["samples", "grid"] = "samples",
    ) -> None:
        self.store = store if isinstance(store, LatentStore) else LatentStore(store)
        about = self.store.about
        if isinstance(split, Selection):
            self.numbers, statistics = list(split.numbers), split.statistics
        else:
            self.numbers, statistics = self.store.split(split), about.statistics
        self.random = bool(augment) or split == TRAIN if random is None else random
        if not isinstance(seed, int | np.integer) or seed < 0 or labels not in ("samples", "grid"):
            raise SpecError(f"expected a seed from 0 on and labels at samples or on the grid, got {seed!r}, {labels!r}")
        self.seed, self.labels = seed, labels
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self.crop = self._crop_of(crop)
        self.spec = InputSpec(
            channels=about.channels, grid=self.crop, axes=about.axes, factors=about.factors, task=about.task or "class",
            outputs=self._outputs(), names=about.names, step=about.step if about.kind == "latents" else 0.0,
            label_factors=about.factors if about.task == "map" and labels == "samples" else (1,) * len(about.axes),
            statistics=statistics, exact=about.exact,
        )  # fmt: skip
        self.augment: tuple[Augmentation, ...] = parse_augmentations(augment, self.spec)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy, or what was pickled, shares its epoch with its own workers."""
        self.__dict__.update(state)
        self._epoch.share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """What is drawn from now on is that of this epoch, in workers that are at work, too.

        Raises:
            SpecError: it is negative.
        """
        if epoch < 0:
            raise SpecError(f"epoch: expected a number from 0 on, got {epoch}")
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> Item:
        number = self.numbers[place]
        rng = np.random.default_rng([_DRAW, self.seed, int(self._epoch), number])
        views = len(self.store.about.views)
        values = self.store.latents(number, int(rng.integers(views)) if self.random else 0)
        starts = self._starts(values.shape[1:], rng)
        latents = _cut(values, starts, self.crop).astype(np.float32) * np.float32(self.store.about.step)
        label = self._label(number, starts)
        for each in self.augment:
            latents, label = each.apply(latents, label, rng)
        return torch.from_numpy(np.ascontiguousarray(latents)), torch.from_numpy(np.array(label))

    def __getitems__(self, places: Sequence[int]) -> list[Item]:
        return [self[place] for place in places]

    def batch(self, places: Sequence[int]) -> Item:
        """Several items at once: ``[B, L, *grid]`` and their labels."""
        items = self.__getitems__(places)
        return torch.stack([latents for latents, _ in items]), torch.stack([label for _, label in items])

    def bytes_per_item(self) -> float:
        """Of the items' streams, mean."""
        return sum(self.store.items[number].bytes for number in self.numbers) / max(1, len(self.numbers))

    def _crop_of(self, crop: Sequence[int] | None) -> tuple[int, ...]:
        axes = self.store.about.axes
        if crop is not None:
            if len(crop) != len(axes) or any(not isinstance(side, int | np.integer) or side < 1 for side in crop):
                raise SpecError(f"crop: expected positions along {axes}, got {tuple(crop)}")
            return tuple(int(side) for side in crop)
        grids = {self.store.items[number].grid for number in self.numbers}
        if len(grids) != 1:
            raise SpecError(f"crop: expected one, for items of {len(grids)} grids, got none; give crop=")
        return grids.pop()

    def _starts(self, grid: tuple[int, ...], rng: np.random.Generator) -> tuple[int, ...]:
        room = [max(0, n - side) for n, side in zip(grid, self.crop, strict=True)]
        return tuple(int(rng.integers(n + 1)) if self.random else n // 2 for n in room)

    def _outputs(self) -> int:
        about = self.store.about
        if about.task == "number":
            return int(self.store.numbers.shape[1])
        return max(1, len(about.names))

    def _label(self, number: int, starts: tuple[int, ...]) -> Any:
        """Of an item: a class, numbers, or the part of a map."""
        about = self.store.about
        if about.task == "class":
            return np.int64(self.store.classes[number])
        if about.task == "number":
            return self.store.numbers[number]
        if about.task is None:
            return np.int64(UNLABELLED)
        low = [start * factor for start, factor in zip(starts, about.factors, strict=True)]
        sides = [side * factor for side, factor in zip(self.crop, about.factors, strict=True)]
        whole = self.store.map(number)
        part = whole[tuple(slice(a, a + side) for a, side in zip(low, sides, strict=True))]
        pad = [(0, side - n) for side, n in zip(sides, part.shape, strict=True)]
        classes = np.pad(part, pad, constant_values=UNLABELLED).astype(np.int64)
        return classes if self.labels == "samples" else majority(classes, about.factors, len(about.names))


def majority(labels: NDArray[np.int64], factors: Sequence[int], classes: int) -> NDArray[np.int64]:
    """The class of most samples of every position, the first of equals; unlabelled where no sample has one.

    Args:
        labels: ``[*S]`` with extents that are multiples of the factors.
        factors: samples per position.
        classes: how many there are.
    """
    split = [(n // factor, factor) for n, factor in zip(labels.shape, factors, strict=True)]
    apart = labels.reshape([side for pair in split for side in pair])
    axes = len(split)
    apart = apart.transpose([*range(0, 2 * axes, 2), *range(1, 2 * axes, 2)]).reshape(*(n for n, _ in split), -1)
    counts = np.stack([(apart == each).sum(-1) for each in range(classes)], -1)
    return np.where(counts.sum(-1) > 0, counts.argmax(-1), UNLABELLED)


def _cut(values: NDArray[Any], starts: tuple[int, ...], crop: tuple[int, ...]) -> NDArray[Any]:
    part = values[(slice(None), *(slice(start, start + side) for start, side in zip(starts, crop, strict=True)))]
    if part.shape[1:] == crop:
        return part
    assert prod(part.shape) > 0
    return np.pad(part, [(0, 0), *((0, side - n) for side, n in zip(crop, part.shape[1:], strict=True))], mode="edge")
