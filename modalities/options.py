"""Options of a modality: a table of a recipe, checked by a frozen model that refuses unknown keys."""

import difflib
from math import isnan
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from liveaction.errors import SpecError, printable
from liveaction.spec import Finite, broken_rule

Table = TypeVar("Table", bound="Options")


class Options(BaseModel):
    """Base of the ``options`` tables that modalities take."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class NoDataOptions(Options):
    """Options of a modality whose files cannot say it themselves: ``no_data`` stands where nothing was measured."""

    no_data: Literal["nan"] | Finite | None = None

    @field_validator("no_data", mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        if isinstance(value, float) and isnan(value):
            raise ValueError("expected a number or the word nan, got YAML's .nan; write nan")
        if isinstance(value, bool) or (isinstance(value, str) and value != "nan"):
            raise ValueError(f"expected a number or the word nan, got {value!r}")
        return value


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
    key = printable(".".join(map(str, first["loc"])))[:120]  # of a stream, it may be anything
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, known) or known
        listed = ", ".join(close) if known else "no options at all"
        return f"[modality.options] {key}: expected a known key, got {key!r}; did you mean {listed}?"
    message = broken_rule(first, f"modality.options.{key}").replace("input should be", "expected", 1)
    way = "" if "; " in message else "; change it in the recipe"
    return f"[modality.options] {key}: {message}{way}"
