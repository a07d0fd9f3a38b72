"""What stands in front of a network that takes latents: their scale, as the training split has it, and a projection."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

from liveaction.errors import ShapeError, SpecError
from liveaction.learning.inputs import InputSpec

Scale = Literal["one", "channel", "none"]
SCALES: tuple[Scale, ...] = ("one", "channel", "none")
CONVOLUTIONS: dict[int, Callable[..., nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORMS: dict[int, Callable[..., nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def axes_of(spec: InputSpec) -> int:
    """How many axes the grid has, of which networks take 1 to 3.

    Raises:
        SpecError: it has four.
    """
    if len(spec.grid) > 3:
        raise SpecError(
            f"network: expected a grid of 1 to 3 axes, got {len(spec.grid)} {spec.axes}; make one of them channels"
        )
    return len(spec.grid)


class Scaling(nn.Module):
    """Values less a mean, over a scale, per channel: ``[B, L, *G]`` to the same.

    Both are buffers, so a state dict brings them along.

    Args:
        spec: of the inputs.
        scale: ``one``, the same for all channels after their means are taken off, so that faint channels stay faint;
            ``channel``, a deviation for each, where those that never change are left as they are; ``none``, values as
            they come.

    Raises:
        SpecError: another word for the scale.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, spec: InputSpec, scale: Scale = "one") -> None:
        super().__init__()
        if scale not in SCALES:
            raise SpecError(f"scale: expected one of {', '.join(SCALES)}, got {scale!r}")
        known = spec.statistics
        mean, size = torch.tensor(known.mean), torch.ones(spec.channels)
        if scale == "one":
            size = torch.full((spec.channels,), known.scale)
        elif scale == "channel":
            size = torch.tensor(known.deviation)
        else:
            mean = torch.zeros(spec.channels)
        self.channels = spec.channels
        self.register_buffer("mean", mean)
        self.register_buffer("scale", torch.where(size > 0, size, 1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scaled values.

        Raises:
            ShapeError: ``x`` has other channels.
        """
        if x.ndim < 3 or x.shape[1] != self.channels:
            raise ShapeError(f"network: expected [B, {self.channels}, *G], got {tuple(x.shape)}")
        shape = (1, -1, *(1,) * (x.ndim - 2))
        return (x - self.mean.view(shape)) / self.scale.view(shape)


class LatentStem(nn.Module):
    """:class:`Scaling`, then one linear projection per token: ``[B, L, *G]`` to ``[B, width, *G]``.

    Args:
        spec: of the inputs.
        width: channels out.
        scale: as of :class:`Scaling`.

    Raises:
        SpecError: another word for the scale, or a grid of four axes.

    Example:
        >>> statistics = {"mean": (0, 3), "deviation": (4, 0), "least": (-9, 3), "most": (9, 3)}
        >>> table = {"channels": 2, "grid": (5, 7), "axes": ("y", "x"), "factors": (8, 8)}
        >>> spec = InputSpec(**table, task="class", outputs=3, statistics=statistics)
        >>> LatentStem(spec, 16)(torch.zeros(1, 2, 5, 7)).shape
        torch.Size([1, 16, 5, 7])
    """

    def __init__(self, spec: InputSpec, width: int, scale: Scale = "one") -> None:
        super().__init__()
        self.scaling = Scaling(spec, scale)
        self.projection = CONVOLUTIONS[axes_of(spec)](spec.channels, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Latents to features of each token."""
        y: torch.Tensor = self.projection(self.scaling(x))
        return y
