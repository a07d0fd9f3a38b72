"""Peak memory of ``compress`` and ``decompress`` on arrays of 1, 8 and 64 times a size: it should not grow.

    python benchmarks/memory.py                                  # 256, 512 and 1024 cubed; 5 GB of disk, 10 minutes
    python benchmarks/memory.py --side 64 --name ""              # to see that it works

Writes mapped files (.npy, .nii), codes them both ways through the command line in processes of their own, and records
the peak of each process's resident memory, mapped pages included, as the kernel counts it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

RECIPES = {"array_smoke": ".npy", "ct_light": ".nii"}
SETTINGS = {
    "array_smoke": ("--set", "modality.options.dtype=int16", "--set", "modality.range=[-1000, 1000]"),
    "ct_light": (),
}
RUN = """
import sys, time
from liveaction.cli.main import main
from liveaction.profiling.measure import resident
began = time.perf_counter()
try:
    main()
except SystemExit as end:
    status = end.code or 0
peak = resident('VmHWM')
sys.stdout.write(f'\\n{{"peak": {peak}, "seconds": {time.perf_counter() - began}, "status": {status}}}\\n')
"""


def write_volume(path: Path, side: int) -> None:
    """Smooth blobs with a little noise, int16, plane by plane."""
    import nibabel

    rng = np.random.default_rng(0)
    line = np.linspace(0, 12, side, dtype=np.float32)
    plane = np.sin(line)[:, None] + np.cos(1.7 * line)[None]
    if path.suffix == ".npy":
        volume = np.lib.format.open_memmap(path, "w+", np.int16, (side,) * 3)
        planes = (volume[i] for i in range(side))
    else:
        header = nibabel.Nifti1Header()
        header.set_data_dtype(np.int16)
        header.set_data_shape((side,) * 3)
        header.set_sform(np.eye(4), 1)
        header["vox_offset"], header["magic"] = 352, b"n+1"
        path.write_bytes(header.binaryblock + bytes(4))
        volume = np.memmap(path, np.int16, "r+", 352, (side,) * 3, "F")
        planes = (volume[..., i] for i in range(side))
    for i, target in enumerate(planes):
        noise = rng.integers(-12, 13, (side, side), dtype=np.int16)
        target[...] = (300 * np.sin(plane + line[i])).astype(np.int16) + noise
    volume.flush()


def _command(*words: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", RUN, *words], capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {"status": 1}
    if found["status"]:
        sys.exit(done.stderr)
    return found


def measure(recipe: str, side: int, folder: Path, model: Path) -> dict[str, Any]:
    """Both ways on one cube."""
    source, stream, back = (folder / name for name in (f"a{RECIPES[recipe]}", "a.lva", f"b{RECIPES[recipe]}"))
    write_volume(source, side)
    there = _command("compress", str(source), str(stream), "-m", str(model), "-q")
    home = _command("decompress", str(stream), str(back), "-m", str(model), "-q")
    row = {"side": side, "source_bytes": source.stat().st_size, "stream_bytes": stream.stat().st_size}
    row |= {"compress": there, "decompress": home}
    for path in (source, stream, back):
        path.unlink()
    gib = 2**30
    print(
        f"{recipe} {side}^3, {row['source_bytes'] / gib:.2f} GiB: compress {there['peak'] / gib:.2f} GiB in "
        f"{there['seconds']:.0f} s, decompress {home['peak'] / gib:.2f} GiB in {home['seconds']:.0f} s",
        flush=True,
    )
    return row


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=256, help="of the smallest cube; the others are 2 and 4 times that")
    parser.add_argument("--recipe", choices=RECIPES, nargs="+", default=list(RECIPES))
    parser.add_argument("--name", default="memory_cpu", help="of the record in results/; empty for none")
    options = parser.parse_args()
    rows: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["LIVEACTION_CACHE"] = str(folder / "cache")
        for recipe in options.recipe:
            model = folder / recipe
            _command(
                "train", recipe, "--data", "synthetic:2", "--out", str(model), "--steps", "0", "-q", *SETTINGS[recipe]
            )
            rows[recipe] = [measure(recipe, options.side * k, folder, model) for k in (1, 2, 4)]
    for recipe, found in rows.items():
        for kind in ("compress", "decompress"):
            peaks = [row[kind]["peak"] for row in found]
            print(f"{recipe} {kind}: largest peak {max(peaks) / min(peaks):.2f} times the smallest")
    if options.name:
        from record import save

        print(save(options.name, {"rows": rows}))


if __name__ == "__main__":
    main()
