"""Wavelet packets on CPUs: every level as a pass over a tile that stays in the cache, compiled by Numba.

A tile holds one whole axis for LANES neighbouring positions of the other axes. A level is a sparse product: two outputs
share the samples they read (:class:`liveaction.kernels.wavelet_packet.PairTable`), so boundary rules and wavelets are
data. An axis with others behind it is done in place, columns as lanes; the last axis takes rows as lanes, and the
channels end in the order of the plan. Lapped axes are :mod:`liveaction.kernels.lapped_numba`'s. Every output is the
same sum in the same order, whatever the tile or the number of threads.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator"

from math import prod
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.kernels import lapped_numba, wavelet_line_numba
from liveaction.kernels.lapped import AxisBlocks
from liveaction.kernels.lapped_numba import _move
from liveaction.kernels.parallel import in_threads
from liveaction.kernels.quantize_numba import _compand, _expand
from liveaction.kernels.wavelet_packet import AxisCascade, PacketPlan
from liveaction.kernels.wavelet_places_numba import _copy, _places, places_of

LANES = 128

Floats = NDArray[np.float32]
_compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"}, error_model="numpy")


@_compiled
def _level(source, target, length, groups, pairs, begin, step, apart):
    """One level of ``groups`` axes of ``length`` rows: pair k gives the rows ``k * step`` and ``k * step + apart``."""
    index, first, second = pairs
    for group in range(groups):
        start = group * length
        for pair in range(length // 2):
            k = begin + pair
            one, two = np.uint64((start + pair * step) * LANES), np.uint64((start + pair * step + apart) * LANES)
            for at in range(0, index.shape[1], 5):
                r0, r1 = np.uint64((start + index[k, at]) * LANES), np.uint64((start + index[k, at + 1]) * LANES)
                r2, r3 = np.uint64((start + index[k, at + 2]) * LANES), np.uint64((start + index[k, at + 3]) * LANES)
                r4 = np.uint64((start + index[k, at + 4]) * LANES)
                a0, a1, a2, a3, a4 = (
                    first[k, at],
                    first[k, at + 1],
                    first[k, at + 2],
                    first[k, at + 3],
                    first[k, at + 4],
                )
                b0, b1, b2 = second[k, at], second[k, at + 1], second[k, at + 2]
                b3, b4 = second[k, at + 3], second[k, at + 4]
                if at == 0:
                    for lane in range(LANES):
                        i = np.uint64(lane)
                        v0, v1, v2, v3, v4 = (
                            source[r0 + i],
                            source[r1 + i],
                            source[r2 + i],
                            source[r3 + i],
                            source[r4 + i],
                        )
                        target[one + i] = a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3 + a4 * v4
                        target[two + i] = b0 * v0 + b1 * v1 + b2 * v2 + b3 * v3 + b4 * v4
                else:
                    for lane in range(LANES):
                        i = np.uint64(lane)
                        v0, v1, v2, v3, v4 = (
                            source[r0 + i],
                            source[r1 + i],
                            source[r2 + i],
                            source[r3 + i],
                            source[r4 + i],
                        )
                        target[one + i] += a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3 + a4 * v4
                        target[two + i] += b0 * v0 + b1 * v1 + b2 * v2 + b3 * v3 + b4 * v4


@_compiled
def _columns(source, target, begin, end, pairs, levels, forward):
    """Axis 1 of ``[outer, N, inner]`` for the columns ``begin`` to ``end`` of (outer, inner); may be in place."""
    n = source.shape[1]
    one, two, plain = np.zeros(n * LANES, np.float32), np.zeros(n * LANES, np.float32), np.arange(n)
    for left in range(begin, end, LANES):
        width = min(LANES, end - left)
        _move(source, one, left, width, 0, plain, True)
        one, two = _cascade(one, two, n, pairs, levels, forward)
        _move(target, one, left, width, 0, plain, False)


@_compiled
def _cascade(one, two, n, pairs, levels, forward):
    """All levels on a tile of n rows, from one buffer to the other and back; the result is in the first returned."""
    for i in range(levels):
        level = i if forward else levels - 1 - i
        length, begin = n >> level, n - (n >> level)
        if forward:
            _level(one, two, length, n // length, pairs, begin, 1, length // 2)
        else:
            _level(one, two, length, n // length, pairs, begin, 2, 1)
        one, two = two, one
    return one, two


@_compiled
def _rows(rows, packets, begin, end, places, factor, pairs, levels, forward, companded):
    """The last axis: ``rows`` ``[R, N]`` to their final places in ``packets`` ``[B, C*P, blocks, N/F]``, or back.

    Where ``companded``, a tile of packets is companded before it is stored, or expanded once it is loaded.
    """
    n = rows.shape[1]
    blocks = n // factor
    place = places[0]
    one, two = np.zeros(n * LANES, np.float32), np.zeros(n * LANES, np.float32)
    for left in range(begin, end, LANES):
        width = min(LANES, end - left)
        if forward:
            for start in range(0, n, 16):
                for lane in range(width):
                    for i in range(start, min(start + 16, n)):
                        one[i * LANES + lane] = rows[left + lane, i]
            one, two = _cascade(one, two, n, pairs, levels, forward)
            if companded:
                _compand(one, two)
                one, two = two, one
        for lane in range(width):
            batch, band, block = _places(left + lane, places)
            for f in range(factor):
                channel = place[band * factor + f]
                if forward:
                    for p in range(blocks):
                        packets[batch, channel, block, p] = one[(f * blocks + p) * LANES + lane]
                else:
                    for p in range(blocks):
                        one[(f * blocks + p) * LANES + lane] = packets[batch, channel, block, p]
        if not forward:
            if companded:
                _expand(one, two)
                one, two = two, one
            one, two = _cascade(one, two, n, pairs, levels, forward)
            for start in range(0, n, 16):
                for lane in range(width):
                    for i in range(start, min(start + 16, n)):
                        rows[left + lane, i] = one[i * LANES + lane]


def analysis(x: torch.Tensor, plan: PacketPlan, companded: bool = False) -> torch.Tensor:
    """``[B, C, *S] -> [B, C*P, *G]`` in float32; no gradient."""
    batch, channels, *extents = x.shape
    factors = _factors(plan)
    grid = [n // f for n, f in zip(extents, factors, strict=True)]
    source = x.detach().contiguous().numpy()
    if _is_line(plan):
        out = torch.empty(batch, channels * factors[0], *grid)
        wavelet_line_numba.transform(source.reshape(batch * channels, -1), out.numpy(), plan, True, companded)
        return out
    values = source
    if any(factor > 1 for factor in factors[:-1]):
        values = np.empty(x.shape, np.float32)
    for axis in range(len(extents) - 1):
        if factors[axis] > 1:
            _along(source, values, batch * channels, extents, axis, plan, True)
            source = values
    out = torch.empty(batch, channels * prod(factors), *grid)
    packets = out.numpy().reshape(batch, channels * prod(factors), prod(grid[:-1]), grid[-1])
    _along_last(source.reshape(-1, extents[-1]), packets, channels, extents, plan, True, companded)
    return out


def synthesis(y: torch.Tensor, plan: PacketPlan, companded: bool = False) -> torch.Tensor:
    """``[B, C*P, *G] -> [B, C, *S]`` in float32; no gradient."""
    batch, grid, factors = y.shape[0], y.shape[2:], _factors(plan)
    channels = y.shape[1] // prod(factors)
    extents = [n * f for n, f in zip(grid, factors, strict=True)]
    out = torch.empty(batch, channels, *extents)
    values = out.numpy()
    if _is_line(plan):
        packets = y.detach().contiguous().numpy()
        wavelet_line_numba.transform(values.reshape(batch * channels, -1), packets, plan, False, companded)
        return out
    packets = y.detach().contiguous().numpy().reshape(batch, y.shape[1], prod(grid[:-1]), grid[-1])
    _along_last(values.reshape(-1, extents[-1]), packets, channels, extents, plan, False, companded)
    for axis in range(len(extents) - 2, -1, -1):
        if factors[axis] > 1:
            _along(values, values, batch * channels, extents, axis, plan, False)
    return out


def _along(
    source: Floats, target: Floats, lead: int, extents: list[int], axis: int, plan: PacketPlan, forward: bool
) -> None:
    shape = (lead * prod(extents[:axis]), extents[axis], prod(extents[axis + 1 :]))
    source, target = source.reshape(shape), target.reshape(shape)
    way = _way(plan, axis)
    if isinstance(way, AxisBlocks):
        lapped_numba.along(source, target, way, forward)
        return
    pairs = _pairs(way, forward)
    columns = shape[0] * shape[2]
    share = LANES * max(1, 2**20 // (LANES * shape[1]))  # a task is about a million samples at most

    def run(begin: int) -> None:
        _columns(source, target, begin, min(begin + share, columns), pairs, way.levels, forward)

    in_threads(run, range(0, columns, share))


def _along_last(
    rows: Floats,
    packets: Floats,
    channels: int,
    extents: list[int],
    plan: PacketPlan,
    forward: bool,
    companded: bool,
) -> None:
    way = _way(plan, len(extents) - 1)
    places = places_of(plan, channels, extents[:-1])
    if isinstance(way, AxisBlocks):
        lapped_numba.along_last(rows, packets, places, way, forward, companded)
        return
    pairs, factor = _pairs(way, forward), 1 << way.levels
    share = LANES * max(1, 2**20 // (LANES * rows.shape[1]))

    def run(begin: int) -> None:
        end = min(begin + share, len(rows))
        if factor == 1:
            _copy(rows, packets, begin, end, places, forward, companded)
        else:
            _rows(rows, packets, begin, end, places, factor, pairs, way.levels, forward, companded)

    in_threads(run, range(0, len(rows), share))


def _way(plan: PacketPlan, axis: int) -> AxisCascade | AxisBlocks:
    assert plan.cascade is not None
    return plan.cascade[axis]


def _is_line(plan: PacketPlan) -> bool:
    """Whether there is one axis, of levels, which is done in windows."""
    return len(plan.cascade or ()) == 1 and isinstance(_way(plan, 0), AxisCascade)


def _pairs(cascade: AxisCascade, forward: bool) -> Any:
    table = cascade.analysis if forward else cascade.synthesis
    return table.index, table.first, table.second


def _factors(plan: PacketPlan) -> tuple[int, ...]:
    assert plan.cascade is not None
    return tuple(axis.factor for axis in plan.cascade)
