"""Other numbers of samples along every axis, by polyphase filters."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def resample_axes(values: NDArray[Any], up: int, down: int) -> NDArray[Any]:
    """``up / down`` times as many samples, rounded up, along every axis of S; neither rounded nor clipped.

    Polyphase filters with a Kaiser window of shape 5 (scipy's ``resample_poly``), borders mirrored.

    Args:
        values: ``[C, *S]`` of any real dtype.
        up, down: equal ones give the values as they are.

    Returns:
        float32 of float32 and of what has two bytes at most, else float64.
    """
    from scipy.signal import resample_poly

    short = values.dtype.itemsize <= 2 or values.dtype == np.float32
    x = values.astype(np.float32 if short else np.float64)
    for axis in range(1, x.ndim):
        x = resample_poly(x, up, down, axis=axis, padtype="symmetric") if up != down else x
    return x
