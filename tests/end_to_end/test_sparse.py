"""A sparse model with bases of each signal's own at the command line: compress, info, folders, fast."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.codec.codec import build_codec
from liveaction.codec.model import load
from liveaction.codec.weights import save_model
from liveaction.recipe import parse_recipe


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A model of two trees whose tables need no data, and three recordings of other numbers of channels."""
    recipe = parse_recipe(
        {
            "name": "own",
            "modality": {"name": "array", "axes": ["t"], "channels": 0, "range": [-1, 1]},
            "codec": {
                "levels": 0,
                "lapped": 8,
                "trees": [{"levels": 2, "continuation": 2}],
                "encoder": {"kind": "sparse", "basis": "own"},
                "decoder": {"kind": "linear"},
                "quantizer": {"kind": "uniform", "step": 0.05},
            },
            "training": {"steps": 0, "crop": [64]},
        },
        "here",
    )
    folder = tmp_path_factory.mktemp("work")
    torch.manual_seed(0)
    save_model(build_codec(recipe).eval(), recipe, folder / "model")
    (folder / "data").mkdir()
    modality = load(folder / "model").modality
    for seed, channels in enumerate((1, 3, 7)):
        values = np.random.default_rng(seed).standard_normal((channels, 1)) * np.sin(np.arange(1001) / 9) / 4
        noise = 0.01 * np.random.default_rng(seed + 9).standard_normal(values.shape)
        np.save(folder / "data" / f"{channels}.npy", (values + noise).clip(-1, 1).astype(np.float32))
        assert modality.read(folder / "data" / f"{channels}.npy").values.shape == (channels, 1001)
    return folder


def invoke(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.exception
    return done.stdout


@pytest.mark.parametrize("channels", [1, 3, 7])
def test_info_shows_the_tree_the_components_and_the_coder(work, tmp_path, channels):
    source, stream = work / "data" / f"{channels}.npy", tmp_path / "a.lva"
    report = json.loads(invoke("compress", source, stream, "-m", work / "model", "--json", "-q"))
    info = json.loads(invoke("info", stream, "--json"))
    assert info["tree"] == report["tree"] in (0, 1) and info["components"] == report["components"] >= 1
    assert info["coder"] == "fast" and info["shape"] == [channels, 1001] and info["factors"] == [[8], [4]][info["tree"]]
    text = invoke("info", stream)
    for name in ("tree", "components", "coder"):
        assert any(line.startswith(f"{name:<18} {info[name]} ") for line in text.splitlines()), text
    invoke("decompress", stream, tmp_path / "back.npy", "-m", work / "model", "-q")
    assert np.abs(np.load(tmp_path / "back.npy") - np.load(source)).mean() < 0.05
    found = json.loads(invoke("verify", stream, "-m", work / "model", "--against", source, "--json", "-q"))
    assert found["damaged"] == [] and found["chunks"] == info["chunks"]


def test_folders_note_whether_they_were_made_fast(work, tmp_path):
    def manifest():
        lines = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry.get("source")]

    command = ("compress", work / "data", tmp_path / "out", "-m", work / "model", "-q", "--json")
    invoke(*command, "--fast")
    first = manifest()
    assert len(first) == 3 and all(entry["fast"] is True for entry in first)
    fast = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.lva")}
    invoke(*command, "--fast")
    assert manifest() == first, "what is done is skipped"
    invoke(*command)
    assert len(manifest()) == 6 and not any(entry.get("fast") for entry in manifest()[3:])
    careful = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.lva")}
    assert careful.keys() == fast.keys() and all(careful[name] != fast[name] for name in fast)
    assert sum(map(len, careful.values())) < sum(map(len, fast.values()))
    invoke("decompress", tmp_path / "out", tmp_path / "back", "-m", work / "model", "-q")
    for channels in (1, 3, 7):
        back = np.load(tmp_path / "back" / f"{channels}.npy")
        assert back.shape == (channels, 1001)
        assert np.abs(back - np.load(work / "data" / f"{channels}.npy")).mean() < 0.05
