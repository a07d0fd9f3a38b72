"""Lapped DCT of one axis: a filter across every border between two blocks, then a DCT of each block.

The M // 2 samples on either side of a border go through the pre-filter of Tran, Liang and Tu, "Lapped transform via
time-domain pre- and post-filtering", IEEE Transactions on Signal Processing 51(6), 2003,

    F = 1/2 [I J; J -I] diag(I, V) [I J; J -I],    V = J C2' diag(s, 1, ..., 1) C4 J,

C2 and C4 the DCT-II and DCT-IV of M // 2 samples, J their reversal; then every block goes through a DCT-II of M. The
inverse is exact. The middle sample of an odd block stays out of the filters, and there is no filter across the ends of
the axis, which is the same as reflecting it there. As tables it is one :class:`FilterBank` of M filters at stride M.
"""

from functools import lru_cache

import numpy as np

from liveaction.kernels.lapped import AxisBlocks
from liveaction.transforms.wavelet import Array, FilterBank

SCALE = 1.3
"""s of the pre-filter. By trial on pictures: 1.0, which makes it orthogonal, costs 3 to 4 % more bits, 1.6 as much."""

SMALLEST, LARGEST = 2, 1024
"""Blocks that are taken. One sample has no border; tables grow with the square, to about 100 MB in float64."""

SHORTEST_FOLD = 32
"""Samples from which folding a transform twice saves more than its additions cost."""


@lru_cache(maxsize=32)
def dct(n: int) -> Array:
    """The orthonormal DCT-II ``[n, n]``; row k is frequency k."""
    k, i = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    matrix = np.sqrt(2 / n) * np.cos(np.pi / n * k * (i + 0.5))
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix, dtype=np.float64)


def _dct_four(n: int) -> Array:
    """The DCT-IV ``[n, n]``, orthonormal and its own inverse."""
    half = np.arange(n) + 0.5
    return np.asarray(np.sqrt(2 / n) * np.cos(np.pi / n * np.outer(half, half)), dtype=np.float64)


@lru_cache(maxsize=32)
def differences(block: int, inverse: bool = False) -> Array:
    """V, or its inverse, ``[h, h]`` with h = block // 2: what the differences of mirrored samples go through."""
    half = block // 2
    scales = np.ones(half)
    scales[0] = 1 / SCALE if inverse else SCALE
    if inverse:
        product = _dct_four(half) @ (scales[:, None] * dct(half))
    else:
        product = dct(half).T @ (scales[:, None] * _dct_four(half))
    return np.ascontiguousarray(product[::-1, ::-1])


def border_filter(block: int, inverse: bool = False) -> Array:
    """F, or its inverse, ``[2h, 2h]`` over the h samples before a border and the h behind it."""
    half = block // 2
    eye = np.eye(half)
    fold = np.block([[eye, eye[::-1]], [eye[::-1], -eye]])
    middle = np.block([[eye, 0 * eye], [0 * eye, differences(block, inverse)]])
    return np.asarray(fold @ middle @ fold / 2, dtype=np.float64)


@lru_cache(maxsize=32)
def lapped_bank(block: int) -> FilterBank:
    """The transform as composite filters, their ends included; exact for at least two blocks."""
    half, transform = block // 2, dct(block)
    before, after = border_filter(block)[half:], border_filter(block)[:half]
    filtered = np.zeros((block, block + 2 * half))  # what a block becomes before its DCT, from half a block further
    filtered[:, half : half + block] = np.eye(block)
    filtered[:half, : 2 * half] = before
    filtered[block - half :, block:] = after
    first, last = filtered[:, half:].copy(), filtered[:, : half + block].copy()
    first[:half, :block], last[block - half :, half:] = np.eye(half, block), np.eye(half, block, block - half)
    synthesis = np.zeros((block, block, 3))  # (sample, band, block before, own, behind)
    before, after = border_filter(block, inverse=True)[half:], border_filter(block, inverse=True)[:half]
    synthesis[:, :, 1] = transform.T
    synthesis[:half, :, 0] = before[:, :half] @ transform.T[block - half :]
    synthesis[:half, :, 1] = before[:, half:] @ transform.T[:half]
    synthesis[block - half :, :, 1] = after[:, :half] @ transform.T[block - half :]
    synthesis[block - half :, :, 2] = after[:, half:] @ transform.T[:half]
    head, tail = synthesis[:, :, 1:].copy(), synthesis[:, :, :2].copy()
    head[:half, :, 0], tail[block - half :, :, 1] = transform.T[:half], transform.T[block - half :]
    return FilterBank(
        levels=0,
        periodic=False,
        analysis=transform @ filtered,
        pad=half,
        synthesis=synthesis,
        synthesis_pad=1,
        head=transform @ first,
        tail=transform @ last,
        synthesis_head=head.reshape(block, 2 * block),
        synthesis_tail=tail.reshape(block, 2 * block),
        shortest=2 * block,
    )


def lapped_reach(block: int) -> int:
    """Samples beyond a block's own, on either side, that analysis or synthesis may read; see ``wavelet.support``.

    Analysis reads half a block; synthesis half a block of filtered samples, whose bands are those of a whole one.
    """
    return block


@lru_cache(maxsize=32)
def axis_blocks(block: int) -> AxisBlocks:
    """What the kernels for CPUs take: the filters and the transform folded about their symmetry."""
    rest, tables = dct(block), []
    while len(rest) % 8 == 0 and len(rest) >= SHORTEST_FOLD:
        tables.append(rest[1::2, len(rest) // 2 - 1 :: -1])
        rest = rest[0::2, : len(rest) // 2]
    even = _padded(rest[0::2, : (len(rest) + 1) // 2])
    tables.append(rest[1::2, len(rest) // 2 - 1 :: -1])
    rows, behind, numbers = np.zeros(block, np.int64), len(even), np.arange(block)
    for table in tables:
        rows[numbers[1::2]] = behind + np.arange(len(table))
        behind, numbers = behind + len(_padded(table)), numbers[0::2]
    rows[numbers] = np.arange(len(numbers))
    forth, back = (_padded(differences(block, inverse) / 2) for inverse in (False, True))
    odd, odd_back = (np.concatenate([_padded(t).reshape(-1) for t in ts]) for ts in (tables, [t.T for t in tables]))
    return AxisBlocks(block, len(tables) - 1, forth, even, odd, rows, back, np.ascontiguousarray(even.T), odd_back)


def _padded(table: Array) -> np.ndarray:
    """Zeros behind, up to multiples of 4."""
    rows, columns = (-n % 4 for n in table.shape)
    return np.ascontiguousarray(np.pad(table, ((0, rows), (0, columns))), dtype=np.float32)
