"""A network behind a sparse codec: what it adds to decoded samples, in steps of the quantiser."""

from collections.abc import Iterator, Sequence
from math import log2, prod

import torch
import torch.nn.functional as F
from torch import nn

from liveaction.nn.blocks import Block, ConvBlock, ViTBlock
from liveaction.spec import DecoderSpec

GAINS = 7
"""Of one correction: as many as qualities, from the coarsest on, each half the step of the one before."""
SLAB = 2**20
"""Samples that are corrected at a time, for memory: some 200 MB of what the network makes of them."""
Part = tuple[slice, ...]
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
        local: it looks no further than :attr:`reach`.
    """

    gains: torch.Tensor

    def __init__(self, spec: DecoderSpec, channels: int, fold: tuple[int, ...]) -> None:
        super().__init__()
        self.channels, self.leading, self.fold = channels, max(len(fold) - MOST_AXES, 0), fold[-MOST_AXES:]
        axes, tokens = len(self.fold), channels * prod(self.fold)
        convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
        self.up = convolution(2 * tokens, spec.width, 1)
        self.blocks = nn.Sequential()
        for _ in range(spec.depth):
            self.blocks.append(_block(spec, axes))
        self.out = convolution(spec.width, tokens, 1)
        self.local = spec.kind == "light"
        self.register_buffer("gains", torch.ones(GAINS))

    @property
    def reach(self) -> int:
        """Tokens on either side that it looks at, attention apart: for the mean, and by every block."""
        return 1 + len(self.blocks)

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
        if not gain:
            return x
        if torch.is_grad_enabled() or not self.local:
            return x + (step * gain) * self.residual(x / step).to(x.dtype)
        out = x.clone()
        for one, made in zip(x.split(1), out.split(1), strict=True):
            for inner, around, kept in self._slabs(x.shape[2:]):
                added = self.residual(one[around] / step)[kept]
                made[inner] += (step * gain) * added.to(x.dtype)
        return out

    def _slabs(self, extents: Sequence[int]) -> Iterator[tuple[Part, Part, Part]]:
        """Slabs of few samples across the longest axis that it looks along, as indices of ``[B, C, *S]``: what is
        made, that with all around that matters to it, and the first within the second."""
        axis = max(range(self.leading, len(extents)), key=lambda a: extents[a])
        fold = self.fold[axis - self.leading]
        whole, size, reach = (slice(None),) * (2 + axis), extents[axis], self.reach * fold
        side = max(SLAB * size // prod(extents) // fold, 1) * fold
        for low in range(0, size, side):
            high, first, last = min(low + side, size), max(low - reach, 0), min(low + side + reach, size)
            yield (*whole, slice(low, high)), (*whole, slice(first, last)), (*whole, slice(low - first, high - first))

    def _gain(self, coarser: float) -> float:
        """Read between the qualities, of which the middle one is the usual step; the last ones go on for ever."""
        at = min(max(GAINS // 2 - coarser, 0.0), GAINS - 1.0)
        low = min(int(at), GAINS - 2)
        first, second = self.gains[low : low + 2].tolist()
        return float(first + (second - first) * (at - low))


def _block(spec: DecoderSpec, axes: int) -> Block:
    if spec.kind == "light":
        return ConvBlock(spec.width, axes)
    return ViTBlock(spec.width, axes, spec.head_dim, spec.expansion, spec.final_activation, spec.norm_eps)


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
