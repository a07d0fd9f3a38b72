"""One item of a folder, and the one place where it is skipped, refused, or made, noted and put in its place."""

import hashlib
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from liveaction.archive.manifest import MANIFEST, Entry, History
from liveaction.archive.workers import Tell
from liveaction.errors import FormatError, SpecError
from liveaction.files import atomic_path, file_digest, write_errors
from liveaction.signal import Signal


@dataclass(frozen=True)
class ArchiveItem:
    """One thing to do: its path and its target's, what both are called in the manifest, and its files' bytes."""

    path: Path
    target: Path
    source_name: str
    target_name: str
    size: int


@dataclass(frozen=True)
class Job:
    """An item with what the manifest knows of its target, and the line that it is to get."""

    item: ArchiveItem
    history: History
    wanted: Entry
    force: bool


class ArchiveTask(ABC):
    """What is done with every item of a folder: it reads and makes, all else is :meth:`work`'s. Can be pickled."""

    @abstractmethod
    def prepare(self) -> None:
        """Load what takes long; called once in each process."""

    @abstractmethod
    def parts(self, item: ArchiveItem) -> list[Path]:
        """The files of the source."""

    @abstractmethod
    def read(self, item: ArchiveItem) -> Signal:
        """The signal that the source holds."""

    @abstractmethod
    def make(self, item: ArchiveItem, signal: Signal, part: Path) -> dict[str, Any]:
        """Make the target at the temporary path ``part``, whose suffixes are the target's.

        Returns:
            Its measures, fields of :class:`~liveaction.archive.manifest.Entry`.
        """

    def work(self, job: Job, tell: Tell) -> Entry:
        """Skip what is done, refuse what is not ours, else make it; its line is on the disk before it has its name.

        Args:
            tell: is told the line of the manifest, which is on the disk when it returns.

        Raises:
            SpecError: what stands there was made by none of the manifest's lines.
            FormatError: the source changes meanwhile.
            WriteError: the target cannot be written.
        """
        began, item = perf_counter(), job.item
        before = _state(self.parts(item))
        done = replace(job.wanted, source_digest=digest_of(self.parts(item), item.path))
        if item.target.exists() and not job.force and (newest := _standing(job, done)) is not None:
            return replace(newest, status="skipped")
        with write_errors(item.target):
            item.target.parent.mkdir(parents=True, exist_ok=True)
        signal = self.read(item)
        with atomic_path(item.target, follow=False) as part:
            measures = self.make(item, signal, part)
            if _state(self.parts(item)) != before:
                raise FormatError(
                    f"{item.path}: expected a source that stays as it is, got one that changes; try again"
                )
            done = replace(done, **measures, sha256=_target_digest(part), seconds=perf_counter() - began)
            tell(done)
        return done


def _standing(job: Job, done: Entry) -> Entry | None:
    """The line of the target that stands there, where it is up to date; None where it is ours and outdated.

    Raises:
        SpecError: it is not ours.
    """
    there, newest = _target_digest(job.item.target), job.history.newest
    if newest is not None and newest.status == "ok" and newest.sha256 == there and newest.same_work(done):
        return newest
    if there not in job.history.digests:
        known = "another one" if job.history.digests else "one that it does not know"
        raise SpecError(
            f"{job.item.target}: expected what {MANIFEST} records, got {known}; add --force to overwrite it"
        )
    return None


def digest_of(files: list[Path], item: Path) -> str:
    """sha256 over the names, as seen from ``item``'s folder, and bytes of files; 64 hex digits."""
    digest = hashlib.sha256()
    for file in sorted(files):
        name = os.path.relpath(file, item.parent)
        digest.update(os.fsencode(name) + b"\0" + file_digest(file).encode() + b"\n")
    return digest.hexdigest()


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
