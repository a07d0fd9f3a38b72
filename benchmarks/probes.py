"""Repeat studies of learning by protocol, and keep what they say and on what it rests.

    python benchmarks/probes.py --data FOLDER lines_cpu colourise_cpu    # protocols, one after the other

FOLDER holds the folders that the protocols name. Codecs, stores, trainings and reports stay in runs/probes/PROTOCOL, or
below ``--work``; what is there is not made again. results/probes/PROTOCOL.json gets the rows of ``inputs.json``, what
the study says in sentences, the protocol, how many items were learnt from and tested on in each fold, and the
circumstances of the trainings, each distinct one once.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from record import RESULTS

from liveaction.probing.protocol import load_probe
from liveaction.probing.run import Run
from liveaction.probing.tables import verdicts

ROOT = Path(__file__).resolve().parents[1]
KEPT = RESULTS / "probes"


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


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocols", nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the protocols' folders")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "probes")
    options = parser.parse_args()
    for name in options.protocols:
        run(name, options.data, options.work)


if __name__ == "__main__":
    main()
