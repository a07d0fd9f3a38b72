"""Studies of learning, from a folder of pictures to a report."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.codec.model import Model
from liveaction.codec.weights import save_model
from liveaction.errors import LiveactionError, SpecError, WriteError
from liveaction.evaluation.judges.registry import make_judge
from liveaction.learning.kept import load_head
from liveaction.learning.labels import LabelledItem
from liveaction.learning.store import LatentStore
from liveaction.probing.folds import divisions
from liveaction.probing.protocol import FoldsTable, ProbeProtocol, load_probe, probe_names


def _run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def folder(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model") / "m"
    save_model(model.codec, model.recipe, place)
    return place


def test_from_pictures_to_a_classifier_of_latents(folder: Path, pictures: Path, tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "report"
    said = _run("latents", pictures, store, "--model", folder, "--labels", "folders", "-q")
    assert "class, 2 classes" in said
    arguments = ["probe", store, "--against", "samples,resample4", "--data", pictures, "--seeds", "0,1",
                 "--epochs", "6", "--batch", "8", "--widths", "8,8", "--out", out, "--keep", "-q",
                 "--json"]  # fmt: skip
    rows = {row["input"]: row for row in json.loads(_run(*arguments))["inputs"]}
    assert set(rows) == {"latents", "samples", "resample4"}
    assert rows["latents"]["accuracy"] > 90  # stripes lie or stand
    assert rows["latents"]["reduction"] == pytest.approx(3 * 16 / 7)
    assert rows["samples"]["bytes"] == 33 * 29 * 3
    assert rows["latents"]["bytes"] < rows["samples"]["bytes"] / 2
    assert {path.name for path in out.iterdir()} >= {"report.html", "inputs.csv", "plots", "runs", "heads"}
    page = (out / "report.html").read_text()
    assert "McNemar" in page
    assert page.count("data:image/svg+xml") == 4
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*.json")}
    assert len(before) == 6
    _run(*arguments)
    assert before == {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*.json")}
    head = load_head(out / "heads" / "samples_own_seed0")
    assert head.names == ("lying", "standing")


def test_other_labels_are_another_study(folder: Path, pictures: Path, tmp_path: Path) -> None:
    names = sorted(path.relative_to(pictures).as_posix() for path in pictures.rglob("*.png"))
    rows = [f"{name},{name.split('/')[1] if k else 'third'},{name.split('/')[0]}" for k, name in enumerate(names)]
    (tmp_path / "items.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    out = tmp_path / "report"
    for store, labels in (("one (1)", "folders"), ("two", tmp_path / "items.csv")):
        _run("latents", pictures, tmp_path / store, "-m", folder, "--labels", labels, "-q")
        _run("probe", tmp_path / store, "--seeds", "0", "--epochs", "1", "--widths", "4", "--out", out, "-q")
    (path,) = (out / "runs" / "latents").glob("*.json")
    assert json.loads(path.read_text())["parameters"] > 0
    digests = [LatentStore(tmp_path / name).digest for name in ("one (1)", "two")]
    assert digests[0] != digests[1]
    assert json.loads(path.read_text())["scores"]["macro_recall"] <= 1
    assert "3 classes" in _run("latents", tmp_path / "two")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--widths", "0"], "--widths: expected whole numbers from 1 on"),
        (["--seeds", "x"], "--seeds: expected whole numbers from 0 on"),
        (["--seeds", str(2**70)], "--seeds: expected whole numbers from 0 on"),
        (["--seeds", "1,1"], "--seeds: expected each once, got '1,1'"),
        (["--against", "resample²", "--data", "."], "--against: expected samples or resampleN"),
        (["--learning-rate", "nan"], "--learning-rate: expected a number between 0 and 1, got nan"),
        (["--compute", "some"], "--compute: expected equal or any"),
        (["--against", "samples"], "--against: expected --data"),
    ],
)
def test_wrong_options_are_refused_in_a_line(
    folder: Path, pictures: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    _run("latents", pictures / "test", tmp_path / "s", "-m", folder, "--labels", "folders", "-q")
    with pytest.raises(SpecError, match=words):
        _run("probe", tmp_path / "s", "--out", tmp_path / "r", *options, "-q")


@pytest.mark.parametrize("seeds", [[], [0, 0], [-1], [2**63]])
def test_seeds_of_protocols_are_refused_where_they_cannot_be(seeds: list[int]) -> None:
    table = load_probe("directions_cpu").model_dump() | {"seeds": seeds}
    with pytest.raises(ValidationError, match="seeds"):
        ProbeProtocol.model_validate(table)


def test_what_cannot_be_studied_is_refused(folder: Path, pictures: Path, tmp_path: Path) -> None:
    for name, pattern in (("one", "(?P<label>n)"), ("two", "(?P<split>test|train)/(?P<label>[a-z]+)")):
        _run("latents", pictures, tmp_path / name, "-m", folder, "--labels", pattern, "-q")
    with pytest.raises(SpecError, match=r"one: expected at least two classes to tell apart, got \['n'\]"):
        _run("probe", tmp_path / "one", "--out", tmp_path / "r", "--seeds", "0", "-q")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(WriteError, match="file: expected a place to write to, got File exists"):
        _run("probe", tmp_path / "two", "--out", tmp_path / "file", "--seeds", "0", "-q")


def test_heads_that_were_not_kept_are_trained_again(folder: Path, pictures: Path, tmp_path: Path) -> None:
    store, out = tmp_path / "s", tmp_path / "r"
    _run("latents", pictures, store, "-m", folder, "--labels", "folders", "-q")
    once = ["probe", store, "--seeds", "0", "--epochs", "1", "--widths", "4", "--out", out, "-q"]
    head = out / "heads" / "latents_own_seed0"
    _run(*once)
    assert not head.exists()
    _run(*once, "--keep")
    assert load_head(head).spec.names == ("lying", "standing")
    with pytest.raises(
        SpecError, match="a head that tells classes from samples, got one of latents for the task class"
    ):
        make_judge(str(head))
    _run(*once, "--batch", "8")
    assert not head.exists()  # it was of other settings


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["latents", "{pictures}", "-m", "{folder}"], "latents: expected SOURCE and STORE, the folder to make"),
        (["latents", "{pictures}/no", "{out}", "-m", "{folder}"], "expected a folder of signals .* got none"),
        (["latents", "{pictures}", "{out}", "-m", "{folder}", "--step", "0"], "--step: expected a positive number"),
        (["latents", "{pictures}", "{out}", "-m", "{folder}", "--fit", "x=²"], "--fit: expected AXIS=SAMPLES"),
    ],
)
def test_stores_that_cannot_be_made_are_refused_in_a_line(
    folder: Path, pictures: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    places = {"pictures": pictures, "folder": folder, "out": tmp_path / "s"}
    with pytest.raises(LiveactionError, match=words):
        _run(*(each.format(**places) for each in arguments), "-q")
    assert not (tmp_path / "s" / "store.json").exists()


def test_a_store_says_which_changes_are_exact(folder: Path, pictures: Path, tmp_path: Path) -> None:
    said = json.loads(_run("latents", pictures / "test", tmp_path / "s", "-m", folder, "-q", "--json"))
    assert said["exact on it"] == ["noise", "crop", "gain", "polarity", "mixup"]  # no offset: the range is native


def test_a_store_can_be_looked_at_and_exported(folder: Path, pictures: Path, tmp_path: Path) -> None:
    import tarfile

    import zarr

    store = tmp_path / "store"
    _run(
        "latents",
        pictures,
        store,
        "-m",
        folder,
        "--labels",
        "folders",
        "--fit",
        "x=28",
        "--views",
        "identity,flip:x",
        "-q",
    )
    report = json.loads(_run("latents", store, "--json"))
    assert (report["items"], report["views"]) == (64, ["identity", "flip:x"])
    _run("latents", store, "--export", tmp_path / "s.zarr", "-q")
    _run("latents", store, "--export", tmp_path / "s.tar", "-q")
    made = LatentStore(store)
    group = zarr.open_group(tmp_path / "s.zarr", mode="r")
    assert np.array_equal(group["latents"][5], made.latents(5))
    assert np.array_equal(group["labels"][:], made.classes)
    with tarfile.open(tmp_path / "s.tar") as file:
        names = file.getnames()
        assert len(names) == 1 + 3 * 64
        assert np.array_equal(np.load(io.BytesIO(file.extractfile("00000005.latents.npy").read())), made.latents(5))  # type: ignore[arg-type]
        assert file.extractfile("00000005.cls").read() == str(made.classes[5]).encode()  # type: ignore[union-attr]
    with pytest.raises(SpecError, match=r"--export: expected a name that ends in \.zarr or \.tar"):
        _run("latents", store, "--export", tmp_path / "s.csv")


def _items(*groups: str, split: str = "train") -> list[LabelledItem]:
    return [LabelledItem(f"{k}{group}", Path(group), "a", split, group) for k, group in enumerate(groups)]


def test_groups_never_cross() -> None:
    items = _items("a", "b", "c", "a", "b")
    for table in (FoldsTable(count=2), FoldsTable(groups=(("a",), ("b", "c")))):
        for division in divisions(items, table):
            sides = [{item.group for item in items if item.name in names} for names in (division.learn, division.test)]
            assert not sides[0] & sides[1]
            assert len(division.learn) + len(division.test) == 5
    with pytest.raises(SpecError, match=r"folds\.groups: expected every group of .* once"):
        divisions(items, FoldsTable(groups=(("a",), ("b",))))
    with pytest.raises(SpecError, match=r"folds\.count: expected at most 3"):
        divisions(items, FoldsTable(count=4))
    with pytest.raises(SpecError, match="folds: expected items of at least two groups"):
        divisions(_items("a", "a"), FoldsTable(count=2))
    with pytest.raises(SpecError, match="folds: expected items to learn from and to test, got 5 and 0 of 5"):
        divisions(items, FoldsTable(own=True))


@pytest.mark.parametrize("name", probe_names())
def test_shipped_protocols_can_be_read(name: str) -> None:
    protocol = load_probe(name)
    assert protocol.name == name
    assert len(protocol.seeds) >= 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("reference: nothing", "reference: expected one of"),
        ("folds: {own: true, count: 3}", "expected one of own: true, groups and count"),
        ("inputs: {samples: {}}", "expected one of latents, resample and baseline"),
        ("inputs: {samples: {latents: nobody}}", r"inputs\.samples: expected a codec among"),
        ("inputs: {samples: {baseline: webp}}", "expected a value with a baseline"),
    ],
)
def test_wrong_protocols_are_refused(tmp_path: Path, change: str, words: str) -> None:
    key = change.split(":")[0]
    lines = ["name: x", "items: {labels: folders}", "folds: {own: true}", "inputs: {samples: {resample: 1}}",
             "network: {token: {x: 4}}", "reference: samples"]  # fmt: skip
    text = "\n".join([change, *(line for line in lines if not line.startswith(key))])
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(SpecError, match=words):
        load_probe(str(tmp_path / "p.yaml"))
