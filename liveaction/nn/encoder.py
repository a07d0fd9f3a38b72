"""Encoder: wavelet packets ``[B, E, *G]`` to latents ``[B, L, *G]``."""

import torch
from torch import nn

from liveaction.nn.blocks import PaperBlock, PointwiseBlock
from liveaction.nn.monarch import Dense, Monarch
from liveaction.spec import EncoderSpec


class Encoder(nn.Module):
    """y = down(blocks(v)): residual blocks around the identity, then one projection E -> L.

    With every layer scale at 0 the pointwise encoder is its projection alone, hence linear; the warm start uses that.
    """

    def __init__(self, spec: EncoderSpec, axes: int, width: int, latent: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential()
        for _ in range(spec.depth if spec.kind != "linear" else 0):
            if spec.kind == "pointwise":
                self.blocks.append(PointwiseBlock(width, spec.layer_scale))
            else:
                self.blocks.append(PaperBlock(width, axes, spec.kernel_size))
        self.down = Dense(width, latent) if spec.projection == "dense" else Monarch(width, latent)

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        """``[B, E, *G] -> [B, L, *G]``."""
        return self.down(self.blocks(v))
