"""Norms."""

from math import gcd

import torch
from torch import nn

from liveaction.kernels.group_norm import group_norm
from liveaction.kernels.pointwise_block import rms_norm


class ChannelNorm(nn.Module):
    """Root-mean-square norm over a token's own channels, with a learnt gain: ``[B, C, *S] -> [B, C, *S]``."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise every token by itself, in float32 or wider."""
        return rms_norm(x, self.gain, self.eps)


class GroupNorm(nn.GroupNorm):
    """torch's parameters; GELU follows where ``activate``, and one value per group is taken too.

    Made for what a layer before has just written: without gradients the result may take the memory of the input.
    """

    def __init__(self, groups: int, channels: int, eps: float, activate: bool) -> None:
        super().__init__(groups, channels, eps=eps)
        self.activate = activate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, C, *S] -> [B, C, *S]``."""
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps, self.activate, overwrite=True)


def make_group_norm(channels: int, eps: float, activate: bool = False) -> GroupNorm:
    """GroupNorm of 8 groups, fewer where 8 does not divide ``channels``; with GELU after it where asked for."""
    return GroupNorm(gcd(8, channels), channels, eps, activate)
