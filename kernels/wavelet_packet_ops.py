"""Wavelet packets as custom operations of torch, on Triton kernels.

Each direction and each adjoint is one operation on all axes, linear in the tensor where nothing is companded; the
gradient of each is the other's. Companding and its derivative belong to the pass that holds the packets: the gradient
keeps the companded packets alone. Tables have no gradient and must never change in place, as what is made of them is
kept.
"""

from math import prod
from typing import Any

import torch

from liveaction.kernels.wavelet_packet import PacketPlan

FIELDS = ("analysis", "synthesis", "head", "tail", "synthesis_head", "synthesis_tail", "matrix", "inverse")
LARGEST_FACTOR = 16
LONGEST_MATRIX = 4096


def analysis(x: torch.Tensor, plan: PacketPlan, companded: bool = False) -> torch.Tensor:
    """``[B, C, *S]`` float32 to packets ``[B, C*P, *G]``, channels innermost in memory."""
    y: torch.Tensor = torch.ops.liveaction.wavelet_packet_analysis(x, *flat(plan), companded)
    return y


def synthesis(y: torch.Tensor, plan: PacketPlan, companded: bool = False) -> torch.Tensor:
    """``[B, C*P, *G]`` float32 back to ``[B, C, *S]``, contiguous; reads channels-innermost memory without a copy."""
    x: torch.Tensor = torch.ops.liveaction.wavelet_packet_synthesis(y, *flat(plan), companded)
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


def flat(plan: PacketPlan) -> tuple[list[torch.Tensor], list[int]]:
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
def _analysis(x: torch.Tensor, tables: list[torch.Tensor], layout: list[int], companded: bool) -> torch.Tensor:
    from liveaction.kernels import wavelet_packet_launch_triton

    return wavelet_packet_launch_triton.split(x, tables, layout, False, companded)


@torch.library.custom_op("liveaction::wavelet_packet_analysis_backward", mutates_args=())
def _analysis_backward(
    dy: torch.Tensor, tables: list[torch.Tensor], layout: list[int], at: torch.Tensor | None
) -> torch.Tensor:
    from liveaction.kernels import wavelet_packet_launch_triton

    return wavelet_packet_launch_triton.merge(dy, tables, layout, True, at=at)


@torch.library.custom_op("liveaction::wavelet_packet_synthesis", mutates_args=())
def _synthesis(y: torch.Tensor, tables: list[torch.Tensor], layout: list[int], companded: bool) -> torch.Tensor:
    from liveaction.kernels import wavelet_packet_launch_triton

    return wavelet_packet_launch_triton.merge(y, tables, layout, False, companded)


@torch.library.custom_op("liveaction::wavelet_packet_synthesis_backward", mutates_args=())
def _synthesis_backward(
    dx: torch.Tensor, tables: list[torch.Tensor], layout: list[int], at: torch.Tensor | None
) -> torch.Tensor:
    from liveaction.kernels import wavelet_packet_launch_triton

    return wavelet_packet_launch_triton.split(dx, tables, layout, True, at=at)


def _register(op: Any, adjoint: str, split: bool) -> None:
    """Shapes without memory, and the gradient of a direction, which is its adjoint's."""

    def fake(x: torch.Tensor, tables: list[torch.Tensor], layout: list[int], companded: bool) -> torch.Tensor:
        return _split_fake(x, layout) if split else _merge_fake(x, layout)

    def save(ctx: Any, inputs: tuple[torch.Tensor, list[torch.Tensor], list[int], bool], output: torch.Tensor) -> None:
        x, tables, ctx.layout, companded = inputs
        ctx.save_for_backward((output if split else x) if companded else None, *tables)

    def gradient(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor, list[None], list[None] | None, None]:
        at, *tables = ctx.saved_tensors
        dx = getattr(torch.ops.liveaction, adjoint)(dy, tables, ctx.layout, at)
        return dx, *_no_gradients(tables, ctx.layout), None

    op.register_fake(fake)
    op.register_autograd(gradient, setup_context=save)


def _register_adjoint(op: Any, direction: str, split: bool) -> None:
    """Shapes without memory, and the gradient of an adjoint, which is its direction's; none where packets compand."""

    def fake(dy: torch.Tensor, tables: list[torch.Tensor], layout: list[int], at: torch.Tensor | None) -> torch.Tensor:
        return _split_fake(dy, layout) if split else _merge_fake(dy, layout)

    def save(
        ctx: Any, inputs: tuple[torch.Tensor, list[torch.Tensor], list[int], torch.Tensor | None], output: torch.Tensor
    ) -> None:
        _, tables, ctx.layout, at = inputs
        ctx.linear = at is None
        ctx.save_for_backward(*tables)

    def gradient(ctx: Any, dx: torch.Tensor) -> tuple[torch.Tensor, list[None], list[None] | None, None]:
        if not ctx.linear:
            raise NotImplementedError("wavelet packets: companded ones have no second derivative")
        tables = list(ctx.saved_tensors)
        dy = getattr(torch.ops.liveaction, direction)(dx, tables, ctx.layout, False)
        return dy, *_no_gradients(tables, ctx.layout), None

    op.register_fake(fake)
    op.register_autograd(gradient, setup_context=save)


def _no_gradients(tables: list[torch.Tensor], layout: list[int]) -> tuple[list[None], list[None] | None]:
    """Of tables and layout; torch counts an empty list as no leaf."""
    return [None] * len(tables), None if layout else []


_register(_analysis, "wavelet_packet_analysis_backward", split=True)
_register(_synthesis, "wavelet_packet_synthesis_backward", split=False)
_register_adjoint(_analysis_backward, "wavelet_packet_analysis", split=False)
_register_adjoint(_synthesis_backward, "wavelet_packet_synthesis", split=True)
