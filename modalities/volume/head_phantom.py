"""A seeded head as a T1-weighted MRI shows it."""

import numpy as np

from liveaction.modalities.volume.canvas import Canvas, Field, Phantom, place, smooth

_EXTENT = (192.0, 224.0, 192.0)  # mm
_SIDES = (-1, 1)
_FAT, _MUSCLE, _BONE, _MARROW, _FLUID, _GREY, _WHITE = 500.0, 230.0, 25.0, 300.0, 70.0, 270.0, 410.0


def head_phantom(seed: int, shape: tuple[int, int, int] = (144, 168, 144)) -> Phantom:
    """Scalp, skull, folded grey matter around white, deep nuclei, ventricles, cerebellum; a bias field, Rician noise.

    As in :func:`ct_phantom`, only additions, products, quotients and square roots touch the samples.

    Args:
        seed: for NumPy's PCG64.
        shape: samples over a field of view of 192 x 224 x 192 mm, each at least 1.

    Returns:
        Arbitrary units from 0 to about 900; white matter near 410.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    scan = Canvas(shape, rng, _EXTENT, empty=0.0)
    size = float(rng.uniform(0.92, 1.0))
    skull = scan.ball((0, 2, 14 * size), (68 * size, 84 * size, 68 * size)) + 1.5 * scan.rough
    _scalp(scan, skull, size)
    brain = skull + 3 + np.clip(scan.rough, -1, 2)
    _cerebrum(scan, brain)
    _cerebellum(scan, brain, size)
    _deep(scan, size)
    for axis in range(3):
        scan.paper = smooth(scan.paper, axis, 0.1)
    bias = 1 + np.float32(0.12) * scan.texture(110) + np.float32(rng.uniform(-1e-3, 1e-3)) * scan.y
    values = scan.paper * np.clip(bias, 0.5, 1.6)
    level = np.float32(rng.uniform(9, 15))
    real, imaginary = (level * rng.standard_normal(shape, dtype=np.float32) for _ in range(2))
    noisy = np.sqrt((values + real) * (values + real) + imaginary * imaginary)
    return Phantom(np.rint(np.clip(noisy, 0, 4095)).astype(np.int16), place(scan), scan.step)


def _scalp(scan: Canvas, skull: Field, size: float) -> None:
    """Skin, fat, muscle, neck and face with eyes and airways, and the bone of the skull with its marrow."""
    z, soft = scan.z, 20 * scan.rough + 25 * scan.fine
    neck = np.maximum(np.sqrt(scan.x**2 + (0.8 * (scan.y - 22)) ** 2) - 56, z + 10)
    face = np.minimum(scan.ball((0, -40, -42), (56, 56, 62)), scan.ball((0, -98, -34), (11, 14, 18)))
    head = np.minimum(np.minimum(skull - 13, neck), face)
    scan.paint(head, 330.0)
    scan.paint(head + 2, _FAT + soft)
    scan.paint(np.maximum(head + 7, z + 12), _MUSCLE + soft)
    for s in _SIDES:
        at = (s * 31.0 * size, -66.0 * size, -22.0)
        scan.paint(scan.ball(at, (18, 20, 16)), _FAT + soft)
        scan.paint(scan.ball((at[0], at[1] - 8, at[2]), (12, 12, 12)), 95.0)
        scan.paint(scan.ball((at[0], at[1] - 17, at[2]), (4, 2.5, 4)), 280.0)
        scan.paint(scan.ball((s * 26.0, -58, -52), (12, 14, 16)), 5.0)
    scan.paint(scan.ball((0, -72, -44), (9, 22, 20)), 60 + 60 * np.abs(scan.fine))
    scan.paint(np.maximum(np.sqrt(scan.x**2 + (scan.y + 6) ** 2) - 8, z + 58), 5.0)
    spine = np.maximum(np.sqrt(scan.x**2 + (scan.y - 26) ** 2) - 17, z + 60)
    scan.paint(spine, _BONE)
    scan.paint(spine + 2.5, _MARROW + soft)
    scan.paint(skull - 7, _BONE)
    scan.paint(np.abs(skull - 3.5) - np.float32(1.3) - 0.4 * scan.rough, _MARROW + soft)
    scan.paint(skull, _FLUID)


def _cerebrum(scan: Canvas, brain: Field) -> None:
    """A ribbon of grey matter that folds into the white, with fluid in the furrows and between the halves."""
    folds = np.abs(scan.texture(8.5) + np.float32(0.4) * scan.texture(5)) * 5
    furrow = folds + np.float32(0.5) * np.clip(-brain - 17, 0, None)
    half = np.abs(scan.x + scan.rough)
    cleft = np.maximum(half, 8 - scan.z * 0.25)
    scan.paint(brain, _GREY + 10 * scan.fine)
    white = np.maximum(np.maximum(brain + np.float32(3.4), np.float32(2.7) - furrow), np.float32(3.2) - cleft)
    scan.paint(white, _WHITE + 9 * scan.rough + 5 * scan.fine)
    scan.paint(np.maximum(np.minimum(furrow - np.float32(0.55), cleft - np.float32(0.9)), brain + 0.5), _FLUID)
    body = scan.ball((0, -2, 33), (13, 38, 7))
    scan.paint(body, _WHITE + 15.0)


def _cerebellum(scan: Canvas, brain: Field, size: float) -> None:
    """Fine leaves of grey and white under a fold of fluid, and the brain stem."""
    at, radii = (0.0, 44.0 * size, -22.0 * size), (46 * size, 30 * size, 23 * size)
    part = np.maximum(scan.ball(at, radii), brain + 1)
    leaves = np.abs(scan.texture(5)) * 3
    scan.paint(part - 2, _FLUID)
    scan.paint(part, _GREY - 15 + 6 * scan.fine)
    scan.paint(np.maximum(part + 1, np.float32(1.5) - leaves), _WHITE - 40.0)
    core = np.minimum(*(scan.ball((s * 16.0, at[1] - 4, at[2]), (15, 12, 9)) for s in _SIDES))
    scan.paint(np.maximum(core, part), _WHITE + 4 * scan.fine)
    stem = np.sqrt(scan.x**2 + (scan.y - 14 - 0.12 * scan.z) ** 2)
    stem = np.maximum(stem - np.float32(9.5), scan.z - 4)
    scan.paint(stem - 3, _FLUID)
    scan.paint(np.minimum(stem, scan.ball((0, 6, -20), (15, 13, 14))), _WHITE - 25 + 5 * scan.fine)


def _deep(scan: Canvas, size: float) -> None:
    """Nuclei on both sides, and the ventricles, wide or narrow."""
    wide = float(scan.rng.uniform(0.7, 1.5))
    for s in _SIDES:
        scan.paint(scan.ball((s * 11.0, 10, 14), (9 * size, 14, 9)), 320 + 6 * scan.fine)
        scan.paint(scan.ball((s * 25.0, -6, 12), (7, 18 * size, 11), s * 0.25), 300 + 6 * scan.fine)
        scan.paint(scan.ball((s * 15.0, -20, 20), (5, 10, 8)), 290 + 6 * scan.fine)
        front = scan.ball((s * 8.0, -12, 26), (4.5 * wide, 26, 7 * wide), s * 0.2)
        back = scan.ball((s * 18.0, 30, 18), (5 * wide, 20, 8 * wide), -s * 0.35)
        scan.paint(np.minimum(front, back), _FLUID - 5)
    scan.paint(scan.ball((0, 8, 12), (1.6 * wide, 13, 9)), _FLUID - 5)
    scan.paint(scan.ball((0, 26, -24), (6, 4.5 * wide, 10)), _FLUID - 5)
