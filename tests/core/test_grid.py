"""Chunks and windows: they cut the grid, each latent once, and a region finds those that it needs."""

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveaction.codec.grid import (
    CHUNK_TOKENS,
    ChunkLayout,
    chunk_extents,
    overlap,
    relative,
    shape_of,
    slices,
    window_extents,
)

GRIDS = st.lists(st.integers(1, 40), min_size=1, max_size=4).map(tuple)


@pytest.mark.parametrize(
    ("grid", "chunk"),
    [
        ((64, 64, 64), (16, 16, 16)),
        ((3, 90, 160), (3, 32, 32)),
        ((9000,), (4096,)),
        ((300,), (300,)),
        ((300, 400), (64, 64)),
        ((20, 20, 20, 20), (8, 8, 8, 8)),
        ((1, 1, 1), (1, 1, 1)),
    ],
)
def test_chunks_are_as_even_as_they_can_be(grid, chunk):
    assert chunk_extents(grid) == chunk


@given(GRIDS, st.integers(1, 5000))
@settings(deadline=None)
def test_chunks_and_windows_hold_every_latent_once(grid, positions):
    chunk = chunk_extents(grid)
    assert prod(chunk) <= CHUNK_TOKENS and all(c <= g for c, g in zip(chunk, grid, strict=True))
    window = window_extents(grid, chunk, positions)
    assert all(w % c == 0 for w, c in zip(window, chunk, strict=True))
    layout = ChunkLayout(tuple(3 * g - 1 for g in grid), (3,) * len(grid), chunk, window, 2)
    assert layout.grid == grid
    counted, numbered = np.zeros(grid, int), np.full(grid, -1)
    for number in range(layout.chunks):
        numbered[slices(layout.chunk_box(number))] = number
    assert (numbered >= 0).all() and len(np.unique(numbered)) == layout.chunks
    for box in layout.windows():
        counted[slices(box)] += 1
        held = np.unique(numbered[slices(box)]).tolist()
        assert list(layout.chunks_in(box)) == held
        assert len(held) == 1 or prod(shape_of(box)) <= positions
        inside = layout.around(box)
        assert all(0 <= a <= low and high <= b <= g for (low, high), (a, b), g in zip(box, inside, grid, strict=True))
    assert (counted == 1).all()


@given(st.data())
@settings(deadline=None)
def test_a_region_finds_its_windows(data):
    extents = data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=3).map(tuple))
    whole = ChunkLayout(extents, (4,) * len(extents), extents, extents, 1)
    chunk = tuple(data.draw(st.integers(1, g)) for g in whole.grid)
    layout = ChunkLayout(extents, whole.factors, chunk, chunk, 1)
    lows = [data.draw(st.integers(0, n - 1)) for n in extents]
    box = tuple((low, data.draw(st.integers(low + 1, n))) for low, n in zip(lows, extents, strict=True))
    wanted = np.zeros(extents, bool)
    wanted[slices(box)] = True
    needed = [w for w in layout.windows() if wanted[slices(layout.samples(w))].any()]
    assert list(layout.windows(box)) == needed


def test_boxes():
    one, other = ((0, 5), (2, 9)), ((3, 8), (0, 2))
    assert overlap(one, other) == ((3, 5), (2, 2)) and shape_of(overlap(one, other)) == (2, 0)
    assert relative(((3, 5), (4, 6)), one) == ((3, 5), (2, 4))
    assert slices(((3, 5), (4, 6)), one) == (slice(3, 5), slice(2, 4))
