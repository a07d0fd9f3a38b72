"""Protocols: evaluations that can be repeated, as YAML files."""

import difflib
import importlib.resources
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from liveaction.errors import SpecError, UnknownNameError
from liveaction.recipe import explain, load_plain, load_recipe, read_text
from liveaction.spec import Positive, Recipe

Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
FACTORS = (8.0, 4.0, 2.0, 1.0, 0.5, 0.25)
"""Multiples of the trained quantiser step that a model is coded with."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DataFile(_Table):
    """A file or folder below the data folder; a plain text in YAML is its ``path``.

    ``part`` takes a share of it along axes: ``{t: [0, 0.6]}`` is the first six tenths.
    """

    path: str
    part: dict[str, tuple[Share, Share]] = Field(default_factory=dict)

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

    @field_validator("part")
    @classmethod
    def _ordered(cls, value: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for axis, (low, high) in value.items():
            if not low < high:
                raise ValueError(f"expected [from, to] with from < to for axis {axis!r}, got {[low, high]}")
        return value

    @property
    def label(self) -> str:
        """The part as a text that file names can hold: ``t0-0.6``; empty where the file is whole."""
        return "_".join(f"{axis}{low:g}-{high:g}" for axis, (low, high) in self.part.items())


class CodecEntry(_Table):
    """A codec to train and measure.

    Codecs that share a ``curve`` are one family, drawn with their envelope. ``settings`` are as for ``--set``,
    after the protocol's own; ``factors`` multiply the trained quantiser step; ``seeds`` None are the protocol's.
    """

    recipe: str
    curve: Name
    settings: tuple[str, ...] = ()
    factors: tuple[Positive, ...] = FACTORS
    seeds: tuple[int, ...] | None = None


class BaselineEntry(_Table):
    """A baseline's settings; None for its own ladder."""

    values: tuple[float, ...] | None = None


class TimingRules(_Table):
    """How times are taken: after a warm-up call, up to ``repeats`` calls while ``budget`` seconds last.

    Where the warm-up alone used the budget up, its own time counts, and ``runs`` of the item says 1.
    """

    repeats: int = Field(default=3, ge=1)
    budget: Positive = 10.0


class Protocol(_Table):
    """One evaluation.

    Attributes:
        train, test: files below the data folder, split by file, or by ``part`` where one recording must serve for both.
        settings: of every trained codec, as for ``--set``.
        seeds: of the trainings; each gives a model.
        threads: of every codec.
        reference: curve that Bjontegaard deltas are against; ``measure`` the quality they are taken on.
    """

    name: Name
    description: str = ""
    train: tuple[DataFile, ...] = Field(min_length=1)
    test: tuple[DataFile, ...] = Field(min_length=1)
    settings: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    codecs: dict[Name, CodecEntry] = Field(min_length=1)
    baselines: dict[Name, BaselineEntry | None] = Field(default_factory=dict)
    timing: TimingRules = TimingRules()
    threads: int = Field(default=1, ge=1)
    reference: str = ""
    measure: str = "psnr_normalised"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        both = {(f.path, f.label) for f in self.train} & {(f.path, f.label) for f in self.test}
        if both:
            raise ValueError(f"test: expected files that are not trained on, got {sorted(path for path, _ in both)}")
        if self.reference and self.reference not in self.curves:
            raise ValueError(f"reference: expected one of the curves {sorted(self.curves)}, got {self.reference!r}")
        return self

    @property
    def curves(self) -> set[str]:
        """Names of all curves; a baseline is one of its own."""
        return {entry.curve for entry in self.codecs.values()} | set(self.baselines)

    def recipe(self, codec: str, seed: int) -> Recipe:
        """The recipe of one training.

        Raises:
            SpecError: a setting is wrong.
            UnknownNameError: there is no such recipe.
        """
        entry = self.codecs[codec]
        return load_recipe(entry.recipe, [*self.settings, *entry.settings, f"training.seed={seed}"])


def protocol_names() -> list[str]:
    """Names of the shipped protocols, sorted."""
    folder = importlib.resources.files("liveaction.configs.protocols")
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_protocol(source: str) -> Protocol:
    """Read a protocol.

    Args:
        source: name of a shipped one, or path of a YAML file.

    Raises:
        UnknownNameError: no shipped protocol has that name.
        SpecError: the file cannot be read, or breaks a rule; names file, table and key.
    """
    path = Path(source)
    if path.suffix in {".yaml", ".yml"} or "/" in source:
        text = read_text(path, "a readable protocol file")
    elif source in protocol_names():
        text = importlib.resources.files("liveaction.configs.protocols").joinpath(f"{source}.yaml").read_text()
    else:
        close = difflib.get_close_matches(source, protocol_names()) or protocol_names()
        raise UnknownNameError(
            f"--protocol: expected a shipped protocol or a .yaml file, got {source!r}; did you mean {', '.join(close)}?"
        )
    data = load_plain(text, source, "a protocol's tables")
    try:
        protocol = Protocol.model_validate(data)
    except ValidationError as error:
        raise SpecError(f"{source}{explain(error, Protocol)}") from error
    for codec in protocol.codecs:
        protocol.recipe(codec, 0)
    return protocol
