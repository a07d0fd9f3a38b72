"""Error at the borders of windows beside the error inside: what the halo leaves.

    python benchmarks/seams.py runs/ct=scan.nii.gz runs/rgb=photo.png --name seams_cpu

Each signal is encoded once and decoded whole, and in windows of a few chunks, at three quantiser steps. "seam" is
(error at borders / error elsewhere) in windows over the same quotient of the whole: 1 means that borders are no worse.
Errors are mean squares, on the samples next to a border, two on either side. The aim is 1.05 at most.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import save

from liveaction.codec.codec import Codec
from liveaction.codec.grid import ChunkLayout, slices
from liveaction.codec.model import load
from liveaction.registry import build_modality

NEAR = 2
"""Samples on either side of a border that count as its own."""


def _borders(layout: ChunkLayout) -> torch.Tensor:
    """Which samples lie next to a border between windows, bool ``[*S]``."""
    near = torch.zeros(layout.extents, dtype=torch.bool)
    for axis, (n, w, f) in enumerate(zip(layout.extents, layout.window, layout.factors, strict=True)):
        for cut in range(w * f, n, w * f):
            near.narrow(axis, cut - NEAR, min(2 * NEAR, n - cut + NEAR)).fill_(True)
    return near


def _in_windows(codec: Codec, symbols: torch.Tensor, layout: ChunkLayout, step: float) -> torch.Tensor:
    x = torch.zeros(1, codec.channels, *layout.extents)
    for box in layout.windows():
        part = symbols[(slice(None), slice(None), *slices(layout.around(box)))]
        x[(slice(None), slice(None), *slices(layout.samples(box)))] = codec.decode_window(
            part.float() * step, layout, box
        )
    return x


def measure(model: Path, source: Path, halos: list[int]) -> list[dict[str, Any]]:
    """Seams of one signal at every step and halo."""
    loaded = load(model, device="cpu")
    codec, recipe = loaded.codec, loaded.recipe
    modality = build_modality(recipe.modality)
    signal = modality.read(source)
    extents = tuple(min(n, 2**22 if len(signal.shape) == 1 else 320) for n in signal.shape)
    signal = signal.crop(*(slice(0, n) for n in extents))
    x = modality.normalise(signal.filled(), modality.range_of(signal))[None]
    whole = codec.layout(extents)
    chunk = tuple(max(1, min(c, -(-g // 2))) for c, g in zip(whole.chunk, whole.grid, strict=True))
    cut = replace(whole, chunk=chunk, window=chunk)
    near, rows = _borders(cut), []
    with torch.no_grad():
        y = codec.encode(x)
        for factor in (2.0, 1.0, 0.125):
            step = codec.quantizer.step * factor
            symbols = codec.quantize(y, step)
            right = (codec.synthesise(symbols.float() * step, extents) - x).square().mean((0, 1))
            for halo in halos:
                error = (_in_windows(codec, symbols, replace(cut, halo=halo), step) - x).square().mean((0, 1))
                border, inside = (float(error[part].mean() / right[part].mean()) for part in (near, ~near))
                psnr = [10 * np.log10(4 / e.mean().item()) for e in (right, error)]
                row = {"step_factor": factor, "halo": halo, "seam": border / inside, "psnr_whole": psnr[0]}
                row["chosen"] = halo == whole.halo
                rows.append({**row, "psnr_windows": psnr[1], "window": cut.window})
    print(f"{recipe.name} ({recipe.codec.decoder.kind}), {source.name}, {extents}, windows {cut.window}:", flush=True)
    for row in rows:
        print(
            f"  step x {row['step_factor']:<5} halo {row['halo']}: seam {row['seam']:.4f}, "
            f"{row['psnr_whole']:.3f} dB whole, {row['psnr_windows']:.3f} dB in windows",
            flush=True,
        )
    return rows


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", help="MODEL=FILE")
    parser.add_argument("--halo", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--name", default="", help="of the record in results/; empty for none")
    options = parser.parse_args()
    found = {}
    for pair in options.pairs:
        model, _, source = pair.partition("=")
        recipe = load(model).recipe
        name = f"{recipe.name} {recipe.codec.decoder.kind} {Path(source).name}"
        found[name] = measure(Path(model), Path(source), options.halo)
    worst = max(row["seam"] for rows in found.values() for row in rows if row["chosen"])
    print(f"largest seam at the halo that streams have: {worst:.4f}")
    if options.name:
        print(save(options.name, {"worst": worst, "rows": found}))


if __name__ == "__main__":
    main()
