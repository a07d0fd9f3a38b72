"""Structural similarity, of one scale and of several, in any number of axes."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch

from liveaction.errors import ShapeError
from liveaction.mapped import empty_values, release_pages

Take = Callable[[slice], tuple[torch.Tensor, torch.Tensor]]
"""Of a slice along the first axis of one channel: both signals there, ``[n, *S[1:]]`` each."""

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales from fine to coarse, Wang, Simoncelli and Bovik 2003, table I."""

_WINDOW = 7
_TILE = 1 << 19  # values: float64 copies stay small


class Similarity(NamedTuple):
    """``ssim`` and ``ms_ssim``, and ``scales``, how many the latter is made of: five where there is room for them."""

    ssim: float
    ms_ssim: float
    scales: int


def ssim(x: torch.Tensor, y: torch.Tensor, peak: float, window: int = _WINDOW) -> float:
    """Structural similarity in as many axes as the signal has: mean over channels and all whole windows.

    Uniform windows of ``window`` samples per axis (fewer on shorter axes), sample covariances, K1 = 0.01 and
    K2 = 0.03, as in Wang et al. 2004 and scikit-image's default.

    Args:
        x, y: ``[C, *S]``, equal shapes.
        peak: the range L of the constants (K1 L)**2 and (K2 L)**2.

    Raises:
        ShapeError: the shapes differ, are not ``[C, *S]``, or there is nothing to compare.

    Example:
        >>> import torch
        >>> x = torch.rand(1, 16, 16)
        >>> round(ssim(x, x, peak=1), 6)
        1.0
    """
    _check(x, y, "ssim")
    each = [_means(_pair(*both), both[0].shape, peak, window)[0] for both in zip(x, y, strict=True)]
    return math.fsum(each) / len(each)


def ms_ssim(x: torch.Tensor, y: torch.Tensor, peak: float, window: int = _WINDOW) -> float:
    """Multi-scale structural similarity in as many axes as the signal has, the mean over channels.

    The product over scales of mean contrast-structure terms, at the coarsest scale of the mean of the whole SSIM, each
    to the power of its weight, as in Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality
    assessment", Asilomar 2003. Windows are those of :func:`ssim` where the paper has Gaussian ones of 11 samples. From
    scale to scale every axis whose half still holds a window is halved by averaging pairs (of an odd extent the last
    sample is left out); the others stay as they are. Where no axis can be halved any more there are fewer than five
    scales (:func:`scales_of` tells how many), and their weights are scaled to the sum that the five have. A mean that
    is below 0, as of noise, counts as 0.

    Args:
        x, y: ``[C, *S]``, equal shapes.
        peak: as for :func:`ssim`.
        window: as for :func:`ssim`.

    Raises:
        ShapeError: the shapes differ, are not ``[C, *S]``, or there is nothing to compare.
    """
    _check(x, y, "ms_ssim")
    return similarity_by_slab(lambda channel, part: (x[channel, part], y[channel, part]), x.shape, peak, window).ms_ssim


def scales_of(extents: Sequence[int], window: int = _WINDOW) -> int:
    """How many scales :func:`ms_ssim` has for these extents: 1 to 5, five where the longest has 112 samples."""
    longest, scales = max(extents), 1
    while scales < len(WEIGHTS) and longest // 2 >= window:
        longest, scales = longest // 2, scales + 1
    return scales


def similarity_by_slab(
    take: Callable[[int, slice], tuple[torch.Tensor, torch.Tensor]],
    shape: Sequence[int],
    peak: float,
    window: int = _WINDOW,
) -> Similarity:
    """:func:`ssim` and :func:`ms_ssim` of signals that need not be in memory at once.

    Args:
        take: of a channel and a slice along the first axis: both signals there, ``[n, *S[1:]]`` each.
        shape: ``[C, *S]``.
        peak, window: as for :func:`ssim`.
    """
    scales = scales_of(shape[1:], window)
    weights = [weight * sum(WEIGHTS) / sum(WEIGHTS[:scales]) for weight in WEIGHTS[:scales]]
    fine, product = [], []
    for channel in range(shape[0]):
        means = _pyramid(partial(take, channel), shape[1:], scales, peak, window)
        fine.append(means[0][0])
        terms = [structure for _, structure in means[:-1]] + [means[-1][0]]
        product.append(math.prod(max(term, 0.0) ** weight for term, weight in zip(terms, weights, strict=True)))
    return Similarity(math.fsum(fine) / len(fine), math.fsum(product) / len(product), scales)


def _check(x: torch.Tensor, y: torch.Tensor, name: str) -> None:
    if x.shape != y.shape or x.numel() == 0 or x.ndim < 2:
        raise ShapeError(f"{name}: expected two tensors [C, *S], got {tuple(x.shape)}, {tuple(y.shape)}")


def _pair(one: torch.Tensor, two: torch.Tensor) -> Take:
    return lambda part: (one[part], two[part])


def _pyramid(take: Take, extents: Sequence[int], scales: int, peak: float, window: int) -> list[tuple[float, float]]:
    """:func:`_means` of every scale of one channel, the finest first."""
    means = [_means(take, extents, peak, window)]
    while len(means) < scales:
        take, extents = _halved(take, extents, window)
        means.append(_means(take, extents, peak, window))
    return means


def _halved(take: Take, extents: Sequence[int], window: int) -> tuple[Take, tuple[int, ...]]:
    """Both signals of one channel at half their extents, in float32, mapped where they are large."""
    factors = [2 if n // 2 >= window else 1 for n in extents]
    half = tuple(n // factor for n, factor in zip(extents, factors, strict=True))
    stored = [empty_values(half, "float32") for _ in range(2)]
    step = max(1, _TILE // math.prod(extents[1:]) // factors[0])
    for start in range(0, half[0], step):
        stop = min(start + step, half[0])
        for room, part in zip(stored, take(slice(start * factors[0], stop * factors[0])), strict=True):
            for axis in (axis for axis, factor in enumerate(factors) if factor == 2):
                pairs = part.shape[axis] // 2
                part = part.narrow(axis, 0, 2 * pairs).unflatten(axis, (pairs, 2)).mean(axis + 1)
            room[start:stop] = part.detach().cpu().numpy()
            release_pages(room)
    look = _pair(*(torch.from_numpy(room) for room in stored))

    def taken(part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        for room in stored:  # pages of the part before
            release_pages(room)
        return look(part)

    return taken, half


def _means(take: Take, extents: Sequence[int], peak: float, window: int) -> tuple[float, float]:
    """Means over all whole windows of one channel: of SSIM, and of its contrast-structure term alone."""
    widths = [min(window, n) for n in extents]
    count = math.prod(widths)
    bessel = count / (count - 1) if count > 1 else 1.0
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    whole, structure, windows = 0.0, 0.0, 0
    for a, b in _tiles(take, extents, widths):
        mean_a, mean_b = _box(a, widths), _box(b, widths)
        var_a = (_box(a * a, widths) - mean_a**2) * bessel
        var_b = (_box(b * b, widths) - mean_b**2) * bessel
        cov = (_box(a * b, widths) - mean_a * mean_b) * bessel
        terms = (2 * cov + c2) / (var_a + var_b + c2)
        structure += float(terms.sum())
        whole += float((terms * (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)).sum())
        windows += terms.numel()
    return whole / windows, structure / windows


def _tiles(take: Take, extents: Sequence[int], widths: list[int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Both signals in float64, cut along the first two axes so that every window lies in one tile."""
    step = max(2 * widths[0], _TILE // math.prod(extents[1:]))
    across = max(2 * widths[1], _TILE // (step * math.prod(extents[2:]))) if len(extents) > 1 else 1
    for start in range(0, extents[0] - widths[0] + 1, step):
        slab = take(slice(start, start + step + widths[0] - 1))
        if len(extents) == 1:
            yield slab[0].double(), slab[1].double()
            continue
        for left in range(0, extents[1] - widths[1] + 1, across):
            one, two = (part[:, left : left + across + widths[1] - 1].double() for part in slab)
            yield one, two


def _box(x: torch.Tensor, widths: list[int]) -> torch.Tensor:
    """Mean over all whole windows of the given widths."""
    for axis, width in enumerate(widths):
        x = _sums(x, axis, width)
    return x / math.prod(widths)


def _sums(x: torch.Tensor, axis: int, width: int) -> torch.Tensor:
    """Sums of ``width`` neighbours along an axis, from sums of 1, 2, 4, ... of them."""
    length, total, taken, reach = x.shape[axis] - width + 1, None, 0, 1
    while reach <= width:
        if width & reach:
            part = x.narrow(axis, taken, length)
            total, taken = part if total is None else total + part, taken + reach
        left = x.shape[axis] - reach
        if 2 * reach <= width:
            x = x.narrow(axis, 0, left) + x.narrow(axis, reach, left)
        reach *= 2
    assert total is not None
    return total
