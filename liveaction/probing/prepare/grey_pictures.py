"""Grey pictures whose colour is to be found: luma of ITU-R BT.601 as one channel; the target is the picture itself."""

import csv
from pathlib import Path

import numpy as np

from liveaction.errors import FormatError
from liveaction.learning.labels import SPLITS, TEST, TRAIN

COUNTS = {TRAIN: 500, TEST: 120}
"""Pictures of each split at most, drawn by a seed."""
SUFFIXES = (".webp", ".png", ".jpg", ".jpeg")
ABOUT = {"counts": COUNTS, "seed": 0}


def make(source: Path, out: Path) -> None:
    """Grey PNGs, ``colour/`` with their targets, and ``items.csv``.

    Args:
        source: colour pictures in folders ``train`` and ``test``, at any depth.

    Raises:
        FormatError: a split has none.
    """
    from PIL import Image

    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    rng, rows = np.random.default_rng(0), []
    (out / "colour").mkdir()
    for split, count in COUNTS.items():
        pool = [path for path in found if SPLITS.get(path.relative_to(source).parts[0].lower()) == split]
        if not pool:
            raise FormatError(f"{source}: expected pictures in a folder {split}, got none")
        for number, place in enumerate(sorted(rng.permutation(len(pool))[:count].tolist())):
            name = f"{split}_{number:04}.png"
            with Image.open(pool[place]) as picture:
                colour = picture.convert("RGB")
            colour.save(out / "colour" / name)
            colour.convert("L").save(out / name)
            rows.append([name, f"colour/{name}", split])
    with (out / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split"], *rows])
