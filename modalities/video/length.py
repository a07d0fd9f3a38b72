"""Files shorter than their own headers say, which libav would read to where they end without a word."""

import re
from pathlib import Path
from typing import IO

from liveaction.errors import FormatError

_FIRST_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}


def check_length(path: Path, reader: str) -> int:
    """Refuse a Matroska, AVI or MP4 file whose outermost elements reach beyond its end, and a Y4M one without a frame.

    Args:
        reader: libav's name, ``matroska``, ``avi``, ``mov`` or ``yuv4mpegpipe``.

    Returns:
        Bytes of the file.

    Raises:
        FormatError: cut short, or not to be read.
    """
    ends = {"matroska": _matroska, "avi": _riff, "mov": _boxes, "yuv4mpegpipe": _lumas}
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            end = ends[reader](file, size)
    except OSError as error:
        raise FormatError(f"{path}: expected a readable clip, got {error.strerror}") from error
    if end > size:
        raise FormatError(f"{path}: expected {end} bytes as its header says, got {size}: cut short; get the file anew")
    return size


def _lumas(file: IO[bytes], size: int) -> int:
    """What the luma of one frame takes at least."""
    sizes = re.fullmatch(rb"YUV4MPEG2(?: W(\d{1,9})| H(\d{1,9})| [^WH]\S*)*\s*", file.readline(256))
    return int(sizes[1] or 0) * int(sizes[2] or 0) if sizes else 0


def _riff(file: IO[bytes], size: int) -> int:
    head = file.read(8)
    return 8 + int.from_bytes(head[4:], "little") if head[:4] == b"RIFF" else 0


def _boxes(file: IO[bytes], size: int) -> int:
    """Where the last box of an MP4 or MOV file ends (ISO 14496-12, section 4.2)."""
    end = 0
    while end < size:
        file.seek(end)
        head = file.read(16)
        if end == 0 and head[4:8] not in _FIRST_BOXES:
            return 0
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if length < 8:
            return 0  # up to the end of the file
        end += length
    return end


def _matroska(file: IO[bytes], size: int) -> int:
    """Where the segment ends, 0 where that is unknown (RFC 9559)."""
    head = file.read(64)
    if head[:4] != b"\x1aE\xdf\xa3":
        return 0
    width, length = _ebml_length(head[4:])
    place = 4 + width + (length or 0)
    if head[place : place + 4] != b"\x18S\x80g":
        return 0
    width, length = _ebml_length(head[place + 4 :])
    return 0 if length is None else place + 4 + width + length


def _ebml_length(data: bytes) -> tuple[int, int | None]:
    """Bytes that an element's length takes, and the length; None where it is unknown (RFC 8794, section 4)."""
    width = 9 - data[0].bit_length() if data and data[0] else 1
    value = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    return width, None if value == (1 << 7 * width) - 1 else value
