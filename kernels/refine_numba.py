"""Small networks of convolutions of three axes on CPUs, compiled by Numba: four channels and three taps at a time.

Planes lie in memory with borders around them, so that a tap is a shift and a plane one long row: what comes out on
borders means nothing and is written over. Beyond the first plane and the last one lie these themselves.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator"

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray

TILE = 256
"""Positions at a time: the sums of four channels are 4 KB, which stay in the first cache."""
SLACK = 8
"""Numbers before and behind planes that taps may read whose sums mean nothing."""

Floats = NDArray[np.float32]
_compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"}, error_model="numpy")


def forward(
    x: torch.Tensor, weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor], slope: float
) -> torch.Tensor:
    """As :func:`liveaction.kernels.refine.refine`, of three axes, float32 and without gradients."""
    pairs = zip(weights, [*biases, None], strict=True)
    layers = [_layer(weight.detach().numpy(), bias, slope) for weight, bias in pairs]
    made = np.empty((len(x), len(weights[-1]), *x.shape[2:]), np.float32)
    for one, out in zip(x.detach().numpy(), made, strict=True):
        _run(one, layers, out)
    return torch.from_numpy(made)


class _Layer(NamedTuple):
    """A table ``[B, A, z, y, x]`` with zeros up to a multiple of 4 channels and of 3 taps; half its taps along x."""

    table: Floats
    bias: Floats
    half: int
    slope: np.float32


def _layer(weight: Floats, bias: torch.Tensor | None, slope: float) -> _Layer:
    taps = weight.shape[-1]
    pad = [(0, -len(weight) % 4), (0, 0), (0, 0), (0, 0), (0, 0 if taps == 1 else -taps % 3)]
    sums = np.zeros(len(weight) + pad[0][1], np.float32)
    if bias is not None:
        sums[: len(bias)] = bias.detach().numpy()
    return _Layer(np.ascontiguousarray(np.pad(weight, pad)), sums, taps // 2, np.float32(1 if bias is None else slope))


def _run(x: Floats, layers: list[_Layer], out: Floats) -> None:
    """``[A, z, y, x]`` through all layers into ``[B, z, y, x]``."""
    ys, xs = max(layer.table.shape[3] // 2 for layer in layers), max(layer.half for layer in layers)
    z, height, width = x.shape[1], x.shape[2] + 2 * ys, x.shape[3] + 2 * xs
    size = max(len(x), *(len(layer.table) for layer in layers)) * z * height * width + 2 * SLACK
    source, target = np.zeros(size, np.float32), np.zeros(size, np.float32)
    inside = (slice(None), slice(None), slice(ys, height - ys), slice(xs, width - xs))
    _planes(source, (len(x), z, height, width))[inside] = x
    rows = len(x)
    for table, bias, half, slope in layers:
        _frame(source, rows * z, height, width, ys, xs)
        _convolve(source, table, bias, half, slope, z, height, width, ys, xs, target)
        source, target, rows = target, source, len(table)
    out[:] = _planes(source, (rows, z, height, width))[inside][: len(out)]


def _planes(buffer: Floats, shape: tuple[int, ...]) -> Floats:
    return buffer[SLACK : SLACK + int(np.prod(shape))].reshape(shape)


@_compiled
def _frame(source, planes, height, width, ys, xs):
    """Repeat the outermost values of planes on their borders."""
    for plane in range(planes):
        begin = SLACK + plane * height * width
        for y in range(ys, height - ys):
            row = begin + y * width
            for x in range(xs):
                source[row + x] = source[row + xs]
                source[row + width - 1 - x] = source[row + width - 1 - xs]
        for y in range(ys):
            for x in range(width):
                source[begin + y * width + x] = source[begin + ys * width + x]
                source[begin + (height - 1 - y) * width + x] = source[begin + (height - 1 - ys) * width + x]


@_compiled
def _convolve(source, table, bias, half, slope, depth, height, width, ys, xs, target):
    """One layer: planes of all channels, and what a rectifier makes of their sums."""
    count, channels, zs, rows, taps = table.shape
    half_z, half_y, half_x = zs // 2, rows // 2, half
    plane, sums = height * width, np.empty(4 * TILE, np.float32)
    first, last = ys * width + xs, (height - ys - 1) * width + width - xs
    for z in range(depth):
        for b in range(0, count, 4):
            for begin in range(first, last, TILE):
                length = min(TILE, last - begin)
                for j in range(4):
                    for i in range(length):
                        sums[j * TILE + i] = bias[b + j]
                for a in range(channels):
                    for dz in range(zs):
                        near = min(max(z + dz - half_z, 0), depth - 1)
                        for dy in range(rows):
                            at = SLACK + (a * depth + near) * plane + begin + (dy - half_y) * width - half_x
                            if taps == 1:
                                _one(source, table, b, a, dz, dy, at, length, sums)
                            else:
                                for dx in range(0, taps, 3):
                                    _three(source, table, b, a, dz, dy, dx, at + dx, length, sums)
                for j in range(4):
                    at = SLACK + ((b + j) * depth + z) * plane + begin
                    for i in range(length):
                        value = sums[j * TILE + i]
                        target[at + i] = max(value, slope * value)


@_compiled
def _one(source, table, b, a, dz, dy, at, length, sums):
    """Add one tap of four channels."""
    p, q, r, s = (
        table[b, a, dz, dy, 0],
        table[b + 1, a, dz, dy, 0],
        table[b + 2, a, dz, dy, 0],
        table[b + 3, a, dz, dy, 0],
    )
    begin = np.uint64(at)
    for i in range(length):
        k = np.uint64(i)
        v = source[begin + k]
        sums[k] += p * v
        sums[k + np.uint64(TILE)] += q * v
        sums[k + np.uint64(2 * TILE)] += r * v
        sums[k + np.uint64(3 * TILE)] += s * v


@_compiled
def _three(source, table, b, a, dz, dy, dx, at, length, sums):
    """Add three taps of four channels."""
    p0, p1, p2 = table[b, a, dz, dy, dx], table[b, a, dz, dy, dx + 1], table[b, a, dz, dy, dx + 2]
    q0, q1, q2 = table[b + 1, a, dz, dy, dx], table[b + 1, a, dz, dy, dx + 1], table[b + 1, a, dz, dy, dx + 2]
    r0, r1, r2 = table[b + 2, a, dz, dy, dx], table[b + 2, a, dz, dy, dx + 1], table[b + 2, a, dz, dy, dx + 2]
    s0, s1, s2 = table[b + 3, a, dz, dy, dx], table[b + 3, a, dz, dy, dx + 1], table[b + 3, a, dz, dy, dx + 2]
    begin = np.uint64(at)
    for i in range(length):
        k = np.uint64(i)
        u, v, w = source[begin + k], source[begin + k + np.uint64(1)], source[begin + k + np.uint64(2)]
        sums[k] += p0 * u + p1 * v + p2 * w
        sums[k + np.uint64(TILE)] += q0 * u + q1 * v + q2 * w
        sums[k + np.uint64(2 * TILE)] += r0 * u + r1 * v + r2 * w
        sums[k + np.uint64(3 * TILE)] += s0 * u + s1 * v + s2 * w
