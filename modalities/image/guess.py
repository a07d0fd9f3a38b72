"""Whether a picture is grey or in colour, by its header."""

from pathlib import Path
from typing import Any

from liveaction.errors import FormatError
from liveaction.modalities.image.files import READABLE
from liveaction.modalities.third_party import one_line, quiet

_HEADER = 26  # bytes of a PNG up to its colour type
_BY_COUNT = {1: ("grey", "1 channel"), 3: ("rgb", "3 channels")}


def guess_picture(path: Path) -> tuple[str, str] | None:
    """``grey`` or ``rgb``, and what it was told by; None for alpha, palettes, inks and several pages.

    Raises:
        FormatError: the header cannot be read.
    """
    kind = READABLE[path.suffix.lower()]
    if kind in ("png", "netpbm"):
        with path.open("rb") as file:
            start = file.read(_HEADER)
        count = _png(start) if kind == "png" else {b"P5": 1, b"P6": 3}.get(start[:2])
    else:
        try:
            with quiet():
                count = _tiff(path) if kind == "tiff" else _pillow(path)
        except Exception as error:  # of a damaged file the libraries raise what they come upon
            raise FormatError(f"{path}: expected a picture, got {one_line(error)}; copy the source again") from error
    return None if count is None else _BY_COUNT.get(count)


def _png(start: bytes) -> int | None:
    return {0: 1, 2: 3}.get(start[25]) if len(start) == _HEADER and start[1:4] == b"PNG" else None


def _tiff(path: Path) -> int | None:
    import tifffile

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        plain = len(file.pages) == 1 and int(page.photometric) in (0, 1, 2, 6)
        return int(page.samplesperpixel) if plain else None


def _pillow(path: Path) -> int | None:
    import PIL.Image

    with PIL.Image.open(path) as image:
        return {"L": 1, "RGB": 3}.get(image.mode)
