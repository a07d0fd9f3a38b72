"""GroupNorm and GELU on CPUs: one pass for the moments, one for the rest."""

import numpy as np
import torch

from liveaction.kernels.activation_numba import affine, affine_in_place, row_moments
from liveaction.kernels.parallel import in_threads

PIECE = 2**17
"""Values that a thread takes at a time, about."""


def forward(
    x: torch.Tensor,
    groups: int,
    weight: torch.Tensor,
    bias: torch.Tensor,
    eps: float,
    activate: bool,
    overwrite: bool = False,
) -> torch.Tensor:
    """As :func:`liveaction.kernels.group_norm.group_norm`, float32 without gradients."""
    batch, channels = x.shape[:2]
    source = x.detach().reshape(batch * channels, -1).contiguous().numpy()
    # fresh memory costs as much as the arithmetic, by its page faults
    in_place = overwrite and x.is_contiguous()
    out = x.detach() if in_place else torch.empty(x.shape)
    step = max(1, PIECE // source.shape[1])
    pieces = [(first, min(first + step, len(source))) for first in range(0, len(source), step)]
    mean, spread = np.empty(len(source)), np.empty(len(source))
    in_threads(lambda piece: row_moments(source, *piece, mean, spread), pieces)

    rows, rest = mean.reshape(batch, groups, -1), spread.reshape(batch, groups, -1)
    middle = rows.mean(2, keepdims=True)
    variance = (rest / source.shape[1] + (rows - middle) ** 2).mean(2, keepdims=True)
    scale = weight.detach().double().numpy().reshape(1, groups, -1) / np.sqrt(variance + eps)
    shift = bias.detach().double().numpy().reshape(1, groups, -1) - middle * scale
    scale, shift = (values.astype(np.float32).reshape(-1) for values in (scale, shift))
    if in_place:
        in_threads(lambda piece: affine_in_place(source, *piece, scale, shift, activate), pieces)
    else:
        target = out.numpy().reshape(source.shape)
        in_threads(lambda piece: affine(source, target, *piece, scale, shift, activate), pieces)
    return out
