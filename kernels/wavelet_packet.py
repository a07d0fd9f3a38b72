"""N-D wavelet packets from tables: analysis and synthesis.

A stage is J levels of one axis, F = 2**J, taken at once by composite filters at stride F, or another bank of F filters
at that stride; an axis of N samples becomes P = N/F blocks of F bands. A plan is the stages of all axes and the order
that the channels end in. Which wavelet and which boundary rule the tables stand for is not known here.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray

from liveaction.kernels.dispatch import choose
from liveaction.kernels.lapped import AxisBlocks
from liveaction.kernels.quantize import compand_composed, compand_reference, expand_composed, expand_reference

LONGEST = 64
"""Entries that a row of the Numba kernels may have."""


@dataclass(frozen=True)
class StageTables:
    """Filters of one stage on one axis, as tensors of the working dtype and device.

    Either ``matrix`` ``[N, N]`` (rows (band, block)) and ``inverse`` are given, and nothing else counts, or:

    Attributes:
        factor: F.
        periodic: the axis wraps; otherwise samples outside count as zero and the end rows below repair the ends.
        analysis: ``[F, F + 2 pad]``.
        synthesis: ``[F, F, 1 + 2 synthesis_pad]`` (phase, band, block).
        head, tail: ``[F * n, m]`` analysis rows (band-major) of the end blocks.
        synthesis_head, synthesis_tail: ``[F * n, F * m]`` rows in sample order.
    """

    factor: int
    periodic: bool = False
    analysis: torch.Tensor | None = None
    synthesis: torch.Tensor | None = None
    head: torch.Tensor | None = None
    tail: torch.Tensor | None = None
    synthesis_head: torch.Tensor | None = None
    synthesis_tail: torch.Tensor | None = None
    matrix: torch.Tensor | None = None
    inverse: torch.Tensor | None = None


@dataclass(frozen=True)
class PairTable:
    """Levels of one axis as sparse rows, two outputs at a time that read the same entries; NumPy arrays.

    Of N samples, level 1 has N/2 pairs, level 2, which repeats for both bands, N/4, and so on, one after the other.
    Pair k of an analysis gives low and high pass k; of a synthesis, samples 2k and 2k + 1.

    Attributes:
        index: int64 ``[pairs, W]``, W a multiple of 5; what is read. A synthesis counts low passes, then high passes.
        first, second: float32 ``[pairs, W]``, what it is multiplied with.
        runs: int64 ``[levels, 2]``, first and last of the pairs, counted within the level, of which each is the one
            before moved on by one output; the last is not included.
    """

    index: NDArray[np.int64]
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    runs: NDArray[np.int64]


@dataclass(frozen=True)
class AxisCascade:
    """All levels of one axis, forth and back.

    Attributes:
        samples: of the axis, or, where it is the only one, of the windows to do it in.
        halo: samples that a block's packets may depend on beyond its own, on either side.
        periodic: the axis wraps.
    """

    levels: int
    samples: int
    halo: int
    periodic: bool
    analysis: PairTable
    synthesis: PairTable

    @property
    def factor(self) -> int:
        """Bands, and samples of a block."""
        return 1 << self.levels


@dataclass(frozen=True)
class PacketPlan:
    """A whole transform of C channels to C*P.

    Attributes:
        stages: (axis, tables) in the order of application. After them the channels count (channel, band of the first
            stage, band of the second, ...), the last fastest.
        order: int64 ``[C*P]``: channel k of the result is channel ``order[k]`` of those.
        back: the inverse permutation.
        cascade: the same transform level by level, or block by block, one entry per axis; None where it was not asked
            for.
    """

    stages: tuple[tuple[int, StageTables], ...]
    order: torch.Tensor
    back: torch.Tensor
    cascade: tuple[AxisCascade | AxisBlocks, ...] | None = None


def wavelet_packet_analysis(x: torch.Tensor, plan: PacketPlan, companded: bool = False) -> torch.Tensor:
    """``[B, C, *S]`` to packets ``[B, C*P, *G]``, any strides, float32 or float64; the dtype stays.

    Extents are multiples of the stages' factors and those that the tables were made for, which
    :class:`liveaction.transforms.packet.WaveletPacket` sees to.

    Args:
        companded: return the packets as :func:`liveaction.kernels.quantize.compand` gives them. The kernels do that as
            they store them, so it takes no pass of its own; for the gradient only the result is kept.
    """
    provider = choose("wavelet_packet_analysis", x, lambda: _refused(x, plan), lambda: _numba_refused(x, plan))
    if provider == "numba":
        from liveaction.kernels import wavelet_packet_numba

        return wavelet_packet_numba.analysis(x, plan, companded)
    if provider == "triton":
        from liveaction.kernels import wavelet_packet_ops

        return wavelet_packet_ops.analysis(x, plan, companded)
    if provider == "reference":
        y = wavelet_packet_analysis_reference(x, plan)
        return compand_reference(y) if companded else y
    y = wavelet_packet_analysis_composed(x, plan)
    return compand_composed(y) if companded else y


def wavelet_packet_synthesis(y: torch.Tensor, plan: PacketPlan, companded: bool = False) -> torch.Tensor:
    """Inverse of :func:`wavelet_packet_analysis`: ``[B, C*P, *G] -> [B, C, *S]``.

    Args:
        companded: ``y`` is companded; the kernels expand it as they load it.
    """
    provider = choose("wavelet_packet_synthesis", y, lambda: _refused(y, plan), lambda: _numba_refused(y, plan))
    if provider == "numba":
        from liveaction.kernels import wavelet_packet_numba

        return wavelet_packet_numba.synthesis(y, plan, companded)
    if provider == "triton":
        from liveaction.kernels import wavelet_packet_ops

        return wavelet_packet_ops.synthesis(y, plan, companded)
    if provider == "reference":
        return wavelet_packet_synthesis_reference(expand_reference(y) if companded else y, plan)
    return wavelet_packet_synthesis_composed(expand_composed(y) if companded else y, plan)


def _refused(x: torch.Tensor, plan: PacketPlan) -> str:
    from liveaction.kernels import wavelet_packet_ops

    return wavelet_packet_ops.refused(x, plan)


def _numba_refused(x: torch.Tensor, plan: PacketPlan) -> str:
    """Why the Numba kernels cannot take ``x``; empty where they can."""
    if x.dtype != torch.float32 or plan.cascade is None:
        return f"they take float32, not {x.dtype}"
    widths = [axis.analysis.index.shape[1] for axis in plan.cascade if isinstance(axis, AxisCascade)]
    if x.numel() == 0 or max(widths, default=0) > LONGEST:
        return f"they take filters of at most {LONGEST} taps, and at least one sample"
    return ""


def wavelet_packet_analysis_reference(x: torch.Tensor, plan: PacketPlan) -> torch.Tensor:
    """Every stage as the dense matrix ``[N, N]`` of its axis."""
    for axis, tables in plan.stages:
        y = torch.einsum("mn,bc...n->bc...m", analysis_matrix(tables, x.shape[axis + 2]), x.movedim(axis + 2, -1))
        x = y.unflatten(-1, (tables.factor, -1)).movedim(-2, 2).flatten(1, 2).movedim(-1, axis + 2)
    return x[:, plan.order]


def wavelet_packet_synthesis_reference(y: torch.Tensor, plan: PacketPlan) -> torch.Tensor:
    """The inverse of every stage as a dense matrix, last stage first."""
    y = y[:, plan.back]
    for axis, tables in reversed(plan.stages):
        bands = y.unflatten(1, (-1, tables.factor)).movedim((2, axis + 3), (-2, -1)).flatten(-2)
        matrix = synthesis_matrix(tables, bands.shape[-1])
        y = torch.einsum("nm,bc...m->bc...n", matrix, bands).movedim(-1, axis + 2)
    return y


def analysis_matrix(tables: StageTables, n: int) -> torch.Tensor:
    """One stage on an axis of ``n`` samples as a matrix ``[n, n]``, rows (band, block)."""
    if tables.matrix is not None:
        return tables.matrix
    assert tables.analysis is not None
    factor, width = tables.analysis.shape
    blocks = n // factor
    matrix = tables.analysis.new_zeros(factor, blocks, n)
    for p in range(blocks):
        for t in range(width):
            sample = factor * p - (width - factor) // 2 + t
            if tables.periodic or 0 <= sample < n:
                matrix[:, p, sample % n] += tables.analysis[:, t]
    for rows, first in ((tables.head, 0), (tables.tail, blocks)):
        if rows is not None:
            count, m = rows.shape[0] // factor, rows.shape[1]
            start, left = (0, 0) if first == 0 else (blocks - count, n - m)
            matrix[:, start : start + count] = 0
            matrix[:, start : start + count, left : left + m] = rows.unflatten(0, (factor, count))
    return matrix.flatten(0, 1)


def synthesis_matrix(tables: StageTables, n: int) -> torch.Tensor:
    """The inverse of one stage as a matrix ``[n, n]``, columns (band, block)."""
    if tables.inverse is not None:
        return tables.inverse
    assert tables.synthesis is not None
    factor, _, width = tables.synthesis.shape
    blocks = n // factor
    matrix = tables.synthesis.new_zeros(blocks, factor, factor, blocks)
    for p in range(blocks):
        for q in range(width):
            block = p - width // 2 + q
            if tables.periodic or 0 <= block < blocks:
                matrix[p, :, :, block % blocks] += tables.synthesis[:, :, q]
    for rows, first in ((tables.synthesis_head, True), (tables.synthesis_tail, False)):
        if rows is not None:
            count, m = rows.shape[0] // factor, rows.shape[1] // factor
            start, left = (0, 0) if first else (blocks - count, blocks - m)
            matrix[start : start + count] = 0
            matrix[start : start + count, :, :, left : left + m] = rows.unflatten(0, (count, factor)).unflatten(
                2, (factor, m)
            )
    return matrix.flatten(2, 3).flatten(0, 1)


def wavelet_packet_analysis_composed(x: torch.Tensor, plan: PacketPlan) -> torch.Tensor:
    """One strided convolution per stage, then the order of the channels."""
    batch, extents = x.shape[0], list(x.shape[2:])
    for axis, tables in plan.stages:
        before, inner = prod(extents[:axis]), prod(extents[axis + 1 :])
        x = _analyse_stage(x.reshape(-1, before, extents[axis], inner), tables)
        extents[axis] //= tables.factor
    return x.reshape(batch, -1, *extents)[:, plan.order]


def wavelet_packet_synthesis_composed(y: torch.Tensor, plan: PacketPlan) -> torch.Tensor:
    """The stages back, last first."""
    batch, extents = y.shape[0], list(y.shape[2:])
    y = y[:, plan.back]
    for axis, tables in reversed(plan.stages):
        before, inner = prod(extents[:axis]), prod(extents[axis + 1 :])
        y = _synthesise_stage(y.reshape(-1, tables.factor, before, extents[axis], inner), tables)
        extents[axis] *= tables.factor
    return y.reshape(batch, -1, *extents)


def _analyse_stage(x: torch.Tensor, tables: StageTables) -> torch.Tensor:
    """Analyse one axis: ``[outer, before, N, inner] -> [outer, F, before, N/F, inner]``, one strided convolution.

    The bands move in front of the axes before this one, next to the channels, without a copy of their own.
    """
    if tables.matrix is not None:
        return rearrange(_rows(tables.matrix, x), "o b (f p) i -> o f b p i", f=tables.factor)
    assert tables.analysis is not None
    pad = (tables.analysis.shape[1] - tables.factor) // 2
    if tables.periodic:
        x = _wrap(x, pad, 2)
        pad = 0
    y = _convolve(x.unsqueeze(1), tables.analysis[:, None], tables.factor, pad)
    if tables.head is not None:
        rows = _rows(tables.head, x[:, :, : tables.head.shape[1]])
        rows = rearrange(rows, "o b (f p) i -> o f b p i", f=tables.factor)
        y[:, :, :, : rows.shape[3]] = rows
    if tables.tail is not None:
        rows = _rows(tables.tail, x[:, :, x.shape[2] - tables.tail.shape[1] :])
        rows = rearrange(rows, "o b (f p) i -> o f b p i", f=tables.factor)
        y[:, :, :, y.shape[3] - rows.shape[3] :] = rows
    return y


def _synthesise_stage(y: torch.Tensor, tables: StageTables) -> torch.Tensor:
    """Inverse of :func:`_analyse_stage`: ``[outer, F, before, P, inner] -> [outer, before, P*F, inner]``."""
    if tables.inverse is not None:
        return _rows(tables.inverse, rearrange(y, "o f b p i -> o b (f p) i"))
    assert tables.synthesis is not None
    pad = tables.synthesis.shape[2] // 2
    wrapped = _wrap(y, pad, 3) if tables.periodic else y
    phases = _convolve(wrapped, tables.synthesis, 1, 0 if tables.periodic else pad)
    x = rearrange(phases, "o r b p i -> o b (p r) i")
    if tables.synthesis_head is not None:
        rows = tables.synthesis_head
        blocks = y[:, :, :, : rows.shape[1] // tables.factor]
        x[:, :, : rows.shape[0]] = _rows(rows, rearrange(blocks, "o f b p i -> o b (f p) i"))
    if tables.synthesis_tail is not None:
        rows = tables.synthesis_tail
        blocks = y[:, :, :, y.shape[3] - rows.shape[1] // tables.factor :]
        x[:, :, x.shape[2] - rows.shape[0] :] = _rows(rows, rearrange(blocks, "o f b p i -> o b (f p) i"))
    return x


def _wrap(x: torch.Tensor, pad: int, dim: int) -> torch.Tensor:
    """``pad`` entries of the other end before and behind, along ``dim`` (at least ``pad`` long)."""
    if pad == 0:
        return x
    n = x.shape[dim]
    return torch.cat([x.narrow(dim, n - pad, pad), x, x.narrow(dim, 0, pad)], dim)


def _rows(matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """``matrix`` ``[m, n]`` along the third axis of ``[o, b, n, i]``; as one large product where ``i`` is 1."""
    return (x.squeeze(3) @ matrix.T).unsqueeze(3) if x.shape[3] == 1 else matrix @ x


def _convolve(x: torch.Tensor, filters: torch.Tensor, stride: int, pad: int) -> torch.Tensor:
    """``[o, c, b, n, i]`` with ``[f, c, k]`` along n; axes of one sample are left out, which is 2 to 3 times faster."""
    if x.shape[4] == 1:
        return F.conv2d(x.squeeze(4), filters[:, :, None], stride=(1, stride), padding=(0, pad)).unsqueeze(4)
    if x.shape[2] == 1:
        y = F.conv2d(x.squeeze(2), filters[..., None], stride=(stride, 1), padding=(pad, 0))
        return y.unsqueeze(2)
    return F.conv3d(x, filters[:, :, None, :, None], stride=(1, stride, 1), padding=(0, pad, 0))
