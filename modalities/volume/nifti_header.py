"""The header of a NIfTI file: read and checked before its samples, kept as its own bytes, moved to a region."""

import base64
import binascii
import gzip
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.modalities.third_party import one_line, quiet

LONGEST_EXTENSIONS = 1 << 20
"""Bytes between header and samples that are kept; what is longer is left out, with a warning."""

_INFLATED = 1040  # bytes that one byte of deflate can stand for, and a little
_MAGIC = {348: (344, b"n+1\0"), 540: (4, b"n+2\0\r\n\x1a\n")}
_CIFTI = range(3000, 3100)
_LARGEST_SHORT = 2**15 - 1
_SHEAR = 1e-4  # cosine between axes; what is less is the rounding of a header
_OFFSETS, _ROWS = ("qoffset_x", "qoffset_y", "qoffset_z"), ("srow_x", "srow_y", "srow_z")
_PLAIN = (
    *("sizeof_hdr", "magic", "dim", "datatype", "bitpix", "pixdim", "scl_slope", "scl_inter", "xyzt_units"),
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", *_OFFSETS, *_ROWS),
)
_PLACING = ("source", "values_dtype", "affine", "spacing", "orientation", "unit", "repetition_time", "header_version")
_SHAPES = {3: "a volume [X, Y, Z]", 4: "a series of volumes [X, Y, Z, T]"}
_WAYS = {
    3: "split it into volumes, or take a recipe for series",
    4: "take a recipe for volumes, or stack it to a series",
}


class Layout(NamedTuple):
    """Where the samples lie in a file, and what scales them: slope 1 and intercept 0 where nothing does.

    ``header`` is nibabel's, ``extensions`` what stands between it and the samples, None where that is longer than
    ``LONGEST_EXTENSIONS``; ``disk`` is the dtype on disk; ``repairs`` are words for fields that nibabel changed.
    """

    header: Any
    extensions: bytes | None
    shape: tuple[int, ...]
    disk: np.dtype[Any]
    offset: int
    slope: float
    inter: float
    repairs: str = ""

    @property
    def end(self) -> int:
        """Of the samples, in bytes from the beginning."""
        return self.offset + int(np.prod(self.shape, dtype=object)) * self.disk.itemsize


def open_bytes(path: Path) -> BinaryIO:
    """A NIfTI file as it is once unpacked."""
    return cast(BinaryIO, gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def read_layout(path: Path, axes: int) -> Layout:
    """Header and layout of a file with so many axes of real numbers, which is long enough for them.

    Raises:
        FormatError: it is of another kind, has other axes or numbers, or its header declares more than it can hold.
        OSError, EOFError, ValueError, zlib.error, HeaderDataError: it is damaged.
    """
    with open_bytes(path) as file:
        data = file.read(max(_MAGIC))
        header = _parse(path, data)
        size = int(header["sizeof_hdr"])
        shape, disk = _shape(path, header, axes), header.get_data_dtype()
        if disk.kind not in "iuf" or disk.itemsize > 8:
            raise FormatError(
                f"{path}: expected real numbers of at most 64 bits, got {disk.name!r}; convert the source"
            )
        slope, inter = header.get_slope_inter()
        offset = header.get_data_offset() or size + 4
        scaling = (1.0, 0.0) if slope is None else (float(slope), float(inter))
        layout = Layout(header, b"", shape, disk, offset, *scaling)
        _check_length(path, layout)
        return layout._replace(extensions=_extensions(file, size, offset - size), repairs=_repairs(data, header))


def _parse(path: Path, data: bytes) -> Any:
    """The header in nibabel's class for it."""
    import nibabel

    size = next((n for n in _MAGIC if n in (int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big"))), 0)
    if len(data) < max(size, min(_MAGIC)):
        raise FormatError(f"{path}: expected a whole NIfTI file, got {len(data)} bytes; copy or convert it again")
    at, magic = _MAGIC.get(size, (0, b"?"))
    if data[at : at + len(magic)] != magic:
        pair = data[344:347] == b"ni1" or data[4:7] == b"ni2"
        packed = "a packed one, whose name ends in .nii.gz" if data.startswith(b"\x1f\x8b") else "other bytes"
        found = "the header of a pair (.hdr, .img)" if pair else "an Analyze header" if size == 348 else packed
        raise FormatError(f"{path}: expected a whole NIfTI file, header and samples in one, got {found}; convert it")
    kind = nibabel.Nifti1Header if size == 348 else nibabel.Nifti2Header
    header = kind(data[:size])
    if size == 540 and int(header["intent_code"]) in _CIFTI:
        raise FormatError(
            f"{path}: expected a volume, got CIFTI-2 (points of surfaces and parts of volumes); separate its volume "
            "first, as with wb_command -cifti-separate"
        )
    return header


def _repairs(data: bytes, header: Any) -> str:
    """What geometry a header says that none can be, and what nibabel takes it for."""
    said = type(header)(data[: int(header["sizeof_hdr"])], check=False)
    fields = {"pixdim": slice(1, 4), "qform_code": ..., "sform_code": ...}
    pairs = {key: (said[key][at].tolist(), header[key][at].tolist()) for key, at in fields.items()}
    return ", ".join(f"{key} {now!r} for {was!r}" for key, (was, now) in pairs.items() if repr(was) != repr(now))


def _shape(path: Path, header: Any, axes: int) -> tuple[int, ...]:
    """The extents, all of them at least one, those behind ``axes`` one."""
    rank = int(header["dim"][0])
    shape = tuple(int(n) for n in header["dim"][1 : rank + 1])
    if len(shape) < axes or any(n != 1 for n in shape[axes:]) or min(shape) < 1:
        counted = len(np.trim_zeros(np.array(shape) - 1, "b"))
        way = _WAYS[axes] if len(shape) >= 3 and counted <= 4 and min(shape) > 0 else "split or stack it into volumes"
        raise FormatError(f"{path}: expected {_SHAPES[axes]}, got shape {shape}; {way}")
    return shape


def _check_length(path: Path, layout: Layout) -> None:
    """Refuse what a header declares and a file cannot hold, before there is room for it."""
    size = path.stat().st_size
    packed = path.suffix.lower() == ".gz"
    if layout.offset < 0 or layout.end > size * (_INFLATED if packed else 1):
        raise FormatError(
            f"{path}: expected a whole NIfTI file of {layout.end} bytes as its header says, got {size}"
            f"{' packed ones' if packed else ''}; copy or convert the source again"
        )


def _extensions(file: BinaryIO, begin: int, length: int) -> bytes | None:
    """What stands between header and samples, nothing where that is zeros; None where it is too long to be kept."""
    if length > LONGEST_EXTENSIONS:
        return None
    file.seek(begin)
    found = file.read(max(length, 0))
    return found if any(found) else b""


def pack_header(layout: Layout) -> dict[str, Any]:
    """A header and its extensions as JSON for the metadata of a stream."""
    header = layout.header.copy()
    header["vox_offset"] = 0
    about = {
        "header_version": 2 if header["sizeof_hdr"] == 540 else 1,
        "header": base64.b64encode(header.binaryblock).decode("ascii"),
    }
    if layout.extensions:
        about["header_extensions"] = base64.b64encode(zlib.compress(layout.extensions, 9)).decode("ascii")
    return about


def unpack_header(metadata: dict[str, Any], path: Path) -> tuple[Any, bytes]:
    """Inverse of :func:`pack_header`: a header and its extensions.

    Raises:
        FormatError: the metadata hold none, or extensions longer than any that are kept.
    """
    import nibabel
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    kind = nibabel.Nifti2Header if metadata.get("header_version") == 2 else nibabel.Nifti1Header
    try:
        with quiet():
            header = kind(base64.b64decode(metadata["header"], validate=True))
        unpacker = zlib.decompressobj()
        packed = base64.b64decode(metadata.get("header_extensions", ""), validate=True)
        extensions = unpacker.decompress(packed, LONGEST_EXTENSIONS) if packed else b""
    except (binascii.Error, TypeError, ValueError, zlib.error, HeaderDataError, WrapStructError) as error:
        raise FormatError(f"{path}: expected metadata with a NIfTI header, got {one_line(error)}") from error
    if packed and (unpacker.unconsumed_tail or not unpacker.eof):
        raise FormatError(
            f"{path}: expected metadata with at most {LONGEST_EXTENSIONS} bytes of header extensions, got more, or a "
            "part of them; read the source again"
        )
    return header, extensions


def place_header(header: Any, shape: tuple[int, ...], affine: NDArray[Any], path: Path) -> None:
    """Give a header the extents and the affine of what is written, which may be a region; in place.

    Where the affine is the header's, begun at another voxel, qform and sform begin there, too, each in its own axes,
    with its code. Any other affine becomes the sform. Times of slices stay where all slices are there.

    Raises:
        FormatError: extents that this kind of header cannot hold.
    """
    rank, largest = len(shape), np.iinfo(header["dim"].dtype).max
    if max(shape) > largest:
        raise FormatError(f"{path}: expected at most {largest} samples per axis in this header, got shape {shape}")
    best = header.get_best_affine()
    if not np.array_equal(best, affine):
        qform, sform = _qform(header), header.get_sform(coded=True)[0]
        if np.array_equal(best[:3, :3], affine[:3, :3]) and (qform is not None or sform is not None):
            first = np.linalg.solve(best[:3, :3], affine[:3, 3] - best[:3, 3])
            for form, keys in ((qform, _OFFSETS), (sform, _ROWS)):
                for key, moved in zip(keys, () if form is None else form[:3, 3] + form[:3, :3] @ first, strict=False):
                    header[key][... if form is qform else 3] = moved
        else:
            header.set_sform(affine, code="aligned")
            header.set_qform(affine, code="unknown")
    axis = header.get_dim_info()[2]
    axis = 2 if axis is None else axis
    if header["dim"][axis + 1] != shape[axis]:
        for key in ("slice_code", "slice_start", "slice_end"):
            header[key] = 0
    header["dim"][1 : rank + 1] = shape


def _qform(header: Any) -> NDArray[Any] | None:
    """The qform, None where its code is 0, which it becomes where its quaternion is none."""
    try:
        form: NDArray[Any] | None = header.get_qform(coded=True)[0]
        return form
    except ValueError:
        header["qform_code"] = 0
        return None


def new_header(shape: tuple[int, ...], dtype: str, spacing: tuple[float, ...], affine: NDArray[Any]) -> Any:
    """A header around an affine in mm: the sform with code 1 (scanner), and the qform where the axes are square."""
    import nibabel

    header = (nibabel.Nifti1Header if max(shape) <= _LARGEST_SHORT else nibabel.Nifti2Header)()
    header.set_data_dtype(np.dtype(dtype))
    header.set_data_shape(shape)
    header.set_slope_inter(1, 0)
    header.set_xyzt_units("mm", "sec" if len(shape) > 3 else None)
    header.set_zooms(spacing)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    header.set_qform(affine, code=int(np.allclose(axes.T @ axes, np.eye(3), atol=_SHEAR)))
    header.set_sform(affine, code=1)
    return header


def move_time(metadata: dict[str, Any], first: int) -> dict[str, Any]:
    """Metadata of the part of a series that begins at volume ``first``: its header's time offset is that volume's."""
    if not first or "header" not in metadata:
        return metadata
    header, _ = unpack_header(metadata, Path("metadata"))
    header["toffset"] += first * header["pixdim"][4]
    return {**metadata, "header": base64.b64encode(header.binaryblock).decode("ascii")}


def scale_header(metadata: dict[str, Any], step: NDArray[np.float64]) -> dict[str, Any]:
    """Metadata whose header, where there is one, has qform and sform times ``step``, 4x4, and their spacings."""
    if "header" not in metadata:
        return metadata
    header, _ = unpack_header(metadata, Path("metadata"))
    qform, (sform, code) = _qform(header), header.get_sform(coded=True)
    header["pixdim"][1:4] *= np.diag(step)[:3]
    if qform is not None:
        header.set_qform(qform @ step, int(header["qform_code"]))
    if sform is not None:
        header.set_sform(sform @ step, int(code))
    for key in ("slice_code", "slice_start", "slice_end", "slice_duration"):
        header[key] = 0
    return {**metadata, "header": base64.b64encode(header.binaryblock).decode("ascii")}


def strip_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata without what only describes: of a NIfTI header geometry, dtype, scaling and units are left."""
    kept = {key: metadata[key] for key in _PLACING if key in metadata}
    if "header" in metadata:
        header, _ = unpack_header(metadata, Path("metadata"))
        plain = type(header)(endianness=header.endianness)
        for key in _PLAIN:
            plain[key] = header[key]
        kept["header"] = base64.b64encode(plain.binaryblock).decode("ascii")
    return kept
