"""A picture of a series: the middle volume in three planes, and the voxels that change most over time."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from liveaction.errors import ShapeError
from liveaction.modalities.drawing import DARK, LIGHT, check_pair
from liveaction.modalities.volume.preview import draw_preview, known_values, percentile_look
from liveaction.signal import Signal

_COLOURS = ("#4fb3ff", "#f9d65c", "#ff7f5c", "#7fe0a3")


def draw_series(original: Signal | None, reconstruction: Signal, path: Path, title: str = "") -> None:
    """Draw a PNG, see :func:`draw_preview`; below the planes are the curves of up to four voxels.

    Args:
        original: ``[1, T, X, Y, Z]``; None draws the reconstruction alone.
        reconstruction: the same shape.
        path: the file to write.
        title: a line above the picture.

    Raises:
        ShapeError: the series differ in shape, or are not one channel of four axes.
    """
    if reconstruction.values.ndim != 5 or reconstruction.values.shape[0] != 1:
        raise ShapeError(f"preview: expected values [1, T, X, Y, Z], got {reconstruction.values.shape}")
    check_pair(original, reconstruction)
    middle = reconstruction.shape[0] // 2
    volumes = [None if signal is None else volume_of(signal, middle) for signal in (original, reconstruction)]
    shown = original or reconstruction
    look = percentile_look(volume_of(shown, middle), "series")
    where = f"volume {middle + 1} of {reconstruction.shape[0]}"
    look = replace(look, windows=tuple((f"{where}, {words}", low, high) for words, low, high in look.windows))

    def curves(axes: Any) -> None:
        _draw_curves(axes, original, reconstruction)

    assert volumes[1] is not None
    draw_preview(volumes[0], volumes[1], path, look, title, below=(2.6, curves))


def volume_of(signal: Signal, index: int) -> Signal:
    """One volume of a series, ``[1, X, Y, Z]``."""
    missing = None if signal.missing is None else signal.missing[:, index]
    values, axes, spacing = signal.values[:, index], signal.axes[1:], signal.spacing[1:]
    return replace(signal, values=values, axes=axes, spacing=spacing, missing=missing)


def voxels_of(signal: Signal, count: int = 4) -> list[int]:
    """Flat places of voxels that change most and are never missing, apart from one another, the liveliest first."""
    lost = np.zeros((), bool) if signal.missing is None else signal.missing[0]
    change = np.where(lost, 0, signal.values[0]).astype(np.float32).std(axis=0)
    change[np.broadcast_to(lost, signal.values[0].shape).any(axis=0)] = 0
    blurred = sum((np.roll(change, shift, axis) for axis in range(3) for shift in (-1, 0, 1)), np.zeros_like(change))
    found: list[int] = []
    while len(found) < count and (blurred.max() >= 0):
        found.append(int(np.argmax(blurred)))
        near = np.ix_(
            *(np.abs(np.arange(n) - i) <= max(1, n // 8)
              for n, i in zip(change.shape, np.unravel_index(found[-1], change.shape), strict=True))
        )  # fmt: skip
        blurred[near] = -1
    return found


def _draw_curves(axes: Any, original: Signal | None, reconstruction: Signal) -> None:
    """Values over time: lines for the original, dots for the reconstruction."""
    shown = original or reconstruction
    times = np.arange(shown.shape[0]) * shown.spacing[0]
    for place, colour in zip(voxels_of(shown), _COLOURS, strict=False):
        there, back = (known_values(each)[0].reshape(len(times), -1)[:, place] for each in (shown, reconstruction))
        x, y, z = np.unravel_index(place, shown.shape[1:])
        axes.plot(times, there, color=colour, label=f"voxel {x}, {y}, {z}")
        axes.plot(times, back, color=colour, marker="o", markersize=5, linestyle="none")
    axes.set_facecolor(DARK)
    axes.set_xlabel("seconds", color=LIGHT)
    axes.set_ylabel(f"value {shown.unit}".rstrip(), color=LIGHT)
    words = "reconstruction" if original is None else "lines: original, dots: reconstruction"
    axes.set_title(f"voxels that change most over time; {words}", color=LIGHT, fontsize=11, loc="left")
    axes.tick_params(colors=LIGHT)
    axes.margins(x=0.02)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(LIGHT)
    legend = axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, fontsize=9, handlelength=1)
    for text in legend.get_texts():
        text.set_color(LIGHT)
