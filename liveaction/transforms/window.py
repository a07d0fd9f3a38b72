"""Pad to a multiple of the packet factor, and its inverse."""

import torch

from liveaction.errors import ShapeError


def padded_extents(extents: tuple[int, ...], factors: tuple[int, ...]) -> tuple[int, ...]:
    """Each extent rounded up to a multiple of its factor."""
    return tuple(-(-n // f) * f for n, f in zip(extents, factors, strict=True))


def pad_to_multiple(x: torch.Tensor, factors: tuple[int, ...]) -> torch.Tensor:
    """Repeat the last sample of each axis until its extent is a multiple of its factor.

    Args:
        x: ``[B, C, *S]`` with at least one sample per axis.

    Returns:
        ``[B, C, *S']``; ``x`` itself where nothing is missing.

    Raises:
        ShapeError: wrong number of axes, or an empty one.
    """
    if x.ndim != len(factors) + 2 or 0 in x.shape[2:]:
        raise ShapeError(
            f"codec: expected [B, C, *S] with {len(factors)} axes of at least one sample, got {tuple(x.shape)}"
        )
    for axis, (n, wanted) in enumerate(zip(x.shape[2:], padded_extents(tuple(x.shape[2:]), factors), strict=True)):
        if wanted > n:
            last = x.narrow(axis + 2, n - 1, 1)
            x = torch.cat([x, last.expand(*(wanted - n if d == axis + 2 else -1 for d in range(x.ndim)))], axis + 2)
    return x


def crop(x: torch.Tensor, extents: tuple[int, ...]) -> torch.Tensor:
    """First ``extents`` samples of ``[B, C, *S]``: the inverse of :func:`pad_to_multiple`."""
    return x[(slice(None), slice(None), *(slice(0, n) for n in extents))]
