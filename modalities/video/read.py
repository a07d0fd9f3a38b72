"""Clips in containers, through PyAV, frame by frame."""

import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from math import atan2, degrees, hypot
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.modalities.array.formats import MOST_UNPACKED
from liveaction.modalities.video.colour import (
    FULL,
    MATRICES,
    UNTAGGED,
    Matrix,
    Pixels,
    Unpacker,
    describe_pixels,
)
from liveaction.modalities.video.length import check_length
from liveaction.modalities.video.store import FrameStore
from liveaction.modalities.video.timing import FrameTiming, parse_fraction, settle_timing

# a suffix to libav's reader; naming it keeps playlists, which may point anywhere, from being followed
READERS = {
    ".mp4": "mov", ".m4v": "mov", ".mov": "mov", ".mkv": "matroska", ".webm": "matroska",
    ".y4m": "yuv4mpegpipe", ".avi": "avi",
}  # fmt: skip
MOST_PIXELS = 2**28
"""Of a frame of a small file; of a larger one :data:`MOST_UNPACKED` times its bytes."""
_TECHNICAL = re.compile(  # tags that tell of the container, not of the clip; a language may follow
    "(major_brand|minor_version|compatible_brands|encoder|software|creation_time|language|handler_name|vendor_id|duration|"
    "frame_rate|pixel_aspect|alpha_mode|number_of_(frames|bytes)|bps|_statistics_.*)(-.*)?$",
    re.IGNORECASE,
)
# decoders whose side data have no texts, which PyAV 18 frees twice: those of a PNG end the process
_SAFE = {"hevc", "h264", "av1", "libdav1d", "vp9", "mpeg2video"}
_NOT_SAID = {"SEI_UNREGISTERED", "DISPLAYMATRIX", "PANSCAN", "AFD", "SKIP_SAMPLES", "VIDEO_HINT"}
_MOST_NAMED = 12
RATE_TAG, ASPECT_TAG = "FRAME_RATE", "PIXEL_ASPECT"  # of a stream, where a container rounds


@dataclass(frozen=True)
class Wanted:
    """What a recipe asks of a reader: channels, and what ``VideoOptions`` of ``modality.py`` says."""

    channels: int
    luma: bool
    untagged_matrix: str


@dataclass(frozen=True)
class Clip:
    """Values ``[C, T, H, W]``, their significant bits, when frames are shown, and JSON of how they were stored."""

    values: NDArray[Any]
    bits: int
    timing: FrameTiming
    metadata: dict[str, Any]


def read_container(path: Path, wanted: Wanted) -> Clip:
    """Decode the video of one file.

    Raises:
        FormatError: not such a file, cut short, damaged, of changing size, or of other channels than wanted.
    """
    import av

    size = check_length(path, READERS[path.suffix.lower()])
    store = FrameStore(path)
    try:
        with (
            one_line_errors(path, f"a clip as {path.suffix} files are", "; check that it is whole and named rightly"),
            av.open(str(path.absolute()), format=READERS[path.suffix.lower()], metadata_errors="replace") as container,
        ):
            stream = _pick(container, path)
            stream.thread_type = "AUTO"
            stream.codec_context.options = {"max_pixels": str(_most_pixels(path, stream, size))}
            with _damage_reported(stream, path):
                return _decode(path, container, stream, store, wanted)
    finally:
        store.close()


def _decode(path: Path, container: Any, stream: Any, store: FrameStore, wanted: Wanted) -> Clip:
    unpack: Unpacker | None = None
    stamps: list[int | None] = []
    about: dict[str, Any] = {}
    beside: set[str] = set()
    for frame in _frames(path, container, stream):
        if unpack is None:
            unpack, about = _prepare(path, stream, frame, wanted)
        if frame.format.name != unpack.pixels.name:
            raise FormatError(
                f"{path}: expected frames of one pixel format, {unpack.pixels.name!r} as the first, got "
                f"{frame.format.name!r} at frame {store.count}; split the clip there"
            )
        store.append(unpack(frame))
        stamps.append(frame.pts)
        if stream.codec.name in _SAFE:
            beside |= _beside_pixels(frame)
    values = store.array()
    warn_of_lost(path, sorted(beside))
    assert unpack is not None
    rates = [parse_fraction(stream.metadata.get(RATE_TAG, "")), stream.average_rate, stream.guessed_rate]
    timing = settle_timing(stamps, Fraction(stream.time_base or 1), rates)
    return Clip(values, unpack.pixels.bits, timing, about)


def _frames(path: Path, container: Any, stream: Any) -> Iterator[Any]:
    """Every frame of the stream; refuses packets that the file does not hold whole and frames patched over."""
    count, end = 0, 0
    for packet in container.demux(stream):
        end = max(end, (packet.pos or 0) + packet.size)
        if packet.is_corrupt:
            raise FormatError(f"{path}: expected a whole file, got one cut short or damaged after frame {count}")
        for frame in packet.decode():
            if frame.is_corrupt:
                raise FormatError(f"{path}: expected sound frames, got frame {count} damaged; get the file anew")
            count += 1
            yield frame
    if path.suffix.lower() == ".y4m" and path.stat().st_size != end:
        raise FormatError(f"{path}: expected whole frames, got a part of one after frame {count}; get the file anew")


def _prepare(path: Path, stream: Any, frame: Any, wanted: Wanted) -> tuple[Unpacker, dict[str, Any]]:
    """How to unpack frames like this one, and JSON of how they are stored."""
    pixels = check_pixels(path, describe_pixels(frame.format, path), wanted)
    code = int(frame.colorspace)
    matrix = untagged_matrix(wanted.untagged_matrix, frame.width, frame.height)
    if pixels.kind == "yuv" and not wanted.luma and code != UNTAGGED:
        if code not in MATRICES:
            raise FormatError(
                f"{path}: expected a colour matrix of bt601, bt709, bt2020, smpte240m or fcc, got H.273 code {code}; "
                "convert the clip to one of them"
            )
        matrix = MATRICES[code]
    if stream.metadata.get("alpha_mode") == "1" and not pixels.alpha:  # of VP8 and VP9, beside the frames
        _warn_of_alpha(path)
    full = int(frame.color_range) == FULL or pixels.name.startswith("yuvj")
    if frame.interlaced_frame:
        warnings.warn(f"{path}: interlaced; both fields are taken as one frame", LiveactionWarning, stacklevel=2)
    rotation, mirrored = _turned(stream, frame)
    warn_of_lost(path, ["mirroring"] if mirrored else [])
    aspect = parse_fraction(stream.metadata.get(ASPECT_TAG, "")) or stream.sample_aspect_ratio or Fraction(1)
    about = {
        "source": "file",
        "codec": stream.codec.name,
        "pixel_format": pixels.name,
        "time_base": str(stream.time_base),
        "pixel_aspect": str(aspect),
        "rotation": rotation,
        "interlaced": bool(frame.interlaced_frame),
        "colour": {
            "matrix": code,
            "range": int(frame.color_range),
            "primaries": int(frame.color_primaries),
            "transfer": int(frame.color_trc),
        },
    }
    if pixels.kind == "yuv" and not wanted.luma:
        about["converted_from"] = f"{matrix}, {'full' if full else 'limited'} range"
    return Unpacker(pixels, matrix, full, wanted.luma), about


def _turned(stream: Any, frame: Any) -> tuple[int, bool]:
    """Degrees counterclockwise that a player turns frames, and whether it mirrors left and right before that."""
    try:
        sides = frame.side_data if stream.codec.name in _SAFE else ()
        matrix = next((bytes(one) for one in sides if one.type.name == "DISPLAYMATRIX"), b"")
    except ValueError:  # of a kind that this PyAV has no name for
        matrix = b""
    a, b, _, c, d = struct.unpack("=5i", matrix[:20]) if len(matrix) == 36 else (1, 0, 0, 0, 1)
    if a * d - b * c >= 0:
        return int(frame.rotation), False
    return round(-degrees(atan2(b / hypot(b, d), -a / hypot(a, c)))), True


def check_pixels(path: Path, pixels: Pixels, wanted: Wanted) -> Pixels:
    """Refuse grey where colour is wanted and the other way round; warn where there is an opacity.

    Raises:
        FormatError: the recipe's channels are not the clip's.
    """
    if pixels.kind == "grey" and wanted.channels == 3:
        raise FormatError(f"{path}: expected colour, got {pixels.name!r}; take a recipe with modality.channels 1")
    if pixels.kind != "grey" and wanted.channels == 1 and not (wanted.luma and pixels.kind == "yuv"):
        way = "or modality.options.luma true for the luma alone" if pixels.kind == "yuv" else "or convert it to grey"
        raise FormatError(f"{path}: expected grey, got {pixels.name!r}; take a recipe with modality.channels 3, {way}")
    if pixels.alpha:
        _warn_of_alpha(path)
    return pixels


def _beside_pixels(frame: Any) -> set[str]:
    """What a frame holds that is not kept: light levels of HDR, captions, time codes."""
    try:
        names = {one.type.name for one in frame.side_data}
    except ValueError:  # of a kind that this PyAV has no name for
        return set()
    return {name.lower().replace("_", " ") for name in names - _NOT_SAID}


def _warn_of_alpha(path: Path) -> None:
    warnings.warn(f"{path}: its opacity (alpha) is not kept", LiveactionWarning, stacklevel=2)


def warn_of_lost(path: Path, lost: list[str]) -> None:
    """Name what is not kept, the first dozen of it."""
    if lost:
        more = [f"{len(lost) - _MOST_NAMED} more"] if len(lost) > _MOST_NAMED else []
        warnings.warn(f"{path}: not kept: {', '.join(lost[:_MOST_NAMED] + more)}", LiveactionWarning, stacklevel=2)


def untagged_matrix(rule: str, width: int, height: int) -> Matrix:
    """The matrix of YUV that does not say: the one named, or as players do, bt709 from 1280 wide or 577 high on."""
    if rule != "by_size":
        return rule  # type: ignore[return-value]
    return "bt709" if width >= 1280 or height > 576 else "bt601"


def _pick(container: Any, path: Path) -> Any:
    """The video stream; warns of all others, of chapters and of tags."""
    covers = [s for s in container.streams.video if s.disposition.value & 0x400]  # pictures attached, not video
    videos = [s for s in container.streams.video if s not in covers]
    if not videos:
        raise FormatError(f"{path}: expected a video track, got {len(container.streams)} others; check the file")
    chosen = videos[0]
    if chosen.codec_context is None:
        raise FormatError(f"{path}: expected a codec that PyAV decodes, got one it does not know; convert the clip")
    left = [_name(stream) for stream in container.streams if stream is not chosen]
    left += ["chapters"] if container.chapters() else []
    tags = {key[:40] for key in (*container.metadata, *chosen.metadata) if not _TECHNICAL.match(key)}
    warn_of_lost(path, left + [f"tag {key!r}" for key in sorted(tags)])
    return chosen


def _most_pixels(path: Path, stream: Any, size: int) -> int:
    """Of a frame, lest a small file take all memory; a frame larger than its container says is libav's to refuse."""
    most = min(max(MOST_PIXELS, MOST_UNPACKED * size), 2**31 - 1)
    if stream.codec_context.width * stream.codec_context.height > most:
        raise FormatError(
            f"{path}: expected frames of at most {most} pixels in a file of {size} bytes, got "
            f"{stream.codec_context.width} x {stream.codec_context.height}; check where it comes from"
        )
    return most


def _name(stream: Any) -> str:
    context = stream.codec_context
    codec = f" ({context.codec.name})" if context is not None else ""
    return f"{stream.type} track {stream.index}{codec}"


@contextmanager
def one_line_errors(path: Path, expected: str, way: str = "") -> Iterator[None]:
    """Turn what libav raises into one line."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        text = " ".join(str(error.strerror or error).split())
        raise FormatError(f"{path}: expected {expected}, got {text[:1].lower() + text[1:]}{way}") from error


@contextmanager
def _damage_reported(stream: Any, path: Path) -> Iterator[None]:
    """Refuse FFV1 whose checksums do not match: libav patches such slices over and only logs it."""
    import av.logging

    if stream.codec.name != "ffv1":
        yield
        return
    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(local=False) as logs:
            yield
    finally:
        av.logging.set_level(before)
    said = next((text.strip() for _, name, text in logs if name == "ffv1"), None)
    if said is not None:
        raise FormatError(f"{path}: expected sound FFV1 frames, got {said!r}; get the file anew")
