"""Decoder: dequantised latents ``[B, L, *G]`` to wavelet packets ``[B, E, *G]``."""

import torch
from torch import nn

from liveaction.errors import SpecError
from liveaction.nn.band_rotation import BandRotation
from liveaction.nn.blocks import Block, build_block
from liveaction.nn.correction import Correction
from liveaction.nn.monarch import Dense, Monarch
from liveaction.spec import DecoderSpec


class Decoder(nn.Module):
    """v = linear(y) + out(blocks(up(y))) with a linear path, else v = blocks(up(y)) as published.

    Both projections of the network are Monarch ones; ``out`` starts at zero under the warm start, so that step 0 is
    the linear path alone. ``linear`` is another path than a dense one; that of sparse latents, which only puts them in
    order, comes after a :class:`~liveaction.nn.correction.Correction` of them: v = linear(correction(y)).
    """

    def __init__(self, spec: DecoderSpec, axes: int, width: int, latent: int, linear: nn.Module | None = None) -> None:
        super().__init__()
        self.linear = linear if linear is not None else Dense(latent, width) if spec.linear_path else None
        self.network: nn.Sequential | None = None
        self.correction: Correction | None = None
        if spec.kind == "linear":
            return
        if isinstance(linear, BandRotation):
            self.correction = Correction(spec, axes, linear.channels, latent)
            return
        self.network = nn.Sequential(Monarch(latent, width))
        for _ in range(spec.depth):
            self.network.append(build_block(spec, axes, width))
        if spec.linear_path:
            self.network.append(Monarch(width, width))

    @property
    def windowed(self) -> bool:
        """Whether windows with a halo of neighbours may be decoded one by one; a block that does not say so may not."""
        if self.correction is not None:
            return self.correction.windowed
        network = [] if self.network is None else list(self.network)
        return all(isinstance(part, Monarch) or (isinstance(part, Block) and part.windowed) for part in network)

    @torch.no_grad()
    def start_at_linear_path(self) -> None:
        """Make the network add nothing to the linear path, in place: its last factors become zero.

        Raises:
            SpecError: there is no linear path.
        """
        if self.linear is None:
            raise SpecError("codec.decoder: expected a linear path to start at, got none; set linear_path to true")
        if self.correction is not None:
            self.correction.start_at_nothing()
        if self.network is not None:
            last = self.network[-1]
            assert isinstance(last, Monarch)
            last.w2.zero_()

    def forward(self, y: torch.Tensor, step: float = 1.0, usual: float = 1.0) -> torch.Tensor:
        """``[B, L, *G] -> [B, E, *G]``.

        Args:
            y: dequantised latents.
            step: of their quantiser; ``usual``: the recipe's. A correction depends on both, and nothing else does.
        """
        if self.correction is not None:
            y = self.correction(y, step, usual)
        if self.network is None:
            assert self.linear is not None
            linear: torch.Tensor = self.linear(y)
            return linear
        residual: torch.Tensor = self.network(y)
        return residual if self.linear is None else self.linear(y) + residual
