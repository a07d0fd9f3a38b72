"""Frames in TIFF, through tifffile: what libav makes of tiles, signed samples and inks is not what they say."""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.modalities.array.formats import check_unpacked
from liveaction.modalities.third_party import one_line, quiet
from liveaction.modalities.video.colour import DEPTHS, Pixels

_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE = 0, 1, 2, 3
_ORIENTATION = 274


def read_tiff_frame(file: Path) -> tuple[Pixels, NDArray[Any], set[str]]:
    """The one picture of a file.

    Returns:
        how its pixels are stored; the values ``[C, H, W]``, uint8 or uint16, without opacity; what is not kept.

    Raises:
        FormatError: not a whole TIFF with one page, or one of other numbers than unsigned ones, or of inks.
    """
    import tifffile

    try:
        with quiet(), tifffile.TiffFile(file) as tiff:
            if (count := len(tiff.pages)) != 1:
                raise FormatError(
                    f"{file}: expected one picture per file, got {count} pages; save each as a file of its own"
                )
            page: Any = tiff.pages[0]
            pixels = _describe(file, page)
            _check_stored(file, page, tiff.filehandle.size)
            values = _planes(page, pixels)
            turned = _ORIENTATION in page.tags and int(page.tags[_ORIENTATION].value) != 1
    except FormatError:
        raise
    except Exception as error:  # of a damaged file the library raises what it comes upon
        raise FormatError(f"{file}: expected a whole TIFF picture, got {one_line(error)}; get it anew") from error
    return pixels, values, {"orientation of frames"} if turned else set()


def _describe(file: Path, page: Any) -> Pixels:
    """How the pixels are stored, by libav's names."""
    photometric, bits, extra = int(page.photometric), int(page.bitspersample), len(page.extrasamples)
    shades = page.samplesperpixel - extra
    colour, palette = photometric == _RGB, photometric == _PALETTE
    unsigned = int(page.sampleformat) == 1 and (bits in DEPTHS or (bits == 1 and not colour and not palette))
    if not unsigned or photometric > _PALETTE or shades != (3 if colour else 1) or extra > 1 or (palette and bits != 8):
        raise FormatError(
            f"{file}: expected grey, RGB or a palette of unsigned integers of at most 16 bits, got "
            f"{page.samplesperpixel} x {bits}-bit {page.dtype} as {getattr(page.photometric, 'name', photometric)}; "
            "convert it"
        )
    bits = max(bits, 8)
    name = "pal8" if palette else ("rgba" if extra else "rgb") if colour else ("ya" if extra else "gray")
    depth = "" if palette or (name != "ya" and bits == 8) else str(bits) if bits == 8 else f"{bits}le"
    return Pixels(name + depth, "rgb" if colour or palette else "grey", bits, bool(extra))


def _check_stored(file: Path, page: Any, size: int) -> None:
    """Refuse strips or tiles that are missing, and fewer bytes than the samples can be packed into."""
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    wanted = prod(page.chunked)
    there = sum(count > 0 and place + count <= size for place, count in places)
    if there < wanted:
        raise FormatError(
            f"{file}: expected {wanted} strips or tiles within {size} bytes, got {there}: a damaged TIFF picture; get "
            "it anew"
        )
    whole, chunk = (prod(samples) * page.dtype.itemsize for samples in (page.shape, page.chunks))
    check_unpacked(file, whole, sum(count for _, count in places), chunk)


def _planes(page: Any, pixels: Pixels) -> NDArray[Any]:
    values = np.asarray(page.asarray())
    values = values[..., np.newaxis] if page.samplesperpixel == 1 else values
    values = values if page.axes.startswith("S") and page.samplesperpixel > 1 else np.moveaxis(values, -1, 0)
    values = values[: page.samplesperpixel - len(page.extrasamples)]
    if pixels.name == "pal8":
        return (page.colormap[:, values[0]] >> 8).astype(np.uint8)  # type: ignore[no-any-return]
    largest = (1 << pixels.bits) - 1
    values = values.astype(pixels.dtype) * pixels.dtype.type(largest if page.bitspersample == 1 else 1)
    return np.ascontiguousarray(largest - values if int(page.photometric) == _WHITE_IS_0 else values, pixels.dtype)
