"""What a file format of the modality ``array`` is, and which are installed: ours, and those of other packages.

A format of your own is a class with ``suffixes``, ``read`` and ``write`` under an entry point:

    [project.entry-points."liveaction.formats"]
    raw32 = "my_format:Raw32"
"""

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionWarning

GROUP = "liveaction.formats"
_HARMLESS = 2**30  # bytes that every machine has, whatever a file declares
MOST_UNPACKED = 1 << 14
"""Bytes of an array per byte stored, at most: deflate reaches 1032, block compressors of a constant some thousands."""
DTYPES = (
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64",
)  # fmt: skip


class Step(NamedTuple):
    """The samples that are left of an axis: one of ``factor``, from ``origin`` on in the whole; how many."""

    factor: int
    origin: float
    samples: int


class Format(ABC):
    """One array in a file, and what else must be kept to write the file back.

    ``read`` and ``write`` may raise what they like; the modality makes one line of it. Writing goes to a temporary name
    that takes the target's place at the end.
    """

    suffixes: tuple[str, ...] = ()

    def holds(self, path: Path) -> bool:
        """Whether ``path``, whose name ends in a suffix of this format, is there as one of its items."""
        return path.is_file()

    def parts(self, path: Path) -> list[Path]:
        """Files that the item consists of: where one of them changes, it is another item."""
        return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]

    def cropped(self, stored: dict[str, Any], box: tuple[slice, ...]) -> dict[str, Any]:
        """What :meth:`read` gave, as it holds for a region; one slice per axis as stored."""
        return stored

    def scaled(self, stored: dict[str, Any], steps: Sequence[Step | None]) -> dict[str, Any]:
        """What :meth:`read` gave, as it holds for fewer samples; one step per axis as stored, None where all stay."""
        return stored

    def stripped(self, stored: dict[str, Any]) -> dict[str, Any]:
        """What :meth:`read` gave, without attributes and all else that only describes; here the key alone."""
        return {"key": stored["key"]} if "key" in stored else {}

    @abstractmethod
    def read(self, path: Path, key: str | None) -> tuple[NDArray[Any], dict[str, Any]]:
        """The array as it is stored, and JSON data that :meth:`write` needs to make an equal file.

        Args:
            path: an existing file.
            key: which array of several, as ``modality.options.key`` names it; None takes the only one.
        """

    @abstractmethod
    def write(self, path: Path, array: NDArray[Any], metadata: dict[str, Any]) -> None:
        """Write ``array`` in the dtype, byte order and memory order it has.

        Args:
            path: a file that does not exist yet, in a folder that does.
            metadata: what :meth:`read` gave; for a new file ``{"key": ...}`` where the recipe has one, else empty.
        """


@cache
def formats() -> dict[str, Format]:
    """Every installed format by the name of its entry point."""
    return {point.name: point.load()() for point in entry_points(group=GROUP)}


def find_format(path: Path) -> tuple[str, Format] | None:
    """Name and format of the longest suffix that ``path`` ends in, in any case; None where no format knows it.

    Raises:
        FormatError: two formats claim that suffix.
    """
    name = path.name.lower()
    fits = [(len(s), key, form) for key, form in formats().items() for s in form.suffixes if name.endswith(s.lower())]
    best = [(key, form) for length, key, form in fits if length == max(found[0] for found in fits)]
    if len(best) > 1:
        names = " and ".join(key for key, _ in best)
        raise FormatError(f"{path}: expected one format for this suffix, got {names}; uninstall one of the packages")
    return best[0] if best else None


def choose_array(path: Path, names: Iterable[str], key: str | None) -> str:
    """The array that ``key`` names, or the only one there is.

    Raises:
        FormatError: no such array, none at all, or several and no key.
    """
    names = sorted(names)
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "none"
    if key is not None:
        if key.strip("/") in names:
            return key.strip("/")
        raise FormatError(f"{path}: expected an array {key!r} as modality.options.key says, got {listed}; change key")
    if len(names) == 1:
        return names[0]
    raise FormatError(f"{path}: expected one array, got {listed}; name the one to take in modality.options.key")


def check_key(path: Path, key: Any) -> str:
    """A name that a stream says its array had, without slashes at the ends, empty for the root of a Zarr store.

    Raises:
        FormatError: no text, or one that would lead elsewhere as a path: ``..``, a drive, a backslash, NUL.
    """
    name = key.strip("/") if isinstance(key, str) and len(key) < 1000 else "."
    strange = re.search(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:", name)
    if strange or (name and any(part in ("", ".", "..") for part in name.split("/"))):
        raise FormatError(f"{path}: expected a plain name as key of the array, got {str(key)[:80]!r}")
    return name


def check_unpacked(path: Path, size: int, stored: int, chunk: int = 0) -> None:
    """Refuse an array that would take far more memory than the bytes it is made from, or than it has to.

    Args:
        path: named in the message.
        size: bytes that the array declares.
        stored: bytes that it takes in the file.
        chunk: bytes of each of its chunks, which are unpacked whole.

    Raises:
        FormatError: more than a GiB, and more than :data:`MOST_UNPACKED` times what is stored; or chunks of more than a
            GiB and of more than eight times the array.
    """
    if chunk > _HARMLESS and chunk > 8 * size:
        raise FormatError(
            f"{path}: expected chunks no larger than the array of {size} bytes, got some of {chunk}; store smaller ones"
        )
    if size > _HARMLESS and size > MOST_UNPACKED * max(stored, 1):
        raise FormatError(
            f"{path}: expected at most {MOST_UNPACKED} times the {stored} bytes stored, got an array of {size} bytes; "
            "store it with its values"
        )


def warn_absent(path: Path, name: str, there: int, total: int, fill: Any, what: str = "chunks") -> None:
    """Say that values of an array are not stored, which its format reads as the fill value."""
    if there < total:
        whole = repr(name) if name else "the array"
        text = f"{path}: expected all {total} {what} of {whole}, got {there}; the others read as the fill value {fill}"
        warnings.warn(LiveactionWarning(text), stacklevel=4)


def check_dtype(path: Path, dtype: np.dtype[Any]) -> None:
    """Refuse everything but real numbers of common widths, before a value is read.

    Raises:
        FormatError: complex, boolean, text, dates, objects, structures, numbers of other widths.
    """
    if dtype.name not in DTYPES:
        what = {"c": "split it into real and imaginary channels", "b": "store it as uint8"}.get(dtype.kind)
        raise FormatError(
            f"{path}: expected real numbers ({DTYPES[0]} to {DTYPES[-1]}), got {dtype.name}; "
            f"{what or 'convert it to such numbers'}"
        )
