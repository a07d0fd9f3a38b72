"""Sound as recognisers take it: one channel, 16 kHz, full scale 1."""

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.signal import Signal

RATE = 16000
"""Samples per second."""


def refuses_sound(signal: Signal) -> str | None:
    """Why a signal is no sound, in a few words; None where it is."""
    return None if signal.axes == ("t",) and signal.spacing[0] > 0 else f"no sound: axes {signal.axes}"


def speech_of(signal: Signal) -> NDArray[np.float32]:
    """The mean of the channels ``[T]`` at 16 kHz around silence, full scale 1; polyphase filters."""
    from scipy.signal import resample_poly

    values: NDArray[Any] = signal.filled().astype(np.float64)
    dtype = np.dtype(signal.dtype)
    if dtype.kind in "iu":
        half = 2.0 ** ((signal.bits or 8 * dtype.itemsize) - 1)
        values = (values - (half if dtype.kind == "u" else 0)) / half
    ratio = Fraction(RATE * signal.spacing[0]).limit_denominator(1000)
    mono = values.mean(axis=0)
    changed = mono if ratio == 1 else resample_poly(mono, ratio.numerator, ratio.denominator)
    return np.asarray(changed, np.float32)
