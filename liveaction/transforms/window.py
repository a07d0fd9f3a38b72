"""Pad to a multiple of the packet factor, and its inverse; slabs to transform one after the other."""

from dataclasses import dataclass

import torch

from liveaction.errors import ShapeError


def padded_extents(extents: tuple[int, ...], factors: tuple[int, ...]) -> tuple[int, ...]:
    """Each extent rounded up to a multiple of its factor."""
    return tuple(-(-n // f) * f for n, f in zip(extents, factors, strict=True))


@dataclass(frozen=True)
class Slab:
    """A run of blocks of one axis, with the samples to read for them.

    Attributes:
        start, stop: samples, halo included.
        first, last: the blocks wanted, ``last`` not included, of all; ``skip`` blocks before them belong to the halo.
    """

    start: int
    stop: int
    first: int
    last: int
    skip: int


def slabs(extent: int, factor: int, halo: int, samples: int) -> list[Slab]:
    """Cut an axis of ``extent`` samples into slabs.

    Args:
        factor: F, samples per block.
        halo: samples that a block's packets may depend on beyond its own, on either side.
        samples: about how many a slab reads, halo included; at least one block is wanted of each.
    """
    around = -(-halo // factor)
    blocks, count = -(-extent // factor), max(1, samples // factor - 2 * around)
    found = []
    for first in range(0, blocks, count):
        last = min(first + count, blocks)
        begin = max(first - around, 0)
        found.append(Slab(begin * factor, min((last + around) * factor, extent), first, last, first - begin))
    return found


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
