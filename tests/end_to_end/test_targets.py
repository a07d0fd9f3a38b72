"""Targets at the command line: one file, a folder that goes on where it was left, many items in one stream."""

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
    """A model whose tables need no data, and three pictures in two folders."""
    folder = tmp_path_factory.mktemp("work")
    recipe = load_recipe("rgb_sparse")
    torch.manual_seed(0)
    save_model(build_codec(recipe).eval(), recipe, folder / "model")
    (folder / "data" / "more").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "more/b.png", "more/c.png")):
        rng = np.random.default_rng(seed)
        rows, columns = np.mgrid[:71, : 60 + seed]
        values = 127 + 90 * np.sin(rows / 9 + seed)[..., None] * np.cos(columns[..., None] / np.array([5, 7, 11]))
        noisy = values + rng.normal(0, 4, values.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / "data" / name)
    return folder


def invoke(*arguments, status=0):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == status, (done.exception, done.output)
    return done


def compress(work, source, target, *options, **more):
    return invoke("compress", work / source, target, "-m", work / "model", "-q", *options, **more)


def psnr(work, stream, original, folder):
    against = "--against", work / original, "--json", "-q", "-f"
    return json.loads(invoke("decompress", stream, folder / "x.png", "-m", work / "model", *against).stdout)


def test_a_size_is_met_and_said(work, tmp_path):
    said = compress(work, "data/a.png", tmp_path / "a.lva", "--target-size", "3kB").stdout
    size = (tmp_path / "a.lva").stat().st_size
    assert 2940 <= size <= 3000
    line = next(line for line in said.splitlines() if line.startswith("target"))
    assert line.startswith(f"target 3,000 bytes: {size:,} bytes at step 0.") and line.endswith(" trials")


def test_the_figures_are_those_of_decompress(work, tmp_path):
    report = json.loads(compress(work, "data/a.png", tmp_path / "a.lva", "--target-psnr", 38, "--json").stdout)
    aim = report["aim"]
    assert aim["kind"] == "psnr" and aim["wanted"] == 38 and aim["within"] and aim["trials"] >= 1
    close = psnr(work, tmp_path / "a.lva", "data/a.png", tmp_path)
    assert aim["reached"] == pytest.approx(close["psnr_normalised"], abs=1e-9) and 38 <= aim["reached"] <= 38.1
    report = json.loads(compress(work, "data/a.png", tmp_path / "b.lva", "--target-error", 3, "--json").stdout)
    close = psnr(work, tmp_path / "b.lva", "data/a.png", tmp_path)
    assert report["aim"]["reached"] == pytest.approx(close["rmse"], abs=1e-9) and 2.97 <= close["rmse"] <= 3
    report = json.loads(compress(work, "data/a.png", tmp_path / "c.lva", "--target-ratio", 7, "--json").stdout)
    assert report["aim"]["reached"] == report["ratio"] and 7 <= report["ratio"] <= 7 / 0.98


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target-size", "12"], "--target-size: expected at least"),
        (["--target-size", "twelve"], "--target-size: expected bytes such as 200000, 200kB or 1.5MiB, got 'twelve'"),
        (["--target-psnr", "40", "--quality", "3"], "--quality, --target-psnr: expected one of them, got both"),
        (["--target-psnr", "40", "--target-error", "3"], "--target-psnr, --target-error: expected one of them, got 2"),
    ],
)
def test_what_cannot_be_is_one_line_and_no_file(work, tmp_path, options, words):
    done = compress(work, "data/a.png", tmp_path / "a.lva", *options, status=1)
    assert words in str(done.exception) + done.output and not list(tmp_path.iterdir())


def lines(folder):
    return [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()]


def totals(done):
    report = json.loads(done.stdout)
    return [report[key] for key in ("done", "skipped", "failed")]


@pytest.mark.slow
def test_a_folder_has_the_target_for_each_item_and_goes_on(work, tmp_path):
    out = tmp_path / "out"
    goal = "--target-psnr", 38, "--json"
    assert totals(compress(work, "data", out, *goal, "--jobs", 2)) == [3, 0, 0]
    for line in lines(out):
        close = psnr(work, out / line["target"], f"data/{line['source']}", tmp_path)
        assert 38 <= line["reached"] <= 38.1 and line["reached"] == pytest.approx(close["psnr_normalised"], abs=1e-9)
        assert line["goal"] == "psnr 38" and line["trials"] >= 1 and line["step"] > 0
    (out / "a.png.lva").unlink()
    assert totals(compress(work, "data", out, *goal)) == [1, 2, 0]
    assert totals(compress(work, "data", out, "--target-psnr", 39, "--json")) == [3, 0, 0]
    step = lines(out)[-1]["step"]
    assert totals(compress(work, "data", out, "--step", step, "--json")) == [3, 0, 0]
    assert lines(out)[-1]["goal"] == "" and lines(out)[-1]["step"] == step


@pytest.mark.slow
def test_an_item_that_cannot_reach_it_fails_alone(work, tmp_path):
    Image.new("RGB", (64, 64), (200, 200, 200)).save(work / "data" / "more" / "blank.png")
    try:
        done = compress(work, "data", tmp_path / "out", "--target-size", 3000, status=1)
    finally:
        (work / "data" / "more" / "blank.png").unlink()
    assert "3 done, 0 skipped, 1 failed of 4 items" in done.stdout and "blank.png" in done.stderr
    assert "--target-size: expected at most" in done.stderr and not (tmp_path / "out/more/blank.png.lva").exists()
    assert all(2940 <= path.stat().st_size <= 3000 for path in (tmp_path / "out").rglob("*.lva"))


def test_together_each_item_has_the_psnr_and_a_size_is_refused(work, tmp_path):
    compress(work, "data", tmp_path / "all.lva", "--together", "--target-psnr", 36)
    invoke("decompress", tmp_path / "all.lva", tmp_path / "back", "-m", work / "model", "--all", "-q")
    for name in ("a.png", "more/b.png", "more/c.png"):
        one, two = (np.asarray(Image.open(path / name), float) for path in (work / "data", tmp_path / "back"))
        assert 36 <= 10 * np.log10(255**2 / np.mean((one - two) ** 2)) <= 36.1
    done = compress(work, "data", tmp_path / "b.lva", "--together", "--target-size", "9kB", status=1)
    assert "--target-size: expected a stream of one signal" in str(done.exception) + done.output
    assert not (tmp_path / "b.lva").exists()
