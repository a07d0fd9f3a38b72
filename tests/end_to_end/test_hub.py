"""Models on a hub: pushed, got, offline, refused; the hub is a stand-in on this machine."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import liveaction
from liveaction.cli.main import app
from liveaction.codec.card import make_card
from liveaction.codec.hub import push
from liveaction.codec.model import Model
from liveaction.codec.weights import save_model
from liveaction.errors import (
    FormatError,
    IntegrityError,
    LiveactionError,
    LiveactionWarning,
    MissingDependencyError,
    SpecError,
    UnknownNameError,
    WriteError,
)
from liveaction.home import FILES
from liveaction.registry import build_modality
from tests.end_to_end.hub_standin import TOKEN, Hub, serving

constants = pytest.importorskip("huggingface_hub.constants", reason="the extra hub is not installed")
RGB = Path(liveaction.__file__).parent / "bundled" / "rgb"
NAME = "me/small-rgb"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub that knows us, and a cache and a home of this test's own."""
    with serving() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("LIVEACTION_HOME", str(tmp_path / "home"))
        for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # as the library found the environment
        yield served


@pytest.fixture
def model() -> Model:
    return liveaction.load(RGB, device="cpu")


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert isinstance(done.exception, None | SystemExit | LiveactionError), done.exception
    said = done.exception if isinstance(done.exception, LiveactionError) else done.stderr
    return done.exit_code, done.stdout, " ".join(str(said).split())


def test_a_model_goes_there_and_comes_back(hub: Hub, model: Model) -> None:
    address = model.push_to_hub(NAME)
    assert address.startswith(f"{hub.endpoint}/{NAME}/commit/") and hub.repositories[NAME].private
    (_, files) = hub.repositories[NAME].commits.values()
    assert set(files) - {".gitattributes"} <= {*FILES} and {"README.md", "model.safetensors"} <= set(files)
    card = files["README.md"].decode()
    assert card.startswith("---\nlibrary_name: liveaction\n") and "kodim01.png" in card and "/" + "work" not in card
    assert f"liveaction models get {NAME} --digest {model.digest[:12]}" in card
    back = liveaction.from_pretrained(NAME, device="cpu", digest=model.digest[:12])
    assert back.digest == model.digest and back.codec.coding_digest("small") == model.codec.coding_digest("small")
    signal = model.modality.synthetic(1, (40, 56))
    data = model.compress(signal)
    assert (back.decompress(data).values == model.decompress(data).values).all() and back.compress(signal) == data


def test_the_second_time_needs_no_hub(hub: Hub, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model.push_to_hub(NAME)
    liveaction.from_pretrained(NAME, device="cpu")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.asked.clear()
    with pytest.warns(LiveactionWarning, match="the copy of the last time is taken: HF_HUB_OFFLINE is set"):
        assert liveaction.from_pretrained(NAME, device="cpu").digest == model.digest
    assert not hub.asked
    with pytest.raises(FormatError, match="me/other: expected a hub that answers, or a copy in"):
        liveaction.from_pretrained("me/other", device="cpu")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody is there
    with pytest.warns(LiveactionWarning, match="the copy of the last time is taken: ConnectError"):
        assert liveaction.from_pretrained(NAME, device="cpu").digest == model.digest
    with pytest.raises(WriteError, match="expected a hub that takes it, got ConnectError"):
        model.push_to_hub(NAME)


def test_revisions_are_what_they_were(hub: Hub, model: Model, tmp_path: Path) -> None:
    grey = liveaction.load(RGB.with_name("grey"), device="cpu")
    model.push_to_hub(NAME)
    first = hub.repositories[NAME].branches["main"]
    grey.push_to_hub(NAME, revision="grey", message="another")
    assert set(hub.repositories[NAME].branches) == {"main", "grey"}
    for revision, wanted in ((None, model), ("grey", grey), (first, model), ("main", model)):
        assert liveaction.from_pretrained(NAME, revision=revision, device="cpu").digest == wanted.digest
    with pytest.raises(UnknownNameError, match="expected a revision that is there, got 'v9'"):
        liveaction.from_pretrained(NAME, revision="v9")
    with pytest.raises(IntegrityError, match=f"expected weights {'0' * 8}, got {model.digest[:12]}"):
        liveaction.from_pretrained(NAME, digest="0" * 8)
    with pytest.raises(SpecError, match="--digest: expected 8 to 64 hex digits, got 'abc'"):
        liveaction.from_pretrained(NAME, digest="abc")
    with pytest.raises(SpecError, match="revision: expected none for a folder or a known model"):
        liveaction.from_pretrained("rgb", revision="main")
    assert liveaction.from_pretrained("rgb", device="cpu").digest == model.digest
    assert liveaction.from_pretrained(RGB, device="cpu").digest == model.digest


def test_a_push_takes_out_what_was_of_another_model(hub: Hub, model: Model, tmp_path: Path) -> None:
    """Packed tables beside those that are not would be no model."""
    save_model(model.codec, model.recipe, tmp_path / "plain")
    push(tmp_path / "plain", NAME)
    hub.repositories[NAME].commit("main", {"notes.txt": b"mine"})
    model.push_to_hub(NAME)
    files = hub.repositories[NAME].commits[hub.repositories[NAME].branches["main"]]
    assert "entropy.safetensors.gz" in files and "entropy.safetensors" not in files and files["notes.txt"] == b"mine"
    assert liveaction.from_pretrained(NAME, device="cpu").digest == model.digest


def test_what_may_not_be_seen_is_one_line(hub: Hub, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model.push_to_hub(NAME)
    monkeypatch.delenv("HF_TOKEN")
    for name in (NAME, "nobody/nothing"):
        with pytest.raises(UnknownNameError, match=f"{name}: expected a repository that is there and that we may use"):
            liveaction.from_pretrained(name)
    hub.repositories[NAME].private = False
    assert liveaction.from_pretrained(NAME, device="cpu").digest == model.digest
    with pytest.raises(UnknownNameError, match="HF_TOKEN") as raised:
        push(RGB, NAME, private=False)
    assert TOKEN not in str(raised.value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(SpecError, match="expected a private repository, got one that anybody can see; add --public"):
        model.push_to_hub(NAME)
    assert len(hub.repositories[NAME].commits) == 2
    model.push_to_hub(NAME, private=False)


def test_only_files_of_a_model_are_got(hub: Hub, model: Model) -> None:
    model.push_to_hub(NAME)
    hub.repositories[NAME].commit(
        "main", {"pytorch_model.bin": b"\x80\x04.", "run.py": b"boom", "a/config.json": b"{}"}
    )
    back = liveaction.from_pretrained(NAME, device="cpu")
    assert back.folder is not None and {path.name for path in back.folder.iterdir()} <= {*FILES}
    assert not any("pytorch_model" in asked or "run.py" in asked for asked in hub.asked)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "entropy.safetensors.gz"])
def test_what_was_damaged_on_the_way_is_refused(hub: Hub, model: Model, tmp_path: Path, file: str) -> None:
    model.push_to_hub(NAME)
    hub.spoilt = file
    code, _, said = run("models", "get", NAME, "--quiet")
    assert code == 1 and "models--me--small-rgb to get me/small-rgb anew" in said, said
    assert not (tmp_path / "home" / "models").exists() or not list((tmp_path / "home" / "models").iterdir())
    hub.spoilt = ""
    shutil.rmtree(tmp_path / "hf" / "hub" / "models--me--small-rgb")
    assert run("models", "get", NAME, "--quiet")[0] == 0


def test_names_of_folders_stay_here(hub: Hub, tmp_path: Path) -> None:
    shutil.copytree(RGB, tmp_path / "m")
    about = {
        "data": [{"file": "/home/ann/one.png", "from": "ours"}],
        "measured_on": [r"C:\ann\two.png"],
        "not_for": "x",
    }
    (tmp_path / "m" / "about.json").write_text(json.dumps(about))
    assert run("models", "push", tmp_path / "m", NAME, "--quiet")[0] == 0
    files = hub.repositories[NAME].commits[hub.repositories[NAME].branches["main"]]
    assert not any(
        b"/home" in data or b"C:" in data for name, data in files.items() if name in ("README.md", "about.json")
    )
    bare = {"data": [{"file": "one.png", "from": "ours"}], "measured_on": ["two.png"], "not_for": "x"}
    assert json.loads(files["about.json"]) == bare | {"default_for": []}
    assert json.loads((tmp_path / "m" / "about.json").read_text()) == about


def test_a_download_that_breaks_off_leaves_nothing(hub: Hub, model: Model, tmp_path: Path) -> None:
    model.push_to_hub(NAME)
    hub.short = "model.safetensors"
    code, _, said = run("models", "get", NAME, "--quiet")
    assert code == 1 and said.startswith("me/small-rgb: expected a whole model, got"), said
    assert not (tmp_path / "home").exists()
    hub.short = ""
    assert run("models", "get", NAME, "--quiet")[0] == 0


def test_a_repository_of_something_else(hub: Hub) -> None:
    from tests.end_to_end.hub_standin import Repository

    hub.repositories[NAME] = Repository(private=True)
    hub.repositories[NAME].commit("main", {"README.md": b"x", "model.safetensors": b"y"})
    with pytest.raises(
        FormatError, match="me/small-rgb: expected a model of liveaction, got a repository without conf"
    ):
        liveaction.from_pretrained(NAME)
    hub.repositories[NAME].commit("main", {"config.json": b'{"model_type": "bert"}'})
    with pytest.raises(FormatError, match=r"expected model format 1, got None.* to get me/small-rgb anew"):
        liveaction.from_pretrained(NAME)


def test_from_the_command_line(hub: Hub, model: Model, tmp_path: Path) -> None:
    picture = build_modality(model.recipe.modality)
    picture.write(picture.synthetic(1, (64, 64)), tmp_path / "a.png")
    assert model.compress_file(tmp_path / "a.png", tmp_path / "a.lva").bytes
    code, said, _ = run("models", "push", RGB, NAME, "--quiet", "--json")
    assert code == 0 and json.loads(said)["private"] is True
    code, said, _ = run("models", "get", NAME, "--name", "mine", "--digest", model.digest[:10], "--quiet", "--json")
    found = json.loads(said)
    assert code == 0 and found["added"] and found["default_for"] == [] and found["name"] == "mine"
    assert (tmp_path / "home" / "models" / "mine" / "README.md").read_text().startswith("---\nlibrary_name")
    assert run("models", "get", NAME, "--name", "mine", "--quiet")[1].count("there already") == 1
    code, said, _ = run("models", "get", NAME, "--name", "mine", "--default", "--quiet", "--json")
    assert code == 0 and json.loads(said)["default_for"] == ["rgb"]
    assert run("decompress", tmp_path / "a.lva", tmp_path / "b.png", "--model", "mine", "--quiet")[0] == 0
    code, _, said = run("models", "get", NAME, "--digest", "f" * 12, "--quiet")
    assert code == 1 and f"expected weights {'f' * 12}" in said
    for name in ("me", "me/a/b", "../x", "me/.."):
        code, _, said = run("models", "get", name, "--quiet")
        assert code == 1 and f"{name}: expected a repository as owner/name" in said
    code, said, _ = run("models", "push", RGB, "me/open", "--public", "--quiet")
    assert code == 0 and "pushed, for anybody to see" in " ".join(said.split())


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match=r"pip install '.\[hub\]'"):
        liveaction.from_pretrained(NAME)


def test_a_model_is_saved_whole_and_streams_know_it(model: Model, tmp_path: Path) -> None:
    folder = model.save_pretrained(tmp_path / "copy")
    again = liveaction.load(folder, device="cpu")
    assert again.digest == model.digest and again.folder == folder
    signal = model.modality.synthetic(2, (40, 40))
    assert again.compress(signal) == model.compress(signal)
    assert (folder / "README.md").read_text() == make_card(folder, "copy")
    assert json.loads((folder / "about.json").read_text())["default_for"] == []
    with pytest.raises(SpecError, match="copy: expected a new folder, got one that is there"):
        model.save_pretrained(folder)
    bare = Model(model.codec, model.recipe, model.digest)
    assert "Not recorded" in (bare.save_pretrained(tmp_path / "bare") / "README.md").read_text()
    changed = liveaction.load(RGB, device="cpu")
    next(iter(changed.codec.parameters())).data.mul_(1.5)
    with pytest.raises(IntegrityError, match=r"they were changed|weights"):
        changed.save_pretrained(tmp_path / "changed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "copy"]


def test_cards_say_files_and_no_folders(tmp_path: Path) -> None:
    shutil.copytree(RGB, tmp_path / "m")
    about = {
        "data": [{"file": "/home/ann/scans/one.nii", "from": "ours | `x`"}, {"file": r"C:\scans\two.nii", "from": ""}],
        "measured_on": ["/home/ann/three.nii"],
    }
    (tmp_path / "m" / "about.json").write_text(json.dumps(about))
    training = json.loads((RGB / "training.json").read_text())
    training |= {"steps": 500, "left_out": [{"source": "/home/ann/bad.nii", "error": "cut"}]}
    (tmp_path / "m" / "training.json").write_text(json.dumps(training))
    code, said, _ = run("models", "card", tmp_path / "m")
    text = " ".join(said.split())
    assert code == 0 and "ann" not in text and "scans" not in text
    assert "| one.nii | ours / 'x' |" in text and "| two.nii |" in text and "three.nii" in text
    assert "500 steps in" in text and "Left out as unreadable: bad.nii." in text
    for odd in ({"data": {"x": 1}, "measured_on": 7, "not_for": ["\x1b[31m"]}, {"data": [3], "measured_on": "abc"}):
        (tmp_path / "m" / "about.json").write_text(json.dumps(odd))
        (tmp_path / "m" / "training.json").write_text(json.dumps(training | {"validation": 3, "left_out": "x"}))
        text = make_card(tmp_path / "m")
        assert "\x1b" not in text and "500 steps" in text and "abc" not in text
    (tmp_path / "m" / "training.json").write_text(json.dumps(training | {"digest": "0" * 64}))
    assert "## Training" not in run("models", "card", tmp_path / "m")[1]
    out = tmp_path / "card.md"
    assert run("models", "card", tmp_path / "m", "--out", out)[0] == 0 and out.read_text().startswith("# m\n")
    code, _, said = run("models", "card", tmp_path / "m", "--out", out)
    assert code == 1 and "--force" in said and out.stat().st_size > 100


@pytest.mark.parametrize(
    "value", [5, None, True, "text", {"a": 1}, [5, None, ["a"], {"file": 5}], "\x1b[31m\n# b"], ids=repr
)
def test_cards_of_anything_are_texts(value: object, tmp_path: Path) -> None:
    shutil.copytree(RGB, tmp_path / "m")
    about = dict.fromkeys(("data", "measured_on", "not_for", "license"), value)
    (tmp_path / "m" / "about.json").write_text(json.dumps(about))
    training = json.loads((RGB / "training.json").read_text())
    training |= dict.fromkeys(("steps", "seconds", "device", "torch", "validation", "left_out"), value)
    (tmp_path / "m" / "training.json").write_text(json.dumps(training))
    text = make_card(tmp_path / "m", repository="me/m")
    assert "\x1b" not in text and "\n# b" not in text and "## Training" in text


def test_cards_of_too_much_are_refused(tmp_path: Path) -> None:
    shutil.copytree(RGB, tmp_path / "m")
    (tmp_path / "m" / "about.json").write_text(json.dumps({"a": "x" * 70000}))
    with pytest.raises(FormatError, match=r"about\.json: expected a file that can be read, got more than 65536 bytes"):
        make_card(tmp_path / "m")
