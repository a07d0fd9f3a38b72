"""Protocols: evaluations that can be repeated, as YAML files."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from liveaction.evaluation.folds import Fold, coded_as, divided, own_folds
from liveaction.evaluation.parts import DataFile, FoldFile, Name, Part, Table, apart, ordered
from liveaction.recipe import load_protocol_table, load_recipe, shipped_names
from liveaction.spec import Positive, Recipe

FACTORS = (8.0, 4.0, 2.0, 1.0, 0.5, 0.25)
"""Multiples of the trained quantiser step that a model is coded with."""


class CodecEntry(Table):
    """A codec to train and measure.

    Codecs that share a ``curve`` are one family, drawn with their envelope. ``settings`` are as for ``--set``,
    after the protocol's own; ``factors`` multiply the trained quantiser step; ``seeds`` None are the protocol's.
    Where a protocol has folds, a codec ``learns`` from the files of the ``others``, or from the ``own_part`` of the
    very file that it codes. ``coder`` is that of symbols, by default as ``compress`` has it.
    """

    recipe: str
    curve: Name
    settings: tuple[str, ...] = ()
    factors: tuple[Positive, ...] = FACTORS
    seeds: tuple[int, ...] | None = None
    learns: Literal["others", "own"] = "others"
    coder: Literal["small", "fast"] | None = None
    own_part: Part = Field(default_factory=dict)

    _ordered = field_validator("own_part")(ordered)

    @model_validator(mode="after")
    def _own(self) -> Self:
        if (self.learns == "own") != bool(self.own_part):
            expected = "a part such as {t: [0, 0.6]}" if self.learns == "own" else "none without learns: own"
            raise ValueError(f"own_part: expected {expected}, got {self.own_part}")
        return self


class BaselineEntry(Table):
    """A baseline's settings; None for its own ladder."""

    values: tuple[float, ...] | None = None


class TimingRules(Table):
    """How times are taken: after a warm-up call, up to ``repeats`` calls while ``budget`` seconds last.

    Where the warm-up alone used the budget up, its own time counts, and ``runs`` of the item says 1.
    """

    repeats: int = Field(default=3, ge=1)
    budget: Positive = 10.0


class Protocol(Table):
    """One evaluation.

    Attributes:
        train, test: files below the data folder, split by file, or by ``part`` where one recording must serve for both.
        files: instead of both: every file is coded, by models that learnt from files of other folds; ``folds`` says how
            many there are, ``leave_one_out`` that every file is one. ``coded_part`` of every file is coded, all of it
            where that is empty; what others learn from is the file as it is listed.
        settings: of every trained codec, as for ``--set``.
        seeds: of the trainings; each gives a model.
        threads: of every codec.
        reference: curve that Bjontegaard deltas are against; ``measure`` the quality they are taken on.
        against: curves that they are taken against beside it.
        judge: who sees what is decoded, as for ``--judge``, ``labels`` what items are, as for ``--labels``; folders and
            files lie below the data folder.
    """

    name: Name
    description: str = ""
    train: tuple[DataFile, ...] = ()
    test: tuple[DataFile, ...] = ()
    files: tuple[FoldFile, ...] = ()
    folds: int | None = None
    leave_one_out: bool = False
    coded_part: Part = Field(default_factory=dict)
    settings: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    codecs: dict[Name, CodecEntry] = Field(min_length=1)
    baselines: dict[Name, BaselineEntry | None] = Field(default_factory=dict)
    timing: TimingRules = TimingRules()
    threads: int = Field(default=1, ge=1)
    reference: str = ""
    against: tuple[str, ...] = ()
    measure: str = "psnr_normalised"
    judge: str = ""
    labels: str = ""

    _ordered = field_validator("coded_part")(ordered)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.files:
            self._check_folds()
        else:
            self._check_split()
        if bool(self.judge) != bool(self.labels):
            raise ValueError(f"judge: expected a judge and labels, got {self.judge!r} and {self.labels!r}")
        for key, names in (("reference", [self.reference] if self.reference else []), ("against", self.against)):
            unknown = [name for name in names if name not in self.curves]
            if unknown:
                raise ValueError(f"{key}: expected one of the curves {sorted(self.curves)}, got {unknown[0]!r}")
        return self

    def _check_split(self) -> None:
        for key in ("train", "test"):
            if not getattr(self, key):
                raise ValueError(f"{key}: expected at least one file, got none; or list files, and folds of them")
        if self.folds is not None or self.leave_one_out or self.coded_part:
            raise ValueError("files: expected files for folds, leave_one_out or coded_part, got none")
        own = next((name for name, entry in self.codecs.items() if entry.learns == "own"), None)
        if own:
            raise ValueError(f"codecs.{own}: expected files for a codec that learns: own, got train and test")
        both = {(f.path, f.label) for f in self.train} & {(f.path, f.label) for f in self.test}
        if both:
            raise ValueError(f"test: expected files that are not trained on, got {sorted(path for path, _ in both)}")

    def _check_folds(self) -> None:
        if self.train or self.test:
            raise ValueError("files: expected either files or train and test, got both")
        if (self.folds is None) == (not self.leave_one_out):
            raise ValueError("folds: expected either a number of folds or leave_one_out: true, got both or neither")
        divided(self.files, self.folds)
        cut = next((file.path for file in self.files if file.part), None)
        if self.coded_part and cut:
            raise ValueError(f"files: expected no part of {cut!r} beside coded_part, got both")
        for name, entry in self.codecs.items():
            for file in self.files if entry.learns == "own" else ():
                if not apart(entry.own_part, file.part or self.coded_part):
                    raise ValueError(
                        f"codecs.{name}: expected an own_part apart from what is coded of {file.path!r}, got "
                        f"{entry.own_part}"
                    )

    @property
    def coded(self) -> tuple[DataFile, ...]:
        """All that is coded."""
        return tuple(coded_as(file, self.coded_part) for file in self.files) or self.test

    def folds_of(self, codec: str) -> tuple[Fold, ...]:
        """Who learns from what and codes what: one model each, and seed; one without a name of a plain split."""
        entry = self.codecs[codec]
        if not self.files:
            return (Fold("", self.train, self.test),)
        if entry.learns == "own":
            return own_folds(self.files, entry.own_part, self.coded_part)
        return divided(self.files, self.folds, self.coded_part)

    @property
    def curves(self) -> set[str]:
        """Names of all curves; a baseline is one of its own."""
        return {entry.curve for entry in self.codecs.values()} | set(self.baselines)

    def recipe(self, codec: str, seed: int, fold: Fold | None = None) -> Recipe:
        """The recipe of one training; of a fold with settings of its own, these come last.

        Raises:
            SpecError: a setting is wrong.
            UnknownNameError: there is no such recipe.
        """
        entry = self.codecs[codec]
        last = fold.settings if fold else ()
        return load_recipe(entry.recipe, [*self.settings, *entry.settings, *last, f"training.seed={seed}"])


def protocol_names() -> list[str]:
    """Names of the shipped protocols, sorted."""
    return shipped_names("liveaction.configs.protocols")


def load_protocol(source: str) -> Protocol:
    """Read a protocol.

    Args:
        source: name of a shipped one, or path of a YAML file.

    Raises:
        UnknownNameError: no shipped protocol has that name.
        SpecError: the file cannot be read, or breaks a rule; names file, table and key.
    """
    protocol = load_protocol_table(source, "liveaction.configs.protocols", Protocol)
    for codec in protocol.codecs:
        for fold in protocol.folds_of(codec):
            protocol.recipe(codec, 0, fold)
    return protocol
