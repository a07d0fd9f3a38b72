"""The main job on a synthetic CT: compress, decompress, look; with the model that comes along, or one trained here.

Needs no files: a seeded phantom is written as NIfTI and goes through the command line, both ways, in half a minute on a
CPU. ``--train`` trains the small recipe of tests on other phantoms first, and takes it: some minutes, and what the verb
leaves to look at, not a codec to keep. ``--out`` chooses the folder (default runs/demo).
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from liveaction import build_modality, load_recipe

UNSEEN = 1000  # the phantoms trained on are 0 to 5
EXTENTS = (256, 256, 96)


def run(*arguments: str) -> None:
    """Show a command, then run it as a user would."""
    print(f"\n$ liveaction {' '.join(arguments)}", flush=True)
    subprocess.run([sys.executable, "-m", "liveaction", *arguments], check=True)


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    parser.add_argument("--train", action="store_true", help="train ct_smoke first, and take that")
    parser.add_argument("--steps", type=int, help="of training; the recipe's by default")
    options = parser.parse_args()
    folder: Path = options.out
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    modality = build_modality(load_recipe("ct_smoke").modality)
    scan, stream, back = folder / "phantom.nii.gz", folder / "phantom.lva", folder / "back.nii.gz"
    picture, model = folder / "compare.png", folder / "model"
    print("drawing a phantom")
    modality.write(modality.synthetic(UNSEEN, None if options.train else EXTENTS), scan)

    taken: tuple[str, ...] = ()
    if options.train:
        length = [] if options.steps is None else ["--steps", str(options.steps)]
        run("train", "ct_smoke", "--data", "synthetic", "--out", str(model), *length)
        taken = "--model", str(model)
    run("compress", str(scan), str(stream), "--quality", "6", *taken)
    run("decompress", str(stream), str(back), "--against", str(scan), "--picture", str(picture), *taken)
    if options.train:
        print(f"\nlook at {picture} and {model / 'curves.png'}")
        return
    run("compress", str(scan), str(folder / "exact.lva"), "--max-error", "0")
    print(f"\nlook at {picture}; {folder / 'exact.lva'} is lossless")


if __name__ == "__main__":
    main()
