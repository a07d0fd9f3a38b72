"""WaveletPacket: the full packet tree on any number of axes.

B batch, C channels, D axes, S extents, F = 2**J per axis, P = prod F bands, G = S/F.
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
from liveaction.transforms import wavelet as banks
from liveaction.transforms.window import padded_extents

LEAST_WINDOW = 2**14
"""Samples of a window of a signal with one axis: its buffers stay in a core's cache, and little of it is halo."""

EQUAL = 1e-9
"""Difference of two filter taps that computing them makes."""


class WaveletPacket(nn.Module):
    """Invertible N-D wavelet packet transform: ``[B, C, *S] -> [B, C*P, *G]``.

    Every axis takes J levels at once, as composite filters at stride 2**J. Channel order is level-major: the signal
    channel first, then for each level one bit per axis, the last axis most significant.

    Args:
        wavelet: a discrete wavelet of PyWavelets, orthogonal or biorthogonal.
        levels: J per axis; 0 leaves an axis alone. Its length is D.
        boundary: ``symmetric`` (for symmetric filters) or ``periodic``; both invert every extent that is a multiple
            of 2**J. ``folded`` is the published rule, which inverts only axes of at least as many samples as the
            filter has taps at every level.
        order: ``level``, or ``paper``: on three axes the published code permutes the channels after each level.
        companded: packets come and go with their range compressed; see :func:`liveaction.kernels.quantize.compand`.

    Raises:
        SpecError: unknown wavelet or boundary, a wavelet without a symmetric rule, or an order that does not apply.
    """

    def __init__(
        self,
        wavelet: str,
        levels: tuple[int, ...],
        boundary: str = "symmetric",
        order: str = "level",
        companded: bool = False,
    ) -> None:
        super().__init__()
        if boundary not in banks.BOUNDARIES:
            raise SpecError(f"[codec] boundary: expected one of {', '.join(banks.BOUNDARIES)}, got {boundary!r}")
        if boundary == "symmetric":
            banks.reflection(wavelet)
        if order not in ("level", "paper") or (order == "paper" and len(set(levels)) > 1):
            raise SpecError(
                f"[codec] packet_order: expected level, or paper with equal levels, got {order!r} with {levels}"
            )
        self.wavelet, self.levels, self.boundary, self.order = wavelet, tuple(levels), boundary, order
        self.companded = companded
        self.rule = "folded3" if boundary == "folded" and len(self.levels) == 3 else boundary
        self.factors = tuple(2**level for level in levels)
        self.bands = prod(self.factors)
        # (axis, levels) in the order of application
        self.stages = tuple(
            (a, stage) for a, level in enumerate(levels) for stage in banks.split_levels(wavelet, level)
        )

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        order = "" if self.order == "level" else f", order={self.order!r}"
        companded = ", companded=True" if self.companded else ""
        return f"{self.wavelet!r}, levels={self.levels}, boundary={self.boundary!r}{order}{companded}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Analysis.

        Args:
            x: ``[B, C, *S]``, float32 or float64, every extent a positive multiple of its 2**J.

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
        return packet_plan(self.wavelet, self.stages, self.rule, self.order, channels, extents, like.dtype, like.device)

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
) -> PacketPlan:
    """The tables of a whole transform on the device, kept for the next call.

    Args:
        stages: (axis, levels) in the order of application.
        boundary: ``symmetric``, ``periodic``, ``folded`` or, for the latter on three axes, ``folded3``.
        order: ``level`` or ``paper``.
        channels: C; ``extents`` S.
    """
    return _packet_plan(wavelet, stages, boundary, order, channels, extents, dtype, device)


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
) -> PacketPlan:
    left, tables = list(extents), []
    for axis, levels in stages:
        tables.append((axis, _tables(wavelet, levels, boundary, left[axis], dtype, device)))
        left[axis] //= 2**levels
    per_axis = tuple(sum(levels for a, levels in stages if a == axis) for axis in range(len(extents)))
    cascade = None
    if dtype == torch.float32 and device.type == "cpu":
        alone = len(extents) == 1
        pairs = zip(per_axis, extents, strict=True)
        cascade = tuple(_axis_cascade(wavelet, levels, boundary, n, alone) for levels, n in pairs)
    return PacketPlan(tuple(tables), *_channel_orders(channels, per_axis, stages, order, device), cascade)


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


@lru_cache(maxsize=64)
def _channel_orders(
    channels: int, levels: tuple[int, ...], stages: tuple[tuple[int, int], ...], order: str, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where in the order of application each of the C*P channels stands, and back; on the device, kept."""
    index = (np.arange(channels)[:, None] * 2 ** sum(levels) + _level_major(levels, stages)).reshape(-1)
    if order == "paper" and len(levels) == 3:
        index = index[_paper_order(channels, levels[0])]
    with torch.inference_mode(False):
        return torch.tensor(index, device=device), torch.tensor(np.argsort(index), device=device)


def _paper_order(channels: int, levels: int) -> np.ndarray:
    """The published order of 3-D packets: for each channel ``[C*8**J]``, its place in level-major order.

    After each level on C channels the low-pass octant is taken to be the first C channels and the other seven the
    rest, although octants are interleaved: out[8c] = y[c], out[8c + 1 + k] = y[C + 7c + k].
    """
    order = np.arange(channels)
    for _ in range(levels):
        split = (order[:, None] * 8 + np.arange(8)).reshape(-1)
        low, high = split[: len(order), None], split[len(order) :].reshape(-1, 7)
        order = np.concatenate([low, high], axis=1).reshape(-1)
    return order


def _level_major(levels: tuple[int, ...], stages: tuple[tuple[int, int], ...]) -> np.ndarray:
    """For each band in level-major order, its position in the order of application."""
    applied: list[tuple[int, int]] = []
    for axis, count in stages:
        done = sum(1 for a, _ in applied if a == axis)
        applied += [(axis, done + i) for i in range(count)]
    wanted = [
        (axis, level)
        for level in range(max(levels, default=0))
        for axis in reversed(range(len(levels)))
        if level < levels[axis]
    ]
    positions = np.arange(2 ** len(applied)).reshape((2,) * len(applied))
    return positions.transpose([applied.index(bit) for bit in wanted]).reshape(-1)


@lru_cache(maxsize=256)
def _tables(wavelet: str, levels: int, boundary: str, n: int, dtype: torch.dtype, device: torch.device) -> StageTables:
    """Tables of one stage for an axis of ``n`` samples, on the device, kept for the next call."""

    def put(table: banks.Array | None) -> torch.Tensor | None:
        with torch.inference_mode(False):  # kept for later training steps too, which refuse inference tensors
            return None if table is None else torch.tensor(table, dtype=dtype, device=device)

    bank = banks.filter_bank(wavelet, levels, boundary)
    if n < bank.shortest:
        matrix = banks.packet_matrix(wavelet, levels, n, boundary)
        inverse = banks.packet_inverse(wavelet, levels, n, boundary)
        return StageTables(2**levels, matrix=put(matrix), inverse=put(inverse))
    return StageTables(
        2**levels,
        periodic=bank.periodic,
        analysis=put(bank.analysis),
        synthesis=put(bank.synthesis),
        head=put(bank.head),
        tail=put(bank.tail),
        synthesis_head=put(bank.synthesis_head),
        synthesis_tail=put(bank.synthesis_tail),
    )
