"""Quantisers: latents to integers and back, with additive noise in training.

Latent y, companded u, step Delta: symbols s = round(u / Delta) half to even; the decoder is given Delta * s.
"""

import torch
from torch import nn

from liveaction.spec import QuantizerSpec


class UniformQuantizer(nn.Module):
    """u = y: one step for all latents, which is optimal for mean squared error with entropy coding."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step

    def compand(self, y: torch.Tensor) -> torch.Tensor:
        """``[B, L, *G]``, unchanged."""
        return y


class LaplaceQuantizer(nn.Module):
    """u = 127 sign(y) (1 - exp(-|y| / sigma)), sigma learnt per channel; 254 * LaplaceCDF - 127 in closed form.

    As published (LiVeAction); symbols of step 1 fit int8.
    """

    def __init__(self, step: float, channels: int) -> None:
        super().__init__()
        self.step = step
        self.sigma = nn.Parameter(torch.full((channels,), 42.0))

    def compand(self, y: torch.Tensor) -> torch.Tensor:
        """``[B, L, *G]`` to (-127, 127); the derivative at 0 is the true one, 127 / sigma."""
        sigma = self.sigma.clamp(min=1e-6).view(-1, *(1,) * (y.ndim - 2)).to(y.dtype)
        magnitude = -127.0 * torch.expm1(-y.abs() / sigma)
        return torch.where(y == 0, 127.0 / sigma * y, torch.copysign(magnitude, y))


def build_quantizer(spec: QuantizerSpec, channels: int) -> UniformQuantizer | LaplaceQuantizer:
    """The quantiser that a recipe names."""
    return UniformQuantizer(spec.step) if spec.kind == "uniform" else LaplaceQuantizer(spec.step, channels)


def add_noise(u: torch.Tensor, step: float, generator: torch.Generator | None) -> torch.Tensor:
    """Uniform noise in [-step/2, step/2): what rounding looks like to the decoder in training."""
    noise = torch.rand(u.shape, dtype=u.dtype, device=u.device, generator=generator)
    return u + step * (noise - 0.5)


def to_symbols(u: torch.Tensor, step: float) -> torch.Tensor:
    """Integers as a float tensor, round half to even."""
    return torch.round(u / step)
