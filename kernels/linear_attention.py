"""ReLU linear attention over all tokens: out = relu(q) (relu(k)^T v) / (relu(q) (relu(k)^T 1) + eps).

Source: Katharopoulos et al., 2020, with the ReLU feature map of EfficientViT (Cai et al., 2023).
"""

from contextlib import nullcontext

import torch
import torch.nn.functional as F

from liveaction.errors import ShapeError


def linear_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, eps: float = 1e-5) -> torch.Tensor:
    """Attend without positions; the cost is linear in the number of tokens T.

    Args:
        q, k, v: ``[B, heads, head_dim, T]``, channels first; ReLU is applied here to q and k.
        eps: added to the normaliser.

    Returns:
        ``[B, heads, head_dim, T]`` in float32 or wider: sums over tokens are too long for 16 bits.

    Raises:
        ShapeError: the three differ in shape.
    """
    if not q.shape == k.shape == v.shape or q.ndim != 4:
        raise ShapeError(
            f"linear attention: expected q, k, v [B, heads, head_dim, T], got {tuple(q.shape)}, {tuple(k.shape)}, "
            f"{tuple(v.shape)}"
        )
    dtype = torch.promote_types(q.dtype, torch.float32)
    with nullcontext() if q.is_meta else torch.autocast(q.device.type, enabled=False):
        q, k, v = F.relu(q).to(dtype), F.relu(k).to(dtype), v.to(dtype)
        context = v @ k.transpose(2, 3)
        weight = k.sum(3).unsqueeze(2)
        return (context @ q) / (weight @ q + eps)
