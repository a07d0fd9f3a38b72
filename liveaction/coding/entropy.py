"""Symbols to bytes and back: integers only, so that the same symbols are the same bytes on every machine.

A chunk is coded by itself: part after part, coarse to fine, channel after channel, each symbol predicted from its
neighbours, and the rest coded by a table that the magnitudes around it choose. docs/entropy.md says all of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.layout import (
    BORDER_BITS,
    CLASSES,
    DIRECT,
    LARGEST,
    STATE_BOTTOM,
    Magnitudes,
    bins,
    class_scales,
    plane,
    raised,
)
from liveaction.coding.tables import EntropyTables
from liveaction.errors import FormatError

HEAD = 5
"""Bytes of the state in front, little-endian; then come words of two."""

POSITIONS = 1 << 14
"""A part of a chunk has no more; 4096 are usual."""
Parts = Sequence[NDArray[np.int32]]
"""Symbols ``[L_i, *c_i]`` of a chunk, coarse to fine; the last part is the grid of tokens."""
Tables = Sequence[EntropyTables]
"""Those of each part."""


@dataclass(frozen=True)
class Trace:
    """What a part ``[L, *c]`` of a chunk consists of for its tables.

    Attributes:
        classes, taken, bases: int32 ``[L]``, each channel's class, predictor, and value around it.
        contexts: uint16 ``[n]``, the row of residual frequencies of each symbol in a channel that is not of class 0.
        values: uint32 ``[n]``, its residual r, as 2 r - 1 above 0 and -2 r else.
        magnitudes: what later channels looked at, for :func:`next_magnitudes`.
    """

    classes: NDArray[np.int32]
    taken: NDArray[np.int32]
    bases: NDArray[np.int32]
    contexts: NDArray[np.uint16]
    values: NDArray[np.uint32]
    magnitudes: Magnitudes


def trace_chunk(parts: Parts, tables: Tables) -> list[Trace]:
    """Contexts and values of the parts ``[L_i, *c_i]`` of a chunk, coarse to fine.

    Raises:
        FormatError: other channels or axes than the tables', parts whose grids do not follow each other, nothing in
            one, or a symbol of 2**24 or more in size.
    """
    shapes = [part.shape for part in parts]
    check_shapes(shapes, tables, "symbols")
    found: list[Trace] = []
    for part, table in zip(parts, tables, strict=True):
        near = next_magnitudes(found[-1].magnitudes if found else None, shapes, len(found))
        found.append(trace_part(part, table, near))
    return found


def trace_part(part: NDArray[np.int32], table: EntropyTables, near: Magnitudes) -> Trace:
    """:func:`trace_chunk` of a part ``[L, *c]``, with room for its magnitudes from :func:`next_magnitudes`.

    Raises:
        FormatError: a symbol of 2**24 or more in size.
    """
    from liveaction.coding.trace_numba import trace

    check_symbols(part)
    flat = np.require(part, np.int32, ["C", "W"]).reshape(len(part), -1)
    heads = np.zeros(len(flat), np.int32), np.zeros(len(flat), np.int32), np.zeros(len(flat), np.int32)
    contexts, values = np.empty(flat.size, np.uint16), np.empty(flat.size, np.uint32)
    at = plane(part.shape[1:])
    count = trace(flat, at, table.context, class_scales(), bins(), near, heads, contexts, values)
    return Trace(*heads, contexts[:count], values[:count], near)


def check_symbols(part: NDArray[np.int32]) -> None:
    """Refuse symbols that no decoder takes.

    Raises:
        FormatError: a symbol of 2**24 or more in size.
    """
    largest = max(int(part.max()), -int(part.min()))
    if largest >= LARGEST:
        raise FormatError(f"symbols: expected sizes below 2**24, got {largest}; take a greater quantiser step")


def next_magnitudes(before: Magnitudes | None, shapes: Sequence[tuple[int, ...]], i: int) -> Magnitudes:
    """Room for those of part ``i``, with the coarser part's, ``before``, on its grid."""
    from liveaction.coding.context_numba import spread

    outer = shapes[i - 1][0] if before else 0
    rows, count = outer + shapes[i][0], prod(shapes[i][1:])
    # rows that are empty are never read, and of a large allocation nothing is touched before it is written
    made = Magnitudes(np.empty((rows, count), np.uint16), np.empty((rows, count), np.uint16), np.ones(rows, np.bool_))
    if before:
        spread(before, len(before.empty) - outer, raised(shapes[i - 1][1:], shapes[i][1:]), made)
    return made


def trace_bytes(found: Sequence[Trace], tables: Tables) -> bytes:
    """The bytes of a chunk of which :func:`trace_chunk` found this."""
    from liveaction.coding.rans_numba import encode

    # a step gives out a word at most; a value takes four (escape, its token, raw bits twice), a channel's head five
    words = np.empty(sum(4 * len(part.values) + 5 * len(part.classes) for part in found), np.uint16)
    state, count = STATE_BOTTOM, 0
    for part, table in zip(reversed(found), reversed(tables), strict=True):  # the decoder takes from a stack
        heads = part.classes, part.taken, part.bases, table.class_offset.astype(np.int64)
        state, count = encode(heads, part.contexts, part.values, table.sums, table.inverses, state, words, count)
    return int(state).to_bytes(HEAD, "little") + words[:count][::-1].astype("<u2").tobytes()


def ideal_bits(parts: Parts, tables: Tables) -> float:
    """Bits that the tables' frequencies give the parts ``[L_i, *c_i]`` of a chunk, side information included."""
    return sum(trace_bits(found, table) for found, table in zip(trace_chunk(parts, tables), tables, strict=True))


def trace_bits(found: Trace, tables: EntropyTables) -> float:
    """:func:`ideal_bits` of what :func:`trace_chunk` found of a part; counts all that ``rans_numba.encode`` puts."""
    from liveaction.coding.rdo_numba import value_bits

    classes, taken = found.classes.astype(np.int64), found.taken
    before = np.concatenate([[CLASSES], classes[:-1]])
    rows = class_rows(before, tables.class_offset.astype(np.int64))
    bits = _cost(tables.classes[rows, classes]) + _cost(tables.modes[np.arange(len(taken)), (classes > 0) + 0, taken])
    lengths = np.frexp((2 * np.abs(found.bases) - (found.bases > 0)).astype(np.float64))[1]
    bits += float((BORDER_BITS + np.maximum(lengths - 1, 0))[taken > 0].sum())
    return bits + float(value_bits(found.contexts, found.values, tables.costs.residuals))


def class_rows(before: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of the table of classes by the preceding channels' classes, CLASSES before the first, and usual steps.

    Must stay equal to ``rans_numba.class_row``.
    """
    moved = np.clip(before + offsets, 1, CLASSES - 1)
    return np.where((before > 0) & (before < CLASSES), moved, before)


def tokens(values: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tokens of residual values, and how many raw bits follow each; must stay equal to ``rans_numba._put_rest``."""
    values = values.astype(np.int64)
    top = np.frexp(np.maximum(values, 1).astype(np.float64))[1].astype(np.int64) - 1
    large = values >= DIRECT
    shift = np.maximum(top - 2, 0)
    return np.where(large, DIRECT + 4 * (top - 5) + ((values >> shift) & 3), values), np.where(large, shift, 0)


def _cost(frequencies: NDArray[np.uint16]) -> float:
    return float((16 - np.log2(frequencies.astype(np.float64))).sum())


def check_shapes(shapes: Sequence[tuple[int, ...]], tables: Tables, where: str) -> None:
    """Refuse parts of shapes ``[L_i, *c_i]`` that are not those of tables.

    Raises:
        FormatError: they are not as many, or one has other channels or axes, is empty or too large, or its grid does
            not follow the one before.
    """
    if len(shapes) != len(tables) or not shapes:
        raise FormatError(f"{where}: expected a chunk of {len(tables)} parts, got {len(shapes)}")
    for i, (shape, table) in enumerate(zip(shapes, tables, strict=True)):
        if len(shape) != table.axes + 1 or shape[0] != table.channels or min(shape) < 1:
            raise FormatError(f"{where}: expected {table.channels} channels and {table.axes} axes, got {tuple(shape)}")
        if prod(shape[1:]) > POSITIONS:
            raise FormatError(f"{where}: expected at most {POSITIONS} positions in a chunk, got {prod(shape[1:])}")
        before = shapes[i - 1] if i else (0, *shape[1:])
        if before[0] != table.outer:
            raise FormatError(f"{where}: expected {table.outer} channels in the coarser part, got {before[0]}")
        if len(before) != len(shape) or not all(m <= n <= 2 * m for m, n in zip(before[1:], shape[1:], strict=True)):
            raise FormatError(
                f"{where}: expected axes as long as in the coarser part or up to twice that, got {shape[1:]} behind "
                f"{before[1:]}"
            )
