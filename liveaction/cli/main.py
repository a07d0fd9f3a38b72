"""The command ``liveaction``. Verbs stay thin: they parse, call the library and print."""

import os
import sys
import traceback
from typing import Annotated

import typer

from liveaction import __version__
from liveaction.cli import (
    compress,
    decompress,
    evaluate,
    imports,
    info,
    latents,
    models,
    probe,
    profile,
    recipes,
    train,
)
from liveaction.cli.options import AsJson
from liveaction.cli.printing import Group, print_json, say, settle_streams
from liveaction.errors import LiveactionError, escaped, memory_line
from liveaction.stopping import Stopped, raise_stopped, stop_signals

app = typer.Typer(
    name="liveaction",
    cls=Group,
    help="Learned codecs of N-D signals: train on your data, compress, decompress.",
    epilog="Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 stop a command in order, a second one at once; the exit status is 128 "
    "plus the signal's number.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
for part in (recipes, train, compress, decompress, info, evaluate, latents, probe, imports):
    app.add_typer(part.app)
app.add_typer(models.app, name="models")
app.add_typer(profile.app, name="profile")


def _print_version(asked: bool) -> None:
    if asked:
        say(f"liveaction {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    trace: Annotated[bool, typer.Option("--traceback", help="Show the Python traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    global _show_traceback
    _show_traceback = trace


_show_traceback = False


@app.command(epilog="Examples: `liveaction doctor` · `liveaction doctor --warm`")
def doctor(
    warm: Annotated[
        bool, typer.Option("--warm", help="Compile now what the first use of a codec on this machine would.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show versions, devices and modalities, and run a tiny codec on every device."""
    from liveaction.cli.doctor import compile_all, examine, kernels_can_be_kept

    compiled = {"compiled now": compile_all(quiet=as_json)} if warm and kernels_can_be_kept() else {}
    report = examine() | compiled
    if as_json:
        print_json(report)
    else:
        for name, value in report.items():
            say(f"{name:<16} {value}")
    if any("failed" in str(value) for value in report.values()):
        raise typer.Exit(1)


def main() -> None:
    """Entry point: one line for a refusal (exit 1), usage errors exit 2, a signal that stops exits 128 + its number."""
    settle_streams()
    try:
        with stop_signals(raise_stopped):
            app()
    except Stopped as stopped:
        sys.stderr.write(f"liveaction: {stopped}\n")
        raise SystemExit(128 + stopped.number) from None
    except Exception as error:
        line = _line(error)
        if line is None:
            raise
        if _show_traceback:
            traceback.print_exc()
        else:
            sys.stderr.write(f"liveaction: {escaped(line)}\n")
        raise SystemExit(1) from None


def _line(error: Exception) -> str | None:
    """What to say of an error; None where nobody foresaw it."""
    if isinstance(error, LiveactionError):
        return str(error)
    memory = memory_line(error)
    if memory is None and isinstance(error, OSError):
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return (
            f"{where}expected files that can be read and written, got {error.strerror or error}; check paths, rights "
            "and room"
        )
    return memory


if __name__ == "__main__":
    main()
