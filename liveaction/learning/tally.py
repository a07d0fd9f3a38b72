"""Statistics of channels in one pass over symbols."""

from collections import Counter
from math import log2, sqrt

import numpy as np
from numpy.typing import NDArray

from liveaction.learning.inputs import Statistics


class Tally:
    """Counts of every symbol of every channel; what statistics follow from.

    Args:
        channels: L.
        step: that symbols are multiplied by.
    """

    def __init__(self, channels: int, step: float) -> None:
        self.step = step
        self._counts = [Counter[int]() for _ in range(channels)]

    def add(self, values: NDArray[np.integer]) -> None:
        """Take note of symbols ``[L, *G]``, or of those of several items with the channels first."""
        for counts, row in zip(self._counts, values, strict=True):
            symbols, times = np.unique(row, return_counts=True)
            for symbol, count in zip(symbols.tolist(), times.tolist(), strict=True):
                counts[symbol] += count

    def statistics(self) -> Statistics:
        """Of all that was counted.

        Raises:
            ValueError: nothing was.
        """
        if not all(self._counts):
            raise ValueError("expected at least one value of every channel, got none")
        rows = [_of(counts, self.step) for counts in self._counts]
        mean, deviation, least, most, entropy = zip(*rows, strict=True)
        return Statistics(mean=mean, deviation=deviation, least=least, most=most, entropy=entropy)


def _of(counts: Counter[int], step: float) -> tuple[float, float, float, float, float]:
    """Mean, deviation, least, most, entropy in bits per symbol."""
    total = counts.total()
    mean = sum(symbol * count for symbol, count in counts.items()) / total
    variance = sum((symbol - mean) ** 2 * count for symbol, count in counts.items()) / total
    entropy = -sum(count / total * log2(count / total) for count in counts.values())
    return mean * step, sqrt(variance) * step, min(counts) * step, max(counts) * step, max(0.0, entropy)
