"""An operation of your own, checked and measured like the shipped ones. Copy this file and change four functions.

    cd examples
    liveaction profile kernels --op my_kernel:case
    liveaction profile kernels --op my_kernel:case --shape 512,32768 --dtype bfloat16 --backward --out runs/mine

Nothing is timed before the operation agrees with its reference in float64, gradients included with --backward: break
``rms_norm`` on purpose and see.
"""

from math import prod

import torch

from liveaction.profiling.case import Case

EPS = 1e-6


def rms_norm(x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """The operation: ``[B, C, *S]`` normalised over its channels, times ``[C]``.

    Put your Triton, CUDA or C++ call here; this one only avoids the square's temporary.
    """
    norm = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32)
    scale = torch.rsqrt(norm**2 / x.shape[1] + EPS)
    return (x * scale * gain.view(-1, *(1,) * (x.ndim - 2))).to(x.dtype)


def rms_norm_reference(x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """The same, obvious; in float64 it is the truth, and at the operation's dtype the measure of what error is fair."""
    scale = (x.square().mean(dim=1, keepdim=True) + EPS).sqrt()
    return x / scale * gain.view(-1, *(1,) * (x.ndim - 2))


def make_inputs(
    shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, generator: torch.Generator
) -> tuple[torch.Tensor, ...]:
    """The arguments for a shape ``[B, C, *S]``; drawn on the CPU, so that every device gets the same."""
    x = torch.randn(shape, generator=generator)
    gain = 1 + 0.1 * torch.randn(shape[1], generator=generator)
    return x.to(device, dtype), gain.to(device, dtype)


def count_bytes(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """The fewest bytes to move: x read once, the result written once, the gain read once."""
    return (2 * prod(shape) + shape[1]) * dtype.itemsize


def count_flops(shape: tuple[int, ...]) -> int:
    """Square and add, then two products, per element."""
    return 4 * prod(shape)


case = Case(
    name="rms_norm",
    make_inputs=make_inputs,
    function=rms_norm,
    reference=rms_norm_reference,
    bytes=count_bytes,
    flops=count_flops,
    shapes=((1, 512, 32, 32, 32),),
)
