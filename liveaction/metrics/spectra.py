"""Differences of spectra."""

import math

import torch

from liveaction.errors import ShapeError


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
