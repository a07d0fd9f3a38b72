"""Random crops of signals that need not fit in memory.

Every signal is read once by its modality and kept as an uncompressed array in a cache folder; crops are then cut from
memory maps. A batch is a function of (seed, step, rank) alone, so a resumed run sees what an uninterrupted one would.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.files import atomic_path
from liveaction.signal import Signal
from liveaction.training.datalist import images_of, is_datalist

if TYPE_CHECKING:
    from liveaction.codec.grid import ChunkLayout
    from liveaction.modalities.base import Modality

SYNTHETIC = "synthetic"
_MOST_PHANTOMS = 10**6
VALUES, MISSING, ABOUT = ".npy", ".missing.npy", ".json"


@dataclass(frozen=True)
class TrainingItem:
    """One signal to train on: a file or folder, or a phantom of the modality."""

    name: str
    path: Path | None
    seed: int = 0

    @property
    def identity(self) -> tuple[str, int]:
        """What two items have in common that are the same signal, however they are named."""
        return ("" if self.path is None else str(self.path.resolve())), self.seed

    def read(self, modality: "Modality") -> Signal:
        """The signal itself."""
        return modality.synthetic(self.seed) if self.path is None else modality.read(self.path)

    def key(self, modality: "Modality") -> str:
        """Digest of what the cached array depends on: modality, path, sizes and times of the files."""
        parts: list[Any] = [modality.spec.model_dump(mode="json"), self.name]
        if self.path is not None:
            parts.append(str(self.path.resolve()))
            files = modality.parts(self.path)
            parts += [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def find_items(
    modality: "Modality",
    sources: Sequence[str],
    guard: Callable[[str], AbstractContextManager[None]] = lambda source: nullcontext(),
) -> list[TrainingItem]:
    """What ``--data`` names, each signal once.

    Args:
        modality: finds items in folders.
        sources: files, folders, ``synthetic[:COUNT[:FIRST_SEED]]``, ``dataset.json[:KEY]``.
        guard: gives what a file or folder is searched in, which may leave out one that cannot be.

    Raises:
        FormatError: a source holds nothing readable, or is not of that form.
    """
    items: list[TrainingItem] = []
    for source in sources:
        if source == SYNTHETIC or source.startswith(SYNTHETIC + ":"):
            items += _phantoms(source)
        else:
            paths = images_of(source) if is_datalist(source) else [Path(source)]
            for named in paths:
                with guard(str(named)):
                    items += [TrainingItem(str(path), path) for path in modality.find(named)]
    once: dict[tuple[str, int], TrainingItem] = {}
    for item in items:
        once.setdefault(item.identity, item)
    return list(once.values())


def _phantoms(source: str) -> list[TrainingItem]:
    numbers = source.split(":")[1:]
    if len(numbers) > 2 or not all(re.fullmatch("[0-9]{1,18}", number) for number in numbers) or numbers[:1] == ["0"]:
        raise FormatError(
            f"--data: expected synthetic, synthetic:COUNT or synthetic:COUNT:FIRST_SEED, got {source[:60]!r}"
        )
    count, first = (*map(int, numbers), *(6, 0)[len(numbers) :])
    if count > _MOST_PHANTOMS:
        raise FormatError(f"--data: expected at most {_MOST_PHANTOMS} synthetic signals, got {count}; take fewer")
    return [TrainingItem(f"{SYNTHETIC} {seed}", None, seed) for seed in range(first, first + count)]


def cache_folder() -> Path:
    """``LIVEACTION_CACHE``, else ``~/.cache/liveaction``."""
    return Path(os.environ.get("LIVEACTION_CACHE") or Path.home() / ".cache" / "liveaction")


@dataclass(frozen=True)
class Cached:
    """A signal in the cache: ``values`` and perhaps ``missing`` ``[C, *S]`` as read-only memory maps, its range."""

    values: NDArray[Any]
    missing: NDArray[np.bool_] | None
    limits: tuple[float, float]


def cached_signal(item: TrainingItem, modality: "Modality", folder: Path) -> Cached:
    """The signal as memory maps, what is missing filled in; read and stored on first use, atomically."""
    base = folder / item.key(modality)
    cached = _load(base)
    if cached is None:
        _store(item, modality, base)
        cached = _load(base)
    if cached is None:
        raise FormatError(f"{folder}: expected what was just written to be read back, got damage; check the disk")
    return cached


def is_cached(item: TrainingItem, modality: "Modality", folder: Path) -> bool:
    """Whether a signal can be had without being read."""
    return _load(folder / item.key(modality)) is not None


def _store(item: TrainingItem, modality: "Modality", base: Path) -> None:
    base.parent.mkdir(parents=True, exist_ok=True)
    signal = item.read(modality)
    if signal.missing is not None and signal.missing.all():
        raise FormatError(f"{item.name}: expected a signal with values that were measured, got none; leave it out")
    for suffix, array in ((VALUES, signal.filled()), (MISSING, signal.missing)):
        if array is not None:
            with atomic_path(base.with_suffix(suffix)) as part, part.open("wb") as file:
                np.save(file, array)
    about = {"range": modality.range_of(signal), "missing": signal.missing is not None}
    with atomic_path(base.with_suffix(ABOUT)) as part:
        part.write_text(json.dumps(about))


def _load(base: Path) -> Cached | None:
    """None where it is not there, or is damaged, or has no range."""
    try:
        known = json.loads(base.with_suffix(ABOUT).read_text())
        low, high = known["range"]
        values = np.load(base.with_suffix(VALUES), mmap_mode="r", allow_pickle=False)
        missing = np.load(base.with_suffix(MISSING), mmap_mode="r", allow_pickle=False) if known["missing"] else None
        return Cached(values, missing, (low, high)) if low < high else None
    except (OSError, EOFError, ValueError, LookupError, TypeError, RecursionError):
        return None


@dataclass(frozen=True)
class Batch:
    """Crops ``x`` ``[B, C, *extents]`` float32 in [-1, 1] of signals of C channels.

    ``known`` of the same shape is 0 where nothing was measured, and None where everything was.
    """

    x: torch.Tensor
    known: torch.Tensor | None

    def to(self, device: torch.device) -> "Batch":
        """The same on ``device``."""
        return Batch(self.x.to(device), None if self.known is None else self.known.to(device))


class Crops:
    """Seeded random crops of several signals, drawn in proportion to their sizes.

    Signals may differ in channels, where the recipe takes any number: a batch is then of signals of one number.

    Args:
        modality: normalises the crops to [-1, 1].
        items: at least one.
        folder: the cache.

    Raises:
        FormatError: an item cannot be read, or there is none.
    """

    def __init__(
        self,
        modality: "Modality",
        items: Sequence[TrainingItem],
        folder: Path,
    ) -> None:
        if not items:
            raise FormatError("--data: expected at least one signal, got none")
        self.modality = modality
        self.signals = [cached_signal(item, modality, folder) for item in items]
        self.shares = _shares(self.signals)

    @classmethod
    def of(cls, modality: "Modality", signal: Signal) -> "Crops":
        """Crops of one signal in memory; nothing is cached."""
        crops = cls.__new__(cls)
        crops.modality = modality
        crops.signals = [Cached(signal.filled(), signal.missing, modality.range_of(signal))]
        crops.shares = _shares(crops.signals)
        return crops

    def batch(self, keys: Sequence[Sequence[int]], extents: tuple[int, ...]) -> Batch:
        """One crop of ``extents`` samples per key, all of signals with as many channels as the first key's.

        Args:
            keys: non-negative integers each. Equal keys give equal crops; where signals differ in channels, equal
                lists of keys do, as the first one says which signals the others may be drawn from.
            extents: per axis. Of a shorter axis all is taken, and its last sample repeated.
        """
        shares = [self.shares, *[self._alike(keys[0])] * (len(keys) - 1)]
        crops = [
            self._crop(np.random.default_rng(list(key)), extents, each) for key, each in zip(keys, shares, strict=True)
        ]
        lost = any(known is not None for _, known in crops)
        full = torch.ones(crops[0][0].shape)
        known = torch.stack([full if known is None else known for _, known in crops]) if lost else None
        return Batch(torch.stack([x for x, _ in crops]), known)

    def chunk(self, key: Sequence[int], layout: Callable[[tuple[int, ...]], "ChunkLayout"]) -> torch.Tensor:
        """A chunk of one of the signals as a codec cuts them, ``[C, *]`` in [-1, 1] with the C channels of that signal.

        Equal keys give equal chunks.

        Args:
            key: non-negative integers.
            layout: how a signal of given extents is cut.
        """
        rng = np.random.default_rng(list(key))
        signal = self.signals[rng.choice(len(self.signals), p=self.shares)]
        cut = layout(signal.values.shape[1:])
        box = cut.samples(cut.chunk_box(int(rng.integers(cut.chunks))))
        part = (slice(None), *(slice(low, high) for low, high in box))
        return self.modality.normalise(signal.values[part], signal.limits)

    def drawn(self, key: Sequence[int]) -> int:
        """The place among ``signals`` of the one that a batch of this one key is cut from."""
        return int(np.random.default_rng(list(key)).choice(len(self.signals), p=self.shares))

    def _alike(self, key: Sequence[int]) -> NDArray[np.float64]:
        """The shares of the signals with as many channels as the one that ``key`` draws; 0 for all others."""
        channels = np.array([len(signal.values) for signal in self.signals])
        alike = channels == channels[self.drawn(key)]
        if alike.all():
            return self.shares
        shares = np.where(alike, self.shares, 0.0)
        return np.asarray(shares / shares.sum())

    def _crop(
        self, rng: np.random.Generator, extents: tuple[int, ...], shares: NDArray[np.float64]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        signal = self.signals[rng.choice(len(self.signals), p=shares)]
        shape = signal.values.shape[1:]
        starts = [int(rng.integers(0, max(n - extent, 0) + 1)) for n, extent in zip(shape, extents, strict=True)]
        part = (slice(None), *(slice(start, start + extent) for start, extent in zip(starts, extents, strict=True)))
        pad = [(0, 0), *((0, max(extent - n, 0)) for n, extent in zip(shape, extents, strict=True))]
        x = self.modality.normalise(np.pad(signal.values[part], pad, mode="edge"), signal.limits)
        if signal.missing is None:
            return x, None
        known = ~np.pad(signal.missing[part], pad, mode="edge")
        return x, torch.from_numpy(known.astype(np.float32))


def _shares(signals: Sequence[Cached]) -> NDArray[np.float64]:
    sizes = np.array([signal.values.size for signal in signals], dtype=np.float64)
    return np.asarray(sizes / sizes.sum())


def prefetch(make: Callable[[int], Batch], steps: Iterator[int]) -> Iterator[tuple[int, Batch]]:
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
