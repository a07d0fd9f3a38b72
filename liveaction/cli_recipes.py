"""The verbs ``recipes``, ``new`` and ``check``."""

from typing import Annotated

import typer
from rich.console import Console

from liveaction.cli_shared import AsJson, Overrides, RecipeName, extents, print_json, print_lines

app = typer.Typer()


@app.command(epilog="Example: `liveaction recipes`")
def recipes(as_json: AsJson = False) -> None:
    """List the shipped recipes."""
    from liveaction.codec.summary import summarise
    from liveaction.recipe import load_recipe, recipe_names

    rows = [(summarise(load_recipe(name)), load_recipe(name).description) for name in recipe_names()]
    if as_json:
        print_json([{"name": row.recipe, "description": text} for row, text in rows])
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
    summary = summarise(loaded, extents(shape))
    if as_json:
        print_json(asdict(summary))
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
    print_lines(lines)


def _times(extents: tuple[int, ...]) -> str:
    return " x ".join(map(str, extents))


def _count(parameters: int) -> str:
    if parameters >= 1e9:
        return f"{parameters / 1e9:.3g} G"
    return f"{parameters / 1e6:.3g} M" if parameters >= 1e6 else f"{parameters / 1e3:.3g} k"
