"""Repeat evaluations by protocol, and keep what the documentation reads: deltas, settings, plots, and on what it rests.

    python benchmarks/evaluations.py --data FOLDER ct_cpu_small rgb_cpu_small    # protocols, one after the other
    python benchmarks/evaluations.py --tables                                    # the documentation's tables, printed

FOLDER holds the files that the protocols name. Models, items and reports stay in runs/evaluation/PROTOCOL; what is
there is not made again. results/evaluation/PROTOCOL gets ``deltas.json`` and ``settings.json`` as ``liveaction
evaluate`` writes them, and ``evidence.json``: digests of files and weights, libraries, machine, versions, commit. Plots
go to docs/pictures/evaluation/.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from record import RESULTS

from liveaction.evaluation.item import Measurement
from liveaction.evaluation.measures import MAIN

ROOT = Path(__file__).resolve().parents[1]
KEPT = RESULTS / "evaluation"
PICTURES = ROOT / "docs" / "pictures" / "evaluation"


def evidence(folder: Path) -> dict[str, Any]:
    """What the items of an evaluation rest on, each distinct value once."""
    items = [Measurement.model_validate_json(path.read_bytes()) for path in sorted(folder.glob("items/*/*/*.json"))]
    codecs = {
        (item.codec, item.seed): {
            key: value
            for key in ("curve", "codec", "seed", "recipe", "weights", "library", "setting", "transfers", "threads")
            if (value := getattr(item, key)) is not None
        }
        for item in items
    }
    circumstances = {json.dumps(item.circumstances, sort_keys=True): item.circumstances for item in items}
    return {
        "sources": [source.model_dump() for source in dict.fromkeys(item.source for item in items)],
        "codecs": list(codecs.values()),
        "circumstances": list(circumstances.values()),
    }


def run(protocol: str, data: Path) -> None:
    """One evaluation, through the command line, and its record."""
    folder, kept = ROOT / "runs" / "evaluation" / protocol, KEPT / protocol
    command = ["evaluate", "--protocol", protocol, "--data", str(data), "--out", str(folder), "--quiet"]
    subprocess.run([sys.executable, "-m", "liveaction", *command], check=True)
    kept.mkdir(parents=True, exist_ok=True)
    for name in ("deltas.json", "settings.json"):
        shutil.copy(folder / name, kept / name)
    (kept / "evidence.json").write_text(json.dumps(evidence(folder), indent=1) + "\n")
    PICTURES.mkdir(exist_ok=True)
    for picture in (folder / "plots").iterdir():
        shutil.copy(picture, PICTURES / f"{protocol}_{picture.name}")
    print(kept, flush=True)


def tables(protocol: str) -> str:
    """A protocol's files in Markdown: every codec at one ratio, BD-rates of curves, what encoding costs.

    Of several seeds: every curve's BD-rate, with the standard deviation over the seeds.
    """
    deltas, settings = (json.loads((KEPT / protocol / f"{name}.json").read_text()) for name in ("deltas", "settings"))
    if any(row["bd_rate_deviation"] is not None for row in deltas):
        return _ablation(deltas)
    parts = []
    for source in dict.fromkeys(row["source"] for row in settings):
        rows = [row for row in settings if row["source"] == source and math.isfinite(float(row[MAIN]))]
        rates = {row["curve"]: row for row in deltas if row["source"] == source}
        parts.append(_table(source, rows, rates, deltas[0]["reference"]))
    return "\n\n".join(parts)


def _table(source: str, rows: list[dict[str, Any]], rates: dict[str, dict[str, Any]], reference: str) -> str:
    lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        lines.setdefault((row["curve"], row["codec"]), []).append(row)
    ratio = _common_ratio([[row["ratio"] for row in line] for line in lines.values()])
    unit = rows[0]["speed"].removesuffix("/s")
    per = "second of sound" if unit.startswith("x ") else unit.removesuffix("s")
    at = {key: _at(line, ratio) for key, line in lines.items()}
    _, anchor = at[next(key for key in lines if key[0] == reference)]
    head = f"{source}, at {ratio:g}:1"
    text = [f"| {head} | PSNR, dB | encoding, CPU seconds per {per} | {reference} takes | curve's BD-rate |",
            "| --- | --- | --- | --- | --- |"]  # fmt: skip
    for (curve, codec), (quality, seconds) in sorted(at.items(), key=lambda entry: -(entry[1][0] or 0)):
        name = f"`{codec}`" if curve == codec else f"**`{codec}`** ({curve})"
        cells = ["–", "–", "–"] if quality is None else [
            f"{quality:.2f}", f"{seconds:.3g}", f"{anchor / seconds:.2g} ×" if anchor and curve != reference else "–"
        ]  # fmt: skip
        text.append(f"| {name} | {' | '.join(cells)} | {_rate(rates.get(curve), curve == reference)} |")
    return "\n".join(text)


def _ablation(deltas: list[dict[str, Any]]) -> str:
    sources = list(dict.fromkeys(row["source"] for row in deltas))
    names = [source.split(" ")[0] for source in sources]
    text = [f"| against `{deltas[0]['reference']}` | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for curve in dict.fromkeys(row["curve"] for row in deltas):
        rates = {row["source"]: row for row in deltas if row["curve"] == curve}
        text.append(f"| `{curve}` | {' | '.join(_rate(rates[source], False) for source in sources)} |")
    return "\n".join(text)


def _common_ratio(spans: list[list[float]]) -> float:
    """Two digits of the ratio, of 200 between the least and the largest, that most codecs reach between settings."""
    low, high = (math.log(f(ratio for span in spans for ratio in span)) for f in (min, max))
    steps = [math.exp(low + (high - low) * k / 200) for k in range(201)]
    counts = [sum(min(span) <= step <= max(span) for span in spans) for step in steps]
    best = [step for step, count in zip(steps, counts, strict=True) if count == max(counts)]
    return float(f"{median(best):.2g}")


def _at(line: list[dict[str, Any]], ratio: float) -> tuple[float | None, float]:
    """Quality and seconds of encoding at a ratio, between settings on a log scale; None beyond them."""
    line = sorted(line, key=lambda row: row["ratio"])
    places = np.log([row["ratio"] for row in line])
    if not places[0] <= math.log(ratio) <= places[-1]:
        return None, math.nan
    quality, seconds = (
        np.interp(math.log(ratio), places, [row[key] for row in line]) for key in (MAIN, "encode_cpu_s")
    )
    return float(quality), float(seconds)


def _rate(row: dict[str, Any] | None, is_reference: bool) -> str:
    if is_reference:
        return "0"
    if row is None or row["bd_rate_percent"] is None:
        return "refused"
    spread = f" ± {row['bd_rate_deviation']:.1f}" if row["bd_rate_deviation"] is not None else ""
    return f"{row['bd_rate_percent']:+.1f}{spread} %"


def main() -> None:
    """Run, or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocols", nargs="*")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--tables", action="store_true")
    options = parser.parse_args()
    if options.protocols and options.data is None:
        parser.error("expected --data, the folder of the protocols' files")
    for protocol in options.protocols:
        run(protocol, options.data)
    for kept in sorted(KEPT.iterdir()) if options.tables else ():
        print(f"\n## {kept.name}\n\n{tables(kept.name)}")


if __name__ == "__main__":
    main()
