"""Bytes that are read at any place, by any number of threads and forked processes at once."""

import io
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

from liveaction.errors import FormatError
from liveaction.files import require_regular

StreamData = bytes | bytearray | memoryview | str | Path
"""A stream, or where it lies."""


class Guard:
    """A lock that a forked process finds open, whoever held it when the process began."""

    def __init__(self) -> None:
        self._locks = dict[int, Lock]()

    @contextmanager
    def held(self) -> Iterator[None]:
        """One thread at a time is within."""
        with self._locks.setdefault(os.getpid(), Lock()):
            yield


class Source:
    """The bytes of a stream: in memory, of a file on disk, or of a file object that can seek.

    Those in memory and on disk may be pickled: the bytes go along, or the file's path, which is opened anew. A file on
    disk is read by position, so nothing is shared with whoever else reads it.

    Args:
        data: bytes, a path, or a file that is open and stays so.

    Attributes:
        size: in bytes.

    Raises:
        FormatError: the path cannot be opened, or is no regular file.
        TypeError: it is none of these.
    """

    def __init__(self, data: StreamData | BinaryIO) -> None:
        origin = cast("BinaryIO", data) if hasattr(data, "seek") else bytes_or_path(data)
        self._origin = origin.absolute() if isinstance(origin, Path) else origin
        self._guard = Guard()
        self._close: Callable[[], object] = lambda: None
        if isinstance(origin, bytes):
            self._file: BinaryIO = io.BytesIO(origin)
        elif isinstance(origin, Path):
            self._file = _open(origin)
            self._close = weakref.finalize(self, self._file.close)
        else:
            self._file = origin
        self._handle = _handle_of(self._file)
        self.size = self._file.seek(0, io.SEEK_END)

    def read_at(self, offset: int, length: int) -> bytes:
        """Bytes from ``offset`` on; fewer where the source ends.

        Raises:
            ValueError: it was closed.
        """
        if self._file.closed:  # its descriptor may be another file's by now
            raise ValueError("stream: expected one that is open, got one that was closed")
        if self._handle < 0:
            with self._guard.held():
                self._file.seek(offset)
                return self._file.read(length)
        found = bytearray()
        while len(found) < length and (part := os.pread(self._handle, length - len(found), offset + len(found))):
            found += part
        return bytes(found)

    def close(self) -> None:
        """Close what this opened; nothing can be read any more."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if not isinstance(self._origin, bytes | Path):
            raise TypeError(
                "stream: expected bytes or a path to go to another process, got an open file; open it there"
            )
        return Source, (self._origin,)


def bytes_or_path(data: object) -> bytes | Path:
    """What a stream is read from: bytes that stay as they are, or a path.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    if isinstance(data, str | os.PathLike):
        return Path(data)
    raise TypeError(f"stream: expected bytes or a path, got {type(data).__name__}")


def _open(path: Path) -> BinaryIO:
    try:
        require_regular(path)
        return path.open("rb", buffering=0)
    except OSError as error:
        raise FormatError(f"{path}: expected a readable .lva file, got {error.strerror}") from error


def _handle_of(file: BinaryIO) -> int:
    """The descriptor of a plain file, to read by position; -1 for other objects, and where systems cannot do so."""
    raw = getattr(file, "raw", file)
    return raw.fileno() if isinstance(raw, io.FileIO) and hasattr(os, "pread") else -1
