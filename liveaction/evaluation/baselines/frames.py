"""Planes as frames of a pixel format, and the streams that libav's encoders make of them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

RED, BLUE = 0.2126, 0.0722
"""Shares in luma, ITU-R BT.709."""

SMALLEST = 64
"""Samples a side that every encoder here takes; smaller planes are continued by their border."""

FULL_RANGE = 2  # AVCOL_RANGE_JPEG


@dataclass(frozen=True)
class PixelFormat:
    """A planar format of libav.

    Attributes:
        name: ``gray12le``, ``yuv444p10le``, ``yuv420p10le``.
        bits: of its components, full range: black to white take all of them.
    """

    name: str
    bits: int

    @property
    def halved(self) -> bool:
        """Whether colour has half the samples along both axes."""
        return "420" in self.name

    def planes(self, pixels: NDArray[np.uint16], bits: int) -> list[NDArray[np.uint16]]:
        """Integers of ``bits`` bits, ``[H, W]`` or ``[H, W, 3]``, as the planes of a frame, even and large enough.

        Grey is multiplied by a power of two, exactly where the format has as many bits or more; colours become Y, Cb
        and Cr of BT.709, rounded once.
        """
        most = 2**self.bits - 1
        pixels = _continued(pixels)
        if pixels.ndim == 2:
            flat = [np.full((pixels.shape[0] // 2, pixels.shape[1] // 2), 2 ** (self.bits - 1), np.uint16)] * 2
            grey = np.rint(pixels * 2.0 ** (self.bits - bits)).clip(0, most).astype(np.uint16)
            return [grey, *(flat if self.halved else ())]
        red, green, blue = np.moveaxis(pixels / (2.0**bits - 1), -1, 0)
        y = RED * red + (1 - RED - BLUE) * green + BLUE * blue
        colours = [(blue - y) / (2 * (1 - BLUE)), (red - y) / (2 * (1 - RED))]
        if self.halved:
            colours = [(c[::2, ::2] + c[1::2, ::2] + c[::2, 1::2] + c[1::2, 1::2]) / 4 for c in colours]
        scaled = [y * most, *(colour * most + 2 ** (self.bits - 1) for colour in colours)]
        return [np.rint(plane).clip(0, most).astype(np.uint16) for plane in scaled]

    def pixels(self, planes: list[NDArray[np.uint16]], bits: int, plane: tuple[int, ...]) -> NDArray[np.float32]:
        """Inverse of :meth:`planes`, not rounded, cut to the shape ``plane``."""
        if len(plane) == 2:
            return planes[0][: plane[0], : plane[1]] * np.float32(2.0 ** (bits - self.bits))
        most = 2**self.bits - 1
        y = planes[0].astype(np.float32) / most
        u, v = ((colour.astype(np.float32) - 2 ** (self.bits - 1)) / most for colour in planes[1:])
        if self.halved:
            u, v = (_doubled(_doubled(colour, 0), 1) for colour in (u, v))
        blue, red = y + 2 * (1 - BLUE) * u, y + 2 * (1 - RED) * v
        green = (y - RED * red - BLUE * blue) / (1 - RED - BLUE)
        colours = np.stack([red, green, blue], axis=-1)[: plane[0], : plane[1]]
        return (colours * np.float32(2.0**bits - 1)).astype(np.float32)


def _continued(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Even sides of :data:`SMALLEST` or more, filled with the last row and column."""
    more = [(0, max(SMALLEST, side + side % 2) - side) for side in pixels.shape[:2]]
    return np.pad(pixels, [*more, (0, 0)][: pixels.ndim], mode="edge") if any(end for _, end in more) else pixels


def _doubled(colour: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Twice as many samples, linear between the centres of the given ones."""
    last = colour.shape[axis] - 1
    before = colour.take(np.arange(-1, last).clip(0), axis)
    after = colour.take(np.arange(1, last + 2).clip(0, last), axis)
    pairs = np.stack([0.75 * colour + 0.25 * before, 0.75 * colour + 0.25 * after], axis=axis + 1)
    sides = list(colour.shape)
    sides[axis] *= 2
    return pairs.reshape(sides)


def encode_frames(
    encoder: str, format: PixelFormat, frames: Iterable[list[NDArray[np.uint16]]], count: int, threads: int,
    options: dict[str, str],
) -> list[bytes]:  # fmt: skip
    """The packets of an elementary stream of one group of ``count`` pictures."""
    import av

    packets: list[bytes] = []
    context: Any = None
    for number, planes in enumerate(frames):
        height, width = planes[0].shape
        if context is None:
            context = av.CodecContext.create(encoder, "w")
            context.width, context.height, context.pix_fmt = width, height, format.name
            context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
            context.gop_size, context.color_range = count, FULL_RANGE
            context.thread_count, context.options = threads, options
        frame = av.VideoFrame(width, height, format.name)
        for plane, values in zip(frame.planes, planes, strict=True):
            rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
            rows[:, : values.shape[1]] = values
            plane.update(rows.tobytes())
        frame.pts, frame.color_range = number, FULL_RANGE
        packets += [bytes(packet) for packet in context.encode(frame)]
    packets += [bytes(packet) for packet in context.encode(None)]
    return packets


def decode_frames(decoder: str, packets: Iterable[bytes], threads: int) -> Iterator[list[NDArray[np.uint16]]]:
    """The planes of each frame in the order of display."""
    import av

    context: Any = av.CodecContext.create(decoder, "r")
    context.thread_count = threads
    for packet in [*(av.Packet(data) for data in packets), None]:
        for frame in context.decode(packet):
            yield [
                np.frombuffer(plane, "<u2").reshape(-1, plane.line_size // 2)[: plane.height, : plane.width]
                for plane in frame.planes
            ]


def without_remarks(packet: bytes) -> bytes:
    """An H.264 packet of the byte stream format (ITU-T H.264, annex B) without its units of type 6, SEI.

    x264 writes its options into the first, some hundred bytes that nobody needs for decoding.
    """
    units = re.split(rb"(?=\x00\x00\x00\x01|(?<!\x00)\x00\x00\x01)", packet)
    return b"".join(unit for unit in units if not re.match(rb"\x00?\x00\x00\x01[\x06\x26\x46\x66]", unit))
