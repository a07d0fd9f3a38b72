"""Signals that ask to stop: one line, a status of their own, processes ended with the one that began them."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from liveaction.cli import main as command
from liveaction.stopping import SIGNALS, Stopped, held_signals, raise_stopped, stop_signals


@pytest.fixture(autouse=True)
def restored():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_a_command_in_one_line(monkeypatch, capsys, number):
    monkeypatch.setattr(command, "app", lambda: os.kill(os.getpid(), number))
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 128 + number
    assert capsys.readouterr().err == f"liveaction: stopped by {number.name}\n"
    assert all(signal.getsignal(each) is signal.SIG_DFL for each in SIGNALS)  # another one ends the process


def test_the_first_signal_is_told_and_the_second_does_what_it_did_before():
    told, before = [], []
    signal.signal(signal.SIGUSR1, lambda number, frame: before.append(number))
    with stop_signals(told.append):
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert told == [signal.SIGUSR1] and before == [signal.SIGUSR1] * 2


def test_what_was_ignored_stays_ignored_and_handlers_come_back():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    before = [signal.getsignal(number) for number in SIGNALS]
    told = []
    with stop_signals(told.append):
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert told == [] and before == [signal.getsignal(number) for number in SIGNALS]


def test_another_thread_leaves_signals_as_they_are():
    found = []

    def work():
        with stop_signals(found.append), held_signals():
            found.append([signal.getsignal(number) for number in SIGNALS])

    before = [signal.getsignal(number) for number in SIGNALS]
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]


def test_signals_wait_for_the_end_of_what_holds_them():
    done = []
    with pytest.raises(Stopped, match="stopped by SIGTERM"), stop_signals(raise_stopped), held_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("held")
    assert done == ["held"]


TASK = """
import time
class Slow:
    def prepare(self):
        time.sleep(60)
    def work(self, job, tell):
        return job
"""
PROGRAM = """
import sys
from liveaction.archive.workers import run_jobs
from liveaction.stopping import Stopped, raise_stopped, stop_signals
from slow_task import Slow
try:
    with stop_signals(raise_stopped):
        list(run_jobs(Slow(), range(4), 2, lambda job, told: None))
except Stopped as stopped:
    sys.exit(128 + stopped.number)
"""


@pytest.mark.parametrize(("number", "children"), [(signal.SIGTERM, 1), (signal.SIGINT, 3)])
def test_a_signal_while_processes_start_ends_them_all(tmp_path, number, children):
    """It goes to the whole group, as schedulers and terminals send it: to the first child, and to all with workers."""
    (tmp_path / "slow_task.py").write_text(TASK)
    (tmp_path / "program.py").write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py")],
        stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    watched, deadline = psutil.Process(process.pid), time.monotonic() + 60
    while len(family := watched.children()) < children and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (128 + number, "")
    psutil.wait_procs(family, timeout=10)
    assert not [child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
