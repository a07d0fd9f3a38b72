"""Work spread over processes of which any may die: what it was working on has failed, the others go on."""

import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, Protocol

from liveaction.errors import LiveactionError, WorkerError, memory_line, warning_line
from liveaction.stopping import held_signals, ignore_signals

Tell = Callable[[Any], None]
"""What a worker tells the main process in the middle of a job; it returns when that has been taken note of."""


class Task(Protocol):
    """What processes do; it is pickled to get there."""

    def prepare(self) -> None:
        """Make ready; called once in every process."""

    def work(self, job: Any, tell: Tell) -> Any:
        """Do a job, and give its result."""


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    job: Any = None
    ready: bool = False
    warned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """A job's result, or why it has none; and what was warned of meanwhile."""

    job: Any
    result: Any = None
    error: str = ""
    warned: tuple[str, ...] = ()


def run_jobs(
    task: Task, jobs: Iterable[Any], count: int, told: Callable[[Any, Any], None]
) -> Generator[Outcome, None, None]:
    """Do jobs in ``count`` processes and give their outcomes as they come.

    Args:
        task: its class is importable by name.
        told: is called here with a job and what its worker tells; the worker waits for it.

    Raises:
        WorkerError: processes end before they are ready for work.
        LiveactionError: the task cannot be prepared.
    """
    pool = _Pool(task, deque(jobs), told)
    try:
        pool.start(count)
        yield from pool.run()
    finally:
        pool.stop()


class _Pool:
    def __init__(self, task: Task, jobs: deque[Any], told: Callable[[Any, Any], None]) -> None:
        self.task, self.waiting, self.told = task, jobs, told
        self.workers: list[_Worker] = []

    def start(self, count: int) -> None:
        """Start ``count`` processes, or as many as there are jobs."""
        for _ in range(min(count, len(self.waiting))):
            self._start()

    def run(self) -> Iterator[Outcome]:
        while self.workers:
            ready = wait([worker.connection for worker in self.workers])
            for worker in [worker for worker in self.workers if worker.connection in ready]:
                try:
                    kind, value = worker.connection.recv()
                except (EOFError, OSError):
                    yield from self._died(worker)
                    continue
                if kind == "told":
                    self.told(worker.job, value)
                    self._send(worker, None)
                    continue
                if kind == "warned":
                    worker.warned = value
                    continue
                if kind == "broken":
                    raise LiveactionError(value)
                if kind != "ready":
                    yield Outcome(worker.job, **{kind: value}, warned=worker.warned)
                worker.ready, worker.warned = True, ()
                self._next(worker)

    def stop(self) -> None:
        """End all processes at once; what they leave half-written is cleared away by who began."""
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.join()
            worker.connection.close()
        self.workers = []

    def _start(self) -> None:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.task), daemon=True)
        with held_signals():
            resource_tracker.ensure_running()  # here, as it unblocks signals in who starts it
        with held_signals(), _without_main():
            process.start()
            theirs.close()
            self.workers.append(_Worker(process, ours))

    def _next(self, worker: _Worker) -> None:
        """Give a worker its next job, or leave to end."""
        worker.job = self.waiting.popleft() if self.waiting else None
        self._send(worker, worker.job)

    def _send(self, worker: _Worker, message: Any) -> None:
        with suppress(OSError):  # it died: the next reading says so
            worker.connection.send(message)

    def _died(self, worker: _Worker) -> Iterator[Outcome]:
        """A process is gone: as it should where nothing is left to do, else with its job."""
        worker.process.join()
        self.workers.remove(worker)
        worker.connection.close()
        code = worker.process.exitcode or 0
        if worker.job is None and worker.ready and code == 0:
            return
        how = f"killed by {_signal_name(-code)}" if code < 0 else f"that ended with status {code}"
        what = f"expected a process that finishes, got one {how}"
        if not worker.ready:
            raise WorkerError(f"--jobs: {what} before it could work; is memory short? take fewer --jobs")
        if worker.job is not None:
            yield Outcome(worker.job, error=f"{what}; is memory short? take fewer --jobs")
        if self.waiting:
            self._start()


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep new processes from running the main script anew: they need nothing of it, and it may have no guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _serve(connection: Connection, task: Task) -> None:
    """Work until told to end; end at once where the main process is gone. Signals are for that one to handle."""
    ignore_signals()
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tell(value: Any) -> None:
        connection.send(("told", value))
        connection.recv()

    try:
        with warnings.catch_warnings(record=True):  # the main process has loaded the same, and told of it
            task.prepare()
    except Exception as error:
        connection.send(("broken", one_line(error)))
        return
    connection.send(("ready", None))
    while (job := connection.recv()) is not None:
        with warnings.catch_warnings(record=True) as said:
            try:
                kind, value = "result", task.work(job, tell)
            except Exception as error:
                kind, value = "error", one_line(error)
        if said:
            lines = dict.fromkeys(warning_line(warning.message, warning.category) for warning in said)
            connection.send(("warned", tuple(lines)))
        connection.send((kind, value))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def one_line(error: Exception) -> str:
    """An error in one line; one that nobody foresaw with its kind."""
    text = " ".join(str(error).split())
    if isinstance(error, LiveactionError):
        return text
    memory = memory_line(error)
    if memory is not None:
        return memory
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: expected to read it, got {error.strerror}"
    return f"expected no {type(error).__name__}, got {text or 'one'}"
