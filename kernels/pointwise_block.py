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
from liveaction.kernels.dispatch import choose, dtype_refused, working_dtype
from liveaction.kernels.layout import empty_tokens_last
from liveaction.kernels.monarch import padded, two_parts

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
    provider = choose("pointwise_block", x, lambda: _refused(w1, w2, v1), lambda: _numba_refused(x, w1), parameters)
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


def _refused(w1: torch.Tensor, w2: torch.Tensor, v1: torch.Tensor) -> str:
    """Why the Triton kernels cannot take these; empty where they can."""
    if wrong := dtype_refused(w1):
        return wrong
    if w1.shape != v1.shape:
        return f"both projections need the same groups, not {tuple(w1.shape[:2])} and {tuple(v1.shape[:2])}"
    g1, g2 = w1.shape[:2]
    limit = projections.shared_limit(w1.device)
    if not in_registers(g1, g2) and wide_tiling(g1, g2, w1.element_size(), limit) is None:
        return (
            "it takes groups of at most 32 x 64 (float32: 32 x 48), padded to powers of two at most four times as many "
            f"channels, whose weights fit into {limit // 1024} KiB of shared memory, not {g1, g2} in {w1.dtype}"
        )
    return projections.refused(w1, w1, w2)


def in_registers(g1: int, g2: int) -> bool:
    """Whether a token stays in registers from end to end: groups powers of two, 16 at least, 512 channels at most."""
    return all(g >= 16 and g & (g - 1) == 0 for g in (g1, g2)) and g1 * g2 <= 512


def forward_tiling(itemsize: int, limit: int) -> dict[str, int]:
    """Default launch settings of the forward kernel: 16-bit weights stay on chip where they fit.

    Args:
        itemsize: bytes of one weight.
        limit: bytes of shared memory.
    """
    resident = itemsize == 2 and limit >= 160 * 1024
    return {"BLOCK_T": 16, "RESIDENT": int(resident), "num_warps": 8, "num_stages": 1 + resident, "PER_CORE": 1}


def wide_tiling(g1: int, g2: int, itemsize: int, limit: int) -> dict[str, int] | None:
    """Default launch settings of the forward kernel whose tokens do not stay in registers; None where nothing fits.

    Every tile reads all weights from the L2 cache: as many tokens as registers hold, then two stages, then one. The
    bytes are an upper bound of what the compiler takes near the limit.

    Args:
        g1, g2: groups.
        itemsize: bytes of one weight.
        limit: bytes of shared memory.
    """
    u, parts = padded(g1), two_parts(g2)
    channels = u * sum(parts)
    if u > 32 or channels > (2048 if itemsize == 2 else 1536) or sum(parts) > 64 or channels > 4 * g1 * g2:
        return None
    if itemsize == 4:
        chunk, choices = 8, [(8, 1)]
    else:
        chunk, choices = 16, [(32, 2)] * (channels <= 512) + [(16, 2)] * (channels <= 1536) + [(16, 1), (8, 1)]
    for block_t, stages in choices:
        first, second = u * chunk * sum(parts) * itemsize, chunk * u * u * itemsize
        tile = u * parts[0] * block_t * (8 if itemsize == 4 else itemsize)  # float32: two parts of 4 bytes
        if stages * first + second + tile <= limit:
            return {"W_CHUNK": chunk, "BLOCK_T": block_t, "num_warps": 8, "num_stages": stages, "PER_CORE": 1}
    return None


def backward_tiling(half: str, itemsize: int, x_itemsize: int, limit: int) -> dict[str, int]:
    """Default launch settings of one half of the backward pass.

    Args:
        half: ``first`` or ``second``.
        itemsize: bytes of one weight.
        x_itemsize: bytes of one value of x.
        limit: bytes of shared memory; what WEIGHTS takes of it was read from the compiled kernels at 512 channels.
    """
    needed = {("first", 2): 160, ("first", 4): 208, ("second", 2): 184, ("second", 4): 216}[half, x_itemsize]
    weights = itemsize == 2 and limit >= needed * 1024
    tiling = forward_tiling(itemsize, limit) | {"WEIGHTS": int(weights)}
    return tiling if itemsize == 2 else tiling | {"BLOCK_T": 8}


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

    kernel = pointwise_block_triton if in_registers(*w1.shape[:2]) else pointwise_block_wide_triton
    out: torch.Tensor = kernel.forward(x, w1, w2, gain1, v1, v2, gain2, scale, eps)
    return out


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
) -> list[torch.Tensor]:
    from liveaction.kernels import pointwise_block_backward_triton

    return pointwise_block_backward_triton.backward(dout, x, w1, w2, gain1, v1, v2, gain2, scale, eps)


@_backward.register_fake
def _(dout: torch.Tensor, x: torch.Tensor, *parameters: Any) -> list[torch.Tensor]:
    return [empty_tokens_last(x, x.shape[1]), *_empty_like(parameters[:-1])]


def _empty_like(parameters: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    return [torch.empty_like(t, memory_format=torch.contiguous_format) for t in parameters]


def _save(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    *tensors, ctx.eps = inputs
    ctx.save_for_backward(*tensors)


def _gradient(ctx: Any, dout: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    if in_registers(*ctx.saved_tensors[1].shape[:2]):
        return *torch.ops.liveaction.pointwise_block_backward(dout, *ctx.saved_tensors, ctx.eps), None
    return *pointwise_block_gradient.gradients(ctx.eps, dout, *ctx.saved_tensors), None


_forward.register_autograd(_gradient, setup_context=_save)
