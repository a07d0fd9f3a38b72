"""Training of a network behind a sparse codec: encoder and tables stay as they are, and so do all streams.

A crop is coded and decoded as ``compress`` would, at a step of its own between the coarsest and the finest quality, in
a basis of its own where the codec has them, by the tree that costs it least. The network learns to take what is decoded
towards what was coded, in steps of the quantiser; components of an own basis stand side by side, and as their basis is
orthonormal, their squared errors are those of the channels.
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
from liveaction.nn.correction import Correction
from liveaction.training.data import Crops
from liveaction.training.front import crop_front
from liveaction.training.loss import FLOOR
from liveaction.training.seeds import CropWord
from liveaction.transforms.window import crop

LEAST = 1e-3
"""Squared steps a sample that count as no error: a hundredth of what rounding leaves, so that a crop of air, of which
nothing is left to learn, has no more weight than others."""
MEASURED = 32
"""Crops that gains are fitted to."""


@dataclass(frozen=True)
class Coded:
    """A crop there and back.

    Attributes:
        step: of the quantiser.
        true, decoded: before and after, in steps, ``[1, C, *S]``, or the components of an own basis, ``[K, 1, *S]``.
        basis: its own one, or None.
        bits: that it took.
    """

    step: float
    true: torch.Tensor
    decoded: torch.Tensor
    basis: OwnBasis | None
    bits: int


@torch.no_grad()
def code_crop(codec: Codec, x: torch.Tensor, step: float) -> Coded:
    """A crop ``[1, C, *S]`` coded and decoded at a step, by the tables that the codec has, without the network."""
    front, basis = crop_front(codec, x, step)
    tree = codec.trees[choose_tree(codec, Whole(front), step)]
    if not len(front):
        return Coded(step, front, front, basis, 0)
    latents = tree.encode(front).flatten(0, 1).cpu().numpy()
    decoded, bits, layout = np.zeros_like(latents), 0, tree.layout(tuple(x.shape[2:]))
    for chunk in range(layout.chunks):
        box = (slice(None), *slices(layout.chunk_box(chunk)))
        part = np.ascontiguousarray(latents[box])
        data = tree.chunks.encode(part, step)
        decoded[box] = tree.chunks.decode(data, len(front), part.shape[1:], step, "training")
        bits += 8 * len(data)
    back = torch.from_numpy(decoded).unflatten(0, (len(front), tree.latents)).to(x.device)
    samples = crop(tree.packets.inverse(tree.decoder(back)), tuple(x.shape[2:]))
    return Coded(step, front / step, samples / step, basis, bits)


@torch.no_grad()
def decode_crop(codec: Codec, coded: Coded) -> torch.Tensor:
    """The samples ``[1, C, *S]`` that a decoder makes of a coded crop."""
    x = coded.decoded * coded.step
    if codec.behind is not None and len(x):
        x = codec.behind(x, coded.step, codec.quantizer.step)
    return x if coded.basis is None else coded.basis.synthesise(x[:, 0])[None]


def code_batch(codec: Codec, x: torch.Tensor, seed: int, step: int, first: int) -> list[Coded]:
    """Crops ``[B, C, *S]`` of a step of training, each coded at a quantiser step of its own.

    Args:
        codec: says the recipe's step.
        x: crops.
        seed, step: of training.
        first: number of the first crop in the whole batch.
    """
    usual = codec.quantizer.step
    keys = ((CropWord.STEP, seed, step, first + number) for number in range(len(x)))
    return [code_crop(codec, one, drawn_step(usual, key)) for one, key in zip(x.split(1), keys, strict=True)]


def drawn_step(usual: float, key: Sequence[int]) -> float:
    """A step for a key, uniform in its logarithm from half a quality beyond the coarsest to half beyond the finest."""
    ends = np.log2(list(QUALITIES.values()))
    return float(usual * 2 ** np.random.default_rng(list(key)).uniform(ends.min() - 0.5, ends.max() + 0.5))


def figures_of(crops: Sequence[Coded], share: float, elements: int) -> tuple[float, float]:
    """PSNR in dB (peak to peak 2), about, and bits per sample of coded crops, of whose error a share is left."""
    error = sum(coded.step**2 * float((coded.true - coded.decoded).square().sum()) for coded in crops)
    bits = sum(coded.bits for coded in crops)
    return 10 * log10(4 / max(share * error / elements, FLOOR)), max(bits / elements, 1e-6)


def try_behind(codec: Codec, x: torch.Tensor) -> tuple[torch.Tensor, float]:
    """What crops ``[B, C, *S]`` decode to at the recipe's step, and the bits that a sample takes."""
    coded = [code_crop(codec, one, codec.quantizer.step) for one in x.split(1)]
    bits = sum(each.bits for each in coded)
    return torch.cat([decode_crop(codec, each) for each in coded]), max(bits / x.numel(), 1e-6)


class BehindLoss(nn.Module):
    """What a network behind a sparse codec learns by: the mean over crops of log10 of the share of the error left."""

    def __init__(self, correction: Correction) -> None:
        super().__init__()
        self.correction = correction

    def forward(self, crops: Sequence[Coded]) -> torch.Tensor:
        """The loss; 0 where no crop has a component.

        Args:
            crops: as :func:`code_crop` gives them.
        """
        losses = [0 * self.correction.up.weight.sum()]
        for coded in crops:
            if not len(coded.true):
                continue
            error = coded.true - coded.decoded
            left = (error - self.correction.residual(coded.decoded)).square().mean()
            losses.append(torch.log10((left + LEAST) / (error.square().mean() + LEAST)) / len(crops))
        return torch.stack(losses).sum()


@torch.no_grad()
def fit_gains(codec: Codec, crops: Crops, extents: tuple[int, ...], seed: int, stage: Callable[[str], None]) -> None:
    """Give the network, at every quality, as much weight as leaves least squared error on training data; in place.

    Between 0 and 1, so that it makes nothing worse on the whole of what it was measured on.

    Args:
        codec: trained.
        crops: what to draw from; ``extents`` of a crop.
        seed: of the draw.
        stage: is told what the network adds at each quality.
    """
    correction = codec.behind
    assert correction is not None
    sums = torch.zeros(len(QUALITIES), 3, dtype=torch.float64)  # error, residual, and residual times error
    for number in range(MEASURED):
        x = crops.batch([(CropWord.GAINS, seed, number)], extents).x.to(codec.device)
        for place, factor in enumerate(QUALITIES.values()):
            coded = code_crop(codec, x, codec.quantizer.step * factor)
            if len(coded.true):
                error, residual = coded.true - coded.decoded, correction.residual(coded.decoded)
                products = error.square().sum(), residual.square().sum(), (residual * error).sum()
                sums[place] += torch.stack(products).double().cpu()
    error, energy, shared = sums.unbind(1)
    gains = torch.where(energy > 0, (shared / energy.clamp(min=1e-30)).clamp(0, 1), 0.0)
    correction.gains.copy_(gains)
    left = error - 2 * gains * shared + gains.square() * energy
    added = (
        10 * log10(one / other) if other > 0 else 0.0 for one, other in zip(error.tolist(), left.tolist(), strict=True)
    )
    figures = ", ".join(f"{value:+.2f}" for value in added)
    stage(f"the network adds {figures} dB at qualities {min(QUALITIES)} to {max(QUALITIES)}, on training data")
