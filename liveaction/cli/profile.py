"""The verbs ``profile kernels`` and ``profile codec``."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from liveaction.cli.options import AsJson, Device, Dtype, Quiet, RecipeName, extents
from liveaction.cli.printing import console, print_json

app = typer.Typer(
    help="Check kernels and codecs, then measure them.", no_args_is_help=True, rich_markup_mode="markdown"
)
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; default: torch's.")]
Backward = Annotated[bool, typer.Option("--backward", help="Gradients too.")]
Rounds = Annotated[int, typer.Option(min=1, help="At most so many timed calls of each; five seconds end them too.")]
ProfileOut = Annotated[Path | None, typer.Option(help="Folder for profile.json and pictures.")]
Trace = Annotated[bool, typer.Option("--trace", help="Write a Chrome trace of one call of each to --out.")]


@app.command(
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
    from liveaction.cli.progress import stages
    from liveaction.profiling.session import kernels_session

    with stages(console, quiet or as_json) as stage:
        report = kernels_session(
            op, shape, dtype, providers, device, threads, backward, rounds, out, trace, tune, stage
        )
    _print_profile(report, as_json)


@app.command(
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
    from liveaction.cli.progress import stages
    from liveaction.profiling.session import codec_session

    with stages(console, quiet or as_json) as stage:
        report = codec_session(
            recipe, extents(shape) or (), dtype, device, threads, backward, rounds, out, trace, stage
        )
    _print_profile(report, as_json)


def _print_profile(report: Any, as_json: bool) -> None:
    if as_json:
        print_json(report.record())
    else:
        report.show(Console(highlight=False, soft_wrap=True, markup=False))
    if report.red:
        raise typer.Exit(1)
