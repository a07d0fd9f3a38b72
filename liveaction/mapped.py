"""Arrays that may be too large for memory: mapped from files, worked on part by part, their pages let go behind."""

import itertools
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError

LARGE = 1 << 26
"""Bytes; larger arrays that are made here are mapped from a temporary file."""


PART = 1 << 20
"""Values that are worked on at a time where an array may be large."""


def is_large(shape: Sequence[int], dtype: str | np.dtype[Any]) -> bool:
    """Whether an array takes more than ``LARGE`` bytes, and so should not be held whole in memory."""
    return prod(shape) * np.dtype(dtype).itemsize > LARGE


def empty_values(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Room for the values of a signal; a large one is a nameless temporary file that goes with the array."""
    if not is_large(shape, dtype):
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="liveaction-") as file:
        with suppress(AttributeError):  # not on every system
            os.posix_fallocate(file.fileno(), 0, prod(shape) * np.dtype(dtype).itemsize)  # or a full disk ends us later
        return np.memmap(file, np.dtype(dtype), "w+", shape=shape)


class Room:
    """Room for a signal that comes box by box, on the disk where it is large, which is taken as the boxes come.

    Args:
        shape, dtype: of the values ``[C, *S]``.

    Attributes:
        values: what came; the rest is 0, or anything where it is small.
        missing: where values are missing, bool of the same shape; None as long as none is.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self.shape = shape
        self.missing: NDArray[np.bool_] | None = None
        self._handle, self._taken = -1, dict[int, int]()  # how far the disk is taken, by channel
        if not is_large(shape, dtype):
            self.values: NDArray[Any] = np.empty(shape, dtype)
            return
        with tempfile.TemporaryFile(prefix="liveaction-") as file:
            self.values = np.memmap(file, np.dtype(dtype), "w+", shape=shape)
            self._handle = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._handle)

    def put(self, box: tuple[slice, ...], values: NDArray[Any], missing: NDArray[np.bool_] | None) -> None:
        """Put the values of a box, and which of them are missing, where they belong.

        Raises:
            OSError: the disk is full.
        """
        self._reserve(box)
        goal = self.values[box]
        for place in parts(goal):
            goal[place] = values[place]
        if missing is not None:
            self.missing = np.zeros(self.shape, bool) if self.missing is None else self.missing
            self.missing[box] = missing

    def _reserve(self, box: tuple[slice, ...]) -> None:
        """Take the disk from a box's first value to its last, channel by channel: a full one ends us when written."""
        if self._handle < 0 or not hasattr(os, "posix_fallocate"):
            return
        strides = self.values.strides
        low = sum(part.start * n for part, n in zip(box[1:], strides[1:], strict=True))
        high = sum((part.stop - 1) * n for part, n in zip(box[1:], strides[1:], strict=True)) + self.values.itemsize
        for channel in range(*box[0].indices(self.shape[0])):
            begin = max(channel * strides[0] + low, self._taken.get(channel, 0))
            end = channel * strides[0] + high
            if begin < end:
                os.posix_fallocate(self._handle, begin, end - begin)
                self._taken[channel] = end


def is_mapped(values: NDArray[Any]) -> bool:
    """Whether the values lie in a file rather than in memory."""
    return _map_under(values) is not None


def release_pages(values: NDArray[Any]) -> None:
    """Let go of the memory that pages of a mapped file take; they are read again where they are needed."""
    base = _map_under(values)
    if base is not None and base.mode in ("r", "r+", "w+") and hasattr(base._mmap, "madvise"):
        base._mmap.madvise(mmap.MADV_DONTNEED)


def check_mapped(values: NDArray[Any]) -> None:
    """Refuse values of a mapped file that became shorter: to touch what is gone would end the process.

    Raises:
        FormatError: it did.
    """
    base = _map_under(values)
    if base is None:
        return
    end, size = base.offset - base.offset % mmap.ALLOCATIONGRANULARITY + len(base._mmap), base._mmap.size()
    if size < end:
        raise FormatError(
            f"{base.filename}: expected {end} bytes as when it was opened, got {size}; leave a file as it is while it "
            "is read"
        )


def _map_under(values: NDArray[Any]) -> Any:
    base: Any = values
    while base is not None and not isinstance(base, np.memmap):
        base = getattr(base, "base", None)
    return base if getattr(base, "_mmap", None) is not None else None


def pieces(values: NDArray[Any], size: int = 1 << 24) -> Iterator[NDArray[Any]]:
    """Consecutive parts of ``values`` along its first axis, of about ``size`` bytes; pages behind are released."""
    step = max(1, size // max(1, values[:1].nbytes))
    for start in range(0, len(values), step):
        check_mapped(values)
        yield values[start : start + step]
        release_pages(values)


def parts(*arrays: NDArray[Any], whole: int | None = None) -> Iterator[tuple[slice, ...]]:
    """Boxes of about ``PART`` values that cover arrays of one shape; their pages are released behind each.

    Boxes are cut across the axis that varies slowest in memory where all arrays agree on it, and are even otherwise, so
    that few pages lie under a box.

    Args:
        arrays: of one shape, in any memory order.
        whole: an axis that is not cut.
    """
    sides, orders = list(arrays[0].shape), {_slowest_first(array) for array in arrays}
    axes = [axis for axis in orders.pop() if axis != whole]
    if orders:
        while prod(sides) > PART and (open_axes := [axis for axis in axes if sides[axis] > 1]):
            longest = max(open_axes, key=sides.__getitem__)
            sides[longest] = -(-sides[longest] // 2)
    else:
        _cut(sides, axes)
    for box in _boxes(arrays[0].shape, sides):
        for array in arrays:
            check_mapped(array)
        yield box
        for array in arrays:
            release_pages(array)


def _slowest_first(array: NDArray[Any]) -> tuple[int, ...]:
    """The axes longer than one, the largest step in memory first."""
    return tuple(sorted((a for a in range(array.ndim) if array.shape[a] > 1), key=lambda a: -abs(array.strides[a])))


def _cut(sides: list[int], axes: Sequence[int]) -> None:
    """Shorten ``sides`` axis after axis until a box holds no more than ``PART`` values; in place."""
    for axis in axes:
        if prod(sides) > PART:
            sides[axis] = max(1, PART * sides[axis] // prod(sides))


def _boxes(shape: Sequence[int], sides: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    ranges = [range(0, n, max(1, side)) for n, side in zip(shape, sides, strict=True)]
    for place in itertools.product(*ranges):
        yield tuple(slice(at, min(at + side, n)) for at, side, n in zip(place, sides, shape, strict=True))


def converted(
    values: NDArray[Any],
    dtype: np.dtype[Any],
    convert: Callable[[NDArray[Any]], NDArray[Any]] = lambda part: part,
    fortran: bool = False,
) -> NDArray[Any]:
    """A copy of ``values`` as ``dtype``, made part by part in room from :func:`empty_values`.

    Args:
        values: in any memory order.
        dtype: with its byte order.
        convert: of one part, elementwise; what it returns is cast to ``dtype``.
        fortran: whether the first axis varies fastest in the copy, rather than the last.
    """
    room = empty_values(values.shape[::-1], dtype.str).T if fortran else empty_values(values.shape, dtype.str)
    for box in parts(values, room):
        room[box] = convert(values[box])
    return room


def spread_sample(values: NDArray[Any], missing: NDArray[np.bool_] | None, most: int) -> NDArray[Any]:
    """Every n-th of the values that are there, counted in raster order; all of them up to ``most``.

    Returns:
        ``[N]``, N less than twice ``most``, in no particular order.
    """
    count = values.size - (0 if missing is None else int(np.count_nonzero(missing)))
    step = max(1, count // most)
    sample, at, seen = np.empty(-(-count // step), values.dtype), 0, 0
    if missing is None:
        for box in parts(values):
            taken = values[box].reshape(-1) if step == 1 else values[box][_places(values.shape, box, step)]
            sample[at : at + taken.size] = taken
            at += taken.size
        return sample
    sides = list(values.shape)
    _cut(sides, range(values.ndim))
    for box in _boxes(values.shape, sides):  # in raster order
        check_mapped(values)
        there = values[box][~missing[box]]
        release_pages(values)
        taken = there[-seen % step :: step]
        sample[at : at + taken.size] = taken
        at, seen = at + taken.size, seen + there.size
    return sample


def _places(shape: tuple[int, ...], box: tuple[slice, ...], step: int) -> NDArray[np.bool_]:
    """Where in a box the place in raster order is a multiple of ``step``."""
    place: Any = np.zeros((), np.int64)
    for axis, part in enumerate(box):
        stride = prod(shape[axis + 1 :]) % step
        place = place[..., np.newaxis] + np.arange(part.start, part.stop) * stride % step
    there: NDArray[np.bool_] = place % step == 0
    return there
