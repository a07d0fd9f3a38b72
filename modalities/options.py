"""The table ``[modality.options]`` of a recipe."""

from liveaction.errors import SpecError
from liveaction.spec import ModalitySpec


def refuse_options(spec: ModalitySpec) -> None:
    """For modalities that have none.

    Raises:
        SpecError: the recipe sets one.
    """
    if spec.options:
        key = next(iter(spec.options))
        raise SpecError(f"[modality.options] {key}: expected no options for {spec.name}, got {key!r}; remove it")
