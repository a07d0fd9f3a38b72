"""Crops: seeded, bounded by memory maps, padded where a signal is too small."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import liveaction
from liveaction.cli.main import app
from liveaction.codec.codec import build_codec
from liveaction.errors import FormatError
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec
from liveaction.training import freeze as fits
from liveaction.training import loop
from liveaction.training import run as runs
from liveaction.training.data import Crops, cached_signal, find_items, prefetch
from liveaction.training.loss import distortion
from liveaction.training.run import split_items
from liveaction.training.sound import Sieve


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
    for wrong in (
        "synthetic:0",
        "synthetic:x",
        "synthetic:1:2:3",
        "synthetic:",
        "synthetic:²",
        "synthetic:" + 5000 * "9",
    ):
        with pytest.raises(FormatError, match="--data: expected synthetic"):
            find_items(modality, [wrong])
    with pytest.raises(FormatError, match="--data: expected at most 1000000 synthetic signals, got 99999999999; take"):
        find_items(modality, ["synthetic:99999999999"])


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


@pytest.fixture
def bad(scans):
    """Beside two whole files one that is cut in its middle, and one that is empty; both come first by name."""
    (scans / "a0.nii.gz").write_bytes((scans / "a.nii.gz").read_bytes()[:900])
    (scans / "a1.nii.gz").write_bytes(b"")
    return scans


def sieve(modality, folder, skip=False):
    told = []
    return Sieve(modality, folder, skip, told.append), told


def test_the_first_bad_file_is_named_before_another_is_read(modality, bad, tmp_path):
    strict, told = sieve(modality, tmp_path / "cache")
    with pytest.raises(FormatError, match=r"a1\.nii\.gz: expected a file that holds something, got an empty one; copy"):
        strict.find("--data", [str(bad)])
    (bad / "a1.nii.gz").unlink()
    items = strict.find("--data", [str(bad)])
    with pytest.raises(FormatError, match=r"a0\.nii\.gz: expected a whole NIfTI file, got "):
        strict.read("--data", items)
    assert not (tmp_path / "cache").exists() or len(list((tmp_path / "cache").iterdir())) <= 2
    assert not any("left out" in line for line in told)


def test_a_bad_header_is_named_before_another_file_is_read(modality, scans, dicom_series, tmp_path):
    folder = dicom_series(scans / "z")
    (folder / "21.dcm").unlink()
    strict, _ = sieve(modality, tmp_path / "cache")
    with pytest.raises(FormatError, match=r"z: expected slices 2.5 mm apart, got 5 mm"):
        strict.find("--data", [str(scans)])
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 2), np.int16), np.eye(4)), scans / "y.nii")
    for path in (folder, scans / "y.nii"):
        with pytest.raises(FormatError):
            modality.check(path)
    shutil.rmtree(folder)
    with pytest.raises(FormatError, match=r"y\.nii: expected a volume .* or take a recipe for series"):
        strict.find("--data", [str(scans)])
    series = build_modality(load_recipe("series_smoke").modality)
    series.check(scans / "y.nii")
    with pytest.raises(FormatError, match=r"a\.nii\.gz: expected a series"):
        series.check(scans / "a.nii.gz")


def test_bad_files_are_left_out_where_that_is_asked_for(modality, bad, tmp_path):
    lenient, told = sieve(modality, tmp_path / "cache", skip=True)
    good = lenient.read("--data", lenient.find("--data", [str(bad)]))
    assert [item.path.name for item in good] == ["a.nii.gz", "b.nii.gz"]
    assert [Path(each.source).name for each in lenient.left_out] == ["a1.nii.gz", "a0.nii.gz"]
    assert [line for line in told if "left out" in line] == [f"left out: {each.error}" for each in lenient.left_out]
    with pytest.raises(
        FormatError, match=r"^--val: expected a signal that can be read, got 1 that cannot, the first: "
    ):
        lenient.find("--val", [str(bad / "a1.nii.gz")])
    with pytest.raises(FormatError, match="no such path"):  # misspelt, not bad
        lenient.find("--data", [str(bad / "c.nii.gz"), str(bad)])


def test_an_error_that_nobody_foresaw_names_its_file(modality, scans, tmp_path, monkeypatch):
    monkeypatch.setattr(modality, "read", lambda path: {}["key"])
    strict, _ = sieve(modality, tmp_path / "cache")
    with pytest.raises(FormatError, match=r"a\.nii\.gz: expected a signal that can be read, got KeyError: 'key'; l"):
        strict.read("--data", strict.find("--data", [str(scans)]))


def test_what_was_left_out_stands_in_the_record_of_the_run(modality, bad, tmp_path, monkeypatch):
    monkeypatch.setenv("LIVEACTION_CACHE", str(tmp_path / "cache"))
    for place in (loop, fits):
        monkeypatch.setattr(place, "freeze", lambda codec, crops, seed, stage: None)
    monkeypatch.setattr(loop, "draw_curves", lambda folder: None)
    monkeypatch.setattr(runs, "draw_preview", lambda *given: None)
    settings = ["codec.levels=2", "codec.latent_channels=4", "training.crop=[16]", "training.warm_crops=2"]
    recipe = load_recipe("ct_klt", [*settings, "training.steps=0"])
    with pytest.raises(FormatError, match=r"a1\.nii\.gz: expected a file that holds something"):
        liveaction.train(recipe, bad, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    result = liveaction.train(recipe, bad, tmp_path / "run", device="cpu", skip_bad=True)
    assert [Path(each.source).name for each in result.left_out] == ["a1.nii.gz", "a0.nii.gz"]
    summary = json.loads((tmp_path / "run" / "training.json").read_text())
    assert summary["left_out"] == [{"source": each.source, "error": each.error} for each in result.left_out]
    done = CliRunner().invoke(app, ["freeze", str(tmp_path / "run"), "--data", str(bad), "-q", "--skip-bad"])
    assert done.exit_code == 0 and [line[:19] for line in done.stderr.splitlines()] == ["liveaction: left ou"] * 2


def test_a_signal_of_which_nothing_was_measured_is_named(modality, tmp_path, monkeypatch):
    (item,) = find_items(modality, ["synthetic:1"])
    values = np.zeros((1, 8, 8, 8), np.float32)
    signal = Signal(values, ("x", "y", "z"), "HU", (1, 1, 1), "float32", {}, missing=np.ones_like(values, bool))
    monkeypatch.setattr(modality, "synthetic", lambda seed: signal)
    with pytest.raises(FormatError, match="synthetic 0: expected a signal with values that were measured, got none"):
        cached_signal(item, modality, tmp_path)


def test_a_cached_signal_that_is_damaged_is_made_anew(modality, scans, tmp_path):
    (item,) = find_items(modality, [str(scans / "b.nii.gz")])
    first = cached_signal(item, modality, tmp_path / "cache")
    (about,) = (tmp_path / "cache").glob("*.json")
    (stored,) = (tmp_path / "cache").glob("*.npy")
    whole = about.read_text()
    for text, size in ((whole, 0), (whole, 200), ("", 200), ("[]", 200), ('{"range": [3, 3], "missing": false}', 9999)):
        about.write_text(text)
        stored.write_bytes(stored.read_bytes()[:size])
        again = cached_signal(item, modality, tmp_path / "cache")
        assert again.limits == first.limits and np.array_equal(again.values, item.read(modality).values)


def test_crops_of_which_nothing_was_measured_give_finite_losses_and_gradients():
    x, made = torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8, requires_grad=True)
    loss = distortion(x, made, torch.zeros_like(x))
    loss.backward()
    assert torch.isfinite(loss) and torch.equal(made.grad, torch.zeros_like(made))


def recordings(folder, *numbers):
    """The modality of any number of microphones, and a file of each number, channel c of file i being 100 i + c."""
    spec = {"name": "array_audio", "axes": ["t"], "channels": 0, "range": [-1000, 1000]}
    modality = build_modality(ModalitySpec.model_validate(spec))
    for i, channels in enumerate(numbers):
        signal = modality.synthetic(0, (50,)).crop(slice(0, 50))
        values = np.repeat(100 * i + np.arange(channels, dtype=np.int16)[:, None], 50, axis=1)
        modality.write(replace(signal, values=values), folder / f"{i}.wav")
    return modality


def drawn(x):
    """The number of the file that a crop is of, as :func:`recordings` made it."""
    return round(float(x[0, 0]) * 10)


def test_a_batch_is_of_signals_of_one_number_of_channels(tmp_path):
    modality = recordings(tmp_path, 1, 5, 7, 5)
    crops = Crops(modality, find_items(modality, [str(tmp_path)]), tmp_path / "cache")
    of_number = {1: {0}, 5: {1, 3}, 7: {2}}
    seen = {channels: set() for channels in of_number}
    for step in range(60):
        keys = [(0, 1, step, i) for i in range(5)]
        x = crops.batch(keys, (9,)).x
        assert x.shape[0] == 5 and x.shape[2] == 9
        seen[x.shape[1]] |= {drawn(one) for one in x}
        assert torch.equal(x, crops.batch(keys, (9,)).x)
        assert torch.equal(x[:1], crops.batch(keys[:1], (9,)).x)
    assert seen == of_number


def test_single_crops_and_chunks_have_the_channels_of_their_signal_and_its_share(tmp_path):
    modality = recordings(tmp_path, 1, 5, 7, 5)
    crops = Crops(modality, find_items(modality, [str(tmp_path)]), tmp_path / "cache")
    layout = build_codec(load_recipe("array_audio_smoke")).layout
    found, counts = set(), np.zeros(4)
    for n in range(400):
        x = crops.batch([(2, n)], (9,)).x
        counts[drawn(x[0])] += 1
        assert x.shape == (1, (1, 5, 7, 5)[drawn(x[0])], 9)
        if n < 40:
            chunk = crops.chunk((4, 0, n), layout)
            found.add(chunk.shape[0])
            assert chunk.shape[1] == 50 and torch.equal(chunk, crops.chunk((4, 0, n), layout))
    assert found == {1, 5, 7}
    np.testing.assert_allclose(counts / 400, crops.shares, atol=0.07)


def test_signals_of_one_number_are_drawn_as_before(modality, scans, tmp_path):
    crops = Crops(modality, find_items(modality, [str(scans)]), tmp_path / "cache")
    keys = [(3, i) for i in range(6)]
    x = crops.batch(keys, (4, 4, 4)).x
    assert all(torch.equal(x[i : i + 1], crops.batch([key], (4, 4, 4)).x) for i, key in enumerate(keys))


def test_the_cache_keeps_numbers_of_channels_apart(tmp_path):
    modality = recordings(tmp_path, 7)
    path = str(tmp_path / "0.wav")
    select = {"options": {"select": [0, 3]}}
    updates = {}, {"channels": 7}, {"channels": 2, **select}, select
    others = [build_modality(modality.spec.model_copy(update=update)) for update in updates]
    keys = {find_items(each, [path])[0].key(each) for each in others}
    assert len(keys) == 4
    item = find_items(modality, [path])[0]
    assert cached_signal(item, modality, tmp_path / "cache").values.shape == (7, 50)
    (phantom,) = find_items(modality, ["synthetic:1"])
    two = build_modality(modality.spec.model_copy(update={"channels": 2}))
    assert phantom.read(modality).values.shape[0] == 4 and phantom.key(modality) != phantom.key(two)
