"""Cases of the wavelet packets. The shape is the signal's in both directions."""

from dataclasses import replace
from math import prod
from typing import Any

import torch

from liveaction.kernels import dispatch, quantize, wavelet_packet
from liveaction.profiling import anchors
from liveaction.profiling.case import Arguments, Case, Shape
from liveaction.profiling.sizes import normal, size
from liveaction.transforms.packet import packet_plan
from liveaction.transforms.wavelet import filter_bank, split_levels

WAVELET = "bior4.4"
LEVELS = {1: 7, 2: 3, 3: 3}
"""J per axis by the number of axes; 1 on more than three."""
LONGEST = 1024
"""The reference is one dense matrix per axis; longer axes take the composed form in float64 for the truth, which the
shorter ones of the same gate check."""


def _levels(shape: Shape) -> tuple[int, ...]:
    axes = len(shape) - 2
    return (LEVELS.get(axes, 1),) * axes


def _grid(shape: Shape) -> Shape:
    """The shape of the packets of a signal."""
    levels = _levels(shape)
    extents = (n // 2**level for n, level in zip(shape[2:], levels, strict=True))
    return (shape[0], shape[1] * 2 ** sum(levels), *extents)


def _plan(shape: Shape, dtype: torch.dtype, device: torch.device, published: bool = False) -> Any:
    levels = _levels(shape)
    stages = tuple((axis, part) for axis, level in enumerate(levels) for part in split_levels(WAVELET, level))
    boundary = ("folded3" if len(levels) == 3 else "folded") if published else "symmetric"
    order = "paper" if published else "level"
    return packet_plan(WAVELET, stages, boundary, order, shape[1], tuple(shape[2:]), dtype, device)


def _signal(packets: Shape) -> Shape:
    """The shape of the signal that packets are of."""
    levels = _levels(packets)
    extents = (n * 2**level for n, level in zip(packets[2:], levels, strict=True))
    return (packets[0], packets[1] // 2 ** sum(levels), *extents)


def _packet_fields() -> dict[str, Any]:
    """What analysis and synthesis have in common; the shape is the signal's in both."""

    def refuses(shape: Shape) -> str:
        factors = [2**level for level in _levels(shape)]
        fits = all(n % f == 0 for n, f in zip(shape[2:], factors, strict=True))
        return "" if fits else f"expected extents that are multiples of {factors}"

    def odd(shape: Shape) -> tuple[Shape, ...]:
        factors = [2**level for level in _levels(shape)]
        blocks = (5, 3, 7, *(1,) * len(factors))
        extents = (f * n for f, n in zip(factors, blocks, strict=False))
        return (1, shape[1], *factors), (2, shape[1], *extents)

    def flops(shape: Shape) -> int:
        taps = 0
        for level in _levels(shape):
            for part in split_levels(WAVELET, level):
                analysis = filter_bank(WAVELET, part, "symmetric").analysis
                taps += analysis.shape[1]
        return 2 * taps * prod(shape)

    def moved(shape: Shape, dtype: torch.dtype) -> int:
        return 2 * size(shape, dtype)

    return {
        "bytes": moved,
        "flops": flops,
        "backward_bytes": moved,
        "backward_flops": flops,
        "shapes": ((1, 1, 128, 128, 128), (1, 3, 512, 768), (1, 7, 2**18)),
        "large": ((1, 1, 512, 512, 512), (1, 3, 8, 1080, 1920), (1, 7, 2**20)),
        "dispatched": dispatch.PROVIDERS,
        "dtypes": ("float32",),
        "refuses": refuses,
        "gate_shapes": odd,
    }


def _analysed(x: torch.Tensor, plan: Any) -> torch.Tensor:
    own = _plan(tuple(x.shape), x.dtype, x.device)
    if max(x.shape[2:]) > LONGEST:
        return wavelet_packet.wavelet_packet_analysis_composed(x, own)
    return wavelet_packet.wavelet_packet_analysis_reference(x, own)


def _synthesised(y: torch.Tensor, plan: Any) -> torch.Tensor:
    shape = _signal(tuple(y.shape))
    own = _plan(shape, y.dtype, y.device)
    if max(shape[2:]) > LONGEST:
        return wavelet_packet.wavelet_packet_synthesis_composed(y, own)
    return wavelet_packet.wavelet_packet_synthesis_reference(y, own)


def analysis() -> Case:
    """Signal to packets."""

    def inputs(shape: Shape, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> Arguments:
        x = torch.randn(shape, generator=generator).to(device, dtype)
        return x, _plan(shape, dtype, device)

    def anchor_reference(x: torch.Tensor, plan: Any) -> torch.Tensor:
        theirs = _plan(tuple(x.shape), x.dtype, x.device, published=True)
        return wavelet_packet.wavelet_packet_analysis_composed(x, theirs)

    return Case(
        name="wavelet_packet_analysis",
        make_inputs=inputs,
        function=wavelet_packet.wavelet_packet_analysis,
        reference=_analysed,
        anchor=lambda x, plan: anchors.analysis(x, _levels(tuple(x.shape))[0]),
        anchor_reference=anchor_reference,
        **_packet_fields(),
    )


def synthesis() -> Case:
    """Packets to signal."""

    def inputs(shape: Shape, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> Arguments:
        return normal(_grid(shape), dtype, device, generator), _plan(shape, dtype, device)

    def anchor_reference(y: torch.Tensor, plan: Any) -> torch.Tensor:
        theirs = _plan(_signal(tuple(y.shape)), y.dtype, y.device, published=True)
        return wavelet_packet.wavelet_packet_synthesis_composed(y, theirs)

    return Case(
        name="wavelet_packet_synthesis",
        make_inputs=inputs,
        function=wavelet_packet.wavelet_packet_synthesis,
        reference=_synthesised,
        anchor=lambda y, plan: anchors.synthesis(y, _levels(tuple(y.shape))[0]),
        anchor_reference=anchor_reference,
        **_packet_fields(),
    )


def companded_analysis() -> Case:
    """Signal to companded packets; small signals, since rounding beside 0, where the slope is steep, decides else."""
    plain = analysis()

    def inputs(shape: Shape, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> Arguments:
        x, plan = plain.make_inputs(shape, dtype, device, generator)
        return 0.1 * x, plan

    return replace(
        plain,
        name="wavelet_packet_analysis_companded",
        make_inputs=inputs,
        function=lambda x, plan: wavelet_packet.wavelet_packet_analysis(x, plan, companded=True),
        reference=lambda x, plan: quantize.compand_reference(_analysed(x, plan)),
        backward_bytes=lambda shape, dtype: 3 * size(shape, dtype),
        anchor=None,
        anchor_reference=None,
    )


def companded_synthesis() -> Case:
    """Companded packets to signal; values of the size that companding gives."""
    plain = synthesis()

    def inputs(shape: Shape, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> Arguments:
        y, plan = plain.make_inputs(shape, dtype, device, generator)
        return 10 * y, plan

    return replace(
        plain,
        name="wavelet_packet_synthesis_companded",
        make_inputs=inputs,
        function=lambda y, plan: wavelet_packet.wavelet_packet_synthesis(y, plan, companded=True),
        reference=lambda y, plan: _synthesised(quantize.expand_reference(y), plan),
        backward_bytes=lambda shape, dtype: 3 * size(shape, dtype),
        anchor=None,
        anchor_reference=None,
    )
