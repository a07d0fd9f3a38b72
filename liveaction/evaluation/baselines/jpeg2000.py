"""JPEG 2000 through OpenJPEG: pictures, and planes that follow each other as components of one codestream."""

from math import log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.evaluation.baselines.base import Array, Baseline
from liveaction.evaluation.baselines.packing import Reader, Writer
from liveaction.evaluation.baselines.planes import Levels, PlaneLayout, lacks_planes, spread

TOGETHER = 256
"""The most planes of a codestream."""


class JPEG2000(Baseline):
    """JPEG 2000 part 1: irreversible 9/7 wavelet, one layer, codestreams without the JP2 box.

    Grey planes that follow each other are components of one codestream, so that all are cut at one slope of distortion
    over rate, which is optimal for their mean squared error (post-compression rate-distortion optimisation; Taubman,
    High performance scalable image compression with EBCOT, 2000). Their means are taken off first and kept beside it.
    Colours go through the codec's colour transform, each picture by itself.
    """

    name = "jpeg2000"
    label = "JPEG 2000"
    setting = "PSNR asked for, dB"
    ladder = (24, 28, 32, 36, 40, 46, 52, 58)

    @property
    def library(self) -> str:
        return openjpeg()

    def refuses(self, array: Array) -> str | None:
        """Sound, which has no planes."""
        return lacks_planes(array)

    def encode(self, array: Array, value: float) -> bytes:
        layout, levels = PlaneLayout.of(array), Levels.of(array, 16)
        target = ((array.limits[1] - array.limits[0]) / levels.step) ** 2 / 10 ** (value / 10)
        planes = layout.planes(array.values)
        header = Writer()
        layout.write(header)
        levels.write(header)
        if layout.is_colour:

            def code(plane: NDArray[Any], threads: int) -> bytes:
                pixels = levels.integers(plane).astype(np.uint8 if levels.bits <= 8 else np.uint16)
                return _code(pixels, levels.bits, target, threads)

            header.parts(spread(code, list(planes), self.threads))
            return header.done()
        integers = np.stack([levels.integers(plane) for plane in planes]).astype(np.int32)
        means = np.rint(integers.mean(axis=(1, 2))).astype(np.int64)
        header.integers(means)
        header.parts(code_components(integers - means[:, np.newaxis, np.newaxis], target, self.threads))
        return header.done()

    def decode(self, data: bytes) -> NDArray[Any]:
        source = Reader(data)
        layout, levels = PlaneLayout.read(source), Levels.read(source)
        if layout.is_colour:
            pictures = spread(_back, source.parts(), self.threads)
            return layout.array(np.stack([levels.values(picture) for picture in pictures]))
        means = source.integers(layout.count)
        planes = decode_components(source.parts(), self.threads)
        return layout.array(levels.values(planes + means[:, np.newaxis, np.newaxis]))


def openjpeg() -> str:
    """Name and version of the library."""
    import imagecodecs

    return f"{imagecodecs.jpeg2k_version()} (imagecodecs {imagecodecs.__version__})"


def code_components(planes: NDArray[np.integer[Any]], target: float, threads: int) -> list[bytes]:
    """Signed integers ``[N, H, W]`` of at most 26 bits to codestreams of at most :data:`TOGETHER` components each.

    Args:
        target: mean squared error of each codestream.
    """
    bits = max(16, int(np.abs(planes).max()).bit_length() + 1)
    whole = planes.astype(np.int16 if bits == 16 else np.int32)
    chunks = [whole[start : start + TOGETHER] for start in range(0, len(whole), TOGETHER)]
    return spread(lambda chunk, threads: _code(chunk, bits, target, threads), chunks, threads)


def decode_components(parts: list[bytes], threads: int) -> NDArray[np.int32]:
    """Inverse of :func:`code_components`."""
    chunks = spread(_back_planar, parts, threads)
    return np.concatenate([chunk.reshape(-1, *chunk.shape[-2:]) for chunk in chunks]).astype(np.int32)


def _code(pixels: NDArray[Any], bits: int, target: float, threads: int) -> bytes:
    """``[N, H, W]`` of components or ``[H, W, 3]`` of unsigned colours to a codestream."""
    from imagecodecs import jpeg2k_encode

    colour = pixels.dtype.kind == "u"
    decibels = 10 * log10((2**bits - 1) ** 2 / target)  # on all that the bits can hold, as the library has it
    level: Any = min(max(decibels, 1.0), 990.0)  # a float; 0 and 1000 mean lossless to it
    data = jpeg2k_encode(
        pixels if colour or len(pixels) > 1 else pixels[0], level=level, codecformat="J2K", bitspersample=bits,
        reversible=False, planar=not colour, mct=colour, numthreads=threads,
    )  # fmt: skip
    return bytes(data)


def _back(part: bytes, threads: int) -> NDArray[Any]:
    from imagecodecs import jpeg2k_decode

    return np.asarray(jpeg2k_decode(part, planar=False, numthreads=threads))


def _back_planar(part: bytes, threads: int) -> NDArray[Any]:
    from imagecodecs import jpeg2k_decode

    return np.asarray(jpeg2k_decode(part, planar=True, numthreads=threads))
