"""The verb: from a protocol, and from models, to a report; and what it refuses."""

import json

import pytest
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.errors import SpecError, UnknownNameError
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality

PROTOCOL = """
name: tiny
description: phantoms of pictures
train: [a.png]
test: [b.png]
settings: [training.steps=0, "training.crop=[32]", training.warm_crops=8, "codec.encoder={kind: linear}",
           "codec.decoder={kind: linear}"]
codecs:
  small: {recipe: rgb_smoke, curve: ours, settings: [codec.latent_channels=8]}
  large: {recipe: rgb_smoke, curve: ours, settings: [codec.latent_channels=64]}
baselines:
  jpeg2000:
  opus:
reference: jpeg2000
"""


def invoke(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verb")
    modality = build_modality(load_recipe("rgb_smoke").modality)
    for seed, name in enumerate("ab"):
        modality.write(modality.synthetic(seed, (90, 120)), folder / f"{name}.png")
    (folder / "tiny.yaml").write_text(PROTOCOL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVEACTION_CACHE", str(folder / "cache"))
        result = invoke("--protocol", folder / "tiny.yaml", "--data", folder, "--out", folder / "out", "--repeats", 1)
    assert result.exit_code == 0, (result.stdout, result.exception)
    return folder, result.stdout


def test_a_protocol_becomes_a_report_with_its_tables_and_plots(work):
    folder, told = work
    out = folder / "out"
    assert f"{out / 'report.html'}: open it in a browser" in told
    assert "opus on b.png: left out" in told
    page = (out / "report.html").read_text()
    assert "phantoms of pictures" in page and "jpeg2000" in page and "large" in page and "left out" in page
    assert (out / "settings.csv").read_text().count("\nb.png,") >= 18
    deltas = json.loads((out / "deltas.json").read_text())
    assert [(row["curve"], row["reference"]) for row in deltas] == [("ours", "jpeg2000")]
    assert list((out / "plots").glob("*.png"))


def test_a_second_run_measures_nothing_and_says_what_it_has(work, monkeypatch):
    folder, _ = work
    monkeypatch.setenv("LIVEACTION_CACHE", str(folder / "cache"))
    items = {path: path.stat().st_mtime_ns for path in folder.glob("out/items/*/*/*.json")}
    result = invoke("--protocol", folder / "tiny.yaml", "--data", folder, "--out", folder / "out", "--repeats", 1,
                    "--json", "--quiet")  # fmt: skip
    report = json.loads(result.stdout)
    assert result.exit_code == 0 and report["items"] == len(items) and report["refusals"][0]["codec"] == "opus"
    assert items == {path: path.stat().st_mtime_ns for path in folder.glob("out/items/*/*/*.json")}


def test_models_are_measured_as_they_are_with_curves_of_their_own(work, tmp_path):
    folder, _ = work
    models = folder / "out" / "models"
    result = invoke(models / "small", f"big={models / 'large'}", "--data", folder / "b.png", "--baselines", "webp",
                    "--out", tmp_path, "--factors", "4,2,1,0.5", "--repeats", 1, "--json", "--quiet")  # fmt: skip
    assert result.exit_code == 0, result.exception
    items = [json.loads(path.read_text()) for path in tmp_path.glob("items/*/*/*.json")]
    assert {(item["curve"], item["codec"]) for item in items} == {
        ("liveaction", "small"), ("big", "large"), ("webp", "webp"),
    }  # fmt: skip
    assert len([item for item in items if item["codec"] == "small"]) == 4
    assert (tmp_path / "report.html").exists()


def test_the_list_names_protocols_and_baselines():
    told = invoke("--list").stdout
    assert "ct_cpu_small" in told and "x265_slow" in told
    listed = json.loads(invoke("--list", "--json").stdout)
    assert "ct_cpu_small" in listed["protocols"] and "opus" in listed["baselines"]


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["m"], SpecError, "expected --data and --out"),
        (["--data", "d", "--out", "o"], SpecError, "expected either models or --protocol"),
        (["m", "--protocol", "p", "--data", "d", "--out", "o"], SpecError, "expected either models or --protocol"),
        (["--protocol", "ct_cpu_smal", "--data", "d", "--out", "o"], UnknownNameError, "did you mean ct_cpu_small"),
        (["--protocol", "ct_gpu", "--baselines", "webp", "--data", "d", "--out", "o"], SpecError, "--baselines: "),
        (
            ["--protocol", "ct_gpu", "--factors", "4,2", "--data", "d", "--out", "o"],
            SpecError,
            "--factors: expected no",
        ),
        (["--protocol", "ct_gpu", "--data", "nowhere", "--out", "o"], SpecError, "expected the one folder"),
        (["m", "--data", "d", "--out", "o", "--factors", "1,x"], SpecError, "--factors: expected numbers"),
        (["m", "--data", "d", "--out", "o", "--factors", "1,-2"], SpecError, "--factors: expected positive"),
        (["m", "--data", "d", "--out", "o", "--baselines", "x256_slow"], UnknownNameError, "x265_slow"),
    ],
)
def test_what_it_refuses(arguments, kind, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    result = invoke(*arguments)
    assert isinstance(result.exception, kind) and words in str(result.exception)


def test_an_unknown_reference_or_measure_is_refused(work, tmp_path):
    folder, _ = work
    start = [folder / "out" / "models" / "small", "--data", folder / "b.png", "--out", tmp_path]
    assert "expected one of the curves" in str(invoke(*start, "--reference", "opus").exception)
    assert "--measure: expected one of" in str(invoke(*start, "--measure", "beauty").exception)
