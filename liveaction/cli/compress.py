"""The verb ``compress``."""

from pathlib import Path
from typing import Annotated

import typer

from liveaction.cli.folder import refuse_folder_options, run_folder
from liveaction.cli.options import (
    AsJson,
    Device,
    Dtype,
    Force,
    Jobs,
    ModelDir,
    Quiet,
    console,
    print_json,
    refuse_existing,
)

app = typer.Typer()


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
    from liveaction.archive.folder import Settings
    from liveaction.archive.tasks import FolderCompression
    from liveaction.cli.progress import stages
    from liveaction.codec.device import choose_device
    from liveaction.codec.quality import check_rate, choose_step
    from liveaction.codec.stream import compress_file
    from liveaction.codec.weights import load_model
    from liveaction.registry import build_modality

    check_rate(step, quality)
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
        chosen = choose_step(codec.quantizer.step, step, quality)
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
