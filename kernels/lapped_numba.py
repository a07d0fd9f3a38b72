"""Lapped axes on CPUs, compiled by Numba: block by block in the cache, LANES blocks at a time.

With others behind it, an axis is done in place, columns as lanes, and its rows then count (block, band). The last axis
takes neighbouring blocks as lanes, and its bands end in the order of the plan. Products take 4 rows and 4 columns of
:class:`liveaction.kernels.lapped.AxisBlocks` at a time. Every output is the same sum in the same order, whatever the
tile or the number of threads.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator"

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from liveaction.kernels.lapped import AxisBlocks
from liveaction.kernels.parallel import in_threads
from liveaction.kernels.quantize_numba import _compand, _expand
from liveaction.kernels.wavelet_places_numba import _places

LANES = 128
SHARE = 2**20
"""Samples of a task, about."""

Floats = NDArray[np.float32]
_compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"}, error_model="numpy")
_HALF = np.float32(0.5)


@_compiled
def _product(table, count, source, begin, target, first):
    """Rows of ``target`` from ``first`` on are ``table`` times ``count`` rows of ``source`` from ``begin`` on.

    Rows that only pad the table are written too: up to three behind the last one.
    """
    for i in range(0, table.shape[0], 4):
        t0, t1 = np.uint64((first + i) * LANES), np.uint64((first + i + 1) * LANES)
        t2, t3 = np.uint64((first + i + 2) * LANES), np.uint64((first + i + 3) * LANES)
        for j in range(0, table.shape[1], 4):
            # of columns that only pad the table any row is read
            r0, r1 = np.uint64((begin + j) * LANES), np.uint64((begin + min(j + 1, count - 1)) * LANES)
            r2, r3 = (
                np.uint64((begin + min(j + 2, count - 1)) * LANES),
                np.uint64((begin + min(j + 3, count - 1)) * LANES),
            )
            a0, a1, a2, a3 = table[i, j], table[i, j + 1], table[i, j + 2], table[i, j + 3]
            b0, b1, b2, b3 = table[i + 1, j], table[i + 1, j + 1], table[i + 1, j + 2], table[i + 1, j + 3]
            c0, c1, c2, c3 = table[i + 2, j], table[i + 2, j + 1], table[i + 2, j + 2], table[i + 2, j + 3]
            d0, d1, d2, d3 = table[i + 3, j], table[i + 3, j + 1], table[i + 3, j + 2], table[i + 3, j + 3]
            if j == 0:
                for lane in range(LANES):
                    k = np.uint64(lane)
                    v0, v1, v2, v3 = source[r0 + k], source[r1 + k], source[r2 + k], source[r3 + k]
                    target[t0 + k] = a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3
                    target[t1 + k] = b0 * v0 + b1 * v1 + b2 * v2 + b3 * v3
                    target[t2 + k] = c0 * v0 + c1 * v1 + c2 * v2 + c3 * v3
                    target[t3 + k] = d0 * v0 + d1 * v1 + d2 * v2 + d3 * v3
            else:
                for lane in range(LANES):
                    k = np.uint64(lane)
                    v0, v1, v2, v3 = source[r0 + k], source[r1 + k], source[r2 + k], source[r3 + k]
                    target[t0 + k] += a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3
                    target[t1 + k] += b0 * v0 + b1 * v1 + b2 * v2 + b3 * v3
                    target[t2 + k] += c0 * v0 + c1 * v1 + c2 * v2 + c3 * v3
                    target[t3 + k] += d0 * v0 + d1 * v1 + d2 * v2 + d3 * v3


@_compiled
def _border(left, right, shift, factor, table, parts):
    """Filter the last rows of the block ``left`` and the first ones of ``right``, in place.

    Lane k of the right is beside lane ``k - shift`` of the left, shift 0 or 1.
    """
    half = factor // 2
    products = (half + 3) // 4 * 4
    count = LANES - shift
    for i in range(half):
        near, far = left[(factor - 1 - i) * LANES :][:count], right[i * LANES + shift :][:count]
        difference = parts[i * LANES :][:count]
        for lane in range(count):
            a, b = near[lane], far[lane]
            difference[lane] = a - b
            near[lane] = _HALF * (a + b)
    _product(table, half, parts, 0, parts, products)
    for i in range(half):
        near, far = left[(factor - 1 - i) * LANES :][:count], right[i * LANES + shift :][:count]
        difference = parts[(products + i) * LANES :][:count]
        for lane in range(count):
            mean, more = near[lane], difference[lane]
            near[lane] = mean + more
            far[lane] = mean - more


@_compiled
def _fold(block, n):
    """Mirrored rows of the first ``n`` become their sums, at the earlier one, and differences, at the later one."""
    for i in range(n // 2):
        one, other = block[i * LANES :][:LANES], block[(n - 1 - i) * LANES :][:LANES]
        for lane in range(LANES):
            a, b = one[lane], other[lane]
            one[lane] = a + b
            other[lane] = a - b


@_compiled
def _transform(block, factor, folds, even, odd, bands):
    """Samples of a block, which are lost, to bands, in the order of the tables."""
    n, at, row = factor, 0, len(even)
    for fold in range(folds + 1):
        half = n // 2
        wide = (half + 3) // 4 * 4
        _fold(block, n)
        _product(odd[at : at + wide * wide].reshape(wide, wide), half, block, n - half, bands, row)
        at, row = at + wide * wide, row + wide
        if fold < folds:
            n = half
    _product(even, n - n // 2, block, 0, bands, 0)


@_compiled
def _transform_back(bands, factor, folds, even, odd, parts, block):
    """Inverse of :func:`_transform`; ``parts`` is lost."""
    n, at, row = factor >> folds, len(odd), len(even)
    for fold in range(folds):
        row += factor >> fold + 1
    _product(even, n - n // 2, bands, 0, block, 0)
    for _ in range(folds + 1):
        half = n // 2
        wide = (half + 3) // 4 * 4
        at -= wide * wide
        _product(odd[at : at + wide * wide].reshape(wide, wide), half, bands, row, parts, 0)
        for i in range(half):
            one, other = block[i * LANES :][:LANES], block[(n - 1 - i) * LANES :][:LANES]
            difference = parts[(half - 1 - i) * LANES :][:LANES]
            for lane in range(LANES):
                a, b = one[lane], difference[lane]
                one[lane] = a + b
                other[lane] = a - b
        n, row = 2 * n, row - n


@_compiled
def _move(values, tile, left, width, begin, order, load):
    """Rows of ``[outer, N, inner]`` from ``begin`` on to rows ``order`` of a tile, or back.

    Lane 0 is column ``left`` of (outer, inner).
    """
    inner = values.shape[2]
    lane = 0
    while lane < width:
        outer, column = (left + lane) // inner, (left + lane) % inner
        run = min(inner - column, width - lane)
        for row in range(len(order)):
            there, here = values[outer, begin + row, column : column + run], tile[order[row] * LANES + lane :][:run]
            if load:
                for k in range(run):
                    here[k] = there[k]
            else:
                for k in range(run):
                    there[k] = here[k]
        lane += run


@_compiled
def _columns(source, target, begin, end, factor, tables, forward):
    """Axis 1 of ``[outer, N, inner]`` for the columns ``begin`` to ``end`` of (outer, inner); may be in place."""
    folds, border, even, odd, order = tables
    blocks, plain = source.shape[1] // factor, np.arange(factor)
    size = (factor + 8) * LANES
    one, two, bands, parts = (
        np.zeros(size, np.float32),
        np.zeros(size, np.float32),
        np.zeros(size, np.float32),
        np.zeros(size, np.float32),
    )
    for left in range(begin, end, LANES):
        width = min(LANES, end - left)
        if forward:
            _move(source, one, left, width, 0, plain, True)
        for p in range(blocks):
            if forward:
                if p + 1 < blocks:
                    _move(source, two, left, width, (p + 1) * factor, plain, True)
                    _border(one, two, 0, factor, border, parts)
                _transform(one, factor, folds, even, odd, bands)
                _move(target, bands, left, width, p * factor, order, False)
            else:
                _move(source, bands, left, width, p * factor, order, True)
                _transform_back(bands, factor, folds, even, odd, parts, two)
                if p > 0:
                    _border(one, two, 0, factor, border, parts)
                    _move(target, one, left, width, (p - 1) * factor, plain, False)
            one, two = two, one
        if not forward:
            _move(target, one, left, width, (blocks - 1) * factor, plain, False)


@_compiled
def _borders(tile, factor, start, blocks, table, parts, kept):
    """All borders between the lanes of a tile but those between two rows; lane 0 is block ``start`` of all rows."""
    if blocks == 1:
        return
    half = factor // 2
    first = (blocks - start % blocks) % blocks
    for lane in range(first, LANES, blocks):
        for i in range(half):
            kept[2 * i * LANES + lane] = tile[i * LANES + lane]
            kept[(2 * i + 1) * LANES + lane] = tile[(factor - 1 - i) * LANES + max(lane - 1, 0)]
    _border(tile, tile, 1, factor, table, parts)
    for lane in range(first, LANES, blocks):
        for i in range(half):
            tile[i * LANES + lane] = kept[2 * i * LANES + lane]
            if lane > 0:
                tile[(factor - 1 - i) * LANES + lane - 1] = kept[(2 * i + 1) * LANES + lane]


@_compiled
def _turn(flat, tile, left, right, start, factor, load):
    """Blocks as lanes ``left`` to ``right`` of a tile from contiguous samples, or back; lane 0 is block ``start``."""
    for begin in range(0, factor, 16):
        for lane in range(left, right):
            at = (start + lane) * factor
            for i in range(begin, min(begin + 16, factor)):
                if load:
                    tile[i * LANES + lane] = flat[at + i]
                else:
                    flat[at + i] = tile[i * LANES + lane]


@_compiled
def _place(packets, tile, left, right, start, order, blocks, places, store):
    """Bands, rows ``order`` of a tile, of lanes ``left`` to ``right`` to their places, or back; lane 0 is ``start``."""
    lane = left
    while lane < right:
        row, p = (start + lane) // blocks, (start + lane) % blocks
        run = min(blocks - p, right - lane)
        batch, band, block = _places(row, places)
        for f in range(len(order)):
            there = packets[batch, places[0][band * len(order) + f], block, p : p + run]
            here = tile[order[f] * LANES + lane :][:run]
            if store:
                for k in range(run):
                    there[k] = here[k]
            else:
                for k in range(run):
                    here[k] = there[k]
        lane += run


@_compiled
def _last(flat, packets, begin, end, places, factor, tables, forward, companded):
    """Blocks ``begin`` to ``end`` of the last axis of all rows, or back; see :func:`along_last`.

    A tile has a block before and one behind those that it is for, as far as there are such.
    """
    folds, border, even, odd, order = tables
    blocks, total = packets.shape[3], len(flat) // factor
    size = (factor + 8) * LANES
    tile, bands, parts, kept = (
        np.zeros(size, np.float32),
        np.zeros(size, np.float32),
        np.zeros(size, np.float32),
        np.zeros(size, np.float32),
    )
    for first in range(begin, end, LANES - 2):
        start = first - 1
        count = min(LANES - 2, end - first)
        left, right = max(0, -start), min(count + 2, total - start)
        if forward:
            _turn(flat, tile, left, right, start, factor, True)
            _borders(tile, factor, start, blocks, border, parts, kept)
            _transform(tile, factor, folds, even, odd, bands)
            if companded:
                _compand(bands, parts)
                bands, parts = parts, bands
            _place(packets, bands, 1, 1 + count, start, order, blocks, places, True)
        else:
            _place(packets, bands, left, right, start, order, blocks, places, False)
            if companded:
                _expand(bands, parts)
                bands, parts = parts, bands
            _transform_back(bands, factor, folds, even, odd, parts, tile)
            _borders(tile, factor, start, blocks, border, parts, kept)
            _turn(flat, tile, 1, 1 + count, start, factor, False)


def along(source: Floats, target: Floats, axis: AxisBlocks, forward: bool) -> None:
    """Axis 1 of ``[outer, N, inner]``, samples to rows (block, band) or back; ``target`` may be ``source``."""
    columns = source.shape[0] * source.shape[2]
    share = LANES * max(1, SHARE // (LANES * source.shape[1]))
    tables = _tables(axis, forward)

    def run(begin: int) -> None:
        _columns(source, target, begin, min(begin + share, columns), axis.factor, tables, forward)

    in_threads(run, range(0, columns, share))


def along_last(rows: Floats, packets: Floats, places: Any, axis: AxisBlocks, forward: bool, companded: bool) -> None:
    """The last axis: ``rows`` ``[R, N]`` to (companded) ``packets`` ``[B, C*P, *, N/M]``, or back; both contiguous.

    Args:
        places: see :func:`liveaction.kernels.wavelet_places_numba.places_of`.
    """
    flat = rows.reshape(-1)
    total = len(flat) // axis.factor
    share = (LANES - 2) * max(1, SHARE // ((LANES - 2) * axis.factor))
    tables = _tables(axis, forward)

    def run(begin: int) -> None:
        _last(flat, packets, begin, min(begin + share, total), places, axis.factor, tables, forward, companded)

    in_threads(run, range(0, total, share))


def _tables(axis: AxisBlocks, forward: bool) -> Any:
    if forward:
        return axis.folds, axis.border, axis.even, axis.odd, axis.rows
    return axis.folds, axis.border_back, axis.even_back, axis.odd_back, axis.rows
