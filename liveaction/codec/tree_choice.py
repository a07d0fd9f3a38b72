"""Which of a codec's trees codes a signal best, by trial.

No tree serves all scans: where slices lie far apart a split across them costs bits, where they are close it saves them,
and the wrong one takes 40 to 100 % more.
"""

from math import log, prod

import numpy as np
import torch

from liveaction.codec.chunk_coder import rounded
from liveaction.codec.codec import Codec, Source
from liveaction.codec.grid import Box, slices
from liveaction.coding.entropy import ideal_bits

SIDE = 256
"""Samples of the middle of each axis that are tried, at most; of the last axes all where that leaves few."""
TRIED = 2**20
"""Samples that are tried, about."""
DEAD_ZONE = 0.2
"""As what optimised symbols come to, closely enough to tell trees apart."""


def choose_tree(codec: Codec, source: Source, step: float) -> int:
    """The number of the tree that has the least cost at the quantiser's step on a part of the signal.

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
    with torch.no_grad():
        x = source.crop(middle(tuple(source.shape[2:]), TRIED // (source.shape[0] * codec.channels)))
        costs = [_cost(tree, x, step) for tree in trees]
    return int(np.argmin(costs))


def middle(extents: tuple[int, ...], samples: int) -> Box:
    """A box in the middle of a signal with at most about so many samples, whole along its short axes."""
    sides = [min(n, SIDE) for n in extents]
    while prod(sides) > samples and max(sides) > 1:
        longest = sides.index(max(sides))
        sides[longest] = -(-sides[longest] // 2)
    return tuple(((n - side) // 2, (n - side) // 2 + side) for n, side in zip(extents, sides, strict=True))


def _cost(codec: Codec, x: torch.Tensor, step: float) -> float:
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
    error = float((codec.synthesise(back, extents) - x).square().double().mean())
    return error + 2 * log(2) * step**2 / 12 * bits / x.numel()
