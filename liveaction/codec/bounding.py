"""Streams with a bound on the error of every sample: written, decoded as readers will, and completed by the rest."""

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf, prod
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from liveaction.codec.bound import Bound, encode_bounded
from liveaction.codec.chunks import with_residual
from liveaction.codec.grid import Box, slices
from liveaction.codec.header import MAX_VOXELS, WHOLE_SHARE
from liveaction.codec.reader import StreamReader
from liveaction.coding.container import ContainerReader
from liveaction.kernels.parallel import in_threads
from liveaction.mapped import release_pages
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.codec.model import Model

IN_MEMORY = 1 << 24
"""Values of a signal whose symbols are kept in memory meanwhile; those of larger ones are in a nameless file."""
TRIED = 1 << 19
"""Values of the part of a signal that steps are tried on."""
OCTAVES = 6
"""How far from :data:`FIRST` steps are tried, on either side."""
FIRST = 2.0
"""The first step that is tried, in steps of what is left. Of files that were looked at (CT, pictures, cubes), the best
lie between 1 and 16, and half or twice the best costs 1 % or less."""
FINEST = 2.0**-15
"""No step is tried below: symbols of latents of a hundred stay below 2**24."""


@contextmanager
def room_for(signal: Signal) -> Iterator[BinaryIO]:
    """A file without a name for the stream of a signal."""
    if signal.values.size <= IN_MEMORY:
        yield io.BytesIO()
        return
    with tempfile.TemporaryFile() as file:
        yield file


def residual_chunks(
    file: BinaryIO, signal: Signal, model: "Model", bound: Bound, stage: Callable[[str], None]
) -> Iterator[bytes]:
    """The chunks of a stream in their order, each with what brings its values within the bound.

    Args:
        file: the stream, whose header has the bound, and whose chunks have nothing left.
        signal: that it is of.
        model: that made it.
        bound: of the signal.
        stage: is told what happens.
    """
    most = max(MAX_VOXELS, signal.values.size * WHOLE_SHARE)
    reader = StreamReader(ContainerReader(file, "stream"), model, "stream", max_voxels=most)
    layout, ready, following = reader.layout, dict[int, bytes](), 0
    total = layout.count_windows()
    for done, window in enumerate(layout.windows()):
        stage(f"coding what is left, {done / total:.0%}")
        found = reader.unrounded(window)
        complete = partial(_completed, reader, signal, bound, found, layout.samples(window))
        numbers = list(layout.chunks_in(window))
        ready |= dict(zip(numbers, in_threads(complete, numbers), strict=True))
        release_pages(signal.values)
        while following in ready:
            yield ready.pop(following)
            following += 1


def _completed(
    reader: StreamReader, signal: Signal, bound: Bound, decoded: NDArray[np.float64], samples: Box, number: int
) -> bytes:
    """A chunk with what is left of it, where ``decoded`` are ``samples`` before rounding."""
    box = reader.layout.samples(reader.layout.chunk_box(number))
    part = (slice(None), *slices(box))
    missing = None if signal.missing is None else signal.missing[part]
    left = encode_bounded(signal.values[part], decoded[(slice(None), *slices(box, samples))], missing, bound)
    return with_residual(reader.container.read(number, reader.header.chunk_bytes(number)), left)


def middle(signal: Signal) -> Signal:
    """The part of a signal that steps are tried on: all of it, or a box in its middle."""
    values, extents = signal.values.size, signal.shape
    if values <= TRIED:
        return signal
    share = (TRIED / values) ** (1 / len(extents))
    sides = [max(1, min(n, round(n * share))) for n in extents]
    while len(signal.values) * prod(sides) > 2 * TRIED and max(sides) > 1:
        sides[sides.index(max(sides))] //= 2
    lows = [(n - side) // 2 for n, side in zip(extents, sides, strict=True)]
    return signal.crop(*(slice(low, low + side) for low, side in zip(lows, sides, strict=True)))


def best_step(cost: Callable[[float], float], first: float) -> float:
    """Of steps that are octaves apart one from which both neighbours cost more, downhill from ``first``.

    A step that is too fine costs infinitely much; the first one that does not is then the first.
    """
    known = {0: cost(first)}
    while known[0] == inf and first < 1:
        first *= 2
        known = {0: cost(first)}

    def at(octave: int) -> float:
        if octave not in known:
            known[octave] = cost(first * 2.0**octave)
        return known[octave]

    way = 1 if at(1) < at(0) else -1
    place = max(way, 0)
    while abs(place + way) <= OCTAVES and at(place + way) < at(place):
        place += way
    return first * 2.0**place
