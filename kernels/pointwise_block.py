"""Residual block of one token: Monarch, RMS norm, GELU, Monarch, RMS norm, layer scale, plus the skip.

    u = gain1 * rms(monarch(x, w1, w2))      y = gain2 * rms(monarch(gelu(u), v1, v2))      out = x + scale * y

with rms(h) = h / sqrt(mean over channels of h^2 + eps) and GELU in its tanh form. No token sees another one.

Sources: Monarch as in :mod:`liveaction.kernels.monarch`; Zhang and Sennrich, "Root Mean Square Layer Normalization",
2019; Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016; Touvron et al., "Going deeper with Image Transformers",
2021 (layer scale).
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from liveaction.errors import ShapeError
from liveaction.kernels import monarch as projections
from liveaction.kernels import pointwise_block_gradient
from liveaction.kernels.dispatch import choose, working_dtype
from liveaction.kernels.gradients import only_wanted, spread
from liveaction.kernels.launcher import kernel_or_composed
from liveaction.kernels.layout import empty_tokens_last, laid_tokens_last
from liveaction.kernels.pointwise_block_tiling import in_registers, refused, whole_groups

Project = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def pointwise_block(
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    gain1: torch.Tensor,
    v1: torch.Tensor,
    v2: torch.Tensor,
    gain2: torch.Tensor,
    scale: torch.Tensor,
    eps: float = 1e-6,
) -> torch.Tensor:
    """The block above.

    Args:
        x: ``[B, C, *S]``, any strides.
        w1, v1: first factors ``[g1, g2, g2]``, g1*g2 = C.
        w2, v2: second factors ``[g2, g1, g1]``.
        gain1, gain2: gains ``[C]`` of the norms.
        scale: layer scale ``[C]``.
        eps: added to the mean square.

    Returns:
        ``[B, C, *S]`` in the dtype of ``x``: autocast computes the residual part, not the skip, in its own. The Triton
        kernel returns it with channels innermost in memory.

    Raises:
        ShapeError: a tensor does not fit ``x``.
    """
    _check(x, (w1, w2), (v1, v2), (gain1, gain2, scale))
    dtype = working_dtype(x)
    x = x.to(torch.promote_types(x.dtype, dtype))
    w1, w2, gain1, v1, v2, gain2, scale = (t.to(dtype) for t in (w1, w2, gain1, v1, v2, gain2, scale))
    parameters = (w1, w2, gain1, v1, v2, gain2, scale)
    provider = choose("pointwise_block", x, lambda: refused(w1, w2, v1), lambda: _numba_refused(x, w1), parameters)
    if provider == "numba":
        from liveaction.kernels import pointwise_block_numba

        return pointwise_block_numba.forward(x, w1, w2, gain1, v1, v2, gain2, scale, eps)
    if provider == "reference":
        return pointwise_block_reference(x, w1, w2, gain1, v1, v2, gain2, scale, eps)
    if provider == "composed":
        return pointwise_block_composed(x, w1, w2, gain1, v1, v2, gain2, scale, eps, projections.monarch)
    out: torch.Tensor = torch.ops.liveaction.pointwise_block(x, w1, w2, gain1, v1, v2, gain2, scale, eps)
    return out


def _check(
    x: torch.Tensor,
    one: tuple[torch.Tensor, torch.Tensor],
    other: tuple[torch.Tensor, torch.Tensor],
    vectors: tuple[torch.Tensor, ...],
) -> None:
    for first, second in (one, other):
        g1, g2 = first.shape[:2]
        if first.shape != (g1, g2, g2) or second.shape != (g2, g1, g1) or x.shape[1] != g1 * g2:
            raise ShapeError(
                f"pointwise block: expected x [B, g1*g2, *S], first factors [g1, g2, g2], second ones [g2, g1, g1], "
                f"got {tuple(x.shape)}, {tuple(first.shape)}, {tuple(second.shape)}"
            )
    if any(vector.shape != x.shape[1:2] for vector in vectors):
        raise ShapeError(
            f"pointwise block: expected gains and scale [{x.shape[1]}], "
            f"got {', '.join(str(tuple(vector.shape)) for vector in vectors)}"
        )


def pointwise_block_reference(
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    gain1: torch.Tensor,
    v1: torch.Tensor,
    v2: torch.Tensor,
    gain2: torch.Tensor,
    scale: torch.Tensor,
    eps: float = 1e-6,
) -> torch.Tensor:
    """The formulas as they are written above."""

    def norm(h: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        return _per_channel(gain, h) * h / (h.square().mean(1, keepdim=True) + eps).sqrt()

    u = norm(projections.monarch_reference(x.to(w1.dtype), w1, w2), gain1)
    u = 0.5 * u * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (u + 0.044715 * u**3)))
    return x + _per_channel(scale, x) * norm(projections.monarch_reference(u, v1, v2), gain2)


def pointwise_block_composed(
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    gain1: torch.Tensor,
    v1: torch.Tensor,
    v2: torch.Tensor,
    gain2: torch.Tensor,
    scale: torch.Tensor,
    eps: float = 1e-6,
    project: Project = projections.monarch_composed,
) -> torch.Tensor:
    """Operation by operation at the dtype of the factors, norms' sums in float32 or wider, with any ``project``."""
    h = F.gelu(rms_norm(project(x.to(w1.dtype), w1, w2), gain1, eps), approximate="tanh")
    h = rms_norm(project(h, v1, v2), gain2, eps)
    return x + h * _per_channel(scale, h)


def rms_norm(h: torch.Tensor, gain: torch.Tensor, eps: float) -> torch.Tensor:
    """Root-mean-square norm of every token's channels, ``[B, C, *S]``, with gains ``[C]``; sums in float32 or wider."""
    dtype = torch.promote_types(h.dtype, torch.float32)
    scale = torch.rsqrt(h.to(dtype).square().mean(1, keepdim=True) + eps)
    return h * scale.to(h.dtype) * _per_channel(gain, h).to(h.dtype)


def _per_channel(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return values.view(-1, *(1,) * (like.ndim - 2))


def _numba_refused(x: torch.Tensor, w1: torch.Tensor) -> str:
    """Why the Numba passes cannot take these; empty where they can."""
    if x.dtype == torch.float32 and w1.dtype in (torch.float32, torch.bfloat16) and x.numel():
        return ""
    return f"they take at least one value in float32, not {tuple(x.shape)} of {x.dtype}, and no factors of {w1.dtype}"


@torch.library.custom_op("liveaction::pointwise_block", mutates_args=())
def _forward(
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    gain1: torch.Tensor,
    v1: torch.Tensor,
    v2: torch.Tensor,
    gain2: torch.Tensor,
    scale: torch.Tensor,
    eps: float,
) -> torch.Tensor:
    from liveaction.kernels import pointwise_block_triton, pointwise_block_wide_triton

    short = in_registers(w1.shape[0], w1.shape[1], w1.element_size())
    kernel = pointwise_block_triton.forward if short else pointwise_block_wide_triton.forward
    given, project = (x, w1, w2, gain1, v1, v2, gain2, scale, eps), torch.ops.liveaction.monarch

    def composed() -> torch.Tensor:
        return laid_tokens_last(pointwise_block_composed(*given, project).to(x.dtype))

    return kernel_or_composed("pointwise block", lambda: kernel(*given), composed)


@_forward.register_fake
def _(x: torch.Tensor, *parameters: Any) -> torch.Tensor:
    return empty_tokens_last(x, x.shape[1])


@torch.library.custom_op("liveaction::pointwise_block_backward", mutates_args=())
def _backward(
    dout: torch.Tensor,
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    gain1: torch.Tensor,
    v1: torch.Tensor,
    v2: torch.Tensor,
    gain2: torch.Tensor,
    scale: torch.Tensor,
    eps: float,
    wanted: list[bool],
) -> list[torch.Tensor]:
    """Those gradients of x and the seven parameters that are wanted."""
    from liveaction.kernels import pointwise_block_backward_triton

    given = (x, w1, w2, gain1, v1, v2, gain2, scale)

    def composed() -> list[torch.Tensor]:
        found = pointwise_block_gradient.gradients(wanted, eps, dout, *given)
        return [laid_tokens_last(found[0]), *found[1:]] if wanted[0] else found

    def kernel() -> list[torch.Tensor]:
        return pointwise_block_backward_triton.backward(dout, *given, eps, wanted)

    return kernel_or_composed("pointwise block", kernel, composed)


@_backward.register_fake
def _(dout: torch.Tensor, x: torch.Tensor, *rest: Any) -> list[torch.Tensor]:
    *parameters, _, wanted = rest
    like = [torch.empty_like(t, memory_format=torch.contiguous_format) for t in parameters]
    return only_wanted([empty_tokens_last(x, x.shape[1]), *like], wanted)


def _save(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    *tensors, ctx.eps = inputs
    ctx.save_for_backward(*tensors)


def _gradient(ctx: Any, dout: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad[:-1])
    x, w1, *rest = ctx.saved_tensors
    if whole_groups(w1.shape[0], w1.shape[1]):
        found = torch.ops.liveaction.pointwise_block_backward(dout, x, w1, *rest, ctx.eps, wanted)
    else:
        found = pointwise_block_gradient.gradients(wanted, ctx.eps, dout, x, w1, *rest)
    return *spread(found, wanted), None


_forward.register_autograd(_gradient, setup_context=_save)
