"""Wavelet packets along one axis, from tables: analysis and synthesis.

A stage is J levels of one axis, F = 2**J. An axis of N samples is P = N/F blocks. Tensors are
``[outer, before, N, inner]`` before and ``[outer, F, before, P, inner]`` after analysis; synthesis goes back. The
tables (:class:`StageTables`) hold filters and boundary rows; which wavelet and which boundary rule they stand for is
not known here.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange


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


def wavelet_packet_analysis(x: torch.Tensor, tables: StageTables) -> torch.Tensor:
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


def wavelet_packet_synthesis(y: torch.Tensor, tables: StageTables) -> torch.Tensor:
    """Inverse of :func:`wavelet_packet_analysis`: ``[outer, F, before, P, inner] -> [outer, before, P*F, inner]``."""
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
