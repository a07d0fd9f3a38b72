"""Range compression of wavelet packets: 12.8 * sign(v) * ((|v| + 0.1)**0.4 - 0.1**0.4), and its exact inverse."""

import torch

GAIN = 12.8
OFFSET = 0.1
POWER = 0.4


def compand(v: torch.Tensor) -> torch.Tensor:
    """Compress the range of ``v``, any shape, element by element.

    The derivative at 0 is the true one, GAIN * POWER * OFFSET**(POWER - 1), not 0.
    """
    return _odd(v, GAIN * ((v.abs() + OFFSET) ** POWER - OFFSET**POWER), GAIN * POWER * OFFSET ** (POWER - 1.0))


def expand(c: torch.Tensor) -> torch.Tensor:
    """Inverse of :func:`compand`."""
    slope = OFFSET ** (1.0 - POWER) / (GAIN * POWER)
    return _odd(c, (c.abs() / GAIN + OFFSET**POWER) ** (1.0 / POWER) - OFFSET, slope)


def _odd(x: torch.Tensor, magnitude: torch.Tensor, slope: float) -> torch.Tensor:
    """``magnitude`` with the sign of ``x``; exactly at 0 a straight line, whose derivative autograd then sees."""
    return torch.where(x == 0, slope * x, torch.copysign(magnitude, x))
