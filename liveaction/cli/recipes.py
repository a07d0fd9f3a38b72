"""The verbs ``recipes``, ``new`` and ``check``."""

from math import log10
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from liveaction.cli.options import AsJson, Force, Overrides, Quiet, RecipeName, extents
from liveaction.cli.printing import console, print_json, print_lines, say
from liveaction.cli.splits import tree_text
from liveaction.errors import SpecError

if TYPE_CHECKING:
    from liveaction.codec.summary import Summary
    from liveaction.profiling.sample import SampleFacts
    from liveaction.spec import Recipe

app = typer.Typer()


@app.command(epilog="Example: `liveaction recipes`")
def recipes(as_json: AsJson = False) -> None:
    """List the shipped recipes."""
    from liveaction.codec.parameters import count_parameters
    from liveaction.recipe import load_recipe, recipe_names

    found = [load_recipe(name) for name in recipe_names()]
    if as_json:
        print_json([{"name": recipe.name, "description": recipe.description} for recipe in found])
        return
    table = Table("recipe", "reduction", "encoder", "decoder", "description", box=None, pad_edge=False)
    for recipe in found:
        learned = count_parameters(recipe)
        sizes = (_count(learned.encoder), _count(learned.decoder))
        table.add_row(recipe.name, _reduction(recipe), *sizes, recipe.description)
    Console(highlight=False, markup=False).print(table)


@app.command(
    epilog="Examples: `liveaction new mine --like array --data scan.h5` · `liveaction new lungs --like ct_light`"
)
def new(
    name: Annotated[str, typer.Argument(help="Of the recipe; it goes to NAME.yaml, here.")],
    like: Annotated[str, typer.Option(help="A shipped recipe, a YAML file, or a modality such as `array`.")],
    data: Annotated[
        Path | None, typer.Option(help="For --like array: a file to fill in axes, channels, dtype and range from.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Which array of --data, where it holds several.")] = None,
    force: Force = False,
) -> None:
    """Write a commented recipe to edit."""
    from liveaction.cli.new_recipe import write_recipe

    path = write_recipe(name, like, data, key, force)
    say(f"{path}: written; edit it, then: liveaction check {path}" + (f" --data {data}" if data else ""))


@app.command(
    epilog="Examples: `liveaction check ct_f8c8 --shape 512,512,300 --set codec.latent_channels=32` · "
    "`liveaction check mine.yaml --data scan.h5`"
)
def check(
    recipe: RecipeName,
    shape: Annotated[str, typer.Option(help="Extents of a signal, such as `512,512,300`.")] = "",
    channels: Annotated[
        int | None,
        typer.Option(min=1, help="Of a signal, where the recipe takes any number; default 1. Of --data the file's."),
    ] = None,
    data: Annotated[
        str,
        typer.Option(help="A file to read and to measure on: range, padding, seconds and memory to expect here."),
    ] = "",
    overrides: Overrides = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Parse a recipe; print sizes, parameters, multiplications per sample, and advice. With --data, what to expect."""
    from dataclasses import asdict

    from liveaction.codec.summary import summarise
    from liveaction.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    if data:
        if shape:
            raise SpecError("--shape, --data: expected one of them, got both; the file has a shape of its own")
        if channels is not None:
            raise SpecError("--channels, --data: expected one of them, got both; the file has channels of its own")
        _check_data(recipe, loaded, data, quiet, as_json)
        return
    summary = summarise(loaded, extents(shape), channels)
    if as_json:
        print_json(asdict(summary))
    else:
        print_lines(_summary_lines(loaded, summary, summary.advice))


def _check_data(source: str, recipe: "Recipe", data: str, quiet: bool, as_json: bool) -> None:
    """Read one sample, measure, print."""
    from dataclasses import asdict

    from liveaction.cli.progress import stages
    from liveaction.codec.summary import summarise
    from liveaction.profiling.estimate import estimate
    from liveaction.profiling.sample import sample_facts
    from liveaction.registry import build_modality
    from liveaction.training.data import find_items

    modality = build_modality(recipe.modality)
    with stages(console, quiet or as_json) as stage:
        item = find_items(modality, [data])[0]
        stage(f"reading {item.name}")
        began = perf_counter()
        signal = item.read(modality)
        facts = sample_facts(item.name, signal, modality, recipe, perf_counter() - began)
        costs = estimate(source, recipe, signal, modality, stage)
    summary = summarise(recipe, signal.shape, signal.values.shape[0])
    if as_json:
        print_json({**asdict(summary), "data": asdict(facts), "estimate": asdict(costs)})
        return
    print_lines({**_facts_lines(facts), **_summary_lines(recipe, summary, facts.advice)})
    table = Table("on this machine, about", "seconds", "memory", box=None, pad_edge=False)
    steps = f"{recipe.training.steps} steps"
    rows = (("compress", costs.compress), ("decompress", costs.decompress), (f"train, {steps}", costs.training))
    for name, cost in rows:
        table.add_row(
            name, f"{cost.seconds:.3g}", "unknown" if cost.bytes is None else f"{cost.bytes / 2**20:,.0f} MiB"
        )
    Console(highlight=False, markup=False).print(table)
    order = 10 ** round(log10(max(costs.stream_bytes, 1)))
    say(f"The stream: some {order:,} bytes, an order of magnitude; what training makes of it is not known before.")
    say(f"Found by {costs.assumption}. Memory is what comes on top of the process and the signal.")


def _facts_lines(facts: "SampleFacts") -> dict[str, str]:
    low, high = facts.range
    return {
        "file": f"{facts.name}: {_times(facts.shape)} {facts.dtype}, {facts.native_bytes:,} bytes, read in "
        f"{facts.read_seconds:.2f} s",
        "values": f"{facts.least:g} to {facts.largest:g} {facts.unit}".rstrip(),
        "range": f"{low:g} to {high:g} {facts.unit}; {facts.clipped_share:.2%} clipped, {facts.missing_share:.2%} "
        "missing",
        "padding": f"{', '.join(map(str, facts.padding))} sample(s) per axis",
    }


def _summary_lines(recipe: "Recipe", summary: "Summary", advice: tuple[str, ...]) -> dict[str, str]:
    own, sparse = recipe.codec.encoder.basis == "own", recipe.codec.encoder.sparse
    taken = "" if recipe.modality.channels else ", of any number"
    predict = f"prediction {summary.predict_macs:.0f} each way, " if summary.predict_macs else ""
    basis = f"own basis at most {summary.basis_macs:.0f} each way, " if own else ""
    return {
        "recipe": f"{recipe.name}: {recipe.description}",
        "signal": f"{_times(summary.shape)} {', '.join(recipe.modality.axes)}; {summary.channels} channel(s){taken}",
        "padded": _times(summary.padded),
        "latents": f"{summary.latent_channels} x {_times(summary.grid)} tokens{' per component' if own else ''}; "
        f"hidden width {summary.hidden}",
        **(_trees_lines(recipe) if sparse else {}),
        "dimension reduction": "none, every coefficient is a latent"
        if sparse
        else f"{summary.dimension_reduction:.4g}",
        "parameters": f"encoder {summary.encoder_parameters:,}, decoder {summary.decoder_parameters:,}",
        "MACs per sample": f"{basis}{predict}wavelets {summary.wavelet_macs:.0f} each way, "
        f"encoder {summary.encoder_macs:.0f}, decoder {summary.decoder_macs:,.0f}",
        "advice": "\n".join(advice) or "none",
    }


def _trees_lines(recipe: "Recipe") -> dict[str, str]:
    trees = (recipe.codec, *recipe.codec.trees)
    name = "split of the axes" if len(trees) == 1 else "splits to try"
    return {name: "\n".join(tree_text(tree, recipe.modality.axes) for tree in trees)}


def _reduction(recipe: "Recipe") -> str:
    return "none" if recipe.codec.encoder.sparse else f"{recipe.hidden / recipe.latents:.3g}x"


def _times(extents: tuple[int, ...]) -> str:
    return " x ".join(map(str, extents))


def _count(parameters: int) -> str:
    if not parameters:
        return "none"
    if parameters >= 1e9:
        return f"{parameters / 1e9:.3g} G"
    return f"{parameters / 1e6:.3g} M" if parameters >= 1e6 else f"{parameters / 1e3:.3g} k"
