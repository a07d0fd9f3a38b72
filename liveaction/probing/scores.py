"""How well predictions do, and whether two inputs differ by more than chance."""

from collections.abc import Sequence
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

from liveaction.learning.store import UNLABELLED


def class_scores(predicted: NDArray[np.generic], labels: NDArray[np.generic], classes: int) -> dict[str, float]:
    """``accuracy``, and ``macro_recall``, the mean over classes that occur of the share of each that was found.

    Args:
        predicted, labels: classes ``[N]``, or ``[N, *S]`` of maps; what is unlabelled does not count.
    """
    there = labels != UNLABELLED
    hits, truth = (predicted == labels)[there], labels[there]
    recalls = [float(hits[truth == each].mean()) for each in range(classes) if (truth == each).any()]
    return {"accuracy": float(hits.mean()), "macro_recall": fmean(recalls)}


def dice(predicted: NDArray[np.generic], labels: NDArray[np.generic], classes: int) -> float:
    """Mean over classes that occur of 2 |A and B| / (|A| + |B|), of all items together (Dice, 1945)."""
    there = labels != UNLABELLED
    one, two = predicted[there], labels[there]
    found = []
    for each in range(classes):
        sizes = np.count_nonzero(one == each) + np.count_nonzero(two == each)
        if (two == each).any():
            found.append(2 * np.count_nonzero((one == each) & (two == each)) / sizes)
    return fmean(found)


def mcnemar(one: Sequence[bool], two: Sequence[bool]) -> float:
    """The two-sided p of McNemar's exact test (1947): how likely so uneven a split of the items that differ is.

    Args:
        one, two: whether each item was right, of the same items in the same order.
    """
    from scipy.stats import binomtest

    pairs = list(zip(one, two, strict=True))
    first, second = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    return float(binomtest(first, first + second).pvalue) if first + second else 1.0


def sign_test(one: Sequence[float], two: Sequence[float]) -> float:
    """The two-sided p of the paired sign test: how likely it is that one beats the other on so uneven a share of items.

    Args:
        one, two: a score of each item, of the same items in the same order; equal ones do not count.
    """
    from scipy.stats import binomtest

    pairs = list(zip(one, two, strict=True))
    first, second = sum(a > b for a, b in pairs), sum(b > a for a, b in pairs)
    return float(binomtest(first, first + second).pvalue) if first + second else 1.0


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation; no deviation of a single value."""
    return fmean(values), stdev(values) if len(values) > 1 else None
