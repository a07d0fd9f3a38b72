"""The spectra of a scene's labelled pixels, each an item; pixels of one block of 12 x 12 are one group.

Neighbours share fields and light, so that a classifier tested on pixels beside those it learnt from is tested on what
it has seen; blocks are never shared.
"""

import csv
from pathlib import Path

import numpy as np

from liveaction.errors import FormatError, printable

BLOCK, LEAST = 12, 100
"""Pixels of a block along either side, and labelled pixels that a class must have."""
ABOUT = {"block": BLOCK, "least": LEAST}


def make(source: Path, out: Path) -> None:
    """``.npy`` files ``[band]`` and ``items.csv`` with class and block.

    Args:
        source: a folder with one array ``[y, x, band]`` and one of classes ``[y, x]`` whose name ends in ``_gt``; class
            0 is no class.

    Raises:
        FormatError: they are not there, or do not belong together.
    """
    try:
        arrays = {path: np.load(path, allow_pickle=False) for path in sorted(source.glob("*.npy"))}
    except (OSError, EOFError, ValueError) as error:
        raise FormatError(f"{source}: expected readable arrays, got {printable(error)}") from error
    scenes = [values for path, values in arrays.items() if not path.stem.endswith("_gt")]
    truths = [values for path, values in arrays.items() if path.stem.endswith("_gt")]
    if len(scenes) != 1 or len(truths) != 1 or scenes[0].ndim != 3 or truths[0].shape != scenes[0].shape[:2]:
        raise FormatError(
            f"{source}: expected one cube [y, x, band] and its classes NAME_gt.npy, got {len(arrays)} arrays"
        )
    (scene,), (truth,) = scenes, truths
    counts = np.bincount(truth.ravel().astype(np.int64))
    rows = []
    for y, x in np.argwhere(truth > 0):
        if counts[truth[y, x]] < LEAST:
            continue
        name = f"{y:03}_{x:03}.npy"
        np.save(out / name, np.ascontiguousarray(scene[y, x]))
        rows.append([name, str(int(truth[y, x])), f"{y // BLOCK}_{x // BLOCK}"])
    with (out / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "group"], *rows])
