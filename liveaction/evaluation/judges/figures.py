"""Scores of a judge over all items together: means with intervals, and whether the judge can tell at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from liveaction.evaluation.item import Measurement, Reference, Source

LEVEL = 0.05
"""Differences with a smaller p count as differences; intervals are of 95 %."""

_DRAWS = 1999
_KINDS = {True: ("Wilson", "McNemar's exact test"), False: ("bootstrap", "a paired sign-flip test")}


@dataclass(frozen=True)
class Pooled:
    """One setting over all items, or no codec at all.

    Attributes:
        value: of the setting; the least where folds differ in it.
        items: how many it was measured on.
        bytes: mean per item; ``ratio`` of all native bits to all coded ones.
        score: mean over items, with an interval of 95 % from ``low`` to ``high``.
        difference: to the mean score of the same originals; ``p`` of a paired test that there is none.
    """

    value: float
    items: int
    bytes: float
    ratio: float
    score: float
    low: float
    high: float
    difference: float
    p: float


@dataclass(frozen=True)
class PooledLine:
    """One codec over all items, its settings by bytes from low to high."""

    curve: str
    codec: str
    kind: str
    setting: str
    seeds: int
    points: tuple[Pooled, ...]

    @property
    def name(self) -> str:
        """The curve, and the codec where that is not the same."""
        return self.curve if self.codec == self.curve else f"{self.curve}: {self.codec}"

    def pairs(self, items: int) -> list[tuple[float, float]]:
        """Bytes and score of the settings that were measured on all items."""
        return [(point.bytes, point.score) for point in self.points if point.items == items]


@dataclass(frozen=True)
class Judged:
    """All that an evaluation's judge found.

    Attributes:
        title: of the judge; ``measure`` is its score.
        original: of the originals, native bytes; ``eighth`` of an eighth of their resolution, in the bytes that
            ``resample`` took.
        tells: whether it does worse at an eighth of the resolution, with p below 0.05.
    """

    title: str
    measure: str
    original: Pooled
    eighth: Pooled
    lines: tuple[PooledLine, ...]
    binary: bool

    @property
    def tells(self) -> bool:
        """Whether an eighth of the resolution costs the judge more than chance would."""
        return self.eighth.difference < 0 and self.eighth.p < LEVEL

    @property
    def interval(self) -> str:
        """What its intervals are."""
        return _KINDS[self.binary][0]

    @property
    def test(self) -> str:
        """What its differences to the originals were tested with."""
        return _KINDS[self.binary][1]

    @property
    def words(self) -> str:
        """One sentence on whether the judge can tell."""
        right, least = 100 * self.original.score, 100 * self.eighth.score
        at = f"{right:.1f} % on {self.original.items} originals, {least:.1f} % at 1/8 of their resolution"
        at += f" (p = {self.eighth.p:.2g} by {self.test})"
        if self.tells:
            return f"{self.title}: can tell: {at}"
        return f"{self.title}: cannot tell: {at}; what it says of codecs here means nothing"


def judged(items: Sequence[Measurement], references: Sequence[Reference]) -> Judged | None:
    """Scores pooled over all items that were judged; None where there are none."""
    known = {reference.source: reference for reference in references}
    found: dict[tuple[str, str, str], list[Measurement]] = {}
    for item in items:
        if item.verdict is not None and item.source in known:
            found.setdefault((item.kind, item.curve, item.codec), []).append(item)
    if not known:
        return None
    said = [verdict.score for r in references for verdict in (r.original, r.eighth)]
    said += [item.verdict.score for mine in found.values() for item in mine if item.verdict is not None]
    binary = set(said) <= {0.0, 1.0}
    ordered = list(known.values())
    native = [_native(reference) for reference in ordered]
    originals = [reference.original.score for reference in ordered]
    eighth = [reference.eighth.score for reference in ordered]
    lines = [_line(*names, mine, known, binary) for names, mine in found.items()]
    first = ordered[0].original
    return Judged(
        first.title, first.measure,
        _pooled(1.0, native, native, originals, originals, binary),
        _pooled(8.0, [float(reference.eighth_bytes) for reference in ordered], native, eighth, originals, binary),
        tuple(sorted(lines, key=lambda line: line.kind != "model")), binary,
    )  # fmt: skip


def _line(
    kind: str, curve: str, codec: str, items: Sequence[Measurement], known: dict[Source, Reference], binary: bool
) -> PooledLine:
    """Settings are told apart by their place in the codec's list where every item has as many, else by value."""
    by_source: dict[Source, dict[float, list[Measurement]]] = {}
    for item in items:
        by_source.setdefault(item.source, {}).setdefault(item.value, []).append(item)
    alike = len({len(settings) for settings in by_source.values()}) == 1
    settings: dict[float, list[tuple[Reference, list[Measurement]]]] = {}
    for source, mine in by_source.items():
        for place, value in enumerate(sorted(mine)):
            settings.setdefault(place if alike else value, []).append((known[source], mine[value]))
    points = [_point(pairs, binary) for pairs in settings.values()]
    seeds = len({item.seed for item in items if item.seed is not None})
    return PooledLine(curve, codec, kind, items[0].setting, seeds, tuple(sorted(points, key=lambda p: p.bytes)))


def _point(pairs: Sequence[tuple[Reference, list[Measurement]]], binary: bool) -> Pooled:
    """One setting; the seeds of an item are averaged first."""
    scores = [fmean(i.verdict.score for i in seeds if i.verdict is not None) for _, seeds in pairs]
    return _pooled(
        min(item.value for _, seeds in pairs for item in seeds),
        [fmean(item.bytes for item in seeds) for _, seeds in pairs],
        [_native(reference) for reference, _ in pairs],
        scores,
        [reference.original.score for reference, _ in pairs],
        binary and set(scores) <= {0.0, 1.0},
    )


def _pooled(
    value: float,
    bytes_: Sequence[float],
    native: Sequence[float],
    scores: Sequence[float],
    originals: Sequence[float],
    binary: bool,
) -> Pooled:
    low, high = interval(scores, binary)
    gain = [one - two for one, two in zip(scores, originals, strict=True)]
    return Pooled(
        value, len(scores), fmean(bytes_), sum(native) / sum(bytes_), fmean(scores), low, high, fmean(gain),
        p_of(gain, binary),
    )  # fmt: skip


def interval(scores: Sequence[float], binary: bool) -> tuple[float, float]:
    """95 % around the mean: Wilson's of a share (1927); of other scores percentiles of 1999 bootstrapped means."""
    if binary:
        from scipy.stats import binomtest

        found = binomtest(round(sum(scores)), len(scores)).proportion_ci(1 - LEVEL, method="wilson")
        return float(found.low), float(found.high)
    values, rng = np.asarray(scores), np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(_DRAWS, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)])
    return float(low), float(high)


def p_of(gain: Sequence[float], binary: bool) -> float:
    """Two-sided p of paired differences if there were none.

    Of 0 and 1 McNemar's exact test: as many items gained as lost. Of other scores a permutation test: the mean with
    signs flipped at random, 1999 times from a seed.
    """
    if binary:
        from scipy.stats import binomtest

        gained, lost = sum(value > 0 for value in gain), sum(value < 0 for value in gain)
        return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    values, rng = np.asarray(gain), np.random.default_rng(0)
    seen = abs(values.sum()) - 1e-12 * max(1.0, float(np.abs(values).sum()))
    sums = (2.0 * rng.integers(2, size=(_DRAWS, len(values))) - 1) @ values
    return (1 + int((np.abs(sums) >= seen).sum())) / (1 + _DRAWS)


def _native(reference: Reference) -> float:
    """Bytes of an original."""
    return math.prod(reference.source.shape) * reference.source.bits / 8
