"""The pointwise block on CPUs: torch's batched products, and everything between them in one pass over the cache."""

import threading

import numpy as np
import torch

from liveaction.kernels.activation_numba import as_array, norm_add, norm_gelu

TOKENS = 2048
"""Tokens of a piece; whoever has threads to share them out gives fewer."""

_kept = threading.local()


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
    """As :func:`liveaction.kernels.pointwise_block.pointwise_block`, without gradients.

    x is float32; the factors are too, or bfloat16, and so are then the products and what lies between them.
    """
    w1, w2, v1, v2 = (t.detach() for t in (w1, w2, v1, v2))
    first, second = (t.detach().float().contiguous().numpy() for t in (gain1, gain2 * scale))
    small = np.float32(eps)

    source = x.detach().flatten(2)
    out = torch.empty(source.shape)
    for item in range(len(source)):
        for start in range(0, source.shape[2], TOKENS):
            piece = source[item, :, start : start + TOKENS].contiguous()
            one, two = _buffers(piece.shape, w1.dtype)
            _project(piece.to(w1.dtype), w1, w2, one, two)
            norm_gelu(as_array(two), first, small)
            _project(two, v1, v2, one, two)
            whole = piece.shape == source.shape[1:]
            target = out[item] if whole else torch.empty_like(piece)
            norm_add(piece.numpy(), as_array(two), second, small, target.numpy())
            if not whole:
                out[item, :, start : start + TOKENS] = target
    return out.reshape(x.shape)


def _project(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, between: torch.Tensor, out: torch.Tensor) -> None:
    """The Monarch projection of tokens ``[C, T]``, which may be those of ``out``, by way of ``between``."""
    g1, g2 = w1.shape[:2]
    h = between.view(g1, g2, -1)
    torch.bmm(w1, x.view(g1, g2, -1), out=h)
    torch.bmm(w2, h.transpose(0, 1), out=out.view(g2, g1, -1))


def _buffers(shape: torch.Size, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Two tensors that a thread keeps: fresh memory costs as much as the arithmetic, by its page faults."""
    if getattr(_kept, "key", None) != (shape, dtype):
        with torch.inference_mode(False):  # written to outside of it, too
            _kept.key, _kept.pair = (shape, dtype), (torch.empty(shape, dtype=dtype), torch.empty(shape, dtype=dtype))
    pair: tuple[torch.Tensor, torch.Tensor] = _kept.pair
    return pair
