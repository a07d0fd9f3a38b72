"""Records with their circumstances, and timing."""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from liveaction.profiling.circumstances import circumstances

RESULTS = Path(__file__).resolve().parent / "results"


def seconds(functions: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    """Median, least and greatest seconds of each function; warmed up once, then run in turn, A-B-A-B."""
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - began)
    return {name: {"median": statistics.median(t), "min": min(t), "max": max(t)} for name, t in times.items()}


def of_protocols(
    doc: str | None, data: str, kept: Path, run: Callable[[str, Path, Path], None], told: Callable[[], str]
) -> None:
    """The command line of a script that repeats protocols, one after the other.

    Args:
        doc: of the script.
        data: what ``--data`` is, in words.
        kept: folder of the records; ``--work`` is by default the folder of that name in runs/.
        run: repeats a protocol, from the data folder, in a folder to work in.
        told: the documentation's tables, which ``--tables`` prints.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocols", nargs="*")
    parser.add_argument("--data", type=Path, help=data)
    parser.add_argument("--tables", action="store_true", help="print the documentation's tables, and stop")
    parser.add_argument("--work", type=Path, default=RESULTS.parents[1] / "runs" / kept.name)
    options = parser.parse_args()
    if options.tables:
        print(told())
        return
    if options.data is None or not options.protocols:
        parser.error("expected protocols and --data")
    for name in options.protocols:
        run(name, options.data, options.work)


def tables(kept: Path, table: Callable[[str], str]) -> list[str]:
    """The table of every record in a folder, each under its name."""
    return [f"{path.stem}\n\n{table(path.stem)}\n" for path in sorted(kept.glob("*.json"))]


def save(name: str, data: dict[str, Any]) -> Path:
    """Write ``results/NAME.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"circumstances": circumstances(), **data}, indent=2) + "\n")
    return path
