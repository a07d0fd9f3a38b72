"""Packages of strangers: a file format and a modality of their own, installed, and used by name through the CLI."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liveaction.recipe import load_recipe
from liveaction.testing_modalities import check_modality

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def install(name: str, folder: Path) -> Path:
    """The example as pip installs it, apart from everything else."""
    shutil.copytree(EXAMPLES / name, folder / name)
    place = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*pip, "--target", str(place), str(folder / name)], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return place


def run(place: Path, folder: Path, *words: Any) -> str:
    """A command of ``liveaction`` that sees the package."""
    more = {"PYTHONPATH": str(place), "LIVEACTION_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-m", "liveaction", *map(str, words)],
        capture_output=True, text=True, cwd=folder, env=os.environ | more,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / name / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_format_of_a_stranger(tmp_path: Path) -> None:
    place = install("my_format", tmp_path)
    values = np.add.outer(np.arange(40.0), np.sin(np.arange(48.0))).astype("<f4")
    scan = tmp_path / "scan.raw32"
    scan.write_bytes(b"RAW32 40 48 # from the roof\n" + values.tobytes())
    run(place, tmp_path, "new", "mine", "--like", "array", "--data", scan)
    assert "scan.raw32 is 40 x 48 float32" in (tmp_path / "mine.yaml").read_text()
    short = ("--set", "training.warm_crops=16", "--quiet")
    run(place, tmp_path, "train", "mine.yaml", "--data", scan, "--out", "model", *short)
    run(place, tmp_path, "compress", scan, "scan.lva", "--model", "model", "--quiet")
    said = run(place, tmp_path, "decompress", "scan.lva", "back.raw32", "--model", "model", "--against", scan,
               "--picture", "p.png", "--quiet")  # fmt: skip
    assert "PSNR" in said and (tmp_path / "p.png").exists()
    header, _, data = (tmp_path / "back.raw32").read_bytes().partition(b"\n")
    assert header == b"RAW32 40 48 # from the roof"
    back = np.frombuffer(data, "<f4").reshape(40, 48)
    assert np.sqrt(np.mean((back - values) ** 2)) < 0.1 * np.ptp(values)


@pytest.mark.slow
def test_a_modality_of_a_stranger(tmp_path: Path) -> None:
    place = install("my_modality", tmp_path)
    recipe = tmp_path / "my_modality" / "ecg.yaml"
    ecg = load("my_modality").ECG(load_recipe(recipe).modality)
    ecg.write(ecg.synthetic(9), tmp_path / "heart.ecg")
    run(place, tmp_path, "train", recipe, "--data", "synthetic:2", "--out", "model", "--steps", 2, "--quiet")
    run(place, tmp_path, "compress", "heart.ecg", "heart.lva", "--model", "model", "--quiet")
    said = run(place, tmp_path, "decompress", "heart.lva", "back.ecg", "--model", "model", "--against", "heart.ecg",
               "--quiet")  # fmt: skip
    assert "PSNR" in said and ecg.read(tmp_path / "back.ecg").shape == (8192,)
    assert "ecg" in run(place, tmp_path, "doctor")


def test_the_modality_stands_the_battery(tmp_path: Path) -> None:
    spec = load_recipe(EXAMPLES / "my_modality" / "ecg.yaml").modality
    check_modality(load("my_modality").ECG(spec), tmp_path, ".ecg", [(1,), (77,)])
