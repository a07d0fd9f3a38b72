"""Folders of several DICOM series through training, compression and back."""

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from liveaction.archive.item import ArchiveTask, Job
from liveaction.archive.manifest import Entry
from liveaction.archive.workers import Outcome
from liveaction.cli.main import app
from liveaction.codec.model import load
from liveaction.errors import FormatError, LiveactionWarning, SpecError
from liveaction.evaluation.sources import digest_of, find_subjects
from liveaction.recipe import load_recipe
from liveaction.training.run import train

Write = Callable[..., Path]
EXTENTS = {"Rows": 16, "Columns": 18}
FLAT = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}


def _stored(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(900, 1100, (16, 18)).astype(np.int16)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, dicom_series: Write) -> Iterator[Path]:
    """A study: two series in one folder, one of them padded, a scout above them; and a model trained on it."""
    folder = tmp_path_factory.mktemp("work")
    study = folder / "study"
    padded = _stored(2)
    padded[:3] = -32768
    tags: list[dict[str, Any]] = [
        {"SeriesInstanceUID": "1.2.1", "SeriesNumber": 2, "Stored": _stored(1)},
        {"SeriesInstanceUID": "1.2.2", "SeriesNumber": 3, "Stored": padded, "PixelPaddingValue": -32768},
    ]
    for name, each in zip("ab", tags, strict=True):
        for path in dicom_series(folder / name, 12, **EXTENTS, **FLAT, **each).iterdir():
            (study / "export").mkdir(parents=True, exist_ok=True)
            path.rename(study / "export" / f"{name}{path.name}")
    dicom_series(study, 1, SeriesInstanceUID="1.2.0", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVEACTION_CACHE", str(folder / "cache"))
        recipe = load_recipe("ct_klt", ["training.warm_crops=64", "training.crop=[16]"])
        with pytest.warns(LiveactionWarning, match=r"left out 1 series: 1\.2\.0 .*localizer"):
            train(recipe, [str(study)], folder / "model")
        patch.setattr("liveaction.archive.folder.run_jobs", _work_here)
        yield folder


def _work_here(task: ArchiveTask, jobs: list[Job], count: int, told: Callable[[Job, Entry], None]) -> Iterator[Outcome]:
    """Work in this process: what is seen here needs no other."""
    task.prepare()
    for job in jobs:
        yield Outcome(job, result=task.work(job, functools.partial(told, job)))


def _run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_every_series_of_a_study_comes_back(work: Path) -> None:
    source, archive, back = work / "study", work / "archive", work / "back"
    with pytest.warns(LiveactionWarning, match="left out 1 series"):
        done = _run("compress", source, archive, "-m", work / "model", "--json", "--quiet")
    assert json.loads(done.stdout)["done"] == 2, done.output
    streams = [archive / "export" / f"1.2.{n}.lva" for n in (1, 2)]
    assert all(stream.is_file() for stream in streams)
    with pytest.warns(LiveactionWarning, match="left out 1 series"):
        again = _run("compress", source, archive, "-m", work / "model", "--json", "--quiet")
    assert json.loads(again.stdout)["skipped"] == 2
    done = _run("decompress", archive, back, "-m", work / "model", "--suffix", ".nii", "--json", "--quiet")
    assert json.loads(done.stdout)["done"] == 2, done.output
    modality = load(work / "model").modality
    for n in (1, 2):
        signal, image = modality.read(source / "export" / f"1.2.{n}"), nibabel.load(back / "export" / f"1.2.{n}.nii")
        np.testing.assert_allclose(image.affine, signal.metadata["affine"], atol=1e-5)
        assert image.get_data_dtype() == np.dtype(signal.dtype)
        if signal.missing is not None:
            values = np.asarray(image.dataobj)[np.newaxis]
            assert (values == -33792).tolist() == signal.missing.tolist()


def test_one_series_is_chosen_by_its_number_or_uid(work: Path, tmp_path: Path) -> None:
    model, source = ("-m", work / "model"), work / "study" / "export"
    for name in ("3", "1.2.2"):
        done = _run("compress", source, tmp_path / f"{name}.lva", "--series", name, *model, "--quiet")
        assert done.exit_code == 0, done.exception
        assert ":1 of 16 bits in int32, " in done.stdout
    assert (tmp_path / "3.lva").read_bytes() == (tmp_path / "1.2.2.lva").read_bytes()
    refused = _run("compress", source, tmp_path / "x.lva", *model, "--quiet")
    assert isinstance(refused.exception, FormatError) and "choose one with --series" in str(refused.exception)
    for wrong in ("../export", ".", ""):
        refused = _run("compress", source, tmp_path / "x.lva", "--series", wrong, *model, "--quiet")
        assert isinstance(refused.exception, SpecError)
        assert f"--series: expected the UID or number of a series in a folder, got {wrong!r}" in str(refused.exception)


def test_a_series_is_a_subject_with_a_digest_of_its_own(work: Path) -> None:
    modality, source = load(work / "model").modality, work / "study" / "export"
    subjects = find_subjects(modality, [source])
    assert [subject.label for subject in subjects] == ["export_1.2.1", "export_1.2.2"]
    assert len({digest_of(subject.path, modality) for subject in subjects}) == 2
