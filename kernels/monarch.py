"""Monarch projection of a token's channels: two block-diagonal products with a riffle between.

For C_in = g1*g2 and q = C_out/g2, with the channels seen as x[a, j]:

    h[a, i] = sum_j W1[a, i, j] x[a, j]        a < g1, i, j < g2
    y[i, o] = sum_a W2[i, o, a] h[a, i]        o < q; output channel i*q + o

Source: Dao et al., "Monarch: Expressive Structured Matrices", 2022; grouped as in LiVeAction (arXiv 2605.06628).
"""

import torch

from liveaction.errors import ShapeError


def choose_groups(c_in: int, c_out: int) -> tuple[int, int]:
    """Divisor pair (g1, g2) of ``c_in`` with g2 dividing ``c_out`` and the least multiplications per token."""
    pairs = [(c_in // g2, g2) for g2 in range(1, c_in + 1) if c_in % g2 == 0 and c_out % g2 == 0]
    return min(pairs, key=lambda pair: (c_in * c_in // pair[0] + c_in * c_out // pair[1], pair[0]))


def monarch(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Project the channels of every token.

    Args:
        x: ``[B, C_in, *S]``.
        w1: ``[g1, g2, g2]`` indexed (a, i, j), g1*g2 = C_in.
        w2: ``[g2, q, g1]`` indexed (i, o, a), g2*q = C_out.
        bias: ``[C_out]`` or None.

    Returns:
        ``[B, C_out, *S]``. Two batched products on channels-first tokens; the riffle is a stride.

    Raises:
        ShapeError: the factors do not fit each other or ``x``.
    """
    g1, g2 = w1.shape[:2]
    if w1.shape != (g1, g2, g2) or w2.shape[0] != g2 or w2.shape[2] != g1 or x.shape[1] != g1 * g2:
        raise ShapeError(
            f"monarch: expected x [B, g1*g2, *S], w1 [g1, g2, g2], w2 [g2, q, g1], got {tuple(x.shape)}, "
            f"{tuple(w1.shape)}, {tuple(w2.shape)}"
        )
    tokens = x.flatten(2)
    h = w1 @ tokens.unflatten(1, (g1, g2))
    y: torch.Tensor = (w2 @ h.transpose(1, 2)).flatten(1, 2)
    if bias is not None:
        y = y + bias[:, None].to(y.dtype)
    return y.reshape(*y.shape[:2], *x.shape[2:])


def monarch_to_dense(w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    """The dense matrix ``[C_out, C_in]`` of the same projection: one product per entry, no sum, hence exact.

    ``dense[i*q + o, a*g2 + j] = W2[i, o, a] * W1[a, i, j]``.
    """
    product = torch.einsum("ioa,aij->ioaj", w2, w1)
    return product.flatten(2).flatten(0, 1)
