# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Triton kernel of a dense projection to few channels, with bias, companding and rounding before the store."""

import torch
import triton
import triton.language as tl

from liveaction.kernels.launcher import Launch, Settings, launch
from liveaction.kernels.layout import empty_tokens_last, tokens_last
from liveaction.kernels.monarch import monarch_to_dense
from liveaction.kernels.monarch_tiling import padded
from liveaction.kernels.monarch_triton import PRECISION
from liveaction.kernels.quantize_triton import LEAST_SCALE, _laplace, _round_half_even


@triton.jit(do_not_specialize=["tokens"])
def project_quantize_kernel(
    x_ptr, weight_ptr, bias_ptr, sigma_ptr, s_ptr, tokens, step, C_IN: tl.constexpr, C_OUT: tl.constexpr,
    BIAS: tl.constexpr, LAPLACE: tl.constexpr,
    BLOCK_T: tl.constexpr, BLOCK_IN: tl.constexpr, BLOCK_OUT: tl.constexpr,
):  # fmt: skip
    """s ``[tokens, C_OUT]`` from x ``[tokens, C_IN]`` and the weight ``[C_OUT, C_IN]``. Grid: token x output tiles."""
    TILES_OUT: tl.constexpr = (C_OUT + BLOCK_OUT - 1) // BLOCK_OUT
    t = (tl.program_id(0) // TILES_OUT).to(tl.int64) * BLOCK_T + tl.arange(0, BLOCK_T)
    o = (tl.program_id(0) % TILES_OUT) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    y = tl.zeros((BLOCK_T, BLOCK_OUT), tl.float32)
    for start in range(0, C_IN, BLOCK_IN):
        i = start + tl.arange(0, BLOCK_IN)
        x_inside = (t < tokens)[:, None] & (i < C_IN)[None, :]
        x = tl.load(x_ptr + t[:, None] * C_IN + i[None, :], mask=x_inside, other=0.0)
        inside = (i < C_IN)[:, None] & (o < C_OUT)[None, :]
        weight = tl.load(weight_ptr + o[None, :] * C_IN + i[:, None], mask=inside, other=0.0)
        y = tl.dot(x, weight, acc=y, input_precision=PRECISION)
    if BIAS:
        y += tl.load(bias_ptr + o, mask=o < C_OUT, other=0.0).to(tl.float32)[None, :]
    if LAPLACE:
        sigma = tl.load(sigma_ptr + o, mask=o < C_OUT, other=1.0).to(tl.float32)
        y = _laplace(y, tl.where(sigma < LEAST_SCALE, LEAST_SCALE, sigma)[None, :])
    s = _round_half_even(tl.div_rn(y, tl.zeros_like(y) + step))
    tl.store(s_ptr + t[:, None] * C_OUT + o[None, :], s, mask=(t < tokens)[:, None] & (o < C_OUT)[None, :])


def forward(
    x: torch.Tensor,
    w1: torch.Tensor,
    w2: torch.Tensor,
    bias: torch.Tensor | None,
    step: float,
    sigma: torch.Tensor | None,
) -> torch.Tensor:
    """See :func:`liveaction.kernels.monarch_quantize.monarch_quantize`; a new tensor with the channels innermost."""
    with torch.autocast(x.device.type, enabled=False):
        weight = monarch_to_dense(w1, w2).contiguous()
    tokens, symbols = tokens_last(x), empty_tokens_last(x, len(weight), torch.float32)
    if symbols.numel() == 0:
        return symbols
    outputs, inputs = weight.shape
    arguments = {"x_ptr": tokens, "weight_ptr": weight, "s_ptr": tokens_last(symbols)}
    arguments["bias_ptr"] = weight if bias is None else bias.contiguous()
    arguments["sigma_ptr"] = weight if sigma is None else sigma.contiguous()

    def describe(chosen: Settings) -> list[Launch]:
        tile = {name: chosen[name] for name in ("BLOCK_T", "BLOCK_IN", "BLOCK_OUT")}
        constants = {"C_IN": inputs, "C_OUT": outputs, "BIAS": bias is not None, "LAPLACE": sigma is not None, **tile}
        programs = triton.cdiv(len(tokens), chosen["BLOCK_T"]) * triton.cdiv(outputs, chosen["BLOCK_OUT"])
        kernel, warps, stages = project_quantize_kernel, chosen["num_warps"], chosen["num_stages"]
        given = {**arguments, "tokens": len(tokens), "step": step}
        return [Launch(kernel, (programs,), given, constants, warps, stages)]

    # float32 operands take three products, hence more registers
    most = 64 if weight.element_size() == 2 else 32 if outputs <= 32 else 16
    default = {"BLOCK_T": 64, "BLOCK_IN": min(most, padded(inputs)), "BLOCK_OUT": min(64, padded(outputs))}
    default |= {"num_warps": 4, "num_stages": 2}
    key = f"{inputs}x{outputs} {str(weight.dtype).removeprefix('torch.')}"
    least = {"BLOCK_IN": 16, "BLOCK_T": 16}
    launch("monarch_quantize", key, weight.device, default, least, describe)
    return symbols
