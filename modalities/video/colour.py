"""Pixels of decoded frames as planes of red, green and blue, or of grey; and back to YUV."""

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError

Matrix = Literal["bt601", "bt709", "bt2020", "smpte240m", "fcc"]
# code points of ITU-T H.273 for the matrix, and shares of red and blue in luma
MATRICES: dict[int, Matrix] = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020"}
SHARES = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
    "smpte240m": (0.212, 0.087),
    "fcc": (0.30, 0.11),
}
UNTAGGED, FULL = 2, 2  # H.273: matrix unspecified; libav: AVCOL_RANGE_JPEG
DEPTHS = (8, 9, 10, 12, 14, 16)
Planes = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Pixels:
    """How the pixels of a clip are stored.

    Attributes:
        name: libav's name of the pixel format.
        kind: ``grey``, ``rgb`` or ``yuv``.
        bits: significant bits of a component, one of :data:`DEPTHS`.
        alpha: whether there is an opacity, which is not read.
    """

    name: str
    kind: Literal["grey", "rgb", "yuv"]
    bits: int
    alpha: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 up to 8 bits, else uint16."""
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)


def describe_pixels(format: Any, where: object) -> Pixels:
    """What libav's pixel format holds.

    Raises:
        FormatError: floating point, Bayer, XYZ or hardware formats.
    """
    name, parts = str(format.name), format.components
    shades = [part for part in parts if not part.is_alpha]
    bits = max((8, *(part.bits for part in parts)))
    if bits not in DEPTHS or not shades or re.match("bayer|xyz", name) or re.search(r"f16|f32", name):
        raise FormatError(
            f"{where}: expected grey, RGB or YUV integers of at most 16 bits, got pixel format {name!r}; convert it"
        )
    alpha = len(shades) < len(parts)
    if format.is_rgb or format.has_palette:
        return Pixels(name, "rgb", bits, alpha)
    return Pixels(name, "grey" if len(shades) == 1 else "yuv", bits, alpha)


class Unpacker:
    """Frames of one pixel format to arrays.

    Args:
        pixels: of every frame.
        matrix, full: of YUV: which matrix, and whether black to white take all of the integers.
        luma: give Y of a YUV frame as it is stored.
    """

    def __init__(self, pixels: Pixels, matrix: Matrix, full: bool, luma: bool) -> None:
        from av.video.reformatter import Interpolation, VideoReformatter

        self.pixels, self.full, self.luma = pixels, full, luma
        self._reformatter = VideoReformatter()
        self._flags = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
        self._weights = _weights(matrix, full, pixels.bits)

    def __call__(self, frame: Any) -> NDArray[Any]:
        """One frame as ``[C, H, W]``; C is 1 for grey and luma, else 3 (red, green, blue)."""
        pixels = self.pixels
        direct = re.fullmatch(r"gbra?p(\d*)(le|be)?", pixels.name)
        if pixels.kind == "rgb":
            green, blue, red = planes_of(frame if direct else self._as(frame, "gbrp"))[:3]
            return np.stack([red, green, blue])
        y, *chroma = planes_of(self._as(frame, "gray" if pixels.kind == "grey" else "yuv444p"))
        return y[np.newaxis] if not chroma or self.luma else self._rgb(y, *chroma)

    def _as(self, frame: Any, family: str) -> Any:
        """The frame in a planar format of the same depth; only the chroma of YUV is interpolated."""
        name = family if self.pixels.bits == 8 else f"{family}{self.pixels.bits}le"
        if frame.format.name == name:
            return frame
        if self.pixels.kind == "rgb":
            return self._reformatter.reformat(frame, format=name, interpolation=self._flags)
        wide = FULL if self.full else 1
        return self._reformatter.reformat(
            frame, format=name, interpolation=self._flags, src_colorspace=1, dst_colorspace=1,
            src_color_range=wide, dst_color_range=wide,
        )  # fmt: skip

    def _rgb(self, y: NDArray[Any], u: NDArray[Any], v: NDArray[Any]) -> NDArray[Any]:
        """Red, green and blue, rounded and clipped; single products and sums, so equal on every machine."""
        gain, zero, (v_red, u_green, v_green, u_blue) = self._weights
        middle = np.float32(1 << (self.pixels.bits - 1))
        grey = (y.astype(np.float32) - zero) * gain
        u, v = u.astype(np.float32) - middle, v.astype(np.float32) - middle
        rgb = np.empty((3, *y.shape), self.pixels.dtype)
        largest = np.float32((1 << self.pixels.bits) - 1)
        for plane, terms in zip(rgb, (((v, v_red),), ((u, u_green), (v, v_green)), ((u, u_blue),)), strict=True):
            value = terms[0][0] * terms[0][1]
            for chroma, weight in terms[1:]:
                value += chroma * weight
            value += grey
            np.rint(value, out=value)
            np.clip(value, np.float32(0), largest, out=value)
            plane[...] = value
        return rgb


def _weights(matrix: str, full: bool, bits: int) -> tuple[np.float32, np.float32, tuple[np.float32, ...]]:
    """Gain and zero of luma; weights of V in red, U in green, V in green, U in blue."""
    red, blue = SHARES[matrix]
    green = 1 - red - blue
    unit = 2 ** (bits - 8)
    largest = 2**bits - 1
    zero = 0 if full else 16 * unit
    luma, chroma = (1.0, 1.0) if full else (largest / (219 * unit), largest / (224 * unit))
    v_red, u_blue = 2 * (1 - red) * chroma, 2 * (1 - blue) * chroma
    weights = (v_red, -u_blue * blue / green, -v_red * red / green, u_blue)
    return np.float32(luma), np.float32(zero), tuple(np.float32(weight) for weight in weights)


def to_yuv(rgb: NDArray[Any], matrix: Matrix, bits: int) -> NDArray[Any]:
    """Red, green and blue ``[3, H, W]`` as limited-range Y, Cb, Cr of as many bits, rounded."""
    red_share, blue_share = SHARES[matrix]
    unit, largest = 2 ** (bits - 8), 2**bits - 1
    red, green, blue = rgb.astype(np.float64) / largest
    y = red_share * red + (1 - red_share - blue_share) * green + blue_share * blue
    u, v = (blue - y) / (2 * (1 - blue_share)), (red - y) / (2 * (1 - red_share))
    yuv = np.stack([(219 * y + 16) * unit, (224 * u + 128) * unit, (224 * v + 128) * unit])
    stored: NDArray[Any] = np.rint(yuv).clip(0, largest).astype(rgb.dtype)
    return stored


def planes_of(frame: Any) -> Planes:
    """The planes of a planar frame as ``[H, W]`` each, in its own order, sharing its memory where they can."""
    big = frame.format.name.endswith("be")
    wide = max(part.bits for part in frame.format.components) > 8
    dtype = np.dtype((">u2" if big else "<u2") if wide else "u1")
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)
        planes.append(rows[: plane.height, : plane.width].astype(dtype.newbyteorder("="), copy=False))
    return tuple(planes)


def fill_frame(frame: Any, planes: Planes) -> None:
    """Put ``[H, W]`` or ``[H, W, components]`` integers into the planes of a frame, in its byte order."""
    order: Literal["<", ">"] = ">" if frame.format.name.endswith("be") else "<"
    for plane, values in zip(frame.planes, planes, strict=True):
        values = values.reshape(values.shape[0], -1)
        stored = values.astype(values.dtype.newbyteorder(order), copy=False)
        rows = np.zeros((plane.height, plane.line_size // stored.itemsize), stored.dtype)
        rows[:, : stored.shape[1]] = stored
        plane.update(rows.tobytes())
