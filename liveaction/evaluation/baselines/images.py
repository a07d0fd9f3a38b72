"""Codecs of pictures, plane by plane: High-Throughput JPEG 2000, JPEG XL, AVIF and WebP."""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from liveaction.evaluation.baselines.base import Array, Baseline
from liveaction.evaluation.baselines.packing import Reader, Writer
from liveaction.evaluation.baselines.planes import Levels, PlaneLayout, lacks_planes, spread


class _PlaneCodec(Baseline):
    """Codes each plane on its own; with several threads, several planes at once.

    Attributes:
        depth: the most bits that are coded.
    """

    depth: ClassVar[int] = 16

    def refuses(self, array: Array) -> str | None:
        """Sound, which has no planes."""
        return lacks_planes(array)

    def encode(self, array: Array, value: float) -> bytes:
        layout, levels = PlaneLayout.of(array), Levels.of(array, self.depth)
        wanted = self._wanted(value, array.limits, levels)
        planes = [levels.integers(plane) for plane in layout.planes(array.values)]
        header = Writer()
        layout.write(header)
        levels.write(header)

        def code(plane: NDArray[np.uint16], threads: int) -> bytes:
            return self._code(plane, levels.bits, wanted, threads)

        header.parts(spread(code, planes, self.threads))
        return header.done()

    def decode(self, data: bytes) -> NDArray[Any]:
        source = Reader(data)
        layout, levels = PlaneLayout.read(source), Levels.read(source)

        def back(part: bytes, threads: int) -> NDArray[Any]:
            return levels.values(self._back(part, levels.bits, threads))

        planes: NDArray[Any] = np.stack(spread(back, source.parts(), self.threads))
        return layout.array(planes if layout.is_colour or planes.ndim == 3 else planes[..., 1])

    def _wanted(self, value: float, limits: tuple[float, float], levels: Levels) -> float:
        """What the codec is to be told for a value of the ladder."""
        return value

    @abstractmethod
    def _code(self, plane: NDArray[np.uint16], bits: int, wanted: float, threads: int) -> bytes:
        """Integers ``[H, W]`` or ``[H, W, 3]`` to bytes."""

    @abstractmethod
    def _back(self, part: bytes, bits: int, threads: int) -> NDArray[Any]:
        """Bytes to what stands for the integers; green stands for grey where the codec knows only colours."""


class HTJ2K(_PlaneCodec):
    """JPEG 2000 part 15 through OpenJPH: irreversible 9/7 wavelet, one quantiser step for all planes.

    Integers are coded around 0 within 16 bits, of which 15 are used: the library does not clip what overshoots.
    """

    name = "htj2k"
    label = "HTJ2K"
    setting = "quantiser step over the range"
    ladder = (0.8, 0.4, 0.2, 0.1, 0.05, 0.025, 0.012, 0.006)
    depth = 15

    @property
    def library(self) -> str:
        import imagecodecs

        return f"{imagecodecs.htj2k_version()} (imagecodecs {imagecodecs.__version__})"

    def _wanted(self, value: float, limits: tuple[float, float], levels: Levels) -> float:
        """The library's step is stated on 16 bits, and at least 1e-5 of them."""
        return min(max(value * (limits[1] - limits[0]) / levels.step / 2**16, 1.0001e-5), 1.0)

    def _code(self, plane: NDArray[np.uint16], bits: int, wanted: float, threads: int) -> bytes:
        from imagecodecs import htj2k_encode

        centred = (plane.astype(np.int32) - 2 ** (bits - 1)).astype(np.int16)
        data = htj2k_encode(centred, level=wanted, reversible=False, planar=False)
        return bytes(data)

    def _back(self, part: bytes, bits: int, threads: int) -> NDArray[Any]:
        from imagecodecs import htj2k_decode

        whole: NDArray[Any] = htj2k_decode(part).astype(np.int32) + 2 ** (bits - 1)
        return whole


class JPEGXL(_PlaneCodec):
    """JPEG XL through libjxl, lossy, effort 7: values as sRGB, handed over as the light that they stand for.

    The library takes more than 8 bits as linear light, which its cube root would code coarsely at the top; float32
    light under the sRGB curve avoids that and any rounding. It has no way to switch off XYB and the quantisation that
    follows perception, so PSNR is not what it is best at. Distances end at 25.
    """

    name = "jpegxl"
    label = "JPEG XL"
    setting = "distance"
    ladder = (25, 15, 8, 4, 2, 1, 0.5, 0.2)

    @property
    def library(self) -> str:
        import imagecodecs

        return f"{imagecodecs.jpegxl_version()}, effort 7 (imagecodecs {imagecodecs.__version__})"

    def _code(self, plane: NDArray[np.uint16], bits: int, wanted: float, threads: int) -> bytes:
        from imagecodecs import jpegxl_encode

        x = plane / (2.0**bits - 1)
        light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4).astype(np.float32)  # IEC 61966-2-1
        data = jpegxl_encode(light, distance=wanted, effort=7, lossless=False, usecontainer=False, numthreads=threads)
        return bytes(data)

    def _back(self, part: bytes, bits: int, threads: int) -> NDArray[Any]:
        from imagecodecs import jpegxl_decode

        light = np.asarray(jpegxl_decode(part, numthreads=threads), np.float64).clip(0.0, 1.0)
        x = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
        return x * (2.0**bits - 1)


class AVIF(_PlaneCodec):
    """AVIF through libavif and libaom, speed 4: colours as 4:4:4 of 10 bits or more, grey as 4:2:0 without colour.

    The library codes a picture without colour without loss only, so grey is handed over as equal red, green and blue.
    """

    name = "avif"
    label = "AVIF"
    setting = "quality"
    ladder = (10, 25, 40, 55, 70, 82, 92)
    depth = 12

    @property
    def library(self) -> str:
        import imagecodecs

        return f"{imagecodecs.avif_version()}, speed 4 (imagecodecs {imagecodecs.__version__})"

    def _code(self, plane: NDArray[np.uint16], bits: int, wanted: float, threads: int) -> bytes:
        from imagecodecs import avif_encode

        coded = _avif_bits(bits)
        colour = plane.ndim == 3
        pixels = (plane if colour else np.repeat(plane[..., np.newaxis], 3, axis=2)) << (coded - bits)
        data = avif_encode(
            pixels, level=round(wanted), speed=4, bitspersample=coded, pixelformat="444" if colour else "420",
            numthreads=threads,
        )  # fmt: skip
        return bytes(data)

    def _back(self, part: bytes, bits: int, threads: int) -> NDArray[Any]:
        from imagecodecs import avif_decode

        pixels: NDArray[Any] = avif_decode(part, numthreads=threads) / 2 ** (_avif_bits(bits) - bits)
        return pixels


def _avif_bits(bits: int) -> int:
    return 10 if bits <= 10 else 12


class WebP(_PlaneCodec):
    """Lossy WebP through libwebp, method 6: 8-bit colours, 4:2:0."""

    name = "webp"
    label = "WebP"
    setting = "quality"
    ladder = (5, 20, 40, 60, 75, 85, 95)
    depth = 8

    @property
    def library(self) -> str:
        import imagecodecs

        return f"{imagecodecs.webp_version()}, method 6 (imagecodecs {imagecodecs.__version__})"

    def refuses(self, array: Array) -> str | None:
        """All but pictures of three colours with 8 bits."""
        if lacks := lacks_planes(array):
            return lacks
        if len(array.axes) != 2 or array.values.shape[0] != 3 or array.values.dtype != np.uint8:
            return f"it codes pictures of three 8-bit colours, not {array.values.dtype} {array.values.shape}"
        return "sides of more than 16383 are too large" if max(array.values.shape) > 16383 else None

    def _code(self, plane: NDArray[np.uint16], bits: int, wanted: float, threads: int) -> bytes:
        from imagecodecs import webp_encode

        pixels = (plane << (8 - bits)).astype(np.uint8)
        data = webp_encode(pixels, level=wanted, lossless=False, method=6, numthreads=threads)
        return bytes(data)

    def _back(self, part: bytes, bits: int, threads: int) -> NDArray[Any]:
        from imagecodecs import webp_decode

        pixels: NDArray[Any] = webp_decode(part) / 2 ** (8 - bits)
        return pixels
