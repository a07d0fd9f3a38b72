"""Codecs of scientific arrays: ZFP at a fixed accuracy, SZ3 within an absolute error."""

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.evaluation.baselines.base import Array, Baseline
from liveaction.evaluation.baselines.packing import Reader, Writer


class _ErrorBound(Baseline):
    """Codes the array as a whole, one to four axes longer than 1, as float32, or float64 where float32 is too short."""

    setting = "error allowed over the range"

    def refuses(self, array: Array) -> str | None:
        """More than four axes."""
        axes = sum(side > 1 for side in array.values.shape)
        return None if axes <= 4 else f"it takes at most 4 axes, channels among them, not {axes}"

    def encode(self, array: Array, value: float) -> bytes:
        values = array.values
        long = (values.dtype.kind in "iu" and values.dtype.itemsize > 2) or values.dtype == np.float64
        header = Writer()
        header.whole(values.ndim, *values.shape)
        header.pack("?dd", long, *array.limits)
        dense = np.ascontiguousarray(values, np.float64 if long else np.float32).reshape(_sides(values.shape))
        return header.done() + self._code(dense, value * (array.limits[1] - array.limits[0]))

    def decode(self, data: bytes) -> NDArray[Any]:
        source = Reader(data)
        shape = source.wholes(source.whole())
        long, low, high = source.unpack("?dd")
        dense = self._back(source.rest(), _sides(shape), np.dtype(np.float64 if long else np.float32))
        return dense.reshape(shape).clip(low, high)

    @abstractmethod
    def _code(self, dense: NDArray[Any], bound: float) -> bytes:
        """Floats to bytes; ``bound`` in their unit."""

    @abstractmethod
    def _back(self, data: bytes, sides: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Inverse of :meth:`_code`."""


def _sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Extents without those of 1."""
    return tuple(side for side in shape if side > 1) or (1,)


class ZFP(_ErrorBound):
    """ZFP at a fixed accuracy; its errors stay far below what is allowed, hence the coarse ladder."""

    name = "zfp"
    label = "ZFP"
    ladder = (16, 4, 1, 0.25, 0.06, 0.015, 0.004)

    @property
    def library(self) -> str:
        import imagecodecs

        return f"{imagecodecs.zfp_version()} (imagecodecs {imagecodecs.__version__})"

    def _code(self, dense: NDArray[Any], bound: float) -> bytes:
        from imagecodecs import zfp_encode

        level: Any = bound  # a float, whatever the library's annotation says
        return bytes(zfp_encode(dense, level=level, mode="accuracy", header=False, numthreads=self.threads))

    def _back(self, data: bytes, sides: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        from imagecodecs import zfp_decode

        return np.asarray(zfp_decode(data, shape=sides, dtype=dtype))


class SZ3(_ErrorBound):
    """SZ3, interpolation and quantised differences, within an absolute error."""

    name = "sz3"
    label = "SZ3"
    ladder = (0.3, 0.15, 0.08, 0.04, 0.02, 0.01, 0.005, 0.0025)

    @property
    def library(self) -> str:
        import imagecodecs

        return f"{imagecodecs.sz3_version()} (imagecodecs {imagecodecs.__version__})"

    def _code(self, dense: NDArray[Any], bound: float) -> bytes:
        from imagecodecs import sz3_encode

        return bytes(sz3_encode(dense, mode="abs", abs=bound))

    def _back(self, data: bytes, sides: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        from imagecodecs import sz3_decode

        return np.asarray(sz3_decode(data, sides, dtype))
