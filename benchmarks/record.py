"""Records with their circumstances, and timing."""

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


def save(name: str, data: dict[str, Any]) -> Path:
    """Write ``results/NAME.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"circumstances": circumstances(), **data}, indent=2) + "\n")
    return path
