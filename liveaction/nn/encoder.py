"""Encoder: wavelet packets ``[B, E, *G]`` to latents ``[B, L, *G]``."""

import torch
from torch import nn

from liveaction.nn.band_rotation import BandRotation
from liveaction.nn.blocks import Block, PaperBlock, PointwiseBlock
from liveaction.nn.monarch import Dense, Monarch
from liveaction.spec import EncoderSpec


class Encoder(nn.Module):
    """y = down(blocks(v)): residual blocks around the identity, then one projection E -> L, of C channels' packets.

    With every layer scale at 0 the pointwise encoder is its projection alone, hence linear; the warm start uses that.
    """

    def __init__(self, spec: EncoderSpec, axes: int, width: int, latent: int, channels: int = 1) -> None:
        super().__init__()
        self.blocks = nn.Sequential()
        for _ in range(0 if spec.kind == "linear" or spec.sparse else spec.depth):
            self.blocks.append(_block(spec, axes, width))
        self.down: nn.Module
        if spec.sparse:
            self.down = BandRotation(channels, width // channels, spec.basis == "trained")
        else:
            self.down = Dense(width, latent) if spec.projection == "dense" else Monarch(width, latent)

    @property
    def tokenwise(self) -> bool:
        """Whether each latent depends on its own token of packets alone; a block that does not say so does not."""
        return all(isinstance(block, Block) and block.tokenwise for block in self.blocks)

    @property
    def moves_alone(self) -> bool:
        """Whether latents are the packets in another order: one copy, of which pieces would only make more."""
        return isinstance(self.down, BandRotation) and self.down.weight is None and not len(self.blocks)

    def start_at_projection(self) -> None:
        """Make every block the identity, in place, so that the encoder is its projection.

        Raises:
            SpecError: a block cannot.
        """
        for block in self.blocks:
            assert isinstance(block, Block)
            block.start_at_identity()

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        """``[B, E, *G] -> [B, L, *G]``."""
        y: torch.Tensor = self.down(self.blocks(v))
        return y


def _block(spec: EncoderSpec, axes: int, width: int) -> Block:
    if spec.kind == "pointwise":
        return PointwiseBlock(width, spec.layer_scale)
    return PaperBlock(width, axes, spec.kernel_size)
