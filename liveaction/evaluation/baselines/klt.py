"""JPEG 2000 after a Karhunen–Loève transform across bands or slices: what is usual for hyperspectral cubes."""

from dataclasses import dataclass
from math import ceil, log, log2
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from liveaction.evaluation.baselines.base import Array, Baseline
from liveaction.evaluation.baselines.jpeg2000 import code_components, decode_components, openjpeg
from liveaction.evaluation.baselines.packing import Reader, Writer
from liveaction.evaluation.baselines.planes import PlaneLayout, lacks_planes

MARGIN = 64.0
"""The target for the mean squared error over what rounding the basis, or the components, may each add to it."""

LARGEST = 2**24
"""Of integers that stand for components; OpenJPEG takes 26 bits."""


@dataclass(frozen=True)
class _Column:
    """One vector of the basis in whole steps of ``2**-bits``."""

    steps: NDArray[np.int64]
    bits: int

    @classmethod
    def of(cls, vector: NDArray[np.float64], deviation: float, target: float, kept: int) -> Self:
        """Rounded so that all ``kept`` vectors together add ``target / MARGIN`` to the mean squared error."""
        step = (12 * target / MARGIN / kept) ** 0.5 / deviation
        bits = min(max(ceil(-log2(step)), 2), 14)
        return cls(np.rint(vector * 2.0**bits).astype(np.int64), bits)

    @property
    def vector(self) -> NDArray[np.float64]:
        return self.steps / 2.0**self.bits

    @property
    def size(self) -> int:
        """Bits that it takes."""
        to = Writer()
        self.write(to)
        return 8 * len(to.done())

    def write(self, to: Writer) -> None:
        """The bits of a step and the numbers of steps."""
        to.whole(self.bits)
        to.integers(self.steps)

    @classmethod
    def read(cls, source: Reader, bands: int) -> Self:
        """Inverse of :meth:`write`."""
        bits = source.whole()
        return cls(source.integers(bands), bits)


class JPEG2000KLT(Baseline):
    """A Karhunen–Loève transform made from the image itself, then JPEG 2000 on all components together.

    Means and basis are part of the bytes, rounded as finely as the target, and of vectors their component's variance,
    ask for. Components get one slope of distortion over rate (reverse water-filling; Cover and Thomas, Elements of
    Information Theory, 10.3.3); one whose vector costs more than it could save is left out.
    """

    name = "jpeg2000_klt"
    label = "KLT and JPEG 2000"
    setting = "PSNR asked for, dB"
    ladder = (24, 28, 32, 36, 40, 46, 52, 60, 70, 80)

    @property
    def library(self) -> str:
        return openjpeg()

    def refuses(self, array: Array) -> str | None:
        """What has no bands or slices to decorrelate."""
        if lacks := lacks_planes(array):
            return lacks
        layout = PlaneLayout.of(array)
        if layout.is_colour:
            return "three channels are colours; it decorrelates bands or slices"
        return None if layout.count > 1 else "one plane has nothing to decorrelate"

    def encode(self, array: Array, value: float) -> bytes:
        layout = PlaneLayout.of(array)
        bands = layout.planes(array.values)
        target = (array.limits[1] - array.limits[0]) ** 2 / 10 ** (value / 10)
        flat = bands.reshape(len(bands), -1).astype(np.float64)
        fine = _fine(target)
        mean = np.rint(flat.mean(axis=1) / fine).astype(np.int64)
        flat -= mean[:, np.newaxis] * fine
        header = Writer()
        layout.write(header)
        header.pack("ddf", *array.limits, fine)
        header.integers(mean)
        columns = _basis(flat, target)
        header.whole(len(columns))
        if not columns:
            return header.done()
        rows = np.linalg.pinv(np.stack([column.vector for column in columns], axis=1)) @ flat
        step = max(fine, float(np.float32(np.abs(rows).max() / LARGEST)))
        header.pack("f", step)
        for column in columns:
            column.write(header)
        integers = np.rint(rows / step).astype(np.int32).reshape(-1, *bands.shape[1:])
        header.parts(code_components(integers, target / step**2, self.threads))
        return header.done()

    def decode(self, data: bytes) -> NDArray[Any]:
        source = Reader(data)
        layout = PlaneLayout.read(source)
        low, high, fine = source.unpack("ddf")
        bands, height, width = layout.count, *(layout.shape[axis + 1] for axis in layout.order[-2:])
        flat = np.repeat((source.integers(bands) * fine)[:, np.newaxis], height * width, axis=1)
        if columns := source.whole():
            (step,) = source.unpack("f")
            vectors = np.stack([_Column.read(source, bands).vector for _ in range(columns)], axis=1)
            flat += vectors @ (decode_components(source.parts(), self.threads).reshape(columns, -1) * step)
        return layout.array(flat.clip(low, high).reshape(bands, height, width))


def _fine(target: float) -> float:
    """A step whose rounding adds ``target / MARGIN`` to the mean squared error, as float32 holds it."""
    return float(np.float32((12 * target / MARGIN) ** 0.5))


def _basis(flat: NDArray[np.float64], target: float) -> list[_Column]:
    """Vectors of the components that are worth their bytes, the largest variance first."""
    samples = flat.shape[1]
    variances, vectors = np.linalg.eigh(flat @ flat.T / samples)
    above = [index for index in np.argsort(variances)[::-1] if variances[index] > target]
    kept = []
    for index in above:
        column = _Column.of(vectors[:, index], variances[index] ** 0.5, target, len(above))
        # at the target's slope one bit takes 2 ln 2 times the target off the sum of squares
        if column.size * 2 * log(2) * target < samples * (variances[index] - target):
            kept.append(column)
    return kept
