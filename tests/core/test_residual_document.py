"""docs/entropy.md on what is left as a plain Python decoder, which must give what the compiled one gives."""

from itertools import product
from math import prod

import numpy as np
import pytest

from liveaction.coding.residual import encode_residual
from liveaction.coding.residual_numba import MOST, VERBATIM
from tests.core.test_entropy_document import clamp
from tests.core.test_small_document import LOGISTIC, LOGIT, Reader


class Nothing:
    """A state that the reader does not use."""

    def _asdict(self):
        return {}


def row(v):
    if v >= 4096:
        return min(row(min(v >> 8, 4095)) + 16, 31)
    if v == 0:
        return 0
    octave = v.bit_length() - 1
    return min(1 + 2 * octave + (v * v >= 1 << (2 * octave + 1)), 31)


def sign(v):
    return (v > 0) - (v < 0) + 1


class Decoder:
    """The walk."""

    def __init__(self, data, shape, skip):
        self.r, even = Reader(data, Nothing()), 1 << 31
        self.counters = [even] * (12 * (128 + 256 + 128))
        self.weights = {(d, k): [26214] * 3 + [0] for d in range(12) for k in range(32)}
        self.exponents, self.lows, self.signs = [even] * 31, [even] * 48, [even] * 81
        self.extents = (prod(shape[1:-2]), shape[-2] if len(shape) > 2 else 1, shape[-1])
        self.found = {}
        self.values, skip = [], np.asarray(skip).reshape(shape[0], *self.extents)
        for c in range(shape[0]):
            self.energy = {}
            for place in product(*map(range, self.extents)):
                self.found[c, *place] = 0 if skip[c, *place] else self.sample(c, *place)
        assert self.r.bits(8) == 0 and self.r.read >= len(data) and (not data or data[-1])
        order = product(range(shape[0]), *map(range, self.extents))
        self.values = np.array([self.found[place] for place in order], np.int64).reshape(shape)

    def at(self, c, z, y, x):
        v = self.found.get((c, z, y, x), 0)
        return 0 if v == VERBATIM else clamp(v, -4096, 4096)

    def mixed(self, d, k, chosen):
        places = [12 * k[0] + d, 12 * (128 + k[1]) + d, 12 * (384 + k[2]) + d]
        y, w = [LOGIT[self.counters[i] >> 20] for i in places] + [256], self.weights[d, chosen]
        p = LOGISTIC[clamp(sum(a * b for a, b in zip(w, y, strict=True)) >> 16, -2047, 2047)]
        bit = self.r.decide(p)
        for i in places:
            self.r.learn(self.counters, i, bit, 255)
        for i in range(4):
            w[i] += (y[i] * (65535 * bit - p) * 24 + (1 << 19)) >> 20
        return bit

    def sample(self, c, z, y, x):
        near = lambda dz, dy, dx: self.at(c, z + dz, y + dy, x + dx)  # noqa: E731
        planes = self.extents[0] > 1
        a, b, right, behind = near(0, 0, -1), near(0, -1, 0), near(0, -1, 1), near(-1, 0, 0)
        other = self.at(c - 1, z, y, x) if c else 0
        total = 3 * abs(a) + 3 * abs(b) + 2 * abs(right) + abs(near(0, -1, -1)) + abs(near(0, 0, -2))
        if planes:
            total += 4 * abs(behind) + abs(near(-1, 0, -1)) + abs(near(-1, 0, 1))
            total += abs(near(-1, -1, 0)) + abs(near(-1, 1, 0))
        total += 6 * abs(other)
        expected = total * (65536 // (10 + 8 * planes + 6 * (c > 0))) >> 12
        energy = self.energy.get((y, x), 0)
        least = lambda v: min(abs(v), 3)  # noqa: E731
        k = (
            row(expected) * 4 + least(other),
            64 * least(a) + 16 * least(b) + 4 * least(behind) + least(right),
            row(energy) * 4 + min(abs(a) + abs(b), 3),
        )
        shift, d = clamp((expected >> 4).bit_length() - 2, 0, 11), 0
        while d < 12 and self.mixed(d, k, row(expected)):
            d += 1
        if d == 12:
            e = 0
            while self.r.counted(self.exponents, e, 255):
                e += 1
                if e == 31:
                    return VERBATIM
            d = 12 + (1 << e) + self.r.bits(e) - 1
        if shift:
            d = 2 * d + self.r.counted(self.lows, 4 * shift + min(d, 3), 255)
            d = (d << (shift - 1)) + self.r.bits(shift - 1)
        self.energy[y, x] = energy + ((256 * min(d, 4096) - 16 * energy) >> 7)
        pattern = 27 * sign(a) + 9 * sign(b) + 3 * sign(behind) + sign(other)
        return -d if d and self.r.counted(self.signs, pattern, 255) else d


@pytest.mark.parametrize("shape", [(1, 90), (2, 11, 13), (2, 4, 6, 7), (1, 2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("size", [0.5, 6.0, 900.0])
def test_a_decoder_made_from_the_page_gives_the_integers(shape, size):
    rng = np.random.default_rng(5)
    values = np.rint(rng.laplace(0, size, shape)).astype(np.int64)
    values.flat[1], values.flat[-2] = VERBATIM, MOST
    skip = rng.random(shape) < 0.1
    found = Decoder(encode_residual(values, skip), shape, skip).values
    np.testing.assert_array_equal(found, np.where(skip, 0, values))
