"""The verb ``compress``."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liveaction.cli.choice import model_for_files
from liveaction.cli.findings import pace_text
from liveaction.cli.folder import refuse_folder_options, run_folder
from liveaction.cli.options import (
    AsJson,
    Device,
    Dtype,
    Force,
    Jobs,
    MaxError,
    ModelDir,
    Quiet,
    TargetError,
    TargetPsnr,
    TargetRatio,
    TargetSize,
    percent,
    refuse_existing,
)
from liveaction.cli.printing import console, print_json, say
from liveaction.cli.splits import split_lines
from liveaction.cli.together import compress_folder
from liveaction.errors import SpecError
from liveaction.outputs import check_outputs

if TYPE_CHECKING:
    from liveaction.archive.folder import Settings
    from liveaction.codec.model import Model
    from liveaction.codec.writing import Written
    from liveaction.signal import Signal

app = typer.Typer()


@app.command(
    epilog="Examples: `liveaction compress scan.nii.gz scan.lva` · "
    "`liveaction compress scan.nii.gz scan.lva --model runs/ct --quality 5` · "
    "`liveaction compress scans/ archive/ --model runs/ct --jobs 4` · "
    "`liveaction compress photo.png photo.lva --model runs/rgb --target-size 200kB` · "
    "`liveaction compress scan.nii.gz scan.lva --max-error 0` · "
    "`liveaction compress clip.mkv clip.lva --model runs/video --fast` · "
    "`liveaction compress pictures/ pictures.lva --model runs/rgb --together`"
)
def compress(
    source: Annotated[
        Path, typer.Argument(help="A file, a folder with one DICOM series, or a folder of many signals.")
    ],
    target: Annotated[
        Path,
        typer.Argument(
            help="The .lva file to write; any other name is a folder with a .lva file for each signal of SOURCE."
        ),
    ],
    model: ModelDir = None,
    step: Annotated[float | None, typer.Option(help="Quantiser step; default: the one trained with.")] = None,
    quality: Annotated[
        int | None, typer.Option(min=1, max=7, help="1 small .. 7 fine; 4 is a step of 0.1, whatever was trained with.")
    ] = None,
    target_size: TargetSize = None,
    target_ratio: TargetRatio = None,
    target_psnr: TargetPsnr = None,
    target_error: TargetError = None,
    max_error: MaxError = None,
    series: Annotated[
        str | None,
        typer.Option(help="Which DICOM series of the folder SOURCE: its SeriesInstanceUID, or its SeriesNumber."),
    ] = None,
    strip_metadata: Annotated[
        bool, typer.Option("--strip-metadata", help="Keep of the source's metadata geometry, type and unit alone.")
    ] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Do not weigh what each symbol costs: more bits, in less time.")
    ] = False,
    coder: Annotated[
        str | None,
        typer.Option(
            help="Of symbols: small, which learns as it goes, or fast, some 1 to 4 % more bytes. Default: small; with "
            "--fast, or a model of before there was it, fast."
        ),
    ] = None,
    together: Annotated[
        bool,
        typer.Option("--together", help="All signals of the folder SOURCE in one .lva file, under their names there."),
    ] = False,
    device: Device = "auto",
    dtype: Dtype = "",
    jobs: Jobs = 1,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compress one signal with a trained model, or every signal in a folder.

    A folder keeps its shape: `a/b.png` becomes `a/b.png.lva`. `manifest.jsonl` there records every item; what it says
    is done is skipped the next time, so an interrupted run goes on. With --together, for many small signals, it becomes
    one .lva file, whole or not at all, of which `decompress --all` makes the folder again. Without --model the first
    item's modality decides which known model is taken, which is said.
    """
    from liveaction.archive.folder import Settings
    from liveaction.archive.tasks import FolderCompression
    from liveaction.cli.progress import stages
    from liveaction.codec.quality import check_rate
    from liveaction.codec.target import target_of

    goal = target_of(target_size, target_ratio, target_psnr, target_error)
    check_rate(step, quality, goal, max_error)
    if together and (target.suffix != ".lva" or series is not None):
        raise SpecError(f"--together: expected a target that ends in .lva and no --series, got {str(target)!r}")
    if series is not None:
        source = _series(source, series)
    chosen = model_for_files(model, source)
    options = strip_metadata, fast, coder, goal, max_error
    settings = Settings(chosen.folder, step, quality, device, dtype, jobs, force, *options)
    if target.suffix != ".lva":
        run_folder(lambda: FolderCompression(source, target, settings), quiet, as_json, chosen)
        return
    refuse_folder_options(jobs=jobs > 1)
    check_outputs({str(target): target}, {"SOURCE": source}, {"the model": chosen.folder})
    refuse_existing(target, force)
    if together:
        compress_folder(source, target, settings, quiet, as_json, chosen)
        return
    with stages(console, quiet) as stage:
        used, signal, written = _compress(source, target, settings, stage)
    report = _report(target, signal, written) | chosen.fields()
    if as_json:
        print_json(report)
        return
    say(
        f"{target}: {written.bytes:,} bytes, {report['ratio']:.1f}:1 of {_width(signal)}, "
        f"{report['bits_per_element']:.4f} bits per element; encoded in {written.timings.tensors:.2f} s, "
        f"entropy coded in {written.timings.coding:.2f} s ({pace_text(signal.values.size, written.timings)})"
    )
    aimed = () if written.aim is None else (written.aim.text(written.step, signal.unit),)
    bounded = () if written.bound is None else (f"{written.bound.text(signal.unit)}, at step {written.step:.4g}",)
    for line in (
        *aimed,
        *bounded,
        *chosen.lines(),
        *split_lines(used.codec, signal, written),
        *_left_out(signal, written),
    ):
        say(line)


def _compress(
    source: Path, target: Path, settings: "Settings", stage: Callable[[str], None]
) -> tuple["Model", "Signal", "Written"]:
    """Read one signal and write its stream; with the model that did it."""
    from liveaction.codec.model import check_source, load

    stage("loading the model")
    model = load(settings.model, device=settings.device, dtype=settings.dtype)
    check_source(model, source, target)
    stage(f"reading {source}")
    signal = model.modality.read(source)
    options = settings.options
    options["stage"] = stage
    written = model.compress_file(signal, target, **options)
    return model, signal, written


def _left_out(signal: "Signal", written: "Written") -> list[str]:
    """What is not coded: values outside the range, and where there are none."""
    (low, high), lines = written.limits, []
    if share := written.clipped_share:
        within = f"{low:g} to {high:g} {signal.unit}".rstrip()
        lines.append(f"{percent(share)} of the values lie outside {within} and are clipped")
    if share := written.missing_share:
        lines.append(f"{percent(share)} of the values are missing, {signal.no_data:g} stands there and comes back")
    return lines


def _series(source: Path, series: str) -> Path:
    """The path of one series in a folder."""
    if not source.is_dir() or series in ("", ".", "..") or Path(series).name != series:
        raise SpecError(f"--series: expected the UID or number of a series in a folder, got {series!r} in {source}")
    return source / series


def _width(signal: "Signal") -> str:
    """What a ratio is stated on."""
    return f"{signal.bits} bits in {signal.dtype}" if signal.bits else signal.dtype


def _report(target: Path, signal: "Signal", written: "Written") -> dict[str, Any]:
    """What is said of a stream that was written."""
    elements, spent = signal.values.size, written.timings
    return {
        "target": str(target),
        "bytes": written.bytes,
        "ratio": signal.native_bits / (8 * written.bytes),
        "bits_per_element": 8 * written.bytes / elements,
        "step": written.step,
        "tree": written.tree,
        "components": written.components,
        "coder": written.coder,
        "clipped_share": written.clipped_share,
        "missing_share": written.missing_share,
        "encode_seconds": spent.tensors,
        "entropy_coding_seconds": spent.coding,
        "msamples_per_second": elements / 1e6 / (spent.tensors + spent.coding),
        **({} if written.aim is None else {"aim": written.aim.fields()}),
        **({} if written.bound is None else {"bound": written.bound.error}),
    }
