"""Files of a protocol, and parts of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
Part = dict[str, tuple[Share, Share]]
"""A share of a signal along axes: ``{"t": (0, 0.6)}`` is the first six tenths; empty is all of it."""


class Table(BaseModel):
    """A table of a protocol."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def ordered(value: Part) -> Part:
    """The part itself; refuses one that ends before it begins."""
    for axis, (low, high) in value.items():
        if not low < high:
            raise ValueError(f"expected [from, to] with from < to for axis {axis!r}, got {[low, high]}")
    return value


def apart(one: Mapping[str, tuple[float, float]], two: Mapping[str, tuple[float, float]]) -> bool:
    """Whether no sample lies in both parts: along one axis, one ends where the other begins, or before."""
    return any(one[axis][1] <= two[axis][0] or two[axis][1] <= one[axis][0] for axis in set(one) & set(two))


class DataFile(Table):
    """A file or folder below the data folder; a plain text in YAML is its ``path``. ``part`` is what is taken of it."""

    path: str
    part: Part = Field(default_factory=dict)

    _ordered = field_validator("part")(ordered)

    @model_validator(mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @field_validator("path")
    @classmethod
    def _below(cls, value: str) -> str:
        if Path(value).is_absolute() or ".." in Path(value).parts:
            raise ValueError(f"expected a path below the data folder, got {value!r}")
        return value

    @property
    def label(self) -> str:
        """The part as a text that file names can hold: ``t0-0.6``; empty where the file is whole."""
        return "_".join(f"{axis}{low:g}-{high:g}" for axis, (low, high) in self.part.items())


class FoldFile(DataFile):
    """A file of a protocol with folds; ``own`` are settings of codecs that learn from this very file, as for --set."""

    own: tuple[str, ...] = ()
