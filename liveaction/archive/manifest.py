"""What was made of which source, and how: ``manifest.jsonl`` beside the streams of a folder, one JSON object per line.

A line is on the disk before its stream takes its place. So whatever stands under a target's name is either what one of
its lines records, or not ours to overwrite.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from liveaction.errors import FormatError
from liveaction.files import write_errors
from liveaction.locking import locked

MANIFEST = "manifest.jsonl"
WRITTEN = ("ok", "failed")


@dataclass(frozen=True)
class Entry:
    """One item: where it came from, what it became, with which settings; ``error`` says why it failed.

    ``source_digest`` is over the names and bytes of the item's files, ``sha256`` over the target's bytes, ``weights``
    and ``tables`` the model's digests; ``missing_share`` of the source's values stands for no data,
    ``clipped_share`` of the others lies outside the range. ``goal`` is a target, such as ``psnr 45``, or a bound, such
    as ``max_error 0``; ``step`` is then what was found for it, ``reached`` what it came to, in so many ``trials``.
    ``status`` is ``ok`` or ``failed``;
    ``skipped`` is told, never written.
    """

    source: str
    target: str
    status: str
    source_digest: str = ""
    sha256: str = ""
    bytes: int = 0
    ratio: float = 0.0
    bits_per_element: float = 0.0
    clipped_share: float = 0.0
    missing_share: float = 0.0
    seconds: float = 0.0
    weights: str = ""
    tables: str = ""
    step: float = 0.0
    goal: str = ""
    reached: float = 0.0
    trials: int = 0
    dtype: str = ""
    stripped: bool = False
    fast: bool = False
    error: str = ""

    def same_work(self, other: "Entry") -> bool:
        """Whether both are of the same source with the same settings."""
        rate = "goal" if self.goal else "step"
        keys = ("source_digest", "weights", "tables", "goal", rate, "dtype", "stripped", "fast")
        return all(getattr(self, key) == getattr(other, key) for key in keys)


@dataclass(frozen=True)
class History:
    """What a manifest knows of one target: its newest line, and every sha256 that was ever its own."""

    newest: Entry | None = None
    digests: frozenset[str] = frozenset()


class Manifest:
    """An open manifest, written by one process at a time; :func:`open_manifest` gives it."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path, self.handle = path, handle
        self.known: dict[str, History] = {}
        data, self.size = _whole_lines(path.read_bytes())
        for number, line in enumerate(data, 1):
            self._remember(_parse(line, f"{path}:{number}"))
        with write_errors(path):
            os.ftruncate(handle, self.size)

    def history(self, target: str) -> History:
        """What is known of a target."""
        return self.known.get(target, History())

    def append(self, entry: Entry) -> None:
        """Add a line; it is on the disk when this returns.

        Raises:
            WriteError: it cannot be; the manifest ends with the line before.
        """
        line = json.dumps(asdict(entry)).encode() + b"\n"
        with write_errors(self.path):
            try:
                written = 0
                while written < len(line):
                    written += os.pwrite(self.handle, line[written:], self.size + written)
                os.fsync(self.handle)
            except OSError:
                os.ftruncate(self.handle, self.size)
                raise
        self.size += len(line)
        self._remember(entry)

    def _remember(self, entry: Entry) -> None:
        before = self.history(entry.target).digests
        self.known[entry.target] = History(entry, before | {entry.sha256} if entry.status == "ok" else before)


@contextmanager
def open_manifest(folder: Path) -> Iterator[Manifest]:
    """The manifest of a folder, made if missing; the rest of a line that a killed process left is cut off.

    Raises:
        FormatError: the file of that name is no manifest.
        SpecError: another process is writing into this folder.
        WriteError: no room, or no right.
    """
    path = folder / MANIFEST
    with locked(path) as handle:
        yield Manifest(path, handle)


def _whole_lines(data: bytes) -> tuple[list[bytes], int]:
    """The lines that end, and how many bytes they take."""
    size = data.rfind(b"\n") + 1
    return data[:size].splitlines(), size


def _parse(line: bytes, where: str) -> Entry:
    kinds = {field.name: field.type for field in fields(Entry)}
    try:
        found = json.loads(line)
        right = {key: found[key] for key in kinds.keys() & found.keys()}
        entry = Entry(**{key: kinds[key](value) for key, value in right.items()})  # type: ignore[operator]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(
            f"{where}: expected a line of liveaction's manifest, got {line[:40]!r}; choose another folder, or move "
            "that file away"
        ) from error
    if entry.status not in WRITTEN:
        raise FormatError(f"{where}: expected status ok or failed, got {entry.status!r}; move that file away")
    return entry
