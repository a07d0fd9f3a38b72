"""Which format a picture's name asks for, and 8-bit pictures through Pillow."""

import base64
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionError, LiveactionWarning
from liveaction.files import atomic_path, write_errors
from liveaction.marking import is_marked, marked
from liveaction.modalities.image.netpbm import read_netpbm, write_netpbm
from liveaction.modalities.image.png import COLOURS, read_png, write_png
from liveaction.modalities.image.tiff import PLACES, read_tiff, write_tiff
from liveaction.modalities.third_party import decoded, one_line, quiet
from liveaction.signal import Signal

Picture = tuple[NDArray[Any], int, dict[str, Any]]
_KINDS = {
    "P": "a palette", "PA": "a palette with alpha", "RGBA": "an alpha channel", "LA": "an alpha channel",
    "RGBa": "an alpha channel", "La": "an alpha channel", "CMYK": "CMYK inks", "1": "one bit per sample",
}  # fmt: skip
_MOST_PIXELS = 1024  # per byte of a JPEG, three times what Huffman's shortest words can do; what is cut reads as grey
_LEFT_OUT = {"photoshop": "Photoshop's block (IPTC)", "flashpix": "FlashPix"}


def read_image(path: Path) -> Picture:
    """Pixels as stored, significant bits where they are not the dtype's (else 0), and JSON metadata.

    Metadata, where the file has them: ``source`` (the format), ``icc`` (base64 of the profile), ``resolution``
    ``[x, y, "inch" | "cm" | "m" | "none"]``, ``orientation`` (1 to 8 as in EXIF), ``exif`` (base64 of the block),
    ``text`` (keyword: words), ``png`` and ``tiff`` (chunks and tags that only this format has).

    Returns:
        ``[Y, X]`` or ``[Y, X, 3]``, bits, metadata.

    Raises:
        FormatError: the file cannot be read, or has alpha, a palette, inks, several pages, other bits than 8 or 16.
    """
    readers: dict[str, Callable[[Path], Picture]] = {"png": read_png, "tiff": read_tiff, "netpbm": read_netpbm}
    return readers.get(READABLE[path.suffix.lower()], _read_pillow)(path)


def check_format(signal: Signal, path: Path) -> None:
    """Refuse a suffix whose format cannot hold the dtype or the channels; values are not looked at.

    Raises:
        FormatError: it cannot.
    """
    kind, dtype, suffix = WRITABLE[path.suffix.lower()], signal.dtype, path.suffix.lower()
    if kind == "tiff" and dtype not in ("uint8", "uint16", "float32"):
        raise FormatError(f"{path}: expected uint8, uint16 or float32 values, got {dtype}; convert them")
    channels = signal.values.shape[0]
    if channels != {".ppm": 3, ".pgm": 1}.get(suffix, channels):
        right = ".ppm" if channels == 3 else ".pgm"
        raise FormatError(f"{path}: expected a name ending in {right} for this picture, got {path.name!r}; rename it")
    if kind != "tiff" and dtype not in ("uint8", "uint16"):
        name = "PNG" if kind == "png" else kind
        raise FormatError(f"{path}: expected uint8 or uint16 values for {name}, got {dtype}; write .tif")


def strip_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata of :func:`read_image` without what only describes; that a picture is synthesised stays, in our words."""
    kept = {key: metadata[key] for key in ("source", "icc", "resolution", "orientation") if key in metadata}
    plain = {"png": [chunk for chunk in metadata.get("png", ()) if chunk[0] in COLOURS]}
    plain["tiff"] = [tag for tag in metadata.get("tiff", ()) if tag[0] in PLACES]
    mark = marked({}) if is_marked(metadata) else {}
    return kept | {key: entries for key, entries in plain.items() if entries} | mark


def write_image(signal: Signal, path: Path) -> list[str]:
    """Write ``[1, Y, X]`` or ``[3, Y, X]`` of the dtype to store; atomic.

    Returns:
        Words for what of the source the format has no room for.

    Raises:
        FormatError: as :func:`check_format`, or the format cannot hold the metadata.
    """
    check_format(signal, path)
    pixels = signal.values[0] if signal.values.shape[0] == 1 else np.stack(list(signal.values), axis=-1)
    pixels = np.ascontiguousarray(pixels)
    writers = {"png": write_png, "tiff": write_tiff, "netpbm": write_netpbm}
    kind = WRITABLE[path.suffix.lower()]
    with atomic_path(path) as part:
        try:
            with write_errors(path):
                return writers[kind](pixels, signal, part, path)
        except LiveactionError:
            raise
        except Exception as error:  # metadata of a stream may be anything
            raise FormatError(f"{path}: expected to write it as {kind}, got {one_line(error)}") from error


def _read_pillow(path: Path) -> Picture:
    """JPEG, WebP and BMP of 8 bits; read only, as the first two lose something each time they are written."""
    import PIL.Image

    try:
        with quiet(), PIL.Image.open(path) as image:
            if READABLE[path.suffix.lower()] != str(image.format).lower().replace("mpo", "jpeg"):
                raise FormatError(f"{path}: expected {path.suffix.upper()[1:]}, got {image.format}; rename it")
            if getattr(image, "n_frames", 1) != 1:
                raise FormatError(f"{path}: expected one picture, got {image.n_frames}; split it into files")  # type: ignore[attr-defined]
            if image.mode not in ("L", "RGB") or "transparency" in image.info:
                kind = _KINDS.get(image.mode, "transparency" if image.mode in ("L", "RGB") else f"mode {image.mode}")
                raise FormatError(f"{path}: expected grey or red, green and blue, got {kind}; convert it to one")
            size = path.stat().st_size
            if image.format == "JPEG" and image.width * image.height > _MOST_PIXELS * size:
                got = f"{size} bytes for {image.width} x {image.height} samples"
                raise FormatError(f"{path}: expected a whole JPEG, got {got}; copy the source again")
            pixels, about = np.array(image), _metadata(image)
            lost = [words for key, words in _LEFT_OUT.items() if image.info.get(key)]
    except FormatError:
        raise
    except PIL.Image.DecompressionBombError as error:  # more than it takes
        most = 2 * (PIL.Image.MAX_IMAGE_PIXELS or 0)
        raise FormatError(f"{path}: expected at most {most} pixels, got more; convert it to PNG or TIFF") from error
    except Exception as error:  # of a damaged file the library raises what it comes upon
        raise FormatError(
            f"{path}: expected a whole picture, got {one_line(error)}; copy or convert the source again"
        ) from error
    if lost:
        text = f"{path}: expected metadata that can be kept, got {', '.join(lost)} as well; left out"
        warnings.warn(LiveactionWarning(text), stacklevel=5)
    return pixels, 0, about


def _metadata(image: Any) -> dict[str, Any]:
    """JSON of what Pillow knows about a picture."""
    about: dict[str, Any] = {"source": image.format.lower()}
    if image.info.get("icc_profile"):
        about["icc"] = base64.b64encode(image.info["icc_profile"]).decode()
    if "dpi" in image.info:
        about["resolution"] = [*(float(n) for n in image.info["dpi"]), "inch"]
    exif = image.info.get("exif", b"").removeprefix(b"Exif\x00\x00")
    if exif:
        about["exif"] = base64.b64encode(exif).decode()
        about["orientation"] = int(image.getexif().get(0x0112, 1))
    texts = {"Comment": image.info.get("comment"), "XML:com.adobe.xmp": image.info.get("xmp")}
    text = {key: decoded(value) for key, value in texts.items() if value}
    return {**about, "text": text} if text else about


READABLE = {
    ".png": "png", ".tif": "tiff", ".tiff": "tiff", ".ppm": "netpbm", ".pgm": "netpbm", ".pnm": "netpbm",
    ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".bmp": "bmp",
}  # fmt: skip
WRITABLE = {suffix: kind for suffix, kind in READABLE.items() if kind in ("png", "tiff", "netpbm")}
