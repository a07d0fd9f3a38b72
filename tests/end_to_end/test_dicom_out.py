"""``decompress --to dicom``: from a folder of slices through a stream to a derived series, without an option more."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from click.testing import Result
from typer.testing import CliRunner

import liveaction
from liveaction.cli.main import app
from liveaction.errors import FormatError, SpecError
from liveaction.modalities.volume.dicom_derived import Origin
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality

Write = Callable[..., Path]
FLAT = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "Rows": 24, "Columns": 28}


def _run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def _refused(*arguments: Any) -> str:
    done = _run("decompress", *arguments, "--quiet")
    assert isinstance(done.exception, SpecError | FormatError), done.output
    assert "\n" not in str(done.exception)
    return str(done.exception)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, dicom_series: Write) -> Path:
    """A smooth series with some noise, and streams of it: by a step, and lossless."""
    folder = tmp_path_factory.mktemp("work")
    x, y = np.meshgrid(np.arange(28), np.arange(24))
    noise = np.random.default_rng(5).integers(0, 9, (24, 28))
    tissue = (1000 + 300 * np.sin(x / 5) * np.cos(y / 4)).astype(int) + noise
    dicom_series(folder / "in", 10, Stored=tissue.astype(np.uint16), **FLAT)
    for name, options in {"lossy": ["--step", "0.02"], "lossless": ["--max-error", "0"]}.items():
        done = _run("compress", folder / "in", folder / f"{name}.lva", "--quiet", *options)
        assert done.exit_code == 0, done.exception
    return folder


def test_a_lossless_stream_gives_the_series_again(work: Path, tmp_path: Path) -> None:
    source, out = work / "in", tmp_path / "out"
    words = ("--to", "dicom", "--template", source, "--against", source, "--picture", tmp_path / "p.png")
    done = _run("decompress", work / "lossless.lva", out, *words, "--json", "--quiet")
    assert done.exit_code == 0, done.exception
    told = json.loads(done.stdout)
    assert (told["files"], told["lossy"], told["clipped_values"], told["moved_values"]) == (10, False, 0, 0)
    assert told["max_error"] == 0 and (tmp_path / "p.png").exists()
    assert told["ratio"] == pytest.approx(liveaction.read_info(work / "lossless.lva")["ratio"])
    before = {data.SOPInstanceUID: data for data in map(pydicom.dcmread, source.iterdir())}
    for path in out.iterdir():
        data = pydicom.dcmread(path)
        old = before.pop(data.SourceImageSequence[0].ReferencedSOPInstanceUID)
        np.testing.assert_array_equal(data.pixel_array, old.pixel_array)
        assert data.SeriesInstanceUID == told["series"] and "LossyImageCompression" not in data
    assert not before


def test_a_lossy_stream_says_so_in_every_file(work: Path, tmp_path: Path) -> None:
    source, out = work / "in", tmp_path / "out"
    done = _run("decompress", work / "lossy.lva", out, "--to", "dicom", "--template", source, "--quiet")
    assert done.exit_code == 0, done.exception
    info = liveaction.read_info(work / "lossy.lva")
    assert f"{out}: 10 DICOM files of a derived series, lossy, {info['ratio']:.4g}:1, no values clipped" in done.stdout
    for data in map(pydicom.dcmread, out.iterdir()):
        assert data.LossyImageCompression == "01"
        assert float(data.LossyImageCompressionRatio) == pytest.approx(info["ratio"], rel=1e-3)
        assert info["recipe"] in data.DerivationDescription and info["weights"][:32] in data.DerivationDescription
    again = ("decompress", work / "lossy.lva", out, "--to", "dicom", "--template", source, "--quiet")
    assert "expected a new file" in str(_run(*again).exception)
    assert _run(*again, "--force").exit_code == 0
    decoded = liveaction.decompress(work / "lossy.lva")
    modality = build_modality(load_recipe("ct_sparse").modality)
    np.testing.assert_array_equal(modality.read(out).values, decoded.values)


def test_from_python(work: Path, tmp_path: Path) -> None:
    stream, modality = work / "lossy.lva", build_modality(load_recipe("ct_sparse").modality)
    origin = Origin.of(liveaction.read_info(stream))
    done = modality.write_series(liveaction.decompress(stream), tmp_path / "out", work / "in", origin)
    assert done.lossy and done.files == len(list((tmp_path / "out").iterdir())) == 10


def test_one_of_many_items(work: Path, tmp_path: Path, dicom_series: Write) -> None:
    stored = np.random.default_rng(6).integers(900, 1100, (24, 28)).astype(np.uint16)
    dicom_series(tmp_path / "scans" / "b", 6, Stored=stored, **FLAT)
    dicom_series(tmp_path / "scans" / "a", 4, Stored=stored, **FLAT)
    made = _run("compress", tmp_path / "scans", tmp_path / "x.lva", "--together", "--max-error", "0", "--quiet")
    assert made.exit_code == 0, made.exception
    words = ("--to", "dicom", "--template", tmp_path / "scans" / "b", "--quiet", "--json")
    done = _run("decompress", tmp_path / "x.lva", tmp_path / "out", "--item", "b", *words)
    assert done.exit_code == 0, done.exception
    told = json.loads(done.stdout)
    assert (told["files"], told["lossy"]) == (6, False) and told["ratio"] > 1
    refused = _run("decompress", tmp_path / "x.lva", tmp_path / "out2", "--item", "a", *words)
    assert "expected a template of 4 slices" in str(refused.exception)


def test_what_does_not_fit_is_refused_before_any_work(
    work: Path, tmp_path: Path, dicom_series: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liveaction.codec.model.load", lambda *_, **__: pytest.fail("a model was loaded"))
    stream, source, out = work / "lossy.lva", work / "in", tmp_path / "out"
    to = ("--to", "dicom", "--template", source)
    assert _refused(stream, out, "--to", "nifti").startswith("--to: expected dicom, got 'nifti'")
    assert "--to: expected --template with it" in _refused(stream, out, "--to", "dicom")
    assert "--template: expected --to dicom with it" in _refused(stream, out, "--template", source)
    for name, value in (("--region", ":,:,0:2"), ("--scale", "1/2"), ("--fill", 0), ("--enhance", tmp_path)):
        extra = (name, value)
        assert f"{name}: expected none with --to dicom" in _refused(stream, out, *to, *extra)
    assert "--to: expected one item with it, got --all" in _refused(stream, out, *to, "--all")
    assert "--to: expected one .lva file with it, got the folder" in _refused(work, out, *to)
    away = tmp_path / "away.lva"
    away.write_bytes(stream.read_bytes())
    assert "in which --template lies" in _refused(away, work, *to, "--force")
    assert "which is --template" in _refused(stream, source, *to, "--force")
    assert "which lies in --template" in _refused(stream, source / "out", *to)
    (tmp_path / "link").symlink_to(source)
    assert "which is --template" in _refused(stream, tmp_path / "link", *to, "--force")
    number = pydicom.dcmread(next(source.iterdir())).SeriesInstanceUID
    inside = ("--to", "dicom", "--template", source / number)
    assert "which lies in the template" in _refused(stream, source / "out", *inside)
    short = dicom_series(tmp_path / "short", 9, Stored=np.zeros((24, 28), np.uint16), **FLAT)
    assert "expected a template of 10 slices of 24 rows and 28 columns" in _refused(stream, out, *to[:3], short)
    assert "--picture: expected a place of its own" in _refused(stream, out, *to, "--picture", source / "p.png")
    assert not out.exists() and len(list(source.iterdir())) == 10


def test_a_picture_does_not_become_dicom(work: Path, tmp_path: Path) -> None:
    modality = build_modality(load_recipe("grey_smoke").modality)
    modality.write(modality.synthetic(0, (32, 40)), tmp_path / "page.png")
    assert _run("compress", tmp_path / "page.png", tmp_path / "x.lva", "--quiet").exit_code == 0
    said = _refused(tmp_path / "x.lva", tmp_path / "out", "--to", "dicom", "--template", work / "in")
    assert said.startswith("--to dicom: expected a stream of CT or MRI, got one of 'grey'")


@pytest.mark.slow
def test_a_sample_series_there_and_back(data_dir: Path, tmp_path: Path) -> None:
    source, modality = data_dir / "ct" / "lung_dx_A0001_dicom", build_modality(load_recipe("ct_sparse").modality)
    before = {data.SOPInstanceUID: data for data in map(pydicom.dcmread, source.iterdir())}
    for options, lossy in ((["--max-error", "0"], False), (["--target-ratio", "50"], True)):
        stream, out = tmp_path / f"{lossy}.lva", tmp_path / f"{lossy}"
        assert _run("compress", source, stream, *options, "--quiet").exit_code == 0
        done = _run("decompress", stream, out, "--to", "dicom", "--template", source, "--quiet", "--json")
        told = json.loads(done.stdout)
        assert (told["files"], told["lossy"]) == (32, lossy)
        for data in map(pydicom.dcmread, out.iterdir()):
            old = before[data.SourceImageSequence[0].ReferencedSOPInstanceUID]
            assert np.array_equal(data.pixel_array, old.pixel_array) is not lossy
            assert data.ImagePositionPatient == old.ImagePositionPatient
        ours, theirs = modality.read(out), modality.read(source)
        assert ours.metadata == theirs.metadata
        assert np.sqrt(np.mean((ours.values - theirs.values.astype(float)) ** 2)) < (30 if lossy else 1e-9)
