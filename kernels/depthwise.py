"""Depthwise convolution of width 3: every channel with its own taps, zeros outside.

Either one joint kernel of 3**D taps, D <= 3,

    y[c, p] = bias[c] + sum_o weight[c, o] x[c, p + o]        o in {-1, 0, 1}**D

or one kernel of 3 per axis, applied in turn, for any D. These are cross-correlations, as in torch's convolutions.
"""

from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from typing import Any

import torch
import torch.nn.functional as F

from liveaction.errors import ShapeError
from liveaction.kernels.dispatch import choose, dtype_refused, working_dtype
from liveaction.kernels.gradients import only_wanted, spread
from liveaction.kernels.layout import empty_tokens_last

ONEDNN = torch.backends.mkldnn.is_available()
JOINT = -1  # stands for all axes where one axis is named otherwise


def depthwise(x: torch.Tensor, weights: Sequence[torch.Tensor], bias: torch.Tensor | None = None) -> torch.Tensor:
    """Convolve every channel with its own kernel.

    Args:
        x: ``[B, C, *S]``, any strides.
        weights: one joint kernel ``[C, 1, 3, ..., 3]`` with as many 3 as ``x`` has axes, three at most; or one
            ``[C, 1, 3]`` per axis of ``x``, in the order of the axes.
        bias: ``[C]`` or None; added once, at the end.

    Returns:
        ``[B, C, *S]`` in the dtype of ``x``, or autocast's. The Triton kernel returns it with channels innermost in
        memory.

    Raises:
        ShapeError: the kernels do not fit ``x``.
    """
    axes, channels = x.ndim - 2, x.shape[1]
    joint = len(weights) == 1 and weights[0].shape == (channels, 1, *(3,) * axes) and axes <= 3
    if not joint and not (len(weights) == axes and all(w.shape == (channels, 1, 3) for w in weights)):
        raise ShapeError(
            f"depthwise: expected x [B, C, *S] and one kernel [C, 1, 3, ..., 3] on at most 3 axes, or one [C, 1, 3] "
            f"per axis, got {tuple(x.shape)} and {', '.join(str(tuple(w.shape)) for w in weights)}"
        )
    dtype = working_dtype(x)
    x, bias = x.to(dtype), None if bias is None else bias.to(dtype)
    provider = choose("depthwise", x, lambda: dtype_refused(x))
    run: Callable[..., torch.Tensor] = torch.ops.liveaction.depthwise
    if provider != "triton":
        run = depthwise_reference if provider == "reference" else depthwise_composed
    for axis, weight in enumerate(weights):
        last = axis == len(weights) - 1
        x = run(x, weight.to(dtype), bias if last else None, JOINT if joint else axis)
    return x


def depthwise_reference(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, axis: int) -> torch.Tensor:
    """Sum over the taps of shifted copies, zeros outside.

    Args:
        x: ``[B, C, *S]``.
        weight: ``[C, 1, 3, ..., 3]`` for all axes, or ``[C, 1, 3]`` for one.
        bias: ``[C]`` or None.
        axis: counted from 0, or ``JOINT``.
    """
    axes = x.ndim - 2
    along = tuple(range(axes)) if axis == JOINT else (axis,)
    padded = F.pad(x, [1 if a in along else 0 for a in reversed(range(axes)) for _ in range(2)])
    y = torch.zeros_like(x)
    taps = weight.flatten(1).unbind(1)
    for tap, offsets in zip(taps, product(range(3), repeat=len(along)), strict=True):
        shifted = padded
        for a, offset in zip(along, offsets, strict=True):
            shifted = shifted.narrow(a + 2, offset, x.shape[a + 2])
        y = y + tap.view(-1, *(1,) * axes) * shifted
    return y if bias is None else y + bias.view(-1, *(1,) * axes)


def depthwise_composed(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, axis: int) -> torch.Tensor:
    """Torch's convolutions; on CPUs in 2-D ones, which are several times faster there than 1-D copies and 3-D ones.

    Args: as for :func:`depthwise_reference`.
    """
    if x.device.type == "cpu" and not (ONEDNN and x.dtype in (torch.float32, torch.bfloat16)):
        return depthwise_reference(x, weight, bias, axis)  # torch's own goes channel by channel
    if axis != JOINT:
        return _along_one_axis(x, weight, bias, axis)
    if x.ndim == 5 and x.device.type == "cpu":
        return _plane_by_plane(x, weight, bias)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[x.ndim - 3]
    return convolve(x, weight, bias, padding=1, groups=x.shape[1])


def _along_one_axis(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, axis: int) -> torch.Tensor:
    """The axis as the height of an image, what comes after it as the width, what comes before as more channels."""
    before, after = prod(x.shape[2 : axis + 2]), prod(x.shape[axis + 3 :])
    channels = x.shape[1] * before
    image = x.reshape(x.shape[0], channels, x.shape[axis + 2], after)
    taps = weight.unsqueeze(3).repeat_interleave(before, 0)
    offset = None if bias is None else bias.repeat_interleave(before, 0)
    return F.conv2d(image, taps, offset, padding=(1, 0), groups=channels).view(x.shape)


def _plane_by_plane(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """A 3-D kernel as three 2-D ones on planes that count as channels; some channels at a time stay in the cache.

    Measured with 2 threads against torch's 3-D convolution, forward and with gradients: about 3 and 4.5 times faster at
    512 channels of 32**3 tokens, 2 and 2.5 at 3072 of 12**3. A traced graph takes all channels at once.
    """
    whole = torch.compiler.is_compiling()
    size = x.shape[1] if whole else max(1, 2**20 // max(1, x.shape[0] * prod(x.shape[2:])))
    biases = [None] * len(weight.split(size)) if bias is None else list(bias.split(size))
    parts = [_planes(*part) for part in zip(x.split(size, 1), weight.split(size), biases, strict=True)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _planes(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    channels, depth = x.shape[1:3]
    planes = x.flatten(1, 2)

    def convolve(tap: int, offset: torch.Tensor | None) -> torch.Tensor:
        taps = weight[:, :, tap].repeat_interleave(depth, 0)
        return F.conv2d(planes, taps, offset, padding=1, groups=channels * depth).view_as(x)

    y = convolve(1, None if bias is None else bias.repeat_interleave(depth, 0))
    y[:, :, 1:] += convolve(0, None)[:, :, :-1]
    y[:, :, :-1] += convolve(2, None)[:, :, 1:]
    return y


@torch.library.custom_op("liveaction::depthwise", mutates_args=())
def _forward(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, axis: int) -> torch.Tensor:
    from liveaction.kernels import depthwise_triton

    return depthwise_triton.forward(x, weight, bias, axis)


@_forward.register_fake
def _(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, axis: int) -> torch.Tensor:
    return empty_tokens_last(x, x.shape[1])


@torch.library.custom_op("liveaction::depthwise_backward", mutates_args=())
def _backward(
    dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, axis: int, wanted: list[bool]
) -> list[torch.Tensor]:
    """Those gradients of x, the weight and the bias that are wanted."""
    from liveaction.kernels import depthwise_triton

    return depthwise_triton.backward(dy, x, weight, axis, wanted)


@_backward.register_fake
def _(dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, axis: int, wanted: list[bool]) -> list[torch.Tensor]:
    return only_wanted(
        [empty_tokens_last(x, x.shape[1]), torch.empty_like(weight), weight.new_empty(weight.shape[0])], wanted
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, weight, _, ctx.axis = inputs
    ctx.save_for_backward(x, weight)


def _gradient(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad[:3])
    found = torch.ops.liveaction.depthwise_backward(dy, *ctx.saved_tensors, ctx.axis, wanted)
    return *spread(found, wanted), None


_forward.register_autograd(_gradient, setup_context=_save)
