"""A seeded scene as an imaging spectrometer on a satellite sees it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
NO_DATA = -32768
_MATERIALS = 7
_PARCELS = 26


class Scene(NamedTuple):
    """``values`` int16 ``[band, y, x]``, reflectance x10000; ``wavelengths`` in nm; bands marked bad (1); no data."""

    values: NDArray[np.int16]
    wavelengths: list[float]
    bad_bands: list[int]
    no_data: float


def hyperspectral_phantom(seed: int, shape: tuple[int, int, int]) -> Scene:
    """Fields, water, soil, roofs and roads at 400 to 2500 nm, with noise, two water bands and a border without data.

    Every parcel is a mixture of seven materials whose spectra have a red edge, absorption dips and slopes. Bands in the
    first water band (1350 to 1440 nm) are marked bad and noisy; those in the second (1810 to 1940 nm) are marked bad
    and hold no data, where there are at least 32 bands. Only additions, products, quotients, square roots and
    comparisons touch the samples, in a fixed order, so that equal seeds give equal scenes on every machine.

    Args:
        seed: for NumPy's PCG64.
        shape: bands, lines and samples, each at least 1.
    """
    bands, height, width = shape
    rng = np.random.Generator(np.random.PCG64(seed))
    nm = [round(400 + 2100 * (i + 0.5) / bands, 2) for i in range(bands)]
    micron = np.array(nm, dtype=np.float64) / 1000
    shares = _abundances(rng, height, width)
    light = 1 + np.float32(0.06) * _texture(rng, height, width, 21) + np.float32(0.05) * _texture(rng, height, width, 3)
    spectra = _spectra(rng, micron)
    values = np.zeros(shape, dtype=np.float32)
    for share, spectrum in zip(shares, spectra, strict=True):
        values += (spectrum * np.float32(10000)).reshape(-1, 1, 1) * share
    values *= light
    noise = rng.random(shape, dtype=np.float32)
    for _ in range(2):
        noise += rng.random(shape, dtype=np.float32)
    values += (noise - np.float32(1.5)) * (2 * _noise_level(micron)).reshape(-1, 1, 1)
    scene = np.rint(np.clip(values, -500, 16000)).astype(np.int16)
    first, second = (np.array([low <= w <= high for w in nm]) for low, high in ((1350, 1440), (1810, 1940)))
    if bands >= 32:
        scene[second] = NO_DATA
    if min(height, width) >= 16:
        scene[:, _outside(rng, height, width)] = NO_DATA
    return Scene(scene, nm, [int(bad) for bad in first | second] if bands >= 32 else [0] * bands, float(NO_DATA))


def _texture(rng: np.random.Generator, height: int, width: int, size: float) -> Field:
    """Smooth noise with features of about ``size`` pixels and a standard deviation near 1."""
    field = rng.random((int(height // size) + 4, int(width // size) + 4), dtype=np.float32) * 6 - 3
    for axis, count in enumerate((height, width)):
        at = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
        low = at.astype(np.int64)
        t = at - low
        u = 1 - t
        weights = (
            u * u * u,
            3 * t * t * t - 6 * t * t + 4,
            3 * u * u * u - 6 * u * u + 4,
            t * t * t,
        )  # B-spline, times 6
        wide = np.zeros((), dtype=np.float32)
        for i, weight in enumerate(weights):
            wide = wide + np.take(field, low + i, axis) * (weight / 6).reshape((-1, 1) if axis == 0 else (1, -1))
        field = wide
    return field


def _abundances(rng: np.random.Generator, height: int, width: int) -> list[Field]:
    """Share of every material in every pixel ``[y, x]``; they sum to 1."""
    size = np.float32(max(height, width, 8))
    y = (np.arange(height, dtype=np.float32).reshape(-1, 1) + np.float32(0.5)) / size
    x = (np.arange(width, dtype=np.float32).reshape(1, -1) + np.float32(0.5)) / size
    y = y + np.float32(0.012) * _texture(rng, height, width, 17)
    x = x + np.float32(0.012) * _texture(rng, height, width, 17)
    nearest, owner = np.full((height, width), 9, dtype=np.float32), np.zeros((height, width), dtype=np.int64)
    for _ in range(_PARCELS):
        v, u = rng.uniform(0, 1, 2)
        stretch, material = np.float32(rng.uniform(0.6, 1.6)), int(rng.integers(_MATERIALS - 1))
        far = (y - np.float32(v)) * (y - np.float32(v)) * stretch + (x - np.float32(u)) * (x - np.float32(u)) / stretch
        owner = np.where(far < nearest, material, owner)
        nearest = np.minimum(far, nearest)
    slope, start = np.float32(rng.uniform(-0.8, 0.8)), np.float32(rng.uniform(0.2, 0.8))
    road = np.abs(y - start - slope * (x - np.float32(0.5))) < np.float32(0.012)
    owner = np.where(road, _MATERIALS - 1, owner)
    shares, total = [], np.zeros((height, width), dtype=np.float32)
    for material in range(_MATERIALS):
        mixed = np.clip(_texture(rng, height, width, 9) * np.float32(0.1) + np.float32(0.03), 0, 1)
        share = _blurred((owner == material).astype(np.float32)) * np.float32(0.85) + mixed
        shares.append(share)
        total = total + share
    return [share / total for share in shares]


def _blurred(field: Field) -> Field:
    """A point spread of three taps along both axes, the ends repeated."""
    for axis in (0, 1):
        padded = np.pad(field, [(1, 1) if i == axis else (0, 0) for i in (0, 1)], mode="edge")
        before, after = np.moveaxis(padded, axis, 0)[:-2], np.moveaxis(padded, axis, 0)[2:]
        field = np.moveaxis((before + after) * np.float32(0.2), 0, axis) + field * np.float32(0.6)
    return field


def _bump(w: NDArray[np.float64], centre: float, width: float) -> NDArray[np.float64]:
    u = (w - centre) / width
    return 1 / (1 + u * u * u * u)


def _rise(w: NDArray[np.float64], centre: float, width: float) -> NDArray[np.float64]:
    u = (w - centre) / width
    return 0.5 + 0.5 * u / np.sqrt(1 + u * u)


def _spectra(rng: np.random.Generator, w: NDArray[np.float64]) -> list[Field]:
    """Reflectance of every material at ``w`` micrometres, a little different for every seed."""
    water = 1 - 0.55 * _bump(w, 1.45, 0.07) - 0.75 * _bump(w, 1.94, 0.09) - 0.1 * _bump(w, 0.97, 0.03)
    canopy = 0.02 + 0.05 * _bump(w, 0.55, 0.035) + 0.45 * _rise(w, 0.715, 0.015) - 0.32 * _rise(w, 1.7, 0.5)
    clay = 1 - 0.16 * _bump(w, 2.2, 0.025) - 0.1 * _bump(w, 2.33, 0.02)
    curves = [
        canopy * water,
        (0.05 + 0.3 * _rise(w, 0.75, 0.2)) * water * (1 - 0.12 * _bump(w, 2.1, 0.05)),
        (0.04 + 0.34 * _rise(w, 0.95, 0.45)) * clay * (1 - 0.2 * _bump(w, 1.92, 0.05)),
        0.004 + 0.06 * _bump(w, 0.5, 0.14),
        (0.18 + 0.28 * _rise(w, 0.62, 0.2)) * clay,
        (0.1 + 0.32 * _rise(w, 0.6, 0.04)) * (1 - 0.15 * _bump(w, 0.87, 0.07)),
        0.09 + 0.07 * _rise(w, 1.2, 0.8),
    ]
    gains = rng.uniform(0.8, 1.2, _MATERIALS)
    slopes = rng.uniform(-0.08, 0.08, _MATERIALS)
    lit = [curve * gain * (1 + slope * (w - 1.4)) for curve, gain, slope in zip(curves, gains, slopes, strict=True)]
    return [curve.astype(np.float32) for curve in lit]


def _noise_level(w: NDArray[np.float64]) -> Field:
    """Standard deviation per band: more at both ends of the range and in the water bands."""
    level = 14 + 40 * (1 - _rise(w, 0.4, 0.03)) + 26 * _rise(w, 2.35, 0.1) + 10 * _bump(w, 0.94, 0.03)
    return (level + 170 * _bump(w, 1.395, 0.035) + 60 * _bump(w, 1.87, 0.05)).astype(np.float32)


def _outside(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    """What lies beside the slanted swath ``[y, x]``: some columns at the left below, and at the right above."""
    lean = np.float32(rng.uniform(0.02, 0.1))
    y, x = np.arange(height, dtype=np.float32).reshape(-1, 1), np.arange(width, dtype=np.float32).reshape(1, -1)
    left = x < lean * (y - np.float32(height / 2))
    right = x > width - 1 - lean * (np.float32(height / 2) - y)
    return left | right
