"""Training of sparse codecs without a network: what is measured, and that there is nothing to learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.codec import grid
from liveaction.codec.codec import build_codec
from liveaction.codec.model import load
from liveaction.codec.own_basis import OwnBasis
from liveaction.errors import FormatError, SpecError
from liveaction.recipe import dump_recipe, load_recipe, parse_recipe
from liveaction.registry import build_modality
from liveaction.training import freeze as freezing
from liveaction.training import loop
from liveaction.training import run as runs
from liveaction.training.front import crop_front, try_crop
from liveaction.training.run import train

TREES = [{"levels": 0, "lapped": 8, "continuation": 1}]


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """Small chunks, few of them, no pictures."""
    monkeypatch.setenv("LIVEACTION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(freezing, "SYMBOLS", 1)
    monkeypatch.setattr(grid, "CHUNK_TOKENS", 27)
    monkeypatch.setattr(loop, "draw_curves", lambda folder: None)
    monkeypatch.setattr(runs, "draw_preview", lambda *given: None)


def recipe_of(basis="none", channels=2, trees=(), decoder="linear", **training):
    network = {"depth": 1, "linear_path": True} if decoder != "linear" else {}
    return parse_recipe(
        {
            "name": "sparse",
            "modality": {"name": "array", "axes": ["y", "x"], "channels": channels, "range": [-1, 1]},
            "codec": {
                "levels": 2,
                "continuation": 1,
                "trees": list(trees),
                "encoder": {"kind": "sparse", "basis": basis},
                "decoder": {"kind": decoder, **network},
                "quantizer": {"kind": "uniform", "step": 0.05},
            },
            "training": {"steps": 0, "crop": [16], "start": "warm", "warm_crops": 4, "batch": 2, **training},
        },
        "here",
    )


@pytest.mark.parametrize(
    ("basis", "channels", "trees"), [("none", 1, TREES), ("trained", 3, ()), ("own", 0, TREES)], ids=str
)
def test_a_sparse_recipe_is_made_by_the_command(tmp_path, basis, channels, trees):
    recipe = recipe_of(basis, channels, trees)
    (tmp_path / "sparse.yaml").write_text(yaml.safe_dump(dump_recipe(recipe)))
    arguments = ["train", str(tmp_path / "sparse.yaml"), "--data", "synthetic:2", "--out", str(tmp_path / "run"), "-q"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.exception
    model = load(tmp_path / "run")
    assert model.recipe == recipe and len(model.codec.trees) == 1 + len(trees)
    plain = build_codec(recipe)
    for tree, other in zip(model.codec.trees, plain.trees, strict=True):
        for table, generic in zip(tree.tables, other.tables, strict=True):
            assert table.digest != generic.digest and table.channels == generic.channels
    if basis == "trained":
        weight = model.codec.encoder.down.weight
        assert torch.allclose(weight @ weight.transpose(1, 2), torch.eye(3).expand_as(weight), atol=1e-5)
        assert not torch.equal(weight, torch.eye(3).expand_as(weight))
    signal = model.modality.synthetic(3, (33, 17))
    back = model.decompress(model.compress(signal))
    assert np.sqrt(np.mean((back.values - signal.values) ** 2)) < 0.05


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (recipe_of(steps=3), "expected 0 for recipe 'sparse', whose codec has nothing to learn, got 3"),
        (recipe_of("own", 0, steps=3), "expected 0 for recipe 'sparse', whose codec has nothing to learn, got 3"),
        (recipe_of("trained", 3, steps=3), "expected 0 for recipe 'sparse', whose codec has nothing to learn, got 3"),
    ],
    ids=["nothing", "own basis", "rotations"],
)
def test_steps_where_nothing_can_learn_are_refused(tmp_path, recipe, words):
    with pytest.raises(SpecError, match=rf"^\[training\] steps: {words}"):
        train(recipe, ["synthetic:1"], tmp_path / "run", device="cpu")


def crops(recipe, count=4):
    modality = build_modality(recipe.modality)
    signals = [modality.synthetic(seed, (16, 16)) for seed in range(count)]
    return [modality.normalise(signal.values, (-1, 1))[None] for signal in signals]


def test_a_crop_stands_in_a_basis_of_its_own():
    codec = build_codec(recipe_of("own", 0)).eval()
    x = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (1, 5, 16, 16)).astype(np.float32))
    front, basis = crop_front(codec, x)
    assert isinstance(basis, OwnBasis) and front.shape == (basis.components, 1, 16, 16) and basis.components == 5
    symbols, decoded = try_crop(codec, x)
    assert symbols.shape == (5, 16, 4, 4) and decoded.shape == x.shape
    assert (decoded - x).square().mean().sqrt() < 0.05
    coarse, fewer = crop_front(codec, x, step=10.0)
    assert fewer is not None and len(coarse) == 0
    plain = build_codec(recipe_of(channels=5)).eval()
    assert crop_front(plain, x) == (x, None)


def test_constant_signals_alone_leave_no_tables(tmp_path):
    modality = build_modality(recipe_of("own", 0).modality)
    signal = modality.synthetic(0, (33, 17))
    flat = replace(signal, values=np.full_like(signal.values, 0.25))
    modality.write(flat, tmp_path / "flat.npy")
    with pytest.raises(FormatError, match=r"expected .*example"):
        train(recipe_of("own", 0), [tmp_path / "flat.npy"], tmp_path / "run", device="cpu")


def test_shipped_sparse_recipes_have_nothing_to_learn_but_rotations():
    for name in ("ct_sparse", "mri_sparse", "series_sparse", "grey_sparse", "hyperspectral_own", "music_own"):
        recipe = load_recipe(name)
        with torch.device("meta"):
            codec = build_codec(recipe)
        assert recipe.training.steps == 0 and not list(codec.parameters()), name
    assert recipe_of("trained", 3).codec.encoder.basis == "trained"
