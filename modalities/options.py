"""A modality's own options: a frozen table that refuses unknown keys."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from liveaction.errors import SpecError


class Options(BaseModel):
    """Subclassed by each modality that has options; the fields are the keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Table = TypeVar("Table", bound=Options)


def parse_options(table: type[Table], options: Mapping[str, Any]) -> Table:
    """The recipe's ``modality.options`` as ``table``.

    Raises:
        SpecError: an unknown key, or a value that does not fit; names the key.
    """
    try:
        return table.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        where = f"[modality.options] {key}".rstrip()
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(table.model_fields)) or "no options"
            raise SpecError(f"{where}: expected a known key, got {key!r}; known are {known}") from error
        words = first["msg"].removeprefix("Value error, ")
        got = "" if first["type"] == "value_error" else f", got {first['input']!r}"
        raise SpecError(f"{where}: {words[:1].lower()}{words[1:]}{got}") from error
