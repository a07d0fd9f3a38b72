"""Seeded phantoms: pictures of what a scanner gives, made from numbers alone."""

import numpy as np

from liveaction.modalities.volume.canvas import Canvas, Field, Phantom, Tube, place, scanner_noise, smooth, tree

_SIDES = (-1, 1)  # right, left
_LOBES = ((0.9, 0.6, -0.3), (0.7, 0.6, 0.5), (0.1, 1.0, -0.7), (-0.1, 1.0, 0.5), (-1.0, 0.5, 0.5), (-0.8, 0.7, -0.2))


def ct_phantom(seed: int, shape: tuple[int, int, int] = (160, 160, 96)) -> Phantom:
    """A chest and upper abdomen on a table, with sizes, places, tilt and contrast agent drawn from ``seed``.

    Only additions, products, quotients and square roots touch the samples (no transforms, no sums over axes), so that
    equal seeds give equal volumes on every machine. X runs to the patient's left, Y to the back, Z to the head.

    Args:
        seed: for NumPy's PCG64.
        shape: samples over a field of view of 360 x 360 x 288 mm, each at least 1.

    Returns:
        HU from -1024 to about 1000, with noise of about 12 HU in the middle of the body.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    scan = Canvas(shape, rng)
    _trunk(scan)
    _abdomen(scan)
    _lungs(scan)
    _mediastinum(scan)
    _skeleton(scan)
    _table(scan)
    for axis, side in enumerate((0.14, 0.14, 0.1)):
        scan.paper = smooth(scan.paper, axis, side)
    scan.paper += scanner_noise(shape, rng) * (4 + 9 * np.clip(1.15 - scan.rim * scan.rim, 0, 1))
    return Phantom(np.rint(np.clip(scan.paper, -1024, 3071)).astype(np.int16), place(scan), scan.step)


def _trunk(scan: Canvas) -> None:
    """Skin, subcutaneous fat, muscle; sets the surfaces that organs are fitted into."""
    rng, z = scan.rng, scan.z
    a, b, fat = rng.uniform(146, 163), rng.uniform(98, 112), rng.uniform(8, 20)
    waist = 1 - np.float32(rng.uniform(0.02, 0.07)) * (1 - np.clip((z + 90) / 90, -1, 1) ** 2)
    u, v = scan.x / (np.float32(a) * waist), scan.y / (np.float32(b) * waist)
    u2, v2 = u * u, v * v
    scan.rim = 0.5 * np.sqrt(u2 + v2) + 0.5 * np.sqrt(np.sqrt(u2 * u2 + v2 * v2))
    body = (scan.rim - 1) * np.float32(0.45 * (a + b))
    layer = np.float32(fat) * (0.75 + 0.5 * v2) + 1.5 * scan.rough
    scan.spine = float(b - fat - 59)  # its middle, from the origin to the back
    scan.back = np.float32(scan.spine - 3) + 9 * (z / 144) ** 2
    muscles = np.minimum(*(scan.ball((s * 31.0, b - fat - 27, 0), (27, 19, 1e4)) for s in _SIDES))
    apex = 52 * np.clip((z - 35) / 110, 0, 1) ** 2
    scan.wall = body + layer + 15 + apex
    scan.chest = np.maximum(scan.wall, -muscles - 2)
    scan.paint(body, 5.0)
    scan.paint(body + 2, -103 + 5 * scan.rough + 3 * scan.fine)
    planes = np.clip(scan.fine - 1.1, 0, 1) * -90
    scan.paint(body + layer + np.float32(2), 54 + 5 * scan.rough + planes)
    scan.paint(scan.chest, -95 + 8 * scan.rough + 4 * scan.fine)
    right, left = rng.uniform(2, 18), rng.uniform(-8, 6)
    domes = [
        np.float32(h) - ((scan.x - np.float32(c)) ** 2 + (scan.y + 8) ** 2) * np.float32(0.0095)
        for h, c in ((right, -68), (left, 70))
    ]
    scan.dome = np.maximum(np.maximum(*domes), -78) + 2 * scan.rough
    scan.heart = np.maximum(
        scan.ball((20, -24, rng.uniform(2, 10)), (rng.uniform(54, 64), 43, 47), rng.uniform(-0.8, -0.5)),
        scan.dome - z + 3,
    )


def _abdomen(scan: Canvas) -> None:
    """Liver, spleen, stomach, kidneys, bowel, psoas; all below the diaphragm."""
    rng, back, agent = scan.rng, scan.spine, scan.contrast
    scan.room = np.maximum(scan.chest + 2, scan.z - scan.dome + 4)
    soft = 5 * scan.rough + 4 * scan.fine
    size = rng.uniform(0.9, 1.1)
    for s in _SIDES:
        scan.paint(scan.ball((s * 36.0, back + 8, -130), (19, 20, 75)), 52 + soft)
    for _ in range(36):
        at, radii = (rng.uniform(-88, 88), rng.uniform(-62, 8), rng.uniform(-150, -72)), rng.uniform(12, 24, 3).tolist()
        part = scan.near(at, radii)
        loop = np.maximum(part.ball(at, radii, rng.uniform(0, 3)), part.room)
        part.paint(loop, 38.0)
        part.paint(loop + 3, 18 + 7 * part.rough + 6 * part.fine)
        if rng.uniform() < 0.35:
            part.paint(np.maximum(loop + 3, part.y - np.float32(at[1] - 5)), -940.0)
    for s in _SIDES:
        _kidney(scan, s, size)
    _stomach_and_spleen(scan, size)
    lobes = (scan.ball((-64, 0, -42), (84, 84 * size, 80)), scan.ball((5, -48, -32), (78 * size, 32, 36), -0.2))
    liver = np.maximum(np.minimum(*lobes) + 3 * scan.rough, scan.room)
    scan.paint(liver, 56 + 0.45 * agent + soft)
    veins = scan.tubes(tree(rng, (-25, 0, -45), (-1, -0.1, 0.1), 6.0, 26, 1.2))
    scan.paint(liver, scan.paper + veins * np.float32(0.3 * agent - 8), veins)
    bile = scan.near((-48, -48, -78), (15, 18, 24))
    bile.paint(bile.ball((-48, -48, -78), (15, 18, 24)), 8 + 3 * bile.rough)


def _kidney(scan: Canvas, side: int, size: float) -> None:
    """Cortex that takes up contrast agent, around a sinus of fat."""
    tilt = side * scan.rng.uniform(0.3, 0.6)
    at = (side * scan.rng.uniform(54, 60), scan.spine + 8, scan.rng.uniform(-100, -80))
    radii = (27 * size, 23 * size, 50 * size)
    part = scan.near(at, radii)
    soft = 5 * part.rough + 4 * part.fine
    part.paint(part.ball(at, radii, tilt), 34 + 0.9 * scan.contrast + soft)
    part.paint(part.ball((at[0] - side * 13, at[1] - 4, at[2]), (14, 9, 26), tilt), -60 + soft)


def _stomach_and_spleen(scan: Canvas, size: float) -> None:
    """Both on the left under the diaphragm; the stomach holds fluid below and gas above, for the patient lies."""
    at, radii = (58.0, -28.0, -38.0), (44 * size, 40.0, 46.0)
    part = scan.near(at, radii)
    stomach = np.maximum(part.ball(at, radii, 0.4), part.room)
    part.paint(stomach, 45.0)
    part.paint(stomach + 4, 12 + 10 * part.rough + 8 * part.fine)
    part.paint(np.maximum(stomach + 4, part.y + np.float32(scan.rng.uniform(35, 55))), -960.0)
    at, radii = (96.0, 36.0, -38.0), (29 * size, 44.0, 50 * size)
    part = scan.near(at, radii)
    spleen = np.maximum(part.ball(at, radii, -0.4), part.room)
    part.paint(spleen, 48 + 0.6 * scan.contrast + 5 * part.rough + 4 * part.fine)


def _lungs(scan: Canvas) -> None:
    """Two lungs between chest wall, diaphragm, heart and mediastinum, their vessels and airways."""
    rng = scan.rng
    narrow = 9 + np.float32(0.0075) * (scan.y + 62) ** 2 * np.clip(1.1 - scan.z / 500, 0.7, 1.2)
    middle = np.minimum(narrow, 38) + 2 * scan.rough
    spine = scan.ball((0, scan.spine + 5, 0), (30, 28, 1e4))
    lung = np.maximum(np.maximum(scan.chest + 3, scan.dome - scan.z), middle - np.abs(scan.x))
    lung = np.maximum(lung, np.maximum(-scan.heart - 7, -spine))
    sag = np.clip(scan.y / 80, -1, 1)
    scan.paint(lung, -868 + 28 * sag + 10 * scan.rough + 14 * np.abs(scan.fine))
    vessels: list[Tube] = []
    airways: list[Tube] = []
    for s in _SIDES:
        for up, out, front in _LOBES:
            hilum = (s * 36.0, 4.0, 40 + 12 * up)
            vessels += tree(rng, hilum, (s * out, front, up), rng.uniform(4.8, 6.0), 24, 0.7)
            airways += tree(rng, (hilum[0], 10.0, hilum[2]), (s * out, front + 0.1, up), 3.4, 22, 2.2)
    inside = np.clip(-lung / 5, 0, 1)
    scan.paint(lung, 35 + 0.6 * scan.contrast, scan.tubes(vessels) * inside)
    scan.paint(lung, -650, scan.tubes([(p, q, r + 1.3) for p, q, r in airways]) * inside)
    scan.paint(lung, -970, scan.tubes(airways) * inside)


def _mediastinum(scan: Canvas) -> None:
    """Heart chambers, great vessels, trachea and oesophagus."""
    back, agent = scan.spine, scan.contrast
    blood = 42 + agent
    soft = 4 * scan.rough + 3 * scan.fine
    scan.paint(scan.heart, 52 + 0.4 * agent + soft)
    for at, radii in (
        ((42, -26, 2), (27, 17, 24)),
        ((2, -46, 4), (32, 13, 28)),
        ((-22, -16, 10), (20, 22, 26)),
        ((14, 6, 16), (30, 12, 22)),
    ):
        part = scan.near(at, radii)
        chamber = np.maximum(part.ball(at, radii, -0.6), part.heart + 3)
        part.paint(chamber, blood + 4 * part.rough + 3 * part.fine)
    aorta = (14.0, back - 29)
    great = [
        ((*aorta, -150), (*aorta, 78), 11.0), ((*aorta, 78), (4, -2, 90), 12.0), ((4, -2, 90), (-12, -22, 74), 13.0),
        ((-12, -22, 74), (-4, -22, 30), 14.0), ((-19, back - 26, -150), (-17, back - 36, 0), 11.0),
        ((-24, -14, 20), (-22, -6, 150), 8.0), ((8, -30, 30), (14, -8, 52), 13.0), ((14, -8, 52), (40, 4, 46), 9.0),
        ((14, -8, 50), (-38, 2, 42), 9.0), ((8, -8, 95), (16, 0, 150), 5.0), ((-6, -14, 95), (-18, -8, 150), 6.0),
    ]  # fmt: skip
    everywhere = np.full((1, 1, 1), -1e3, dtype=np.float32)
    scan.paint(everywhere, blood + soft, scan.tubes(great))
    gullet = (6.0, back - 30)
    airway = [((0, 4, 150), (-1, 10, 64), 8.5), ((-1, 10, 64), (-38, 10, 44), 6.0), ((-1, 10, 64), (38, 10, 40), 5.5)]
    scan.paint(everywhere, 40.0, scan.tubes([((-8, gullet[1] + 3, 150), (-10, gullet[1] + 2, -20), 7.0)]))
    scan.paint(everywhere, 20.0, scan.tubes([(p, q, r + 2.0) for p, q, r in airway]))
    scan.paint(everywhere, -985.0, scan.tubes(airway))


def _skeleton(scan: Canvas) -> None:
    """Vertebrae with discs, canal and processes; ribs that run down to the front; breastbone."""
    rng, x, y, z = scan.rng, scan.x, scan.y - scan.back, scan.z
    marrow = 170 + 35 * scan.fine + 20 * scan.rough
    pitch, phase = np.float32(rng.uniform(25, 29)), np.float32(rng.uniform(0, 1))
    level = z / pitch + phase
    part = (level - np.rint(level)) * pitch
    column = (np.sqrt((x / 21) ** 2 + (y / 16) ** 2) - 1) * 17 + np.float32(0.012) * (100 - part * part) * 1.2
    scan.paint(column + 1, 85 + 5 * scan.fine)
    _bone(scan, np.maximum(column, np.abs(part) - np.float32(0.39) * pitch), marrow, 2.4)
    arch = np.abs(np.sqrt((x / 1.25) ** 2 + (y - 25) ** 2) - 11.5) - 3.2
    processes = np.minimum(
        np.maximum(np.maximum(np.abs(x) - 3.2, np.abs(y - 48) - 13), np.abs(part + 5) - 7),
        np.maximum(np.maximum(np.abs(x) - 36, np.abs(y - 24 - np.abs(x) * 0.15) - 4), np.abs(part - 3) - 5),
    )
    scan.paint(np.sqrt((x / 1.25) ** 2 + (y - 25) ** 2) - 9, 28.0)
    _bone(
        scan, np.minimum(np.maximum(arch, np.abs(part) - 10), np.maximum(processes, 10 - np.abs(y - 25))), marrow, 2.0
    )
    forward = np.clip((np.float32(45) - scan.y) / 130, 0, 1)
    ribs = z / pitch + phase + 0.5 + forward * np.float32(rng.uniform(2.0, 2.5))
    part = (ribs - np.rint(ribs)) * pitch
    across = (scan.wall - 6) / 3.6
    rib = (np.sqrt(across * across + (part / 6.2) ** 2) - 1) * 3.6
    margin = -62 - 1.5 * scan.y - z - np.float32(rng.uniform(-10, 10))
    rib = np.maximum(np.maximum(rib, margin * 0.4), 17 + 27 * np.clip(scan.y / 20, 0, 1) - np.abs(x))
    gristle = np.clip((forward - 0.84) / 0.04, 0, 1)
    scan.paint(rib, 110.0, gristle)
    _bone(scan, rib, marrow + 40, 1.7, 1 - gristle)
    plate = np.maximum(np.abs(scan.wall - 5) - 5.5, np.abs(x) - 17 + 0.03 * np.clip(60 - z, 0, None))
    plate = np.maximum(np.maximum(plate, scan.y + 20), np.maximum(-8 - z, z - 125))
    _bone(scan, plate, marrow - 40, 1.8)
    blade = np.maximum(np.abs(scan.wall - 19 - 0.06 * (z - 40)) - 2.6, np.abs(np.abs(x) - 92 + 0.15 * (z - 60)) - 30)
    _bone(scan, np.maximum(np.maximum(blade, 20 - scan.y), 18 + 0.5 * (np.abs(x) - 92) - z), marrow, 1.6)


def _bone(scan: Canvas, distance: Field, marrow: Field, shell: float, within: Field | None = None) -> None:
    """A cortical shell of ``shell`` mm around marrow."""
    scan.paint(distance, 1100.0, within)
    scan.paint(distance + np.float32(shell), marrow, within)


def _table(scan: Canvas) -> None:
    """The scanner's couch: a thin curved shell around foam, and a mattress; it does not move with the patient."""
    x, y, _ = np.ix_(*scan.grid)
    top = np.float32(scan.rng.uniform(118, 126)) - x * x / 1500
    top = np.broadcast_to(y - top, scan.shape)
    free = np.clip((scan.rim - 1) * 40, 0, 1)
    wide = np.abs(x) - 170
    scan.paint(np.maximum(np.maximum(-top - 9, top + 1), wide), -930.0, free)
    scan.paint(np.maximum(np.maximum(-top, top - 24), wide), -90.0, free)
    scan.paint(np.maximum(np.maximum(2.5 - top, top - 21.5), wide + 2), -955.0, free)
