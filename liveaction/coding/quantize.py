"""Quantisers: latents to integers and back, with additive noise in training.

Latent y, companded u, step Delta: symbols s = round(u / Delta) half to even, u drawn towards 0 before where there is a
dead zone; the decoder is given expand(Delta * s).
"""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import nn

from liveaction.kernels.quantize import laplace_compand, quantize
from liveaction.spec import QuantizerSpec


class UniformQuantizer(nn.Module):
    """u = y: one step for all latents, which is optimal for mean squared error with entropy coding."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step

    def compand(self, y: torch.Tensor) -> torch.Tensor:
        """``[B, L, *G]``, unchanged."""
        return y

    def expand(self, u: torch.Tensor) -> torch.Tensor:
        """``[B, L, *G]``, unchanged."""
        return u


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
        return laplace_compand(y, self.sigma)

    def expand(self, u: torch.Tensor) -> torch.Tensor:
        """``[B, L, *G]``, unchanged: as published, the decoder is given companded latents."""
        return u


class GaussianQuantizer(nn.Module):
    """u = M (2 Phi(y / s) - 1) for symbols of b bits: M = 2**(b-1) - 1/2 - 1e-3, s = (2**(b-1) - 1) / 1.85.

    As published (WaLLoC, arXiv 2412.09405): Phi is the normal distribution function, and the decoder is given its
    inverse, with probabilities kept within [1e-4, 1 - 1e-4].
    """

    def __init__(self, step: float, bits: int) -> None:
        super().__init__()
        self.step = step
        self.largest = 2 ** (bits - 1) - 0.5 - 1e-3
        self.scale = (2 ** (bits - 1) - 1) / 1.85

    def compand(self, y: torch.Tensor) -> torch.Tensor:
        """``[B, L, *G]`` to (-M, M)."""
        u: torch.Tensor = self.largest * torch.erf(y / (self.scale * sqrt(2)))
        return u

    def expand(self, u: torch.Tensor) -> torch.Tensor:
        """``[B, L, *G]`` back to latents, at most 3.72 s in size."""
        y: torch.Tensor = self.scale * torch.special.ndtri((u / (2 * self.largest) + 0.5).clamp(1e-4, 1 - 1e-4))
        return y


Quantizer = UniformQuantizer | LaplaceQuantizer | GaussianQuantizer


def build_quantizer(spec: QuantizerSpec, channels: int) -> Quantizer:
    """The quantiser that a recipe names."""
    if spec.kind == "uniform":
        return UniformQuantizer(spec.step)
    if spec.kind == "laplace":
        return LaplaceQuantizer(spec.step, channels)
    return GaussianQuantizer(spec.step, spec.bits)


def add_noise(u: torch.Tensor, step: float, generator: torch.Generator | None) -> torch.Tensor:
    """Uniform noise in [-step/2, step/2): what rounding looks like to the decoder in training."""
    noise = torch.rand(u.shape, dtype=u.dtype, device=u.device, generator=generator)
    return u + step * (noise - 0.5)


def to_symbols(u: torch.Tensor, step: float, dead_zone: float = 0.0) -> torch.Tensor:
    """Integers as a float tensor, round half to even; no gradient passes.

    Args:
        u: ``[B, L, *G]``.
        step: of the quantiser.
        dead_zone: pull values towards 0 by so much of a step before they are rounded. Large symbols are rare, so they
            cost more than what they gain; the decoder need not know (Sullivan, "Efficient scalar quantization of
            exponential and Laplacian random variables", IEEE Trans. Information Theory 42(5), 1996).
    """
    u = u.detach()
    return quantize(F.softshrink(u, dead_zone * step) if dead_zone else u, step)
