"""Flips of a signal that are flips of its latents, with one sign per latent channel.

Of an even-length (anti)symmetric wavelet every packet of the mirrored signal is the mirrored packet, or its negative.
Where every row of a linear encoder takes packets of one kind alone, the same holds of its latents.
"""

import torch

from liveaction.codec.codec import Codec
from liveaction.nn.band_rotation import BandRotation
from liveaction.nn.monarch import Dense, Monarch

_EQUAL = 1e-9
"""Of packets in float64, relative to the largest."""


def packet_signs(codec: Codec, axis: int) -> torch.Tensor | None:
    """The sign that each packet takes where the signal is mirrored along an axis, by trying it.

    Args:
        codec: whose packets they are.
        axis: 0 to D - 1.

    Returns:
        int8 ``[E]`` of 1 and -1, or None where mirroring is more than signs, as of wavelets of odd length. It holds of
        extents that are multiples of the factor: what is padded at one end is not padded at the other.
    """
    factor, reach = codec.packets.factors[axis], codec.packets.reaches[axis]
    signs = None
    for tokens in (1, 2, 2 * -(-reach // factor) + 5):  # the shortest axes have tables of their own
        found = _signs_of(codec, axis, tokens)
        if found is None or not (signs is None or torch.equal(signs, found)):
            return None
        signs = found
    return signs


def _signs_of(codec: Codec, axis: int, tokens: int) -> torch.Tensor | None:
    """:func:`packet_signs` of a signal of so many tokens along the axis, and of one along the others."""
    extents = list(codec.packets.factors)
    extents[axis] *= tokens
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, codec.channels, *extents, dtype=torch.float64, generator=generator).to(codec.device)
    with torch.no_grad():
        v, mirrored = codec.packets(x)[0], codec.packets(x.flip(axis + 2))[0]
    v, mirrored = v.flip(axis + 1).flatten(1), mirrored.flatten(1)
    signs = torch.where((v * mirrored).sum(1) < 0, -1, 1).to(torch.int8)
    if (v * signs[:, None] - mirrored).abs().max() > _EQUAL * v.abs().max():
        return None
    return signs.cpu()


def flip_signs(codec: Codec, axis: int) -> torch.Tensor | None:
    """The sign that each latent channel takes while the grid is mirrored, where the signal is mirrored along an axis.

    The model's weights decide, not its recipe. Exact for extents that are multiples of the factor, up to the rounding
    of float32 sums: a latent next to the border of two symbols may become the other.

    Args:
        codec: of a linear encoder, or a sparse one without a predict step; with its first tree.
        axis: 0 to D - 1.

    Returns:
        int8 ``[L]`` of 1 and -1, or None where a flip of the signal is no flip of the latents.
    """
    if codec.predictor is not None or len(codec.encoder.blocks) or codec.spec.compand:
        return None
    signs, down = packet_signs(codec, axis), codec.encoder.down
    if signs is None:
        return None
    if isinstance(down, BandRotation):
        apart = signs.unflatten(0, (codec.channels, codec.packets.bands))
        return signs[down.order.cpu()] if bool((apart == apart[:1]).all()) else None
    assert isinstance(down, Dense | Monarch)
    weight = (down.weight if isinstance(down, Dense) else down.dense()).detach().cpu()
    even, odd = (_without(weight, signs == sign) for sign in (-1, 1))  # no packet of the other kind
    none = torch.zeros(len(weight)) if down.bias is None else down.bias.detach().cpu()
    if not bool((even | (odd & (none == 0))).all()):
        return None
    return torch.where(even, 1, -1).to(torch.int8)


def _without(weight: torch.Tensor, packets: torch.Tensor) -> torch.Tensor:
    """Which rows ``[L]`` of a projection ``[L, E]`` take nothing of some packets ``[E]``."""
    return (weight[:, packets] == 0).all(1)
