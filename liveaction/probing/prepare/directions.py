"""Microphones in simulated rooms around real speech: from which of twelve directions does it come?

Every item is four microphones on a circle of 8 cm radius in a room of its own that reverberates for 0.15 to 0.4 s; the
speaker stands 0.7 to 1.2 m away in one of twelve sectors of 30 degrees. Rooms are shoe boxes simulated by the image
source method (Allen and Berkley, 1979) with pyroomacoustics.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, MissingDependencyError

COUNTS = {"train": 1600, "test": 600}
SAMPLES, MICROPHONES, SECTORS, RADIUS, ORDER = 4096, 4, 12, 0.08, 5
TESTED = ("theo", "yweweler")
"""Speakers of the test items, of whom no training item is."""
NOISE = 10 ** (-30 / 20)
"""Of each microphone, white, beside the root mean square of the room's sound."""
ABOUT = {"counts": COUNTS, "samples": SAMPLES, "sectors": SECTORS, "radius": RADIUS, "order": ORDER, "seed": 0}


def make(source: Path, out: Path) -> None:
    """WAV files of four channels, and ``items.csv`` with their sectors.

    Args:
        source: recordings of digits, ``DIGIT_SPEAKER_INDEX.wav``.

    Raises:
        FormatError: there are none.
        MissingDependencyError: pyroomacoustics is not installed.
    """
    rng = np.random.default_rng(0)
    spoken = sorted(source.rglob("*_*_*.wav"))
    if not spoken:
        raise FormatError(f"{source}: expected recordings DIGIT_SPEAKER_INDEX.wav, got none")
    rows = []
    for split, count in COUNTS.items():
        pool = [path for path in spoken if (path.stem.split("_")[1] in TESTED) == (split == "test")]
        if not pool:
            raise FormatError(f"{source}: expected speakers for the split {split}, got none")
        for number in range(count):
            sector, name = int(rng.integers(SECTORS)), f"{split}_{number:04}.wav"
            rate = _write(out / name, pool[int(rng.integers(len(pool)))], sector, rng)
            rows.append([name, str(sector), split])
    if not rate:
        raise FormatError(f"{source}: expected recordings with a sample rate, got none")
    with (out / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split"], *rows])


def _write(path: Path, recording: Path, sector: int, rng: np.random.Generator) -> int:
    """One item; gives its sample rate."""
    import soundfile

    x, rate = soundfile.read(recording, dtype="float64")
    there = np.flatnonzero(x)
    x = x[there[0] : there[-1] + 1][: SAMPLES - SAMPLES // 10] if len(there) else x[:1]
    heard = _heard(x, int(rate), sector, rng)[:, :SAMPLES]
    heard = np.pad(heard, ((0, 0), (0, SAMPLES - heard.shape[1])))
    heard = heard / (np.abs(heard).max() or 1.0)
    heard += NOISE * np.sqrt(np.mean(np.square(heard))) * rng.standard_normal(heard.shape)
    soundfile.write(path, (heard / np.abs(heard).max() * 32000).astype(np.int16).T, rate, subtype="PCM_16")
    return int(rate)


def _heard(x: NDArray[np.float64], rate: int, sector: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """What the microphones of a random room hear of a sound from a sector, ``[4, t]``."""
    try:
        import pyroomacoustics as pra
    except ImportError as error:
        raise MissingDependencyError(
            "items.prepare: directions needs pyroomacoustics; pip install 'liveaction[learn]'"
        ) from error
    sides, reverberation = rng.uniform([4, 3.5, 2.4], [8, 6, 3.2]), rng.uniform(0.15, 0.4)  # m, s
    absorbed, order = pra.inverse_sabine(reverberation, sides)
    room: Any = pra.ShoeBox(sides, fs=rate, materials=pra.Material(absorbed), max_order=min(order, ORDER))
    middle = rng.uniform([1.3, 1.3, 1.0], sides - [1.3, 1.3, 1.0])
    turns = np.arange(MICROPHONES) * 2 * np.pi / MICROPHONES
    places = middle + RADIUS * np.stack([np.cos(turns), np.sin(turns), np.zeros(MICROPHONES)], 1)
    azimuth = np.deg2rad(sector * 360 / SECTORS + rng.uniform(-12, 12))
    direction = np.array([np.cos(azimuth), np.sin(azimuth), rng.uniform(-0.2, 0.2)])
    room.add_source(middle + rng.uniform(0.7, 1.2) * direction, signal=x)
    room.add_microphone_array(places.T)
    room.simulate(snr=None)
    return np.asarray(room.mic_array.signals)
