"""Rate-distortion curves: what separates two of them, the best of several, and reading between their points."""

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from liveaction.errors import SpecError

Point = tuple[float, float]
"""Bits per element, and quality of which more is better: PSNR in dB as a rule."""

FEWEST = 4
"""Points on a curve that a Bjontegaard delta needs."""

LEAST_OVERLAP = 0.15
"""Share of either curve's range that the two must have in common."""

_METHOD = "pchip"


@dataclass(frozen=True)
class Delta:
    """A Bjontegaard delta, or why there is none.

    Attributes:
        value: in percent of rate or in the unit of quality; None where it is refused.
        reason: why it is refused, or what was left out of it; empty where all points took part.
        overlap: share of the wider of the two ranges that both curves cover, 0 to 1; 0 for a curve of fewer than two
            points.
        points: how many points of the anchor and of the test were on their curves.
    """

    value: float | None
    reason: str
    overlap: float
    points: tuple[int, int]


def bd_rate(anchor: Iterable[Point], test: Iterable[Point]) -> Delta:
    """How much more rate, in percent, ``test`` takes than ``anchor`` at equal quality; negative where it takes less.

    Bjontegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001: the mean over the common
    range of quality of the difference in log rate. It is computed by the package ``bjontegaard`` with its method
    ``pchip``, piecewise cubics that are monotone where the points are: those of the common test conditions of HEVC.
    Nothing overshoots between the wide and uneven steps of learned codecs, where Akima's interpolation may, which the
    package's authors found nearer the truth on the even steps of video codecs; and :func:`rate_at` reads off curves of
    the same kind.

    Points that are not finite (a lossless one), have no bits, or are beaten by another of their own curve (as many bits
    or fewer at quality as good or better) are left out, and ``reason`` says so.

    Refused: fewer than four points left on a side; ranges of quality of which less than 15 % of either is common.

    Raises:
        SpecError: ``bjontegaard`` is not installed.
    """
    return _delta("rate", anchor, test)


def bd_psnr(anchor: Iterable[Point], test: Iterable[Point]) -> Delta:
    """How much better ``test`` is than ``anchor`` at equal rate, in the unit of quality (dB of PSNR).

    As :func:`bd_rate`, the mean over the common range of log rate of the difference in quality.

    Raises:
        SpecError: ``bjontegaard`` is not installed.
    """
    return _delta("psnr", anchor, test)


def envelope(points: Iterable[Point]) -> list[Point]:
    """The points that no other one beats, by rising rate, so by rising quality: the Pareto front of several models.

    A point is beaten by one with no more bits and no less quality; of equal ones one stays. Points between two models
    are not made up: nobody shares a signal out among codecs. Points that are not finite or have no bits are left out.
    """
    front: list[Point] = []
    for bits, quality in sorted(_usable(points), key=lambda point: (point[0], -point[1])):
        if not front or quality > front[-1][1]:
            front.append((bits, quality))
    return front


def best_of(curves: Sequence[Iterable[Point]]) -> list[Point]:
    """The envelope of several codecs with settings as fine as one likes: where each is the best of them.

    A point stays where no other curve, read between its own points as :func:`quality_at` does, is better at its rate,
    and no other point beats it. Nothing is added to the points that were measured.
    """
    given = [list(curve) for curve in curves]
    kept = []
    for number, curve in enumerate(given):
        others = given[:number] + given[number + 1 :]
        for bits, quality in _usable(curve):
            at_rate = [quality_at(other, bits) for other in others]
            if all(other is None or other <= quality for other in at_rate):
                kept.append((bits, quality))
    return envelope(kept)


def rate_at(points: Iterable[Point], quality: float) -> float | None:
    """Bits per element at which the envelope of ``points`` reaches ``quality``; None beyond its ends.

    Between points by monotone cubics (Fritsch and Butland 1984) in log rate; fewer than two points give None.
    """
    log_rate = _read_off([(q, math.log(bits)) for bits, q in envelope(points)], quality)
    return None if log_rate is None else math.exp(log_rate)


def quality_at(points: Iterable[Point], bits: float) -> float | None:
    """Quality of the envelope of ``points`` at ``bits`` per element, as :func:`rate_at`; None beyond its ends."""
    return _read_off([(math.log(b), q) for b, q in envelope(points)], math.log(bits)) if bits > 0 else None


def _delta(kind: Literal["rate", "psnr"], anchor: Iterable[Point], test: Iterable[Point]) -> Delta:
    given = {"anchor": list(anchor), "test": list(test)}
    curves = {name: envelope(points) for name, points in given.items()}
    points = len(curves["anchor"]), len(curves["test"])
    left_out = [said for name in given if (said := _left_out(name, given[name], curves[name]))]
    overlap = _overlap(*([q if kind == "rate" else math.log(b) for b, q in curve] for curve in curves.values()))
    short = [f"{name} has {len(curve)} of {FEWEST} points" for name, curve in curves.items() if len(curve) < FEWEST]
    if short:
        return Delta(None, "; ".join(short + left_out), overlap, points)
    if overlap < LEAST_OVERLAP:
        shared = f"overlap {math.floor(100 * overlap)} % of {'quality' if kind == 'rate' else 'rate'}"
        return Delta(None, "; ".join([f"{shared}, {100 * LEAST_OVERLAP:.0f} % needed", *left_out]), overlap, points)
    value = _computed(kind, curves["anchor"], curves["test"])
    return Delta(value, "; ".join(left_out), overlap, points)


def _computed(kind: Literal["rate", "psnr"], anchor: list[Point], test: list[Point]) -> float:
    """The library's figure; it warns of overlaps below 75 %, which :class:`Delta` states."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import bjontegaard
        except ImportError as error:
            raise SpecError(
                "bjontegaard deltas: expected the package bjontegaard, got none; pip install '.[evaluate]' in a clone "
                "of this repository"
            ) from error
        compute = bjontegaard.bd_rate if kind == "rate" else bjontegaard.bd_psnr
        columns = [list(column) for curve in (anchor, test) for column in zip(*curve, strict=True)]
        return float(compute(*columns, method=_METHOD, require_matching_points=False, min_overlap=0))


def _overlap(one: list[float], two: list[float]) -> float:
    if min(len(one), len(two)) < 2:
        return 0.0
    common = min(max(one), max(two)) - max(min(one), min(two))
    return max(0.0, common) / max(max(one) - min(one), max(two) - min(two))


def _left_out(name: str, given: list[Point], curve: list[Point]) -> str:
    """What became of the points that are not on the curve, in a few words; empty where all are."""
    usable = list(_usable(given))
    lossless = sum(quality == math.inf for _, quality in given)
    counts = {
        "lossless": lossless,
        "not a number or without bits": len(given) - len(usable) - lossless,
        "beaten by others of its own": len(usable) - len(curve),
    }
    return ", ".join(f"{name}: {count} left out, {why}" for why, count in counts.items() if count)


def _usable(points: Iterable[Point]) -> Iterable[Point]:
    return (p for p in points if math.isfinite(p[0]) and math.isfinite(p[1]) and p[0] > 0)


def _read_off(points: list[Point], at: float) -> float | None:
    """The monotone curve through points that rise in both coordinates, at one place; None outside."""
    if len(points) < 2 or not points[0][0] <= at <= points[-1][0]:
        return None
    from scipy.interpolate import PchipInterpolator

    curve: Any = PchipInterpolator(*zip(*points, strict=True))
    return float(curve(at))
