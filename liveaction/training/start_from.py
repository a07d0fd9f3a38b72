"""Begin with the weights of another model instead of the recipe's own start."""

import re
from pathlib import Path

from liveaction.codec.codec import Codec
from liveaction.codec.weights import read_model
from liveaction.errors import SpecError
from liveaction.spec import Recipe


def take_weights(codec: Codec, recipe: Recipe, folder: Path) -> None:
    """Give ``codec`` the weights of the model in ``folder``, in place.

    Where both decoders have the same settings, all of them. Otherwise the encoder's, a predict step's, the
    quantiser's, and those of the linear path back where both have one, of all trees; a network beside or behind that
    path adds nothing at step 0.

    Raises:
        FormatError, IntegrityError: not a whole model directory.
        SpecError: the two differ in more than the decoder.
    """
    given, other, _ = read_model(folder)
    _check_agreement(recipe, other, folder)
    state = given.state_dict()
    if recipe.codec.decoder != other.codec.decoder:
        linear = codec.decoder.linear is not None
        parts = re.compile(rf"(others\.\d+\.)?(encoder|predictor|quantizer{'|decoder.linear' if linear else ''})\.")
        state = {name: tensor for name, tensor in state.items() if parts.match(name)}
        if linear and given.decoder.linear is not None and codec.decoder.network is not None:
            codec.decoder.start_at_linear_path()
        if codec.behind is not None:
            codec.behind.start_at_nothing()
    codec.load_state_dict(codec.state_dict() | state)


def _check_agreement(recipe: Recipe, other: Recipe, folder: Path) -> None:
    """Refuse a model whose latents would mean something else."""
    ours, theirs = _settings(recipe), _settings(other)
    for name, value in ours.items():
        if theirs[name] != value:
            raise SpecError(
                f"--start-from {folder}: expected {name} {value!r} as in the recipe, got {theirs[name]!r}; "
                "only codec.decoder and codec.compute_dtype may differ"
            )


def _settings(recipe: Recipe) -> dict[str, object]:
    """What both must have in common, by the keys of a recipe."""
    codec = recipe.codec.model_dump(mode="json", exclude={"decoder", "compute_dtype"})
    modality = recipe.modality.model_dump(mode="json", include={"axes", "channels", "range"})
    return {f"modality.{k}": v for k, v in modality.items()} | {f"codec.{k}": v for k, v in codec.items()}
