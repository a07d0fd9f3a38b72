"""Runs that are cut off, wherever: what is resumed, what is refused, who may train into a folder."""

import json
import os
import signal

import numpy as np
import pytest
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.codec.model import load
from liveaction.errors import FormatError, SpecError, TrainingError
from liveaction.locking import locked
from liveaction.recipe import load_recipe
from liveaction.training import loop
from liveaction.training import run as runs
from liveaction.training.checkpoint import list_checkpoints, load_checkpoint
from liveaction.training.log import LOG, read_log
from liveaction.training.loop import Listener
from liveaction.training.run import LOCK, train

TINY = [
    "codec.latent_channels=4",
    "codec.levels=2",
    "codec.encoder.depth=0",
    "codec.decoder.kind=linear",
    "training.crop=[16]",
    "training.warm_crops=2",
    "training.checkpoint_every=2",
    "training.validate_every=2",
]


def leave_out_what_takes_long(patch, folder):
    """No pictures, and the entropy tables that need no data."""
    patch.setenv("LIVEACTION_CACHE", str(folder / "cache of resumed runs"))
    patch.setattr(loop, "freeze", lambda codec, crops, seed, stage: None)
    patch.setattr(loop, "draw_curves", lambda folder: None)
    patch.setattr(runs, "draw_preview", lambda *given: None)


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path_factory, small_phantoms):
    leave_out_what_takes_long(monkeypatch, tmp_path_factory.getbasetemp())


def tiny(steps, *more):
    return load_recipe("ct_smoke", [*TINY, f"training.steps={steps}", *more])


def go(steps, folder, **more):
    return train(tiny(steps), "synthetic:1", folder, device="cpu", **more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small_phantoms):
    """The digest of a run of three steps that nobody cut off."""
    with pytest.MonkeyPatch.context() as patch:
        leave_out_what_takes_long(patch, tmp_path_factory.getbasetemp())
        return go(3, tmp_path_factory.mktemp("whole")).digest


class Killed(BaseException):
    """Ends a run as a kill would, with nothing done after it."""


def die(*given):
    raise Killed


@pytest.mark.parametrize("place", ["validation", "tables", "summary"])
def test_a_run_that_is_killed_after_its_last_step_is_finished(tmp_path, monkeypatch, whole, place):
    with monkeypatch.context() as patch:
        if place == "validation":
            before = loop.Trainer._validate
            patch.setattr(
                loop.Trainer, "_validate", lambda self, done, log: (die if done == 3 else before)(self, done, log)
            )
        else:
            patch.setattr(*{"tables": (loop, "freeze"), "summary": (runs, "write_summary")}[place], die)
        with pytest.raises(Killed):
            go(3, tmp_path)
    assert load_checkpoint(list_checkpoints(tmp_path / "checkpoints")[-1]).step == 3
    result = go(3, tmp_path, resume=True)
    assert result.finished and not result.untouched and result.digest == whole == load(tmp_path).digest
    assert [each.step for each in result.validations] == [0, 2, 3]
    lines = [(line["kind"], line["step"]) for line in read_log(tmp_path)]
    assert sorted(lines) == [("train", 1), ("train", 2), ("train", 3)] + [("validation", n) for n in (0, 2, 3)]


def test_a_complete_run_is_left_as_it_is_unless_more_steps_are_asked_for(tmp_path):
    digest = go(2, tmp_path).digest
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    done = CliRunner().invoke(
        app, ["train", "ct_smoke", "--data", "/nowhere", "--out", str(tmp_path), "--steps", "2", "--resume", "-q"]
        + [word for each in TINY for word in ("--set", each)],
    )  # fmt: skip
    assert done.output == f"{tmp_path}: complete after 2 steps; weights {digest[:12]}, --steps asks for more\n"
    assert done.exit_code == 0 and before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    told = []
    more = go(3, tmp_path, resume=True, listener=Listener(stage=told.append))
    assert "resuming after step 2, now for 3 steps in the place of 2" in told
    assert more.finished and more.steps == 3 and more.digest == load(tmp_path).digest != digest
    with pytest.raises(TrainingError, match=r"expected at least the 3 training\.steps that the run was started"):
        go(2, tmp_path, resume=True)


def test_a_warm_start_alone_is_complete_and_is_not_taken_for_another_recipe(tmp_path):
    first = go(0, tmp_path)
    assert go(0, tmp_path, resume=True).untouched
    with pytest.raises(TrainingError, match="expected a checkpoint of this very recipe"):
        train(tiny(0, "training.seed=1"), "synthetic:1", tmp_path, device="cpu", resume=True)
    assert load(tmp_path).digest == first.digest
    assert go(1, tmp_path, resume=True).steps == 1


def test_a_model_without_checkpoints_is_not_trained_anew(tmp_path):
    go(1, tmp_path)
    (tmp_path / "checkpoints").rename(tmp_path / "elsewhere")
    with pytest.raises(TrainingError, match=r"expected a checkpoint to go on from, got a model alone; .*--start-from"):
        go(2, tmp_path, resume=True)


def test_checkpoints_and_logs_that_are_damaged_are_one_line(tmp_path):
    go(1, tmp_path)
    (tmp_path / "training.json").unlink()
    (newest,) = list_checkpoints(tmp_path / "checkpoints")
    whole = (newest / "state.json").read_text()
    for text in ("{}", "[]", "[" * 100_000, '{"step": ' + "1" * 5000 + "}"):
        (newest / "state.json").write_text(text)
        with pytest.raises(FormatError, match=r"expected a whole checkpoint, got .*; delete it and resume again"):
            go(1, tmp_path, resume=True)
    (newest / "state.json").write_text(json.dumps(json.loads(whole) | {"param_groups": []}))
    with pytest.raises(FormatError, match="expected the weights and the optimiser of its recipe, got others; delete"):
        go(1, tmp_path, resume=True)
    (newest / "state.json").write_text(whole)
    for text in ("x\n", "[]\n", '{"kind": "train"}\n', "[" * 100_000 + "\n", "\xff\n"):
        (tmp_path / LOG).write_bytes(text.encode("latin-1"))
        with pytest.raises(FormatError, match=r"log\.jsonl:1: expected a line of a training's log, got .*; take"):
            go(1, tmp_path, resume=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_what_schedulers_send_ends_a_run_in_order(tmp_path, number, whole):
    told, before = [], signal.getsignal(number)

    def interrupt(report):
        if report.step == 1:
            os.kill(os.getpid(), number)

    part = go(3, tmp_path, listener=Listener(told.append, interrupt))
    assert (part.finished, part.steps, part.stopped) == (False, 1, number)
    assert f"stopping after this step, for {number.name}; a second one stops at once" in told
    assert signal.getsignal(number) is before and load(tmp_path).digest == part.digest
    assert go(3, tmp_path, resume=True).digest == whole


def test_a_second_signal_ends_a_run_at_once(tmp_path):
    def interrupt(report):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        go(3, tmp_path, listener=Listener(step=interrupt))
    assert not (tmp_path / "config.json").exists() and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_two_trainings_into_one_folder_are_refused(tmp_path):
    with (
        locked(tmp_path / LOCK),
        pytest.raises(SpecError, match="expected no other process to write there, got one that does; wait for it"),
    ):
        go(1, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


@pytest.mark.parametrize(("stopped", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (0, 1)])
def test_a_run_that_was_stopped_says_by_what_in_its_status(tmp_path, monkeypatch, stopped, status):
    result = runs.TrainingResult(tmp_path, "abc", 1, False, 1.0, stopped=stopped)
    monkeypatch.setattr(runs, "train", lambda *given, **named: result)
    done = CliRunner().invoke(app, ["train", "ct_smoke", "--data", "synthetic:1", "--out", str(tmp_path), "-q"])
    assert done.exit_code == status and "stopped after step 1; --resume goes on" in done.output


@pytest.mark.parametrize("constant", [1e17, -1e36])
def test_a_constant_of_any_size_is_trained_on_and_comes_back(tmp_path, constant):
    np.save(tmp_path / "a.npy", np.full((16, 20, 24), constant))
    settings = [*TINY, "training.steps=2", "modality.options.dtype=float64", "modality.range={percentiles: [0, 100]}"]
    train(load_recipe("array_smoke", settings), tmp_path / "a.npy", tmp_path / "run", device="cpu")
    losses = [line["loss"] for line in read_log(tmp_path / "run") if line["kind"] == "train"]
    model = load(tmp_path / "run")
    assert losses and np.isfinite(losses).all()
    assert (model.decompress(model.compress(tmp_path / "a.npy")).values == constant).all()
