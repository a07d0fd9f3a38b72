"""The verbs ``train``, ``compress``, ``decompress`` and ``info``."""

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from liveaction.cli_folder import run_folder
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
from liveaction.errors import LiveactionWarning, SpecError
from liveaction.files import atomic_path

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
    from liveaction.codec.stream import QUALITIES, read_header
    from liveaction.codec.stream import compress as compress_signal
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
    _warn_of_folder_options(jobs)
    refuse_existing(target, force)
    with stages(console, quiet) as stage:
        stage("loading the model")
        codec, recipe, digest = load_model(model, choose_device(device), dtype)
        stage(f"reading {source}")
        signal = build_modality(recipe.modality).read(source)
        chosen = codec.quantizer.step * QUALITIES[quality] if quality else step
        data, timings = compress_signal(signal, codec, recipe, digest, chosen, stage)
        with atomic_path(target) as part:
            part.write_bytes(data)
    elements = signal.values.size
    report = {
        "target": str(target),
        "bytes": len(data),
        "ratio": signal.native_bits / (8 * len(data)),
        "bits_per_element": 8 * len(data) / elements,
        "step": read_header(data, str(target)).step,
        "encode_seconds": timings.tensors,
        "entropy_coding_seconds": timings.coding,
        "msamples_per_second": elements / 1e6 / (timings.tensors + timings.coding),
    }
    if as_json:
        print_json(report)
        return
    typer.echo(
        f"{target}: {len(data):,} bytes, {report['ratio']:.1f}:1 of {signal.dtype}, "
        f"{report['bits_per_element']:.4f} bits per element; encoded in {timings.tensors:.2f} s, "
        f"entropy coded in {timings.coding:.2f} s ({report['msamples_per_second']:.1f} Msamples/s)"
    )


@app.command(
    epilog="Examples: `liveaction decompress scan.lva back.nii.gz --model runs/ct --against scan.nii.gz "
    "--picture compare.png` · `liveaction decompress archive/ back/ --model runs/ct --jobs 4`"
)
def decompress(
    source: Annotated[Path, typer.Argument(help="A .lva file, or a folder of them.")],
    target: Annotated[Path, typer.Argument(help="The file to write, such as back.nii.gz, or the folder.")],
    model: ModelDir,
    against: Annotated[Path | None, typer.Option(help="The original, to compare with.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Write a PNG of the result (and of --against).")] = None,
    suffix: Annotated[
        str, typer.Option(help="Of a folder: added to names that do not end so, such as `.nii.gz`.")
    ] = "",
    device: Device = "auto",
    dtype: Dtype = "",
    jobs: Jobs = 1,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Bring a signal back, and say how close it is to its original; or bring back every signal of a folder.

    In a folder `a/b.png.lva` becomes `a/b.png`; its `manifest.jsonl` is as that of compress.
    """
    from liveaction.codec.archive import FolderDecompression
    from liveaction.codec.folder import Settings
    from liveaction.codec.stream import decompress as decompress_stream
    from liveaction.codec.stream import read_stream
    from liveaction.codec.weights import choose_device, load_model
    from liveaction.progress import stages
    from liveaction.registry import build_modality

    if source.is_dir():
        if against is not None or picture is not None:
            raise SpecError(f"--against, --picture: expected one .lva file with them, got the folder {str(source)!r}")
        settings = Settings(model, device=device, dtype=dtype, jobs=jobs, force=force)
        run_folder(lambda: FolderDecompression(source, target, settings, suffix), quiet, as_json)
        return
    _warn_of_folder_options(jobs, suffix)
    refuse_existing(target, force)
    with stages(console, quiet) as stage:
        data = read_stream(source)
        stage("loading the model")
        codec, recipe, digest = load_model(model, choose_device(device), dtype)
        signal, timings = decompress_stream(data, codec, digest, str(source), stage)
        modality = build_modality(recipe.modality)
        stage(f"writing {target}")
        modality.write(signal, target)
        elements = signal.values.size
        report: dict[str, Any] = {
            "target": str(target),
            "decode_seconds": timings.tensors,
            "entropy_decoding_seconds": timings.coding,
            "msamples_per_second": elements / 1e6 / (timings.tensors + timings.coding),
        }
        original = None
        if against is not None:
            stage("comparing")
            original = modality.read(against)
            report |= (closeness := modality.compare(original, signal))
        if picture is not None:
            stage("drawing")
            rate = f"{8 * len(data) / elements:.4f} bits per element, {signal.native_bits / (8 * len(data)):.1f}:1"
            quality = f", PSNR {report['psnr_normalised']:.2f} dB" if original is not None else ""
            modality.preview(original, signal, picture, f"{recipe.name}: {rate}{quality}")
    if as_json:
        print_json(report)
        return
    typer.echo(
        f"{target}: decoded in {timings.coding + timings.tensors:.2f} s "
        f"({report['msamples_per_second']:.1f} Msamples/s)"
    )
    if original is not None:
        typer.echo(f"against {against}: {_closeness(closeness, signal.unit, modality.range_of(original))}")
    if picture is not None:
        typer.echo(f"{picture}: picture")


@app.command(epilog="Example: `liveaction info scan.lva`")
def info(
    source: Annotated[Path, typer.Argument(help="A .lva file.")],
    as_json: AsJson = False,
) -> None:
    """Show what a stream says of itself, without decoding; its checksums are verified."""
    from liveaction.codec.stream import read_info

    fields = read_info(source)
    if as_json:
        print_json(fields)
        return
    fields["modality"] = fields["modality"]["name"]
    for name, value in fields.items():
        if name != "metadata":
            text = f"{value:.4f}" if isinstance(value, float) else str(value)
            typer.echo(f"{name:<18} {text}")
    typer.echo(f"{'metadata':<18} {', '.join(fields['metadata'])}")


def _warn_of_folder_options(jobs: int, suffix: str = "") -> None:
    for name, given in (("--jobs", jobs > 1), ("--suffix", suffix)):
        if given:
            warnings.warn(
                LiveactionWarning(f"{name}: expected a folder with it, got one signal; ignored"), stacklevel=3
            )


def _closeness(measured: dict[str, float], unit: str, limits: tuple[float, float]) -> str:
    """One line of what a modality compares; the four measures that all have first."""
    (low, high), unit = limits, f" {unit}" if unit else ""
    parts = [
        f"PSNR {measured['psnr_normalised']:.2f} dB (range {low:g} to {high:g}{unit}, that is peak to peak 2)",
        f"root-mean-square error {measured['rmse']:.4g}{unit}",
        f"largest {measured['max_error']:g}{unit}",
    ]
    if "ssim" in measured:
        parts.append(f"SSIM {measured['ssim']:.4f}")
    rest = measured.keys() - {"psnr_normalised", "rmse", "max_error", "ssim", "clipped_share"}
    parts += [f"{name.replace('_', ' ')} {measured[name]:.4g}" for name in measured if name in rest]
    return ", ".join(parts)
