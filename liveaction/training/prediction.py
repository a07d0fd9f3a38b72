"""How networks of a predict step learn: by the bits of what they leave, at every step that one model serves.

Chunks go through the closed loop as in a stream, side by side, each with a step of its own. What is decoded of a part is
given to the next network as it is, so that each network learns by its own part alone.
"""

from math import exp, log

import numpy as np
import torch
import torch.nn.functional as F

from liveaction.codec.codec import Codec
from liveaction.codec.prediction import Prediction
from liveaction.codec.quality import QUALITIES
from liveaction.coding.optimise import DEAD_ZONE


def prediction_bits(codec: Codec, x: torch.Tensor, step: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Bits per sample, about, of what is left of the predicted parts of chunks; and of these parts themselves.

    Of a coefficient half ``log2(1 + 12 s2 / step**2)``, s2 the mean square of it and its neighbours: up to a constant the
    rate of a local Gaussian and the weighed error together, right both where all is quantised to 0 and where nothing is.

    Args:
        codec: with a predictor.
        x: crops ``[B, C, *S]`` in [-1, 1]; the chunk in the middle of each counts.
        step: of the quantiser for each, ``[B]``.
    """
    assert codec.predictor is not None
    with torch.no_grad():
        y = codec.encode(x)
        chunk = middle(tuple(y.shape[2:]), codec)
        y = y[(slice(None), slice(None), *chunk)]
        parts = codec.chunks.parts(y.flatten(0, 1).cpu().numpy())
    prediction = Prediction(codec.predictor, tuple(y.shape[2:]), step)
    left = before = x.new_zeros(())
    for number, values in enumerate(parts):
        part = torch.from_numpy(values).to(x.device).unflatten(0, (len(x), -1))
        guess = prediction.next() if number else torch.zeros_like(part)
        if number:
            left = left + _bits(part - guess, step).sum()
            before = before + _bits(part, step).sum()
        with torch.no_grad():
            scale = step.view(-1, *[1] * (part.ndim - 1))
            rest = (part - guess) / scale
            symbols = rest.sign() * (rest.abs() + 0.5 - DEAD_ZONE).clamp(min=0).floor()
            prediction.put(guess.detach() + symbols * scale)
    return left / y.numel(), before / y.numel()


def middle(grid: tuple[int, ...], codec: Codec) -> tuple[slice, ...]:
    """The chunk in the middle of a crop's grid: what is around gives its border the latents of a whole signal."""
    sides = codec.chunk_of(tuple(4 * n for n in grid))
    sides = tuple(min(n, side) for n, side in zip(grid, sides, strict=True))
    return tuple(slice((n - side) // 2, (n - side) // 2 + side) for n, side in zip(grid, sides, strict=True))


def _bits(rest: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    square = rest.square()
    for axis in range(2, rest.ndim):  # one axis after the other, for there is no pooling of four
        if rest.shape[axis] > 1:
            last = square.movedim(axis, -1)
            wide = F.pad(last.flatten(0, -2)[None], [1, 1], mode="replicate")
            square = F.avg_pool1d(wide, 3, 1)[0].view(last.shape).movedim(-1, axis)
    return 0.5 * torch.log2(1 + 12 * square / step.view(-1, *[1] * (rest.ndim - 1)) ** 2)


def draw_steps(codec: Codec, rng: np.random.Generator, count: int) -> torch.Tensor:
    """Steps ``[count]`` from the coarsest quality to the finest, equally often in every octave."""
    low, high = (log(codec.quantizer.step * factor) for factor in (min(QUALITIES.values()), max(QUALITIES.values())))
    return torch.tensor([exp(rng.uniform(low, high)) for _ in range(count)], dtype=torch.float32)
