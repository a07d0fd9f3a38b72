"""What a network costs: multiply-accumulates for one item, and those of the encoder in front of it."""

from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from liveaction.codec.summary import summarise
from liveaction.learning.inputs import InputSpec
from liveaction.spec import Recipe


def count_macs(net: nn.Module, spec: InputSpec) -> int:
    """Multiply-accumulates of one item: of convolutions, linear layers, products of matrices and attention.

    Norms, activations and sums are not counted. The network is run once, in evaluation mode, on zeros.

    Args:
        net: takes ``[B, channels, *grid]``.
        spec: of its inputs.

    Example:
        >>> statistics = {"mean": (0,), "deviation": (1,), "least": (-4,), "most": (4,)}
        >>> table = {"channels": 1, "grid": (5,), "axes": ("t",), "factors": (1,)}
        >>> spec = InputSpec(**table, task="class", outputs=10, statistics=statistics)
        >>> count_macs(nn.Sequential(nn.Flatten(), nn.Linear(5, 3)), spec)
        15
    """
    place = next((each.device for each in net.parameters()), torch.device("cpu"))
    counter = FlopCounterMode(display=False, custom_mapping=_ON_CPU)
    modes = [(part, part.training) for part in net.modules()]
    net.eval()
    try:
        with counter, torch.no_grad():
            net(torch.zeros(1, spec.channels, *spec.grid, device=place))
    finally:
        for part, mode in modes:
            part.training = mode
    return counter.get_total_flops() // 2


def encoder_macs(recipe: Recipe, extents: tuple[int, ...]) -> int:
    """Multiply-accumulates of a recipe's encoder, its wavelets included, for one signal of these extents."""
    padded = (-(-n // factor) * factor for n, factor in zip(extents, recipe.codec.factors(recipe.axes), strict=True))
    return round(encoder_macs_per_value(recipe, extents) * prod(padded) * recipe.channels)


def encoder_macs_per_value(recipe: Recipe, extents: tuple[int, ...]) -> float:
    """As :func:`encoder_macs`, of each sample in each channel, those of padding included."""
    known = summarise(recipe, extents)
    return known.encoder_macs + known.wavelet_macs


def _attention(query: Any, key: Any, value: Any, *rest: Any, out_shape: Any = None, **named: Any) -> int:
    """Two products, of shapes ``[B, H, S, D]``; of queries with keys, and of the result with values."""
    batch, heads, queries, width = query
    keys, values = key[-2], value[-1]
    return int(2 * batch * heads * queries * keys * (width + values))


_ON_CPU = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
"""What torch's own counter does not know."""
