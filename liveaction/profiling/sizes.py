"""The sizes that shipped cases are measured at, and what their inputs have in common."""

from math import prod

import torch

from liveaction.profiling.case import Shape

CT, CT_LARGE = (1, 512, 32, 32, 32), (1, 512, 64, 64, 64)
"""Tokens of a CT of 256^3 and 512^3 samples."""
VIDEO = (1, 1536, 1, 135, 240)
"""Of 8 frames of 1080 x 1920 in colour."""
AUDIO = (1, 896, 8192)
"""Of 2^20 samples of 7 microphones."""


def normal(shape: Shape, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> torch.Tensor:
    """Normal random numbers in the layout of the device: channels innermost on CUDA devices, tokens elsewhere."""
    if device.type != "cuda":
        return torch.randn(shape, generator=generator).to(device, dtype)
    rows = torch.randn((shape[0], *shape[2:], shape[1]), generator=generator)
    return rows.to(device, dtype).movedim(-1, 1)


def size(shape: Shape, dtype: torch.dtype) -> int:
    """Bytes of one tensor."""
    return prod(shape) * dtype.itemsize


def tokens(shape: Shape) -> int:
    """How many tokens ``[B, C, *S]`` has."""
    return shape[0] * prod(shape[2:])


def odd_tokens(shape: Shape) -> tuple[Shape, ...]:
    """Odd shapes of more than one token, with which some gradients are all rounding."""
    return (1, shape[1], 7), (2, shape[1], 65)
