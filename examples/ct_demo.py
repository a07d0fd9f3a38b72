"""The main job on a synthetic CT: train, compress, decompress, compare.

Trains the small recipe on seeded phantoms, then takes one that was not trained on through the command line, both ways.
Needs no files; a few minutes on a CPU. ``--out`` chooses the folder (default runs/demo), ``--steps`` the length.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from liveaction import build_modality, load_recipe

UNSEEN = 1000  # the phantoms trained on are 0 to 5


def run(*arguments: str) -> None:
    """Show a command, then run it as a user would."""
    print(f"\n$ liveaction {' '.join(arguments)}", flush=True)
    subprocess.run([sys.executable, "-m", "liveaction", *arguments], check=True)


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    parser.add_argument("--steps", type=int, default=None)
    options = parser.parse_args()
    folder: Path = options.out
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    modality = build_modality(load_recipe("ct_smoke").modality)
    scan, stream, back = folder / "phantom.nii.gz", folder / "phantom.lva", folder / "back.nii.gz"
    picture, model = folder / "compare.png", folder / "model"
    modality.write(modality.synthetic(UNSEEN), scan)

    length = [] if options.steps is None else ["--steps", str(options.steps)]
    run("train", "ct_smoke", "--data", "synthetic", "--out", str(model), *length)
    run("compress", str(scan), str(stream), "--model", str(model))
    run("info", str(stream))
    run(
        "decompress", str(stream), str(back), "--model", str(model), "--against", str(scan), "--picture", str(picture)
    )  # fmt: skip
    print(f"\nlook at {picture} and {model / 'curves.png'}")


if __name__ == "__main__":
    main()
