"""Recordings at one level: every speaker's microphone stood somewhere else, and loudness says who spoke, not what.

Without it the quietest of six speakers is a tenth as loud as the loudest, and a quantiser's step that suits one leaves
nothing of the other.
"""

from pathlib import Path

import numpy as np

from liveaction.errors import FormatError

LEVEL, PEAK = 3000.0, 32000.0
"""Root mean square of every recording, of 16 bits; less where its peak would be above this."""
ABOUT = {"level": LEVEL, "peak": PEAK}


def make(source: Path, out: Path) -> None:
    """WAV files of 16 bits under the names of those in ``source``; what is silent stays so.

    Raises:
        FormatError: there are none, or one cannot be read.
    """
    import soundfile

    paths = sorted(source.glob("*.wav"))
    if not paths:
        raise FormatError(f"{source}: expected WAV files, got none")
    for path in paths:
        try:
            x, rate = soundfile.read(path, dtype="float64", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise FormatError(f"{path}: expected a WAV file, got {error}") from error
        loud, peak = np.sqrt(np.mean(np.square(x))) * 32768, np.abs(x).max(initial=0.0) * 32768
        gain = min(LEVEL / loud, PEAK / peak) if loud else 1.0
        soundfile.write(out / path.name, np.rint(x * gain * 32768).astype(np.int16), rate, subtype="PCM_16")
