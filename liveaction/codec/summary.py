"""What a recipe amounts to: sizes, parameters, multiplications per sample, advice. Nothing is allocated."""

from dataclasses import dataclass
from math import prod

import torch
from torch.utils.flop_counter import FlopCounterMode

from liveaction.codec.codec import Codec, build_codec
from liveaction.codec.parameters import count_parameters
from liveaction.errors import SpecError
from liveaction.spec import Recipe
from liveaction.transforms.wavelet import filter_bank, level_filters


@dataclass(frozen=True)
class Summary:
    """Figures of one recipe on one shape.

    Attributes:
        shape: extents S of the signal; ``padded`` after padding; ``grid`` G of the latents.
        channels: of the signal. With a basis of its own all that follows is of each component, of which there are at
            most as many.
        hidden: E; ``latent_channels``: L.
        dimension_reduction: input elements per latent element, padding included.
        encoder_parameters, decoder_parameters: learned numbers on either side.
        encoder_macs, decoder_macs: multiply-accumulates per sample of the padded signal in the learned parts, without
            the wavelets; ``wavelet_macs`` one way, ``basis_macs`` at most, for the components of an own basis, and
            ``predict_macs`` of a predict step at most, of all trees, on either side.
        advice: one line per published heuristic that the recipe breaks.
    """

    recipe: str
    shape: tuple[int, ...]
    channels: int
    padded: tuple[int, ...]
    grid: tuple[int, ...]
    hidden: int
    latent_channels: int
    dimension_reduction: float
    encoder_parameters: int
    decoder_parameters: int
    encoder_macs: float
    decoder_macs: float
    wavelet_macs: float
    basis_macs: float
    predict_macs: float
    advice: tuple[str, ...]


def summarise(recipe: Recipe, shape: tuple[int, ...] | None = None, channels: int | None = None) -> Summary:
    """Build the codec on the meta device and count.

    Args:
        shape: extents of a signal; the largest training crop where None.
        channels: of the signal; where None the recipe's, or 1 where it takes any number.

    Raises:
        SpecError: ``shape`` has another number of axes, ``channels`` are not the recipe's, or it cannot be built.
    """
    shape = shape or max(recipe.crops, key=prod)
    if len(shape) != recipe.axes or min(shape) < 1:
        raise SpecError(f"--shape: expected {recipe.axes} positive extents {recipe.modality.axes}, got {shape}")
    channels = (recipe.modality.channels or 1) if channels is None else channels
    if not recipe.modality.takes(channels):
        many = str(recipe.modality.channels or "at least 1")
        raise SpecError(
            f"--channels: expected {many} as recipe {recipe.name} has, got {channels}; change modality.channels, or "
            "leave the option out"
        )
    with torch.device("meta"):
        codec = build_codec(recipe)
    factors = recipe.codec.factors(recipe.axes)
    grid = tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))
    padded = tuple(g * f for g, f in zip(grid, factors, strict=True))
    samples = prod(padded) * recipe.channels
    width, latent = recipe.hidden, recipe.latents
    learned = count_parameters(recipe)
    return Summary(
        recipe=recipe.name,
        shape=shape,
        channels=channels,
        padded=padded,
        grid=grid,
        hidden=width,
        latent_channels=latent,
        dimension_reduction=prod(shape) * recipe.channels / (prod(grid) * latent),
        encoder_parameters=learned.encoder,
        decoder_parameters=learned.decoder,
        encoder_macs=_macs(codec.encoder, (1, width, *grid)) / samples,
        decoder_macs=(_macs(codec.decoder, (1, latent, *grid)) + _behind_macs(codec, padded)) / samples,
        wavelet_macs=_wavelet_macs(codec),
        basis_macs=float(channels) if recipe.codec.encoder.basis == "own" else 0.0,
        predict_macs=max(0.0 if tree.predictor is None else tree.predictor.macs for tree in codec.trees),
        advice=tuple(_advice(recipe, padded)),
    )


def _behind_macs(codec: Codec, padded: tuple[int, ...]) -> float:
    """Of the network behind a sparse encoder, which is the same whatever the tree."""
    if codec.behind is None:
        return 0.0
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        codec.behind.residual(torch.empty((1, codec.channels, *padded), device="meta"))
    return counter.get_total_flops() / 2


def _macs(module: torch.nn.Module, shape: tuple[int, ...]) -> float:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module(torch.empty(shape, device="meta"))
    return counter.get_total_flops() / 2


def _wavelet_macs(codec: Codec) -> float:
    """Multiplications per sample, summed over axes: taps of the composite filters of each stage of levels.

    A lapped axis takes two products of half a block of M for its DCT, and one for the border: 3/4 M.
    """
    packets = codec.packets
    taps = (filter_bank(packets.wavelet, levels, packets.boundary).analysis.shape[1] for _, levels in packets.stages)
    return float(sum(taps)) + 0.75 * sum(packets.lapped)


def _advice(recipe: Recipe, padded: tuple[int, ...]) -> list[str]:
    """The published heuristics that the recipe breaks on a signal of these extents, each with what to change."""
    codec, width, sparse = recipe.codec, recipe.hidden, recipe.codec.encoder.sparse
    lines = []
    if not sparse and not 512 <= width <= 1536:
        way = "fewer" if width > 1536 else "more"
        lines.append(f"the hidden width C*2^(J*D) is {width}, outside 512 to 1536; try {way} codec.levels")
    if codec.encoder.kind not in ("linear", "sparse", "predicted") and codec.encoder.depth != 4:
        lines.append(f"encoder depth is {codec.encoder.depth}; 4 served every published configuration")
    if codec.decoder.kind == "vit" and codec.decoder.depth != 8:
        lines.append(f"decoder depth is {codec.decoder.depth}; 8 served every published configuration")
    if width / recipe.latents > 128:
        lines.append(
            f"the dimension reduction is {width / recipe.latents:g}; more than 128 loses detail that no decoder "
            "brings back, try more codec.latent_channels"
        )
    if recipe.modality.channels > 16 and recipe.axes < 3 and codec.encoder.basis == "none":
        lines.append(
            f"{recipe.modality.channels} channels: where they share a unit and are as many as the samples along an "
            "axis, make them an axis"
        )
    taps = len(level_filters(codec.wavelet)[0])
    needed = [taps * 2 ** (level - 1) if level else 1 for level in codec.levels_per_axis(recipe.axes)]
    if codec.boundary == "folded" and any(n < least for n, least in zip(padded, needed, strict=True)):
        lines.append(
            f"the folded boundary does not invert axes shorter than {', '.join(map(str, needed))} samples, got "
            f"{', '.join(map(str, padded))}; outside published weights take codec.boundary symmetric"
        )
    return lines
