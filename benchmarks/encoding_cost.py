"""Processor time of encoding with the sparse codecs beside the linear ones before them, at equal PSNR, in one run.

    git worktree add --detach ../before f80d4f7       # and an environment of its own there: make venv
    python benchmarks/encoding_cost.py --old ../before/.venv/bin/python --data FOLDER
    python benchmarks/encoding_cost.py --old ... --data FOLDER --case ct rgb --rounds 3 --name ""

FOLDER holds the files that the evaluations' protocols name. Both environments have a process of their own, which makes
its models, reads a file into memory, and then compresses the array to bytes on one thread whenever it is asked to; they
are asked in turn. A step of the new codec is given; the old codec's step is searched for equal PSNR. What is recorded
is the processor's time alone (``time.process_time``): medians, least and greatest, and the ratio of new to old.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

LINEAR = ("training.steps=0", "codec.encoder={kind: linear}", "codec.decoder={kind: linear}",
          "codec.quantizer.dead_zone=0.1")  # fmt: skip
CLOSE = 0.03
"""Decibels within which PSNR counts as equal: some 0.5 % of the bits."""
SEARCHED = 6
"""Steps of the old codec that are tried: PSNR falls about evenly with the logarithm of the step."""
FINEST = 16
"""The old codec's step is at most so many times finer than the new one's: what its projection leaves out no step
restores, and PSNR then stays below."""
# new recipe, old recipe with its settings, files to learn from (None: of each file itself), files to code
Case = tuple[str, str, tuple[str, ...], list[str] | None, list[str]]
CASES: dict[str, Case] = {
    "ct": (
        "ct_sparse", "ct_klt", ("codec.levels=2", "codec.latent_channels=64"),
        ["ct/fnndsc_chest_1mm.nii.gz", "ct/totalsegmentator_example_abdomen_3mm.nii.gz"],
        ["ct/invesalius_cranium.nii.gz", "ct/lung_dx_A0001_dicom"],
    ),
    "rgb": (
        "rgb_sparse", "rgb_light", (*LINEAR, "codec.latent_channels=192"),
        [f"images/kodim{n:02}.png" for n in range(1, 9)], ["images/kodim09.png", "images/kodim12.png"],
    ),
    "hyperspectral": (
        "hyperspectral_own", "hyperspectral_light", (*LINEAR, "codec.latent_channels=128"),
        [f"hyperspectral/{name}" for name in
         ("abu-airport-2.mat", "abu-urban-1.mat", "hydice.mat", "indian_pines_corrected.npy")],
        ["hyperspectral/abu-beach-1.mat", "hyperspectral/enmap_potsdam_96x64.hdr"],
    ),
    "array_audio": (
        "array_audio_own", "array_audio_light", (*LINEAR, "modality.channels=8", "codec.latent_channels=512"),
        None, ["array_audio/ami_mcwsj_array1_8ch_16k.flac"],
    ),
    "video": (
        "video_sparse", "video_light", (*LINEAR, "codec.latent_channels=512"),
        ["video/bigbuckbunny.mp4", "video/carphone_pristine.mp4"],
        ["video/park_joy_480x270_10f.y4m", "video/ntia_aspen_540p.mkv"],
    ),
}  # fmt: skip


class Worker:
    """A process of one environment, asked line by line."""

    def __init__(self, python: str, folder: Path) -> None:
        folder.mkdir()
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        environment = {**os.environ, **threads, "LIVEACTION_CACHE": str(folder / "cache")}
        command = [python, str(Path(__file__).resolve()), "--worker", str(folder)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, env=environment, **pipes)

    def ask(self, what: str, **words: Any) -> dict[str, Any]:
        """What it answers.

        Raises:
            SystemExit: it ended instead; it has said why.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps({"what": what, **words}), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the process of {self.process.args} ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


def work(folder: Path) -> None:
    """Answer what is asked of this environment."""
    import torch

    import liveaction
    from liveaction.profiling.circumstances import circumstances

    torch.set_num_threads(1)
    answers, sys.stdout = sys.stdout, sys.stderr
    model, signal, made = None, None, 0
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, Any] = {}
        if asked["what"] == "circumstances":
            answer = circumstances()
        elif asked["what"] == "model":
            made += 1
            recipe = liveaction.load_recipe(asked["recipe"], tuple(asked["settings"]))
            model = liveaction.load(liveaction.train(recipe, asked["data"], folder / str(made)).folder, device="cpu")
        elif asked["what"] == "read":
            assert model is not None
            signal = model.modality.read(Path(asked["path"]))
            values = signal.values.copy()  # no longer mapped from a file
            signal = replace(signal, values=values.base if values.base is not None else values)
            answer = {"shape": list(signal.values.shape)}
        else:
            assert model is not None and signal is not None
            answer = _compressed(model, signal, asked["step"], asked["what"] == "quality")
        print(json.dumps(answer), file=answers, flush=True)


def _compressed(model: Any, signal: Any, step: float, decoded: bool) -> dict[str, Any]:
    """Seconds of the processor and bytes; where ``decoded``, PSNR in dB, too."""
    import numpy as np

    began = time.process_time()
    data = model.compress(signal, step=step)
    answer: dict[str, Any] = {"seconds": time.process_time() - began, "bytes": len(data)}
    if decoded:
        low, high = model.modality.range_of(signal)
        there = True if signal.missing is None else ~signal.missing
        difference = model.decompress(data).values.astype(np.float64) - signal.values
        answer["psnr"] = 10 * math.log10((high - low) ** 2 / float(np.mean(difference**2, where=there)))
    return answer


def compare(new: Worker, old: Worker, step: float, rounds: int) -> dict[str, Any]:
    """Both codecs on the file that both have read."""
    mine = new.ask("quality", step=step)
    tried = [(step, old.ask("quality", step=step))]
    while abs(tried[-1][1]["psnr"] - mine["psnr"]) > CLOSE and len(tried) < SEARCHED:
        (last, found), slope = tried[-1], -6.0  # dB an octave
        if len(tried) > 1:
            octaves = math.log2(last / tried[-2][0])
            slope = min((found["psnr"] - tried[-2][1]["psnr"]) / octaves, -2.0)
        following = max(last * 2 ** ((mine["psnr"] - found["psnr"]) / slope), step / FINEST)
        if following == last:
            break
        tried.append((following, old.ask("quality", step=following)))
    other, theirs = min(tried, key=lambda each: abs(each[1]["psnr"] - mine["psnr"]))
    seconds: dict[str, list[float]] = {"new": [], "old": []}
    for _ in range(rounds):
        seconds["new"].append(new.ask("time", step=step)["seconds"])
        seconds["old"].append(old.ask("time", step=other)["seconds"])
    row: dict[str, Any] = {"ratio": statistics.median(seconds["new"]) / statistics.median(seconds["old"])}
    for name, at, found in (("new", step, mine), ("old", other, theirs)):
        spent = {"median": statistics.median(seconds[name]), "min": min(seconds[name]), "max": max(seconds[name])}
        row[name] = {"step": at, "bytes": found["bytes"], "psnr": found["psnr"], "seconds": spent}
    return row


def run(case: str, data: Path, new: Worker, old: Worker, steps: list[float], rounds: int) -> list[dict[str, Any]]:
    """All files of a case at all steps."""
    recipe, before, settings, learnt, coded = CASES[case]
    rows = []
    for number, name in enumerate(coded):
        if number == 0 or learnt is None:
            sources = [str(data / each) for each in (learnt or [name])]
            new.ask("model", recipe=recipe, settings=[], data=sources)
            old.ask("model", recipe=before, settings=list(settings), data=sources)
        shape = new.ask("read", path=str(data / name))["shape"]
        old.ask("read", path=str(data / name))
        for step in steps:
            row = {"case": case, "file": name, "shape": shape, **compare(new, old, step, rounds)}
            rows.append(row)
            words = " against ".join(_words(row[which], math.prod(shape)) for which in ("new", "old"))
            print(f"{name}: {row['ratio']:.2f} times the processor time, {words}", flush=True)
    return rows


def _words(row: dict[str, Any], values: int) -> str:
    spent = row["seconds"]
    return (
        f"{spent['median']:.3f} s ({spent['min']:.3f} to {spent['max']:.3f}), {8 * row['bytes'] / values:.3f} bits a "
        f"value, {row['psnr']:.2f} dB"
    )


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--old", help="Python of the environment with the codecs of before")
    parser.add_argument("--data", type=Path, help="the folder of the protocols' files")
    parser.add_argument("--case", choices=CASES, nargs="+", default=list(CASES))
    parser.add_argument("--steps", type=float, nargs="+", default=[0.2, 0.05], help="of the new codec's quantiser")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--name", default="encoding_cost_cpu", help="of the record in results/; empty for none")
    options = parser.parse_args()
    if options.worker:
        work(options.worker)
        return
    if not options.old or not options.data:
        parser.error("expected --old, a Python, and --data, a folder")
    with tempfile.TemporaryDirectory() as place:
        new, old = Worker(sys.executable, Path(place) / "new"), Worker(options.old, Path(place) / "old")
        machines = {"new": new.ask("circumstances"), "old": old.ask("circumstances")}
        rows: list[dict[str, Any]] = []
        for case in options.case:
            rows += run(case, options.data, new, old, options.steps, options.rounds)
        for worker in (new, old):
            worker.process.communicate()
    if options.name:
        from record import save

        print(save(options.name, {"rounds": options.rounds, "environments": machines, "rows": rows}))


if __name__ == "__main__":
    main()
