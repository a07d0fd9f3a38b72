"""Range compression of wavelet packets: 12.8 * sign(v) * ((|v| + 0.1)**0.4 - 0.1**0.4), and its exact inverse."""

import torch

from liveaction.kernels import quantize


def compand(v: torch.Tensor) -> torch.Tensor:
    """Compress the range of ``v``, any shape, element by element.

    The derivative at 0 is the true one, GAIN * POWER * OFFSET**(POWER - 1), not 0.
    """
    return quantize.compand(v)


def expand(c: torch.Tensor) -> torch.Tensor:
    """Inverse of :func:`compand`."""
    return quantize.expand(c)
