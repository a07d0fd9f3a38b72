"""The pointwise block on CPUs: torch's batched products, and everything between them in one pass over the cache."""

import numpy as np
import torch

from liveaction.kernels.activation_numba import norm_add, norm_gelu
from liveaction.kernels.monarch import monarch_composed

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
    for item in range(len(source)):
        for start in range(0, source.shape[2], TOKENS):
            piece = slice(start, start + TOKENS)
            part = source[item : item + 1, :, piece].contiguous()
            h = monarch_composed(part, w1, w2)
            norm_gelu(h[0].numpy(), first, small)
            h = monarch_composed(h, v1, v2)
            norm_add(part[0].numpy(), h[0].numpy(), second, small)
            out[item, :, piece] = h[0]
    return out.reshape(x.shape)
