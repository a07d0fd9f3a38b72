"""Four axes through the command line: nothing on the way is bound to three."""

import json

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.exception
    return result.stdout


@pytest.mark.slow
def test_a_series_is_trained_on_coded_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setenv("LIVEACTION_CACHE", str(tmp_path / "cache"))
    source, stream, back = tmp_path / "a.nii.gz", tmp_path / "a.lva", tmp_path / "b.nii.gz"
    modality = build_modality(load_recipe("series_smoke").modality)
    modality.write(modality.synthetic(9, (5, 19, 18, 13)), source)
    run("train", "series_smoke", "--data", "synthetic:1", "--val", source, "--out", tmp_path / "run", "--quiet",
        "--set", "training.steps=4", "--set", "training.crop=[[4, 16, 16, 16]]", "--set", "training.warm_crops=32",
        "--set", "training.batch=2")  # fmt: skip
    there = json.loads(run("compress", source, stream, "--model", tmp_path / "run", "--json", "--quiet"))
    assert there["ratio"] == pytest.approx(5 * 19 * 18 * 13 * 2 / stream.stat().st_size)
    home = json.loads(run("decompress", stream, back, "--model", tmp_path / "run", "--against", source, "--json",
                          "--quiet", "--picture", tmp_path / "p.png"))  # fmt: skip
    assert home["psnr_normalised"] > 22
    one, two = nibabel.load(source), nibabel.load(back)
    assert one.shape == two.shape == (19, 18, 13, 5)
    assert one.header["pixdim"][4] == two.header["pixdim"][4]
    np.testing.assert_array_equal(one.affine, two.affine)
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
