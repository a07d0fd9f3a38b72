"""The order of the channels that wavelet packets end in."""

from functools import lru_cache
from math import prod

import numpy as np
import torch


@lru_cache(maxsize=64)
def channel_orders(
    channels: int,
    levels: tuple[int, ...],
    stages: tuple[tuple[int, int], ...],
    lapped: tuple[int, ...],
    order: str,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where in the order of application each of the C*P channels stands, and back; on the device, kept.

    Args:
        channels: C.
        levels: J per axis; ``stages`` are (axis, levels) of packets in the order of application.
        lapped: block per axis, 0 where packets. With one, all axes are applied from the first to the last, and the
            order of application is the plan's.
        order: ``level`` or ``paper``.
    """
    if any(lapped):
        index = np.arange(channels * 2 ** sum(levels) * prod(block for block in lapped if block))
        with torch.inference_mode(False):
            return torch.tensor(index, device=device), torch.tensor(index, device=device)
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
