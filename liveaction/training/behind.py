"""Training of networks behind sparse latents: encoder and tables stay as they are, so streams do, too.

A crop is coded and decoded as ``compress`` would, at a step of its own between the coarsest and the finest quality, in
a basis of its own where the codec has them, by the tree that costs it least. That tree's network learns to take the
decoded latents towards those that were coded, in steps of the quantiser. The transforms are orthonormal, or nearly, so
that squared errors of latents are those of samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log10

import numpy as np
import torch
from torch import nn

from liveaction.codec.codec import Codec, Whole
from liveaction.codec.grid import slices
from liveaction.codec.own_basis import OwnBasis
from liveaction.codec.quality import QUALITIES
from liveaction.codec.tree_choice import choose_tree
from liveaction.training.data import Crops
from liveaction.training.front import crop_front
from liveaction.training.seeds import CropWord

LEAST = 1e-3
"""Squared steps a latent that count as no error: a hundredth of what rounding leaves, so that a batch of air, of which
nothing is left to learn, has no more weight than others."""
MEASURED = 32
"""Crops that gains are fitted to."""


@dataclass(frozen=True)
class Coded:
    """A crop there and back.

    Attributes:
        tree: number of the tree that codes it.
        step: of the quantiser.
        true, decoded: its latents before and after, in steps, ``[K, L, *G]``; K of an own basis, else 1.
        basis: its own one, or None.
        bits: that it took.
    """

    tree: int
    step: float
    true: torch.Tensor
    decoded: torch.Tensor
    basis: OwnBasis | None
    bits: int


def is_behind(codec: Codec) -> bool:
    """Whether a codec has networks behind sparse latents, which alone learn."""
    return any(tree.decoder.correction is not None for tree in codec.trees)


def only_behind(codec: Codec) -> None:
    """Let nothing learn but the networks behind, in place."""
    codec.requires_grad_(False)
    for tree in codec.trees:
        assert tree.decoder.correction is not None
        tree.decoder.correction.requires_grad_(True)


def code_crop(codec: Codec, x: torch.Tensor, step: float) -> Coded:
    """A crop ``[1, C, *S]`` coded and decoded at a step, by the tables that the codec has."""
    front, basis = crop_front(codec, x, step)
    number = choose_tree(codec, Whole(front), step)
    tree = codec.trees[number]
    with torch.no_grad():
        true = tree.encode(front)
    latents = true.flatten(0, 1).cpu().numpy()
    decoded, bits, layout = np.zeros_like(latents), 0, tree.layout(tuple(x.shape[2:]))
    for chunk in range(layout.chunks):
        box = (slice(None), *slices(layout.chunk_box(chunk)))
        part = np.ascontiguousarray(latents[box])
        data = tree.chunks.encode(part, step)
        decoded[box] = tree.chunks.decode(data, len(true), part.shape[1:], step, "training")
        bits += 8 * len(data)
    back = torch.from_numpy(decoded).unflatten(0, (len(true), tree.latents)).to(x.device)
    return Coded(number, step, true / step, back / step, basis, bits)


def decode_crop(codec: Codec, coded: Coded, extents: tuple[int, ...]) -> torch.Tensor:
    """The samples ``[1, C, *extents]`` that a decoder makes of a coded crop."""
    with torch.no_grad():
        x = codec.trees[coded.tree].synthesise(coded.decoded * coded.step, extents, coded.step)
        return x if coded.basis is None else coded.basis.synthesise(x[:, 0])[None]


def drawn_step(usual: float, key: Sequence[int]) -> float:
    """A step for a key, uniform in its logarithm from half a quality beyond the coarsest to half beyond the finest."""
    ends = np.log2(list(QUALITIES.values()))
    return float(usual * 2 ** np.random.default_rng(list(key)).uniform(ends.min() - 0.5, ends.max() + 0.5))


class Behind(nn.Module):
    """The networks of a codec's trees, for what wraps modules for many processes."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        found = [tree.decoder.correction for tree in codec.trees]
        self.corrections = nn.ModuleList(each for each in found if each is not None)

    def forward(self, crops: Sequence[Coded], every: bool = False) -> torch.Tensor:
        """The loss: log10 of the share of the squared errors, in squared steps, that is left.

        Args:
            crops: as :func:`code_crop` gives them.
            every: give every parameter a gradient, if of zeros, as several processes must; so it is without a latent.
        """
        left = before = torch.tensor(LEAST)
        for coded in crops:
            error = coded.true - coded.decoded
            least = LEAST * error.numel()
            left = left + (error - self.corrections[coded.tree].residual(coded.decoded)).square().sum() + least
            before = before + error.square().sum() + least
        if every or not left.requires_grad:
            left = left + sum(0.0 * parameter.sum() for parameter in self.parameters())
        loss: torch.Tensor = torch.log10(left / before)
        return loss


@torch.no_grad()
def fit_gains(codec: Codec, crops: Crops, extents: tuple[int, ...], seed: int, stage: Callable[[str], None]) -> None:
    """Give every network, at every quality, as much weight as leaves least squared error on training data; in place.

    Between 0 and 1, so that no network makes worse what it was measured on; 0 where a tree codes nothing of it.

    Args:
        codec: trained.
        crops: what to draw from; ``extents`` of a crop.
        seed: of the draw.
        stage: is told what the networks add at each quality.
    """
    count = len(QUALITIES)
    sums = torch.zeros(len(codec.trees), count, 3, dtype=torch.float64)  # error, residual, and residual times error
    for number in range(MEASURED):
        x = crops.batch([(CropWord.GAINS, seed, number)], extents).x.to(codec.device)
        for place, factor in enumerate(QUALITIES.values()):
            coded = code_crop(codec, x, codec.quantizer.step * factor)
            correction = codec.trees[coded.tree].decoder.correction
            if correction is None or not coded.true.numel():
                continue
            error, residual = coded.true - coded.decoded, correction.residual(coded.decoded)
            products = error.square().sum(), residual.square().sum(), (residual * error).sum()
            sums[coded.tree, place] += torch.stack(products).double().cpu()
    error, energy, shared = sums.unbind(2)
    gains = torch.where(energy > 0, (shared / energy.clamp(min=1e-30)).clamp(0, 1), 0.0)
    for tree, gain in zip(codec.trees, gains, strict=True):
        if tree.decoder.correction is not None:
            tree.decoder.correction.gains.copy_(gain)
    left = (error - 2 * gains * shared + gains.square() * energy).sum(0)
    added = [
        10 * log10(float(one / other)) if other > 0 else 0.0 for one, other in zip(error.sum(0), left, strict=True)
    ]
    figures = ", ".join(f"{value:+.2f}" for value in added)
    stage(f"the network adds {figures} dB at qualities {min(QUALITIES)} to {max(QUALITIES)}, on training data")
