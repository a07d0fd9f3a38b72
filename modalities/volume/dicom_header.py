"""The header of a DICOM file, read from its own bytes: numbers as they are written, never a reader's default."""

import re
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

from liveaction.errors import FormatError
from liveaction.modalities.third_party import one_line, quiet

_TEXTS = (
    *("SOPClassUID", "SeriesInstanceUID", "SeriesNumber", "Modality", "ImageType", "NumberOfFrames"),
    "PhotometricInterpretation",
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "Units"),
)
_WORDS = (
    *("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit"),
)
_LABELS = "Manufacturer", "ConvolutionKernel"
_TABLE = "ModalityLUTSequence"
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_UID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
_BARE = {0x0001, 0x0005, 0x0008, *range(0x0012, 0x0019)}  # elements of group 8 that a data set may begin with
_UNDEFINED = 0xFFFFFFFF  # the length of an element that ends with a delimiter
_INDEX = "1.2.840.10008.1.3.10"
_CLASS = "1.2.840.10008.5.1.4.1.1"
_ENHANCED = [f"{_CLASS}.{n}" for n in ("2.1", "2.2", "4.1", "4.4", "128.1", "130")]
READING = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    NotImplementedError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class Header:
    """What a slice's header says: ``texts`` of text tags without their padding, ``words`` of binary integers.

    A tag that is not there or empty is in neither. ``labels`` are free texts, decoded by the file's character set.
    """

    path: Path
    texts: dict[str, str]
    words: dict[str, int]
    labels: dict[str, str]
    has_table: bool

    @property
    def is_index(self) -> bool:
        """Whether the file is a directory of other files (DICOMDIR), whatever its name."""
        return self.texts.get("SOPClassUID") == _INDEX

    @property
    def is_enhanced(self) -> bool:
        """Whether the file is of a class that holds many slices: geometry is said for each frame, elsewhere."""
        return self.texts.get("SOPClassUID") in _ENHANCED

    @property
    def series(self) -> str:
        """The SeriesInstanceUID.

        Raises:
            FormatError: there is none, or it cannot be a name.
        """
        found = self.texts.get("SeriesInstanceUID", "")
        if not _UID.fullmatch(found):
            raise FormatError(
                f"{self.path}: expected a slice with SeriesInstanceUID of digits and dots, got "
                f"{repr(found[:80]) if found else 'no SeriesInstanceUID'}; remove it"
            )
        return found

    @property
    def kinds(self) -> list[str]:
        """The values of ImageType, in capitals."""
        return self.texts.get("ImageType", "").upper().split("\\")

    @property
    def signed(self) -> bool:
        """Whether stored values have a sign."""
        return self.words.get("PixelRepresentation") == 1

    def code(self, tag: str) -> str:
        """A code string such as ``CT``: at most 16 printable characters, whatever the file says."""
        return "".join(c for c in self.texts.get(tag, "") if c.isascii() and c.isprintable())[:16]

    def numbers(self, tag: str, count: int) -> tuple[float, ...]:
        """The decimal numbers of a text tag, however many characters they have.

        Raises:
            FormatError: not ``count`` finite numbers.
        """
        text = self.texts.get(tag, "")
        parts = [part.strip(" \0\t\r\n") for part in text.split("\\")]
        found = tuple(float(part) for part in parts if _NUMBER.fullmatch(part))
        if not len(found) == len(parts) == count or not all(map(isfinite, found)):
            wanted = f"{count} finite numbers" if count > 1 else "a finite number"
            raise FormatError(f"{self.path}: expected {wanted} as {tag}, got {text[:160]!r}; repair the header")
        return found

    def number(self, tag: str, default: float) -> float:
        """The decimal number of a text tag, ``default`` where it is absent or empty.

        Raises:
            FormatError: it is no finite number.
        """
        return self.numbers(tag, 1)[0] if tag in self.texts else default

    @cached_property
    def rescale(self) -> tuple[float, float]:
        """Slope and intercept; 1 and 0 where the tags are absent or empty, as the standard means stored values.

        Raises:
            FormatError: they are no finite numbers, or the slope is 0.
        """
        slope, intercept = self.number("RescaleSlope", 1.0), self.number("RescaleIntercept", 0.0)
        if slope == 0:
            raise FormatError(
                f"{self.path}: expected a RescaleSlope other than 0, got {self.texts['RescaleSlope']!r}; repair the "
                "header"
            )
        return slope, intercept


def is_dicom(path: Path) -> bool:
    """Whether a file's name ends in ``.dcm``, its bytes carry the DICM preamble, or a bare data set begins there."""
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    if path.suffix.lower() == ".dcm":
        return True
    with path.open("rb") as file:
        return _begins(file.read(132))


def read_header(path: Path) -> Header:
    """Read a file's header, without its pixels; kept for as long as size and time of the file stay.

    Raises:
        FormatError: it is no DICOM file, or damaged.
    """
    try:
        stat = path.stat()
        return _read_header(path, stat.st_size, stat.st_mtime_ns)
    except READING as error:
        raise FormatError(f"{path}: expected a DICOM header, got {one_line(error)}; remove or replace it") from error


@lru_cache(maxsize=1 << 14)
def _read_header(path: Path, size: int, changed: int) -> Header:
    import pydicom

    with path.open("rb") as file, quiet():
        if not _begins(file.read(132)):
            raise ValueError("neither 'DICM' after 128 bytes nor a data set")
        file.seek(0)
        tags: list[Any] = [*_TEXTS, *_WORDS, *_LABELS, _TABLE]
        data = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=tags)
        _check_whole(data, file, size)
        texts = {tag: text for tag in _TEXTS if (text := _text(_raw(data, tag)))}
        kind = _text(data.file_meta.get("MediaStorageSOPClassUID"))
        if kind:
            texts.setdefault("SOPClassUID", kind)
        words = {tag: word for tag in _WORDS if (word := _word(data, tag)) is not None}
        labels = {tag: _label(data.get(tag)) for tag in _LABELS}
        table = data.get_item(_TABLE)
        return Header(path, texts, words, labels, table is not None and bool(table.value))


def _check_whole(data: Any, file: BinaryIO, size: int) -> None:
    """Refuse a header that ends within an element: pydicom takes what there is for its value, or skips beyond the end.

    Raises:
        ValueError: it does.
    """
    elements = [item for item in map(data.get_item, data.keys()) if isinstance(getattr(item, "length", None), int)]
    if file.tell() > size or any(len(item.value or b"") < item.length < _UNDEFINED for item in elements):
        raise ValueError("a header that ends within an element")


def _begins(start: bytes) -> bool:
    """Whether a file that starts so is DICOM: with a preamble, or with the elements of a data set."""
    if start[128:132] == b"DICM":
        return True
    if len(start) < 8:
        return False
    for order in "<>":
        group, element, length = struct.unpack(f"{order}HHI", start[:8])
        if (group, element) == (2, 0) or (group == 8 and element in {0, *_BARE}):
            explicit = start[4:6].isalpha() and start[4:6].isupper()
            implicit = order == "<" and (length == 4 if element == 0 else element in _BARE and 0 < length <= 64)
            if explicit or implicit:
                return True
    return False


def _raw(data: Any, tag: str) -> Any:
    item = data.get_item(tag)
    return None if item is None else item.value


def _text(value: Any) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else "" if value is None else str(value)
    return text.strip(" \0\t\r\n")


def _word(data: Any, tag: str) -> int | None:
    item = data.get_item(tag)
    if item is None or not item.value:
        return None if item is None or item.value != 0 else 0
    if not isinstance(item.value, bytes):
        return int(item.value)
    return int.from_bytes(item.value[:4], "little" if item.is_little_endian else "big")


def _label(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else "\\".join(map(str, value))
