"""Wavelet packets as custom operations of torch, on Triton kernels.

Each direction and each adjoint is one operation on all axes. All are linear in the tensor, whose gradient is the
adjoint's; tables have none and must never change in place, as what is made of them is kept.
"""

from math import prod
from typing import Any

import torch

from liveaction.kernels.wavelet_packet import PacketPlan

FIELDS = ("analysis", "synthesis", "head", "tail", "synthesis_head", "synthesis_tail", "matrix", "inverse")
LARGEST_FACTOR = 16
LONGEST_MATRIX = 4096


def analysis(x: torch.Tensor, plan: PacketPlan) -> torch.Tensor:
    """``[B, C, *S]`` float32 to packets ``[B, C*P, *G]``, channels innermost in memory."""
    y: torch.Tensor = torch.ops.liveaction.wavelet_packet_analysis(x, *_flat(plan))
    return y


def synthesis(y: torch.Tensor, plan: PacketPlan) -> torch.Tensor:
    """``[B, C*P, *G]`` float32 back to ``[B, C, *S]``, contiguous; reads channels-innermost memory without a copy."""
    x: torch.Tensor = torch.ops.liveaction.wavelet_packet_synthesis(y, *_flat(plan))
    return x


def refused(x: torch.Tensor, plan: PacketPlan) -> str:
    """Why the Triton kernels cannot take these; empty where they can."""
    if x.dtype != torch.float32:
        return f"it takes float32, not {x.dtype}"
    for _, tables in plan.stages:
        if tables.factor > LARGEST_FACTOR or tables.factor & (tables.factor - 1):
            return f"a stage has a factor of 2, 4, 8 or {LARGEST_FACTOR}, not {tables.factor}"
        if tables.matrix is not None and len(tables.matrix) > LONGEST_MATRIX:
            return f"an axis with a whole matrix has at most {LONGEST_MATRIX} samples, not {len(tables.matrix)}"
    return ""


def _flat(plan: PacketPlan) -> tuple[list[torch.Tensor], list[int]]:
    """Tables of all stages with the plan's order behind them; (axis, factor, periodic, tables there) of each stage."""
    tables: list[torch.Tensor] = []
    layout: list[int] = []
    for axis, stage in plan.stages:
        found = [getattr(stage, name) for name in FIELDS]
        tables += [table for table in found if table is not None]
        mask = sum(1 << i for i, table in enumerate(found) if table is not None)
        layout += [axis, stage.factor, int(stage.periodic), mask]
    return [*tables, plan.order], layout


def _split_fake(x: torch.Tensor, layout: list[int]) -> torch.Tensor:
    extents = list(x.shape[2:])
    for axis, factor in zip(layout[::4], layout[1::4], strict=True):
        extents[axis] = extents[axis] // factor
    return x.new_empty(x.shape[0], *extents, x.shape[1] * prod(layout[1::4])).movedim(-1, 1)


def _merge_fake(y: torch.Tensor, layout: list[int]) -> torch.Tensor:
    extents = list(y.shape[2:])
    for axis, factor in zip(layout[::4], layout[1::4], strict=True):
        extents[axis] = extents[axis] * factor
    return y.new_empty(y.shape[0], y.shape[1] // prod(layout[1::4]), *extents)


@torch.library.custom_op("liveaction::wavelet_packet_analysis", mutates_args=())
def _analysis(x: torch.Tensor, tables: list[torch.Tensor], layout: list[int]) -> torch.Tensor:
    from liveaction.kernels import wavelet_packet_launch_triton

    return wavelet_packet_launch_triton.split(x, tables, layout, adjoint=False)


@torch.library.custom_op("liveaction::wavelet_packet_analysis_backward", mutates_args=())
def _analysis_backward(dy: torch.Tensor, tables: list[torch.Tensor], layout: list[int]) -> torch.Tensor:
    from liveaction.kernels import wavelet_packet_launch_triton

    return wavelet_packet_launch_triton.merge(dy, tables, layout, adjoint=True)


@torch.library.custom_op("liveaction::wavelet_packet_synthesis", mutates_args=())
def _synthesis(y: torch.Tensor, tables: list[torch.Tensor], layout: list[int]) -> torch.Tensor:
    from liveaction.kernels import wavelet_packet_launch_triton

    return wavelet_packet_launch_triton.merge(y, tables, layout, adjoint=False)


@torch.library.custom_op("liveaction::wavelet_packet_synthesis_backward", mutates_args=())
def _synthesis_backward(dx: torch.Tensor, tables: list[torch.Tensor], layout: list[int]) -> torch.Tensor:
    from liveaction.kernels import wavelet_packet_launch_triton

    return wavelet_packet_launch_triton.split(dx, tables, layout, adjoint=True)


def _register(op: Any, adjoint: str, split: bool) -> None:
    """Shapes without memory, and the gradient, which is the adjoint's."""

    def fake(x: torch.Tensor, tables: list[torch.Tensor], layout: list[int]) -> torch.Tensor:
        return _split_fake(x, layout) if split else _merge_fake(x, layout)

    def save(ctx: Any, inputs: tuple[torch.Tensor, list[torch.Tensor], list[int]], output: torch.Tensor) -> None:
        ctx.layout = inputs[2]
        ctx.save_for_backward(*inputs[1])

    def gradient(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor, list[None], list[None] | None]:
        tables = list(ctx.saved_tensors)
        dx = getattr(torch.ops.liveaction, adjoint)(dy, tables, ctx.layout)
        return dx, [None] * len(tables), None if ctx.layout else []  # torch counts an empty list as no leaf

    op.register_fake(fake)
    op.register_autograd(gradient, setup_context=save)


_register(_analysis, "wavelet_packet_analysis_backward", split=True)
_register(_analysis_backward, "wavelet_packet_analysis", split=False)
_register(_synthesis, "wavelet_packet_synthesis_backward", split=False)
_register(_synthesis_backward, "wavelet_packet_synthesis", split=True)
