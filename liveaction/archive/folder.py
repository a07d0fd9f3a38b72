"""What compressing and decompressing a folder share: settings, items, what is done already, and the run itself."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import torch

from liveaction.archive.manifest import MANIFEST, Entry, History, open_manifest
from liveaction.archive.workers import Tell, Work, run_jobs
from liveaction.codec.device import choose_device
from liveaction.errors import FormatError, SpecError
from liveaction.files import file_digest, remove_leftovers, write_errors

Place = Callable[[Path, dict[str, Any]], None]
"""Is told what is about to take the target's place, and its measures for the manifest."""


@dataclass(frozen=True)
class Settings:
    """How a folder is worked on.

    ``model`` is a model directory; ``step`` or ``quality`` choose the rate, as for one signal, neither the rate trained
    with; ``jobs`` is a number of processes, among which torch's threads are shared; ``force`` makes anew what is there.
    """

    model: Path
    step: float | None = None
    quality: int | None = None
    device: str = "auto"
    dtype: str = ""
    jobs: int = 1
    force: bool = False


@dataclass(frozen=True)
class Item:
    """One thing to do: its path and its target's, what both are called in the manifest, and its files' bytes."""

    path: Path
    target: Path
    source_name: str
    target_name: str
    size: int


@dataclass(frozen=True)
class Job:
    """An item with what the manifest knows of its target, and the line that it is to get."""

    item: Item
    history: History
    wanted: Entry
    force: bool


class FolderTask:
    """Items of a folder, found and named, to be worked on in several processes; a context, which locks the target.

    Args:
        target: the folder to write into, made if missing.
        settings: the same for all items.
        make: what gives a process its work, called with model, device, dtype, digest of the weights and threads.

    Raises:
        SpecError: ``target`` is no folder or is being written to by another process; a setting is out of its range.
        FormatError: the target's manifest is none.
        WriteError: ``target`` cannot be made or written to.
    """

    items: list[Item]
    wanted: Entry

    def __init__(self, target: str | Path, settings: Settings, make: Callable[..., Work]) -> None:
        self.target, self.settings, self.make = Path(target), settings, make
        self._open = ExitStack()
        if settings.jobs < 1:
            raise SpecError(f"--jobs: expected a positive number, got {settings.jobs}")
        if self.target.exists() and not self.target.is_dir():
            raise SpecError(
                f"{self.target}: expected a folder to write into, got a file; choose another name, or one "
                "ending in .lva for one signal"
            )
        self.device = choose_device(settings.device)

    def __enter__(self) -> Self:
        with write_errors(self.target):
            self.target.mkdir(parents=True, exist_ok=True)
        self.manifest = self._open.enter_context(open_manifest(self.target))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def run(self) -> Iterator[tuple[Item, Entry]]:
        """Work, and give every item with what became of it, in the order in which they are finished.

        Raises:
            WriteError: the manifest cannot be written.
            WorkerError: processes end before they are ready for work.
        """
        self._clean()
        jobs = [self._job(item) for item in self.items]
        threads = max(1, torch.get_num_threads() // self.settings.jobs)
        arguments = self.settings.model, self.device, self.settings.dtype, self.wanted.weights, threads
        try:
            with closing(run_jobs(self.make, arguments, jobs, self.settings.jobs, self._note)) as outcomes:
                for outcome in outcomes:
                    item, entry = outcome.job.item, outcome.result
                    if entry is None:
                        entry = replace(outcome.job.wanted, status="failed", error=_named(outcome.error, item))
                        self.manifest.append(entry)
                    yield item, entry
        finally:
            self._clean()  # what stopped and killed workers left

    def _note(self, job: Job, entry: Entry) -> None:
        """A target is about to take its place: its line comes first."""
        self.manifest.append(entry)

    def _job(self, item: Item) -> Job:
        wanted = replace(self.wanted, source=item.source_name, target=item.target_name)
        return Job(item, self.manifest.history(item.target_name), wanted, self.settings.force)

    def _clean(self) -> None:
        for folder in {item.target.parent for item in self.items}:
            if folder.is_dir():
                remove_leftovers(folder)


def bring_up_to_date(
    job: Job, parts: Callable[[], list[Path]], work: Callable[[Entry, Place], None], tell: Tell
) -> Entry:
    """Skip what is done, refuse what is not ours, else work.

    Args:
        parts: gives the source's files.
        work: makes the target, and says what is about to take its place.
        tell: is told the line of the manifest, which is on the disk when it returns.

    Raises:
        SpecError: what stands there was made by none of the manifest's lines.
        FormatError: the source changes meanwhile.
    """
    began, item, newest = perf_counter(), job.item, job.history.newest
    before = _state(parts())
    done = replace(job.wanted, source_digest=digest_of(parts(), item.path))
    if item.target.exists() and not job.force:
        there = _target_digest(item.target)
        if newest is not None and newest.status == "ok" and newest.sha256 == there and newest.same_work(done):
            return replace(newest, status="skipped")
        if there not in job.history.digests:
            known = "another one" if job.history.digests else "one that it does not know"
            raise SpecError(
                f"{item.target}: expected what {MANIFEST} records, got {known}; add --force to overwrite it"
            )

    def place(made: Path, measured: dict[str, Any]) -> None:
        nonlocal done
        if _state(parts()) != before:
            raise FormatError(f"{item.path}: expected a source that stays as it is, got one that changes; try again")
        done = replace(done, **measured, sha256=_target_digest(made), seconds=perf_counter() - began)
        tell(done)

    with write_errors(item.target):
        item.target.parent.mkdir(parents=True, exist_ok=True)
    work(done, place)
    return done


def digest_of(files: list[Path], item: Path) -> str:
    """sha256 over the names, as seen from ``item``'s folder, and bytes of files; 64 hex digits."""
    digest = hashlib.sha256()
    for file in sorted(files):
        name = os.path.relpath(file, item.parent)
        digest.update(os.fsencode(name) + b"\0" + file_digest(file).encode() + b"\n")
    return digest.hexdigest()


def totals(entries: list[Entry]) -> dict[str, Any]:
    """Items done, skipped and failed, the bytes of the streams that there are, and their ratio to the signals' own."""
    there = [entry for entry in entries if entry.status != "failed"]
    size = sum(entry.bytes for entry in there)
    native = sum(entry.ratio * entry.bytes for entry in there)
    failures = [asdict(entry) for entry in entries if entry.status == "failed"]
    return {
        "items": len(entries),
        "done": sum(entry.status == "ok" for entry in entries),
        "skipped": sum(entry.status == "skipped" for entry in entries),
        "failed": len(failures),
        "bytes": size,
        "ratio": native / size if size else None,
        "failures": [{key: failure[key] for key in ("source", "error")} for failure in failures],
    }


def _target_digest(path: Path) -> str:
    """sha256 of a file; of a folder over the names and bytes of its files."""
    if not path.is_dir():
        return file_digest(path)
    files = [file for file in path.rglob("*") if file.is_file()]
    return digest_of(files, path / "x")


def _state(files: list[Path]) -> list[tuple[str, int, int]]:
    """Names, sizes and times of files."""
    stats = [(str(file), file.stat()) for file in files]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _named(error: str, item: Item) -> str:
    """An error that says which item it is of."""
    known = str(item.path) in error or str(item.target) in error
    return error if known else f"{item.path}: {error}"
