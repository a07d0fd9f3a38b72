"""Latents to the symbols of a chunk, by what its tables make symbols cost."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.entropy import Tables, Trace, check_shapes, next_magnitudes
from liveaction.coding.layout import LARGEST, Magnitudes, bins, class_scales, plane
from liveaction.coding.tables import EntropyTables
from liveaction.errors import FormatError

WEIGHT = 0.12
"""Squares of the step that a bit is worth. At a high rate the error of a uniform quantiser is step**2 / 12 and falls to
a fourth with every bit: its slope is 2 ln 2 / 12 = 0.1155. By trial, of squares and bits weighed so: choosing by
0.105 gives 0.5 % less to 0.1 % more, by 0.135 up to 0.5 % more; the sparser, the more."""
DEAD_ZONE = 0.2
"""Latents are drawn so much towards 0 by :func:`dead_zone`, about as the choice by costs draws them."""
Latents = Sequence[NDArray[np.float32]]
"""Parts ``[L_i, *c_i]`` of a chunk, coarse to fine, in units of the quantiser's step."""


def dead_zone(latents: Latents) -> list[NDArray[np.int32]]:
    """Symbols of a chunk without any tables: sizes less :data:`DEAD_ZONE`, rounded."""
    sizes = ((np.maximum(np.abs(part) + np.float32(0.5 - DEAD_ZONE), 0)).astype(np.int32) for part in latents)
    return [np.where(part < 0, -size, size) for part, size in zip(latents, sizes, strict=True)]


def optimise_trace(
    latents: Latents, tables: Tables, weight: float = WEIGHT
) -> tuple[list[NDArray[np.int32]], list[Trace]]:
    """Symbols of a chunk, each the one of least squared error and ``weight`` times its bits, and what they consist of.

    Args:
        latents: parts ``[L_i, *c_i]``, coarse to fine, in units of the quantiser's step.
        tables: of each part.
        weight: squared steps that a bit is worth; 0 rounds to nearest.

    Raises:
        FormatError: see :func:`~liveaction.coding.entropy.trace_chunk`; or a latent is not finite.
    """
    shapes = [part.shape for part in latents]
    check_shapes(shapes, tables, "latents")
    symbols: list[NDArray[np.int32]] = []
    found: list[Trace] = []
    for part, table in zip(latents, tables, strict=True):
        near = next_magnitudes(found[-1].magnitudes if found else None, shapes, len(found))
        made, trace = optimise_part(part, table, near, weight)
        symbols.append(made)
        found.append(trace)
    return symbols, found


def optimise_part(
    part: NDArray[np.float32], table: EntropyTables, near: Magnitudes, weight: float
) -> tuple[NDArray[np.int32], Trace]:
    """:func:`optimise_trace` of a part ``[L, *c]``, with room for its magnitudes from ``next_magnitudes``.

    Raises:
        FormatError: a latent is too large or not finite.
    """
    from liveaction.coding.rdo_numba import optimise

    flat = flat_latents(part)
    heads = np.zeros(len(flat), np.int32), np.zeros(len(flat), np.int32), np.zeros(len(flat), np.int32)
    contexts, values = np.empty(flat.size, np.uint16), np.empty(flat.size, np.uint32)
    at, made = plane(part.shape[1:]), np.empty(flat.shape, np.int32)
    count = optimise(
        flat, made, at, table.context, class_scales(), bins(), table.class_offset.astype(np.int64), table.costs,
        float(weight), near, heads, contexts, values,
    )  # fmt: skip
    return made.reshape(part.shape), Trace(*heads, contexts[:count], values[:count], near)


def flat_latents(part: NDArray[np.float32]) -> NDArray[np.float32]:
    """A part ``[L, *c]`` of any strides as ``[L, N]``, of which symbols may be chosen.

    Raises:
        FormatError: a latent is too large or not finite.
    """
    flat = np.require(part, np.float32, ["C"]).reshape(len(part), -1)
    largest = largest_size(flat)
    if not largest < LARGEST - 1:  # not a number is not less, either
        raise FormatError(f"latents: expected sizes below 2**24, got {largest}; take a greater quantiser step")
    return flat


def largest_size(part: NDArray[np.float32]) -> float:
    """The largest size in a contiguous part; not a number where one is not."""
    from liveaction.coding.rdo_numba import peak

    return float(np.int32(peak(part.reshape(-1).view(np.int32))).view(np.float32))
