# mypy: disable-error-code="no-untyped-def,untyped-decorator,misc"
"""Triton kernels of ReLU linear attention, on tokens with channels innermost.

Real heads: the state is a sum over tokens, split over programs; fp32 partials, one reduction. Operands that are not as
given (states, gradients over a normaliser) are fp32, in products of three tf32 terms: they are fp32-grade, and the
kernels wait for memory anyhow.
"""

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from liveaction.kernels.dispatch import interpreting
from liveaction.kernels.gradients import spread
from liveaction.kernels.launcher import Launch, Settings, launch
from liveaction.kernels.linear_attention import empty_heads

VARYING = ["tokens", "heads", "splits", "per_split"]


@triton.jit
def _load(ptr, stride_t, t_from, tokens, DIM: tl.constexpr, BLOCK_T: tl.constexpr):
    """A tile ``[BLOCK_T, DIM]`` of one head, zeros beyond the last token."""
    t = t_from + tl.arange(0, BLOCK_T)
    at = t.to(tl.int64)[:, None] * stride_t + tl.arange(0, DIM)[None, :]
    return tl.load(ptr + at, mask=t[:, None] < tokens, other=0.0)


@triton.jit
def _store(ptr, stride_t, t_from, tokens, values, DIM: tl.constexpr, BLOCK_T: tl.constexpr):
    t = t_from + tl.arange(0, BLOCK_T)
    at = t.to(tl.int64)[:, None] * stride_t + tl.arange(0, DIM)[None, :]
    tl.store(ptr + at, values.to(ptr.dtype.element_ty), mask=t[:, None] < tokens)


@triton.jit
def _place(heads, splits):
    """Sample, head and split of this program; heads run fastest, so that neighbours read neighbouring channels."""
    pid = tl.program_id(0)
    head, split = pid % heads, pid // heads % splits
    return (pid // heads // splits).to(tl.int64), head.to(tl.int64), split


@triton.jit(do_not_specialize=VARYING)
def state_kernel(
    k_ptr, v_ptr, normaliser_ptr, along_ptr, part_ptr, k_stride_b, k_stride_h, k_stride_t,
    v_stride_b, v_stride_h, v_stride_t, tokens, heads, splits, per_split,
    DIM: tl.constexpr, BLOCK_T: tl.constexpr, GRADIENT: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """Partial relu(k)^T [v, 1]: ``[splits, B, heads, DIM + 1, DIM]`` in fp32, the sum of keys as the last row.

    The state's GRADIENT is the same of queries, output gradients over the normaliser, and ``-along`` instead of 1.
    """
    b, h, split = _place(heads, splits)
    k_ptr += b * k_stride_b + h * k_stride_h
    v_ptr += b * v_stride_b + h * v_stride_h
    row = (b * heads + h) * tokens
    state = tl.zeros((DIM, DIM), tl.float32)
    weight = tl.zeros((DIM,), tl.float32)
    for first in range(split * per_split, tl.minimum((split + 1) * per_split, tokens), BLOCK_T):
        k = _load(k_ptr, k_stride_t, first, tokens, DIM, BLOCK_T)
        v = _load(v_ptr, v_stride_t, first, tokens, DIM, BLOCK_T)
        wide = tl.maximum(k.to(tl.float32), 0.0)
        if GRADIENT:
            t = first + tl.arange(0, BLOCK_T)
            v = v.to(tl.float32) / tl.load(normaliser_ptr + row + t, mask=t < tokens, other=1.0)[:, None]
            weight -= tl.sum(wide * tl.load(along_ptr + row + t, mask=t < tokens, other=0.0)[:, None], axis=0)
        else:
            weight += tl.sum(wide, axis=0)
            if UPCAST:
                v = v.to(tl.float32)
        state = tl.dot(tl.trans(wide.to(v.dtype)), v, acc=state, input_precision="tf32x3")
    d = tl.arange(0, DIM)
    at = ((split * (tl.num_programs(0) // heads // splits) + b) * heads + h) * (DIM + 1) * DIM
    tl.store(part_ptr + at + d[:, None] * DIM + d[None, :], state)
    tl.store(part_ptr + at + DIM * DIM + d, weight)


@triton.jit(do_not_specialize=VARYING)
def output_kernel(
    q_ptr, state_ptr, out_ptr, q_stride_b, q_stride_h, q_stride_t, out_stride_b, out_stride_t,
    tokens, heads, splits, per_split, EPS: tl.constexpr, DIM: tl.constexpr, BLOCK_T: tl.constexpr,
):  # fmt: skip
    """relu(q) state / (relu(q) weight + EPS/tokens); state over tokens."""
    b, h, split = _place(heads, splits)
    d = tl.arange(0, DIM)
    q_ptr += b * q_stride_b + h * q_stride_h
    out_ptr += b * out_stride_b + h * DIM
    state_ptr += (b * heads + h) * (DIM + 1) * DIM
    state = tl.load(state_ptr + d[:, None] * DIM + d[None, :])
    weight = tl.load(state_ptr + DIM * DIM + d)
    for first in range(split * per_split, tl.minimum((split + 1) * per_split, tokens), BLOCK_T):
        q = tl.maximum(_load(q_ptr, q_stride_t, first, tokens, DIM, BLOCK_T).to(tl.float32), 0.0)
        normaliser = tl.sum(q * weight[None, :], axis=1) + EPS / tokens
        out = tl.dot(q, state, input_precision="tf32x3") / normaliser[:, None]
        _store(out_ptr, out_stride_t, first, tokens, out, DIM, BLOCK_T)


@triton.jit(do_not_specialize=VARYING)
def query_gradient_kernel(
    dout_ptr, q_ptr, state_ptr, dq_ptr, normaliser_ptr, along_ptr, dout_stride_b, dout_stride_h, dout_stride_t,
    q_stride_b, q_stride_h, q_stride_t, dq_stride_b, dq_stride_t,
    tokens, heads, splits, per_split, EPS: tl.constexpr, DQ: tl.constexpr, DIM: tl.constexpr, BLOCK_T: tl.constexpr,
):  # fmt: skip
    """dq where DQ; per token the normaliser, and the product of out with dout over it."""
    b, h, split = _place(heads, splits)
    d = tl.arange(0, DIM)
    dout_ptr += b * dout_stride_b + h * dout_stride_h
    q_ptr += b * q_stride_b + h * q_stride_h
    dq_ptr += b * dq_stride_b + h * DIM
    row = (b * heads + h) * tokens
    state_ptr += (b * heads + h) * (DIM + 1) * DIM
    state = tl.load(state_ptr + d[:, None] * DIM + d[None, :])
    weight = tl.load(state_ptr + DIM * DIM + d)
    for first in range(split * per_split, tl.minimum((split + 1) * per_split, tokens), BLOCK_T):
        q = tl.maximum(_load(q_ptr, q_stride_t, first, tokens, DIM, BLOCK_T).to(tl.float32), 0.0)
        dout = _load(dout_ptr, dout_stride_t, first, tokens, DIM, BLOCK_T).to(tl.float32)
        normaliser = tl.sum(q * weight[None, :], axis=1) + EPS / tokens
        scaled = dout / normaliser[:, None]
        along = tl.sum(scaled * tl.dot(q, state, input_precision="tf32x3"), axis=1) / normaliser
        if DQ:
            dq = tl.dot(scaled, tl.trans(state), input_precision="tf32x3") - along[:, None] * weight[None, :]
            _store(dq_ptr, dq_stride_t, first, tokens, tl.where(q > 0, dq, 0.0), DIM, BLOCK_T)
        t = first + tl.arange(0, BLOCK_T)
        tl.store(normaliser_ptr + row + t, normaliser, mask=t < tokens)
        tl.store(along_ptr + row + t, along, mask=t < tokens)


@triton.jit(do_not_specialize=VARYING)
def key_gradient_kernel(
    dstate_ptr, k_ptr, v_ptr, dk_ptr, dv_ptr, k_stride_b, k_stride_h, k_stride_t,
    v_stride_b, v_stride_h, v_stride_t, dk_stride_b, dk_stride_t,
    tokens, heads, splits, per_split, DK: tl.constexpr, DV: tl.constexpr, DIM: tl.constexpr, BLOCK_T: tl.constexpr,
):  # fmt: skip
    """dk and dv where the flags say so, strides alike; the state's gradient over tokens."""
    b, h, split = _place(heads, splits)
    d = tl.arange(0, DIM)
    k_ptr += b * k_stride_b + h * k_stride_h
    v_ptr += b * v_stride_b + h * v_stride_h
    at = b * dk_stride_b + h * DIM
    dstate_ptr += (b * heads + h) * (DIM + 1) * DIM
    dstate = tl.load(dstate_ptr + d[:, None] * DIM + d[None, :])
    dweight = tl.load(dstate_ptr + DIM * DIM + d)
    for first in range(split * per_split, tl.minimum((split + 1) * per_split, tokens), BLOCK_T):
        k = tl.maximum(_load(k_ptr, k_stride_t, first, tokens, DIM, BLOCK_T).to(tl.float32), 0.0)
        if DK:
            v = _load(v_ptr, v_stride_t, first, tokens, DIM, BLOCK_T).to(tl.float32)
            dk = tl.dot(v, tl.trans(dstate), input_precision="tf32x3") + dweight[None, :]
            _store(dk_ptr + at, dk_stride_t, first, tokens, tl.where(k > 0, dk, 0.0), DIM, BLOCK_T)
        if DV:
            dv = tl.dot(k, dstate, input_precision="tf32x3")
            _store(dv_ptr + at, dk_stride_t, first, tokens, dv, DIM, BLOCK_T)


def _heads_last(t: torch.Tensor) -> torch.Tensor:
    """``[B, heads, head_dim, T]`` with the channels of a head side by side; a copy where they are not."""
    return t if t.stride(2) == 1 else t.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)


def split_tokens(tokens: int, others: int, block_t: int, programs: int) -> tuple[int, int]:
    """Splits of the tokens and tokens per split: about ``programs`` in all, of 256 to 16384 tokens each."""
    wanted = triton.cdiv(tokens, max(1, programs // others))
    per_split = triton.cdiv(min(16384, max(256, wanted)), block_t) * block_t
    return triton.cdiv(tokens, per_split), per_split


STAGES = 2
"""Two tiles at a time, one of them on its way; three of them are too many for heads of 64 in float32 on 99 KiB."""


def _launch_heads(
    kernel: Any, x: torch.Tensor, arguments: dict[str, Any], constants: dict[str, Any], gradient: bool = False
) -> Launch:
    """Launch ``kernel`` over the tokens of ``x`` ``[B, heads, head_dim, T]``, split over programs.

    Few tokens per tile where float32 fills the registers; about so many programs for sums over tokens.
    """
    batch, heads, width, tokens = x.shape
    few = width == 64 or x.dtype == torch.float32
    default = {"BLOCK_T": 32 if few else 64, "GRADIENT_BLOCK_T": 32, "PROGRAMS": 2048}
    default |= {"num_warps": 8 if width == 64 else 4, "num_stages": STAGES}

    def describe(chosen: Settings) -> list[Launch]:
        block_t = chosen["GRADIENT_BLOCK_T" if gradient else "BLOCK_T"]
        splits, per_split = split_tokens(tokens, batch * heads, block_t, chosen["PROGRAMS"])
        given = {**arguments, "tokens": tokens, "heads": heads, "splits": splits, "per_split": per_split}
        if kernel is state_kernel:
            shape = (splits, batch, heads, width + 1, width)
            given["part_ptr"] = torch.empty(shape, dtype=torch.float32, device=x.device)
        sizes = {"DIM": width, "BLOCK_T": block_t}
        programs = (splits * batch * heads,)
        return [Launch(kernel, programs, given, {**constants, **sizes}, chosen["num_warps"], chosen["num_stages"])]

    least = {"GRADIENT_BLOCK_T" if gradient else "BLOCK_T": 16}
    return launch("linear_attention", f"{width} {x.dtype}", x.device, default, least, describe)[0]


def _strides(name: str, t: torch.Tensor) -> dict[str, int]:
    return {f"{name}_stride_b": t.stride(0), f"{name}_stride_h": t.stride(1), f"{name}_stride_t": t.stride(3)}


def _own_strides(name: str, t: torch.Tensor) -> dict[str, int]:
    """Of a tensor of :func:`liveaction.kernels.linear_attention.empty_heads`, whose heads stand side by side."""
    return {f"{name}_stride_b": t.stride(0), f"{name}_stride_t": t.stride(3)}


def _state(
    k: torch.Tensor, v: torch.Tensor, normaliser: torch.Tensor | None = None, along: torch.Tensor | None = None
) -> torch.Tensor:
    """The state over T; with the last two its gradient over T, from queries and output gradients."""
    gradient = along is not None
    arguments: dict[str, Any] = {"k_ptr": k, "v_ptr": v, "normaliser_ptr": normaliser if gradient else k}
    arguments |= {"along_ptr": along if gradient else k, **_strides("k", k), **_strides("v", v)}
    constants = {"GRADIENT": gradient, "UPCAST": interpreting() and v.dtype == torch.bfloat16}
    part: torch.Tensor = _launch_heads(state_kernel, k, arguments, constants, gradient).arguments["part_ptr"]
    return part.sum(0).div_(k.shape[3])


def forward(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, eps: float, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """The result ``[B, heads, head_dim, T]`` and the state over T, its last row the sum of keys."""
    batch, heads, width, _ = q.shape
    out = empty_heads(q, dtype)
    if q.numel() == 0:
        return out, torch.zeros(batch, heads, width + 1, width, device=q.device)
    q, k, v = _heads_last(q), _heads_last(k), _heads_last(v)
    state = _state(k, v)
    arguments = {"q_ptr": q, "state_ptr": state, "out_ptr": out, **_strides("q", q), **_own_strides("out", out)}
    _launch_heads(output_kernel, q, arguments, {"EPS": eps})
    return out, state


def backward(
    dout: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    state: torch.Tensor,
    eps: float,
    wanted: Sequence[bool],
) -> list[torch.Tensor]:
    """Those gradients of q, k and v that are wanted."""
    batch, heads, _, tokens = q.shape
    found = [empty_heads(q, q.dtype) for flag in wanted if flag]
    if q.numel() == 0:
        return found
    dq, dk, dv = (q if t is None else t for t in spread(found, wanted))
    dout, q, k, v = (_heads_last(t) for t in (dout, q, k, v))
    normaliser, along = torch.empty(2, batch, heads, tokens, dtype=torch.float32, device=q.device)
    arguments = {"dout_ptr": dout, "q_ptr": q, "state_ptr": state, "dq_ptr": dq, "normaliser_ptr": normaliser}
    arguments |= {"along_ptr": along, **_strides("dout", dout), **_strides("q", q), **_own_strides("dq", dq)}
    _launch_heads(query_gradient_kernel, q, arguments, {"EPS": eps, "DQ": wanted[0]})
    if wanted[1] or wanted[2]:
        dstate = _state(q, dout, normaliser, along)
        arguments = {"dstate_ptr": dstate, "k_ptr": k, "v_ptr": v, "dk_ptr": dk, "dv_ptr": dv}
        arguments |= {**_strides("k", k), **_strides("v", v), **_own_strides("dk", dk if wanted[1] else dv)}
        _launch_heads(key_gradient_kernel, k, arguments, {"DK": wanted[1], "DV": wanted[2]})
    return found
