"""Models that are known here: listed, found by name, digest and modality, added and refused."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import liveaction
from liveaction import home as homes
from liveaction.codec.codec import build_codec
from liveaction.codec.homed import add_model, model_for
from liveaction.codec.weights import save_model, save_tables
from liveaction.errors import FormatError, IntegrityError, SpecError, UnknownNameError
from liveaction.home import (
    default_model,
    find_model,
    find_models,
    home,
    in_home,
    known_models,
    look_around,
    read_known,
    resolve_model,
)
from liveaction.recipe import load_recipe


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two untrained models of small arrays, ``one`` and ``two``."""
    folder = tmp_path_factory.mktemp("made")
    for number, name in enumerate(("one", "two")):
        torch.manual_seed(number)
        recipe = load_recipe("array_smoke")
        save_model(build_codec(recipe), recipe, folder / name)
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    """An empty home of models; the two models lie elsewhere."""
    monkeypatch.setenv("LIVEACTION_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LIVEACTION_MODELS", raising=False)
    bundle(monkeypatch, None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def digest_of(folder):
    return json.loads((folder / "config.json").read_text())["digest"]


def about(folder, **fields):
    (folder / "about.json").write_text(json.dumps(fields))


def bundle(monkeypatch, folder):
    """Have ``folder`` stand for the models of the package."""
    monkeypatch.setattr(homes, "bundled_folder", lambda: folder)


def test_the_home_is_where_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("LIVEACTION_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.delenv("LIVEACTION_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home() == tmp_path / ".local" / "share" / "liveaction"


def test_models_are_known_in_the_order_of_the_search(made, place, monkeypatch):
    (place / "package").mkdir()
    shutil.copytree(made / "one", place / "package" / "first")
    bundle(monkeypatch, place / "package")
    add_model(made / "two", "second")
    (place / "more").mkdir()
    shutil.copytree(made / "one", place / "more" / "third")
    monkeypatch.setenv("LIVEACTION_MODELS", f"{place / 'more'}:{made / 'two'}:{place / 'nothing'}")
    assert [(model.name, model.origin) for model in known_models()] == [
        ("first", "bundled"), ("second", "home"), ("third", "LIVEACTION_MODELS"), ("two", "LIVEACTION_MODELS"),
    ]  # fmt: skip
    first = known_models()[0]
    assert (first.recipe, first.modality, first.digest) == ("array_smoke", "array", digest_of(made / "one"))
    assert first.bytes == sum(path.stat().st_size for path in first.folder.iterdir())
    assert first.description == load_recipe("array_smoke").description
    assert find_model(first.digest[:32]) == first.folder  # the first of two with these weights
    monkeypatch.setenv("LIVEACTION_MODELS", f"{made}:{made / 'two'}")
    assert [model.folder for model in known_models()][2:] == [made / "one", made / "two"]  # each once


def test_the_package_has_models_that_are_whole_or_none():
    bundled = [model for model in known_models() if model.origin == "bundled"]
    assert not look_around()[1] and all(model.default_for for model in bundled)
    for model in bundled:
        assert liveaction.load(model.folder, device="cpu").digest == model.digest


def test_known_models_are_found_without_torch(made, place):
    code = (
        "import sys, liveaction; print([m.name for m in liveaction.known_models()]); sys.exit('torch' in sys.modules)"
    )
    add_model(made / "one")
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "'one'" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        pytest.param("config.json", "{", "expected a model directory with a readable config.json", id="cut"),
        pytest.param("config.json", '{"format": 9}', "expected model format 1, got 9", id="format"),
        pytest.param(
            "config.json", '{"format": 1, "digest": "ab", "recipe": {"name": "a"}}', "expected a digest", id="digest"
        ),
        pytest.param("config.json", '{"format": 1, "digest": 1, "recipe": []}', "a recipe and a digest", id="kinds"),
        pytest.param("about.json", "[]", "expected an object whose default_for is a list", id="about"),
        pytest.param("about.json", '{"default_for": "ct"}', "whose default_for is a list", id="default"),
        pytest.param("about.json", '{"a": NaN}', "expected a JSON object", id="nan"),
    ],
)
def test_a_damaged_model_is_left_out_and_named(made, place, name, text, words):
    add_model(made / "one")
    add_model(made / "two", "bad")
    (home() / "models" / "bad" / name).write_text(text)
    known, (damaged,) = look_around()
    assert [model.name for model in known] == ["one"] == [model.name for model in known_models()]
    assert damaged.name == "bad" and words in damaged.fault and "\n" not in damaged.fault
    with pytest.raises(FormatError, match=r"expected"):
        read_known(home() / "models" / "bad")


def test_what_is_half_written_is_no_model(made, place):
    add_model(made / "one")
    shutil.copytree(made / "two", home() / "models" / ".part-1-two")
    assert [model.name for model in known_models()] == ["one"] and not look_around()[1]


def test_a_missing_model_is_named_with_the_ways_to_get_it(place, monkeypatch):
    monkeypatch.setenv("LIVEACTION_MODELS", str(place / "shelf"))
    with pytest.raises(UnknownNameError) as caught:
        find_model("0123456789abcdef" * 2, "scan.lva")
    line = str(caught.value)
    assert line.startswith("scan.lva: expected a known model of weights 0123456789ab, got none among bundled models")
    assert str(home() / "models") in line and str(place / "shelf") in line and "\n" not in line
    assert line.endswith("pass --model DIR, put it on LIVEACTION_MODELS, or `liveaction models add DIR`")
    assert find_models("0123456") == []


def test_what_names_a_model(made, place, monkeypatch):
    add_model(made / "one", "mine")
    stored = home() / "models" / "mine"
    assert resolve_model("mine") == resolve_model(digest_of(made / "one")[:8]) == stored
    assert resolve_model(made / "two") == made / "two" and str(resolve_model("runs/none")) == "runs/none"
    assert liveaction.load("mine", device="cpu").digest == digest_of(made / "one")
    with pytest.raises(UnknownNameError, match=r"^other: expected a model directory .* known are .*mine \(array\)"):
        resolve_model("other")
    with pytest.raises(UnknownNameError, match=r"got neither"):
        resolve_model(digest_of(made / "one")[:7])
    shutil.copytree(made / "two", place / "mine")
    assert resolve_model("mine").resolve() == place / "mine"  # an existing folder wins


def test_a_name_of_two_models_is_refused(made, place, monkeypatch):
    add_model(made / "one", "mine")
    shutil.copytree(made / "two", place / "shelf" / "mine")
    monkeypatch.setenv("LIVEACTION_MODELS", str(place / "shelf"))
    with pytest.raises(SpecError, match=r"--model mine: expected a name or digest of one model, got .*shelf/mine"):
        resolve_model("mine")
    shutil.rmtree(place / "shelf" / "mine")
    shutil.copytree(made / "one", place / "shelf" / "mine")
    assert resolve_model("mine") == home() / "models" / "mine"  # both are the same


def test_the_default_of_a_modality(made, place):
    with pytest.raises(
        UnknownNameError, match=r"^a.npy: expected a known model for array \(its name\), got none among"
    ):
        default_model("array", "a.npy", "its name")
    add_model(made / "one")
    assert default_model("array", "a.npy").name == "one"  # the only one
    add_model(made / "two")
    with pytest.raises(
        SpecError, match=r"a.npy: expected one known model for array, got .*one.*two.*name one with --mo"
    ):
        default_model("array", "a.npy")
    about(home() / "models" / "two", default_for=["array"], licence="none")
    assert default_model("array", "a.npy").name == "two" and default_model("array", "").default_for == ("array",)
    about(home() / "models" / "one", default_for=["array", "rgb"])
    with pytest.raises(SpecError, match=r"expected one known model for array"):
        default_model("array", "a.npy")
    assert default_model("rgb", "a.png").name == "one"


def test_a_default_of_ones_own_comes_before_that_of_the_package(made, place, monkeypatch):
    shutil.copytree(made / "one", place / "package" / "array")
    about(place / "package" / "array", default_for=["array"])
    bundle(monkeypatch, place / "package")
    add_model(made / "two", "mine")
    assert default_model("array", "a.npy").name == "array"
    model, new = add_model(made / "two", "mine", default=True)
    assert not new and model.default_for == ("array",) and default_model("array", "a.npy").name == "mine"
    assert add_model(made / "two", "mine") == (model, False)  # it stays so
    about(home() / "models" / "mine", licence="none")
    assert add_model(made / "two", "mine", default=True)[0].default_for == ("array",)
    assert json.loads((home() / "models" / "mine" / "about.json").read_text())["licence"] == "none"


def test_only_what_a_model_needs_is_added(made, place):
    source = place / "run"
    shutil.copytree(made / "one", source)
    (source / "checkpoints").mkdir()
    (source / "log.jsonl").write_text("{}")
    (source / "README.md").write_text("# One\n")
    model, new = add_model(source, "first")
    assert new and model.folder == home() / "models" / "first" and model.origin == "home"
    names = {path.name for path in model.folder.iterdir()}
    assert names == {path.name for path in (made / "one").iterdir()} | {"README.md"}
    assert add_model(source, "first") == (model, False)  # nothing is done twice


def test_what_is_not_added(made, place, monkeypatch):
    add_model(made / "one")
    with pytest.raises(
        SpecError, match=r"one: expected a new name, got that of another model in .*--name, or .*--force"
    ):
        add_model(made / "two", "one")
    assert digest_of(home() / "models" / "one") == digest_of(made / "one")
    for name in ("a/b", "..", ".hidden", "-x", "a b"):
        with pytest.raises(SpecError, match=r"--name: expected letters"):
            add_model(made / "two", name)
    with pytest.raises(FormatError, match=r"expected a model directory"):
        add_model(place, "none")
    changed = place / "changed"
    shutil.copytree(made / "two", changed)
    config = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps(config | {"digest": "0" * 64}))
    with pytest.raises(IntegrityError, match=r"the file was changed"):
        add_model(changed)
    assert [model.name for model in known_models() if model.origin == "home"] == ["one"]
    (place / "package").mkdir()
    shutil.copytree(made / "one", place / "package" / "given")
    bundle(monkeypatch, place / "package")
    with pytest.raises(SpecError, match=r"given: expected a name of its own, got that of .*package/given"):
        add_model(made / "two", "given")
    with pytest.raises(SpecError, match=r"given: expected a model in .*, got a bundled one"):
        in_home("given")
    with pytest.raises(UnknownNameError, match=r"nothing: expected a model in .*got none"):
        in_home("nothing")


def test_a_stream_finds_its_model(made, place, monkeypatch):
    model = liveaction.load(made / "one", device="cpu")
    signal = model.modality.synthetic(0, (16, 20, 24))
    data = model.compress(signal, coder="fast")
    (place / "a.lva").write_bytes(data)
    with pytest.raises(UnknownNameError, match=r"^a.lva: expected a known model of weights"):
        liveaction.open("a.lva")
    add_model(made / "one")
    assert model_for("a.lva") == model_for(data) == home() / "models" / "one"
    whole = model.decompress(data).values
    assert np.array_equal(liveaction.decompress("a.lva").values, whole)
    assert np.array_equal(liveaction.decompress(data, "one").values, whole)
    with liveaction.open("a.lva") as view:
        assert np.array_equal(view[3], whole[0, 3])
    with pytest.raises(FormatError, match=r"b.lva"):
        model_for("b.lva")


def test_of_models_with_other_tables_the_streams_is_taken(made, place, monkeypatch):
    other = place / "shelf" / "fitted"
    shutil.copytree(made / "one", other)
    model = liveaction.load(other, device="cpu")
    model.codec.tables = tuple(replace(tables, predict=tables.predict + np.int16(1)) for tables in model.codec.tables)
    save_tables(model.codec, other)
    model = liveaction.load(other, device="cpu")
    data = model.compress(model.modality.synthetic(0, (16, 20, 24)), coder="fast")
    add_model(made / "one")
    assert find_model(model.digest).name == "one"
    monkeypatch.setenv("LIVEACTION_MODELS", str(other))
    assert model_for(data) == other
    assert model.decompress(data) is not None and liveaction.decompress(data) is not None
