"""Exceptions of the kit.

A message is one line: ``where: expected rule, got value; way out`` -- lower case, no full stop, values in
``repr``, shapes as tuples.
"""

import errno
import re

_NO_MEMORY = (
    "can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory", "bad_alloc",
    "failed to map segment", "can't start new thread",
)  # fmt: skip


class LiveactionError(Exception):
    """Base of everything this package raises on purpose."""


class SpecError(LiveactionError, ValueError):
    """A recipe or spec breaks a rule: names the file, the table and the key."""


class ShapeError(LiveactionError, ValueError):
    """A tensor has a shape, dtype or device that the operation does not take."""


class FormatError(LiveactionError, ValueError):
    """Bytes on disk are not what they should be."""


class IntegrityError(FormatError):
    """A checksum or a digest does not match."""


class UnknownNameError(LiveactionError, LookupError):
    """A name that nothing is registered under; the message lists the close matches."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class MissingDependencyError(LiveactionError, ImportError):
    """An optional package is needed; the message names the extra to install."""


class TrainingError(LiveactionError, RuntimeError):
    """Training cannot go on: a loss that is not finite, a run directory in use, a checkpoint of another recipe."""


class WriteError(LiveactionError, OSError):
    """Something cannot be written: no room, no right, a disk that fails."""


class WorkerError(LiveactionError, RuntimeError):
    """A process that was to work ended instead."""


class LiveactionWarning(UserWarning):
    """Something asked for is being ignored or bent, and the user should know."""


def escaped(text: object) -> str:
    """A text in one line, every character that cannot be printed as Python writes it: ``\\x1b``, ``\\udcff``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def printable(text: object) -> str:
    """A text that is not ours, such as what another package raised, in one line, :func:`escaped`."""
    return escaped(" ".join(str(text).split()))


def warning_line(message: Warning | str, category: type[Warning]) -> str:
    """A warning in one line; one that is not of this package with its kind."""
    words = printable(message)
    return words if issubclass(category, LiveactionWarning) else f"{category.__name__}: {words}"


def memory_line(error: BaseException) -> str | None:
    """What to say of an error where memory ran out, in whatever library; None of any other."""
    words = str(error)
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if isinstance(error, OSError | RuntimeError | ImportError):
        known |= getattr(error, "errno", None) == errno.ENOMEM or any(word in words.lower() for word in _NO_MEMORY)
    if not known or isinstance(error, LiveactionError):
        return None
    size = re.search(r"allocate ([\d.]+ (?:[KMGT]?i?B|bytes))", words)
    what = size[1] if size else "what was asked for"
    return f"expected memory for {what}, got none; take a smaller part, fewer --jobs, or a machine with more"
