"""Bounds on errors at the command line: one file, a folder that goes on where it was left, many items in one stream."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from liveaction.archive.manifest import MANIFEST
from liveaction.cli.main import app
from liveaction.codec.codec import build_codec
from liveaction.codec.weights import save_model
from liveaction.recipe import load_recipe


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A model whose tables need no data, and two pictures with pixels that nothing predicts."""
    folder = tmp_path_factory.mktemp("work")
    recipe = load_recipe("rgb_sparse")
    torch.manual_seed(0)
    save_model(build_codec(recipe).eval(), recipe, folder / "model")
    (folder / "data").mkdir()
    for seed, name in enumerate(("a.png", "b.png")):
        rng = np.random.default_rng(seed)
        rows, columns = np.mgrid[:71, : 60 + seed]
        values = 127 + 90 * np.sin(rows / 9 + seed)[..., None] * np.cos(columns[..., None] / np.array([5, 7, 11]))
        noisy = (values + rng.normal(0, 4, values.shape)).clip(0, 255).astype(np.uint8)
        noisy[rng.random(noisy.shape) < 0.01] = 255
        Image.fromarray(noisy).save(folder / "data" / name)
    return folder


def invoke(*arguments, status=0):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == status, (done.exception, done.output)
    return done


def error(one, two):
    values = [np.asarray(Image.open(path)).astype(int) for path in (one, two)]
    return np.abs(values[0] - values[1]).max()


@pytest.mark.parametrize("bound", [0, 3])
def test_one_file_there_and_back_is_within_the_bound_and_says_so(work, tmp_path, bound):
    stream, back = tmp_path / "a.lva", tmp_path / "a.png"
    said = invoke("compress", work / "data/a.png", stream, "-m", work / "model", "-q", "--max-error", bound).stdout
    words = "no error above 3" if bound else "lossless"
    assert words in said and "clipped" not in said
    assert words in invoke("info", stream).stdout
    assert words in invoke("verify", stream, "-m", work / "model", "-q").stdout
    assert words in invoke("decompress", stream, back, "-m", work / "model", "-q").stdout
    assert error(work / "data/a.png", back) <= bound
    part = tmp_path / "part.png"
    invoke("decompress", stream, part, "-m", work / "model", "-q", "--region", "10:31,7:50")
    whole, region = np.asarray(Image.open(back)), np.asarray(Image.open(part))
    np.testing.assert_array_equal(region, whole[10:31, 7:50])


def test_a_folder_keeps_the_bound_in_its_manifest_and_goes_on(work, tmp_path):
    def run(*options):
        return json.loads(
            invoke("compress", work / "data", tmp_path / "out", "-m", work / "model", "-q", "--json", *options).stdout
        )

    assert run("--max-error", 0)["done"] == 2
    assert run("--max-error", 0)["skipped"] == 2
    assert run("--max-error", 2)["done"] == 2
    assert run("--max-error", 2, "--step", 0.05)["done"] == 2
    rows = [json.loads(line) for line in (tmp_path / "out" / MANIFEST).read_text().splitlines()]
    assert [row["goal"] for row in rows[::2]] == ["max_error 0", "max_error 2", "max_error 2 step 0.05"]
    assert all(row["step"] > 0 for row in rows)
    invoke("decompress", tmp_path / "out", tmp_path / "back", "-m", work / "model", "-q")
    assert all(error(work / "data" / name, tmp_path / "back" / name) <= 2 for name in ("a.png", "b.png"))


def test_many_items_in_one_stream(work, tmp_path):
    stream = tmp_path / "all.lva"
    invoke("compress", work / "data", stream, "-m", work / "model", "-q", "--together", "--max-error", 0)
    invoke("decompress", stream, tmp_path / "back", "-m", work / "model", "-q", "--all")
    assert all(error(work / "data" / name, tmp_path / "back" / name) == 0 for name in ("a.png", "b.png"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--max-error", -1), "--max-error: expected a number from 0 on, got -1.0"),
        (("--max-error", "nan"), "--max-error: expected a number from 0 on, got nan"),
        (("--max-error", 1, "--target-psnr", 40), "--max-error, --target-psnr: expected one of them, got both"),
    ],
)
def test_what_is_refused_is_one_line_and_writes_nothing(work, tmp_path, options, words):
    done = invoke("compress", work / "data/a.png", tmp_path / "a.lva", "-m", work / "model", "-q", *options, status=1)
    assert words in str(done.exception) + done.output
    assert not list(tmp_path.iterdir())
