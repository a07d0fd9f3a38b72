"""An evaluation from beginning to end: models made, every codec measured on every signal, all of it kept in a folder.

OUT/models/CODEC_FOLD       models that a protocol trains, and OUT/data/ parts of files that they learn from
OUT/items/CODEC/SOURCE/     one JSON file per setting: what is there is not measured again
OUT/judged/SOURCE.json      what a judge says of the original, and of an eighth of its resolution
OUT/exhibits/               what the report shows; of a judge's items, which are many, those of the first eight
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from liveaction.errors import FormatError, LiveactionError, SpecError, printable
from liveaction.evaluation.coders import Coder, Refusal
from liveaction.evaluation.exhibits import folder_of_item, folder_of_source, save_exhibits
from liveaction.evaluation.item import Measurement, Reference, Source
from liveaction.evaluation.judges.judging import Judging
from liveaction.evaluation.measuring import measure
from liveaction.evaluation.protocol import TimingRules
from liveaction.evaluation.sources import Subject
from liveaction.files import atomic_path
from liveaction.outputs import check_folder
from liveaction.profiling.circumstances import circumstances
from liveaction.signal import Signal

EXHIBITS = "exhibits"

SHOWN = 8
"""Signals of an evaluation with a judge that a report shows one by one; figures are of all."""

_OF_CODER = ("curve", "codec", "seed", "weights", "library", "device", "dtype")

Count = Callable[[int, int, str], None]
"""Is told how many of how many measurements are done, and which is at hand."""


@dataclass(frozen=True)
class Settings:
    """How codecs are measured: their threads, how times are taken, where our models run."""

    timing: TimingRules
    threads: int = 1
    device: str = "cpu"
    dtype: str = ""


@dataclass(frozen=True)
class Outcome:
    """All items, what could not be measured, and what a judge said of the originals."""

    items: list[Measurement]
    refusals: list[Refusal]
    references: list[Reference] = field(default_factory=list)

    def add(self, found: Measurement | Refusal | Reference) -> None:
        """To its kind."""
        if isinstance(found, Measurement):
            self.items.append(found)
        elif isinstance(found, Reference):
            self.references.append(found)
        else:
            self.refusals.append(found)


def evaluate(
    coders: Sequence[Coder],
    subjects: Sequence[Subject],
    out: Path,
    settings: Settings,
    count: Count = lambda done, total, text: None,
    judging: Judging | None = None,
) -> Outcome:
    """Measure every codec on every signal, signal by signal; what lies in ``out`` already is taken from there.

    With a judge every signal is judged as it is, at an eighth of its resolution, and as every codec decoded it.
    A codec that fails on a signal does not stop the others, nor does a signal that cannot be read; the outcome names
    them.

    Raises:
        SpecError: two codecs have one name, or map a signal onto another range; ``out`` lies in a signal.
    """
    by_subject = [[coder for coder in coders if coder.only is None or s.label in coder.only] for s in subjects]
    for chosen in by_subject or [list(coders)]:
        _check_names(chosen)
    check_folder("--out", out, {}, [subject.path for subject in subjects])
    total = sum(len(coder.values) for chosen in by_subject for coder in chosen)
    outcome, done = Outcome([], []), 0
    with _threads(settings.threads):
        told = circumstances()
        for number, (subject, chosen) in enumerate(zip(subjects, by_subject, strict=True)):
            shown = judging is None or number < SHOWN
            read, bench = _Reader(subject, out, shown), _Bench(judging, subject, out, settings.threads)
            for coder in chosen:
                count(done, total, f"{coder.codec} on {subject.label}")
                try:
                    signal, source = read(coder)
                except _UnreadableError as error:
                    outcome.add(Refusal(coder.codec, subject.label, str(error), failed=True))
                    done += len(coder.values)
                    continue
                for told_first in bench.first(coder, signal, source):
                    outcome.add(told_first)
                for found in _Run(coder, subject, out, settings, told, bench, shown).all(signal, source):
                    outcome.add(found)
                    done += 1
                    count(done, total, f"{coder.codec} on {subject.label}")
    count(total, total, "")
    return outcome


class _UnreadableError(Exception):
    """A signal that cannot be read, and why."""


class _Reader:
    """A signal as each modality reads it; the last one read is kept. Exhibits of the first are the original's."""

    def __init__(self, subject: Subject, out: Path, shown: bool) -> None:
        self.subject, self.out, self.shown = subject, out, shown
        self.known: tuple[object, Signal, Source] | None = None

    def __call__(self, coder: Coder) -> tuple[Signal, Source]:
        modality, before = coder.modality, self.known
        if before is not None and before[0] == modality.spec:
            return before[1:]
        try:
            signal = self.subject.read(modality)
            source = self.subject.source(modality, signal)
        except (FormatError, OSError) as error:
            raise _UnreadableError(printable(error)) from error
        self.known = modality.spec, signal, source if before is None else before[2]
        if before is None and self.shown:
            save_exhibits(modality.exhibits(signal, signal), folder_of_source(self.out / EXHIBITS, source))
        elif before is not None and not source.holds_as(before[2]):
            raise SpecError(
                f"{coder.codec}: expected a recipe that reads {self.subject.label} as the codecs before it, with axes "
                f"{before[2].axes}, shape {before[2].shape} and range {before[2].limits}, got {source.axes}, "
                f"{source.shape} and {source.limits}; set modality.axes and modality.range"
            )
        return signal, self.known[2]


class _Bench:
    """The judge before one signal, if there is one."""

    def __init__(self, judging: Judging | None, subject: Subject, out: Path, threads: int) -> None:
        self.judging, self.subject, self.out, self.threads = judging, subject, out, threads
        self.reference: Reference | None = None

    def first(self, coder: Coder, signal: Signal, source: Source) -> Iterator[Reference | Refusal]:
        """What the judge says of the signal itself, once; or why it says nothing of it."""
        judging, self.judging = self.judging, None
        if judging is None:
            return
        reason = judging.refuses(signal, coder.modality.spec.name)
        if reason is not None:
            yield Refusal(judging.judge.name, self.subject.label, reason, failed=False)
            return
        try:
            self.reference = judging.reference(self.subject, signal, source, coder.modality, self.out, self.threads)
        except _FAILURES as error:
            yield Refusal(judging.judge.name, self.subject.label, _reason(error), failed=True)
            return
        self.judge = judging
        yield self.reference

    def judged(self, item: Measurement, back: Signal) -> Measurement:
        """The item with the verdict on what was decoded."""
        if self.reference is None:
            return item
        verdict = self.judge.verdict(back, self.reference.original.label)
        return item.model_copy(update={"verdict": verdict, "metrics": {**item.metrics, verdict.measure: verdict.score}})

    def holds(self, item: Measurement) -> bool:
        """Whether an item that was kept has the verdict that it would get now."""
        if self.reference is None or item.verdict is None:
            return self.reference is None and item.verdict is None
        now, then = self.reference.original, item.verdict
        return (now.identity, now.measure, now.label) == (then.identity, then.measure, then.label)


_FAILURES = (LiveactionError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {printable(error)[:160]}"


@dataclass(frozen=True)
class _Run:
    """One codec on one signal."""

    coder: Coder
    subject: Subject
    out: Path
    settings: Settings
    circumstances: dict[str, Any]
    bench: _Bench
    shown: bool

    def all(self, signal: Signal, source: Source) -> Iterator[Measurement | Refusal]:
        """An item of each setting, or what came instead of it."""
        coder, label = self.coder, self.subject.label
        reason = coder.refuses(signal, source)
        if reason is not None:
            yield Refusal(coder.codec, label, reason, failed=False)
            return
        for value in coder.values:
            try:
                yield self.item(signal, source, value)
            except _FAILURES as error:
                reason = f"{coder.setting} {value:g}: {_reason(error)}"
                yield Refusal(coder.codec, label, reason, failed=True)

    def item(self, signal: Signal, source: Source, value: float) -> Measurement:
        """From its file where it is there and of this very codec, signal and way of measuring; else measured."""
        name = _folder_name(self.coder)
        path = self.out / "items" / name / self.subject.label / f"{value:g}.json"
        known = _known(path)
        if known is not None and self._is_of(known, source, value):
            return known
        item, back = measure(
            self.coder, signal, source, value, self.settings.timing, self.settings.threads, self.circumstances
        )
        item = self.bench.judged(item, back)
        if self.shown:
            save_exhibits(self.coder.modality.exhibits(back, signal), folder_of_item(self.out / EXHIBITS, item))
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part:
            part.write_text(item.model_dump_json(indent=1) + "\n")
        return item

    def _is_of(self, item: Measurement, source: Source, value: float) -> bool:
        coder = self.coder
        same = all(getattr(item, key) == getattr(coder, key) for key in _OF_CODER)
        same = same and (item.value, item.threads, item.source) == (value, self.settings.threads, source)
        same = same and self.bench.holds(item)
        machine = ("cpu", "gpu")
        return same and all(item.circumstances.get(key) == self.circumstances.get(key) for key in machine)


def _known(path: Path) -> Measurement | None:
    try:
        return Measurement.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _check_names(coders: Sequence[Coder]) -> None:
    names = [_folder_name(coder) for coder in coders]
    if len(set(names)) < len(names):
        raise SpecError(f"expected codecs of different names, got {sorted(names)}; name them NAME=MODEL")


def _folder_name(coder: Coder) -> str:
    return f"{coder.codec}_seed{coder.seed}" if coder.seed else coder.codec


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
