"""Fewer samples along every axis: what latents are compared with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def resampled(values: NDArray[Any], reduction: int) -> NDArray[Any]:
    """``[C, *S]`` with fewer samples along every axis, rounded to its dtype and clipped to what that holds.

    Polyphase filters with a Kaiser window of shape 5 (scipy's ``resample_poly``), borders mirrored.

    Args:
        values: of any real dtype.
        reduction: samples that become one; 1 gives the values as they are.
    """
    if reduction == 1:
        return values
    from scipy.signal import resample_poly

    x = values.astype(np.float32 if values.dtype.itemsize <= 2 else np.float64)
    for axis in range(1, x.ndim):
        x = resample_poly(x, 1, reduction, axis=axis, padtype="symmetric")
    if values.dtype.kind not in "iu":
        return np.asarray(x, values.dtype)
    info = np.iinfo(values.dtype)
    return np.asarray(np.rint(x).clip(info.min, info.max), values.dtype)
