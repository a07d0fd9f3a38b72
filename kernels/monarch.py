"""Monarch projection of a token's channels: two block-diagonal products with a riffle between.

For C_in = g1*g2 and q = C_out/g2, with the channels seen as x[a, j]:

    h[a, i] = sum_j W1[a, i, j] x[a, j]        a < g1, i, j < g2
    y[i, o] = sum_a W2[i, o, a] h[a, i]        o < q; output channel i*q + o

Source: Dao et al., "Monarch: Expressive Structured Matrices", 2022; grouped as in LiVeAction (arXiv 2605.06628).
"""

from typing import Any

import torch

from liveaction.errors import ShapeError
from liveaction.kernels.dispatch import choose, dtype_refused, working_dtype
from liveaction.kernels.layout import empty_tokens_last

Sizes = tuple[int, int, int, int]


def monarch(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Project the channels of every token.

    Args:
        x: ``[B, C_in, *S]``, any strides.
        w1: ``[g1, g2, g2]`` indexed (a, i, j), g1*g2 = C_in.
        w2: ``[g2, q, g1]`` indexed (i, o, a), g2*q = C_out.
        bias: ``[C_out]`` or None.

    Returns:
        ``[B, C_out, *S]`` in the dtype of ``x``, or autocast's. The Triton kernel returns it with channels innermost in
        memory.

    Raises:
        ShapeError: the factors do not fit each other or ``x``.
    """
    check_factors(x, w1, w2)
    dtype = working_dtype(x)
    x, w1, w2 = x.to(dtype), w1.to(dtype), w2.to(dtype)
    provider = choose("monarch", x, lambda: refused(x, w1, w2))
    if provider == "reference":
        y = monarch_reference(x, w1, w2)
    elif provider == "composed":
        y = monarch_composed(x, w1, w2)
    else:
        y = torch.ops.liveaction.monarch(x, w1, w2)
    return y if bias is None else y + bias.to(dtype).view(-1, *(1,) * (x.ndim - 2))


def check_factors(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor) -> None:
    """Raise ShapeError where the factors do not fit each other or ``x``."""
    g1, g2 = w1.shape[:2]
    if w1.shape != (g1, g2, g2) or w2.shape[0] != g2 or w2.shape[2] != g1 or x.shape[1] != g1 * g2:
        raise ShapeError(
            f"monarch: expected x [B, g1*g2, *S], w1 [g1, g2, g2], w2 [g2, q, g1], got {tuple(x.shape)}, "
            f"{tuple(w1.shape)}, {tuple(w2.shape)}"
        )


def monarch_reference(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    """The two sums as they are written above."""
    tokens = x.flatten(2).unflatten(1, w1.shape[:2])
    h = torch.einsum("aij,bajt->bait", w1, tokens)
    y = torch.einsum("ioa,bait->biot", w2, h)
    return y.flatten(1, 2).reshape(x.shape[0], -1, *x.shape[2:])


def monarch_composed(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    """Two batched products on channels-first tokens; the riffle is a stride."""
    h = w1 @ x.flatten(2).unflatten(1, w1.shape[:2])
    y: torch.Tensor = (w2 @ h.transpose(1, 2)).flatten(1, 2)
    return y.reshape(*y.shape[:2], *x.shape[2:])


def monarch_to_dense(w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    """The dense matrix ``[C_out, C_in]`` of the same projection: one product per entry, no sum, hence exact.

    ``dense[i*q + o, a*g2 + j] = W2[i, o, a] * W1[a, i, j]``.
    """
    product = torch.einsum("ioa,aij->ioaj", w2, w1)
    return product.flatten(2).flatten(0, 1)


def is_dense(w1: torch.Tensor, w2: torch.Tensor) -> bool:
    """Whether the Triton kernel takes the dense matrix: few channels, or blocks too small for matrix instructions."""
    (g1, g2), q = w1.shape[:2], w2.shape[1]
    blocks = padded(g1) * padded(g2) * (padded(g2) + padded(q))
    return min(g1 * g2, g2 * q) < 64 or blocks >= g1 * g2 * g2 * q


def padded(n: int) -> int:
    """The power of two, 16 at least, that a tile's axis of ``n`` takes."""
    return max(16, 1 << (n - 1).bit_length())


def two_parts(n: int) -> tuple[int, int]:
    """Powers of two, the second perhaps 0, that cover an axis of ``n`` with the least padding: 48 is 32 + 16."""
    main = padded(n) // 2
    rest = n - main
    return (main, rest) if main >= 16 and rest >= 16 and rest & (rest - 1) == 0 and rest < main else (padded(n), 0)


def shared_limit(device: torch.device) -> int:
    """Bytes of shared memory that a block may take; those of compute capability 9.0 where there is no such device."""
    if device.type != "cuda":
        return 227 * 1024
    return int(torch.cuda.get_device_properties(device).shared_memory_per_block_optin)


def projection_tiling(sizes: Sizes, itemsize: int, limit: int) -> dict[str, int] | None:
    """Default launch settings of the projection ``(U, V, W, Z)``; None where nothing fits.

    Programs keep the weights of as many groups w as fit beside one or two tiles of x; more groups save reads of x.
    Float32 weights are kept as two parts of 4 bytes.

    Args:
        sizes: axes as in :mod:`liveaction.kernels.monarch_triton`.
        itemsize: bytes of one value.
        limit: bytes of shared memory.
    """
    u, z, v = padded(sizes[0]), padded(sizes[3]), sum(two_parts(sizes[1]))
    block_t = 8 if itemsize == 4 and u * v >= 2048 else 16
    kept = 8 if itemsize == 4 else itemsize
    chunk = padded(sizes[2])
    while chunk >= 2 and u * v <= 2048:
        weights = u * chunk * (v + z) * kept
        tile, between = u * v * block_t * itemsize, u * chunk * block_t * kept
        for stages in (2, 1):
            shared = weights + (stages - 1) * tile + max(tile // 2, between)
            if shared <= limit:
                tiling = {"W_CHUNK": chunk, "BLOCK_T": block_t, "num_warps": 8, "num_stages": stages}
                return tiling | {"PER_CORE": min(2, limit // shared)}
        chunk //= 2
    return None


def gradient_tiling(sizes: Sizes, itemsize: int, limit: int) -> dict[str, int] | None:
    """Default launch settings of the factors' gradients; None where nothing fits.

    All in one kernel, dx too, where a program's registers hold both sums (C = 512, 16 bits); else a program sums for a
    chunk of groups w, for both factors or (``JOINT`` 0) for one of them at a time.
    """
    u, v, z = padded(sizes[0]), padded(sizes[1]), padded(sizes[3])
    settings = {"BLOCK_T": 16, "num_warps": 8, "num_stages": 1, "PER_CORE": 1}
    whole = u * padded(sizes[2]) * (v + z)
    if itemsize == 2 and whole <= 24576 and (2 * whole + u * v * 16) * itemsize <= limit:
        return {"W_CHUNK": padded(sizes[2]), "WITH_DX": 1, "JOINT": 1} | settings
    if itemsize == 4 and u * (v + z) >= 1024:
        settings["BLOCK_T"] = 8
    for chunk in (8, 4) if itemsize == 2 or u * v <= 1024 else (4,):
        kept = u * chunk * (v + z)
        if kept * (8 if itemsize == 4 else itemsize) + u * v * settings["BLOCK_T"] * itemsize <= limit:
            return {"W_CHUNK": chunk, "WITH_DX": 0, "JOINT": int(kept <= 8192)} | settings | {"PER_CORE": 2}
    return None


def refused(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor) -> str:
    """Why the Triton kernel cannot take these; empty where it can."""
    if wrong := dtype_refused(x):
        return wrong
    if is_dense(w1, w2):
        return ""
    (g1, g2), q, limit = w1.shape[:2], w2.shape[1], shared_limit(x.device)
    tilings = (
        projection_tiling((g1, g2, g2, q), x.element_size(), limit),
        projection_tiling((g2, q, g1, g2), x.element_size(), limit),
        gradient_tiling((g1, g2, g2, q), x.element_size(), limit),
    )
    if None in tilings:
        return f"factors {tuple(w1.shape)} and {tuple(w2.shape)} do not fit into {limit // 1024} KiB of shared memory"
    return ""


@torch.library.custom_op("liveaction::monarch", mutates_args=())
def _forward(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    from liveaction.kernels import monarch_triton

    return monarch_triton.forward(x, w1, w2)


@_forward.register_fake
def _(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    return empty_tokens_last(x, w2.shape[0] * w2.shape[1])


@torch.library.custom_op("liveaction::monarch_backward", mutates_args=())
def _backward(
    dy: torch.Tensor, x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    from liveaction.kernels import monarch_triton

    return monarch_triton.backward(dy, x, w1, w2)


@_backward.register_fake
def _(
    dy: torch.Tensor, x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    dw1, dw2 = (torch.empty_like(w, memory_format=torch.contiguous_format) for w in (w1, w2))
    return empty_tokens_last(x, x.shape[1]), dw1, dw2


def _save(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradient(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor, ...]:
    gradients: tuple[torch.Tensor, ...] = torch.ops.liveaction.monarch_backward(dy, *ctx.saved_tensors)
    return gradients


_forward.register_autograd(_gradient, setup_context=_save)
