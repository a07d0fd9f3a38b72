"""Protocols: the shipped ones, and what a wrong one is told."""

import signal

import pytest

from liveaction.errors import SpecError, TrainingError, UnknownNameError
from liveaction.evaluation import training
from liveaction.evaluation.baselines.registry import baseline_names
from liveaction.evaluation.measures import MEASURES
from liveaction.evaluation.protocol import load_protocol, protocol_names
from liveaction.stopping import Stopped
from liveaction.training.result import TrainingResult

GOOD = """
name: mine
train: [a.nii.gz, {path: b.nii.gz, part: {x: [0, 0.5]}}]
test: [{path: b.nii.gz, part: {x: [0.5, 1]}}]
settings: [training.steps=7]
seeds: [0, 2]
codecs:
  light: {recipe: ct_light, curve: ours, settings: [codec.latent_channels=16]}
baselines:
  jpegxl:
  x265_slow: {values: [20, 30]}
reference: jpegxl
"""


def load(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return load_protocol(str(path))


@pytest.mark.parametrize("name", protocol_names())
def test_a_shipped_protocol_names_codecs_and_baselines_that_there_are(name):
    protocol = load_protocol(name)
    assert protocol.name == name and protocol.description
    assert set(protocol.baselines) <= set(baseline_names())
    assert protocol.measure in MEASURES
    modalities = {protocol.recipe(codec, 1).modality.name for codec in protocol.codecs}
    assert len(modalities) == 1
    assert all(protocol.recipe(codec, 5).training.seed == 5 for codec in protocol.codecs)


def test_settings_of_the_protocol_come_first_and_the_codecs_own_after(tmp_path):
    protocol = load(tmp_path, GOOD)
    recipe = protocol.recipe("light", 2)
    assert (recipe.training.steps, recipe.codec.latent_channels, recipe.training.seed) == (7, 16, 2)
    assert protocol.curves == {"ours", "jpegxl", "x265_slow"}
    assert protocol.test[0].label == "x0.5-1" and protocol.train[0].label == ""
    assert protocol.baselines["jpegxl"] is None and protocol.baselines["x265_slow"].values == (20, 30)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("curve: ours", "curv: ours", r"\[codecs.light\] curv: expected a known key, got 'curv'; did you mean curve"),
        ("name: mine", "name: mine\nseed: 3", r"mine.yaml seed: expected a known key, got 'seed'; did you mean seeds"),
        ("reference: jpegxl", "reference: opus", "reference: expected one of the curves"),
        ("train: [a.nii.gz", "train: [/a.nii.gz", "expected a path below the data folder, got '/a.nii.gz'"),
        ("train: [a.nii.gz", "train: [../a.nii.gz", "expected a path below the data folder"),
        ("[0.5, 1]", "[0.5, 0.5]", r"expected \[from, to\] with from < to for axis 'x'"),
        ("[0.5, 1]", "[0, 0.5]", "expected files that are not trained on, got .*b.nii.gz"),
        ("recipe: ct_light", "recipe: ct_lite", "did you mean ct_light"),
        ("latent_channels=16", "latent_channels=0", "greater than or equal to 1"),
        ("name: mine", "name: !!python/name:os.system", "asks for more than plain data"),
        ("name: mine", "- a", "expected"),
    ],
)
def test_a_wrong_protocol_is_one_line_that_says_where(tmp_path, old, new, words):
    with pytest.raises((SpecError, UnknownNameError), match=words) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert "\n" not in str(caught.value)


def test_an_unknown_protocol_and_an_unreadable_file_are_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean ct_cpu_small"):
        load_protocol("ct_cpu_smal")
    with pytest.raises(SpecError, match="expected a readable protocol file"):
        load_protocol(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, Stopped), (0, TrainingError)])
def test_a_training_that_is_stopped_stops_the_evaluation(tmp_path, monkeypatch, number, error):
    protocol = load(tmp_path, GOOD)
    monkeypatch.setattr(training, "_training_files", lambda *given: [])
    stopped = TrainingResult(tmp_path, "", 3, finished=False, seconds=1.0, stopped=number)
    monkeypatch.setattr(training, "train", lambda *given, **named: stopped)
    with pytest.raises(error, match=r"light: stopped after step 3; the same command goes on"):
        training._train(protocol.train, protocol.recipe("light", 0), tmp_path, tmp_path / "out" / "light", "cpu", None)


def test_a_model_of_which_is_not_known_what_it_learnt_from_is_refused(tmp_path, monkeypatch):
    protocol = load(tmp_path, GOOD)
    recipe = protocol.recipe("light", 0)
    monkeypatch.setattr(training, "_training_files", lambda *given: [])
    monkeypatch.setattr(training, "load_recipe", lambda folder: recipe)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    for text in ("", "{", "[" * 100_000):
        (tmp_path / "out" / "trained_on.json").write_text(text)
        with pytest.raises(SpecError, match="expected the model of this protocol, got one of other files; remove it"):
            training._train(protocol.train, recipe, tmp_path, tmp_path / "out", "cpu", None)
