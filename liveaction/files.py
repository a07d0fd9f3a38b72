"""Files and folders that appear whole or not at all, and stay when the power goes."""

import errno
import hashlib
import itertools
import os
import platform
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from liveaction.errors import FormatError, LiveactionError, WriteError

_NAME = re.compile(
    r"\.(?P<kind>part|before)-(?P<pid>\d{1,9})-(?:(?P<machine>[0-9a-f]{8})(?:-(?P<count>\d{1,9}))?~)?(?P<name>.+)",
    re.DOTALL,
)
_LONGEST = 255  # bytes of a name, of every usual file system
_MORE = 2**16  # bytes, more than what is left of a block
_ATTEMPTS = 100
_count = itertools.count(1)
_SPECIAL = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
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
def atomic_path(path: Path, follow: bool = True) -> Iterator[Path]:
    """A path in the same folder to write to; it takes ``path``'s place when the block ends well, else it is removed.

    The temporary name keeps the suffixes of ``path``, since writers choose a format by them, and is no longer than a
    name may be; it is another one for each call, so that threads may write side by side, the last one's staying. What
    is written may be a folder; it takes the place of another folder as a whole. A link stays: what it points to is
    replaced, or made; with ``follow`` false, for names that nobody chose, the link is replaced. File and folder are on
    the disk, not only in the system's memory, when this returns. The first use in a folder clears it as
    :func:`remove_leftovers` does.

    Raises:
        WriteError: there is no room, no right, the disk fails, or a device, pipe or socket stands there.
    """
    final = destination(path) if follow else path
    _clean_once(final.parent)
    part, before = temporary_path(final, suffixes=path.name), temporary_path(final, "before")
    try:
        with write_errors(path, part):
            yield part
            _require_room(part)
            _to_disk(part)
            _replace(part, final, before)
            _folder_to_disk(final.parent)
    except BaseException:
        with suppress(OSError):
            _put_back(before, final)
        raise
    finally:
        for rest in (part, before):
            with suppress(OSError):
                _remove(rest)


def destination(path: Path) -> Path:
    """Where a file or folder that is written under ``path`` goes: there, or to what a link of that name points to.

    Raises:
        WriteError: what stands there can be neither.
    """
    with write_errors(path):
        kind = _kind(path)
    if kind:
        raise WriteError(f"{path}: expected a file, a folder or a new name to write to, got {kind}; choose another one")
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _kind(path: Path) -> str:
    """What stands under a name that can be neither file nor folder; empty where nothing speaks against it."""
    whole = os.path.normpath(path.absolute())
    if whole.startswith(("/dev/std", "/dev/fd/", "/proc/")):
        return "a stream of the process or a part of the system"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise
        return "a link to itself" if error.errno == errno.ELOOP else ""
    return _SPECIAL.get(stat.S_IFMT(mode), "")


@contextmanager
def write_errors(path: Path, part: Path | None = None) -> Iterator[None]:
    """Turn what goes wrong when ``path`` is written, in any library, into a :class:`WriteError`.

    Args:
        path: stands in the message.
        part: what is written in its stead; where an error says nothing, it is tried whether more can be added to it.
    """
    try:
        yield
    except LiveactionError:
        raise
    except Exception as error:
        reason = _reason(error, path) or (_no_room(part) if part is not None else None)
        if reason is None:
            raise
        (expected, way), got = reason
        raise WriteError(f"{path}: {expected}, got {got}; {way}") from error


def temporary_path(path: Path, kind: str = "part", suffixes: str = "") -> Path:
    """A new name beside ``path`` for what this call writes; it says whose it is, on which machine.

    Args:
        path: what is written in the end.
        kind: ``part`` for what is being written. ``before`` is a folder for what ``path`` was, under its own name.
        suffixes: a name whose end the new one has; that of ``path`` where empty.
    """
    start = f".{kind}-{os.getpid()}-{_machine()}-{next(_count)}~"
    if kind == "before":
        return path.with_name(start + "x")
    end, room = os.fsencode(suffixes or path.name), _LONGEST - len(start)
    if len(end) > room:
        end = end[-room:]
        while end[0] & 0xC0 == 0x80:  # not in the middle of a letter
            end = end[1:]
    return path.with_name(start + os.fsdecode(end))


def remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine that live no more left half-written in ``folder``.

    A whole folder that was about to be replaced comes back where nothing took its place. What processes of other
    machines and containers write is left alone: whether they live cannot be seen from here.
    """
    with suppress(OSError):
        names = [found for entry in os.scandir(folder) if (found := _NAME.fullmatch(entry.name))]
        ours = [found for found in names if found["machine"] in (None, _machine())]
        dead = [found for found in ours if not _lives(int(found["pid"]))]
        kept = {name for found in names if found not in dead for name in _held(folder, found)}
        for found in sorted(dead, key=lambda found: _changed(folder / found.string), reverse=True):
            with suppress(OSError):
                for name, rest in _held(folder, found).items():
                    if name not in kept and not (folder / name).exists():
                        rest.replace(folder / name)
                _remove(folder / found.string)


def _held(folder: Path, found: re.Match[str]) -> dict[str, Path]:
    """What was about to be replaced, by the name it had: what a folder ``before`` holds, or, in an older way, is."""
    rest = folder / found.string
    if found["kind"] != "before":
        return {}
    if found["count"] is None:
        return {found["name"]: rest}
    with suppress(OSError):
        return {path.name: path for path in rest.iterdir()}
    return {}


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
    for attempt in range(_ATTEMPTS):
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            return
        except OSError as error:  # what failed to be written may be written to by a library's threads for a while
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT) or attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.01)


def _replace(part: Path, final: Path, before: Path) -> None:
    """Put ``part`` in the place of ``final``; a folder that stands there goes to ``before``, and then for good."""
    for attempt in range(_ATTEMPTS):
        try:
            if part.is_dir() and final.is_dir():
                _remove(before)
                before.mkdir()
                final.replace(before / final.name)
            part.replace(final)
            return
        except OSError as error:  # another thread or process was faster
            again = error.errno in (errno.ENOTEMPTY, errno.EEXIST) or (error.errno == errno.ENOENT and part.exists())
            if not again or attempt == _ATTEMPTS - 1:
                raise


def _put_back(before: Path, final: Path) -> None:
    if (before / final.name).exists() and not final.exists():
        (before / final.name).replace(final)


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


def _require_room(part: Path) -> None:
    """Raise OSError where nothing could be added to a file: its library may have lost what came last, and be silent."""
    if part.is_file():
        size = part.stat().st_size
        with part.open("r+b", buffering=0) as file:
            file.seek(size)
            try:
                file.write(bytes(_MORE))
            finally:
                file.truncate(size)


def _no_room(part: Path) -> tuple[tuple[str, str], str] | None:
    """Whether nothing more can be written where ``part`` is; it is of no use any more."""
    tried = part / ".room" if part.is_dir() else part
    try:
        with tried.open("ab", buffering=0) as file:
            file.write(bytes(_MORE))
    except OSError as error:
        return (_REASONS[error.errno], str(error.strerror)) if error.errno in _REASONS else None
    return None


def _is_under(name: object, path: Path) -> bool:
    """Whether a file that the system names is one of those made to write ``path``, or a folder it is in."""
    if not isinstance(name, str | bytes | os.PathLike):
        return False
    there = Path(os.fsdecode(name))
    if there in (path, *path.parents) or path in there.parents:
        return True
    found = [_NAME.fullmatch(part) for part in there.parts]
    return any(name is not None and int(name["pid"]) == os.getpid() for name in found)


def require_regular(path: Path) -> None:
    """Refuse what is read for ever, or not at all: FIFOs, devices and sockets, in a folder as well.

    What is not there, or may not be looked at, is left to whoever opens it.

    Raises:
        FormatError: it is such a thing, or holds one.
    """
    with suppress(OSError):
        mode = path.stat().st_mode
        if kind := _SPECIAL.get(stat.S_IFMT(mode)):
            raise FormatError(f"{path}: expected a file or a folder, got {kind}; copy what it gives to a file")
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
