"""Quality measures; sums run in float64. Every figure states its range."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from liveaction.errors import ShapeError


def mean_squared_error(x: torch.Tensor, y: torch.Tensor) -> float:
    """MSE of two tensors of equal shape, any dtype; a slab at a time, so no float64 copy of the whole is made.

    Raises:
        ShapeError: the shapes differ, or there is nothing to compare.
    """
    if x.shape != y.shape or x.numel() == 0:
        raise ShapeError(
            f"metrics: expected two tensors of equal shape with entries, got {tuple(x.shape)}, {tuple(y.shape)}"
        )
    total = 0.0
    for a, b in zip(x.reshape(-1).split(1 << 22), y.reshape(-1).split(1 << 22), strict=True):
        total += float((a.double() - b.double()).square().sum())
    return total / x.numel()


def psnr(x: torch.Tensor, y: torch.Tensor, peak: float) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(peak**2 / MSE); infinite for equal tensors.

    Args:
        x, y: equal shapes.
        peak: the range that the figure is stated on: 2 for signals in [-1, 1], 4095 for CT in HU from -1024 to 3071.
    """
    mse = mean_squared_error(x, y)
    return math.inf if mse == 0 else 10 * math.log10(peak * peak / mse)


def ssim(x: torch.Tensor, y: torch.Tensor, peak: float, window: int = 7) -> float:
    """Structural similarity in as many axes as the signal has: mean over channels and all whole windows.

    Uniform windows of ``window`` samples per axis (fewer on shorter axes), sample covariances, K1 = 0.01 and
    K2 = 0.03, as in Wang et al. 2004 and scikit-image's default.

    Args:
        x, y: ``[C, *S]``, equal shapes.
        peak: the range L of the constants (K1 L)**2 and (K2 L)**2.
    """
    if x.shape != y.shape or x.numel() == 0 or x.ndim < 2:
        raise ShapeError(f"ssim: expected two tensors [C, *S], got {tuple(x.shape)}, {tuple(y.shape)}")
    return ssim_by_slab(lambda channel, part: (x[channel, part], y[channel, part]), x.shape, peak, window)


def ssim_by_slab(
    take: Callable[[int, slice], tuple[torch.Tensor, torch.Tensor]],
    shape: Sequence[int],
    peak: float,
    window: int = 7,
) -> float:
    """:func:`ssim` of signals that need not be in memory at once.

    Args:
        take: of a channel and a slice along the first axis: both signals there, ``[n, *S[1:]]`` each.
        shape: ``[C, *S]``.
        peak, window: as for :func:`ssim`.
    """
    widths = [min(window, n) for n in shape[1:]]
    count = math.prod(widths)
    bessel = count / (count - 1) if count > 1 else 1.0
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    total, windows = 0.0, 0
    # slabs along the first axis, overlapping by one window, keep float64 copies small
    step = max(1, (1 << 22) // max(math.prod(shape[2:]), 1))
    for channel in range(shape[0]):
        for start in range(0, shape[1] - widths[0] + 1, step):
            a, b = (part.double() for part in take(channel, slice(start, start + step + widths[0] - 1)))
            mean_a, mean_b = _box(a, widths), _box(b, widths)
            var_a = (_box(a * a, widths) - mean_a**2) * bessel
            var_b = (_box(b * b, widths) - mean_b**2) * bessel
            cov = (_box(a * b, widths) - mean_a * mean_b) * bessel
            top = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
            values = top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
            total += float(values.sum())
            windows += values.numel()
    return total / windows


def _box(x: torch.Tensor, widths: list[int]) -> torch.Tensor:
    """Mean over all whole windows of the given widths."""
    for axis, width in enumerate(widths):
        moved = x.movedim(axis, -1)
        flat = F.avg_pool1d(moved.reshape(-1, 1, moved.shape[-1]), width, stride=1)
        x = flat.reshape(*moved.shape[:-1], -1).movedim(-1, axis)
    return x


def spectral_angle(x: torch.Tensor, y: torch.Tensor, known: torch.Tensor | None = None) -> float:
    """Mean angle in degrees between the spectra of two images, 0 to 180; a gain does not change it, an offset does.

    The angle is taken as 2 atan2(|u - v|, |u + v|) of the unit vectors u, v, which unlike the arc cosine (Kruse et al.
    1993) is right for small angles too.

    Args:
        x, y: ``[N, *S]`` with N bands in the unit that they were measured in.
        known: bool of the same shape; entries that are false count in neither spectrum.

    Returns:
        The mean over pixels whose spectra both have a length; NaN where there is no such pixel.

    Raises:
        ShapeError: the shapes differ, or there is nothing to compare.
    """
    shapes = {tuple(t.shape) for t in (x, y, known) if t is not None}
    if len(shapes) != 1 or x.numel() == 0 or x.ndim < 1:
        raise ShapeError(f"spectral_angle: expected tensors [N, *S] of equal shape, got {sorted(shapes)}")
    total, count = 0.0, 0
    step = max(1, (1 << 22) // x.shape[0])
    x, y = x.reshape(x.shape[0], -1), y.reshape(x.shape[0], -1)
    known = None if known is None else known.reshape(x.shape)
    for start in range(0, x.shape[1], step):
        part = slice(start, start + step)
        a, b = x[:, part].double(), y[:, part].double()
        if known is not None:
            a, b = (torch.where(known[:, part], t, 0.0) for t in (a, b))
        sizes = a.norm(dim=0), b.norm(dim=0)
        there = (sizes[0] > 0) & (sizes[1] > 0)
        u, v = (t[:, there] / size[there] for t, size in zip((a, b), sizes, strict=True))
        angles = 2 * torch.atan2((u - v).norm(dim=0), (u + v).norm(dim=0))
        total, count = total + float(angles.sum()), count + int(there.sum())
    return math.degrees(total / count) if count else math.nan
