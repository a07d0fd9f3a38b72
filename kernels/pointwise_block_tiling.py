"""Tilings of the pointwise block's kernels: which sizes they take, and the launch settings that should fit a device.

As in :mod:`liveaction.kernels.monarch_tiling`, bytes are what a program keeps in shared memory.
"""

import torch

from liveaction.kernels import monarch_tiling
from liveaction.kernels.dispatch import dtype_refused
from liveaction.kernels.monarch_tiling import padded, two_parts
from liveaction.kernels.target import shared_limit


def refused(w1: torch.Tensor, w2: torch.Tensor, v1: torch.Tensor) -> str:
    """Why the Triton kernels cannot take these; empty where they can."""
    if wrong := dtype_refused(w1):
        return wrong
    if w1.shape != v1.shape:
        return f"both projections need the same groups, not {tuple(w1.shape[:2])} and {tuple(v1.shape[:2])}"
    g1, g2 = w1.shape[:2]
    limit = shared_limit(w1.device)
    if not in_registers(g1, g2) and wide_tiling(g1, g2, w1.element_size(), limit) is None:
        return (
            "it takes groups of at most 32 x 64 (float32: 32 x 48), padded to powers of two at most four times as many "
            f"channels, whose weights fit into {limit // 1024} KiB of shared memory, not {g1, g2} in {w1.dtype}"
        )
    return monarch_tiling.refused(w1, w1, w2)


def in_registers(g1: int, g2: int) -> bool:
    """Whether a token stays in registers from end to end: groups powers of two, 16 at least, 512 channels at most."""
    return all(g >= 16 and g & (g - 1) == 0 for g in (g1, g2)) and g1 * g2 <= 512


def forward_tiling(itemsize: int, limit: int) -> dict[str, int]:
    """Default launch settings of the forward kernel: 16-bit weights stay on chip where they fit.

    Args:
        itemsize: bytes of one weight.
        limit: bytes of shared memory.
    """
    resident = itemsize == 2 and limit >= 160 * 1024
    return {"BLOCK_T": 16, "RESIDENT": int(resident), "num_warps": 8, "num_stages": 1 + resident, "PER_CORE": 1}


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
    if u > 32 or channels > (2048 if itemsize == 2 else 1536) or sum(parts) > 64 or channels > 4 * g1 * g2:
        return None
    if itemsize == 4:
        chunk, choices = 8, [(8, 1)]
    else:
        chunk, choices = 16, [(32, 2)] * (channels <= 512) + [(16, 2)] * (channels <= 1536) + [(16, 1), (8, 1)]
    for block_t, stages in choices:
        first, second = u * chunk * sum(parts) * itemsize, chunk * u * u * itemsize
        tile = u * parts[0] * block_t * (8 if itemsize == 4 else itemsize)  # float32: two parts of 4 bytes
        if stages * first + second + tile <= limit:
            return {"W_CHUNK": chunk, "BLOCK_T": block_t, "num_warps": 8, "num_stages": stages, "PER_CORE": 1}
    return None


def backward_tiling(half: str, itemsize: int, x_itemsize: int, limit: int) -> dict[str, int]:
    """Default launch settings of one half of the backward pass.

    Args:
        half: ``first`` or ``second``.
        itemsize: bytes of one weight.
        x_itemsize: bytes of one value of x.
        limit: bytes of shared memory; what WEIGHTS takes of it was read from the compiled kernels at 512 channels.
    """
    needed = {("first", 2): 160, ("first", 4): 208, ("second", 2): 184, ("second", 4): 216}[half, x_itemsize]
    weights = itemsize == 2 and limit >= needed * 1024
    tiling = forward_tiling(itemsize, limit) | {"WEIGHTS": int(weights)}
    return tiling if itemsize == 2 else tiling | {"BLOCK_T": 8}
