# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Triton kernels of the Monarch projection.

Both directions are one two-stage product. A token is u < U groups of v < V inputs; the first factor maps every group
to w < W values, the second maps the U values of every w to z < Z outputs; output channel w*Z + z:

    h[u, w] = sum_v first[u, w, v] x[u*V + v]        y[w*Z + z] = sum_u second[w, z, u] h[u, w]

The gradient with respect to x is the same with (second, first) transposed in (first, second)'s places. Products are
computed with the tokens innermost, so that the riffle between the stages costs matrix loads alone. Float32 operands go
through three products of tf32 parts, which keeps float32's precision.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl

from liveaction.kernels.launcher import DoesNotFitError, Launch, Settings, launch
from liveaction.kernels.layout import empty_tokens_last, tokens_last
from liveaction.kernels.monarch import monarch_to_dense
from liveaction.kernels.monarch_tiling import (
    Sizes,
    gradient_tiling,
    is_dense,
    padded,
    projection_tiling,
    two_parts,
)
from liveaction.kernels.target import shared_limit, target_of

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
    dy: torch.Tensor, x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, wanted: Sequence[bool]
) -> list[torch.Tensor]:
    """Those gradients of ``x``, ``w1`` and ``w2`` that are wanted; the first with the channels innermost."""
    dx = empty_tokens_last(x, x.shape[1]) if wanted[0] else None
    dy, x = tokens_last(dy), tokens_last(x)
    into = None if dx is None else tokens_last(dx)
    if is_dense(w1, w2):
        with torch.autocast(x.device.type, enabled=False):
            found = _dense_gradients(dy, x, w1, w2, into, wanted[1:])
    else:
        found = gradients(dy, x, w1, w2, into, wanted[1:])
    return found if dx is None else [dx, *found]


def _dense_gradients(
    dy: torch.Tensor,
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    dx: torch.Tensor | None,
    wanted: Sequence[bool],
) -> list[torch.Tensor]:
    """Through the dense matrix, whose entries are products of one entry each of ``w1`` and ``w2``; fills ``dx``."""
    if dx is not None:
        torch.mm(dy, monarch_to_dense(w1, w2), out=dx)
    if not any(wanted):
        return []
    g1, g2 = w1.shape[:2]
    ddense = (dy.T @ x).float().view(*w2.shape[:2], g1, g2)  # [i, o, a, j]
    found = []
    if wanted[0]:
        found.append((ddense * w2.float()[..., None]).sum(1).transpose(0, 1).to(w1.dtype).contiguous())
    if wanted[1]:
        found.append((ddense * w1.float().transpose(0, 1)[:, None]).sum(3).to(w2.dtype))
    return found


def project(
    x: torch.Tensor, first: torch.Tensor, second: torch.Tensor, y: torch.Tensor, skip: torch.Tensor | None = None
) -> None:
    """Fill ``y`` ``[T, W*Z]`` from ``x`` ``[T, U*V]``, ``first`` ``[U, W, V]`` and ``second`` ``[W, Z, U]``."""
    if len(x) == 0:
        return
    sizes = (*first.shape[::2], *second.shape[:2])
    tiling = projection_tiling(sizes, first.element_size(), shared_limit(x.device))
    tensors = {"x_ptr": x, "first_ptr": first, "second_ptr": second, "skip_ptr": y if skip is None else skip}

    def describe(chosen: Settings) -> list[Launch]:
        main, rest = two_parts(sizes[1])
        pads = {"U_PAD": padded(sizes[0]), "V_MAIN": main, "V_REST": rest, "Z_PAD": padded(sizes[3])}
        tile = {name: chosen[name] for name in ("W_CHUNK", "BLOCK_T")}
        constants = {**_axes(sizes), **pads, **tile, "SKIP": skip is not None}
        arguments = {**tensors, "y_ptr": y, "tokens": len(x)}
        programs = grid(x, chosen, sizes[2])
        return [Launch(project_kernel, programs, arguments, constants, chosen["num_warps"], chosen["num_stages"])]

    launch("monarch", _key(sizes, first), x.device, _fitting(tiling), {"BLOCK_T": 8, "W_CHUNK": 2}, describe)


def gradients(
    dy: torch.Tensor,
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    dx: torch.Tensor | None,
    wanted: Sequence[bool] = (True, True),
    skip: torch.Tensor | None = None,
) -> list[torch.Tensor]:
    """Fill ``dx`` ``[T, C_in]``, plus ``skip``, of any dtype; return the wanted gradients of the factors.

    These have the factors' dtypes; sums over tokens are float32: one per program, added in a fixed order.
    """
    w1, w2 = w1.contiguous(), w2.contiguous()
    if len(x) == 0:
        return [torch.zeros_like(w) for w, flag in zip((w1, w2), wanted, strict=True) if flag]
    sizes, x = (*w1.shape[::2], *w2.shape[:2]), x.to(dy.dtype)
    filled, found = False, []
    if any(wanted):
        tiling = gradient_tiling(sizes, w1.element_size(), shared_limit(x.device))
        least = {"W_CHUNK": 2} if w1.element_size() == 2 else {"BLOCK_T": 8, "W_CHUNK": 2}  # 16 bits: 16 deep at least
        done = launch(
            "monarch_backward", _key(sizes, w1), x.device, _fitting(tiling), least,
            lambda chosen: _gradient_launches(chosen, dy, x, w1, w2, dx, wanted, skip),
        )  # fmt: skip
        filled = any(one.constants["DX"] for one in done)
        for flag, name, w in (("DFIRST", "dfirst_ptr", w1), ("DSECOND", "dsecond_ptr", w2)):
            found += [one.arguments[name].sum(0).to(w.dtype) for one in done if one.constants[flag]]
    if dx is not None and not filled:
        project(dy, w2.transpose(1, 2).contiguous(), w1.transpose(1, 2).contiguous(), dx, skip)
    return found


def _gradient_launches(
    chosen: Settings,
    dy: torch.Tensor,
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    dx: torch.Tensor | None,
    wanted: Sequence[bool],
    skip: torch.Tensor | None,
) -> list[Launch]:
    """One launch for both factors, or one for each; dx comes along where a program has all of W."""
    sizes = (*w1.shape[::2], *w2.shape[:2])
    programs = grid(x, chosen, sizes[2])
    parts = programs[0] // -(-sizes[2] // chosen["W_CHUNK"])
    with_dx = bool(chosen["WITH_DX"]) and dx is not None and dx.dtype == dy.dtype and chosen["W_CHUNK"] >= sizes[2]
    pads = {f"{name}_PAD": padded(n) for name, n in zip("UVZ", (*sizes[:2], sizes[3]), strict=True)}
    tile = {name: chosen[name] for name in ("W_CHUNK", "BLOCK_T")}
    constants = {**_axes(sizes), **pads, **tile, "DX": with_dx, "SKIP": with_dx and skip is not None}
    unused = dy if dx is None else dx
    tensors = {"dy_ptr": dy, "x_ptr": x, "first_ptr": w1, "second_ptr": w2, "dx_ptr": unused, "tokens": len(x)}
    tensors["skip_ptr"] = unused if skip is None else skip
    both, launches = all(wanted) and (bool(chosen["JOINT"]) or with_dx), []
    for of_first, of_second in [(True, True)] if both else [(True, False), (False, True)]:
        if (of_first and not wanted[0]) or (of_second and not wanted[1]):
            continue
        sums = {
            f"{name}_ptr": torch.empty((parts if flag else 0, *w.shape), dtype=torch.float32, device=x.device)
            for name, flag, w in (("dfirst", of_first, w1), ("dsecond", of_second, w2))
        }
        flags = {"DFIRST": of_first, "DSECOND": of_second}
        launches.append(
            Launch(
                gradient_kernel, programs, tensors | sums, constants | flags, chosen["num_warps"], chosen["num_stages"]
            )
        )
    return launches


def grid(x: torch.Tensor, chosen: Settings, w: int = 1) -> tuple[int]:
    """Programs to launch: each keeps its weights and takes tile after tile; a few per multiprocessor."""
    chunks = -(-w // chosen.get("W_CHUNK", w))
    cores = target_of(x.device).multiprocessors
    return (chunks * min(-(-len(x) // chosen["BLOCK_T"]), max(1, cores * chosen["PER_CORE"] // chunks)),)


def _axes(sizes: Sizes) -> Settings:
    return dict(zip("UVWZ", sizes, strict=True))


def _fitting(tiling: Settings | None) -> Settings:
    """The tiling; an error where there is none, which :func:`liveaction.kernels.monarch_tiling.refused` foresees."""
    if tiling is None:
        raise DoesNotFitError("monarch: expected factors that fit into shared memory, got larger ones")
    return tiling


def _key(sizes: Sizes, weight: torch.Tensor) -> str:
    return f"{'x'.join(map(str, sizes))} {str(weight.dtype).removeprefix('torch.')}"
