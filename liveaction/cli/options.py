"""Options that the verbs share; ``main`` puts them together."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from liveaction.errors import SpecError

SYNTHESISED = "--synthesised"

RecipeName = Annotated[
    str, typer.Argument(help="A shipped recipe (`liveaction recipes` lists them), a YAML file, or a model directory.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Change a setting: `table.key=value`. May be repeated.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Device = Annotated[str, typer.Option(help="`auto`, `cpu`, `cuda` or `cuda:1`.")]
Dtype = Annotated[
    str,
    typer.Option(
        help="Of the networks' products: `float32`, or `bfloat16`, two to three times as fast where the processor has "
        "such products, at an error of about 1 %. Default: the recipe's compute_dtype."
    ),
]
ModelDir = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        help="Model directory, as `liveaction train` leaves it, or a model that `liveaction models` lists, by name or "
        "digest. Default: one of those, which fits.",
    ),
]
Jobs = Annotated[int, typer.Option(min=1, help="Processes that a folder is worked on with.")]
TargetSize = Annotated[
    str | None,
    typer.Option(help="Instead of a step: bytes of the .lva file, such as 200000, 200kB or 1.5MiB, or up to 2 % less."),
]
TargetRatio = Annotated[
    float | None, typer.Option(help="Instead of a step: times smaller than the source's values, or up to 2 % more.")
]
TargetPsnr = Annotated[
    float | None, typer.Option(help="Instead of a step: PSNR in dB, as `decompress --against` says it, or 0.1 dB more.")
]
TargetError = Annotated[
    float | None,
    typer.Option(help="Instead of a step: root mean square of the error in the signal's unit, or 1 % less."),
]
MaxError = Annotated[
    float | None,
    typer.Option(
        help="No value is to differ by more, in the signal's unit: what decoding leaves is coded, too. 0 is lossless, "
        "for integers. For models without a network; the step is chosen, unless --step or --quality says it."
    ),
]
MaxVoxels = Annotated[
    int | None, typer.Option("--max-voxels", min=1, help="Values that a stream may declare; default 2**34.")
]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Leave out what cannot be read, and list it; else the first is an error."),
]
Force = Annotated[
    bool, typer.Option("--force", "-f", help="Overwrite an existing output; never what is read, by whatever name.")
]
Synthesised = Annotated[
    bool,
    typer.Option(SYNTHESISED, help="Measure pictures that are marked as synthesised, too, which misleads."),
]


def extents(text: str) -> tuple[int, ...] | None:
    """``512,512,300`` as numbers; None for an empty text.

    Raises:
        SpecError: not such numbers.
    """
    if not text:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SpecError(f"--shape: expected extents such as 512,512,300, got {text!r}") from None


def refuse_existing(target: Path, force: bool, where: str = "") -> None:
    """Raise SpecError where ``target`` exists and must not; ``where`` stands first in the message, else ``target``."""
    if target.exists() and not force:
        got = f"an existing one, {str(target)!r}" if where else "an existing one"
        raise SpecError(f"{where or target}: expected a new file, got {got}; add --force to overwrite it")


def check_captured(files: Iterable[Path], wanted: bool | None, metadata: dict[str, Any] | None = None) -> None:
    """Refuse to compare with --against what a generator made, by its mark, unless that is ``wanted``.

    Args:
        files: that the original consists of.
        wanted: what --synthesised says.
        metadata: of the stream.

    Raises:
        SpecError: one carries the mark.
    """
    from liveaction.marking import is_marked, refuse_marked

    if wanted:
        return
    refuse_marked("--against", files, f"take the one that was captured, or add {SYNTHESISED}")
    if metadata is not None and is_marked(metadata):
        raise SpecError(
            f"--against: expected a stream of a picture as it was captured, got one marked as synthesised; leave it "
            f"out, or add {SYNTHESISED}"
        )


def percent(share: float) -> str:
    """A share in per cent, in two digits, or as many as tell it from all: ``0.02 %``."""
    digits = 2
    while digits < 9 and float(f"{100 * share:.{digits}g}") == 100:
        digits += 1
    return f"{100 * share:.{digits}g} %"
