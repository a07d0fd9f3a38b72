"""Crops: seeded, bounded by memory maps, padded where a signal is too small."""

import json

import numpy as np
import pytest
import torch

from liveaction.errors import FormatError
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal
from liveaction.training.data import Crops, cached_signal, find_items, prefetch
from liveaction.training.run import split_items


@pytest.fixture
def modality():
    return build_modality(load_recipe("ct_smoke").modality)


@pytest.fixture
def scans(modality, tmp_path):
    rng = np.random.default_rng(0)
    for name, shape in (("a", (20, 24, 28)), ("b", (9, 40, 12))):
        values = rng.integers(-1000, 1000, (1, *shape)).astype(np.int16)
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]).tolist()
        modality.write(
            Signal(values, ("x", "y", "z"), "HU", (1, 1, 1), "int16", {"affine": affine}), tmp_path / f"{name}.nii.gz"
        )
    return tmp_path


def test_crops_are_a_function_of_their_key(modality, scans, tmp_path):
    crops = Crops(modality, find_items(modality, [str(scans)]), tmp_path / "cache")
    keys = [(1, 2, i) for i in range(4)]
    first = crops.batch(keys, (16, 16, 16)).x
    assert first.shape == (4, 1, 16, 16, 16)
    assert torch.equal(first, crops.batch(keys, (16, 16, 16)).x)
    assert not torch.equal(first, crops.batch([(2, 2, i) for i in range(4)], (16, 16, 16)).x)
    assert not torch.equal(first[0], first[1])
    assert first.abs().max() <= 1


def test_a_crop_stands_in_its_volume_and_short_axes_repeat_their_last_sample(modality, scans, tmp_path):
    items = find_items(modality, [str(scans / "b.nii.gz")])
    crop = Crops(modality, items, tmp_path / "cache").batch([(5,)], (16, 16, 16)).x[0]
    whole = modality.normalise(items[0].read(modality).values, (-1024, 3071))
    assert torch.equal(crop[:, 9:], crop[:, 8:9].expand(-1, 7, -1, -1))
    assert torch.equal(crop[..., 12:], crop[..., 11:12].expand(-1, -1, -1, 4))
    inner = crop[:, :9, :, :12]
    assert any(torch.equal(inner, whole[:, :, start : start + 16]) for start in range(25))


def test_a_data_list_names_its_images(modality, scans, tmp_path):
    listed = {"training": [{"image": "./a.nii.gz", "label": "./nowhere.nii.gz"}], "test": ["b.nii.gz"], "empty": []}
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(listed))
    assert [item.path for item in find_items(modality, [str(path)])] == [scans / "a.nii.gz"]
    assert [item.path for item in find_items(modality, [f"{path}:test", str(scans)])] == [
        scans / "b.nii.gz", scans / "a.nii.gz",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[1, 2]", "", "expected a data list with one image for each entry of 'training', got ValueError"),
        ("{", "", "expected a data list with one image for each entry of 'training', got JSONDecodeError"),
        ('{"training": [{"label": "a"}]}', "", "got KeyError: 'image'"),
        ('{"training": [{"image": 3}]}', "", "got TypeError"),
        ('{"training": []}', "", "expected images under 'training', got none; name another key"),
        ('{"training": []}', ":val-1", "expected a data list with one image for each entry of 'val-1'"),
        ('{"training": []}', ":fold", "expected a data list with one image for each entry of 'fold'"),
        ('{"training": [{"image": "c.nii"}, {"image": "d.nii"}]}', "", r"none at '.*c.nii' and 1 more; keep the list"),
    ],
)
def test_a_data_list_that_is_none_is_one_line(modality, tmp_path, text, key, words):
    path = tmp_path / "dataset.json"
    path.write_text(text)
    with pytest.raises(FormatError, match=words) as caught:
        find_items(modality, [f"{path}{key}"])
    assert str(caught.value).startswith(f"{path}{key}: ") and "\n" not in str(caught.value)


def test_arrays_are_mapped_and_read_once(modality, scans, tmp_path, monkeypatch):
    (item,) = find_items(modality, [str(scans / "a.nii.gz")])
    first = cached_signal(item, modality, tmp_path / "cache").values
    assert isinstance(first, np.memmap)
    monkeypatch.setattr(type(modality), "read", lambda self, path: pytest.fail("read twice"))
    assert np.array_equal(first, cached_signal(item, modality, tmp_path / "cache").values)
    assert not list((tmp_path / "cache").glob("*.part"))


def test_a_changed_file_is_read_again(modality, scans, tmp_path):
    (item,) = find_items(modality, [str(scans / "a.nii.gz")])
    before = item.key(modality)
    signal = item.read(modality)
    changed = Signal(signal.values + 1, signal.axes, signal.unit, signal.spacing, signal.dtype, signal.metadata)
    modality.write(changed, item.path)
    assert item.key(modality) != before


def test_synthetic_sources(modality):
    assert [item.seed for item in find_items(modality, ["synthetic:2:7"])] == [7, 8]
    assert len(find_items(modality, ["synthetic"])) == 6
    for wrong in ("synthetic:0", "synthetic:x", "synthetic:1:2:3", "synthetic:"):
        with pytest.raises(FormatError, match="--data: expected synthetic"):
            find_items(modality, [wrong])


def test_one_item_in_ten_is_held_out(modality):
    items = find_items(modality, ["synthetic:11"])
    split = split_items(items, [])
    assert [item.seed for item in split.held_out] == [0, 10]
    assert not set(split.train) & set(split.held_out)
    assert split_items(items[:1], []).shared
    assert split_items(items, items[:1]).train == items[1:]


def test_prefetch_keeps_the_order_and_passes_errors_on():
    assert [(s, int(x)) for s, x in prefetch(torch.tensor, iter(range(3, 7)))] == [(n, n) for n in range(3, 7)]

    def broken(step):
        raise FormatError("gone")

    with pytest.raises(FormatError, match="gone"):
        list(prefetch(broken, iter([1, 2])))


def test_a_signal_that_is_named_twice_counts_once(modality, scans, tmp_path):
    (tmp_path / "again").symlink_to(scans)
    named = [str(scans), str(scans / "a.nii.gz"), str(tmp_path / "again" / "b.nii.gz"), "synthetic:2", "synthetic:1:1"]
    items = find_items(modality, named)
    assert [item.name for item in items] == [
        str(scans / "a.nii.gz"), str(scans / "b.nii.gz"), "synthetic 0", "synthetic 1",
    ]  # fmt: skip


def test_what_is_held_out_is_not_trained_on(modality, scans):
    both = find_items(modality, [str(scans)])
    split = split_items(both, find_items(modality, [str(scans / "." / "a.nii.gz")]))
    assert [item.path.name for item in split.train] == ["b.nii.gz"] and not split.shared
    assert [item.path.name for item in split.held_out] == ["a.nii.gz"]
    split = split_items(both, both)
    assert split.train == split.held_out == both and split.shared
