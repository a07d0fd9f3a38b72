"""A warm start that prefers what tells classes apart: the statistic, the start, and the labels on their way to it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import liveaction
from liveaction.cli.main import app
from liveaction.codec.codec import build_codec
from liveaction.codec.flips import flip_signs
from liveaction.errors import FormatError, SpecError
from liveaction.learning.labels import training_labels
from liveaction.probing.protocol import load_probe
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.training.class_start import LEAST, explained, log_energies, told_by
from liveaction.training.warm_start import packet_moments, start_warm

FEW = ["codec.latent_channels=2", "codec.levels=1", "codec.wavelet=haar", "modality.channels=3", "training.crop=[16]"]


def test_the_share_that_classes_explain_is_that_of_an_analysis_of_variance() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    values = torch.randn(60, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = [str(place % 3) for place in range(60)]
    values[:, 1] += torch.arange(60) % 3
    values[:, 2] = torch.arange(60) % 3
    values[:, 3] = 5
    found = explained(values, labels)
    for column in (0, 1):
        groups = [values[place::3, column].numpy() for place in range(3)]
        f = scipy_stats.f_oneway(*groups).statistic
        wanted = max((f - 1) * 2 / ((f - 1) * 2 + 59), 0)  # epsilon squared by F
        assert float(found[column]) == pytest.approx(wanted, abs=1e-9)
    assert float(found[2]) == pytest.approx(1) and float(found[3]) == 0


def test_by_chance_classes_explain_nothing() -> None:
    values = torch.randn(300, 2000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    shares = explained(values, [str(place % 10) for place in range(300)])
    assert float(shares.mean()) < 0.02 and float((shares == 0).double().mean()) > 0.4


def test_one_class_or_every_crop_its_own_is_refused() -> None:
    with pytest.raises(SpecError, match=r"expected two classes or more, .* got 1 classes in 3 crops"):
        explained(torch.zeros(3, 2), ["a"] * 3)
    with pytest.raises(SpecError, match="got 3 classes in 3 crops"):
        explained(torch.zeros(3, 2), ["a", "b", "c"])


def stripes(count: int, seed: int = 0) -> tuple[list[torch.Tensor], list[str]]:
    """Strong brightness that says nothing, and faint stripes along x of one class alone."""
    draw = np.random.default_rng(seed)
    pictures, labels = [], []
    for place in range(count):
        x = np.full((3, 16, 16), draw.uniform(-0.8, 0.8)) + draw.normal(0, 0.01, (3, 16, 16))
        x += draw.normal(0, 0.2, (3, 16, 1))  # stripes along y in all
        if place % 2:
            x += 0.03 * (-1.0) ** np.arange(16)
        pictures.append(torch.tensor(x, dtype=torch.float32)[None])
        labels.append("striped" if place % 2 else "plain")
    return pictures, labels


@pytest.mark.parametrize("mirror", [[], [0, 1]])
def test_the_start_keeps_what_tells_classes_apart(mirror: list[int]) -> None:
    pictures, labels = stripes(80)
    kept = {}
    for classes in (0.0, 1.0):
        codec = build_codec(load_recipe("rgb_learn", FEW)).eval()
        told = told_by(codec, pictures, labels, classes) if classes else None
        start_warm(codec, pictures, mirror, 0.5 * classes, told)
        y = (codec.encode(torch.cat(pictures)) - codec.encoder.down.bias.view(-1, 1, 1)).detach().flatten(2).double()
        energies = y.square().mean(2).log()
        kept[classes] = float(explained(energies, labels).max())
        assert all(flip_signs(codec, axis) is not None for axis in mirror)
    assert kept[0.0] < 0.1 and kept[1.0] > 0.8


def test_it_is_the_start_without_classes_where_the_power_is_0() -> None:
    pictures, labels = stripes(20)
    codec = build_codec(load_recipe("rgb_learn", FEW))
    told = told_by(codec, pictures, labels, 0.0)
    assert torch.equal(told, torch.ones(12, dtype=torch.float64))
    assert float(told_by(codec, pictures, labels, 1.0).min()) >= LEAST
    assert log_energies(codec, pictures).shape == (20, 12)
    assert packet_moments(codec, pictures).tokens == 20 * 64


def folder_of(path: Path) -> Path:
    pictures, labels = stripes(8)
    for place, (x, label) in enumerate(zip(pictures, labels, strict=True)):
        (path / "train" / label).mkdir(parents=True, exist_ok=True)
        picture = ((x[0].permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5).byte().numpy()
        Image.fromarray(picture).save(path / "train" / label / f"{place}.png")
    return path


def test_train_takes_labels(tmp_path: Path) -> None:
    data = folder_of(tmp_path) / "train"
    settings = [word for setting in [*FEW, "training.warm_crops=32"] for word in ("--set", setting)]
    common = ["rgb_learn", "--data", data, *settings, "--quiet"]
    labelled = ["--labels", "folders", "--set", "training.classes=1"]
    for name, more in (("klt", []), ("own", labelled)):
        words = ["train", *common, "--out", tmp_path / name, *more]
        assert CliRunner().invoke(app, [str(word) for word in words]).exit_code == 0
    klt, own = (liveaction.load(tmp_path / name).codec.encoder.down.weight for name in ("klt", "own"))
    assert not torch.allclose(klt, own, atol=1e-3)
    assert liveaction.load(tmp_path / "own").recipe.training.classes == 1


def test_labels_and_the_setting_belong_together(tmp_path: Path) -> None:
    data = folder_of(tmp_path) / "train"
    recipe, plain = load_recipe("rgb_learn", [*FEW, "training.classes=1"]), load_recipe("rgb_learn", FEW)
    with pytest.raises(SpecError, match=r"\[training\] classes: expected labels with 1, got none; pass --labels, or 0"):
        liveaction.train(recipe, data, tmp_path / "run")
    labels = training_labels(build_modality(recipe.modality).find, [str(data)], "folders")
    with pytest.raises(SpecError, match=r"--labels: expected training.classes above 0"):
        liveaction.train(plain, data, tmp_path / "run", labels=labels)
    labels.pop(sorted(labels)[0])
    with pytest.raises(SpecError, match=r"--labels: expected a class of every signal to learn from, got none of .*png"):
        liveaction.train(recipe, data, tmp_path / "run", labels=labels)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_labels_of_other_splits_and_of_no_files_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    find = build_modality(load_recipe("rgb_learn").modality).find
    assert set(training_labels(find, [str(folder)], "folders").values()) == {"plain", "striped"}
    (folder / "train").rename(folder / "test")
    with pytest.raises(FormatError, match=r"files to learn from alone, got 'test/plain/0.png' of the split test"):
        training_labels(find, [str(folder)], "folders")
    with pytest.raises(SpecError, match=r"--labels: expected --data of labelled files or folders, got 'synthetic:3'"):
        training_labels(find, ["synthetic:3"], "folders")


def test_settings_without_such_a_start_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"training.classes: expected 0 without a warm start of fewer latents"):
        load_recipe("rgb_sparse", ["training.classes=1"])
    text = Path(liveaction.__file__).parents[1].joinpath("configs/probes/ct_cells_cpu.yaml").read_text()
    changed = tmp_path / "probe.yaml"
    changed.write_text(text.replace("codec.latent_channels=8", "codec.latent_channels=8, training.classes=1"))
    with pytest.raises(SpecError, match=r"codecs.klt8: expected training.classes 0 for the task map"):
        load_probe(str(changed))
