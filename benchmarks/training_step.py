"""One training step of a recipe on random crops: encoder alone, and the whole codec; forward and backward.

    python benchmarks/training_step.py                                   # ct_f8c8, 96^3
    python benchmarks/training_step.py --against OTHER_INSTALL --name training_step_cpu

``--against`` names a folder with another version (pip install --no-deps --target FOLDER ...); both run in turn, in
processes of their own, three times each.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def step_times(recipe_name: str, crop: int, rounds: int) -> dict[str, float]:
    """Milliseconds, median of ``rounds``, after one call to warm up."""
    import torch

    from liveaction import build_codec, load_recipe
    from liveaction.training.loss import distortion, rate

    torch.manual_seed(0)
    spec = load_recipe(recipe_name).training
    codec = build_codec(load_recipe(recipe_name))
    x = torch.rand(spec.batch, codec.channels, *(crop,) * codec.axes) * 2 - 1

    def encoder() -> None:
        codec.zero_grad(set_to_none=True)
        codec.encode(x).square().mean().backward()

    def whole() -> None:
        codec.zero_grad(set_to_none=True)
        out = codec(x)
        loss = distortion(x, out.reconstruction) + 0.01 * rate(out.companded, codec.quantizer.step, spec.rate)
        loss.backward()

    found = {}
    for name, function in (("encoder", encoder), ("whole", whole)):
        function()
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            function()
            times.append((time.perf_counter() - began) * 1e3)
        found[name] = statistics.median(times)
    return found


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="ct_f8c8")
    parser.add_argument("--crop", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--name", help="of a record in results/")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(step_times(options.recipe, options.crop, options.rounds)))
        return
    versions: dict[str, dict[str, str]] = {"this": {}}
    if options.against:
        versions["other"] = {"PYTHONPATH": str(options.against.resolve())}
    rows: dict[str, list[Any]] = {name: [] for name in versions}
    for _ in range(3):
        for name, more in versions.items():
            command = [sys.executable, __file__, "--worker", "--recipe", options.recipe, "--crop", str(options.crop)]
            done = subprocess.run(
                [*command, "--rounds", str(options.rounds)], capture_output=True, text=True, env=os.environ | more
            )
            if done.returncode:
                sys.exit(done.stderr)
            rows[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(name, {part: f"{ms:.0f} ms" for part, ms in rows[name][-1].items()}, flush=True)
    if options.name:
        from record import save

        print(save(options.name, {"recipe": options.recipe, "crop": options.crop, "milliseconds": rows}))


if __name__ == "__main__":
    main()
