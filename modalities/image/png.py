"""PNG of 8 and 16 bits: pixels through imagecodecs, texts through Pillow, all other chunks as they are."""

import base64
import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.modalities.third_party import one_line, quiet
from liveaction.signal import Signal

Chunk = tuple[bytes, bytes]
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = len(_SIGNATURE) + 25  # with IHDR
_COLOURS = {3: "a palette", 4: "an alpha channel", 6: "an alpha channel"}
COLOURS = ("gAMA", "cHRM", "sRGB", "cICP", "sBIT", "mDCV", "cLLI")
"""Chunks that say what the values are."""

_AS_THEY_ARE = (*(name.encode() for name in COLOURS), b"pHYs", b"tIME")
_PIXELS = (b"IHDR", b"IDAT", b"IEND")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_READ = (b"iCCP", b"eXIf", *_TEXTS)
_MOST_TEXTS = 1000
_KNOWN = (*_AS_THEY_ARE, *_PIXELS, *_READ, b"PLTE", b"hIST", b"iDOT")  # the last three say how to show or decode
_MOST_INFLATED = 1040  # times, a little more than deflate can do
_XMP = "XML:com.adobe.xmp"


def read_png(path: Path) -> tuple[NDArray[Any], int, dict[str, Any]]:
    """Pixels ``[Y, X]`` or ``[Y, X, 3]``, uint8 or uint16; 0; metadata as :func:`read_image` says.

    Warns of chunks that cannot be kept; those that are safe to copy are, whatever they say.

    Raises:
        FormatError: not a whole PNG, or one with alpha, a palette, other bits than 8 and 16, or an animation.
    """
    import imagecodecs

    try:
        data = path.read_bytes()
        chunks = _chunks(data, path)
        _check(path, chunks)
        pixels = imagecodecs.png_decode(_pack([chunk for chunk in chunks if chunk[0] in _PIXELS]))
        about = _describe(chunks, path)
    except FormatError:
        raise
    except Exception as error:  # of a damaged file the libraries raise what they come upon
        raise FormatError(f"{path}: expected a whole PNG, got {one_line(error)}; copy the source again") from error
    lost = sorted({kind.decode() for kind, _ in chunks if not (kind in _KNOWN or _copied(kind))})
    if lost:
        text = f"{path}: expected chunks that can be written again, got {', '.join(lost)}; they are left out"
        warnings.warn(LiveactionWarning(text), stacklevel=5)
    return np.asarray(pixels), 0, about


def write_png(pixels: NDArray[Any], signal: Signal, part: Path, path: Path) -> list[str]:
    """Write ``pixels`` uint8 or uint16 to ``part``; the arguments and result are those of :func:`write_image`."""
    import imagecodecs

    part.write_bytes(_with_chunks(imagecodecs.png_encode(pixels), _kept(signal.metadata)))
    lost = ["tags that only TIFF has"] if signal.metadata.get("tiff") else []
    return [*lost, f"the {signal.bits} significant bits"] if signal.bits else lost


def _chunks(data: bytes, path: Path) -> list[Chunk]:
    """Kind and content of every chunk up to the last."""
    if not data.startswith(_SIGNATURE):
        raise FormatError(f"{path}: expected a whole PNG, got {'other' if data else 'no'} bytes; check the source")
    found, at = [], len(_SIGNATURE)
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        found.append((kind, data[at + 8 : at + 8 + size]))
        at += 12 + size
        checked = int.from_bytes(data[at - 4 : at], "big")
        if not kind.isalpha() or (at <= len(data) and zlib.crc32(data[at - 8 - size : at - 4]) != checked):
            raise FormatError(f"{path}: expected a whole PNG, got a damaged chunk {kind!r}; copy the source again")
        if kind == b"IEND" and at <= len(data):
            return found
    raise FormatError(f"{path}: expected a whole PNG, got one cut short after {len(data)} bytes; copy the source again")


def _check(path: Path, chunks: list[Chunk]) -> None:
    """Refuse other kinds of PNG before the pixels are decoded."""
    kinds = {kind for kind, _ in chunks}
    depth, colour = chunks[0][1][8:10] if chunks[0][0] == b"IHDR" and len(chunks[0][1]) == 13 else (0, 0)
    if colour in _COLOURS or b"tRNS" in kinds:
        kind = _COLOURS.get(colour, "transparency")
        raise FormatError(f"{path}: expected grey or red, green and blue, got {kind}; convert it to one")
    if depth in (8, 16):
        width, height = struct.unpack(">II", chunks[0][1][:8])
        packed = sum(len(content) for kind, content in chunks if kind == b"IDAT")
        if width * height * depth // 8 * (3 if colour == 2 else 1) > _MOST_INFLATED * packed:
            got = f"{packed} bytes for {width} x {height} samples"
            raise FormatError(f"{path}: expected a whole PNG, got {got}; copy the source again")
    else:
        raise FormatError(f"{path}: expected 8 or 16 bits per sample, got {depth}; convert it to 8")
    if b"acTL" in kinds:
        raise FormatError(f"{path}: expected one picture, got an animation; split it into files")


def _describe(chunks: list[Chunk], path: Path) -> dict[str, Any]:
    """JSON of the chunks that are kept; texts of one keyword become one, a line each."""
    about: dict[str, Any] = {"source": "png"}
    read = [chunk for chunk in chunks if chunk[0] in _READ]
    texts = [chunk for chunk in read if chunk[0] in _TEXTS]
    if len(texts) > _MOST_TEXTS:
        raise FormatError(f"{path}: expected at most {_MOST_TEXTS} texts, got {len(texts)}; take some out")
    if read:
        about |= _parsed([chunk for chunk in read if chunk[0] not in _TEXTS])
        text: dict[str, str] = {}
        for chunk in texts:  # each by itself: several may have one keyword
            for key, said in _parsed([chunk]).get("text", {}).items():
                text[key] = f"{text[key]}\n{said}" if key in text else said
        if text:
            about["text"] = text
    density = next((data for kind, data in chunks if kind == b"pHYs" and len(data) == 9), None)
    if density:
        x, y, unit = struct.unpack(">IIB", density)
        about["resolution"] = [float(x), float(y), "m" if unit else "none"]
    rest = [
        [kind.decode(), base64.b64encode(data).decode()]
        for kind, data in chunks
        if kind in _AS_THEY_ARE or _copied(kind)
    ]
    return {**about, "png": rest} if rest else about


def _parsed(chunks: list[Chunk]) -> dict[str, Any]:
    """JSON of a profile, EXIF and texts as Pillow reads them, from a picture of one sample, whatever the bits here."""
    import imagecodecs
    import PIL.Image

    about: dict[str, Any] = {}
    tiny = _with_chunks(imagecodecs.png_encode(np.zeros((1, 1), np.uint8)), chunks)
    with quiet(), PIL.Image.open(io.BytesIO(tiny)) as image:
        image.load()
        text = {str(key): str(value) for key, value in image.text.items()}  # type: ignore[attr-defined]
        profile, exif = image.info.get("icc_profile"), image.info.get("exif", b"")
        if profile:
            about["icc"] = base64.b64encode(profile).decode()
        if exif:
            about["exif"] = base64.b64encode(exif.removeprefix(b"Exif\x00\x00")).decode()
            about["orientation"] = int(image.getexif().get(0x0112, 1))
    return {**about, "text": text} if text else about


def _kept(about: dict[str, Any]) -> list[Chunk]:
    """The chunks that say what the metadata say."""
    from PIL.Image import Exif
    from PIL.PngImagePlugin import PngInfo

    kept = [(kind.encode(), base64.b64decode(data)) for kind, data in about.get("png", [])]
    kept = [chunk for chunk in kept if chunk[0] in _AS_THEY_ARE or _copied(chunk[0])]
    if "icc" in about:
        kept.append((b"iCCP", b"profile\x00\x00" + zlib.compress(base64.b64decode(about["icc"]), 9)))
    if "resolution" in about and not any(kind == b"pHYs" for kind, _ in kept):
        x, y, unit = about["resolution"]
        per_metre = {"inch": 1 / 0.0254, "cm": 100.0}.get(unit, 1.0)
        kept.append((b"pHYs", struct.pack(">IIB", round(x * per_metre), round(y * per_metre), unit != "none")))
    if "exif" in about:
        kept.append((b"eXIf", base64.b64decode(about["exif"])))
    elif about.get("orientation", 1) != 1:
        exif = Exif()
        exif[0x0112] = about["orientation"]
        kept.append((b"eXIf", exif.tobytes().removeprefix(b"Exif\x00\x00")))
    info = PngInfo()
    for key, value in about.get("text", {}).items():
        if key == _XMP:
            info.add_itxt(key, value)
        else:
            info.add_text(key, value)
    return kept + [(kind, data) for kind, data, *_ in info.chunks]


def _copied(kind: bytes) -> bool:
    """Whether a chunk, unknown here, says by its letters that it holds for other pixels; oFFs not for a region."""
    four = len(kind) == 4 and kind.isalpha()
    return four and kind[:1].islower() and kind[3:].islower() and kind not in (*_KNOWN, b"oFFs")


def _with_chunks(data: bytes | bytearray, chunks: list[Chunk]) -> bytes:
    """A PNG with ``chunks`` put behind its header."""
    return bytes(data[:_HEADER]) + _pack(chunks)[len(_SIGNATURE) :] + data[_HEADER:]


def _pack(chunks: list[Chunk]) -> bytes:
    """A signature and chunks with their sizes and checksums."""
    packed = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    ]
    return _SIGNATURE + b"".join(packed)
