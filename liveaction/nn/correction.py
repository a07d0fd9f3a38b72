"""A network behind sparse latents: what it adds to them, in steps of the quantiser."""

from math import log2

import torch
from torch import nn

from liveaction.nn.blocks import Block, build_block
from liveaction.nn.monarch import Dense, Monarch
from liveaction.spec import DecoderSpec

GAINS = 7
"""Of one correction: as many as qualities, from the coarsest on, each half the step of the one before."""


class Correction(nn.Module):
    """Dequantised latents ``[B, L, *G]`` to better ones: ``y + step * g * tanh(network(y / step))``.

    All is in steps of the quantiser, so that one network serves all of them, and no latent moves by more than a step:
    where symbols are weighed by their cost, zeros stand for all that is smaller. The network sees latents by the
    inverse hyperbolic sine, and of the lowest bands, whose values are large, only differences to the token before
    along each axis, by the same function.

    Args:
        spec: of the decoder; its kind is not ``linear``.
        axes: D.
        channels: C, the number of lowest bands, which come first.
        latent: L.

    Attributes:
        gains: g of every quality, from the coarsest on, 0 to 1: as much as helps on training data.
    """

    gains: torch.Tensor

    def __init__(self, spec: DecoderSpec, axes: int, channels: int, latent: int) -> None:
        super().__init__()
        width = spec.width or latent
        self.channels = channels
        self.up, self.edges = Monarch(latent, width), Dense(axes * channels, width)
        self.blocks = nn.Sequential(*(build_block(spec, axes, width) for _ in range(spec.depth)))
        self.out = Monarch(width, latent)
        self.register_buffer("gains", torch.ones(GAINS))

    @property
    def windowed(self) -> bool:
        """Whether windows with a halo of neighbours may be decoded one by one."""
        return all(isinstance(block, Block) and block.windowed for block in self.blocks)

    @property
    def reach(self) -> int:
        """Latents on either side that it looks at: one before the blocks and one by each."""
        return 1 + len(self.blocks)

    @torch.no_grad()
    def start_at_nothing(self) -> None:
        """Make it add nothing, in place; later steps can still learn the rest."""
        self.out.w2.zero_()

    def residual(self, scaled: torch.Tensor) -> torch.Tensor:
        """What is added to latents in steps ``[B, L, *G]``, before the gain: float32, at most 1 in size."""
        lowest, others = scaled[:, : self.channels], scaled[:, self.channels :]
        edges = torch.cat([_differences(lowest, axis) for axis in range(2, scaled.ndim)], 1)
        h = self.up(torch.asinh(torch.cat([torch.zeros_like(lowest), others], 1)))
        h = self.blocks(h + self.edges(torch.asinh(edges)))
        return torch.tanh(self.out(h).float())

    def forward(self, y: torch.Tensor, step: float, usual: float) -> torch.Tensor:
        """``[B, L, *G] -> [B, L, *G]``.

        Args:
            y: dequantised latents.
            step: that they were quantised with.
            usual: the recipe's step.
        """
        gain = self._gain(log2(step / usual))
        return y + (step * gain) * self.residual(y / step).to(y.dtype) if gain else y

    def _gain(self, finer: float) -> float:
        """Read between the qualities, of which the middle one is the usual step; the last ones go on for ever."""
        at = min(max(GAINS // 2 - finer, 0.0), GAINS - 1.0)
        low = min(int(at), GAINS - 2)
        ends = self.gains[low : low + 2].tolist()
        return float(ends[0] + (ends[1] - ends[0]) * (at - low))


def _differences(x: torch.Tensor, axis: int) -> torch.Tensor:
    """To the one before along an axis; 0 for the first."""
    return torch.diff(x, dim=axis, prepend=x.narrow(axis, 0, 1))
