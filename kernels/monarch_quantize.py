"""Monarch projection to symbols, where the latents themselves are not wanted: no gradient."""

import torch

from liveaction.errors import ShapeError
from liveaction.kernels.dispatch import choose, dtype_refused, working_dtype
from liveaction.kernels.layout import empty_tokens_last
from liveaction.kernels.monarch import check_factors, monarch
from liveaction.kernels.quantize import laplace_quantize, quantize


def monarch_quantize(
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    bias: torch.Tensor | None,
    step: float,
    sigma: torch.Tensor | None = None,
) -> torch.Tensor:
    """Symbols round(u / step), half to even, of projected tokens y; u is y, or y companded to [-127, 127].

    For inference: the result has no gradient. The Triton kernel takes the factors as one dense matrix, which suits few
    outputs, and neither rounds y to the dtype of ``x`` nor writes it. A dense layer with the weight ``[C_out, C_in]``
    has the factors ``ones[C_in, 1, 1]`` and ``weight[None]``.

    Args:
        x, w1, w2, bias: as for :func:`liveaction.kernels.monarch.monarch`.
        step: distance of two levels.
        sigma: ``[C_out]``, the scales of :func:`liveaction.kernels.quantize.laplace_compand`; None leaves y as it is.

    Returns:
        Integers in float32 (float64 for float64 input), ``[B, C_out, *S]``. The Triton kernel returns them with
        channels innermost in memory.

    Raises:
        ShapeError: the factors do not fit each other or ``x``, or there is not one scale per output.
    """
    check_factors(x, w1, w2)
    outputs = w2.shape[0] * w2.shape[1]
    if sigma is not None and sigma.shape != (outputs,):
        raise ShapeError(f"monarch_quantize: expected sigma [{outputs}], got {tuple(sigma.shape)}")
    with torch.no_grad():
        dtype = working_dtype(x)
        if choose("monarch_quantize", x, lambda: dtype_refused(x)) == "triton":
            symbols: torch.Tensor = torch.ops.liveaction.monarch_quantize(
                x.to(dtype), w1.to(dtype), w2.to(dtype), bias, step, sigma
            )
            return symbols
        y = monarch(x, w1, w2, bias)
        y = y.to(torch.promote_types(y.dtype, torch.float32))
        return quantize(y, step) if sigma is None else laplace_quantize(y, sigma, step)


@torch.library.custom_op("liveaction::monarch_quantize", mutates_args=())
def _op(
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    bias: torch.Tensor | None,
    step: float,
    sigma: torch.Tensor | None,
) -> torch.Tensor:
    from liveaction.kernels import monarch_quantize_triton

    return monarch_quantize_triton.forward(x, w1, w2, bias, step, sigma)


_op.register_fake(lambda x, w1, w2, bias, step, sigma: empty_tokens_last(x, w2.shape[0] * w2.shape[1], torch.float32))
