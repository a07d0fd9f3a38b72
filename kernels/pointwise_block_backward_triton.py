# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Triton kernels of the pointwise residual block, backward; everything is recomputed from x.

    second half: dy = d out / d y of the second projection, through scale and norm; then dz, dv1, dv2 from z and dy
    first half:  du = dz gelu'(u), through the norm to dy of the first; then dx, dw1, dw2 from x and dy, plus the skip

Each half is one kernel where registers and shared memory hold the sums of its factors' gradients (WEIGHTS), 3 and 4
passes over the tensor; else it hands dy to the projection's own gradients. Axes as in the forward kernel. What nobody
wants is neither computed nor stored, sums per tile for the gains apart, which cost nothing beside the rest.
"""

from collections.abc import Callable, Sequence

import torch
import triton
import triton.language as tl

from liveaction.kernels.gradients import only_wanted
from liveaction.kernels.launcher import Launch, Settings, launch
from liveaction.kernels.layout import empty_tokens_last, tokens_last
from liveaction.kernels.monarch_triton import PRECISION, gradients, grid
from liveaction.kernels.pointwise_block_tiling import backward_tiling
from liveaction.kernels.pointwise_block_triton import (
    LEAST,
    channel_mean,
    gelu_gate,
    load_factors,
    over_tokens,
    project_tile,
    settings_key,
)
from liveaction.kernels.target import shared_limit


@triton.jit
def store_partial(first_ptr, second_ptr, dfirst, dsecond, U: tl.constexpr, V: tl.constexpr):
    """A program's sums ``[U, V, W]`` and ``[W, U, Z]`` to its place among the partial ones of the factors' layout."""
    part = tl.program_id(0).to(tl.int64) * (U * V)
    u = tl.arange(0, U)
    v = tl.arange(0, V)
    first = part * V + u[:, None, None] * (V * V) + v[None, :, None] * V + v[None, None, :]
    second = part * U + v[:, None, None] * (U * U) + u[None, :, None] * U + u[None, None, :]
    tl.store(first_ptr + first, dfirst)
    tl.store(second_ptr + second, tl.permute(dsecond, (0, 2, 1)))


@triton.jit(do_not_specialize=["tokens"])
def second_half_kernel(
    x_ptr,
    dout_ptr,
    w1_ptr,
    w2_ptr,
    gain1_ptr,
    v1_ptr,
    v2_ptr,
    gain2_ptr,
    scale_ptr,
    z_ptr,
    dy_ptr,
    dz_ptr,
    dgain_ptr,
    dv1_ptr,
    dv2_ptr,
    tokens,
    U: tl.constexpr,
    V: tl.constexpr,
    EPS: tl.constexpr,
    WEIGHTS: tl.constexpr,
    DZ: tl.constexpr,
    DY: tl.constexpr,
    Z: tl.constexpr,
    BLOCK_T: tl.constexpr,
    RESIDENT: tl.constexpr,
    FAST: tl.constexpr,
):
    """What the flags name, WEIGHTS the sums for v1 and v2; and per tile the sum of dout times the normed output."""
    C: tl.constexpr = U * V
    u = tl.arange(0, U)
    v = tl.arange(0, V)
    t = tl.arange(0, BLOCK_T)
    channel = v[:, None] * U + u[None, :]
    if RESIDENT:
        w1, w2 = load_factors(w1_ptr, w2_ptr, U, V)
        v1, v2 = load_factors(v1_ptr, v2_ptr, U, V)
    if WEIGHTS:
        dv1 = tl.zeros((U, V, V), dtype=tl.float32)
        dv2 = tl.zeros((V, U, U), dtype=tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(tokens, BLOCK_T), tl.num_programs(0)):
        start = tl.full((), tile * BLOCK_T, tl.int64) * C
        left = tokens - tile * BLOCK_T
        z_place = t[None, :, None] * C + u[:, None, None] * V + v[None, None, :]
        x = tl.load(x_ptr + start + z_place, mask=t[None, :, None] < left, other=0.0).to(w1_ptr.dtype.element_ty)
        if not RESIDENT:
            w1, w2 = load_factors(w1_ptr, w2_ptr, U, V)
        y = project_tile(w1, w2, tl.permute(x, (0, 2, 1)))
        gain = tl.load(gain1_ptr + channel).to(tl.float32)[:, :, None]
        a = y * tl.rsqrt(channel_mean(y * y) + EPS) * gain
        z = tl.reshape((a * gelu_gate(a, FAST)).to(x.dtype), (U, V, BLOCK_T))
        if not RESIDENT:
            v1, v2 = load_factors(v1_ptr, v2_ptr, U, V)
        h = tl.permute(tl.dot(v1, z, input_precision=PRECISION).to(x.dtype), (1, 0, 2))
        y = tl.dot(v2, h, input_precision=PRECISION)
        norm = tl.rsqrt(channel_mean(y * y) + EPS)
        y *= norm
        place = t[:, None, None] * C + channel[None, :, :]
        dout = tl.load(dout_ptr + start + place, mask=t[:, None, None] < left, other=0.0)
        dout = tl.permute(dout, (1, 2, 0)).to(tl.float32)
        tl.store(dgain_ptr + start // BLOCK_T + channel, tl.sum(dout * y, axis=2))
        gain = tl.load(gain2_ptr + channel).to(tl.float32) * tl.load(scale_ptr + channel).to(tl.float32)
        dout *= gain[:, :, None]
        dy = (norm * (dout - y * channel_mean(dout * y))).to(x.dtype)
        if WEIGHTS:
            dv2 = tl.dot(h, tl.permute(dy, (0, 2, 1)), acc=dv2, input_precision=PRECISION)
        if WEIGHTS or DZ:
            dh = tl.dot(tl.permute(v2, (0, 2, 1)), dy, input_precision=PRECISION)
            dh = tl.permute(dh.to(x.dtype), (1, 2, 0))
        if WEIGHTS:
            dv1 = tl.dot(z, dh, acc=dv1, input_precision=PRECISION)
        if DZ:
            dz = tl.dot(dh, v1, input_precision=PRECISION).to(dz_ptr.dtype.element_ty)
            tl.store(dz_ptr + start + z_place, dz, mask=t[None, :, None] < left)
        if DY:
            tl.store(dy_ptr + start + place, tl.permute(dy, (2, 0, 1)), mask=t[:, None, None] < left)
        if Z:
            tl.store(z_ptr + start + z_place, tl.permute(z, (0, 2, 1)), mask=t[None, :, None] < left)
    if WEIGHTS:
        store_partial(dv1_ptr, dv2_ptr, tl.permute(dv1, (0, 2, 1)), dv2, U, V)


@triton.jit(do_not_specialize=["tokens"])
def first_half_kernel(
    x_ptr,
    dz_ptr,
    dout_ptr,
    w1_ptr,
    w2_ptr,
    gain1_ptr,
    dy_ptr,
    dx_ptr,
    dgain_ptr,
    dw1_ptr,
    dw2_ptr,
    tokens,
    U: tl.constexpr,
    V: tl.constexpr,
    EPS: tl.constexpr,
    WEIGHTS: tl.constexpr,
    DX: tl.constexpr,
    DY: tl.constexpr,
    BLOCK_T: tl.constexpr,
    RESIDENT: tl.constexpr,
    FAST: tl.constexpr,
):
    """What the flags name, WEIGHTS the sums for w1 and w2; and per tile the sum for gain1."""
    C: tl.constexpr = U * V
    u = tl.arange(0, U)
    v = tl.arange(0, V)
    t = tl.arange(0, BLOCK_T)
    channel = v[:, None] * U + u[None, :]
    gain = tl.load(gain1_ptr + channel).to(tl.float32)[:, :, None]
    if RESIDENT:
        w1, w2 = load_factors(w1_ptr, w2_ptr, U, V)
    if WEIGHTS:
        dw1 = tl.zeros((U, V, V), dtype=tl.float32)
        dw2 = tl.zeros((V, U, U), dtype=tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(tokens, BLOCK_T), tl.num_programs(0)):
        start = tl.full((), tile * BLOCK_T, tl.int64) * C
        left = tokens - tile * BLOCK_T
        x_place = t[None, :, None] * C + u[:, None, None] * V + v[None, None, :]
        x = tl.load(x_ptr + start + x_place, mask=t[None, :, None] < left, other=0.0).to(w1_ptr.dtype.element_ty)
        if not RESIDENT:
            w1, w2 = load_factors(w1_ptr, w2_ptr, U, V)
        h = tl.permute(tl.dot(w1, tl.permute(x, (0, 2, 1)), input_precision=PRECISION).to(x.dtype), (1, 0, 2))
        y = tl.dot(w2, h, input_precision=PRECISION)
        norm = tl.rsqrt(channel_mean(y * y) + EPS)
        y *= norm
        a = y * gain
        gate = gelu_gate(a, FAST)
        place = t[:, None, None] * C + channel[None, :, :]
        dz = tl.load(dz_ptr + start + place, mask=t[:, None, None] < left, other=0.0)
        dz = tl.permute(dz, (1, 2, 0)).to(tl.float32)
        slope = 1.5957691216057308 + 0.21406444881780075 * a * a
        du = dz * (gate + a * gate * (1.0 - gate) * slope)
        tl.store(dgain_ptr + start // BLOCK_T + channel, tl.sum(du * y, axis=2))
        du *= gain
        dy = (norm * (du - y * channel_mean(du * y))).to(x.dtype)
        if WEIGHTS:
            dw2 = tl.dot(h, tl.permute(dy, (0, 2, 1)), acc=dw2, input_precision=PRECISION)
        if WEIGHTS or DX:
            dh = tl.dot(tl.permute(dy, (0, 2, 1)), w2, input_precision=PRECISION)
            dh = tl.permute(dh.to(x.dtype), (2, 0, 1))
        if DX:
            dx = tl.permute(tl.dot(tl.permute(w1, (0, 2, 1)), dh, input_precision=PRECISION), (0, 2, 1))
            dx += tl.load(dout_ptr + start + x_place, mask=t[None, :, None] < left, other=0.0).to(tl.float32)
            tl.store(dx_ptr + start + x_place, dx.to(dx_ptr.dtype.element_ty), mask=t[None, :, None] < left)
        if WEIGHTS:
            # once more from the cache: kept until here, x would cost registers that the sums need
            x = tl.load(x_ptr + start + x_place, mask=t[None, :, None] < left, other=0.0).to(w1_ptr.dtype.element_ty)
            dw1 = tl.dot(dh, x, acc=dw1, input_precision=PRECISION)
        if DY:
            tl.store(dy_ptr + start + place, tl.permute(dy, (2, 0, 1)), mask=t[:, None, None] < left)
    if WEIGHTS:
        store_partial(dw1_ptr, dw2_ptr, dw1, dw2, U, V)


def backward(
    dout: torch.Tensor,
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    gain1: torch.Tensor,
    v1: torch.Tensor,
    v2: torch.Tensor,
    gain2: torch.Tensor,
    scale: torch.Tensor,
    eps: float,
    wanted: Sequence[bool],
) -> list[torch.Tensor]:
    """Those gradients of ``x`` and the seven parameters that are wanted, in their order.

    That of ``x`` has the channels innermost.
    """
    dx = empty_tokens_last(x, x.shape[1]) if wanted[0] else None
    w1, w2, gain1, v1, v2, gain2, scale = (t.contiguous() for t in (w1, w2, gain1, v1, v2, gain2, scale))
    if x.numel() == 0:
        zeros = [torch.zeros_like(t) for t in (w1, w2, gain1, v1, v2, gain2, scale)]
        return only_wanted([x if dx is None else dx, *zeros], wanted)
    dout, x = tokens_last(dout), tokens_last(x)
    parameters = dict(zip(_NAMES, (w1, w2, gain1, v1, v2, gain2, scale), strict=True))
    dz, factors, normed = _second_half(dout, x, parameters, eps, wanted[4:6], any(wanted[:4]))
    into = None if dx is None else tokens_last(dx)
    found = [] if dx is None else [dx]
    if any(wanted[:4]):
        found += _first_half(dz, dout, x, parameters, into, eps, wanted[1:4])
    found += factors
    return found + only_wanted(
        [(normed * scale.float()).to(gain2.dtype), (normed * gain2.float()).to(scale.dtype)], wanted[6:]
    )


_NAMES = ("w1_ptr", "w2_ptr", "gain1_ptr", "v1_ptr", "v2_ptr", "gain2_ptr", "scale_ptr")


def _second_half(
    dout: torch.Tensor,
    x: torch.Tensor,
    parameters: dict[str, torch.Tensor],
    eps: float,
    wanted: Sequence[bool],
    with_dz: bool,
) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
    """dz where it is asked for, the wanted gradients of v1 and v2, the sum of dout times the normed output."""
    v1, v2 = parameters["v1_ptr"], parameters["v2_ptr"]
    dz = torch.empty_like(x, dtype=v1.dtype) if with_dz else x.new_empty(0, dtype=v1.dtype)

    def describe(chosen: Settings) -> list[Launch]:
        inside = bool(chosen["WEIGHTS"])
        flags = {"WEIGHTS": inside and any(wanted), "DZ": inside and with_dz}
        flags |= {"DY": not inside and (with_dz or any(wanted)), "Z": not inside and any(wanted)}
        z, dy = (torch.empty_like(x if flags[name] else x[:0], dtype=v1.dtype) for name in ("Z", "DY"))
        sums, dv1, dv2 = _sums(chosen, x, v1, v2, flags["WEIGHTS"])
        tensors = {"x_ptr": x, "dout_ptr": dout, **parameters, "z_ptr": z, "dy_ptr": dy, "dz_ptr": dz}
        tensors |= {"dgain_ptr": sums, "dv1_ptr": dv1, "dv2_ptr": dv2}
        return [over_tokens(second_half_kernel, chosen, tensors, {"EPS": eps, **flags})]

    done = _launch("second", x, v1, describe)
    given, normed = done.arguments, done.arguments["dgain_ptr"].sum(0)
    if done.constants["DY"]:
        into = dz if with_dz else None
        return dz, gradients(given["dy_ptr"], given["z_ptr"] if any(wanted) else x, v1, v2, into, wanted), normed
    found = [given[name].sum(0).to(v1.dtype) for name in only_wanted(("dv1_ptr", "dv2_ptr"), wanted)]
    return dz, found, normed


def _first_half(
    dz: torch.Tensor,
    dout: torch.Tensor,
    x: torch.Tensor,
    parameters: dict[str, torch.Tensor],
    dx: torch.Tensor | None,
    eps: float,
    wanted: Sequence[bool],
) -> list[torch.Tensor]:
    """The wanted gradients of w1, w2 and gain1; fills ``dx``."""
    w1, w2, gain1 = (parameters[name] for name in _NAMES[:3])

    def describe(chosen: Settings) -> list[Launch]:
        inside = bool(chosen["WEIGHTS"])
        flags = {"WEIGHTS": inside and any(wanted[:2]), "DX": inside and dx is not None}
        flags["DY"] = not inside and (dx is not None or any(wanted[:2]))
        sums, dw1, dw2 = _sums(chosen, x, w1, w2, flags["WEIGHTS"])
        tensors = {"x_ptr": x, "dz_ptr": dz, "dout_ptr": dout, "w1_ptr": w1, "w2_ptr": w2, "gain1_ptr": gain1}
        tensors |= {"dy_ptr": torch.empty_like(dz if flags["DY"] else dz[:0]), "dx_ptr": dout if dx is None else dx}
        tensors |= {"dgain_ptr": sums, "dw1_ptr": dw1, "dw2_ptr": dw2}
        return [over_tokens(first_half_kernel, chosen, tensors, {"EPS": eps, **flags})]

    done = _launch("first", x, w1, describe)
    if done.constants["DY"]:
        found = gradients(done.arguments["dy_ptr"], x, w1, w2, dx, wanted[:2], dout)
    else:
        found = [done.arguments[name].sum(0).to(w1.dtype) for name in only_wanted(("dw1_ptr", "dw2_ptr"), wanted[:2])]
    return [*found, done.arguments["dgain_ptr"].sum(0).to(gain1.dtype)] if wanted[2] else found


def _launch(half: str, x: torch.Tensor, w1: torch.Tensor, describe: Callable[[Settings], list[Launch]]) -> Launch:
    default = backward_tiling(half, w1.element_size(), x.element_size(), shared_limit(x.device))
    op = f"pointwise_block_backward_{half}"
    return launch(op, settings_key(x, w1), x.device, default, LEAST, describe)[0]


def _sums(
    chosen: Settings, x: torch.Tensor, first: torch.Tensor, second: torch.Tensor, weights: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Float32 sums to fill: of channels per tile, of both factors per program."""
    sums = torch.empty((-(-len(x) // chosen["BLOCK_T"]), x.shape[1]), dtype=torch.float32, device=x.device)
    parts = grid(x, chosen)[0] if weights else 0
    dfirst, dsecond = (torch.empty((parts, *w.shape), dtype=torch.float32, device=x.device) for w in (first, second))
    return sums, dfirst, dsecond
