"""Where the rows of the last axis end among the packets, compiled by Numba; and the last axis that nothing splits."""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator"

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from liveaction.kernels.lapped import AxisBlocks
from liveaction.kernels.quantize_numba import _compand, _expand
from liveaction.kernels.wavelet_packet import PacketPlan

_compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"}, error_model="numpy")


def places_of(plan: PacketPlan, channels: int, extents: Sequence[int]) -> Any:
    """What :func:`_places` takes: the channels' places, (extent, factor, rows count blocks first) per axis, C.

    Args:
        extents: of the axes but the last.
    """
    assert plan.cascade is not None
    before = zip(extents, plan.cascade, strict=False)
    axes = np.array([(n, way.factor, isinstance(way, AxisBlocks)) for n, way in before], np.int64).reshape(-1, 3)
    return plan.back.numpy(), axes, channels


@_compiled
def _places(row, places):
    """Where row (batch, channel, place on each axis but the last) begins in ``[B, C*P, *G]``, in blocks.

    An axis of levels counts (band, block), a lapped one (block, band).

    Returns:
        Batch, band among those of all axes but the last, channels counted with them, and block.
    """
    _, axes, channels = places
    block, band, scale_block, scale_band = 0, 0, 1, 1
    for axis in range(len(axes) - 1, -1, -1):
        extent, factor, blocks_first = axes[axis]
        blocks = extent // factor
        inside = row % extent
        row //= extent
        if blocks_first:
            block += (inside // factor) * scale_block
            band += (inside % factor) * scale_band
        else:
            block += (inside % blocks) * scale_block
            band += (inside // blocks) * scale_band
        scale_block *= blocks
        scale_band *= factor
    return row // channels, row % channels * scale_band + band, block


@_compiled
def _copy(rows, packets, begin, end, places, forward, companded):
    """Rows ``begin`` to ``end`` of ``[R, N]`` to places in (companded) ``packets`` ``[B, C*P, *, N]``, or back."""
    for row in range(begin, end):
        batch, band, block = _places(row, places)
        packet = packets[batch, places[0][band], block]
        if not companded:
            if forward:
                packet[:] = rows[row]
            else:
                rows[row] = packet
        elif forward:
            _compand(rows[row], packet)
        else:
            _expand(packet, rows[row])
