"""A modality's own table of a recipe, ``[modality.options]``, checked like the rest of it."""

import difflib
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from liveaction.errors import SpecError
from liveaction.spec import ModalitySpec


class Options(BaseModel):
    """Base of every such table: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


Table = TypeVar("Table", bound=Options)


def parse_options(spec: ModalitySpec, table: type[Table]) -> Table:
    """The options of ``spec`` as ``table``.

    Raises:
        SpecError: an unknown key, or a value that breaks a rule.
    """
    try:
        return table.model_validate(spec.options)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][:1])
        if first["type"] == "extra_forbidden":
            known = sorted(table.model_fields)
            close = difflib.get_close_matches(key, known) or known
            rule, way = f"expected a known key, got {key!r}", f"did you mean {', '.join(close)}?"
        else:
            words = first["msg"].removeprefix("Value error, ")
            rule = f"{words[:1].lower()}{words[1:]}, got {spec.options.get(key)!r}"
            rule, way = rule if rule.startswith("expected") else f"expected a right value: {rule}", "correct it"
        raise SpecError(f"[modality.options] {key}: {rule}; {way}") from error
