# mypy: disable-error-code="no-untyped-def,untyped-decorator,misc,assignment"
"""Triton kernels of the depthwise convolution, on tokens with channels innermost.

A lane walks a segment of the last axis (or of the one axis that is convolved). Each step loads the neighbouring rows at
one position, once, and adds them to three outputs: the one before, the one here, the one after. Taps stay in registers.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from liveaction.kernels.gradients import only_wanted
from liveaction.kernels.launcher import Launch, Settings, launch
from liveaction.kernels.layout import empty_tokens_last, tokens_last

VARYING = ["lanes", "depth", "height", "extent", "inner", "segments", "length", "tiles"]


class Geometry(NamedTuple):
    """Tokens as ``[outer, extent, inner]`` around the walked axis; outer is ``[B, depth, height]`` for a joint kernel.

    ``taps_z`` and ``taps_y`` are 3 where a joint kernel has these axes, else 1.
    """

    rows: int
    depth: int
    height: int
    extent: int
    inner: int
    taps_z: int
    taps_y: int


def geometry(x: torch.Tensor, axis: int) -> Geometry:
    """How the kernels walk ``x`` ``[B, C, *S]`` for one axis, or all at once (-1)."""
    extents = tuple(x.shape[2:])
    if axis >= 0:
        inner = prod(extents[axis + 1 :])
        return Geometry(x.shape[0] * prod(extents[:axis]) * inner, 1, 1, extents[axis], inner, 1, 1)
    depth, height, extent = (1,) * (3 - len(extents)) + extents
    taps_z, taps_y = 3 if len(extents) == 3 else 1, 3 if len(extents) >= 2 else 1
    return Geometry(x.shape[0] * depth * height, depth, height, extent, 1, taps_z, taps_y)


@triton.jit
def _lanes(tile, channels_from, lanes, extent, inner, segments, length,
           C: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr):  # fmt: skip
    """Lanes of a tile: which exist, their row, their first position, the offset of their row's first token."""
    lane = tile * BLOCK_R + tl.arange(0, BLOCK_R)[:, None]
    row = lane // segments
    start = lane % segments * length
    channel = channels_from + tl.arange(0, BLOCK_C)[None, :]
    first = ((row // inner).to(tl.int64) * extent * inner + row % inner) * C + channel
    return (lane < lanes) & (channel < C), row, start, first


@triton.jit(do_not_specialize=VARYING)
def depthwise_kernel(
    x_ptr, taps_ptr, bias_ptr, y_ptr, lanes, depth, height, extent, inner, segments, length,
    C: tl.constexpr, TAPS_Z: tl.constexpr, TAPS_Y: tl.constexpr, HAS_BIAS: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """y = taps * x (+ bias); taps ``[TAPS_Z * TAPS_Y * 3, C]`` in fp32. Grid: lane tiles x channel blocks."""
    BLOCKS_C: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    from_c = tl.program_id(0) % BLOCKS_C * BLOCK_C
    exists, row, start, first = _lanes(
        tl.program_id(0) // BLOCKS_C, from_c, lanes, extent, inner, segments, length, C, BLOCK_R, BLOCK_C
    )
    y, z = row % height, row // height % depth
    step = tl.cast(inner, tl.int64) * C
    channel = tl.zeros((BLOCK_R, 1), tl.int32) + from_c + tl.arange(0, BLOCK_C)[None, :]
    taps = ()
    for i in tl.static_range(TAPS_Z * TAPS_Y * 3):
        taps = taps + (tl.load(taps_ptr + i * C + channel, mask=channel < C, other=0.0),)  # noqa: RUF005
    before = tl.zeros((BLOCK_R, BLOCK_C), tl.float32)
    bias = tl.load(bias_ptr + channel, mask=channel < C, other=0.0).to(tl.float32) if HAS_BIAS else before
    here = bias
    for n in range(length + 2):
        at = start + n - 1
        after = bias
        for i in tl.static_range(TAPS_Z * TAPS_Y):
            dy = i % TAPS_Y - TAPS_Y // 2
            dz = i // TAPS_Y - TAPS_Z // 2
            inside = (y + dy >= 0) & (y + dy < height) & (z + dz >= 0) & (z + dz < depth)
            inside = inside & exists & (at >= 0) & (at < extent)
            offset = first + at * step + (dz * height + dy) * extent * step
            x = tl.load(x_ptr + offset, mask=inside, other=0.0).to(tl.float32)
            before += x * taps[3 * i + 2]
            here += x * taps[3 * i + 1]
            after += x * taps[3 * i]
        done = exists & (at > start) & (at <= extent)
        tl.store(y_ptr + first + (at - 1) * step, before.to(y_ptr.dtype.element_ty), mask=done)
        before = here
        here = after


@triton.jit(do_not_specialize=VARYING)
def depthwise_weight_kernel(
    dy_ptr, x_ptr, part_ptr, lanes, depth, height, extent, inner, segments, length, tiles,
    C: tl.constexpr, TAPS_Z: tl.constexpr, TAPS_Y: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Partial gradients of the taps and, last, of the bias: ``[programs, TAPS_Z * TAPS_Y * 3 + 1, C]`` in fp32.

    Grid: programs x channel blocks; a program takes every so many-th tile of lanes.
    """
    BLOCKS_C: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    TAPS: tl.constexpr = TAPS_Z * TAPS_Y * 3
    from_c = tl.program_id(0) % BLOCKS_C * BLOCK_C
    program = tl.program_id(0) // BLOCKS_C
    step = tl.cast(inner, tl.int64) * C
    sums = ()
    for _ in tl.static_range(TAPS + 1):
        sums = sums + (tl.zeros((BLOCK_R, BLOCK_C), tl.float32),)  # noqa: RUF005
    for tile in range(program, tiles, tl.num_programs(0) // BLOCKS_C):
        exists, row, start, first = _lanes(tile, from_c, lanes, extent, inner, segments, length, C, BLOCK_R, BLOCK_C)
        y, z = row % height, row // height % depth
        before = tl.zeros((BLOCK_R, BLOCK_C), tl.float32)
        here = before
        for n in range(length + 2):
            at = start + n - 1
            given = exists & (at + 1 < start + length) & (at + 1 < extent)
            after = tl.load(dy_ptr + first + (at + 1) * step, mask=given, other=0.0).to(tl.float32)
            new = ()
            for i in tl.static_range(TAPS_Z * TAPS_Y):
                dy = i % TAPS_Y - TAPS_Y // 2
                dz = i // TAPS_Y - TAPS_Z // 2
                inside = (y + dy >= 0) & (y + dy < height) & (z + dz >= 0) & (z + dz < depth)
                inside = inside & exists & (at >= 0) & (at < extent)
                offset = first + at * step + (dz * height + dy) * extent * step
                x = tl.load(x_ptr + offset, mask=inside, other=0.0).to(tl.float32)
                new = new + (sums[3 * i] + x * after, sums[3 * i + 1] + x * here, sums[3 * i + 2] + x * before)  # noqa: RUF005
            sums = new + (sums[TAPS] + after,)  # noqa: RUF005
            before = here
            here = after
    channel = from_c + tl.arange(0, BLOCK_C)
    for i in tl.static_range(TAPS + 1):
        at = (tl.cast(program, tl.int64) * (TAPS + 1) + i) * C + channel
        tl.store(part_ptr + at, tl.sum(sums[i], axis=0), mask=channel < C)


def _launch(
    x: torch.Tensor, axis: int, describe: Callable[[Settings, dict[str, int], dict[str, Any]], Launch]
) -> Launch:
    """Launch a kernel on ``x``, described for settings, the kernels' integers and their constants.

    8 elements per thread for 3 taps, 4 for more: what the registers hold; up to 128 neighbouring channels.
    """
    shape, channels = geometry(x, axis), x.shape[1]
    taps = shape.taps_z * shape.taps_y * 3
    elements = 512 if taps > 3 else 1024
    block_c = min(128, triton.next_power_of_2(channels))
    default = {"BLOCK_C": block_c, "BLOCK_R": elements // block_c, "LENGTH": 32, "PARTS": 2048}

    def described(chosen: Settings) -> list[Launch]:
        segments = triton.cdiv(shape.extent, chosen["LENGTH"])
        length = triton.cdiv(shape.extent, max(1, segments))
        integers = {"lanes": shape.rows * segments, "depth": shape.depth, "height": shape.height}
        integers |= {"extent": shape.extent, "inner": shape.inner, "segments": segments, "length": length}
        constants: dict[str, Any] = {"C": channels, "TAPS_Z": shape.taps_z, "TAPS_Y": shape.taps_y}
        constants |= {name: chosen[name] for name in ("BLOCK_R", "BLOCK_C")}
        return [describe(chosen, integers, constants)]

    default |= {"num_warps": 4, "num_stages": 1}
    return launch("depthwise", f"{taps} x {channels} {x.dtype}", x.device, default, {"BLOCK_R": 1}, described)[0]


def _tiles(chosen: Settings, integers: dict[str, int], channels: int) -> tuple[int, int]:
    """Tiles of lanes and blocks of channels."""
    return triton.cdiv(integers["lanes"], chosen["BLOCK_R"]), triton.cdiv(channels, chosen["BLOCK_C"])


def _convolve(x: torch.Tensor, taps: torch.Tensor, bias: torch.Tensor | None, axis: int) -> torch.Tensor:
    y = empty_tokens_last(x, x.shape[1])
    if x.numel() == 0:
        return y
    tensors = {"x_ptr": tokens_last(x), "taps_ptr": taps, "bias_ptr": taps if bias is None else bias, "y_ptr": y}

    def describe(chosen: Settings, integers: dict[str, int], constants: dict[str, Any]) -> Launch:
        programs = prod(_tiles(chosen, integers, x.shape[1]))
        given, flags = {**tensors, **integers}, {**constants, "HAS_BIAS": bias is not None}
        return Launch(depthwise_kernel, (programs,), given, flags, chosen["num_warps"], chosen["num_stages"])

    _launch(x, axis, describe)
    return y


def _taps(weight: torch.Tensor) -> torch.Tensor:
    """``[C, 1, 3, ..., 3]`` as ``[taps, C]`` in fp32."""
    return weight.flatten(1).t().float().contiguous()


def forward(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, axis: int) -> torch.Tensor:
    """See :func:`liveaction.kernels.depthwise.depthwise_reference`; channels innermost in memory."""
    return _convolve(x, _taps(weight), None if bias is None else bias.contiguous(), axis)


def backward(
    dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, axis: int, wanted: Sequence[bool]
) -> list[torch.Tensor]:
    """Those gradients of x (the same convolution with flipped taps), of the weight and of a bias that are wanted."""
    taps = _taps(weight)
    found = [_convolve(dy, taps.flip(0).contiguous(), None, axis)] if wanted[0] else []
    if not any(wanted[1:]):
        return found
    if x.numel() == 0:
        return found + only_wanted([torch.zeros_like(weight), weight.new_zeros(weight.shape[0])], wanted[1:])
    tensors = {"dy_ptr": tokens_last(dy), "x_ptr": tokens_last(x)}

    def describe(chosen: Settings, integers: dict[str, int], constants: dict[str, Any]) -> Launch:
        tiles, blocks = _tiles(chosen, integers, x.shape[1])
        programs = min(tiles, max(1, chosen["PARTS"] // blocks))
        shape = (programs, taps.shape[0] + 1, x.shape[1])
        given = {**tensors, **integers, "tiles": tiles}
        given["part_ptr"] = torch.empty(shape, dtype=torch.float32, device=x.device)
        grid, warps, stages = (programs * blocks,), chosen["num_warps"], chosen["num_stages"]
        return Launch(depthwise_weight_kernel, grid, given, constants, warps, stages)

    sums = _launch(x, axis, describe).arguments["part_ptr"].sum(0)
    if wanted[1]:
        found.append(torch.empty_like(weight).copy_(sums[:-1].t().reshape(weight.shape)))
    return [*found, sums[-1].to(weight.dtype, copy=True)] if wanted[2] else found
