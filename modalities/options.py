"""A modality's own options: ``[modality.options]`` of a recipe, checked by a model that refuses unknown keys."""

import difflib
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from liveaction.errors import SpecError


class Options(BaseModel):
    """What a modality's options derive from: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


Model = TypeVar("Model", bound=Options)


def parse_options(model: type[Model], options: dict[str, Any]) -> Model:
    """The options as ``model`` has them.

    Raises:
        SpecError: an unknown key or a value that breaks a rule, in one line.
    """
    try:
        return model.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "options"
    if first["type"] == "extra_forbidden":
        known = sorted(model.model_fields)
        close = difflib.get_close_matches(key, known) or known
        raise SpecError(
            f"[modality.options] {key}: expected a known key, got {key!r}; did you mean {', '.join(close)}?"
        )
    said = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    said = said if said.startswith("expected") else f"expected {said[:1].lower() + said[1:]}"
    raise SpecError(f"[modality.options] {key}: {said}, got {first['input']!r}; change it in the recipe")
