"""Repeat evaluations by protocol, and keep what the documentation reads: deltas, settings, plots, and on what it rests.

    python benchmarks/evaluations.py --data FOLDER ct_cpu_small rgb_cpu_small    # protocols, one after the other
    python benchmarks/evaluations.py --tables                                    # the documentation's tables, printed

FOLDER holds the files that the protocols name. Models, items and reports stay in runs/evaluation/PROTOCOL; what is
there is not made again; ``--work`` names another folder than runs/evaluation. With ``--rivals-kept`` baselines are not
measured again: what results/evaluation/PROTOCOL says of them is put among the items first, with its commit; of times it
has medians alone. results/evaluation/PROTOCOL gets
``deltas.json``, ``means.json``, ``mean_costs.json`` and ``settings.json`` as ``liveaction evaluate`` writes them, and
``evidence.json``: digests of files and weights, libraries, machine, versions, commit. Plots go to
docs/pictures/evaluation/.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from record import RESULTS

from liveaction.evaluation.item import Measurement, Pace, Seconds, Source, Spent
from liveaction.evaluation.means import cost_rows
from liveaction.evaluation.measures import MAIN, MEASURES
from liveaction.evaluation.sources import short_name

ROOT = Path(__file__).resolve().parents[1]
KEPT = RESULTS / "evaluation"
PICTURES = ROOT / "docs" / "pictures" / "evaluation"
RECORDS = "deltas", "means", "mean_costs", "settings"

Row = dict[str, Any]


def evidence(folder: Path) -> dict[str, Any]:
    """What the items of an evaluation rest on, each distinct value once."""
    items = [Measurement.model_validate_json(path.read_bytes()) for path in sorted(folder.glob("items/*/*/*.json"))]
    codecs = {
        (item.codec, item.seed, item.weights): {
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


def restore(protocol: str, folder: Path) -> None:
    """Put what the record says of baselines among the items of an evaluation, where none of theirs is."""
    records = {name: json.loads((KEPT / protocol / f"{name}.json").read_text()) for name in ("settings", "evidence")}
    sources = {(source := Source.model_validate(each)).label: source for each in records["evidence"]["sources"]}
    codecs = {codec["codec"]: codec for codec in records["evidence"]["codecs"]}
    for row in records["settings"]:
        if row["kind"] != "baseline":
            continue
        source, codec = sources[row["source"]], codecs[row["codec"]]
        label = short_name("_".join(filter(None, (source.name.replace("/", "_"), source.part))))
        path = folder / "items" / row["codec"] / label / f"{row['value']:g}.json"
        if path.exists():
            continue
        pace = _pace(row["speed"], source)
        wall, back = pace.amount / row["encode"], pace.amount / row["decode"]
        item = Measurement(
            **{
                key: row[key]
                for key in ("curve", "codec", "kind", "setting", "value", "bytes", "ratio", "bits_per_element")
            },
            library=codec["library"],
            source=source,
            metrics={key: float(row[key]) for key in MEASURES if row.get(key) is not None},
            encode=_spent(wall, row["encode_cpu_s"] * pace.amount),
            decode=_spent(back, back),
            pace=pace,
            transfers=codec["transfers"],
            threads=codec["threads"],
            circumstances=records["evidence"]["circumstances"][0],
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(item.model_dump_json(indent=1) + "\n")


def _pace(speed: str, source: Source) -> Pace:
    """What a source holds in the unit that a record states its speeds in."""
    unit = "s" if speed.startswith("x ") else speed.removesuffix("/s")
    sizes = dict(zip(source.axes, source.shape[1:], strict=True))
    if unit == "frames":
        return Pace(amount=sizes["t"], unit=unit)
    if unit == "s":
        raise SystemExit("--rivals-kept: a record of sound does not say how long it is; measure its rivals again")
    return Pace(amount=math.prod(source.shape if unit == "Msample" else source.shape[1:]) / 1e6, unit=unit)


def _spent(wall: float, cpu: float) -> Spent:
    return Spent(**{key: Seconds(median=t, least=t, most=t, runs=1) for key, t in (("wall", wall), ("cpu", cpu))})


def run(protocol: str, data: Path, work: Path, rivals_kept: bool) -> None:
    """One evaluation, through the command line, and its record."""
    folder, kept = work / protocol, KEPT / protocol
    if rivals_kept:
        restore(protocol, folder)
    command = ["evaluate", "--protocol", protocol, "--data", str(data), "--out", str(folder), "--quiet"]
    subprocess.run([sys.executable, "-m", "liveaction", *command], check=True)
    kept.mkdir(parents=True, exist_ok=True)
    for name in RECORDS:
        shutil.copy(folder / f"{name}.json", kept / f"{name}.json")
    (kept / "evidence.json").write_text(json.dumps(evidence(folder), indent=1) + "\n")
    PICTURES.mkdir(exist_ok=True)
    for picture in (folder / "plots").iterdir():
        shutil.copy(picture, PICTURES / f"{protocol}_{picture.name}")
    print(kept, flush=True)


def tables(protocol: str) -> str:
    """A protocol's tables in Markdown: means over its files, then our curves file by file.

    Of several seeds: every curve's BD-rate, with the standard deviation over the seeds.
    """
    records = {
        path.stem: json.loads(path.read_text())
        for name in RECORDS
        if (path := KEPT / protocol / f"{name}.json").exists()
    }
    deltas, settings = records["deltas"], records["settings"]
    if any(row["bd_rate_deviation"] is not None for row in deltas):
        return _ablation(deltas)
    references = _references(deltas)
    by_source: dict[str, list[Row]] = {}
    for row in settings:
        by_source.setdefault(row["source"], []).append({**row, MAIN: float(row[MAIN])})
    costs = {source: cost_rows(rows, MAIN, references[0]) for source, rows in by_source.items()}
    curves = dict.fromkeys(row["curve"] for row in settings if row["kind"] == "model")
    parts = [_means(records["means"], records["mean_costs"]), *(_per_file(curve, deltas, costs) for curve in curves)]
    return "\n\n".join(parts)


def _references(deltas: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["reference"] for row in deltas))


def _means(means: list[Row], costs: list[Row]) -> str:
    """Per codec its curve's mean BD-rate against each reference, at how many files it loses, and what it costs."""
    references = _references(means)
    by_pair = {(row["curve"], row["reference"]): row for row in means}
    main = references[0]
    heads = [f"mean over {means[0]['of']} files", *(f"bits against {name}" for name in references)]
    heads += [f"encoding, CPU seconds per {costs[0]['unit']}", f"{main} takes"]
    text = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for cost in sorted(costs, key=lambda row: _order(by_pair.get((row["curve"], main)), row["curve"] == main)):
        cells = [_name(cost)]
        cells += [_mean(by_pair.get((cost["curve"], name)), cost["curve"] == name) for name in references]
        text.append(f"| {' | '.join([*cells, *_cost(cost, main)])} |")
    return "\n".join(text)


def _per_file(curve: str, deltas: list[Row], costs: dict[str, list[Row]]) -> str:
    """A curve of ours file by file: bits against each reference, PSNR at equal bits in brackets, and what it costs."""
    references = [name for name in _references(deltas) if name != curve]
    main = _references(deltas)[0]
    heads = [f"`{curve}`: bits at equal PSNR (PSNR at equal bits)", *(f"against {name}" for name in references)]
    heads += [f"{main} takes"] if main != curve else []
    text = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for source, rows in costs.items():
        mine = {row["reference"]: row for row in deltas if (row["source"], row["curve"]) == (source, curve)}
        best = next((row for row in rows if row["curve"] == curve), None)
        cells = [source, *(_both(mine.get(name)) for name in references)]
        if main != curve:
            takes = _cost(best, main)[1] if best else "–"
            cells.append(takes if takes == "–" or not best else f"{takes} at {best['ratio']:g}:1")
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join(text)


def _name(row: Row) -> str:
    if row["kind"] == "baseline":
        return f"`{row['codec']}`"
    return f"**`{row['codec']}`**" + (f" ({row['curve']})" if row["codec"] != row["curve"] else "")


def _cost(row: Row, reference: str) -> list[str]:
    """What encoding costs, and how many times that the reference takes."""
    if row["encode_cpu_s"] is None:
        return ["–", "–"]
    takes = "–" if row["takes"] is None or row["curve"] == reference else f"{row['takes']:.2g} ×"
    return [f"{row['encode_cpu_s']:.3g}", takes]


def _order(mean: Row | None, is_reference: bool) -> float:
    """Fewest bits first; who cannot be compared last."""
    if is_reference:
        return 0.0
    value = mean["mean_bd_rate_percent"] if mean else None
    return math.inf if value is None else float(value)


def _mean(row: Row | None, is_reference: bool) -> str:
    if is_reference:
        return "0"
    if row is None or row["mean_bd_rate_percent"] is None:
        return "refused"
    text = f"{row['mean_bd_rate_percent']:+.1f} %"
    if row["kind"] == "model" and row["sources"]:
        text += f", more on {row['losses']} of {row['sources']}"
    return text if row["sources"] == row["of"] or row["kind"] == "model" else f"{text} ({row['sources']})"


def _both(row: Row | None) -> str:
    if row is None or row["bd_rate_percent"] is None:
        return "refused"
    quality = "" if row["bd_quality"] is None else f" ({row['bd_quality']:+.1f} dB)"
    return f"{row['bd_rate_percent']:+.1f} %{quality}"


def _ablation(deltas: list[Row]) -> str:
    sources = list(dict.fromkeys(row["source"] for row in deltas))
    names = [source.split(" ")[0] for source in sources]
    text = [f"| against `{deltas[0]['reference']}` | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for curve in dict.fromkeys(row["curve"] for row in deltas):
        rates = {row["source"]: row for row in deltas if row["curve"] == curve}
        text.append(f"| `{curve}` | {' | '.join(_rate(rates[source]) for source in sources)} |")
    return "\n".join(text)


def _rate(row: Row) -> str:
    if row["bd_rate_percent"] is None:
        return "refused"
    spread = f" ± {row['bd_rate_deviation']:.1f}" if row["bd_rate_deviation"] is not None else ""
    return f"{row['bd_rate_percent']:+.1f}{spread} %"


def main() -> None:
    """Run, or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocols", nargs="*")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "evaluation")
    parser.add_argument("--rivals-kept", action="store_true", help="take the baselines of the record")
    parser.add_argument("--tables", action="store_true")
    options = parser.parse_args()
    if options.protocols and options.data is None:
        parser.error("expected --data, the folder of the protocols' files")
    for protocol in options.protocols:
        run(protocol, options.data, options.work, options.rivals_kept)
    for kept in sorted(KEPT.iterdir()) if options.tables else ():
        print(f"\n## {kept.name}\n\n{tables(kept.name)}")


if __name__ == "__main__":
    main()
