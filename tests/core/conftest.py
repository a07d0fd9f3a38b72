"""What tests of streams share."""

import pytest

from liveaction.codec import grid


@pytest.fixture
def small(monkeypatch):
    """Chunks, windows and slabs so small that a signal has many of each."""
    monkeypatch.setattr(grid, "CHUNK_TOKENS", 27)
    monkeypatch.setattr(grid, "WINDOW_SAMPLES", 2000)
    monkeypatch.setattr(grid, "SLAB_SAMPLES", 3000)
