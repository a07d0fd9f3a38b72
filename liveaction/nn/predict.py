"""A small network from a coarse signal to one twice as fine, for the predict step of a sparse codec."""

from math import prod

import torch
from torch import nn

from liveaction.kernels.refine import refine

SLOPE = 0.1
"""Of the leaky rectifiers."""


class Refiner(nn.Module):
    """Signals ``[B, C, *n]`` to such of twice the samples along some axes, by convolutions along these.

    It is homogeneous of degree one in signal and step together: what it adds to its sums are multiples of the step. The
    kernels on the signal have mean zero, so that a constant says nothing. Behind the last layer, which starts at zero,
    the 2**a values of a position are those of its finer ones. Of four axes the last stays out of the convolutions.

    Args:
        channels: C.
        split: 1 for every axis that gets finer.
        width: channels of hidden layers.
        kernels: extents of the layers' kernels, each odd.
    """

    def __init__(self, channels: int, split: tuple[int, ...], width: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        self.channels, self.split = channels, split
        self.along = [axis for axis, on in enumerate(split) if on][:3]
        self.phases = 2 ** sum(split)
        sizes = [channels, *[width] * (len(kernels) - 1), channels * self.phases]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for i, (before, behind, extent) in enumerate(zip(sizes, sizes[1:], kernels, strict=False)):
            shape = (behind, before, *[extent] * len(self.along))
            last = i == len(kernels) - 1
            start = 0.0 if last else (2 / prod(shape[1:])) ** 0.5
            self.weights.append(nn.Parameter(start * torch.randn(shape)))
            if not last:
                self.biases.append(nn.Parameter(torch.randn(behind) * 0.3 if i == 0 else torch.zeros(behind)))

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"channels={self.channels}, split={self.split}, kernels={[w.shape[-1] for w in self.weights]}"

    @property
    def macs(self) -> int:
        """Multiply-accumulates for a position of the coarse signal, all channels."""
        return sum(weight.numel() for weight in self.weights)

    def forward(self, x: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """``[B, C, *n]`` and steps ``[B]`` to ``[B, C, *m]``, m twice n along the axes that are split."""
        axes = x.ndim - 2
        scale = step.view(-1, 1, *[1] * axes)
        apart = [axis for axis in range(axes) if axis not in self.along]
        order = [0, *(2 + axis for axis in apart), 1, *(2 + axis for axis in self.along)]
        lead = len(apart) + 1
        moved = (x / scale).permute(order)
        first, *others = self.weights
        taps = tuple(range(2, first.ndim))
        weights = [first - first.mean(taps, keepdim=True), *others]
        y = refine(moved.flatten(0, lead - 1), weights, list(self.biases), SLOPE).unflatten(0, moved.shape[:lead])
        y = y.permute([order.index(i) for i in range(x.ndim)])  # [B, C * phases, *n]
        return _interleaved(y.unflatten(1, (self.channels, self.phases)), self.split) * scale


def _interleaved(y: torch.Tensor, split: tuple[int, ...]) -> torch.Tensor:
    """``[B, C, phases, *n]`` to ``[B, C, *m]``; the last of the axes that are split is the fastest phase."""
    on = [axis for axis, yes in enumerate(split) if yes]
    y = y.unflatten(2, (2,) * len(on))
    order, sizes = [0, 1], []
    for axis in range(len(split)):
        order.append(2 + len(on) + axis)
        sizes.append(y.shape[2 + len(on) + axis])
        if axis in on:
            order.append(2 + on.index(axis))
            sizes[-1] *= 2
    return y.permute(order).reshape(*y.shape[:2], *sizes)
