"""The bands of a token, octave by octave: each one twice as fine, and what those below it look like as a signal.

The bands of an axis of F samples a token are numbered from low to high, whether packets or a lapped DCT made them.
Octave k >= 1 holds those below 2**k on every axis that are not all below 2**(k - 1); all below 2**k are a transform of
the same kind, of a signal of 2**k samples a token. An axis of fewer samples a token has no more bands from there on:
the coarsest octaves split all axes, the finest may split some alone.
"""

from itertools import pairwise
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.transforms.packet import WaveletPacket

Index = NDArray[np.int64]


class Octaves:
    """Octaves of the bands of a transform, from the coarsest, 0, on.

    Args:
        packets: the transform; every axis has a power of two of samples a token.

    Attributes:
        members: of each octave the numbers of its bands among those of ``packets``, ascending; the lowest band is in
            none.
        banks: of each octave the transform of the signal that it and those below it make.
    """

    def __init__(self, packets: WaveletPacket) -> None:
        depths = [factor.bit_length() - 1 for factor in packets.factors]
        sizes = [tuple(2 ** min(k, depth) for depth in depths) for k in range(max(depths) + 1)]
        self.banks = [packets.smaller(size) for size in sizes[1:]]
        numbers = band_numbers(packets)
        inside = [(numbers < np.array(size)).all(1) for size in sizes]
        self.members: list[Index] = [np.flatnonzero(now & ~before) for before, now in pairwise(inside)]
        self._own: list[torch.Tensor] = []  # where these bands and those below stand in the order of the bank
        for k, bank in enumerate(self.banks):
            known = {tuple(row): i for i, row in enumerate(band_numbers(bank).tolist())}
            wanted = numbers[np.concatenate([[0], *self.members[: k + 1]])].tolist()
            self._own.append(torch.tensor([known[tuple(row)] for row in wanted], device="cpu"))

    def signal(self, bands: list[torch.Tensor]) -> torch.Tensor:
        """The signal ``[B, C, *]`` of the lowest band and some octaves, each ``[B, C, P, *c]`` as in ``members``."""
        octave = len(bands) - 2
        if octave < 0:
            return bands[0][:, :, 0]
        order = self._own[octave].argsort().to(bands[0].device)
        made: torch.Tensor = self.banks[octave].inverse(torch.cat(bands, 2).index_select(2, order).flatten(1, 2))
        return made

    def bands(self, signal: torch.Tensor, octave: int) -> torch.Tensor:
        """The bands ``[B, C, P, *c]`` of an octave, as in ``members``, of a signal ``[B, C, *]`` of its fineness."""
        bank: torch.Tensor = self.banks[octave](signal)
        own = self._own[octave][-len(self.members[octave]) :]
        bands: torch.Tensor = bank.unflatten(1, (signal.shape[1], -1)).index_select(2, own.to(signal.device))
        return bands


def band_numbers(packets: WaveletPacket) -> Index:
    """The number of each band along every axis, ``[P, D]``, in the order of a signal channel's bands."""
    if any(packets.lapped):
        grids = np.meshgrid(*(np.arange(factor) for factor in packets.factors), indexing="ij")
        return np.stack([grid.reshape(-1) for grid in grids], 1)
    levels, bands = packets.levels, np.arange(prod(packets.factors))
    numbers, shift = np.zeros((len(bands), len(levels)), np.int64), sum(levels)
    for level in range(max(levels)):
        for axis in reversed(range(len(levels))):
            if level < levels[axis]:  # level 0 is the finest: its bit is a band number's first
                shift -= 1
                numbers[:, axis] |= (bands >> shift & 1) << (levels[axis] - 1 - level)
    return numbers
