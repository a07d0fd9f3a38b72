"""The verbs ``train``, ``freeze`` and ``compress``."""

from pathlib import Path
from typing import Annotated

import typer

from liveaction.cli_folder import refuse_folder_options, run_folder
from liveaction.cli_shared import (
    AsJson,
    Device,
    Dtype,
    Force,
    Jobs,
    ModelDir,
    Overrides,
    Quiet,
    RecipeName,
    console,
    print_json,
    refuse_existing,
)
from liveaction.errors import SpecError

app = typer.Typer()


@app.command(
    epilog="Examples: `liveaction train ct_light --data scans/ --out runs/ct` · "
    "`liveaction train ct_smoke --data synthetic --out runs/phantom` · "
    "`liveaction train ct_klt --data a.nii.gz --data dicom_series/ --out runs/klt --steps 0`"
)
def train(
    recipe: RecipeName,
    data: Annotated[
        list[str],
        typer.Option("--data", help="A file, a folder, or `synthetic[:COUNT[:SEED]]`. May be repeated."),
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
            "--start-from", help="A model directory: begin with its weights. Its encoder's recipe must agree."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in --out.")] = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Train a codec. Ctrl-C stops after the step at hand and leaves a model and a checkpoint; --resume goes on."""
    from liveaction.progress import TrainingProgress
    from liveaction.recipe import load_recipe
    from liveaction.training.run import train as run_training

    extra = [f"training.steps={steps}"] if steps is not None else []
    loaded = load_recipe(recipe, [*(overrides or ()), *extra])
    with TrainingProgress(console, loaded, quiet) as progress:
        result = run_training(loaded, data, out, val or (), resume, device, progress.listener(), start_from)
    if result.digest:
        word = "done" if result.finished else f"stopped after step {result.steps}; --resume goes on"
        typer.echo(f"{out}: {word}; weights {result.digest[:12]}, {result.seconds:.0f} s")
    if not result.finished:
        raise typer.Exit(1)


@app.command(epilog="Example: `liveaction freeze runs/ct --data scans/`")
def freeze(
    model: Annotated[Path, typer.Argument(help="A model directory.")],
    data: Annotated[list[str], typer.Option("--data", help="As for `liveaction train`. May be repeated.")],
    quiet: Quiet = False,
) -> None:
    """Fit a model's entropy tables to data anew. Streams that were made with the former tables need those."""
    from liveaction.codec.weights import load_model, save_tables
    from liveaction.progress import stages
    from liveaction.registry import build_modality
    from liveaction.training.data import Crops, cache_folder, find_items
    from liveaction.training.freeze import freeze as fit

    with stages(console, quiet) as stage:
        stage("loading the model")
        codec, recipe, _ = load_model(model, tables=False)
        modality = build_modality(recipe.modality)
        crops = Crops(modality, find_items(modality, data), cache_folder(), lambda name: stage(f"reading {name}"))
        stage("fitting entropy tables")
        codec.tables = fit(codec, crops, recipe.training.seed)
        save_tables(codec.tables, model)
    typer.echo(f"{model}: entropy tables {codec.tables.digest[:12]}")


@app.command(
    epilog="Examples: `liveaction compress scan.nii.gz scan.lva --model runs/ct --quality 5` · "
    "`liveaction compress scans/ archive/ --model runs/ct --jobs 4`"
)
def compress(
    source: Annotated[
        Path, typer.Argument(help="A file, a folder with one DICOM series, or a folder of many signals.")
    ],
    target: Annotated[
        Path, typer.Argument(help="The .lva file to write; any other name is a folder for all that SOURCE holds.")
    ],
    model: ModelDir,
    step: Annotated[float | None, typer.Option(help="Quantiser step; default: the one trained with.")] = None,
    quality: Annotated[
        int | None, typer.Option(min=1, max=7, help="1 small .. 7 fine; 4 is the step trained with.")
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "",
    jobs: Jobs = 1,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compress one signal with a trained model, or every signal in a folder.

    A folder keeps its shape: `a/b.png` becomes `a/b.png.lva`. `manifest.jsonl` there records every item; what it says
    is done is skipped the next time, so an interrupted run goes on.
    """
    from liveaction.codec.archive import FolderCompression
    from liveaction.codec.folder import Settings
    from liveaction.codec.stream import QUALITIES, compress_file
    from liveaction.codec.weights import choose_device, load_model
    from liveaction.progress import stages
    from liveaction.registry import build_modality

    if step is not None and quality is not None:
        raise SpecError("--step, --quality: expected one of them, got both")
    if step is not None and not step > 0:
        raise SpecError(f"--step: expected a positive number, got {step}")
    if target.suffix != ".lva":
        settings = Settings(model, step, quality, device, dtype, jobs, force)
        run_folder(lambda: FolderCompression(source, target, settings), quiet, as_json)
        return
    refuse_folder_options(jobs=jobs > 1)
    refuse_existing(target, force)
    with stages(console, quiet) as stage:
        stage("loading the model")
        codec, recipe, digest = load_model(model, choose_device(device), dtype)
        stage(f"reading {source}")
        signal = build_modality(recipe.modality).read(source)
        chosen = codec.quantizer.step * QUALITIES[quality] if quality else step
        written = compress_file(signal, target, codec, recipe, digest, chosen, stage)
    elements = signal.values.size
    report = {
        "target": str(target),
        "bytes": written.bytes,
        "ratio": signal.native_bits / (8 * written.bytes),
        "bits_per_element": 8 * written.bytes / elements,
        "step": written.step,
        "encode_seconds": written.timings.tensors,
        "entropy_coding_seconds": written.timings.coding,
        "msamples_per_second": elements / 1e6 / (written.timings.tensors + written.timings.coding),
    }
    if as_json:
        print_json(report)
        return
    typer.echo(
        f"{target}: {written.bytes:,} bytes, {report['ratio']:.1f}:1 of {signal.dtype}, "
        f"{report['bits_per_element']:.4f} bits per element; encoded in {written.timings.tensors:.2f} s, "
        f"entropy coded in {written.timings.coding:.2f} s ({report['msamples_per_second']:.1f} Msamples/s)"
    )
