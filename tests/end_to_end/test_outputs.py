"""What a command writes leaves alone what it reads, whatever it is called; what it prints is text."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import liveaction
from liveaction.cli import main as cli
from liveaction.cli import printing
from liveaction.cli.findings import pace_text
from liveaction.cli.main import app
from liveaction.codec import model as models
from liveaction.codec.clock import Timings
from liveaction.codec.codec import build_codec
from liveaction.codec.weights import save_model
from liveaction.errors import FormatError, LiveactionWarning, MissingDependencyError, SpecError
from liveaction.outputs import check_outputs, is_within, place_of
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """An untrained model of small arrays, one array, and its stream."""
    folder = tmp_path_factory.mktemp("outputs")
    torch.manual_seed(0)
    recipe = load_recipe("array_smoke")
    save_model(build_codec(recipe), recipe, folder / "model")
    modality = build_modality(recipe.modality)
    modality.write(modality.synthetic(0, (16, 20, 24)), folder / "a.npy")
    liveaction.load(folder / "model").compress_file(folder / "a.npy", folder / "a.lva")
    return folder


@pytest.fixture
def here(work, tmp_path, monkeypatch):
    """A folder with what a command needs, in which it runs."""
    for name in ("a.npy", "a.lva"):
        (tmp_path / name).write_bytes((work / name).read_bytes())
    (tmp_path / "model").symlink_to(work / "model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, [*map(str, words), "--model", "model", "--quiet"])


def refused(*words):
    """The message of a command that changes nothing, not even by loading a model."""
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in Path().rglob("*")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "load", lambda *given, **named: pytest.fail("the model was loaded"))
        done = run(*words)
    assert done.exit_code == 1, done.output
    assert before == {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in Path().rglob("*")}
    return str(done.exception)


def links(name):
    """Other names of a file: as it is spelt, by a link, by a hard link."""
    Path("sub").mkdir()
    Path("soft" + Path(name).suffix).symlink_to(name)
    os.link(name, "hard" + Path(name).suffix)
    return [f"sub/../{name}", "soft" + Path(name).suffix, "hard" + Path(name).suffix]


def test_one_file_has_one_place_however_it_is_called(here):
    for name in links("a.npy"):
        assert place_of(Path(name)) == place_of(Path("a.npy").absolute()) and is_within(Path(name), here / "a.npy")
    Path("there").symlink_to("sub")
    Path("dangling").symlink_to("sub/new")
    assert place_of(Path("there/new")) == place_of(Path("sub/new")) == place_of(Path("dangling"))
    assert place_of(Path("sub/new")) != place_of(Path("new")) and is_within(Path("there/new/x"), Path("sub"))


def test_a_stream_never_takes_the_place_of_its_source(here):
    Path("b.lva").symlink_to("a.npy")
    os.link("a.npy", "c.lva")
    for target in ("b.lva", "c.lva"):
        said = refused("compress", "a.npy", target, "--force")
        assert said == f"{target}: expected a place of its own, got '{target}', which is SOURCE; choose another one"
    with pytest.raises(SpecError, match=r"^a.npy: expected a place of its own, got 'a.npy', which is what is compr"):
        liveaction.load("model").compress_file("a.npy", "a.npy")
    Path("s.npy").mkdir()
    said = refused("compress", "s.npy", "s.npy/x.lva", "--force")
    assert said.endswith("got 's.npy/x.lva', which lies in SOURCE; choose another one")


def test_what_comes_back_takes_the_place_of_nothing_that_is_read(here):
    for name in ["a.lva", *links("a.lva")]:
        assert f"got '{name}', which is SOURCE" in refused("decompress", "a.lva", name, "--force")
        said = refused("decompress", "a.lva", "new.npy", "--picture", name, "--force")
        assert said == f"--picture: expected a place of its own, got '{name}', which is SOURCE; choose another one"
    Path("b.npy").symlink_to("a.npy")
    assert "which is --against" in refused("decompress", "a.lva", "b.npy", "--against", "a.npy", "--force")
    assert "which is --against" in refused(
        "decompress", "a.lva", "c.npy", "--against", "b.npy", "--picture", "a.npy", "-f"
    )


def test_two_outputs_have_two_places(here):
    said = refused("decompress", "a.lva", "new.npy", "--picture", "./new.npy", "--force")
    assert said == "new.npy: expected a place of its own, got 'new.npy', which is --picture; choose another one"
    Path("new.zarr").mkdir()
    said = refused("decompress", "a.lva", "new.zarr", "--picture", "new.zarr/p.png", "--force")
    assert said.endswith("in which --picture lies; choose another one")


def test_a_folder_that_holds_the_source_is_not_replaced(here):
    Path("new.zarr").mkdir()
    Path("a.lva").rename("new.zarr/a.lva")
    assert "in which SOURCE lies" in refused("decompress", "new.zarr/a.lva", "new.zarr", "--force")


def test_a_model_is_not_written_over(here):
    said = refused("decompress", "a.lva", "model/config.json", "--force")
    assert said.endswith("got 'model/config.json', which is in the model; take another")


def test_a_picture_that_is_there_stays_without_force(here):
    Path("p.png").write_text("mine")
    said = refused("decompress", "a.lva", "new.npy", "--picture", "p.png")
    assert said == "--picture: expected a new file, got an existing one, 'p.png'; add --force to overwrite it"
    assert run("decompress", "a.lva", "new.npy", "--picture", "p.png", "--force").exit_code == 0
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("target", ["new.xyz", "new", "none/new.npy"])
def test_a_target_that_cannot_be_is_refused_before_anything_is_decoded(here, target):
    assert "expected an existing folder 'none'" in (said := refused("decompress", "a.lva", target)) or (
        f"{target}: expected an array (.h5," in said
    )


def test_a_place_that_cannot_be_written_is_refused_before_any_work(here, monkeypatch):
    os.mkfifo("pipe.lva")
    assert "got a FIFO; choose another one" in refused("compress", "a.npy", "pipe.lva", "--force")
    assert "got a stream of the process" in refused("decompress", "a.lva", "/dev/stdout")
    assert refused("decompress", "a.lva", "-").startswith("-: expected the name of a file, got '-'")
    assert refused("compress", "a.npy", "-").startswith("-: expected the name of a folder, got '-'")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK | os.X_OK)
    assert "expected the right to write in" in refused("decompress", "a.lva", "new.npy")


def test_both_files_of_an_original_are_kept(tmp_path):
    modality = build_modality(load_recipe("hyperspectral_smoke").modality)
    signal = modality.synthetic(0, (4, 8, 8))
    assert modality.check_target(signal, tmp_path / "a.hdr") == [tmp_path / "a.hdr", tmp_path / "a.img"]
    with pytest.raises(SpecError, match=r"a.hdr: expected a place of its own, got '.*a.img', which is --against"):
        check_outputs({"a.hdr": modality.check_target(signal, tmp_path / "a.hdr")}, {"--against": tmp_path / "a.img"})


def test_a_missing_package_is_named_before_anything_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    modality = build_modality(load_recipe("hyperspectral_smoke").modality)
    with pytest.raises(MissingDependencyError, match=r"rasterio .* pip install '\.\[geo\]' in a clone of this repos"):
        modality.check_target(modality.synthetic(0, (4, 8, 8)), tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("recipe", "extents", "name", "words"),
    [
        ("ct_smoke", (8, 8, 8), "a.png", "expected a name ending in '.nii' or '.nii.gz'"),
        ("mri_smoke", (8, 8, 8), "a.png", "expected a name ending in '.nii' or '.nii.gz'"),
        ("series_smoke", (2, 8, 8, 8), "a.png", "expected a name ending in '.nii' or '.nii.gz'"),
        ("music_smoke", (80,), "a.mp3", "expected a name ending in .wav"),
        ("rgb_smoke", (8, 8), "a.jpg", "expected a name ending in .pgm"),
        ("rgb_smoke", (8, 8), "a.pgm", "expected a name ending in .ppm for this picture"),
        ("video_smoke", (2, 8, 8), "a.mp4", "expected a name ending in '.mkv', '.y4m' or none"),
        ("hyperspectral_smoke", (4, 8, 8), "a.png", "as its source was"),
        ("array_smoke", (4, 8, 8), "a.png", "expected an array"),
    ],
)
def test_every_modality_knows_its_targets_without_values(tmp_path, recipe, extents, name, words):
    modality = build_modality(load_recipe(recipe).modality)
    signal = modality.synthetic(0, extents)
    for ask in (modality.check_target, modality.write):
        with pytest.raises(FormatError) as caught:
            ask(signal, tmp_path / name)
        assert words in str(caught.value)


def test_folders_that_are_read_are_not_written_to(here):
    Path("scans").mkdir()
    Path("a.npy").rename("scans/a.npy")
    assert refused("compress", "scans", "sub/../scans").endswith("which is SOURCE; choose another one")
    for verb, option in ((["train", "array_smoke"], "--data or --val"), (["evaluate", "model"], "--data or a model")):
        done = CliRunner().invoke(app, [*verb, "--data", "scans", "--out", "scans", "--quiet"])
        assert f"got 'scans', which is {option}; choose another one" in str(done.exception)
    Path("scans/a.npy").rename("a.npy")
    for words in (["train", "array_smoke", "--quiet"], ["evaluate", "model", "--quiet"]):
        store = Path("s.zarr")
        if not store.exists():
            modality = build_modality(load_recipe("array_smoke").modality)
            modality.write(modality.read(Path("a.npy")), store)
        done = CliRunner().invoke(app, [*words, "--data", "s.zarr", "--out", "s.zarr/out"])
        assert "got 's.zarr/out', which lies in 's.zarr'; choose another one" in str(done.exception)
    assert sorted(path.name for path in Path("s.zarr").iterdir()) == ["c", "zarr.json"]


def test_a_recipe_is_not_written_over_what_it_is_like(here):
    text = "name: mine\n" + Path(liveaction.__file__).with_name("__init__.py").read_text()[:0]
    Path("mine.yaml").write_text(text)
    done = CliRunner().invoke(app, ["new", "mine", "--like", "./mine.yaml", "--force"])
    assert "got 'mine.yaml', which is --like; choose another one" in str(done.exception)
    assert Path("mine.yaml").read_text() == text


def test_an_import_is_not_written_over_its_own_configuration(here):
    Path("out").mkdir()
    for name in ("out/config.json", "w.pth"):
        Path(name).write_text("{}")
    done = CliRunner().invoke(app, ["import-walloc", "w.pth", "out", "--config", "out/config.json", "--force"])
    assert "got 'out/config.json', which is what is read; choose another one" in str(done.exception)


@pytest.mark.parametrize("verb", ["info", "verify"])
def test_names_that_are_no_text_are_printed_escaped(here, verb):
    """On a standard output that takes nothing but ASCII; one verb fails, one does not."""
    name = os.fsdecode(b"a\xff\x1b[31m.lva")
    if verb == "verify":
        Path("a.lva").rename(name)
    code = "from liveaction.cli.main import main; main()"
    strict = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run([sys.executable, "-P", "-c", code, verb, name], capture_output=True, env=strict)
    said, start = (done.stderr, b"liveaction: ") if verb == "info" else (done.stdout, b"")
    assert done.returncode == (verb == "info") and said.startswith(start + b"a\\udcff\\x1b[31m.lva: ")
    assert said.count(b"\n") == 1 and b"Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["info", "a.lva", "\x1b[31mtoo much"], ["\x1b[31mverb"], ["info", "--\x1b[31m"]])
def test_what_was_typed_is_escaped_in_usage_errors(words):
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2 and "\x1b[31m" not in done.output and "\\x1b[31m" in done.output


def test_progress_takes_names_for_text(capsys):
    text = printing.shown("[red]\x1b[31ma[/x]\nb")
    assert text.plain == "[red]\\x1b[31ma[/x]\\nb" and not text.spans
    printing.say("a\x1b]0;x\x07\n\udcff\x7f\u202eb")
    printing.print_json({"name": "\x7f\x1b\udcff"})
    said = capsys.readouterr().out
    assert said == 'a\\x1b]0;x\\x07\\n\\udcff\\x7f\\u202eb\n{\n  "name": "\\u007f\\u001b\\udcff"\n}\n'
    assert json.loads(said.partition("\n")[2]) == {"name": "\x7f\x1b\udcff"}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "expected memory for what was asked for, got none; take a smaller part"),
        (np.exceptions.AxisError("x"), None),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8589934592 bytes. Err"),
         "expected memory for 8589934592 bytes, got none; "),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0"),
         "expected memory for 2.00 GiB, got none; "),
        (MemoryError("Unable to allocate 8.00 TiB for an array with shape (1,)"), "expected memory for 8.00 TiB, "),
        (OSError(12, "Cannot allocate memory"), "expected memory for what was asked for"),
        (ImportError("x.so: failed to map segment from shared object"), "expected memory for what was asked for"),
        (RuntimeError("another one"), None),
        (LookupError("out of memory"), None),
    ],
)  # fmt: skip
def test_no_memory_is_one_line(monkeypatch, capsys, error, words):
    def fail():
        raise error

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr(cli, "settle_streams", lambda: None)
    with pytest.raises(SystemExit if words else type(error)):
        cli.main()
    said = capsys.readouterr().err
    assert said.startswith(f"liveaction: {words}") and said.count("\n") == 1 if words else not said


def test_a_reader_that_went_away_is_no_error(here):
    code = "from liveaction.cli.main import main; main()"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-P", "-c", code, "info", "a.lva"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.stderr == b""


def test_warnings_are_lines_and_each_is_said_once(monkeypatch, capsys):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    printing.settle_streams()
    for text, kind in (("a\x1bb", LiveactionWarning), ("a\x1bb", LiveactionWarning), ("c\nd", RuntimeWarning)):
        warnings.showwarning(kind(text), kind, "file.py", 1)
    assert capsys.readouterr().err == "liveaction: warning: a\\x1bb\nliveaction: warning: RuntimeWarning: c d\n"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (5, "2.5 samples/s"),
        (12_340, "6.17 ksamples/s"),
        (123_456_789, "61.7 Msamples/s"),
        (2_345_678_912, "1,173 Msamples/s"),
    ],
)
def test_speeds_have_digits(values, words):
    assert pace_text(values, Timings(1.5, 0.5, 0.0, 0.0)) == words
