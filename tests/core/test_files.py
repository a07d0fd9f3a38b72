"""Files appear whole or not at all; what dead processes left goes; what cannot be written is said in one line."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from liveaction.cli import main as cli
from liveaction.errors import FormatError, WriteError
from liveaction.files import atomic_path, remove_leftovers, temporary_path


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left(kind, pid, name):
    """The name under which process ``pid`` of this machine writes ``name``."""
    return temporary_path(Path(name), kind).name.replace(f"-{os.getpid()}-", f"-{pid}-")


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
    (tmp_path / left("part", dead, "c")).mkdir()
    (tmp_path / left("part", dead, "c") / "x").write_text("half")
    with atomic_path(tmp_path / "d") as part:
        part.write_text("whole")
    assert names(tmp_path) == ["d"]


def test_what_others_are_writing_stays(tmp_path, dead):
    ours = left("part", os.getppid(), "a")
    theirs = re.sub("-[0-9a-f]{8}~", "-0123abcd~", left("part", dead, "a"))  # of another machine
    assert theirs != left("part", dead, "a")
    kept = [ours, theirs, f".part-{os.getpid()}-b", ".part-x", "part-1-a", f".port-{dead}-a"]
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
def test_a_folder_that_was_about_to_be_replaced_comes_back(tmp_path, dead, replaced):
    before = tmp_path / left("before", dead, "f")
    before.mkdir()
    (before / "old").write_text("old")
    if replaced:
        (tmp_path / "f").mkdir()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["f"] and names(tmp_path / "f") == ([] if replaced else ["old"])


def test_a_folder_that_a_living_process_is_replacing_is_left_to_it(tmp_path, dead):
    kept = [left("before", dead, "f"), left("before", os.getppid(), "f")]
    for name in kept:
        (tmp_path / name).mkdir()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [kept[1]]


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
        with atomic_path(tmp_path / ("a" * 250)) as part:
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
