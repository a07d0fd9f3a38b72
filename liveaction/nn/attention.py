"""Attention module of the ViT decoder."""

import torch
from torch import nn

from liveaction.errors import SpecError
from liveaction.kernels.linear_attention import linear_attention
from liveaction.nn.norm import group_norm


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
        self.norm = group_norm(width, eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix all tokens."""
        tokens = x.flatten(2)
        q, k, v = self.qkv(tokens).unflatten(1, (3, -1, self.head_dim)).unbind(1)
        mixed = linear_attention(q, k, v).flatten(1, 2)
        return self.norm(self.project(mixed.to(tokens.dtype))).reshape(x.shape)
