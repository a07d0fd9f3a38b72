"""Residual blocks of the encoders and decoders. Tensors are ``[B, E, *G]``, D = number of grid axes."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from liveaction.errors import SpecError
from liveaction.kernels.depthwise import depthwise
from liveaction.kernels.pointwise_block import pointwise_block
from liveaction.nn.attention import LinearAttention
from liveaction.nn.monarch import Monarch, MonarchConv
from liveaction.nn.norm import ChannelNorm, make_group_norm


class Block(nn.Module):
    """A residual block of an encoder or a decoder, ``[B, E, *G] -> [B, E, *G]``, with what the codec must know of it.

    A block that declares nothing is run on the whole signal at once, which is always right.

    Attributes:
        tokenwise: each token out depends on its own token in alone, so that tokens may be computed in any grouping.
        windowed: a decoder may compute it window by window, each with its halo of neighbours.
    """

    tokenwise: ClassVar[bool] = False
    windowed: ClassVar[bool] = False

    def start_at_identity(self) -> None:
        """Make the block its skip alone, in place; later steps can still learn the rest.

        Raises:
            SpecError: this kind of block cannot.
        """
        raise SpecError(
            f"[training] start: warm needs encoder blocks that can start as the identity, got {type(self).__name__}; "
            "set start to random"
        )


class Scale(nn.Module):
    """Layer scale: one factor per channel, times what the function before gave; learnt, or fixed at its start."""

    def __init__(self, channels: int, start: float, learnt: bool = True) -> None:
        super().__init__()
        factor = torch.full((channels,), start)
        if learnt:
            self.factor = nn.Parameter(factor)
        else:
            self.register_buffer("factor", factor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, C, *G]`` times ``[C]``."""
        return x * self.factor.view(-1, *(1,) * (x.ndim - 2)).to(x.dtype)


class PointwiseBlock(Block):
    """Monarch, channel norm, GELU, Monarch, channel norm, layer scale, plus the skip. Looks at one token only.

    Args:
        scale: what the layer scale starts at; None for none.
    """

    tokenwise = windowed = True

    def __init__(self, width: int, scale: float | None = 0.1) -> None:
        super().__init__()
        self.first = Monarch(width, width)
        self.norm1 = ChannelNorm(width)
        self.second = Monarch(width, width)
        self.norm2 = ChannelNorm(width)
        self.scale = Scale(width, 1.0 if scale is None else scale, learnt=scale is not None)

    @torch.no_grad()
    def start_at_identity(self) -> None:
        """Make the block its skip alone: the last factors that learn become zero."""
        last = self.scale.factor if isinstance(self.scale.factor, nn.Parameter) else self.norm2.gain
        last.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One token in, one token out."""
        first, second = self.first, self.second
        gains, scale = (self.norm1.gain, self.norm2.gain), self.scale.factor
        return pointwise_block(x, first.w1, first.w2, gains[0], second.w1, second.w2, gains[1], scale, self.norm1.eps)


class SqueezeExcite(nn.Module):
    """Channel gates from the pooled vector: Monarch C -> C/4 -> C with biases, sigmoid. Looks at the whole input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce = Monarch(width, max(width // 4, 1), bias=True)
        self.expand = Monarch(max(width // 4, 1), width, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate ``[B, C, *G]``."""
        pooled = x.flatten(2).mean(2, keepdim=True)
        gate = torch.sigmoid(self.expand(F.gelu(self.reduce(pooled), approximate="tanh")))
        return x * gate.view(*gate.shape[:2], *(1,) * (x.ndim - 2))


class PaperBlock(Block):
    """The published block: Monarch, GroupNorm, GELU, Monarch, GroupNorm, squeeze-excite, plus the skip.

    With ``kernel_size`` 3 the Monarch factors are convolutions on ``axes`` axes.
    """

    def __init__(self, width: int, axes: int = 1, kernel_size: int = 1) -> None:
        super().__init__()
        self.first = _projection(width, axes, kernel_size)
        self.norm1 = make_group_norm(width, 1e-7, activate=True)
        self.second = _projection(width, axes, kernel_size)
        self.norm2 = make_group_norm(width, 1e-7)
        self.gate = SqueezeExcite(width)

    @torch.no_grad()
    def start_at_identity(self) -> None:
        """Make the block its skip alone: the last norm gives zero."""
        self.norm2.weight.zero_()
        self.norm2.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Norms and gates see the whole input."""
        return x + self.gate(self.norm2(self.second(self.norm1(self.first(x)))))


def _projection(width: int, axes: int, kernel_size: int) -> nn.Module:
    return Monarch(width, width) if kernel_size == 1 else MonarchConv(width, width, kernel_size, axes)


class Depthwise(nn.Module):
    """Depthwise convolution of width 3 on any number of axes, zeros outside.

    D = 1, 2, 3 take one 3**D kernel; more axes, or ``separable``, one kernel of 3 per axis in turn.
    """

    def __init__(self, channels: int, axes: int, separable: bool = False) -> None:
        super().__init__()
        self.axes = axes
        kinds = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
        self.joint = axes in kinds and not separable
        if self.joint:
            self.convs = nn.ModuleList([kinds[axes](channels, channels, 3, padding=1, groups=channels)])
        else:
            self.convs = nn.ModuleList(
                nn.Conv1d(channels, channels, 3, padding=1, groups=channels, bias=axis == axes - 1)
                for axis in range(axes)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, C, *G] -> [B, C, *G]``."""
        convs: list[Any] = list(self.convs)
        return depthwise(x, [conv.weight for conv in convs], convs[-1].bias)


class MBConv(nn.Module):
    """1x1 expand, depthwise 3**D, 1x1 reduce, each with GroupNorm; GELU after the first two (or all three)."""

    def __init__(self, width: int, axes: int, expansion: int, final_activation: bool, eps: float) -> None:
        super().__init__()
        wide = width * expansion
        self.expand = nn.Conv1d(width, wide, 1)
        self.norm1 = make_group_norm(wide, eps, activate=True)
        self.depthwise = Depthwise(wide, axes)
        self.norm2 = make_group_norm(wide, eps, activate=True)
        self.reduce = nn.Conv1d(wide, width, 1, bias=False)
        self.norm3 = make_group_norm(width, eps, activate=final_activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, E, *G] -> [B, E, *G]``."""
        h = self.norm1(self.expand(x.flatten(2))).unflatten(2, x.shape[2:])
        h = self.norm2(self.depthwise(h))
        out: torch.Tensor = self.norm3(self.reduce(h.flatten(2))).unflatten(2, x.shape[2:])
        return out


class ViTBlock(Block):
    """x + attention(x), then x + MBConv(x); no positions, so any extent and any D."""

    windowed = True

    def __init__(
        self, width: int, axes: int, head_dim: int | None, expansion: int, final_activation: bool, eps: float
    ) -> None:
        super().__init__()
        self.attention = LinearAttention(width, head_dim, eps)
        self.local = MBConv(width, axes, expansion, final_activation, eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, E, *G] -> [B, E, *G]``."""
        x = x + self.attention(x)
        return x + self.local(x)


class LightBlock(Block):
    """A look at the neighbouring tokens (per-axis depthwise 3), then a pointwise block. For small machines."""

    windowed = True

    def __init__(self, width: int, axes: int) -> None:
        super().__init__()
        self.depthwise = Depthwise(width, axes, separable=True)
        self.norm = ChannelNorm(width)
        self.scale = Scale(width, 0.1)
        self.pointwise = PointwiseBlock(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, E, *G] -> [B, E, *G]``."""
        return self.pointwise(x + self.scale(self.norm(self.depthwise(x))))


class ConvBlock(Block):
    """x + conv(silu(x)), a full convolution of width 3 along one to three axes, which processors do fast."""

    windowed = True

    def __init__(self, width: int, axes: int) -> None:
        super().__init__()
        self.conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1](width, width, 3, padding=1)
        with torch.no_grad():
            self.conv.weight.mul_(0.3)  # by trial: from torch's own start a minute's training gains a third of it

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, E, *G] -> [B, E, *G]``."""
        out: torch.Tensor = x + self.conv(F.silu(x))
        return out
