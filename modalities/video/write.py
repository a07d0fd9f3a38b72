"""Clips to files: FFV1 in Matroska without loss, and Y4M."""

import warnings
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionWarning, ShapeError
from liveaction.files import atomic_path
from liveaction.modalities.video.colour import DEPTHS, Matrix, fill_frame, to_yuv
from liveaction.modalities.video.read import ASPECT_TAG, RATE_TAG, one_line_errors
from liveaction.modalities.video.timing import FrameTiming, parse_fraction
from liveaction.signal import Signal

_LOSSY = {".mp4", ".m4v", ".mov", ".webm"}


def check_order(signal: Signal, path: Path) -> None:
    """Refuse timestamps that go back, as of files that were joined, for ``.mkv``.

    Raises:
        FormatError: they do.
    """
    stamps = timing_of(signal, path).stamps
    back = next((k for k, (one, two) in enumerate(pairwise(stamps), 1) if two < one), None)
    if back is not None and path.suffix.lower() == ".mkv":
        raise FormatError(
            f"{path}: expected timestamps that do not go back, which .mkv cannot hold, got {stamps[back]} behind "
            f"{stamps[back - 1]} at frame {back}; write a folder"
        )


def check_suffix(path: Path) -> None:
    """Refuse a name that no clip is written under.

    Raises:
        FormatError: it ends in another suffix than ``.mkv`` or ``.y4m``.
    """
    if path.suffix.lower() in _LOSSY:
        raise FormatError(
            f"{path}: expected a name ending in '.mkv', '.y4m' or none, got {path.suffix!r}, whose codecs would lose "
            "detail a second time; take .mkv, which keeps every value"
        )
    if path.suffix.lower() not in {".mkv", ".y4m", ""}:
        raise FormatError(
            f"{path}: expected a name ending in '.mkv' or '.y4m', or without a suffix for a folder of PNG frames, got "
            f"{path.suffix!r}; rename it"
        )


def bits_of(signal: Signal, path: Path) -> int:
    """Bits of a value, one of :data:`DEPTHS`.

    Raises:
        FormatError: values that are not of 8 to 16 bits.
        ShapeError: not one or three channels of three axes.
    """
    if signal.values.ndim != 4 or signal.values.shape[0] not in (1, 3) or 0 in signal.values.shape:
        raise ShapeError(f"{path}: expected values [1 or 3, T, H, W], got {signal.values.shape}")
    bits = signal.bits or 8 * np.dtype(signal.dtype).itemsize
    if np.dtype(signal.dtype).kind != "u" or bits not in DEPTHS:
        raise FormatError(
            f"{path}: expected unsigned integers of {', '.join(map(str, DEPTHS))} bits, got {signal.dtype} of {bits}"
        )
    return bits


def timing_of(signal: Signal, path: Path) -> FrameTiming:
    """When the frames are shown, from the metadata.

    Raises:
        FormatError: metadata with another number of timestamps than frames.
    """
    about = signal.metadata
    stamps = tuple(int(stamp) for stamp in about.get("timestamps", ()))
    if stamps and len(stamps) != signal.shape[0]:
        raise FormatError(f"{path}: expected {signal.shape[0]} timestamps, one per frame, got {len(stamps)}")
    base = parse_fraction(str(about.get("time_base") or "")) or Fraction(1, 1000)
    return FrameTiming(parse_fraction(str(about.get("frame_rate") or "")), base, stamps)


def stored_frames(signal: Signal, bits: int) -> Iterator[NDArray[Any]]:
    """Each frame ``[C, H, W]`` as integers of ``bits`` bits; other values are rounded and clipped."""
    dtype = np.dtype(np.uint8 if bits == 8 else np.uint16)
    for frame in range(signal.shape[0]):
        values = signal.values[:, frame]
        if values.dtype != dtype or bits not in (8, 16):
            values = np.rint(values).clip(0, 2**bits - 1).astype(dtype)
        yield values


def write_mkv(signal: Signal, path: Path, bits: int) -> None:
    """FFV1 with checksums; rate, timestamps, rotation and colour tags as in the metadata.

    Raises:
        FormatError: frames one sample wide and higher, which FFV1 does not take, or a full disk.
    """
    grey = signal.values.shape[0] == 1
    name = {(True, 8): "gray", (False, 8): "bgr0"}.get((grey, bits), f"{'gray' if grey else 'gbrp'}{bits}le")
    if signal.shape[2] == 1 < signal.shape[1]:
        raise FormatError(f"{path}: expected frames at least two wide, got one, which FFV1 refuses; write a folder")
    timing, about = timing_of(signal, path), signal.metadata
    stamps = _in_milliseconds(timing, path)
    colour = {key: int(value) for key, value in about.get("colour", {}).items()}
    aspect = parse_fraction(str(about.get("pixel_aspect", 1))) or Fraction(1)
    if aspect != 1:
        _warn(f"{path}: pixels of {aspect} width to height are kept as a tag {ASPECT_TAG}; players show them square")
    with _opened(path, "matroska", "ffv1", _rate(timing, path)) as (container, stream, context):
        context.width, context.height, context.pix_fmt = signal.shape[2], signal.shape[1], name
        context.options = {"level": "3", "slicecrc": "1", "g": "1"}
        context.thread_type = "AUTO"
        context.color_primaries, context.color_trc = colour.get("primaries", 2), colour.get("transfer", 2)
        context.colorspace = 2 if grey else 0
        context.color_range = colour.get("range", 0) if grey else 2
        if timing.stamps:
            context.time_base = Fraction(1, 1000)
        elif timing.rate:
            stream.metadata[RATE_TAG] = str(timing.rate)
        if aspect != 1:
            stream.metadata[ASPECT_TAG] = str(aspect)
        if about.get("rotation"):
            stream.set_display_rotation(int(about["rotation"]))
        for number, rgb in enumerate(stored_frames(signal, bits)):
            planes = tuple(rgb) if grey else _packed(rgb) if bits == 8 else (rgb[1], rgb[2], rgb[0])
            _mux(container, stream, planes, name, stamps[number] if stamps else number)
        container.mux(stream.encode())


def write_y4m(signal: Signal, path: Path, bits: int, matrix: Matrix) -> None:
    """Grey as it is; colour as YUV 4:4:4 of ``matrix`` and limited range, which rounds: warns.

    Raises:
        FormatError: variable frame rate, which the format has no place for.
    """
    grey, timing = signal.values.shape[0] == 1, timing_of(signal, path)
    if timing.stamps:
        raise FormatError(f"{path}: expected a constant frame rate, got timestamps, which .y4m cannot hold; take .mkv")
    if not grey:
        _warn(
            f"{path}: .y4m holds no RGB: written as YUV 4:4:4 ({matrix}, limited range), rounded by a level or so; "
            ".mkv keeps every value"
        )
    lost = [key for key, plain in (("pixel_aspect", "1"), ("rotation", 0)) if signal.metadata.get(key, plain) != plain]
    colour = signal.metadata.get("colour", {})
    lost += ["colour"] if any(int(colour.get(key, 2)) not in (0, 2) for key in ("primaries", "transfer")) else []
    if lost:
        _warn(f"{path}: .y4m does not keep {' and '.join(lost)} as written here; .mkv does")
    family = "gray" if grey else "yuv444p"
    name = family if bits == 8 else f"{family}{bits}le"
    with _opened(path, "yuv4mpegpipe", "rawvideo", _rate(timing, path)) as (container, stream, context):
        context.width, context.height, context.pix_fmt = signal.shape[2], signal.shape[1], name
        context.color_range = int(signal.metadata.get("colour", {}).get("range", 0)) if grey else 1
        for number, frame in enumerate(stored_frames(signal, bits)):
            planes = tuple(frame) if grey else tuple(to_yuv(frame, matrix, bits))
            _mux(container, stream, planes, name, number)
        container.mux(stream.encode())


class _opened:
    """A container being written beside ``path``, its stream and codec context; it takes the place of ``path`` whole."""

    def __init__(self, path: Path, format: str, codec: str, rate: Fraction) -> None:
        self.path, self.format, self.codec, self.rate = path, format, codec, rate

    def __enter__(self) -> tuple[Any, Any, Any]:
        from contextlib import ExitStack

        import av

        self.stack = ExitStack()
        with ExitStack() as stack:
            stack.enter_context(one_line_errors(self.path, "a place to write to"))
            part = stack.enter_context(atomic_path(self.path))
            # not official: .y4m of more than 8 bits
            container = av.open(str(part.absolute()), "w", format=self.format, options={"strict": "-1"})
            stack.enter_context(container)
            stream = container.add_stream(self.codec, rate=self.rate)
            self.stack = stack.pop_all()
        return container, stream, stream.codec_context

    def __exit__(self, *error: Any) -> bool | None:
        return self.stack.__exit__(*error)


def _mux(container: Any, stream: Any, planes: tuple[NDArray[Any], ...], name: str, stamp: int) -> None:
    import av

    frame = av.VideoFrame(stream.codec_context.width, stream.codec_context.height, name)
    fill_frame(frame, planes)
    frame.pts = stamp
    container.mux(stream.encode(frame))


def _packed(rgb: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """``[H, W, 4]``: blue, green, red, nothing."""
    packed = np.zeros((*rgb.shape[1:], 4), np.uint8)
    for place, plane in enumerate(rgb[::-1]):
        packed[..., place] = plane
    return (packed,)


def _rate(timing: FrameTiming, path: Path) -> Fraction:
    if timing.rate is None:
        _warn(f"{path}: no frame rate is known; 25 per second is written")
    return timing.rate or Fraction(25)


def _in_milliseconds(timing: FrameTiming, path: Path) -> list[int]:
    """Timestamps as Matroska holds them."""
    exact = [stamp * timing.base * 1000 for stamp in timing.stamps]
    if any(stamp.denominator != 1 for stamp in exact):
        _warn(f"{path}: timestamps in units of {timing.base} s are rounded to the milliseconds of .mkv")
    return [round(stamp) for stamp in exact]


def _warn(text: str) -> None:
    warnings.warn(text, LiveactionWarning, stacklevel=3)
