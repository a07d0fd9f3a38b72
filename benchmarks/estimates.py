"""What ``liveaction check --data`` foresees beside what then happens: seconds and peak memory.

    python benchmarks/estimates.py                                # every case; some 10 minutes on an idle machine
    python benchmarks/estimates.py --case image_2d --rounds 1     # one, to see that it works

Each case writes a phantom's file, estimates in a process of its own as the command does, then trains, compresses and
decompresses for real, in other processes, and compares. Ratios are real / estimated; the target is 0.75 to 1.25.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# recipe, overrides, extents of the phantom
CASES: dict[str, tuple[str, tuple[str, ...], tuple[int, ...]]] = {
    "line_1d": ("array_smoke", ("modality.axes=[t]", "modality.options={}", "codec.levels=9",
                                "training.crop=[16384]", "training.steps=60"), (1500000,)),
    "image_2d": ("array_smoke", ("modality.axes=[y, x]", "modality.options={}", "codec.levels=4",
                                 "training.crop=[128]", "training.steps=60"), (1500, 1100)),
    "cube_3d": ("array_smoke", ("training.steps=60",), (160, 150, 140)),
    "volumes_4d": ("array_4d_smoke", ("training.steps=60",), (20, 48, 70, 64)),
    "ct_smoke": ("ct_smoke", ("training.steps=60",), (200, 200, 120)),
    "ct_light": ("ct_light", ("training.steps=24",), (256, 256, 160)),
}  # fmt: skip


def work(job: str, name: str, folder: Path) -> dict[str, Any]:
    """One job of one case, in this process: ``estimate``, ``train`` or ``code``."""
    from liveaction.recipe import load_recipe
    from liveaction.registry import build_modality

    recipe_name, overrides, extents = CASES[name]
    recipe = load_recipe(recipe_name, overrides)
    modality = build_modality(recipe.modality)
    file = folder / ("signal.nii" if recipe.modality.name == "ct" else "signal.npy")
    if job == "write":
        modality.write(modality.synthetic(3, extents), file)
        return {}
    if job == "train":
        return _train(recipe, file, folder)
    signal = modality.read(file)
    if job == "estimate":
        from dataclasses import asdict

        from liveaction.profiling.estimate import estimate

        began = time.perf_counter()
        found = asdict(estimate(recipe_name, recipe, signal, modality))
        return {**found, "seconds": time.perf_counter() - began}
    return _code(signal, folder)


def _train(recipe: Any, file: Path, folder: Path) -> dict[str, Any]:
    """Seconds of a first training in this process, memory of a second one; without the pictures."""
    import torch

    import liveaction.training.run as training
    from liveaction.profiling.measure import peak_memory

    training.draw_preview = lambda *ignored: Path()
    seconds = training.train(recipe, [str(file)], folder / "model", device="cpu").seconds
    again = peak_memory(
        lambda: training.train(recipe, [str(file)], folder / "again", device="cpu"), torch.device("cpu")
    )
    return {"training": {"seconds": seconds, "bytes": again}}


def _code(signal: Any, folder: Path) -> dict[str, Any]:
    """Both ways, whole, after a small crop that compiles."""
    import torch

    from liveaction.codec.model import load
    from liveaction.profiling.measure import peak_memory

    model = load(folder / "model", device="cpu")
    small = signal.crop(*(slice(0, 32) for _ in signal.shape))
    model.decompress(model.compress(small))
    data = model.compress(signal)
    runs = {
        "compress": lambda: model.compress(signal),
        "decompress": lambda: model.decompress(data),
    }
    found: dict[str, Any] = {"stream_bytes": len(data)}
    for kind, run in runs.items():
        times = []
        for _ in range(3):
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
        found[kind] = {"seconds": statistics.median(times), "bytes": peak_memory(run, torch.device("cpu"))}
    return found


def _apart(job: str, name: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--case", name, "--worker", job, "--folder", str(folder)]
    environment = os.environ | {"LIVEACTION_CACHE": str(folder / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compare(name: str) -> dict[str, Any]:
    """Estimate and reality of one case, and real / estimated of each figure."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _apart("write", name, folder)
        foreseen = _apart("estimate", name, folder)
        happened = {**_apart("train", name, folder), **_apart("code", name, folder)}
    ratios = {}
    for kind in ("compress", "decompress", "training"):
        for figure in ("seconds", "bytes"):
            guess, real = foreseen[kind][figure], happened[kind][figure]
            ratios[f"{kind} {figure}"] = real / guess if guess and real else None
    ratios["stream_bytes"] = happened["stream_bytes"] / foreseen["stream_bytes"]
    shown = ", ".join(f"{key} {value:.2f}" for key, value in ratios.items() if value is not None)
    print(f"{name}: real / estimated: {shown}", flush=True)
    return {"extents": CASES[name][2], "estimated": foreseen, "real": happened, "real_over_estimated": ratios}


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, nargs="+", default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3, help="of every case; all are kept")
    parser.add_argument("--name", help="of a record in results/, such as estimates_cpu")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(options.worker, options.case[0], options.folder)))
        return
    rows: dict[str, list[Any]] = {name: [] for name in options.case}
    for _ in range(options.rounds):
        for name in options.case:
            rows[name].append(compare(name))
    if options.name:
        from record import save

        print(save(options.name, {"target": [0.75, 1.25], "rows": rows}))


if __name__ == "__main__":
    main()
