"""Crops as a codec takes them: as they are, or in bases of their own."""

import torch

from liveaction.codec.codec import Codec
from liveaction.codec.own_basis import OwnBasis, fit_from


def crop_front(codec: Codec, x: torch.Tensor, step: float | None = None) -> tuple[torch.Tensor, OwnBasis | None]:
    """A crop ``[1, C, *]`` as the codec takes it, and the basis of its components ``[K, 1, *]`` where it has one.

    The basis is that of the crop, which has somewhat fewer components than one of the whole signal.

    Args:
        codec: says whether signals have bases of their own.
        x: in [-1, 1].
        step: of the quantiser; the recipe's where None.
    """
    if not codec.own:
        return x, None
    basis = fit_from([(x[0].cpu().numpy(), None)], step or codec.quantizer.step)
    return basis.analyse(x[0])[:, None], basis


def try_crop(codec: Codec, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Symbols ``[B, L, *G]`` of a crop ``[1, C, *]`` at the recipe's step, and what they decode to."""
    front, basis = crop_front(codec, x)
    symbols = codec.to_symbols(front)
    decoded = codec.decode(symbols, tuple(x.shape[2:]))
    return symbols, decoded if basis is None else basis.synthesise(decoded[:, 0])[None]
