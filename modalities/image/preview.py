"""A drawing of a picture and its reconstruction: whole, the error times 8, and the busiest patch enlarged."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import ShapeError
from liveaction.modalities.drawing import INK, LIGHT, check_pair, save_figure, start_figure, unframe
from liveaction.modalities.exhibit_pixels import shares
from liveaction.signal import Signal

_GAIN = 8
_MOST = 1600  # samples along an axis of the whole picture; of larger ones every n-th is drawn


def draw_preview(
    original: Signal | None, reconstruction: Signal, path: Path, limits: tuple[float, float], title: str = ""
) -> None:
    """Draw a PNG: original, reconstruction and error in a row, the patch with most detail below each.

    Args:
        original: ``[1, Y, X]`` or ``[3, Y, X]``; None draws the reconstruction alone.
        reconstruction: the same shape.
        path: the file to write.
        limits: values drawn black and white.
        title: a line above the picture.

    Raises:
        ShapeError: the shapes differ, or are not a picture's.
    """
    if reconstruction.values.ndim != 3 or reconstruction.values.shape[0] not in (1, 3):
        raise ShapeError(f"preview: expected values [1 or 3, Y, X], got {reconstruction.values.shape}")
    check_pair(original, reconstruction)
    high, wide = reconstruction.shape
    pictures = _pictures(original, reconstruction, limits)
    patch = busiest_patch(pictures[0][1], _patch_size((high, wide)))
    figure, grid = _layout(high, wide, len(pictures))
    for column, (name, values) in enumerate(pictures):
        whole, detail = (figure.add_subplot(grid[row, column]) for row in range(2))
        step = max(1, -(-max(high, wide) // _MOST))
        for axes, drawn, smooth in ((whole, values[::step, ::step], "antialiased"), (detail, values[patch], "nearest")):
            axes.imshow(drawn, extent=(0, 1, 1, 0), aspect="auto", interpolation=smooth, cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
        whole.set_title(name, color=LIGHT, fontsize=12, pad=8)
        _frame(whole, detail, patch, high, wide)
    grid_size = f"{patch[1].stop - patch[1].start} × {patch[0].stop - patch[0].start} samples"
    figure.text(0.5, 0.12 / figure.get_figheight(), f"below: the busiest {grid_size}", color=INK, ha="center")
    save_figure(figure, path, title or "picture")


def _pictures(
    original: Signal | None, reconstruction: Signal, limits: tuple[float, float]
) -> list[tuple[str, NDArray[Any]]]:
    """Heading and ``[Y, X]`` or ``[Y, X, 3]`` values in [0, 1], from left to right."""
    low, high = limits
    size = f"{reconstruction.shape[1]} × {reconstruction.shape[0]}, {reconstruction.dtype}"
    if original is None:
        return [(f"reconstruction\n{size}", shares_of(reconstruction.values, limits))]
    error = reconstruction.values.astype(np.float32) - original.values
    rms = float(np.sqrt(np.mean(np.square(error, dtype=np.float64))))
    middle = (low + high) / 2
    return [
        (f"original\n{size}", shares_of(original.values, limits)),
        ("reconstruction\n", shares_of(reconstruction.values, limits)),
        (f"error × {_GAIN}, none is grey\nrms {rms:.3g} of {high - low:g}", shares_of(middle + _GAIN * error, limits)),
    ]


def shares_of(values: NDArray[Any], limits: tuple[float, float]) -> NDArray[Any]:
    """``[C, Y, X]`` to ``[Y, X]`` or ``[Y, X, 3]`` from 0 to 1 between ``limits``."""
    scaled = shares(values, limits)
    return scaled[0] if len(scaled) == 1 else np.moveaxis(scaled, 0, -1)


def _patch_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """A sixth of the picture per axis, at least 24 samples where it has them."""
    n, m = (min(size, max(24, size // 6)) for size in shape)
    return n, m


def busiest_patch(values: NDArray[Any], size: tuple[int, int]) -> tuple[slice, slice]:
    """Where a patch of ``size`` has most change from sample to sample.

    Args:
        values: ``[Y, X]`` or ``[Y, X, 3]``.
        size: rows and columns, not more than the picture has.
    """
    grey = values if values.ndim == 2 else values.mean(axis=-1)
    change = np.zeros(grey.shape, dtype=np.float64)
    change[1:] += np.abs(np.diff(grey, axis=0))
    change[:, 1:] += np.abs(np.diff(grey, axis=1))
    total = np.pad(change.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    n, m = size
    sums = total[n:, m:] - total[:-n, m:] - total[n:, :-m] + total[:-n, :-m]
    y, x = np.unravel_index(int(sums.argmax()), sums.shape)
    return slice(int(y), int(y) + n), slice(int(x), int(x) + m)


def _layout(high: int, wide: int, columns: int) -> tuple[Any, Any]:
    """A dark figure with two rows of cells that have the picture's shape."""
    ratio = float(np.clip(high / wide, 0.3, 1.6))
    across = min(6.0, 6.5 / ratio) if columns > 1 else min(9.0, 7.0 / ratio)
    across = max(across, 4.0)
    tall = 2 * across * ratio + 1.5
    figure = start_figure(across * columns, tall)
    grid = figure.add_gridspec(
        2, columns, left=0.01, right=0.99, wspace=0.02, hspace=0.02, top=1 - 1.15 / tall, bottom=0.35 / tall
    )
    return figure, grid


def _frame(whole: Any, detail: Any, patch: tuple[slice, slice], high: int, wide: int) -> None:
    """Mark the patch in the whole picture, and draw the same colour around its enlargement."""
    from matplotlib.patches import Rectangle

    rows, columns = patch
    corner = columns.start / wide, rows.start / high
    size = (columns.stop - columns.start) / wide, (rows.stop - rows.start) / high
    whole.add_patch(Rectangle(corner, *size, fill=False, edgecolor=INK, linewidth=1.5))
    unframe(whole)
    for spine in detail.spines.values():
        spine.set(edgecolor=INK, linewidth=1.5)
