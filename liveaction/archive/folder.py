"""What compressing and decompressing a folder share: settings, the run itself, and its totals."""

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import torch

from liveaction.archive.item import ArchiveItem, ArchiveTask, Job
from liveaction.archive.manifest import Entry, open_manifest
from liveaction.archive.workers import run_jobs
from liveaction.codec.device import choose_device
from liveaction.codec.target import Target, TargetOptions
from liveaction.codec.writing import CompressOptions
from liveaction.errors import LiveactionWarning, SpecError
from liveaction.files import remove_leftovers, write_errors
from liveaction.outputs import check_folder

ALIKE = 3
"""Items whose warning in the same words is said; of the others, how many there were."""


@dataclass(frozen=True)
class Settings:
    """How a folder is worked on.

    ``model`` is a model directory; ``step`` or ``quality`` choose the rate, as for one signal, neither the rate trained
    with; ``jobs`` is a number of processes, among which torch's threads are shared; ``force`` makes anew what is there;
    ``strip_metadata`` keeps metadata of geometry, type and unit alone; ``fast`` does not weigh what symbols cost;
    ``coder`` is that of symbols, by default as :class:`~liveaction.codec.writing.CompressOptions` says; ``goal`` is
    what every item is to reach, instead of a rate; ``max_error`` bounds the error of every value.
    """

    model: Path
    step: float | None = None
    quality: int | None = None
    device: str = "auto"
    dtype: str = ""
    jobs: int = 1
    force: bool = False
    strip_metadata: bool = False
    fast: bool = False
    coder: str | None = None
    goal: Target | None = None
    max_error: float | None = None

    @property
    def goal_options(self) -> TargetOptions:
        """The goal as options of compressing; none where there is none."""
        return {} if self.goal is None else self.goal.options()

    @property
    def options(self) -> CompressOptions:
        """Those of compressing, by name."""
        names = ("quality", "step", "strip_metadata", "max_error", "fast", "coder")
        return cast("CompressOptions", {name: getattr(self, name) for name in names} | self.goal_options)


class FolderTask:
    """Items of a folder, found and named, to be worked on in several processes; a context, which locks the target.

    Args:
        source: what is read.
        target: the folder to write into, made if missing.
        settings: the same for all items.

    Attributes:
        items: what there is to do.
        task: what is done with each of them.
        wanted: what is the same in all lines of the manifest.

    Raises:
        SpecError: ``target`` is no folder, is the source, or is being written to by another process; a setting is out
            of its range.
        FormatError: the target's manifest is none.
        WriteError: ``target`` cannot be made or written to.
    """

    items: list[ArchiveItem]
    task: ArchiveTask
    wanted: Entry

    def __init__(self, source: str | Path, target: str | Path, settings: Settings) -> None:
        self.target, self.settings = Path(target), settings
        self._open = ExitStack()
        if settings.jobs < 1:
            raise SpecError(f"--jobs: expected a positive number, got {settings.jobs}")
        if self.target.exists() and not self.target.is_dir():
            raise SpecError(
                f"{self.target}: expected a folder to write into, got a file; choose another name, or one "
                "ending in .lva for one signal"
            )
        check_folder(str(self.target), self.target, {"SOURCE": Path(source)})
        if self.target.name == "-":
            raise SpecError(f"{self.target}: expected the name of a folder, got '-'; what is written has a place")
        self.device = choose_device(settings.device)
        self.threads = max(1, torch.get_num_threads() // settings.jobs)

    def __enter__(self) -> Self:
        with write_errors(self.target):
            self.target.mkdir(parents=True, exist_ok=True)
        self.manifest = self._open.enter_context(open_manifest(self.target))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def run(self) -> Iterator[tuple[ArchiveItem, Entry]]:
        """Work, and give every item with what became of it, in the order in which they are finished.

        What items warn of is warned of here, with the item's name.

        Raises:
            WriteError: the manifest cannot be written.
            WorkerError: processes end before they are ready for work.
        """
        self._clean()
        jobs, warned = [self._job(item) for item in self.items], Counter[str]()
        try:
            with closing(run_jobs(self.task, jobs, self.settings.jobs, self._note)) as outcomes:
                for outcome in outcomes:
                    item, entry = outcome.job.item, outcome.result
                    for line in outcome.warned:
                        _warn(line, item, warned)
                    if entry is None:
                        entry = replace(outcome.job.wanted, status="failed", error=_named(outcome.error, item))
                        self.manifest.append(entry)
                    yield item, entry
            for words, count in warned.items():
                if count > ALIKE:
                    text = f"{self.target}: {count - ALIKE} more items with the same warning: {words}"
                    warnings.warn(text, LiveactionWarning, stacklevel=2)
        finally:
            self._clean()  # what stopped and killed workers left

    def _note(self, job: Job, entry: Entry) -> None:
        """A target is about to take its place: its line comes first."""
        self.manifest.append(entry)

    def _job(self, item: ArchiveItem) -> Job:
        wanted = replace(self.wanted, source=item.source_name, target=item.target_name)
        return Job(item, self.manifest.history(item.target_name), wanted, self.settings.force)

    def _clean(self) -> None:
        for folder in {item.target.parent for item in self.items}:
            if folder.is_dir():
                remove_leftovers(folder)


def _warn(line: str, item: ArchiveItem, warned: Counter[str]) -> None:
    """Say what an item warned of, unless enough others did so in the same words."""
    words = line
    for name in (str(item.target), str(item.path), item.target.name, item.path.name):
        words = words.replace(name, "...")
    warned[words] += 1
    if warned[words] <= ALIKE:
        warnings.warn(_named(line, item), LiveactionWarning, stacklevel=3)


def totals(entries: list[Entry]) -> dict[str, Any]:
    """Items done, skipped and failed, the bytes of the streams that there are, and their ratio to the signals' own.

    Where values were clipped or missing, also the share of them.
    """
    there = [entry for entry in entries if entry.status != "failed"]
    size = sum(entry.bytes for entry in there)
    native = sum(entry.ratio * entry.bytes for entry in there)
    counts = [8 * entry.bytes / entry.bits_per_element if entry.bits_per_element else 0.0 for entry in there]
    shares = {
        key: sum(count * getattr(entry, key) for count, entry in zip(counts, there, strict=True)) / (sum(counts) or 1.0)
        for key in ("clipped_share", "missing_share")
    }
    failures = [asdict(entry) for entry in entries if entry.status == "failed"]
    return {
        "items": len(entries),
        "done": sum(entry.status == "ok" for entry in entries),
        "skipped": sum(entry.status == "skipped" for entry in entries),
        "failed": len(failures),
        "bytes": size,
        "ratio": native / size if size else None,
        **{key: share for key, share in shares.items() if share},
        "failures": [{key: failure[key] for key in ("source", "error")} for failure in failures],
    }


def _named(error: str, item: ArchiveItem) -> str:
    """An error that says which item it is of."""
    known = str(item.path) in error or str(item.target) in error
    return error if known else f"{item.path}: {error}"
