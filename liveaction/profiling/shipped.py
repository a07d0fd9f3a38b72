"""What the shipped recipes launch on GPUs, for compiling it ahead of time; and that as a table.

Tokens are few: launches depend on channels, groups, dtypes and, for the packets, on extents.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch

from liveaction.kernels import depthwise, linear_attention, monarch, monarch_quantize, pointwise_block, quantize
from liveaction.kernels.wavelet_packet_ops import flat
from liveaction.nn.sizes import choose_groups
from liveaction.testing_ahead import Ahead, Calls, Compiled
from liveaction.transforms.packet import packet_plan
from liveaction.transforms.wavelet import split_levels

MODULE = "liveaction.profiling.shipped"
CAPABILITIES = (80, 86, 90, 120)
"""A100; RTX 30 and A40, and as far as launches go RTX 40 and L40 (89) too; H100 and H200; RTX 50."""

WIDTHS = (512, 768, 896, 1024, 1536)
"""Channels of a token in the recipes that are not for a CPU."""

SMALL = (192, 256, 448)
"""Channels of a token in the light ones."""

HEADS = 32
TOKENS = 64
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

PACKETS = (
    ((3, 3, 3), "symmetric", 1, (512, 512, 512)),
    ((3, 3, 3), "periodic", 3, (8, 1080, 1920)),
    ((4, 4), "symmetric", 3, (1024, 1024)),
    ((7,), "symmetric", 7, (2**20,)),
)
"""Levels, boundary, channels and extents."""


def products(capability: int) -> Calls:
    """Kernels with matrix products, forward and backward: those that need shared memory."""
    for name, dtype in DTYPES.items():
        for width in WIDTHS:
            yield f"monarch {width} {name}", partial(_there_and_back, _monarch, width, dtype)
        for width in (*SMALL, *WIDTHS):
            yield f"pointwise_block {width} {name}", partial(_there_and_back, _block, width, dtype)
        yield f"linear_attention {HEADS} {name}", partial(_there_and_back, _heads, HEADS, dtype)
        for width, latents in ((512, 8), (896, 28), (1536, 48)):
            yield f"monarch_quantize {width} to {latents} {name}", partial(_symbols, width, latents, dtype)
    for width in (512, 896):
        run = partial(_there_and_back, partial(_block, of_x=torch.float32), width, torch.bfloat16)
        yield f"pointwise_block {width} float32 around bfloat16", run
    for levels, boundary, channels, extents in PACKETS:
        call = f"wavelet_packet {channels} x {' x '.join(map(str, extents))}, {levels} levels, {boundary}"
        yield call, partial(_packets, levels, boundary, channels, extents)


TIGHT = ("pointwise_block 512 float32",)
TIGHTER = (*TIGHT, "monarch 896 float32", "pointwise_block 512 bfloat16", f"linear_attention {HEADS} float32")
"""Calls that come closest to what a card has."""


def tight(capability: int) -> Calls:
    """The closest of all products, for tests: more on the cards with the least and the most shared memory."""
    return ((call, run) for call, run in products(capability) if call in (TIGHTER if capability in (86, 90) else TIGHT))


def elementwise(capability: int) -> Calls:
    """Kernels without products, which take no more shared memory than a sum over a block: one card stands for all."""
    for name, dtype in DTYPES.items():
        x, sigma = torch.empty(1, 512, TOKENS, dtype=dtype), torch.ones(512)
        for operation in (quantize.compand, quantize.expand, partial(quantize.quantize, step=1.0)):
            yield f"{getattr(operation, '__name__', 'quantize')} {name}", partial(_gradients, operation, [x])
        for seed in (None, torch.ones(1, dtype=torch.int64)):
            run = partial(quantize.laplace_quantize, step=1.0, noise_seed=seed)
            yield f"laplace_quantize 512 {name}", partial(_gradients, run, [x, sigma])
        for width in (512, 1536):
            yield f"absorbed_attention {width} {name}", partial(_there_and_back, _absorbed, width, dtype)
        for width, axes in ((896, 1), (768, 2), (512, 3)):
            convolve = partial(_there_and_back, partial(_depthwise, axes=axes), 6 * width, dtype)
            yield f"depthwise {6 * width} {name}, {axes} axes", convolve


def _gradients(operation: Callable[..., torch.Tensor], tensors: Sequence[torch.Tensor]) -> None:
    leaves = [t.detach().requires_grad_() for t in tensors]
    y = operation(*leaves)
    torch.autograd.grad(y, leaves, torch.empty_like(y))


Made = tuple[Callable[..., torch.Tensor], list[torch.Tensor]]


def _there_and_back(make: Callable[[int, torch.dtype], Made], width: int, dtype: torch.dtype) -> None:
    _gradients(*make(width, dtype))


def _factors(width: int, dtype: torch.dtype) -> list[torch.Tensor]:
    g1, g2 = choose_groups(width, width)
    return [torch.empty(g1, g2, g2, dtype=dtype), torch.empty(g2, g1, g1, dtype=dtype)]


def _monarch(width: int, dtype: torch.dtype) -> Made:
    return monarch.monarch, [torch.empty(1, width, TOKENS, dtype=dtype), *_factors(width, dtype)]


def _block(width: int, dtype: torch.dtype, of_x: torch.dtype | None = None) -> Made:
    vector = torch.empty(width, dtype=dtype)
    half = [*_factors(width, dtype), vector]
    x = torch.empty(1, width, TOKENS, dtype=of_x or dtype)

    def block(x: torch.Tensor, *parameters: Any) -> torch.Tensor:
        with torch.autocast("cpu", dtype, enabled=of_x is not None):
            return pointwise_block.pointwise_block(x, *parameters)

    return block, [x, *half, *half, vector]


def _heads(width: int, dtype: torch.dtype) -> Made:
    packed = torch.empty(1, TOKENS, 3, 512 // width, width, dtype=dtype).permute(2, 0, 3, 4, 1)
    return linear_attention.linear_attention, list(packed.unbind(0))


def _absorbed(width: int, dtype: torch.dtype) -> Made:
    weights = [torch.empty(n * width, width, dtype=dtype) for n in (3, 1)]
    return linear_attention.absorbed_attention, [torch.empty(1, width, TOKENS, dtype=dtype), *weights]


def _depthwise(width: int, dtype: torch.dtype, axes: int) -> Made:
    x, weight = torch.empty(1, width, *(4,) * axes, dtype=dtype), torch.empty(width, 1, *(3,) * axes, dtype=dtype)
    bias = torch.empty(width, dtype=dtype)
    return lambda x, weight, bias: depthwise.depthwise(x, [weight], bias), [x, weight, bias]


def _symbols(width: int, latents: int, dtype: torch.dtype) -> None:
    g1, g2 = choose_groups(width, latents)
    w1, w2 = torch.empty(g1, g2, g2, dtype=dtype), torch.empty(g2, latents // g2, g1, dtype=dtype)
    x, vector = torch.empty(1, width, TOKENS, dtype=dtype), torch.ones(latents)
    for bias, sigma in ((None, None), (vector, vector)):
        monarch_quantize.monarch_quantize(x, w1, w2, bias, 1.0, sigma)


def _packets(levels: tuple[int, ...], boundary: str, channels: int, extents: tuple[int, ...]) -> None:
    """Both directions and their adjoints, companded too, on meta tensors: signals of this size need not be there."""
    from liveaction.kernels.wavelet_packet_launch_triton import merge, split

    stages = tuple((axis, part) for axis, level in enumerate(levels) for part in split_levels("bior4.4", level))
    plan: Any = packet_plan("bior4.4", stages, boundary, "level", channels, extents, torch.float32, torch.device("cpu"))
    tables, layout = flat(plan)
    x = torch.empty(1, channels, *extents, device="meta")
    for companded in (False, True):
        y = split(x, tables, layout, False, companded)
        merge(y, tables, layout, False, companded)
        at = y if companded else None
        merge(y, tables, layout, True, at=at)
        split(x, tables, layout, True, at=at)


def row(ahead: Ahead, one: Compiled) -> dict[str, Any]:
    """A kernel as the record has it."""
    values = {name: value for name, value in asdict(one).items() if name != "instructions"}
    return {"capability": ahead.capability, **values, "matrix_instructions": one.matrix_instructions}


def table(found: Sequence[Ahead]) -> Iterator[str]:
    """Lines of a table in Markdown: a kernel per row, with what it takes."""
    yield "| sm | call | kernel | warps | stages | registers | spilled bytes | shared KiB |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for ahead in found:
        for one in ahead.kernels:
            flags = " ".join(name for name, value in one.constants.items() if value is True)
            cells = (
                ahead.capability, one.call, f"{one.kernel} {flags}".strip(), one.num_warps, one.num_stages,
                one.registers, one.spills, f"{one.shared / 1024:g}",
            )  # fmt: skip
            yield f"| {' | '.join(map(str, cells))} |"
