"""WaveletPacket: the full packet tree, or a lapped DCT in its place, on any number of axes.

B batch, C channels, D axes, S extents, F = 2**J or M per axis, P = prod F bands, G = S/F.
"""

from functools import lru_cache
from math import prod
from typing import Literal

import numpy as np
import torch
from torch import nn

from liveaction.errors import ShapeError, SpecError
from liveaction.kernels.target import constant_in_graphs
from liveaction.kernels.wavelet_packet import (
    AxisCascade,
    PacketPlan,
    PairTable,
    StageTables,
    wavelet_packet_analysis,
    wavelet_packet_synthesis,
)
from liveaction.transforms import lapped as blocks
from liveaction.transforms import wavelet as banks
from liveaction.transforms.order import channel_orders
from liveaction.transforms.window import padded_extents

LEAST_WINDOW = 2**14
"""Samples of a window of a signal with one axis: its buffers stay in a core's cache, and little of it is halo."""

EQUAL = 1e-9
"""Difference of two filter taps that computing them makes."""


class WaveletPacket(nn.Module):
    """Invertible N-D wavelet packet transform: ``[B, C, *S] -> [B, C*P, *G]``.

    Every axis takes J levels at once, as composite filters at stride 2**J, or a lapped DCT of a block of M samples.
    Channel order is level-major: the signal channel first, then for each level one bit per axis, the last axis most
    significant. Where an axis is lapped, it is the signal channel, then the band of each axis, the last axis fastest;
    a lapped axis counts frequencies, one of packets its natural band number, the bit of level 1 most significant.
    Either way the first of a signal channel's bands is the lowest of all axes.

    Args:
        wavelet: a discrete wavelet of PyWavelets, orthogonal or biorthogonal.
        levels: J per axis; 0 leaves an axis alone. Its length is D.
        boundary: ``symmetric`` (for symmetric filters) or ``periodic``; both invert every extent that is a multiple
            of 2**J. ``folded`` is the published rule, which inverts only axes of at least as many samples as the
            filter has taps at every level.
        order: ``level``, or ``paper``: on three axes the published code permutes the channels after each level.
        companded: packets come and go with their range compressed; see :func:`liveaction.kernels.quantize.compand`.
        lapped: M per axis of a lapped DCT, see :mod:`liveaction.transforms.lapped`; 0 where an axis takes packets, as
            do all where nothing is given. Such an axis has 0 levels and extents that are multiples of M; it reflects
            at its ends, whatever ``boundary`` says.

    Raises:
        SpecError: unknown wavelet or boundary, a wavelet without a symmetric rule, an order that does not apply, or a
            block that is out of range or has levels beside it.
    """

    def __init__(
        self,
        wavelet: str,
        levels: tuple[int, ...],
        boundary: str = "symmetric",
        order: str = "level",
        companded: bool = False,
        lapped: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        if boundary not in banks.BOUNDARIES:
            raise SpecError(f"[codec] boundary: expected one of {', '.join(banks.BOUNDARIES)}, got {boundary!r}")
        if boundary == "symmetric":
            banks.reflection(wavelet)
        self.lapped = _checked_blocks(tuple(lapped), tuple(levels))
        if order not in ("level", "paper") or (order == "paper" and (len(set(levels)) > 1 or any(self.lapped))):
            raise SpecError(
                f"[codec] packet_order: expected level, or paper with equal levels and no lapped axis, got {order!r} "
                f"with {levels}"
            )
        self.wavelet, self.levels, self.boundary, self.order = wavelet, tuple(levels), boundary, order
        self.companded = companded
        self.rule = "folded3" if boundary == "folded" and len(self.levels) == 3 else boundary
        self.factors = tuple(block or 2**level for level, block in zip(levels, self.lapped, strict=True))
        self.bands = prod(self.factors)
        # (axis, levels) of packets in the order of application
        self.stages = tuple(
            (a, stage) for a, level in enumerate(levels) for stage in banks.split_levels(wavelet, level)
        )

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        order = "" if self.order == "level" else f", order={self.order!r}"
        companded = ", companded=True" if self.companded else ""
        lapped = f", lapped={self.lapped}" if any(self.lapped) else ""
        return f"{self.wavelet!r}, levels={self.levels}, boundary={self.boundary!r}{order}{companded}{lapped}"

    @property
    def reaches(self) -> tuple[int, ...]:
        """Samples per axis that the bands of a block, or its inverse, may depend on beyond the block, on either side.

        Cropping by this much (rounded up to a block) makes packets independent of what lies further away, on axes
        that do not wrap.
        """
        pairs = zip(self.levels, self.lapped, strict=True)
        return tuple(
            blocks.lapped_reach(block) if block else banks.support(self.wavelet, level) for level, block in pairs
        )

    def smaller(self, factors: tuple[int, ...]) -> "WaveletPacket":
        """The same kind of transform of a signal of so many samples a token, powers of two where an axis has packets.

        Where those are fewer, its bands are the lowest ones of this transform, by their numbers; see
        :func:`liveaction.transforms.octaves.band_numbers`.
        """
        lapped = tuple(n if block and n > 1 else 0 for n, block in zip(factors, self.lapped, strict=True))
        levels = tuple(0 if block else n.bit_length() - 1 for n, block in zip(factors, self.lapped, strict=True))
        return WaveletPacket(self.wavelet, levels, self.boundary, companded=self.companded, lapped=lapped)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Analysis.

        Args:
            x: ``[B, C, *S]``, float32 or float64, every extent a positive multiple of its F.

        Returns:
            ``[B, C*P, *G]``, same dtype.

        Raises:
            ShapeError: wrong number of axes, wrong extents, wrong dtype.
        """
        self._check(x, self.factors)
        return wavelet_packet_analysis(x, self._plan(x.shape[1], tuple(x.shape[2:]), x), self.companded)

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Synthesis, the exact inverse of :meth:`forward`: ``[B, C*P, *G] -> [B, C, *S]``."""
        self._check(y, (1,) * len(self.levels))
        if y.shape[1] % self.bands:
            raise ShapeError(f"wavelet packets: expected a multiple of {self.bands} channels, got {tuple(y.shape)}")
        extents = tuple(n * f for n, f in zip(y.shape[2:], self.factors, strict=True))
        return wavelet_packet_synthesis(y, self._plan(y.shape[1] // self.bands, extents, y), self.companded)

    def _plan(self, channels: int, extents: tuple[int, ...], like: torch.Tensor) -> PacketPlan:
        return packet_plan(
            self.wavelet, self.stages, self.rule, self.order, channels, extents, like.dtype, like.device, self.lapped
        )

    def _check(self, x: torch.Tensor, factors: tuple[int, ...]) -> None:
        if x.ndim != len(self.levels) + 2:
            raise ShapeError(f"wavelet packets: expected [B, C, *S] with {len(self.levels)} axes, got {tuple(x.shape)}")
        if x.dtype not in (torch.float32, torch.float64):
            raise ShapeError(f"wavelet packets: expected float32 or float64, got {x.dtype}; convert with .float()")
        if any(n < 1 or n % f for n, f in zip(x.shape[2:], factors, strict=True)):
            raise ShapeError(
                f"wavelet packets: expected extents that are positive multiples of {factors}, got "
                f"{tuple(x.shape[2:])}; pad with liveaction.transforms.window.pad_to_multiple"
            )


@constant_in_graphs
def packet_plan(
    wavelet: str,
    stages: tuple[tuple[int, int], ...],
    boundary: str,
    order: str,
    channels: int,
    extents: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
    lapped: tuple[int, ...] = (),
) -> PacketPlan:
    """The tables of a whole transform on the device, kept for the next call.

    Args:
        stages: (axis, levels) of packets in the order of application.
        boundary: ``symmetric``, ``periodic``, ``folded`` or, for the latter on three axes, ``folded3``.
        order: ``level`` or ``paper``.
        channels: C; ``extents`` S.
        lapped: block per axis, 0 where packets. With one, all axes are applied from the first to the last.
    """
    lapped = lapped or (0,) * len(extents)
    return _packet_plan(wavelet, stages, boundary, order, channels, extents, dtype, device, lapped)


@lru_cache(maxsize=64)
def _packet_plan(
    wavelet: str,
    stages: tuple[tuple[int, int], ...],
    boundary: str,
    order: str,
    channels: int,
    extents: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
    lapped: tuple[int, ...],
) -> PacketPlan:
    left, tables = list(extents), []
    for axis, levels in _with_blocks(stages, lapped):
        tables.append((axis, _tables(wavelet, levels, boundary, lapped[axis], left[axis], dtype, device)))
        left[axis] //= lapped[axis] or 2**levels
    per_axis = tuple(sum(levels for a, levels in stages if a == axis) for axis in range(len(extents)))
    cascade = None
    if dtype == torch.float32 and device.type == "cpu":
        alone = len(extents) == 1
        cascade = tuple(
            blocks.axis_blocks(block) if block else _axis_cascade(wavelet, levels, boundary, n, alone)
            for levels, n, block in zip(per_axis, extents, lapped, strict=True)
        )
    orders = channel_orders(channels, per_axis, stages, lapped, order, device)
    return PacketPlan(tuple(tables), *orders, cascade)


def _with_blocks(stages: tuple[tuple[int, int], ...], lapped: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """The stages of packets, and axis by axis between them those of lapped axes, with 0 levels."""
    if not any(lapped):
        return stages
    added = tuple((axis, 0) for axis, block in enumerate(lapped) if block)
    return tuple(sorted((*stages, *added), key=lambda stage: stage[0]))


@lru_cache(maxsize=64)
def _axis_cascade(wavelet: str, levels: int, boundary: str, n: int, alone: bool) -> AxisCascade:
    """All levels of an axis of ``n`` samples as sparse rows; of a window of it if there is no other axis."""
    halo = banks.support(wavelet, levels)
    if alone:
        n = min(n, padded_extents((max(LEAST_WINDOW, 12 * halo),), (2**levels,))[0])
    steps = [banks.level_pairs(wavelet, n >> level, boundary) for level in range(levels)]
    analysis, synthesis = (_joined([step[i] for step in steps], 2 - i) for i in range(2))
    return AxisCascade(levels, n, halo, boundary != "symmetric", analysis, synthesis)


def _joined(steps: list[banks.Pairs], stride: int) -> PairTable:
    """One table of all levels; ``stride`` entries lie between neighbouring rows."""
    width = max((index.shape[1] for index, _, _ in steps), default=5)
    modes: tuple[Literal["edge", "constant"], ...] = ("edge", "constant", "constant")
    padded = [
        [np.pad(part, ((0, 0), (0, width - part.shape[1])), mode) for part, mode in zip(step, modes, strict=True)]
        for step in steps
    ]
    empty = np.zeros((0, width))
    index, first, second = (np.concatenate([empty, *(step[i] for step in padded)]) for i in range(3))
    runs = np.array([_run(step, stride) for step in padded], np.int64).reshape(-1, 2)
    return PairTable(index.astype(np.int64), first.astype(np.float32), second.astype(np.float32), runs)


def _run(step: list[np.ndarray], stride: int) -> tuple[int, int]:
    """The rows around the middle one that are it, moved on: first and last, the last not included."""
    index, first, second = step
    middle = len(index) // 2
    moved = index - stride * np.arange(-middle, len(index) - middle)[:, None] == index[middle]
    near = (np.abs(first - first[middle]) < EQUAL) & (np.abs(second - second[middle]) < EQUAL)
    same = (moved & near).all(1)
    before, behind = np.flatnonzero(~same[:middle]), np.flatnonzero(~same[middle:])
    return int(before[-1]) + 1 if len(before) else 0, middle + int(behind[0]) if len(behind) else len(index)


@lru_cache(maxsize=256)
def _tables(
    wavelet: str, levels: int, boundary: str, block: int, n: int, dtype: torch.dtype, device: torch.device
) -> StageTables:
    """Tables of one stage for an axis of ``n`` samples, on the device, kept for the next call."""

    def put(table: banks.Array | None) -> torch.Tensor | None:
        with torch.inference_mode(False):  # kept for later training steps too, which refuse inference tensors
            return None if table is None else torch.tensor(table, dtype=dtype, device=device)

    bank = blocks.lapped_bank(block) if block else banks.filter_bank(wavelet, levels, boundary)
    if n < bank.shortest:
        if block:  # one block, which has no border
            return StageTables(block, matrix=put(blocks.dct(block)), inverse=put(blocks.dct(block).T))
        matrix = banks.packet_matrix(wavelet, levels, n, boundary)
        inverse = banks.packet_inverse(wavelet, levels, n, boundary)
        return StageTables(2**levels, matrix=put(matrix), inverse=put(inverse))
    return StageTables(
        block or 2**levels,
        periodic=bank.periodic,
        analysis=put(bank.analysis),
        synthesis=put(bank.synthesis),
        head=put(bank.head),
        tail=put(bank.tail),
        synthesis_head=put(bank.synthesis_head),
        synthesis_tail=put(bank.synthesis_tail),
    )


def _checked_blocks(lapped: tuple[int, ...], levels: tuple[int, ...]) -> tuple[int, ...]:
    """The block of every axis; ``()`` stands for none.

    Raises:
        SpecError: another number of axes, levels beside a block, or a block that is not taken.
    """
    lapped = lapped or (0,) * len(levels)
    if len(lapped) != len(levels) or any(block and level for block, level in zip(lapped, levels, strict=True)):
        raise SpecError(
            f"[codec] lapped: expected one block per axis, 0 where an axis has levels, got {lapped} with {levels}"
        )
    for block in lapped:
        if block and not blocks.SMALLEST <= block <= blocks.LARGEST:
            raise SpecError(
                f"[codec] lapped: expected 0 or a block of {blocks.SMALLEST} to {blocks.LARGEST} samples, got {block}"
            )
    return lapped
