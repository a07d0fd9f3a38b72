"""Tables of the Triton wavelet packets: one axis as tiles of a banded matrix, in two fp16 parts.

Samples and packets of one axis are N numbers each, packets counted (block, band). Analysis, synthesis and their
adjoints are four N x N matrices, banded but for a few rows at the ends. A matrix is cut into tiles of ``tile`` rows,
each with the ``window`` columns that it reads. Tiles between the ends are equal and kept once.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from einops import rearrange

from liveaction.kernels.wavelet_packet import StageTables, analysis_matrix, synthesis_matrix
from liveaction.kernels.wavelet_packet_ops import FIELDS

TILE = 64


class Constants:
    """Tensors that never change, equal to others at the same place in memory, which they keep from being reused."""

    def __init__(self, *tensors: torch.Tensor) -> None:
        self.tensors = tensors
        self._key = tuple((t.data_ptr(), t.device, t.dtype, tuple(t.shape), t.stride()) for t in tensors)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constants) and self._key == other._key


@dataclass(frozen=True)
class Band:
    """A matrix in tiles, as a kernel takes it.

    Attributes:
        high, low: ``[banks, window, tile]`` fp16, whose sum is 2**exponent times the transposed tiles. The first
            ``heads`` banks are those of the first tiles, the next up to ``edges`` those of the last ones, the last
            that of all between.
        step: the fewest columns that a kernel takes at a time; divides ``window``.
        pad: the window of tile t begins at ``t * shift - pad``.
        tiles: how many there are.
        periodic: columns wrap; otherwise those outside count as zero.
    """

    high: torch.Tensor
    low: torch.Tensor
    exponent: int
    tile: int
    window: int
    step: int
    pad: int
    shift: int
    heads: int
    edges: int
    tiles: int
    periodic: bool


@lru_cache(maxsize=256)
def band(source: Constants, mask: int, factor: int, periodic: bool, n: int, merge: bool, transposed: bool) -> Band:
    """The tiles of a stage on an axis of ``n`` samples, on the device of its tables.

    Made on the CPU by the first call, which waits for the device, and kept for the next ones.

    Args:
        source: the tensors of :class:`StageTables` that are there, in the order of :data:`FIELDS`.
        mask: bit i says that field i is there.
        merge: rows are samples (synthesis, or analysis transposed); else packets.
        transposed: the adjoint of the other direction instead of this direction itself.
    """
    with torch.inference_mode(False), torch.no_grad():
        given = iter(source.tensors)
        fields = {name: next(given).cpu().double() for i, name in enumerate(FIELDS) if mask >> i & 1}
        tables = StageTables(factor, periodic, **fields)
        device = source.tensors[0].device

        def matrix(length: int) -> torch.Tensor:
            full = _matrix(tables, length, inverse=merge != transposed)
            return full.T if transposed else full

        if tables.matrix is None:
            tile = TILE
            reach = max(t.shape[-1] * (factor if name == "synthesis" else 1) for name, t in fields.items())
            model = min(n, 4 * reach + 8 * tile + n % tile)
            model += (n - model) % tile
            full = matrix(model)
            pad, window = _window(full, tile, periodic)
            if n > window:
                return _windowed(full, tile, pad, window, periodic, n, device)
        return _dense(matrix(n), device)


def _windowed(
    full: torch.Tensor, tile: int, pad: int, window: int, periodic: bool, n: int, device: torch.device
) -> Band:
    """Tiles of an axis of ``n`` samples from the matrix of a model axis with the same ends."""
    tiles = _cut(full, tile, pad, window, periodic)
    count = -(-n // tile)
    if periodic:
        banks, heads, edges = tiles[:1], 0, 0
    else:
        middle = tiles[len(tiles) // 2]
        differs = (tiles != middle).flatten(1).any(1).tolist()
        heads = differs.index(False)
        tails = differs[::-1].index(False)
        if any(differs[heads : len(tiles) - tails]):
            heads, tails = len(tiles), 0
        assert heads < len(tiles) or len(tiles) == count
        edges = heads + tails
        banks = torch.cat([tiles[:heads], tiles[len(tiles) - tails :], middle[None]])
    high, low, exponent = _split(banks)
    return Band(high.to(device), low.to(device), exponent, tile, window, 64, pad, tile, heads, edges, count, periodic)


def _dense(full: torch.Tensor, device: torch.device) -> Band:
    """All rows and columns, every tile an edge."""
    n = len(full)
    tile = step = min(TILE, max(16, 1 << (n - 1).bit_length()))
    count = -(-n // tile)
    padded = full.new_zeros(count * tile, -(-n // step) * step)
    padded[:n, :n] = full
    high, low, exponent = _split(padded.unflatten(0, (count, tile)))
    window = padded.shape[1]
    return Band(high.to(device), low.to(device), exponent, tile, window, step, 0, 0, count, count, count, False)


def _split(tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    """``[banks, tile, window]`` as two fp16 parts ``[banks, window, tile]`` of 2**exponent times it."""
    largest = float(tiles.abs().max()) or 1.0
    exponent = 13 - int(torch.tensor(largest).log2().floor())
    scaled = tiles.mT * 2.0**exponent
    high = scaled.half()
    return high.contiguous(), (scaled - high.double()).half().contiguous(), exponent


def _cut(full: torch.Tensor, tile: int, pad: int, window: int, periodic: bool) -> torch.Tensor:
    """``[tiles, tile, window]``; zeros below the last row and, unless periodic, outside the axis."""
    n = len(full)
    count = -(-n // tile)
    rows = torch.cat([full, full.new_zeros(count * tile - n, n)]).unflatten(0, (count, tile))
    columns = torch.arange(count)[:, None] * tile - pad + torch.arange(window)
    inside = (columns >= 0) & (columns < n)
    picked = rows.gather(2, (columns % n)[:, None].expand(-1, tile, -1))
    return picked if periodic else torch.where(inside[:, None], picked, 0.0)


def _window(full: torch.Tensor, tile: int, periodic: bool) -> tuple[int, int]:
    """Columns that a tile reads before its own (a multiple of 16), and all that it reads (a multiple of 64)."""
    n = len(full)
    rows, columns = full.nonzero(as_tuple=True)
    offset = columns - rows // tile * tile
    if periodic:
        distance = (columns - rows + n // 2) % n - n // 2
        offset = rows % tile + distance
    pad = max(0, -int(offset.min()))
    pad = -(-pad // 16) * 16
    reach = pad + int(offset.max()) + 1
    return pad, -(-max(reach, tile) // 64) * 64


def _matrix(tables: StageTables, n: int, inverse: bool) -> torch.Tensor:
    """Analysis, or its inverse, on ``n`` samples as ``[n, n]``, packets counted (block, band)."""
    if inverse:
        return rearrange(synthesis_matrix(tables, n), "n (f p) -> n (p f)", f=tables.factor)
    return rearrange(analysis_matrix(tables, n), "(f p) n -> (p f) n", f=tables.factor)


@dataclass(frozen=True)
class Order:
    """How the channels of the last pass become those of the plan, or back.

    Attributes:
        index: int64 ``[C*P]`` on the device: entry k of the result is entry ``index[k]`` of what is given.
        bits: None where this is no permutation of binary digits, else those: binary digit i of an entry's number in the
            result, from the highest of the last ``len(bits)``, is digit ``bits[i]`` of that in what is given. Empty
            where nothing moves.
    """

    index: torch.Tensor
    bits: tuple[int, ...] | None


@lru_cache(maxsize=64)
def channel_order(order: Constants, channels: int, passes: tuple[tuple[int, int], ...], merge: bool) -> Order:
    """The order that the last pass of an analysis stores, or the first of a synthesis reads.

    Args:
        order: the plan's ``order``.
        channels: C.
        passes: the stage and its factor of each pass of an analysis; its channels count (c, bands of these passes).
        merge: from the plan's order to that of the passes.
    """
    with torch.inference_mode(False):
        wanted = order.tensors[0].cpu()
        factors = dict(passes)
        stages = torch.arange(len(wanted)).view(channels, *(factors[stage] for stage in range(len(factors))))
        found = stages.permute(0, *(1 + stage for stage, _ in passes)).flatten().argsort()[wanted]
        index = found.argsort() if merge else found
        return Order(index.to(order.tensors[0].device), _bits(index))


def _bits(index: torch.Tensor) -> tuple[int, ...] | None:
    """See :class:`Order`."""
    count = len(index)
    numbers = torch.arange(count)
    length = 0
    while count % (2 << length) == 0:
        length += 1
    while length:
        moved = index[2 ** torch.arange(length)].tolist()
        digits = [value.bit_length() - 1 for value in moved]
        if sorted(moved) == [1 << i for i in range(length)]:
            again = sum((numbers >> i & 1) << digit for i, digit in enumerate(digits)) + (numbers >> length << length)
            if torch.equal(again, index):
                while length and digits[length - 1] == length - 1:
                    length -= 1
                return tuple(length - 1 - digit for digit in digits[:length][::-1])
        length -= 1
    return () if torch.equal(index, numbers) else None
