"""How many numbers a recipe's codec learns, on either side; nothing is built, and no torch imported."""

from dataclasses import dataclass

from liveaction.nn.sizes import (
    correction_parameters,
    decoder_parameters,
    encoder_parameters,
    refiner_parameters,
    rotation_parameters,
)
from liveaction.spec import CodecSpec, Recipe


@dataclass(frozen=True)
class Parameters:
    """Learned numbers: ``encoder`` is all that a sensor needs, the quantiser and what predicts included."""

    encoder: int
    decoder: int


def count_parameters(recipe: Recipe) -> Parameters:
    """Those of the codec that ``build_codec`` makes of the recipe, which may be too large for this machine."""
    counts = [_of_tree(recipe, recipe.codec.tree(number)) for number in range(1 + len(recipe.codec.trees))]
    shared = 0  # one network behind all trees
    if recipe.codec.encoder.sparse:
        shared = correction_parameters(recipe.codec.decoder, recipe.channels, recipe.codec.fold(recipe.axes))
    return Parameters(sum(count.encoder for count in counts), shared + sum(count.decoder for count in counts))


def _of_tree(recipe: Recipe, codec: CodecSpec) -> Parameters:
    axes, channels = recipe.axes, recipe.channels
    width = channels * codec.bands(axes)
    latents = codec.latent_channels or width
    scales = latents if codec.quantizer.kind == "laplace" else 0
    path = rotation_parameters(codec.encoder, width, channels) if codec.encoder.sparse else None
    predictor = 0
    if codec.encoder.kind == "predicted":
        *coarse, finest = codec.refinements(axes)
        splits = (*dict.fromkeys(coarse), finest)
        predictor = sum(refiner_parameters(codec.encoder, channels, split) for split in splits)
    return Parameters(
        encoder_parameters(codec.encoder, axes, width, latents, channels) + scales + predictor,
        decoder_parameters(codec.decoder, axes, width, latents, path),
    )
