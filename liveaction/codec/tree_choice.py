"""Which of a codec's trees codes a signal best, by trial.

No tree serves all scans: where slices lie far apart a split across them costs bits, where they are close it saves them,
and the wrong one takes 40 to 100 % more.
"""

from math import log, prod

import numpy as np
import torch

from liveaction.codec.codec import Codec, Source
from liveaction.codec.grid import Box, ChunkLayout, chunk_extents, slices
from liveaction.coding.optimise import optimise_chunk

TILE, TILES, EACH = 2**17, 3, 2**21
"""Samples of a tile, about; how many are tried at most; and one for so many samples of the signal. Scattered tiles tell
more of a scan than its middle does, which may be all brain or all air. On four scans three tiles choose what all of the
scan would, or what costs 2 % more, at a fourth to a fifth of the encoder's time."""
TURN = 0.618
"""Of all tiles to the next one that is tried: the golden section scatters any number of them."""
SLOPE = 2 * log(2) / 12
"""Squared steps that a bit is worth: the slope of distortion over rate of a uniform quantiser at high rates."""


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
    count = min(TILES, max(1, prod(extents) // EACH))
    numbers = {(layout.chunks // 2 + i * step) % layout.chunks for i in range(count)}
    return [layout.chunk_box(number) for number in sorted(numbers)]


def _cost(codec: Codec, x: torch.Tensor, step: float) -> float:
    """Squared error in steps, and what its bits are worth, both summed over a tile.

    The error is that of the latents, which is the samples' but for a few percent, as bands are nearly orthonormal.
    """
    latents, cost = codec.encode(x).flatten(0, 1).cpu().numpy(), 0.0
    layout = codec.layout(tuple(x.shape[2:]))
    tables = codec.chunks.tables_of(len(x))
    for number in range(layout.chunks):
        part = latents[(slice(None), *slices(layout.chunk_box(number)))]
        scaled = [each * np.float32(1 / step) for each in codec.chunks.parts(part)]
        symbols, coded = optimise_chunk(scaled, tables)
        errors = (np.subtract(each, made).ravel() for each, made in zip(scaled, symbols, strict=True))
        cost += sum(float(error @ error) for error in errors) + SLOPE * 8 * len(coded)
    return cost
