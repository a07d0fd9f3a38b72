"""A folder of signals to a folder of streams: in several processes, resumed where it was left, never half-written."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from liveaction.codec.manifest import MANIFEST, Entry, History, open_manifest
from liveaction.codec.stream import QUALITIES, compress
from liveaction.codec.weights import choose_device, load_model
from liveaction.codec.workers import Tell, Work, run_jobs
from liveaction.errors import FormatError, IntegrityError, SpecError
from liveaction.files import atomic_path, file_digest, remove_leftovers, write_errors
from liveaction.registry import build_modality
from liveaction.spec import Recipe

if TYPE_CHECKING:
    from liveaction.codec.model import Codec
    from liveaction.modalities.base import Modality

SUFFIX = ".lva"


@dataclass(frozen=True)
class Settings:
    """How a folder is compressed.

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
    """One signal to compress: its path and the stream's, what both are called in the manifest, and its files' bytes."""

    path: Path
    target: Path
    source_name: str
    target_name: str
    size: int


@dataclass(frozen=True)
class _Job:
    item: Item
    history: History
    wanted: Entry
    force: bool


class FolderCompression:
    """Everything that a folder holds, found and named, ready to be compressed; a context, which locks the target.

    Args:
        source: a folder, or whatever the model's modality finds items in.
        target: the folder to write into, made if missing. An item ``a/b.png`` becomes ``a/b.png.lva`` there.

    Raises:
        SpecError: ``target`` is no folder, lies within an item, or is being written to by another process; a setting
            is out of its range.
        FormatError: nothing readable is in ``source``, ``model`` is no model, or the target's manifest is none.
        WriteError: ``target`` cannot be made or written to.
    """

    def __init__(self, source: str | Path, target: str | Path, settings: Settings) -> None:
        import torch

        if settings.jobs < 1:
            raise SpecError(f"--jobs: expected a positive number, got {settings.jobs}")
        self.source, self.target, self.settings = Path(source), Path(target), settings
        self._open = ExitStack()
        if self.target.exists() and not self.target.is_dir():
            raise SpecError(
                f"{self.target}: expected a folder, or a name ending in {SUFFIX} for one signal, got a file; "
                "choose another name"
            )
        self.device = choose_device(settings.device)
        codec, recipe, digest = load_model(settings.model, dtype=settings.dtype)
        step = settings.step or codec.quantizer.step * QUALITIES[settings.quality or 4]
        dtype = str(codec.compute_dtype).removeprefix("torch.")
        self.wanted = Entry("", "", "ok", weights=digest, step=float(step), dtype=dtype)
        self.threads = max(1, torch.get_num_threads() // settings.jobs)
        self.items = find_items(build_modality(recipe.modality), self.source, self.target)

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
        """Compress, and give every item with what became of it, in the order in which they are finished.

        Raises:
            WriteError: the manifest cannot be written.
            WorkerError: processes end before they are ready for work.
        """
        self._clean()
        jobs = [self._job(item) for item in self.items]
        arguments = self.settings.model, self.device, self.settings.dtype, self.wanted.weights, self.threads
        try:
            with closing(run_jobs(_compressor, arguments, jobs, self.settings.jobs, self._note)) as outcomes:
                for outcome in outcomes:
                    item, entry = outcome.job.item, outcome.result
                    if entry is None:
                        entry = replace(outcome.job.wanted, status="failed", error=_named(outcome.error, item))
                        self.manifest.append(entry)
                    yield item, entry
        finally:
            self._clean()  # what stopped and killed workers left

    def _note(self, job: _Job, entry: Entry) -> None:
        """A stream is about to take its place: its line comes first."""
        self.manifest.append(entry)

    def _job(self, item: Item) -> _Job:
        wanted = replace(self.wanted, source=item.source_name, target=item.target_name)
        return _Job(item, self.manifest.history(item.target_name), wanted, self.settings.force)

    def _clean(self) -> None:
        for folder in {item.target.parent for item in self.items}:
            if folder.is_dir():
                remove_leftovers(folder)


def find_items(modality: "Modality", source: Path, target: Path) -> list[Item]:
    """What ``source`` holds, and where it goes below ``target``.

    Raises:
        FormatError: nothing readable is there.
        SpecError: ``target`` lies within an item, whose files would then never stay the same.
    """
    items = []
    for path in modality.find(source):
        name = path.relative_to(source) if path.is_relative_to(source) else Path(path.name)
        if name == Path():
            name = Path(source.name if source.name not in ("", "..") else source.resolve().name)
        if path.is_dir() and target.resolve().is_relative_to(path.resolve()):
            raise SpecError(f"{target}: expected a folder outside of what is compressed, got one in {str(path)!r}")
        goal = name.with_name(name.name + SUFFIX)
        size = sum(file.stat().st_size for file in modality.parts(path) if file.is_file())
        items.append(Item(path, target / goal, name.as_posix(), goal.as_posix(), size))
    return items


def source_digest(modality: "Modality", path: Path) -> str:
    """sha256 over the names and bytes of an item's files; 64 hex digits."""
    digest = hashlib.sha256()
    for file in sorted(modality.parts(path)):
        name = os.path.relpath(file, path.parent)
        digest.update(os.fsencode(name) + b"\0" + file_digest(file).encode() + b"\n")
    return digest.hexdigest()


def _compressor(model: Path, device: str, dtype: str, weights: str, threads: int) -> Work:
    """What a worker does, with the model loaded once."""
    import torch

    torch.set_num_threads(threads)
    codec, recipe, digest = load_model(model, device, dtype)
    if digest != weights:
        raise IntegrityError(f"{model}: expected weights {weights[:12]}, got {digest[:12]}; do not train into it now")
    modality = build_modality(recipe.modality)

    def work(job: _Job, tell: Tell) -> Entry:
        return _bring_up_to_date(job, modality, codec, recipe, tell)

    return work


def _bring_up_to_date(job: _Job, modality: "Modality", codec: "Codec", recipe: Recipe, tell: Tell) -> Entry:
    """Skip what is done, refuse what is not ours, else compress."""
    began, item, newest = perf_counter(), job.item, job.history.newest
    before = _state(modality, item.path)
    wanted = replace(job.wanted, source_digest=source_digest(modality, item.path))
    if item.target.exists() and not job.force:
        there = file_digest(item.target)
        if newest is not None and newest.status == "ok" and newest.sha256 == there and newest.same_work(wanted):
            return replace(newest, status="skipped")
        if there not in job.history.digests:
            known = "another one" if job.history.digests else "one that it does not know"
            raise SpecError(
                f"{item.target}: expected the stream that {MANIFEST} records, got {known}; add --force to overwrite it"
            )
    done = wanted

    def placing(measured: dict[str, Any]) -> None:
        nonlocal done
        if _state(modality, item.path) != before:
            raise FormatError(f"{item.path}: expected a source that stays as it is, got one that changes; try again")
        done = replace(wanted, **measured, seconds=perf_counter() - began)
        tell(done)

    with write_errors(item.target):
        item.target.parent.mkdir(parents=True, exist_ok=True)
    _compress_item(modality, codec, recipe, wanted, item, placing)
    return done


def _compress_item(
    modality: "Modality", codec: "Codec", recipe: Recipe, wanted: Entry, item: Item, placing: Tell
) -> None:
    """Read, compress and write one item; ``placing`` is told what is about to take the target's place."""
    signal = modality.read(item.path)
    data, _ = compress(signal, codec, recipe, wanted.weights, wanted.step)
    with atomic_path(item.target) as part:
        part.write_bytes(data)
        size = part.stat().st_size
        placing(
            {
                "bytes": size,
                "ratio": signal.native_bits / (8 * size),
                "bits_per_element": 8 * size / signal.values.size,
                "sha256": file_digest(part),
            }
        )


def _state(modality: "Modality", path: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of an item's files."""
    stats = [(str(file), file.stat()) for file in modality.parts(path)]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _named(error: str, item: Item) -> str:
    """An error that says which item it is of."""
    known = str(item.path) in error or str(item.target) in error
    return error if known else f"{item.path}: {error}"


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
