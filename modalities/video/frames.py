"""Clips as folders of numbered frames: PNG and TIFF, through PyAV."""

import os
import re
import warnings
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.files import atomic_path
from liveaction.modalities.video.colour import Pixels, Unpacker, describe_pixels, fill_frame
from liveaction.modalities.video.read import (
    Clip,
    Wanted,
    check_pixels,
    one_line_errors,
    warn_of_lost,
)
from liveaction.modalities.video.store import FrameStore
from liveaction.modalities.video.tiff_frames import read_tiff_frame
from liveaction.modalities.video.timing import FrameTiming, parse_fraction
from liveaction.modalities.video.write import stored_frames, timing_of
from liveaction.signal import Signal

SUFFIXES = {".png", ".tif", ".tiff"}
ABOUT = "clip.json"
_TOLD = {"iCCP", "cICP", "eXIf", "tEXt", "zTXt", "iTXt"}


class FolderInfo(BaseModel):
    """``clip.json``: what frames do not say. Values of fewer than 16 bits fill the upper bits of 16-bit frames."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bits: Literal[8, 9, 10, 12, 14, 16]
    frame_rate: str | None = None
    time_base: str = "1/1000"
    timestamps: tuple[int, ...] = ()
    pixel_aspect: str = "1"
    rotation: int = 0
    colour: dict[str, int] = {}

    @field_validator("frame_rate", "time_base", "pixel_aspect")
    @classmethod
    def _a_ratio(cls, value: str | None) -> str | None:
        if value is not None and parse_fraction(value) is None:
            raise ValueError(f"expected a positive ratio such as 30000/1001, got {value[:40]!r}")
        return value


def frame_files(folder: Path) -> list[Path]:
    """PNG and TIFF files directly in ``folder``, hidden ones left out, unsorted; a link to nothing is among them."""
    names = (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    return [p for p in names if not p.is_dir()]


def number_of(path: Path) -> int:
    """The last number in a frame's name, -1 where there is none."""
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else -1


def read_frames(folder: Path, wanted: Wanted, rate: Fraction | None) -> Clip:
    """Decode a folder of frames, sorted by number.

    Args:
        folder: holds PNG or TIFF files of one size and kind, and perhaps a ``clip.json``.
        wanted: as for containers.
        rate: frames per second where no ``clip.json`` says.

    Raises:
        FormatError: no frames, numbers missing or twice, a frame damaged or unlike the first.
    """
    files, info, store = _sorted(folder), _info(folder), FrameStore(folder)
    pixels: Pixels | None = None
    beside: set[str] = set()
    try:
        for file in files:
            here, frame, lost = read_tiff_frame(file) if file.suffix.lower() != ".png" else _read_png(file)
            if pixels is None:
                pixels = check_pixels(folder, here, wanted)
                unpack = Unpacker(here, "bt709", True, wanted.luma)  # no matrix: frames are grey or RGB
            if here != pixels:
                raise FormatError(
                    f"{file}: expected pixel format {pixels.name!r} as the first frame's, got {here.name!r}"
                )
            values = frame if isinstance(frame, np.ndarray) else unpack(frame)
            beside |= lost
            store.append(values if info is None else _narrowed(values, pixels.bits, info.bits, file), file)
        values = store.array()
    finally:
        store.close()
    assert pixels is not None
    warn_of_lost(folder, sorted(beside))
    timing = FrameTiming(rate, Fraction(1, 1000))
    about: dict[str, Any] = {"source": "frames", "pixel_format": pixels.name, "pixel_aspect": "1"}
    if info is not None:
        base = parse_fraction(info.time_base) or Fraction(1, 1000)
        timing = FrameTiming(parse_fraction(info.frame_rate or ""), base, info.timestamps)
        about |= {"pixel_aspect": info.pixel_aspect, "rotation": info.rotation, "colour": info.colour}
        if info.timestamps and len(info.timestamps) != len(files):
            raise FormatError(
                f"{folder / ABOUT}: expected {len(files)} timestamps, one per frame, got {len(info.timestamps)}"
            )
    about["time_base"] = str(timing.base)
    return Clip(values, pixels.bits if info is None else info.bits, timing, about)


def check_frames_folder(folder: Path) -> None:
    """Refuse a file, and a folder with other things in it than frames.

    Raises:
        FormatError: one is there.
    """
    if folder.exists() and (not folder.is_dir() or _others(folder)):
        got = f"a folder that holds {_others(folder)[0]!r}" if folder.is_dir() else "a file"
        raise FormatError(f"{folder}: expected a new folder or one of frames to replace, got {got}; take another name")


def write_frames(signal: Signal, folder: Path, bits: int) -> None:
    """Write ``frame_000000.png`` and so on with a ``clip.json``; the folder appears whole or not at all.

    Raises:
        FormatError: a file, or a folder with other things in it, is there already.
    """
    check_frames_folder(folder)
    timing, about = timing_of(signal, folder), signal.metadata
    info = FolderInfo(
        bits=bits,  # type: ignore[arg-type]
        frame_rate=str(timing.rate) if timing.rate else None,
        time_base=str(timing.base),
        timestamps=timing.stamps,
        pixel_aspect=str(about.get("pixel_aspect", "1")),
        rotation=int(about.get("rotation", 0)),
        colour={key: int(value) for key, value in about.get("colour", {}).items()},
    )
    with one_line_errors(folder, "a place to write to"), atomic_path(folder) as part:
        part.mkdir()
        for number, frame in enumerate(stored_frames(signal, bits)):
            (part / f"frame_{number:06d}.png").write_bytes(_png(frame, bits))
        (part / ABOUT).write_text(info.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _sorted(folder: Path) -> list[Path]:
    files = sorted(frame_files(folder), key=lambda path: (number_of(path), path.name))
    if not files:
        raise FormatError(f"{folder}: expected PNG or TIFF frames, got none; check the folder")
    if number_of(files[0]) < 0:
        raise FormatError(f"{folder}: expected frames with a number in their names, got {files[0].name!r}; rename it")
    for one, two in pairwise(files):
        if number_of(one) == number_of(two):
            raise FormatError(
                f"{folder}: expected each frame's number once, got {one.name!r} and {two.name!r}; one folder per clip"
            )
    missing = number_of(files[-1]) - number_of(files[0]) + 1 - len(files)
    if missing:
        warnings.warn(
            f"{folder}: {missing} of the numbers {number_of(files[0])} to {number_of(files[-1])} have no frame; the "
            "others are taken one after another",
            LiveactionWarning,
            stacklevel=3,
        )
    return files


def _info(folder: Path) -> FolderInfo | None:
    path = folder / ABOUT
    if not os.path.lexists(path):
        return None
    try:
        return FolderInfo.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError, OSError) as error:
        text = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        text = text.removeprefix("Value error, ")
        raise FormatError(
            f"{path}: expected what is written beside frames, got: {' '.join(text.split())}; remove it or put it right"
        ) from error


def _read_png(file: Path) -> tuple[Pixels, Any, set[str]]:
    """The one picture of a file, how its pixels are stored, and what is not kept."""
    import av

    try:
        data = file.read_bytes()
    except OSError as error:
        raise FormatError(f"{file}: expected a readable picture, got {error.strerror}") from error
    if not data:
        raise FormatError(f"{file}: expected a PNG picture, got an empty file")
    kinds = _chunks(data)
    if "acTL" in kinds:
        raise FormatError(f"{file}: expected one picture per file, got an animation; save each as a file of its own")
    with one_line_errors(file, "a whole PNG picture"):
        context: Any = av.CodecContext.create("png", "r")
        context.options = {"err_detect": "crccheck+explode"}
        frames = [*context.decode(av.Packet(data)), *context.decode(None)]
    if len(frames) != 1 or frames[0].is_corrupt:
        raise FormatError(f"{file}: expected a whole PNG picture, got a damaged one; get it anew")
    return describe_pixels(frames[0].format, file), frames[0], {f"{name} of frames" for name in kinds & _TOLD}


def _chunks(data: bytes) -> set[str]:
    """Names of the chunks of a PNG."""
    found, at = set(), 8
    while at + 8 <= len(data):
        found.add(data[at + 4 : at + 8].decode("latin-1"))
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return found


def _narrowed(values: NDArray[Any], stored: int, bits: int, file: Path) -> NDArray[Any]:
    """Values of ``bits`` bits that were spread over ``stored``."""
    if stored != (8 if bits == 8 else 16):
        raise FormatError(f"{file}: expected {8 if bits == 8 else 16} bits as {ABOUT} says, got {stored}")
    return values >> (stored - bits) if stored > bits else values


def _png(frame: NDArray[Any], bits: int) -> bytes:
    """A PNG of ``[C, H, W]``; 9 to 14 bits are spread over 16, the upper ones repeated below, as PNG recommends."""
    import av

    if 8 < bits < 16:
        frame = (frame << (16 - bits)) | (frame >> (2 * bits - 16))
    name = {(1, 8): "gray", (3, 8): "rgb24", (1, 16): "gray16be", (3, 16): "rgb48be"}[
        len(frame), 8 if bits == 8 else 16
    ]
    picture = av.VideoFrame(frame.shape[2], frame.shape[1], name)
    fill_frame(picture, (np.moveaxis(frame, 0, -1),))
    context = av.CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt = picture.width, picture.height, name
    context.time_base = Fraction(1)
    return b"".join(bytes(packet) for packet in [*context.encode(picture), *context.encode(None)])


def _others(folder: Path) -> list[str]:
    """Names in a folder that are not what :func:`write_frames` makes."""
    return sorted(p.name for p in folder.iterdir() if not re.fullmatch(r"frame_\d+\.png|clip\.json", p.name))
