"""GroupNorm and GELU on CPUs: one pass for the moments, one for the rest."""

import numpy as np
import torch

from liveaction.kernels.activation_numba import affine, as_array, row_moments
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
    """As :func:`liveaction.kernels.group_norm.group_norm`, float32 or bfloat16, without gradients."""
    batch, channels = x.shape[:2]
    # in place where it may be: fresh memory costs as much as the arithmetic, by its page faults
    out = x.detach() if overwrite and x.is_contiguous() else x.detach().clone(memory_format=torch.contiguous_format)
    values = as_array(out).reshape(batch * channels, -1)
    step = max(1, PIECE // values.shape[1])
    pieces = [(first, min(first + step, len(values))) for first in range(0, len(values), step)]
    mean, spread = np.empty(len(values)), np.empty(len(values))
    in_threads(lambda piece: row_moments(values, *piece, mean, spread), pieces)

    rows, rest = mean.reshape(batch, groups, -1), spread.reshape(batch, groups, -1)
    middle = rows.mean(2, keepdims=True)
    variance = (rest / values.shape[1] + (rows - middle) ** 2).mean(2, keepdims=True)
    scale = weight.detach().double().numpy().reshape(1, groups, -1) / np.sqrt(variance + eps)
    shift = bias.detach().double().numpy().reshape(1, groups, -1) - middle * scale
    scale, shift = (row.astype(np.float32).reshape(-1) for row in (scale, shift))
    in_threads(lambda piece: affine(values, *piece, scale, shift, activate), pieces)
    return out
