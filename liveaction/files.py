"""Files and folders that appear whole or not at all, and stay when the power goes."""

import errno
import hashlib
import os
import platform
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from liveaction.errors import FormatError, LiveactionError, WriteError

_NAME = re.compile(r"\.(?P<kind>part|before)-(?P<pid>\d{1,9})-(?:(?P<machine>[0-9a-f]{8})~)?(?P<name>.+)", re.DOTALL)
_ROOM = "expected room to write", "free some there, or choose another place"
_RIGHT = "expected the right to write", "change it, or choose another place"
_DISK = "expected a disk that takes what is written", "check the disk, or choose another place"
_PLACE = "expected a place to write to", "choose another one"
_REASONS = {
    errno.ENOSPC: _ROOM, errno.EFBIG: _ROOM, errno.EDQUOT: _ROOM, errno.EACCES: _RIGHT, errno.EPERM: _RIGHT,
    errno.EROFS: _RIGHT, errno.EIO: _DISK,
}  # fmt: skip
_cleaned: set[tuple[int, Path]] = set()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path in the same folder to write to; it takes ``path``'s place when the block ends well, else it is removed.

    The temporary name keeps the suffixes of ``path``, since writers choose a format by them. What is written may be a
    folder; it takes the place of another folder as a whole. File and folder are on the disk, not only in the
    system's memory, when this returns. The first use in a folder clears it as :func:`remove_leftovers` does.

    Raises:
        WriteError: there is no room, no right, or the disk fails.
    """
    _clean_once(path.parent)
    part, before = temporary_path(path), temporary_path(path, "before")
    try:
        with write_errors(path):
            _remove(part)
            yield part
            _to_disk(part)
            if part.is_dir() and path.is_dir():
                path.replace(before)
            part.replace(path)
            _folder_to_disk(path.parent)
    finally:
        with suppress(OSError):
            if before.exists() and not path.exists():
                before.replace(path)
            for rest in (part, before):
                _remove(rest)


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn what goes wrong when ``path`` is written, in any library, into a :class:`WriteError`."""
    try:
        yield
    except LiveactionError:
        raise
    except Exception as error:
        reason = _reason(error, path)
        if reason is None:
            raise
        (expected, way), got = reason
        raise WriteError(f"{path}: {expected}, got {got}; {way}") from error


def temporary_path(path: Path, kind: str = "part") -> Path:
    """The name beside ``path`` of what this process is writing; it says whose it is, on which machine."""
    return path.with_name(f".{kind}-{os.getpid()}-{_machine()}~{path.name}")


def remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine that live no more left half-written in ``folder``.

    A whole folder that was about to be replaced comes back where nothing took its place. What processes of other
    machines and containers write is left alone: whether they live cannot be seen from here.
    """
    with suppress(OSError):
        names = [found for entry in os.scandir(folder) if (found := _NAME.fullmatch(entry.name))]
        ours = [found for found in names if found["machine"] in (None, _machine())]
        dead = [found for found in ours if not _lives(int(found["pid"]))]
        for found in sorted(dead, key=lambda found: _changed(folder / found.string), reverse=True):
            rest, final = folder / found.string, folder / found["name"]
            others = [n for n in names if n["kind"] == "before" and n["name"] == found["name"] and n not in dead]
            with suppress(OSError):
                if found["kind"] == "before" and not final.exists() and not others:
                    rest.replace(final)
                else:
                    _remove(rest)


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, 64 hex digits; constant memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _clean_once(folder: Path) -> None:
    place = os.getpid(), Path(os.path.realpath(folder))
    if place not in _cleaned:
        _cleaned.add(place)
        remove_leftovers(folder)


@cache
def _machine() -> str:
    """Eight hex digits of what tells apart machines, and containers whose process numbers are their own."""
    known = [platform.node()]
    with suppress(OSError):
        known.append(str(Path("/proc/self/ns/pid").readlink()))
    with suppress(OSError):
        known.append(Path("/etc/machine-id").read_text(encoding="utf-8"))
    return hashlib.sha256("\n".join(known).encode(errors="surrogateescape")).hexdigest()[:8]


def _lives(pid: int) -> bool:
    """Whether a process may still write; in doubt it may. One that ended and waits for its parent may not."""
    import psutil

    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _changed(path: Path) -> int:
    try:
        return path.lstat().st_ctime_ns
    except OSError:
        return 0


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """A file, or all that a folder holds."""
    if path.is_dir():
        for place, _, files in os.walk(path):
            for name in files:
                _sync(Path(place, name))
            _folder_to_disk(Path(place))
    else:
        _sync(path)


def _folder_to_disk(folder: Path) -> None:
    """The names in a folder; some file systems know no such thing, and lose nothing by it."""
    with suppress(OSError):
        _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _reason(error: Exception, path: Path) -> tuple[tuple[str, str], str] | None:
    """What was missing and what the system says; None where the error is another one."""
    if isinstance(error, OSError) and error.errno is not None:
        here = error.filename is not None and _is_under(error.filename, path)
        if error.errno in _REASONS and (here or error.filename is None):
            return _REASONS[error.errno], str(error.strerror)
        return (_PLACE, str(error.strerror)) if here else None
    # libraries in other languages keep the words of the system, not its number
    for number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        if os.strerror(number).lower() in str(error).lower():
            return _ROOM, os.strerror(number)
    return None


def _is_under(name: object, path: Path) -> bool:
    if not isinstance(name, str | bytes | os.PathLike):
        return False
    there = Path(os.fsdecode(name))
    places = (path, temporary_path(path), temporary_path(path, "before"))
    return there in path.parents or any(there == place or place in there.parents for place in places)


def require_regular(path: Path) -> None:
    """Refuse what is read for ever, or not at all: FIFOs, devices and sockets, in a folder as well.

    What is not there, or may not be looked at, is left to whoever opens it.

    Raises:
        FormatError: it is such a thing, or holds one.
    """
    with suppress(OSError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise FormatError(f"{path}: expected a file or a folder, got {_kind(mode)}; copy what it gives to a file")
        if stat.S_ISDIR(mode):
            with os.scandir(path) as entries:
                for entry in entries:
                    if not entry.is_file(follow_symlinks=False) and not (entry.is_symlink() and entry.is_dir()):
                        require_regular(Path(entry.path))


def read_small(path: Path, most: int) -> bytes:
    """The bytes of a file that should be small.

    Raises:
        FormatError: it is no regular file.
        OSError: it cannot be read, or has more than ``most`` bytes.
    """
    require_regular(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"more than {most} bytes", str(path))
        return file.read(size)


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
