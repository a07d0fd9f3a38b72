"""``kill -9`` at random moments of a folder's compression: what stands there, and whether a rerun makes it whole.

    python benchmarks/kills.py --rounds 40 --name kills_cpu     # some minutes

A folder of small arrays is compressed by two workers. Each round starts anew or goes on from the round before, is
killed with all its workers after a random time, and then every file under a final name is verified. In the end a last
run is let through, and its streams are compared, byte for byte, with those of a run that nobody killed.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from record import save

from liveaction.codec.model import verify
from liveaction.errors import FormatError

ITEMS = 60


def _liveaction(*words: str) -> list[str]:
    return [sys.executable, "-m", "liveaction", *words]


def _compress(source: Path, target: Path, model: Path, seconds: float | None) -> bool:
    """Whether the run came to its end before it was killed."""
    command = _liveaction("compress", str(source), str(target), "-m", str(model), "--jobs", "2", "-q")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return False
    if process.returncode:
        sys.exit(said.decode())
    return True


def _broken(target: Path) -> int:
    """Files under a final name that are no whole streams."""
    count = 0
    for path in target.rglob("*.lva"):
        if path.name.startswith("."):
            continue
        try:
            count += bool(verify(path).damaged)
        except FormatError:
            count += 1
    return count


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="", help="of the record in results/; empty for none")
    options = parser.parse_args()
    rng, found = random.Random(options.seed), {"rounds": options.rounds, "killed": 0, "broken": 0, "part_way": 0}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["LIVEACTION_CACHE"] = str(folder / "cache")
        source, model, target = folder / "source", folder / "model", folder / "target"
        source.mkdir()
        for i in range(ITEMS):
            noise = np.random.default_rng(i).normal(-30, 10, (64, 80, 96))
            np.save(source / f"{i:02}.npy", noise.astype(np.float32))
        train = _liveaction("train", "array_smoke", "--data", "synthetic:2", "--out", str(model), "--steps", "0", "-q")
        subprocess.run(train, check=True, stdout=subprocess.DEVNULL)
        _compress(source, folder / "first", model, None)  # compiles
        began = time.perf_counter()
        _compress(source, folder / "right", model, None)
        whole = time.perf_counter() - began
        for number in range(options.rounds):
            if number % 2 == 0:
                shutil.rmtree(target, ignore_errors=True)
            found["killed"] += not _compress(source, target, model, rng.uniform(0.4, 1.0) * whole)
            found["broken"] += _broken(target)
            found["part_way"] += 0 < len(list(target.glob("*.lva"))) < ITEMS
            print(f"round {number}: {found}", flush=True)
        _compress(source, target, model, None)
        right = {path.name: path.read_bytes() for path in (folder / "right").glob("*.lva")}
        found["equal_in_the_end"] = right == {path.name: path.read_bytes() for path in target.glob("*.lva")}
        found["leftovers"] = len([path for path in target.iterdir() if path.name.startswith(".")])
    print(found)
    if options.name:
        print(save(options.name, found))
    if found["broken"] or not found["equal_in_the_end"] or found["leftovers"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
