"""A network behind a sparse codec: what it adds to decoded samples, in steps of the quantiser."""

from collections.abc import Sequence
from math import log2, prod

import torch
import torch.nn.functional as F
from torch import nn

from liveaction.nn.blocks import Block, LightBlock, ViTBlock
from liveaction.spec import DecoderSpec

GAINS = 7
"""Of one correction: as many as qualities, from the coarsest on, each half the step of the one before."""
MOST_AXES = 3
"""That a network looks along: the last ones, for torch convolves no more."""


class Correction(nn.Module):
    """Decoded samples to better ones, ``[B, C, *S] -> [B, C, *S]``: ``x + step * g * tanh(network(x / step))``.

    All is in steps of the quantiser, so that one network serves all of them, and no sample moves by more than a step.
    It works on samples, where an edge is the same wherever it lies, and not on latents, of which each has its own
    meaning; so it is the same for all trees, too. What the network sees is how each sample differs from the mean around
    it, by the inverse hyperbolic sine, and cut to two steps, which tells small differences apart.

    Args:
        spec: of the decoder; its kind is ``light`` or ``vit``.
        channels: C.
        fold: samples of each axis to a token of the network: 1 or 2.

    Attributes:
        gains: g of every quality, from the coarsest on, 0 to 1: as much as helps on training data.
    """

    gains: torch.Tensor

    def __init__(self, spec: DecoderSpec, channels: int, fold: tuple[int, ...]) -> None:
        super().__init__()
        self.channels, self.leading, self.fold = channels, max(len(fold) - MOST_AXES, 0), fold[-MOST_AXES:]
        axes, tokens = len(self.fold), channels * prod(self.fold)
        self.up = _convolution(2 * tokens, spec.width, axes)
        self.blocks = nn.Sequential()
        for _ in range(spec.depth):
            self.blocks.append(_block(spec, axes))
        self.out = _convolution(spec.width, tokens, axes)
        self.register_buffer("gains", torch.ones(GAINS))

    @property
    def reach(self) -> int:
        """Tokens on either side that it looks at, or that are near enough to matter."""
        return 3 + len(self.blocks)

    @torch.no_grad()
    def start_at_nothing(self) -> None:
        """Make it add nothing, in place; later steps can still learn the rest."""
        self.out.weight.zero_()
        if self.out.bias is not None:
            self.out.bias.zero_()

    def residual(self, scaled: torch.Tensor) -> torch.Tensor:
        """What is added to samples in steps ``[B, C, *S]``, before the gain: float32, at most 1 in size.

        Extents are multiples of ``fold``.
        """
        x = scaled.movedim(1, 1 + self.leading).flatten(0, self.leading) if self.leading else scaled
        tokens = _folded(x, self.fold)
        apart = tokens.unflatten(1, (self.channels, -1))
        local = (apart - _around(apart.mean(2))[:, :, None]).flatten(1, 2)
        h = self.up(torch.cat([torch.asinh(local), local.clamp(-2, 2)], 1))
        made = _unfolded(torch.tanh(self.out(F.silu(self.blocks(h))).float()), self.fold)
        if self.leading:
            made = made.unflatten(0, (len(scaled), *scaled.shape[2 : 2 + self.leading])).movedim(1 + self.leading, 1)
        return made

    def forward(self, x: torch.Tensor, step: float, usual: float) -> torch.Tensor:
        """``[B, C, *S] -> [B, C, *S]``.

        Args:
            x: decoded samples.
            step: that their latents were quantised with.
            usual: the recipe's step.
        """
        gain = self._gain(log2(step / usual))
        return x + (step * gain) * self.residual(x / step).to(x.dtype) if gain else x

    def _gain(self, coarser: float) -> float:
        """Read between the qualities, of which the middle one is the usual step; the last ones go on for ever."""
        at = min(max(GAINS // 2 - coarser, 0.0), GAINS - 1.0)
        low = min(int(at), GAINS - 2)
        first, second = self.gains[low : low + 2].tolist()
        return float(first + (second - first) * (at - low))


def _block(spec: DecoderSpec, axes: int) -> Block:
    if spec.kind == "light":
        return LightBlock(spec.width, axes)
    return ViTBlock(spec.width, axes, spec.head_dim, spec.expansion, spec.final_activation, spec.norm_eps)


def _convolution(c_in: int, c_out: int, axes: int) -> nn.Conv1d | nn.Conv2d | nn.Conv3d:
    """Of width 3 on one to three axes, zeros outside, with a bias: ``[B, C_in, *S] -> [B, C_out, *S]``."""
    return (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1](c_in, c_out, 3, padding=1)


def _around(x: torch.Tensor) -> torch.Tensor:
    """The mean over a token and its neighbours, ``[B, C, *G]``; beyond the border stands what is at it."""
    for axis in range(2, x.ndim):
        first, last = x.narrow(axis, 0, 1), x.narrow(axis, -1, 1)
        wide, size = torch.cat([first, x, last], axis), x.shape[axis]
        x = (wide.narrow(axis, 0, size) + x + wide.narrow(axis, 2, size)) / 3
    return x


def _folded(x: torch.Tensor, fold: Sequence[int]) -> torch.Tensor:
    """``[B, C, *S] -> [B, C * prod fold, *G]``."""
    axes = len(fold)
    sizes = [side for n, by in zip(x.shape[2:], fold, strict=True) for side in (n // by, by)]
    apart = x.reshape(*x.shape[:2], *sizes)
    order = [0, 1, *(3 + 2 * axis for axis in range(axes)), *(2 + 2 * axis for axis in range(axes))]
    return apart.permute(order).flatten(1, 1 + axes)


def _unfolded(tokens: torch.Tensor, fold: Sequence[int]) -> torch.Tensor:
    """The inverse of :func:`_folded`."""
    axes = len(fold)
    apart = tokens.unflatten(1, (-1, *fold))
    order = [0, 1, *(place for axis in range(axes) for place in (2 + axes + axis, 2 + axis))]
    sizes = [n * by for n, by in zip(tokens.shape[2:], fold, strict=True)]
    return apart.permute(order).reshape(*apart.shape[:2], *sizes)
