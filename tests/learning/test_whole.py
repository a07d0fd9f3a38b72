"""Stores whose parts do not belong together are refused in one line, before anything is learnt or allocated."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liveaction.codec.model import Model
from liveaction.codec.tensors import save_arrays
from liveaction.errors import FormatError
from liveaction.learning.dataset import LatentDataset
from liveaction.learning.fit import labels_of
from liveaction.learning.labels import labelled_items
from liveaction.learning.making import make_store
from liveaction.learning.mapping import map_tensors
from liveaction.learning.sources import LatentSource
from liveaction.learning.store import LatentStore
from liveaction.probing.inputs import macs_before

SHARD, LABELS = "latents-00000.safetensors", "labels.safetensors"
Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def whole(model: Model, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    items = labelled_items(pictures, model.modality.find(pictures), "folders")
    return make_store(items, LatentSource(model), tmp_path_factory.mktemp("whole") / "s").folder


def _table(**changes: Any) -> Damage:
    """Change ``store.json``; dots lead into tables."""

    def damage(store: Path) -> None:
        data = json.loads((store / "store.json").read_text())
        for key, value in changes.items():
            *tables, last = key.split("__")
            place = data
            for name in tables:
                place = place[name]
            place[last] = value
        (store / "store.json").write_text(json.dumps(data))

    return damage


def _lines(first_alone: bool = False, **changes: Any) -> Damage:
    """Change the lines of items."""

    def damage(store: Path) -> None:
        lines = [json.loads(line) for line in (store / "items.jsonl").read_text().splitlines()]
        for line in lines[: 1 if first_alone else None]:
            line.update(changes)
        (store / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    return damage


def _shard(change: Callable[[dict[str, np.ndarray]], Any]) -> Damage:
    def damage(store: Path) -> None:
        tensors = {name: np.array(each) for name, each in map_tensors(store / SHARD).items()}
        change(tensors)
        save_arrays(tensors, store / SHARD)

    return damage


def _labels(task: str, names: tuple[str, ...] = (), **tensors: np.ndarray) -> Damage:
    def damage(store: Path) -> None:
        _table(task=task, names=list(names))(store)
        save_arrays(tensors, store / LABELS)

    return damage


CLASSES = ("lying", "standing")
SHAPES = np.full((64, 2), (33, 29), np.int64)
CASES: dict[str, tuple[Damage, str]] = {
    "no items": (lambda store: (store / "items.jsonl").unlink(), "expected a readable part of a store, got No such"),
    "no shards": (
        lambda store: [_table(shards=[], splits={})(store), (store / "items.jsonl").write_text("")],
        "expected at least one item",
    ),
    "another file": (_table(shards=[{"name": "../s/" + SHARD, "items": 64}]), "expected its file '../s/"),
    "axes": (_table(axes=["y"]), "one factor for each axis"),
    "factors": (_table(factors=[4]), "one factor for each axis"),
    "channels": (_table(channels=14), "statistics of 14 channels"),
    "deviations": (_table(statistics__deviation=[1.0]), "every number for each of 7 channels"),
    "flips": (_table(exact__flips={"x": [1]}), "numbers for each of 7 channels"),
    "flipped axis": (_table(exact__flips={"t": [1] * 7}), "exact changes along"),
    "views": (_table(views=[]), "each view once"),
    "fit": (_table(fit={"x": -1}), "fit to samples along"),
    "dtype": (_table(dtype="int99"), "expected int99 values"),
    "names": (_table(names=[]), "names of classes"),
    "same names": (_table(names=["lying", "lying"]), "each class once"),
    "other names": (_table(names=["standing", "lying"]), "the labels that its items have"),
    "model": (_table(model=""), "the digest of a model"),
    "recipe": (_table(recipe={"a": 1}), "expected the recipe of its model"),
    "splits": (_table(splits={"train": 64}), "{'train': 64}, got {'test': 16, 'train': 48}"),
    "split of an item": (_lines(True, split="train"), "got {'test': 15, 'train': 49}"),
    "label of an item": (_lines(True, label="nonsense"), "the labels that its items have"),
    "name twice": (_lines(name="a.png"), "for each item, once, got 'a.png'"),
    "name elsewhere": (_lines(True, name="../a.png"), "a path below the source for each item, once, got '../a.png'"),
    "grid": (_lines(grid=[2**20, 2**20]), "a grid of one position per"),
    "axes of grids": (_lines(grid=[9, 8, 1]), "a grid of one position per"),
    "shape": (_lines(shape=[3]), "a grid of one position per"),
    "both": (_lines(shape=[3, 2**33, 2**33], grid=[2**31, 2**31]), "a shorter one"),
    "bytes": (_lines(payload=10**400), "expected an item"),
    "grids that wrap around": (
        lambda store: [
            _lines(shape=[3, 2**34, 2**34], grid=[2**32, 2**32])(store),
            _shard(lambda t: t.update(grids=t["grids"] * 0 + 2**32, values=np.zeros(0, np.int16)))(store),
        ],
        "a shorter one",
    ),
    "grids turned": (_shard(lambda t: t.update(grids=t["grids"][:, ::-1].copy())), "the grids of its items"),
    "grids of floats": (_shard(lambda t: t.update(grids=t["grids"].astype(np.float32))), "the grids of its items"),
    "fewer values": (_shard(lambda t: t.update(values=t["values"][:5])), "a shorter one"),
    "classes": (_labels("class", CLASSES, classes=np.full(64, 9)), "the labels that its items have"),
    "classes of floats": (_labels("class", CLASSES, classes=np.zeros(64, np.float32)), "expected labels of 64"),
    "rows of classes": (_labels("class", CLASSES, classes=np.zeros((64, 2), np.int64)), "expected labels of 64"),
    "a number": (_labels("number", numbers=np.zeros(64, np.float32)), "expected labels of 64"),
    "no numbers": (_labels("number", numbers=np.zeros((64, 0), np.float32)), "the labels that its items have"),
    "no number": (_labels("number", numbers=np.full((64, 1), np.nan, np.float32)), "the labels that its items have"),
    "short maps": (_labels("map", CLASSES, maps=np.zeros(5, np.int16), shapes=SHAPES), "that its items have"),
    "other maps": (_labels("map", CLASSES, maps=np.zeros(64, np.int16), shapes=SHAPES * 0 + 1), "that its items have"),
    "classes of maps": (
        _labels("map", CLASSES, maps=np.full(64 * 33 * 29, 77, np.int16), shapes=SHAPES),
        "expected classes below 2 for 'test/lying/00.png', got 77 to 77",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_parts_that_do_not_belong_together_are_refused(case: str, whole: Path, tmp_path: Path) -> None:
    damage, words = CASES[case]
    shutil.copytree(whole, tmp_path / "s")
    damage(tmp_path / "s")
    with pytest.raises(FormatError) as caught:
        store = LatentStore(tmp_path / "s")
        if case == "recipe":
            macs_before(store)
        labels_of(LatentDataset(store, "test"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_store_without_its_table_is_made_again(whole: Path, model: Model, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "s")
    (tmp_path / "s" / "store.json").unlink()
    items = labelled_items(pictures, model.modality.find(pictures), "folders")
    made = make_store(items, LatentSource(model), tmp_path / "s")
    assert made.digest == LatentStore(whole).digest
