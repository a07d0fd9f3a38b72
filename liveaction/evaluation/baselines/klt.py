"""JPEG 2000 after a Karhunen–Loève transform across bands or slices: what is usual for hyperspectral cubes."""

from dataclasses import dataclass
from math import ceil, log, log2, log10
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from liveaction.evaluation.baselines.base import Array, Baseline
from liveaction.evaluation.baselines.images import code_jpeg2000, decode_jpeg2000
from liveaction.evaluation.baselines.packing import Reader, Writer
from liveaction.evaluation.baselines.planes import Layout, lacks_planes, spread

MARGIN = 64.0
"""The target for the mean squared error over what rounding the basis, or the components, may each add to it."""

LARGEST = 2**15 - 1


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
    """A Karhunen–Loève transform made from the image itself, then JPEG 2000 on every component.

    Means and basis are part of the bytes, rounded as finely as the target, and of vectors their component's variance,
    ask for. Components get one mean squared error (reverse water-filling; Cover and Thomas, Elements of Information
    Theory, 10.3.3), and one whose bytes, basis included, save less error than they would elsewhere is left out.
    """

    name = "jpeg2000_klt"
    label = "KLT and JPEG 2000"
    setting = "PSNR asked of every component, dB"
    ladder = (24, 28, 32, 36, 40, 46, 52, 60, 70, 80)

    @property
    def library(self) -> str:
        import imagecodecs

        return f"{imagecodecs.jpeg2k_version()} (imagecodecs {imagecodecs.__version__})"

    def refuses(self, array: Array) -> str | None:
        """What has no bands or slices to decorrelate."""
        if lacks := lacks_planes(array):
            return lacks
        layout = Layout.of(array)
        if layout.is_colour:
            return "three channels are colours; it decorrelates bands or slices"
        planes = array.values.size // np.prod([layout.shape[axis + 1] for axis in layout.order[-2:]])
        return None if planes > 1 else "one plane has nothing to decorrelate"

    def encode(self, array: Array, value: float) -> bytes:
        layout = Layout.of(array)
        bands = layout.planes(array.values)
        target = (array.limits[1] - array.limits[0]) ** 2 / 10 ** (value / 10)
        flat = bands.reshape(len(bands), -1).astype(np.float64)
        fine = _fine(target)
        mean = np.rint(flat.mean(axis=1) / fine).astype(np.int64)
        flat -= mean[:, np.newaxis] * fine
        columns = _basis(flat, target)
        header = Writer()
        layout.write(header)
        header.pack("ddf", *array.limits, fine)
        header.integers(mean)
        parts, kept = self._components(flat, columns, target, bands.shape[1:])
        header.whole(len(kept))
        for column, step in kept:
            header.pack("f", step)
            column.write(header)
        header.parts(parts)
        return header.done()

    def _components(
        self, flat: NDArray[np.float64], columns: list[_Column], target: float, plane: tuple[int, ...]
    ) -> tuple[list[bytes], list[tuple[_Column, float]]]:
        """Codestreams and vectors, with the step of its integers, of every component that is worth its bytes."""
        if not columns:
            return [], []
        rows = np.linalg.pinv(np.stack([column.vector for column in columns], axis=1)) @ flat

        def code(row: NDArray[np.float64], threads: int) -> tuple[bytes, float]:
            step = max(_fine(target), float(np.float32(np.abs(row).max() / LARGEST)))
            decibels = 10 * log10((2**16 - 1) ** 2 * step**2 / target)  # the codec takes integers of 16 bits
            integers = np.rint(row / step).clip(-LARGEST, LARGEST).astype(np.int16).reshape(plane)
            return code_jpeg2000(integers, 16, decibels, threads), step

        parts, kept = [], []
        for row, column, (part, step) in zip(rows, columns, spread(code, list(rows), self.threads), strict=True):
            cost = Writer()
            column.write(cost)
            saved = max(float(np.square(row).sum()) - target * row.size, 0.0)
            # at the target's slope one bit takes 2 ln 2 times the target off the sum of squares
            if 8 * (len(part) + len(cost.done())) < saved / (2 * log(2) * target):
                parts.append(part)
                kept.append((column, step))
        return parts, kept

    def decode(self, data: bytes) -> NDArray[Any]:
        source = Reader(data)
        layout = Layout.read(source)
        low, high, fine = source.unpack("ddf")
        *outer, height, width = (layout.shape[axis + 1] for axis in layout.order)
        bands = int(np.prod([layout.shape[0], *outer]))
        mean = source.integers(bands) * fine
        kept = [(source.unpack("f")[0], _Column.read(source, bands).vector) for _ in range(source.whole())]
        flat = np.repeat(mean[:, np.newaxis], height * width, axis=1)
        if kept:
            planes = spread(decode_jpeg2000, source.parts(), self.threads)
            rows = np.stack([plane.reshape(-1) * step for plane, (step, _) in zip(planes, kept, strict=True)])
            flat += np.stack([vector for _, vector in kept], axis=1) @ rows
        return layout.array(flat.clip(low, high).reshape(bands, height, width))


def _fine(target: float) -> float:
    """A step whose rounding adds ``target / MARGIN`` to the mean squared error, as float32 holds it."""
    return float(np.float32((12 * target / MARGIN) ** 0.5))


def _basis(flat: NDArray[np.float64], target: float) -> list[_Column]:
    """Vectors of the components whose variance is above the target, the largest first."""
    variances, vectors = np.linalg.eigh(flat @ flat.T / flat.shape[1])
    above = [index for index in np.argsort(variances)[::-1] if variances[index] > target]
    return [_Column.of(vectors[:, index], variances[index] ** 0.5, target, len(above)) for index in above]
