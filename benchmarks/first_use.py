"""What a new user does: a file of every kind there and back by the command line, without training or an option.

    OMP_NUM_THREADS=1 nice python benchmarks/first_use.py --data FOLDER --pictures OUT
    python benchmarks/first_use.py --tables                       # the documentation's table, printed

FOLDER holds the files of :data:`FILES`. Each ``liveaction compress`` and ``decompress`` is a process of its own with an
empty ``LIVEACTION_HOME`` and ``LIVEACTION_CACHE``; seconds are those of whole processes, imports among them, in the
middle of ``--runs`` and from the least to the most, beside processor seconds of the process. Kernels are compiled
before, as ``liveaction doctor --warm`` does; ``--cold`` adds one without any. PSNR, on the modality's range,
comes from a decoding by itself with ``--against``, whose ``--picture`` goes to OUT. All is in first_use_cpu.json.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import bundled
from record import RESULTS, save

from liveaction.profiling.circumstances import circumstances

FILES = {
    "CT, NIfTI": ("ct/invesalius_cranium.nii.gz", "back.nii.gz"),
    "CT, DICOM folder": ("ct/lung_dx_A0001_dicom", "back.nii.gz"),
    "MRI, NIfTI": ("ct/mri_t1_studyforrest_0p67mm.nii.gz", "back.nii.gz"),
    "hyperspectral, MATLAB": ("hyperspectral/abu-beach-1.mat", "back.mat"),
    "hyperspectral, ENVI": ("hyperspectral/enmap_potsdam_96x64.hdr", "back.hdr"),
    "hyperspectral, .npy": ("hyperspectral/indian_pines_corrected.npy", "back.npy"),
    "colour, PNG": ("images/kodim07.png", "back.png"),
    "grey, PNG": ("images/kodim08.png", "back.png"),
    "video, MKV": ("video/vid4_foliage_480p.mkv", "back.mkv"),
    "video, MP4": ("video/carphone_pristine.mp4", "back.mkv"),
    "array audio, WAV": ("array_audio/aria_gen1_glasses_7ch_48k.wav", "back.wav"),
    "music, FLAC": ("music/hobbs_lets_go_fishin_25s.flac", "back.flac"),
    "speech, WAV": ("learning/fsdd/recordings/0_jackson_0.wav", "back.wav"),
}
"""Files below the data folder, and what they are decoded to."""


def command(work: Path, *words: object, **more: str) -> dict[str, Any]:
    """Run a command as a process with an empty home and cache; its seconds, and what it says or why it ended."""
    place = Path(tempfile.mkdtemp(dir=work))
    empty = {"LIVEACTION_HOME": str(place / "home"), "LIVEACTION_CACHE": str(place / "cache")}
    call = [sys.executable, "-m", "liveaction", *map(str, words), "--json"]
    used, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(call, capture_output=True, text=True, env=os.environ | empty | more)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    said = json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip()
    return {"seconds": seconds, "processor_seconds": spent, "status": done.returncode, "said": said}


def spread(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Median, least and most of seconds and processor seconds."""
    return {
        key: {"median": statistics.median(each), "min": min(each), "max": max(each)}
        for key in ("seconds", "processor_seconds")
        for each in [[run[key] for run in runs]]
    }


def row_of(kind: str, file: str, source: Path, back: str, rounds: int, pictures: Path, work: Path) -> dict[str, Any]:
    """One file there and back, several times over."""
    about, stream = {"kind": kind, "file": file}, work / "out.lva"
    there, again = list[dict[str, Any]](), list[dict[str, Any]]()
    for number in range(rounds):
        stream.unlink(missing_ok=True)
        there.append(command(work, "compress", source, stream))
        if there[-1]["status"]:
            return about | {"refused": there[-1]["said"].replace(str(source), file)}
        again.append(command(work, "decompress", stream, work / f"{number}{back}"))
        if again[-1]["status"]:
            return about | {"refused": again[-1]["said"].replace(str(source), file)}
    picture = pictures / f"{kind.replace(', ', '_').replace(' ', '_')}.png"
    close = command(work, "decompress", stream, work / f"x{back}", "--against", source, "--picture", picture)
    said, measured = there[-1]["said"], close["said"]
    kept = {"bytes": said["bytes"], "ratio": said["ratio"], "model": said["model"]["name"]}
    kept |= {"psnr": measured["psnr_normalised"]} if close["status"] == 0 else {"refused": measured}
    return about | kept | {"compress": spread(there), "decompress": spread(again)}


def table() -> str:
    """Every file in Markdown."""
    report = json.loads((RESULTS / "first_use_cpu.json").read_text())
    lines = [
        "| file | model | kB | ratio | PSNR | compress, s (processor) | decompress, s (processor) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in report["rows"]:
        if "refused" in row:
            lines.append(f"| {row['kind']} | refused: takes `--model` | – | – | – | – | – |")
            continue
        times = [
            f"{each['seconds']['median']:.1f} ({each['processor_seconds']['median']:.1f})"
            for each in (row["compress"], row["decompress"])
        ]
        numbers = f"{row['bytes'] / 1e3:,.1f} | {row['ratio']:,.1f} | {row['psnr']:.1f} dB"
        lines.append(f"| {row['kind']} | `{row['model']}` | {numbers} | {' | '.join(times)} |")
    return "\n".join(lines)


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pictures", type=Path, help="the folder of pictures")
    parser.add_argument("--cold", action="store_true", help="also compress a picture where no kernel is compiled yet")
    parser.add_argument("--only", nargs="+", choices=FILES, metavar="KIND", help=f"of {'; '.join(FILES)}")
    parser.add_argument(
        "--work", type=Path, default=RESULTS.parents[1] / "runs" / "first_use", help="keeps what is done"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tables", action="store_true", help="print the documentation's table, and stop")
    args = parser.parse_args()
    if args.tables:
        print(table())
        return
    if args.data is None or args.pictures is None:
        parser.error("expected --data and --pictures")
    args.pictures.mkdir(parents=True, exist_ok=True)
    where, kept = circumstances(), args.work / "rows.jsonl"
    args.work.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {row["kind"] for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if args.cold and "cold" not in done:
            picture = args.data / FILES["colour, PNG"][0]
            cold = command(work, "compress", picture, work / "cold.lva", NUMBA_CACHE_DIR=str(work / "numba"))
            cold["said"] = {
                key: value for key, value in cold["said"].items() if key not in ("target", "model")
            }  # paths
            rows.append({"kind": "cold"} | cold)
            with kept.open("a") as lines:
                lines.write(json.dumps(rows[-1]) + "\n")
        for kind, (file, back) in FILES.items():
            if kind in done or (args.only and kind not in args.only):
                continue
            source = args.data / file
            (work / "made").mkdir(exist_ok=True)
            source = bundled.grey(source, work / "made") if kind.startswith("grey") else source
            row = row_of(kind, file, source, back, args.runs, args.pictures, work) | {"commit": where["commit"]}
            rows.append(row)
            with kept.open("a") as lines:
                lines.write(json.dumps(row) + "\n")
            print(row, flush=True)
            for left in work.glob("*back*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    note = "two cores shared with other work, so that processor seconds say more than seconds"
    cold = next((row for row in rows if row["kind"] == "cold"), None)
    order = [*FILES]
    rows = sorted((row for row in rows if row["kind"] in FILES), key=lambda row: order.index(row["kind"]))
    report = {"circumstances": where, "note": note, "nice": os.nice(0), "runs": args.runs, "cold": cold, "rows": rows}
    print(save("first_use_cpu", report))


if __name__ == "__main__":
    main()
