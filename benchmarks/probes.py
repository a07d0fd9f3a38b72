"""Repeat studies of learning by protocol, and keep what they say and on what it rests.

    python benchmarks/probes.py --data FOLDER lines_cpu colourise_cpu    # protocols, one after the other
    python benchmarks/probes.py --tables                                 # the documentation's tables, printed

FOLDER holds the folders that the protocols name. Codecs, stores, trainings and reports stay in runs/probes/PROTOCOL, or
below ``--work``; what is there is not made again. results/probes/PROTOCOL.json gets the rows of ``inputs.json``, what
the study says in sentences, the protocol, how many items were learnt from and tested on in each fold, and the
circumstances of the trainings, each distinct one once.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from record import RESULTS, of_protocols, tables

from liveaction.probing.protocol import load_probe
from liveaction.probing.run import Run
from liveaction.probing.tables import SCORES, as_good, verdicts

ROOT = Path(__file__).resolve().parents[1]
KEPT = RESULTS / "probes"


LABELS = {"accuracy": "accuracy, %", "dice": "Dice, %", "psnr_normalised": "PSNR, dB", "si_sdr": "SI-SDR, dB"}


def record(name: str, folder: Path) -> dict[str, Any]:
    """What is kept of a study."""
    protocol = load_probe(name)
    rows = json.loads((folder / "inputs.json").read_text())
    paths = [path for given in protocol.inputs for path in sorted((folder / "runs" / given).glob("*.json"))]
    runs = [Run.model_validate_json(path.read_bytes()) for path in paths]
    return {
        "inputs": rows,
        "said": verdicts(runs, protocol),
        "items": {run.fold: {"learnt": run.items, "tested": len(run.tested)} for run in runs},
        "protocol": protocol.model_dump(mode="json"),
        "circumstances": list({json.dumps(run.circumstances): run.circumstances for run in runs}.values()),
    }


def run(name: str, data: Path, work: Path) -> None:
    """One study, through the command line, and its record."""
    folder = work / name
    command = ["probe", "--protocol", name, "--data", str(data), "--out", str(folder), "--quiet"]
    subprocess.run([sys.executable, "-m", "liveaction", *command], check=True)
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{name}.json"
    path.write_text(json.dumps(record(name, folder), indent=1) + "\n")
    print(path, flush=True)


def table(name: str) -> str:
    """A study as the documentation shows it, in Markdown."""
    kept = json.loads((KEPT / f"{name}.json").read_text())
    reference, rows = kept["protocol"]["reference"], kept["inputs"]
    key = next(each for each in SCORES if each in rows[0])
    head = f"| input | what it is | reduction | bytes | {LABELS.get(key, key)} | against `{reference}` | M MACs | s |"
    lines = [head, "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        around = row[f"{key}_deviation"]
        value = f"{row[key]:.1f}" + ("" if around is None else f" ± {around:.1f}")
        against = "–"
        if row["difference"] is not None:
            p = "" if row["p"] is None else f", p {row['p']:.1g}"
            against = f"{row['difference']:+.1f}{p}"
        name_of = f"**`{row['input']}`**" if row["kind"] == "model" else f"`{row['input']}`"
        lines.append(
            f"| {name_of} | {row['words']} | {row['reduction']:.3g} | {row['bytes']:,.0f} | {value} | {against} | "
            f"{row['total_macs'] / 1e6:.2f} | {row['epoch_cpu_s']:.2f} |"
        )
    return "\n".join(lines)


def equals() -> str:
    """What is as good as samples in every recorded study, and how much less it takes, in Markdown."""
    lines = [
        "| study | samples | input that is as good | | bytes, 1/ | numbers, 1/ | seconds, 1/ |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for path in sorted(KEPT.glob("*.json")):
        rows = json.loads(path.read_text())["inputs"]
        key = next(each for each in SCORES if each in rows[0])
        found = as_good(rows, key)
        whole = found.pop("samples")
        for kind, row in found.items() or [("nothing else", None)]:
            shares = ["–"] * 3
            if row is not None:
                shares = [f"{whole[each] / row[each]:.3g}" for each in ("bytes", "values", "epoch_cpu_s")]
            named = "–" if row is None else f"`{row['input']}` {row[key]:.1f}"
            lines.append(f"| `{path.stem}` | {whole[key]:.1f} | {named} | {kind} | {' | '.join(shares)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    of_protocols(
        __doc__, "the folder of the protocols' folders", KEPT, run, lambda: "\n".join([*tables(KEPT, table), equals()])
    )
