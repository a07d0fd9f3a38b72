"""How networks of a predict step learn: by the bits of what they leave, at all steps alike.

Chunks go through the closed loop as in a stream, side by side, each with a step of its own. What is decoded of a part
is given to the next network as it is, so that each network learns by its own part alone.
"""

from math import log
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from liveaction.codec.codec import Codec
from liveaction.codec.prediction import Prediction
from liveaction.coding.optimise import DEAD_ZONE
from liveaction.training.front import crop_front
from liveaction.training.seeds import NoiseWord, torch_seed

STEPS = 0.4, 8.0
"""Least and largest step that is learnt at, in those of the recipe. Where it is finer, all that is random in a signal
weighs in and nothing new is there to predict: with steps down to an eighth a third of the gain is missing after 300
training steps."""
ROOM = 4
"""A crop of so many times its extents has the chunks of a large signal."""


class Left(NamedTuple):
    """What a predict step leaves of chunks, per sample: bits, those without it, and the squared error of latents."""

    bits: torch.Tensor
    before: torch.Tensor
    squares: torch.Tensor


class PredictionLoss(nn.Module):
    """What the predict step of one tree leaves of crops.

    Args:
        codec: of one tree, with a predictor.
    """

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        assert codec.predictor is not None
        self.codec, self.predictor = (codec,), codec.predictor  # the codec's other weights are not to be learnt

    def forward(self, x: torch.Tensor, step: torch.Tensor) -> Left:
        """Of a coefficient half ``log2(1 + 12 s2 / step**2)``, s2 the mean square of it and its neighbours.

        Up to a constant that is the rate of a local Gaussian and its weighed error together, right both where all is
        quantised to 0 and where nothing is.

        Args:
            x: crops ``[B, C, *S]`` in [-1, 1]; the chunk in the middle of each counts.
            step: of the quantiser for each, ``[B]``.
        """
        (codec,) = self.codec
        with torch.no_grad():
            fronts = [crop_front(codec, one[None], float(each))[0] for one, each in zip(x, step, strict=True)]
            step = torch.cat([each.expand(len(front)) for front, each in zip(fronts, step, strict=True)])
            y = codec.encode(torch.cat(fronts))
            y = y[(slice(None), slice(None), *_middle(codec, tuple(y.shape[2:])))]
            parts = codec.chunks.parts(y.flatten(0, 1).cpu().numpy())
        prediction = Prediction(self.predictor, tuple(y.shape[2:]), step)
        bits = before = squares = x.new_zeros(())
        for number, values in enumerate(parts):
            part = torch.from_numpy(values).to(x.device).unflatten(0, (len(y), -1))
            guess = prediction.next() if number else torch.zeros_like(part)
            bits, before = bits + _bits(part - guess, step), before + _bits(part, step)
            with torch.no_grad():
                scale = step.view(-1, *[1] * (part.ndim - 1))
                rest = (part - guess) / scale
                symbols = rest.sign() * (rest.abs() + (0.5 - DEAD_ZONE)).floor()
                squares = squares + ((rest - symbols) * scale).square().sum()
                prediction.put(guess + symbols * scale)
        samples = max(1, y.numel())
        return Left(bits / samples, before / samples, squares / samples)


def draw_steps(codec: Codec, key: tuple[int, ...], count: int) -> torch.Tensor:
    """Quantiser steps ``[count]`` within :data:`STEPS`, all octaves alike; of a key the same."""
    generator = torch.Generator().manual_seed(torch_seed(NoiseWord.STEPS, *key))
    low, high = (log(codec.quantizer.step * factor) for factor in STEPS)
    return torch.empty(count).uniform_(low, high, generator=generator).exp()


def _middle(codec: Codec, grid: tuple[int, ...]) -> tuple[slice, ...]:
    """The chunk in the middle of a crop's grid: what lies around gives its border the latents of a whole signal."""
    sides = codec.chunk_of(tuple(ROOM * n for n in grid))
    starts = [max(0, n - side) // 2 for n, side in zip(grid, sides, strict=True)]
    return tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))


def _bits(rest: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    square = rest.square()
    for axis in range(2, rest.ndim):  # one axis after the other, for there is no pooling of four
        if rest.shape[axis] > 1:
            last = square.movedim(axis, -1)
            wide = F.pad(last.flatten(0, -2)[None], [1, 1], mode="replicate")
            square = F.avg_pool1d(wide, 3, 1)[0].view(last.shape).movedim(-1, axis)
    return 0.5 * torch.log2(1 + 12 * square / step.view(-1, *[1] * (rest.ndim - 1)) ** 2).sum()
