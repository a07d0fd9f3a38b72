"""Exceptions of the kit.

A message is one line: ``where: expected rule, got value; way out`` -- lower case, no full stop, values in
``repr``, shapes as tuples.
"""


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


def printable(text: object) -> str:
    """A text that is not ours, such as what another package raised, in one line without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(text).split()))
