"""The verbs that look into a stream: ``decompress``, ``info`` and ``verify``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liveaction.cli_folder import refuse_folder_options, run_folder
from liveaction.cli_shared import (
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
from liveaction.errors import SpecError

if TYPE_CHECKING:
    from liveaction.codec.grid import Box
    from liveaction.codec.reader import StreamReader
    from liveaction.signal import Signal

app = typer.Typer()

DAMAGED = 3
"""Exit status where something came out, but not all of it as it was."""

MaxVoxels = Annotated[
    int | None, typer.Option("--max-voxels", min=1, help="Values that a stream may declare; default 2**34.")
]


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
    from liveaction.codec.archive import FolderDecompression
    from liveaction.codec.folder import Settings
    from liveaction.codec.header import MOST_VALUES
    from liveaction.codec.stream import open_reader, write_signal
    from liveaction.codec.weights import choose_device, load_model
    from liveaction.progress import stages

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
        stage(f"writing {target}")
        write_signal(modality, signal, target)
        report: dict[str, Any] = {
            "target": str(target),
            "decode_seconds": reader.seconds - reader.coding_seconds,
            "entropy_decoding_seconds": reader.coding_seconds,
            "msamples_per_second": signal.values.size / 1e6 / reader.seconds,
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
        lost = {} if fill is None else {"damaged": [_damage(damage, reader.header.axes) for damage in damaged]}
        print_json(report | closeness | lost)
    else:
        typer.echo(f"{target}: decoded in {reader.seconds:.2f} s ({report['msamples_per_second']:.1f} Msamples/s)")
        if original is not None:
            typer.echo(f"against {against}: {_closeness(closeness, signal.unit, modality.range_of(original))}")
        if picture is not None:
            typer.echo(f"{picture}: picture")
    _report_damage(damaged, reader.header.axes, f"{source}", f"filled with {fill}")
    if damaged:
        raise typer.Exit(DAMAGED)


def _part_of(original: "Signal", reader: "StreamReader", box: "Box | None") -> "Signal":
    """The region of an original that was decoded; what has the region's shape already stays."""
    if box is None or original.shape != reader.layout.extents:
        return original
    return original.crop(*(slice(low, high) for low, high in box))


@app.command(epilog="Example: `liveaction info scan.lva`")
def info(
    source: Annotated[Path, typer.Argument(help="A .lva file.")],
    as_json: AsJson = False,
) -> None:
    """Show what a stream says of itself, without decoding; header and index are checked, `verify` checks the rest."""
    from liveaction.codec.stream import read_info

    fields = read_info(source)
    if as_json:
        print_json(fields)
        return
    fields["modality"] = fields["modality"]["name"]
    for name in ("metadata", "extras"):
        fields[name] = ", ".join(fields[name]) or "none"
    for name, value in fields.items():
        text = f"{value:.4f}" if isinstance(value, float) else str(value)
        typer.echo(f"{name:<18} {text}")


@app.command(
    epilog="Examples: `liveaction verify scan.lva` · "
    "`liveaction verify scan.lva --model runs/ct --against scan.nii.gz --json`"
)
def verify(
    source: Annotated[Path, typer.Argument(help="A .lva file.")],
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Its model directory: digests are compared, all is decoded.")
    ] = None,
    against: Annotated[Path | None, typer.Option(help="The original, to compare with; needs --model.")] = None,
    max_voxels: MaxVoxels = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Check a stream: structure and every checksum; with its model, that all of it decodes. Exit status 1 if not."""
    from liveaction.codec.header import MOST_VALUES
    from liveaction.codec.verify import verify as check
    from liveaction.codec.weights import choose_device, load_model
    from liveaction.progress import stages
    from liveaction.registry import build_modality

    if against is not None and model is None:
        raise SpecError("--against: expected --model as well, got none; comparing needs the decoded signal")
    closeness: dict[str, float] = {}
    with stages(console, quiet) as stage:
        codec, digest = None, ""
        if model is not None:
            stage("loading the model")
            codec, _, digest = load_model(model, choose_device(device))
        found = check(source, codec, digest, stage, max_voxels or MOST_VALUES)
        if against is not None and found.decoded is not None:
            stage("comparing")
            modality = build_modality(found.header.modality)
            original = modality.read(against)
            closeness = modality.compare(original, found.decoded)
    axes = found.header.axes
    if as_json:
        damaged = [_damage(damage, axes) for damage in found.damaged]
        checked = ["structure", "checksums"] + (["weights", "tables", "decoding"] if model is not None else [])
        print_json({"bytes": found.bytes, "chunks": found.chunks, "checked": checked, "damaged": damaged, **closeness})
    else:
        whole = "all whole" if not found.damaged else f"{len(found.damaged)} damaged"
        decoded = "decodes with this model" if model is not None else "not decoded; --model does"
        typer.echo(f"{source}: {found.bytes:,} bytes, {found.chunks} chunks, {whole}; {decoded}")
        if closeness and found.decoded is not None:
            typer.echo(f"against {against}: {_closeness(closeness, found.header.unit, modality.range_of(original))}")
    _report_damage([*found.damaged], axes, str(source), "--fill of decompress brings the rest back")
    if found.damaged:
        raise typer.Exit(1)


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


def _damage(damage: Any, axes: tuple[str, ...]) -> dict[str, Any]:
    ranges = {axis: list(bounds) for axis, bounds in zip(axes, damage.samples, strict=True)}
    return {"chunk": damage.chunk, "samples": ranges, "reason": damage.reason}


def _report_damage(damaged: list[Any], axes: tuple[str, ...], where: str, outcome: str) -> None:
    """A line per damaged chunk on standard error."""
    for damage in damaged:
        place = ", ".join(f"{a} {low}:{high}" for a, (low, high) in zip(axes, damage.samples, strict=True))
        typer.echo(f"{where}: chunk {damage.chunk} is damaged, samples {place}; {outcome}", err=True)


def _closeness(measured: dict[str, float], unit: str, limits: tuple[float, float]) -> str:
    """What a modality compares: differences of values in one line, likeness and its own measures in another."""
    from liveaction.evaluation.measures import MAIN, MEASURES

    left = dict(measured)

    def said(name: str) -> str:
        value, known = left.pop(name), MEASURES.get(name)
        return f"{known.label} {known.text(value, unit)}" if known else f"{name.replace('_', ' ')} {value:.4g}"

    (low, high), of = limits, f" {unit}" if unit else ""
    values = [f"{said(MAIN)} (range {low:g} to {high:g}{of}, that is peak to peak 2)"]
    values += [said(name) for name in ("rmse", "p999_error", "max_error")]
    left.pop("clipped_share")
    scales = left.pop("ms_ssim_scales", 0.0)
    rest = [said(name) + (f" ({scales:.0f} scales)" if name == "ms_ssim" else "") for name in list(left)]
    return "\n  ".join(", ".join(line) for line in (values, rest) if line)
