"""Wavelet packets of one axis on CPUs: windows of it, level by level in the cache, compiled by Numba.

The axis is cut into windows of equal length that overlap by the reach of the filters, so that one set of tables serves
an axis of any length. Between the rows of a table that repair the ends of a window, all rows are the middle one moved
on, which makes a level a convolution over contiguous samples. Every output is the same sum in the same order, whatever
the number of threads.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator"

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.kernels.parallel import in_threads
from liveaction.kernels.quantize_numba import _compand, _expand
from liveaction.kernels.wavelet_packet import AxisCascade, PacketPlan

PIECE = 1024
"""Outputs summed up at a time; they and what they read stay in the first cache."""

Floats = NDArray[np.float32]
_compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"}, error_model="numpy")


@_compiled
def _convolve(source, at, first, second, target, one, two, count):
    """``target[one + i] = sum_w first[w] source[at[w] + i]``, and the same with ``second`` and ``two``, i < count."""
    for begin in range(0, count, PIECE):
        length = min(PIECE, count - begin)
        y0, y1 = target[one + begin : one + begin + length], target[two + begin : two + begin + length]
        for w in range(0, len(at), 5):
            a0, a1, a2, a3, a4 = first[w], first[w + 1], first[w + 2], first[w + 3], first[w + 4]
            b0, b1, b2, b3, b4 = second[w], second[w + 1], second[w + 2], second[w + 3], second[w + 4]
            x0, x1 = source[at[w] + begin :], source[at[w + 1] + begin :]
            x2, x3, x4 = source[at[w + 2] + begin :], source[at[w + 3] + begin :], source[at[w + 4] + begin :]
            if w == 0:
                for i in range(length):
                    y0[i] = a0 * x0[i] + a1 * x1[i] + a2 * x2[i] + a3 * x3[i] + a4 * x4[i]
                    y1[i] = b0 * x0[i] + b1 * x1[i] + b2 * x2[i] + b3 * x3[i] + b4 * x4[i]
            else:
                for i in range(length):
                    y0[i] += a0 * x0[i] + a1 * x1[i] + a2 * x2[i] + a3 * x3[i] + a4 * x4[i]
                    y1[i] += b0 * x0[i] + b1 * x1[i] + b2 * x2[i] + b3 * x3[i] + b4 * x4[i]


@_compiled
def _split(x, even, odd):
    for k in range(len(even)):
        i = np.uint64(k)
        even[i] = x[i + i]
        odd[i] = x[i + i + np.uint64(1)]


@_compiled
def _riffle(even, odd, x):
    for k in range(len(even)):
        i = np.uint64(k)
        x[i + i] = even[i]
        x[i + i + np.uint64(1)] = odd[i]


@_compiled
def _row(source, at, first, second):
    one, two = np.float32(0), np.float32(0)
    for w in range(len(at)):
        one += first[w] * source[at[w]]
        two += second[w] * source[at[w]]
    return one, two


@_compiled
def _analyse_level(source, target, parts, at, length, rows, run, ends):
    """One level of all bands, ``length`` samples of each one behind the other: their low passes, then their high ones.

    Convolving takes all bands as one; what that makes of their ends is repaired where ``ends`` (of the axis) says so,
    and else lies in the halo of the window.
    """
    (index, first, second), (begin, end) = rows, run
    half, total = length // 2, len(source) // 2
    _split(source, parts[:total], parts[total:])
    for w in range(len(at)):
        at[w] = index[begin, w] // 2 + index[begin, w] % 2 * total
    count = total - begin - (half - end)
    _convolve(parts, at, first[begin], second[begin], target, begin, total + begin, count)
    for side in range(2):
        for k in range(0 if side == 0 else end, begin if side == 0 else half):
            for band in range(total // half if ends[side] else 0):
                one, two = _row(source[band * length : (band + 1) * length], index[k], first[k], second[k])
                target[band * half + k] = one
                target[total + band * half + k] = two


@_compiled
def _synthesise_level(source, target, parts, at, length, rows, run, ends):
    """Inverse of :func:`_analyse_level`."""
    (index, first, second), (begin, end) = rows, run
    half, total = length // 2, len(source) // 2
    for w in range(len(at)):
        at[w] = index[begin, w] + (total - half if index[begin, w] >= half else 0)
    count = total - begin - (half - end)
    _convolve(source, at, first[begin], second[begin], parts, begin, total + begin, count)
    for side in range(2):
        for k in range(0 if side == 0 else end, begin if side == 0 else half):
            for band in range(total // half if ends[side] else 0):
                for w in range(len(at)):
                    at[w] = index[k, w] + band * half + (total - half if index[k, w] >= half else 0)
                one, two = _row(source, at, first[k], second[k])
                parts[band * half + k] = one
                parts[total + band * half + k] = two
    _riffle(parts[:total], parts[total:], target)


@_compiled
def _cascade(one, two, parts, at, pairs, runs, ends, forward):
    """All levels of a window, from one buffer to the other and back; the result is in the first returned.

    Of the number of a band, level 1 makes the least significant bit.
    """
    index, first, second = pairs
    n = len(one)
    for i in range(len(runs)):
        level = i if forward else len(runs) - 1 - i
        length = n >> level
        begin = n - length
        end = begin + length // 2
        rows = (index[begin:end], first[begin:end], second[begin:end])
        if forward:
            _analyse_level(one, two, parts, at, length, rows, runs[level], ends)
        else:
            _synthesise_level(one, two, parts, at, length, rows, runs[level], ends)
        one, two = two, one
    return one, two


@_compiled
def _windows(samples, packets, begin, end, cuts, n, place, pairs, runs, forward, companded):
    """Windows ``begin`` to ``end`` of ``samples`` ``[B*C, N]`` to or from (companded) ``packets`` ``[B, C*F, N/F]``."""
    one, two, parts = np.zeros(n, np.float32), np.zeros(n, np.float32), np.zeros(n, np.float32)
    at = np.zeros(pairs[0].shape[1], np.int64)
    channels, factor = place.shape
    blocks, inside = packets.shape[2], n // factor
    for task in range(begin, end):
        row, (start, first, last) = task // len(cuts), cuts[task % len(cuts)]
        bands, places = packets[row // channels], place[row % channels]
        ends = start == 0 and first == 0, start + inside == blocks and last == blocks
        skip = first - start
        begins = start % blocks  # a window of an axis that wraps may pass its end
        fits = min(inside, blocks - begins)
        if forward:
            one[: fits * factor] = samples[row, begins * factor : (begins + fits) * factor]
            one[fits * factor :] = samples[row, : (inside - fits) * factor]
        else:
            for f in range(factor):
                band = bands[places[f]]
                one[f * inside : f * inside + fits] = band[begins : begins + fits]
                one[f * inside + fits : (f + 1) * inside] = band[: inside - fits]
        if companded and not forward:
            _expand(one, two)
            one, two = two, one
        one, two = _cascade(one, two, parts, at, pairs, runs, ends, forward)
        if companded and forward:
            _compand(one, two)
            one, two = two, one
        if forward:
            for f in range(factor):
                bands[places[f], first:last] = one[f * inside + skip : f * inside + skip + last - first]
        else:
            samples[row, first * factor : last * factor] = one[skip * factor : (skip + last - first) * factor]


def transform(samples: Floats, packets: Floats, plan: PacketPlan, forward: bool, companded: bool) -> None:
    """``samples`` ``[B*C, N]`` to (companded) ``packets`` ``[B, C*F, N/F]``, or back; both contiguous float32."""
    assert plan.cascade is not None
    (axis,) = plan.cascade
    assert isinstance(axis, AxisCascade)
    table = axis.analysis if forward else axis.synthesis
    pairs = (table.index, table.first, table.second)
    cuts = window_cuts(axis, packets.shape[2])
    # level 1 makes the most significant bit of a band of the plan, and here the least
    place = plan.back.numpy().reshape(-1, *(2,) * axis.levels)
    place = place.transpose(0, *range(axis.levels, 0, -1)).reshape(len(place), -1)
    count = len(samples) * len(cuts)
    share = max(1, min(-(-count // torch.get_num_threads()), 2**20 // axis.samples))

    def run(begin: int) -> None:
        end = min(begin + share, count)
        _windows(samples, packets, begin, end, cuts, axis.samples, place, pairs, table.runs, forward, companded)

    in_threads(run, range(0, count, share))


def window_cuts(axis: AxisCascade, blocks: int) -> NDArray[np.int64]:
    """Windows of an axis of ``blocks``: (first block, first and last to keep) of each, int64 ``[W, 3]``.

    What is kept lies the reach of the filters away from both ends of its window, except where that is an end of the
    axis. On an axis that wraps, a window may begin before 0.
    """
    factor = 1 << axis.levels
    inside, around = axis.samples // factor, -(-axis.halo // factor)
    if inside == blocks:
        return np.array([(0, 0, blocks)])
    cuts = []
    for first in range(0, blocks, inside - 2 * around):
        start = first - around if axis.periodic else min(max(first - around, 0), blocks - inside)
        cuts.append((start, first, min(first + inside - 2 * around, blocks)))
    return np.array(cuts)
