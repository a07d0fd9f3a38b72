"""Fitting of sources and weights of activity to normalised magnitudes of residuals, float64 inside.

docs of constants: see :mod:`liveaction.coding.fit` on what "by trial" means.
"""

from collections.abc import Iterable, Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.layout import ONE, SOURCES, WEIGHT_ONE, Magnitudes, neighbours
from liveaction.coding.table_checks import GREATEST_ACTIVITY
from liveaction.coding.tables import EntropyTables

Floats = NDArray[np.float64]
SAMPLES = 3 << 19
"""Positions that weights of activity are fitted to, all channels together: rows of 22 float32 for D = 3, 138 MB. A
fourth of them gives up to 0.7 % more bits, twice as many up to 0.4 % fewer."""
LEAST_SAMPLES = 32
"""Positions of a chunk that every channel is given at least, however many chunks there are."""
LEAST_COMMON = 64
"""The same for the samples that the mean of all channels is fitted to."""
CLIP = 8.0
"""Normalised magnitudes end here where sources are chosen, so that a few large ones do not make a correlation. By
trial; from 2 to no end at all within 0.6 %."""
PAIRED = 256
"""Channels whose pairs are compared at all positions of a chunk; of twice as many every second position is taken, for
the work grows with the square."""
PULL = 0.7
"""How much the mean of all channels counts for a channel's weights, as a share of its samples. By trial: less gives up
to 0.3 % either way, 3 up to 1.7 % more bits."""
COMMON_PULL = 0.01
"""The same for the mean of all channels, which is pulled to the generic weights: next to nothing. From 0 to 1 within
0.7 %."""
STRENGTH = 2000
"""The samples that the pull counts for beside its share, half a usual chunk: channels with few samples of their own
keep to the mean. By trial: 1 gives up to 0.3 % more bits, 20000 from 0.4 % fewer to 0.6 % more."""
LEAST_MEAN = 0.05
"""Means that weights give are not less, so that rows, which are divided by them, do not count without bound: quiet
places would decide alone. By trial; from 0.005 to 0.1 within 0.3 %; 0.3 would give 0.1 more to 1.2 % fewer bits."""
STEPS = 3
"""Scoring steps of the likelihood; from 1 to 6 within 0.7 %."""
SWEEPS = 60
"""Rounds of coordinate descent in each; 20 give the same bits to 0.01 %, 200 too."""
LEAST_SPREAD = 1e-9
"""For a division by 0: a channel that never changes goes with none."""


class Seen(NamedTuple):
    """Magnitudes of a part ``[L, *c]`` of one chunk; it may lack channels behind those that it has.

    Attributes:
        shape: c.
        outer: rows of the coarser part among them.
        rows: the magnitudes.
    """

    shape: tuple[int, ...]
    outer: int
    rows: Magnitudes

    def busy(self, outer: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows that are not empty, and their numbers in tables whose coarser part has ``outer`` rows."""
        busy = np.flatnonzero(~self.rows.empty)
        return busy, np.where(busy >= self.outer, busy - self.outer + outer, busy)


def choose_sources(examples: Iterable[Seen], start: EntropyTables) -> NDArray[np.int16]:
    """The rows whose magnitudes, at a position and around it, go most with a channel's ``[L, K]``; -1 for none."""
    channels, outer, axes = start.channels, start.outer, start.axes
    count, y1, y2 = np.zeros((channels, 1)), np.zeros((channels, 1)), np.zeros((channels, 1))
    b1, b2, both = (np.zeros((channels, outer + channels)) for _ in range(3))
    # sums for Pearson's correlation of all pairs: y of the channel itself, b of the source, at the position and around
    # it in equal parts, over the chunks where the channel has residuals; an empty source has 1 everywhere
    for seen in examples:
        busy, numbers = seen.busy(outer)
        at = slice(None, None, max(1, len(busy) // PAIRED))
        own = numbers[numbers >= outer] - outer
        alone = seen.rows.alone[busy, at].astype(np.float32) / ONE
        around = seen.rows.around[busy, at].astype(np.float32) / ONE
        y = np.minimum(alone[numbers >= outer], CLIP)
        b = np.minimum((alone + around / (2 * axes)) / 2, CLIP)
        count[own, 0] += y.shape[1]
        y1[own] += y.sum(1, keepdims=True)
        y2[own] += (y * y).sum(1, keepdims=True)
        for sums, found in ((b1, b.sum(1)), (b2, (b * b).sum(1))):
            line = np.full(outer + channels, float(y.shape[1]))
            line[numbers] = found
            sums[own] += line
        block = np.repeat(y.sum(1, keepdims=True), outer + channels, 1)
        block[:, numbers] = y @ b.T
        both[own] += block
    spread = np.maximum((count * y2 - y1**2) * (count * b2 - b1**2), LEAST_SPREAD)
    # the nearest preceding channels, the lower first where equal; -1 for what is no preceding channel
    known = np.tri(channels, outer + channels, k=outer - 1, dtype=bool)
    close = np.where(known, (count * both - y1 * b1) / np.sqrt(spread), -np.inf)
    order = np.argsort(-close, axis=1, kind="stable")[:, :SOURCES]
    order = np.pad(order, ((0, 0), (0, SOURCES - order.shape[1])), constant_values=outer + channels)
    return np.where(order < outer + np.arange(channels)[:, None], order, -1).astype(np.int16)


def fit_activity(
    examples: Iterable[Seen], count: int, sources: NDArray[np.int16], start: EntropyTables
) -> NDArray[np.uint16]:
    """Weights whose sum over normalised magnitudes is the expected one, ``[L, F + 1 + 2 K]``.

    Args:
        examples: of the part.
        count: how many there are.
        sources: ``[L, K]``.
        start: generic tables.
    """
    channels = start.channels
    gathered: list[list[NDArray[np.float32]]] = [[] for _ in range(channels)]
    each = max(LEAST_SAMPLES, SAMPLES // (channels * count))
    for number, seen in enumerate(examples):
        for c, rows in _samples(seen, sources, start, each, number):
            gathered[c].append(rows)
    none = np.zeros((0, start.activity.shape[1] + 1), np.float32)
    data = [np.concatenate(rows) if rows else none for rows in gathered]
    generic = start.activity.mean(0) / WEIGHT_ONE
    # the first channels are left out: they lack sources, so that columns are constant. Of the others a fourth of what
    # each was given will do for what they have in common
    share = np.concatenate([rows[: max(LEAST_COMMON, SAMPLES // (4 * channels))] for rows in data[SOURCES:] or data])
    common = _expected(share, generic, COMMON_PULL)
    weights = np.stack([_expected(rows, common, PULL) for rows in data])
    return np.clip(np.rint(weights * WEIGHT_ONE), 0, GREATEST_ACTIVITY).astype(np.uint16)


def _samples(
    seen: Seen, sources: NDArray[np.int16], start: EntropyTables, each: int, seed: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Channels, with rows of features and, last, what they shall give."""
    busy, numbers = seen.busy(start.outer)
    own = numbers >= start.outer
    channels = numbers[own] - start.outer
    size = prod(seen.shape)
    at = np.random.default_rng(seed).permutation(size)[:each]
    alone, around = (rows[busy][:, at].astype(np.float32) / ONE for rows in seen.rows[:2])
    near = _near(seen, busy[own], at)
    one, ring = np.ones((1, len(at)), np.float32), np.full((1, len(at)), 2 * start.axes, np.float32)
    # where a row is among those that are busy; of the others the last one, what an even plane would give
    place = np.full(start.outer + start.channels + 1, len(busy))
    place[numbers] = np.arange(len(busy))
    alone, around = np.concatenate([alone, one]), np.concatenate([around, ring])
    columns = [*near, np.broadcast_to(one, (len(channels), len(at)))]
    for source in sources[channels].T:
        columns += [alone[place[source]], around[place[source]]]
    yield from zip(channels.tolist(), np.stack([*columns, alone[:-1][own]], 2), strict=True)


def _near(seen: Seen, rows: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.float32]:
    """Magnitudes of the causal neighbours of positions ``at``, ``[F, rows, n]``."""
    grid = np.stack(np.unravel_index(at, seen.shape))
    offsets = np.array(neighbours(len(seen.shape))).T[:, :, None]
    moved = grid[:, None] + offsets
    extents = np.array(seen.shape)[:, None, None]
    inside = ((moved >= 0) & (moved < extents)).all(0)
    flat = np.ravel_multi_index(tuple(np.where(inside, moved, 0)), seen.shape)
    found = np.where(inside[:, None], seen.rows.alone[rows][:, flat].swapaxes(0, 1), ONE)
    return found.astype(np.float32) / np.float32(ONE)


def _expected(rows: NDArray[Any], prior: Floats, pull: float) -> Floats:
    """Weights >= 0 for which the weighted sum is the mean of an exponential law of greatest likelihood.

    By Fisher's scoring: the information is the sum of x x / mean**2, so each step is least squares of rows divided by
    their means. The pull adds ``strength`` rows of size 1 for each weight, which ask for that of ``prior``.

    Args:
        rows: ``[n, F + 1 + 2 * K + 1]``, features and, last, the normalised magnitude.
        prior: the weights to start from and to be pulled to.
        pull: as a share of n.
    """
    from liveaction.coding.fit_numba import least_squares

    weights = prior
    x, y = rows[:, :-1], rows[:, -1]
    strength = pull * len(rows) + STRENGTH
    for _ in range(STEPS):
        mean = np.maximum(x @ weights, LEAST_MEAN)
        scaled = x / mean[:, None]
        square = (scaled.T @ scaled).astype(np.float64) + strength * np.eye(len(prior))
        right, weights = scaled.T @ (y / mean) + strength * prior, weights.copy()
        least_squares(square, right, weights, SWEEPS)
    return weights
