"""Audio: N microphones (``array_audio``) and stereo music (``music``)."""

import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt

from liveaction.errors import FormatError, LiveactionWarning, ShapeError, SpecError
from liveaction.metrics import covariance_error, si_sdr, spatial_errors
from liveaction.modalities.audio.exhibits import audio_exhibits
from liveaction.modalities.audio.phantom import array_phantom, music_phantom
from liveaction.modalities.audio.preview import draw_preview
from liveaction.modalities.audio.read import CONTAINERS, About, is_audio, read_audio
from liveaction.modalities.audio.write import container_of, write_audio
from liveaction.modalities.base import Modality
from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.find import find_files
from liveaction.modalities.options import Options, parse_options
from liveaction.modalities.ranges import extremes, is_constant
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

_WANTED = f"an audio file ({', '.join(CONTAINERS)}), or a folder that holds such"


class AudioOptions(Options):
    """``select``: which of a file's channels are taken, in that order, counted from 0; null takes all."""

    select: tuple[NonNegativeInt, ...] | None = Field(default=None, min_length=1)


class Audio(Modality):
    """Recordings ``[C, T]``: integers as the file holds them, or floats; spacing is the time between samples in s.

    Integers of 24 bits are int32 with ``bits`` 24, unsigned ones of 8 bits uint8 around 128. Metadata are plain JSON:
    rate, container, subtype, byte order, text tags.

    Raises:
        SpecError: the recipe does not ask for one axis, or ``select`` does not fit its channels.
    """

    def __init__(self, spec: ModalitySpec) -> None:
        super().__init__(spec)
        if len(spec.axes) != 1:
            raise SpecError(f"[modality] {spec.name}: expected 1 axis, time, got axes {spec.axes!r}; take axes: [t]")
        self.select = parse_options(AudioOptions, spec.options).select
        picked = self.select
        if picked is not None and not (spec.takes(len(picked)) and len(set(picked)) == len(picked)):
            wanted = "any number of" if spec.channels == 0 else str(spec.channels)
            raise SpecError(
                f"[modality.options] select: expected {wanted} different channels as modality.channels says, got "
                f"{list(picked)}; change one of the two"
            )

    def find(self, path: Path) -> list[Path]:
        """Audio files under ``path``, see :func:`find_files`.

        Raises:
            FormatError: nothing is there, or nothing in it is audio.
        """
        return find_files(path, _WANTED, is_audio)

    def read(self, path: Path) -> Signal:
        """Read one recording; of more than 64 MiB the values are mapped from a temporary file.

        Returns:
            ``[C, T]``, C as the recipe says, or the file where that is 0; lossy sources as int16.

        Raises:
            FormatError: not such a file, damaged or cut short, of other channels than the recipe, NaN or infinity.
        """
        if self.find(path) != [path]:
            raise FormatError(f"{path}: expected one audio file, got a folder; give a file in it")
        values, about, samples = read_audio(path, self.spec.channels, self.select)
        self.check_finite(values, path)
        return self._signal(values, about, 0 if samples.bits == 8 * values.dtype.itemsize else samples.bits)

    def check_target(self, signal: Signal, path: Path) -> list[Path]:
        """Refuse a suffix or a container that cannot hold the samples, see :func:`container_of`."""
        if signal.values.ndim != 2 or 0 in signal.values.shape:
            raise ShapeError(f"{path}: expected values [C, T], got {signal.values.shape}")
        container_of(signal.values, About.from_metadata(signal.metadata, path), path)
        return super().check_target(signal, path)

    def write(self, signal: Signal, path: Path) -> None:
        """Write the container that the suffix names with the source's subtype, rate and tags; atomic.

        Values of any real dtype are taken, rounded and cut to what the subtype holds.

        Args:
            signal: ``[C, T]`` with the metadata of :meth:`read` or :meth:`synthetic`.
            path: ends in ``.wav``, ``.flac``, ``.w64``, ``.aiff`` or ``.rf64``.

        Raises:
            FormatError: another suffix, a container that cannot hold the subtype, no such folder, NaN or infinity.
            ShapeError: not ``[C, T]``.
        """
        self.check_target(signal, path)
        self.check_finite(signal.values, path)
        write_audio(signal.values, About.from_metadata(signal.metadata, path), path)

    def synthetic(self, seed: int, extents: tuple[int, ...] | None = None) -> Signal:
        """Talkers around microphones at 16 kHz (:func:`array_phantom`), or music at 44.1 kHz (:func:`music_phantom`).

        int16 ``[C, T]``, about 4 s where ``extents`` is None. A recipe of any number of channels gets four talked to,
        as small arrays have, and stereo music.
        """
        make, rate, usual, channels = (
            (music_phantom, 44100, 176400, 2) if self.spec.name == "music" else (array_phantom, 16000, 65536, 4)
        )
        (samples,) = extents or (usual,)
        values = make(seed, self.spec.channels or channels, samples)
        return self._signal(values, About(rate, "WAV", "PCM_16"), source="synthetic", seed=seed)

    def cropped(self, signal: Signal, box: tuple[tuple[int, int], ...], extents: tuple[int, ...]) -> Signal:
        """A region without the chunks of the whole: marks, time codes and notes that tell of other samples; warns."""
        chunks = [name for name, _ in signal.metadata.get("chunks", ())]
        if not chunks or box == ((0, extents[0]),):
            return signal
        warnings.warn(
            f"region: chunks {', '.join(map(repr, chunks))} of the whole left out", LiveactionWarning, stacklevel=2
        )
        return replace(signal, metadata={**signal.metadata, "chunks": []})

    def scaled(self, signal: Signal, factors: tuple[int, ...], origin: tuple[float, ...]) -> Signal:
        """A lower rate, without the chunks of the whole, which warns.

        Raises:
            FormatError: the rate would be no whole number.
        """
        rate, (factor,) = signal.metadata["rate"], factors
        if rate % factor:
            raise FormatError(
                f"--scale: expected a rate that {factor} divides, got {rate} Hz; take a larger scale, or resample it"
            )
        part = self.cropped(signal, ((0, signal.shape[0]),), (-1,))
        part = super().scaled(part, factors, origin)
        return replace(part, metadata={**part.metadata, "rate": rate // factor})

    def range_of(self, signal: Signal) -> tuple[float, float]:
        """As every modality's, but percentiles give a range around silence: the further of the two, on both sides.

        The range of a constant is every modality's."""
        if isinstance(self.spec.range, tuple) or self.spec.range == "native":
            return super().range_of(signal)
        low, high = super().range_of(signal)
        if is_constant((low, high)):
            return low, high
        silence = _silence(signal)
        if self.spec.range.percentiles == (0, 100):  # of all values, not of every so-manieth: nothing is clipped
            least, largest = extremes(signal.values)
            low, high = min(low, float(least)), max(high, float(largest))
        reach = max(abs(low - silence), abs(high - silence))
        return silence - reach, silence + reach

    def native_range(self, signal: Signal) -> tuple[float, float]:
        """Full scale around silence, so that silence is exactly 0: [-1, 1] of floats, -2**(b-1) to 2**(b-1) of b bits.

        Warns of floats beyond full scale, which will be clipped.
        """
        dtype = np.dtype(signal.dtype)
        if dtype.kind != "f":
            half = 2.0 ** ((signal.bits or 8 * dtype.itemsize) - 1)
            return _silence(signal) - half, _silence(signal) + half
        least, largest = extremes(signal.values)
        peak = max(largest, -least)
        if peak > 1:
            warnings.warn(
                f"modality.range native: floats beyond [-1, 1] are clipped, the peak is {peak:.4g}; set range to "
                f"[-{np.ceil(peak):g}, {np.ceil(peak):g}], or to {{percentiles: [0, 100]}}",
                LiveactionWarning,
                stacklevel=2,
            )
        return -1.0, 1.0

    def denormalise(self, x: torch.Tensor, dtype: str, limits: tuple[float, float]) -> NDArray[Any]:
        """As every modality's, but of a native range of integers the upper end is the first that does not exist."""
        values = super().denormalise(x, dtype, limits)
        if values.dtype.kind in "iu" and self.spec.range == "native":
            np.minimum(values, np.array(min(limits[1] - 1, np.iinfo(dtype).max)).astype(dtype), out=values)
        return values

    def compare(self, original: Signal, reconstruction: Signal) -> dict[str, float]:
        """As every modality's, and what counts for audio.

        Returns:
            also ``si_sdr`` in dB, the mean over the channels that are not silent, and ``si_sdr_worst`` of them; for
            more than one channel ``level_error_db`` and ``phase_error_degrees`` against channel 0
            (:func:`liveaction.metrics.spatial_errors`), and ``covariance_error`` of all channels, relative
            (:func:`liveaction.metrics.covariance_error`).
        """
        report = super().compare(original, reconstruction)
        x, y = _around_silence(original, reconstruction)
        sounding = [c for c in range(len(x)) if bool(x[c].any())] or list(range(len(x)))
        each = [si_sdr(x[c], y[c]) for c in sounding]
        report["si_sdr_worst"] = min(each)
        report["si_sdr"] = min(each) if np.isneginf(min(each)) else sum(each) / len(each)
        if len(x) > 1:
            window = 1 << (max(16, round(0.032 / original.spacing[0])).bit_length() - 1)
            report["level_error_db"], report["phase_error_degrees"] = spatial_errors(x, y, window)
            report["covariance_error"] = covariance_error(x, y)
        return report

    def curves(self, original: Signal, reconstruction: Signal) -> dict[str, list[float]]:
        """``si_sdr_by_channel`` in dB for more than one channel; NaN for a channel that was silent."""
        if len(original.values) == 1:
            return {}
        x, y = _around_silence(original, reconstruction)
        each = [si_sdr(one, two) if bool(one.any()) else np.nan for one, two in zip(x, y, strict=True)]
        return {"si_sdr_by_channel": each}

    def pace(self, signal: Signal) -> tuple[float, str]:
        """Seconds of sound: a speed is how many times faster than real time."""
        return signal.shape[0] * signal.spacing[0], "s"

    def preview(self, original: Signal | None, reconstruction: Signal, path: Path, title: str = "") -> None:
        """Draw waveforms, their error and spectrograms as PNG.

        Raises:
            ShapeError: the two shapes differ.
        """
        draw_preview(original, reconstruction, path, title)

    def exhibits(self, signal: Signal, like: Signal) -> list[Exhibit]:
        """The loudest ten seconds of two channels to listen to, and a spectrogram, see :func:`audio_exhibits`."""
        return audio_exhibits(signal, like, stereo=self.spec.name == "music")

    def stripped(self, signal: Signal) -> Signal:
        """The signal without tags and chunks; rate, container, subtype and loudspeakers stay."""
        return replace(signal, metadata={**signal.metadata, "tags": {}, "chunks": [], "other_chunks": []})

    def _signal(self, values: NDArray[Any], about: About, bits: int = 0, **origin: Any) -> Signal:
        lists = {"chunks": [list(one) for one in about.chunks], "other_chunks": list(about.other_chunks)}
        metadata = {"source": "file", **origin, **asdict(about), **lists}
        place = self.spec.axes, self.spec.unit, (1 / about.rate,)
        return Signal(values, *place, values.dtype.name, metadata, bits)


def _silence(signal: Signal) -> float:
    """The value that stands for silence."""
    return 128.0 if np.dtype(signal.dtype) == np.uint8 else 0.0


def _around_silence(original: Signal, reconstruction: Signal) -> tuple[torch.Tensor, torch.Tensor]:
    """Both in float64, silence being 0."""
    silence = _silence(original)
    one, two = (torch.from_numpy(s.values.astype(np.float64) - silence) for s in (original, reconstruction))
    return one, two
