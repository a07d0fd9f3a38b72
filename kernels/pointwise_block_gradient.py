"""Gradients of the pointwise block from the Monarch kernels and plain PyTorch between them; all recomputed from x."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from liveaction.kernels.gradients import only_wanted


def gradients(
    wanted: Sequence[bool],
    eps: float,
    dout: torch.Tensor,
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    gain1: torch.Tensor,
    v1: torch.Tensor,
    v2: torch.Tensor,
    gain2: torch.Tensor,
    scale: torch.Tensor,
) -> list[torch.Tensor]:
    """Those gradients of ``x`` ``[B, C, *S]`` and the seven parameters that are wanted, in their order and dtypes.

    Args:
        wanted: of the eight tensors behind ``dout``.
        dout: gradient of the output, ``[B, C, *S]``; what is between is float32.
        eps, x, w1, w2, gain1, v1, v2, gain2, scale: as in :func:`liveaction.kernels.pointwise_block.pointwise_block`.
    """
    project, back = torch.ops.liveaction.monarch, torch.ops.liveaction.monarch_backward
    shape = (-1, *(1,) * (x.ndim - 2))
    gain, last = gain1.float().view(shape), (gain2.float() * scale.float()).view(shape)
    narrow, skip = x.to(w1.dtype), dout.float()
    first, norm1 = _normed(project(narrow, w1, w2), eps)
    u = first * gain
    z = F.gelu(u, approximate="tanh").to(w1.dtype)
    second, norm2 = _normed(project(z, v1, v2), eps)
    found: dict[str, torch.Tensor] = {}
    if any(wanted[6:]):
        sums = _over_tokens(skip * second)
        found["gain2"], found["scale"] = (sums * scale.float()).to(gain2.dtype), (sums * gain2.float()).to(scale.dtype)
    flags = [any(wanted[:4]), *wanted[4:6]]
    if any(flags):
        dy = _through_norm(skip * last, second, norm2).to(z.dtype)
        found |= zip(only_wanted(("z", "v1", "v2"), flags), back(dy, z, v1, v2, flags), strict=True)
    if flags[0]:
        du = torch.ops.aten.gelu_backward(found["z"].float(), u, approximate="tanh")
        if wanted[3]:
            found["gain1"] = _over_tokens(du * first).to(gain1.dtype)
        if any(wanted[:3]):
            dy = _through_norm(du * gain, first, norm1).to(z.dtype)
            found |= zip(only_wanted(NAMES[:3], wanted[:3]), back(dy, narrow, w1, w2, wanted[:3]), strict=True)
    if wanted[0]:
        found["x"] = (found["x"].float() + skip).to(x.dtype)
    return [found[name] for name in only_wanted(NAMES, wanted)]


NAMES = ("x", "w1", "w2", "gain1", "v1", "v2", "gain2", "scale")


def _normed(y: torch.Tensor, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    """y over its root mean square, and one over that, float32."""
    y = y.float()
    norm = torch.rsqrt(y.square().mean(1, keepdim=True) + eps)
    return y * norm, norm


def _through_norm(d: torch.Tensor, normed: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
    """The gradient of what was normed from that of the result."""
    return norm * (d - normed * (d * normed).mean(1, keepdim=True))


def _over_tokens(d: torch.Tensor) -> torch.Tensor:
    """``[B, C, *S]`` summed to ``[C]``."""
    return d.sum([axis for axis in range(d.ndim) if axis != 1])
