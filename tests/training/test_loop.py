"""Training: schedule, exact resume, interruption, NaN, many processes, bf16."""

import json
import os
import signal as signals
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from liveaction.codec.model import load
from liveaction.errors import FormatError, SpecError, TrainingError
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.training.checkpoint import list_checkpoints, load_checkpoint
from liveaction.training.log import read_log
from liveaction.training.loop import Listener, crop_extents, is_frozen, learning_rate
from liveaction.training.run import train

TINY = [
    "codec.latent_channels=4",
    "codec.levels=2",
    "codec.encoder.depth=1",
    "codec.decoder.depth=1",
    "training.crop=[16, 24]",
    "training.batch=2",
    "training.warm_crops=8",
    "training.checkpoint_every=5",
    "training.validate_every=10",
]


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory, small_phantoms):
    before = os.environ.get("LIVEACTION_CACHE")
    os.environ["LIVEACTION_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    del os.environ["LIVEACTION_CACHE"]
    if before:
        os.environ["LIVEACTION_CACHE"] = before


def recipe(*overrides):
    return load_recipe("ct_smoke", [*TINY, *overrides])


def test_the_schedule_is_the_published_one():
    spec = recipe("training.steps=100", "training.learning_rate=0.5", "training.schedule_power=6").training
    rates = [learning_rate(spec, step) for step in range(100)]
    assert max(rates) == pytest.approx(0.5) and rates[49] == max(rates)
    assert rates[99] == pytest.approx(0.0005)
    assert rates[0] == pytest.approx(0.0005, rel=7)


def test_crops_grow_and_the_encoder_freezes():
    made = recipe("training.steps=10")
    assert [crop_extents(made, step) for step in range(10)] == [(16, 16, 16)] * 5 + [(24, 24, 24)] * 5
    assert crop_extents(recipe("training.crop=[[8, 16, 32], 64]"), 0) == (8, 16, 32)
    spec = made.training
    assert [is_frozen(spec, step) for step in range(10)] == [False] * 7 + [True] * 3


@pytest.mark.slow
def test_training_leaves_a_model_directory_and_the_loss_falls(tmp_path):
    result = train(recipe("training.steps=40", "training.start=random"), ["synthetic:2"], tmp_path / "run")
    folder = result.folder
    for name in (
        "config.json",
        "model.safetensors",
        "encoder.safetensors",
        "training.json",
        "curves.png",
        "preview.png",
        "log.jsonl",
    ):
        assert (folder / name).stat().st_size > 100, name
    assert list((folder / "tensorboard").iterdir())
    model = load(folder)
    assert model.digest == result.digest and model.recipe == recipe("training.steps=40", "training.start=random")
    assert not any(p.requires_grad for p in model.codec.parameters())
    lines = [line for line in read_log(folder) if line["kind"] == "train"]
    assert [line["step"] for line in lines] == list(range(1, 41))
    assert sum(line["loss"] for line in lines[-5:]) < sum(line["loss"] for line in lines[:5]) - 1
    assert lines[27]["frozen"] is False and lines[28]["frozen"] is True
    assert json.loads((folder / "training.json").read_text())["finished"] is True
    sensor = load_file(folder / "encoder.safetensors")
    assert sensor and all(name.startswith(("encoder.", "quantizer.")) for name in sensor)


@pytest.mark.slow
def test_the_encoder_does_not_move_once_frozen(tmp_path):
    train(recipe("training.steps=20", "training.checkpoint_every=15"), ["synthetic:2"], tmp_path / "run")
    first, last = (load_checkpoint(path).weights for path in list_checkpoints(tmp_path / "run" / "checkpoints"))
    moved = {name for name in first if not torch.equal(first[name], last[name])}
    assert moved and all(name.startswith("decoder.") for name in moved)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody interrupts."""
    return train(recipe("training.steps=20"), ["synthetic:2"], tmp_path_factory.mktemp("run") / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [7, 10, 15])
def test_a_resumed_run_ends_with_the_same_weights(whole, tmp_path, stop_at):

    def interrupt(report):
        if report.step == stop_at:
            os.kill(os.getpid(), signals.SIGINT)

    part = train(recipe("training.steps=20"), ["synthetic:2"], tmp_path / "part", listener=Listener(step=interrupt))
    assert not part.finished and part.steps == stop_at
    assert load(tmp_path / "part").digest == part.digest
    with pytest.raises(TrainingError, match="add --resume to go on"):
        train(recipe("training.steps=20"), ["synthetic:2"], tmp_path / "part")
    resumed = train(recipe("training.steps=20"), ["synthetic:2"], tmp_path / "part", resume=True)
    assert resumed.finished and resumed.digest == whole.digest
    steps = [line["step"] for line in read_log(tmp_path / "part") if line["kind"] == "train"]
    assert steps == list(range(1, 21))


@pytest.mark.slow
def test_resume_refuses_another_recipe_and_a_damaged_checkpoint(tmp_path):
    train(recipe("training.steps=5"), ["synthetic:2"], tmp_path / "run")
    with pytest.raises(TrainingError, match="expected a checkpoint of this very recipe"):
        train(recipe("training.steps=5", "training.seed=1"), ["synthetic:2"], tmp_path / "run", resume=True)
    (newest,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    (newest / "weights.safetensors").write_bytes(b"short")
    (tmp_path / "run" / "training.json").unlink()  # which says that nothing is left to do
    with pytest.raises(FormatError, match="expected a whole checkpoint"):
        train(recipe("training.steps=5"), ["synthetic:2"], tmp_path / "run", resume=True)


def test_zero_steps_are_the_warm_start(tmp_path):
    result = train(load_recipe("ct_klt", ["codec.levels=2", "codec.latent_channels=8", "training.crop=[16]"]),
                   ["synthetic:1"], tmp_path / "run")  # fmt: skip
    codec = load(result.folder).codec
    basis = codec.encoder.down.weight
    assert torch.allclose(basis @ basis.T, torch.eye(8), atol=1e-5)
    assert result.finished and result.steps == 0 and len(result.validations) == 1


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_with_an_explanation(tmp_path):
    settings = ["training.steps=50", "training.learning_rate=1.0e+30", "training.optimizer=sgd"]
    with pytest.raises(TrainingError, match=r"expected a finite loss, got .* lower training.learning_rate"):
        train(recipe(*settings), ["synthetic:1"], tmp_path / "run")


def test_an_unknown_optimiser_is_refused(tmp_path):
    with pytest.raises(SpecError, match="expected an optimiser of timm, got 'nonsense'"):
        train(recipe("training.steps=5", "training.optimizer=nonsense"), ["synthetic:1"], tmp_path / "run")


@pytest.mark.slow
def test_bfloat16_trains(tmp_path):
    settings = [
        "training.steps=6",
        "codec.compute_dtype=bfloat16",
        "codec.decoder.kind=vit",
        "codec.decoder.head_dim=8",
    ]
    result = train(recipe(*settings), ["synthetic:1"], tmp_path / "run")
    assert result.finished and result.validations[-1].psnr > 20


@pytest.mark.slow
def test_two_processes_take_the_crops_of_one(tmp_path):
    """Gradients are averages over the same crops; the loss' logarithm and the noise differ, so weights only nearly."""
    script = (
        "import sys; from pathlib import Path; from liveaction.recipe import load_recipe; "
        "from liveaction.training.run import train; "
        "r = load_recipe('ct_smoke', sys.argv[2].split(';')); train(r, sys.argv[3], sys.argv[1], device='cpu')"
    )
    settings = ";".join([*TINY, "training.steps=10"])
    program = tmp_path / "program.py"
    program.write_text(script)
    modality = build_modality(recipe().modality)
    for seed in range(2):
        modality.write(modality.synthetic(seed), tmp_path / f"{seed}.nii")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
               str(program), str(tmp_path / "two"), settings, str(tmp_path)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    summary = json.loads((tmp_path / "two" / "training.json").read_text())
    assert summary["processes"] == 2 and summary["finished"]
    single = train(recipe("training.steps=10"), [str(tmp_path / f"{seed}.nii") for seed in range(2)], tmp_path / "one")
    assert summary["validation"][-1]["psnr"] == pytest.approx(single.validations[-1].psnr, abs=0.5)


@pytest.mark.slow
def test_ctrl_c_on_the_command_line_leaves_a_usable_checkpoint(tmp_path):
    command = [sys.executable, "-m", "liveaction", "train", "ct_smoke", "--data", "synthetic:1",
               "--out", str(tmp_path / "run"), "--steps", "100000"]  # fmt: skip
    for override in TINY:
        command += ["--set", override]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(read_log(tmp_path / "run")) < 12:
        time.sleep(0.2)
    process.send_signal(signals.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "--resume goes on" in out and "Traceback" not in err
    assert load(tmp_path / "run").digest[:12] in out
    (checkpoint,) = list_checkpoints(tmp_path / "run" / "checkpoints")[-1:]
    assert load_checkpoint(checkpoint).step >= 10  # of twelve lines two tell of validations


def test_a_run_begins_with_the_weights_of_another_model(tmp_path):
    first = train(recipe("training.steps=4"), ["synthetic:1"], tmp_path / "a", device="cpu")
    more = recipe("training.steps=0", "training.seed=7")
    second = train(more, ["synthetic:1"], tmp_path / "b", device="cpu", start_from=tmp_path / "a")
    assert second.digest == first.digest


def test_a_new_decoder_begins_as_the_linear_path_of_the_other_model(tmp_path):
    klt = recipe("training.steps=0", "codec.decoder.kind=linear")
    first = train(klt, ["synthetic:1"], tmp_path / "a", device="cpu")
    tuned = recipe("training.steps=4", "training.freeze_at=0", "training.start=random")
    second = train(tuned, ["synthetic:1"], tmp_path / "b", device="cpu", start_from=tmp_path / "a")
    assert second.validations[0].psnr == pytest.approx(first.validations[0].psnr, abs=1e-4)
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("encoder."))
    assert any(not torch.equal(before[name], after[name]) for name in before if name.startswith("decoder."))


def test_a_model_of_other_latents_is_refused(tmp_path):
    train(recipe("training.steps=0"), ["synthetic:1"], tmp_path / "a", device="cpu")
    for change, words in (("codec.latent_channels=5", "codec.latent_channels 5"), ("modality.range=[0, 9]", "range")):
        with pytest.raises(SpecError, match=words):
            train(recipe(change), ["synthetic:1"], tmp_path / "b", device="cpu", start_from=tmp_path / "a")


def test_a_model_directory_is_a_recipe(tmp_path):
    original = recipe("training.steps=0")
    train(original, ["synthetic:1"], tmp_path / "a", device="cpu")
    assert load_recipe(tmp_path / "a") == original
    assert load_recipe(tmp_path / "a", ["training.steps=3"]).training.steps == 3
    (tmp_path / "a" / "config.json").write_text("{}")
    with pytest.raises(SpecError, match="expected the configuration of a model"):
        load_recipe(tmp_path / "a")
    with pytest.raises(SpecError, match="readable recipe file"):
        load_recipe(tmp_path)
