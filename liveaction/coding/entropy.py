"""Symbols to bytes and back: integers only, so that the same symbols are the same bytes on every machine.

A chunk is coded by itself: channel after channel, each symbol predicted from its neighbours, and the rest coded by a
table that the magnitudes around it choose. docs/entropy.md says all of it.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.layout import (
    BORDER_BITS,
    CLASSES,
    DIRECT,
    ESCAPE,
    ESCAPE_BITS,
    LARGEST,
    STATE_BOTTOM,
    bins,
    class_scales,
    plane,
)
from liveaction.coding.tables import EntropyTables
from liveaction.errors import FormatError

HEAD = 5
"""Bytes of the state in front, little-endian; then come words of two."""

POSITIONS = 1 << 14
"""A chunk has no more; 4096 are usual."""


@dataclass(frozen=True)
class Trace:
    """What a chunk ``[L, *c]`` consists of for the tables.

    Attributes:
        classes, taken, bases: int32 ``[L]``, each channel's class, predictor, and value around it.
        contexts: uint16 ``[n]``, the row of residual frequencies of each symbol in a channel that is not of class 0.
        values: uint32 ``[n]``, its residual r, as 2 r - 1 above 0 and -2 r else.
    """

    classes: NDArray[np.int32]
    taken: NDArray[np.int32]
    bases: NDArray[np.int32]
    contexts: NDArray[np.uint16]
    values: NDArray[np.uint32]


def trace_chunk(symbols: NDArray[np.int32], tables: EntropyTables) -> Trace:
    """Contexts and values of a chunk ``[L, *c]``.

    Raises:
        FormatError: other channels or axes than the tables', nothing in it, or a symbol of 2**24 or more in size.
    """
    from liveaction.coding.context_numba import trace

    where = "symbols"
    _check_shape(symbols.shape, tables, where)
    largest = max(int(symbols.max()), -int(symbols.min()))
    if largest >= LARGEST:
        raise FormatError(f"{where}: expected sizes below 2**24, got {largest}; take a greater quantiser step")
    flat = np.require(symbols, np.int32, ["C", "W"]).reshape(len(symbols), -1)
    at = plane(symbols.shape[1:])
    heads = np.zeros(len(flat), np.int32), np.zeros(len(flat), np.int32), np.zeros(len(flat), np.int32)
    contexts, values = np.empty(flat.size, np.uint16), np.empty(flat.size, np.uint32)
    count = trace(flat, at, tables.context, class_scales(), bins(), *heads, contexts, values)
    return Trace(*heads, contexts[:count], values[:count])


def encode_chunk(symbols: NDArray[np.int32], tables: EntropyTables) -> bytes:
    """Bytes of a chunk ``[L, *c]`` of symbols smaller than 2**24 in size, of any strides.

    Raises:
        FormatError: see :func:`trace_chunk`.
    """
    from liveaction.coding.rans_numba import encode

    found = trace_chunk(symbols, tables)
    # a step gives out a word at most; a value takes four (escape, its token, raw bits twice), a channel's head five
    words = np.empty(4 * len(found.values) + 5 * len(found.classes), np.uint16)
    heads = found.classes, found.taken, found.bases, tables.class_offset.astype(np.int64)
    state, count = encode(heads, found.contexts, found.values, tables.sums, tables.inverses, words)
    return int(state).to_bytes(HEAD, "little") + words[:count][::-1].astype("<u2").tobytes()


def decode_chunk(data: bytes, shape: tuple[int, ...], tables: EntropyTables, where: str) -> NDArray[np.int32]:
    """Symbols of ``shape`` = ``[L, *c]`` from :func:`encode_chunk`; memory and time are bounded by ``shape``.

    Raises:
        FormatError: the bytes are not those of such a chunk, or ``shape`` is not one of the tables'.
    """
    from liveaction.coding.rans_numba import GOOD, NO_TOKEN, TOO_LARGE, decode

    _check_shape(shape, tables, where)
    if len(data) < HEAD or len(data) % 2 != HEAD % 2:
        raise FormatError(f"{where}: expected {HEAD} bytes and an even number more, got {len(data)}")
    state = int.from_bytes(data[:HEAD], "little")
    if state < STATE_BOTTOM:
        raise FormatError(f"{where}: expected a state from 2**24 on, got {state}; the data are damaged")
    words = np.frombuffer(data, "<u2", offset=HEAD).astype(np.uint16)
    symbols = np.empty((shape[0], prod(shape[1:])), np.int32)
    offsets = tables.class_offset.astype(np.int64)
    found, last, read = decode(
        symbols, plane(shape[1:]), tables.context, class_scales(), bins(), offsets, tables.sums, state, words
    )
    if found == TOO_LARGE:
        raise FormatError(f"{where}: expected symbols below 2**24 in size, got others; the data are damaged")
    if found == NO_TOKEN:
        raise FormatError(f"{where}: expected a token, got a number without meaning; the data are damaged")
    if found != GOOD or read != len(words):
        more = " or more" if found != GOOD else ""
        raise FormatError(f"{where}: expected {read}{more} words of symbols, got {len(words)}; the data are damaged")
    if last != STATE_BOTTOM:
        raise FormatError(f"{where}: expected the state 2**24 at the end, got {last}; the data are damaged")
    return symbols.reshape(shape)


def ideal_bits(symbols: NDArray[np.int32], tables: EntropyTables) -> float:
    """Bits that the tables' frequencies give a chunk ``[L, *c]``, side information included."""
    return trace_bits(trace_chunk(symbols, tables), tables)


def trace_bits(found: Trace, tables: EntropyTables) -> float:
    """:func:`ideal_bits` of what :func:`trace_chunk` found; must count all that ``rans_numba.encode`` puts."""
    classes, taken = found.classes.astype(np.int64), found.taken
    before = np.concatenate([[CLASSES], classes[:-1]])
    rows = class_rows(before, tables.class_offset.astype(np.int64))
    bits = _cost(tables.classes[rows, classes]) + _cost(tables.modes[np.arange(len(taken)), (classes > 0) + 0, taken])
    lengths = np.frexp((2 * np.abs(found.bases) - (found.bases > 0)).astype(np.float64))[1]
    bits += float((BORDER_BITS + np.maximum(lengths - 1, 0))[taken > 0].sum())
    token, raw = tokens(found.values)
    frequency = tables.residuals[found.contexts, token]
    escaped = frequency == 0
    frequency = np.where(escaped, tables.residuals[found.contexts, ESCAPE], frequency)
    return bits + _cost(frequency) + float(raw.sum() + ESCAPE_BITS * escaped.sum())


def class_rows(before: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of the table of classes by the preceding channels' classes, CLASSES before the first, and usual steps.

    Must stay equal to ``rans_numba._class_row``.
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


def _check_shape(shape: tuple[int, ...], tables: EntropyTables, where: str) -> None:
    if len(shape) != tables.axes + 1 or shape[0] != tables.channels or min(shape) < 1:
        raise FormatError(f"{where}: expected {tables.channels} channels and {tables.axes} axes, got {tuple(shape)}")
    if prod(shape[1:]) > POSITIONS:
        raise FormatError(f"{where}: expected at most {POSITIONS} positions in a chunk, got {prod(shape[1:])}")
