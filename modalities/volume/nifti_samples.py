"""Samples of NIfTI files: read whole or mapped, streamed to and from the file where they are large."""

from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from liveaction.mapped import converted, empty_values, is_large, parts, pieces, release_pages
from liveaction.modalities.volume.nifti_header import Layout, open_bytes

BLOCK = 1 << 20
"""Samples that are read at a time: some MiB."""

_BEHIND = 1 << 26  # bytes behind the samples that are read to reach the checksum


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


def read_samples(path: Path, layout: Layout) -> NDArray[Any]:
    """The scaled samples in their settled dtype, native byte order.

    Small ones are in C order. Of large ones, which with the float64 copy that scaling makes would take more memory than
    they should, the first axis is the fastest as in the file: a file that is not compressed and holds just these values
    is mapped, all else is streamed into a temporary file. The checksum of a compressed file is verified.

    Raises:
        OSError, EOFError, ValueError, zlib.error: the file is cut short or damaged.
    """
    disk, scaling = layout.disk.newbyteorder("="), (layout.slope, layout.inter)
    if not is_large(layout.shape, disk if scaling == (1, 0) else np.dtype(np.float64)):
        whole = list(_scaled(path, layout))
        dtype = settled_dtype(disk, *scaling, iter(whole))
        flat = np.concatenate([piece.astype(dtype, copy=False) for piece in whole])
        return np.ascontiguousarray(flat.reshape(layout.shape, order="F"))
    dtype = settled_dtype(disk, *scaling, _scaled(path, layout))
    if scaling == (1, 0) and layout.disk == dtype and path.suffix.lower() != ".gz":
        return np.memmap(path, dtype, "r", layout.offset, layout.shape, "F")
    values, at = empty_values(layout.shape[::-1], dtype.str), 0
    flat = values.reshape(-1)
    for piece in _scaled(path, layout):
        flat[at : at + piece.size] = piece
        at += piece.size
        release_pages(values)
    return values.T


def goes_below(path: Path, layout: Layout, limit: float) -> bool:
    """Whether a scaled sample is less than ``limit``; reads up to the first one that is, block by block.

    Raises:
        OSError, EOFError, ValueError, zlib.error: the file is cut short or damaged.
    """
    with closing(_scaled(path, layout)) as whole:
        return any(bool((piece < limit).any()) for piece in whole)


def _scaled(path: Path, layout: Layout) -> Generator[NDArray[Any], None, None]:
    """The samples in the order of the file, slope and intercept applied."""
    from nibabel.volumeutils import apply_read_scaling

    disk, left = layout.disk, int(np.prod(layout.shape, dtype=object))
    with open_bytes(path) as file:
        file.seek(layout.offset)
        while left:
            size = min(left, BLOCK)
            data = file.read(size * disk.itemsize)
            if len(data) != size * disk.itemsize:
                raise EOFError(f"the file ends {left * disk.itemsize - len(data)} bytes too early")
            raw = np.frombuffer(data, disk)
            yield apply_read_scaling(raw, np.asanyarray(layout.slope), np.asanyarray(layout.inter))
            left -= size
        if path.suffix.lower() == ".gz":
            _read_on(file)


def _read_on(file: BinaryIO) -> None:
    """Read a compressed file to its end, where its checksum is compared."""
    left = _BEHIND
    while left > 0 and (data := file.read(BLOCK)):
        left -= len(data)


def write_samples(
    header: Any, extensions: bytes, values: NDArray[Any], missing: tuple[NDArray[np.bool_] | None, float | None],
    path: Path,
) -> None:  # fmt: skip
    """Write a NIfTI file without a copy of the samples in memory where they are large.

    Args:
        header: with the extents of what is written; where the samples begin is set in it.
        extensions: what stands between header and samples; nothing for none.
        values: ``[X, Y, Z, ...]``, before slope and intercept are undone.
        missing: where no value was measured, and what stands there, or would be read as such; None for neither.
        path: ends in ``.nii`` or ``.nii.gz``.
    """
    from nibabel.openers import ImageOpener

    extensions = extensions or bytes(4)
    extensions += bytes(-(len(extensions) + int(header["sizeof_hdr"])) % 16)
    header["vox_offset"] = int(header["sizeof_hdr"]) + len(extensions)
    slope, inter = header.get_slope_inter()
    scaling = (1.0, 0.0) if slope is None else (float(slope), float(inter))
    stored = _stored(values, header.get_data_dtype(), scaling, missing)
    with ImageOpener(path, "wb") as file:
        for piece in chain([header.binaryblock, extensions], (part.tobytes() for part in pieces(stored.T.reshape(-1)))):
            file.write(piece)


def _stored(
    values: NDArray[Any], disk: np.dtype[Any], scaling: tuple[float, float],
    missing: tuple[NDArray[np.bool_] | None, float | None],
) -> NDArray[Any]:  # fmt: skip
    """The samples as they stand on disk, the first axis fastest."""
    same = values.dtype == disk.newbyteorder("=") and scaling == (1, 0)

    def undone(part: NDArray[Any]) -> NDArray[Any]:
        return part if same else _unscaled(part, disk, *scaling)

    lost, no_data = missing
    if no_data is None:
        as_is = same and values.dtype == disk and values.T.flags.c_contiguous
        return values if as_is else converted(values, disk, undone, fortran=True)
    mark = _unscaled(np.array([no_data]), disk, *scaling).astype(disk.newbyteorder("="))[0]
    step = _next(mark)
    room = empty_values(values.shape[::-1], disk.str).T
    for box in parts(values, room):
        gone = np.zeros((), bool) if lost is None else lost[box]
        part = undone(np.where(gone, values.dtype.type(0), values[box])).astype(disk)
        part[part == mark] = step
        room[box] = np.where(gone, mark, part)
    return room


def _next(mark: Any) -> Any:
    """The value beside ``mark`` in its dtype."""
    if mark.dtype.kind == "f":
        return np.nextafter(mark, mark.dtype.type(np.inf))
    return mark - 1 if mark == np.iinfo(mark.dtype).max else mark + 1


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
