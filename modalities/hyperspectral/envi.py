"""ENVI images: a raw file and the text header beside it, which is kept to the letter.

The package ``spectral`` reads ENVI too, but its headers come back reworded (case of the names, lists, comments), it
takes neither signed bytes nor what lies before a header offset, and it does not see that a file is too short before it
maps it. A header is a few lines of ``name = value``, so this module reads those and maps the samples with NumPy; the
tests hold it against ``spectral``.
"""

from pathlib import Path
from typing import Any

import numpy as np

from liveaction.errors import FormatError, ShapeError
from liveaction.files import atomic_path
from liveaction.mapped import converted, pieces
from liveaction.modalities.hyperspectral.cube import Bands, Cube, nanometres, pack_bytes, unpack_bytes

SUFFIXES = (".hdr", ".img", ".raw", ".dat", ".bil", ".bip", ".bsq")
DTYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
INTERLEAVES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}  # order on disk of band, y, x
_ENDINGS = ["", *SUFFIXES[1:], *(suffix.upper() for suffix in SUFFIXES[1:])]
_LONGEST_LEAD = 1 << 20  # bytes before the samples, which are kept in the stream; headers of other formats are shorter


def is_envi_header(path: Path) -> bool:
    """Whether a file is named ``.hdr`` and begins as ENVI headers do."""
    if path.suffix.lower() != ".hdr" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"ENVI"


def header_of(path: Path) -> Path | None:
    """The header that ``path`` is, or that lies beside it; None where there is none."""
    if path.suffix.lower() == ".hdr":
        return path
    names = (path.name + ".hdr", path.stem + ".hdr", path.name + ".HDR", path.stem + ".HDR")
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)


def data_of(header: Path) -> Path:
    """The one raw file beside a header: its name without ``.hdr``, or with another suffix in its place.

    Raises:
        FormatError: there is none, or more than one.
    """
    endings = _ENDINGS
    found = [header.with_name(header.stem + ending) for ending in endings]
    found = [path for path in found if path.is_file()]
    if len(found) != 1:
        got = ", ".join(path.name for path in found) or "none"
        way = "name the one that is meant" if found else "copy it there"
        raise FormatError(
            f"{header}: expected one raw file beside it ({header.stem}{', '.join(endings[:7])}), got {got}; {way}"
        )
    return found[0]


def parse_header(text: str, path: Path) -> dict[str, str]:
    """Fields of a header as written, names in lower case; lists keep their braces.

    Raises:
        FormatError: no ENVI header, a list without an end, a field that stands twice.
    """
    lines = text.splitlines()
    if not lines or not lines[0].startswith("ENVI"):
        raise FormatError(f"{path}: expected an ENVI header, which begins with 'ENVI', got {text[:20]!r}")
    fields: dict[str, str] = {}
    rest = iter(line for line in lines[1:] if not line.startswith(";"))
    for line in rest:
        name, equals, value = line.partition("=")
        name, value = name.strip().lower(), value.strip()
        if not equals:
            continue
        while value.startswith("{") and "}" not in value:
            following = next(rest, None)
            if following is None:
                raise FormatError(
                    f"{path}: expected a '}}' that ends the field {name!r}, got none; the file is cut short"
                )
            value += "\n" + following.strip()
        if name in fields:
            raise FormatError(f"{path}: expected every field once, got {name!r} twice; take one out")
        fields[name] = value
    return fields


def listed(fields: dict[str, str], name: str) -> list[str]:
    """Entries of a list field; empty where it is not there."""
    return [part.strip() for part in fields.get(name, "").strip("{}").split(",") if part.strip()]


def _number(fields: dict[str, str], name: str, path: Path, least: int, default: int | None = None) -> int:
    text = fields.get(name)
    if text is None and default is not None:
        return default
    if text is None or not (text.isdecimal() and len(text) < 20) or int(text) < least:
        got = "no such field" if text is None else repr(text)
        raise FormatError(f"{path}: expected a whole number of at least {least} in the field {name!r}, got {got}")
    return int(text)


class EnviRaster:
    """What a header says of its raw file.

    Raises:
        FormatError: a field is missing or not understood, or the image is complex, compressed or framed.
    """

    def __init__(self, fields: dict[str, str], path: Path) -> None:
        self.shape = tuple(_number(fields, name, path, 1) for name in ("bands", "lines", "samples"))
        self.offset = _number(fields, "header offset", path, 0, 0)
        kind, order = _number(fields, "data type", path, 0), _number(fields, "byte order", path, 0, 0)
        if kind not in DTYPES or order > 1:
            raise FormatError(
                f"{path}: expected a data type among {', '.join(map(str, DTYPES))} (real numbers) and byte order 0 or "
                f"1, got {kind} and {order}; convert the source, for example its magnitude"
            )
        self.dtype = np.dtype("<>"[order] + DTYPES[kind])
        interleave = fields.get("interleave", "").lower()
        if interleave not in INTERLEAVES:
            raise FormatError(f"{path}: expected interleave bsq, bil or bip, got {fields.get('interleave')!r}")
        self.order = INTERLEAVES[interleave]
        for name in ("file compression", "major frame offsets", "minor frame offsets"):
            if any(part not in {"0", "0.0"} for part in listed(fields, name)):
                raise FormatError(f"{path}: expected {name!r} 0, got {fields[name]!r}; export the image without")
        if "library" in fields.get("file type", "").lower():
            raise FormatError(f"{path}: expected an image, got file type {fields['file type']!r}; name an image")

    @property
    def bytes(self) -> int:
        """Length of the raw file."""
        return self.offset + int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


def read_envi(path: Path) -> Cube:
    """Read an image.

    Args:
        path: the header, or its raw file.

    Returns:
        The image; metadata hold the header (deflated, base64), what lies before the header offset, and the raw file's
        ending. ``byte order`` and ``header offset`` are 0 where the header does not say.

    Raises:
        FormatError: one of the two is missing, damaged, of another size, or not understood.
    """
    header = header_of(path)
    if header is None:
        raise FormatError(f"{path}: expected an ENVI header {path.stem + '.hdr'!r} beside it, got none; copy it there")
    try:
        written = header.read_bytes()
        data = path if path != header else data_of(header)
        size = data.stat().st_size
    except OSError as error:
        raise FormatError(f"{path}: expected a readable ENVI header and its raw file, got {error.strerror}") from error
    text = _decode(written)
    fields = parse_header(text, header)
    raster = EnviRaster(fields, header)
    if size != raster.bytes:
        raise FormatError(
            f"{data}: expected {raster.bytes} bytes as its header says, got {size}; "
            + ("the file is cut short" if size < raster.bytes else "the header belongs to another file")
        )
    if raster.offset > _LONGEST_LEAD:
        raise FormatError(f"{data}: expected a header offset of at most {_LONGEST_LEAD}, got {raster.offset}")
    metadata = {"source": "envi", "header": pack_bytes(written), "ending": _ending(header, data)}
    if raster.offset:
        with data.open("rb") as file:
            metadata["lead"] = pack_bytes(file.read(raster.offset))
    on_disk = tuple(raster.shape[axis] for axis in raster.order)
    mapped = np.memmap(data, raster.dtype, "r", raster.offset, on_disk)
    values = converted(mapped.transpose(np.argsort(raster.order)), raster.dtype.newbyteorder("="))
    describe_envi(metadata, header)
    return Cube(values, metadata, _no_data(fields, header))


def describe_envi(metadata: dict[str, Any], path: Path) -> Bands:
    """Wavelengths and bad bands of the header in ``metadata``.

    Raises:
        FormatError: a list is not of numbers, one per band.
    """
    fields = parse_header(_decode(unpack_bytes(metadata.get("header"), path)), path)
    count = _number(fields, "bands", path, 1)
    lists = {}
    for name in ("wavelength", "bbl"):
        try:
            lists[name] = [float(part) for part in listed(fields, name)]
        except ValueError as error:
            raise FormatError(f"{path}: expected numbers in the field {name!r}, got {error}; correct it") from error
        if len(lists[name]) not in (0, count):
            raise FormatError(
                f"{path}: expected {count} numbers in the field {name!r}, one per band, got {len(lists[name])}; "
                "correct it"
            )
    centres = nanometres(lists["wavelength"], fields.get("wavelength units", "")) or None
    bad = np.array(lists["bbl"]) == 0
    return Bands(None if centres is None else np.array(centres), bad if bad.any() else None)


def write_envi(cube: Cube, path: Path) -> None:
    """Write header and raw file, interleaved and ordered as the source; both new, or both the old ones.

    Args:
        cube: with the metadata of :func:`read_envi`, or of a phantom, which gets a new header (BIL, little-endian).
        path: the header (``.hdr``), or the raw file.

    Raises:
        FormatError: as :func:`envi_pair`, or no such metadata.
        ShapeError: the values are not of the header's shape.
    """
    header, data = envi_pair(cube.metadata, path)
    kept = cube.metadata.get("source") == "envi"
    written = unpack_bytes(cube.metadata.get("header"), path) if kept else _new_header(cube)
    raster = EnviRaster(parse_header(_decode(written), path), path)
    if raster.shape != cube.values.shape:
        raise ShapeError(f"{path}: expected values {raster.shape} as the header says, got {cube.values.shape}")
    lead = unpack_bytes(cube.metadata.get("lead"), path) if raster.offset else b""
    with atomic_path(data) as raw, atomic_path(header) as text:
        with raw.open("wb") as file:
            file.write(lead)
            stored = cube.values.transpose(raster.order)
            ready = stored.flags.c_contiguous and stored.dtype == raster.dtype
            for piece in pieces(stored if ready else converted(stored, raster.dtype)):
                file.write(piece.data)
        text.write_bytes(written)


def envi_pair(metadata: dict[str, Any], path: Path) -> tuple[Path, Path]:
    """Header and raw file to write; the raw file ends as the source's did unless ``path`` says otherwise.

    Raises:
        FormatError: another suffix, or only one of the two files is there already.
    """
    header, data = _pair(metadata, path)
    if header.exists() != data.exists():
        there, other = (header, data) if header.exists() else (data, header)
        raise FormatError(
            f"{path}: expected both {header.name!r} and {data.name!r} to be new, or to replace both, got "
            f"{there.name!r} without {other.name!r}; take another name"
        )
    return header, data


def _pair(metadata: dict[str, Any], path: Path) -> tuple[Path, Path]:
    ending = metadata.get("ending", ".img")
    if ending not in _ENDINGS:  # another one would not be found by its header, or be a file of another kind
        ending = ".img"
    if path.suffix.lower() not in (*SUFFIXES, ""):
        raise FormatError(f"{path}: expected a name ending in {', '.join(SUFFIXES)} or nothing, got {path.name!r}")
    if path.suffix.lower() == ".hdr":
        return path, path.with_name(path.stem + ending)
    return path.with_name((path.name if not ending else path.stem) + ".hdr"), path


def _ending(header: Path, data: Path) -> str:
    """What a raw file has in place of ``.hdr``."""
    return data.name[len(header.stem) :] if data.name.startswith(header.stem) else data.suffix


def _no_data(fields: dict[str, str], path: Path) -> float | None:
    text = fields.get("data ignore value")
    try:
        return None if text is None else float(text)
    except ValueError as error:
        raise FormatError(f"{path}: expected a number in the field 'data ignore value', got {text!r}") from error


def _decode(written: bytes) -> str:
    """Text of a header; what is not UTF-8 is Latin-1, where every byte is a character."""
    try:
        return written.decode("utf-8")
    except UnicodeDecodeError:
        return written.decode("latin-1")


def _new_header(cube: Cube) -> bytes:
    """A header for what has none: a phantom, a region."""
    kinds = {np.dtype(kind): number for number, kind in DTYPES.items()}
    bands, lines, samples = cube.values.shape
    fields: dict[str, Any] = {
        "description": "{by liveaction}", "samples": samples, "lines": lines, "bands": bands, "header offset": 0,
        "file type": "ENVI Standard", "data type": kinds[cube.values.dtype], "interleave": "bil", "byte order": 0,
    }  # fmt: skip
    if cube.no_data is not None:
        fields["data ignore value"] = f"{cube.no_data:.17g}"
    if cube.metadata.get("wavelengths"):
        fields["wavelength units"] = "Nanometers"
        fields["wavelength"] = "{" + ", ".join(f"{w:.17g}" for w in cube.metadata["wavelengths"]) + "}"
    if cube.metadata.get("bad_bands"):
        fields["bbl"] = "{" + ", ".join(str(1 - int(bad)) for bad in cube.metadata["bad_bands"]) + "}"
    return "".join(["ENVI\n", *(f"{name} = {value}\n" for name, value in fields.items())]).encode()
