"""Files appear whole or not at all; what dead processes left goes; what cannot be written is said in one line."""

import errno
import os
import re
import resource
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from liveaction.cli import main as cli
from liveaction.errors import FormatError, WriteError
from liveaction.files import atomic_path, destination, remove_leftovers, temporary_path
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left(kind, pid, name):
    """A name under which process ``pid`` of this machine writes ``name``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: pid)  # whose number may have more digits than ours: a name has to fit
        return temporary_path(Path(name), kind).name


def left_before(pid, name):
    """As :func:`left`, in the way of earlier versions, which counted nothing."""
    return re.sub(r"-\d+~", "~", left("part", pid, name))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_as_a_whole_or_stays(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_path(path) as part:
        part.write_text("one")
        assert not path.exists() and part.suffix == ".txt"
    with pytest.raises(KeyError), atomic_path(path) as part:
        part.write_text("two")
        raise KeyError
    assert path.read_text() == "one" and names(tmp_path) == ["a.txt"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for text in ("one", "two"):
        with atomic_path(tmp_path / "f") as part:
            (part / "deep").mkdir(parents=True)
            (part / "deep" / text).write_text(text)
    assert names(tmp_path) == ["f"] and names(tmp_path / "f" / "deep") == ["two"]


def test_files_and_their_folder_are_on_the_disk_before_it_returns(tmp_path, monkeypatch):
    synced, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_ino), sync(handle)))
    with atomic_path(tmp_path / "a") as part:
        part.write_text("one")
    assert synced == [(tmp_path / "a").stat().st_ino, tmp_path.stat().st_ino]
    del synced[:]
    with atomic_path(tmp_path / "f") as part:
        part.mkdir()
        (part / "b").write_text("two")
    inside = [(tmp_path / "f" / "b").stat().st_ino, (tmp_path / "f").stat().st_ino]
    assert synced == [*inside, tmp_path.stat().st_ino]


def test_what_dead_processes_left_goes_with_the_first_write(tmp_path, dead):
    (tmp_path / left("part", dead, "a.lva")).write_text("half")
    (tmp_path / f".part-{dead}-b.lva").write_text("half")
    (tmp_path / left_before(dead, "e.lva")).write_text("half")
    half = tmp_path / left("part", dead, "c")
    half.mkdir()
    (half / "x").write_text("half")
    with atomic_path(tmp_path / "d") as part:
        part.write_text("whole")
    assert names(tmp_path) == ["d"]


def test_what_others_are_writing_stays(tmp_path, dead):
    ours = left("part", os.getppid(), "a")
    theirs = re.sub("-[0-9a-f]{8}-", "-0123abcd-", left("part", dead, "a"))  # of another machine
    assert theirs.startswith(f".part-{dead}-0123abcd-")
    older = re.sub("-[0-9a-f]{8}~", "-0123abcd~", left_before(dead, "a"))
    kept = [ours, theirs, older, f".part-{os.getpid()}-b", ".part-x", "part-1-a", f".port-{dead}-a"]
    for name in kept:
        (tmp_path / name).write_text("mine")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted(kept)


def test_a_process_that_ended_and_waits_for_its_parent_writes_no_more(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    process.stdout.read()  # it is ending
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is not reaped
    (tmp_path / left("part", process.pid, "a")).write_text("half")
    remove_leftovers(tmp_path)
    process.communicate()
    assert names(tmp_path) == []


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("older", [False, True])
def test_a_folder_that_was_about_to_be_replaced_comes_back(tmp_path, dead, replaced, older):
    before = tmp_path / (
        left_before(dead, "f").replace(".part", ".before") if older else f"{left('before', dead, 'f')}/f"
    )
    before.mkdir(parents=True)
    (before / "old").write_text("old")
    if replaced:
        (tmp_path / "f").mkdir()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["f"] and names(tmp_path / "f") == ([] if replaced else ["old"])


def test_a_folder_that_a_living_process_is_replacing_is_left_to_it(tmp_path, dead):
    kept = [left("before", dead, "f"), left("before", os.getppid(), "f")]
    for name in kept:
        (tmp_path / name / "f").mkdir(parents=True)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [kept[1]]


@pytest.mark.parametrize("name", ["a" * 248 + ".nii.gz", "é" * 124 + ".nii.gz", "\udcff" * 248 + ".nii.gz"])
@pytest.mark.parametrize("folder", [False, True])
def test_names_as_long_as_names_may_be(tmp_path, dead, name, folder):
    for text in ("one", "two"):
        with atomic_path(tmp_path / name) as part:
            assert part.name.endswith(".nii.gz") and len(os.fsencode(part.name)) <= 255
            if folder:
                part.mkdir()
            (part / "x" if folder else part).write_text(text)
    assert names(tmp_path) == [name]
    (tmp_path / left("part", dead, name)).write_text("half")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("folder", [False, True])
def test_threads_that_write_side_by_side_break_nothing(tmp_path, folder):
    def write(number):
        with atomic_path(tmp_path / "same") as part:
            if folder:
                part.mkdir()
            for name in ("one", "two") if folder else ("",):
                (part / name).write_text(f"{number}")
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(write, range(40))) == list(range(40))
    assert names(tmp_path) == ["same"]
    files = list((tmp_path / "same").iterdir()) if folder else [tmp_path / "same"]
    assert len({file.read_text() for file in files}) == 1 and len(files) == (2 if folder else 1)


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "link.txt").symlink_to("store/there")
    for text in ("one", "two"):  # the first makes what the link points to
        with atomic_path(tmp_path / "link.txt") as part:
            assert part.parent == tmp_path / "store" and part.suffix == ".txt"
            part.write_text(text)
        assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "store" / "there").read_text() == text
    assert names(tmp_path / "store") == ["there"]
    with atomic_path(tmp_path / "link.txt", follow=False) as part:
        part.write_text("three")
    assert not (tmp_path / "link.txt").is_symlink() and (tmp_path / "store" / "there").read_text() == "two"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: os.mkfifo(path), "a FIFO"),
        (lambda path: path.symlink_to("/dev/null"), "a device"),
        (lambda path: path.symlink_to(path.name), "a link to itself"),
        (lambda path: os.mknod(path, stat.S_IFSOCK | 0o600), "a socket"),
    ],
)
def test_what_is_neither_file_nor_folder_is_not_replaced(tmp_path, monkeypatch, make, words):
    monkeypatch.chdir(tmp_path)
    make(Path("a"))
    with pytest.raises(WriteError, match=rf"^a: expected a file, a folder or a new name to write to, got {words}; "):  # noqa: SIM117
        with atomic_path(Path("a")):
            pytest.fail("nothing is to be written")
    assert names(tmp_path) == ["a"]


def test_the_standard_streams_are_no_files():
    for name in ("/dev/stdout", "/dev/fd/1", "/dev/../proc/self/fd/1"):
        with pytest.raises(WriteError, match="expected a file, a folder or a new name to write to, got a stream of"):
            destination(Path(name))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "expected room to write, got No space left on device; free"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "expected room to write, got Disk quota exceeded"),
        (OSError(errno.EIO, "Input/output error"), "expected a disk that takes what is written, got Input/output"),
        (RuntimeError("I/O error: File too large (os error 27)"), "expected room to write, got File too large"),
        (OSError("can't write (errno = 28, error message = 'No space left on device')"), "expected room to write"),
    ],
)
def test_no_room_is_said_in_one_line(tmp_path, error, words):
    with pytest.raises(WriteError) as caught, atomic_path(tmp_path / "a") as part:
        part.write_text("half")
        raise error
    assert str(caught.value).startswith(f"{tmp_path / 'a'}: {words}") and "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_no_place_and_no_right_are_said_in_one_line(tmp_path):
    with pytest.raises(WriteError, match="expected a place to write to, got No such file"):  # noqa: SIM117
        with atomic_path(tmp_path / "no" / "a") as part:
            part.write_text("x")
    with pytest.raises(WriteError, match="expected a place to write to, got File name too long"):  # noqa: SIM117
        with atomic_path(tmp_path / ("a" * 256)) as part:
            part.write_text("x")
    with pytest.raises(WriteError, match="expected the right to write, got Permission denied; change it"):  # noqa: SIM117
        with atomic_path(tmp_path / "a") as part:
            raise PermissionError(errno.EACCES, "Permission denied", str(part))


@pytest.mark.parametrize("error", [KeyError("x"), FileNotFoundError(errno.ENOENT, "No such file", "/source"),
                                   FormatError("No space left on device")])  # fmt: skip
def test_other_errors_stay_what_they_are(tmp_path, error):
    with pytest.raises(type(error)) as caught, atomic_path(tmp_path / "a"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    "write", ["part.write_bytes(bytes(9000))", "save_file({'x': torch.zeros(9000)}, part)", "h5(part)"]
)
def test_a_full_disk_in_whatever_library(tmp_path, write):
    code = f"""
import resource, torch
from pathlib import Path
from safetensors.torch import save_file
from liveaction.errors import WriteError
from liveaction.files import atomic_path
from liveaction.modalities.array.hdf5 import HDF5
def h5(part):
    HDF5().write(part, torch.zeros(9000).numpy(), {{}})
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    with atomic_path(Path("a")) as part:
        {write}
except WriteError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("a: expected room to write, got File too large;"), done.stderr
    assert names(tmp_path) == []


def test_an_error_of_the_system_is_one_line_of_the_command(monkeypatch, capsys):
    def fail():
        raise PermissionError(errno.EACCES, "Permission denied", "/runs")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    said = capsys.readouterr().err
    assert said.startswith("liveaction: /runs: expected files that can be read and written, got Permission denied;")
    assert said.count("\n") == 1


@contextmanager
def files_of_at_most(size):
    """A full disk as a process can make one for itself."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


WRITERS = {
    "music_smoke": ((3000,), ("a.wav", "a.flac", "a.w64", "a.aiff")),
    "ct_smoke": ((20, 16, 12), ("a.nii", "a.nii.gz")),
    "rgb_smoke": ((40, 60), ("a.png", "a.tif", "a.ppm")),
    "video_smoke": ((3, 24, 32), ("a.mkv", "a.y4m", "a")),
    "hyperspectral_smoke": ((8, 16, 16), ("a.hdr", "a.mat", "a.npy", "a.tif")),
    "array_smoke": ((16, 20, 24), ("a.npy", "a.npz", "a.h5", "a.zarr", "a.zarr.zip")),
}


@pytest.mark.filterwarnings("ignore::liveaction.errors.LiveactionWarning")  # of what a format does not hold
@pytest.mark.parametrize(
    ("recipe", "extents", "name"),
    [(recipe, extents, name) for recipe, (extents, names) in WRITERS.items() for name in names],
)
def test_every_writer_says_that_there_is_no_room(tmp_path, recipe, extents, name):
    if (recipe, name) == ("hyperspectral_smoke", "a.tif"):
        pytest.importorskip("rasterio", reason="rasterio is not installed: pip install -e '.[geo]'")
    modality = build_modality(load_recipe(recipe).modality)
    signal, whole = modality.synthetic(0, extents), tmp_path / "whole"
    whole.mkdir()
    modality.write(signal, whole / name)
    size = max(file.stat().st_size for file in whole.rglob("*") if file.is_file())
    (tmp_path / "b").mkdir()
    for most in (1, size // 2, size - 1):  # the last: what some libraries lose without a word
        with pytest.raises(WriteError) as caught, files_of_at_most(most):
            modality.write(signal, tmp_path / "b" / name)
        said = str(caught.value)
        assert said.endswith(": expected room to write, got File too large; free some there, or choose another place")
        assert names(tmp_path / "b") == [] and ".part-" not in said
