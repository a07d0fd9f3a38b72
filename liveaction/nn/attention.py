"""Attention module of the ViT decoder."""

import torch
import torch.nn.functional as F
from torch import nn

from liveaction.errors import SpecError
from liveaction.kernels.linear_attention import absorbed_attention, linear_attention
from liveaction.nn.norm import make_group_norm


class LinearAttention(nn.Module):
    """ReLU linear attention, projection and GroupNorm: ``[B, E, *G] -> [B, E, *G]``, any number of axes.

    Args:
        width: E.
        head_dim: width of a head, a divisor of E; None for one head of width E.
        eps: of the GroupNorm.

    Raises:
        SpecError: ``head_dim`` does not divide ``width``.
    """

    def __init__(self, width: int, head_dim: int | None, eps: float) -> None:
        super().__init__()
        self.head_dim = head_dim or width
        if width % self.head_dim:
            raise SpecError(
                f"[codec.decoder] head_dim: expected a divisor of the hidden width {width}, got {head_dim}; "
                "take a divisor, or null for one head"
            )
        self.qkv = nn.Conv1d(width, 3 * width, 1, bias=False)
        self.project = nn.Conv1d(width, width, 1, bias=False)
        self.norm = make_group_norm(width, eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix all tokens."""
        tokens = x.flatten(2)
        if self.head_dim == tokens.shape[1]:
            mixed = absorbed_attention(tokens, self.qkv.weight.squeeze(2), self.project.weight.squeeze(2))
        else:
            q, k, v = _pointwise(self.qkv, tokens).unflatten(1, (3, -1, self.head_dim)).unbind(1)
            mixed = _pointwise(self.project, linear_attention(q, k, v, dtype=q.dtype).flatten(1, 2))
        return self.norm(mixed).reshape(x.shape)


def _pointwise(conv: nn.Conv1d, tokens: torch.Tensor) -> torch.Tensor:
    """A convolution of width 1 without a bias; on GPUs a product that keeps channels innermost in memory."""
    if tokens.is_cuda:
        return F.linear(tokens.transpose(1, 2), conv.weight.squeeze(2)).transpose(1, 2)
    return conv(tokens)
