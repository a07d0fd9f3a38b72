"""A picture of a clip and its reconstruction: three frames, their error, and PSNR by frame."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import ShapeError
from liveaction.modalities.drawing import DIM, INK, LIGHT, bare, check_pair, dress, save_figure, start_figure
from liveaction.modalities.exhibit_pixels import shares
from liveaction.signal import Signal

_GAP, _LEFT, _RIGHT = 0.08, 0.75, 0.25  # inches
_TOP, _CURVE = 0.95, 2.0


def draw_preview(
    original: Signal | None,
    reconstruction: Signal,
    curve: Sequence[float],
    limits: tuple[float, float],
    path: Path,
    title: str = "",
) -> None:
    """Draw the first, the worst and the last frame with their errors, and PSNR by frame below, to a PNG.

    Without an original the first, the middle and the last frame stand side by side. Pixels have the clip's own aspect.

    Args:
        original: ``[C, T, H, W]``, C 3 (red, green, blue) or 1; None draws the reconstruction alone.
        reconstruction: the same shape.
        curve: PSNR of each frame in dB; infinite where equal.
        limits: the values drawn black and white.
        path: the file to write.
        title: a line above the picture.

    Raises:
        ShapeError: the clips differ in shape, or are not one or three channels of three axes.
    """
    if reconstruction.values.ndim != 4 or reconstruction.values.shape[0] not in (1, 3):
        raise ShapeError(f"preview: expected values [1 or 3, T, H, W], got {reconstruction.values.shape}")
    check_pair(original, reconstruction)
    chosen = _choose(reconstruction.shape[0], curve)
    labels = [_label(frame, reconstruction, curve) for frame in chosen]
    shown = [frame_of(reconstruction, frame, limits) for frame in chosen]
    aspect = reconstruction.shape[1] / (reconstruction.shape[2] * reconstruction.spacing[2])
    if original is None:
        rows = [list(zip(shown, labels, strict=True))]
    else:
        sources = [frame_of(original, frame, limits) for frame in chosen]
        gain, errors = _amplified(sources, shown)
        heads = ("original", "reconstruction", f"|error| × {gain}")
        rows = [
            [(picture, head if row == 0 else "") for picture, head in zip(pictures, heads, strict=True)]
            for row, pictures in enumerate(zip(sources, shown, errors, strict=True))
        ]
    figure, bottom = _draw_frames(rows, [] if original is None else labels, aspect, bool(curve))
    if curve:
        _draw_curve(figure, curve, chosen, bottom)
    save_figure(figure, path, title or "video", size=14)


def _choose(count: int, curve: Sequence[float]) -> list[int]:
    """First, worst (or, where that is one of the others or unknown, middle) and last frame, each once."""
    worst = int(np.argmin(curve)) if curve else count // 2
    middle = count // 2 if worst in (0, count - 1) else worst
    return sorted({0, middle, count - 1})


def _label(frame: int, signal: Signal, curve: Sequence[float]) -> str:
    stamps = signal.metadata.get("timestamps")
    seconds = frame * signal.spacing[0]
    time = f"\n{seconds:.2f} s" if signal.metadata.get("frame_rate") and not stamps else ""
    lines = f"frame {frame} of {signal.shape[0]}{time}"
    if not curve:
        return lines.replace("\n", ", ")
    worst = ", worst" if len(curve) > 1 and curve[frame] == min(curve) else ""
    return f"{lines}\n{curve[frame]:.2f} dB{worst}"


def frame_of(signal: Signal, frame: int, limits: tuple[float, float]) -> NDArray[np.float32]:
    """``[H, W, C]`` in [0, 1]."""
    values = np.moveaxis(np.asarray(signal.values[:, frame], np.float32), 0, -1)
    return shares(values, limits)


def _amplified(sources: Sequence[NDArray[Any]], shown: Sequence[NDArray[Any]]) -> tuple[int, list[NDArray[Any]]]:
    """Absolute errors times the largest power of two up to 64 that leaves all but a few below white, and that power."""
    errors = [np.abs(one - two) for one, two in zip(sources, shown, strict=True)]
    bright = max(float(np.percentile(error, 99.5)) for error in errors)
    gain = next((g for g in (64, 32, 16, 8, 4, 2) if g * bright <= 1), 1)
    return gain, [(error * gain).clip(0, 1) for error in errors]


def _draw_frames(rows: list[list[Any]], sides: list[str], aspect: float, curve: bool) -> tuple[Any, float]:
    """A dark figure with the rows of pictures; also where they end, in inches from its lower edge."""
    wide = min(4.6, 4.0 / max(aspect, 1e-3))
    tall = max(wide * aspect, 0.15)
    columns = len(rows[0])
    left = _LEFT + 0.75 if sides else 0.25
    width = max(left + columns * (wide + _GAP) + _RIGHT, 8.0)
    left += (width - left - columns * (wide + _GAP) - _RIGHT) / 2
    bottom = _CURVE + 0.25 if curve else 0.2
    height = _TOP + len(rows) * (tall + _GAP) + bottom
    figure = start_figure(width, height)
    for r, row in enumerate(rows):
        low = height - _TOP - (r + 1) * tall - r * _GAP
        for c, (picture, head) in enumerate(row):
            place = (left + c * (wide + _GAP)) / width, low / height, wide / width, tall / height
            axes = figure.add_axes(place)
            pixels = picture.squeeze(-1) if picture.shape[-1] == 1 else picture
            smooth = "nearest" if picture.shape[0] < 400 else "antialiased"
            axes.imshow(pixels, aspect="auto", cmap="gray", vmin=0, vmax=1, interpolation=smooth)
            bare(axes)
            axes.set_title(head, color=LIGHT, fontsize=11, pad=6)
        if sides:
            figure.text((left - 0.12) / width, (low + tall / 2) / height, sides[r], color=LIGHT, fontsize=9,
                        ha="right", va="center", linespacing=1.5)  # fmt: skip
    return figure, bottom


def _draw_curve(figure: Any, curve: Sequence[float], chosen: list[int], bottom: float) -> None:
    """PSNR against the frame's number, the frames shown above marked."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((1.0 / width, 0.55 / height, (width - 1.4) / width, (bottom - 0.8) / height))
    values = np.array([value if np.isfinite(value) else np.nan for value in curve])
    axes.plot(values, color="#4fa3ff", linewidth=1.3, marker="." if len(values) < 60 else "", markersize=4)
    axes.plot(chosen, values[chosen], "o", color=INK, markersize=6, label="frames above")
    known = values[np.isfinite(values)]
    if len(known):
        mean = float(known.mean())
        axes.axhline(mean, color=DIM, linewidth=0.8, linestyle="--", label=f"mean {mean:.2f} dB")
        spread = max(float(known.max() - known.min()), 0.5)
        axes.set_ylim(known.min() - 0.15 * spread, known.max() + 0.15 * spread)
        legend = axes.legend(loc="upper right", fontsize=8, frameon=False, ncols=2, bbox_to_anchor=(1, 1.2))
        for text in legend.get_texts():
            text.set_color(LIGHT)
    else:
        axes.set_ylim(0, 1)
        axes.set_yticks([])
        axes.text(0.5, 0.5, "every frame equals the original", color=LIGHT, transform=axes.transAxes, ha="center")
    axes.set_xlim(-0.5, max(len(curve) - 0.5, 0.5))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("frame", color=LIGHT, fontsize=9)
    axes.set_ylabel("PSNR in dB", color=LIGHT, fontsize=9)
    dress(axes, length=0)
