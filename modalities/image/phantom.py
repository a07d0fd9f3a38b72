"""Seeded pictures with what codecs stumble over: texture, edges, gradients, fine stripes, strokes like writing."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from liveaction.modalities.volume.canvas import Field, texture

_EXTENT = (512.0, 768.0)  # of the scene, in samples of its usual size
_LUMA = (0.299, 0.587, 0.114)


def picture(seed: int, shape: tuple[int, int], channels: int = 3) -> NDArray[np.uint8]:
    """A sky with clouds over hills and grass, shaded balls, a wall of bricks, a fence, and lines of writing.

    Only additions, products, quotients and square roots touch the samples, so that equal seeds give equal pictures on
    every machine.

    Args:
        seed: for NumPy's PCG64.
        shape: samples over the same scene, each at least 1.
        channels: 3, or 1 for the luma of the same scene.

    Returns:
        ``[channels, Y, X]`` from 0 to 255, with noise of about 1.5.
    """
    scene = _Scene(shape, np.random.Generator(np.random.PCG64(seed)))
    _land(scene)
    _wall(scene)
    _fence(scene)
    _balls(scene)
    _writing(scene)
    noise = 1.2 * scene.rng.standard_normal((1, *shape), dtype=np.float32)
    tint = 0.8 * scene.rng.standard_normal((3, *shape), dtype=np.float32)
    values = scene.paper + np.float32(1) * (noise + tint)
    if channels == 1:
        values = sum(np.float32(w) * plane for w, plane in zip(_LUMA, values, strict=True))[np.newaxis]
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


class _Scene:
    """Coordinates ``y`` and ``x`` from the middle, and the colours painted so far."""

    def __init__(self, shape: tuple[int, int], rng: np.random.Generator) -> None:
        self.rng, self.shape = rng, shape
        self.grid = [
            ((np.arange(n) + 0.5) * (e / n) - e / 2).astype(np.float32) for n, e in zip(shape, _EXTENT, strict=True)
        ]
        self.y, self.x = np.ix_(*self.grid)
        self.edge = np.float32(max(e / n for n, e in zip(shape, _EXTENT, strict=True)))
        self.paper: Field = np.zeros((3, *shape), dtype=np.float32)

    def texture(self, size: float) -> Field:
        return texture(self.rng, self.grid, _EXTENT, size)

    def rough(self, sizes: Sequence[float]) -> Field:
        """Textures of several sizes, each half as strong as the one before."""
        total: Field = np.zeros(self.shape, dtype=np.float32)
        for number, size in enumerate(sizes):
            total = total + self.texture(size) * np.float32(0.5**number)
        return total

    def colour(self, low: float, high: float) -> Field:
        """A random colour ``[3, 1, 1]`` with entries between ``low`` and ``high``."""
        return self.rng.uniform(low, high, (3, 1, 1)).astype(np.float32)

    def paint(self, distance: Field, colour: Field | float, share: float = 1.0) -> None:
        """Blend in ``colour`` where ``distance`` is negative, with an edge one sample wide."""
        mask = np.clip(np.float32(0.5) - distance / self.edge, 0, 1) * np.float32(share)
        self.paper += mask * (colour - self.paper)

    def line(self, start: Sequence[float], end: Sequence[float], radius: float) -> Field:
        """Distance to a stroke from ``start`` to ``end`` ``(y, x)``, negative inside."""
        along = [np.float32(q - p) for p, q in zip(start, end, strict=True)]
        dy, dx = self.y - np.float32(start[0]), self.x - np.float32(start[1])
        t = (dy * along[0] + dx * along[1]) / (along[0] * along[0] + along[1] * along[1] + np.float32(1e-3))
        t = np.clip(t, 0, 1)
        gap_y, gap_x = dy - t * along[0], dx - t * along[1]
        return np.sqrt(gap_y * gap_y + gap_x * gap_x) - np.float32(radius)


def _land(scene: _Scene) -> None:
    """A sky that grows lighter downwards, clouds, two ranges of hills, grass."""
    rng, y = scene.rng, scene.y
    depth = np.clip((y + 256) / 330, 0, 1)
    blue = np.array([70, 120, 190], dtype=np.float32).reshape(3, 1, 1) + scene.colour(-30, 30)
    scene.paper += blue + depth * (np.float32(225) - blue)
    clouds = np.clip(scene.rough((170, 70, 30, 12)) - np.float32(rng.uniform(0.1, 0.8)), 0, 1)
    scene.paper += clouds * np.float32(0.8) * (np.float32(245) - scene.paper)
    for level, size, green in ((0.0, 160.0, 110.0), (70.0, 90.0, 80.0)):
        ridge = np.float32(level + rng.uniform(-30, 30)) + 38 * texture(rng, scene.grid[1:], _EXTENT[1:], size)
        tone = np.array([0.8, 1.0, 0.7], dtype=np.float32).reshape(3, 1, 1) * np.float32(green)
        shade = tone + scene.colour(-20, 20) + 14 * scene.rough((40, 14, 5))
        scene.paint(ridge[np.newaxis] - y, shade)
    blades = 20 * scene.rough((5, 2.6)) + 12 * scene.texture(50)
    grass = np.array([86, 118, 52], dtype=np.float32).reshape(3, 1, 1) + scene.colour(-20, 20)
    scene.paint(np.float32(rng.uniform(110, 160)) - y, grass + blades)


def _box(scene: _Scene, centre: Sequence[float], half: Sequence[float]) -> Field:
    distance: Field = np.maximum(
        np.abs(scene.y - np.float32(centre[0])) - np.float32(half[0]),
        np.abs(scene.x - np.float32(centre[1])) - np.float32(half[1]),
    )
    return distance


def _wall(scene: _Scene) -> None:
    """Bricks with mortar between, and a dark window: long edges, right angles, a regular pattern."""
    rng = scene.rng
    centre, half = (rng.uniform(10, 60), rng.uniform(-290, -170)), (rng.uniform(90, 130), rng.uniform(70, 110))
    inside = _box(scene, centre, half)
    row = (scene.y + 512) / 11
    course = np.floor(row)
    column = (scene.x + 1024) / 26 + np.float32(0.5) * (course - 2 * np.floor(course / 2))
    gap = np.minimum(np.abs(row - np.rint(row)) * 11, np.abs(column - np.rint(column)) * 26)
    brick = np.array([150, 78, 60], dtype=np.float32).reshape(3, 1, 1) + scene.colour(-25, 25)
    scene.paint(inside, brick + 9 * scene.rough((22, 6, 2.6)))
    scene.paint(np.maximum(inside, gap - np.float32(1.0)), 176 + 5 * scene.texture(4))
    window = (centre[0] - half[0] * 0.3, centre[1] + rng.uniform(-20, 20))
    scene.paint(_box(scene, window, (30, 22)), 225.0)
    scene.paint(_box(scene, window, (26, 18)), 42 + 10 * scene.texture(40))
    scene.paint(_box(scene, window, (26, 1.2)), 225.0)
    scene.paint(_box(scene, window, (1.2, 18)), 225.0)


def _fence(scene: _Scene) -> None:
    """Thin bars that come closer together to one side, as in a test chart."""
    top = scene.rng.uniform(140, 160)
    place = np.clip((scene.x + 384) / 768, 0, 1)
    bars = place * 30 + place * place * 60
    wave = np.abs(bars - np.rint(bars)) * 2
    pitch = 768 / (30 + 120 * place)
    inside = _box(scene, (top, 0), (26, 400))
    scene.paint(np.maximum(inside, (wave - np.float32(0.45)) * pitch * np.float32(0.5)), scene.colour(200, 250))


def _balls(scene: _Scene) -> None:
    """Shaded balls, lit from the upper left: smooth gradients against sharp rims."""
    for _ in range(5):
        radius = scene.rng.uniform(22, 62)
        centre = scene.rng.uniform(60, 190), scene.rng.uniform(-60, 340)
        v, u = (
            (scene.y - np.float32(centre[0])) / np.float32(radius),
            (scene.x - np.float32(centre[1])) / np.float32(radius),
        )
        r2 = u * u + v * v
        height = np.sqrt(np.clip(1 - r2, 0, 1))
        light = np.clip(np.float32(0.62) * height - np.float32(0.5) * v - np.float32(0.45) * u, 0, 1)
        shine = np.clip(light - np.float32(0.9), 0, 1) * 9
        body = scene.colour(60, 255) * (np.float32(0.2) + np.float32(0.8) * light)
        scene.paint((np.sqrt(r2) - 1) * np.float32(radius), body + shine * (255 - body))


def _writing(scene: _Scene) -> None:
    """A sheet of paper with lines of strokes as high as letters, from large to small."""
    rng = scene.rng
    centre = (rng.uniform(-190, -120), rng.uniform(110, 260))
    scene.paint(_box(scene, centre, (62, 104)), 236 + 4 * scene.texture(60))
    ink: Field = np.full(scene.shape, np.float32(1e3))
    down = centre[0] - 48.0
    for size in (14.0, 11.0, 9.0, 7.0, 6.0, 5.0):
        across = centre[1] - 94.0
        while across < centre[1] + 94 - size:
            for _ in range(int(rng.integers(2, 4))):
                (y0, x0), (y1, x1) = rng.integers(0, 3, (2, 2)) / 2
                start = down + size * y0, across + size * 0.6 * x0
                end = down + size * y1, across + size * 0.6 * x1
                ink = _nearer(scene, ink, start, end, size / 11)
            across += size * (0.95 if rng.uniform() < 0.8 else 1.7)
        down += size * 1.75
    scene.paint(ink, scene.colour(10, 60))


def _nearer(scene: _Scene, ink: Field, start: Sequence[float], end: Sequence[float], radius: float) -> Field:
    """``ink`` with one more stroke, worked out around the stroke only."""
    reach = radius + 2 * float(scene.edge)
    spans = [
        slice(*np.searchsorted(line, (min(p, q) - reach, max(p, q) + reach)))
        for line, p, q in zip(scene.grid, start, end, strict=True)
    ]
    part = _Scene.__new__(_Scene)
    part.y, part.x = np.ix_(*(line[span] for line, span in zip(scene.grid, spans, strict=True)))
    box = ink[tuple(spans)]
    np.minimum(box, part.line(start, end, radius), out=box)
    return ink
