"""What the command says of trees and components, and of stages where tables of several trees are fitted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.cli.splits import tree_text
from liveaction.recipe import load_recipe
from liveaction.spec import TreeSpec
from liveaction.training.loop import Listener
from liveaction.training.run import train

SMALL = ["training.steps=0", "training.warm_crops=2"]


def invoke(*words: Any) -> Any:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.exception
    return done


@pytest.mark.parametrize(
    ("tree", "axes", "words"),
    [
        (TreeSpec(levels=2, continuation=1), ("x", "y"), "2 levels along x, y; lowest band: 1 more level"),
        (TreeSpec(levels=(0, 1), lapped=(8, 0)), ("x", "y"), "blocks of 8 along x; 1 level along y"),
        (TreeSpec(levels=(0, 1), continuation=((1, 0), (1, 0))), ("t", "y"),
         "nothing along t; 1 level along y; lowest band: 2 more levels along t"),
        (TreeSpec(levels=0, lapped=4, continuation=((1, 0), (1, 1))), ("t", "y"),
         "blocks of 4 along t, y; lowest band: 2 more levels along t, then t, y"),
    ],
)  # fmt: skip
def test_a_tree_in_words(tree: TreeSpec, axes: tuple[str, ...], words: str) -> None:
    assert tree_text(tree, axes) == words


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIVEACTION_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.slow
def test_trees_are_told_while_tables_are_fitted_and_where_a_signal_took_one(folder: Path) -> None:
    settings = ["codec.levels=1", "codec.continuation=1", "codec.trees=[{levels: [2, 0, 0]}]", "training.crop=[16]"]
    plain = ["codec.latent_channels=null", "codec.encoder={kind: sparse}", "codec.decoder={kind: linear}"]
    recipe = load_recipe("array_smoke", [*plain, *settings, *SMALL])
    flat = np.random.default_rng(0).normal(-30, 5, (7, 17, 33)).astype("float32")
    np.save(folder / "a.npy", flat)
    said: list[str] = []
    train(recipe, folder / "a.npy", folder / "run", listener=Listener(stage=said.append))
    fitted = [line for line in said if line.startswith("fitting")]
    assert fitted == ["fitting entropy tables, tree 1 of 2", "fitting entropy tables, tree 2 of 2"]
    assert "warm start: measuring the variance of every band" in said
    about = ("compress", folder / "a.npy", folder / "a.lva", "--model", folder / "run", "--quiet")
    tree = json.loads(invoke(*about, "--json").stdout)["tree"]
    told = ["1 level along range, azimuth, time; lowest band: 1 more level", "2 levels along range; nothing along"]
    assert f"split as tree {tree + 1} of 2: {told[tree]}" in invoke(*about, "--force").stdout
    words = invoke("info", folder / "a.lva").stdout
    assert f"{'tree':<18} {tree} (" in words and "no basis of the signal's own" in words


@pytest.mark.slow
def test_components_are_told_beside_channels(folder: Path) -> None:
    recipe = load_recipe("hyperspectral_own", SMALL)
    values = np.random.default_rng(0).normal(0, 1, (33, 21, 1)) * np.linspace(1, 2, 7)
    np.save(folder / "a.npy", (1000 * values).astype("int16"))
    said: list[str] = []
    train(recipe, folder / "a.npy", folder / "run", listener=Listener(stage=said.append))
    assert "fitting entropy tables" in said
    about = ("compress", folder / "a.npy", folder / "a.lva", "--model", folder / "run", "--quiet")
    words = invoke(*about).stdout
    assert "1 component of a basis of its own for 7 channels" in words and "tree" not in words
    assert "1 (of a basis of the signal's own, for 7 channel(s))" in invoke("info", folder / "a.lva").stdout


def test_recipes_without_dimension_reduction_say_none() -> None:
    (line,) = [row for row in invoke("recipes").stdout.splitlines() if row.startswith("ct_sparse ")]
    assert line.split()[1:4] == ["none", "none", "none"]
    said = invoke("check", "video_sparse").stdout
    assert (
        "dimension reduction  none" in said and "splits to try        nothing along t; blocks of 8 along y, x" in said
    )
    assert "dimension reduction  16" in invoke("check", "ct_smoke").stdout
