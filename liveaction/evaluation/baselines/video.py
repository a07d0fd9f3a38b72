"""Codecs of video on frames, slices and bands: x265, x264 and SVT-AV1 through libav."""

import os
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from liveaction.evaluation.baselines.base import Array, Baseline
from liveaction.evaluation.baselines.frames import PixelFormat, decode_frames, encode_frames, without_remarks
from liveaction.evaluation.baselines.packing import Reader, Writer
from liveaction.evaluation.baselines.planes import Levels, PlaneLayout, lacks_planes


class _VideoCodec(Baseline):
    """One closed group of pictures over all planes, full range, at a constant rate factor, tuned for PSNR.

    Attributes:
        depth: the most bits that are coded.
        encoder, decoder: libav's names.
    """

    depth: ClassVar[int]
    encoder: ClassVar[str]
    decoder: ClassVar[str]
    setting = "CRF"

    @property
    def library(self) -> str:
        import av

        version = ".".join(str(part) for part in av.library_versions["libavcodec"])
        return f"{self.encoder} (libavcodec {version}, PyAV {av.__version__})"

    def refuses(self, array: Array) -> str | None:
        """Sound, which has no planes."""
        if lacks := lacks_planes(array):
            return lacks
        return "sides of more than 8192 are too large" if max(array.values.shape[1:]) > 8192 else None

    def encode(self, array: Array, value: float) -> bytes:
        layout, levels = PlaneLayout.of(array), Levels.of(array, self.depth)
        planes = layout.planes(array.values)
        pixels = self._format(self._depth(levels.bits, value), layout.is_colour)
        header = Writer()
        layout.write(header)
        levels.write(header)
        header.whole(pixels.bits)

        def frames() -> Iterator[list[NDArray[np.uint16]]]:
            for plane in planes:
                yield pixels.planes(levels.integers(plane), levels.bits)

        options = self._options(value, len(planes))
        header.parts(self._kept(encode_frames(self.encoder, pixels, frames(), len(planes), self.threads, options)))
        return header.done()

    def decode(self, data: bytes) -> NDArray[Any]:
        source = Reader(data)
        layout, levels = PlaneLayout.read(source), Levels.read(source)
        pixels = self._format(source.whole(), layout.is_colour)
        *_, height, width = (layout.shape[axis + 1] for axis in layout.order)
        plane = (height, width, 3) if layout.is_colour else (height, width)
        frames = decode_frames(self.decoder, source.parts(), self.threads)
        return layout.array(np.stack([levels.values(pixels.pixels(part, levels.bits, plane)) for part in frames]))

    def _depth(self, bits: int, value: float) -> int:
        """Bits of the pixel format for integers of ``bits`` bits."""
        return 10

    def _format(self, depth: int, colour: bool) -> PixelFormat:
        return PixelFormat(f"yuv444p{depth}le" if colour else f"gray{depth}le", depth)

    @abstractmethod
    def _options(self, value: float, count: int) -> dict[str, str]:
        """The encoder's, for a value of the ladder and so many frames."""

    def _kept(self, packets: list[bytes]) -> list[bytes]:
        """Packets without what decoding does not need."""
        return packets


class X265Slow(_VideoCodec):
    """HEVC through x265, preset slow: grey of 10 or 12 bits; colours as 4:4:4 of as many.

    In RGB PSNR, 4:4:4 of 10 bits is ahead of 4:2:0 of 8 and 10 bits below ratios of some 300, equal to it above, and
    far ahead of coding red, green and blue. Beyond a CRF of 34 all is coded with 10 bits: with 12 the encoder fails at
    the coarsest quantisers (its pictures fall to some 5 dB), and between 34 and there the two give the same curve.
    """

    name = "x265_slow"
    label = "x265 slow"
    ladder = (-6, 2, 10, 16, 22, 28, 34, 40, 46)
    preset: ClassVar[str] = "slow"
    depth, encoder, decoder = 12, "libx265", "hevc"

    def _depth(self, bits: int, value: float) -> int:
        return 12 if bits > 10 and value <= 34 else 10

    def _options(self, value: float, count: int) -> dict[str, str]:
        """Without a pool of threads there is no wavefront either, which costs a little rate."""
        pools = "none" if self.threads == 1 else str(self.threads)
        settings = f"keyint={count}:min-keyint={count}:scenecut=0:open-gop=0:info=0:range=full:log-level=none"
        parameters = f"{settings}:pools={pools}:frame-threads=1:crf={value:g}"  # libav's own "crf" ends at 0
        return {"preset": self.preset, "tune": "psnr", "x265-params": parameters}


class X265Medium(X265Slow):
    """As :class:`X265Slow`, preset medium."""

    name = "x265_medium"
    label = "x265 medium"
    preset = "medium"


class X264Slow(_VideoCodec):
    """H.264 through x264, preset slow: 10 bits, colours as 4:4:4."""

    name = "x264_slow"
    label = "x264 slow"
    ladder = (10, 16, 22, 28, 34, 40, 46)
    depth, encoder, decoder = 10, "libx264", "h264"

    def _options(self, value: float, count: int) -> dict[str, str]:
        parameters = f"keyint={count}:min-keyint={count}:scenecut=0:open-gop=0:fullrange=on:log-level=none"
        return {"preset": "slow", "tune": "psnr", "crf": f"{value:g}", "x264-params": parameters}

    def _kept(self, packets: list[bytes]) -> list[bytes]:
        return [without_remarks(packet) for packet in packets]


@contextmanager
def _schedule_kept() -> Iterator[None]:
    """SVT-AV1, run as root, makes the thread that calls it a real-time one, and leaves it so; give that back."""
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, priority, cores = os.sched_getscheduler(0), os.sched_getparam(0), os.sched_getaffinity(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, priority)
        os.sched_setaffinity(0, cores)


class SVTAV1(_VideoCodec):
    """AV1 through SVT-AV1, preset 4: 10 bits, 4:2:0, which is all it takes; grey has flat colour.

    As root it encodes with real-time priority; what it leaves of that is put back.
    """

    name = "svtav1"
    label = "SVT-AV1 preset 4"
    ladder = (16, 26, 36, 46, 56, 63, 70)
    depth, encoder, decoder = 10, "libsvtav1", "libdav1d"

    def encode(self, array: Array, value: float) -> bytes:
        with _schedule_kept():
            return super().encode(array, value)

    def _format(self, depth: int, colour: bool) -> PixelFormat:
        return PixelFormat(f"yuv420p{depth}le", depth)

    def _options(self, value: float, count: int) -> dict[str, str]:
        os.environ.setdefault("SVT_LOG", "1")  # errors alone; the library writes to the terminal by itself
        return {"svtav1-params": f"preset=4:crf={value:g}:tune=1:lp={self.threads}:scd=0:color-range=1"}
