"""Fitting of the entropy coder's tables to symbols: least squares and counts in float64, integers in the end.

Where a constant was chosen by trial, its text says what other values give: bits of files that nothing was fitted to,
CT, pictures and music under models of 32, 32 and 256 latents, at a quarter of the trained step, the step and four times
it, fitted to four to ten chunks or ("one chunk") to one, each at seven steps.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.entropy import Trace, class_rows, tokens, trace_chunk
from liveaction.coding.layout import (
    AFTER,
    BEFORE,
    CAP,
    CLASSES,
    FACTOR_BITS,
    LEVELS,
    ONE,
    PREDICT_ONE,
    SCALES,
    SOURCES,
    TOKENS,
    WEIGHT_ONE,
    class_scales,
    modes,
    neighbours,
)
from liveaction.coding.priors import class_weights, mode_weights, quantised, residual_weights, with_escape
from liveaction.coding.tables import GREATEST_ACTIVITY, GREATEST_PREDICT, EntropyTables, generic_tables
from liveaction.errors import FormatError

Floats = NDArray[np.float64]
SAMPLES = 3 << 19
"""Positions that weights of activity are fitted to, all channels together: rows of 22 float32 for D = 3, 138 MB. A
fourth of them gives up to 0.7 % more bits, twice as many up to 0.4 % fewer."""
LEAST_SAMPLES = 32
"""Positions of a chunk that every channel is given at least, however many chunks there are."""
LEAST_COMMON = 64
"""The same for the samples that the mean of all channels is fitted to."""
SIZE_FLOOR = 0.3
"""Added to the mean |neighbour|, by which a row of least squares is divided: as noise grows with what is around, all
rows then count alike, and those amid zeros do not count without bound. By trial; from 0.03 to 3 within 0.7 %."""
RIDGE = 10.0
"""Pulls weights of predictors to 0 as ten rows of size 1 would, so that channels of hardly any symbols, and neighbours
that are one and the same, have a solution. By trial; from 0.1 to 100 within 0.4 %."""
CLIP = 8.0
"""Normalised magnitudes end here where sources are chosen, so that a few large ones do not make a correlation. By
trial; from 2 to no end at all within 0.6 %."""
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
COUNTS, CLASS_COUNTS, MODE_COUNTS = 32, 16, 8
"""What the generic frequencies count for, in symbols, per row of residuals, of classes and of modes. There are fewer to
count of the latter: one per channel and chunk. By trial; from 16 to 64 of the first within 0.2 %, from 2 to 64 of the
second and from 1 to 32 of the third within 0.1 %."""


def fit_tables(examples: Iterable[NDArray[np.int32]], channels: int, axes: int) -> EntropyTables:
    """Tables fitted to symbols ``[L, *c]`` of training chunks, at several quantiser steps; float64 inside, once.

    Args:
        examples: training chunks ``[L, *c]``; all are kept in memory.
        channels: L.
        axes: D, from 1 to 4.

    Raises:
        FormatError: no examples, or one of another shape.
    """
    chunks = list(examples)
    if not chunks:
        raise FormatError("fit_tables: expected examples of symbols, got none; give training chunks")
    start = generic_tables(channels, axes)
    for chunk in chunks:
        if chunk.ndim != axes + 1 or len(chunk) != channels:
            raise FormatError(f"fit_tables: expected {channels} channels and {axes} axes, got {chunk.shape}")
    arrays = start.arrays()
    arrays["predict"] = _predictors(chunks, start)
    tables = EntropyTables.from_arrays(arrays, "fit_tables")
    arrays["sources"] = _sources((_normalised(chunk, trace_chunk([chunk], [tables])[0]) for chunk in chunks), start)
    sizes = (_normalised(chunk, trace_chunk([chunk], [tables])[0]) for chunk in chunks)
    arrays["activity"] = _activity(sizes, len(chunks), arrays["sources"], start)
    tables = EntropyTables.from_arrays(arrays, "fit_tables")
    arrays |= _frequencies((trace_chunk([chunk], [tables])[0] for chunk in chunks), start)
    return EntropyTables.from_arrays(arrays, "fit_tables")


def _shifted(padded: NDArray[Any], offset: tuple[int, ...]) -> NDArray[Any]:
    """What lies at ``offset`` from each position, ``[L, N]``, of planes with a border ``[L, *(c + 3)]``."""
    sides = zip(offset, padded.shape[1:], strict=True)
    cut = [slice(BEFORE + step, size - AFTER + step) for step, size in sides]
    return padded[(slice(None), *cut)].reshape(len(padded), -1)


def _padded(values: NDArray[Any], border: NDArray[Any]) -> NDArray[Any]:
    """``[L, *c]`` with a border of ``border`` ``[L]``."""
    wide = np.empty((len(values), *(n + BEFORE + AFTER for n in values.shape[1:])), np.float32)
    wide[:] = border.reshape((-1,) + (1,) * (values.ndim - 1))
    wide[(slice(None), *(slice(BEFORE, BEFORE + n) for n in values.shape[1:]))] = values
    return wide


def _predictors(chunks: list[NDArray[np.int32]], start: EntropyTables) -> NDArray[np.int16]:
    """Least squares per channel, each row divided by the size of the neighbours; empty channels keep the generic."""
    offsets = neighbours(start.axes)
    square = np.zeros((start.channels, len(offsets), len(offsets)))
    right = np.zeros((start.channels, len(offsets)))
    for chunk in chunks:
        busy = np.flatnonzero(chunk.reshape(len(chunk), -1).any(1))
        if not len(busy):
            continue
        part = chunk[busy].astype(np.float32)
        # the encoder's border value but for halves, which it rounds up
        wide = _padded(part, np.rint(part.reshape(len(busy), -1).mean(1)))
        x = np.stack([_shifted(wide, offset) for offset in offsets], 1)
        weight = 1 / (np.abs(x).mean(1) + np.float32(SIZE_FLOOR))
        x *= weight[:, None]
        square[busy] += x @ x.transpose(0, 2, 1)
        right[busy] += (x @ (part.reshape(len(busy), -1) * weight)[:, :, None])[:, :, 0]
    solved = np.linalg.solve(square + RIDGE * np.eye(len(offsets)), right[:, :, None])[:, :, 0]
    rounded = np.clip(np.rint(solved * PREDICT_ONE), -GREATEST_PREDICT, GREATEST_PREDICT).astype(np.int16)
    return np.where(np.any(right, axis=1, keepdims=True), rounded, start.predict)


def _normalised(chunk: NDArray[np.int32], found: Trace) -> NDArray[np.float32]:
    """Normalised magnitudes of residuals ``[L, *c]``; a channel without any has 1, and NaN at its first position.

    Must stay equal to ``context_numba.magnitude`` but for the unit, which is 1 here.
    """
    scales = class_scales()
    sizes = np.ones(chunk.shape, np.float32)
    flat = sizes.reshape(len(chunk), -1)
    busy = np.asarray(found.classes > 0)
    k = found.classes[busy][:, None]
    r = (found.values.reshape(-1, flat.shape[1]).astype(np.int64) + 1) >> 1  # 2 r - 1 and -2 r to |r|
    flat[busy] = np.minimum(np.minimum(r, scales.limits[k]) * scales.factors[k] >> FACTOR_BITS, CAP) / ONE
    flat[~busy, 0] = np.nan
    return sizes


def _fields(sizes: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
    """Channels that have residuals ``[L]``; planes with a border; the sum of all next to a position ``[L, N]``."""
    busy = ~np.isnan(sizes.reshape(len(sizes), -1)[:, 0])
    wide = _padded(np.nan_to_num(sizes, nan=1.0), np.ones(len(sizes)))
    axes = sizes.ndim - 1
    steps = [tuple(sign * (i == axis) for i in range(axes)) for axis in range(axes) for sign in (-1, 1)]
    return busy, wide, np.sum([_shifted(wide, step) for step in steps], 0, dtype=np.float32)


def _sources(sizes: Iterable[NDArray[np.float32]], start: EntropyTables) -> NDArray[np.int16]:
    """The preceding channels whose magnitudes, at a position and around it, go most with a channel's ``[L, K]``."""
    channels, axes = start.channels, start.axes
    count, y1, y2 = np.zeros((channels, 1)), np.zeros((channels, 1)), np.zeros((channels, 1))
    b1, b2, both = (np.zeros((channels, channels)) for _ in range(3))
    # sums for Pearson's correlation of all pairs: y of the channel itself, b of the source, at the position and around
    # it in equal parts, over the chunks where the channel has residuals
    for size in sizes:
        busy, wide, around = _fields(size)
        y = np.minimum(_shifted(wide, (0,) * axes), CLIP)
        b = np.minimum((_shifted(wide, (0,) * axes) + around / (2 * axes)) / 2, CLIP)
        y = np.where(busy[:, None], y, 0)
        count[busy, 0] += y.shape[1]
        y1, y2, both = y1 + y.sum(1, keepdims=True), y2 + (y * y).sum(1, keepdims=True), both + y @ b.T
        b1, b2 = b1 + busy[:, None] * b.sum(1), b2 + busy[:, None] * (b * b).sum(1)
    spread = np.maximum((count * y2 - y1**2) * (count * b2 - b1**2), LEAST_SPREAD)
    # the nearest preceding channels, the lower first where equal; -1 for what is no preceding channel
    close = np.where(np.tri(channels, k=-1, dtype=bool), (count * both - y1 * b1) / np.sqrt(spread), -np.inf)
    order = np.argsort(-close, axis=1, kind="stable")[:, :SOURCES]
    order = np.pad(order, ((0, 0), (0, SOURCES - order.shape[1])), constant_values=channels)
    return np.where(order < np.arange(channels)[:, None], order, -1).astype(np.int16)


def _activity(
    sizes: Iterable[NDArray[np.float32]], count: int, sources: NDArray[np.int16], start: EntropyTables
) -> NDArray[np.uint16]:
    """Weights whose sum over normalised magnitudes is the expected one, ``[L, F + 1 + 2 K]``."""
    channels = start.channels
    gathered: list[list[Floats]] = [[] for _ in range(channels)]
    each = max(LEAST_SAMPLES, SAMPLES // (channels * count))
    for number, size in enumerate(sizes):
        for c, rows in _samples(size, sources, start.axes, each, number):
            gathered[c].append(rows)
    data = [np.concatenate(rows) if rows else np.zeros((0, start.activity.shape[1] + 1)) for rows in gathered]
    generic = start.activity.mean(0) / WEIGHT_ONE
    # the first channels are left out: they lack sources, so that columns are constant. Of the others a fourth of what
    # each was given will do for what they have in common
    share = np.concatenate([rows[: max(LEAST_COMMON, SAMPLES // (4 * channels))] for rows in data[SOURCES:] or data])
    common = _expected(share, generic, COMMON_PULL)
    weights = np.stack([_expected(rows, common, PULL) for rows in data])
    return np.clip(np.rint(weights * WEIGHT_ONE), 0, GREATEST_ACTIVITY).astype(np.uint16)


def _samples(
    size: NDArray[np.float32], sources: NDArray[np.int16], axes: int, each: int, seed: int
) -> Iterator[tuple[int, Floats]]:
    """Channels, with rows of features and, last, what they shall give."""
    busy, wide, around = _fields(size)
    centre = _shifted(wide, (0,) * axes)
    near = [_shifted(wide, offset) for offset in neighbours(axes)]
    rng = np.random.default_rng(seed)
    at = rng.permutation(centre.shape[1])[:each]
    centre, around, one = centre[:, at], around[:, at], np.ones((), np.float32)
    columns = [*(x[busy][:, at] for x in near), np.broadcast_to(one, (int(np.count_nonzero(busy)), len(at)))]
    for source in sources[busy].T:  # a channel without one has what an even plane would give
        there = (source >= 0)[:, None]
        columns += [np.where(there, centre[source], one), np.where(there, around[source], 2 * axes * one)]
    rows = np.stack([*columns, centre[busy]], 2)
    yield from zip(np.flatnonzero(busy).tolist(), rows, strict=True)


def _expected(rows: Floats, prior: Floats, pull: float) -> Floats:
    """Weights >= 0 for which the weighted sum is the mean of an exponential law of greatest likelihood.

    By Fisher's scoring: the information is the sum of x x / mean**2, so each step is least squares of rows divided by
    their means. The pull adds ``strength`` rows of size 1 for each weight, which ask for that of ``prior``.

    Args:
        rows: ``[n, F + 1 + 2 * K + 1]``, features and, last, the normalised magnitude.
        prior: the weights to start from and to be pulled to.
        pull: as a share of n.
    """
    weights = prior
    x, y = rows[:, :-1], rows[:, -1]
    strength = pull * len(rows) + STRENGTH
    for _ in range(STEPS):
        mean = np.maximum(x @ weights, LEAST_MEAN)
        scaled = x / mean[:, None]
        square = (scaled.T @ scaled).astype(np.float64) + strength * np.eye(len(prior))
        weights = _least_squares(square, scaled.T @ (y / mean) + strength * prior, weights)
    return weights


def _least_squares(square: Floats, right: Floats, weights: Floats) -> Floats:
    """Minimum of w square w / 2 - right w over w >= 0, coordinate by coordinate."""
    weights = np.maximum(weights, 0)
    for _ in range(SWEEPS):
        for i in range(len(weights)):
            weights[i] = max(0.0, weights[i] + (right[i] - square[i] @ weights) / square[i, i])
    return weights


def _frequencies(traces: Iterable[Trace], start: EntropyTables) -> dict[str, NDArray[Any]]:
    """Counts of what was coded, with the generic frequencies added, as tables."""
    heads, residuals = [], np.zeros((SCALES * LEVELS, TOKENS), np.int64)
    for found in traces:
        heads.append((found.classes.astype(np.int64), found.taken))
        np.add.at(residuals, (found.contexts, tokens(found.values)[0]), 1)
    flat = [row for levels in residual_weights() for row in levels]
    classes, taken = (np.stack(column) for column in zip(*heads, strict=True))
    return {
        **_head_frequencies(classes, taken, start.axes),
        "residuals": np.stack([with_escape(_added(*pair, COUNTS)) for pair in zip(residuals, flat, strict=True)]),
    }


def _head_frequencies(classes: NDArray[np.int64], taken: NDArray[np.int32], axes: int) -> dict[str, NDArray[Any]]:
    """Tables of classes and predictors from those of all chunks ``[n, L]``."""
    offset = np.zeros(classes.shape[1], np.int64)
    for c, (before, after) in enumerate(pairwise(classes.T)):
        both = (before > 0) & (after > 0)
        offset[c + 1] = np.rint(np.mean((after - before)[both])) if both.any() else 0
    rows = class_rows(classes[:, :-1], offset[1:])
    counts = np.zeros((CLASSES + 1, CLASSES), np.int64)
    np.add.at(counts[CLASSES], classes[:, 0], 1)
    np.add.at(counts, (rows, classes[:, 1:]), 1)
    heads = np.zeros((classes.shape[1], 2, modes(axes)), np.int64)
    np.add.at(heads, (np.arange(classes.shape[1])[None], (classes > 0) + 0, taken), 1)
    kinds, starts = mode_weights(axes), class_weights()
    return {
        "class_offset": np.clip(offset, -127, 127).astype(np.int8),
        "classes": np.stack([quantised(_added(n, w, CLASS_COUNTS), 1) for n, w in zip(counts, starts, strict=True)]),
        "modes": np.stack(
            [[quantised(_added(n, w, MODE_COUNTS), 1) for n, w in zip(c, kinds, strict=True)] for c in heads]
        ),
    }


def _added(counts: NDArray[np.int64], weights: list[int], strength: int) -> list[int]:
    """Integer counts with ``weights`` added as if they were ``strength`` counts."""
    total = sum(weights)
    return [int(n) * total + strength * w for n, w in zip(counts, weights, strict=True)]
