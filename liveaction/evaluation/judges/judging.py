"""One judge on all items of an evaluation: what codecs decoded, the originals, and an eighth of their resolution."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from liveaction.errors import SpecError
from liveaction.evaluation.baselines.resample import Resample
from liveaction.evaluation.coders import BaselineCoder
from liveaction.evaluation.item import Reference, Source, Verdict
from liveaction.evaluation.judges.base import Judge
from liveaction.evaluation.judges.labels import labels_of
from liveaction.evaluation.judges.registry import make_judge
from liveaction.evaluation.measures import JUDGED
from liveaction.evaluation.sources import Subject
from liveaction.files import atomic_path
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality

FOLDER = "judged"
EIGHTH = 8
"""Samples along every axis of which one is left for the judge's own test: what ignores that ignores detail."""


@dataclass(frozen=True)
class Judging:
    """A judge, and labels of all items by :attr:`Subject.label`; None where its word on the original is the label."""

    judge: Judge
    labels: dict[str, str] | None

    def refuses(self, signal: Signal, modality: str) -> str | None:
        """As the judge says."""
        return self.judge.refuses(signal, modality)

    def verdict(self, signal: Signal, label: str | None) -> Verdict:
        """What the judge says of a signal; without a label that is the label."""
        said = self.judge.predict(signal)
        right = said if label is None else label
        return Verdict(
            judge=self.judge.name,
            title=self.judge.label,
            identity=self.judge.identity,
            measure=self.judge.measure,
            label=right,
            prediction=said,
            score=self.judge.score(said, right),
        )

    def reference(
        self, subject: Subject, signal: Signal, source: Source, modality: "Modality", out: Path, threads: int
    ) -> Reference:
        """The verdicts on the original and on an eighth of its resolution; kept in ``out``, where they are there.

        The eighth is the baseline ``resample`` with 8: fewer samples along every axis of the signal, rounded, kept
        without loss, and interpolated back.
        """
        path = out / FOLDER / f"{subject.label}.json"
        label = None if self.labels is None else self.labels[subject.label]
        known = _known(path)
        if known is not None and known.source == source and self._is_own(known, label):
            return known
        original = self.verdict(signal, label)
        coder = BaselineCoder(Resample(threads), modality, (EIGHTH,))
        data, _ = coder.encode(signal, source, EIGHTH)
        back, _ = coder.decode(data, signal, source)
        found = Reference(
            source=source, original=original, eighth=self.verdict(back, original.label), eighth_bytes=len(data)
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part:
            part.write_text(found.model_dump_json(indent=1) + "\n")
        return found

    def _is_own(self, known: Reference, label: str | None) -> bool:
        judge, said = self.judge, known.original
        own = (said.identity, said.measure) == (judge.identity, judge.measure)
        return own and said.label == (said.prediction if label is None else label)


def plan_judging(judge: str, labels: str, subjects: Sequence[Subject]) -> Judging | None:
    """The judge that a text names, with labels of these items; None where both texts are empty.

    Raises:
        SpecError: one is empty, or the judge's score is none that reports know; and as :func:`make_judge`,
            :func:`labels_of`.
        UnknownNameError, FormatError: as these two.
    """
    if not judge and not labels:
        return None
    if not judge or not labels:
        raise SpecError(
            f"--judge: expected a judge and --labels, got {judge!r} and {labels!r}; labels are folders, original or a "
            ".csv file"
        )
    chosen = make_judge(judge)
    if chosen.measure not in JUDGED:
        raise SpecError(f"--judge {judge}: expected a measure of {', '.join(JUDGED)}, got {chosen.measure!r}")
    right = labels_of(labels, subjects)
    unknown = sorted(set(right.values()) - set(chosen.classes)) if right and chosen.classes else []
    if unknown:
        raise SpecError(
            f"--labels {labels}: expected classes that the judge {chosen.name} knows, {', '.join(chosen.classes[:9])}, "
            f"got {unknown[0]!r}; name them as it does"
        )
    return Judging(chosen, right)


def _known(path: Path) -> Reference | None:
    try:
        return Reference.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None
