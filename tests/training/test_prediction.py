"""Learning of a predict step: its loss falls, networks learn by their own parts, runs resume, the command works."""

import json

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.codec import grid
from liveaction.codec.codec import build_codec
from liveaction.codec.model import load
from liveaction.errors import SpecError
from liveaction.recipe import dump_recipe, parse_recipe
from liveaction.signal import Signal
from liveaction.training import freeze as freezing
from liveaction.training import loop
from liveaction.training import run as runs
from liveaction.training.prediction import STEPS, PredictionLoss, draw_steps
from liveaction.training.run import train

TREES = ({"levels": 0, "lapped": 4, "continuation": 1},)


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """Small chunks, few of them, no pictures."""
    monkeypatch.setenv("LIVEACTION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(freezing, "SYMBOLS", 1)
    monkeypatch.setattr(freezing, "PRIMED", 2)
    monkeypatch.setattr(grid, "CHUNK_TOKENS", 27)
    monkeypatch.setattr(grid, "PREDICTED_SAMPLES", 2**8)
    monkeypatch.setattr(loop, "draw_curves", lambda folder: None)
    monkeypatch.setattr(runs, "draw_preview", lambda *given: None)


def recipe_of(basis="none", channels=2, trees=(), **training):
    return parse_recipe(
        {
            "name": "predicted",
            "modality": {"name": "array", "axes": ["y", "x"], "channels": channels, "range": [-1, 1]},
            "codec": {
                "levels": 1,
                "continuation": 1,
                "trees": list(trees),
                "encoder": {"kind": "predicted", "basis": basis, "width": 4, "kernels": [3, 3]},
                "decoder": {"kind": "linear"},
                "quantizer": {"kind": "uniform", "step": 0.05},
            },
            "training": {"steps": 6, "crop": [32], "warm_crops": 4, "batch": 2, "learning_rate": 0.01, **training},
        },
        "here",
    )


def edges(seed, size=32, batch=4):
    """Crops ``[B, 1, size, size]`` of half planes: what a network sees and a filter does not."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*[np.arange(size) - size / 2] * 2, indexing="ij")
    angles, places = rng.uniform(0, 2 * np.pi, (batch, 1, 1, 1)), rng.uniform(-8, 8, (batch, 1, 1, 1))
    return torch.from_numpy(np.tanh(np.cos(angles) * x + np.sin(angles) * y - places).astype(np.float32))


def test_the_loss_of_edges_falls():
    torch.manual_seed(0)
    loss, x, step = PredictionLoss(build_codec(recipe_of(channels=1))), edges(99), torch.full((4,), 0.05)
    optimizer = torch.optim.Adam(loss.parameters(), 0.003)
    first = loss(x, step)
    assert torch.allclose(first.bits, first.before, rtol=1e-5), "networks begin at zero"
    for _ in range(80):
        left = loss(x, step)
        optimizer.zero_grad()
        left.bits.backward()
        optimizer.step()
    assert left.bits < 0.97 * first.bits and torch.allclose(left.before, first.before, rtol=0.02)


def test_each_network_learns_by_its_own_part():
    torch.manual_seed(0)
    codec = build_codec(recipe_of(channels=1))
    for network in codec.predictor.networks:
        torch.nn.init.normal_(network.weights[-1], 0, 0.1)
    coarse, fine = codec.predictor.networks
    x, step = edges(0), torch.full((4,), 0.05)
    PredictionLoss(codec)(x, step).bits.backward()
    grads = [weight.grad.clone() for weight in coarse.weights]
    assert all(grad.abs().max() > 0 for grad in (*grads, *(weight.grad for weight in fine.weights)))
    codec.zero_grad()
    torch.nn.init.zeros_(fine.weights[-1])  # other errors of the finer part
    PredictionLoss(codec)(x, step).bits.backward()
    assert all(torch.equal(weight.grad, grad) for weight, grad in zip(coarse.weights, grads, strict=True))
    assert codec.encoder.down.weight is None


def test_steps_are_drawn_from_their_range():
    codec = build_codec(recipe_of())
    drawn = draw_steps(codec, (0, 1, 0), 1000)
    assert torch.equal(drawn, draw_steps(codec, (0, 1, 0), 1000)) and not torch.equal(
        drawn, draw_steps(codec, (0, 2, 0), 1000)
    )
    low, high = (0.05 * factor for factor in STEPS)
    assert low <= drawn.min() < 1.1 * low and 0.9 * high < drawn.max() <= high
    assert abs(drawn.log().mean().item() - np.log(low * high) / 2) < 0.1


@pytest.mark.parametrize(
    ("basis", "channels", "trees"), [("trained", 3, TREES), ("own", 0, ())], ids=["two-trees", "own"]
)
def test_a_recipe_is_trained_by_the_command(tmp_path, basis, channels, trees):
    recipe = recipe_of(basis, channels, trees, validate_every=3)
    (tmp_path / "predicted.yaml").write_text(yaml.safe_dump(dump_recipe(recipe)))
    arguments = ["train", str(tmp_path / "predicted.yaml"), "--data", "synthetic:2", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [*arguments, "-q"])
    assert done.exit_code == 0, done.exception
    model = load(tmp_path / "run")
    assert len(model.codec.trees) == 1 + len(trees)
    assert all(network.weights[-1].any() for tree in model.codec.trees for network in tree.predictor.networks)
    if basis == "trained":
        weight = model.codec.encoder.down.weight
        assert torch.allclose(weight @ weight.transpose(1, 2), torch.eye(3).expand_as(weight), atol=1e-5)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["kind"] == "train"]
    assert [line["step"] for line in steps] == list(range(1, 7)) and all(0 < line["loss"] < 3 for line in steps)
    assert not any(line["frozen"] for line in steps) and sum(line["kind"] == "validation" for line in lines) == 3
    values = np.random.default_rng(0).normal(0, 0.1, (channels or 3, 33, 18)).cumsum(1).clip(-1, 1).astype(np.float32)
    signal = Signal(values, ("y", "x"), "", (1.0, 1.0), "float32")
    for coder in ("fast", "small"):
        back = model.decompress(model.compress(signal, coder=coder))
        assert np.sqrt(np.mean((back.values - values) ** 2)) < 0.05
    fitted = [table.digest for tree in model.codec.trees for table in tree.tables]
    assert not set(fitted) & {table.digest for tree in build_codec(recipe).trees for table in tree.tables}


def test_a_run_that_is_resumed_ends_as_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "freeze", lambda codec, crops, seed, stage: None)
    recipe = recipe_of(channels=1, trees=TREES, checkpoint_every=3)
    whole = train(recipe, "synthetic:2", tmp_path / "whole")

    def fail(report):
        if report.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, "synthetic:2", tmp_path / "part", listener=loop.Listener(step=fail))
    again = train(recipe, "synthetic:2", tmp_path / "part", resume=True)
    assert again.finished and again.digest == whole.digest


def test_a_network_behind_a_predict_step_learns_once_that_has(tmp_path):
    """It needs a model to start from, keeps that model's streams byte for byte, and changes what they decode to."""
    paths = []
    for seed in range(2):
        paths.append(str(tmp_path / f"{seed}.npy"))
        np.save(paths[-1], np.concatenate([edges(seed, 64, 2)[:, 0]]).astype(np.float32))
    before = recipe_of(steps=4)
    train(before, paths, tmp_path / "step")
    table = dump_recipe(before)
    table["codec"]["decoder"] = {"kind": "light", "depth": 1, "width": 16}
    recipe = parse_recipe(table, "here")
    with pytest.raises(SpecError, match="a predict step that has learnt"):
        train(recipe, paths, tmp_path / "none")
    train(recipe, paths, tmp_path / "behind", start_from=tmp_path / "step")
    first, second = load(tmp_path / "step"), load(tmp_path / "behind")
    for one, other in zip(first.codec.predictor.parameters(), second.codec.predictor.parameters(), strict=True):
        assert torch.equal(one, other)
    for tables, others in zip(first.codec.tables, second.codec.tables, strict=True):
        assert tables.digest == others.digest
    learnt = [part for name, part in second.codec.named_parameters() if name.startswith("correction.out")]
    assert any(part.abs().max() > 0 for part in learnt)
