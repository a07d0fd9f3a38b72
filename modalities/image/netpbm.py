"""Binary PPM and PGM of 8 and 16 bits; Pillow reads those of 16 bits with 8."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.modalities.third_party import decoded
from liveaction.signal import Signal

_COMMENT = re.compile(rb"#([^\n]*)")
_GAP = rb"(?:\s|#[^\n]*\n)+"
_START = re.compile(rb"P([56])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,5})\s")
_KEPT_NOWHERE = {
    "icc": "the colour profile", "resolution": "the resolution", "exif": "EXIF",
    "png": "chunks that only PNG has", "tiff": "tags that only TIFF has",
}  # fmt: skip


def read_netpbm(path: Path) -> tuple[NDArray[Any], int, dict[str, Any]]:
    """Pixels ``[Y, X]`` or ``[Y, X, 3]``, uint8 or uint16; bits where the largest value asks for 1-7 or 9-15 of them.

    Raises:
        FormatError: not a whole binary PPM or PGM with one picture, or its largest value is not 2**bits - 1.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: expected a readable picture, got {error.strerror}") from error
    found = _START.match(data)
    if found is None:
        raise FormatError(f"{path}: expected binary PPM or PGM (P6, P5), got {data[:2]!r}; convert it")
    kind, width, height, most = (int(n) for n in found.groups())
    bits = most.bit_length()
    if not 0 < most < 65536 or most & (most + 1) or width * height == 0:
        raise FormatError(
            f"{path}: expected samples, and a largest value of 2**bits - 1 such as 255, got {width} x {height} and "
            f"{most}; convert it"
        )
    shape = (height, width, 3) if kind == 6 else (height, width)
    dtype = np.dtype(">u2" if bits > 8 else "u1")
    wanted, got = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize, len(data) - found.end()
    if wanted != got:
        raise FormatError(f"{path}: expected {wanted} bytes of samples for {shape}, got {got}; copy the source again")
    pixels = np.frombuffer(data, dtype, offset=found.end()).reshape(shape).astype(dtype.newbyteorder("="))
    if pixels.max() > most:
        raise FormatError(f"{path}: expected values up to {most} as it says, got {pixels.max()}; convert it again")
    comments = [decoded(line.strip()) for line in _COMMENT.findall(found[0])]
    about = {"source": "netpbm", **({"text": {"Comment": "\n".join(comments)}} if comments else {})}
    return pixels, 0 if bits in (8, 16) else bits, about


def write_netpbm(pixels: NDArray[Any], signal: Signal, part: Path, path: Path) -> list[str]:
    """Write ``pixels`` uint8 or uint16 to ``part``; the arguments and result are those of :func:`write_image`."""
    bits = signal.bits or 8 * pixels.dtype.itemsize
    text = signal.metadata.get("text", {})
    comments = "".join(f"# {line}\n" for line in text.get("Comment", "").splitlines())
    start = f"P{6 if pixels.ndim == 3 else 5}\n{comments}{pixels.shape[1]} {pixels.shape[0]}\n{2**bits - 1}\n"
    part.write_bytes(start.encode() + pixels.astype(">u2" if bits > 8 else "u1").tobytes())
    lost = [words for key, words in _KEPT_NOWHERE.items() if signal.metadata.get(key)]
    lost += ["texts"] if text.keys() - {"Comment"} else []
    return [*lost, "the orientation"] if signal.metadata.get("orientation", 1) != 1 else lost
