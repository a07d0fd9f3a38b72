"""Cases of what networks are made of: projections, blocks, attention, convolutions."""

from collections.abc import Callable
from math import gcd, prod

import torch

from liveaction.kernels import depthwise as convolutions
from liveaction.kernels import dispatch, group_norm, linear_attention
from liveaction.kernels import monarch as projections
from liveaction.kernels.pointwise_block import pointwise_block, pointwise_block_reference
from liveaction.nn.sizes import choose_groups
from liveaction.profiling import anchors
from liveaction.profiling.case import Arguments, Case, Shape
from liveaction.profiling.sizes import AUDIO, CT, CT_LARGE, VIDEO, normal, odd_tokens, size, tokens

HEAD_DIM = 32


def _factors(channels: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    g1, g2 = choose_groups(channels, channels)
    w1 = torch.randn(g1, g2, g2, generator=generator) / g2**0.5
    return w1, torch.randn(g2, channels // g2, g1, generator=generator) / g1**0.5


def _weights(shape: Shape) -> int:
    """Entries of the two factors, which are also the multiplications per token."""
    return shape[1] * sum(choose_groups(shape[1], shape[1]))


def monarch() -> Case:
    """Monarch projection C -> C."""

    def inputs(shape: Shape, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> Arguments:
        factors = _factors(shape[1], generator)
        return normal(shape, dtype, device, generator), *(w.to(device, dtype) for w in factors)

    return Case(
        name="monarch",
        make_inputs=inputs,
        function=projections.monarch,
        reference=projections.monarch_reference,
        bytes=lambda shape, dtype: 2 * size(shape, dtype) + _weights(shape) * dtype.itemsize,
        flops=lambda shape: 2 * tokens(shape) * _weights(shape),
        backward_bytes=lambda shape, dtype: 3 * size(shape, dtype) + 2 * _weights(shape) * dtype.itemsize,
        backward_flops=lambda shape: 4 * tokens(shape) * _weights(shape),
        shapes=(CT, AUDIO),
        large=(CT_LARGE, VIDEO),
        dispatched=dispatch.PROVIDERS,
        anchor=anchors.monarch,
    )


def block() -> Case:
    """The encoder's pointwise block: two Monarch projections, norms, GELU, skip."""

    def inputs(shape: Shape, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> Arguments:
        def half() -> list[torch.Tensor]:
            gain = 1 + 0.1 * torch.randn(shape[1], generator=generator)
            return [t.to(device, dtype) for t in (*_factors(shape[1], generator), gain)]

        scale = 0.5 * torch.randn(shape[1], generator=generator)
        return normal(shape, dtype, device, generator), *half(), *half(), scale.to(device, dtype)

    def parameters(shape: Shape) -> int:
        return 2 * _weights(shape) + 3 * shape[1]

    def flops(shape: Shape) -> int:
        """Per channel: norms 2 x 4, GELU 10, scale and skip 2."""
        return tokens(shape) * (4 * _weights(shape) + 20 * shape[1])

    return Case(
        name="pointwise_block",
        make_inputs=inputs,
        function=pointwise_block,
        reference=pointwise_block_reference,
        bytes=lambda shape, dtype: 2 * size(shape, dtype) + parameters(shape) * dtype.itemsize,
        flops=flops,
        backward_bytes=lambda shape, dtype: 3 * size(shape, dtype) + 2 * parameters(shape) * dtype.itemsize,
        backward_flops=lambda shape: 2 * flops(shape),
        shapes=(CT, AUDIO),
        large=(CT_LARGE, VIDEO),
        dispatched=dispatch.PROVIDERS,
    )


def norm() -> Case:
    """GroupNorm of 8 groups with GELU, as the decoder's convolutions have it."""

    def inputs(shape: Shape, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> Arguments:
        weight, bias = (torch.randn(shape[1], generator=generator).to(device, dtype) for _ in range(2))
        return normal(shape, dtype, device, generator), weight, bias

    def bound(run: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        return lambda x, weight, bias: run(x, gcd(8, x.shape[1]), weight, bias, 1e-5, True)

    def flops(shape: Shape) -> int:
        """Per element: sums of values and squares 3, norm 4, GELU 10."""
        return 17 * prod(shape)

    return Case(
        name="group_norm",
        make_inputs=inputs,
        function=bound(group_norm.group_norm),
        reference=bound(group_norm.group_norm_reference),
        bytes=lambda shape, dtype: 2 * size(shape, dtype) + 2 * shape[1] * dtype.itemsize,
        flops=flops,
        backward_bytes=lambda shape, dtype: 3 * size(shape, dtype) + 4 * shape[1] * dtype.itemsize,
        backward_flops=lambda shape: 2 * flops(shape),
        gate_shapes=odd_tokens,
        shapes=((1, 3072, 16, 16, 16),),
        large=((1, 3072, 32, 32, 32),),
        dispatched=dispatch.PROVIDERS,
    )


def attention() -> Case:
    """Heads of 32 channels, one head where 32 does not divide them; q, k and v of a shape each."""

    def head_dim(shape: Shape) -> int:
        return HEAD_DIM if shape[1] % HEAD_DIM == 0 else shape[1]

    def inputs(shape: Shape, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> Arguments:
        flat = (shape[0], shape[1], prod(shape[2:]))
        qkv = (normal(flat, dtype, device, generator) for _ in range(3))
        return tuple(tensor.unflatten(1, (-1, head_dim(shape))) for tensor in qkv)

    def flops(shape: Shape) -> int:
        return tokens(shape) * shape[1] * 4 * (head_dim(shape) + 1)

    return Case(
        name="linear_attention",
        make_inputs=inputs,
        function=linear_attention.linear_attention,
        reference=lambda q, k, v: linear_attention.linear_attention_reference(q, k, v, 1e-5),
        bytes=lambda shape, dtype: 3 * size(shape, dtype) + size(shape, torch.float32),
        flops=flops,
        backward_bytes=lambda shape, dtype: 6 * size(shape, dtype) + size(shape, torch.float32),
        backward_flops=lambda shape: 2 * flops(shape),
        gate_shapes=odd_tokens,
        shapes=(CT, AUDIO),
        large=(CT_LARGE, VIDEO),
        dispatched=dispatch.PROVIDERS,
    )


def absorbed() -> Case:
    """One head as wide as the token, with the projections around it."""

    def inputs(shape: Shape, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> Arguments:
        channels = shape[1]
        weights = (torch.randn(rows, channels, generator=generator) for rows in (3 * channels, channels))
        x = normal((shape[0], channels, prod(shape[2:])), dtype, device, generator)
        return x, *((w / channels**0.5).to(device, dtype) for w in weights)

    def flops(shape: Shape) -> int:
        """Query, key, state and result: 2 C^2 per token each; value and output projections are absorbed."""
        return 8 * tokens(shape) * shape[1] ** 2

    def weights_size(shape: Shape, dtype: torch.dtype) -> int:
        return 4 * shape[1] ** 2 * dtype.itemsize

    return Case(
        name="absorbed_attention",
        make_inputs=inputs,
        function=linear_attention.absorbed_attention,
        reference=lambda x, w_qkv, w_out: linear_attention.absorbed_attention_reference(x, w_qkv, w_out, 1e-5),
        bytes=lambda shape, dtype: 2 * size(shape, dtype) + weights_size(shape, dtype),
        flops=flops,
        backward_bytes=lambda shape, dtype: 3 * size(shape, dtype) + 2 * weights_size(shape, dtype),
        backward_flops=lambda shape: 2 * flops(shape),
        gate_shapes=odd_tokens,
        shapes=((1, 512, 16, 16, 16),),
        large=(CT, CT_LARGE, VIDEO),
        dispatched=dispatch.PROVIDERS,
        anchor=anchors.attention,
    )


def depthwise() -> Case:
    """The joint kernel of 3**D taps, on at most three axes."""

    def inputs(shape: Shape, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> Arguments:
        taps = (3,) * (len(shape) - 2)
        weight = torch.randn(shape[1], 1, *taps, generator=generator) / 3 ** (len(taps) / 2)
        bias = torch.randn(shape[1], generator=generator)
        return normal(shape, dtype, device, generator), weight.to(device, dtype), bias.to(device, dtype)

    def weights(shape: Shape) -> int:
        return int(shape[1] * (3 ** (len(shape) - 2) + 1))

    def flops(shape: Shape) -> int:
        return 2 * tokens(shape) * weights(shape)

    return Case(
        name="depthwise",
        make_inputs=inputs,
        function=lambda x, weight, bias: convolutions.depthwise(x, [weight], bias),
        reference=lambda x, weight, bias: convolutions.depthwise_reference(x, weight, bias, convolutions.JOINT),
        bytes=lambda shape, dtype: 2 * size(shape, dtype) + weights(shape) * dtype.itemsize,
        flops=flops,
        backward_bytes=lambda shape, dtype: 3 * size(shape, dtype) + 2 * weights(shape) * dtype.itemsize,
        backward_flops=lambda shape: 2 * flops(shape),
        refuses=lambda shape: "" if len(shape) <= 5 else "expected at most three axes",
        shapes=((1, 3072, 16, 16, 16), (1, 3072, 64, 64)),
        large=((1, 3072, 32, 32, 32),),
        dispatched=dispatch.PROVIDERS,
    )
