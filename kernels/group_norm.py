"""GroupNorm with GELU (tanh form) after it where asked for.

    y = gelu(weight_c * (x - mean_g) / sqrt(var_g + eps) + bias_c)      mean and variance over group g and all tokens

Source: Wu and He, "Group Normalization", 2018.
"""

import torch
import torch.nn.functional as F

from liveaction.kernels.dispatch import choose, has_none


def group_norm(
    x: torch.Tensor,
    groups: int,
    weight: torch.Tensor,
    bias: torch.Tensor,
    eps: float,
    activate: bool = False,
    overwrite: bool = False,
) -> torch.Tensor:
    """``[B, C, *S]`` to the same shape; one value per group gives the bias.

    Args:
        groups: a divisor of C.
        weight, bias: ``[C]``.
        activate: GELU after it.
        overwrite: the memory of ``x`` may be taken for the result; ``x`` is then of no further use.
    """
    provider = choose("group_norm", x, has_none, lambda: _numba_refused(x, weight), (weight, bias))
    if provider == "numba":
        from liveaction.kernels import group_norm_numba

        return group_norm_numba.forward(x, groups, weight, bias, eps, activate, overwrite)
    if provider == "reference":
        return group_norm_reference(x, groups, weight, bias, eps, activate)
    return group_norm_composed(x, groups, weight, bias, eps, activate)


def _numba_refused(x: torch.Tensor, weight: torch.Tensor) -> str:
    """Why the Numba passes cannot take these; empty where they can."""
    if x.dtype in (torch.float32, torch.bfloat16) and weight.dtype != torch.float64 and x.numel():
        return ""
    return f"they take at least one value in float32 or bfloat16, not {tuple(x.shape)} of {x.dtype}"


def group_norm_reference(
    x: torch.Tensor, groups: int, weight: torch.Tensor, bias: torch.Tensor, eps: float, activate: bool = False
) -> torch.Tensor:
    """The formula as it is written above."""
    parts = x.reshape(x.shape[0], groups, -1)
    variance, mean = torch.var_mean(parts, dim=2, keepdim=True, correction=0)
    channels = (-1, *(1,) * (x.ndim - 2))
    y = ((parts - mean) / (variance + eps).sqrt()).reshape(x.shape) * weight.view(channels) + bias.view(channels)
    if not activate:
        return y
    return 0.5 * y * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (y + 0.044715 * y**3)))


def group_norm_composed(
    x: torch.Tensor, groups: int, weight: torch.Tensor, bias: torch.Tensor, eps: float, activate: bool = False
) -> torch.Tensor:
    """torch's own."""
    y = torch.group_norm(x, groups, weight, bias, eps)
    return F.gelu(y, approximate="tanh") if activate else y
