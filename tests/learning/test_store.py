"""Stores of latents: what they hold, and that they are whole."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from liveaction.codec.model import Model
from liveaction.codec.stream import open_reader
from liveaction.codec.symbols import read_latents
from liveaction.errors import FormatError, SpecError
from liveaction.learning import making
from liveaction.learning.labels import LabelledItem, labelled_items
from liveaction.learning.making import StoreOptions, make_store
from liveaction.learning.resampling import resampled
from liveaction.learning.sources import LatentSource, SampleSource, fitted, seen, step_for_int8
from liveaction.learning.store import LatentStore
from liveaction.registry import build_modality
from liveaction.spec import ModalitySpec


def _items(model: Model, folder: Path) -> list[LabelledItem]:
    return labelled_items(folder, model.modality.find(folder), "folders")


@pytest.fixture(scope="module")
def store(model: Model, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    return make_store(_items(model, pictures), LatentSource(model), tmp_path_factory.mktemp("store") / "s")


def test_symbols_are_those_of_the_stream(store: LatentStore, model: Model, pictures: Path) -> None:
    for number in (0, 17, len(store) - 1):
        item = store.items[number]
        data = model.compress(pictures / item.name)
        with open_reader(data, model) as reader:
            latents, step = read_latents(reader)
        assert np.array_equal(store.latents(number) * np.float32(step), latents)
        assert item.bytes == len(data)
        assert 0 < item.container < item.bytes


def test_a_store_says_what_it_holds(store: LatentStore, model: Model) -> None:
    about = store.about
    assert (len(store), about.splits, about.names) == (64, {"test": 16, "train": 48}, ("lying", "standing"))
    assert (store.uniform, about.channels, about.factors, about.dtype) == ((9, 8), 7, (4, 4), "int16")
    assert about.model == model.digest
    assert about.recipe == model.recipe.model_dump(mode="json")
    assert [about.names[k] for k in store.classes] == [item.label for item in store.items]


def test_statistics_are_of_the_training_split_alone(store: LatentStore) -> None:
    values = np.stack([store.latents(number) for number in store.split("train")]).astype(np.float64) * store.about.step
    found = store.about.statistics
    assert np.allclose(found.mean, values.mean((0, 2, 3)))
    assert np.allclose(found.deviation, values.std((0, 2, 3)))
    assert np.allclose(found.most, values.max((0, 2, 3)))
    _, counts = np.unique(values[:, 0], return_counts=True)
    shares = counts / counts.sum()
    assert np.isclose(found.entropy[0], -(shares * np.log2(shares)).sum())


def test_batches_and_pickles_hold_the_same(store: LatentStore) -> None:
    again = pickle.loads(pickle.dumps(store))
    numbers = [5, 1, 40]
    assert np.array_equal(again.batch(numbers), np.stack([store.latents(number) for number in numbers]))
    with pytest.raises(IndexError, match="item 64 is out of bounds"):
        store.latents(64)


def test_a_store_of_an_archive_is_that_of_its_files(
    store: LatentStore, model: Model, pictures: Path, tmp_path: Path
) -> None:
    for item in store.items:
        target = tmp_path / "archive" / (item.name + ".lva")
        target.parent.mkdir(parents=True, exist_ok=True)
        model.compress_file(pictures / item.name, target)
    paths = sorted((tmp_path / "archive").rglob("*.lva"))
    items = labelled_items(tmp_path / "archive", paths, "folders", ".lva")
    other = make_store(items, LatentSource(model), tmp_path / "s")
    assert [item.name for item in other.items] == [item.name for item in store.items]
    assert all(np.array_equal(store.latents(k), other.latents(k)) for k in range(len(store)))
    assert other.about.statistics == store.about.statistics


def test_what_was_interrupted_goes_on(
    store: LatentStore, model: Model, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "SHARD_ITEMS", 10)
    items, calls = _items(model, pictures), []

    class Dies(LatentSource):
        def encode(self, path, fit, views):  # type: ignore[no-untyped-def]
            calls.append(path)
            if len(calls) == 37:
                raise KeyboardInterrupt
            return super().encode(path, fit, views)

    with pytest.raises(KeyboardInterrupt):
        make_store(items, Dies(model), tmp_path / "s")
    with pytest.raises(FormatError, match="expected a store of latents, got none"):
        LatentStore(tmp_path / "s")
    found = make_store(items, Dies(model), tmp_path / "s")
    assert len(calls) == 37 + len(items) - 30  # three shards of ten were whole
    assert [shard.items for shard in found.about.shards] == [10] * 6 + [4]
    assert all(np.array_equal(store.latents(k), found.latents(k)) for k in range(len(store)))
    assert found.items == store.items
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        ".lock", ".plan", "items.jsonl", "labels.safetensors", *(f"latents-{k:05}.safetensors" for k in range(7)),
        "store.json",
    ]  # fmt: skip
    make_store(items, Dies(model), tmp_path / "s")  # is there
    assert len(calls) == 37 + len(items) - 30


def test_another_store_is_not_written_over(model: Model, pictures: Path, tmp_path: Path) -> None:
    items = _items(model, pictures)[:3]
    make_store(items, LatentSource(model), tmp_path / "s")
    with pytest.raises(SpecError, match="expected no store, or this very one, got another"):
        make_store(items[:2], LatentSource(model), tmp_path / "s")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(SpecError, match=r"expected an empty folder for a store, got 'thesis\.txt'"):
        make_store(items, LatentSource(model), tmp_path / "full")


def test_views_are_kept_beside_items(model: Model, pictures: Path, tmp_path: Path) -> None:
    items = _items(model, pictures)[:3]
    views = ("identity", "flip:x", "flip:x+flip:y")
    found = make_store(items, LatentSource(model), tmp_path / "s", StoreOptions(views=views))
    signal = seen(model.modality.read(items[2].path), "flip:x+flip:y")
    with open_reader(model.compress(signal), model) as reader:
        latents, step = read_latents(reader)
    assert np.array_equal(found.latents(2, 2) * np.float32(step), latents)
    assert len(found) == 3
    with pytest.raises(SpecError, match="--views: expected identity or flip:AXIS"):
        make_store(items, LatentSource(model), tmp_path / "t", StoreOptions(views=("identity", "turn:x")))


def test_grids_may_differ(model: Model, pictures: Path, tmp_path: Path) -> None:
    signal = model.modality.read(_items(model, pictures)[0].path)
    for number, part in enumerate((signal, signal.crop(slice(0, 12), slice(0, 29)), signal.crop(slice(1), slice(3)))):
        model.modality.write(part, tmp_path / f"{number}.png")
    items = labelled_items(tmp_path, sorted(tmp_path.glob("*.png")), "")
    found = make_store(items, LatentSource(model), tmp_path / "s", StoreOptions(task=None))
    assert [found.latents(k).shape for k in range(3)] == [(7, 9, 8), (7, 3, 8), (7, 1, 1)]
    assert found.uniform is None
    with pytest.raises(SpecError, match="expected items of one grid"):
        found.batch([0, 1])
    even = make_store(items, LatentSource(model), tmp_path / "e", StoreOptions(task=None, fit={"x": 8, "y": 16}))
    assert even.uniform == (4, 2)


def test_bytes_are_enough_at_the_least_step(model: Model, pictures: Path, tmp_path: Path) -> None:
    items = _items(model, pictures)[:6]
    step = step_for_int8(model, [item.path for item in items], {})
    found = make_store(items, LatentSource(model, step, dtype="int8"), tmp_path / "s")
    largest = max(int(np.abs(found.latents(k).astype(int)).max()) for k in range(6))
    assert found.about.dtype == "int8"
    assert 120 <= largest <= 127
    with pytest.raises(SpecError, match=r"expected symbols within int8, got .* take --step"):
        make_store(items, LatentSource(model, step / 2, dtype="int8"), tmp_path / "t")


def test_samples_are_kept_as_they_are_or_fewer(model: Model, pictures: Path, tmp_path: Path) -> None:
    items = _items(model, pictures)[:2]
    whole = make_store(items, SampleSource(model.modality), tmp_path / "s")
    few = make_store(items, SampleSource(model.modality, 4), tmp_path / "t")
    values = model.modality.read(items[1].path).values
    assert np.array_equal(whole.latents(1), values)
    assert whole.items[1].bytes == values.size
    assert np.array_equal(few.latents(1), resampled(values, 4))
    assert few.latents(1).shape == (3, 9, 8)
    assert few.items[1].bytes == few.latents(1).size


def test_signals_are_fitted_around_their_middle(model: Model, pictures: Path) -> None:
    signal = model.modality.read(_items(model, pictures)[0].path)
    found = fitted(signal, {"x": 20, "y": 40}).values
    assert found.shape == (3, 40, 20)
    assert np.array_equal(found[:, 3:36], signal.values[:, :, 4:24])
    assert np.array_equal(found[:, 0], signal.values[:, 0, 4:24])
    with pytest.raises(SpecError, match="--fit: expected axes among"):
        fitted(signal, {"z": 4})


def test_numbers_and_maps_are_labels(model: Model, pictures: Path, tmp_path: Path) -> None:
    items = _items(model, pictures)[:2]
    numbered = [LabelledItem(item.name, item.path, f"{k} 0.5") for k, item in enumerate(items)]
    found = make_store(numbered, LatentSource(model), tmp_path / "n", StoreOptions(task="number"))
    assert np.array_equal(found.numbers, np.array([[0, 0.5], [1, 0.5]], np.float32))
    mapped = []
    for k, item in enumerate(items):
        np.save(tmp_path / f"{k}.npy", np.full((33, 29), k - 1, np.int8))
        mapped.append(LabelledItem(item.name, item.path, str(tmp_path / f"{k}.npy")))
    found = make_store(mapped, LatentSource(model), tmp_path / "m", StoreOptions(task="map"))
    assert (found.map(1) == 0).all()
    assert found.map(0).shape == (33, 29)
    again = tmp_path / "again"
    make_store(mapped, LatentSource(model), again, StoreOptions(task="map"))
    np.save(tmp_path / "1.npy", np.zeros((33, 29), np.int16))
    with pytest.raises(SpecError, match="expected no store, or this very one, got another"):
        make_store(mapped, LatentSource(model), again, StoreOptions(task="map"))
    (tmp_path / "1.npy").write_bytes(b"")
    with pytest.raises(FormatError, match="--labels: expected a map for"):
        make_store(mapped, LatentSource(model), tmp_path / "v", StoreOptions(task="map"))
    np.save(tmp_path / "1.npy", np.zeros((33, 28), np.int8))
    with pytest.raises(FormatError, match=r"expected a map of extents \(33, 29\)"):
        make_store(mapped, LatentSource(model), tmp_path / "w", StoreOptions(task="map"))
    with pytest.raises(FormatError, match="expected numbers for"):
        make_store(_items(model, pictures)[:2], LatentSource(model), tmp_path / "x", StoreOptions(task="number"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda s: (s / "latents-00000.safetensors").write_bytes(b"\x00" * 40),
            "expected a safetensors file of a store",
        ),
        (lambda s: _cut(s / "latents-00000.safetensors"), "expected a safetensors file of a store"),
        (
            lambda s: (s / "latents-00000.safetensors").unlink(),
            "expected its file 'latents-00000.safetensors', got none",
        ),
        (lambda s: (s / "items.jsonl").write_text('{"name": 3}\n'), "line 1: expected an item"),
        (lambda s: (s / "items.jsonl").write_text(""), "expected 2 items, got lines of 0"),
        (lambda s: _set(s / "store.json", "version", 2), "expected version 1, got 2"),
        (lambda s: _set(s / "store.json", "step", -1.0), "expected key 'step' to be right"),
        (lambda s: _set(s / "store.json", "dtype", "int8"), "expected int8 values of 2 rows"),
    ],
)
def test_damage_is_told(model: Model, pictures: Path, tmp_path: Path, change, words: str) -> None:  # type: ignore[no-untyped-def]
    made = make_store(_items(model, pictures)[:2], LatentSource(model), tmp_path / "s")
    shutil.copytree(made.folder, tmp_path / "d")
    change(tmp_path / "d")
    with pytest.raises(FormatError, match=words):
        LatentStore(tmp_path / "d").latents(0)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def _set(path: Path, key: str, value: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))


def test_codecs_without_fixed_latents_are_refused(tmp_path: Path) -> None:
    import liveaction

    recipe = liveaction.load_recipe("ct_sparse")
    codec = liveaction.build_codec(recipe).eval()
    with pytest.raises(
        SpecError, match="expected latents of one kind for all signals, got recipe 'ct_sparse' with several"
    ):
        LatentSource(Model(codec, recipe, "0" * 64))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float16", "float32", "float64"])
def test_samples_of_every_dtype_are_kept(tmp_path: Path, dtype: str) -> None:
    values = np.arange(2 * 7 * 9).reshape(2, 7, 9).astype(dtype)
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", values[number])
    modality = build_modality(ModalitySpec(name="array", axes=("y", "x"), range=(0, 255)))
    items = [LabelledItem(f"{number}.npy", tmp_path / f"{number}.npy", str(number)) for number in range(2)]
    store = make_store(items, SampleSource(modality), tmp_path / "s")
    assert all(np.array_equal(store.latents(number)[0], values[number]) for number in range(2))
