"""The pointwise block on CPUs: torch's batched products, and everything between them in one pass over the cache."""

import numpy as np
import torch

from liveaction.kernels.activation_numba import norm_add, norm_gelu

TOKENS = 2048
"""Tokens of a piece; whoever has threads to share them out gives fewer."""


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
    """As :func:`liveaction.kernels.pointwise_block.pointwise_block`, float32 without gradients."""
    w1, w2, v1, v2 = (t.detach() for t in (w1, w2, v1, v2))
    first, second = gain1.detach().contiguous().numpy(), (gain2 * scale).detach().numpy()
    small = np.float32(eps)

    source = x.detach().flatten(2)
    out = torch.empty(source.shape)
    for item, result in zip(source, out, strict=True):
        for start in range(0, item.shape[1], TOKENS):
            matrix = item[:, start : start + TOKENS].contiguous()
            h = _project(matrix, w1, w2)
            norm_gelu(h.numpy(), first, small)
            h = _project(h, v1, v2)
            norm_add(matrix.numpy(), h.numpy(), second, small)
            result[:, start : start + TOKENS] = h
    return out.reshape(x.shape)


def _project(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    """Monarch projection of ``[C, T]``; see :mod:`liveaction.kernels.monarch`."""
    h = torch.bmm(w1, x.view(*w1.shape[:2], -1))
    return torch.bmm(w2, h.transpose(0, 1)).view(x.shape)
