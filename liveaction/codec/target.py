"""What a stream is to be instead of how fine: its size, its ratio, its PSNR or its error."""

import re
from dataclasses import dataclass
from math import inf, log2, log10
from typing import Literal, TypedDict

from liveaction.errors import SpecError, printable

Kind = Literal["size", "ratio", "psnr", "error"]

SIZE_SHARE, ERROR_SHARE, DECIBELS = 0.02, 0.01, 0.1
"""How far a stream may stay below a size, an error stay below its target, and a PSNR lie above its own."""

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+) *([kmg]i?)?b?", re.IGNORECASE)
_PER_OCTAVE = 20 * log10(2)  # dB of an error that halves


class TargetOptions(TypedDict, total=False):
    """What a stream is to be, at most one of them, and instead of ``step`` and ``quality``.

    Attributes:
        target_size: bytes of the whole stream, a number or text such as ``200kB`` (200,000) or ``1.5MiB``: it takes at
            most so many, and at least 98 % of them.
        target_ratio: bytes of the values in the source's dtype to those of the stream: as a size.
        target_psnr: in dB, as ``decompress --against`` says it: it has at least that, and at most 0.1 dB more.
        target_error: root mean square of the error in the signal's unit, of what was measured: at most so much, and at
            least 99 % of it.
    """

    target_size: int | str | None
    target_ratio: float | None
    target_psnr: float | None
    target_error: float | None


@dataclass(frozen=True)
class Target:
    """A size in bytes, a ratio, a PSNR in dB, or an error in the signal's unit.

    Attributes:
        kind: which of them.
        value: positive.
    """

    kind: Kind
    value: float

    @property
    def option(self) -> str:
        """Of the command."""
        return f"--target-{self.kind}"

    @property
    def of_bytes(self) -> bool:
        """Whether bytes alone tell if it is met; else what they decode to does."""
        return self.kind in ("size", "ratio")

    @property
    def width(self) -> float:
        """Of the window of :meth:`height`, in octaves."""
        if self.kind == "psnr":
            return DECIBELS / _PER_OCTAVE
        return -log2(1 - (SIZE_SHARE if self.of_bytes else ERROR_SHARE))

    def height(self, reached: float) -> float:
        """How many times too large, as a power of two, a stream or its error is; 0 and less will do.

        Args:
            reached: bytes for a size, a ratio, a PSNR or an error, as the target.
        """
        if self.kind == "psnr":
            return (self.value - reached) / _PER_OCTAVE
        if reached == 0:
            return -inf
        return log2(self.value / reached) if self.kind == "ratio" else log2(reached / self.value)

    def options(self) -> TargetOptions:
        """As options of compressing."""
        match self.kind:
            case "size":
                return {"target_size": round(self.value)}
            case "ratio":
                return {"target_ratio": self.value}
            case "psnr":
                return {"target_psnr": self.value}
            case _:
                return {"target_error": self.value}

    def text(self, reached: float, unit: str = "") -> str:
        """A value of its kind in words; ``unit`` is the signal's."""
        match self.kind:
            case "size":
                return f"{round(reached):,} bytes"
            case "ratio":
                return f"{reached:.6g}:1"
            case "psnr":
                return f"{reached:.5g} dB"
            case _:
                return f"{reached:.4g} {unit}".rstrip()

    def __str__(self) -> str:
        return f"{self.kind} {self.value:.17g}"


@dataclass(frozen=True)
class Aim:
    """How a target was reached.

    Attributes:
        target: that was asked for.
        reached: what it came to: bytes, a ratio, dB, or an error in the unit.
        within: whether that is as close as targets are; where not, no step comes closer.
        trials: streams that were made for it, this one among them.
        seconds: that they took, with decoding and comparing.
    """

    target: Target
    reached: float
    within: bool
    trials: int
    seconds: float

    def fields(self) -> dict[str, str | float | bool]:
        """For JSON."""
        said = {"kind": self.target.kind, "wanted": self.target.value, "reached": self.reached, "within": self.within}
        return {**said, "trials": self.trials, "seconds": self.seconds}

    def text(self, step: float, unit: str) -> str:
        """In words: ``target 200,000 bytes: 198,764 bytes at step 0.0831, 6 trials``."""
        wanted, reached = (self.target.text(value, unit) for value in (self.target.value, self.reached))
        trials = f"{self.trials} trial{'s' if self.trials > 1 else ''}"
        return f"target {wanted}: {reached} at step {step:.3g}, {trials}"


def target_of(
    size: int | str | None = None, ratio: float | None = None, psnr: float | None = None, error: float | None = None
) -> Target | None:
    """The target that was given; None where none was.

    Raises:
        SpecError: several are given, or one is out of its range.

    Example:
        >>> target_of(size="200kB")
        Target(kind='size', value=200000)
    """
    kinds: tuple[Kind, ...] = ("size", "ratio", "psnr", "error")
    given = [(kind, value) for kind, value in zip(kinds, (size, ratio, psnr, error), strict=True) if value is not None]
    if not given:
        return None
    if len(given) > 1:
        names = ", ".join(f"--target-{kind}" for kind, _ in given)
        raise SpecError(f"{names}: expected one of them, got {len(given)}")
    kind, value = given[0]
    if kind == "size":
        return Target(kind, parse_size(value))
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
        raise SpecError(f"--target-{kind}: expected a positive number, got {printable(repr(value))[:40]}")
    return Target(kind, float(value))


def parse_size(size: object) -> int:
    """Bytes as a number or as text: ``200kB`` is 200,000, ``200KiB`` 204,800.

    Raises:
        SpecError: neither, or less than one byte.

    Example:
        >>> parse_size("1.5 MiB"), parse_size("200k"), parse_size(7)
        (1572864, 200000, 7)
    """
    found = _SIZE.fullmatch(size.strip()) if isinstance(size, str) else None
    if found is not None:
        count = int(float(found[1]) * _UNITS[(found[2] or "").lower()])
    else:
        count = size if isinstance(size, int) and not isinstance(size, bool) else 0
    if not 1 <= count < 2**63:
        raise SpecError(
            f"--target-size: expected bytes such as 200000, 200kB or 1.5MiB, got {printable(repr(size))[:40]}"
        )
    return count
