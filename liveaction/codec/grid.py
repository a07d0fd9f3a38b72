"""How a grid of latents is cut: chunks that are coded on their own, windows that are decoded at once.

S extents of the signal, F = 2**J samples per latent and axis, G = ceil(S / F) extents of the grid. A box is a half-open
range per axis, ``((low, high), ...)``; boxes are counted in raster order, the last axis fastest.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

Box = tuple[tuple[int, int], ...]

CHUNK_TOKENS = 4096
"""Positions of the grid in a chunk, at most."""

PREDICTED_SAMPLES = 2**18
"""Samples of a channel that a chunk of a predict step should have, whose networks stop at its borders: of small tokens
it takes more, as many as a coder takes."""

WINDOW_SAMPLES = 2**24
"""Samples in a window without its halo, about; at least one chunk."""

SLAB_SAMPLES = 2**25
"""Samples that are encoded at a time, with those around them; at least one chunk."""


def chunk_extents(grid: Sequence[int], tokens: int | None = None) -> tuple[int, ...]:
    """Extents of a chunk: powers of two, or all of a short axis, as even as they can be.

    ``(64, 64, 64)`` gives 16 x 16 x 16, a short first axis ``(3, 90, 160)`` gives 3 x 32 x 32. ``tokens`` is how many
    positions there may be, :data:`CHUNK_TOKENS` where None.
    """
    left, sides = float(CHUNK_TOKENS if tokens is None else tokens), [0] * len(grid)
    order = sorted(range(len(grid)), key=lambda axis: grid[axis])
    for done, axis in enumerate(order):
        fair = 1
        while (2 * fair) ** (len(grid) - done) <= left:
            fair *= 2
        sides[axis] = min(fair, grid[axis])
        left /= sides[axis]
    return tuple(sides)


def window_extents(
    grid: Sequence[int], chunk: Sequence[int], positions: int, around: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Extents of a window: whole chunks, halved along the longest axis until at most ``positions`` latents are left.

    Args:
        grid: G.
        chunk: extents of a chunk.
        positions: how many latents a window may hold, unless a chunk holds more.
        around: latents that come on top on either side of each axis where the grid has them; none where None.
    """
    counts = [-(-g // c) for g, c in zip(grid, chunk, strict=True)]
    sides = list(zip(chunk, grid, around or [0] * len(grid), strict=True))

    def held() -> int:
        return prod(min(n * c + 2 * more, g) for n, (c, g, more) in zip(counts, sides, strict=True))

    while held() > positions and max(counts) > 1:
        axis = max((a for a in range(len(grid)) if counts[a] > 1), key=lambda a: min(counts[a] * chunk[a], grid[a]))
        counts[axis] = -(-counts[axis] // 2)
    return tuple(n * c for n, c in zip(counts, chunk, strict=True))


def halo_of(axes: int) -> int:
    """Latents around a window: 4, all that the wavelets reach, or from three axes on 2, since there a halo is costly.

    What reaches further (attention, convolutions, and on three axes the ends of the wavelets) adds about 1 % to the
    error at window borders: ``benchmarks/seams.py``.
    """
    return 4 if axes < 3 else 2


@dataclass(frozen=True)
class ChunkLayout:
    """The grid of one signal and how it is cut.

    Attributes:
        extents: S.
        factors: F.
        chunk, window: extents in latents; a window is whole chunks.
        halo: latents of its neighbours that a window is decoded with, on either side.
    """

    extents: tuple[int, ...]
    factors: tuple[int, ...]
    chunk: tuple[int, ...]
    window: tuple[int, ...]
    halo: int

    @property
    def grid(self) -> tuple[int, ...]:
        """G."""
        return tuple(-(-n // f) for n, f in zip(self.extents, self.factors, strict=True))

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return prod(-(-g // c) for g, c in zip(self.grid, self.chunk, strict=True))

    def chunk_box(self, number: int) -> Box:
        """Latents of a chunk, by its number in raster order."""
        box = []
        for g, c in zip(reversed(self.grid), reversed(self.chunk), strict=True):
            number, place = divmod(number, -(-g // c))
            box.append((place * c, min((place + 1) * c, g)))
        return tuple(reversed(box))

    def chunks_in(self, box: Box) -> Iterator[int]:
        """Numbers of the chunks that hold some of a box of latents, ascending."""
        counts = [-(-g // c) for g, c in zip(self.grid, self.chunk, strict=True)]
        ranges = [range(low // c, -(-high // c)) for (low, high), c in zip(box, self.chunk, strict=True)]
        for place in itertools.product(*ranges):
            number = 0
            for at, count in zip(place, counts, strict=True):
                number = number * count + at
            yield number

    def windows(self, samples: Box | None = None) -> Iterator[Box]:
        """Latents of the windows, without halo, that hold some of a box of samples; of all where None."""
        for place in itertools.product(*self._windows(samples)):
            yield tuple((p * w, min((p + 1) * w, g)) for p, w, g in zip(place, self.window, self.grid, strict=True))

    def count_windows(self, samples: Box | None = None) -> int:
        """How many :meth:`windows` gives."""
        return prod(map(len, self._windows(samples)))

    def _windows(self, samples: Box | None) -> list[range]:
        """Numbers of windows per axis."""
        box = samples or tuple((0, n) for n in self.extents)
        sizes = [w * f for w, f in zip(self.window, self.factors, strict=True)]
        return [range(low // n, -(-high // n)) for (low, high), n in zip(box, sizes, strict=True)]

    def around(self, box: Box) -> Box:
        """A box of latents with its halo, where the grid has one."""
        return tuple(
            (max(low - self.halo, 0), min(high + self.halo, g)) for (low, high), g in zip(box, self.grid, strict=True)
        )

    def samples(self, box: Box) -> Box:
        """Samples of a box of latents."""
        pairs = zip(box, self.factors, self.extents, strict=True)
        return tuple((low * f, min(high * f, n)) for (low, high), f, n in pairs)


def overlap(one: Box, other: Box) -> Box:
    """What two boxes share; empty ranges where they do not meet."""
    return tuple((max(a, c), max(min(b, d), max(a, c))) for (a, b), (c, d) in zip(one, other, strict=True))


def shape_of(box: Box) -> tuple[int, ...]:
    """Extents of a box."""
    return tuple(high - low for low, high in box)


def slices(box: Box, origin: Box | None = None) -> tuple[slice, ...]:
    """The slices of a box in an array that begins at ``origin``'s lower corner, or at 0."""
    lows = [low for low, _ in origin] if origin else [0] * len(box)
    return tuple(slice(low - base, high - base) for (low, high), base in zip(box, lows, strict=True))


def relative(box: Box, origin: Box) -> Box:
    """A box as seen from the lower corner of another one."""
    return tuple((low - base, high - base) for (low, high), (base, _) in zip(box, origin, strict=True))
