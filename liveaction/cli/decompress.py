"""The verb ``decompress``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liveaction.cli.findings import closeness_text, damage_fields, report_damage
from liveaction.cli.folder import refuse_folder_options, run_folder
from liveaction.cli.options import (
    AsJson,
    Device,
    Dtype,
    Force,
    Jobs,
    MaxVoxels,
    ModelDir,
    Quiet,
    console,
    print_json,
    refuse_existing,
)
from liveaction.errors import SpecError

if TYPE_CHECKING:
    from liveaction.codec.grid import Box
    from liveaction.codec.reader import StreamReader
    from liveaction.signal import Signal

app = typer.Typer()

DAMAGED = 3
"""Exit status where something came out, but not all of it as it was."""


@app.command(
    epilog="Examples: `liveaction decompress scan.lva back.nii.gz --model runs/ct --against scan.nii.gz "
    "--picture compare.png` · `liveaction decompress scan.lva part.nii.gz --model runs/ct --region 100:200,:,40:60` · "
    "`liveaction decompress archive/ back/ --model runs/ct --jobs 4`"
)
def decompress(
    source: Annotated[Path, typer.Argument(help="A .lva file, or a folder of them.")],
    target: Annotated[Path, typer.Argument(help="The file to write, such as back.nii.gz, or the folder.")],
    model: ModelDir,
    region: Annotated[
        str, typer.Option(help="Only these samples, one range per axis: `10:20,:,5:9`. Only their chunks are read.")
    ] = "",
    fill: Annotated[
        float | None,
        typer.Option(help="Put this value where chunks are damaged, and decode the rest; the exit status is then 3."),
    ] = None,
    against: Annotated[Path | None, typer.Option(help="The original, to compare with.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Write a PNG of the result (and of --against).")] = None,
    suffix: Annotated[
        str, typer.Option(help="Of a folder: added to names that do not end so, such as `.nii.gz`.")
    ] = "",
    max_voxels: MaxVoxels = None,
    device: Device = "auto",
    dtype: Dtype = "",
    jobs: Jobs = 1,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Bring a signal back, or a region of it, and say how close it is; or bring back every signal of a folder.

    In a folder `a/b.png.lva` becomes `a/b.png`; its `manifest.jsonl` is as that of compress. The exit status is 3 where
    --fill was needed.
    """
    from liveaction.archive.folder import Settings
    from liveaction.archive.tasks import FolderDecompression
    from liveaction.cli.progress import stages
    from liveaction.codec.device import choose_device
    from liveaction.codec.header import MOST_VALUES
    from liveaction.codec.stream import open_reader, write_signal
    from liveaction.codec.weights import load_model

    if source.is_dir():
        single = {
            "--region": region,
            "--fill": fill,
            "--against": against,
            "--picture": picture,
            "--max-voxels": max_voxels,
        }
        for name in (name for name, given in single.items() if given not in (None, "")):
            raise SpecError(f"{name}: expected one .lva file with it, got the folder {str(source)!r}; leave it out")
        settings = Settings(model, device=device, dtype=dtype, jobs=jobs, force=force)
        run_folder(lambda: FolderDecompression(source, target, settings, suffix), quiet, as_json)
        return
    refuse_folder_options(jobs=jobs > 1, suffix=bool(suffix))
    refuse_existing(target, force)
    with stages(console, quiet) as stage:
        stage("loading the model")
        codec, recipe, digest = load_model(model, choose_device(device), dtype)
        with open_reader(source, codec, digest, "", fill, max_voxels or MOST_VALUES) as reader:
            modality, box = reader.modality, parse_region(region, reader.layout.extents)
            signal = reader.read(box, stage)
            spent = reader.timings
            seconds = spent.tensors + spent.coding
        stage(f"writing {target}")
        write_signal(modality, signal, target)
        report: dict[str, Any] = {
            "target": str(target),
            "decode_seconds": spent.tensors,
            "entropy_decoding_seconds": spent.coding,
            "msamples_per_second": signal.values.size / 1e6 / seconds,
        }
        original, closeness = None, dict[str, float]()
        if against is not None:
            stage("comparing")
            original = _part_of(modality.read(against), reader, box)
            closeness = modality.compare(original, signal)
        if picture is not None:
            stage("drawing")
            ratio = reader.header.native_bits / (8 * source.stat().st_size)
            bits = signal.native_bits / signal.values.size / ratio
            quality = f", PSNR {closeness['psnr_normalised']:.2f} dB" if closeness else ""
            title = f"{recipe.name}: {bits:.4f} bits per element, {ratio:.1f}:1{quality}"
            modality.preview(original, signal, picture, title)
    damaged = list(reader.damaged.values())
    if as_json:
        lost = {} if fill is None else {"damaged": [damage_fields(damage, reader.header.axes) for damage in damaged]}
        print_json(report | closeness | lost)
    else:
        typer.echo(f"{target}: decoded in {seconds:.2f} s ({report['msamples_per_second']:.1f} Msamples/s)")
        if original is not None:
            typer.echo(f"against {against}: {closeness_text(closeness, signal.unit, modality.range_of(original))}")
        if picture is not None:
            typer.echo(f"{picture}: picture")
    report_damage(damaged, reader.header.axes, f"{source}", f"filled with {fill}")
    if damaged:
        raise typer.Exit(DAMAGED)


def _part_of(original: "Signal", reader: "StreamReader", box: "Box | None") -> "Signal":
    """The region of an original that was decoded; what has the region's shape already stays."""
    if box is None or original.shape != reader.layout.extents:
        return original
    return original.crop(*(slice(low, high) for low, high in box))


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
