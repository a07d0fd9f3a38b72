"""ENVI images: a raw file and the text header beside it, which is kept to the letter.

The package ``spectral`` reads ENVI too, but its headers come back reworded (case of the names, lists, comments), it
takes neither signed bytes nor what lies before a header offset, and it does not see that a file is too short before it
maps it. A header is a few lines of ``name = value``, so this module reads those and maps the samples with NumPy; the
tests hold it against ``spectral``.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from liveaction.errors import FormatError, LiveactionWarning, ShapeError
from liveaction.files import atomic_path
from liveaction.mapped import converted, pieces
from liveaction.modalities.hyperspectral.cube import (
    LONGEST_TEXT,
    Bands,
    Cube,
    nanometres,
    pack_bytes,
    pack_header,
    unpack_bytes,
)
from liveaction.modalities.hyperspectral.envi_header import (
    DTYPES,
    EnviRaster,
    Range,
    crop_header,
    decode,
    encoding_of,
    listed,
    number,
    parse_header,
    plain_header,
    scale_header,
)

SUFFIXES = (".hdr", ".img", ".raw", ".dat", ".bil", ".bip", ".bsq")
_ENDINGS = ["", *SUFFIXES[1:], *(suffix.upper() for suffix in SUFFIXES[1:])]
_LONGEST_LEAD = 1 << 20  # bytes before the samples, which are kept in the stream; headers of other formats are shorter


def is_envi_header(path: Path) -> bool:
    """Whether a file is named ``.hdr`` and begins as ENVI headers do."""
    if path.suffix.lower() != ".hdr" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(4) == b"ENVI"
    except OSError:
        return True  # reading it says what is wrong


def header_of(path: Path) -> Path | None:
    """The header that ``path`` is, or that lies beside it; None where there is none."""
    if path.suffix.lower() == ".hdr":
        return path
    names = (path.name + ".hdr", path.stem + ".hdr", path.name + ".HDR", path.stem + ".HDR")
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)


def pair_of(path: Path) -> tuple[Path, Path]:
    """The header and the raw file that ``path``, one of the two, belongs to.

    Raises:
        FormatError: one of them is not there, the header is not understood, or several files may be the raw one.
    """
    header = header_of(path)
    if header is None:
        raise FormatError(f"{path}: expected an ENVI header {path.stem + '.hdr'!r} beside it, got none; copy it there")
    if path != header:
        return header, path
    return header, _data_of(header, EnviRaster(parse_header(decode(_content(header)), header), header).bytes)


def _data_of(header: Path, size: int) -> Path:
    """The one file with the name of a header, and any suffix or none in place of ``.hdr``, that is of the right size.

    Raises:
        FormatError: there is none, or more than one. A single file with a usual suffix is taken in any size.
    """
    beside = [path for path in sorted(header.parent.iterdir()) if header.stem in (path.name, path.stem)]
    there = {path: path.stat().st_size for path in beside if path.suffix.lower() != ".hdr" and path.is_file()}
    usual = [path for path in there if path.name[len(header.stem) :] in _ENDINGS]
    fitting = [path for path in there if there[path] == size]
    if len(fitting) == 1:
        return fitting[0]
    if len(usual) == 1 and not fitting:
        return usual[0]
    got = ", ".join(f"{path.name!r} of {there[path]}" for path in (fitting or there))
    way = "name the one that is meant" if fitting else "copy it there"
    raise FormatError(
        f"{header}: expected one raw file of {size} bytes beside it, {header.stem!r} with a suffix such as .img or "
        f"none, got {got or 'none'}; {way}"
    )


def _content(header: Path) -> bytes:
    try:
        with header.open("rb") as file:
            written = file.read(LONGEST_TEXT + 1)
    except OSError as error:
        raise FormatError(f"{header}: expected a readable ENVI header, got {error.strerror}") from error
    if len(written) > LONGEST_TEXT:
        raise FormatError(f"{header}: expected an ENVI header of at most {LONGEST_TEXT} bytes, got a longer file")
    return written


def read_envi(path: Path) -> Cube:
    """Read an image.

    Args:
        path: the header, or its raw file.

    Returns:
        The image; metadata hold the header (as it is, or deflated, base64, where it is not ASCII), what lies before
        the header offset, and the raw file's ending. ``byte order`` and ``header offset`` are 0 where the header does
        not say.

    Raises:
        FormatError: one of the two is missing, damaged, of another size, or not understood.
    """
    try:
        header, data = pair_of(path)
        written = _content(header)
        fields = parse_header(decode(written), header)
        raster = EnviRaster(fields, header)
        with data.open("rb") as file:
            size, lead = data.stat().st_size, file.read(min(raster.offset, _LONGEST_LEAD))
    except OSError as error:
        raise FormatError(f"{path}: expected a readable ENVI header and its raw file, got {error.strerror}") from error
    if size != raster.bytes:
        raise FormatError(
            f"{data}: expected {raster.bytes} bytes as its header says, got {size}; "
            + ("the file is cut short" if size < raster.bytes else "the header belongs to another file")
        )
    if raster.offset > _LONGEST_LEAD:
        raise FormatError(f"{data}: expected a header offset of at most {_LONGEST_LEAD}, got {raster.offset}")
    metadata = {"source": "envi", "header": pack_header(written), "ending": _ending(header, data)}
    if raster.offset:
        metadata["lead"] = pack_bytes(lead)
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
    fields = parse_header(decode(unpack_bytes(metadata.get("header"), path)), path)
    count = number(fields, "bands", path, 1)
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


def crop_envi(metadata: dict[str, Any], box: tuple[Range, Range, Range], path: Path) -> dict[str, Any]:
    """Metadata of a region; bytes before the samples describe the whole, and are left out, which warns.

    Args:
        metadata: of the whole, as :func:`read_envi` gives them.
        box: half-open ranges of bands, lines and samples.
        path: stands first in messages.
    """
    written = unpack_bytes(metadata.get("header"), path)
    text = crop_header(decode(written), box, path)
    rest = {name: value for name, value in metadata.items() if name != "lead"}
    if "lead" in metadata:
        lead = len(unpack_bytes(metadata["lead"], path))
        warnings.warn(
            f"{path}: the {lead} bytes before the samples left out for a region", LiveactionWarning, stacklevel=3
        )
    return {**rest, "header": pack_header(text.encode(encoding_of(written)))}


def scale_envi(
    metadata: dict[str, Any], factors: tuple[int, int], corner: tuple[float, float], extents: tuple[int, int]
) -> dict[str, Any]:
    """Metadata of every so many lines and samples, ``extents`` in all; ``corner`` is where the first one's lies."""
    path = Path("scale")
    written = unpack_bytes(metadata.get("header"), path)
    text = scale_header(decode(written), factors, corner, extents, path)
    rest = {name: value for name, value in metadata.items() if name != "lead"}
    return {**rest, "header": pack_header(text.encode(encoding_of(written)))}


def strip_envi(metadata: dict[str, Any], path: Path) -> dict[str, Any]:
    """Metadata whose header says how samples are stored, where they lie and what they are, and no more."""
    written = unpack_bytes(metadata.get("header"), path)
    text = plain_header(decode(written), path)
    rest = {name: value for name, value in metadata.items() if name != "lead"}
    return {**rest, "header": pack_header(text.encode(encoding_of(written)))}


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
    raster = EnviRaster(parse_header(decode(written), path), path)
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


def _new_header(cube: Cube) -> bytes:
    """A header for what has none: a phantom."""
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
