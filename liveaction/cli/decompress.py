"""The verb ``decompress``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liveaction.cli.choice import model_for_streams
from liveaction.cli.derived import series_fields, series_text, write_series
from liveaction.cli.findings import closeness_text, damage_fields, pace_text, promised, report_damage
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
    Synthesised,
)
from liveaction.cli.printing import console, print_json, say
from liveaction.cli.single import Single, parse_region
from liveaction.cli.together import decompress_items

if TYPE_CHECKING:
    from liveaction.codec.grid import Box
    from liveaction.codec.reader import Damage, StreamReader
    from liveaction.enhancing import Enhancer
    from liveaction.modalities.volume.dicom_write import DerivedSeries
    from liveaction.signal import Signal

app = typer.Typer()

DAMAGED = 3
"""Exit status where something came out, but not all of it as it was."""


@app.command(
    epilog="Examples: `liveaction decompress scan.lva back.nii.gz` · "
    "`liveaction decompress scan.lva back.nii.gz --model runs/ct --against scan.nii.gz "
    "--picture compare.png` · `liveaction decompress scan.lva part.nii.gz --model runs/ct --region 100:200,:,40:60` · "
    "`liveaction decompress scan.lva small.nii.gz --scale 1/4` · "
    "`liveaction decompress scan.lva derived/ --to dicom --template series/` · "
    "`liveaction decompress archive/ back/ --model runs/ct --jobs 4` · "
    "`liveaction decompress archive/ pictures/ --thumbnails` · "
    "`liveaction decompress pictures.lva back/ --model runs/rgb --all` · "
    "`liveaction decompress pictures.lva hat.png --model runs/rgb --item hats/17.png`"
)
def decompress(
    source: Annotated[Path, typer.Argument(help="A .lva file, or a folder of them.")],
    target: Annotated[Path, typer.Argument(help="The file to write, such as back.nii.gz, or the folder.")],
    model: ModelDir = None,
    region: Annotated[
        str, typer.Option(help="Only these samples, one range per axis: `10:20,:,5:9`. Only their chunks are read.")
    ] = "",
    scale: Annotated[
        str,
        typer.Option(
            help="`1/2`, `1/4` or `1/8`: fewer samples along each axis but those of time and bands, and most is not "
            "decoded for them. --region counts them then."
        ),
    ] = "",
    thumbnails: Annotated[
        bool,
        typer.Option("--thumbnails", help="Of a folder: PNGs to look at, at --scale, by default 1/8, and no signals."),
    ] = False,
    fill: Annotated[
        float | None,
        typer.Option(help="Put this value where chunks are damaged, and decode the rest; the exit status is then 3."),
    ] = None,
    against: Annotated[Path | None, typer.Option(help="The original, to compare with.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Write a PNG of the result (and of --against).")] = None,
    suffix: Annotated[
        str, typer.Option(help="Of a folder or --all: added to names that do not end so, such as `.nii.gz`.")
    ] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="All items of a stream of many, each under its name in the folder TARGET.")
    ] = False,
    item: Annotated[str, typer.Option(help="Of a stream of many: the number of one, from 0 on, or its name.")] = "",
    enhance: Annotated[
        Path | None,
        typer.Option(
            help="A local folder of an image-to-image pipeline of diffusers, which paints over the decoded picture; "
            "the PNG is marked as synthesised."
        ),
    ] = None,
    strength: Annotated[
        float | None, typer.Option(help="Of --enhance: how much is made anew, up to 1. Default: 0.2.")
    ] = None,
    prompt: Annotated[str, typer.Option(help="Of --enhance: what the pipeline is told.")] = "",
    seed: Annotated[int | None, typer.Option(help="Of --enhance: one seed, one picture. Default: 0.")] = None,
    synthesised: Synthesised = False,
    to: Annotated[
        str, typer.Option("--to", help="`dicom`: TARGET is a folder, of a derived series like that of --template.")
    ] = "",
    template: Annotated[
        Path | None, typer.Option(help="Of --to dicom: the original series, a folder. It is read, never written to.")
    ] = None,
    max_voxels: MaxVoxels = None,
    device: Device = "auto",
    dtype: Dtype = "",
    jobs: Jobs = 1,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Bring a signal back, or a region of it, and say how close it is; or bring back every signal of a folder.

    In a folder `a/b.png.lva` becomes `a/b.png`; its `manifest.jsonl` is as that of compress. A stream of many items
    takes --all or --item. The exit status is 3 where --fill was needed. What --enhance paints is made up.

    Without --model the stream says which known model it needs; of a folder the first stream does, and those of other
    models fail. A bound that a stream keeps holds at its full size alone.
    """
    from liveaction.archive.folder import Settings
    from liveaction.archive.tasks import FolderDecompression
    from liveaction.cli.progress import stages

    single = Single(
        region, scale, fill, against, picture, max_voxels, item, enhance, strength, prompt, seed, synthesised or None,
        to=to, template=template,
    )  # fmt: skip
    chosen = model_for_streams(model, source)
    if everything:
        single.refuse("one item", "--all", "scale", "fill", "max_voxels")
        refuse_folder_options(jobs=jobs > 1, thumbnails=thumbnails)
        damaged = decompress_items(
            source, target, (chosen, device, dtype), (suffix, scale or 1, fill, max_voxels, force), quiet, as_json
        )
        if damaged:
            raise typer.Exit(DAMAGED)
        return
    if source.is_dir():
        single.refuse("one .lva file", f"the folder {str(source)!r}", "scale")
        settings = Settings(chosen.folder, device=device, dtype=dtype, jobs=jobs, force=force)
        wanted = suffix, scale or 1, thumbnails
        run_folder(lambda: FolderDecompression(source, target, settings, *wanted), quiet, as_json, chosen)
        return
    refuse_folder_options(jobs=jobs > 1, suffix=bool(suffix), thumbnails=thumbnails)
    single.check(source, target, chosen.folder, force)
    with stages(console, quiet) as stage:
        done = _decompress(source, target, (chosen.folder, device, dtype), single, stage)
    if as_json:
        print_json(done.fields() | chosen.fields())
    else:
        for line in (*done.lines(), *chosen.lines()):
            say(line)
    report_damage(done.damaged, done.reader.header.axes, f"{source}", f"filled with {done.reader.fill}")
    if done.damaged:
        raise typer.Exit(DAMAGED)


@dataclass(frozen=True)
class _Decompressed:
    """What came out of a stream, and how close it is to ``original``, where that was given."""

    target: Path
    options: Single
    reader: "StreamReader"
    signal: "Signal"
    original: "Signal | None"
    closeness: dict[str, float]
    enhancer: "Enhancer | None"
    series: "DerivedSeries | None"

    @property
    def damaged(self) -> "list[Damage]":
        return list(self.reader.damaged.values())

    @property
    def seconds(self) -> float:
        return self.reader.timings.tensors + self.reader.timings.coding

    def fields(self) -> dict[str, Any]:
        """For JSON."""
        spent, axes = self.reader.timings, self.reader.header.axes
        bound = self.reader.header.bound
        lost = {"damaged": [damage_fields(damage, axes) for damage in self.damaged]}
        return {
            "target": str(self.target),
            "decode_seconds": spent.tensors,
            "entropy_decoding_seconds": spent.coding,
            "msamples_per_second": self.signal.values.size / 1e6 / self.seconds,
            **({"scale": self.options.scale, "shape": list(self.signal.shape)} if self.options.halvings else {}),
            **({} if bound is None or self.options.halvings else {"bound": bound.error}),
            **self.closeness,
            **({} if self.options.fill is None else lost),
            **({} if self.series is None else series_fields(self.series, _ratio(self.reader))),
            **({} if self.enhancer is None else {"synthesised": self.enhancer.about}),
        }

    def lines(self) -> list[str]:
        """For people."""
        pace = pace_text(self.signal.values.size, self.reader.timings)
        about = promised(self.reader.header)
        if self.options.halvings:
            sizes = (" x ".join(map(str, shape)) for shape in (self.signal.shape, self.reader.header.shape[1:]))
            about = f" at {self.options.scale}: {' of '.join(sizes)}"
        said = [f"{self.target}: decoded in {self.seconds:.2f} s ({pace}){about}"]
        if self.enhancer is not None:
            said.append(f"{self.target}: synthesised, and marked so: {self.enhancer.words}")
        if self.series is not None:
            said.append(f"{self.target}: {series_text(self.series, _ratio(self.reader))}")
        if self.original is not None:
            limits = self.reader.modality.range_of(self.original)
            first, *more = closeness_text(self.closeness, self.signal.unit, limits)
            said += [f"against {self.options.against}: {first}", *more]
        if self.options.picture is not None:
            said.append(f"{self.options.picture}: picture")
        return said


def _decompress(
    source: Path, target: Path, model: tuple[Path, str, str], options: Single, stage: Callable[[str], None]
) -> _Decompressed:
    """Decode one stream with a model (directory, device, dtype), write, compare and draw."""
    from liveaction.codec.header import MAX_VOXELS
    from liveaction.codec.model import load
    from liveaction.codec.reader import ReaderOptions
    from liveaction.codec.stream import open_reader, write_signal

    folder, device, dtype = model
    enhancer = None
    if options.enhance is not None:
        stage("loading the pipeline")
        enhancer = options.enhancer(device)
    stage("loading the model")
    loaded = load(folder, device=device, dtype=dtype)
    most = options.max_voxels or MAX_VOXELS
    about: ReaderOptions = {"fill": options.fill, "max_voxels": most, "scale": options.scale or 1}
    with open_reader(source, loaded, item=options.number(source) or 0, **about) as reader:
        box = parse_region(options.region, reader.extents)
        signal = reader.read(box, stage)
    if enhancer is not None:
        stage("painting over")
        signal = enhancer(signal, stage)
    stage(f"writing {target}")
    series = None
    if options.template is not None:
        series = write_series(reader, signal, target, options.template, _ratio(reader))
    else:
        write_signal(reader.modality, signal, target)
    original, closeness = None, dict[str, float]()
    if options.against is not None:
        stage("comparing")
        original = _part_of(reader.modality.read(options.against), reader, box)
        closeness = reader.modality.compare(original, signal)
    done = _Decompressed(target, options, reader, signal, original, closeness, enhancer, series)
    if options.picture is not None:
        stage("drawing")
        _draw(done, options.picture)
    return done


def _ratio(reader: "StreamReader") -> float:
    """Bits of the source's values over those of what was decoded."""
    container = reader.container
    return reader.header.native_bits / (8 * (container.overhead + container.entries.bytes_of_chunks))


def _draw(done: _Decompressed, picture: Path) -> None:
    """The result, and the original beside it where there is one."""
    header, signal, ratio = done.reader.header, done.signal, _ratio(done.reader)
    bits = signal.native_bits / signal.values.size / ratio
    quality = f", PSNR {done.closeness['psnr_normalised']:.2f} dB" if done.closeness else ""
    scale = f", at {done.options.scale}" if done.options.halvings else ""
    title = f"{header.recipe}{scale}: {bits:.4f} bits per element, {ratio:.1f}:1{quality}"
    done.reader.modality.preview(done.original, signal, picture, title)


def _part_of(original: "Signal", reader: "StreamReader", box: "Box | None") -> "Signal":
    """The region of an original that was decoded; what has the region's shape already stays."""
    if box is None or original.shape != reader.extents:
        return original
    part = original.crop(*(slice(low, high) for low, high in box))
    return reader.modality.cropped(part, box, original.shape)
