"""Convolutions of a small network, one behind the other, with leaky rectifiers between them and replicated borders."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from liveaction.errors import ShapeError
from liveaction.kernels.dispatch import choose, has_none

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def refine(
    x: torch.Tensor, weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor], slope: float
) -> torch.Tensor:
    """Layers of convolutions: ``[B, A, *n] -> [B, Z, *n]`` on 1 to 3 axes.

    Args:
        x: float32, or float64 for the reference.
        weights: of each layer, ``[channels out, channels in, *k]``, every k odd.
        biases: of each layer but the last, which has neither a bias nor a rectifier behind it.
        slope: of the rectifiers, below 1.

    Raises:
        ShapeError: other axes or channels than the weights'.
    """
    axes = x.ndim - 2
    if axes not in _CONVOLUTIONS or any(weight.ndim != x.ndim for weight in weights):
        raise ShapeError(f"refine: expected [B, A, *n] of 1 to 3 axes and weights of as many, got {tuple(x.shape)}")
    if x.shape[1] != weights[0].shape[1] or len(biases) != len(weights) - 1:
        raise ShapeError(
            f"refine: expected {weights[0].shape[1]} channels and a bias between any two layers, got {tuple(x.shape)} "
            f"and {len(biases)}"
        )
    if choose("refine", x, has_none, lambda: _numba_refused(x), (*weights, *biases)) == "numba":
        from liveaction.kernels import refine_numba

        return refine_numba.forward(x, weights, biases, slope)
    for weight, bias in zip(weights, [*biases, None], strict=True):
        sides = [k // 2 for k in reversed(weight.shape[2:]) for _ in range(2)]
        x = _CONVOLUTIONS[axes](F.pad(x, sides, mode="replicate") if any(sides) else x, weight, bias)
        x = x if bias is None else F.leaky_relu(x, slope)
    return x


def _numba_refused(x: torch.Tensor) -> str:
    if x.dtype != torch.float32:
        return f"float32 is needed, got {x.dtype}"
    return "" if x.ndim == 5 else "three axes are needed: on fewer torch is as fast"
