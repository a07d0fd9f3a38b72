"""Check every kernel and the codec on a GPU, then measure: stages in order of value, each saves its JSON at once.

    python benchmarks/gpu_suite.py                       # all stages on the first CUDA device, some 25 minutes
    python benchmarks/gpu_suite.py --stage tests kernels_bfloat16          # some of them, within ten minutes
    python benchmarks/gpu_suite.py --device cpu --extent 48 --rounds 3 --out runs/suite   # to try it anywhere

Needs no files: phantoms and random volumes. What is wrong is recorded and gets no speed; the exit code then is 1.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from record import RESULTS

from liveaction import build_codec, build_modality, load_recipe
from liveaction.profiling.circumstances import circumstances
from liveaction.profiling.measure import interleaved, peak_memory
from liveaction.profiling.session import kernels_session
from liveaction.training.loss import distortion, rate

RECIPES = ("ct_klt", "ct_light", "ct_f8c8", "ct_f8c64", "paper_ct_f8c8")


def measure(function: Callable[[], Any], device: torch.device, rounds: int = 10) -> dict[str, float]:
    """Milliseconds: median, 20th and 80th percentile; peak memory in MB beyond what was there."""
    timing = interleaved({"": function}, device, rounds)[""]
    peak = (peak_memory(function, device) or 0) / 2**20
    times = {"median_ms": timing.median_us, "p20_ms": timing.p20_us, "p80_ms": timing.p80_us}
    return {name: microseconds / 1e3 for name, microseconds in times.items()} | {"peak_mb": peak}


def tests(device: torch.device) -> dict[str, Any]:
    """The kernels' tests, compiled for the device where it is a GPU, interpreted elsewhere."""
    root = Path(__file__).resolve().parents[1]
    chosen = ["tests/kernels"] if device.type == "cuda" else ["tests/kernels", "-m", "not slow"]
    command = [sys.executable, "-P", "-m", "pytest", "-q", "--maxfail=30", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    return {"red": done.returncode != 0, "output": done.stdout.splitlines()[-60:]}


def kernels(device: torch.device, dtype: str, rounds: int) -> dict[str, Any]:
    """Every shipped operation, forward and backward, behind its gate; with ceilings of this device."""
    shape = "1,64,2048" if device.type == "cpu" else ""  # each case's own
    session = kernels_session(
        None, shape, dtype, "", device.type, None, True, rounds, None, False, False, lambda text: None
    )
    for row in session.record()["rows"]:
        print({key: row[key] for key in row if not isinstance(row[key], list | dict)}, flush=True)
    return {"red": session.red, **session.record()}


def correctness(device: torch.device, extent: int) -> dict[str, Any]:
    """Every shipped recipe on the device against the CPU in float64: packets, latents, symbols, reconstruction."""
    x = _phantom(min(extent, 64))
    rows = {}
    for name in RECIPES:
        torch.manual_seed(0)
        codec = build_codec(load_recipe(name)).eval()
        with torch.no_grad():
            truth = codec.double().encode(x.double())
            back = codec.packets.inverse(codec.packets(x.double()))
            cpu = codec.float()
            plain = (cpu.encode(x) - truth).abs().max().item()
            symbols = cpu.quantize(cpu.encode(x))
            image = cpu.decode(symbols, tuple(x.shape[2:]))
            there = codec.to(device)
            latent = there.encode(x.to(device)).cpu()
            packets = there.packets(x.to(device))
            round_trip = (there.packets.inverse(packets).cpu() - x).abs().max().item()
            decoded = there.decode(symbols.to(device), tuple(x.shape[2:])).cpu()
        error = (latent - truth).abs().max().item()
        scale = truth.abs().max().item()
        rows[name] = {
            "latent_error": error / scale,
            "cpu_float32_error": plain / scale,
            "packets_round_trip": round_trip,
            "decode_difference": (decoded - image).abs().max().item(),
            "symbols_that_differ": (there.quantize(latent.to(device)).cpu() != symbols).float().mean().item(),
        }
        assert (back - x.double()).abs().max() < 1e-10, name
        assert round_trip < 1e-4, (name, round_trip)
        assert error <= 3 * plain + 1e-2 * scale, (name, error, plain)
        assert rows[name]["decode_difference"] < 2e-2, rows[name]
    return rows


def coding_speed(device: torch.device, extent: int) -> dict[str, Any]:
    """Packets, encode and decode of one volume, float32 and bfloat16, without transfers or entropy coding."""
    rows = {}
    x = torch.rand(1, 1, extent, extent, extent, device=device) * 2 - 1
    for name in RECIPES:
        for dtype in ("float32", "bfloat16"):
            codec = build_codec(load_recipe(name, [f"codec.compute_dtype={dtype}"])).eval().to(device)
            with torch.no_grad():
                symbols = codec.to_symbols(x)
                row: dict[str, Any] = {"encode": measure(lambda codec=codec: codec.encode(x), device)}
                row["analyse"] = measure(lambda codec=codec: codec.analyse(x), device)
                row["decode"] = measure(lambda codec=codec, s=symbols: codec.decode(s, tuple(x.shape[2:])), device)
            for part in row.values():
                part["mvoxel_s"] = x.numel() / 1e3 / part["median_ms"]
            rows[f"{name} {dtype}"] = row
            print(name, dtype, {k: round(v["mvoxel_s"], 1) for k, v in row.items()}, flush=True)
    return rows


def training_speed(device: torch.device, extent: int) -> dict[str, Any]:
    """One optimisation step of the shipped recipes at their largest crop that ``extent`` allows."""
    import timm.optim

    rows = {}
    for name in ("ct_light", "ct_f8c8", "paper_ct_f8c8"):
        recipe = load_recipe(name)
        spec = recipe.training
        crop = max((c[0] for c in recipe.crops if c[0] <= extent), default=min(recipe.crops)[0])
        for dtype in ("float32", "bfloat16"):
            codec = build_codec(load_recipe(name, [f"codec.compute_dtype={dtype}"])).to(device)
            optimizer = timm.optim.create_optimizer_v2(codec, opt=spec.optimizer, lr=1e-5, weight_decay=0.0)
            x = torch.rand(spec.batch, 1, crop, crop, crop, device=device) * 2 - 1

            def step(codec: Any = codec, optimizer: Any = optimizer, x: torch.Tensor = x, spec: Any = spec) -> None:
                out = codec(x)
                error = distortion(x, out.reconstruction)
                loss = error + spec.rate_weight * rate(out.companded, codec.quantizer.step, spec.rate)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

            rows[f"{name} {dtype}"] = {"crop": crop, "batch": spec.batch} | measure(step, device, 5)
            print(name, dtype, rows[f"{name} {dtype}"], flush=True)
    return rows


def _phantom(extent: int) -> torch.Tensor:
    modality = build_modality(load_recipe("ct_f8c8").modality)
    signal = modality.synthetic(0)
    x = modality.normalise(signal.values, modality.range_of(signal))[None]
    return x[:, :, 32 : 32 + extent, 32 : 32 + extent, 16 : 16 + extent].clone()


def main() -> None:
    """Run the stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--extent", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--stage", nargs="+", help="names of stages; all where left out")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    device, first = torch.device(options.device), options.extent[0]
    options.out.mkdir(parents=True, exist_ok=True)
    stages: dict[str, Callable[[], Any]] = {
        "tests": lambda: tests(device),
        "kernels_bfloat16": lambda: kernels(device, "bfloat16", options.rounds),
        "kernels_float32": lambda: kernels(device, "float32", options.rounds),
        "correctness": lambda: correctness(device, first),
        **{f"coding_{n}": lambda n=n: coding_speed(device, n) for n in options.extent},
        "training": lambda: training_speed(device, first),
    }
    unknown = set(options.stage or ()) - set(stages)
    if unknown:
        sys.exit(f"--stage: expected some of {', '.join(stages)}, got {', '.join(sorted(unknown))}")
    red = []
    for name in options.stage or stages:
        began = time.perf_counter()
        try:
            rows = stages[name]()
        except Exception as error:  # the next stage is worth its minutes all the same
            rows = {"red": True, "error": f"{type(error).__name__}: {error}"}
        red += [name] if rows.get("red") else []
        data = {"circumstances": circumstances(), "stage": name, "rows": rows}
        path = options.out / f"gpu_{name}.json"
        path.write_text(json.dumps(data, indent=2, default=str) + "\n")
        print(f"{path}: {time.perf_counter() - began:.0f} s{', RED' if rows.get('red') else ''}", flush=True)
    if red:
        sys.exit(f"red: {', '.join(red)}")


if __name__ == "__main__":
    main()
