"""Options of a modality: a table of a recipe, checked by a frozen model that refuses unknown keys."""

import difflib
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from liveaction.errors import SpecError, printable
from liveaction.spec import broken_rule

Table = TypeVar("Table", bound="Options")


class Options(BaseModel):
    """Base of the ``options`` tables that modalities take."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def parse_options(model: type[Table], options: dict[str, Any]) -> Table:
    """``modality.options`` of a recipe as ``model``.

    Raises:
        SpecError: an unknown key, or a value that breaks a rule of the model; names the key.
    """
    try:
        return model.model_validate(options)
    except ValidationError as error:
        raise SpecError(_explain(error, sorted(model.model_fields))) from error


def _explain(error: ValidationError, known: list[str]) -> str:
    first = error.errors()[0]
    key = printable(".".join(map(str, first["loc"])))
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, known) or known
        listed = ", ".join(close) if known else "no options at all"
        return f"[modality.options] {key}: expected a known key, got {key!r}; did you mean {listed}?"
    message = broken_rule(first, f"modality.options.{key}").replace("input should be", "expected", 1)
    way = "" if "; " in message else "; change it in the recipe"
    return f"[modality.options] {key}: {message}{way}"
