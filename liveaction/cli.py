"""The command ``liveaction``. Verbs stay thin: they parse, call the library and print."""

import json
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from liveaction.errors import LiveactionError, SpecError
from liveaction.files import atomic_path

app = typer.Typer(
    name="liveaction",
    help="Learned codecs of N-D signals: train on your data, compress, decompress.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
console = Console(stderr=True, highlight=False, soft_wrap=True)

RecipeName = Annotated[
    str, typer.Argument(help="A shipped recipe (`liveaction recipes` lists them), a YAML file, or a model directory.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Change a setting: `table.key=value`. May be repeated.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Device = Annotated[str, typer.Option(help="`auto`, `cpu` or `cuda`.")]
Dtype = Annotated[
    str,
    typer.Option(
        help="Of the networks' products: `float32`, or `bfloat16`, two to three times as fast where the processor has "
        "such products, at an error of about 1 %. Default: the recipe's compute_dtype."
    ),
]
ModelDir = Annotated[Path, typer.Option("--model", "-m", help="Model directory, as `liveaction train` leaves it.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite an existing output.")]


@app.callback()
def _options(
    trace: Annotated[bool, typer.Option("--traceback", help="Show the Python traceback of an error.")] = False,
) -> None:
    global _show_traceback
    _show_traceback = trace


_show_traceback = False


@app.command(epilog="Example: `liveaction recipes`")
def recipes(as_json: AsJson = False) -> None:
    """List the shipped recipes."""
    from liveaction.codec.summary import summarise
    from liveaction.recipe import load_recipe, recipe_names

    rows = [(summarise(load_recipe(name)), load_recipe(name).description) for name in recipe_names()]
    if as_json:
        _print_json([{"name": row.recipe, "description": text} for row, text in rows])
        return
    from rich.table import Table

    table = Table("recipe", "reduction", "encoder", "decoder", "description", box=None, pad_edge=False)
    for row, text in rows:
        sizes = (_count(row.encoder_parameters), _count(row.decoder_parameters))
        table.add_row(row.recipe, f"{row.dimension_reduction:g}x", *sizes, text)
    Console(highlight=False).print(table)


@app.command(epilog="Example: `liveaction check ct_f8c8 --shape 512,512,300 --set codec.latent_channels=32`")
def check(
    recipe: RecipeName,
    shape: Annotated[str, typer.Option(help="Extents of a signal, such as `512,512,300`.")] = "",
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Parse a recipe; print sizes, parameters, multiplications per sample, and advice. Allocates nothing."""
    from dataclasses import asdict

    from liveaction.codec.summary import summarise
    from liveaction.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    summary = summarise(loaded, _extents(shape))
    if as_json:
        _print_json(asdict(summary))
        return
    lines = {
        "recipe": f"{loaded.name}: {loaded.description}",
        "signal": f"{_times(summary.shape)} {', '.join(loaded.modality.axes)}; {loaded.modality.channels} channel(s)",
        "padded": _times(summary.padded),
        "latents": f"{summary.latent_channels} x {_times(summary.grid)} tokens; hidden width {summary.hidden}",
        "dimension reduction": f"{summary.dimension_reduction:.4g}",
        "parameters": f"encoder {summary.encoder_parameters:,}, decoder {summary.decoder_parameters:,}",
        "MACs per sample": f"wavelets {summary.wavelet_macs:.0f} each way, encoder {summary.encoder_macs:.0f}, "
        f"decoder {summary.decoder_macs:,.0f}",
        "advice": "\n".join(summary.advice) or "none",
    }
    _print_lines(lines)


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


@app.command(epilog="Example: `liveaction compress scan.nii.gz scan.lva --model runs/ct --quality 5`")
def compress(
    source: Annotated[Path, typer.Argument(help="A NIfTI file or a folder with one DICOM series.")],
    target: Annotated[Path, typer.Argument(help="The .lva file to write.")],
    model: ModelDir,
    step: Annotated[float | None, typer.Option(help="Quantiser step; default: the one trained with.")] = None,
    quality: Annotated[
        int | None, typer.Option(min=1, max=7, help="1 small .. 7 fine; 4 is the step trained with.")
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "",
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compress one signal with a trained model."""
    from liveaction.codec.stream import QUALITIES, read_header
    from liveaction.codec.stream import compress as compress_signal
    from liveaction.codec.weights import choose_device, load_model
    from liveaction.progress import stages
    from liveaction.registry import build_modality

    if step is not None and quality is not None:
        raise SpecError("--step, --quality: expected one of them, got both")
    if step is not None and not step > 0:
        raise SpecError(f"--step: expected a positive number, got {step}")
    _refuse_existing(target, force)
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
        _print_json(report)
        return
    typer.echo(
        f"{target}: {len(data):,} bytes, {report['ratio']:.1f}:1 of {signal.dtype}, "
        f"{report['bits_per_element']:.4f} bits per element; encoded in {timings.tensors:.2f} s, "
        f"entropy coded in {timings.coding:.2f} s ({report['msamples_per_second']:.1f} Msamples/s)"
    )


@app.command(
    epilog="Example: `liveaction decompress scan.lva back.nii.gz --model runs/ct --against scan.nii.gz "
    "--picture compare.png`"
)
def decompress(
    source: Annotated[Path, typer.Argument(help="A .lva file.")],
    target: Annotated[Path, typer.Argument(help="The file to write, such as back.nii.gz.")],
    model: ModelDir,
    against: Annotated[Path | None, typer.Option(help="The original, to compare with.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Write a PNG of the result (and of --against).")] = None,
    device: Device = "auto",
    dtype: Dtype = "",
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Bring a signal back, and say how close it is to its original."""
    from liveaction.codec.stream import decompress as decompress_stream
    from liveaction.codec.stream import read_stream
    from liveaction.codec.weights import choose_device, load_model
    from liveaction.progress import stages
    from liveaction.registry import build_modality

    _refuse_existing(target, force)
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
        _print_json(report)
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
        _print_json(fields)
        return
    fields["modality"] = fields["modality"]["name"]
    for name, value in fields.items():
        if name != "metadata":
            text = f"{value:.4f}" if isinstance(value, float) else str(value)
            typer.echo(f"{name:<18} {text}")
    typer.echo(f"{'metadata':<18} {', '.join(fields['metadata'])}")


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
    from liveaction.progress import stages
    from liveaction.published.importer import import_livecodec as run_import

    _refuse_full(out, force)
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
    from liveaction.progress import stages
    from liveaction.published.importer import import_walloc as run_import

    _refuse_full(out, force)
    with stages(console, quiet) as stage:
        done = run_import(checkpoint, config or checkpoint.with_suffix(".json"), out, modality, stage)
    _print_import(done, out)


@app.command(epilog="Example: `liveaction doctor`")
def doctor(as_json: AsJson = False) -> None:
    """Show versions, devices and modalities, and run a tiny codec on every device."""
    from liveaction.doctor import examine

    report = examine()
    if as_json:
        _print_json(report)
    else:
        for name, value in report.items():
            typer.echo(f"{name:<16} {value}")
    if any("failed" in str(value) for value in report.values()):
        raise typer.Exit(1)


profile_app = typer.Typer(
    help="Check kernels and codecs, then measure them.", no_args_is_help=True, rich_markup_mode="markdown"
)
app.add_typer(profile_app, name="profile")

Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; default: torch's.")]
Backward = Annotated[bool, typer.Option("--backward", help="Gradients too.")]
Rounds = Annotated[int, typer.Option(min=1, help="At most so many timed calls of each; five seconds end them too.")]
ProfileOut = Annotated[Path | None, typer.Option(help="Folder for profile.json and pictures.")]
Trace = Annotated[bool, typer.Option("--trace", help="Write a Chrome trace of one call of each to --out.")]


@profile_app.command(
    "kernels",
    epilog="Examples: `liveaction profile kernels --op monarch --dtype bfloat16 --out runs/profile` · "
    "`liveaction profile kernels --op my_package.my_module:case --shape 512,32768 --backward`",
)
def profile_kernels(
    op: Annotated[
        list[str] | None,
        typer.Option(help="A shipped operation, or a Case of yours: `package.module:case`. Default: all shipped ones."),
    ] = None,
    shape: Annotated[
        str, typer.Option(help="`512,32768` (channels, tokens) or `1,512,32,32,32` (batch, channels, extents).")
    ] = "",
    dtype: Annotated[str, typer.Option(help="`float32`, `bfloat16` or `float16`.")] = "float32",
    providers: Annotated[
        str,
        typer.Option(
            help="Some of `composed,numba,triton,compiled,anchor,reference,function`. Default: what runs here, without "
            "the reference."
        ),
    ] = "",
    device: Device = "auto",
    threads: Threads = None,
    backward: Backward = False,
    rounds: Rounds = 30,
    out: ProfileOut = None,
    trace: Trace = False,
    tune: Annotated[bool, typer.Option("--tune", help="Try launch settings; writes tuned.json to --out.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Check operations against float64, then time every implementation beside what this device can do at most."""
    from liveaction.profiling.session import kernels_session
    from liveaction.progress import stages

    with stages(console, quiet or as_json) as stage:
        report = kernels_session(
            op, shape, dtype, providers, device, threads, backward, rounds, out, trace, tune, stage
        )
    _print_profile(report, as_json)


@profile_app.command(
    "codec",
    epilog="Examples: `liveaction profile codec ct_light --shape 256,256,256` · "
    "`liveaction profile codec runs/ct --shape 128,128,128 --backward --json`",
)
def profile_codec(
    recipe: RecipeName,
    shape: Annotated[str, typer.Option(help="Extents of a signal, such as `256,256,256`.")],
    dtype: Dtype = "",
    device: Device = "auto",
    threads: Threads = None,
    backward: Backward = False,
    rounds: Rounds = 10,
    out: ProfileOut = None,
    trace: Trace = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Check a codec against float64, then time encoding and decoding, whole and stage by stage."""
    from liveaction.profiling.session import codec_session
    from liveaction.progress import stages

    with stages(console, quiet or as_json) as stage:
        report = codec_session(
            recipe, _extents(shape) or (), dtype, device, threads, backward, rounds, out, trace, stage
        )
    _print_profile(report, as_json)


def main() -> None:
    """Entry point: one line for a refusal (exit 1), usage errors exit 2."""
    try:
        app()
    except LiveactionError as error:
        if _show_traceback:
            traceback.print_exc()
        else:
            sys.stderr.write(f"liveaction: {error}\n")
        raise SystemExit(1) from None


def _closeness(measured: dict[str, float], unit: str, limits: tuple[float, float]) -> str:
    """One line of what a modality compares; the four measures that all have first."""
    low, high = limits
    parts = [
        f"PSNR {measured['psnr_normalised']:.2f} dB (range {low:g} to {high:g} {unit}, that is peak to peak 2)",
        f"root-mean-square error {measured['rmse']:.4g} {unit}",
        f"largest {measured['max_error']:g} {unit}",
    ]
    if "ssim" in measured:
        parts.append(f"SSIM {measured['ssim']:.4f}")
    rest = measured.keys() - {"psnr_normalised", "rmse", "max_error", "ssim", "clipped_share"}
    parts += [f"{name.replace('_', ' ')} {measured[name]:.4g}" for name in measured if name in rest]
    return ", ".join(part.rstrip() for part in parts)


def _print_profile(report: Any, as_json: bool) -> None:
    if as_json:
        _print_json(report.record())
    else:
        report.show(Console(highlight=False, soft_wrap=True))
    if report.red:
        raise typer.Exit(1)


def _extents(text: str) -> tuple[int, ...] | None:
    if not text:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SpecError(f"--shape: expected extents such as 512,512,300, got {text!r}") from None


def _refuse_existing(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise SpecError(f"{target}: expected a new file, got an existing one; add --force to overwrite it")
    if not target.absolute().parent.is_dir():
        raise SpecError(f"{target}: expected an existing folder {str(target.parent)!r}; make it first")


def _refuse_full(out: Path, force: bool) -> None:
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
    }
    _print_lines(lines)


def _print_lines(lines: dict[str, str]) -> None:
    for name, text in lines.items():
        for i, line in enumerate(text.splitlines()):
            typer.echo(f"{name if i == 0 else '':<20} {line}")


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=2))


def _times(extents: tuple[int, ...]) -> str:
    return " x ".join(map(str, extents))


def _count(parameters: int) -> str:
    if parameters >= 1e9:
        return f"{parameters / 1e9:.3g} G"
    return f"{parameters / 1e6:.3g} M" if parameters >= 1e6 else f"{parameters / 1e3:.3g} k"


if __name__ == "__main__":
    main()
