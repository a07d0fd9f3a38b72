"""Pixels of exhibits: values to shades within fixed limits, pictures of a size that pages can hold."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import ShapeError
from liveaction.modalities.exhibit import Picture
from liveaction.signal import Signal

PLANE, FRAME = 512, 1280  # samples a side: of planes, and of frames and pictures
_LOST = 0.13  # the shade of what is missing


def check_alike(signal: Signal, like: Signal) -> None:
    """Refuse a signal that is no reconstruction of ``like``.

    Raises:
        ShapeError: the shapes differ.
    """
    if signal.values.shape != like.values.shape:
        raise ShapeError(
            f"exhibits: expected a signal of the original's shape {like.values.shape}, got {signal.values.shape}; take "
            "the original that it was made from"
        )


def shares(values: NDArray[Any], limits: tuple[float, float], missing: NDArray[np.bool_] | None = None) -> NDArray[Any]:
    """Values of any shape to float32 from 0 to 1 between ``limits``; what is missing is dark grey."""
    low, high = limits
    with np.errstate(over="ignore"):  # between the limits of a constant
        scaled: NDArray[Any] = ((values.astype(np.float64) - low) / (high - low)).clip(0, 1).astype(np.float32)
    if missing is not None:
        scaled[missing] = _LOST
    return scaled


def to_picture(name: str, shown: NDArray[Any], aspect: float = 1.0, most: int = PLANE) -> Picture:
    """A picture of at most ``most`` samples a side; of larger ones, means over whole blocks of samples.

    Args:
        name: what it shows.
        shown: ``[H, W]`` or ``[H, W, 3]`` from 0 to 1.
        aspect: height of a sample over its width.
        most: samples along an axis.
    """
    factor = -(-max(shown.shape[:2]) // most)
    tall, wide = (min(factor, n) for n in shown.shape[:2])
    if factor > 1:
        shown = _block_means(_block_means(shown.astype(np.float32), tall, 0), wide, 1)
    pixels = np.ascontiguousarray(np.rint(shown * 255).astype(np.uint8))
    return Picture(name, pixels, aspect * tall / wide)


def _block_means(values: NDArray[Any], size: int, axis: int) -> NDArray[Any]:
    """Means of ``size`` samples along an axis; the last block may hold fewer."""
    starts = np.arange(0, values.shape[axis], size)
    counts = np.diff(np.append(starts, values.shape[axis]))
    sums: NDArray[Any] = np.add.reduceat(values, starts, axis=axis)
    return sums / counts.reshape([-1 if k == axis else 1 for k in range(values.ndim)])
