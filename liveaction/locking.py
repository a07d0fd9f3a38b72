"""One process at a time: a lock on a file, which the system releases when the process ends, however it does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from liveaction.errors import SpecError, WriteError
from liveaction.files import write_errors


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """The handle of a file, made if missing, that nobody else has locked; its folder is this process's meanwhile.

    Raises:
        SpecError: another process has.
        WriteError: no room, or no right.
    """
    with write_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(handle, path.parent)
        yield handle
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SpecError(
            f"{folder}: expected no other process to write there, got one that does; wait for it, or choose another "
            "folder"
        ) from None
    except OSError as error:
        raise WriteError(
            f"{folder}: expected files that can be locked, got {error.strerror}; choose another place"
        ) from error
