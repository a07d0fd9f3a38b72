"""What ``decompress`` takes for one stream alone, checked before any work."""

from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liveaction.cli.derived import check_kind, check_series
from liveaction.cli.options import check_captured, refuse_existing
from liveaction.errors import LiveactionError, SpecError
from liveaction.outputs import check_outputs

if TYPE_CHECKING:
    from liveaction.enhancing import Enhancer


@dataclass(frozen=True)
class Single:
    """The options that only one stream has."""

    region: str
    scale: str
    fill: float | None
    against: Path | None
    picture: Path | None
    max_voxels: int | None
    item: str
    enhance: Path | None
    strength: float | None
    prompt: str
    seed: int | None
    synthesised: bool | None
    to: str = ""
    template: Path | None = None

    def number(self, source: Path) -> int | None:
        """Which item, None where nobody said.

        Raises:
            FormatError: there is no such item.
        """
        from liveaction.codec.names import find_item

        return find_item(source, self.item) if self.item else None

    @property
    def halvings(self) -> int:
        """Of the axes, by --scale.

        Raises:
            SpecError: it is none.
        """
        from liveaction.codec.scaling import halvings_of

        return halvings_of(self.scale or 1)

    def check(self, source: Path, target: Path, model: Path, force: bool) -> None:
        """Refuse, before any work, what cannot be written, and what would be written over what is read.

        Raises:
            SpecError, WriteError: as :func:`check_outputs`; an existing file without ``force``; no such original.
            FormatError, MissingDependencyError: ``source`` is no stream, or ``target`` not what it can become.
        """
        if self.against is not None and not self.against.exists():
            raise SpecError(f"--against: expected the original, got no such path as {str(self.against)!r}")
        if self.against is not None and self.halvings:
            raise SpecError("--against: expected a signal of full size to compare, got --scale; leave one out")
        check_kind(self)
        self._check_enhancing(target)
        named = {str(target): target} | ({} if self.picture is None else {"--picture": self.picture})
        read = {
            "SOURCE": source,
            "--against": self.against,
            "--enhance": self.enhance,
            "--template": self.template,
        }
        check_outputs(named, read, {"the model": model})
        refuse_existing(target, force)
        if self.picture is not None:
            refuse_existing(self.picture, force, "--picture")
        self._check_files(source, target)

    def _check_files(self, source: Path, target: Path) -> None:
        """What the stream says of the files that ``target`` and the original consist of."""
        from liveaction.codec.header import MAX_VOXELS
        from liveaction.codec.outline import outline_at, read_outline, targets_of

        modality, outline = read_outline(source, self.max_voxels or MAX_VOXELS, self.number(source))
        outline = outline_at(modality, outline, self.scale or 1)
        if self.enhance is not None:
            from liveaction.enhancing import check_picture

            check_picture(outline)
        if self.template is not None:
            files = check_series(modality, outline, target, self.template)
        else:
            files = targets_of(modality, outline, parse_region(self.region, outline.shape), target)
        outputs: dict[str, Any] = {str(target): files}
        if self.picture is not None:
            outputs["--picture"] = self.picture
        original: list[Path] = []
        if self.against is not None:
            with suppress(LiveactionError, OSError):  # reading it says so
                original = modality.parts(self.against)
        check_outputs(outputs, {"SOURCE": source, "--against": original})
        if self.against is not None:
            check_captured(original, self.synthesised, outline.metadata)

    def _check_enhancing(self, target: Path) -> None:
        """What is cheap to know of --enhance: nothing of other packages is imported."""
        alone = {"--strength": self.strength, "--prompt": self.prompt, "--seed": self.seed}
        for option in (name for name, value in alone.items() if value not in (None, "") and self.enhance is None):
            raise SpecError(f"{option}: expected --enhance with it, got none; leave it out")
        if self.synthesised and self.against is None:
            raise SpecError("--synthesised: expected --against with it, got none; leave it out")
        if self.enhance is None:
            return
        for option, value in (("--picture", self.picture), ("--fill", self.fill)):
            if value is not None:
                raise SpecError(f"{option}: expected none with --enhance, got {str(value)!r}; leave it out")
        if target.suffix.lower() != ".png":
            raise SpecError(
                f"{target}: expected a name ending in .png with --enhance, for its mark as synthesised, got "
                f"{target.name!r}; rename it"
            )
        if self.against is not None and not self.synthesised:
            raise SpecError(
                "--against: expected a decoded picture, got one of --enhance, of which measures mislead; leave it out, "
                "or add --synthesised"
            )
        from liveaction.enhancing import STEPS, check_settings
        from liveaction.pipelines import check_pipeline

        check_settings(self._strength, STEPS, self.seed or 0)
        check_pipeline(self.enhance)

    @property
    def _strength(self) -> float:
        from liveaction.enhancing import STRENGTH

        return STRENGTH if self.strength is None else self.strength

    def enhancer(self, device: str) -> "Enhancer | None":
        """What paints over the decoded picture, loaded; None where nobody asked for it.

        Raises:
            SpecError, FormatError, MissingDependencyError: as :class:`~liveaction.enhancing.Enhancer`.
        """
        if self.enhance is None:
            return None
        from liveaction.enhancing import Enhancer

        return Enhancer(self.enhance, strength=self._strength, seed=self.seed or 0, prompt=self.prompt, device=device)

    def refuse(self, expected: str, got: str, *others: str) -> None:
        """Raise SpecError where one was given, but ``others``, which is for ``expected``, for ``got``."""
        for name in (field.name for field in fields(self) if getattr(self, field.name) not in (None, "")):
            if name not in others:
                raise SpecError(f"--{name.replace('_', '-')}: expected {expected} with it, got {got}; leave it out")


def parse_region(text: str, extents: tuple[int, ...]) -> tuple[tuple[int, int], ...] | None:
    """``10:20,:,5:9`` as half-open ranges within ``extents``; None for an empty text. Negative counts from the end.

    Raises:
        SpecError: not one range with at least one sample per axis.
    """
    if not text:
        return None
    parts = [part.strip().split(":") for part in text.split(",")]
    try:
        if len(parts) != len(extents) or any(len(part) != 2 for part in parts):
            raise ValueError
        cuts = [slice(*(int(end) if end.strip() else None for end in part)) for part in parts]
        box = tuple(cut.indices(n)[:2] for cut, n in zip(cuts, extents, strict=True))
        if any(low >= high for low, high in box):
            raise ValueError
    except ValueError:
        raise SpecError(
            f"--region: expected a range with a sample or more for each of the axes {extents}, such as "
            f"{','.join(f'0:{n}' for n in extents)}, got {text!r}"
        ) from None
    return box
