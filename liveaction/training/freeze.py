"""Freeze: entropy tables from the latents of training data, at all quantiser steps that one model serves."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.codec.codec import Codec
from liveaction.codec.quality import QUALITIES
from liveaction.coding.fit import fit_tables
from liveaction.coding.tables import EntropyTables
from liveaction.training.data import Crops
from liveaction.training.seeds import CropWord

SYMBOLS = 2**22
"""Symbols to look at per quantiser step, about."""


def freeze(codec: Codec, crops: Crops, seed: int) -> tuple[EntropyTables, ...]:
    """Entropy tables of a codec, fitted to chunks drawn from signals; equal seeds give equal tables.

    Args:
        codec: trained.
        crops: what to draw from, signals in proportion to their sizes.
        seed: of the draw.
    """
    return (fit_tables(_examples(codec, crops, seed), codec.spec.latent_channels, codec.axes),)


def _examples(codec: Codec, crops: Crops, seed: int) -> Iterator[NDArray[np.int32]]:
    """Symbols ``[L, *c]`` of chunks at every quality; at least eight chunks, at most 64."""
    device, seen = next(codec.parameters()).device, 0
    for number in range(64):
        if number >= 8 and seen >= SYMBOLS:
            return
        with torch.no_grad():
            x = crops.chunk((CropWord.TABLES, seed, number), codec.layout).to(device)
            y = codec.encode(x[None])
            for factor in QUALITIES.values():
                yield codec.quantize(y, codec.quantizer.step * factor)[0].cpu().numpy()
        seen += y.numel()
