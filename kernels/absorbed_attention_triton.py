# mypy: disable-error-code="no-untyped-def,untyped-decorator,misc"
"""Triton kernels of the absorbed form of linear attention, one wide head: row-wise ones between library products."""

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from liveaction.kernels.gradients import only_wanted
from liveaction.kernels.launcher import Launch, Settings, launch
from liveaction.kernels.layout import empty_tokens_last, tokens_last
from liveaction.kernels.linear_attention_triton import split_tokens


@triton.jit(do_not_specialize=["tokens", "splits", "per_split"])
def rectify_kernel(
    qk_ptr, part_ptr, tokens, splits, per_split, C: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_T: tl.constexpr
):
    """ReLU of ``[B, tokens, 2*C]`` in place, and partial sums of the keys ``[B, splits, C]`` in fp32."""
    b = (tl.program_id(0) // splits).to(tl.int64)
    split = tl.program_id(0) % splits
    c = tl.arange(0, BLOCK_C)
    sums = tl.zeros((BLOCK_C,), tl.float32)
    for first in range(split * per_split, tl.minimum((split + 1) * per_split, tokens), BLOCK_T):
        t = first + tl.arange(0, BLOCK_T)
        mask = (t[:, None] < tokens) & (c[None, :] < C)
        at = (b * tokens + t.to(tl.int64))[:, None] * (2 * C) + c[None, :]
        q = tl.maximum(tl.load(qk_ptr + at, mask=mask, other=0.0).to(tl.float32), 0.0)
        tl.store(qk_ptr + at, q.to(qk_ptr.dtype.element_ty), mask=mask)
        k = tl.maximum(tl.load(qk_ptr + at + C, mask=mask, other=0.0).to(tl.float32), 0.0)
        tl.store(qk_ptr + at + C, k.to(qk_ptr.dtype.element_ty), mask=mask)
        sums += tl.sum(k, axis=0)
    tl.store(part_ptr + tl.program_id(0).to(tl.int64) * C + c, sums, mask=c < C)


@triton.jit(do_not_specialize=["tokens", "tiles"])
def normalise_kernel(
    qk_ptr, weight_ptr, out_ptr, tokens, tiles, EPS: tl.constexpr, C: tl.constexpr, BLOCK_C: tl.constexpr,
    BLOCK_T: tl.constexpr,
):  # fmt: skip
    """Divide ``[B, tokens, C]`` in place by q weight + EPS/tokens."""
    b = (tl.program_id(0) // tiles).to(tl.int64)
    t = tl.program_id(0) % tiles * BLOCK_T + tl.arange(0, BLOCK_T)
    c = tl.arange(0, BLOCK_C)
    mask = (t[:, None] < tokens) & (c[None, :] < C)
    row = (b * tokens + t.to(tl.int64))[:, None]
    q = tl.load(qk_ptr + row * (2 * C) + c[None, :], mask=mask, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + b * C + c, mask=c < C, other=0.0)
    normaliser = (tl.sum(q * weight[None, :], axis=1) + EPS / tokens)[:, None]
    out = tl.load(out_ptr + row * C + c[None, :], mask=mask, other=0.0).to(tl.float32) / normaliser
    tl.store(out_ptr + row * C + c[None, :], out.to(out_ptr.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["tokens", "splits", "per_split"])
def scale_kernel(
    dout_ptr, out_ptr, qk_ptr, weight_ptr, scaled_ptr, along_ptr, part_ptr, tokens, splits, per_split,
    EPS: tl.constexpr, C: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_T: tl.constexpr,
):  # fmt: skip
    """dout over the normaliser, its product with out per token, and partial gradients of weight ``[B, splits, C]``."""
    b = (tl.program_id(0) // splits).to(tl.int64)
    split = tl.program_id(0) % splits
    c = tl.arange(0, BLOCK_C)
    weight = tl.load(weight_ptr + b * C + c, mask=c < C, other=0.0)
    sums = tl.zeros((BLOCK_C,), tl.float32)
    for first in range(split * per_split, tl.minimum((split + 1) * per_split, tokens), BLOCK_T):
        t = first + tl.arange(0, BLOCK_T)
        mask = (t[:, None] < tokens) & (c[None, :] < C)
        row = (b * tokens + t.to(tl.int64))[:, None]
        q = tl.load(qk_ptr + row * (2 * C) + c[None, :], mask=mask, other=0.0).to(tl.float32)
        dout = tl.load(dout_ptr + row * C + c[None, :], mask=mask, other=0.0).to(tl.float32)
        out = tl.load(out_ptr + row * C + c[None, :], mask=mask, other=0.0).to(tl.float32)
        scaled = dout / (tl.sum(q * weight[None, :], axis=1) + EPS / tokens)[:, None]
        tl.store(scaled_ptr + row * C + c[None, :], scaled.to(scaled_ptr.dtype.element_ty), mask=mask)
        along = tl.sum(scaled * out, axis=1)
        tl.store(along_ptr + b * tokens + t, along, mask=t < tokens)
        sums -= tl.sum(q * along[:, None], axis=0)
    tl.store(part_ptr + tl.program_id(0).to(tl.int64) * C + c, sums, mask=c < C)


@triton.jit(do_not_specialize=["tokens", "tiles"])
def mask_kernel(
    dqk_ptr, qk_ptr, along_ptr, weight_ptr, dweight_ptr, tokens, tiles, C: tl.constexpr, BLOCK_C: tl.constexpr,
    BLOCK_T: tl.constexpr,
):  # fmt: skip
    """In place ``[B, tokens, 2*C]``: dq - along weight where q > 0, (dk + dweight) / tokens where k > 0, else 0."""
    b = (tl.program_id(0) // tiles).to(tl.int64)
    t = tl.program_id(0) % tiles * BLOCK_T + tl.arange(0, BLOCK_T)
    c = tl.arange(0, BLOCK_C)
    mask = (t[:, None] < tokens) & (c[None, :] < C)
    at = (b * tokens + t.to(tl.int64))[:, None] * (2 * C) + c[None, :]
    along = tl.load(along_ptr + b * tokens + t, mask=t < tokens, other=0.0)
    weight = tl.load(weight_ptr + b * C + c, mask=c < C, other=0.0)
    dq = tl.load(dqk_ptr + at, mask=mask, other=0.0).to(tl.float32) - along[:, None] * weight[None, :]
    q = tl.load(qk_ptr + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(dqk_ptr + at, tl.where(q > 0, dq, 0.0).to(dqk_ptr.dtype.element_ty), mask=mask)
    dweight = tl.load(dweight_ptr + b * C + c, mask=c < C, other=0.0)
    dk = (tl.load(dqk_ptr + at + C, mask=mask, other=0.0).to(tl.float32) + dweight[None, :]) / tokens
    k = tl.load(qk_ptr + at + C, mask=mask, other=0.0).to(tl.float32)
    tl.store(dqk_ptr + at + C, tl.where(k > 0, dk, 0.0).to(dqk_ptr.dtype.element_ty), mask=mask)


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Products of matrices ``[B, ., .]``, accumulated and returned in fp32."""
    if a.is_cuda and a.dtype in (torch.bfloat16, torch.float16):
        return torch.bmm(a, b, out_dtype=torch.float32)
    return torch.bmm(a.float(), b.float())


def _launch_rows(
    kernel: Any, like: torch.Tensor, arguments: dict[str, Any], constants: dict[str, Any], splits: bool = False
) -> Launch:
    """Launch a row-wise kernel on the tokens of ``like`` ``[B, T, C]``: a program per tile, or per one of the splits.

    With splits the kernel fills ``part_ptr`` ``[B, splits, C]``, float32.
    """
    batch, tokens, channels = like.shape
    block_c = triton.next_power_of_2(channels)
    default = {"BLOCK_T": max(1, 4096 // block_c), "PROGRAMS": 2048, "num_warps": 4 if block_c <= 2048 else 8}

    def describe(chosen: Settings) -> list[Launch]:
        sizes = {"C": channels, "BLOCK_C": block_c, "BLOCK_T": chosen["BLOCK_T"]}
        given: dict[str, Any] = {**arguments, "tokens": tokens}
        if splits:
            count, per_split = split_tokens(tokens, batch, chosen["BLOCK_T"], chosen["PROGRAMS"])
            part = torch.empty(batch, count, channels, dtype=torch.float32, device=like.device)
            given |= {"part_ptr": part, "splits": count, "per_split": per_split}
        else:
            given["tiles"] = count = triton.cdiv(tokens, chosen["BLOCK_T"])
        warps, stages = chosen["num_warps"], chosen["num_stages"]
        return [Launch(kernel, (batch * count,), given, {**constants, **sizes}, warps, stages)]

    key = f"{channels} {like.dtype}"
    return launch("absorbed_attention", key, like.device, default | {"num_stages": 1}, {"BLOCK_T": 1}, describe)[0]


def _rectified(tokens: torch.Tensor, w_qkv: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """relu of queries and keys ``[B, T, 2*C]``, and the keys' mean ``[B, C]`` in fp32."""
    qk = tokens @ w_qkv[: 2 * tokens.shape[2]].t()
    part: torch.Tensor = _launch_rows(rectify_kernel, tokens, {"qk_ptr": qk}, {}, splits=True).arguments["part_ptr"]
    return qk, part.sum(1).div_(tokens.shape[1])


def _values(w_qkv: torch.Tensor, w_out: torch.Tensor) -> torch.Tensor:
    """Wv^T Wo^T ``[C, C]`` in fp32."""
    return _product(w_qkv[2 * w_out.shape[0] :].t()[None], w_out.t()[None])[0]


def forward(
    x: torch.Tensor, w_qkv: torch.Tensor, w_out: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The result ``[B, C, T]``, the state K^T X / T ``[B, C, C]`` and the keys' mean ``[B, C]``."""
    batch, channels, extent = x.shape
    if x.numel() == 0:
        state = torch.zeros(batch, channels, channels, device=x.device)
        return empty_tokens_last(x, channels), state, torch.zeros(batch, channels, device=x.device)
    with torch.autocast(x.device.type, enabled=False):
        tokens = tokens_last(x).view(batch, extent, channels)
        qk, weight = _rectified(tokens, w_qkv)
        q, k = qk.split(channels, 2)
        state = _product(k.transpose(1, 2), tokens).div_(extent)
        out = torch.bmm(q, (state @ _values(w_qkv, w_out)).to(x.dtype))
    _launch_rows(normalise_kernel, tokens, {"qk_ptr": qk, "weight_ptr": weight, "out_ptr": out}, {"EPS": eps})
    return out.transpose(1, 2), state, weight


def _scaled(
    dout: torch.Tensor, out: torch.Tensor, qk: torch.Tensor, weight: torch.Tensor, eps: float, wide: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """dout over the normaliser ``[B, T, C]``, its product with out ``[B, T]``, the gradient of the keys' mean."""
    batch, channels, extent = out.shape
    dout, out = (tokens_last(t).view(batch, extent, channels) for t in (dout, out))
    scaled = torch.empty(batch, extent, channels, dtype=wide, device=out.device)
    along = torch.empty(batch, extent, dtype=torch.float32, device=out.device)
    arguments = {"dout_ptr": dout, "out_ptr": out, "qk_ptr": qk, "weight_ptr": weight, "scaled_ptr": scaled}
    done = _launch_rows(scale_kernel, out, {**arguments, "along_ptr": along}, {"EPS": eps}, splits=True)
    return scaled, along, done.arguments["part_ptr"].sum(1)


def backward(
    dout: torch.Tensor, x: torch.Tensor, w_qkv: torch.Tensor, w_out: torch.Tensor,
    out: torch.Tensor, state: torch.Tensor, weight: torch.Tensor, eps: float, wanted: Sequence[bool],
) -> list[torch.Tensor]:  # fmt: skip
    """Those gradients of x and of both weights that are wanted; queries and keys are computed again.

    Gradients over a normaliser leave the range of float16, which therefore goes on in fp32.
    """
    batch, channels, extent = x.shape
    if x.numel() == 0:
        zeros = [w_qkv.new_zeros(w_qkv.shape), w_out.new_zeros(w_out.shape)]
        return only_wanted([empty_tokens_last(x, channels), *zeros], wanted)
    wide = torch.float32 if x.dtype == torch.float16 else x.dtype
    found = []
    with torch.autocast(x.device.type, enabled=False):
        tokens = tokens_last(x).view(batch, extent, channels)
        qk, _ = _rectified(tokens, w_qkv)
        scaled, along, dweight = _scaled(dout, out, qk, weight, eps, wide)
        q, k = qk.to(wide).split(channels, 2)
        values = _values(w_qkv, w_out)
        dabsorbed = _product(q.transpose(1, 2), scaled)
        dvalues = (state.transpose(1, 2) @ dabsorbed).sum(0)
        tokens = tokens.to(wide)
        if wanted[0] or wanted[1]:
            dstate = (dabsorbed @ values.t()).to(wide)
            dqk = torch.empty(batch, extent, 2 * channels, dtype=wide, device=x.device)
            torch.bmm(scaled, (state @ values).to(wide).transpose(1, 2), out=dqk[..., :channels])
            torch.bmm(tokens, dstate.transpose(1, 2), out=dqk[..., channels:])
            arguments = {"dqk_ptr": dqk, "qk_ptr": qk, "along_ptr": along, "weight_ptr": weight}
            _launch_rows(mask_kernel, tokens, {**arguments, "dweight_ptr": dweight}, {})
        if wanted[0]:
            dx = torch.baddbmm(dqk @ w_qkv.to(wide)[: 2 * channels], k, dstate / extent)
            found.append(dx.to(x.dtype).transpose(1, 2))
        if wanted[1]:
            dw_qk = _product(dqk.flatten(0, 1).t()[None], tokens.flatten(0, 1)[None])[0]
            found.append(torch.cat([dw_qk, (dvalues @ w_out.float()).t()]).to(w_qkv.dtype))
        if wanted[2]:
            found.append((w_qkv[2 * channels :].float() @ dvalues).t().to(w_out.dtype).contiguous())
    return found
