"""Which of a codec's trees codes a signal best, by trial.

No tree serves all scans: where slices lie far apart a split across them costs bits, where they are close it saves them,
and the wrong one takes 40 to 100 % more.
"""

from math import log

import numpy as np
import torch

from liveaction.codec.chunk_coder import rounded
from liveaction.codec.codec import Codec, Source
from liveaction.codec.grid import Box, ChunkLayout, chunk_extents, slices
from liveaction.coding.entropy import ideal_bits

TILE, TILES = 2**18, 6
"""Samples of a tile, about, and how many are tried: scattered tiles tell more of a scan than its middle does, which
may be all brain or all air."""
TURN = 0.618
"""Of all tiles to the next one that is tried: the golden section scatters any number of them."""
DEAD_ZONE = 0.2
"""As what optimised symbols come to, closely enough to tell trees apart."""


def choose_tree(codec: Codec, source: Source, step: float) -> int:
    """The number of the tree that has the least cost at the quantiser's step on some tiles of the signal.

    The cost is mean squared error + (2 ln 2 step**2 / 12) * bits per sample, the slope of distortion over rate of a
    uniform quantiser at high rates, so nothing is tuned.

    Args:
        codec: with one tree or more.
        source: the signal ``[B, C, *S]``.
        step: of the quantiser.
    """
    trees = codec.trees
    if len(trees) == 1 or not source.shape[0]:
        return 0
    costs = np.zeros(len(trees))
    with torch.no_grad():
        for box in tiles(tuple(source.shape[2:]), TILE // (source.shape[0] * codec.channels)):
            x = source.crop(box)
            costs += [_cost(tree, x, step) for tree in trees]
    return int(np.argmin(costs))


def tiles(extents: tuple[int, ...], samples: int) -> list[Box]:
    """Boxes of about so many samples, whole along short axes, scattered over a signal."""
    side = chunk_extents(extents, max(1, samples))
    layout = ChunkLayout(extents, (1,) * len(extents), side, side, 0)
    step = max(1, round(TURN * layout.chunks))
    numbers = {(layout.chunks // 2 + i * step) % layout.chunks for i in range(TILES)}
    return [layout.chunk_box(number) for number in sorted(numbers)]


def _cost(codec: Codec, x: torch.Tensor, step: float) -> float:
    """Squared error and what its bits are worth, both summed over a tile."""
    extents = tuple(x.shape[2:])
    latents = codec.encode(x)
    layout = codec.layout(extents)
    back, bits = torch.empty_like(latents), 0.0
    for number in range(layout.chunks):
        box = layout.chunk_box(number)
        part = latents[(slice(None), slice(None), *slices(box))]
        parts = codec.chunks.parts(part.flatten(0, 1).cpu().numpy())
        symbols = [rounded(p * np.float32(1 / step), DEAD_ZONE) for p in parts]
        bits += ideal_bits(symbols, codec.chunks.tables_of(len(latents)))
        joined = codec.chunks.join([s.astype(np.float32) * np.float32(step) for s in symbols], tuple(part.shape[2:]))
        back[(slice(None), slice(None), *slices(box))] = torch.from_numpy(joined).view(part.shape).to(back.device)
    error = float((codec.synthesise(back, extents) - x).square().double().sum())
    return error + 2 * log(2) * step**2 / 12 * bits
