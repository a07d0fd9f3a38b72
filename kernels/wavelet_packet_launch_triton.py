"""Launches of the Triton wavelet packets: the passes of a whole transform, in order, with their memory."""

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import torch

from liveaction.kernels.launcher import Launch, Settings, launch
from liveaction.kernels.layout import tokens_last
from liveaction.kernels.quantize_triton import signed_power, signed_power_backward
from liveaction.kernels.wavelet_packet_tables_triton import Band, Constants, Order, band, channel_order
from liveaction.kernels.wavelet_packet_triton import merge_kernel, rows_kernel, split_kernel

_AXES = 12  # of a tile that is permuted: 2 and at most 10 binary digits, those of 64 columns and 16 bands


@dataclass(frozen=True)
class Stage:
    """One stage of a plan: its axis among ``S``, its tables, and its place in the plan."""

    place: int
    axis: int
    factor: int
    periodic: bool
    mask: int
    tables: Constants


@dataclass(frozen=True)
class Pass:
    """A stage with the sizes that it meets: samples ``[(batch, channels, rest), n, inner]``.

    ``channels`` stand before the axes in the first pass alone; later they are part of ``inner``.
    """

    stage: Stage
    batch: int
    channels: int
    rest: int
    n: int
    inner: int

    @property
    def rows(self) -> int:
        """Samples of one place on the axis, without ``inner``."""
        return self.batch * self.channels * self.rest


def split(
    x: torch.Tensor,
    tables: list[torch.Tensor],
    layout: list[int],
    adjoint: bool,
    companded: bool = False,
    at: torch.Tensor | None = None,
) -> torch.Tensor:
    """Analysis, or the adjoint of synthesis: ``[B, C, *S]`` to ``[B, C*P, *G]``, channels innermost in memory.

    Args:
        companded: compand the packets.
        at: companded packets, whose derivative of expand the result is multiplied with.
    """
    stages = _stages(tables, layout)
    passes = _passes(stages, x.shape[0], x.shape[1], list(x.shape[2:]))
    order = _order(tables, x.shape[1], stages, merge=False)
    placed = _in_last_pass(order, passes)
    kept = None if at is None else _laid(at, placed, _order(tables, x.shape[1], stages, merge=True))
    data = x.contiguous() if passes else _elementwise(tokens_last(x), kept, companded, inverse=False)
    for number, one in enumerate(passes):
        last = number == len(passes) - 1
        own = order if placed and last else None
        data = _launch(data, one, own, False, adjoint, companded and last, kept if last else None)
    tokens = data.reshape(-1, len(order.index))
    if not placed:
        tokens = tokens.index_select(1, order.index)
    extents = _packet_extents(list(x.shape[2:]), stages)
    return tokens.view(x.shape[0], *extents, len(order.index)).movedim(-1, 1)


def merge(
    y: torch.Tensor,
    tables: list[torch.Tensor],
    layout: list[int],
    adjoint: bool,
    companded: bool = False,
    at: torch.Tensor | None = None,
) -> torch.Tensor:
    """Synthesis, or the adjoint of analysis: ``[B, C*P, *G]`` to ``[B, C, *S]``, contiguous.

    Args:
        companded: ``y`` is companded.
        at: companded packets, whose derivative of compand ``y`` is multiplied with.
    """
    stages = _stages(tables, layout)
    channels = y.shape[1] // prod(stage.factor for stage in stages)
    extents = _sample_extents(list(y.shape[2:]), stages)
    passes = _passes(stages, y.shape[0], channels, extents)
    order = _order(tables, channels, stages, merge=True)
    placed = _in_last_pass(order, passes)
    data, kept = _laid(y, placed, order), None if at is None else _laid(at, placed, order)
    for number, one in reversed(list(enumerate(passes))):
        first = number == len(passes) - 1
        own = order if placed and first else None
        data = _launch(data, one, own, True, adjoint, companded and first, kept if first else None)
    if not passes:
        data = _elementwise(data, kept, companded, inverse=True)
        return data.view(y.shape[0], *extents, channels).movedim(-1, 1).contiguous()
    return data.view(y.shape[0], channels, *extents)


def _laid(packets: torch.Tensor, placed: bool, order: Order) -> torch.Tensor:
    """Packets as the pass that holds them lays them: tokens of channels in the plan's order or the passes' own."""
    tokens = tokens_last(packets)
    return tokens if placed else tokens.index_select(1, order.index)


def _elementwise(data: torch.Tensor, at: torch.Tensor | None, companded: bool, inverse: bool) -> torch.Tensor:
    """What the pass that holds the packets does beside its product, for a plan of no passes."""
    if at is not None:
        return signed_power_backward(data, at, not inverse)
    return signed_power(data, inverse) if companded else data


def _stages(tables: list[torch.Tensor], layout: list[int]) -> list[Stage]:
    """The stages in the order of the passes of an analysis: the last axis first."""
    rest = iter(tables)
    stages = []
    for place, start in enumerate(range(0, len(layout), 4)):
        axis, factor, periodic, mask = layout[start : start + 4]
        own = Constants(*(next(rest) for _ in range(mask.bit_count())))
        stages.append(Stage(place, axis, factor, bool(periodic), mask, own))
    return sorted(stages, key=lambda stage: -stage.axis)


def _passes(stages: list[Stage], batch: int, channels: int, extents: list[int]) -> list[Pass]:
    extents = list(extents)
    passes: list[Pass] = []
    width = 1  # channels behind the axes
    for stage in stages:
        leading = 1 if passes else channels
        inner = prod(extents[stage.axis + 1 :]) * width
        passes.append(Pass(stage, batch, leading, prod(extents[: stage.axis]), extents[stage.axis], inner))
        extents[stage.axis] //= stage.factor
        width *= leading * stage.factor
    return passes


def _sample_extents(extents: list[int], stages: list[Stage]) -> list[int]:
    for stage in stages:
        extents[stage.axis] *= stage.factor
    return extents


def _packet_extents(extents: list[int], stages: list[Stage]) -> list[int]:
    for stage in stages:
        extents[stage.axis] //= stage.factor
    return extents


def _order(tables: list[torch.Tensor], channels: int, stages: list[Stage], merge: bool) -> Order:
    """The plan's order; its tensor comes behind all tables."""
    return channel_order(Constants(tables[-1]), channels, tuple((s.place, s.factor) for s in stages), merge)


def _in_last_pass(order: Order, passes: list[Pass]) -> bool:
    """Whether the last pass of an analysis stores the plan's order by itself; else the channels are picked after it."""
    if order.bits is None or not passes:
        return False
    return not order.bits or (len(passes) > 1 and 1 << len(order.bits) <= 64 * passes[-1].stage.factor)


def _launch(
    data: torch.Tensor,
    one: Pass,
    order: Order | None,
    merge: bool,
    adjoint: bool,
    companded: bool = False,
    at: torch.Tensor | None = None,
) -> torch.Tensor:
    """One pass; ``data`` is contiguous, so is the result, and both have the same number of elements.

    ``companded`` and ``at`` as in :func:`split` and :func:`merge`; the latter lies in memory as the packets do.
    """
    result = torch.empty(data.numel(), dtype=data.dtype, device=data.device)
    if not data.numel():
        return result
    stage = one.stage
    axis = band(stage.tables, stage.mask, stage.factor, stage.periodic, one.n, merge, adjoint)
    bits = (order.bits if order else ()) or ()
    flags = {"COMPANDED": companded, "SLOPE": at is not None}
    tensors = {"x_ptr": data, "high_ptr": axis.high, "low_ptr": axis.low, "y_ptr": result}
    tensors["c_ptr"] = result if at is None else at

    def describe(chosen: Settings) -> list[Launch]:
        described = _along_rows if one.inner == 1 else _along_tiles
        return [described(chosen, one, axis, bits, merge, tensors, _constants(axis, stage.factor) | flags)]

    kind = "rows" if one.inner == 1 else "merge" if merge else "split"
    launch(
        f"wavelet_packet_{kind}",
        f"{axis.tile}x{axis.window} /{stage.factor}",
        data.device,
        {"BLOCK": _block(axis.tile, one.inner), "STEP": axis.step, "num_warps": 4, "num_stages": 2},
        {"BLOCK": 16},
        describe,
    )
    return result


def _along_rows(
    chosen: Settings,
    one: Pass,
    axis: Band,
    bits: tuple[int, ...],
    merge: bool,
    tensors: dict[str, torch.Tensor],
    constants: dict[str, Any],
) -> Launch:
    """The pass along the innermost axis, which moves no channels."""
    block = chosen["BLOCK"]
    windows = one.rows * (axis.tiles - axis.edges)
    programs = axis.edges * -(-one.rows // block) + -(-windows // block)
    given = {**tensors, **_integers(one, axis), "rows": one.rows}
    constants = {**constants, "BLOCK": block, "STEP": chosen["STEP"], "MERGE": merge}
    return Launch(rows_kernel, (programs,), given, constants, chosen["num_warps"], chosen["num_stages"])


def _along_tiles(
    chosen: Settings,
    one: Pass,
    axis: Band,
    bits: tuple[int, ...],
    merge: bool,
    tensors: dict[str, torch.Tensor],
    constants: dict[str, Any],
) -> Launch:
    """A pass along another axis; a tile holds all channels that it permutes."""
    factor = one.stage.factor
    block = max(chosen["BLOCK"], (1 << len(bits)) // factor)
    digits, axes = _digits(bits, block, factor, chosen["STEP"] if merge else axis.tile)
    vector = 4 if one.inner % 4 == 0 else 2 if one.inner % 2 == 0 else 1
    programs = one.rows * axis.tiles * -(-one.inner // block)
    given = {**tensors, **_integers(one, axis), "vectors": one.inner // vector}
    constants = {**constants, "BLOCK": block, "STEP": chosen["STEP"], "VECTOR": vector, "DIGITS": digits, "AXES": axes}
    kernel = merge_kernel if merge else split_kernel
    return Launch(kernel, (programs,), given, constants, chosen["num_warps"], chosen["num_stages"])


def _integers(one: Pass, axis: Band) -> dict[str, int]:
    sizes = {"blocks": one.n // one.stage.factor, "channels": one.channels, "rest": one.rest}
    return sizes | {"heads": axis.heads, "edges": axis.edges, "tiles": axis.tiles, "exponent": axis.exponent}


def _constants(axis: Band, factor: int) -> dict[str, Any]:
    return {
        "FACTOR": factor,
        "TILE": axis.tile,
        "WINDOW": axis.window,
        "PAD": axis.pad,
        "SHIFT": axis.shift,
        "PERIODIC": axis.periodic,
        "enable_fp_fusion": True,
    }


def _block(tile: int, inner: int) -> int:
    """Windows that a program takes: 64 beside a tile of 64, more beside a smaller one, fewer where there are fewer."""
    most = 64 if tile == 64 else 128
    return most if inner == 1 else min(most, max(16, 1 << (inner - 1).bit_length()))


def _digits(
    bits: tuple[int, ...], block: int, factor: int, numbers: int
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """A tile's packets as a shape, and how its axes are permuted; neighbours that stay so are one axis.

    Args:
        bits: see :class:`Order`.
        numbers: how many (block, band) there are; ``block`` columns of each.
    """
    if not bits:
        return None, None
    runs = [[bits[0]]]
    for before, bit in pairwise(bits):
        if bit == before + 1:
            runs[-1].append(bit)
        else:
            runs.append([bit])
    given = sorted(runs)
    shape = (numbers // factor, block * factor >> len(bits), *(1 << len(run) for run in given))
    axes = (0, 1, *(2 + given.index(run) for run in runs))
    return shape + (1,) * (_AXES - len(shape)), axes + tuple(range(len(axes), _AXES))
