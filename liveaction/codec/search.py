"""Where a function that mostly grows comes into a window below 0, in few trials."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

MOST = 20
"""Trials of a search."""

NARROW = 2.0**-10
"""Places that are closer are one: of steps in octaves, 0.07 %."""

Trial = tuple[float, float]
"""A place, and the height there."""

_FIRST_REACH = 4.0  # how far beyond what was seen a trial goes at most, in octaves; each next one twice as far


@dataclass(frozen=True)
class Search:
    """How a search went.

    Attributes:
        trials: in their order.
        hit: whether the last one is in the window.
        crossed: whether heights on both sides of the window were seen; where not, it lies beyond the bounds.
    """

    trials: tuple[Trial, ...]
    hit: bool
    crossed: bool

    @property
    def best(self) -> Trial | None:
        """The highest that is not above 0, the first of equal ones; None where all are above."""
        allowed = [trial for trial in self.trials if trial[1] <= 0]
        return max(allowed, key=lambda trial: trial[1], default=None)


def search(
    measure: Callable[[float], float],
    start: float,
    bounds: Callable[[], tuple[float, float]],
    width: float,
    slope: float = 0.7,
    most: int = MOST,
) -> Search:
    """Look for a place whose height is in [-width, 0]; a function that does not always grow costs trials, never more.

    By secants from the trials so far, which turn into halving where they do not get closer. Where heights jump over the
    window, the place of the jump is found to within :data:`NARROW`.

    Args:
        measure: the height at a place, which may be infinite; asked once for a place.
        start: the first place.
        bounds: the least and the largest place; asked for after the first trial, which may lie outside.
        width: of the window, positive.
        slope: of a typical function.
        most: trials, at least 1.

    Example:
        >>> found = search(lambda place: place - 3, 0.0, lambda: (-20.0, 20.0), 0.1)
        >>> found.hit, round(found.trials[-1][0], 2)
        (True, 2.95)
    """
    trials, under, over = list[Trial](), None, None
    place: float | None = start
    while place is not None and len(trials) < most:
        height = measure(place)
        trials.append((place, height))
        if -width <= height <= 0:
            return Search(tuple(trials), True, under is not None and over is not None)
        if height > 0:
            over = trials[-1]
        else:
            under = trials[-1]
        if under is not None and over is not None:
            place = _between(under, over, -width / 2, trials)
        else:
            place = _beyond(trials, -width / 2, slope, bounds())
    return Search(tuple(trials), False, under is not None and over is not None)


def _between(under: Trial, over: Trial, aim: float, trials: list[Trial]) -> float | None:
    """Where the line between two trials has the height ``aim``; their middle where one of them stays too long."""
    left, right = under[0], over[0]
    if abs(right - left) <= NARROW:
        return None
    sides = [height > 0 for _, height in trials[-3:]]
    share = (aim - under[1]) / (over[1] - under[1]) if isfinite(over[1] - under[1]) else 0.5
    if len(sides) == 3 and len(set(sides)) == 1:
        share = 0.5
    return left + min(max(share, 0.02), 0.98) * (right - left)


def _beyond(trials: list[Trial], aim: float, slope: float, bounds: tuple[float, float]) -> float | None:
    """The next place towards ``aim`` where all trials are on one side of the window; None where there is no other."""
    low, high = bounds
    falling = trials[-1][1] > 0
    place, height = (min if falling else max)(trials)
    if (place <= low) if falling else (place >= high):
        return _dip(trials) if falling else None
    if len(trials) > 1:
        slope = min(max(_slope(trials[-2], trials[-1], slope), slope / 8), 4 * slope)
    reach = _FIRST_REACH * 2.0 ** (len(trials) - 1)
    wanted = abs(aim - height) / slope if isfinite(height) else reach
    move = min(max(wanted, 2.0 ** (len(trials) - 5) if len(trials) > 3 else 2 * NARROW), reach)
    return max(low, place - move) if falling else min(high, place + move)


def _slope(one: Trial, two: Trial, usual: float) -> float:
    """Between two trials; the usual one where they have none."""
    found = (two[1] - one[1]) / (two[0] - one[0])
    return found if isfinite(found) else usual


def _dip(trials: list[Trial]) -> float | None:
    """Beside the lowest trial, where it is not the outermost one; None where that is looked at closely."""
    ordered = sorted(trials)
    at = min(range(len(ordered)), key=lambda number: ordered[number][1])
    if at == 0:
        return None
    pairs = [(ordered[n][0], ordered[n + 1][0]) for n in (at - 1, at) if n + 1 < len(ordered)]
    left, right = max(pairs, key=lambda pair: pair[1] - pair[0])
    return (left + right) / 2 if right - left > 0.5 else None
