"""What to listen to of a recording: two channels around its loudest stretch, and a spectrogram to look at."""

from dataclasses import replace
from math import gcd, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.modalities.audio.preview import coloured, full_scale, spectrogram
from liveaction.modalities.exhibit import Exhibit, Sound
from liveaction.modalities.exhibit_pixels import FRAME, check_alike, to_picture
from liveaction.signal import Signal

_SECONDS, _RATE = 10.0, 48000  # the longest stretch, and the highest rate that browsers play as it is
_PEAK, _MOST_GAIN = 0.7, 60  # of full scale, and dB


def audio_exhibits(signal: Signal, like: Signal, stereo: bool) -> list[Exhibit]:
    """The loudest ten seconds of the first two channels, raised or lowered alike, and their first one's spectrogram.

    Args:
        signal: ``[C, T]``.
        like: the original, the same shape; it alone decides stretch, gain and colours.
        stereo: both channels in one sound, as music is; else each by itself.

    Raises:
        ShapeError: the shapes differ.
    """
    check_alike(signal, like)
    rate = round(1 / like.spacing[0])
    part = _loudest(full_scale(replace(like, values=like.values[:1]))[0], round(_SECONDS * rate))
    before, after = (full_scale(s.crop(part))[:2] for s in (like, signal))
    gain = _gain(before)
    told = f", {gain:+d} dB" if gain else ""
    heard = _resampled(after * 10 ** (gain / 20), rate).clip(-1, 1).astype(np.float32)
    groups = {"left and right": heard} if stereo and len(heard) == 2 else {
        f"channel {number}": channel[np.newaxis] for number, channel in enumerate(heard, 1)
    }  # fmt: skip
    sounds = [Sound(f"{name}{told}", samples, min(rate, _RATE)) for name, samples in groups.items()]
    step = like.spacing[0]
    top = float(spectrogram(before[0], step).max())
    shown = coloured(spectrogram(after[0], step), top)
    name = f"spectrogram of channel 1, 0 to {rate / 2000:g} kHz, {after.shape[1] * step:.2f} s"
    return [*sounds, to_picture(name, shown, most=FRAME)]


def _loudest(values: NDArray[np.float32], length: int) -> slice:
    """The stretch of ``length`` samples with most energy, or all."""
    if len(values) <= length:
        return slice(0, len(values))
    total = np.concatenate([[0.0], np.square(values, dtype=np.float64).cumsum()])
    start = int(np.argmax(total[length:] - total[:-length]))
    return slice(start, start + length)


def _gain(values: NDArray[np.float32]) -> int:
    """Whole decibels that bring the peak near 0.7 of full scale; none for what is silent."""
    peak = float(np.abs(values).max())
    return min(_MOST_GAIN, round(20 * log10(_PEAK / peak))) if peak > 0 else 0


def _resampled(values: NDArray[Any], rate: int) -> NDArray[Any]:
    """``[C, T]`` at 48 kHz where the rate is higher."""
    if rate <= _RATE:
        return values
    from scipy.signal import resample_poly

    common = gcd(rate, _RATE)
    resampled: NDArray[Any] = resample_poly(values, _RATE // common, rate // common, axis=-1)
    return resampled
