"""Fitting of the entropy coder's tables to symbols: least squares and counts in float64, integers in the end.

Where a constant was chosen by trial, its text says what other values give: bits of files that nothing was fitted to,
CT, pictures and music under models of 32, 32 and 256 latents, at a quarter of the trained step, the step and four times
it, fitted to four to ten chunks or ("one chunk") to one, each at seven steps.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.activity import Seen, choose_sources, fit_activity
from liveaction.coding.entropy import Parts, Tables, Trace, class_rows, trace_chunk
from liveaction.coding.layout import (
    AFTER,
    BEFORE,
    CLASSES,
    LEVELS,
    PREDICT_ONE,
    SCALES,
    TOKENS,
    modes,
    neighbours,
)
from liveaction.coding.optimise import WEIGHT, Latents, dead_zone, optimise_trace
from liveaction.coding.priors import class_weights, mode_weights, quantised, residual_weights, with_escape
from liveaction.coding.table_checks import GREATEST_PREDICT
from liveaction.coding.tables import EntropyTables, generic_tables
from liveaction.errors import FormatError

SIZE_FLOOR = 0.3
"""Added to the mean |neighbour|, by which a row of least squares is divided: as noise grows with what is around, all
rows then count alike, and those amid zeros do not count without bound. By trial; from 0.03 to 3 within 0.7 %."""
RIDGE = 10.0
"""Pulls weights of predictors to 0 as ten rows of size 1 would, so that channels of hardly any symbols, and neighbours
that are one and the same, have a solution. By trial; from 0.1 to 100 within 0.4 %."""
COUNTS, CLASS_COUNTS, MODE_COUNTS = 32, 16, 8
"""What the generic frequencies count for, in symbols, per row of residuals, of classes and of modes. There are fewer to
count of the latter: one per channel and chunk. By trial; from 16 to 64 of the first within 0.2 %, from 2 to 64 of the
second and from 1 to 32 of the third within 0.1 %."""


def fit_tables(
    examples: Iterable[NDArray[np.int32]], channels: int, axes: int, predicted: int | None = None
) -> EntropyTables:
    """Tables fitted to symbols ``[L, *c]`` of training chunks, at several quantiser steps; float64 inside, once.

    Args:
        examples: training chunks ``[l, *c]``, l <= L; channels that one lacks count nowhere. All are kept in memory.
        channels: L.
        axes: D, from 1 to 4.
        predicted: only so many channels, the first ones, are given trained predictors; None for all. The predictors of
            the others are 0, so that an encoder spares the search for one.

    Raises:
        FormatError: no examples, or one of another shape.
    """
    wanted = None if predicted is None else (predicted,)
    return fit_parts(([chunk] for chunk in examples), (channels,), axes, wanted)[0]


def fit_parts(
    examples: Iterable[Parts],
    channels: Sequence[int],
    axes: int,
    predicted: Sequence[int] | None = None,
    components: int = 1,
) -> tuple[EntropyTables, ...]:
    """Tables of every part, fitted to training chunks of parts ``[L_i, *c_i]``; see :func:`fit_tables`.

    Args:
        examples: chunks, each a list of parts; all are kept in memory.
        channels: L_i of every part.
        axes: D, from 1 to 4.
        predicted: of every part, as for :func:`fit_tables`.
        components: that many of L_i / components channels each stand in a row; ``predicted`` counts in each.

    Raises:
        FormatError: no examples, or one of another shape.
    """
    chunks = list(examples)
    if not chunks:
        raise FormatError("fit_tables: expected examples of symbols, got none; give training chunks")
    for part in (part for chunk in chunks for part in zip(chunk, channels, strict=True)):
        _check(*part, axes)
    starts = [generic_tables(rows, axes, outer) for rows, outer in zip(channels, (0, *channels[:-1]), strict=True)]
    arrays = [start.arrays() for start in starts]
    for i, start in enumerate(starts):
        bands = start.channels // components
        wanted = np.arange(start.channels) % bands < (bands if predicted is None else predicted[i])
        arrays[i]["predict"] = _predictors([chunk[i] for chunk in chunks], start, wanted)
    tables = _made(arrays)
    for i, start in enumerate(starts):
        arrays[i]["sources"] = choose_sources(_seen(chunks, tables, i), start)
        arrays[i]["activity"] = fit_activity(_seen(chunks, tables, i), len(chunks), arrays[i]["sources"], start)
    tables = _made(arrays)
    return _counted(tables, (trace_chunk(chunk, for_rows(tables, chunk)) for chunk in chunks))


def fit_latents(
    examples: Sequence[Latents],
    channels: Sequence[int],
    axes: int,
    predicted: Sequence[int] | None = None,
    components: int = 1,
    weight: float = WEIGHT,
) -> tuple[EntropyTables, ...]:
    """Tables for what :func:`~liveaction.coding.optimise.optimise_trace` makes of latents, in three rounds.

    They are fitted to symbols with a dead zone, then to what is chosen by these tables; then the frequencies alone are
    counted once more.

    Args:
        examples: chunks of parts ``[L_i, *c_i]``, float32 in units of the quantiser's step, at several steps.
        channels: L_i of every part.
        axes: D, from 1 to 4.
        predicted, components: as for :func:`fit_parts`.
        weight: as for ``optimise_trace``.

    Raises:
        FormatError: see :func:`fit_parts`.
    """
    tables = fit_parts((dead_zone(chunk) for chunk in examples), channels, axes, predicted, components)
    chosen = (optimise_trace(chunk, for_rows(tables, chunk), weight)[0] for chunk in examples)
    tables = fit_parts(chosen, channels, axes, predicted, components)
    return _counted(tables, (optimise_trace(chunk, for_rows(tables, chunk), weight)[1] for chunk in examples))


def for_rows(tables: Tables, parts: Sequence[NDArray[Any]]) -> list[EntropyTables]:
    """Tables of the first channels, as many as the parts ``[l_i, *c_i]`` of a chunk have."""
    outer = (0, *(len(part) for part in parts[:-1]))
    return [table.first(len(part), rows) for table, part, rows in zip(tables, parts, outer, strict=True)]


def _check(part: NDArray[Any], channels: int, axes: int) -> None:
    if part.ndim != axes + 1 or not 1 <= len(part) <= channels:
        raise FormatError(f"fit_tables: expected {channels} channels and {axes} axes, got {part.shape}")


def _made(arrays: list[dict[str, NDArray[Any]]]) -> tuple[EntropyTables, ...]:
    return tuple(EntropyTables.from_arrays(part, "fit_tables") for part in arrays)


def _seen(chunks: Sequence[Parts], tables: Tables, part: int) -> Iterator[Seen]:
    """Magnitudes of a part of every chunk."""
    for chunk in chunks:
        first = chunk[: part + 1]
        found = trace_chunk(first, for_rows(tables[: part + 1], first))[part].magnitudes
        yield Seen(chunk[part].shape[1:], len(found.empty) - len(chunk[part]), found)


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


def _predictors(chunks: Parts, start: EntropyTables, wanted: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Least squares per channel, each row divided by the size of the neighbours; empty channels keep the generic.

    Those that are not ``wanted`` ``[L]`` have 0.
    """
    offsets = neighbours(start.axes)
    square = np.zeros((start.channels, len(offsets), len(offsets)))
    right = np.zeros((start.channels, len(offsets)))
    for chunk in chunks:
        busy = np.flatnonzero(chunk.any(tuple(range(1, chunk.ndim))) & wanted[: len(chunk)])
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
    fitted = np.where(np.any(right, axis=1, keepdims=True), rounded, start.predict)
    return np.where(wanted[:, None], fitted, 0).astype(np.int16)


def _counted(tables: Sequence[EntropyTables], traces: Iterable[Sequence[Trace]]) -> tuple[EntropyTables, ...]:
    """Tables with the frequencies of what was coded."""
    counts = [_Counts(table) for table in tables]
    for chunk in traces:
        for part, found in zip(counts, chunk, strict=True):
            part.add(found)
    made = [{**table.arrays(), **part.frequencies()} for table, part in zip(tables, counts, strict=True)]
    return _made(made)


class _Counts:
    """What was coded of a part, in all chunks.

    Args:
        tables: of the part.
    """

    def __init__(self, tables: EntropyTables) -> None:
        self.axes = tables.axes
        self.residuals = np.zeros((SCALES * LEVELS, TOKENS), np.int64)
        self.heads = np.zeros((tables.channels, 2, modes(tables.axes)), np.int64)
        self.classes: list[NDArray[np.int64]] = []

    def add(self, found: Trace) -> None:
        """Add a chunk, which may lack channels."""
        from liveaction.coding.fit_numba import count

        count(found.contexts, found.values, self.residuals)
        classes = found.classes.astype(np.int64)
        np.add.at(self.heads, (np.arange(len(classes)), (classes > 0) + 0, found.taken), 1)
        self.classes.append(classes)

    def frequencies(self) -> dict[str, NDArray[Any]]:
        """Tables of the counts, with the generic frequencies added."""
        channels, kinds = len(self.heads), mode_weights(self.axes)
        steps, pairs = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
        for classes in self.classes:
            both = np.flatnonzero((classes[1:] > 0) & (classes[:-1] > 0)) + 1
            steps[both] += classes[both] - classes[both - 1]
            pairs[both] += 1
        offset = np.clip(np.rint(steps / np.maximum(pairs, 1)), -127, 127).astype(np.int64)
        counts = np.zeros((CLASSES + 1, CLASSES), np.int64)
        for classes in self.classes:
            counts[CLASSES, classes[0]] += 1
            np.add.at(counts, (class_rows(classes[:-1], offset[1 : len(classes)]), classes[1:]), 1)
        flat = [row for levels in residual_weights() for row in levels]
        starts = zip(counts, class_weights(), strict=True)
        taken = [[quantised(_added(*pair, MODE_COUNTS), 1) for pair in zip(c, kinds, strict=True)] for c in self.heads]
        rows = zip(self.residuals, flat, strict=True)
        return {
            "class_offset": offset.astype(np.int8),
            "classes": np.stack([quantised(_added(*pair, CLASS_COUNTS), 1) for pair in starts]),
            "modes": np.array(taken),
            "residuals": np.stack([with_escape(_added(*pair, COUNTS)) for pair in rows]),
        }


def _added(counts: NDArray[np.int64], weights: list[int], strength: int) -> list[int]:
    """Integer counts with ``weights`` added as if they were ``strength`` counts."""
    total = sum(weights)
    return [int(n) * total + strength * w for n, w in zip(counts, weights, strict=True)]
