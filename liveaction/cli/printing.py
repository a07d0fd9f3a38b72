"""How the verbs print: what comes from files and names reaches a terminal escaped, and a warning is a line."""

import io
import json
import sys
import warnings
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from liveaction.errors import escaped, warning_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liveaction.training.result import LeftOut

console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
"""Progress and what is said beside results; what is not ours goes there as :func:`shown`."""


class Group(TyperGroup):
    """Verbs whose usage errors show what was typed, or what the shell put in its place, escaped."""

    def make_context(self, *given: Any, **named: Any) -> Any:
        """As every group."""
        try:
            return super().make_context(*given, **named)
        except Exception as error:
            raise _with_escapes(error) from None

    def invoke(self, *given: Any) -> Any:
        """As every group; verbs read their own arguments within."""
        try:
            return super().invoke(*given)
        except Exception as error:
            if hasattr(error, "format_message"):
                raise _with_escapes(error) from None
            raise


def _with_escapes(error: Exception) -> Exception:
    if hasattr(error, "format_message"):
        error.message = escaped(error.message)  # type: ignore[attr-defined]
    return error


def shown(text: object) -> Text:
    """A text for Rich, which takes nothing in it for markup or a command to the terminal."""
    return Text(escaped(text))


def say(text: object, err: bool = False) -> None:
    """A line on standard output, or on standard error."""
    typer.echo(escaped(text), err=err)


def print_left_out(left_out: "Sequence[LeftOut]") -> None:
    """What ``--skip-bad`` skipped, one line each, on standard error."""
    for each in left_out:
        say(f"liveaction: left out: {each.error}", err=True)


def print_lines(lines: dict[str, str]) -> None:
    """Names and texts in two columns."""
    for name, text in lines.items():
        for i, line in enumerate(text.split("\n")):
            say(f"{name if i == 0 else '':<20} {line}")


def print_json(data: Any) -> None:
    """One JSON object, in ASCII."""
    typer.echo(json.dumps(data, indent=2).replace("\x7f", "\\u007f"))


def settle_streams() -> None:
    """Have nothing that is printed fail for its letters, and every warning be a line, once."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *place: Any, **named: Any) -> None:
        text = warning_line(message, category)
        if text not in said:
            said.add(text)
            sys.stderr.write(f"liveaction: warning: {text}\n")

    warnings.showwarning = show
