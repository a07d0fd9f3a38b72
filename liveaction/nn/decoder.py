"""Decoder: dequantised latents ``[B, L, *G]`` to wavelet packets ``[B, E, *G]``."""

import torch
from torch import nn

from liveaction.errors import SpecError
from liveaction.nn.blocks import Block, LightBlock, PaperBlock, ViTBlock
from liveaction.nn.monarch import Dense, Monarch
from liveaction.spec import DecoderSpec


class Decoder(nn.Module):
    """v = linear(y) + out(blocks(up(y))) with a linear path, else v = blocks(up(y)) as published.

    Both projections of the network are Monarch ones; ``out`` starts at zero under the warm start, so that step 0 is
    the linear path alone. ``linear`` is another path than a dense one, that of a sparse codec, whose network is behind
    its transform (:class:`~liveaction.nn.correction.Correction`) and not here.
    """

    def __init__(self, spec: DecoderSpec, axes: int, width: int, latent: int, linear: nn.Module | None = None) -> None:
        super().__init__()
        self.linear = linear if linear is not None else Dense(latent, width) if spec.linear_path else None
        self.network: nn.Sequential | None = None
        if spec.kind != "linear" and linear is None:
            self.network = nn.Sequential(Monarch(latent, width))
            for _ in range(spec.depth):
                self.network.append(_block(spec, axes, width))
            if spec.linear_path:
                self.network.append(Monarch(width, width))

    @property
    def windowed(self) -> bool:
        """Whether windows with a halo of neighbours may be decoded one by one; a block that does not say so may not."""
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
        if self.network is not None:
            last = self.network[-1]
            assert isinstance(last, Monarch)
            last.w2.zero_()

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """``[B, L, *G] -> [B, E, *G]``."""
        if self.network is None:
            assert self.linear is not None
            linear: torch.Tensor = self.linear(y)
            return linear
        residual: torch.Tensor = self.network(y)
        return residual if self.linear is None else self.linear(y) + residual


def _block(spec: DecoderSpec, axes: int, width: int) -> Block:
    if spec.kind == "light":
        return LightBlock(width, axes)
    if spec.kind == "paper":
        return PaperBlock(width, axes, spec.kernel_size)
    return ViTBlock(width, axes, spec.head_dim, spec.expansion, spec.final_activation, spec.norm_eps)
