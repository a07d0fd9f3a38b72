"""Fewer samples instead of a codec: what dimension reduction by filters alone reaches."""

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.evaluation.baselines.base import Array, Baseline
from liveaction.evaluation.baselines.lossless import keep, kept
from liveaction.evaluation.baselines.packing import Reader, Writer
from liveaction.transforms.polyphase import resample_axes


class Resample(Baseline):
    """Filtered and resampled along every axis, rounded to the native dtype, kept without loss; then interpolated back.

    Polyphase filters both ways, a Kaiser window of shape 5 (scipy's ``resample_poly``), borders mirrored. The samples
    that are left go through JPEG XL, FLAC (sound) or ZFP (floats and wide integers), all lossless.
    """

    name = "resample"
    label = "Resampling"
    setting = "factor per axis"
    ladder = (1.5, 2, 3, 4, 6, 8)

    @property
    def library(self) -> str:
        import imagecodecs
        import scipy

        return f"scipy {scipy.__version__}, imagecodecs {imagecodecs.__version__}"

    def refuses(self, array: Array) -> str | None:
        """Nothing."""
        return None

    def encode(self, array: Array, value: float) -> bytes:
        factor = Fraction(value).limit_denominator(16)
        dtype = array.values.dtype
        less = resample_axes(array.values, factor.denominator, factor.numerator).clip(*array.limits)
        less = np.rint(less).astype(dtype) if dtype.kind in "iu" else less.astype(dtype)
        header = Writer()
        header.whole(less.ndim, *array.values.shape, factor.numerator, factor.denominator)
        header.pack("dd", *array.limits)
        keep(Array(less, array.axes, array.limits, array.rate), header, self.threads)
        return header.done()

    def decode(self, data: bytes) -> NDArray[Any]:
        source = Reader(data)
        shape = source.wholes(source.whole())
        numerator, denominator = source.wholes(2)
        low, high = source.unpack("dd")
        less = kept(source, self.threads)
        more: NDArray[Any] = resample_axes(less, numerator, denominator)[tuple(slice(side) for side in shape)]
        return more.clip(low, high)
