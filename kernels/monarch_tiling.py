"""Tilings of the Monarch kernels: which sizes they take, and the launch settings that should fit a device.

Bytes are counted from what a program keeps in shared memory. They were checked against the compiler's own count at the
shipped sizes (``benchmarks/results/ahead_of_time.json``); elsewhere the launcher compares the two and steps down.
"""

import torch

from liveaction.kernels.dispatch import dtype_refused
from liveaction.kernels.target import shared_limit

Sizes = tuple[int, int, int, int]
"""Axes U, V, W, Z as in :mod:`liveaction.kernels.monarch_triton`."""

LEAST_DENSE = 64
"""Channels: with fewer on either side the dense matrix is so small that blocks save nothing."""

MOST_INPUTS = 2048
"""Padded channels of one tile of x: 16 tokens of them, in float32, are 128 KiB, over half of the most there is."""

MOST_SUMS = 24576
"""Float32 sums of one program for both factors with dx beside them: 96 of the 255 registers of each of 256 threads."""

JOINT_SUMS = 8192
"""Sums of a chunk up to which both factors share a program; above, the operands of two products spill beside them."""

WARPS = 8
"""Two for each of a multiprocessor's four schedulers, so that one waits while the other works; 255 registers per thread
are then all that a multiprocessor has."""


def is_dense(w1: torch.Tensor, w2: torch.Tensor) -> bool:
    """Whether the Triton kernel takes the dense matrix: few channels, or blocks too small for matrix instructions."""
    (g1, g2), q = w1.shape[:2], w2.shape[1]
    blocks = padded(g1) * padded(g2) * (padded(g2) + padded(q))
    return min(g1 * g2, g2 * q) < LEAST_DENSE or blocks >= g1 * g2 * g2 * q


def padded(n: int) -> int:
    """The power of two that a tile's axis of ``n`` takes; 16 at least, the depth of one matrix instruction."""
    return max(16, 1 << (n - 1).bit_length())


def two_parts(n: int) -> tuple[int, int]:
    """Powers of two, the second perhaps 0, that cover an axis of ``n`` with the least padding: 48 is 32 + 16."""
    main = padded(n) // 2
    rest = n - main
    return (main, rest) if main >= 16 and rest >= 16 and rest & (rest - 1) == 0 and rest < main else (padded(n), 0)


def projection_tiling(sizes: Sizes, itemsize: int, limit: int) -> dict[str, int] | None:
    """Default launch settings of the projection; None where nothing fits.

    Programs keep the weights of as many groups w as fit beside one or two tiles of x; more groups save reads of x.
    Float32 weights are kept as two tf32 parts of 4 bytes.

    Args:
        sizes: (U, V, W, Z).
        itemsize: bytes of one value.
        limit: bytes of shared memory.
    """
    u, z, v = padded(sizes[0]), padded(sizes[3]), sum(two_parts(sizes[1]))
    block_t = 8 if itemsize == 4 and u * v >= MOST_INPUTS else 16
    kept = 8 if itemsize == 4 else itemsize
    chunk = padded(sizes[2])
    while chunk >= 2 and u * v <= MOST_INPUTS:
        weights = u * chunk * (v + z) * kept
        tile, between = u * v * block_t * itemsize, u * chunk * block_t * kept
        for stages in (2, 1):
            shared = weights + max(2 * tile if stages == 2 else tile // 2, (stages - 1) * tile + between)
            if shared <= limit:
                tiling = {"W_CHUNK": chunk, "BLOCK_T": block_t, "num_warps": WARPS, "num_stages": stages}
                return tiling | {"PER_CORE": min(2, limit // shared)}
        chunk //= 2
    return None


def gradient_tiling(sizes: Sizes, itemsize: int, limit: int) -> dict[str, int] | None:
    """Default launch settings of the factors' gradients; None where nothing fits.

    All in one kernel, dx too, where a program's registers hold both sums (C = 512, 16 bits); else a program sums for a
    chunk of groups w, for both factors or (``JOINT`` 0) for one of them at a time.
    """
    u, v, z = padded(sizes[0]), padded(sizes[1]), padded(sizes[3])
    settings = {"num_warps": WARPS, "num_stages": 1}
    whole = u * padded(sizes[2]) * (v + z)
    if itemsize == 2 and whole <= MOST_SUMS and (2 * whole + u * v * 16) * itemsize <= limit:
        return {"W_CHUNK": padded(sizes[2]), "BLOCK_T": 16, "WITH_DX": 1, "JOINT": 1, "PER_CORE": 1} | settings
    for chunk, block_t in ((8, 16), (4, 16)) if itemsize == 2 else _float32_choices(u * v, u * (v + z)):
        kept = u * chunk * (v + z)
        joint = kept <= JOINT_SUMS and (itemsize == 2 or u * (v + z) < 1024)  # their two tf32 parts would spill
        if itemsize == 2:
            shared = (kept + u * v * block_t) * 2
        else:  # h as two tf32 parts of 4 bytes, x too up to 1024 inputs, the weights as they are
            weights = kept if joint else u * chunk * max(v, z)
            shared = u * ((8 if u * v <= 1024 else 4) * v + 8 * chunk) * block_t + 4 * weights
        if shared <= limit:
            return {"W_CHUNK": chunk, "BLOCK_T": block_t, "WITH_DX": 0, "JOINT": int(joint), "PER_CORE": 2} | settings
    return None


def _float32_choices(inputs: int, sums: int) -> list[tuple[int, int]]:
    """(W_CHUNK, BLOCK_T), the wanted first: those that do not spill, by padded inputs and sums per group of a chunk."""
    chunks = (8, 4, 2) if inputs <= 1024 else (4,)
    return [(8, 16)] * (sums < 1024) + [(chunk, 8) for chunk in chunks]


def refused(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor) -> str:
    """Why the Triton kernels cannot take these; empty where they can."""
    if wrong := dtype_refused(x):
        return wrong
    if is_dense(w1, w2):
        return ""
    (g1, g2), q, limit = w1.shape[:2], w2.shape[1], shared_limit(x.device)
    tilings = (
        projection_tiling((g1, g2, g2, q), x.element_size(), limit),
        projection_tiling((g2, q, g1, g2), x.element_size(), limit),
        gradient_tiling((g1, g2, g2, q), x.element_size(), limit),
    )
    if None in tilings:
        return f"factors {tuple(w1.shape)} and {tuple(w2.shape)} do not fit into {limit // 1024} KiB of shared memory"
    return ""
