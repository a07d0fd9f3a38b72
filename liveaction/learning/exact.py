"""Which augmentations of a signal are exact on a model's latents."""

import torch

from liveaction.codec.codec import Codec
from liveaction.codec.flips import flip_signs
from liveaction.codec.model import Model
from liveaction.learning.inputs import Exact, Sign
from liveaction.spec import Percentiles


def exact_of(model: Model) -> Exact:
    """What the weights of a model keep of changes of its signals, before latents are rounded.

    Nothing where every signal has a basis of its own, or one of several trees: latents of two signals have little in
    common then. Not linear where each signal is scaled by percentiles of its own: a gain changes no latents there.
    Values beyond the range are clipped before they become latents, which no latent tells.

    Args:
        model: as ``liveaction.load`` gives it.
    """
    codec = model.codec
    if codec.own or len(codec.trees) > 1:
        return Exact()
    linear = _is_linear(codec) and not isinstance(model.recipe.modality.range, Percentiles)
    signs = {name: flip_signs(codec, axis) for axis, name in enumerate(model.recipe.modality.axes)}
    pairs = zip(codec.packets.reaches, codec.packets.factors, strict=True)
    return Exact(
        linear=linear,
        zero=_zero(model) if linear else (),
        one=_one(model) if linear else (),
        flips={name: _listed(found) for name, found in signs.items() if found is not None},
        reach=tuple(-(-reach // factor) for reach, factor in pairs) if codec.encoder.tokenwise else (),
    )


def _is_linear(codec: Codec) -> bool:
    """Whether nothing but one projection makes latents of packets, and nothing bends them."""
    return not (len(codec.encoder.blocks) or codec.spec.compand) and codec.spec.quantizer.kind == "uniform"


def _zero(model: Model) -> tuple[float, ...]:
    """The latents ``[L]`` of a signal that is 0 in the unit; a native range of unsigned integers begins there."""
    codec, limits = model.codec, model.recipe.modality.range
    value = -1.0 - 2.0 * limits[0] / (limits[1] - limits[0]) if isinstance(limits, tuple) else -1.0
    with torch.no_grad():
        x = torch.full((1, codec.channels, *codec.packets.factors), value, device=codec.device)
        return tuple(codec.encode(x)[0].flatten().tolist())


def _one(model: Model) -> tuple[float, ...]:
    """What 1 more in the unit adds to each latent channel; nothing where every file has a range of its own."""
    codec, limits = model.codec, model.recipe.modality.range
    if not isinstance(limits, tuple):
        return ()
    with torch.no_grad():
        x = torch.zeros((1, codec.channels, *codec.packets.factors), device=codec.device)
        more = codec.encode(x + 2.0 / (limits[1] - limits[0])) - codec.encode(x)
        return tuple(more[0].flatten().tolist())


def _listed(signs: torch.Tensor) -> tuple[Sign, ...]:
    return tuple(1 if sign > 0 else -1 for sign in signs.tolist())
