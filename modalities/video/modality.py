"""Video: clips in containers and folders of frames, RGB or grey."""

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from liveaction.errors import FormatError, SpecError
from liveaction.metrics import Similarity, psnr_along
from liveaction.modalities.base import Modality
from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.find import find_files
from liveaction.modalities.options import Options, parse_options
from liveaction.modalities.video.exhibits import clip_exhibits
from liveaction.modalities.video.frames import (
    SUFFIXES,
    check_frames_folder,
    frame_files,
    number_of,
    read_frames,
    write_frames,
)
from liveaction.modalities.video.phantom import video_phantom
from liveaction.modalities.video.preview import draw_preview
from liveaction.modalities.video.read import READERS, Wanted, read_container, untagged_matrix
from liveaction.modalities.video.timing import parse_fraction
from liveaction.modalities.video.write import bits_of, check_order, check_suffix, write_mkv, write_y4m
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

_WANTED = f"a clip ({', '.join(READERS)}), a folder of numbered PNG or TIFF frames, or a folder that holds such"
_LONG, _STRETCHES, _STRETCH = 2**27, 8, 7  # values; stretches of frames that stand for a longer clip, frames in each


class VideoOptions(Options):
    """``[modality.options]`` of a video recipe.

    Attributes:
        luma: with ``channels: 1``, take Y of YUV clips as it is stored.
        untagged_matrix: of YUV clips that do not name theirs; ``by_size`` is what players do, bt709 from 1280 wide or
            577 high on, bt601 below.
        frame_rate: of folders of frames without a ``clip.json``, such as ``30000/1001``; null for unknown.
    """

    luma: bool = False
    untagged_matrix: Literal["by_size", "bt601", "bt709", "bt2020"] = "by_size"
    frame_rate: str | int | None = None

    @field_validator("frame_rate")
    @classmethod
    def _a_rate(cls, value: str | int | None) -> str | int | None:
        if value is not None and parse_fraction(str(value)) is None:
            raise ValueError("expected a positive ratio such as 30000/1001")
        return value


class Video(Modality):
    """Clips ``[3, T, H, W]`` (red, green, blue) or ``[1, T, H, W]`` (grey), uint8, or uint16 above 8 bits.

    Spacing is seconds, 1, and the width of a pixel against its height. Metadata are plain JSON: ``codec``,
    ``pixel_format``, ``frame_rate`` (exact, as ``30000/1001``), ``time_base``, ``timestamps`` where frames follow no
    rate, ``pixel_aspect``, ``rotation`` in degrees counterclockwise, not applied, and ``colour``, code points of H.273.

    Raises:
        SpecError: the recipe does not ask for three axes and 3 or 1 channels, or has other options.
    """

    def __init__(self, spec: ModalitySpec) -> None:
        super().__init__(spec)
        if len(spec.axes) != 3 or spec.channels not in (1, 3):
            raise SpecError(
                f"[modality] video: expected 3 axes and 3 channels, or 1 for grey, got axes {spec.axes!r} and channels "
                f"{spec.channels}"
            )
        self.options = parse_options(VideoOptions, spec.options)
        if self.options.luma and spec.channels != 1:
            raise SpecError("[modality.options] luma: expected modality.channels 1 with it, got 3; change one of them")
        self._wanted = Wanted(spec.channels, self.options.luma, self.options.untagged_matrix)

    def find(self, path: Path) -> list[Path]:
        """Clips under ``path``, see :func:`find_files`: files in containers, and folders of frames, each one item.

        Pictures beside clips are not taken for frames.

        Raises:
            FormatError: nothing is there, the folder is empty, or nothing in it is a clip.
        """
        way = "give its folder" if path.suffix.lower() in SUFFIXES else "convert it"
        return find_files(path, _WANTED, _is_clip, _is_clip_of_frames, way=way)

    def read(self, path: Path) -> Signal:
        """Read one clip, decoded frame by frame; above 256 MiB ``values`` are a memory map of a temporary file.

        YUV becomes RGB by the matrix and range that the clip names, its chroma interpolated. Only video is kept.

        Args:
            path: a file that :meth:`find` gives, or a folder that directly holds the frames.

        Raises:
            FormatError: not such a file or folder, damaged, cut short, of other channels than the recipe's.
        """
        if path.is_dir():
            clip = read_frames(path, self._wanted, parse_fraction(str(self.options.frame_rate or "")))
        elif path.is_file() and path.suffix.lower() in READERS:
            clip = read_container(path, self._wanted)
        else:
            self.find(path)
            raise FormatError(f"{path}: expected {_WANTED}, got neither a file nor a folder")
        timing, metadata = clip.timing, dict(clip.metadata)
        metadata["frame_rate"] = str(timing.rate) if timing.rate else None
        if timing.stamps:
            metadata["timestamps"] = list(timing.stamps)
        aspect = float(parse_fraction(metadata["pixel_aspect"]) or Fraction(1))
        bits = 0 if clip.bits in (8, 16) else clip.bits
        spacing, dtype = (timing.step, 1.0, aspect), clip.values.dtype.name
        return Signal(clip.values, self.spec.axes, self.spec.unit, spacing, dtype, metadata, bits)

    def check_target(self, signal: Signal, path: Path) -> list[Path]:
        """Refuse what no video file holds, see :func:`bits_of`, and another suffix than ``.mkv``, ``.y4m`` or none."""
        check_suffix(path)
        bits_of(signal, path)
        check_order(signal, path)
        if not path.suffix:
            check_frames_folder(path)
        return super().check_target(signal, path)

    def write(self, signal: Signal, path: Path) -> None:
        """Write FFV1 in ``.mkv``, ``.y4m``, or, without a suffix, a folder of PNG frames with a ``clip.json``; atomic.

        Values of any real dtype are taken, rounded and clipped to the source's bits.

        Raises:
            FormatError: another suffix, no such folder, NaN or infinity, or what the format cannot hold.
            ShapeError: not one or three channels of three axes.
        """
        self.check_target(signal, path)
        bits = bits_of(signal, path)
        self.check_finite(signal.values, path)
        if path.suffix.lower() == ".mkv":
            write_mkv(signal, path, bits)
        elif path.suffix.lower() == ".y4m":
            height, width = signal.shape[1:]
            write_y4m(signal, path, bits, untagged_matrix(self.options.untagged_matrix, width, height))
        else:
            write_frames(signal, path, bits)

    def synthetic(self, seed: int, extents: tuple[int, ...] | None = None) -> Signal:
        """A seeded clip at 25 frames per second, uint8 ``[C, 24, 144, 176]`` (:func:`video_phantom`)."""
        t, y, x = extents or (24, 144, 176)
        values = video_phantom(seed, (t, y, x), self.spec.channels)
        metadata = {
            "source": "synthetic",
            "seed": seed,
            "frame_rate": "25",
            "time_base": "1/25",
            "pixel_aspect": "1",
            "rotation": 0,
        }
        return Signal(values, self.spec.axes, self.spec.unit, (1 / 25, 1.0, 1.0), "uint8", metadata)

    def stripped(self, signal: Signal) -> Signal:
        """The signal as it is: a clip's metadata are of geometry, timing, type and colour alone."""
        return signal

    def cropped(self, signal: Signal, box: tuple[tuple[int, int], ...], extents: tuple[int, ...]) -> Signal:
        """A region with the timestamps of its frames."""
        stamps = signal.metadata.get("timestamps")
        if not stamps:
            return signal
        return replace(signal, metadata={**signal.metadata, "timestamps": stamps[slice(*box[0])]})

    def compare(self, original: Signal, reconstruction: Signal) -> dict[str, float]:
        """As :meth:`Modality.compare`, with ``worst_frame_psnr`` and ``mean_frame_psnr`` in dB on the same range.

        ``ssim`` and ``ms_ssim`` of a clip of more than 2**27 values are those of eight evenly spaced stretches of seven
        frames.
        """
        report = super().compare(original, reconstruction)
        curve = self.curves(original, reconstruction)["psnr_by_t"]
        report["worst_frame_psnr"] = min(curve)
        report["mean_frame_psnr"] = math.fsum(curve) / len(curve)
        return report

    def curves(self, original: Signal, reconstruction: Signal) -> dict[str, list[float]]:
        """``psnr_by_t``: of each frame, in dB on the original's range, infinite where equal."""
        limits = self.range_of(original)
        return {"psnr_by_t": psnr_along(original.values, reconstruction.values, limits, axis=1)}

    def pace(self, signal: Signal) -> tuple[float, str]:
        """Frames."""
        return float(signal.shape[0]), "frames"

    def _similarity(self, original: Signal, reconstruction: Signal, limits: tuple[float, float]) -> Similarity:
        if original.values.size <= _LONG or original.shape[0] <= _STRETCHES * _STRETCH:
            return super()._similarity(original, reconstruction, limits)
        last = original.shape[0] - _STRETCH
        starts = [last * number // (_STRETCHES - 1) for number in range(_STRETCHES)]
        everything = slice(None)
        parts = [
            [s.crop(slice(start, start + _STRETCH), everything, everything) for s in (original, reconstruction)]
            for start in starts
        ]
        each = [super(Video, self)._similarity(one, two, limits) for one, two in parts]
        ssim, ms_ssim = (math.fsum(values) / _STRETCHES for values in list(zip(*each, strict=True))[:2])
        return Similarity(ssim, ms_ssim, each[0].scales)

    def preview(self, original: Signal | None, reconstruction: Signal, path: Path, title: str = "") -> None:
        """Draw three frames of original, reconstruction and error side by side, and PSNR by frame, to a PNG.

        Args:
            original: ``[C, T, H, W]``, or None.
            reconstruction: the same shape.
            path: the PNG to write.
            title: a line above the picture.

        Raises:
            ShapeError: the two shapes differ.
        """
        alike = original is not None and original.values.shape == reconstruction.values.shape
        curve = self.curves(original, reconstruction)["psnr_by_t"] if original is not None and alike else []
        draw_preview(original, reconstruction, curve, self.range_of(original or reconstruction), path, title)

    def exhibits(self, signal: Signal, like: Signal) -> list[Exhibit]:
        """The first, the middle and the liveliest frame, see :func:`clip_exhibits`."""
        return clip_exhibits(signal, like, self.range_of(like))


def _is_clip(path: Path) -> bool:
    """Whether a name is that of a container that is read."""
    return path.suffix.lower() in READERS


def _is_clip_of_frames(folder: Path) -> bool:
    """Whether numbered frames lie directly in a folder, and no clips."""
    clips = (p for p in folder.iterdir() if _is_clip(p) and not p.name.startswith(".") and p.is_file())
    return not any(clips) and any(number_of(p) >= 0 for p in frame_files(folder))
