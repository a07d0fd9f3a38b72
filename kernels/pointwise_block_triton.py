# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Triton kernel of the pointwise residual block, forward; what it shares with the backward pass.

Groups are U = g1 and V = g2; a token is x[u, v] on entry of a projection and y[w, z], w < V, z < U, on its exit. Tokens
are the innermost axis of every tile, so that norms reduce over the two channel axes of what is on chip.
"""

from typing import Any

import torch
import triton
import triton.language as tl

from liveaction.kernels.dispatch import interpreting
from liveaction.kernels.launcher import Launch, Settings, launch
from liveaction.kernels.layout import empty_tokens_last, tokens_last
from liveaction.kernels.monarch_triton import PRECISION, grid
from liveaction.kernels.pointwise_block_tiling import forward_tiling
from liveaction.kernels.target import shared_limit


@triton.jit
def gelu_gate(u, FAST: tl.constexpr):
    """sigmoid(2c), c = sqrt(2/pi) (u + 0.044715 u^3): gelu(u) is u times it. FAST is good for bfloat16 alone."""
    c = u * (0.7978845608028654 + 0.035677408136300125 * u * u)
    if FAST:
        t = tl.inline_asm_elementwise("tanh.approx.f32 $0, $1;", "=r,r", [c], dtype=tl.float32, is_pure=True, pack=1)
        return 0.5 + 0.5 * t
    return tl.sigmoid(2.0 * tl.maximum(c, -43.0))


@triton.jit
def load_factors(first_ptr, second_ptr, U: tl.constexpr, V: tl.constexpr):
    """``[U, V, V]`` and ``[V, U, U]``."""
    u = tl.arange(0, U)
    v = tl.arange(0, V)
    first = tl.load(first_ptr + u[:, None, None] * (V * V) + v[None, :, None] * V + v[None, None, :])
    second = tl.load(second_ptr + v[:, None, None] * (U * U) + u[None, :, None] * U + u[None, None, :])
    return first, second


@triton.jit
def project_tile(first, second, x):
    """``[U, V, T]`` to float32 ``[V, U, T]``."""
    h = tl.permute(tl.dot(first, x, input_precision=PRECISION).to(first.dtype), (1, 0, 2))
    return tl.dot(second, h, input_precision=PRECISION)


@triton.jit
def channel_mean(y):
    """Over both channel axes."""
    return (tl.sum(tl.sum(y, axis=0), axis=0) / (y.shape[0] * y.shape[1]))[None, None, :]


@triton.jit(do_not_specialize=["tokens"])
def forward_kernel(
    x_ptr,
    w1_ptr,
    w2_ptr,
    gain1_ptr,
    v1_ptr,
    v2_ptr,
    gain2_ptr,
    scale_ptr,
    out_ptr,
    tokens,
    U: tl.constexpr,
    V: tl.constexpr,
    EPS: tl.constexpr,
    BLOCK_T: tl.constexpr,
    RESIDENT: tl.constexpr,
    FAST: tl.constexpr,
):
    """The block; weights stay on chip where RESIDENT, else they come from the L2 cache for every tile."""
    C: tl.constexpr = U * V
    u = tl.arange(0, U)
    v = tl.arange(0, V)
    t = tl.arange(0, BLOCK_T)
    channel = v[:, None] * U + u[None, :]
    gain1 = tl.load(gain1_ptr + channel).to(tl.float32)[:, :, None]
    if RESIDENT:
        w1, w2 = load_factors(w1_ptr, w2_ptr, U, V)
        v1, v2 = load_factors(v1_ptr, v2_ptr, U, V)
    for tile in range(tl.program_id(0), tl.cdiv(tokens, BLOCK_T), tl.num_programs(0)):
        start = tl.full((), tile * BLOCK_T, tl.int64) * C
        left = tokens - tile * BLOCK_T
        place = t[None, :, None] * C + u[:, None, None] * V + v[None, None, :]
        x = tl.load(x_ptr + start + place, mask=t[None, :, None] < left, other=0.0).to(w1_ptr.dtype.element_ty)
        if not RESIDENT:
            w1, w2 = load_factors(w1_ptr, w2_ptr, U, V)
        y = project_tile(w1, w2, tl.permute(x, (0, 2, 1)))
        y = y * tl.rsqrt(channel_mean(y * y) + EPS) * gain1
        z = tl.reshape((y * gelu_gate(y, FAST)).to(x.dtype), (U, V, BLOCK_T))
        if not RESIDENT:
            v1, v2 = load_factors(v1_ptr, v2_ptr, U, V)
        y = project_tile(v1, v2, z)
        y = tl.permute(y * tl.rsqrt(channel_mean(y * y) + EPS), (2, 0, 1))
        place = t[:, None, None] * C + channel[None, :, :]
        gain2 = (tl.load(gain2_ptr + channel).to(tl.float32) * tl.load(scale_ptr + channel).to(tl.float32))[None, :, :]
        skip = tl.load(x_ptr + start + place, mask=t[:, None, None] < left, other=0.0).to(tl.float32)
        out = (skip + y * gain2).to(out_ptr.dtype.element_ty)
        tl.store(out_ptr + start + place, out, mask=t[:, None, None] < left)


def forward(
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    gain1: torch.Tensor,
    v1: torch.Tensor,
    v2: torch.Tensor,
    gain2: torch.Tensor,
    scale: torch.Tensor,
    eps: float,
) -> torch.Tensor:
    """See :func:`liveaction.kernels.pointwise_block.pointwise_block`; a new tensor with the channels innermost."""
    out = empty_tokens_last(x, x.shape[1])
    parameters = [t.contiguous() for t in (w1, w2, gain1, v1, v2, gain2, scale)]
    tensors = dict(zip(POINTERS, (tokens_last(x), *parameters, tokens_last(out)), strict=True))
    default = forward_tiling(w1.element_size(), shared_limit(x.device))
    if x.numel():
        launch(
            "pointwise_block", settings_key(x, w1), x.device, default, LEAST,
            lambda chosen: [over_tokens(forward_kernel, chosen, tensors, {"EPS": eps})],
        )  # fmt: skip
    return out


POINTERS = tuple(f"{name}_ptr" for name in ("x", "w1", "w2", "gain1", "v1", "v2", "gain2", "scale", "out"))
"""Tensors of the forward kernels, in the order of their parameters."""

LEAST: Settings = {"RESIDENT": 0, "WEIGHTS": 0, "BLOCK_T": 8}
"""What launches may step down to: without WEIGHTS no product sums over tokens, so that 8 will do in 16 bits too."""


def settings_key(x: torch.Tensor, w1: torch.Tensor) -> str:
    """What launch settings depend on: channels and the dtypes of factors and x, whose second axis is the channels."""
    return " ".join(str(name).removeprefix("torch.") for name in (x.shape[1], w1.dtype, x.dtype))


def over_tokens(
    kernel: Any, chosen: Settings, tensors: dict[str, torch.Tensor], constants: dict[str, float | bool]
) -> Launch:
    """A launch of ``kernel`` over the tokens of its tensor ``x_ptr``, ``[T, C]``."""
    x, w1 = tensors["x_ptr"], tensors["w1_ptr"]
    sizes = {"U": w1.shape[0], "V": w1.shape[1], "BLOCK_T": chosen["BLOCK_T"], "RESIDENT": bool(chosen["RESIDENT"])}
    fast = {"FAST": w1.dtype == torch.bfloat16 and not interpreting()}
    return Launch(
        kernel, grid(x, chosen), {**tensors, "tokens": len(x)}, {**sizes, **constants, **fast},
        chosen["num_warps"], chosen["num_stages"],
    )  # fmt: skip
