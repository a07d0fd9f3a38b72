"""A seeded clip: textured things that move over a panning ground while the light changes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[Any]  # float64 [H, W], or with extents of 1 that broadcast
_CELLS = 64  # a texture's random lattice repeats after as many cells
_SIZE = 144.0  # samples that the shorter side of the scene stands for


def video_phantom(seed: int, shape: tuple[int, int, int] = (24, 144, 176), channels: int = 3) -> NDArray[np.uint8]:
    """A panning ground, seven discs, boxes and rings that cross and hide each other, a light that comes and goes.

    Only sums, products, quotients, roots, comparisons and look-ups touch the samples, in float64, so that equal seeds
    give equal clips on every machine.

    Args:
        seed: for NumPy's PCG64.
        shape: T, H, W, each at least 1; things are as large against the shorter side whatever it is.
        channels: 3 for red, green and blue, 1 for grey.

    Returns:
        uint8 ``[channels, T, H, W]``, with noise of about 1.5 levels as cameras have.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    count, height, width = shape
    unit = min(height, width) / _SIZE  # samples per unit of the scene
    y = (np.arange(height, dtype=np.float64)[:, np.newaxis] + 0.5) / unit
    x = (np.arange(width, dtype=np.float64)[np.newaxis] + 0.5) / unit
    room = (height / unit, width / unit)
    ground = _Ground(rng)
    things = [_Thing(rng, room, kind) for kind in ("disc", "box", "ring", "disc", "box", "disc", "box")]
    light = rng.uniform(12, 20), rng.uniform(0.12, 0.22)
    clip = np.empty((channels, *shape), dtype=np.uint8)
    for frame in range(count):
        rgb = ground.paint(y, x, frame)
        for thing in things:
            rgb = thing.paint(rgb, y, x, frame, 1 / unit)
        gain = 1 + light[1] * (2 * _wave(frame / light[0]) - 1) + 0.12 * (x / room[1] - 0.5)
        rgb = rgb * gain
        if channels == 1:
            rgb = 0.25 * rgb[:1] + 0.625 * rgb[1:2] + 0.125 * rgb[2:]
        rgb = rgb + (rng.integers(0, 6, rgb.shape) + rng.integers(0, 6, rgb.shape) - 5) * 0.6
        clip[:, frame] = np.rint(np.clip(rgb, 0, 255))
    return clip


class _Ground:
    """Two colours mixed by three scales of texture; the camera pans at a fraction of a sample per frame."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.lattices = [rng.uniform(0, 1, (_CELLS, _CELLS)) for _ in range(3)]
        self.dark, self.bright = _muted(rng, 20, 70), _muted(rng, 150, 225)
        self.pan = rng.uniform(-1.7, 1.7, 2)

    def paint(self, y: Field, x: Field, frame: int) -> Field:
        """``[3, H, W]``."""
        y, x = y + self.pan[0] * frame + 1000, x + self.pan[1] * frame + 1000
        mix = sum(
            share * _texture(lattice, y / size, x / size)
            for lattice, size, share in zip(self.lattices, (37.0, 11.0, 3.3), (0.5, 0.3, 0.2), strict=True)
        )
        mix = np.clip(1.7 * mix - 0.35, 0, 1)
        return _colour(self.dark) + (_colour(self.bright) - _colour(self.dark)) * mix


class _Thing:
    """One textured shape on a zigzag through the scene."""

    def __init__(self, rng: np.random.Generator, room: tuple[float, float], kind: str) -> None:
        self.kind, self.room = kind, room
        self.start, self.speed = rng.uniform(0, 1, 2), rng.uniform(-2.6, 2.6, 2)
        self.radii = rng.uniform(11, 27, 2) if kind == "box" else np.full(2, rng.uniform(11, 24))
        self.paints = _muted(rng, 10, 130), _muted(rng, 120, 250)
        self.lattice, self.grain = rng.uniform(0, 1, (_CELLS, _CELLS)), rng.uniform(4, 9)
        self.stripes = rng.uniform(4, 8) if kind != "disc" else 0.0

    def paint(self, under: Field, y: Field, x: Field, frame: int, edge: float) -> Field:
        """``under`` ``[3, H, W]`` with this thing over it, ``edge`` wide at its rim."""
        dy, dx = (
            place - room * _wave(start + speed * frame / (2 * room))
            for place, room, start, speed in zip((y, x), self.room, self.start, self.speed, strict=True)
        )
        if self.kind == "box":
            far = np.maximum(np.abs(dy) - self.radii[0], np.abs(dx) - self.radii[1])
        else:
            far = np.sqrt(dy * dy + dx * dx) - self.radii[0]
            far = np.maximum(far, 0.5 * self.radii[0] - (far + self.radii[0])) if self.kind == "ring" else far
        cover = np.clip(0.5 - far / edge, 0, 1)
        mix = _texture(self.lattice, (dy + 500) / self.grain, (dx + 500) / self.grain)
        if self.stripes:
            mix = 0.35 * mix + 0.65 * np.clip(3 * _wave((dx + 0.6 * dy) / (2 * self.stripes) + 100) - 1, 0, 1)
        one, two = (_colour(paint) for paint in self.paints)
        painted: Field = under + cover * (one + (two - one) * mix - under)
        return painted


def _texture(lattice: Field, y: Field, x: Field) -> Field:
    """Smooth noise in [0, 1] with one feature per unit; ``y`` ``[H, 1]`` and ``x`` ``[1, W]`` are positive."""
    (rows, down), (columns, across) = ((np.floor(place).astype(np.int64), place - np.floor(place)) for place in (y, x))
    down, across = (t * t * (3 - 2 * t) for t in (down, across))
    corners = [lattice[(rows + i) % _CELLS, (columns + j) % _CELLS] for i in (0, 1) for j in (0, 1)]
    upper, lower = (left + (right - left) * across for left, right in (corners[:2], corners[2:]))
    mixed: Field = upper + (lower - upper) * down
    return mixed


def _wave(phase: Any) -> Any:
    """A triangle wave in [0, 1] of period 1."""
    part = phase - np.floor(phase)
    return 1 - np.abs(2 * part - 1)


def _muted(rng: np.random.Generator, low: float, high: float) -> Field:
    """A colour nearer to grey than not, as most are."""
    return 0.55 * rng.uniform(low, high) + 0.45 * rng.uniform(low, high, 3)


def _colour(rgb: Field) -> Field:
    return rgb.reshape(3, 1, 1)
