"""The verbs ``train`` and ``freeze``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liveaction.cli.options import Device, Overrides, Quiet, RecipeName, SkipBad
from liveaction.cli.printing import console, print_left_out, say
from liveaction.home import resolve_model

if TYPE_CHECKING:
    from liveaction.spec import Recipe

app = typer.Typer()


@app.command(
    epilog="Examples: `liveaction train ct_light --data scans/ --out runs/ct` · "
    "`liveaction train ct_smoke --data synthetic --out runs/phantom` · "
    "`liveaction train ct_light --data dataset.json --val dataset.json:validation --out runs/list` · "
    "`liveaction train ct_klt --data a.nii.gz --data dicom_series/ --out runs/klt --steps 0` · "
    "`liveaction train rgb_learn --data pictures/train --labels folders --set training.classes=1 --out runs/classes`"
)
def train(
    recipe: RecipeName,
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            help="A file, a folder, a MONAI data list `dataset.json[:KEY]`, or `synthetic[:COUNT[:SEED]]`. May be "
            "repeated.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run; becomes the model directory.")],
    val: Annotated[
        list[str] | None,
        typer.Option("--val", help="As --data, only to validate on. Default: one signal in ten of --data."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Short for --set training.steps=N. 0: warm start alone.")] = None,
    overrides: Overrides = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--start-from",
            help="A model directory, or a known model: begin with its weights. Its encoder's recipe must agree.",
        ),
    ] = None,
    labels: Annotated[
        str,
        typer.Option(
            help="With training.classes: the classes of what is learnt from: `folders`, a pattern, or a CSV file, as "
            "for `liveaction latents`."
        ),
    ] = "",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on from the newest checkpoint in --out; a run that is complete takes more --steps."
        ),
    ] = False,
    skip_bad: SkipBad = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Train a codec.

    Ctrl-C stops after the step at hand and leaves a model and a checkpoint, and so do SIGTERM, SIGHUP and SIGUSR1; a
    second one stops at once. The exit status is then 128 plus the signal's number. --resume goes on.
    """
    from liveaction.cli.progress import TrainingProgress
    from liveaction.recipe import load_recipe
    from liveaction.training.run import train as run_training

    extra = [f"training.steps={steps}"] if steps is not None else []
    loaded = load_recipe(recipe, [*(overrides or ()), *extra])
    with TrainingProgress(console, loaded, quiet) as progress:
        result = run_training(
            loaded,
            data,
            out,
            val=val or (),
            resume=resume,
            device=device,
            listener=progress.listener(),
            start_from=None if start_from is None else resolve_model(start_from),
            skip_bad=skip_bad,
            labels=_classes(loaded, data, labels) if labels else None,
        )
    print_left_out(result.left_out)
    if result.untouched:
        say(f"{out}: complete after {result.steps} steps; weights {result.digest[:12]}, --steps asks for more")
    elif result.digest:
        word = "done" if result.finished else f"stopped after step {result.steps}; --resume goes on"
        say(f"{out}: {word}; weights {result.digest[:12]}, {result.seconds:.0f} s")
    if not result.finished:
        raise typer.Exit(128 + result.stopped if result.stopped else 1)


def _classes(recipe: "Recipe", data: list[str], labels: str) -> dict[Path, str]:
    from liveaction.learning.labels import training_labels
    from liveaction.registry import build_modality

    return training_labels(build_modality(recipe.modality).find, data, labels)


@app.command(epilog="Example: `liveaction freeze runs/ct --data scans/`")
def freeze(
    model: Annotated[Path, typer.Argument(help="A model directory.")],
    data: Annotated[list[str], typer.Option("--data", help="As for `liveaction train`. May be repeated.")],
    skip_bad: SkipBad = False,
    quiet: Quiet = False,
) -> None:
    """Fit a model's entropy tables to data anew. Streams that were made with the former tables need those."""
    from liveaction.cli.progress import stages
    from liveaction.codec.weights import read_model, save_tables
    from liveaction.registry import build_modality
    from liveaction.training.data import Crops, cache_folder
    from liveaction.training.freeze import freeze as fit
    from liveaction.training.sound import Sieve

    with stages(console, quiet) as stage:
        stage("loading the model")
        codec, recipe, _ = read_model(model, tables=False)
        modality = build_modality(recipe.modality)
        sieve = Sieve(modality, cache_folder(), skip_bad, stage)
        crops = Crops(modality, sieve.read("--data", sieve.find("--data", data)), sieve.folder)
        fit(codec, crops, recipe.training.seed, stage)
        save_tables(codec, model)
    print_left_out(sieve.left_out)
    say(f"{model}: entropy tables {codec.tables_digest[:12]}")
