"""Codecs on signals: items that say what was measured, kept and taken up again."""

import json
import os
from dataclasses import replace
from math import inf

import numpy as np
import pytest

from liveaction.errors import FormatError, SpecError
from liveaction.evaluation.baselines.base import Baseline
from liveaction.evaluation.coders import BaselineCoder, ModelCoder
from liveaction.evaluation.item import Measurement
from liveaction.evaluation.outputs import write_outputs
from liveaction.evaluation.parts import DataFile
from liveaction.evaluation.protocol import TimingRules, load_protocol
from liveaction.evaluation.run import Settings, evaluate
from liveaction.evaluation.sources import Subject, find_subjects, protocol_subjects
from liveaction.evaluation.training import train_models
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality

SETTINGS = Settings(TimingRules(repeats=2, budget=30.0), threads=1)
PROTOCOL = """
name: tiny
description: pictures
train: [train]
test: [test/a.png, {path: test/b.png, part: {x: [0.5, 1]}}]
settings: [training.steps=0, "training.crop=[32]", training.warm_crops=8, "codec.encoder={kind: linear}",
           "codec.decoder={kind: linear}"]
seeds: [0, 3]
codecs:
  small: {recipe: rgb_smoke, curve: ours, factors: [2, 1], settings: [codec.latent_channels=8]}
  large: {recipe: rgb_smoke, curve: ours, factors: [1], settings: [codec.latent_channels=64], seeds: [0]}
"""


class Rounding(Baseline):
    """Multiples of a step, as they are."""

    name, label, setting, ladder = "rounding", "rounding", "step", (1.0, 16.0)
    library = "numpy"

    def refuses(self, array):
        return "too wide" if array.values.shape[-1] > 1000 else None

    def encode(self, array, value):
        if value == 13:
            raise RuntimeError("unlucky")
        self.shape, self.seen = array.values.shape, array
        return np.rint(array.values / value).astype(np.int16).tobytes() + np.float32(value).tobytes()

    def decode(self, data):
        value = np.frombuffer(data[-4:], np.float32)[0]
        return np.frombuffer(data[:-4], np.int16).reshape(self.shape) * value


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    modality = build_modality(load_recipe("rgb_smoke").modality)
    for name in ("train", "test"):
        (folder / "data" / name).mkdir(parents=True)
    for seed, name in enumerate(("train/a.png", "train/b.png", "test/a.png", "test/b.png")):
        modality.write(modality.synthetic(seed, (47, 66)), folder / "data" / name)
    (folder / "tiny.yaml").write_text(PROTOCOL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVEACTION_CACHE", str(folder / "cache"))
        models = trained(load_protocol(str(folder / "tiny.yaml")), folder / "data", folder / "out")
    return folder, models


def trained(protocol, data, out):
    """Folders by codec and seed."""
    return {(model.codec, model.seed): model.folder for model in train_models(protocol, data, out, "cpu")}


def subjects_of(folder):
    protocol = load_protocol(str(folder / "tiny.yaml"))
    return protocol_subjects(folder / "data", protocol.test, build_modality(load_recipe("rgb_smoke").modality))


def coders_of(models, values=None):
    ours = [ModelCoder(path, "ours", name, (2, 1), seed) for (name, seed), path in models.items()]
    return [*ours, BaselineCoder(Rounding(), ours[0].modality, values)]


def test_a_protocol_trains_each_seed_once_and_says_on_what(work, monkeypatch):
    folder, models = work
    assert set(models) == {("small", 0), ("small", 3), ("large", 0)}
    assert load_recipe(models["small", 3]).training.seed == 3
    learnt = json.loads((models["large", 0] / "trained_on.json").read_text())
    assert [entry["name"] for entry in learnt] == ["a.png", "b.png"]
    before = {path: (path / "model.safetensors").stat().st_mtime_ns for path in models.values()}
    protocol = load_protocol(str(folder / "tiny.yaml"))
    assert trained(protocol, folder / "data", folder / "out") == models
    assert before == {path: (path / "model.safetensors").stat().st_mtime_ns for path in models.values()}
    other = protocol.model_copy(update={"settings": (*protocol.settings, "training.warm_crops=9")})
    with pytest.raises(SpecError, match="expected the model of this protocol, got one of other settings; remove it"):
        train_models(other, folder / "data", folder / "out", "cpu")
    other = protocol.model_copy(update={"train": (DataFile(path="train/a.png"),)})
    with pytest.raises(SpecError, match="got one of other files"):
        train_models(other, folder / "data", folder / "out", "cpu")


def test_a_part_of_a_file_is_learnt_from_a_file_of_its_own_named_after_what_it_holds(work, tmp_path):
    folder, _ = work
    protocol = load_protocol(str(folder / "tiny.yaml"))
    half = DataFile(path="train/a.png", part={"y": (0, 0.5)})
    entry = {"large": protocol.codecs["large"]}
    protocol = protocol.model_copy(update={"train": (half,), "codecs": entry})
    data = tmp_path / "data"
    data.mkdir()
    for name in ("a.png", "b.png"):  # the second time another picture by the same name
        (data / "train").mkdir(exist_ok=True)
        (data / "train" / "a.png").write_bytes((folder / "data" / "train" / name).read_bytes())
        train_models(protocol, data, tmp_path / name, "cpu")
        train_models(protocol, data, tmp_path / name, "cpu")
    parts = [next(path for path in (tmp_path / name / "data").iterdir()) for name in ("a.png", "b.png")]
    assert parts[0].name.startswith("a.y0-0.5.") and parts[0].name != parts[1].name
    modality = build_modality(load_recipe("rgb_smoke").modality)
    assert modality.read(parts[0]).shape == (23, 66)
    with pytest.raises(SpecError, match="got one of other files"):
        train_models(protocol, data, tmp_path / "a.png", "cpu")


def test_items_say_what_was_measured(work, tmp_path):
    folder, models = work
    coders = coders_of(models)
    outcome = evaluate(coders, subjects_of(folder), tmp_path, SETTINGS)
    assert outcome.refusals == [] and len(outcome.items) == 2 * (3 * 2 + 2)
    files = sorted(tmp_path.glob("items/*/*/*.json"))
    assert len(files) == len(outcome.items)
    assert sorted(map(str, (Measurement.model_validate_json(f.read_bytes()) for f in files))) == sorted(
        map(str, outcome.items)
    )
    assert {f.parts[-3] for f in files} == {"small", "small_seed3", "large", "rounding"}
    ours = [item for item in outcome.items if item.codec == "large" and item.source.part == ""]
    coarse, fine = sorted(ours, key=lambda item: -item.value)
    assert coarse.value == 2 * fine.value and coarse.bytes < fine.bytes
    assert coarse.metrics["psnr_normalised"] < fine.metrics["psnr_normalised"]
    for item in (coarse, fine):
        assert item.source.shape == (3, 47, 66) and item.source.limits == (0, 255) and item.source.bits == 8
        assert item.ratio == pytest.approx(3 * 47 * 66 / item.bytes)
        assert item.bits_per_element == pytest.approx(8 * item.bytes / (3 * 47 * 66))
        assert item.weights and item.macs["encode"] > 0 and item.circumstances["torch"]
        assert item.encode.wall.runs == 2 and item.encode.wall.least <= item.encode.wall.median <= item.encode.wall.most
        assert item.seconds("encode") == item.encode.wall.median + item.entropy_coding.wall.median > 0
        assert item.seconds("decode", "cpu") > 0 and item.threads == 1 and item.circumstances["threads"] == 1
    exact = next(i for i in outcome.items if i.codec == "rounding" and i.value == 1 and i.source.part)
    assert exact.source.shape == (3, 47, 33) and exact.source.part == "x0.5-1"
    assert exact.metrics["psnr_normalised"] == inf and exact.metrics["max_error"] == 0
    assert exact.entropy_coding is None and exact.weights is None and exact.library == "numpy"
    assert exact.pace.unit == "Mpixel" and exact.pace.amount == pytest.approx(47 * 33 / 1e6)


def test_what_is_there_is_not_measured_again_unless_it_is_of_something_else(work, tmp_path):
    folder, models = work
    coder, subjects = coders_of(models)[-1], subjects_of(folder)[:1]
    first = evaluate([coder], subjects, tmp_path, SETTINGS).items
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("items/*/*/*.json")}
    seen = []
    assert evaluate([coder], subjects, tmp_path, SETTINGS, lambda *told: seen.append(told)).items == first
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.glob("items/*/*/*.json")}
    assert seen[0][:2] == (0, 2) and seen[-1] == (2, 2, "")
    path = next(iter(times))
    path.write_text(path.read_text()[:100])  # cut short
    assert len(evaluate([coder], subjects, tmp_path, SETTINGS).items) == 2
    coder.library = "numpy of tomorrow"
    again = evaluate([coder], subjects, tmp_path, SETTINGS).items
    assert all(item.library == "numpy of tomorrow" for item in again)
    assert evaluate([coder], subjects, tmp_path, replace(SETTINGS, threads=2)).items[0].threads == 2
    ours = ModelCoder(models["large", 0], "ours", "large", (1,), dtype="bfloat16")
    (item,) = evaluate([ours], subjects, tmp_path, SETTINGS).items
    assert item.dtype == "bfloat16"
    (other,) = evaluate([ModelCoder(models["large", 0], "ours", "large", (1,))], subjects, tmp_path, SETTINGS).items
    assert (other.dtype, other.device, other.transfers) == ("float32", "cpu", "host memory, none")


def test_a_codec_that_fails_or_refuses_is_named_and_the_others_go_on(work, tmp_path):
    folder, models = work
    coders = coders_of(models, (13.0, 4.0))
    outcome = evaluate(coders[-1:], subjects_of(folder)[:1], tmp_path, SETTINGS)
    (failure,) = outcome.refusals
    assert failure.failed and failure.reason == "step 13: RuntimeError: unlucky" and failure.codec == "rounding"
    assert [item.value for item in outcome.items] == [4.0]
    coders[-1].baseline.refuses = lambda array: "too wide"
    outcome = evaluate(coders[-1:], subjects_of(folder)[:1], tmp_path / "b", SETTINGS)
    assert outcome.items == [] and not outcome.refusals[0].failed and outcome.refusals[0].reason == "too wide"


def test_baselines_see_clipped_values_with_nothing_missing_and_give_back_the_native_dtype(tmp_path):
    modality = build_modality(load_recipe("ct_smoke").modality)
    signal = modality.synthetic(0, (9, 10, 11))
    values = signal.values.copy()
    values[0, 0, 0, 0], values[0, 1, 1, 1] = 9000, -5000
    missing = np.zeros(values.shape, bool)
    missing[0, 2, 2, 2] = True
    values[missing] = -32000
    signal = replace(signal, values=values, missing=missing, no_data=-32000)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"x")
    source = Subject(path, "a", DataFile(path="a")).source(modality, signal)
    coder = BaselineCoder(Rounding(), modality, (1.0,))
    data, _ = coder.encode(signal, source, 1.0)
    seen = coder.baseline.seen.values
    assert seen.dtype == signal.values.dtype and (seen.min(), seen.max()) >= (-1024, 0) and seen.max() == 3071
    assert seen[0, 2, 2, 2] != -32000
    back, spent = coder.decode(data, signal, source)
    assert back.values.dtype == signal.values.dtype and back.values[0, 2, 2, 2] == -32000
    assert spent.tensors > 0 and spent.coding == 0
    assert modality.compare(signal, back)["psnr_normalised"] == inf


def test_factors_that_give_no_step_are_refused_before_anything_is_measured(work):
    folder = work[1]["small", 0]
    with pytest.raises(SpecError, match=r"--factors: 1e\+300 times the step that .* was trained with: expected a num"):
        ModelCoder(folder, "ours", "small", (1.0, 1e300))


def test_parts_names_and_ranges_are_checked(work, tmp_path):
    folder, models = work
    coders = coders_of(models)
    modality = coders[0].modality
    picture = folder / "data" / "test" / "a.png"
    with pytest.raises(SpecError, match=r"expected a part along the axes \('y', 'x'\), got \['z'\]"):
        Subject(picture, "a", DataFile(path="a", part={"z": (0, 1)})).read(modality)
    with pytest.raises(FormatError, match=r"expected samples in part 'x0-0.01', got none"):
        Subject(picture, "a", DataFile(path="a", part={"x": (0, 0.01)})).read(modality)
    with pytest.raises(FormatError, match=r"expected the protocol's file 'none.png' in it, got none"):
        protocol_subjects(folder / "data", [DataFile(path="none.png")], modality)
    with pytest.raises(FormatError, match=r"expected signals of different names, got 'a.png' twice"):
        find_subjects(modality, [picture, picture])
    assert next(s.name for s in find_subjects(modality, [folder / "data"])) == "data/test/a.png"
    with pytest.raises(SpecError, match="expected codecs of different names"):
        evaluate([coders[0], coders[0]], [], tmp_path, SETTINGS)
    coders[-1].modality = build_modality(load_recipe("rgb_smoke", ["modality.range=[0, 200]"]).modality)
    with pytest.raises(SpecError, match=r"range \(0.0, 255.0\), got .* and \(0.0, 200.0\); set modality"):
        evaluate([coders[0], coders[-1]], subjects_of(folder), tmp_path, SETTINGS)


@pytest.mark.filterwarnings("ignore:Attempting to set identical:UserWarning")  # this codec's rate is one
def test_a_signal_that_cannot_be_read_does_not_stop_the_others(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    modality = build_modality(load_recipe("rgb_smoke").modality)
    modality.write(modality.synthetic(0, (40, 48)), data / "a.png")
    (data / "b.png").write_bytes(b"no picture")
    (data / "c.png").symlink_to("nowhere")
    name = os.fsdecode(b"d\xff$x$" + b"e" * 240 + b".png")
    (data / name).write_bytes((data / "a.png").read_bytes())
    subjects = find_subjects(modality, [data])
    done = evaluate([BaselineCoder(Rounding(), modality, (1.0, 9.0))], subjects, tmp_path / "out", SETTINGS)
    read = ["data/a.png", "data/d\\udcff$x$" + "e" * 240 + ".png"]
    assert [item.source.name for item in done.items[::2]] == read
    assert [(refusal.source, refusal.failed) for refusal in done.refusals] == [
        ("data_b.png", True), ("data_c.png", True)
    ]  # fmt: skip
    assert (
        "expected a whole PNG" in done.refusals[0].reason and "got a link that leads nowhere" in done.refusals[1].reason
    )
    write_outputs(done.items, tmp_path / "out", "title", [], "rounding", "psnr_normalised")
    assert len(list((tmp_path / "out" / "plots").iterdir())) == 2
    assert "d\\udcff$x$e" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
