"""Random crops of signals that need not fit in memory.

Every signal is read once by its modality and kept as an uncompressed array in a cache folder; crops are then cut from
memory maps. A batch is a function of (seed, step, rank) alone, so a resumed run sees what an uninterrupted one would.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.files import atomic_path
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality

SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class Item:
    """One signal to train on: a file or folder, or a phantom of the modality."""

    name: str
    path: Path | None
    seed: int = 0

    def read(self, modality: "Modality") -> Signal:
        """The signal itself."""
        return modality.synthetic(self.seed) if self.path is None else modality.read(self.path)

    def key(self, modality: "Modality") -> str:
        """Digest of what the cached array depends on: modality, path, sizes and times of the files."""
        parts: list[Any] = [modality.spec.model_dump(mode="json"), self.name]
        if self.path is not None:
            parts.append(str(self.path.resolve()))
            files = sorted(p for p in self.path.iterdir() if p.is_file()) if self.path.is_dir() else [self.path]
            parts += [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def find_items(modality: "Modality", sources: Sequence[str]) -> list[Item]:
    """What ``--data`` names: files, folders, or ``synthetic[:COUNT[:FIRST_SEED]]``.

    Raises:
        FormatError: a source holds nothing readable, or is not of that form.
    """
    items: list[Item] = []
    for source in sources:
        if source == SYNTHETIC or source.startswith(SYNTHETIC + ":"):
            items += _phantoms(source)
        else:
            items += [Item(str(path), path) for path in modality.find(Path(source))]
    return items


def _phantoms(source: str) -> list[Item]:
    numbers = source.split(":")[1:]
    if len(numbers) > 2 or not all(number.isdigit() for number in numbers) or numbers[:1] == ["0"]:
        raise FormatError(f"--data: expected synthetic, synthetic:COUNT or synthetic:COUNT:FIRST_SEED, got {source!r}")
    count, first = (*map(int, numbers), *(6, 0)[len(numbers) :])
    return [Item(f"{SYNTHETIC} {seed}", None, seed) for seed in range(first, first + count)]


def cache_folder() -> Path:
    """``LIVEACTION_CACHE``, else ``~/.cache/liveaction``."""
    return Path(os.environ.get("LIVEACTION_CACHE") or Path.home() / ".cache" / "liveaction")


def cached_array(item: Item, modality: "Modality", folder: Path) -> NDArray[Any]:
    """The signal's values ``[C, *S]`` as a read-only memory map; read and stored on first use, atomically."""
    path = folder / f"{item.key(modality)}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part, part.open("wb") as file:
            np.save(file, item.read(modality).values)
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


class Crops:
    """Seeded random crops of several signals, drawn in proportion to their sizes.

    Args:
        modality: normalises the crops to [-1, 1].
        items: at least one.
        folder: the cache.
        progress: called with each item's name before it is read.

    Raises:
        FormatError: an item cannot be read, or there is none.
    """

    def __init__(
        self,
        modality: "Modality",
        items: Sequence[Item],
        folder: Path,
        progress: Callable[[str], None] = lambda name: None,
    ) -> None:
        if not items:
            raise FormatError("--data: expected at least one signal, got none")
        self.modality = modality
        self.arrays = []
        for item in items:
            progress(item.name)
            self.arrays.append(cached_array(item, modality, folder))
        sizes = np.array([array.size for array in self.arrays], dtype=np.float64)
        self.shares = sizes / sizes.sum()

    def batch(self, key: Sequence[int], count: int, extent: int) -> torch.Tensor:
        """``count`` crops of ``extent`` samples along every axis, float32 ``[count, C, *extent]`` in [-1, 1].

        Args:
            key: non-negative integers; equal keys give equal crops. An axis shorter than ``extent`` is taken whole
                and its last sample repeated.
        """
        return torch.stack([self._crop(np.random.default_rng([*key, i]), extent) for i in range(count)])

    def _crop(self, rng: np.random.Generator, extent: int) -> torch.Tensor:
        array = self.arrays[rng.choice(len(self.arrays), p=self.shares)]
        starts = [int(rng.integers(0, max(n - extent, 0) + 1)) for n in array.shape[1:]]
        values = array[(slice(None), *(slice(start, start + extent) for start in starts))]
        missing = [(0, 0), *((0, extent - n) for n in values.shape[1:])]
        return self.modality.normalise(np.pad(values, missing, mode="edge"))


def prefetch(make: Callable[[int], torch.Tensor], steps: Iterator[int]) -> Iterator[tuple[int, torch.Tensor]]:
    """``(step, make(step))``, the next batch being made in a thread while the caller works on this one."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for step in steps:
            following = (step, pool.submit(make, step))
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = following
        if waiting is not None:
            yield waiting[0], waiting[1].result()
