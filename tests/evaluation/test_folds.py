"""Folds: no file is coded by a model that saw it, and what is refused."""

import json
import re
import shutil
from pathlib import Path

import pytest

from liveaction.errors import FormatError, SpecError
from liveaction.evaluation.plan import plan_protocol
from liveaction.evaluation.protocol import TimingRules, load_protocol
from liveaction.evaluation.run import Settings, evaluate
from liveaction.evaluation.sources import digest_of
from liveaction.evaluation.training import TRAINED_ON, train_models
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality

SETTINGS = Settings(TimingRules(repeats=1, budget=30.0), threads=1)
PICTURES = """
name: pictures
files: [a.png, b.png, c.png, d.png, e.png]
folds: 2
settings: [training.steps=0, "training.crop=[32]", training.warm_crops=8, "codec.encoder={kind: linear}",
           "codec.decoder={kind: linear}", codec.latent_channels=8]
codecs:
  small: {recipe: rgb_smoke, curve: ours, factors: [2, 1]}
baselines:
  webp: {values: [50, 90]}
reference: webp
"""
SOUNDS = """
name: sounds
files:
  - {path: two.wav, own: [modality.channels=2, codec.latent_channels=16]}
  - {path: three.wav, own: [modality.channels=3, codec.latent_channels=24]}
  - {path: more.wav, own: [modality.channels=2, codec.latent_channels=15]}
leave_one_out: true
coded_part: {t: [0.6, 1]}
settings: [training.steps=0, "training.crop=[512]", training.warm_crops=8, "codec.encoder={kind: linear}",
           "codec.decoder={kind: linear}", codec.levels=3]
codecs:
  today: {recipe: array_audio_smoke, curve: today, factors: [1], learns: own, own_part: {t: [0, 0.6]}}
baselines:
  sz3: {values: [0.1]}
reference: sz3
"""


def settings(channels):
    return [f"modality.channels={channels}", "codec.latent_channels=8"]


def recorded(folder):
    return json.loads((folder / TRAINED_ON).read_text())


def plan(folder, name, out, text=None):
    path = folder / f"{name}.yaml"
    path.write_text(text or {"pictures": PICTURES, "sounds": SOUNDS}[name])
    return plan_protocol(load_protocol(str(path)), folder / "data", out, SETTINGS)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    (folder / "data").mkdir()
    pictures = build_modality(load_recipe("rgb_smoke").modality)
    for seed, name in enumerate("abcde"):
        pictures.write(pictures.synthetic(seed, (47, 66)), folder / "data" / f"{name}.png")
    for seed, (name, channels) in enumerate({"two": 2, "three": 3, "more": 2}.items()):
        sounds = build_modality(load_recipe("array_audio_smoke", settings(channels)).modality)
        sounds.write(sounds.synthetic(seed, (4001,)), folder / "data" / f"{name}.wav")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVEACTION_CACHE", str(folder / "cache"))
        yield folder


@pytest.mark.slow
def test_no_file_is_coded_by_a_model_that_saw_it(work):
    planned = plan(work, "pictures", work / "out")
    outcome = evaluate(planned.coders, planned.subjects, work / "out", SETTINGS)
    assert outcome.refusals == [] and len(outcome.items) == 5 * (2 + 2)
    digests = {subject.name: digest_of(subject.path, None) for subject in planned.subjects}
    learnt = {folder.name: recorded(folder) for folder in (work / "out" / "models").iterdir()}
    assert {name: [entry["name"] for entry in entries] for name, entries in learnt.items()} == {
        "small_fold1": ["c.png", "d.png", "e.png"], "small_fold2": ["a.png", "b.png"],
    }  # fmt: skip
    by_weights = {coder.weights: coder for coder in planned.coders if coder.kind == "model"}
    assert len(by_weights) == 2
    of_weights = {"+".join(told): recorded(folder) for folder in (work / "out" / "models").iterdir()
                  for told in [_digests(folder)]}  # fmt: skip
    for item in outcome.items:
        if item.kind == "model":
            seen = {entry["digest"] for entry in of_weights[item.weights]}
            assert item.source.digest == digests[item.source.name] and item.source.digest not in seen
            assert seen | {item.source.digest} <= set(digests.values())
    assert {item.codec for item in outcome.items} == {"small", "webp"}, "one curve of all folds"


def _digests(folder):
    from liveaction.codec.model import load

    model = load(folder)
    return model.digest, model.codec.coding_digest("small")


@pytest.mark.slow
def test_items_stay_when_a_codec_is_added(work):
    first = plan(work, "pictures", work / "out")
    evaluate(first.coders, first.subjects, work / "out", SETTINGS)
    before = {path: path.stat().st_mtime_ns for path in (work / "out").glob("items/*/*/*.json")}
    more = PICTURES.replace("codecs:", "codecs:\n  more: {recipe: rgb_smoke, curve: more, factors: [1]}", 1)
    second = plan(work, "pictures", work / "out", more)
    outcome = evaluate(second.coders, second.subjects, work / "out", SETTINGS)
    assert before and before == {path: path.stat().st_mtime_ns for path in before}
    assert len(outcome.items) == len(before) + 5


@pytest.mark.slow
def test_a_codec_learns_from_the_first_part_of_the_recording_that_it_codes_the_rest_of(work):
    planned = plan(work, "sounds", work / "own")
    outcome = evaluate(planned.coders, planned.subjects, work / "own", SETTINGS)
    assert outcome.refusals == []
    coded = {item.source.name: item.source for item in outcome.items if item.codec == "today"}
    assert {name: source.shape for name, source in coded.items()} == {
        "two.wav": (2, 1601), "three.wav": (3, 1601), "more.wav": (2, 1601),
    }  # fmt: skip
    assert {source.part for source in coded.values()} == {"t0.6-1"}
    assert {item.source.name for item in outcome.items if item.codec == "sz3"} == set(coded)
    for number, name in enumerate(("two", "three", "more"), 1):
        (entry,) = recorded(work / "own" / "models" / f"today_own{number}")
        assert entry["name"].startswith(f"{name}.t0-0.6.{coded[f'{name}.wav'].digest[:8]}")
    assert load_recipe(work / "own" / "models" / "today_own2").codec.latent_channels == 24
    parts = {path.name.split(".")[0]: path for path in (work / "own" / "data").iterdir()}
    modality = build_modality(load_recipe("array_audio_smoke", settings(3)).modality)
    assert modality.read(parts["three"]).shape == (2400,)


def test_the_same_signal_under_two_names_is_refused(work, tmp_path):
    for name in ("a.png", "b.png"):
        shutil.copy(work / "data" / "a.png", tmp_path / name)
    path = tmp_path / "twice.yaml"
    path.write_text(PICTURES.replace("[a.png, b.png, c.png, d.png, e.png]", "[a.png, b.png]"))
    with pytest.raises(FormatError, match=r"every signal in one fold, got the same in 'a.png' and 'b.png'; list one"):
        train_models(load_protocol(str(path)), tmp_path, tmp_path / "out", "cpu")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "old", "new", "words"),
    [
        (PICTURES, "e.png]", "a.png]", "expected every file in one fold, got 'a.png' in two; list it once"),
        (PICTURES, "e.png]", "{path: ./a.png, part: {x: [0, 0.5]}}]", "every file in one fold, got 'a.png' in two"),
        (PICTURES, "folds: 2", "folds: 1", "a file to learn from and one to code in each, got 1 of 5 files"),
        (PICTURES, "folds: 2", "folds: 6", "expected 2 or more, .* got 6 of 5 files"),
        (PICTURES, "folds: 2", "", "either a number of folds or leave_one_out: true, got both or neither"),
        (PICTURES, "folds: 2", "folds: 2\nleave_one_out: true", "got both or neither"),
        (PICTURES, "folds: 2", "folds: 2\ntest: [f.png]", "expected either files or train and test, got both"),
        (PICTURES, "files: [a.png, b.png, c.png, d.png, e.png]", "", "train: expected at least one file, got none"),
        (PICTURES, "files: [a.png, b.png, c.png, d.png, e.png]", "train: [a.png]\ntest: [b.png]", "files for folds"),
        (PICTURES, "reference: webp", "against: [opus]", "against: expected one of the curves"),
        (PICTURES, "curve: ours", "curve: ours, own_part: {x: [0, 1]}", "expected none without learns: own"),
        (SOUNDS, ", own_part: {t: [0, 0.6]}", "", "expected a part such as .*t: "),
        (SOUNDS, "own_part: {t: [0, 0.6]}", "own_part: {t: [0, 0.7]}", "an own_part apart from what is coded of 'two"),
        (SOUNDS, "coded_part: {t: [0.6, 1]}", "", "an own_part apart from what is coded of 'two"),
        (SOUNDS, "two.wav,", "two.wav, part: {t: [0, 0.5]},", "no part of 'two.wav' beside coded_part, got both"),
        (SOUNDS, "coded_part: {t: [0.6", "coded_part: {t: [1", r"expected \[from, to\] with from < to for axis 't'"),
        (SOUNDS, "modality.channels=3", "modality.channels=-3", "channels"),
    ],
)
def test_wrong_folds_are_one_line_that_says_where(tmp_path, text, old, new, words):
    path = tmp_path / "wrong.yaml"
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(SpecError, match=words) as caught:
        load_protocol(str(path))
    assert "\n" not in str(caught.value)


def test_folds_of_files_next_to_each_other_hold_each_file_once(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(PICTURES.replace("folds: 2", "folds: 3"))
    protocol = load_protocol(str(path))
    folds = protocol.folds_of("small")
    assert ["".join(file.path[0] for file in fold.code) for fold in folds] == ["a", "bc", "de"]
    assert ["".join(file.path[0] for file in fold.learn) for fold in folds] == ["bcde", "ade", "abc"]
    assert [file.path[0] for file in protocol.coded] == list("abcde")


def test_the_documented_protocol_is_one(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    whole, split, _ = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "mine.yaml"
    path.write_text(whole)
    protocol = load_protocol(str(path))
    assert [len(fold.learn) for fold in protocol.folds_of("small")] == [2, 2, 2]
    assert protocol.coded[2].label == protocol.folds_of("small")[0].learn[1].label == "z0-0.5"
    path.write_text(split + re.sub(r"files:.*?\nseeds", "seeds", whole, flags=re.DOTALL))
    assert [fold.name for fold in load_protocol(str(path)).folds_of("large")] == [""]
