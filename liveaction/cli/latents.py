"""The verb ``latents``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from liveaction.cli.options import AsJson, Device, Force, Quiet, refuse_existing
from liveaction.cli.printing import console, print_json, say
from liveaction.errors import FormatError, SpecError
from liveaction.home import resolve_model
from liveaction.outputs import check_folder

if TYPE_CHECKING:
    from liveaction.learning.inputs import Task
    from liveaction.learning.labels import LabelledItem
    from liveaction.learning.sources import LatentSource
    from liveaction.learning.store import LatentStore

app = typer.Typer()


@app.command(
    epilog="Examples: `liveaction latents pictures/ store/ --model runs/rgb --labels folders` · "
    "`liveaction latents digits/ store/ --model runs/speech --labels '(?P<label>[0-9])_(?P<group>[a-z]+)' "
    "--fit t=8192` · `liveaction latents archive/ store/ --model runs/ct --labels items.csv` · "
    "`liveaction latents pictures.lva store/ --model runs/rgb --labels folders` · "
    "`liveaction latents store/` · `liveaction latents store/ --export store.zarr`"
)
def latents(
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder of signals, or of .lva streams, or one stream of many; a store to look at, without STORE."
        ),
    ],
    store: Annotated[Path | None, typer.Argument(help="Folder of the store to make.")] = None,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Model directory, or a known model, whose latents are kept.")
    ] = None,
    labels: Annotated[
        str,
        typer.Option(
            help="`folders`: the folder of an item is its class, a first folder train, validation or test its split; a "
            "regular expression with `(?P<label>...)`, perhaps `(?P<split>...)` and `(?P<group>...)`; or a CSV file "
            "path,label,split,group. Default: no labels."
        ),
    ] = "",
    task: Annotated[
        str, typer.Option(help="What labels are: `class`, `number` (several with spaces between), or `map` (paths).")
    ] = "class",
    fit: Annotated[
        list[str] | None, typer.Option("--fit", help="Cut or continue all signals: `t=8192`. May be repeated.")
    ] = None,
    views: Annotated[
        str, typer.Option(help="Kept of every item, with commas between: `identity,flip:x`.")
    ] = "identity",
    step: Annotated[float | None, typer.Option(help="Quantiser step; default: the one trained with.")] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Keep a byte per latent, at the least step that all of them fit.")
    ] = False,
    fast: Annotated[bool, typer.Option("--fast", help="Do not weigh what each symbol costs.")] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write a store for others: NAME.zarr, or NAME.tar as WebDataset reads it.")
    ] = None,
    device: Device = "auto",
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Keep latents of many items to learn from, look at what is kept, or hand it to other tools.

    A store is a folder of memory-mapped safetensors with labels, splits and statistics of the training split. An
    interrupted run goes on. Streams are entropy-decoded and no more.
    """
    from liveaction.learning.store import LatentStore

    if store is None:
        if model or labels or fit or step or int8 or fast:
            raise SpecError("latents: expected SOURCE and STORE, the folder to make, got one of them; see --help")
        found = LatentStore(source)
        if export is not None:
            _export(found, export, force, quiet)
        _show(found, as_json)
        return
    if model is None or export is not None:
        raise SpecError("latents: expected --model to make a store, and no --export, got others; see --help")
    model = resolve_model(model)
    check_folder(str(store), store, {"SOURCE": source, "the model": model})
    made = _make(source, store, model, labels, task, fit or [], views, step, int8, fast, device, quiet)
    _show(made, as_json)


def _make(
    source: Path, store: Path, model: Path, labels: str, task: str, fit: list[str], views: str, step: float | None,
    int8: bool, fast: bool, device: str, quiet: bool,
) -> "LatentStore":  # fmt: skip
    from liveaction.cli.progress import counted, stages
    from liveaction.codec.model import load
    from liveaction.learning.making import StoreOptions, make_store
    from liveaction.learning.sources import LatentSource, step_for_int8

    if task not in ("class", "number", "map"):
        raise SpecError(f"--task: expected class, number or map, got {task!r}")
    extents = _fit(fit)
    with stages(console, quiet) as stage:
        stage("loading the model")
        loaded = load(model, device=device)
        stage(f"looking through {source}")
        kind = LatentSource(loaded, step, fast, "int8" if int8 else "int16")
        items = find_labelled(source, kind, labels, task)
        if int8:
            stage("looking for the least step that all latents fit")
            least = step_for_int8(loaded, [item.path for item in items], extents)
            if least > kind.step:
                kind = LatentSource(loaded, least, fast, "int8")
                say(f"--int8: step {kind.step:.4g} instead of {loaded.codec.quantizer.step:.4g}", err=True)
    options = StoreOptions(cast("Task", task) if labels else None, extents, tuple(views.split(",")))
    with counted(console, quiet) as count:
        return make_store(items, kind, store, options, count)


def find_labelled(source: Path, kind: "LatentSource", labels: str, task: str) -> "list[LabelledItem]":
    """Signals of a folder, or its streams where there are such, or the items of one stream, by their names there.

    Paths of maps are below the table that names them.

    Raises:
        FormatError: there is no such file or folder, or nothing in it.
    """
    from dataclasses import replace

    from liveaction.archive.find import streams_below
    from liveaction.learning.labels import labelled_items
    from liveaction.learning.streams import STREAM, item_paths

    if not source.exists():
        raise FormatError(f"{source}: expected a folder of signals or of .lva streams, or one stream of many, got none")
    streams = streams_below(source) if source.is_dir() else []
    whole = source.is_file() and source.name.endswith(STREAM)
    paths = item_paths(source) if whole else streams or kind.modality.find(source)
    items = labelled_items(source, paths, labels, STREAM if streams else "")
    if task == "map" and labels:
        items = [replace(item, label=str(Path(labels).parent / item.label)) for item in items]
    return items


def _fit(texts: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in texts:
        axis, _, number = text.partition("=")
        if not (number.isascii() and number.isdigit()) or int(number) < 1 or axis in found:
            raise SpecError(f"--fit: expected AXIS=SAMPLES such as t=8192, got {text!r}")
        found[axis] = int(number)
    return found


def _export(store: "LatentStore", out: Path, force: bool, quiet: bool) -> None:
    from liveaction.cli.progress import counted
    from liveaction.learning.export import export_store

    refuse_existing(out, force)
    with counted(console, quiet) as count:
        export_store(store, out, count)
    say(f"{out}: written", err=True)


def _show(store: "LatentStore", as_json: bool) -> None:
    report = _report(store)
    if as_json:
        print_json(report)
        return
    for name, value in report.items():
        text = ", ".join(f"{key} {each}" for key, each in value.items()) if isinstance(value, dict) else value
        say(f"{name:<22} {text if not isinstance(value, list) else ', '.join(map(str, value)) or 'none'}")


def _report(store: "LatentStore") -> dict[str, Any]:
    """What there is to see of a store."""
    about, items = store.about, store.items
    kept = sum((store.folder / shard.name).stat().st_size for shard in about.shards)
    exact = about.exact
    flips = [f"flip:{axis}" for axis in exact.flips]
    linear = ["gain", *(["offset"] if exact.one else []), "polarity", "mixup"] if exact.linear else []
    return {
        "store": str(store.folder),
        "items": len(items),
        "splits": about.splits,
        "groups": len({item.group for item in items if item.group}),
        "labels": f"{about.task}, {len(about.names)} classes" if about.names else about.task or "none",
        "latents of an item": f"{about.channels} x {store.uniform or 'grids that differ'}, {about.dtype}",
        "samples of a position": " x ".join(map(str, about.factors)),
        "model": f"{(about.recipe or {}).get('name', '')} {about.model[:12]}" if about.model else "samples",
        "quantiser step": about.step,
        "views": list(about.views),
        "exact on it": ["noise", "crop", *flips, *linear],
        "bytes kept per item": round(kept / len(items)),
        "bytes as streams": round(sum(item.bytes for item in items) / len(items)),
        "of that container": round(sum(item.container for item in items) / len(items)),
        "entropy of symbols": f"{sum(about.statistics.entropy) / about.channels:.3f} bits per latent",
        "root mean square": f"{about.statistics.scale:.4g} in latent units" if about.model else about.statistics.scale,
    }
