"""Blocks of a CT with their organs, each an item with a map: a test of dense heads, of one patient."""

import csv
from pathlib import Path

import numpy as np

from liveaction.errors import FormatError

BLOCK, SLAB = (24, 24, 24), 48
"""Voxels of a block, and of the parts along the first axis that are a group each."""
ABOUT = {"block": BLOCK, "slab": SLAB}


def make(source: Path, out: Path) -> None:
    """NIfTI blocks, ``.npy`` maps of classes from 0 without gaps, and ``items.csv``.

    Args:
        source: a folder with ``NAME_ct*.nii.gz`` and ``NAME_seg.nii.gz`` of one shape.

    Raises:
        FormatError: they are not there.
    """
    import nibabel

    pairs = [(path, scan) for path in sorted(source.glob("*_seg.nii.gz"))
             for scan in sorted(source.glob(path.name.replace("_seg.nii.gz", "_ct*.nii.gz")))]  # fmt: skip
    if len(pairs) != 1:
        raise FormatError(f"{source}: expected one scan NAME_ct.nii.gz with NAME_seg.nii.gz, got {len(pairs)}")
    truth, scan = (nibabel.load(path) for path in pairs[0])
    labels, values = np.asarray(truth.dataobj), np.asarray(scan.dataobj)
    classes, dense = np.unique(labels, return_inverse=True)
    dense = dense.reshape(labels.shape).astype(np.int16)
    if labels.shape != values.shape or len(classes) < 2:
        raise FormatError(f"{source}: expected labels of shape {values.shape}, got {labels.shape}")
    starts = [range(0, n - side + 1, side) for n, side in zip(values.shape, BLOCK, strict=True)]
    rows = []
    for corner in np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, 3):
        part = tuple(slice(int(a), int(a) + side) for a, side in zip(corner, BLOCK, strict=True))
        name = "_".join(f"{int(a):03}" for a in corner)
        nibabel.save(nibabel.Nifti1Image(values[part], scan.affine, dtype=values.dtype), out / f"{name}.nii.gz")
        np.save(out / f"{name}.npy", dense[part])
        rows.append([f"{name}.nii.gz", f"{name}.npy", str(int(corner[0]) // SLAB)])
    with (out / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "group"], *rows])
