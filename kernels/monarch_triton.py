# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Triton kernels of the Monarch projection.

Both directions are one two-stage product. A token is u < U groups of v < V inputs; the first factor maps every group
to w < W values, the second maps the U values of every w to z < Z outputs; output channel w*Z + z:

    h[u, w] = sum_v first[u, w, v] x[u*V + v]        y[w*Z + z] = sum_u second[w, z, u] h[u, w]

The gradient with respect to x is the same with (second, first) transposed in (first, second)'s places. Products are
computed with the tokens innermost, so that the riffle between the stages costs matrix loads alone. Float32 operands go
through three products of tf32 parts, which keeps float32's precision.
"""

import torch
import triton
import triton.language as tl

from liveaction.kernels.launch import settings
from liveaction.kernels.layout import empty_tokens_last, tokens_last
from liveaction.kernels.monarch import (
    Sizes,
    gradient_tiling,
    is_dense,
    monarch_to_dense,
    padded,
    projection_tiling,
    shared_limit,
    two_parts,
)

PRECISION: tl.constexpr = tl.constexpr("tf32x3")  # of float32 operands; 16-bit ones have one way only


@triton.jit(do_not_specialize=["tokens"])
def project_kernel(
    x_ptr,
    first_ptr,
    second_ptr,
    skip_ptr,
    y_ptr,
    tokens,
    U: tl.constexpr,
    V: tl.constexpr,
    W: tl.constexpr,
    Z: tl.constexpr,
    U_PAD: tl.constexpr,
    V_MAIN: tl.constexpr,
    V_REST: tl.constexpr,
    Z_PAD: tl.constexpr,
    W_CHUNK: tl.constexpr,
    BLOCK_T: tl.constexpr,
    SKIP: tl.constexpr,
):
    """y, plus skip where SKIP: a program owns W_CHUNK of the second stage's groups, whose weights it keeps."""
    CHUNKS: tl.constexpr = (W + W_CHUNK - 1) // W_CHUNK
    program = tl.program_id(0)
    u = tl.arange(0, U_PAD)
    v = tl.arange(0, V_MAIN)
    w = (program % CHUNKS) * W_CHUNK + tl.arange(0, W_CHUNK)
    z = tl.arange(0, Z_PAD)
    row = u[:, None, None] * (W * V) + w[None, :, None] * V
    row_inside = (u[:, None, None] < U) & (w[None, :, None] < W)
    first = tl.load(first_ptr + row + v[None, None, :], mask=row_inside & (v[None, None, :] < V), other=0.0)
    if V_REST > 0:
        rest = V_MAIN + tl.arange(0, V_REST)
        rest_inside = row_inside & (rest[None, None, :] < V)
        first_rest = tl.load(first_ptr + row + rest[None, None, :], mask=rest_inside, other=0.0)
    second_offset = w[:, None, None] * (Z * U) + z[None, :, None] * U + u[None, None, :]
    second_inside = (w[:, None, None] < W) & (z[None, :, None] < Z) & (u[None, None, :] < U)
    second = tl.load(second_ptr + second_offset, mask=second_inside, other=0.0)
    t = tl.arange(0, BLOCK_T)
    for tile in range(program // CHUNKS, tl.cdiv(tokens, BLOCK_T), tl.num_programs(0) // CHUNKS):
        start = tl.full((), tile * BLOCK_T, tl.int64)
        left = tokens - tile * BLOCK_T
        x_row = x_ptr + start * (U * V) + (t[None, :, None] * (U * V) + u[:, None, None] * V)
        inside = (t[None, :, None] < left) & (u[:, None, None] < U)
        x = tl.load(x_row + v[None, None, :], mask=inside & (v[None, None, :] < V), other=0.0)
        h = tl.dot(first, tl.permute(x, (0, 2, 1)), input_precision=PRECISION)
        if V_REST > 0:
            x = tl.load(x_row + rest[None, None, :], mask=inside & (rest[None, None, :] < V), other=0.0)
            h = tl.dot(first_rest, tl.permute(x, (0, 2, 1)), acc=h, input_precision=PRECISION)
        h = tl.permute(h.to(first.dtype), (1, 0, 2))
        y = tl.permute(tl.dot(second, h, input_precision=PRECISION), (2, 0, 1))
        place = start * (W * Z) + (t[:, None, None] * (W * Z) + w[None, :, None] * Z + z[None, None, :])
        inside = (t[:, None, None] < left) & (w[None, :, None] < W) & (z[None, None, :] < Z)
        if SKIP:
            y += tl.load(skip_ptr + place, mask=inside, other=0.0).to(tl.float32)
        tl.store(y_ptr + place, y.to(y_ptr.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["tokens"])
def gradient_kernel(
    dy_ptr,
    x_ptr,
    first_ptr,
    second_ptr,
    skip_ptr,
    dx_ptr,
    dfirst_ptr,
    dsecond_ptr,
    tokens,
    U: tl.constexpr,
    V: tl.constexpr,
    W: tl.constexpr,
    Z: tl.constexpr,
    U_PAD: tl.constexpr,
    V_PAD: tl.constexpr,
    Z_PAD: tl.constexpr,
    W_CHUNK: tl.constexpr,
    BLOCK_T: tl.constexpr,
    DX: tl.constexpr,
    SKIP: tl.constexpr,
    DFIRST: tl.constexpr,
    DSECOND: tl.constexpr,
):
    """The gradients that the flags name: dx, plus skip (needs all of W in one chunk); factors, one sum per program."""
    CHUNKS: tl.constexpr = (W + W_CHUNK - 1) // W_CHUNK
    program = tl.program_id(0)
    u = tl.arange(0, U_PAD)
    v = tl.arange(0, V_PAD)
    w = (program % CHUNKS) * W_CHUNK + tl.arange(0, W_CHUNK)
    z = tl.arange(0, Z_PAD)
    t = tl.arange(0, BLOCK_T)
    first_offset = u[:, None, None] * (W * V) + w[None, :, None] * V + v[None, None, :]
    first_inside = (u[:, None, None] < U) & (w[None, :, None] < W) & (v[None, None, :] < V)
    second_offset = w[:, None, None] * (Z * U) + z[None, :, None] * U + u[None, None, :]
    second_inside = (w[:, None, None] < W) & (z[None, :, None] < Z) & (u[None, None, :] < U)
    if DSECOND or DX:
        first = tl.load(first_ptr + first_offset, mask=first_inside, other=0.0)
    if DFIRST or DX:
        second = tl.load(second_ptr + second_offset, mask=second_inside, other=0.0)
    if DFIRST:
        dfirst = tl.zeros((U_PAD, V_PAD, W_CHUNK), dtype=tl.float32)
    if DSECOND:
        dsecond = tl.zeros((W_CHUNK, Z_PAD, U_PAD), dtype=tl.float32)
    for tile in range(program // CHUNKS, tl.cdiv(tokens, BLOCK_T), tl.num_programs(0) // CHUNKS):
        start = tl.full((), tile * BLOCK_T, tl.int64)
        left = tokens - tile * BLOCK_T
        inside = (t[None, :, None] < left) & (w[:, None, None] < W) & (z[None, None, :] < Z)
        place = t[None, :, None] * (W * Z) + w[:, None, None] * Z + z[None, None, :]
        dy = tl.load(dy_ptr + start * (W * Z) + place, mask=inside, other=0.0)
        inside = (t[None, :, None] < left) & (u[:, None, None] < U) & (v[None, None, :] < V)
        place = t[None, :, None] * (U * V) + u[:, None, None] * V + v[None, None, :]
        x = tl.load(x_ptr + start * (U * V) + place, mask=inside, other=0.0)
        if DFIRST or DX:
            dh = tl.dot(tl.permute(second, (0, 2, 1)), tl.permute(dy, (0, 2, 1)), input_precision=PRECISION)
            dh = tl.permute(dh.to(dy.dtype), (1, 0, 2))
        if DX:
            dx = tl.permute(tl.dot(tl.permute(first, (0, 2, 1)), dh, input_precision=PRECISION), (0, 2, 1))
            if SKIP:
                dx += tl.load(skip_ptr + start * (U * V) + place, mask=inside, other=0.0).to(tl.float32)
            tl.store(dx_ptr + start * (U * V) + place, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        if DFIRST:
            transposed = tl.permute(x, (0, 2, 1))
            dfirst = tl.dot(transposed, tl.permute(dh, (0, 2, 1)), acc=dfirst, input_precision=PRECISION)
        if DSECOND:
            h = tl.dot(first, tl.permute(x, (0, 2, 1)), input_precision=PRECISION)
            h = tl.permute(h.to(dy.dtype), (1, 2, 0))
            dsecond = tl.dot(tl.permute(dy, (0, 2, 1)), h, acc=dsecond, input_precision=PRECISION)
    part = (program // CHUNKS).to(tl.int64)
    if DFIRST:
        tl.store(dfirst_ptr + part * (U * W * V) + first_offset, tl.permute(dfirst, (0, 2, 1)), mask=first_inside)
    if DSECOND:
        tl.store(dsecond_ptr + part * (W * Z * U) + second_offset, dsecond, mask=second_inside)


def forward(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    """See :func:`liveaction.kernels.monarch.monarch`; a new tensor with the channels innermost."""
    y = empty_tokens_last(x, w2.shape[0] * w2.shape[1])
    if is_dense(w1, w2):
        with torch.autocast(x.device.type, enabled=False):
            torch.mm(tokens_last(x), monarch_to_dense(w1, w2).T, out=tokens_last(y))
    else:
        project(tokens_last(x), w1.contiguous(), w2.contiguous(), tokens_last(y))
    return y


def backward(
    dy: torch.Tensor, x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of ``x``, ``w1`` and ``w2``; the first with the channels innermost."""
    dx = empty_tokens_last(x, x.shape[1])
    dy, x = tokens_last(dy), tokens_last(x)
    if is_dense(w1, w2):
        with torch.autocast(x.device.type, enabled=False):
            return dx, *_dense_gradients(dy, x, w1, w2, tokens_last(dx))
    return dx, *gradients(dy, x, w1, w2, tokens_last(dx))


def _dense_gradients(
    dy: torch.Tensor, x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, dx: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Through the dense matrix, whose entries are products of one entry each of ``w1`` and ``w2``; fills ``dx``."""
    torch.mm(dy, monarch_to_dense(w1, w2), out=dx)
    g1, g2 = w1.shape[:2]
    ddense = (dy.T @ x).float().view(*w2.shape[:2], g1, g2)  # [i, o, a, j]
    dw1 = (ddense * w2.float()[..., None]).sum(1).transpose(0, 1)
    dw2 = (ddense * w1.float().transpose(0, 1)[:, None]).sum(3)
    return dw1.to(w1.dtype).contiguous(), dw2.to(w2.dtype)


def project(
    x: torch.Tensor, first: torch.Tensor, second: torch.Tensor, y: torch.Tensor, skip: torch.Tensor | None = None
) -> None:
    """Fill ``y`` ``[T, W*Z]`` from ``x`` ``[T, U*V]``, ``first`` ``[U, W, V]`` and ``second`` ``[W, Z, U]``."""
    sizes = (*first.shape[::2], *second.shape[:2])
    chosen = projection_tiling(sizes, first.element_size(), shared_limit(x.device))
    assert chosen is not None
    chosen = settings("monarch", _key(sizes, first), x.device, chosen)
    if len(x) == 0:
        return
    main, rest = two_parts(sizes[1])
    project_kernel[grid(x, chosen, sizes[2])](
        x, first, second, y if skip is None else skip, y, len(x), *sizes,
        padded(sizes[0]), main, rest, padded(sizes[3]), chosen["W_CHUNK"], chosen["BLOCK_T"], skip is not None,
        num_warps=chosen["num_warps"], num_stages=chosen["num_stages"],
    )  # fmt: skip


def gradients(
    dy: torch.Tensor,
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    dx: torch.Tensor,
    skip: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fill ``dx`` ``[T, C_in]``, plus ``skip``, of any dtype; return the gradients of the factors, in their dtype.

    Sums over tokens are float32: one per program, added in a fixed order.
    """
    w1, w2 = w1.contiguous(), w2.contiguous()
    if len(x) == 0:
        return torch.zeros_like(w1), torch.zeros_like(w2)
    sizes = (*w1.shape[::2], *w2.shape[:2])
    chosen = gradient_tiling(sizes, w1.element_size(), shared_limit(x.device))
    assert chosen is not None
    chosen = settings("monarch_backward", _key(sizes, w1), x.device, chosen)
    with_dx = bool(chosen["WITH_DX"]) and dx.dtype == dy.dtype and chosen["W_CHUNK"] >= sizes[2]
    x = x.to(dy.dtype)
    if not with_dx:
        project(dy, w2.transpose(1, 2).contiguous(), w1.transpose(1, 2).contiguous(), dx, skip)
    launches = grid(x, chosen, sizes[2])
    parts = launches[0] // -(-sizes[2] // chosen["W_CHUNK"])
    dw1 = torch.empty((parts, *w1.shape), dtype=torch.float32, device=x.device)
    dw2 = torch.empty((parts, *w2.shape), dtype=torch.float32, device=x.device)
    for of_first, of_second in ((True, True),) if chosen["JOINT"] else ((True, False), (False, True)):
        gradient_kernel[launches](
            dy, x, w1, w2, dx if skip is None else skip, dx, dw1, dw2, len(x), *sizes,
            *(padded(n) for n in (*sizes[:2], sizes[3])), chosen["W_CHUNK"], chosen["BLOCK_T"],
            with_dx, with_dx and skip is not None, of_first, of_second,
            num_warps=chosen["num_warps"], num_stages=chosen["num_stages"],
        )  # fmt: skip
    return dw1.sum(0).to(w1.dtype), dw2.sum(0).to(w2.dtype)


def grid(x: torch.Tensor, chosen: dict[str, int], w: int = 1) -> tuple[int]:
    """Programs to launch: each keeps its weights and takes tile after tile; a few per multiprocessor."""
    chunks = -(-w // chosen.get("W_CHUNK", w))
    cores = torch.cuda.get_device_properties(x.device).multi_processor_count if x.is_cuda else 3
    return (chunks * min(-(-len(x) // chosen["BLOCK_T"]), max(1, cores * chosen["PER_CORE"] // chunks)),)


def _key(sizes: Sizes, weight: torch.Tensor) -> str:
    return f"{'x'.join(map(str, sizes))} {str(weight.dtype).removeprefix('torch.')}"
