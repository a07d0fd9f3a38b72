# mypy: disable-error-code="no-untyped-def,untyped-decorator,misc"
"""Triton kernels of companding and quantising, and their device functions for prologues and epilogues.

Device functions take and return float32 and call no library: ``_compand``, ``_expand``, ``_slope``, ``_laplace`` and
``_round_half_even``.
"""

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from liveaction.kernels.gradients import only_wanted
from liveaction.kernels.launcher import Launch, Settings, launch
from liveaction.kernels.layout import empty_tokens_last, tokens_last

# The formulas' numbers are those of quantize.py: 12.8, 0.1, 0.4, 127 and 1e-6.
OFFSET: tl.constexpr = tl.constexpr(0.10000000149011612)  # 0.1 in float32
ROOT: tl.constexpr = tl.constexpr(0.3981071705534972)  # 0.1**0.4
SHIFT: tl.constexpr = tl.constexpr(5.095771789550781)  # 12.8 * OFFSET**0.4
MAGIC: tl.constexpr = tl.constexpr(0x4C2B4395)  # less a fifth of the bits of w: the bits of w**(-1/5) within 3 %
LEAST_SCALE: tl.constexpr = tl.constexpr(1e-6)


@triton.jit
def _compand(v):
    """12.8 sign(v) ((|v| + 0.1)**0.4 - 0.1**0.4), without a special function.

    The bits of s start near w**(-1/5), w = |v| + 0.1; a step of third order brings s within 4e-4. With p = w s**3 and
    e = 1 - p s**2 the power is p (1 - e)**(-3/5), whose series ends after e**2. The gain comes in two parts.
    """
    w = tl.abs(v) + OFFSET
    fifth = (w.to(tl.uint32, bitcast=True) // 5).to(tl.int32)
    s = (-fifth + MAGIC).to(tl.float32, bitcast=True)
    square = s * s
    error = 1.0 - (w * s) * (square * square)
    s += (s * error) * (0.2 + 0.12 * error)
    square = s * s
    power = (w * s) * square
    error = 1.0 - power * square
    magnitude = (12.800000190734863 * power - SHIFT) + power * (error * (7.68 + 6.144 * error) - 1.9073486328125e-07)
    magnitude = tl.where(w == float("inf"), w, magnitude)
    return tl.where(v == 0, 0.0, tl.where(v < 0, -magnitude, magnitude))


@triton.jit
def _expand(c):
    """sign(c) ((|c| / 12.8 + 0.1**0.4)**2.5 - 0.1), the power as a square times a root."""
    m = tl.abs(c) * 0.078125 + ROOT
    magnitude = m * m * tl.sqrt(m) - OFFSET
    return tl.where(c == 0, 0.0, tl.where(c < 0, -magnitude, magnitude))


@triton.jit
def _slope(c, INVERSE: tl.constexpr):
    """Derivative of compand where its value is c, or of expand at c where INVERSE.

    With m = (|v| + 0.1)**0.4 it is m**-1.5 or m**1.5 times a constant.
    """
    m = tl.abs(c) * 0.078125 + ROOT
    power = m * tl.sqrt(m)
    return 0.1953125 * power if INVERSE else 5.12 / power


@triton.jit
def _laplace(y, sigma):
    """127 sign(y) (1 - exp(-|y| / sigma)) for sigma > 0; a polynomial below 1, where 1 - exp would cancel."""
    a = _ratio(y, sigma)
    series = 0.008275879546999931 + a * (-0.0013011073460802436 + a * 0.0001291868684347719)
    series = -0.4999997913837433 + a * (0.16666345298290253 + a * (-0.0416470430791378 + a * series))
    magnitude = 127.0 * tl.where(a < 1.0, a + a * a * series, 1.0 - tl.exp2(-1.4426950408889634 * a))
    return tl.where(y < 0, -magnitude, magnitude)


@triton.jit
def _ratio(y, sigma):
    """|y| / sigma, at most 128, where exp(-a) is 0: the product of the two is then never infinity times 0."""
    largest = 128.0 * sigma
    return tl.where(tl.abs(y) > largest, largest, tl.abs(y)) / sigma


@triton.jit
def _round_half_even(x):
    """Nearest integers, of two the even one, for all float32: from 2**23 on there is nothing to round."""
    a = tl.abs(x)
    rounded = (a + 8388608.0) - 8388608.0
    return tl.where(a < 8388608.0, tl.where(x < 0, -rounded, rounded), x)


@triton.jit
def _load(x_ptr, i, count, WHOLE: tl.constexpr):
    """Float32 at ``i``; where the block is WHOLE without a mask, which would keep loads and stores from being wide."""
    return (tl.load(x_ptr + i) if WHOLE else tl.load(x_ptr + i, mask=i < count, other=0.0)).to(tl.float32)


@triton.jit
def _store(y_ptr, i, y, count, WHOLE: tl.constexpr):
    y = y.to(y_ptr.dtype.element_ty)
    if WHOLE:
        tl.store(y_ptr + i, y)
    else:
        tl.store(y_ptr + i, y, mask=i < count)


@triton.jit
def _signed_power(x_ptr, y_ptr, i, count, INVERSE: tl.constexpr, WHOLE: tl.constexpr):
    x = _load(x_ptr, i, count, WHOLE)
    _store(y_ptr, i, _expand(x) if INVERSE else _compand(x), count, WHOLE)


@triton.jit(do_not_specialize=["count"])
def signed_power_kernel(x_ptr, y_ptr, count, INVERSE: tl.constexpr, BLOCK: tl.constexpr):
    """y = compand(x), or expand(x) where INVERSE."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    i = start + tl.arange(0, BLOCK)
    if start + BLOCK <= count:
        _signed_power(x_ptr, y_ptr, i, count, INVERSE, True)
    else:
        _signed_power(x_ptr, y_ptr, i, count, INVERSE, False)


@triton.jit
def _chain(dy_ptr, c_ptr, dx_ptr, i, count, INVERSE: tl.constexpr, WHOLE: tl.constexpr):
    slope = _slope(_load(c_ptr, i, count, WHOLE), INVERSE)
    _store(dx_ptr, i, _load(dy_ptr, i, count, WHOLE) * slope, count, WHOLE)


@triton.jit(do_not_specialize=["count"])
def signed_power_backward_kernel(dy_ptr, c_ptr, dx_ptr, count, INVERSE: tl.constexpr, BLOCK: tl.constexpr):
    """dx = dy times the derivative, from the companded c."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    i = start + tl.arange(0, BLOCK)
    if start + BLOCK <= count:
        _chain(dy_ptr, c_ptr, dx_ptr, i, count, INVERSE, True)
    else:
        _chain(dy_ptr, c_ptr, dx_ptr, i, count, INVERSE, False)


@triton.jit
def _quantize(y_ptr, s_ptr, i, count, step, WHOLE: tl.constexpr):
    y = _load(y_ptr, i, count, WHOLE)
    _store(s_ptr, i, _round_half_even(tl.div_rn(y, tl.zeros_like(y) + step)), count, WHOLE)


@triton.jit(do_not_specialize=["count"])
def quantize_kernel(y_ptr, s_ptr, count, step, BLOCK: tl.constexpr):
    """s = round(y / step)."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    i = start + tl.arange(0, BLOCK)
    if start + BLOCK <= count:
        _quantize(y_ptr, s_ptr, i, count, step, True)
    else:
        _quantize(y_ptr, s_ptr, i, count, step, False)


@triton.jit(do_not_specialize=["tokens"])
def laplace_kernel(
    y_ptr, sigma_ptr, seed_ptr, u_ptr, tokens, step, C: tl.constexpr, ROUNDED: tl.constexpr, NOISE: tl.constexpr,
    BLOCK_T: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """u from y ``[tokens, C]``, rounded or with noise where the flags say so. Grid: token tiles x channel blocks."""
    BLOCKS_C: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    t = (tl.program_id(0) // BLOCKS_C).to(tl.int64) * BLOCK_T + tl.arange(0, BLOCK_T)
    c = (tl.program_id(0) % BLOCKS_C) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = (t[:, None] < tokens) & (c[None, :] < C)
    place = t[:, None] * C + c[None, :]
    sigma = tl.load(sigma_ptr + c, mask=c < C, other=1.0).to(tl.float32)
    y = tl.load(y_ptr + place, mask=inside, other=0.0).to(tl.float32)
    u = _laplace(y, tl.where(sigma < LEAST_SCALE, LEAST_SCALE, sigma)[None, :])
    if ROUNDED:
        u = _round_half_even(tl.div_rn(u, tl.zeros_like(u) + step))
    if NOISE:
        bits = tl.randint(tl.load(seed_ptr), place)
        drawn = (bits.to(tl.uint32, bitcast=True) >> 8).to(tl.int32).to(tl.float32) * 5.9604644775390625e-08
        u += step * (drawn - 0.5)
    tl.store(u_ptr + place, u.to(u_ptr.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["tokens"])
def laplace_backward_kernel(
    du_ptr, y_ptr, sigma_ptr, dy_ptr, part_ptr, tokens, factor, DY: tl.constexpr, DSIGMA: tl.constexpr,
    C: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """What the flags name: dy, partial sums of d sigma ``[programs, C]``.

    A program takes every so many-th tile of tokens.
    """
    BLOCKS_C: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    program = tl.program_id(0) // BLOCKS_C
    c = (tl.program_id(0) % BLOCKS_C) * BLOCK_C + tl.arange(0, BLOCK_C)
    given = tl.load(sigma_ptr + c, mask=c < C, other=1.0).to(tl.float32)
    sigma = tl.where(given < LEAST_SCALE, LEAST_SCALE, given)
    slope = 127.0 * factor / sigma
    total = tl.zeros((BLOCK_T, BLOCK_C), tl.float32)
    for tile in range(program, tl.cdiv(tokens, BLOCK_T), tl.num_programs(0) // BLOCKS_C):
        t = tl.full((), tile, tl.int64) * BLOCK_T + tl.arange(0, BLOCK_T)
        inside = (t[:, None] < tokens) & (c[None, :] < C)
        place = t[:, None] * C + c[None, :]
        y = tl.load(y_ptr + place, mask=inside, other=0.0).to(tl.float32)
        du = tl.load(du_ptr + place, mask=inside, other=0.0).to(tl.float32)
        a = _ratio(y, sigma[None, :])
        dy = du * (slope[None, :] * tl.exp2(-1.4426950408889634 * a))
        if DY:
            tl.store(dy_ptr + place, dy.to(dy_ptr.dtype.element_ty), mask=inside)
        if DSIGMA:
            total += dy * tl.where(y < 0, a, -a)
    if DSIGMA:
        part = tl.where(given < LEAST_SCALE, 0.0, tl.sum(total, axis=0))
        tl.store(part_ptr + program.to(tl.int64) * C + c, part, mask=c < C)


def signed_power(x: torch.Tensor, inverse: bool) -> torch.Tensor:
    """Compand, or expand where ``inverse``; a new tensor in the order of memory of ``x``."""
    y = torch.empty_like(x)
    _launch_elementwise(signed_power_kernel, y, {"x_ptr": like(x, y), "y_ptr": y}, {"INVERSE": inverse})
    return y


def signed_power_backward(dy: torch.Tensor, companded: torch.Tensor, inverse: bool) -> torch.Tensor:
    """Gradient of the input of :func:`signed_power`, from what it made, or from what it was given if ``inverse``."""
    dx = torch.empty_like(companded)
    arguments = {"dy_ptr": like(dy, dx), "c_ptr": like(companded, dx), "dx_ptr": dx}
    _launch_elementwise(signed_power_backward_kernel, dx, arguments, {"INVERSE": inverse})
    return dx


def quantize(y: torch.Tensor, step: float) -> torch.Tensor:
    """Symbols; a new tensor in the order of memory of ``y``."""
    s = torch.empty_like(y)
    _launch_elementwise(quantize_kernel, s, {"y_ptr": like(y, s), "s_ptr": s, "step": step}, {})
    return s


def laplace(
    y: torch.Tensor, sigma: torch.Tensor, seed: torch.Tensor | None, step: float, rounded: bool
) -> torch.Tensor:
    """See :func:`liveaction.kernels.quantize.laplace_quantize`; a new tensor with the channels innermost."""
    u = empty_tokens_last(y, y.shape[1])
    if y.numel() == 0:
        return u
    arguments = {"y_ptr": tokens_last(y), "sigma_ptr": sigma.contiguous(), "u_ptr": tokens_last(u)}
    arguments["seed_ptr"] = sigma if seed is None else seed
    _launch_channels(laplace_kernel, y, {**arguments, "step": step}, {"ROUNDED": rounded, "NOISE": seed is not None})
    return u


def laplace_backward(
    du: torch.Tensor, y: torch.Tensor, sigma: torch.Tensor, factor: float, wanted: Sequence[bool]
) -> list[torch.Tensor]:
    """Those gradients that are wanted: of ``y``, channels innermost, and of ``sigma``.

    The latter from float32 partial sums, added in a fixed order.
    """
    dy = empty_tokens_last(y if wanted[0] else y[:0], y.shape[1])
    if y.numel() == 0:
        return only_wanted([dy, torch.zeros_like(sigma)], wanted)
    arguments = {"du_ptr": tokens_last(du), "y_ptr": tokens_last(y), "sigma_ptr": sigma.contiguous()}
    arguments["dy_ptr"] = tokens_last(dy)
    done = _launch_channels(
        laplace_backward_kernel, y, {**arguments, "factor": factor}, {"DY": wanted[0], "DSIGMA": wanted[1]}
    )
    found = [dy] if wanted[0] else []
    return [*found, done.arguments["part_ptr"].sum(0).to(sigma.dtype)] if wanted[1] else found


def like(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """``x`` in the order of memory of ``other``, which has no gaps; itself where it has that order."""
    return x if x.stride() == other.stride() else torch.empty_like(other, dtype=x.dtype).copy_(x)


def _launch_elementwise(
    kernel: Any, result: torch.Tensor, arguments: dict[str, Any], constants: dict[str, bool]
) -> None:
    """Launch a kernel that knows no channels on as many elements as ``result`` has."""
    count = result.numel()

    def describe(chosen: Settings) -> list[Launch]:
        sizes, grid = {"BLOCK": chosen["BLOCK"]}, (triton.cdiv(count, chosen["BLOCK"]),)
        given = {**arguments, "count": count}
        return [Launch(kernel, grid, given, {**constants, **sizes}, chosen["num_warps"], chosen["num_stages"])]

    if count:
        default = {"BLOCK": 1024, "num_warps": 4, "num_stages": 1}
        key = str(result.dtype).removeprefix("torch.")
        launch("compand", key, result.device, default, {"BLOCK": 128}, describe)


def _launch_channels(kernel: Any, y: torch.Tensor, arguments: dict[str, Any], constants: dict[str, bool]) -> Launch:
    """Launch a kernel with a scale per channel of ``y``: 8 elements per thread, up to 128 channels abreast."""
    channels, tokens = y.shape[1], y.numel() // y.shape[1]
    block_c = min(128, triton.next_power_of_2(channels))
    default = {"BLOCK_T": 1024 // block_c, "BLOCK_C": block_c, "PARTS": 1024, "num_warps": 4, "num_stages": 1}

    def describe(chosen: Settings) -> list[Launch]:
        tiles, blocks = triton.cdiv(tokens, chosen["BLOCK_T"]), triton.cdiv(channels, chosen["BLOCK_C"])
        given: dict[str, Any] = {**arguments, "tokens": tokens}
        if constants.get("DSIGMA") is not None:
            tiles = min(tiles, max(1, chosen["PARTS"] // blocks))
            parts = tiles if constants["DSIGMA"] else 0
            given["part_ptr"] = torch.empty(parts, channels, dtype=torch.float32, device=y.device)
        sizes = {"C": channels, "BLOCK_T": chosen["BLOCK_T"], "BLOCK_C": chosen["BLOCK_C"]}
        warps, stages = chosen["num_warps"], chosen["num_stages"]
        return [Launch(kernel, (tiles * blocks,), given, {**constants, **sizes}, warps, stages)]

    key = f"{channels} {str(y.dtype).removeprefix('torch.')}"
    return launch("laplace_quantize", key, y.device, default, {"BLOCK_T": 1}, describe)[0]
