"""What commands and imports cost before they do anything: processor seconds and peak memory of whole processes.

    python benchmarks/starts.py scan.nii.gz                              # prints, and writes results/starts_cpu.json
    python benchmarks/starts.py scan.nii.gz --against OLD/.venv/bin/python --rounds 3

Trains a model without a step on the scan first, then runs each case in turn, with ``--against`` also by another Python
with another version installed. One thread; caches are warm from the first round, which does not count.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

READ = """
import sys
from pathlib import Path
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
build_modality(load_recipe("ct_smoke").modality).read(Path(sys.argv[1]))
"""
IMPORT = """
try:
    import liveaction.codec.model, liveaction.codec.stream
except ImportError:
    import liveaction.codec.stream
"""


def cases(scan: Path, folder: Path) -> dict[str, list[str]]:
    """Arguments of Python by what they show."""
    command, model, stream = ["-m", "liveaction"], str(folder / "model"), str(folder / "scan.lva")
    bundled, back = str(folder / "bundled.lva"), str(folder / "back.nii.gz")
    return {
        "import liveaction": ["-c", "import liveaction"],
        "import the codec": ["-c", IMPORT],
        "read a NIfTI file": ["-c", READ, str(scan)],
        "liveaction --help": [*command, "--help"],
        "liveaction info": [*command, "info", stream],
        "liveaction recipes": [*command, "recipes"],
        "liveaction compress": [*command, "compress", str(scan), stream, "--model", model, "--quiet", "--force"],
        "liveaction compress, bundled model": [*command, "compress", str(scan), bundled, "--quiet", "--force"],
        "liveaction decompress, bundled model": [*command, "decompress", bundled, back, "--quiet", "--force"],
    }


def run(python: str, arguments: list[str]) -> tuple[float, float]:
    """Processor seconds and MiB of one process."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
    with subprocess.Popen([python, *arguments], stdout=subprocess.DEVNULL, env=environment, cwd="/") as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{python} {' '.join(arguments[:3])}: exit status {process.returncode}")
    return _seconds(used), used.ru_maxrss / 1024


def _seconds(used: resource.struct_rusage) -> float:
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path, help="a CT volume, .nii or .nii.gz")
    parser.add_argument("--against", default="", help="a Python with another version installed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", default="starts_cpu", help="of the record; empty for none")
    options = parser.parse_args()
    pythons = {"now": sys.executable} | ({"before": options.against} if options.against else {})
    rows: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as made:
        folder, scan = Path(made), options.scan.resolve()
        train = ["-m", "liveaction", "train", "ct_smoke", "--data", str(scan), "--steps", "0", "--quiet"]
        run(sys.executable, [*train, "--out", str(folder / "model")])
        run(sys.executable, cases(scan, folder)["liveaction compress"])
        for name, arguments in cases(scan, folder).items():
            found = defaultdict(list)
            for _ in range(options.rounds + 1):
                for which, python in pythons.items():
                    found[which].append(run(python, arguments))
            rows[name] = {}
            for which, figures in found.items():
                seconds, memory = zip(*figures[1:], strict=True)
                rows[name][which] = {
                    "seconds": statistics.median(seconds), "least": min(seconds), "most": max(seconds),
                    "mib": max(memory),
                }  # fmt: skip
            print(name, *(f"{which} {row['seconds']:.2f} s {row['mib']:.0f} MiB" for which, row in rows[name].items()))
    if options.name:
        from record import save  # not before: a process begins with the memory of the one that starts it

        print(save(options.name, {"rounds": options.rounds, "rows": rows}))


if __name__ == "__main__":
    main()
