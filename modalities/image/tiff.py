"""TIFF of 8 and 16 bits, and of float32, through tifffile; tags are kept."""

import base64
import warnings
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.modalities.third_party import one_line, quiet
from liveaction.signal import Signal

_UNITS = {1: "none", 2: "inch", 3: "cm"}
_TEXTS = {
    270: "Description", 305: "Software", 306: "Creation Time", 315: "Author", 33432: "Copyright",
    700: "XML:com.adobe.xmp",
}  # fmt: skip
_ORIENTATION, _PROFILE, _RESOLUTION = 274, 34675, (282, 283, 296)
_LAYOUT = {  # how samples are stored, which the written file says anew
    254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 280, 281, 284, 292, 293, 317, 322, 323, 324, 325,
    338, 339, 340, 341, 347, *range(512, 522), 530, 531, 532, 32997, 32998,
}  # fmt: skip
_INKS = {0: "white as 0", 3: "a palette", 5: "CMYK inks", 6: "YCbCr", 8: "CIE Lab"}


def read_tiff(path: Path) -> tuple[NDArray[Any], int, dict[str, Any]]:
    """Pixels ``[Y, X]`` (uint8, uint16, float32) or ``[Y, X, 3]`` (uint8, uint16); 0; metadata as in ``read_image``.

    Warns where tags cannot be kept: EXIF and GPS tables, pictures inside the picture.

    Raises:
        FormatError: not a whole TIFF with one page, or one with alpha, a palette, inks, or other numbers.
    """
    import tifffile

    try:
        with quiet(), tifffile.TiffFile(path) as file:
            _check(path, file)
            page: Any = file.pages[0]
            pixels = page.asarray()
            if page.axes == "SYX":
                pixels = np.moveaxis(pixels, 0, -1)
            about, lost = _describe(page)
    except FormatError:
        raise
    except (OSError, ValueError, RuntimeError, IndexError, KeyError, TypeError, MemoryError) as error:
        raise FormatError(f"{path}: expected a whole TIFF, got {one_line(error)}; copy the source again") from error
    if lost:
        text = f"{path}: expected tags that can be written again, got tables {', '.join(lost)}; they are left out"
        warnings.warn(LiveactionWarning(text), stacklevel=5)
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")), 0, about


def write_tiff(pixels: NDArray[Any], signal: Signal, part: Path, path: Path) -> list[str]:
    """Write ``pixels`` with deflate to ``part``; the arguments and result are those of :func:`write_image`."""
    import tifffile

    about = signal.metadata
    resolution, unit = _resolution(about)
    tags, lost = _tags(about)
    with quiet():
        tifffile.imwrite(
            part, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", compression="zlib",
            predictor=pixels.dtype.kind == "u", metadata=None, software=False, resolution=resolution,
            resolutionunit=unit, extratags=tags,
            iccprofile=base64.b64decode(about["icc"]) if "icc" in about else None,
        )  # fmt: skip
    return [*lost, f"the {signal.bits} significant bits"] if signal.bits else lost


def _check(path: Path, file: Any) -> None:
    """Refuse other kinds of TIFF before the samples are decoded."""
    if len(file.pages) != 1:
        raise FormatError(f"{path}: expected one page, got {len(file.pages)}; split it into files")
    page = file.pages[0]
    if page.extrasamples:
        raise FormatError(f"{path}: expected grey or red, green and blue, got an alpha channel; convert it to RGB")
    if int(page.photometric) not in (1, 2):
        kind = _INKS.get(int(page.photometric), f"photometric {int(page.photometric)}")
        raise FormatError(f"{path}: expected grey or red, green and blue, got {kind}; convert it to RGB")
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
            text[_TEXTS[tag.code]] = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
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
    return {**about, **({"text": text} if text else {}), **({"tiff": rest} if rest else {})}, lost


def _plain(value: Any) -> Any:
    """A tag's value as JSON: words, a number, a list of numbers, or ``{"bytes": base64}``; None for anything else."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, IntEnum):
        return int(value)
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, tuple | list) and all(isinstance(n, int | float) for n in value):
        return list(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
        return value.ravel().tolist()
    return None


def _resolution(about: dict[str, Any]) -> tuple[tuple[float, float], int]:
    """Samples per unit along x and y, and TIFF's number of the unit."""
    x, y, unit = about.get("resolution", (1.0, 1.0, "none"))
    scale = 0.01 if unit == "m" else 1.0
    return (x * scale, y * scale), {"inch": 2, "cm": 3, "m": 3}.get(unit, 1)


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
