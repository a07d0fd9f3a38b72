"""Tables of the entropy coder: integers that a model carries, made without data or fitted to some."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.components import first_rows, rows_of
from liveaction.coding.costs import Costs, costs_of
from liveaction.coding.layout import (
    PREDICT_ONE,
    SOURCES,
    TRAINED,
    WEIGHT_ONE,
    fixed_predictors,
    neighbours,
)
from liveaction.coding.priors import (
    FREQUENCIES,
    class_weights,
    mode_weights,
    quantised,
    residual_weights,
    with_escape,
)
from liveaction.coding.table_checks import DTYPES, check_arrays

_OF_ROWS = ("predict", "activity", "class_offset", "modes")
"""Arrays with a row per channel, beside the sources."""


class Sums(NamedTuple):
    """Cumulative frequencies, each row from 0 to 2**16.

    Attributes:
        classes: int32 ``[79, 79]``.
        modes: int32 ``[L, 2, 4 + D]``.
        residuals: int32 ``[512, 118]``.
        firsts: the first token that a residual's slot may have, uint8 ``[512, 256]`` by the slot's upper byte.
    """

    classes: NDArray[np.int32]
    modes: NDArray[np.int32]
    residuals: NDArray[np.int32]
    firsts: NDArray[np.uint8]


class Contexts(NamedTuple):
    """What predictions and activities are made of, all int32.

    Attributes:
        predictors: ``[3 + D, F]``, weights of every mode; a channel's own take the row of the trained ones.
        trained: ``[L, F]``, those.
        activity: ``[L, F + 1 + 2 * K]``.
        sources: ``[L, K]``.
    """

    predictors: NDArray[np.int32]
    trained: NDArray[np.int32]
    activity: NDArray[np.int32]
    sources: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class EntropyTables:
    """Integers that decide how a part ``[L, *c]`` of D axes is coded; F causal neighbours, K sources.

    Attributes:
        predict: int16 ``[L, F]``, the trained predictor of each channel, in 256ths.
        activity: uint16 ``[L, F + 1 + 2 * K]``, weights in 1024ths of the neighbours, of 1, and of each source: at the
            position, and around it.
        sources: int16 ``[L, K]``, rows of the coarser part, then preceding channels behind them; -1 for none. Tables
            for other components, which are in no file, may have int32.
        class_offset: int8 ``[L]``, usual step of the class from the preceding channel.
        classes: uint16 ``[79, 78]``, frequencies of a class by the preceding one, moved on by the usual step; the last
            row is for the first channel.
        modes: uint16 ``[L, 2, 3 + D]``, frequencies of predictors, for class 0 and others.
        residuals: uint16 ``[512, 117]``, frequencies of tokens by scale and level; the last token is the escape.
        outer: M, channels of the coarser part; 0 for a first part.
    """

    axes: int
    predict: NDArray[np.int16]
    activity: NDArray[np.uint16]
    sources: NDArray[np.int16] | NDArray[np.int32]
    class_offset: NDArray[np.int8]
    classes: NDArray[np.uint16]
    modes: NDArray[np.uint16]
    residuals: NDArray[np.uint16]
    outer: int = 0

    @property
    def channels(self) -> int:
        """L."""
        return len(self.predict)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All integers by name, for a file; ``axes`` is uint8 ``[1]``, ``outer`` uint16 ``[1]``, left out where 0."""
        outer = {"outer": np.array([self.outer], np.uint16)} if self.outer else {}
        return {name: getattr(self, name) for name in DTYPES} | {"axes": np.array([self.axes], np.uint8)} | outer

    def for_components(self, components: int, bands: int) -> "EntropyTables":
        """Tables of ``components * bands`` rows, component-major, from these of a whole number of components.

        Of fewer components these are the first; beyond the last, its rows are repeated with their sources moved on.

        Args:
            components: K, from 1 on.
            bands: n, rows of a component.
        """
        if components * bands == self.channels:
            return self
        if (components, bands) not in self._others:
            found = rows_of(components, bands, self.sources, self.outer)
            of_rows = {name: getattr(self, name)[found.rows] for name in _OF_ROWS}
            made = replace(self, **of_rows, sources=found.sources, outer=found.outer)
            self._others[components, bands] = made
        return self._others[components, bands]

    def first(self, rows: int, outer: int) -> "EntropyTables":
        """Tables of the first rows, behind a coarser part that has the first ``outer`` of its rows."""
        if rows == self.channels and outer == self.outer:
            return self
        of_rows = {name: getattr(self, name)[:rows] for name in _OF_ROWS}
        sources = first_rows(rows, outer, self.sources, self.outer)
        return replace(self, **of_rows, sources=sources, outer=outer)

    @cached_property
    def _others(self) -> dict[tuple[int, int], "EntropyTables"]:
        return {}

    @cached_property
    def sums(self) -> "Sums":
        """For the loops: cumulative frequencies."""
        classes, modes, residuals = (_cumulative(table) for table in (self.classes, self.modes, self.residuals))
        slots = np.arange(0, FREQUENCIES, 256)  # the least slot of every upper byte
        firsts = np.stack([np.searchsorted(row[1:], slots, side="right") for row in residuals]).astype(np.uint8)
        return Sums(classes, modes, residuals, firsts)

    @cached_property
    def inverses(self) -> NDArray[np.int64]:
        """For the loops, int64 ``[512, 117]``: 2**32 over a residual's frequency, rounded down."""
        return (1 << 32) // np.maximum(self.residuals.astype(np.int64), 1)

    @cached_property
    def costs(self) -> Costs:
        """For an encoder: bits."""
        return costs_of(self.residuals, self.classes, self.modes)

    @cached_property
    def context(self) -> "Contexts":
        """For the loops: what predictions and activities are made of."""
        fixed = fixed_predictors(self.axes)
        room = np.concatenate([fixed[:TRAINED], fixed[:1], fixed[TRAINED:]])
        trained, activity, sources = (a.astype(np.int32) for a in (self.predict, self.activity, self.sources))
        return Contexts(room, trained, activity, sources)

    @cached_property
    def digest(self) -> str:
        """:func:`arrays_digest` of all arrays."""
        return arrays_digest(self.arrays())

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], where: str) -> "EntropyTables":
        """Tables from :meth:`arrays`, checked.

        Raises:
            FormatError: an array is missing or of another shape or dtype, a weight out of range, a sum not 2**16.
        """
        axes, outer = check_arrays(arrays, where)
        made = {name: np.ascontiguousarray(arrays[name], DTYPES[name]) for name in DTYPES}
        for array in made.values():
            array.flags.writeable = False
        return cls(axes, **made, outer=outer)


def arrays_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of names, shapes and little-endian content, by names in ASCII order, in hexadecimal."""
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name}{list(array.shape)}".encode())
        found.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()


def tables_digest(tables: Sequence[EntropyTables]) -> str:
    """Of a codec's tables, in hexadecimal: of one part its own digest, of several the SHA-256 of theirs in a row."""
    if len(tables) == 1:
        return tables[0].digest
    return hashlib.sha256("".join(table.digest for table in tables).encode()).hexdigest()


def _cumulative(table: NDArray[np.uint16]) -> NDArray[np.int32]:
    ends = np.cumsum(table, -1, dtype=np.int32)
    return np.concatenate([np.zeros_like(ends[..., :1]), ends], -1)


# Weights of activity without data. By trial on latents of CT, pictures and music, which pull in different directions:
# half or twice a number gives bits within 1.7 % of these, and all weights times 0.85 to 1.2 within 1.2 %.
_GENERIC_NEAR = {(1, 1): 4, (2, 1): 1, (2, 2): 1}
"""Relative weight of a neighbour by sum and maximum of its distances: next along an axis, diagonal, two away."""
_GENERIC_CONSTANT = 51
"""A 20th of WEIGHT_ONE, so that no activity is 0 where all around is."""
_GENERIC_SHARES = (162, 113, 79, 56)
"""Of the sources, nearest first: two fifths of WEIGHT_ONE together, each 0.7 of the one before."""


def generic_tables(channels: int, axes: int, outer: int = 0) -> EntropyTables:
    """Tables made without any data, the same on every machine.

    Args:
        channels: L.
        axes: D, from 1 to 4.
        outer: channels of the coarser part; 0 for a first part.
    """
    offsets = neighbours(axes)
    near = [_GENERIC_NEAR[sum(map(abs, offset)), max(map(abs, offset))] for offset in offsets]
    scale = WEIGHT_ONE // 2 // sum(near)  # the neighbours together have half
    own = [w * scale for w in near] + [_GENERIC_CONSTANT]
    rows = range(outer, outer + channels)
    sources = np.array([[max(c - 1 - j, -1) for j in range(SOURCES)] for c in rows], np.int16)
    # of a share, 11 parts in 20 for the position itself, 9 for all 2 D next to it together
    across = [w for share in _GENERIC_SHARES for w in (share * 11 // 20, share * 9 // (20 * 2 * axes))]
    heads = [quantised(row, 1) for row in mode_weights(axes)]
    arrays: dict[str, NDArray[Any]] = {
        "axes": np.array([axes], np.uint8),
        "predict": np.tile(_generic_predictor(axes), (channels, 1)),
        "activity": np.tile(np.array(own + across, np.uint16), (channels, 1)),
        "sources": sources,
        "class_offset": np.zeros(channels, np.int8),
        "classes": np.stack([quantised(row, 1) for row in class_weights()]),
        "modes": np.tile(np.stack(heads), (channels, 1, 1)),
        "residuals": _generic_residuals().copy(),
    }
    if outer:
        arrays["outer"] = np.array([outer], np.uint16)
    return EntropyTables.from_arrays(arrays, "generic tables")


@lru_cache(1)
def _generic_residuals() -> NDArray[np.uint16]:
    """The rows of all scales and levels, which are the same for all tables."""
    return np.stack([with_escape(row) for levels in residual_weights() for row in levels])


def _generic_predictor(axes: int) -> NDArray[np.int16]:
    """(D + 1) / 2D of the last along each axis, less 1 / D of those diagonally between two of them; 1 in sum.

    That is half the mean of the last, and half of what continues a sum of functions of single axes (Lorenzo), where
    those with three and four coordinates, which are no neighbours, are taken to be the mean of the diagonal ones. For
    D = 1 it is the last symbol, for D = 2 three quarters of each less half of the diagonal.
    """
    weights = [0] * len(neighbours(axes))
    for i, offset in enumerate(neighbours(axes)):
        if min(offset) == -1 and max(offset) <= 0:
            one = sum(offset) == -1
            weights[i] = PREDICT_ONE * (axes + 1) // (2 * axes) if one else -(PREDICT_ONE // axes)
    weights[0] += PREDICT_ONE - sum(weights)
    return np.array(weights, np.int16)
