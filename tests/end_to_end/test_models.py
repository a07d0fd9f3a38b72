"""Commands without --model: a known model is taken by the file or by the stream, and said; and the verb ``models``."""

import json
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import liveaction
from liveaction.cli.main import app
from liveaction.codec.codec import build_codec
from liveaction.codec.weights import save_model
from liveaction.errors import FormatError, SpecError, UnknownNameError
from liveaction.home import home
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality

EXTENTS = {"ct_smoke": (24, 32, 16), "rgb_smoke": (24, 32), "array_smoke": (16, 20, 24)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Untrained models of three modalities, and a file of each."""
    folder = tmp_path_factory.mktemp("made")
    for name, file in (("ct_smoke", "scan.nii.gz"), ("rgb_smoke", "hat.png"), ("array_smoke", "a.npy")):
        torch.manual_seed(0)
        recipe = load_recipe(name)
        save_model(build_codec(recipe), recipe, folder / "models" / name.partition("_")[0])
        modality = build_modality(recipe.modality)
        modality.write(modality.synthetic(0, EXTENTS[name]), folder / file)
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A folder with the files, in which commands run; the models are in the home."""
    monkeypatch.setenv("LIVEACTION_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("liveaction.home.bundled_folder", lambda: None)
    shutil.copytree(made / "models", tmp_path / "home" / "models")
    (tmp_path / "work").mkdir()
    for file in made.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def run(*words):
    done = CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return done.stdout


def run_json(*words):
    return json.loads(run(*words, "--json"))


def refused(error, words, *command):
    done = CliRunner().invoke(app, [*map(str, command)])
    assert done.exit_code == 1 and isinstance(done.exception, error), done.output
    assert words in str(done.exception) and "\n" not in str(done.exception), str(done.exception)
    return str(done.exception)


def test_a_scan_there_and_back_without_a_model(here):
    said = run("compress", "scan.nii.gz", "scan.lva", "-q")
    folder = home() / "models" / "ct"
    assert f"model ct ({folder}), for ct (integers below -500); --model takes another" in said
    back = run("decompress", "scan.lva", "back.nii.gz", "-q")
    assert f"model ct ({folder}), as scan.lva says; --model takes another" in back
    model = liveaction.load("ct", device="cpu")
    assert model.compress("scan.nii.gz") == (here / "scan.lva").read_bytes()
    whole = model.modality.read(here / "back.nii.gz").values
    assert np.array_equal(whole, liveaction.decompress("scan.lva").values)
    named = run("decompress", "scan.lva", "again.nii.gz", "--model", "ct", "-q")
    assert "--model takes another" not in named
    assert (here / "again.nii.gz").read_bytes() == (here / "back.nii.gz").read_bytes()


def test_the_choice_is_in_the_json(here):
    done = run_json("compress", "hat.png", "hat.lva", "-q")
    digest = liveaction.load("rgb", device="cpu").digest
    chosen = {"name": "rgb", "digest": digest, "folder": str(home() / "models" / "rgb"), "origin": "home"}
    assert done["model"] == chosen | {"why": "for rgb (3 channels)"}
    assert run_json("decompress", "hat.lva", "back.png", "-q")["model"] == chosen | {"why": "as hat.lva says"}
    assert "model" not in run_json("compress", "hat.png", "two.lva", "--model", digest[:8], "-q")
    (here / "in").mkdir()
    shutil.copy("hat.png", "in/hat.png")
    assert run_json("compress", "in", "out", "-q")["model"] == chosen | {"why": "for rgb ('hat.png': 3 channels)"}
    assert run_json("decompress", "out", "again", "-q")["model"] == chosen | {"why": "as out/hat.png.lva says"}
    assert run_json("compress", "in", "in.lva", "--together", "-q")["model"]["name"] == "rgb"
    assert run_json("decompress", "in.lva", "apart", "--all", "-q")["model"]["name"] == "rgb"
    assert (here / "apart" / "hat.png").exists() and (here / "again" / "hat.png").exists()


def test_folders_say_the_model_once(here):
    (here / "in").mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy("hat.png", here / "in" / name)
    line = f"model rgb ({home() / 'models' / 'rgb'}), for rgb ('a.png': 3 channels); --model takes another"
    assert run("compress", "in", "out", "-q").count(line) == 1
    assert run("compress", "in", "in.lva", "--together", "-q").count(line) == 1


def test_what_nobody_can_tell_lists_the_models(here):
    line = refused(
        SpecError, "a.npy: expected --model for .npy files, got none; known are", "compress", "a.npy", "a.lva"
    )
    assert all(name in line for name in ("array (array)", "ct (ct)", "rgb (rgb)"))
    run("compress", "a.npy", "a.lva", "--model", "array", "-q")
    (here / "a.npy").rename("z.npy")
    refused(FormatError, "expected items of one modality, got ", "compress", here, "out")
    assert not (here / "out").exists()


def test_a_stream_of_an_unknown_model(here):
    run("compress", "scan.nii.gz", "scan.lva", "-q")
    digest = liveaction.load("ct", device="cpu").digest
    info = run("info", "scan.lva")
    assert f"ct (home, {home() / 'models' / 'ct'})" in info
    assert run_json("info", "scan.lva")["known_models"] == [
        {"name": "ct", "folder": str(home() / "models" / "ct"), "origin": "home"}
    ]
    run("models", "remove", "ct", "--force")
    refused(
        UnknownNameError, f"scan.lva: expected a known model of weights {digest[:12]}, got none among",
        "decompress", "scan.lva", "back.nii.gz",
    )  # fmt: skip
    assert "none that is known here has these weights; pass --model DIR" in run("info", "scan.lva")
    assert run_json("info", "scan.lva")["known_models"] == []
    assert "not decoded" in run("verify", "scan.lva", "-q")
    run("models", "remove", "rgb", "--force")
    refused(UnknownNameError, "a known model for rgb (3 channels), got none", "compress", "hat.png", "x.lva")


def test_verify_finds_the_model_to_compare_with(here):
    run("compress", "hat.png", "hat.lva", "-q")
    assert "decodes with this model" in run("verify", "hat.lva", "--against", "hat.png", "-q")
    assert "decodes with this model" in run("verify", "hat.lva", "--model", "rgb", "-q")


def test_streams_of_another_model_fail_in_a_folder(here):
    (here / "all").mkdir()
    (here / "all" / "0.lva").write_bytes(b"damaged, and so not the first")
    run("compress", "hat.png", "all/a.png.lva", "-q")
    run("compress", "scan.nii.gz", "all/b.nii.gz.lva", "-q")
    done = CliRunner().invoke(app, ["decompress", "all", "back", "-q", "--json"])
    report = json.loads(done.stdout)
    assert done.exit_code == 1 and (report["done"], report["failed"]) == (1, 2)
    (here / "none").mkdir()
    refused(FormatError, "none: expected .lva files, got none", "decompress", "none", "back")
    assert report["model"]["name"] == "rgb" and report["failures"][1]["source"] == "b.nii.gz.lva"


def test_other_verbs_take_names(here):
    (here / "pictures").mkdir()
    shutil.copy("hat.png", "pictures/hat.png")
    assert run_json("latents", "pictures", "store", "--model", "rgb", "-q")
    refused(UnknownNameError, "nobody: expected a model directory", "latents", "pictures", "s", "--model", "nobody")
    refused(UnknownNameError, "nobody: expected a", "evaluate", "a=nobody", "--data", "hat.png", "--out", "report")


def test_models_are_listed(here):
    said = run("models")
    for name in ("array", "ct", "rgb"):
        assert any(line.split()[:3] == [name, name, f"{name}_smoke"] for line in said.splitlines())
    digest = liveaction.load("ct", device="cpu").digest
    assert digest[:8] in said and "home" in said
    (home() / "models" / "rgb" / "config.json").write_text("{")
    listed = run_json("models")
    assert [model["name"] for model in listed["models"] if model["origin"] == "home"] == ["array", "ct"]
    assert listed["damaged"][0]["name"] == "rgb" and "readable config.json" in listed["damaged"][0]["fault"]
    done = CliRunner().invoke(app, ["models"])
    assert "damaged, and left out" in done.stderr and done.exit_code == 0
    refused(SpecError, "--json: expected it behind 'show'", "models", "--json", "show", "ct")


def test_a_model_is_shown(here):
    (home() / "models" / "ct" / "README.md").write_text("# Chest\n\nTrained on nothing.\x1b[2J\n")
    (home() / "models" / "ct" / "about.json").write_text('{"default_for": ["ct"]}')
    said = run("models", "show", "ct")
    assert "ct_smoke: 3-D CT, tiny" in said and "Trained on nothing." in said and "\x1b" not in said
    shown = run_json("models", "show", liveaction.load("ct", device="cpu").digest)
    assert shown["default_for"] == ["ct"] and shown["card"].startswith("# Chest")
    assert shown["files"]["README.md"] == 33 and "entropy.safetensors" in shown["files"]
    refused(UnknownNameError, "nobody: expected a model directory", "models", "show", "nobody")


def test_a_model_is_added_and_removed(here):
    shutil.copytree(home() / "models" / "ct", here / "run")
    run("models", "remove", "ct", "--force")
    assert not (home() / "models" / "ct").exists()
    assert "/chest: added; ct by recipe ct_smoke" in run("models", "add", "run", "--name", "chest", "-q")
    assert "/chest: there already" in run("models", "add", "run", "--name", "chest", "-q")
    assert run_json("models", "add", "run", "-q")["added"] is True
    refused(SpecError, "expected a new name, got that of another model", "models", "add", "run", "--name", "rgb")
    refused(SpecError, "expected --force to remove a model", "models", "remove", "chest")
    refused(UnknownNameError, "expected a model in", "models", "remove", "nobody", "--force")
    assert run_json("models", "remove", "chest", "--force")["removed"] is True
    run("compress", "scan.nii.gz", "scan.lva", "-q")
    assert "run (home," in run("info", "scan.lva")
