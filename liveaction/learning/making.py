"""Making a store: shard by shard, each whole or not at all, so that what was interrupted goes on."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from liveaction.codec.tensors import save_arrays
from liveaction.errors import FormatError, SpecError
from liveaction.files import atomic_path, write_errors
from liveaction.learning.inputs import Task
from liveaction.learning.label_tensors import LabelTensors
from liveaction.learning.labels import TRAIN, LabelledItem
from liveaction.learning.sources import Encoded, ItemSource
from liveaction.learning.store import (
    ABOUT,
    IDENTITY,
    ITEMS,
    LABELS,
    LatentStore,
    Shard,
    StoredItem,
    StoreTable,
    counted,
    read_items,
    shard_name,
)
from liveaction.learning.tally import Tally
from liveaction.locking import locked
from liveaction.mapped import release_pages

PLAN, LOCK = ".plan", ".lock"
SHARD_ITEMS, SHARD_BYTES = 256, 2**26
"""Of a shard at most, one item at least: what is lost where making is interrupted."""

Count = Callable[[int, int, str], None]


@dataclass(frozen=True)
class StoreOptions:
    """How items are kept.

    Attributes:
        task: what labels are; None for none.
        fit: extents that signals are cut or continued to, per axis.
        views: of every item.
    """

    task: Task | None = "class"
    fit: Mapping[str, int] = field(default_factory=dict)
    views: tuple[str, ...] = (IDENTITY,)


def make_store(
    items: Sequence[LabelledItem],
    source: ItemSource,
    out: str | Path,
    options: StoreOptions | None = None,
    count: Count = lambda done, total, text: None,
) -> LatentStore:
    """A store of items, which appears whole: what was interrupted goes on, what is there already is not made again.

    Args:
        items: with their labels.
        source: what they become.
        out: folder of the store.
        options: see :class:`StoreOptions`.
        count: is told how many items of how many are done, and which is at hand.

    Raises:
        FormatError: an item cannot be read, or its label is not of the task.
        SpecError: ``out`` holds something else; an item does not fit what is kept; another process makes it.
        WriteError: no room, or no right.
    """
    folder, options = Path(out), options or StoreOptions()
    if not items:
        raise FormatError(f"{folder}: expected at least one item for a store, got none")
    if options.views[0] != IDENTITY or len(set(options.views)) < len(options.views):
        raise SpecError(f"--views: expected {IDENTITY} first and each view once, got {','.join(options.views)}")
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK):
        plan = _plan(items, source, options)
        if _begin(folder, plan):
            return LatentStore(folder)
        _Making(folder, list(items), source, options, count).run()
    return LatentStore(folder)


def _plan(items: Sequence[LabelledItem], source: ItemSource, options: StoreOptions) -> str:
    """A digest of all that decides what a store holds."""
    files = [[file.stat().st_size, file.stat().st_mtime_ns] for item in items for file in source.parts(item.path)]
    if options.task == "map":
        maps = [Path(item.label) for item in items if Path(item.label).is_file()]
        files += [[path.stat().st_size, path.stat().st_mtime_ns] for path in maps]
    about = [
        source.about(), source.modality.spec.model_dump(mode="json"), options.task, dict(options.fit), options.views,
        [[item.name, item.label, item.split, item.group] for item in items], files,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _begin(folder: Path, plan: str) -> bool:
    """Whether the store of a plan is there already; else the folder is made ready, what belongs to it is kept.

    Raises:
        SpecError: the folder holds another store, or something else.
    """
    noted = folder / PLAN
    known = noted.read_text() if noted.is_file() else ""
    if (folder / ABOUT).is_file():
        if known == plan:
            return True
        raise SpecError(
            f"{folder}: expected no store, or this very one, got another; remove it, or take another folder"
        )
    others = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    if others and not known:
        raise SpecError(f"{folder}: expected an empty folder for a store, got {sorted(others)[0]!r}; take another one")
    if known != plan:
        for path in folder.iterdir():
            if path.name.startswith(("latents-", "items-")):
                path.unlink()
        with atomic_path(noted) as part:
            part.write_text(plan)
    return False


@dataclass
class _Making:
    folder: Path
    items: list[LabelledItem]
    source: ItemSource
    options: StoreOptions
    count: Count

    def run(self) -> None:
        """All shards, then labels, and the table last."""
        labels = LabelTensors.of(self.items, self.options.task, self.source)
        shards = self._kept()
        done = sum(shard.items for shard in shards)
        waiting: list[list[Encoded]] = []
        for item in self.items[done:]:
            self.count(done + len(waiting), len(self.items), item.name)
            waiting.append(self.source.encode(item.path, self.options.fit, self.options.views))
            size = sum(view.values.nbytes for views in waiting for view in views)
            if len(waiting) == SHARD_ITEMS or size >= SHARD_BYTES:
                shards.append(self._write(len(shards), done, waiting))
                done, waiting = done + len(waiting), []
        if waiting:
            shards.append(self._write(len(shards), done, waiting))
        self.count(len(self.items), len(self.items), "")
        self._finish(shards, labels)

    def _kept(self) -> list[Shard]:
        """Shards of a run before; a shard counts where its lines are there, which are written first."""
        found: list[Shard] = []
        while all((self.folder / part(len(found))).is_file() for part in (shard_name, _lines_name)):
            lines = read_items(self.folder / _lines_name(len(found)))
            found.append(Shard(name=shard_name(len(found)), items=len(lines)))
        return found

    def _write(self, number: int, first: int, encoded: list[list[Encoded]]) -> Shard:
        lines = []
        for item, views in zip(self.items[first:], encoded, strict=False):
            line = StoredItem(
                name=item.name, digest=self.source.digest(item.path), split=item.split,
                group=item.group, label=item.label, shape=views[0].shape, grid=views[0].values.shape[1:],
                payload=views[0].payload, container=views[0].container,
            )  # fmt: skip
            lines.append(line.model_dump_json())
        with atomic_path(self.folder / _lines_name(number)) as part:
            part.write_text("\n".join(lines) + "\n")
        rows = [view.values for views in encoded for view in views]
        grids = np.array([row.shape[1:] for row in rows], np.int64)
        alike = (grids == grids[0]).all()
        values = np.stack(rows) if alike else np.concatenate([row.reshape(-1) for row in rows])
        save_arrays({"values": values, "grids": grids}, self.folder / shard_name(number))
        return Shard(name=shard_name(number), items=len(encoded))

    def _finish(self, shards: list[Shard], labels: LabelTensors) -> None:
        texts = [(self.folder / _lines_name(number)).read_text() for number in range(len(shards))]
        with atomic_path(self.folder / ITEMS) as part:
            part.write_text("".join(texts))
        stored = read_items(self.folder / ITEMS)
        if labels.arrays:
            labels.check(stored)
            save_arrays(labels.arrays, self.folder / LABELS)
        source, model = self.source, self.source.model
        splits = counted(stored)
        table = StoreTable(
            kind="latents" if model else "samples",
            model=model.digest if model else "",
            coding=model.codec.tables_digest if model else "",
            recipe=model.recipe.model_dump(mode="json") if model else None,
            modality=source.modality.spec,
            step=source.step, channels=source.channels, axes=source.modality.spec.axes, factors=source.factors,
            dtype=source.dtype or _dtype(self.folder / shard_name(0)), views=self.options.views,
            task=self.options.task, names=labels.names, fit=dict(self.options.fit), fast=source.fast,
            splits=splits,
            statistics=self._statistics(shards, stored, TRAIN if TRAIN in splits else ""), exact=source.exact,
            shards=tuple(shards),
        )  # fmt: skip
        with atomic_path(self.folder / ABOUT) as part:
            text = json.dumps(
                {"version": table.version, **table.model_dump(mode="json", exclude_defaults=True)}, indent=1
            )
            part.write_text(text + "\n")
        for number in range(len(shards)):
            (self.folder / _lines_name(number)).unlink()

    def _statistics(self, shards: list[Shard], stored: list[StoredItem], split: str) -> Any:
        """Of the items of a split as they are, without other views."""
        from liveaction.learning.mapping import map_tensors

        tally, first = Tally(self.source.channels, self.source.step), 0
        for shard in shards:
            found = map_tensors(self.folder / shard.name)
            flat, at = found["values"].reshape(-1), 0
            sizes = self.source.channels * np.prod(np.asarray(found["grids"]), axis=1)
            for row, size in enumerate(sizes.tolist()):
                item = stored[first + row // len(self.options.views)]
                if row % len(self.options.views) == 0 and split in ("", item.split):
                    tally.add(flat[at : at + size].reshape(self.source.channels, -1))
                at += size
            release_pages(found["values"])
            first += shard.items
        return tally.statistics()


def _lines_name(number: int) -> str:
    return f"items-{number:05}.jsonl"


def _dtype(shard: Path) -> str:
    from liveaction.learning.mapping import map_tensors

    return map_tensors(shard)["values"].dtype.name
