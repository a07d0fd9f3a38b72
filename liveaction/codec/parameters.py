"""How many numbers a recipe's codec learns, on either side; nothing is built, and no torch imported."""

from dataclasses import dataclass

from liveaction.nn.sizes import decoder_parameters, encoder_parameters
from liveaction.spec import Recipe


@dataclass(frozen=True)
class Parameters:
    """Learned numbers: ``encoder`` is all that a sensor needs, the quantiser included."""

    encoder: int
    decoder: int


def count_parameters(recipe: Recipe) -> Parameters:
    """Those of the codec that ``build_codec`` makes of the recipe, which may be too large for this machine."""
    codec, axes, width = recipe.codec, recipe.axes, recipe.hidden
    scales = recipe.latents if codec.quantizer.kind == "laplace" else 0
    return Parameters(
        encoder_parameters(codec.encoder, axes, width, recipe.latents) + scales,
        decoder_parameters(codec.decoder, axes, width, recipe.latents),
    )
