"""What to look at of an array: the largest of its middle planes, or of one axis the waveform."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.modalities.array.preview import known_values, limits_of, plane_pairs
from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.exhibit_pixels import PLANE, check_alike, shares, to_picture
from liveaction.signal import Signal

_HEIGHT = 256  # pixels of a waveform
_SHAPES = 0.3, 1.1  # height over width that a plane is drawn with, as the preview has it


def array_exhibits(signal: Signal, like: Signal) -> list[Exhibit]:
    """The middle plane of the two longest axes, of the middle channel; black and white are percentiles of ``like``.

    Args:
        signal: ``[C, *S]``.
        like: the original, the same shape; what is missing there is dark grey.

    Raises:
        ShapeError: the shapes differ.
    """
    check_alike(signal, like)
    channel = like.values.shape[0] // 2
    limits = limits_of({"original": known_values(like)}, channel)["original"]
    which = f"channel {channel + 1} of {like.values.shape[0]}, " if like.values.shape[0] > 1 else ""
    lost = None if like.missing is None else like.missing[channel]
    if len(like.shape) == 1:
        shown = _waveform(signal.values[channel], limits, lost)
        return [to_picture(f"{which}{like.axes[0]} from {limits[0]:.4g} to {limits[1]:.4g}", shown, most=2 * PLANE)]
    pair = max(plane_pairs(like.shape), key=lambda axes: like.shape[axes[0]] * like.shape[axes[1]])
    where = tuple(slice(None) if axis in pair else n // 2 for axis, n in enumerate(like.shape))
    shown = shares(signal.values[channel][where], limits, None if lost is None else lost[where])
    down, across = (like.shape[axis] * like.spacing[axis] for axis in pair)
    aspect = float(np.clip(down / across, *_SHAPES)) * like.shape[pair[1]] / like.shape[pair[0]]
    others = "".join(f", {like.axes[a]} {n // 2 + 1} of {n}" for a, n in enumerate(like.shape) if a not in pair)
    return [to_picture(f"{which}{like.axes[pair[0]]} over {like.axes[pair[1]]}{others}", shown, aspect)]


def _waveform(
    values: NDArray[Any], limits: tuple[float, float], missing: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    """``[256, columns]``: per column the span of its samples in white, at most 1024 columns; gaps where missing."""
    height = (1 - shares(values, limits)) * (_HEIGHT - 1)
    if missing is not None:
        height = np.where(missing, np.nan, height)
    size = -(-len(height) // (2 * PLANE))
    blocks = np.pad(height, (0, -len(height) % size), constant_values=np.nan).reshape(-1, size)
    blank = np.isnan(blocks)
    top, bottom = np.where(blank, np.inf, blocks).min(1), np.where(blank, -np.inf, blocks).max(1)
    rows = np.arange(_HEIGHT)[:, np.newaxis]
    shown: NDArray[np.float32] = ((rows >= np.floor(top)) & (rows <= np.ceil(bottom))).astype(np.float32)
    return shown
