"""Items as plots and tables take them: by source, by curve, by codec, by setting, seeds together."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from liveaction.errors import UnknownNameError
from liveaction.evaluation.item import Measurement, Source


@dataclass(frozen=True)
class Point:
    """One codec at one setting on one source: an item, or one of each seed."""

    items: tuple[Measurement, ...]

    @property
    def item(self) -> Measurement:
        """That of the first seed."""
        return self.items[0]

    def mean(self, of: Callable[[Measurement], float]) -> float:
        """Over the seeds."""
        return fmean(of(item) for item in self.items)

    def measures(self, key: str) -> list[float]:
        """A measure of each seed that has it."""
        return [item.metrics[key] for item in self.items if key in item.metrics]

    @property
    def bits(self) -> float:
        """Bits per element."""
        return self.mean(lambda item: item.bits_per_element)

    @property
    def ratio(self) -> float:
        """Native bits over coded ones."""
        return self.mean(lambda item: item.ratio)


@dataclass(frozen=True)
class Line:
    """One codec on one source, its points by bits per element from low to high."""

    curve: str
    codec: str
    kind: str
    points: tuple[Point, ...]

    @property
    def name(self) -> str:
        """The curve, and the codec where that is not the same."""
        return self.curve if self.codec == self.curve else f"{self.curve}: {self.codec}"

    def nearest(self, ratio: float) -> Point:
        """The point whose ratio is nearest on a log scale."""
        return min(self.points, key=lambda point: abs(math.log(point.ratio / ratio)))

    def pairs(self, key: str) -> list[tuple[float, float]]:
        """Bits per element and a measure, means over seeds, where all have it and it is finite."""
        found = [(point.bits, fmean(values)) for point in self.points if (values := point.measures(key))]
        return [(bits, value) for bits, value in found if math.isfinite(value)]


def sources_of(items: Iterable[Measurement]) -> list[Source]:
    """What was coded, each once, in the order of the items."""
    return list(dict.fromkeys(item.source for item in items))


def by_source(items: Iterable[Measurement]) -> dict[Source, list[Measurement]]:
    """The items of each source, in the order of :func:`sources_of`."""
    found: dict[Source, list[Measurement]] = {}
    for item in items:
        found.setdefault(item.source, []).append(item)
    return found


def lines_of(items: Iterable[Measurement], source: Source) -> list[Line]:
    """The codecs measured on a source: models before baselines, else in the order of the items."""
    found: dict[tuple[str, str, str], dict[float, list[Measurement]]] = {}
    for item in items:
        if item.source == source:
            settings = found.setdefault((item.kind, item.curve, item.codec), {})
            settings.setdefault(item.value, []).append(item)
    lines = []
    for (kind, curve, codec), settings in found.items():
        points = [Point(tuple(sorted(seeds, key=lambda item: item.seed or 0))) for seeds in settings.values()]
        lines.append(Line(curve, codec, kind, tuple(sorted(points, key=lambda point: point.bits))))
    return sorted(lines, key=lambda line: line.kind != "model")


def curves_of(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Codecs of one family together."""
    curves: dict[str, list[Line]] = {}
    for line in lines:
        curves.setdefault(line.curve, []).append(line)
    return curves


def check_reference(items: Sequence[Measurement], reference: str) -> None:
    """Refuse a curve that nobody measured.

    Raises:
        UnknownNameError: naming those that there are.
    """
    known = list(dict.fromkeys(item.curve for item in items))
    if reference not in known:
        raise UnknownNameError(f"reference: expected one of {', '.join(map(repr, known))}, got {reference!r}")


def common_ratios(lines: Sequence[Line], most: int = 3) -> list[float]:
    """Up to ``most`` ratios, rounded to two digits, that as many codecs reach between settings as any ratio does."""
    spans = [(min(p.ratio for p in line.points), max(p.ratio for p in line.points)) for line in lines]
    if not spans:
        return []
    least, largest = math.log(min(low for low, _ in spans)), math.log(max(high for _, high in spans))
    steps = [math.exp(least + (largest - least) * k / 240) for k in range(241)]
    counts = [sum(low <= ratio * (1 + 1e-9) and ratio <= high * (1 + 1e-9) for low, high in spans) for ratio in steps]
    runs: list[list[float]] = [[]]
    for ratio, count in zip(steps, counts, strict=True):
        if count == max(counts):
            runs[-1].append(ratio)
        elif runs[-1]:
            runs.append([])
    run = max(runs, key=len)
    low, high = math.log(run[0]), math.log(run[-1])
    places = [math.exp(low + (high - low) * (2 * k + 1) / (2 * most)) for k in range(most)]
    return list(dict.fromkeys(float(f"{ratio:.2g}") for ratio in places))
