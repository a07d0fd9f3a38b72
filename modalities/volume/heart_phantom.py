"""A seeded chest with a beating heart and a breathing diaphragm, as fast MRI shows it."""

import copy

import numpy as np

from liveaction.modalities.volume.canvas import Canvas, Field, Phantom, place

_EXTENT = (360.0, 300.0, 240.0)  # mm


def heart_phantom(seed: int, shape: tuple[int, int, int, int] = (8, 48, 48, 32)) -> tuple[Phantom, float]:
    """Body, lungs, liver, spine, and a heart whose chambers narrow and widen; noise as magnitudes have it.

    As in :func:`ct_phantom`, only additions, products, quotients and square roots touch the samples: waves are
    parabolas.

    Args:
        seed: for NumPy's PCG64.
        shape: volumes, and samples over a field of view of 360 x 300 x 240 mm, each at least 1.

    Returns:
        ``values`` ``[T, X, Y, Z]`` in arbitrary units from 0 to about 1000, with affine and spacing of a volume; and
        the seconds between volumes.
    """
    count, x, y, z = shape
    rng = np.random.Generator(np.random.PCG64(seed))
    still = Canvas((x, y, z), rng, _EXTENT, empty=0.0)
    _chest(still)
    beats, breaths = float(rng.uniform(0.09, 0.16)), float(rng.uniform(0.03, 0.05))
    start = float(rng.uniform(0, 1))
    level = np.float32(rng.uniform(10, 18))
    values = np.empty(shape, dtype=np.int16)
    for t in range(count):
        frame = copy.copy(still)
        frame.paper = still.paper.copy()
        _moving(frame, _wave(start + beats * t), _wave(breaths * t))
        real, imaginary = (level * rng.standard_normal((x, y, z), dtype=np.float32) for _ in range(2))
        noisy = np.sqrt((frame.paper + real) * (frame.paper + real) + imaginary * imaginary)
        values[t] = np.rint(np.clip(noisy, 0, 4095)).astype(np.int16)
    return Phantom(values, place(still), still.step), 0.1


def _wave(phase: float) -> float:
    """From 0 to 1 and back while ``phase`` runs through a whole number, along a parabola."""
    part = phase - int(phase)
    return 4 * part * (1 - part)


def _chest(scan: Canvas) -> None:
    """What does not move: fat, muscle, lungs, spine."""
    soft = 12 * scan.rough + 15 * scan.fine
    u, v = scan.x / 155, scan.y / 108
    body: Field = (np.sqrt(u * u + v * v) - 1) * 105
    scan.paint(body, 620 + soft)
    scan.paint(body + 12, 260 + soft)
    for s in (-1, 1):
        lung = np.maximum(scan.ball((s * 72.0, 0, 30), (56, 78, 120)), body + 26)
        scan.paint(lung, 45 + 18 * np.abs(scan.fine))
    spine = np.sqrt(scan.x**2 + (0.9 * (scan.y - 66)) ** 2) - 22
    scan.paint(spine, 330 + 40 * scan.fine)
    scan.paint(np.sqrt(scan.x**2 + (scan.y - 88) ** 2) - 7, 480.0)
    scan.paint(np.sqrt((scan.x - 14) ** 2 + (scan.y - 38) ** 2) - 11, 700 + 20 * scan.rough)


def _moving(scan: Canvas, squeeze: float, breath: float) -> None:
    """Liver and heart at one moment: ``squeeze`` and ``breath`` run from 0 to 1."""
    down = 14.0 * breath
    soft = 10 * scan.rough + 14 * scan.fine
    dome = scan.ball((-30, -10, -112 - down), (130, 96, 74))
    scan.paint(np.maximum(dome, np.sqrt((scan.x / 140) ** 2 + (scan.y / 95) ** 2) * 100 - 100), 380 + soft)
    at = (22.0, -24.0, -4.0 - 0.5 * down)
    wide = 1 - 0.10 * squeeze
    scan.paint(scan.ball(at, (58 * wide, 46 * wide, 52 * wide), -0.6), 300 + soft)
    for shift, radii, share in (((16.0, 2.0, -6.0), (27, 22, 34), 0.34), ((-22.0, -12.0, -4.0), (22, 16, 30), 0.28)):
        narrow = 1 - share * squeeze
        centre = tuple(a + d for a, d in zip(at, shift, strict=True))
        scan.paint(scan.ball(centre, [r * narrow for r in radii], -0.6), 760 + 12 * scan.fine)
    for offset in ((10.0, 22.0, 22.0), (-24.0, 14.0, 20.0)):
        centre = tuple(a + d for a, d in zip(at, offset, strict=True))
        filled = 0.8 + 0.2 * squeeze
        scan.paint(scan.ball(centre, [20 * filled, 14 * filled, 16 * filled]), 720 + 12 * scan.fine)
