"""Two pieces of music at once, made here: what stays when the one that stands aside is taken away?

The target is a window of a stereo recording as it is. What is added is a window of another recording, made mono and
panned to one side by 20 to 45 degrees at constant power, 5 dB louder to 5 dB fainter. Every third recording is heard in
tests alone. Synthetic: nobody played together, and no room is around them.
"""

import csv
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.learning.labels import TEST, TRAIN

COUNTS = {TRAIN: 400, TEST: 100}
SAMPLES, RATE = 32768, 44100
LOUD, FAINT = 0.1, 0.003
"""Root mean square of the target in a mixture, and that a window must have before."""
GAIN, ASIDE = 5.0, (20.0, 45.0)
"""Most dB between the two, and degrees of panning."""
ABOUT = {"counts": COUNTS, "samples": SAMPLES, "rate": RATE, "gain": GAIN, "aside": ASIDE, "seed": 0}

Sound = NDArray[np.float64]


def make(source: Path, out: Path) -> None:
    """Stereo WAV files, ``alone/`` with their targets, and ``items.csv``.

    Args:
        source: five stereo recordings or more, of a window's length at least.

    Raises:
        FormatError: there are fewer, or one is no stereo, or silent.
    """
    import soundfile

    paths = sorted(path for path in source.iterdir() if path.suffix.lower() in (".flac", ".wav"))
    if len(paths) < 5:
        raise FormatError(f"{source}: expected five stereo recordings or more, got {len(paths)}")
    pools = {TRAIN: [path for number, path in enumerate(paths) if number % 3 != 1], TEST: paths[1::3]}
    rng, rows = np.random.default_rng(0), []
    (out / "alone").mkdir()
    for split, count in COUNTS.items():
        sounds = [_read(path) for path in pools[split]]
        for number in range(count):
            first, second = rng.permutation(len(sounds))[:2].tolist()
            target = LOUD * _window(sounds[first], rng)
            mixture = target + LOUD * _aside(_window(sounds[second], rng), rng)
            most = max(1.0, float(np.abs(mixture).max()), float(np.abs(target).max()))
            name = f"{split}_{number:04}.wav"
            for path, x in ((out / name, mixture), (out / "alone" / name, target)):
                soundfile.write(path, np.rint(32767 * x / most).astype(np.int16), RATE, subtype="PCM_16")
            rows.append([name, f"alone/{name}", split])
    with (out / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split"], *rows])


def _read(path: Path) -> Sound:
    """A recording at 44.1 kHz, ``[t, 2]``."""
    import soundfile
    from scipy.signal import resample_poly

    x, rate = soundfile.read(path, dtype="float64", always_2d=True)
    divisor = gcd(int(rate), RATE)
    x = x if rate == RATE else np.asarray(resample_poly(x, RATE // divisor, int(rate) // divisor, axis=0))
    if x.shape[1] != 2 or len(x) < SAMPLES:
        raise FormatError(f"{path}: expected a stereo recording of {SAMPLES} samples or more, got {x.shape[::-1]}")
    if _loudness(x) < FAINT:
        raise FormatError(
            f"{path}: expected a recording that is not silent, got a root mean square of {_loudness(x):g}"
        )
    return x


def _window(x: Sound, rng: np.random.Generator) -> Sound:
    """A window of root mean square 1, not of silence; one as loud as the whole is always there."""
    while True:
        start = int(rng.integers(len(x) - SAMPLES + 1))
        part = x[start : start + SAMPLES]
        if _loudness(part) >= FAINT:
            return np.asarray(part / _loudness(part))


def _aside(x: Sound, rng: np.random.Generator) -> Sound:
    """Mono, to one side, of root mean square 1 times a gain."""
    mono = x.mean(1)
    angle = np.deg2rad(45 + rng.choice([-1, 1]) * rng.uniform(*ASIDE))
    panned = mono[:, None] * np.array([np.cos(angle), np.sin(angle)])
    return np.asarray(panned * (10 ** (rng.uniform(-GAIN, GAIN) / 20) / max(_loudness(panned), FAINT)))


def _loudness(x: Sound) -> float:
    return float(np.sqrt(np.mean(np.square(x))))
