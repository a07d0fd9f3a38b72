"""Monarch projection of a token's channels: two block-diagonal products with a riffle between.

For C_in = g1*g2 and q = C_out/g2, with the channels seen as x[a, j]:

    h[a, i] = sum_j W1[a, i, j] x[a, j]        a < g1, i, j < g2
    y[i, o] = sum_a W2[i, o, a] h[a, i]        o < q; output channel i*q + o

Source: Dao et al., "Monarch: Expressive Structured Matrices", 2022; grouped as in LiVeAction (arXiv 2605.06628).
"""

from collections.abc import Sequence
from typing import Any

import torch

from liveaction.errors import ShapeError
from liveaction.kernels.dispatch import choose, working_dtype
from liveaction.kernels.gradients import only_wanted, spread
from liveaction.kernels.launcher import kernel_or_composed
from liveaction.kernels.layout import empty_tokens_last, laid_tokens_last
from liveaction.kernels.monarch_tiling import refused


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


def monarch_gradients_composed(
    dy: torch.Tensor, x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, wanted: Sequence[bool]
) -> list[torch.Tensor]:
    """Those gradients of ``x``, ``w1`` and ``w2`` that are wanted, in this order, from that of the result."""
    given, of_result = x.flatten(2).unflatten(1, w1.shape[:2]), dy.flatten(2).unflatten(1, w2.shape[:2])
    of_h = (w2.mT @ of_result).transpose(1, 2)
    found = []
    if wanted[0]:
        found.append((w1.mT @ of_h).flatten(1, 2).reshape(x.shape))
    if wanted[1]:
        found.append((of_h @ given.mT).sum(0))
    if wanted[2]:
        found.append((of_result @ (w1 @ given).permute(0, 2, 3, 1)).sum(0))
    return found


@torch.library.custom_op("liveaction::monarch", mutates_args=())
def _forward(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    from liveaction.kernels import monarch_triton

    return kernel_or_composed(
        "monarch", lambda: monarch_triton.forward(x, w1, w2), lambda: laid_tokens_last(monarch_composed(x, w1, w2))
    )


@_forward.register_fake
def _(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    return empty_tokens_last(x, w2.shape[0] * w2.shape[1])


@torch.library.custom_op("liveaction::monarch_backward", mutates_args=())
def _backward(
    dy: torch.Tensor, x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, wanted: list[bool]
) -> list[torch.Tensor]:
    """Those gradients of x, w1 and w2 that are wanted."""
    from liveaction.kernels import monarch_triton

    def composed() -> list[torch.Tensor]:
        found = monarch_gradients_composed(dy, x, w1, w2, wanted)
        return [laid_tokens_last(found[0]), *found[1:]] if wanted[0] else found

    return kernel_or_composed("monarch", lambda: monarch_triton.backward(dy, x, w1, w2, wanted), composed)


@_backward.register_fake
def _(dy: torch.Tensor, x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, wanted: list[bool]) -> list[torch.Tensor]:
    weights = [torch.empty_like(w, memory_format=torch.contiguous_format) for w in (w1, w2)]
    return only_wanted([empty_tokens_last(x, x.shape[1]), *weights], wanted)


def _save(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradient(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad)
    return spread(torch.ops.liveaction.monarch_backward(dy, *ctx.saved_tensors, wanted), wanted)


_forward.register_autograd(_gradient, setup_context=_save)
