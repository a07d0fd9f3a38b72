"""``compress --together``, ``decompress --all`` and ``--item``: a folder to one file and back."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.codec.codec import build_codec
from liveaction.codec.model import Model, load
from liveaction.codec.weights import save_model
from liveaction.errors import LiveactionError
from liveaction.recipe import load_recipe

NAMES = ["b/1.png", "b/2.png", "a.png", "c/deep/3.ppm"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    torch.manual_seed(0)
    recipe = load_recipe("rgb_smoke", ["codec.levels=2", "codec.latent_channels=7"])
    codec, folder = build_codec(recipe).eval(), tmp_path_factory.mktemp("model")
    save_model(codec, recipe, folder)
    model = load(folder, device="cpu")
    object.__setattr__(model, "folder", str(folder))
    return model


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9 + 7 * number, 30, 3), np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def run(model):
    """A function that calls a verb with the model: exit status, standard output, standard error."""

    def call(verb, *arguments):
        more = [] if verb == "info" else ["--model", model.folder, "--quiet"]
        done = CliRunner().invoke(app, [verb, *map(str, arguments), *more])
        assert isinstance(done.exception, None | SystemExit | LiveactionError), done.exception
        said = done.exception if isinstance(done.exception, LiveactionError) else done.stderr
        return done.exit_code, done.stdout, " ".join(str(said).split())

    return call


@pytest.fixture
def stream(run, pictures, tmp_path):
    path = tmp_path / "all.lva"
    assert run("compress", pictures, path, "--together")[0] == 0
    return path


def _files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_becomes_one_file_and_the_folder_again(run, model, pictures, stream, tmp_path):
    assert model.open_many(stream).names == tuple(sorted(NAMES))
    assert run("decompress", stream, tmp_path / "back", "--all")[0] == 0
    assert _files(tmp_path / "back") == sorted(NAMES)
    for name in NAMES:
        wanted = model.decompress(model.compress(pictures / name)).values
        assert np.array_equal(model.modality.read(tmp_path / "back" / name).values, wanted)
    for item in ("2", "b/2.png"):
        assert run("decompress", stream, tmp_path / "one.png", "--item", item, "-f")[0] == 0
        assert (tmp_path / "one.png").read_bytes() == (tmp_path / "back/b/2.png").read_bytes()
    said = run("info", stream)[1]
    assert "a.png, b/1.png, b/2.png and 1 more" in said and "of container" in said
    assert json.loads(run("verify", stream, "--json")[1])["items"] == 4


def test_what_stands_in_the_folder_stays(run, stream, tmp_path):
    back = tmp_path / "back"
    (back / "b").mkdir(parents=True)
    (back / "b/2.png").write_text("mine")
    code, _, said = run("decompress", stream, back, "--all")
    assert code == 1 and "b/2.png: expected a new file, got an existing one" in said
    assert _files(back) == ["b/2.png"]
    assert run("decompress", stream, back, "--all", "--force")[0] == 0 and len(_files(back)) == 4


@pytest.mark.parametrize("link", ["b", "b/1.png"])
def test_links_lead_nowhere(run, stream, tmp_path, link):
    back, outside = tmp_path / "back", tmp_path / "outside"
    (back / link).parent.mkdir(parents=True)
    outside.mkdir()
    goal = outside if link == "b" else outside / "x.png"
    (back / link).symlink_to(goal)
    code, _, said = run("decompress", stream, back, "--all")
    assert code == 1 and "back/b/1.png: expected a" in said
    run("decompress", stream, back, "--all", "--force")
    assert _files(outside) == []


def test_a_bad_item_is_named_and_leaves_nothing(run, pictures, stream, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    for name in ("a.png", "b.png"):
        (bad / name).write_bytes((pictures / "a.png").read_bytes()[: 60 if name == "b.png" else None])
    code, _, said = run("compress", bad, tmp_path / "bad.lva", "--together")
    assert code == 1 and "bad/b.png: expected" in said and not (tmp_path / "bad.lva").exists()
    broken = bytearray(stream.read_bytes())
    broken[-1] ^= 1
    stream.write_bytes(broken)
    code, _, said = run("decompress", stream, tmp_path / "back", "--all")
    assert code == 1 and "all.lva: item 3 'c/deep/3.ppm': expected checksum" in said
    code, _, said = run("decompress", stream, tmp_path / "filled", "--all", "--fill", "0")
    assert code == 3 and "all.lva: c/deep/3.ppm: chunk 0 is damaged" in said and len(_files(tmp_path / "filled")) == 4
    code, _, said = run("verify", stream)
    assert code == 1 and "all.lva: item 3 c/deep/3.ppm: chunk 0 is damaged" in said


def test_what_cannot_be_is_refused(run, pictures, stream, tmp_path):
    def refused(said, verb, *arguments):
        code, _, got = run(verb, *arguments)
        assert code == 1 and said in got

    refused("expected a stream of one item, got 4; take one with --item", "decompress", stream, tmp_path / "x.png")
    refused("expected an item from 0 to 3, got 4", "decompress", stream, tmp_path / "x.png", "--item", "4")
    refused("expected the name of one of its 4 items, got 'b'", "decompress", stream, tmp_path / "x.png", "--item", "b")
    refused("--region: expected one item", "decompress", stream, tmp_path / "x", "--all", "--region", ":,:")
    refused("--suffix gives names another ending", "decompress", stream, tmp_path / "x", "--all", "--suffix", ".nii")
    refused("expected a target that ends in .lva", "compress", pictures, tmp_path / "x", "--together")
    refused("expected a folder of signals", "compress", pictures / "a.png", tmp_path / "x.lva", "--together")
    refused("expected a new file", "compress", pictures, stream, "--together")
    assert not (tmp_path / "x").exists() and not (tmp_path / "x.png").exists()
    archive = tmp_path / "archive"
    archive.mkdir()
    stream.rename(archive / "all.lva")
    code, said, _ = run("decompress", archive, tmp_path / "y")
    assert code == 1 and "1 failed of 1 items" in said and _files(tmp_path / "y") == ["manifest.jsonl"]
