"""Arrays as stacks of planes of unsigned integers, which is what codecs of pictures and video take, and back."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from liveaction.evaluation.baselines.base import Array
from liveaction.evaluation.baselines.packing import Reader, Writer

SEQUENCE = ("t", "band", "z")
"""Axes along which planes follow each other, the first of them that an array has; without one, its first axis."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class PlaneLayout:
    """How ``[C, *S]`` becomes planes.

    Three channels are the colours of a plane; any other number are planes that follow each other.

    Attributes:
        shape: ``[C, *S]``.
        order: axes of S from the one that varies slowest; the last two are those of a plane.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]

    @classmethod
    def of(cls, array: Array) -> Self:
        """Of an array with two axes or more."""
        axes = array.axes
        first = [axes.index(name) for name in SEQUENCE if name in axes] if len(axes) > 2 else []
        first = first[: len(axes) - 2]
        return cls(array.values.shape, (*first, *(axis for axis in range(len(axes)) if axis not in first)))

    @property
    def is_colour(self) -> bool:
        """Whether a plane has three components."""
        return self.shape[0] == 3

    @property
    def count(self) -> int:
        """How many planes there are."""
        channels = 1 if self.is_colour else self.shape[0]
        return channels * prod(self.shape[axis + 1] for axis in self.order[:-2])

    def planes(self, values: NDArray[Any]) -> NDArray[Any]:
        """``[C, *S]`` as ``[N, H, W]``, or ``[N, H, W, 3]`` of colours."""
        turned = values.transpose(0, *(axis + 1 for axis in self.order))
        height, width = turned.shape[-2:]
        if self.is_colour:
            turned = np.moveaxis(turned, 0, -1)
            return np.ascontiguousarray(turned).reshape(-1, height, width, 3)
        return np.ascontiguousarray(turned).reshape(-1, height, width)

    def array(self, planes: NDArray[Any]) -> NDArray[Any]:
        """Inverse of :meth:`planes`."""
        sides = tuple(self.shape[axis + 1] for axis in self.order)
        if self.is_colour:
            turned = np.moveaxis(planes.reshape(*sides, 3), -1, 0)
        else:
            turned = planes.reshape(self.shape[0], *sides)
        return np.ascontiguousarray(turned.transpose(0, *(1 + self.order.index(axis) for axis in range(len(sides)))))

    def write(self, to: Writer) -> None:
        """Extents and order."""
        to.whole(len(self.order), *self.shape, *self.order)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Inverse of :meth:`write`."""
        axes = source.whole()
        return cls(source.wholes(axes + 1), source.wholes(axes))


@dataclass(frozen=True)
class Levels:
    """Integers that stand for values: ``low + step * integer``, from 0 to ``top``.

    Attributes:
        low: what 0 stands for, in the unit; ``step`` between integers. 1 means that integers are coded as they are.
    """

    low: float
    step: float
    top: int

    @property
    def bits(self) -> int:
        """Bits of the integers."""
        return max(1, self.top.bit_length())

    @classmethod
    def of(cls, array: Array, deepest: int) -> Self:
        """The finest levels for an array and a codec that takes at most ``deepest`` bits.

        Integers whose limits, or else whose own range, fit into that many bits are only moved, so that nothing is lost
        before the codec. Other values are scaled onto all of the levels of ``deepest`` bits, and rounded.
        """
        values = array.values
        own = (float(values.min()), float(values.max()))
        if values.dtype.kind in "iu":
            for low, high in (array.limits, own):
                low, high = float(np.floor(low)), float(np.ceil(high))
                low, high = min(low, own[0]), max(high, own[1])
                if high - low < 2**deepest:
                    return cls(low, 1.0, int(high - low))
        low, high = own
        return cls(low, ((high - low) / (2**deepest - 1)) or 1.0, 2**deepest - 1)

    def integers(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """Values to integers."""
        if values.dtype.kind in "iu" and self.step == 1:
            return (values.astype(np.int64) - int(self.low)).astype(np.uint16)
        scaled = np.rint((values.astype(np.float64) - self.low) / self.step)
        return scaled.clip(0, self.top).astype(np.uint16)

    def values(self, integers: NDArray[Any]) -> NDArray[Any]:
        """Integers, or what lies between them, to values in the unit; clipped to those that there are."""
        exact = self.step == 1 and abs(self.low) + self.top < 2**24  # float32 holds all of these integers
        wide: NDArray[Any] = integers.astype(np.float32 if exact else np.float64)
        np.clip(wide, 0, self.top, out=wide)
        np.multiply(wide, self.step, out=wide)
        np.add(wide, self.low, out=wide)
        return wide

    def write(self, to: Writer) -> None:
        """Eighteen bytes."""
        to.pack("ddH", self.low, self.step, self.top)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Inverse of :meth:`write`."""
        low, step, top = source.unpack("ddH")
        return cls(low, step, int(top))


def spread(work: Callable[[_In, int], _Out], entries: Sequence[_In], threads: int) -> list[_Out]:
    """``work(entry, threads)`` for each: side by side where there are several, else with all threads for the one."""
    if len(entries) == 1 or threads == 1:
        return [work(entry, threads) for entry in entries]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda entry: work(entry, 1), entries))


def lacks_planes(array: Array, least: int = 1) -> str | None:
    """Why an array is no stack of planes of at least ``least`` samples a side; None where it is one."""
    if len(array.axes) < 2:
        return "it has one axis; two or more are needed"
    layout = PlaneLayout.of(array)
    sides = [array.values.shape[axis + 1] for axis in layout.order[-2:]]
    if min(sides) < least:
        return f"planes of {sides[0]}×{sides[1]} are too small; sides of {least} or more are needed"
    return None
