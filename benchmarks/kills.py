"""Kills at random moments of a folder's compression and of a training: what stands there, and what a rerun makes of it.

    python benchmarks/kills.py --rounds 40 --name kills_cpu     # some minutes

A folder of small arrays is compressed by two workers. Each round starts anew or goes on from the round before, is
killed with all its workers after a random time, and then every file under a final name is verified. In the end a last
run is let through, and its streams are compared, byte for byte, with those of a run that nobody killed.

A training is ended in turn by SIGKILL and by SIGTERM, up to its last moments, the last validation and the tables among
them, and resumed until it is complete; its weights are compared with those of a run that nobody ended.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import save

from liveaction.codec.model import verify
from liveaction.errors import FormatError

ITEMS = 60
TRAINING = ["train", "array_smoke", "--data", "synthetic:2", "--steps", "30", "-q", "--resume",
            "--set", "training.checkpoint_every=7", "--set", "training.validate_every=5"]  # fmt: skip


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


def _train(out: Path, seconds: float | None, number: int) -> int | None:
    """Exit status of a training that is sent a signal after so many seconds; None where it came too late."""
    command = _liveaction(*TRAINING, "--out", str(out))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, number)
        _, said = process.communicate()
        if b"Traceback" in said:
            sys.exit(said.decode())
        return process.returncode
    if process.returncode:
        sys.exit(said.decode())
    return None


def _trainings(folder: Path, rounds: int, rng: random.Random) -> dict[str, int]:
    """Trainings that are ended and resumed, each until it is complete."""
    _train(folder / "warm", None, 0)  # compiles
    began = time.perf_counter()
    _train(folder / "whole", None, 0)
    whole = time.perf_counter() - began
    right = json.loads((folder / "whole" / "training.json").read_text())["digest"]
    found = {"rounds": rounds, "killed": 0, "stopped": 0, "without_model": 0, "others": 0}
    for each in range(rounds):
        out, number = folder / f"run{each}", (signal.SIGKILL, signal.SIGTERM)[each % 2]
        status = _train(out, rng.uniform(0.3, 1.0) * whole, number)
        found["killed"] += status == -signal.SIGKILL
        found["stopped"] += status == 128 + signal.SIGTERM
        _train(out, None, 0)
        summary = out / "training.json"
        found["without_model"] += not summary.exists()
        found["others"] += summary.exists() and json.loads(summary.read_text())["digest"] != right
        shutil.rmtree(out)
        print(f"training {each}: {status}, {found}", flush=True)
    return found


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
    parser.add_argument("--trainings", type=int, default=20, help="trainings that are ended and resumed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="", help="of the record in results/; empty for none")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    found: dict[str, Any] = {"rounds": options.rounds, "killed": 0, "broken": 0, "part_way": 0}
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
        found["training"] = _trainings(folder, options.trainings, rng)
    print(found)
    if options.name:
        print(save(options.name, found))
    lost = found["training"]["without_model"] or found["training"]["others"]
    if found["broken"] or not found["equal_in_the_end"] or found["leftovers"] or lost:
        sys.exit(1)


if __name__ == "__main__":
    main()
