"""Mean and covariance of a signal's channels in one pass, in memory that its positions do not decide."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, ShapeError

MOST_CHANNELS = 4096
"""A covariance of so many takes 128 MiB; its eigenvectors a minute and five times that."""
_BLOCK = 1 << 20
"""Values that are float64 at once, 8 MiB: long rows for the product, and small beside what a codec needs."""


class ChannelMoments:
    """Counts, sums and products of ``channels`` channels, in float64, of blocks in any order and of any size.

    Values are taken less the mean of what came first, so that values near 1 with a deviation of 1e-6 keep all their
    digits. Where values are missing, the covariance of two channels is that of the positions where both are there, so
    that a bad band disturbs no other, and a position with one value missing still tells of the others. A channel that
    is missing everywhere has the mean and variance 0.

    Args:
        channels: C, from 1 to :data:`MOST_CHANNELS`.

    Attributes:
        seen: positions added, those with missing values included.

    Raises:
        ShapeError: more channels than that, or none.
    """

    def __init__(self, channels: int) -> None:
        if not 1 <= channels <= MOST_CHANNELS:
            raise ShapeError(
                f"own basis: expected 1 to {MOST_CHANNELS} channels, got {channels}; make one of them an axis"
            )
        self.channels, self.seen = channels, 0
        self._shift, self._met = np.zeros(channels), np.zeros(channels, bool)
        self._complete, self._sum = 0, np.zeros(channels)
        self._products = np.zeros((channels, channels))
        # positions and sums by pairs, where something was missing: [i, j] of those where i and j are both there
        self._pairs: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    def add(self, x: NDArray[np.float32], missing: NDArray[np.bool_] | None = None) -> None:
        """Take in ``x`` ``[C, *S]``; values where ``missing``, of the same shape, is set may be anything.

        Raises:
            ShapeError: other channels, or a mask of another shape.
        """
        if x.ndim < 1 or len(x) != self.channels:
            raise ShapeError(f"own basis: expected values of {self.channels} channels, got {x.shape}")
        if missing is not None and missing.shape != x.shape:
            raise ShapeError(f"own basis: expected missing of shape {x.shape}, as the values, got {missing.shape}")
        flat = x.reshape(self.channels, -1)
        gone = None if missing is None else missing.reshape(self.channels, -1)
        count, length = flat.shape[1], max(_BLOCK // self.channels, 1)
        for start, stop in pairwise([*range(0, count, length), count]):
            with np.errstate(invalid="ignore"):  # of values that are no numbers the fit tells
                self._add(flat[:, start:stop].astype(np.float64), None if gone is None else gone[:, start:stop])

    def mean(self) -> NDArray[np.float64]:
        """``[C]``.

        Raises:
            FormatError: a value was NaN or infinite.
        """
        counts, sums = self._by_pair()
        n = np.maximum(np.diagonal(counts), 1)
        found: NDArray[np.float64] = self._shift + np.diagonal(sums) / n
        return _finite(found)

    def covariance(self) -> NDArray[np.float64]:
        """``[C, C]``, over as many positions as there are; exactly symmetric.

        Raises:
            FormatError: a value was NaN or infinite.
        """
        counts, sums = self._by_pair()
        n = np.maximum(counts, 1)
        means = sums / n
        found = _finite(self._products) / n - means * means.T
        # of two channels that share few positions it may exceed what their variances allow
        deviations = np.sqrt(np.maximum(np.diagonal(found), 0))
        bound = deviations[:, None] * deviations
        return np.clip((found + found.T) / 2, -bound, bound)

    def _by_pair(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positions and sums of pairs, ``[C, C]`` or of a shape that broadcasts to it."""
        if self._pairs is None:
            size = (self.channels, self.channels)
            return np.broadcast_to(float(self._complete), size), np.broadcast_to(self._sum[:, None], size)
        return self._complete + self._pairs[0], self._sum[:, None] + self._pairs[1]

    def _add(self, x: NDArray[np.float64], gone: NDArray[np.bool_] | None) -> None:
        self.seen += x.shape[1]
        if gone is None or not gone.any():
            self._settle(x, None)
            x -= self._shift[:, None]
            self._complete += x.shape[1]
            self._sum += x.sum(1)
            self._products += x @ x.T  # of an array and its own transpose NumPy works out one half
            return
        self._settle(x, gone)
        x -= self._shift[:, None]
        x[gone] = 0
        self._add_pairs(x, gone)

    def _settle(self, x: NDArray[np.float64], gone: NDArray[np.bool_] | None) -> None:
        """Shift what is met for the first time by its mean here; no sum of it has been taken yet."""
        if self._met.all():
            return
        there = np.ones(x.shape, bool) if gone is None else ~gone
        new = there.any(1) & ~self._met
        self._shift[new] = x[new].mean(1, where=there[new])
        self._met |= new

    def _add_pairs(self, x: NDArray[np.float64], gone: NDArray[np.bool_]) -> None:
        """Take in a block with values missing, which are 0 in ``x``."""
        size = (self.channels, self.channels)
        counts, sums = self._pairs or (np.zeros(size), np.zeros(size))
        self._pairs = counts, sums
        self._products += x @ x.T
        bands = np.asarray(~gone.all(1))  # one product will do where whole channels are missing, three elsewhere
        whole = np.asarray(~gone[bands].any(0))
        counts += int(whole.sum()) * (bands[:, None] & bands)
        sums += np.where(bands[:, None] & bands, x.sum(1, where=whole)[:, None], 0)
        if not whole.all():
            there = (~gone[:, ~whole]).astype(np.float64)
            counts += there @ there.T
            sums += x[:, ~whole] @ there.T


def _finite(found: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(found).all():
        raise FormatError("own basis: expected finite values, got NaN or infinity; mask what was not measured")
    return found
