"""Which of a codec's trees codes a signal best, by trial.

No tree serves all scans: where slices lie far apart a split across them costs bits, where they are close it saves them,
and the wrong one takes 40 to 100 % more.
"""

from math import prod

import numpy as np
import torch

from liveaction.codec.codec import Codec, Source
from liveaction.codec.grid import Box, ChunkLayout, chunk_extents, slices

TILE, LEAST, TILES, EACH = 2**16, 2**14, 4, 2**19
"""Samples of a tile, about, of all channels; of one channel at least, for sound must have its blocks; how many are
tried at most; and one, but two at least, for so many samples of the signal. Scattered tiles tell more of a scan than
its middle does, which may be all brain or all air. A tree takes some 5 ms of a processor for them, less than a tenth of
coding a scan."""
TURN = 0.618
"""Of all tiles to the next one that is tried: the golden section scatters any number of them."""
BEHIND = 1.1
"""A tree that has cost so many times the least one's after two tiles is tried no further."""


def choose_tree(codec: Codec, source: Source, step: float) -> int:
    """The number of the tree that has the least cost at the quantiser's step on some tiles of the signal.

    The cost is what symbols are chosen by, squared error and bits by their weight, of the very symbols that would be
    coded, so nothing is tuned. Squared errors are those of the latents, of which the signal's differ little.

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
        left, channels = list(range(len(trees))), source.shape[0] * codec.channels
        count = min(TILES, max(2, channels * prod(source.shape[2:]) // EACH))
        for done, box in enumerate(tiles(tuple(source.shape[2:]), max(TILE // channels, LEAST), count)):
            if done > 1:
                left = [number for number in left if costs[number] <= BEHIND * costs[left].min()]
            if len(left) == 1:
                break
            x = source.crop(box)
            for number in left:
                costs[number] += _cost(trees[number], x, step)
    return min(left, key=lambda number: float(costs[number]))


def tiles(extents: tuple[int, ...], samples: int, count: int = TILES) -> list[Box]:
    """Boxes of about so many samples, whole along short axes, scattered over a signal."""
    side = chunk_extents(extents, max(1, samples))
    layout = ChunkLayout(extents, (1,) * len(extents), side, side, 0)
    step = max(1, round(TURN * layout.chunks))
    numbers = {(layout.chunks // 2 + i * step) % layout.chunks for i in range(count)}
    return [layout.chunk_box(number) for number in sorted(numbers)]


def _cost(codec: Codec, x: torch.Tensor, step: float) -> float:
    """What :meth:`~liveaction.codec.chunk_coder.ChunkCoder.cost` says of a tile."""
    latents = codec.encode(x)
    layout = codec.layout(tuple(x.shape[2:]))
    boxes = (slices(layout.chunk_box(number)) for number in range(layout.chunks))
    parts = (latents[(slice(None), slice(None), *box)].flatten(0, 1).cpu().numpy() for box in boxes)
    return sum(codec.chunks.cost(part, step) for part in parts)
