"""Processor time of both coders of symbols, and of a predict step, beside x265 slow, there and back, in one run.

    python benchmarks/coder_cost.py --data FOLDER
    python benchmarks/coder_cost.py --data FOLDER --case ct rgb --rounds 3 --name ""

FOLDER holds the files that the evaluations' protocols name. Models are made from some files, others are coded on one
thread, from an array in memory to bytes and back, in turn. A predict step costs the same whatever it has learnt,
so it learns for a few steps alone: its bytes here are no figures of its rate. A step of the codec with the coder
``fast`` is given; every other codec takes the setting at which its PSNR is nearest. What is recorded is the
processor's time alone (``time.process_time``): medians, least and greatest, and how much of x265's each takes.
"""

import argparse
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

CLOSE, SEARCHED = 0.05, 6
"""Decibels within which PSNR counts as equal, and steps that are tried for it."""
CRFS = range(-6, 47, 4)
"""Of x265; the nearest two are then divided."""
# recipes by name and coder, files to learn from, files to code
Case = tuple[dict[str, tuple[str, str]], list[str], list[str]]
CASES: dict[str, Case] = {
    "ct": (
        {"fast": ("ct_sparse", "fast"), "small": ("ct_sparse", "small"), "predicted": ("ct_predicted", "small")},
        ["ct/fnndsc_chest_1mm.nii.gz", "ct/totalsegmentator_example_abdomen_3mm.nii.gz"],
        ["ct/invesalius_cranium.nii.gz", "ct/lung_dx_A0001_dicom"],
    ),
    "rgb": (
        {"fast": ("rgb_sparse", "fast"), "small": ("rgb_sparse", "small"), "predicted": ("rgb_predicted", "small")},
        [f"images/kodim{n:02}.png" for n in range(1, 9)], ["images/kodim09.png", "images/kodim12.png"],
    ),
    "hyperspectral": (
        {"fast": ("hyperspectral_own", "fast"), "small": ("hyperspectral_own", "small")},
        [f"hyperspectral/{name}" for name in
         ("abu-airport-2.mat", "abu-urban-1.mat", "hydice.mat", "indian_pines_corrected.npy")],
        ["hyperspectral/abu-beach-1.mat"],
    ),
    "video": (
        {"fast": ("video_sparse", "fast"), "small": ("video_sparse", "small")},
        ["video/bigbuckbunny.mp4", "video/carphone_pristine.mp4"],
        ["video/park_joy_480x270_10f.y4m"],
    ),
}  # fmt: skip


@dataclass
class Way:
    """One codec on one signal: bytes of a setting, what they decode to, and the setting that was chosen."""

    encode: Callable[[float], bytes]
    decode: Callable[[bytes], Any]
    setting: float = 0.0


def psnr(a: Any, b: Any, span: float) -> float:
    """In dB, of a range."""
    import numpy as np

    return 10 * math.log10(span**2 / float(np.mean((np.asarray(a, np.float64) - b) ** 2)))


def near(way: Way, quality: Callable[[float], float], wanted: float, start: float) -> None:
    """Set a codec of ours to the step of the PSNR that is wanted, about 6 dB an octave."""
    tried = [(start, quality(start))]
    while abs(tried[-1][1] - wanted) > CLOSE and len(tried) < SEARCHED:
        step, found = tried[-1]
        tried.append((step * 2 ** ((found - wanted) / 5.0), 0.0))
        tried[-1] = tried[-1][0], quality(tried[-1][0])
    way.setting = min(tried, key=lambda each: abs(each[1] - wanted))[0]


def ways_of(models: dict[str, tuple[Any, str]], signal: Any, step: float) -> tuple[dict[str, Way], dict[str, Any]]:
    """All codecs at the PSNR that the first one has at a step; with what each reaches."""
    from liveaction.evaluation.baselines.base import Array
    from liveaction.evaluation.baselines.registry import make_baseline

    model = next(iter(models.values()))[0]
    low, high = model.modality.range_of(signal)
    rival = make_baseline("x265_slow", 1)
    array = Array(signal.values.clip(low, high).astype(signal.values.dtype), signal.axes, (low, high))
    ways: dict[str, Way] = {}
    for name, (made, coder) in models.items():
        ways[name] = Way(
            lambda value, made=made, coder=coder: made.compress(signal, step=value, coder=coder),  # type: ignore[misc]
            lambda data, made=made: made.decompress(data).values,  # type: ignore[misc]
        )
    ways["x265_slow"] = Way(lambda value: rival.encode(array, value), rival.decode)

    def quality(name: str, value: float) -> float:
        return psnr(array.values, ways[name].decode(ways[name].encode(value)), high - low)

    first = next(iter(ways))
    ways[first].setting, wanted = step, quality(first, step)
    for name in list(models)[1:]:
        near(ways[name], lambda value, name=name: quality(name, value), wanted, step)  # type: ignore[misc]
    coarse = min(CRFS, key=lambda value: abs(quality("x265_slow", value) - wanted))
    ways["x265_slow"].setting = min(
        (coarse - 2, coarse - 1, coarse, coarse + 1, coarse + 2),
        key=lambda value: abs(quality("x265_slow", value) - wanted),
    )
    reached = {name: quality(name, way.setting) for name, way in ways.items()}
    return ways, reached


def measure(ways: dict[str, Way], reached: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Seconds of the processor there and back, all codecs in turn."""
    spent: dict[str, dict[str, list[float]]] = {name: {"encode": [], "decode": []} for name in ways}
    sizes: dict[str, int] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            data = way.encode(way.setting)
            spent[name]["encode"].append(time.process_time() - began)
            began = time.process_time()
            way.decode(data)
            spent[name]["decode"].append(time.process_time() - began)
            sizes[name] = len(data)
    whole = statistics.median(spent["x265_slow"]["encode"])
    return {
        name: {
            "setting": way.setting,
            "bytes": sizes[name],
            "psnr": reached[name],
            "share_of_x265": statistics.median(spent[name]["encode"]) / whole,
            **{
                key: {"median": statistics.median(times), "min": min(times), "max": max(times)}
                for key, times in spent[name].items()
            },
        }
        for name, way in ways.items()
    }


def run(case: str, data: Path, place: Path, steps: list[float], rounds: int) -> list[dict[str, Any]]:
    """All files of a case at all steps."""
    import torch

    import liveaction
    from liveaction.recipe import recipe_names

    torch.set_num_threads(1)
    recipes, learnt, coded = CASES[case]
    made: dict[str, Any] = {}
    models: dict[str, tuple[Any, str]] = {}
    for name, (recipe, coder) in recipes.items():
        if recipe not in recipe_names():
            continue
        if recipe not in made:
            sources = [str(data / each) for each in learnt]
            short = ["training.steps=8"] if name == "predicted" else []
            chosen = liveaction.load_recipe(recipe, short)
            made[recipe] = liveaction.load(liveaction.train(chosen, sources, place / recipe).folder, device="cpu")
        models[name] = made[recipe], coder
    rows = []
    for name in coded:
        signal = next(iter(made.values())).modality.read(data / name)
        signal = replace(signal, values=signal.values.copy())  # no longer mapped from a file
        for step in steps:
            ways, reached = ways_of(models, signal, step)
            found = measure(ways, reached, rounds)
            rows.append({"case": case, "file": name, "shape": list(signal.values.shape), "step": step, "codecs": found})
            values = math.prod(signal.values.shape)
            text = "; ".join(
                f"{key} {row['share_of_x265']:.2f} ({1e9 * row['encode']['median'] / values:.0f} and "
                f"{1e9 * row['decode']['median'] / values:.0f} ns a value, {row['bytes']} bytes, {row['psnr']:.2f} dB)"
                for key, row in found.items()
            )
            print(f"{name} at {step:g}: {text}", flush=True)
    return rows


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the protocols' files")
    parser.add_argument("--case", choices=CASES, nargs="+", default=list(CASES))
    parser.add_argument("--steps", type=float, nargs="+", default=[0.2, 0.05], help="of the quantiser")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", default="coder_cost_cpu", help="of the record in results/; empty for none")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        for case in options.case:
            rows += run(case, options.data, Path(place) / case, options.steps, options.rounds)
    if options.name:
        from record import save

        print(save(options.name, {"rounds": options.rounds, "rows": rows}))


if __name__ == "__main__":
    main()
