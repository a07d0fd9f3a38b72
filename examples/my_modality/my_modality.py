"""A modality of your own: electrocardiograms in text files, the rate in Hz on the first line, then one mV per line.

    pip install ./my_modality
    liveaction train my_modality/ecg.yaml --data synthetic --out runs/ecg
    liveaction compress heart.ecg heart.lva --model runs/ecg

Pictures of it are those of arrays; a method ``preview`` of its own would draw others.
``liveaction.testing_modalities.check_modality`` puts it through what every modality must stand.
"""

from pathlib import Path

import numpy as np

from liveaction.errors import FormatError
from liveaction.files import atomic_path
from liveaction.modalities.base import Modality
from liveaction.modalities.find import find_files
from liveaction.signal import Signal


class ECG(Modality):
    """One lead ``[1, T]`` in mV, float32; the sampling rate is the spacing's inverse."""

    def find(self, path: Path) -> list[Path]:
        """The file itself, or all below a folder."""
        return find_files(path, "an .ecg file, or a folder that holds such", lambda file: file.suffix == ".ecg")

    def read(self, path: Path) -> Signal:
        """Refuses what is not a list of numbers, and NaN."""
        try:
            rate, *numbers = path.read_text(encoding="ascii").rstrip("\n").split("\n")
            values = np.array(numbers, dtype=np.float32)[np.newaxis]
            if not path.read_bytes().endswith(b"\n") or values.size == 0:
                raise ValueError("the file is cut short")
            step = 1 / float(rate)
        except (OSError, ValueError, ZeroDivisionError) as error:
            raise FormatError(f"{path}: expected a rate and then a number per line, got {error}") from error
        self.check_finite(values, path)
        return Signal(values, self.spec.axes, self.spec.unit, (step,), "float32", {"rate": rate})

    def check_target(self, signal: Signal, path: Path) -> list[Path]:
        """Also asked before a signal is decoded, which may take long."""
        if path.suffix != ".ecg":
            raise FormatError(f"{path}: expected a name ending in .ecg, got {path.name!r}; change it")
        return super().check_target(signal, path)

    def write(self, signal: Signal, path: Path) -> None:
        """Whole or not at all."""
        self.check_target(signal, path)
        self.check_finite(signal.values, path)
        rate = signal.metadata.get("rate", str(1 / signal.spacing[0]))
        lines = [rate, *(repr(float(value)) for value in signal.values[0])]
        with atomic_path(path) as part:
            part.write_text("\n".join(lines) + "\n", encoding="ascii")

    def synthetic(self, seed: int, extents: tuple[int, ...] | None = None) -> Signal:
        """Beats of three straight flanks, at irregular times, on a wandering base line."""
        rng = np.random.Generator(np.random.PCG64(seed))
        t = np.arange((extents or (8192,))[0]) / 250.0
        values = 0.1 * (rng.random(t.shape) - 0.5)
        beat = rng.random()
        while beat < t[-1] + 1:
            for late, wide, high in ((0.0, 0.05, 0.2), (0.16, 0.02, 1.4), (0.2, 0.02, -0.4), (0.4, 0.08, 0.35)):
                values += high * np.clip(1 - np.abs(t - beat - late) / wide, 0, 1)
            beat += 0.7 + 0.3 * rng.random()
        spacing = (1 / 250.0,)
        return Signal(values.astype(np.float32)[np.newaxis], self.spec.axes, self.spec.unit, spacing, "float32")
