"""Items of a store as a data set."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from liveaction.codec.model import Model
from liveaction.errors import SpecError
from liveaction.learning.dataset import LatentDataset, majority, selection
from liveaction.learning.labels import LabelledItem, labelled_items
from liveaction.learning.making import StoreOptions, make_store
from liveaction.learning.sources import LatentSource, SampleSource
from liveaction.learning.store import LatentStore


@pytest.fixture(scope="module")
def store(model: Model, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    items = labelled_items(pictures, model.modality.find(pictures), "folders")
    options = StoreOptions(views=("identity", "flip:x"))
    return make_store(items, LatentSource(model), tmp_path_factory.mktemp("store") / "s", options)


def _epochs(data: LatentDataset, workers: int) -> list[torch.Tensor]:
    loader = DataLoader(data, 5, num_workers=workers, persistent_workers=workers > 0)
    found = []
    for epoch in range(2):
        data.set_epoch(epoch)
        found.append(torch.cat([latents.flatten(1) for latents, _ in loader]))
    return found


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")  # of fewer cores
def test_epochs_are_equal_for_any_number_of_workers(store: LatentStore) -> None:
    data = LatentDataset(store, crop=(5, 5), augment=["noise"], seed=3)
    alone, four = _epochs(data, 0), _epochs(data, 4)
    assert all(torch.equal(one, two) for one, two in zip(alone, four, strict=True))
    assert not torch.equal(alone[0], alone[1])
    assert not torch.equal(alone[0], _epochs(LatentDataset(store, crop=(5, 5), augment=["noise"], seed=4), 0)[0])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))])
def test_workers_of_a_copy_are_told_of_epochs(
    store: LatentStore, copied: Callable[[LatentDataset], LatentDataset]
) -> None:
    data = LatentDataset(store, crop=(5, 5), augment=["noise"], seed=3)
    alone, two = _epochs(data, 0), _epochs(copied(data), 2)
    assert all(torch.equal(one, other) for one, other in zip(alone, two, strict=True))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": -1}, "expected a seed from 0 on"),
        ({"labels": "pixels"}, "labels at samples or on the grid, got 0, 'pixels'"),
        ({"crop": (2.5, 3)}, r"crop: expected positions along \('y', 'x'\), got \(2.5, 3\)"),
        ({"augment": "noise"}, r"expected a list of texts, got the text 'noise'; write \['noise'\]"),
    ],
)
def test_wrong_options_are_refused(store: LatentStore, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        LatentDataset(store, **options)
    with pytest.raises(SpecError, match="epoch: expected a number from 0 on, got -1"):
        LatentDataset(store).set_epoch(-1)


def test_items_are_dequantised_latents_and_classes(store: LatentStore) -> None:
    data = LatentDataset(store, "test")
    latents, label = data[3]
    number = store.split("test")[3]
    assert np.array_equal(latents.numpy(), store.latents(number) * np.float32(store.about.step))
    assert label == store.classes[number]
    assert (data.spec.grid, data.spec.channels, data.spec.outputs) == ((9, 8), 7, 2)
    batch, labels = data.batch([3, 0])
    assert torch.equal(batch[0], latents)
    assert labels.tolist() == [int(label), int(data[0][1])]


def test_one_of_the_views_is_drawn_in_training(store: LatentStore) -> None:
    data = LatentDataset(store, "train")
    step, numbers = np.float32(store.about.step), set()
    for epoch in range(8):
        data.set_epoch(epoch)
        values = data[0][0].numpy()
        views = [view for view in range(2) if np.array_equal(values, store.latents(data.numbers[0], view) * step)]
        numbers.update(views)
        assert views
    assert numbers == {0, 1}


def test_a_crop_of_the_store_is_the_store_of_a_crop(model: Model, pictures: Path, tmp_path: Path) -> None:
    """Haar's packets of a position know of its own samples alone, and rounding looks at nothing else."""
    paths = model.modality.find(pictures / "test" / "lying")[:2]
    for path in paths:
        signal = model.modality.read(path)
        model.modality.write(signal.crop(slice(8, 24), slice(12, 20)), tmp_path / path.name)
    whole = make_store([LabelledItem(p.name, p, "") for p in paths], LatentSource(model, fast=True), tmp_path / "w",
                       StoreOptions(task=None))  # fmt: skip
    items = [LabelledItem(p.name, tmp_path / p.name, "") for p in paths]
    part = make_store(items, LatentSource(model, fast=True), tmp_path / "p", StoreOptions(task=None))
    for number in range(2):
        assert np.array_equal(whole.latents(number)[:, 2:6, 3:5], part.latents(number))


def test_crops_are_drawn_in_training_and_from_the_middle_else(store: LatentStore) -> None:
    data = LatentDataset(store, "test", crop=(3, 4))
    values = store.latents(data.numbers[0]) * np.float32(store.about.step)
    assert np.array_equal(data[0][0].numpy(), values[:, 3:6, 2:6])
    longer = LatentDataset(store, "test", crop=(10, 8))[0][0].numpy()
    assert np.array_equal(longer[:, 9], values[:, 8])
    with pytest.raises(SpecError, match="crop: expected positions along"):
        LatentDataset(store, crop=(3,))


def test_statistics_are_of_what_is_learnt_from(store: LatentStore) -> None:
    chosen = selection(store, [0, 1, 2], [5])
    values = np.stack([store.latents(number) for number in range(3)]) * store.about.step
    assert chosen.numbers == (5,)
    assert np.allclose(chosen.statistics.mean, values.mean((0, 2, 3)))
    assert LatentDataset(store, chosen).spec.statistics == chosen.statistics


def test_maps_follow_crops(model: Model, pictures: Path, tmp_path: Path) -> None:
    path = model.modality.find(pictures / "test" / "lying")[0]
    truth = np.random.default_rng(0).integers(-1, 3, (33, 29)).astype(np.int16)
    np.save(tmp_path / "m.npy", truth)
    items = [LabelledItem(path.name, path, str(tmp_path / "m.npy"))]
    store = make_store(items, LatentSource(model), tmp_path / "s", StoreOptions(task="map"))
    data = LatentDataset(store, crop=(2, 8), random=False)
    part = data[0][1].numpy()
    assert np.array_equal(part[:, :29], truth[12:20, 0:29])
    assert (part[:, 29:] == -1).all()
    assert data.spec.label_factors == (4, 4)
    grid = LatentDataset(store, crop=(2, 8), random=False, labels="grid")[0][1].numpy()
    assert np.array_equal(grid, majority(part, (4, 4), 3))


def test_the_majority_of_a_position() -> None:
    labels = np.array([[0, 1, 2, 2], [1, 0, 2, -1], [-1, -1, 1, 2], [-1, -1, 0, 2]])
    assert majority(labels, (2, 2), 3).tolist() == [[0, 2], [-1, 2]]


def test_samples_are_a_data_set_too(model: Model, pictures: Path, tmp_path: Path) -> None:
    items = labelled_items(pictures, model.modality.find(pictures), "folders")[:4]
    store = make_store(items, SampleSource(model.modality, 2), tmp_path / "s")
    data = LatentDataset(store, "test")
    assert (data.spec.factors, data.spec.step, data.spec.channels) == ((2, 2), 0.0, 3)
    with pytest.raises(SpecError, match="expected values that were rounded for 'noise'"):
        LatentDataset(store, "test", augment=["noise"])


def test_items_of_several_grids_need_a_crop(model: Model, pictures: Path, tmp_path: Path) -> None:
    signal = model.modality.read(model.modality.find(pictures)[0])
    for number, side in enumerate((8, 33)):
        model.modality.write(signal.crop(slice(0, side), slice(0, 29)), tmp_path / f"{number}.png")
    items = [LabelledItem(f"{k}.png", tmp_path / f"{k}.png", "") for k in range(2)]
    store = make_store(items, LatentSource(model), tmp_path / "s", StoreOptions(task=None))
    with pytest.raises(SpecError, match="expected one, for items of 2 grids"):
        LatentDataset(store)
    assert LatentDataset(store, crop=(2, 2)).batch([0, 1])[0].shape == (2, 7, 2, 2)
