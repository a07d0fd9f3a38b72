"""The verbs that make model directories of published checkpoints."""

from pathlib import Path
from typing import Annotated, Any

import typer

from liveaction.cli.options import Force, Quiet
from liveaction.cli.printing import console, print_lines
from liveaction.errors import SpecError
from liveaction.outputs import check_outputs

app = typer.Typer()

_Checkpoint = Annotated[Path, typer.Argument(help="A `.pth` file.")]
_OutDir = Annotated[Path, typer.Argument(help="The model directory to make.")]
_ModalityName = Annotated[
    str, typer.Option(help="A shipped recipe's modality, such as `ct`, or a YAML recipe to take it from.")
]


@app.command(epilog="Example: `liveaction import-livecodec lsdir_f8c8.pth runs/published --modality ct`")
def import_livecodec(
    checkpoint: _Checkpoint, out: _OutDir, modality: _ModalityName = "", force: Force = False, quiet: Quiet = False
) -> None:
    """Make a model directory of a published LiVeAction checkpoint. Nothing in the file is run."""
    from liveaction.cli.progress import stages
    from liveaction.published.importer import import_livecodec as run_import

    _refuse_full(out, force, checkpoint, Path(modality or checkpoint))
    with stages(console, quiet) as stage:
        done = run_import(checkpoint, out, modality, stage)
    _print_import(done, out)


@app.command(epilog="Example: `liveaction import-walloc RGB_16x.pth runs/published --modality rgb`")
def import_walloc(
    checkpoint: _Checkpoint,
    out: _OutDir,
    config: Annotated[
        Path | None, typer.Option(help="The published JSON file. Default: beside the checkpoint, ending in .json.")
    ] = None,
    modality: _ModalityName = "",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Make a model directory of a published WaLLoC checkpoint with a linear encoder. Nothing in the file is run."""
    from liveaction.cli.progress import stages
    from liveaction.published.importer import import_walloc as run_import

    settings = config or checkpoint.with_suffix(".json")
    _refuse_full(out, force, checkpoint, settings, Path(modality or checkpoint))
    with stages(console, quiet) as stage:
        done = run_import(checkpoint, settings, out, modality, stage)
    _print_import(done, out)


def _refuse_full(out: Path, force: bool, *read: Path) -> None:
    from liveaction.model_folder import CONFIG, ENCODER, MIXING, TABLES, WEIGHTS

    if out.is_dir():
        check_outputs(
            {str(out): [out / name for name in (CONFIG, WEIGHTS, ENCODER, TABLES, MIXING)]}, {"what is read": read}
        )
    if out.is_dir() and any(out.iterdir()) and not force:
        raise SpecError(
            f"{out}: expected a new or an empty folder, got one with files; add --force to overwrite a model"
        )
    if out.exists() and not out.is_dir():
        raise SpecError(f"{out}: expected a new or an empty folder, got a file")


def _print_import(done: Any, out: Path) -> None:
    from liveaction.codec.summary import summarise

    summary, recipe = summarise(done.recipe), done.recipe
    lines = {
        "model": f"{out}, weights {done.digest[:12]}",
        "signal": f"{recipe.modality.name}: {', '.join(recipe.modality.axes)}; {recipe.modality.channels} channel(s)",
        "latents": f"{summary.latent_channels} per token of hidden width {summary.hidden}; dimension reduction "
        f"{summary.hidden / summary.latent_channels:.4g}",
        "encoder": f"{recipe.codec.encoder.kind}, depth {recipe.codec.encoder.depth}, "
        f"{summary.encoder_parameters:,} parameters",
        "decoder": f"{recipe.codec.decoder.kind}, depth {recipe.codec.decoder.depth}, "
        f"{summary.decoder_parameters:,} parameters",
        "not as published": "\n".join(done.remarks) or "nothing",
        "check": done.check,
        "next": f"liveaction freeze {out} --data FILES fits the entropy tables, which are generic so far",
    }
    print_lines(lines)
