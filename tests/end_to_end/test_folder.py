"""A folder to a folder: what is broken, done, changed, not ours, killed, or without room."""

import functools
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from liveaction.archive import folder, workers
from liveaction.archive.find import find_items, find_streams
from liveaction.archive.folder import Settings
from liveaction.archive.manifest import MANIFEST, open_manifest
from liveaction.archive.tasks import FolderCompression
from liveaction.archive.workers import Outcome, one_line
from liveaction.cli.main import app
from liveaction.codec.model import Model
from liveaction.codec.weights import read_model, save_model
from liveaction.errors import FormatError, LiveactionWarning, SpecError, WriteError
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.training.run import train

FRAGILE = '''
"""Pictures whose reading, by their name, ends its process, or whose placing, where a file says so, all processes."""
import os
import signal
from pathlib import Path

from liveaction.modalities.image.modality import Image

MOMENTS = Path(os.environ.get("MOMENTS", "/nowhere"))
replace = Path.replace


def end(moment):
    if (MOMENTS / moment).exists():
        (MOMENTS / moment).unlink()
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def watched(path, target):
    ours = str(target).endswith(".lva")
    if ours:
        end("before")
    done = replace(path, target)
    if ours:
        end("after")
    return done


if "MOMENTS" in os.environ:
    Path.replace = watched


class Fragile(Image):
    def read(self, path):
        if path.name == "killer.png":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(path)
'''


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A model, the same model for a modality that can end its process, and twenty small pictures in three folders."""
    folder = tmp_path_factory.mktemp("work")
    patch = pytest.MonkeyPatch()
    patch.setenv("LIVEACTION_CACHE", str(folder / "cache"))
    patch.setenv("OMP_NUM_THREADS", "2")
    patch.setenv("PYTHONPATH", str(folder / "site"))
    patch.syspath_prepend(str(folder / "site"))
    about = folder / "site" / "fragile-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fragile\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[liveaction.modalities]\nfragile = fragile:Fragile\n")
    (folder / "site" / "fragile.py").write_text(FRAGILE)
    recipe = load_recipe("rgb_smoke", ["training.warm_crops=8", "training.steps=0", "training.crop=[32, 32]"])
    modality = build_modality(recipe.modality)
    for number in range(20):
        path = folder / "pictures" / f"d{number % 3}" / f"p{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        modality.write(modality.synthetic(number, (40 + number, 64)), path)
    train(recipe, [str(folder / "pictures" / "d0")], folder / "model")
    codec, recipe, _ = read_model(folder / "model")
    named = recipe.modality.model_copy(update={"name": "fragile"})
    save_model(codec, recipe.model_copy(update={"modality": named}), folder / "fragile")
    yield folder
    patch.undo()


@pytest.fixture
def here(monkeypatch):
    """From when it is called on, folders are worked on in this process: what is left to see needs no other."""

    def work_here(task, jobs, count, told):
        task.prepare()
        for job in jobs:
            try:
                yield Outcome(job, result=task.work(job, functools.partial(told, job)))
            except Exception as error:
                yield Outcome(job, error=one_line(error))

    return lambda: monkeypatch.setattr(folder, "run_jobs", work_here)


def invoke(*arguments):
    return CliRunner().invoke(app, ["compress", *map(str, arguments)])


def command(*arguments):
    code = "from liveaction.cli.main import main; main()"
    return [sys.executable, "-P", "-c", code, "compress", *map(str, arguments)]


def streams(folder):
    found = [path for path in folder.rglob("*.lva") if not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def leftovers(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(".")]


def lines(folder):
    whole, _, _ = (folder / MANIFEST).read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


@pytest.fixture(scope="module")
def archive(work):
    """All pictures, compressed without an interruption."""
    said = invoke(work / "pictures", work / "archive", "--model", work / "fragile", "--jobs", 2, "--quiet", "--json")
    assert said.exit_code == 0, said.exception or said.output
    return work / "archive", json.loads(said.stdout)


@pytest.mark.slow
def test_a_folder_keeps_its_shape_and_every_item_its_line(work, archive):
    folder, report = archive
    made = streams(folder)
    assert sorted(made) == sorted(f"d{n % 3}/p{n}.png.lva" for n in range(20)) and not leftovers(folder)
    recorded = {line["target"]: line for line in lines(folder)}
    assert recorded.keys() == made.keys()
    codec, _, digest = read_model(work / "fragile")
    for name, data in made.items():
        line = recorded[name]
        source = (work / "pictures" / line["source"]).read_bytes()
        values = (40 + int(line["source"][4:-4])) * 64 * 3
        inner = hashlib.sha256(source).hexdigest()
        outer = Path(line["source"]).name.encode() + b"\0" + inner.encode() + b"\n"
        assert line["source_digest"] == hashlib.sha256(outer).hexdigest()
        assert line["sha256"] == hashlib.sha256(data).hexdigest() and line["bytes"] == len(data)
        assert line["ratio"] == pytest.approx(values / len(data)) and line["seconds"] > 0
        assert line["bits_per_element"] == pytest.approx(8 * len(data) / values)
        assert (line["weights"], line["step"], line["dtype"]) == (digest, codec.quantizer.step, "float32")
        assert (line["status"], line["error"]) == ("ok", "")
    native = sum((40 + n) * 64 * 3 for n in range(20))
    size = sum(map(len, made.values()))
    assert report["ratio"] == pytest.approx(native / size) and report["bytes"] == size
    assert (report["done"], report["skipped"], report["failed"], report["failures"]) == (20, 0, 0, [])


@pytest.mark.slow
def test_a_stream_of_a_folder_is_the_one_that_a_single_signal_gives(work, archive, tmp_path):
    single = invoke(work / "pictures/d1/p4.png", tmp_path / "a.lva", "--model", work / "fragile", "--quiet")
    assert single.exit_code == 0
    assert (tmp_path / "a.lva").read_bytes() == (archive[0] / "d1" / "p4.png.lva").read_bytes()


@pytest.mark.slow
def test_what_breaks_fails_alone_and_what_is_done_is_skipped(work, tmp_path, here):
    source, out = tmp_path / "in", tmp_path / "new" / "out"
    shutil.copytree(work / "pictures" / "d0", source)
    shutil.copy(source / "p0.png", source / "killer.png")
    (source / "p3.png").write_bytes(b"not a picture")
    picture = build_modality(load_recipe("rgb_smoke").modality)
    picture.write(picture.read(source / "p0.png"), source / "p0.tif")
    run = source, out, "--model", work / "fragile", "--quiet"
    said = invoke(*run, "--jobs", 2)
    assert said.exit_code == 1
    broken, killed = sorted(said.stderr.splitlines(), key=lambda line: "killer" in line)
    assert broken.startswith(f"liveaction: {source / 'p3.png'}: expected a whole PNG")
    assert killed == (
        f"liveaction: {source / 'killer.png'}: expected a process that finishes, got one killed by SIGKILL; "
        "is memory short? take fewer --jobs"
    )
    assert "7 done, 0 skipped, 2 failed of 9 items" in said.stdout
    assert {"p0.png.lva", "p0.tif.lva"} < streams(out).keys() and not leftovers(out)
    assert {line["source"]: line["error"] for line in lines(out) if line["status"] == "failed"} == {
        "p3.png": broken.removeprefix("liveaction: "), "killer.png": killed.removeprefix("liveaction: ")
    }  # fmt: skip

    here()
    (source / "killer.png").unlink()
    shutil.copy(work / "pictures/d1/p1.png", source / "p3.png")  # repaired
    shutil.copy(work / "pictures/d1/p4.png", source / "p6.png")  # another picture
    os.utime(source / "p9.png")  # touched alone: the same bytes
    (out / "p12.png.lva").unlink()
    (out / "p15.png.lva").write_bytes(b"mine")
    shutil.copy(work / "pictures/d2/p2.png", source / "theirs.png")
    (out / "theirs.png.lva").write_bytes(b"theirs")
    with (out / MANIFEST).open("a") as file:
        file.write('{"source": "p0.png", "targ')  # a line that a killed process began
    said = invoke(*run, "--json")
    report = json.loads(said.stdout)
    assert said.exit_code == 1 and (report["done"], report["skipped"], report["failed"]) == (3, 4, 2)
    assert [line["source"] for line in lines(out)[9:] if line["status"] == "ok"] == ["p12.png", "p3.png", "p6.png"]
    for name, got in (("p15.png", "another one"), ("theirs.png", "one that it does not know")):
        expected = f"{out / name}.lva: expected what {MANIFEST} records, got {got}; add --force"
        assert any(failure["error"].startswith(expected) for failure in report["failures"])
    assert (out / "p15.png.lva").read_bytes() == b"mine" and (out / "theirs.png.lva").read_bytes() == b"theirs"

    said = invoke(*run, "--quality", 6)  # other settings: all that is ours is outdated
    assert said.exit_code == 1 and "7 done, 0 skipped, 2 failed" in said.stdout
    assert {line["step"] for line in lines(out)[-7:] if line["status"] == "ok"} == {0.025}


def decompress(*arguments):
    return CliRunner().invoke(app, ["decompress", *map(str, arguments)])


@pytest.mark.slow
def test_a_folder_of_streams_comes_back(work, archive, tmp_path, here):
    streams_, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(archive[0], streams_)
    shutil.copy(streams_ / "d0/p0.png.lva", streams_ / "d0/p0.jpg.lva")
    (streams_ / "d1/p1.png.lva").write_bytes(b"damaged")
    said = decompress(streams_, out, "--model", work / "fragile", "--quiet", "--json")
    report = json.loads(said.stdout)
    assert said.exit_code == 1 and (report["done"], report["failed"]) == (19, 2) and not leftovers(out)
    errors = {failure["source"]: failure["error"] for failure in report["failures"]}
    assert errors["d0/p0.jpg.lva"].startswith(f"{out / 'd0/p0.jpg'}: expected a name ending in .pgm, .png")
    assert errors["d1/p1.png.lva"].startswith(f"{streams_ / 'd1/p1.png.lva'}: expected ")
    alone = decompress(archive[0] / "d1/p4.png.lva", tmp_path / "a.png", "--model", work / "fragile", "--quiet")
    assert alone.exit_code == 0 and (tmp_path / "a.png").read_bytes() == (out / "d1/p4.png").read_bytes()
    assert report["ratio"] == pytest.approx(sum(line["ratio"] * line["bytes"] for line in lines(out) if line["ratio"])
                                            / report["bytes"])  # fmt: skip

    here()
    shutil.copy(archive[0] / "d1/p1.png.lva", streams_ / "d1/p1.png.lva")
    said = decompress(streams_, out, "--model", work / "fragile", "--suffix", ".png", "--quiet")
    assert said.exit_code == 0 and "2 done, 19 skipped, 0 failed" in said.stdout and (out / "d0/p0.jpg.png").exists()


def test_streams_that_would_become_the_same_are_refused(work, tmp_path):
    with pytest.raises(FormatError, match=r"expected \.lva files, got none"):
        find_streams(tmp_path, tmp_path / "out", "")
    for name in ("a.png.lva", "a.lva", ".part-1-b.lva"):
        (tmp_path / name).write_bytes(b"12")
    assert [item.target_name for item in find_streams(tmp_path, tmp_path, "")] == ["a", "a.png"]
    with pytest.raises(SpecError, match="--suffix: expected names that differ, got"):
        find_streams(tmp_path, tmp_path / "out", ".png")
    result = decompress(tmp_path, tmp_path / "out", "--model", work / "model", "--against", tmp_path / "a.lva")
    assert isinstance(result.exception, SpecError) and "expected one .lva file with it" in str(result.exception)


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_and_ends_as_if_nothing_had_been(work, archive, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run = command(work / "pictures", out, "--model", work / "fragile", "--quiet")
    monkeypatch.setenv("MOMENTS", str(tmp_path))
    rng = np.random.default_rng()
    for moment in ["before", "after", int(rng.integers(1, 9))]:
        done = len(lines(out)) if out.exists() else 0
        if isinstance(moment, str):
            (tmp_path / moment).touch()
        process = subprocess.Popen([*run, "--jobs", "2"] if moment == "before" else run)
        while process.poll() is None:
            time.sleep(0.001)
            if isinstance(moment, int) and len((out / MANIFEST).read_bytes().splitlines()) >= done + moment:
                process.send_signal(signal.SIGKILL)
                process.wait()
        ends = {-signal.SIGKILL} if isinstance(moment, str) else {-signal.SIGKILL, 0}  # 0: faster than this loop
        assert process.returncode in ends
        made, reference = streams(out), streams(archive[0])
        assert all(reference[name] == data for name, data in made.items()), f"half a file after {moment}"
        assert made.keys() <= {line["target"] for line in lines(out)}, "a stream without its line"
    last = subprocess.run(run, capture_output=True, text=True)
    assert last.returncode == 0 and "0 failed of 20 items" in last.stdout, last.stderr
    assert streams(out) == streams(archive[0]) and not leftovers(out)
    keys = ("source", "target", "status", "source_digest", "sha256", "weights", "step", "dtype")
    newest = [{line["target"]: [line[key] for key in keys] for line in lines(folder)} for folder in (out, archive[0])]
    assert newest[0] == newest[1]


WITHOUT_ROOM = """
import json, resource, sys
from liveaction.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (3500, 3500))
for source, target in json.loads(sys.argv[1]):
    arguments, sys.argv = sys.argv, ["liveaction", "compress", source, target, "--model", sys.argv[2], "--quiet"]
    try:
        main()
    except SystemExit as end:
        print(end.code)
    sys.argv = arguments
"""


@pytest.mark.slow
def test_a_disk_without_room_is_said_in_one_line_and_leaves_nothing(work, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(work / "pictures" / "d0", source)
    big = build_modality(load_recipe("rgb_smoke").modality)
    big.write(big.synthetic(0, (200, 200)), source / "big.png")
    target = tmp_path / "a.lva"
    pairs = [(str(source), str(out)), (str(source / "big.png"), str(target))]
    command = [sys.executable, "-P", "-c", WITHOUT_ROOM, json.dumps(pairs), str(work / "model")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "1\n1\n") and "Traceback" not in done.stderr
    words = "expected room to write, got File too large; free some there, or choose another place"
    refused = [out / "big.png.lva", out / MANIFEST, target]
    assert done.stderr.splitlines() == [f"liveaction: {path}: {words}" for path in refused]
    assert 0 < len(streams(out)) < 7 and not leftovers(out) and not target.exists()
    assert len(lines(out)) == 1 + len(streams(out))


class Series:
    """A modality of one item: the folder itself, or folders in it."""

    def find(self, path):
        return sorted(p for p in path.iterdir() if p.is_dir()) or [path]

    def parts(self, path):
        return sorted(p for p in path.rglob("*") if p.is_file())


def test_items_that_are_folders_are_named_after_them(tmp_path):
    for name in ("s1", "s2"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "0.dcm").write_bytes(b"12345")
    items = find_items(Series(), tmp_path / "in", tmp_path / "out")
    assert [(i.source_name, i.target, i.size) for i in items] == [
        ("s1", tmp_path / "out" / "s1.lva", 5), ("s2", tmp_path / "out" / "s2.lva", 5)
    ]  # fmt: skip
    (item,) = find_items(Series(), tmp_path / "in" / "s1", tmp_path / "out")
    assert (item.source_name, item.target_name) == ("s1", "s1.lva")
    with pytest.raises(SpecError, match="expected a folder outside of what is compressed, got one in"):
        find_items(Series(), tmp_path / "in", tmp_path / "in" / "s1" / "out")


class Moody(Series):
    """A modality that cannot say what some of its items consist of."""

    def parts(self, path):
        if path.name != "s1":
            raise {"s2": FormatError, "s3": PermissionError, "s4": KeyError}[path.name](f"{path}: no such thing")
        return super().parts(path)


def test_an_item_whose_files_cannot_be_found_is_one_that_fails(tmp_path):
    for name in ("s1", "s2", "s3", "s4"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "0.dcm").write_bytes(b"12345")
    items = find_items(Moody(), tmp_path / "in", tmp_path / "out")
    assert [(item.source_name, item.size) for item in items] == [("s1", 5), ("s2", 0), ("s3", 0), ("s4", 0)]


@pytest.mark.slow
def test_what_cannot_be_looked_at_fails_alone(work, tmp_path, here, monkeypatch):
    source, out, locked = tmp_path / "in", tmp_path / "out", tmp_path / "in" / "locked"
    locked.mkdir(parents=True)
    shutil.copy(work / "pictures/d0/p0.png", source / "a.png")
    (source / "gone.png").symlink_to("nowhere.png")
    (source / "other").symlink_to("nowhere")
    scan = os.scandir

    def refusing(path):
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    here()
    said = invoke(source, out, "--model", work / "model", "--quiet")
    assert said.exit_code == 1 and "1 done, 0 skipped, 2 failed of 3 items" in said.stdout
    failed = {line["source"]: line["error"] for line in lines(out) if line["status"] == "failed"}
    assert failed.keys() == {"gone.png", "locked"} and list(streams(out)) == ["a.png.lva"]
    assert failed["gone.png"] == f"{source / 'gone.png'}: expected to read it, got No such file or directory"
    assert failed["locked"].startswith(f"{locked}: expected ")


def test_streams_that_cannot_be_looked_at_are_items(tmp_path):
    (tmp_path / "gone.lva").symlink_to("nowhere")
    (tmp_path / "a.lva").write_bytes(b"12")
    found = find_streams(tmp_path, tmp_path / "out", ".png")
    assert [(item.source_name, item.size) for item in found] == [("a.lva", 2), ("gone.lva", 0)]


def test_a_target_that_is_a_source_is_refused(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    for name in ("a.lva", "a.lva.lva"):
        (source / name).write_bytes(b"12")
    with pytest.raises(SpecError, match=r"in/a.lva: expected a place of its own .* 'a.lva.lva', got one which is a so"):
        find_streams(source, source, "")
    (source / "a.lva.lva").unlink()
    (out / "a").symlink_to(source / "a.lva")
    with pytest.raises(SpecError, match=r"out/a: expected a place of its own .* 'a.lva', got one which is a source"):
        find_streams(source, out, "")
    (out / "a").unlink()
    (out / "a").symlink_to(source)
    with pytest.raises(SpecError, match="got one which holds sources; choose another folder"):
        find_streams(source, out, "")
    (source / "b.lva").write_bytes(b"12")
    (out / "a").unlink()
    (out / "a").write_bytes(b"mine")
    os.link(out / "a", out / "b")
    with pytest.raises(SpecError, match=r"'b.lva', got that of 'a.lva'; choose another folder"):
        find_streams(source, out, "")
    (out / "a").unlink()
    os.mkfifo(out / "a")
    with pytest.raises(WriteError, match="got a FIFO"):
        find_streams(source, out, "")


@pytest.mark.slow
def test_names_of_255_bytes_and_targets_that_cannot_be(work, tmp_path, here):
    source, back = tmp_path / "in", tmp_path / "back"
    source.mkdir()
    shutil.copy(work / "pictures/d0/p0.png", source / ("a" * 247 + ".png"))
    here()
    said = invoke(source, tmp_path / "out", "--model", work / "model", "--quiet")
    assert said.exit_code == 0, said.output
    (tmp_path / "out" / "b.xyz.lva").write_bytes(next(iter(streams(tmp_path / "out").values())))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Model, "decompress", lambda *given: pytest.fail("decoded"))
        assert decompress(tmp_path / "out", back, "--model", work / "model", "-q", "--suffix", ".xyz").exit_code == 1
    said = decompress(tmp_path / "out", back, "--model", work / "model", "--quiet")
    assert "1 done, 0 skipped, 1 failed" in said.stdout and not leftovers(back)
    assert [path.name for path in back.glob("*.png")] == ["a" * 247 + ".png"]


class Warning_:
    """A task whose every job warns."""

    def prepare(self):
        warnings.warn("the main process said so", LiveactionWarning, stacklevel=1)

    def work(self, job, tell):
        warnings.warn(f"{job}: bent", LiveactionWarning, stacklevel=1)
        warnings.warn(f"{job}: bent", LiveactionWarning, stacklevel=1)
        if job == "b":
            raise MemoryError("Unable to allocate 8.00 GiB for an array")
        return job


@pytest.mark.filterwarnings("default")
def test_what_workers_warn_of_comes_before_the_outcome(monkeypatch):
    ours, theirs = multiprocessing.Pipe()
    monkeypatch.setattr(workers.signal, "signal", lambda *given: None)
    for job in ("a", "b", None):
        ours.send(job)
    workers._serve(theirs, Warning_())
    *said, (kind, error) = iter(lambda: ours.recv() if ours.poll() else None, None)
    assert said == [("ready", None), ("warned", ("a: bent",)), ("result", "a"), ("warned", ("b: bent",))]
    assert kind == "error" and error.startswith("expected memory for 8.00 GiB, got none; take a smaller part")


def test_the_same_warning_of_many_items_is_said_of_the_first(work, tmp_path, monkeypatch):
    def work_here(task, jobs, count, told):
        for job in jobs:
            text = f"{job.item.target}: tags are lost" if job.item.path.name < "p5" else "loud"
            yield Outcome(job, error="x", warned=(text,))

    monkeypatch.setattr(folder, "run_jobs", work_here)
    task = FolderCompression(work / "pictures", tmp_path / "out", Settings(work / "model"))
    with task, pytest.warns(LiveactionWarning) as said:
        list(task.run())
    texts = [str(warning.message) for warning in said]
    assert sum(text.endswith(".lva: tags are lost") for text in texts) == 3
    assert sum(text.endswith(".png: loud") for text in texts) == 3
    assert texts[-2:] == [
        f"{tmp_path / 'out'}: 12 more items with the same warning: ...: tags are lost",
        f"{tmp_path / 'out'}: 2 more items with the same warning: loud",
    ]


def test_a_target_that_is_no_folder_and_one_in_use_are_refused(work, tmp_path):
    (tmp_path / "file").write_text("mine")
    result = invoke(work / "pictures", tmp_path / "file", "--model", work / "model", "-q")
    assert isinstance(result.exception, SpecError) and "expected a folder to write into, got a file" in str(
        result.exception
    )
    (tmp_path / "out").mkdir()
    task = FolderCompression(work / "pictures", tmp_path / "out", Settings(work / "model"))
    with open_manifest(tmp_path / "out"), pytest.raises(SpecError, match="expected no other process to write there"):
        task.__enter__()
    result = invoke(work / "pictures/d0/p0.png", tmp_path / "a.lva", "-m", work / "model", "--jobs", 2)
    assert isinstance(result.exception, SpecError) and "--jobs: expected a folder with it" in str(result.exception)


def test_workers_that_cannot_start_end_the_run(work, tmp_path):
    task = FolderCompression(work / "pictures", tmp_path / "out", Settings(work / "model"))
    shutil.move(work / "model" / "config.json", work / "kept.json")
    try:
        with task, pytest.raises(Exception, match="expected a model directory"):
            list(task.run())
    finally:
        shutil.move(work / "kept.json", work / "model" / "config.json")
