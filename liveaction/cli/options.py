"""Options and printing that the verbs share; ``main`` puts them together."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from liveaction.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liveaction.training.result import LeftOut

console = Console(stderr=True, highlight=False, soft_wrap=True)

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
ModelDir = Annotated[Path, typer.Option("--model", "-m", help="Model directory, as `liveaction train` leaves it.")]
Jobs = Annotated[int, typer.Option(min=1, help="Processes that a folder is worked on with.")]
MaxVoxels = Annotated[
    int | None, typer.Option("--max-voxels", min=1, help="Values that a stream may declare; default 2**34.")
]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Leave out what cannot be read, and list it; else the first is an error."),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite an existing output.")]


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


def refuse_existing(target: Path, force: bool) -> None:
    """Raise SpecError where ``target`` exists and must not, or has no folder to go to."""
    if target.exists() and not force:
        raise SpecError(f"{target}: expected a new file, got an existing one; add --force to overwrite it")
    require_folder(target, str(target))


def require_folder(target: Path, where: str) -> None:
    """Raise SpecError where ``target`` has no folder to go to; ``where`` stands first in the message."""
    if not target.absolute().parent.is_dir():
        raise SpecError(f"{where}: expected an existing folder {str(target.parent)!r}; make it first")


def print_left_out(left_out: "Sequence[LeftOut]") -> None:
    """What ``--skip-bad`` skipped, one line each, on standard error."""
    for each in left_out:
        typer.echo(f"liveaction: left out: {each.error}", err=True)


def print_lines(lines: dict[str, str]) -> None:
    """Names and texts in two columns."""
    for name, text in lines.items():
        for i, line in enumerate(text.splitlines()):
            typer.echo(f"{name if i == 0 else '':<20} {line}")


def print_json(data: Any) -> None:
    """One JSON object."""
    typer.echo(json.dumps(data, indent=2))
