"""Fewer samples along every axis: what latents are compared with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.transforms.polyphase import resample_axes


def resampled(values: NDArray[Any], reduction: int) -> NDArray[Any]:
    """``[C, *S]`` with fewer samples along every axis, rounded to its dtype and clipped to what that holds.

    Args:
        values: of any real dtype.
        reduction: samples that become one; 1 gives the values as they are.
    """
    if reduction == 1:
        return values
    x = resample_axes(values, 1, reduction)
    if values.dtype.kind not in "iu":
        return np.asarray(x, values.dtype)
    info = np.iinfo(values.dtype)
    return np.asarray(np.rint(x).clip(info.min, info.max), values.dtype)
