"""Protocols of learning: items, folds, codecs, inputs and one way of training for all of them, as YAML files."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from liveaction.errors import SpecError
from liveaction.learning.fit import FitRules
from liveaction.learning.inputs import Wanted
from liveaction.recipe import load_protocol_table, load_recipe, shipped_names
from liveaction.spec import Positive, Recipe

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
Whole = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
BOUNDS = ("codec_alone", "nothing_learnt")
"""Rows of the task ``signal`` without a network: the target coded and decoded; the input taken for the target."""
SMALLEST = 8
"""What a task must lose at 1/8 of the samples along every axis, or it cannot tell."""


class Table(BaseModel):
    """A table of a protocol."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ItemsTable(Table):
    """What is learnt from.

    Attributes:
        folder: of the items, below the data folder.
        prepare: what makes them of that folder first, by name; see :mod:`liveaction.probing.prepare`.
        labels, task, fit: as ``liveaction latents`` takes them; of the task ``signal`` a table whose labels are the
            paths of target signals, from where it lies.
    """

    folder: str = "."
    prepare: str = ""
    labels: str
    task: Wanted = "class"
    fit: dict[str, Whole] = Field(default_factory=dict)


class FoldsTable(Table):
    """Who is tested on what: the items' ``own`` splits; folds of named groups; or a ``count`` of folds of groups."""

    own: bool = False
    groups: tuple[tuple[str, ...], ...] = ()
    count: int | None = Field(default=None, ge=2)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum((self.own, bool(self.groups), self.count is not None)) != 1:
            raise ValueError("expected one of own: true, groups and count, got none or several")
        return self


class CodecEntry(Table):
    """A codec that each fold trains from ``items`` of its training items; ``settings`` as for ``--set``."""

    recipe: str
    settings: tuple[str, ...] = ()
    items: Whole = 256


class InputEntry(Table):
    """What a network sees of an item.

    Attributes:
        latents: of a codec, at ``factor`` times its quantiser step; ``noise`` adds that of one step in training.
        resample: samples, of which so many become one along every axis; 1: as they are.
        baseline: samples that another codec gives back at its ``value``.
        scale: of inputs: ``one`` number, or one for each ``channel``.
        stem: ``patch``: one projection of the samples of a token; ``pyramid``: strided convolutions, at full compute.
    """

    latents: str = ""
    resample: Whole | None = None
    baseline: str = ""
    factor: Positive = 1.0
    value: float | None = None
    scale: Literal["one", "channel", "none"] = "one"
    noise: bool = False
    stem: Literal["patch", "pyramid"] = "patch"

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [bool(self.latents), self.resample is not None, bool(self.baseline)]
        if sum(given) != 1:
            raise ValueError("expected one of latents, resample and baseline, got none or several")
        if (self.value is not None) != bool(self.baseline):
            raise ValueError("expected a value with a baseline, and with nothing else")
        if self.noise and not self.latents:
            raise ValueError("expected noise of latents alone")
        return self


class NetworkTable(Table):
    """The body that all inputs share: ``token`` is the samples of a token per axis, ``widths`` those of its stages."""

    token: dict[str, Whole]
    widths: tuple[Whole, ...] = (32, 64)
    drop: float = Field(default=0.2, ge=0, lt=1)


class ProbeProtocol(Table):
    """One study of learning.

    Attributes:
        settings: of all codecs, as for ``--set``; each one's own come after.
        target: of the task ``signal``, the codec whose latents networks predict; each fold trains it from the targets
            of its training items alone.
        crop: samples per axis that a network sees; drawn at whole tokens in training, from the middle in tests.
        views: of every item, such as ``flip:x``: one of them is drawn in training.
        compute: ``equal`` refuses inputs whose networks differ by more than a quarter in multiply-accumulates.
        seeds: of the trainings, for every fold.
        reference: the input that others are held against.
    """

    name: Name
    description: str = ""
    items: ItemsTable
    folds: FoldsTable
    settings: tuple[str, ...] = ()
    codecs: dict[Name, CodecEntry] = Field(default_factory=dict)
    target: str = ""
    inputs: dict[Name, InputEntry] = Field(min_length=1)
    network: NetworkTable
    training: FitRules = FitRules()
    crop: dict[str, Whole] = Field(default_factory=dict)
    views: tuple[str, ...] = ("identity",)
    compute: Literal["equal", "any"] = "equal"
    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2), min_length=1)
    reference: str

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: expected each once, got {self.seeds}")
        if self.reference not in self.inputs:
            raise ValueError(f"reference: expected one of {sorted(self.inputs)}, got {self.reference!r}")
        for name, entry in self.inputs.items():
            if entry.latents and entry.latents not in self.codecs:
                raise ValueError(f"inputs.{name}: expected a codec among {sorted(self.codecs)}, got {entry.latents!r}")
        self._check_target()
        return self

    def _check_target(self) -> None:
        if bool(self.target) != (self.items.task == "signal"):
            raise ValueError(
                f"target: expected a codec for the task signal alone, got {self.target!r} for {self.items.task}"
            )
        if not self.target:
            return
        if self.target not in self.codecs:
            raise ValueError(f"target: expected a codec among {sorted(self.codecs)}, got {self.target!r}")
        for name, entry in self.inputs.items():
            if entry.latents == self.target:
                raise ValueError(f"inputs.{name}: expected a codec of its own, got that of the target {self.target!r}")
            if name in BOUNDS:
                raise ValueError(f"inputs: expected none of the names {BOUNDS}, got {name!r}")
        if self.crop or self.views != ("identity",):
            raise ValueError("expected neither crop nor views of the task signal, whose items are seen whole")

    def recipe(self, codec: str) -> Recipe:
        """The recipe of one of the codecs.

        Raises:
            SpecError: a setting is wrong.
            UnknownNameError: there is no such recipe.
        """
        entry = self.codecs[codec]
        return load_recipe(entry.recipe, [*self.settings, *entry.settings])


def probe_names() -> list[str]:
    """Names of the shipped protocols, sorted."""
    return shipped_names("liveaction.configs.probes")


def load_probe(source: str) -> ProbeProtocol:
    """Read a protocol, by its name or as a YAML file.

    Raises:
        UnknownNameError: no shipped protocol has that name.
        SpecError: the file cannot be read, or breaks a rule; names file, table and key.
    """
    protocol = load_protocol_table(source, "liveaction.configs.probes", ProbeProtocol)
    for codec in protocol.codecs:
        if protocol.recipe(codec).training.classes and protocol.items.task != "class":
            raise SpecError(
                f"{source}: codecs.{codec}: expected training.classes 0 for the task {protocol.items.task}, whose "
                "labels are no classes, got more"
            )
    return protocol
