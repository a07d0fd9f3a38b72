"""Codecs of sound, ``[C, T]``: Opus, and FLAC without loss."""

from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from math import ceil
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from liveaction.evaluation.baselines.base import Array, Baseline
from liveaction.evaluation.baselines.packing import Reader, Writer
from liveaction.evaluation.baselines.planes import spread

OUT = 48000
"""Samples per second that an Opus decoder gives."""

RATES = (48000, 24000, 16000, 12000, 8000)
"""Samples per second that an Opus encoder takes; other sound is resampled to the first."""

PEAK = 0.7
"""Where the loudest sample is put: quiet recordings would lose bits to the codec's floor of energies."""


def lacks_sound(array: Array) -> str | None:
    """Why an array is no sound; None where it is."""
    if len(array.axes) != 1 or array.rate is None:
        return f"it codes sound, channels of samples with a rate, not axes {', '.join(array.axes)}"
    return None


class Opus(Baseline):
    """Opus through libopus, application audio, complexity 10, variable rate; channels in pairs as stereo.

    Decoded as floats by libav. The encoder's delay is cut off, so samples lie where they were. The codec rejects what
    is constant (a high-pass filter at 3 Hz), so each channel's mean is kept beside it.
    """

    name = "opus"
    label = "Opus, stereo pairs"
    setting = "kbit/s per channel"
    ladder = (3, 6, 10, 16, 24, 40, 64, 128)
    group: ClassVar[int] = 2

    @property
    def library(self) -> str:
        import av

        version = ".".join(str(part) for part in av.library_versions["libavcodec"])
        return f"libopus (libavcodec {version}, PyAV {av.__version__})"

    def refuses(self, array: Array) -> str | None:
        """All but sound."""
        return lacks_sound(array)

    def encode(self, array: Array, value: float) -> bytes:
        assert array.rate is not None  # refused otherwise
        rate = int(array.rate) if array.rate in RATES else OUT
        ratio = Fraction(array.rate / rate).limit_denominator(10**4)
        means = array.values.mean(axis=1, dtype=np.float64).astype(np.float32)
        x: NDArray[np.float64] = array.values.astype(np.float64) - means[:, np.newaxis]
        peak = float(np.abs(x).max()) or 1.0
        x = _resampled(x * (PEAK / peak), ratio.denominator, ratio.numerator)
        header = Writer()
        header.whole(*array.values.shape, ratio.numerator, ratio.denominator, OUT // rate)
        header.pack(f"f{len(means)}f", peak, *means)
        header.pack("dd", *array.limits)
        groups = [x[start : start + self.group] for start in range(0, len(x), self.group)]

        def code(group: NDArray[np.float64], threads: int) -> tuple[int, list[bytes]]:
            return _encode_opus(group, rate, round(1000 * value) * len(group))

        for skipped, packets in spread(code, groups, self.threads):
            header.whole(skipped)
            header.parts(packets)
        return header.done()

    def decode(self, data: bytes) -> NDArray[Any]:
        source = Reader(data)
        channels, samples, numerator, denominator, division = source.wholes(5)
        peak, *means = source.unpack(f"f{channels}f")
        low, high = source.unpack("dd")
        groups = []
        for start in range(0, channels, self.group):
            skipped = source.whole()
            groups.append((min(self.group, channels - start), skipped, source.parts()))

        def back(group: tuple[int, int, list[bytes]], threads: int) -> NDArray[np.float64]:
            return _resampled(_decode_opus(*group), numerator, division * denominator)[:, :samples]

        x: NDArray[Any] = np.concatenate(spread(back, groups, self.threads))
        x = x * (peak / PEAK) + np.array(means)[:, np.newaxis]
        return x.clip(low, high)


class OpusMono(Opus):
    """As :class:`Opus`, each channel by itself: ahead of pairs on microphones apart, from some 12 kbit/s each."""

    name = "opus_mono"
    label = "Opus, single channels"
    group = 1


def silence_of(array: Array) -> int:
    """The value of silence: 0, or the middle of unsigned integers."""
    return int(sum(array.limits)) // 2 if array.values.dtype.kind == "u" else 0


def fits_flac(array: Array) -> bool:
    """Whether integers need at most 24 bits around silence."""
    silence = silence_of(array)
    return int(array.values.min()) - silence >= -(2**23) and int(array.values.max()) - silence < 2**23


def _resampled(x: NDArray[np.float64], up: int, down: int) -> NDArray[np.float64]:
    from scipy.signal import resample_poly

    return x if up == down else np.asarray(resample_poly(x, up, down, axis=1))


def _encode_opus(x: NDArray[np.float64], rate: int, bits: int) -> tuple[int, list[bytes]]:
    """How many samples at :data:`OUT` come before the first, and packets of 20 ms; ``bits`` per second."""
    import av

    context: Any = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.format, context.bit_rate = rate, "flt", bits
    context.layout, context.time_base = "mono" if len(x) == 1 else "stereo", Fraction(1, rate)
    context.options = {"application": "audio", "compression_level": "10", "vbr": "on", "frame_duration": "20"}
    context.open()
    skipped = int.from_bytes(bytes(context.extradata)[10:12], "little")  # RFC 7845, 5.1: pre-skip
    step = context.frame_size
    count = ceil((x.shape[1] + skipped * rate / OUT) / step)
    x = np.pad(x, ((0, 0), (0, count * step - x.shape[1])))
    packets: list[bytes] = []
    for start in range(0, x.shape[1], step):
        samples = np.ascontiguousarray(x[:, start : start + step].T.reshape(1, -1), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=context.layout.name)
        frame.sample_rate, frame.pts = rate, start
        packets += [bytes(packet) for packet in context.encode(frame)]
    packets += [bytes(packet) for packet in context.encode(None)]
    return skipped, packets[:count]  # libav adds one for the delay, which is in the count already


def _decode_opus(channels: int, skipped: int, packets: list[bytes]) -> NDArray[np.float64]:
    """Samples at :data:`OUT`, the first one first."""
    import av

    context: Any = av.CodecContext.create("opus", "r")
    context.sample_rate, context.layout = OUT, "mono" if channels == 1 else "stereo"
    start = b"OpusHead\x01" + bytes([channels]) + skipped.to_bytes(2, "little")
    context.extradata = start + OUT.to_bytes(4, "little") + bytes(3)  # RFC 7845, 5.1; libav cuts the pre-skip

    def frames() -> Iterator[NDArray[Any]]:
        for packet in [*(av.Packet(data) for data in packets), None]:
            yield from (frame.to_ndarray() for frame in context.decode(packet))

    return np.concatenate(list(frames()), axis=1).astype(np.float64)


class FLAC(Baseline):
    """FLAC through libsndfile, level 8, lossless; channels in pairs, which share what they have in common."""

    name = "flac"
    label = "FLAC"
    setting = "compression level"
    ladder = (8,)

    @property
    def library(self) -> str:
        import soundfile

        return f"libsndfile {soundfile.__libsndfile_version__} (soundfile {soundfile.__version__})"

    def refuses(self, array: Array) -> str | None:
        """All but sound in integers of at most 24 bits."""
        if lacks := lacks_sound(array):
            return lacks
        if array.values.dtype.kind not in "iu":
            return f"it codes integers, not {array.values.dtype}"
        return None if fits_flac(array) else "it codes integers of at most 24 bits"

    def encode(self, array: Array, value: float) -> bytes:
        header = Writer()
        middle = silence_of(array)
        header.whole(middle)
        header.parts(code_flac(array.values.astype(np.int32) - middle, value / 8))
        return header.done()

    def decode(self, data: bytes) -> NDArray[Any]:
        source = Reader(data)
        middle = source.whole()
        return decode_flac(source.parts()) + middle


def code_flac(values: NDArray[np.int32], level: float = 1.0) -> list[bytes]:
    """Integers ``[C, T]`` of at most 24 bits to FLAC files of two channels.

    Args:
        level: 0 is fast, 1 is small.
    """
    import soundfile

    wide = bool(values.size) and not -(2**15) <= int(values.min()) <= int(values.max()) < 2**15
    files = []
    for start in range(0, len(values), 2):
        pair, file = values[start : start + 2].T, BytesIO()
        samples = pair << 8 if wide else pair.astype(np.int16)  # libsndfile takes 24 bits at the top of 32
        subtype = "PCM_24" if wide else "PCM_16"
        soundfile.write(file, samples, OUT, format="FLAC", subtype=subtype, compression_level=level)
        files.append(file.getvalue())
    return files


def decode_flac(files: list[bytes]) -> NDArray[np.int32]:
    """Inverse of :func:`code_flac`."""
    import soundfile

    pairs = []
    for data in files:
        with soundfile.SoundFile(BytesIO(data)) as file:
            pairs.append(file.read(dtype="int32", always_2d=True).T >> (8 if file.subtype == "PCM_24" else 16))
    values: NDArray[np.int32] = np.concatenate(pairs)
    return values
