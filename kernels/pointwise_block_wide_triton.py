# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Triton kernel of the pointwise residual block, forward, for tokens too wide or too uneven for registers alone.

Groups are U = g1 and V = g2 as in :mod:`liveaction.kernels.pointwise_block_triton`, here not only powers of
two: axes are padded. A program takes a tile of tokens through both projections, a chunk of the second stage's groups at
a time. What comes out of either projection lies in the tile's own place of the output until the next step reads it:
no scratch, still in the L2 cache, and no other program looks there. The threads of a program read what others of them
wrote, hence the barriers, and hence one stage for the loop over tiles: a pipeline would read before they wrote.
"""

import torch
import triton
import triton.language as tl

from liveaction.kernels.dispatch import interpreting
from liveaction.kernels.launcher import DoesNotFitError, Launch, Settings, launch
from liveaction.kernels.layout import empty_tokens_last, tokens_last
from liveaction.kernels.monarch_tiling import padded, two_parts
from liveaction.kernels.monarch_triton import PRECISION, grid
from liveaction.kernels.pointwise_block_tiling import wide_tiling
from liveaction.kernels.pointwise_block_triton import POINTERS, gelu_gate, settings_key
from liveaction.kernels.target import shared_limit


@triton.jit
def load_groups(tile_ptr, left, FROM: tl.constexpr, SIZE: tl.constexpr, U: tl.constexpr, V: tl.constexpr,
                U_PAD: tl.constexpr, BLOCK_T: tl.constexpr):  # fmt: skip
    """Channels FROM to FROM + SIZE of every group of a tile ``[T, U*V]``: ``[U_PAD, T, SIZE]``, 0 outside."""
    u = tl.arange(0, U_PAD)[:, None, None]
    t = tl.arange(0, BLOCK_T)[None, :, None]
    v = FROM + tl.arange(0, SIZE)[None, None, :]
    return tl.load(tile_ptr + t * (U * V) + u * V + v, mask=(t < left) & (u < U) & (v < V), other=0.0)


@triton.jit
def activate(y, norm, gain_ptr, FROM: tl.constexpr, U: tl.constexpr, V: tl.constexpr, FAST: tl.constexpr):
    """GELU of the normed y ``[U_PAD, T, SIZE]``, norm ``[T]``, in float32; 0 outside."""
    u = tl.arange(0, y.shape[0])[:, None, None]
    v = FROM + tl.arange(0, y.shape[2])[None, None, :]
    gain = tl.load(gain_ptr + u * V + v, mask=(u < U) & (v < V), other=0.0).to(tl.float32)
    y = y.to(tl.float32) * norm[None, :, None] * gain
    return y * gelu_gate(y, FAST)


@triton.jit
def project_through(main, rest, first_ptr, second_ptr, tile_ptr, left, groups, U: tl.constexpr,
                    V: tl.constexpr, EPS: tl.constexpr, W_CHUNK: tl.constexpr, STAGES: tl.constexpr):  # fmt: skip
    """Project ``[U_PAD, T, V_MAIN]`` and its rest (or None) into the tile ``[T, C]``; one over its rms ``[T]``.

    The loop's bound is known at run time only, lest the compiler unroll it and run out of registers.
    """
    U_PAD: tl.constexpr = main.shape[0]
    BLOCK_T: tl.constexpr = main.shape[1]
    V_MAIN: tl.constexpr = main.shape[2]
    u = tl.arange(0, U_PAD)
    v = tl.arange(0, V_MAIN)
    t = tl.arange(0, BLOCK_T)
    squares = tl.zeros((BLOCK_T,), dtype=tl.float32)
    for start in tl.range(0, groups, W_CHUNK, num_stages=STAGES):
        w = start + tl.arange(0, W_CHUNK)
        row = first_ptr + (u[:, None, None] * (V * V) + w[None, :, None] * V)
        inside = (u[:, None, None] < U) & (w[None, :, None] < V)
        first = tl.load(row + v[None, None, :], mask=inside & (v[None, None, :] < V), other=0.0)
        h = tl.dot(first, tl.permute(main, (0, 2, 1)), input_precision=PRECISION)
        if rest is not None:
            tail = V_MAIN + tl.arange(0, rest.shape[2])
            first = tl.load(row + tail[None, None, :], mask=inside & (tail[None, None, :] < V), other=0.0)
            h = tl.dot(first, tl.permute(rest, (0, 2, 1)), acc=h, input_precision=PRECISION)
        place = w[:, None, None] * (U * U) + u[None, :, None] * U + u[None, None, :]
        inside = (w[:, None, None] < V) & (u[None, :, None] < U) & (u[None, None, :] < U)
        second = tl.load(second_ptr + place, mask=inside, other=0.0)
        y = tl.dot(second, tl.permute(h.to(second.dtype), (1, 0, 2)), input_precision=PRECISION)
        squares += tl.sum(tl.sum(y * y, axis=0), axis=0)
        place = t[:, None, None] * (U * V) + w[None, :, None] * U + u[None, None, :]
        inside = (t[:, None, None] < left) & (w[None, :, None] < V) & (u[None, None, :] < U)
        tl.store(tile_ptr + place, tl.permute(y, (2, 0, 1)).to(tile_ptr.dtype.element_ty), mask=inside)
    return tl.rsqrt(squares / (U * V) + EPS)


@triton.jit
def add_skip(x_tile, tile_ptr, norm, gain_ptr, scale_ptr, left, C: tl.constexpr):
    """The tile ``[T, C]`` times norm ``[T]``, gain and scale ``[C]``, plus x."""
    BLOCK_C: tl.constexpr = 128
    t = tl.arange(0, norm.shape[0])[:, None]
    for start in range(0, C, BLOCK_C):
        channel = start + tl.arange(0, BLOCK_C)
        gain = tl.load(gain_ptr + channel, mask=channel < C, other=0.0).to(tl.float32)
        gain *= tl.load(scale_ptr + channel, mask=channel < C, other=0.0).to(tl.float32)
        place = t * C + channel[None, :]
        inside = (t < left) & (channel[None, :] < C)
        y = tl.load(tile_ptr + place, mask=inside, other=0.0).to(tl.float32)
        skip = tl.load(x_tile + place, mask=inside, other=0.0).to(tl.float32)
        out = skip + y * norm[:, None] * gain[None, :]
        tl.store(tile_ptr + place, out.to(tile_ptr.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["tokens", "groups"])
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
    groups,
    U: tl.constexpr,
    V: tl.constexpr,
    U_PAD: tl.constexpr,
    V_MAIN: tl.constexpr,
    V_REST: tl.constexpr,
    EPS: tl.constexpr,
    W_CHUNK: tl.constexpr,
    BLOCK_T: tl.constexpr,
    STAGES: tl.constexpr,
    FAST: tl.constexpr,
):
    """The block; factors come from the L2 cache for every tile."""
    C: tl.constexpr = U * V
    dtype: tl.constexpr = w1_ptr.dtype.element_ty
    for tile in range(tl.program_id(0), tl.cdiv(tokens, BLOCK_T), tl.num_programs(0)):
        start = tl.full((), tile * BLOCK_T, tl.int64) * C
        left = tokens - tile * BLOCK_T
        x_tile = x_ptr + start
        tile_ptr = out_ptr + start
        main = load_groups(x_tile, left, 0, V_MAIN, U, V, U_PAD, BLOCK_T).to(dtype)
        rest = None
        if V_REST > 0:
            rest = load_groups(x_tile, left, V_MAIN, V_REST, U, V, U_PAD, BLOCK_T).to(dtype)
        norm = project_through(main, rest, w1_ptr, w2_ptr, tile_ptr, left, groups, U, V, EPS, W_CHUNK, STAGES)
        tl.debug_barrier()
        y = load_groups(tile_ptr, left, 0, V_MAIN, U, V, U_PAD, BLOCK_T)
        main = activate(y, norm, gain1_ptr, 0, U, V, FAST).to(dtype)
        if V_REST > 0:
            y = load_groups(tile_ptr, left, V_MAIN, V_REST, U, V, U_PAD, BLOCK_T)
            rest = activate(y, norm, gain1_ptr, V_MAIN, U, V, FAST).to(dtype)
        tl.debug_barrier()
        norm = project_through(main, rest, v1_ptr, v2_ptr, tile_ptr, left, groups, U, V, EPS, W_CHUNK, STAGES)
        tl.debug_barrier()
        add_skip(x_tile, tile_ptr, norm, gain2_ptr, scale_ptr, left, C)


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
    x, (g1, g2) = tokens_last(x), w1.shape[:2]
    tensors = dict(zip(POINTERS, (x, *parameters, tokens_last(out)), strict=True))
    default = wide_tiling(g1, g2, w1.element_size(), shared_limit(x.device))
    if default is None:
        raise DoesNotFitError(f"pointwise block: expected groups that fit into shared memory, got {g1, g2}")

    def describe(chosen: Settings) -> list[Launch]:
        main, rest = two_parts(g2)
        constants = {"U": g1, "V": g2, "U_PAD": padded(g1), "V_MAIN": main, "V_REST": rest, "EPS": eps}
        constants |= {name: chosen[name] for name in ("W_CHUNK", "BLOCK_T")} | {"STAGES": chosen["num_stages"]}
        constants["FAST"] = w1.dtype == torch.bfloat16 and not interpreting()
        arguments = {**tensors, "tokens": len(x), "groups": g2}
        return [Launch(forward_kernel, grid(x, chosen), arguments, constants, chosen["num_warps"], num_stages=1)]

    if len(x):
        key = settings_key(x, w1)
        launch("pointwise_block_wide", key, x.device, default, {"BLOCK_T": 8, "W_CHUNK": 8}, describe)
    return out
