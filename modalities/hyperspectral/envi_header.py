"""Headers of ENVI images: their fields, and those of a region, with all else to the letter."""

import math
import re
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np

from liveaction.errors import FormatError, LiveactionWarning

DTYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
INTERLEAVES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}  # order on disk of band, y, x
_NO_IMAGES = ("library", "meta file", "mosaic")  # words of file types: spectra, and images made of other files
_BY_BAND = (
    "wavelength", "fwhm", "bbl", "band names", "data gain values", "data offset values", "data reflectance gain values",
    "data reflectance offset values",
)  # fmt: skip
_NOT_BY_BAND = (
    "description", "default bands", "default stretch", "map info", "projection info", "coordinate system string",
    "pixel size", "geo points", "rpc info",
)  # fmt: skip
_PLAIN = {
    *("samples", "lines", "bands", "data type", "interleave", "byte order", "file type", "data ignore value"),
    *("wavelength", "wavelength units", "fwhm", "bbl", "x start", "y start", "map info", "projection info"),
    *("coordinate system string", "pixel size", "geo points", "rpc info", "reflectance scale factor"),
    *("data gain values", "data offset values", "data reflectance gain values", "data reflectance offset values"),
}
_DECIMAL = re.compile(r"[+-]?(\d{1,30}\.?\d{0,30}|\.\d{1,30})([eE][+-]?\d{1,2})?")  # not 1e999999999

Range = tuple[int, int]


def parse_header(text: str, path: Path) -> dict[str, str]:
    """Fields of a header as written, names in lower case; lists keep their braces.

    Raises:
        FormatError: no ENVI header, a list without an end, a field that stands twice.
    """
    lines = text.splitlines()
    if not lines or not lines[0].startswith("ENVI"):
        raise FormatError(f"{path}: expected an ENVI header, which begins with 'ENVI', got {text[:20]!r}")
    fields: dict[str, str] = {}
    for name, value, _ in entries(lines, path):
        if name in fields:
            raise FormatError(f"{path}: expected every field once, got {name!r} twice; take one out")
        fields[name] = value
    return fields


def entries(lines: list[str], path: Path) -> Iterator[tuple[str, str, range]]:
    """Name in lower case, value, and numbers of the lines of every field of a header.

    Raises:
        FormatError: a list without an end.
    """
    rest = iter((i, line) for i, line in enumerate(lines) if i and not line.startswith(";"))
    for first, line in rest:
        name, equals, value = line.partition("=")
        name, value, last = name.strip().lower(), value.strip(), first
        if not equals:
            continue
        while value.startswith("{") and "}" not in value:
            last, following = next(rest, (last, None))
            if following is None:
                raise FormatError(
                    f"{path}: expected a '}}' that ends the field {name!r}, got none; the file is cut short"
                )
            value += "\n" + following.strip()
        yield name, value, range(first, last + 1)


def plain_header(text: str, path: Path) -> str:
    """A header with the fields that say how samples are stored, where they lie and what they are, and no others."""
    fields = parse_header(text, path)
    kept = {name: value for name, value in fields.items() if name in _PLAIN} | {"header offset": "0"}
    return "".join(["ENVI\n", *(f"{name} = {value}\n" for name, value in kept.items())])


def listed(fields: dict[str, str], name: str) -> list[str]:
    """Entries of a list field; empty where it is not there."""
    return [part.strip() for part in fields.get(name, "").strip("{}").split(",") if part.strip()]


def number(fields: dict[str, str], name: str, path: Path, least: int, default: int | None = None) -> int:
    """A field that is a whole number of at least ``least``.

    Raises:
        FormatError: it is not there and has no default, or is something else.
    """
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
        self._check_kind(fields, path)
        self.shape = tuple(number(fields, name, path, 1) for name in ("bands", "lines", "samples"))
        self.offset = number(fields, "header offset", path, 0, 0)
        kind, order = number(fields, "data type", path, 0), number(fields, "byte order", path, 0, 0)
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

    @staticmethod
    def _check_kind(fields: dict[str, str], path: Path) -> None:
        kind = fields.get("file type", "").lower()
        if any(word in kind for word in _NO_IMAGES):
            raise FormatError(f"{path}: expected an image, got file type {fields['file type']!r}; name an image")
        if "classification" in kind:
            raise FormatError(
                f"{path}: expected measurements, got file type {fields['file type']!r}, whose class numbers would come "
                "back mixed up; keep it as it is"
            )

    @property
    def bytes(self) -> int:
        """Length of the raw file."""
        return self.offset + int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


def decode(written: bytes) -> str:
    """Text of a header; what is not UTF-8 is Latin-1, where every byte is a character."""
    return written.decode(encoding_of(written))


def encoding_of(written: bytes) -> str:
    """How the text of a header is coded."""
    try:
        written.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def crop_header(text: str, box: tuple[Range, Range, Range], path: Path) -> str:
    """The header of a region: sizes, place and lists by band are those of the region, all else stays to the letter.

    Args:
        text: the header of the whole.
        box: half-open ranges of bands, lines and samples.
        path: stands first in messages. Fields that cannot be moved are left out, which warns.
    """
    fields = parse_header(text, path)
    bands, (y, x) = box[0], (box[1][0], box[2][0])
    changes: dict[str, str | None] = {
        name: str(high - low) for name, (low, high) in zip(("bands", "lines", "samples"), box, strict=True)
    }
    if "header offset" in fields:
        changes["header offset"] = "0"
    for name, moved in (
        ("x start", _added(fields.get("x start"), x)), ("y start", _added(fields.get("y start"), y)),
        ("map info", _map_info(listed(fields, "map info"), (1, 1), (x, y))),
        ("geo points", _geo_points(listed(fields, "geo points"), x, y)), ("rpc info", None),
    ):  # fmt: skip
        if name in fields and (x or y):
            changes[name] = moved
    if bands != (0, number(fields, "bands", path, 1)):
        changes |= _by_band(fields, bands, path)
    return _rewritten(text, changes, path, "a region")


def scale_header(
    text: str, factors: tuple[int, int], corner: tuple[float, float], extents: tuple[int, int], path: Path
) -> str:
    """The header of every so many lines and samples: sizes, places and sizes of pixels are theirs.

    Args:
        text: the header of the whole.
        factors: lines, and samples, of the whole for one.
        corner: where the corner of the first pixel lies, in lines and samples of the whole.
        extents: lines and samples that are there.
        path: stands first in messages. Fields that cannot be scaled are left out, which warns.
    """
    fields = parse_header(text, path)
    (fy, fx), (y, x) = factors, corner
    changes: dict[str, str | None] = {"lines": str(extents[0]), "samples": str(extents[1])}
    if "header offset" in fields:
        changes["header offset"] = "0"
    for name, scaled in (
        ("map info", _map_info(listed(fields, "map info"), (fx, fy), (x, y))),
        ("geo points", _geo_points_scaled(listed(fields, "geo points"), (fx, fy), (x, y))),
        ("pixel size", _pixel_size(listed(fields, "pixel size"), (fx, fy))),
        ("x start", None), ("y start", None), ("rpc info", None),
    ):  # fmt: skip
        if name in fields:
            changes[name] = scaled
    return _rewritten(text, changes, path, "a scale")


def _rewritten(text: str, changes: dict[str, str | None], path: Path, what: str) -> str:
    """A header with other values of some fields; without those that are None, which warns."""
    lost = [name for name, value in changes.items() if value is None]
    if lost:
        warnings.warn(f"{path}: {', '.join(lost)} of the whole left out for {what}", LiveactionWarning, stacklevel=3)
    lines = text.splitlines(keepends=True)
    for name, _, place in reversed(list(entries(text.splitlines(), path))):
        if name in changes:
            value, end = changes[name], lines[place[-1]][len(lines[place[-1]].splitlines()[0]) :]
            written = lines[place[0]].partition("=")[0].rstrip()
            lines[place.start : place.stop] = [] if value is None else [f"{written} = {value}{end}"]
    return "".join(lines)


def _by_band(fields: dict[str, str], bands: Range, path: Path) -> dict[str, str | None]:
    """Lists with an entry for each band, cut; None for those that do not hold."""
    low, high = bands
    count, changes = number(fields, "bands", path, 1), dict[str, str | None]()
    for name, text in fields.items():
        if name in _NOT_BY_BAND or not (text.startswith("{") or name in _BY_BAND):
            continue
        each = [part.strip() for part in text.strip("{}").split(",")]
        each = each[:-1] if len(each) == count + 1 and not each[-1] else each
        if len(each) == count:
            changes[name] = "{" + ", ".join(each[low:high]) + "}"
        elif name in _BY_BAND and any(each):
            changes[name] = None
    shown = listed(fields, "default bands")
    if shown:
        moved = [int(text) - low for text in shown if text.isdecimal() and len(text) < 10]
        whole = len(moved) == len(shown) and all(1 <= band <= high - low for band in moved)
        changes["default bands"] = "{" + ", ".join(map(str, moved)) + "}" if whole else None
    return changes


def _added(text: str | None, step: int) -> str | None:
    """A decimal number, moved; None for anything else."""
    text = (text or "").strip()
    return format(Decimal(text) + step, "f") if _DECIMAL.fullmatch(text) else None


def _map_info(parts: list[str], factors: tuple[int, int], corner: tuple[float, float]) -> str | None:
    """``map info`` of every so many pixels along x and y, the first one's corner ``corner`` pixels further on.

    Entries are projection, pixel x and y, easting, northing, width and height of a pixel, and others, among them a
    rotation in degrees, counterclockwise, as GDAL has it. The pixel named stays; with larger ones, its distance from
    pixel 1.
    """
    if len(parts) < 7 or not all(_DECIMAL.fullmatch(text) for text in parts[3:7]):
        return None
    east, north, wide, high = map(Decimal, parts[3:7])
    turns = [part.partition("=")[2].strip() for part in parts if part.lower().replace(" ", "").startswith("rotation=")]
    if any(not _DECIMAL.fullmatch(text) for text in turns):
        return None
    angle = math.radians(float(turns[0])) if turns else 0.0
    cos, sin = (Decimal(1), Decimal(0)) if not angle else (Decimal(math.cos(angle)), Decimal(math.sin(angle)))
    x, y = map(Decimal, corner)
    east += wide * (cos * x + sin * y)
    north += high * (sin * x - cos * y)
    place = [format(round(number, 12) if angle else number, "f") for number in (east, north)]
    pixels, sizes = parts[1:3], parts[5:7]
    if max(factors) > 1:
        if not all(_DECIMAL.fullmatch(text) for text in pixels):
            return None
        pixels, sizes = [_counted(text, f, 0) for text, f in zip(pixels, factors, strict=True)], _times(sizes, factors)
    return "{" + ", ".join([parts[0], *pixels, *place, *sizes, *parts[7:]]) + "}"


def _geo_points_scaled(parts: list[str], factors: tuple[int, int], corner: tuple[float, float]) -> str | None:
    if not parts or len(parts) % 4 or not all(_DECIMAL.fullmatch(text) for text in parts):
        return None
    scaled = [_counted(text, factors[i % 4], corner[i % 4]) if i % 4 < 2 else text for i, text in enumerate(parts)]
    return "{" + ", ".join(scaled) + "}"


def _pixel_size(parts: list[str], factors: tuple[int, int]) -> str | None:
    if len(parts) < 2 or not all(_DECIMAL.fullmatch(text) for text in parts[:2]):
        return None
    return "{" + ", ".join([*_times(parts[:2], factors), *parts[2:]]) + "}"


def _counted(text: str, factor: int, corner: float) -> str:
    """A place among the pixels of the whole, counted from 1 at the first one's corner, among the larger ones."""
    return format((Decimal(text) - 1 - Decimal(corner)) / factor + 1, "f")


def _times(sizes: list[str], factors: tuple[int, int]) -> list[str]:
    return [format(Decimal(text) * f, "f") for text, f in zip(sizes, factors, strict=True)]


def _geo_points(parts: list[str], x: int, y: int) -> str | None:
    """Pixels of the file and what latitude and longitude they have: x, y, latitude, longitude, and so on."""
    if not parts or len(parts) % 4 or not all(_DECIMAL.fullmatch(text) for text in parts):
        return None
    moved = [(_added(text, (-x, -y)[i % 4]) or "") if i % 4 < 2 else text for i, text in enumerate(parts)]
    return "{" + ", ".join(moved) + "}"
