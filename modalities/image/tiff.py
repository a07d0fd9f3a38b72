"""TIFF of 8 and 16 bits, and of float32, through tifffile; tags are kept."""

import base64
import json
import re
import warnings
from enum import IntEnum
from fractions import Fraction
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.modalities.array.formats import check_unpacked, warn_absent
from liveaction.modalities.third_party import decoded, one_line, quiet
from liveaction.signal import Signal

_UNITS = {1: "none", 2: "inch", 3: "cm"}
_TEXTS = {
    270: "Description", 305: "Software", 306: "Creation Time", 315: "Author", 33432: "Copyright",
    700: "XML:com.adobe.xmp",
}  # fmt: skip
_DESCRIPTION, _ORIENTATION, _PROFILE, _RESOLUTION, _PART_LENGTHS = 270, 274, 34675, (282, 283, 296), 50838
_LAYOUT = {  # how samples are stored, which the written file says anew
    254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 280, 281, 284, 292, 293, 317, 322, 323, 324, 325,
    338, 339, 340, 341, 347, *range(512, 522), 530, 531, 532, 32997, 32998,
}  # fmt: skip
_POSITIONS, _PIXEL_SCALE, _TIEPOINTS, _TRANSFORMATION, _KEYS = (286, 287), 33550, 33922, 34264, 34735
_RASTER_TYPE = 1025
PLACES = (*_POSITIONS, _PIXEL_SCALE, _TIEPOINTS, _TRANSFORMATION, _KEYS, 34736, 34737)
"""Tags that say where a picture lies: on a page, and those of GeoTIFF."""

_PIXELS, _ATTRIBUTE = re.compile(r"<Pixels\b[^>]*>"), re.compile(r'([\w:]+)="([^"]*)"')
_INKS = {0: "white as 0", 3: "a palette", 5: "CMYK inks", 6: "YCbCr", 8: "CIE Lab"}


def read_tiff(path: Path) -> tuple[NDArray[Any], int, dict[str, Any]]:
    """Pixels ``[Y, X]`` (uint8, uint16, float32) or ``[Y, X, 3]`` (uint8, uint16); 0; metadata as in ``read_image``.

    Warns where tags cannot be kept (EXIF and GPS tables, pictures inside the picture), and where strips or tiles are
    not stored, which read as 0.

    Raises:
        FormatError: not a whole TIFF with one page, or one with alpha, a palette, inks, or other numbers.
    """
    import tifffile

    try:
        with quiet(), tifffile.TiffFile(path) as file:
            _check(path, file)
            page: Any = file.pages[0]
            there, total, fill = _stored(path, page, file.filehandle.size)
            pixels = page.asarray()
            if page.axes == "SYX":
                pixels = np.moveaxis(pixels, 0, -1)
            about, lost = _describe(page)
    except FormatError:
        raise
    except Exception as error:  # of a damaged file the library raises what it comes upon
        raise FormatError(f"{path}: expected a whole TIFF, got {one_line(error)}; copy the source again") from error
    warn_absent(path, "", there, total, fill, "strips or tiles")
    if lost:
        text = f"{path}: expected tags that can be written again, got tables {', '.join(lost)}; they are left out"
        warnings.warn(LiveactionWarning(text), stacklevel=5)
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")), 0, about


def write_tiff(pixels: NDArray[Any], signal: Signal, part: Path, path: Path) -> list[str]:
    """Write ``pixels`` with deflate to ``part``; the arguments and result are those of :func:`write_image`."""
    import tifffile

    about = signal.metadata
    resolution, unit = _resolution(about)
    about, description = _with_description(about, pixels)
    tags, lost = _tags(about)
    ome = description is None and path.name.lower().endswith((".ome.tif", ".ome.tiff"))  # made anew
    lost += ["the text 'Description'"] if ome and any(tag[0] == _DESCRIPTION for tag in tags) else []
    lost += ["OME-XML of several planes"] if description == "" else []
    with quiet():
        tifffile.imwrite(
            part, pixels, ome=ome, photometric="rgb" if pixels.ndim == 3 else "minisblack", compression="zlib",
            predictor=pixels.dtype.kind == "u", metadata={} if ome else None, software=False, resolution=resolution,
            resolutionunit=unit, extratags=tags,
            iccprofile=base64.b64decode(about["icc"]) if "icc" in about else None,
        )  # fmt: skip
    return [*lost, f"the {signal.bits} significant bits"] if signal.bits else lost


def crop_tags(about: dict[str, Any], first: tuple[int, int]) -> dict[str, Any]:
    """Metadata of a region: tags that place a picture on a page or a map, moved to its first row and column."""
    y, x = first
    resolution, _ = _resolution(about)
    moved = []
    for code, dtype, count, value in about.get("tiff", []):
        if code in _POSITIONS and isinstance(value, list) and len(value) == 2 and "resolution" in about:
            along, rate = ((x, resolution[0]), (y, resolution[1]))[code - 286]
            place = Fraction(*value) + Fraction(along) / Fraction(rate)
            value = list(place.limit_denominator(10**6).as_integer_ratio())
        elif code == _TIEPOINTS and isinstance(value, list) and len(value) % 6 == 0:
            value = [n - (x, y, 0, 0, 0, 0)[i % 6] for i, n in enumerate(value)]
        elif code == _TRANSFORMATION and isinstance(value, list) and len(value) == 16:
            value = [*value]
            for i in (3, 7, 11):
                value[i] += x * value[i - 3] + y * value[i - 2]
        moved.append([code, dtype, count, value])
    return {**about, "tiff": moved} if moved else about


def scale_tags(about: dict[str, Any], factors: tuple[int, int], origin: tuple[float, float]) -> dict[str, Any]:
    """Metadata of every so many pixels, rows first: resolution, and tags that place a picture on a page or a map.

    Places of GeoTIFF are corners of pixels, unless its keys say points; so is a page's.
    """
    if "resolution" in about:
        x, y, unit = about["resolution"]
        about = {**about, "resolution": [x / factors[1], y / factors[0], unit]}
    corner = [(place + 0.5 - f / 2) for place, f in zip(origin, factors, strict=True)]
    (dy, dx), (fy, fx) = (list(origin) if _of_points(about) else corner), factors
    moved = []
    for code, dtype, count, value in about.get("tiff", []):
        if code == _TIEPOINTS and isinstance(value, list) and len(value) % 6 == 0:
            value = [((n - dx) / fx, (n - dy) / fy, n)[min(i % 6, 2)] for i, n in enumerate(value)]
        elif code == _PIXEL_SCALE and isinstance(value, list) and len(value) == 3:
            value = [value[0] * fx, value[1] * fy, value[2]]
        elif code == _TRANSFORMATION and isinstance(value, list) and len(value) == 16:
            value = [*value]
            for i in (0, 4, 8):
                value[i + 3] += dx * value[i] + dy * value[i + 1]
                value[i], value[i + 1] = fx * value[i], fy * value[i + 1]
        moved.append([code, dtype, count, value])
    chunks = [chunk for chunk in about.get("png", []) if chunk[0] != "pHYs"]  # the resolution says it
    return about | ({"tiff": moved} if moved else {}) | ({"png": chunks} if "png" in about else {})


def _of_points(about: dict[str, Any]) -> bool:
    """Whether keys of GeoTIFF say that places are the middles of pixels."""
    keys = next((value for code, _, _, value in about.get("tiff", []) if code == _KEYS and isinstance(value, list)), [])
    entries = (keys[i : i + 4] for i in range(4, len(keys), 4))
    return any(entry == [_RASTER_TYPE, 0, 1, 2] for entry in entries)


def _stored(path: Path, page: Any, size: int) -> tuple[int, int, Any]:
    """How many strips or tiles are stored, of how many, and what the others read as.

    Args:
        path: named in the messages.
        page: of the file.
        size: of the file in bytes.

    Raises:
        FormatError: some lie beyond the end of the file, or the samples are more than they can hold.
    """
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    wanted, there = prod(page.chunked), sum(count > 0 for _, count in places)
    if len(places) < wanted or any(place + count > size for place, count in places):
        raise FormatError(f"{path}: expected {wanted} strips or tiles within {size} bytes, got fewer; copy it again")
    size, chunk = (prod(samples) * page.dtype.itemsize for samples in (page.shape, page.chunks))
    check_unpacked(path, size, sum(count for _, count in places), chunk)
    return there, len(places), page.nodata


def _check(path: Path, file: Any) -> None:
    """Refuse other kinds of TIFF before the samples are decoded."""
    if len(file.pages) != 1:
        raise FormatError(f"{path}: expected one page, got {len(file.pages)}; split it into files")
    page = file.pages[0]
    if page.extrasamples:
        raise FormatError(f"{path}: expected grey or red, green and blue, got an alpha channel; convert it to one")
    if int(page.photometric) not in (1, 2):
        kind = _INKS.get(int(page.photometric), f"photometric {int(page.photometric)}")
        raise FormatError(f"{path}: expected grey or red, green and blue, got {kind}; convert it to one")
    colour = page.photometric == 2
    if page.axes not in (("YXS", "SYX") if colour else ("YX",)) or (colour and page.samplesperpixel != 3):
        raise FormatError(
            f"{path}: expected samples [Y, X] in grey or [Y, X, 3] in colour, got {page.axes} {page.shape}; convert it"
        )
    wanted = ("uint8", "uint16") if colour else ("uint8", "uint16", "float32")
    name = str(page.dtype)
    if name not in wanted or page.bitspersample != 8 * np.dtype(name).itemsize:
        got = f"{page.bitspersample}-bit {name}"
        raise FormatError(f"{path}: expected {', '.join(wanted)} samples, got {got}; convert them")


def _describe(page: Any) -> tuple[dict[str, Any], list[str]]:
    """JSON of the tags that are kept, and the names of those that cannot be."""
    about: dict[str, Any] = {"source": "tiff"}
    text: dict[str, str] = {}
    rest: list[list[Any]] = []
    lost: list[str] = []
    for tag in page.tags:
        value = tag.value
        if tag.code in _LAYOUT or tag.code in _RESOLUTION:
            continue
        if tag.code in _TEXTS:
            text[_TEXTS[tag.code]] = decoded(value) if isinstance(value, bytes) else str(value)
        elif tag.code == _PROFILE:
            about["icc"] = base64.b64encode(value).decode()
        elif tag.code == _ORIENTATION:
            about["orientation"] = int(value)
        elif (plain := _plain(value)) is None or tag.code in (330, 34665, 34853, 40965):
            lost.append(tag.name)
        else:
            rest.append([tag.code, int(tag.dtype), tag.count, plain])
    if 282 in page.tags and 283 in page.tags:
        x, y = (page.tags[code].value for code in (282, 283))
        unit = _UNITS[int(page.tags[296].value) if 296 in page.tags else 2]
        about["resolution"] = [x[0] / max(x[1], 1), y[0] / max(y[1], 1), unit]
    if "IJMetadata" in lost:  # how long its parts are says nothing without them
        rest = [entry for entry in rest if entry[0] != _PART_LENGTHS]
    return {**about, **({"text": text} if text else {}), **({"tiff": rest} if rest else {})}, lost


def _plain(value: Any) -> Any:
    """A tag's value as JSON: words, a number, a list of numbers, or ``{"bytes": base64}``; None for anything else."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, IntEnum):
        return int(value)
    if isinstance(value, str | int) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
        value = value.ravel().tolist()
    if isinstance(value, tuple | list) and all(isinstance(n, int | float) and isfinite(n) for n in value):
        return list(value)
    return None


def _resolution(about: dict[str, Any]) -> tuple[tuple[float, float], int]:
    """Samples per unit along x and y, and TIFF's number of the unit."""
    x, y, unit = about.get("resolution", (1.0, 1.0, "none"))
    scale = 0.01 if unit == "m" else 1.0
    return (x * scale, y * scale), {"inch": 2, "cm": 3, "m": 3}.get(unit, 1)


def _with_description(about: dict[str, Any], pixels: NDArray[Any]) -> tuple[dict[str, Any], str | None]:
    """Metadata whose description says the extents that are written, and the OME-XML: None where there is none.

    A description may also be the JSON that tifffile writes, with shape and axes. OME-XML of several planes cannot be
    right of one; it is taken out, and is then the empty text.
    """
    text = about.get("text", {})
    xml = text.get("Description", "")
    if "<OME" not in xml or "</OME>" not in xml:
        return {**about, "text": {**text, "Description": _with_shape(xml, pixels)}} if xml else about, None
    sizes: dict[str, str] = {"SizeX": str(pixels.shape[1]), "SizeY": str(pixels.shape[0])}
    sizes["Type"] = {"float32": "float"}.get(pixels.dtype.name, pixels.dtype.name)
    found = list(_PIXELS.finditer(xml))
    planes = dict(_ATTRIBUTE.findall(found[0][0])) if len(found) == 1 else {}
    channels = str(pixels.shape[2]) if pixels.ndim == 3 else "1"
    if any(planes.get(key) != count for key, count in (("SizeZ", "1"), ("SizeT", "1"), ("SizeC", channels))):
        return {**about, "text": {key: value for key, value in text.items() if key != "Description"}}, ""
    start = _ATTRIBUTE.sub(lambda m: f'{m[1]}="{sizes.get(m[1], m[2])}"', found[0][0])
    right = xml[: found[0].start()] + start + xml[found[0].end() :]
    return {**about, "text": {**text, "Description": right}}, right


def _with_shape(description: str, pixels: NDArray[Any]) -> str:
    """tifffile's JSON with the shape that is written, or another description as it is."""
    try:
        said = json.loads(description)
    except ValueError:
        return description
    if not isinstance(said, dict) or "shape" not in said or said["shape"] == list(pixels.shape):
        return description
    axes = {"axes": "YXS"[: pixels.ndim]} if "axes" in said else {}
    return json.dumps({**said, "shape": list(pixels.shape), **axes})


def _tags(about: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """Tags as tifffile takes them, and words for what has no tag."""
    tags: list[Any] = []
    codes = {name: code for code, name in _TEXTS.items()}
    lost = ["chunks that only PNG has"] if [c for c in about.get("png", []) if c[0] != "pHYs"] else []
    for key, value in about.get("text", {}).items():
        if key in codes:
            tags.append((codes[key], 1 if codes[key] == 700 else 2, 0, value.encode(), True))
        else:
            lost.append(f"the text {key!r}")
    if "orientation" in about:
        tags.append((_ORIENTATION, 3, 1, about["orientation"], True))
    if "exif" in about:
        lost.append("EXIF but its orientation")
    for code, dtype, count, value in about.get("tiff", []):
        if code in _LAYOUT or code in _RESOLUTION:  # not kept, hence of no picture that was read
            continue
        content = base64.b64decode(value["bytes"]) if isinstance(value, dict) else value
        if isinstance(content, str):
            content = content.encode()
        tags.append((code, dtype, count, tuple(content) if isinstance(content, list) else content, True))
    return tags, lost
