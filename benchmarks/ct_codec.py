"""Train a recipe on CT volumes and code volumes it never saw, through the command line; optionally along the rate.

    python benchmarks/ct_codec.py ct_light --train a.nii.gz b.nii.gz --test c.nii.gz dicom_folder --name ct_light_cpu

Per test volume and ``--quality``: bytes, ratio on the native dtype, bits per voxel, PSNR on [-1, 1] (peak to peak 2,
which is 4095 HU), error in HU, SSIM, encode and decode speed, peak memory of the two processes; a picture at quality 4.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from record import RESULTS, save

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str) -> tuple[dict[str, Any], float]:
    """A verb of the command line with --json; its report and its peak memory in MB."""
    process = subprocess.Popen(
        [sys.executable, "-m", "liveaction", *arguments, "--json", "--quiet"], stdout=subprocess.PIPE, text=True
    )
    text = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"liveaction {' '.join(arguments)} failed")
    return json.loads(text), usage.ru_maxrss / 1024


def train(recipe: str, data: list[str], folder: Path, overrides: list[str]) -> dict[str, Any]:
    """Train unless the folder holds a finished run; the run's summary."""
    summary = folder / "training.json"
    if not summary.exists():
        command = [sys.executable, "-m", "liveaction", "train", recipe, "--out", str(folder), "--quiet", "--resume"]
        for source in data:
            command += ["--data", source, "--val", source]
        for override in overrides:
            command += ["--set", override]
        subprocess.run(command, check=True)
    result: dict[str, Any] = json.loads(summary.read_text())
    return result


def code(model: Path, source: str, quality: int, folder: Path, picture: Path | None) -> dict[str, Any]:
    """Compress and decompress one volume; everything measured."""
    stream, back = folder / "volume.lva", folder / "back.nii.gz"
    there, memory = run("compress", source, str(stream), "--model", str(model), "--quality", str(quality), "--force")
    extra = ["--picture", str(picture)] if picture else []
    home, memory_back = run(
        "decompress", str(stream), str(back), "--model", str(model), "--against", source, "--force", *extra
    )
    row = {"volume": Path(source).name, "quality": quality, "encode_peak_mb": memory, "decode_peak_mb": memory_back}
    row["encode_mvoxel_s"] = there.pop("msamples_per_second")
    row["decode_mvoxel_s"] = home.pop("msamples_per_second")
    return row | {k: v for report in (there, home) for k, v in report.items() if k != "target"}


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--train", nargs="+", required=True)
    parser.add_argument("--test", nargs="+", required=True)
    parser.add_argument("--name", required=True, help="of the record and the run")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--quality", type=int, nargs="+", default=[4])
    options = parser.parse_args()
    folder = ROOT / "runs" / options.name
    summary = train(options.recipe, options.train, folder, options.overrides)
    rows = []
    for source in options.test:
        for quality in options.quality:
            stem = Path(source).name.removesuffix(".nii.gz")
            picture = RESULTS / f"{options.name}_{stem}.png" if quality == 4 else None
            row = code(folder, source, quality, folder, picture)
            rows.append(row)
            print(f"{row['volume']:<40} q{quality}  {row['ratio']:7.1f}:1  {row['bits_per_element']:.4f} bpv  "
                  f"{row['psnr_normalised']:.2f} dB  {row['rmse']:.1f} HU rms  SSIM {row['ssim']:.4f}  "
                  f"{row['encode_mvoxel_s']:.1f} / {row['decode_mvoxel_s']:.1f} MVoxel/s  "
                  f"{row['encode_peak_mb']:.0f} / {row['decode_peak_mb']:.0f} MB", flush=True)  # fmt: skip
    summary = {key: summary[key] for key in ("recipe", "steps", "seconds", "digest", "torch")}
    data = {"training": summary, "overrides": options.overrides, "rows": rows}
    data["train"] = [Path(source).name for source in options.train]
    print(save(options.name, data))


if __name__ == "__main__":
    main()
