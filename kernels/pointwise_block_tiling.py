"""Tilings of the pointwise block's kernels: which sizes they take, and the launch settings that should fit a device.

As in :mod:`liveaction.kernels.monarch_tiling`, bytes are what a program keeps in shared memory, checked against the
compiler's own count at the shipped sizes.
"""

import torch

from liveaction.kernels import monarch_tiling
from liveaction.kernels.dispatch import dtype_refused
from liveaction.kernels.monarch_tiling import WARPS, padded, two_parts
from liveaction.kernels.target import shared_limit

MOST_IN_REGISTERS = {2: 512, 4: 256}
"""Channels of a token that stay in registers from end to end, by the bytes of a weight: of 512 float32 channels the
factors alone, as two tf32 parts, fill 128 of a thread's 255 registers, and 150 to 260 bytes spill."""

WIDEST_GROUP = 32
"""Groups g1 of the wide kernel: the second factor of a chunk is g1 x g1, which grows faster than all else."""

WIDEST_CHANNELS = {2: 2048, 4: 1536}
"""Padded channels of the wide kernel by the bytes of a weight: what one tile of 8 tokens leaves of the registers."""

LONGEST_GROUP = 64
"""Padded g2: the depth of one product, all of it in registers."""

MOST_PADDING = 4
"""Padded channels per channel; with more, plain PyTorch between Monarch kernels moves less."""

RESIDENT_LIMIT = 160 * 1024
"""Bytes from which 16-bit factors of 512 channels stay on chip: 96 KiB of them and 48 for two tiles."""

HALVES = {("first", 2): 160, ("first", 4): 208, ("second", 2): 184, ("second", 4): 216}
"""KiB that a half of the backward pass takes with its factors' sums in registers, by the bytes of a value of x: read
from the compiled kernels at 512 channels."""


def refused(w1: torch.Tensor, w2: torch.Tensor, v1: torch.Tensor) -> str:
    """Why the Triton kernels cannot take these; empty where they can."""
    if wrong := dtype_refused(w1):
        return wrong
    if w1.shape != v1.shape:
        return f"both projections need the same groups, not {tuple(w1.shape[:2])} and {tuple(v1.shape[:2])}"
    g1, g2 = w1.shape[:2]
    limit, itemsize = shared_limit(w1.device), w1.element_size()
    if not in_registers(g1, g2, itemsize) and wide_tiling(g1, g2, itemsize, limit) is None:
        return (
            "it takes groups of at most 32 x 64 (float32: 32 x 48), padded to powers of two at most four times as many "
            f"channels, whose weights fit into {limit // 1024} KiB of shared memory, not {g1, g2} in {w1.dtype}"
        )
    return monarch_tiling.refused(w1, w1, w2)


def whole_groups(g1: int, g2: int) -> bool:
    """Whether both groups are powers of two, 16 at least, of at most 512 channels: no axis is padded."""
    return all(g >= 16 and g & (g - 1) == 0 for g in (g1, g2)) and g1 * g2 <= 512


def in_registers(g1: int, g2: int, itemsize: int) -> bool:
    """Whether the forward kernel keeps a token in registers from end to end; ``itemsize`` bytes are one weight's."""
    return whole_groups(g1, g2) and g1 * g2 <= MOST_IN_REGISTERS[itemsize]


def forward_tiling(itemsize: int, limit: int) -> dict[str, int]:
    """Default launch settings of the forward kernel: 16-bit weights stay on chip where they fit.

    Args:
        itemsize: bytes of one weight.
        limit: bytes of shared memory.
    """
    resident = itemsize == 2 and limit >= RESIDENT_LIMIT
    return {"BLOCK_T": 16, "RESIDENT": int(resident), "num_warps": WARPS, "num_stages": 1 + resident, "PER_CORE": 1}


def wide_tiling(g1: int, g2: int, itemsize: int, limit: int) -> dict[str, int] | None:
    """Default launch settings of the forward kernel whose tokens do not stay in registers; None where nothing fits.

    Every tile reads all weights from the L2 cache: as many tokens as registers hold, then two stages, then one. The
    bytes are an upper bound of what the compiler takes near the limit.

    Args:
        g1, g2: groups.
        itemsize: bytes of one weight.
        limit: bytes of shared memory.
    """
    u, parts = padded(g1), two_parts(g2)
    channels = u * sum(parts)
    if u > WIDEST_GROUP or channels > WIDEST_CHANNELS[itemsize] or sum(parts) > LONGEST_GROUP:
        return None
    if channels > MOST_PADDING * g1 * g2:
        return None
    for chunk, block_t, stages in _wide_choices(channels, itemsize):
        first, second = u * chunk * sum(parts) * itemsize, chunk * u * u * itemsize
        tile = u * parts[0] * block_t * (8 if itemsize == 4 else itemsize)  # float32: two parts of 4 bytes
        if stages * first + second + tile <= limit:
            return {"W_CHUNK": chunk, "BLOCK_T": block_t, "num_warps": WARPS, "num_stages": stages, "PER_CORE": 1}
    return None


def _wide_choices(channels: int, itemsize: int) -> list[tuple[int, int, int]]:
    """(W_CHUNK, BLOCK_T, stages), the wanted first: those that do not spill, by padded channels."""
    if itemsize == 2:
        few = [(16, 32, 2)] if channels <= 512 else []
        return few + ([(16, 16, 2)] if channels <= 1536 else []) + [(16, 16, 1), (16, 8, 1)]
    if channels <= 512:
        return [(8, 16, 1), (4, 8, 1)]
    return [(8, 8, 1), (4, 8, 1)] if channels <= 1024 else [(16, 8, 1), (4, 8, 1)]


def backward_tiling(half: str, itemsize: int, x_itemsize: int, limit: int) -> dict[str, int]:
    """Default launch settings of one half of the backward pass.

    Args:
        half: ``first`` or ``second``.
        itemsize: bytes of one weight.
        x_itemsize: bytes of one value of x.
        limit: bytes of shared memory.
    """
    weights = itemsize == 2 and limit >= HALVES[half, x_itemsize] * 1024
    tiling = forward_tiling(itemsize, limit) | {"WEIGHTS": int(weights)}
    return tiling if itemsize == 2 else tiling | {"BLOCK_T": 8}
