"""Seeded phantoms of any number of axes: smooth random fields with edges."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.spec import ModalitySpec

_CHANNELS = 3  # where the recipe takes any number
_EXTENTS = {1: (16384,), 2: (192, 256), 3: (64, 80, 96), 4: (12, 24, 32, 40)}


def array_phantom(
    seed: int, spec: ModalitySpec, dtype: str, extents: tuple[int, ...] | None, no_data: float | str | None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Two smooth fields, a plane and ellipsoids with sharp edges, little noise; channels share most of it.

    Only sums, products and comparisons touch the samples, so that equal seeds give equal arrays on every machine.

    Args:
        seed: for NumPy's PCG64.
        spec: gives channels, axes and range.
        dtype: of the values.
        extents: S; None for a size that shows what it is.
        no_data: put where nothing was measured, at the far end of every axis; None for a whole array.

    Returns:
        Values ``[C, *S]`` within the recipe's range, and what is missing. C is 3 where the recipe takes any number.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    axes = len(spec.axes)
    shape = extents or _EXTENTS.get(axes, (8,) * axes)
    common = _edges(rng, shape) + _texture(rng, shape, 3) * 0.16 + _texture(rng, shape, 12) * 0.05
    field = np.empty((spec.channels or _CHANNELS, *shape))
    for channel in field:
        gain = 0.7 + 0.5 * rng.random()
        channel[...] = common * gain + _texture(rng, shape, 6) * 0.06 + (rng.random(shape) - 0.5) * 0.01
    field = np.clip(field + 0.4, 0.0, 1.0)
    low, high = _limits(spec, dtype)
    values = field * (high - low) + low
    if np.dtype(dtype).kind != "f":
        values = np.rint(values)
    result: NDArray[Any] = values.astype(dtype)
    if no_data is None or (np.dtype(dtype).kind != "f" and no_data == "nan"):
        return result, None
    far = [_line(n) > 0.6 for n in shape]
    corner = np.ones(shape, dtype=bool)
    for axis, line in enumerate(far):
        corner &= line.reshape([-1 if i == axis else 1 for i in range(axes)])
    missing = np.broadcast_to(corner, result.shape).copy()
    result[missing] = float(no_data)
    return result, missing if missing.any() else None


def _limits(spec: ModalitySpec, dtype: str) -> tuple[float, float]:
    if isinstance(spec.range, tuple):
        return spec.range
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return -1.0, 1.0
    info = np.iinfo(kind)
    if spec.range == "native" and kind.itemsize < 8:
        return float(info.min), float(info.max)
    return 0.0, float(min(info.max, 10000))


def _line(n: int) -> NDArray[np.float64]:
    """Places of ``n`` samples from -1 to 1."""
    return (2 * np.arange(n) + 1 - n) / n


def _texture(rng: np.random.Generator, shape: tuple[int, ...], features: int) -> NDArray[np.float64]:
    """Smooth noise of about ``features`` bumps along an axis, cubic B-splines of numbers from -1 to 1, ``[*S]``."""
    counts = [min(features, n) for n in shape]
    field = (2 * rng.random([count + 3 for count in counts]) - 1) * 2.0
    for axis, (n, count) in enumerate(zip(shape, counts, strict=True)):
        at = (_line(n) + 1) / 2 * count
        low = np.minimum(at.astype(np.int64), count - 1)
        t = at - low
        u = 1 - t
        weights = (u * u * u, 3 * t * t * t - 6 * t * t + 4, 3 * u * u * u - 6 * u * u + 4, t * t * t)
        tall = [-1 if i == axis else 1 for i in range(len(shape))]
        parts = [np.take(field, low + i, axis) * (w / 6).reshape(tall) for i, w in enumerate(weights)]
        field = parts[0] + parts[1] + parts[2] + parts[3]
    return field


def _edges(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A plane across and ellipsoids, each a step, ``[*S]``."""
    lines = np.ix_(*(_line(n) for n in shape))
    slope = 2 * rng.random(len(shape)) - 1
    side = sum(line * a for line, a in zip(lines, slope, strict=True))
    field = np.where(side > rng.random() - 0.5, 0.15, 0.0)
    for _ in range(7):
        centre, radii, height = 1.8 * rng.random(len(shape)) - 0.9, 0.1 + 0.45 * rng.random(len(shape)), rng.random()
        far = sum(((line - c) / r) * ((line - c) / r) for line, c, r in zip(lines, centre, radii, strict=True))
        field = np.where(far < 1, field * 0.5 + height * 0.4, field)
    return field
