"""When frames are shown: a constant rate, exactly, or a timestamp each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class FrameTiming:
    """Frames per second, exactly; None where nothing says so. ``stamps`` count ``base`` seconds where frames vary."""

    rate: Fraction | None
    base: Fraction
    stamps: tuple[int, ...] = ()

    @property
    def step(self) -> float:
        """Seconds between frames, the mean where they vary; 1 where nothing says so."""
        return float(1 / self.rate) if self.rate else 1.0


def settle_timing(stamps: Sequence[int | None], base: Fraction, rates: Sequence[Fraction | None]) -> FrameTiming:
    """Find the rate that the timestamps follow to within one tick, which is how containers round; else keep them.

    Args:
        stamps: of each frame in ticks of ``base``; None where the container says nothing.
        base: seconds per tick.
        rates: what the container says, the most trusted first.
    """
    said = [rate for rate in rates if rate]
    known = [stamp for stamp in stamps if stamp is not None]
    if len(known) < max(2, len(stamps)):
        return FrameTiming(said[0] if said else None, base)
    ticks = [stamp - known[0] for stamp in known]
    mean = Fraction(len(ticks) - 1) / (ticks[-1] * base) if ticks[-1] > 0 else None
    for rate in (*said, *([mean] if mean else [])):
        if is_steady(ticks, base, rate):
            return FrameTiming(rate, base)
    return FrameTiming(mean or (said[0] if said else None), base, tuple(ticks))


def is_steady(ticks: Sequence[int], base: Fraction, rate: Fraction) -> bool:
    """Whether frame k lies at k / rate to within one tick."""
    frame, tick = base.denominator * rate.denominator, base.numerator * rate.numerator
    return all(abs(stamp * tick - k * frame) <= tick for k, stamp in enumerate(ticks))


def parse_fraction(text: str) -> Fraction | None:
    """A positive ratio such as ``30000/1001`` or ``25``; None for anything else, exponents among it: 1e999999999."""
    if not re.fullmatch(r"\s*[+-]?[\d_]{0,30}(\.\d{0,30})?([/:][\d_]{1,30})?\s*", text):
        return None
    try:
        value = Fraction(text.replace(":", "/"))
    except (ValueError, ZeroDivisionError):
        return None
    return value if value > 0 else None
