"""Samples of NIfTI files too large to be held whole: mapped, or streamed to and from the file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.mapped import converted, empty_values, is_large, pieces, release_pages

BLOCK = 1 << 20
"""Samples that are read at a time: some MiB."""


def is_large_image(image: Any) -> bool:
    """Whether an image takes more memory than it should, with the float64 copy that scaling makes."""
    proxy = image.dataobj
    scaled = (proxy.slope, proxy.inter) != (1, 0)
    return is_large(image.shape, np.dtype(np.float64) if scaled else proxy.dtype)


def settled_dtype(disk: np.dtype[Any], slope: float, inter: float, whole: Iterator[NDArray[Any]]) -> np.dtype[Any]:
    """The narrowest dtype that says the same as scaled samples (:func:`liveaction.modalities.volume.nifti.read_nifti`).

    Args:
        disk: of the samples on disk.
        slope, inter: that scale them.
        whole: the scaled samples, piece by piece; looked at only where the dtype depends on them.
    """
    if disk.kind == "f":
        return np.dtype(np.float64 if disk.itemsize == 8 else np.float32)
    if (slope, inter) == (1, 0):
        return disk
    if slope != 1 or inter != round(inter) or disk.itemsize > 4:
        return np.dtype(np.float32)
    extremes = [(int(piece.min()), int(piece.max())) for piece in whole]
    low, high = min(low for low, _ in extremes), max(high for _, high in extremes)
    for dtype in (disk, np.dtype(np.int16), np.dtype(np.int32)):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype
    return np.dtype(np.float64)


def read_large(path: Path, image: Any, disk: np.dtype[Any]) -> NDArray[Any]:
    """The scaled samples in their settled dtype, the first axis fastest as in the file.

    A file that is not compressed and holds just these values is mapped; all else is streamed into a temporary file.

    Args:
        path: of the file.
        image: as nibabel opens it.
        disk: dtype of its samples in native byte order.

    Raises:
        OSError, EOFError, ValueError: the file is cut short or damaged.
    """
    proxy = image.dataobj
    dtype = settled_dtype(disk, proxy.slope, proxy.inter, _scaled(path, proxy))
    if (proxy.slope, proxy.inter) == (1, 0) and proxy.dtype == dtype and path.suffix.lower() != ".gz":
        return np.memmap(path, dtype, "r", proxy.offset, image.shape, "F")
    values, at = empty_values(image.shape[::-1], dtype.str), 0
    flat = values.reshape(-1)
    for piece in _scaled(path, proxy):
        flat[at : at + piece.size] = piece
        at += piece.size
        release_pages(values)
    return values.T


def _scaled(path: Path, proxy: Any) -> Iterator[NDArray[Any]]:
    """The samples in the order of the file, slope and intercept applied."""
    from nibabel.openers import ImageOpener
    from nibabel.volumeutils import apply_read_scaling

    left = int(np.prod(proxy.shape, dtype=object))
    with ImageOpener(path) as file:
        file.seek(proxy.offset)
        while left:
            size = min(left, BLOCK)
            data = file.read(size * proxy.dtype.itemsize)
            if len(data) != size * proxy.dtype.itemsize:
                raise EOFError(f"the file ends {left * proxy.dtype.itemsize - len(data)} bytes too early")
            raw = np.frombuffer(data, proxy.dtype)
            yield apply_read_scaling(raw, np.asanyarray(proxy.slope), np.asanyarray(proxy.inter))
            left -= size


def write_samples(image: Any, values: NDArray[Any], path: Path) -> None:
    """Write header and samples as nibabel does, without a copy of the samples in memory where they are large.

    Args:
        image: whose header, slope and intercept are written; its own samples are not looked at.
        values: ``[X, Y, Z, ...]`` of the image's shape, before slope and intercept are undone.
        path: ends in ``.nii`` or ``.nii.gz``.
    """
    from nibabel.openers import ImageOpener
    from nibabel.volumeutils import seek_tell

    image.update_header()
    header = image.header
    disk, slope, inter = header.get_data_dtype(), header["scl_slope"].item(), header["scl_inter"].item()
    same = values.dtype == disk.newbyteorder("=") and (slope, inter) == (1, 0)

    def undone(part: NDArray[Any]) -> NDArray[Any]:
        return part if same else _unscaled(part, disk, slope, inter)

    stored = values if same and values.dtype == disk and values.T.flags.c_contiguous else None
    stored = converted(values, disk, undone, fortran=True) if stored is None else stored
    with ImageOpener(path, "wb") as file:
        header.write_to(file)
        seek_tell(file, header.get_data_offset(), write0=True)
        for piece in pieces(stored.T.reshape(-1)):
            file.write(piece.tobytes())


def _unscaled(values: NDArray[Any], disk: np.dtype[Any], slope: float, inter: float) -> NDArray[Any]:
    """Slope and intercept undone; rounded and clipped to what integers on disk hold."""
    raw = values.astype(np.float64)
    raw -= inter
    raw /= slope
    if disk.kind != "f":
        limits = np.iinfo(disk)
        high = limits.max if disk.itemsize < 8 else np.nextafter(float(limits.max), 0)
        np.clip(np.rint(raw, out=raw), limits.min, high, out=raw)
    return raw
