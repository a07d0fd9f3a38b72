"""Judges: items that are scored, kept and taken up again; figures over all of them; who cannot tell."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from liveaction.errors import FormatError, SpecError, UnknownNameError
from liveaction.evaluation.baselines.base import Baseline
from liveaction.evaluation.baselines.resample import Resample
from liveaction.evaluation.coders import BaselineCoder
from liveaction.evaluation.item import Measurement
from liveaction.evaluation.judges.base import Judge
from liveaction.evaluation.judges.figures import interval, judged, p_of
from liveaction.evaluation.judges.judging import Judging, plan_judging
from liveaction.evaluation.judges.labels import labels_of
from liveaction.evaluation.judges.rows import judged_delta_rows, judged_rows
from liveaction.evaluation.outputs import write_outputs
from liveaction.evaluation.protocol import TimingRules
from liveaction.evaluation.run import Settings, evaluate
from liveaction.evaluation.sources import find_subjects
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality

SETTINGS = Settings(TimingRules(repeats=1, budget=1e-9))
EACH = 6


class Fine(Judge):
    """Whether neighbours differ."""

    name, label, library = "fine", "a judge of detail", "numpy"

    def refuses(self, signal, modality):
        return None if modality == "rgb" else f"no pictures: {modality}"

    def predict(self, signal):
        step = np.abs(np.diff(signal.values.astype(float), axis=-1)).mean()
        return "fine" if step > 10 else "plain"


class Bright(Fine):
    """Whether the mean is high, which no resampling changes."""

    name, label = "bright", "a judge of means"

    def predict(self, signal):
        return "fine" if signal.values.mean() > 128 else "plain"


class Share(Fine):
    """Scores between 0 and 1."""

    name, label, measure = "share", "a judge in shares", "frames_right"

    def score(self, prediction, label):
        return 0.9 if prediction == label else 0.25


class Coarse(Baseline):
    """Multiples of a step, so many bytes."""

    name, label, setting, ladder = "coarse", "coarse", "step", (1.0, 16.0, 90.0, 200.0)
    library = "numpy"

    def refuses(self, array):
        return None

    def encode(self, array, value):
        self.shape = array.values.shape
        return np.rint(array.values / value).astype(np.int16).tobytes() + bytes(int(400 / value)) + bytes([int(value)])

    def decode(self, data):
        size = int(np.prod(self.shape))
        return np.frombuffer(data[: 2 * size], np.int16).reshape(self.shape) * float(data[-1])


class Two(Coarse):
    """At two settings."""

    ladder = (1.0, 200.0)


@pytest.fixture(scope="module")
def modality():
    return build_modality(load_recipe("rgb_smoke").modality)


@pytest.fixture(scope="module")
def data(modality, tmp_path_factory):
    """Bright pictures with a checkerboard in one folder, dark ones without in another."""
    folder = tmp_path_factory.mktemp("judged") / "pictures"
    plain = modality.synthetic(0, (16, 24))
    y, x = np.indices((16, 24))
    for number in range(EACH):
        for name, base in (("fine", 150), ("plain", 60)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            board = 40 * ((x + y) % 2) if name == "fine" else 0 * x
            values = np.broadcast_to(base + number + board, plain.values.shape).astype(np.uint8)
            modality.write(replace(plain, values=values.copy()), folder / name / f"{number}.png")
    return folder


def run(data, modality, out, judge, labels="folders", baselines=(Resample, Coarse)):
    subjects = find_subjects(modality, [data])
    coders = [BaselineCoder(kind(), modality, (1, 2, 4, 8) if kind is Resample else None) for kind in baselines]
    judging = judge and Judging(judge, labels_of(labels, subjects))
    return evaluate(coders, subjects, out, SETTINGS, judging=judging)


@pytest.fixture(scope="module")
def done(data, modality, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, run(data, modality, out, Fine())


def test_every_item_has_its_verdict_and_every_original_two(done):
    out, outcome = done
    assert outcome.refusals == [] and len(outcome.items) == 2 * EACH * 8 and len(outcome.references) == 2 * EACH
    assert all(item.metrics["accuracy"] == item.verdict.score for item in outcome.items)
    eighth = [i for i in outcome.items if i.codec == "resample" and i.value == 8 and i.verdict.label == "fine"]
    assert {(item.verdict.prediction, item.verdict.score) for item in eighth} == {("plain", 0.0)}
    kept = json.loads((out / "judged" / "pictures_fine_0.png.json").read_text())
    assert kept["original"]["prediction"] == kept["original"]["label"] == "fine"
    assert (kept["original"]["score"], kept["eighth"]["score"]) == (1.0, 0.0)
    assert kept["eighth_bytes"] == next(item.bytes for item in eighth)


def test_scores_are_pooled_over_all_items(done):
    _, outcome = done
    found = judged(outcome.items, outcome.references)
    assert found.binary and found.tells and "can tell: 100.0 % on 12 originals, 50.0 % at 1/8" in found.words
    assert (found.original.score, found.original.bytes, found.eighth.score) == (1.0, 16 * 24 * 3, 0.5)
    rows = {(row["codec"], row["value"]): row for row in judged_rows(found)}
    assert len(rows) == 10 and rows["coarse", 200]["accuracy"] == rows["resample", 8]["accuracy"] == 0.5
    assert rows["coarse", 1]["accuracy"] == rows["resample", 1]["accuracy"] == 1.0
    assert rows["coarse", 200]["items"] == 12 and rows["coarse", 200]["from_originals"] == -0.5
    assert rows["coarse", 200]["p"] == pytest.approx(2 / 2**6)
    mean = np.mean([item.bytes for item in outcome.items if item.codec == "coarse" and item.value == 16])
    assert rows["coarse", 16]["bytes"] == mean and rows["coarse", 16]["ratio"] == pytest.approx(16 * 24 * 3 / mean)


def test_a_judge_for_which_an_eighth_is_level_cannot_tell(data, modality, tmp_path, monkeypatch):
    monkeypatch.setattr("liveaction.evaluation.run.SHOWN", 1)
    monkeypatch.setattr("liveaction.evaluation.outputs.SHOWN", 1)
    outcome = run(data, modality, tmp_path, Bright())
    found = judged(outcome.items, outcome.references)
    assert not found.tells and found.eighth.p == 1.0
    write_outputs(outcome.items, tmp_path, "title", [], "resample", "psnr_normalised", (), found)
    for name in ("report.html", "judged.md", "judged.csv", "judged.json", "judged_deltas.csv"):
        assert "a judge of means: cannot tell" in (tmp_path / name).read_text(), name
    page = (tmp_path / "report.html").read_text()
    assert "what it says of codecs here means nothing" in page.split('id="judged"')[0]
    assert "accuracy over 12 items against mean bytes per item" in page
    assert page.count('<section id="source-') == 1 and "Below, 1 of 12 sources one by one" in page
    assert (tmp_path / "plots" / "accuracy.png").is_file() and len(list((tmp_path / "plots").iterdir())) == 2
    assert len(list((tmp_path / "exhibits").iterdir())) == 1


def test_scores_in_shares_have_bootstrapped_intervals_and_a_paired_test(data, modality, tmp_path):
    found = (lambda o: judged(o.items, o.references))(run(data, modality, tmp_path, Share(), baselines=(Two,)))
    assert not found.binary and found.tells and found.measure == "frames_right"
    assert (found.original.score, found.eighth.score) == (pytest.approx(0.9), pytest.approx(0.575))
    assert "sign-flip" in found.words and found.interval == "bootstrap"
    assert found.eighth.low < 0.575 < found.eighth.high and found.original.low == pytest.approx(0.9)


def test_items_are_kept_for_the_same_judge_and_labels_alone(data, modality, tmp_path):
    def times():
        return {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/**/*.json") if "exhibits" not in path.parts}

    few = (Two,)
    run(data, modality, tmp_path, Fine(), baselines=few)
    first = times()
    again = run(data, modality, tmp_path, Fine(), baselines=few)
    assert times() == first and len(again.references) == 2 * EACH
    table = tmp_path / "labels.csv"
    subjects = find_subjects(modality, [data])
    lines = [f"{s.name},{'plain' if s.name.endswith('0.png') else s.path.parent.name}" for s in subjects]
    table.write_text("path,label\n" + "\n".join(lines) + "\n")
    run(data, modality, tmp_path, Fine(), str(table), few)
    changed = {path for path, time in times().items() if time != first[path]}
    assert len(changed) == 1 + 2 and all("fine_0.png" in str(path) for path in changed)
    second, other = times(), Fine()
    other.library = "numpy, another"
    run(data, modality, tmp_path, other, str(table), few)
    assert all(time != second[path] for path, time in times().items())
    third = times()
    plain = run(data, modality, tmp_path, None, baselines=few)
    assert {path for path, time in times().items() if time == third[path]} == set(tmp_path.glob("judged/*.json"))
    assert all(item.verdict is None and "accuracy" not in item.metrics for item in plain.items)


def test_the_original_may_be_the_label(data, modality, tmp_path):
    wrong = Fine()
    wrong.predict = lambda signal: "x" + Fine.predict(wrong, signal)
    outcome = run(data, modality, tmp_path, wrong, "original", (Two,))
    found = judged(outcome.items, outcome.references)
    assert {r.original.label for r in outcome.references} == {"xfine", "xplain"}
    assert (found.original.score, found.eighth.score) == (1.0, 0.5)


def test_a_judge_that_refuses_or_fails_leaves_codecs_alone(data, modality, tmp_path):
    no, ill = Fine(), Fine()
    no.refuses = lambda signal, name: f"nothing of {name}"
    outcome = run(data, modality, tmp_path / "a", no, baselines=(Two,))
    assert {(r.codec, r.reason, r.failed) for r in outcome.refusals} == {("fine", "nothing of rgb", False)}
    assert len(outcome.items) == 4 * EACH and judged(outcome.items, outcome.references) is None
    ill.predict = lambda signal: 1 / 0
    outcome = run(data, modality, tmp_path / "b", ill, baselines=(Two,))
    assert all(r.failed and r.reason.startswith("ZeroDivisionError") for r in outcome.refusals)
    assert len(outcome.refusals) == 2 * EACH and len(outcome.items) == 4 * EACH


def test_deltas_are_of_the_score_over_settings_of_all_items(done):
    _, outcome = done
    scores = {1.0: 12, 16.0: 10, 90.0: 6, 200.0: 3}  # items right, of twelve
    seen: dict[tuple[str, float], int] = {}

    def scored(item):
        place = seen[item.codec, item.value] = seen.get((item.codec, item.value), -1) + 1
        score = float(place < scores[item.value])
        return item.model_copy(update={"verdict": item.verdict.model_copy(update={"score": score})})

    coarse = [scored(item) for item in outcome.items if item.codec == "coarse"]
    half = [item.model_copy(update={"codec": "half", "curve": "half", "bytes": item.bytes // 2}) for item in coarse]
    found = judged([*coarse, *half], outcome.references)
    (row,) = judged_delta_rows(found, ["coarse", "nobody"])
    assert row["bd_rate_percent"] == pytest.approx(-50, abs=0.1) and row["measure"] == "accuracy"
    assert row["bd_score_points"] is None and "overlap" in row["reason"]
    (row,) = judged_delta_rows(judged([*coarse, *half[1:]], outcome.references), ["coarse"])
    assert row["bd_rate_percent"] is None and "half: 1 left out, not of all items" in row["reason"]


def test_settings_of_folds_meet_by_their_place_and_seeds_are_averaged(done):
    _, outcome = done
    items = [item for item in outcome.items if item.codec == "coarse"]
    halves = sorted({item.source.label for item in items})[:EACH]
    moved = [i.model_copy(update={"value": 2 * i.value}) if i.source.label in halves else i for i in items]
    (line,) = judged(moved, outcome.references).lines
    assert [point.items for point in line.points] == [12] * 4 and min(p.value for p in line.points) == 1.0
    twice = [item.model_copy(update={"seed": seed}) for item in items for seed in (1, 2)]
    zero = [item.verdict.model_copy(update={"score": 0.0}) for item in twice]
    wrong = [i.model_copy(update={"verdict": v}) if i.seed == 2 else i for i, v in zip(twice, zero, strict=True)]
    (line,) = judged(wrong, outcome.references).lines
    assert line.seeds == 2 and max(point.score for point in line.points) == 0.5


@pytest.mark.parametrize("right", [0, 3, 50])
def test_wilsons_interval(right):
    z, n, share = 1.959963984540054, 50, right / 50
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    low, high = interval([1.0] * right + [0.0] * (n - right), True)
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-12)


def test_paired_tests():
    assert p_of([0.0] * 9, True) == 1.0
    assert p_of([-1.0] * 8 + [1.0] + [0.0] * 30, True) == pytest.approx(2 * (1 + 9) / 2**9)
    rng = np.random.default_rng(1)
    assert p_of(list(rng.normal(size=60)), False) > 0.05 > p_of(list(rng.normal(0.8, size=60)), False)
    assert p_of([0.0] * 5, False) == 1.0


def test_labels_are_checked_before_anything_is_measured(data, modality, tmp_path):
    subjects = find_subjects(modality, [data])
    assert labels_of("folders", subjects)["pictures_plain_3.png"] == "plain"
    table = tmp_path / "items.csv"
    table.write_text("label,path,split\na,fine/0.png,test\nb,pictures/plain/0.png,test\n")
    found = labels_of(str(table), [s for s in subjects if s.name.endswith("/0.png")])
    assert found == {"pictures_fine_0.png": "a", "pictures_plain_0.png": "b"}
    with pytest.raises(FormatError, match=r"expected a row for every item, got none of 'pictures/fine/1.png'"):
        labels_of(str(table), subjects)
    table.write_text("path,label\na,1\na,2\n")
    with pytest.raises(FormatError, match="expected one label for 'a', got '1' and '2'"):
        labels_of(str(table), subjects)
    table.write_text("name,label\na,1\n")
    with pytest.raises(FormatError, match=r"expected the columns path and label, got \['label', 'name'\]"):
        labels_of(str(table), subjects)
    with pytest.raises(FormatError, match="expected a readable table"):
        labels_of(str(tmp_path / "none.csv"), subjects)
    with pytest.raises(SpecError, match=r"expected folders, original or a .csv file, got 'folder'"):
        labels_of("folder", subjects)


def test_a_judge_needs_labels_and_labels_a_judge(data, modality):
    assert plan_judging("", "", []) is None
    for pair in (("fine", ""), ("", "folders")):
        with pytest.raises(SpecError, match="expected a judge and --labels, got"):
            plan_judging(*pair, [])
    with pytest.raises(UnknownNameError, match=r"got 'spoken_digit'; did you mean spoken_digits\?"):
        plan_judging("spoken_digit", "folders", [])


def test_items_of_before_are_read(done):
    _, outcome = done
    old = outcome.items[0].model_dump(mode="json", exclude={"verdict"})
    assert Measurement.model_validate(old).verdict is None


def test_labels_that_a_judge_can_never_say_are_refused(monkeypatch, tmp_path):
    judge = SimpleNamespace(name="two", measure="accuracy", classes=("dark", "light"))
    monkeypatch.setattr("liveaction.evaluation.judges.judging.make_judge", lambda text: judge)
    subjects = [SimpleNamespace(label=name, path=tmp_path / name / "x.png") for name in ("dark", "bright")]
    with pytest.raises(SpecError, match="expected classes that the judge two knows, dark, light, got 'bright'"):
        plan_judging("two", "folders", subjects)
    assert plan_judging("two", "folders", subjects[:1]).labels == {"dark": "dark"}
    judge.classes = ()
    assert plan_judging("two", "folders", subjects).labels == {"dark": "dark", "bright": "bright"}
