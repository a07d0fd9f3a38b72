"""Gradients of the pointwise block from the Monarch kernels and plain PyTorch between them; all recomputed from x."""

import torch
import torch.nn.functional as F


def gradients(
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
    """Gradients of ``x`` ``[B, C, *S]`` and of the seven parameters, in their order and dtypes; between in float32.

    Args:
        dout: gradient of the output, ``[B, C, *S]``.
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
    sums = _over_tokens(skip * second)
    dz, dv1, dv2 = back(_through_norm(skip * last, second, norm2).to(z.dtype), z, v1, v2)
    du = torch.ops.aten.gelu_backward(dz.float(), u, approximate="tanh")
    dgain1 = _over_tokens(du * first)
    dx, dw1, dw2 = back(_through_norm(du * gain, first, norm1).to(z.dtype), narrow, w1, w2)
    dgain2, dscale = (sums * scale.float()).to(gain2.dtype), (sums * gain2.float()).to(scale.dtype)
    return [(dx.float() + skip).to(x.dtype), dw1, dw2, dgain1.to(gain1.dtype), dv1, dv2, dgain2, dscale]


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
