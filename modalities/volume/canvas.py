"""What phantoms are painted with: a canvas in patient coordinates, tubes, textures, scanner noise."""

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[Any]  # float32 [X, Y, Z], or with extents of 1 that broadcast
Point = Sequence[float]
Tube = tuple[Point, Point, float]
EXTENT = (360.0, 360.0, 288.0)  # mm, of the field of view for chest and abdomen
_SPREAD = {1: 1.44, 2: 2.08, 3: 3.0}  # what the spline takes away of the deviation, per number of axes


class Phantom(NamedTuple):
    """``values`` int16 ``[X, Y, Z]``, ``affine`` 4x4 index to RAS+ mm, ``spacing`` in mm."""

    values: NDArray[np.int16]
    affine: NDArray[np.float64]
    spacing: tuple[float, float, float]


class Canvas:
    """Coordinates in mm, warped and tilted as the patient lies, and ``paper``: the values painted so far."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        rng: np.random.Generator,
        extent: tuple[float, float, float] = EXTENT,
        empty: float = -1000.0,
    ) -> None:
        self.rng, self.shape, self.extent = rng, shape, extent
        self.step = (extent[0] / shape[0], extent[1] / shape[1], extent[2] / shape[2])
        self.edge = np.float32(max(self.step) * 0.8)
        self.grid = tuple(
            ((np.arange(n) + 0.5) * d - e / 2).astype(np.float32)
            for n, d, e in zip(shape, self.step, extent, strict=True)
        )
        x, y, self.z = np.ix_(*self.grid)
        tilt, shift = rng.uniform(-0.05, 0.05), rng.uniform(-5, 5, 2)
        self.x = np.float32(math.cos(tilt)) * x + np.float32(math.sin(tilt)) * y - np.float32(shift[0])
        self.y = np.float32(math.cos(tilt)) * y - np.float32(math.sin(tilt)) * x - np.float32(shift[1])
        self.x = self.x + 4 * self.texture(60)
        self.y = self.y + 3 * self.texture(60)
        self.rough, self.fine = self.texture(22), self.texture(8)
        self.paper: Field = np.full(shape, empty, dtype=np.float32)
        self.contrast = float(rng.uniform(0, 110))
        self.rim: Field = self.paper  # these surfaces are set with the trunk
        self.wall = self.chest = self.room = self.dome = self.heart = self.rim
        self.back: Field = self.z
        self.spine = 0.0

    def near(self, centre: Point, radii: Point) -> "Canvas":
        """The same canvas, cut to what an ellipsoid can reach; painting there paints here."""
        reach = max(radii) + 20.0
        spans = [slice(*np.searchsorted(g, (c - reach, c + reach))) for g, c in zip(self.grid, centre, strict=True)]
        part = copy.copy(self)
        for name, field in vars(self).items():
            if isinstance(field, np.ndarray):
                cut = [s if n > 1 else slice(None) for s, n in zip(spans, field.shape, strict=True)]
                setattr(part, name, field[tuple(cut)])
        return part

    def texture(self, size: float) -> Field:
        """Smooth noise with features of about ``size`` mm and a standard deviation near 1, ``[X, Y, Z]``."""
        return texture(self.rng, self.grid, self.extent, size)

    def ball(self, centre: Point, radii: Point, turn: float = 0.0) -> Field:
        """About the distance to an ellipsoid in mm, negative inside; ``turn`` in radians around Z."""
        c, s = np.float32(math.cos(turn)), np.float32(math.sin(turn))
        x, y = self.x - np.float32(centre[0]), self.y - np.float32(centre[1])
        u, v = (c * x + s * y) / np.float32(radii[0]), (c * y - s * x) / np.float32(radii[1])
        w = (self.z - np.float32(centre[2])) / np.float32(radii[2])
        return (np.sqrt(u * u + v * v + w * w) - 1) * np.float32(min(radii))

    def paint(self, distance: Field, value: Any, within: Field | None = None) -> None:
        """Blend ``value`` in where ``distance`` is negative, with an edge one sample wide."""
        mask = np.clip(0.5 - distance / self.edge, 0, 1)
        if within is not None:
            mask = mask * within
        self.paper += mask * (value - self.paper)

    def tubes(self, segments: Sequence[Tube]) -> Field:
        """Share of each sample that lies in tubes ``(from, to, radius)`` in mm."""
        share = np.zeros(self.shape, dtype=np.float32)
        for start, end, radius in segments:
            reach = radius + float(self.edge)
            spans = [
                slice(*np.searchsorted(g, (min(p, q) - reach, max(p, q) + reach)))
                for g, p, q in zip(self.grid, start, end, strict=True)
            ]
            lines = np.ix_(*(g[s] for g, s in zip(self.grid, spans, strict=True)))
            along = [np.float32(q - p) for p, q in zip(start, end, strict=True)]
            offsets = [g - np.float32(p) for g, p in zip(lines, start, strict=True)]
            dot = offsets[0] * along[0] + offsets[1] * along[1] + offsets[2] * along[2]
            t = np.clip(
                dot / (along[0] * along[0] + along[1] * along[1] + along[2] * along[2] + np.float32(1e-6)), 0, 1
            )
            gaps = [o - t * a for o, a in zip(offsets, along, strict=True)]
            far = np.sqrt(gaps[0] * gaps[0] + gaps[1] * gaps[1] + gaps[2] * gaps[2])
            thin = np.float32(min(1.0, (2 * radius / float(self.edge)) ** 0.5))
            box = share[tuple(spans)]
            np.maximum(box, np.clip(0.5 - (far - np.float32(radius)) / self.edge, 0, 1) * thin, out=box)
        return share


def place(scan: Canvas) -> NDArray[np.float64]:
    """The affine of a canvas: X runs to the patient's left, Y to the back, Z to the head."""
    affine = np.diag([-scan.step[0], -scan.step[1], scan.step[2], 1.0])
    affine[:3, 3] = [scan.extent[0] / 2, scan.extent[1] / 2, -scan.extent[2] / 2]
    return affine


def texture(rng: np.random.Generator, grid: Sequence[Field], extent: Sequence[float], size: float) -> Field:
    """Smooth noise on any number of axes, with features of about ``size`` and a standard deviation near 1.

    Args:
        rng: draws one number per feature.
        grid: float32 places of the samples along each axis, the middle of the field of view being 0.
        extent: of the field of view, in the unit of ``grid``.
        size: in the unit of ``grid``.
    """
    counts = [int(e // size) + 4 for e in extent]
    field: Field = np.float32(_SPREAD[len(grid)]) * rng.standard_normal(counts, dtype=np.float32)
    for axis, (line, wide) in enumerate(zip(grid, extent, strict=True)):
        at = (line + np.float32(wide / 2)) / np.float32(size)
        low = at.astype(np.int64)
        t = at - low
        u, t2, u2 = 1 - t, t * t, (1 - t) * (1 - t)
        weights = (u * u2, 3 * t * t2 - 6 * t2 + 4, 3 * u * u2 - 6 * u2 + 4, t * t2)  # cubic B-spline, times 6
        tall = [-1 if i == axis else 1 for i in range(len(grid))]
        total = np.zeros((), dtype=np.float32)
        for i, weight in enumerate(weights):
            total = total + np.take(field, low + i, axis) * (weight / 6).reshape(tall)
        field = total
    return field


def tree(
    rng: np.random.Generator, start: Point, towards: Point, radius: float, length: float, least: float
) -> list[Tube]:
    """Branching tubes ``(from, to, radius)`` that halve their area at each fork, down to a radius of ``least`` mm."""
    segments: list[Tube] = []
    ends = [(start, towards, radius, length)]
    while ends:
        at, ahead, r, step = ends.pop()
        size = math.sqrt(sum(c * c for c in ahead))
        to = tuple(p + c / size * step for p, c in zip(at, ahead, strict=True))
        segments.append((at, to, r))
        if r * 0.78 < least:
            continue
        for share in rng.uniform(0.68, 0.86, 2):
            bent = tuple(c / size + 0.5 * float(n) for c, n in zip(ahead, rng.standard_normal(3), strict=True))
            ends.append((to, bent, r * float(share), max(step * 0.8, 9.0)))
    return segments


def smooth(field: Field, axis: int, side: float) -> Field:
    """Three taps ``(side, 1 - 2 side, side)`` along one axis, the ends repeated."""
    line = np.moveaxis(field, axis, 0)
    result = np.moveaxis(field * np.float32(1 - 2 * side), axis, 0)
    line = line * np.float32(side)
    result[1:] += line[:-1]
    result[:-1] += line[1:]
    result[0] += line[0]
    result[-1] += line[-1]
    return np.moveaxis(result, 0, axis)


def scanner_noise(shape: tuple[int, int, int], rng: np.random.Generator) -> Field:
    """Noise of unit variance with the look of filtered back-projection: little at low frequencies, less at the top."""
    sharp = rng.standard_normal(shape, dtype=np.float32)
    for axis, side in enumerate((0.17, 0.17, 0.2)):
        sharp = smooth(sharp, axis, side)
    broad = sharp
    for axis in (0, 1, 0, 1):
        broad = smooth(broad, axis, 1 / 3)
    return (sharp - np.float32(0.9) * broad) * np.float32(3.875)
