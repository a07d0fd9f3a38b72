"""Cases of what works element by element: companding and quantising."""

import torch

from liveaction.kernels import dispatch, quantize
from liveaction.profiling.case import Arguments, Case, Shape
from liveaction.profiling.sizes import AUDIO, CT, CT_LARGE, normal, size, tokens


def compand() -> Case:
    """Range compression of wavelet packets."""
    return _power("compand", 1.0)


def expand() -> Case:
    """Its inverse, on values of the size that companding gives."""
    return _power("expand", 10.0)


def _power(name: str, scale: float) -> Case:
    def inputs(shape: Shape, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> Arguments:
        return (scale * normal(shape, dtype, device, generator),)

    def flops(shape: Shape) -> int:
        """Absolute value, sum, logarithm, product, exponential, difference, product, sign."""
        return 8 * tokens(shape) * shape[1]

    return Case(
        name=name,
        make_inputs=inputs,
        function=getattr(quantize, name),
        reference=getattr(quantize, f"{name}_reference"),
        bytes=lambda shape, dtype: 2 * size(shape, dtype),
        flops=flops,
        backward_bytes=lambda shape, dtype: 3 * size(shape, dtype),
        backward_flops=flops,
        shapes=(CT, AUDIO),
        large=(CT_LARGE,),
        dispatched=dispatch.PROVIDERS,
    )


def laplace() -> Case:
    """Companding of latents with the noise of training. Rounding is left out: float64 breaks ties otherwise."""

    def inputs(shape: Shape, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> Arguments:
        sigma = 20 + 40 * torch.rand(shape[1], generator=generator)
        seed = torch.randint(2**62, (1,), generator=generator)
        return 40 * normal(shape, dtype, device, generator), sigma.to(device, dtype), seed.to(device)

    def reference(y: torch.Tensor, sigma: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
        return quantize.laplace_compand_reference(y, sigma) + (quantize.uniform(y, seed) - 0.5)

    def flops(shape: Shape) -> int:
        """Absolute value, division, exponential, difference, product, sign; the noise's integers are not counted."""
        return 6 * tokens(shape) * shape[1]

    return Case(
        name="laplace_quantize",
        make_inputs=inputs,
        function=lambda y, sigma, seed: quantize.laplace_quantize(y, sigma, 1.0, seed),
        reference=reference,
        bytes=lambda shape, dtype: 2 * size(shape, dtype),
        flops=flops,
        backward_bytes=lambda shape, dtype: 3 * size(shape, dtype),
        backward_flops=flops,
        shapes=((1, 8, 64, 64, 64),),
        large=((1, 64, 64, 64, 64),),
        dispatched=dispatch.PROVIDERS,
    )
