"""Filter banks of J wavelet levels along one axis, made in float64.

All J levels of one axis equal one bank of F = 2**J composite filters at stride F, except for a few blocks at each end,
where the boundary rule decides. The bank is read off the exact matrix of a model axis, level by level, so any filter
and any boundary rule end as data:

    y[f, p] = sum_t analysis[f, t] x[F p - pad + t]           interior blocks p
    x[F p + r] = sum_{f, q} synthesis[r, f, q] y[f, p - synthesis_pad + q]

with dense rows for the first and last blocks of a ``symmetric`` axis, and a wrapped axis for ``periodic``. Axes too
short for that take the exact matrix itself.

Conventions are PyWavelets' ``periodization`` mode: y_b[k] = sum_s h_b[s] x[2k + L/2 - s]. The ``symmetric`` rule
extends every level by reflection, about the end sample for filters of odd length (as JPEG 2000 does) and about the
edge behind it for filters of even length.

``folded`` is what WaLLoC and LiVeAction compute (as pytorch_wavelets and tft do): convolve over zeros, then fold the
tail back once. It equals ``periodic`` wherever an axis has at least as many samples as the filter has taps; below that
it is neither periodic nor invertible, and is kept only to compute exactly what published weights were trained with.
``folded3`` is its form on three axes, which differs for axes of two samples.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pywt
from numpy.typing import NDArray

from liveaction.errors import SpecError

Array = NDArray[np.float64]
Pairs = tuple[NDArray[np.int64], Array, Array]
BOUNDARIES = ("symmetric", "periodic", "folded")
FOLDED = ("folded", "folded3")
_EQUAL = 1e-11
_EXACT = 1e-7
_LONGEST_BANK = 512
_WORST = 1e8


@dataclass(frozen=True)
class FilterBank:
    """J levels along one axis as tables, ``F = 2**levels``; or another bank of F filters, with ``levels`` 0.

    Attributes:
        analysis: ``[F, F + 2 pad]`` composite filters.
        pad: samples read before a block's first and after its last.
        synthesis: ``[F, F, Q]`` indexed (phase, band, block); ``synthesis_pad`` blocks are read before the own one.
        head, tail: ``[F * n, m]`` analysis rows (band-major) of the first and last n blocks from the first and last m
            samples; None where the interior filters hold to the end.
        synthesis_head, synthesis_tail: ``[F * n, F * m]`` rows (sample order) of the first and last n blocks from the
            first and last m blocks (band-major); None where the interior filters hold to the end.
        shortest: fewest samples for which the bank is exact; shorter axes take the matrix.
    """

    levels: int
    periodic: bool
    analysis: Array
    pad: int
    synthesis: Array
    synthesis_pad: int
    head: Array | None
    tail: Array | None
    synthesis_head: Array | None
    synthesis_tail: Array | None
    shortest: int


@lru_cache(maxsize=64)
def level_filters(wavelet: str) -> tuple[Array, Array]:
    """Low- and high-pass analysis filters ``[L]`` of a PyWavelets discrete wavelet.

    Raises:
        SpecError: no such discrete wavelet.
    """
    if wavelet not in pywt.wavelist(kind="discrete"):
        raise SpecError(
            f"[codec] wavelet: expected a discrete wavelet of PyWavelets, got {wavelet!r}; "
            "pywt.wavelist(kind='discrete') lists them"
        )
    bank = pywt.Wavelet(wavelet)
    return np.asarray(bank.dec_lo, dtype=np.float64), np.asarray(bank.dec_hi, dtype=np.float64)


@lru_cache(maxsize=64)
def reflection(wavelet: str) -> int:
    """How a symmetric axis reflects: 0 about the end sample (odd filters), 1 about the edge behind it (even filters).

    Raises:
        SpecError: the filters are not symmetric about one of these points.
    """
    for kind, centre in ((0, 0.0), (1, 0.5)):
        if all(
            _symmetric(taps, centre + shift)
            for taps, shift in zip(level_filters(wavelet), (0.0, 1.0 - kind), strict=True)
        ):
            return kind
    raise SpecError(
        f"[codec] boundary: expected periodic for {wavelet!r}, whose filters are not symmetric, got 'symmetric'; "
        "set boundary to periodic or take a biorthogonal wavelet such as bior4.4"
    )


def _symmetric(taps: Array, centre: float) -> bool:
    """Whether the filter that reads x[L/2 - s] is (anti)symmetric about the given sample position."""
    positions = len(taps) // 2 - np.arange(len(taps))
    values = {float(p): float(t) for p, t in zip(positions, taps, strict=True)}
    mirrored = [values.get(2 * centre - p, 0.0) for p in values]
    own = np.array(list(values.values()))
    tolerance = 1e-9 * np.abs(own).max()
    return bool(np.allclose(own, mirrored, atol=tolerance) or np.allclose(own, np.negative(mirrored), atol=tolerance))


def _fold(index: NDArray[np.int64], n: int, wavelet: str, boundary: str) -> NDArray[np.int64]:
    """Positions on an endless axis to positions 0..n-1 under the boundary rule."""
    if boundary == "periodic":
        return index % n
    if reflection(wavelet):
        index = index % (2 * n)
        return np.where(index < n, index, 2 * n - 1 - index)
    index = index % (2 * n - 2)
    return np.where(index < n, index, 2 * n - 2 - index)


def _level_matrix(wavelet: str, n: int, boundary: str) -> Array:
    """One level on n (even) samples: ``[n, n]``, rows band-major."""
    if boundary in FOLDED:
        return _folded_analysis(wavelet, n, boundary)
    matrix = np.zeros((2, n // 2, n))
    for band, taps in enumerate(level_filters(wavelet)):
        length = len(taps)
        k, s = np.meshgrid(np.arange(n // 2), np.arange(length), indexing="ij")
        np.add.at(matrix[band], (k, _fold(2 * k + length // 2 - s, n, wavelet, boundary)), taps[s])
    return matrix.reshape(n, n)


def _folded_analysis(wavelet: str, n: int, boundary: str) -> Array:
    """One level on n (even) samples by one fold: ``[n, n]``, rows band-major."""
    filters = level_filters(wavelet)
    half = len(filters[0]) // 2
    # the published code turns the axis by half a filter, except on very short axes, where its slices run empty
    turn = half if boundary == "folded3" or 2 * n > half else 0
    matrix = np.zeros((2, n // 2, n))
    for band, taps in enumerate(filters):
        for k in range(n // 2 + min(half, n // 2)):
            for s, tap in enumerate(taps):
                if 0 <= 2 * k - s < n:
                    matrix[band, k % (n // 2), (2 * k - s + turn) % n] += tap
    return matrix.reshape(n, n)


def _folded_synthesis(wavelet: str, n: int) -> Array:
    """What the published code takes for the inverse of :func:`_folded_analysis`: ``[n, n]``, columns band-major."""
    bank = pywt.Wavelet(wavelet)
    length = len(bank.rec_lo)
    turn = length // 2 - 1 if 2 * n > length // 2 - 1 else 0
    matrix = np.zeros((n, 2, n // 2))
    for band, taps in enumerate((bank.rec_lo, bank.rec_hi)):
        for k in range(n // 2):
            for t, tap in enumerate(taps):
                if 2 * k + t < n + min(length - 2, n):
                    matrix[((2 * k + t) % n - turn) % n, band, k] += tap
    return matrix.reshape(n, n)


@lru_cache(maxsize=32)
def packet_matrix(wavelet: str, levels: int, n: int, boundary: str) -> Array:
    """Exact analysis matrix ``[n, n]`` of ``levels`` packet levels on n samples; rows (band, block), level 1 first.

    Args:
        n: a positive multiple of 2**levels.
    """
    bands = np.eye(n)[None]
    for _ in range(levels):
        step = _level_matrix(wavelet, bands.shape[1], boundary)
        bands = (step @ bands).reshape(2 * bands.shape[0], bands.shape[1] // 2, n)
    return bands.reshape(n, n)


@lru_cache(maxsize=32)
def packet_inverse(wavelet: str, levels: int, n: int, boundary: str) -> Array:
    """Inverse ``[n, n]`` of :func:`packet_matrix`; columns (band, block). Of a folded axis, what is published for it.

    Raises:
        SpecError: the transform loses information at this length.
    """
    if boundary in FOLDED:
        samples = np.eye(n).reshape(2**levels, n >> levels, n)
        for _ in range(levels):
            length = 2 * samples.shape[1]
            samples = _folded_synthesis(wavelet, length) @ samples.reshape(-1, length, n)
        return samples.reshape(n, n)
    matrix, inverse = packet_matrix(wavelet, levels, n, boundary), None
    with suppress(np.linalg.LinAlgError):
        inverse = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    # a bound on the condition, without the singular values, which take longer than all else
    if inverse is None or not _norm(matrix) * _norm(inverse) < _WORST:
        raise SpecError(
            f"[codec] wavelet: expected an invertible transform, got {wavelet!r} with {levels} levels on {n} samples "
            f"({boundary}); take fewer levels or another wavelet"
        )
    return inverse


def _norm(matrix: Array) -> float:
    """A bound on the largest singular value."""
    return float(np.sqrt(np.linalg.norm(matrix, 1) * np.linalg.norm(matrix, np.inf)))


@lru_cache(maxsize=64)
def level_pairs(wavelet: str, n: int, boundary: str) -> tuple[Pairs, Pairs]:
    """One level on n (even) samples as sparse rows, two at a time: analysis and synthesis.

    Each is (index, first, second) ``[n/2, W]``: pair k of the analysis is low and high pass k over samples; of the
    synthesis, samples 2k and 2k + 1 over low passes 0 to n/2 - 1 and high passes n/2 to n - 1. Long axes repeat the
    middle of a model axis.
    """
    model = min(n, max(64, 4 * len(level_filters(wavelet)[0])))
    forward = _level_matrix(wavelet, model, boundary).reshape(2, model // 2, model)
    if boundary in FOLDED:
        inverse = _folded_synthesis(wavelet, model)
    else:
        inverse = np.asarray(np.linalg.inv(forward.reshape(model, model)), dtype=np.float64)
    return _stretched(forward[0], forward[1], n, 2), _stretched(inverse[0::2], inverse[1::2], n, 1)


def _stretched(first: Array, second: Array, n: int, stride: int) -> Pairs:
    """Sparse rows of a model axis, made to fit n samples; ``stride`` entries of a part lie between neighbouring rows.

    The entries of an analysis are one part, the samples; those of a synthesis two, low and high passes.
    """
    rows, columns = first.shape
    part, new_part = (columns, n) if stride == 2 else (columns // 2, n // 2)
    used = (np.abs(first) > _EQUAL) | (np.abs(second) > _EQUAL)
    width = 5 * -(-int(used.sum(axis=1).max()) // 5)
    index = np.zeros((n // 2, width), dtype=np.int64)
    values = np.zeros((2, n // 2, width))
    # the ends of the model serve the ends, its middle row all between
    ends = rows // 2 if n == columns else rows // 4
    for row in (*range(ends), rows // 2, *range(rows - ends, rows)):
        entries = np.flatnonzero(used[row])
        block, place = entries // part, entries % part
        if row == rows // 2 and n != columns:
            target = slice(ends, n // 2 - ends)
            place = place + stride * (np.arange(ends, n // 2 - ends) - row)[:, None]
        else:
            target = slice(row, row + 1) if row < rows // 2 else slice(n // 2 - rows + row, n // 2 - rows + row + 1)
            near_start = place < (3 * part // 4 if row < rows // 2 else part // 4)
            place = np.where(near_start, place, new_part - part + place)
        read = np.broadcast_to(block * new_part + place, (len(range(n // 2)[target]), len(entries)))
        index[target] = np.pad(read, ((0, 0), (0, width - len(entries))), "edge")  # of value 0, hence any
        values[:, target, : len(entries)] = np.stack([first[row, entries], second[row, entries]])[:, None]
    return index, values[0], values[1]


def split_levels(wavelet: str, levels: int) -> list[int]:
    """Levels of one axis in stages of nearly equal size, each small enough for one bank: 7 -> [4, 3]."""
    length = len(level_filters(wavelet)[0])
    most = max((j for j in range(1, 5) if (length - 1) * (2**j - 1) <= _LONGEST_BANK), default=1)
    stages = -(-levels // most)
    return [levels // stages + (i < levels % stages) for i in range(stages)] if levels else []


@lru_cache(maxsize=64)
def filter_bank(wavelet: str, levels: int, boundary: str) -> FilterBank:
    """The tables of ``levels`` >= 1 levels.

    Raises:
        SpecError: unknown wavelet, no symmetric rule for it, or a filter bank without perfect reconstruction.
    """
    if boundary in FOLDED:
        bank = filter_bank(wavelet, levels, "periodic")
        return replace(bank, shortest=max(bank.shortest, len(level_filters(wavelet)[0]) << (levels - 1)))
    factor = 2**levels
    reach = (len(level_filters(wavelet)[0]) - 1) * (factor - 1) + factor
    blocks = 4 * -(-reach // factor) + 8  # twice as many give the same, to 1e-15, in six times the time
    n = blocks * factor
    forward = packet_matrix(wavelet, levels, n, boundary).reshape(factor, blocks, n)
    inverse = packet_inverse(wavelet, levels, n, boundary).reshape(blocks, factor, factor, blocks)
    middle = blocks // 2
    analysis, pad = _analysis_taps(forward[:, middle], middle * factor)
    synthesis, synthesis_pad = _synthesis_taps(inverse[middle], middle)
    if synthesis.shape[2] > blocks // 2:
        raise SpecError(
            f"[codec] wavelet: expected perfect reconstruction by filters, got {wavelet!r}, which only comes close; "
            "take another wavelet"
        )
    head = tail = synthesis_head = synthesis_tail = None
    if boundary == "symmetric":
        inner_forward, inner_inverse = _interior(analysis, pad, synthesis, synthesis_pad, blocks)
        head, tail = _analysis_ends(forward, inner_forward)
        synthesis_head, synthesis_tail = _synthesis_ends(inverse, inner_inverse)
    ends = (head, tail, synthesis_head, synthesis_tail)
    shortest = max(
        analysis.shape[1], factor * synthesis.shape[2], *(2 * end.shape[1] for end in ends if end is not None)
    )
    return FilterBank(
        levels, boundary == "periodic", analysis, pad, synthesis, synthesis_pad, head, tail, synthesis_head,
        synthesis_tail, shortest,
    )  # fmt: skip


def _analysis_taps(rows: Array, start: int) -> tuple[Array, int]:
    """Composite filters ``[F, K]`` from the rows of one interior block that begins at sample ``start``."""
    factor = rows.shape[0]
    used = np.flatnonzero(np.abs(rows).max(axis=0) > _EQUAL)
    pad = max(start - used[0], used[-1] + 1 - start - factor, 0)
    return rows[:, start - pad : start + factor + pad].copy(), int(pad)


def _synthesis_taps(rows: Array, middle: int) -> tuple[Array, int]:
    """Synthesis filters ``[F, F, Q]`` from the samples of one interior block."""
    used = np.flatnonzero(np.abs(rows).max(axis=(0, 1)) > _EQUAL)
    pad = max(middle - used[0], used[-1] - middle)
    return rows[:, :, middle - pad : middle + pad + 1].copy(), int(pad)


def _interior(analysis: Array, pad: int, synthesis: Array, synthesis_pad: int, blocks: int) -> tuple[Array, Array]:
    """What the interior filters alone would give on the model axis, zeros outside."""
    factor = analysis.shape[0]
    forward = np.zeros((factor, blocks, blocks * factor + 2 * pad))
    inverse = np.zeros((blocks, factor, factor, blocks + 2 * synthesis_pad))
    for p in range(blocks):
        forward[:, p, p * factor : p * factor + analysis.shape[1]] = analysis
        inverse[p, :, :, p : p + synthesis.shape[2]] = synthesis
    return (
        forward[:, :, pad : pad + blocks * factor],
        inverse[:, :, :, synthesis_pad : synthesis_pad + blocks],
    )


def _ends(wrong: NDArray[np.bool_]) -> tuple[int, int]:
    """How many blocks at each end differ from the interior."""
    middle = len(wrong) // 2
    head = np.flatnonzero(wrong[:middle])
    tail = np.flatnonzero(wrong[middle:][::-1])
    return (int(head[-1]) + 1 if head.size else 0), (int(tail[-1]) + 1 if tail.size else 0)


def _analysis_ends(exact: Array, interior: Array) -> tuple[Array | None, Array | None]:
    factor, blocks, n = exact.shape
    head, tail = _ends(np.abs(exact - interior).max(axis=(0, 2)) > _EQUAL)
    first, last = exact[:, :head], exact[:, blocks - tail :]
    width = _used(first)
    height = _used(last[:, :, ::-1])
    return (
        first[:, :, :width].reshape(factor * head, width) if head else None,
        last[:, :, n - height :].reshape(factor * tail, height) if tail else None,
    )


def _synthesis_ends(exact: Array, interior: Array) -> tuple[Array | None, Array | None]:
    blocks, factor = exact.shape[:2]
    head, tail = _ends(np.abs(exact - interior).max(axis=(1, 2, 3)) > _EQUAL)
    first, last = exact[:head], exact[blocks - tail :]
    width = _used(first)
    height = _used(last[..., ::-1])
    return (
        first[..., :width].reshape(head * factor, factor * width) if head else None,
        last[..., blocks - height :].reshape(tail * factor, factor * height) if tail else None,
    )


def _used(rows: Array) -> int:
    """Columns up to the last one that counts."""
    if rows.size == 0:
        return 0
    used = np.flatnonzero(np.abs(rows).reshape(-1, rows.shape[-1]).max(axis=0) > _EQUAL)
    return int(used[-1]) + 1 if used.size else 0


def support(wavelet: str, levels: int) -> int:
    """Samples beyond a block's own, on either side, that analysis or synthesis of ``levels`` levels may read.

    Cropping by this much (rounded up to a block) makes packets independent of what lies further away.
    """
    reach = 0
    for stage in reversed(split_levels(wavelet, levels)):
        bank = filter_bank(wavelet, stage, "periodic")
        factor = 2**stage
        reach = reach * factor + max(bank.pad, bank.synthesis_pad * factor)
    return reach
