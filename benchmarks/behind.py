"""What a network behind the codecs of an evaluation adds, by the folds of its protocol.

    python benchmarks/evaluations.py --data FOLDER --work RUNS rgb_cpu_small     # makes the models, and the record
    python benchmarks/behind.py --data FOLDER --work RUNS --protocol rgb_cpu_small --codec predicted

Behind the model of every fold a network learns from the same files that the model learnt from; the fold's files are
coded at the steps of the record, which are the very streams but for the header, and decoded with it. Recorded are PSNR,
bits and Bjontegaard deltas against the codec without the network and the protocol's rivals, in
results/behind_PROTOCOL.json.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from evaluations import KEPT
from record import save

import liveaction
from liveaction.evaluation.bd import bd_rate
from liveaction.evaluation.measures import MAIN
from liveaction.evaluation.protocol import load_protocol
from liveaction.recipe import dump_recipe, parse_recipe

LIGHT = {"kind": "light", "depth": 3, "width": 32}
Points = list[tuple[float, float]]


def curve(model: Any, signal: Any, steps: list[float]) -> Points:
    """Bits per element and PSNR in dB at each step."""
    low, high = model.modality.range_of(signal)
    found = []
    for step in steps:
        data = model.compress(signal, step=step)
        difference = model.decompress(data).values.astype(np.float64) - signal.values
        psnr = float(10 * np.log10((high - low) ** 2 / np.mean(difference**2)))
        found.append((8 * len(data) / signal.values.size, psnr))
    return found


def main() -> None:
    """Train, measure, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="of the evaluation")
    parser.add_argument("--protocol", default="rgb_cpu_small")
    parser.add_argument("--codec", default="predicted")
    parser.add_argument("--steps", type=int, default=1500, help="of training")
    parser.add_argument("--crop", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(1)
    protocol = load_protocol(options.protocol)
    rows = json.loads((KEPT / options.protocol / "settings.json").read_text())
    known: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for row in rows:
        point = row["bits_per_element"], float(row[MAIN]), row["value"]
        known.setdefault((row["source"], row["curve"]), []).append(point)
    rivals = (options.codec, protocol.reference, *protocol.against)
    files = []
    for fold in protocol.folds_of(options.codec):
        before = options.work / options.protocol / "models" / f"{options.codec}_{fold.name}"
        table = dump_recipe(liveaction.load_recipe(before))
        table["name"] += "_light"
        table["codec"]["decoder"] = LIGHT
        table["training"] |= {"steps": options.steps, "crop": [options.crop], "batch": 4, "learning_rate": 0.002,
                              "validate_every": options.steps}  # fmt: skip
        folder = options.work / options.protocol / "models" / f"{options.codec}_light_{fold.name}"
        learn = [str(options.data / file.path) for file in fold.learn]
        liveaction.train(parse_recipe(table, str(before)), learn, folder, val=learn[:1], start_from=before)
        model = liveaction.load(folder)
        for file in fold.code:
            signal = model.modality.read(options.data / file.path)
            points = curve(model, signal, [value for *_, value in known[file.path, options.codec]])
            deltas = {
                name: bd_rate([(bits, psnr) for bits, psnr, _ in known[file.path, name]], points).value
                for name in rivals
            }
            files.append({"file": file.path, "points": points, "bd_rate_percent": deltas})
            print(file.path, {name: value and round(value, 2) for name, value in deltas.items()}, flush=True)
    means = {name: statistics.fmean(file["bd_rate_percent"][name] for file in files) for name in rivals}
    print(means)
    settings = {"codec": options.codec, "decoder": LIGHT, "steps": options.steps, "crop": options.crop}
    print(save(f"behind_{options.protocol}", {**settings, "mean_bd_rate_percent": means, "files": files}))


if __name__ == "__main__":
    main()
