"""How closely targets are met, in how many trials, and in how many times the seconds of one compression at a step.

    python benchmarks/targets.py --data FOLDER --models runs/rgb runs/ct
    python benchmarks/targets.py --data pictures/ --models runs/rgb --shift 1.0 --name ""

FOLDER holds files that one of the models reads, which take the first that finds them. Each file is compressed at the
step trained with; from what that comes to the four kinds of targets are derived, ``--shift`` octaves of the step finer
and coarser by a typical slope, so that all of them are reachable. What is recorded of each: how far the stream is from
its target as a share (a PSNR: in dB), trials, and seconds beside those of the one compression.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from record import save

import liveaction
from liveaction.codec.model import Model
from liveaction.codec.target import Target
from liveaction.errors import LiveactionError

SLOPE = 0.6
"""Octaves that bytes lose and errors gain with an octave of the step, about."""


def targets(model: Model, path: Path, shifts: list[float], work: Path) -> list[dict[str, Any]]:
    """Rows of one file: all kinds of targets, finer and coarser than the step trained with."""
    signal = model.modality.read(path)
    model.compress_file(signal, work / "warm.lva")
    began = time.perf_counter()
    plain = model.compress_file(signal, work / "plain.lva")
    spent = time.perf_counter() - began
    close = model.modality.errors(signal, model.decompress(work / "plain.lva"))
    ratio, rows = signal.native_bits / (8 * plain.bytes), []
    for shift in shifts:
        times = 2.0 ** (SLOPE * shift)
        for goal in (
            Target("size", round(plain.bytes * times)),
            Target("ratio", ratio / times),
            Target("psnr", close["psnr_normalised"] + 20 * 0.30103 * SLOPE * shift),
            Target("error", close["rmse"] / times),
        ):
            row = {"file": path.name, "recipe": model.recipe.name, "kind": goal.kind, "wanted": goal.value}
            rows.append(row | reached(model, signal, goal, spent, work / "aimed.lva"))
            print(rows[-1], flush=True)
    return rows


def reached(model: Model, signal: Any, goal: Target, spent: float, target: Path) -> dict[str, Any]:
    """What became of a target, beside the seconds of one compression."""
    began = time.perf_counter()
    try:
        written = model.compress_file(signal, target, **goal.options())
    except LiveactionError as error:
        return {"error": str(error)}
    seconds, aim = time.perf_counter() - began, written.aim
    assert aim is not None
    off = aim.reached - goal.value if goal.kind == "psnr" else aim.reached / goal.value - 1
    about = {"reached": aim.reached, "off": off, "within": aim.within, "step": written.step, "trials": aim.trials}
    return about | {"seconds": seconds, "plain_seconds": spent, "times": seconds / spent}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each kind: how many were met, the largest miss, and trials and times in the middle and at most."""
    said = {}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        met = [row for row in rows if row["kind"] == kind and "error" not in row]
        if not met:
            continue
        said[kind] = {
            "of": sum(row["kind"] == kind for row in rows),
            "within": sum(row["within"] for row in met),
            "farthest": max((row["off"] for row in met), key=abs),
            **{f"{key}_median": statistics.median(row[key] for row in met) for key in ("trials", "times")},
            **{f"{key}_most": max(row[key] for row in met) for key in ("trials", "times")},
        }
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, nargs="+", required=True)
    parser.add_argument("--shift", type=float, nargs="+", default=[1.0, -2.0], help="octaves finer, below 0 coarser")
    parser.add_argument("--name", default="targets_cpu", help="of the record; empty keeps none")
    args = parser.parse_args()
    rows, done = list[dict[str, Any]](), set[Path]()
    with tempfile.TemporaryDirectory() as work:
        for folder in args.models:
            model = liveaction.load(folder, device="cpu")
            try:
                found = model.modality.find(args.data)
            except LiveactionError as error:
                print(f"{folder}: {error}")
                continue
            for path in (path for path in found if path not in done):
                done.add(path)
                rows += targets(model, path, args.shift, Path(work))
    report = {"summary": summary(rows), "rows": rows}
    print(report["summary"])
    if args.name:
        print(save(args.name, report))


if __name__ == "__main__":
    main()
