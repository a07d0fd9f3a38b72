"""``decompress --scale`` and ``--thumbnails``: of one stream, a folder, a stream of many."""

import json
import wave
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.errors import LiveactionError
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [*map(str, arguments), "--quiet"])
    assert isinstance(done.exception, None | SystemExit | LiveactionError), done.exception
    said = done.exception if isinstance(done.exception, LiveactionError) else done.stderr
    return done.exit_code, done.stdout, " ".join(str(said).split())


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures, and a folder of their streams."""
    folder = tmp_path_factory.mktemp("pictures")
    modality = build_modality(load_recipe("rgb_sparse").modality)
    (folder / "in" / "b").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b/c.png")):
        modality.write(modality.synthetic(number, (64, 97 + number)), folder / "in" / name)
    assert run("compress", folder / "in", folder / "out", "--model", "rgb")[0] == 0
    return folder


def test_a_scan_at_a_quarter_lies_where_it_did(tmp_path: Path) -> None:
    modality = build_modality(load_recipe("ct_sparse").modality)
    scan = modality.synthetic(1, (65, 64, 40))
    modality.write(scan, tmp_path / "a.nii.gz")
    assert run("compress", tmp_path / "a.nii.gz", tmp_path / "a.lva")[0] == 0
    code, said, _ = run("decompress", tmp_path / "a.lva", tmp_path / "b.nii.gz", "--scale", "1/4", "--json")
    about = json.loads(said)
    assert code == 0 and about["scale"] == "1/4" and about["shape"] == [17, 16, 10]
    one, two = nibabel.load(tmp_path / "a.nii.gz"), nibabel.load(tmp_path / "b.nii.gz")
    assert two.shape == (17, 16, 10)
    np.testing.assert_allclose(two.affine[:3, :3], 4 * one.affine[:3, :3])
    whole = np.asarray(one.dataobj)[::4, ::4, ::4].astype(float)
    assert np.corrcoef(whole.ravel(), np.asarray(two.dataobj).ravel())[0, 1] > 0.9
    code, said, _ = run("decompress", tmp_path / "a.lva", tmp_path / "c.nii.gz", "--scale", "1/2")
    assert code == 0 and "at 1/2: 33 x 32 x 20 of 65 x 64 x 40" in " ".join(said.split())
    part = "decompress", tmp_path / "a.lva", tmp_path / "d.nii.gz", "--scale", "1/4", "--region", "3:9,:,-4:"
    assert run(*part, "--picture", tmp_path / "d.png")[0] == 0 and (tmp_path / "d.png").stat().st_size > 1000
    three = nibabel.load(tmp_path / "d.nii.gz")
    assert np.array_equal(np.asarray(three.dataobj), np.asarray(two.dataobj)[3:9, :, -4:])
    np.testing.assert_allclose(three.affine[:, 3], two.affine @ [3, 0, 6, 1])


def test_a_bound_is_not_promised_for_a_scale(tmp_path: Path) -> None:
    modality = build_modality(load_recipe("grey_sparse").modality)
    modality.write(modality.synthetic(1, (64, 64)), tmp_path / "a.png")
    assert run("compress", tmp_path / "a.png", tmp_path / "a.lva", "--max-error", "0")[0] == 0
    for scale, promised in (("1", True), ("1/2", False)):
        _, said, _ = run("decompress", tmp_path / "a.lva", tmp_path / "b.png", "--scale", scale, "--json", "--force")
        assert ("bound" in json.loads(said)) is promised


def test_folders_become_smaller_and_are_made_again_at_another_scale(streams: Path, tmp_path: Path) -> None:
    sizes = {"1/2": (49, 32), "1/8": (13, 8)}
    for scale, size in sizes.items():
        code, said, _ = run("decompress", streams / "out", tmp_path / "small", "--scale", scale, "--json")
        assert code == 0 and json.loads(said)["done"] == 2
        with Image.open(tmp_path / "small" / "a.png") as image:
            assert image.size == size
        again = json.loads(run("decompress", streams / "out", tmp_path / "small", "--scale", scale, "--json")[1])
        assert again["skipped"] == 2 and again["ratio"] > 3  # of the whole signals
    lines = [json.loads(line) for line in (tmp_path / "small" / "manifest.jsonl").read_text().splitlines()]
    assert [line["goal"] for line in lines] == ["scale 1/2"] * 2 + ["scale 1/8"] * 2


def test_thumbnails_of_a_folder(streams: Path, tmp_path: Path) -> None:
    code, said, _ = run("decompress", streams / "out", tmp_path / "seen", "--thumbnails", "--json")
    assert code == 0 and json.loads(said)["done"] == 2
    with Image.open(tmp_path / "seen" / "b" / "c.png") as image:
        assert min(image.size) > 100
    for more, wanted in (((), "--thumbnails: expected a folder"), (("--all",), "--thumbnails: expected a folder")):
        source = streams / "out" / "a.png.lva"
        code, _, said = run("decompress", source, tmp_path / "x", "--thumbnails", *more)
        assert code == 1 and wanted in said, said
    code, _, said = run("decompress", streams / "out", tmp_path / "y", "--thumbnails", "--suffix", ".tif")
    assert code == 1 and "--suffix: expected none with --thumbnails" in said
    scans = tmp_path / "scans"
    scans.mkdir()
    modality = build_modality(load_recipe("ct_sparse").modality)
    modality.write(modality.synthetic(1, (40, 41, 24)), scans / "a.nii.gz")
    assert run("compress", scans, tmp_path / "packed")[0] == 0
    assert run("decompress", tmp_path / "packed", tmp_path / "shown", "--thumbnails", "--scale", "1/2")[0] == 0
    assert (tmp_path / "shown" / "a.nii.gz.png").stat().st_size > 1000


def test_thumbnails_of_sound_whose_rate_8_does_not_divide(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    modality = build_modality(load_recipe("music_own").modality)
    modality.write(modality.synthetic(1, (8000,)), tmp_path / "in" / "a.wav")
    with wave.open(str(tmp_path / "in" / "a.wav")) as sound:
        assert sound.getframerate() % 8
    assert run("compress", tmp_path / "in", tmp_path / "out")[0] == 0
    code, said, _ = run("decompress", tmp_path / "out", tmp_path / "seen", "--thumbnails", "--json")
    assert code == 0 and json.loads(said)["done"] == 1, said
    assert (tmp_path / "seen" / "a.wav.png").is_file()


def test_a_stream_of_many_becomes_smaller(streams: Path, tmp_path: Path) -> None:
    assert run("compress", streams / "in", tmp_path / "all.lva", "--together", "--model", "rgb")[0] == 0
    assert run("decompress", tmp_path / "all.lva", tmp_path / "back", "--all", "--scale", "1/4")[0] == 0
    assert run("decompress", tmp_path / "all.lva", tmp_path / "one.png", "--item", "b/c.png", "--scale", "1/4")[0] == 0
    with Image.open(tmp_path / "back" / "b" / "c.png") as one, Image.open(tmp_path / "one.png") as two:
        assert one.size == (25, 16) and np.array_equal(np.asarray(one), np.asarray(two))


def test_what_does_not_go_together_is_refused(streams: Path, tmp_path: Path) -> None:
    stream = streams / "out" / "a.png.lva"
    for more, wanted in (
        (("--scale", "1/3"), "--scale: expected 1, 1/2, 1/4 or 1/8, got '1/3'"),
        (("--scale", "1/2", "--against", streams / "in" / "a.png"), "--against: expected a signal of full size"),
        (("--scale", "1/4", "--region", "17:19,:"), "--region: expected a range"),
    ):
        code, _, said = run("decompress", stream, tmp_path / "x.png", *more)
        assert code == 1 and wanted in said, said
        assert not list(tmp_path.iterdir())
    code, _, said = run("decompress", streams / "out", tmp_path / "y", "--scale", "0.3")
    assert code == 1 and "--scale: expected 1, 1/2" in said
