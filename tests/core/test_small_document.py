"""docs/entropy.md on the coder ``small`` as a plain Python decoder, which must give what the compiled one gives."""

import hashlib
import math
import re
from pathlib import Path

import numpy as np
import pytest

from liveaction.coding.fit import fit_parts
from liveaction.coding.mixing import Mixing, careful, fresh, kinds_of, mixing_digest
from liveaction.coding.small import SmallDecoder, SmallEncoder
from liveaction.coding.tables import generic_tables, tables_digest
from tests.core.test_entropy_document import (
    Magnitudes,
    clamp,
    neighbours,
    normalised,
    predictor,
    quarters,
    signal,
    signed,
)

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "entropy.md").read_text(encoding="utf-8")


def logistic_at(i):
    return clamp(round(65536 / (1 + math.exp(-i / 256))), 32, 65504)


LOGISTIC = {i: logistic_at(i) for i in range(-2048, 2048)}
LOGIT = [clamp(round(256 * math.log((2 * j + 1) / (8191 - 2 * j))), -2047, 2047) for j in range(4096)]
RATE = [655360 // (10 * n + 16) for n in range(256)]


def kinds(rows, components):
    """Of each part's channels."""
    first = [min(n, 4) for n in rows]
    left = max(64 - sum(first), 0)
    room = [min(n, f + left * n // sum(rows)) for n, f in zip(rows, first, strict=True)]
    begin = [sum(room[:i]) for i in range(len(rows))]
    return [
        [min(begin[i] + j * room[i] // n, 63) for _ in range(components) for j in range(n)] for i, n in enumerate(rows)
    ]


class Reader:
    """The number, and the state that learns."""

    def __init__(self, data, state):
        self.data, self.read, self.x, self.range = data, 0, 0, (1 << 32) - 1
        for _ in range(4):
            self.x = self.x << 8 | self.byte()
        assert self.x != (1 << 32) - 1
        self.of = {name: array.tolist() for name, array in state._asdict().items()}

    def byte(self):
        self.read += 1
        return self.data[self.read - 1] if self.read <= len(self.data) else 0

    def decide(self, p):
        assert 32 <= p <= 65504 and self.x < self.range
        bound = (self.range >> 16) * p
        bit = int(self.x < bound)
        if bit:
            self.range = bound
        else:
            self.x, self.range = self.x - bound, self.range - bound
        while self.range < 1 << 24:
            self.x, self.range = self.x << 8 | self.byte(), self.range << 8
        return bit

    def bits(self, n):
        v = 0
        for _ in range(n):
            v = 2 * v + self.decide(32768)
        return v

    def learn(self, row, i, bit, limit):
        p, n = row[i] >> 10, row[i] & 1023
        p += (4194303 * bit - p) * RATE[n] >> 16
        row[i] = p << 10 | min(n + 1, limit)

    def counted(self, row, i, limit):
        bit = self.decide(clamp(row[i] >> 16, 32, 65504))
        self.learn(row, i, bit, limit)
        return bit

    def mixed(self, d, k, t, scale):
        contexts, at = self.of["contexts"], 64 * d + (scale >> 1)
        y = [LOGIT[contexts[8 * i + d] >> 20] for i in k] + [256]
        f, g = self.of["by_magnitude"][at], self.of["by_kind"][8 * t + d]
        one = clamp(sum(a * b for a, b in zip(f, y, strict=True)) >> 16, -2047, 2047)
        two = clamp(sum(a * b for a, b in zip(g, y, strict=True)) >> 16, -2047, 2047)
        both, line = (one + two) >> 1, self.of["corrections"][at]
        low, part = (both + 2048) >> 7, (both + 2048) & 127
        right = (line[low] * (128 - part) + line[low + 1] * part) >> 7
        bit = self.decide(clamp((LOGISTIC[both] + right) >> 1, 32, 65504))
        for i in k:
            self.learn(contexts, 8 * i + d, bit, 255)
        for i in range(5):
            f[i] += (y[i] * (65535 * bit - LOGISTIC[one]) * 24 + (1 << 19)) >> 20
            g[i] += (y[i] * (65535 * bit - LOGISTIC[two]) * 24 + (1 << 19)) >> 20
        near = low + (part >> 6)
        line[near] += (65535 * bit - line[near]) >> 6
        return bit


class Part:
    """One part of a chunk."""

    def __init__(self, reader, shape, tables, coarser, kinds):
        self.reader, self.grid, self.axes, self.kinds = reader, shape[1:], len(shape) - 1, kinds
        self.t = {name: array.tolist() for name, array in tables.arrays().items()}
        self.offsets, self.rows, self.coarser = neighbours(self.axes), list(coarser), len(coarser)
        assert self.t["axes"] == [self.axes] and self.t.get("outer", [0]) == [self.coarser]
        self.energy = dict.fromkeys(np.ndindex(*self.grid), 0)
        self.before = self.last = 0
        self.symbols = np.array([self.channel(c) for c in range(shape[0])], np.int32).reshape(shape)

    def head(self, c):
        r, t = self.reader, self.kinds[c]
        heads, classes = r.of["heads"][t], r.of["classes"]
        there = r.counted(heads, self.before, 30)
        self.before = (2 * self.before + there) & 3
        mode = border = k = 0
        if any(self.t["predict"][c]):
            while mode < self.axes + 2 and r.counted(heads, 4 + 6 * there + mode, 30):
                mode += 1
            if mode > 0:
                n = r.bits(5)
                assert n <= 25
                border = signed((1 << (n - 1)) + r.bits(n - 1)) if n else 0
        if there:
            seen = int(self.last > 0)
            k = usual = clamp(self.last + self.t["class_offset"][c], 1, 77) if seen else 20
            if r.counted(classes[seen][0], 0, 30):
                up, j = r.counted(classes[seen][1], 0, 30), 1
                while j < 77 and r.counted(classes[seen][up], j, 30):
                    j += 1
                k = usual + j if up else usual - j
            assert 1 <= k <= 77
            self.last = k
        return k, mode, border

    def sources(self, c, p):
        """B, s0, s1."""
        count, near = len(self.offsets), self.t["activity"][c]
        found, alone = 64 * near[count], []
        for i, k in enumerate(self.t["sources"][c]):
            here = k >= 0 and self.rows[k].m
            one, ring = self.rows[k].at(p, self.grid) if here else (64, 2 * self.axes * 64)
            found += near[count + 1 + 2 * i] * one + near[count + 2 + 2 * i] * ring
            alone.append(one if here else 0)
        return found, alone[0], alone[1]

    def channel(self, c):
        k, mode, border = self.head(c)
        s, m, w = {}, {}, {}
        weights, near = predictor(self.t, c, mode, self.axes, self.offsets), self.t["activity"][c]
        for p in np.ndindex(*self.grid):
            around = [tuple(a + b for a, b in zip(p, o, strict=True)) for o in self.offsets]
            total = sum(a * s.get(q, border) for a, q in zip(weights, around, strict=True))
            total = (total + (1 << 31)) % (1 << 32) - (1 << 31)
            whole = (total + 128) >> 8
            rest, d, r = total - 256 * whole, 0, 0
            if k:
                b, s0, s1 = self.sources(c, p)
                e = b + sum(near[j] * m.get(q, 64) for j, q in enumerate(around) if j > 1)
                a = e + sum(near[j] * m.get(q, 64) for j, q in enumerate(around) if j < 2)
                level = min(abs(rest) >> 5, 3)
                d, r = self.symbol(p, (a, b, e), (s0, s1), self.near(w, p), (k, self.kinds[c], mode, level))
            s[p] = whole + r * (-1 if rest < 0 else 1)
            m[p], w[p] = normalised(r, k) if k else 0, min(d, 255)
            self.energy[p] += (256 * w[p] - self.energy[p]) >> 3
            assert abs(s[p]) < 1 << 24
        self.rows.append(Magnitudes(m if k else {}, self.grid))
        return [s[p] for p in np.ndindex(*self.grid)]

    def near(self, w, p):
        """w1, w2, u, v, b."""

        def at(*offset):
            offset = (0,) * (self.axes - len(offset)) + offset
            return w.get(tuple(a + b for a, b in zip(p, offset, strict=True)), 0)

        if self.axes == 1:
            return at(-1), at(-2), at(-2), at(-1), at(-2)
        return at(-1), at(-2), at(-1, 0), at(-1, 1), at(-2, 0) if self.axes == 2 else at(-1, 0, 0)

    def symbol(self, p, activities, alone, near, about):
        """d and r."""
        (a, b, e), (s0, s1), (w1, w2, u, v, beyond), (k, t, mode, level) = activities, alone, near, about
        reader = self.reader

        def said(active):
            return quarters(clamp(active >> 6, 1, (1 << 18) - 1)) + 2 * (k - 26)

        def octave(active):
            return clamp((said(active) - 8) >> 2, 0, 31)

        def close(m):
            return min((m >> 4).bit_length(), 3)

        scale, d, more = clamp(said(a), 0, 127), 0, 1
        if scale < 20 and w1 + w2 + u + beyond == 0:
            d = more = reader.counted(reader.of["quiet"][t], scale, 255)
        if more:
            n = min(w1 + u, 3)
            contexts = (
                (octave(b) * 32 + octave(a - b)) * 4 + n,
                4096 + (((min(w1, 3) * 4 + min(u, 3)) * 4 + min(beyond, 3)) * 4 + min(w2, 3)) * 4 + min(v, 3),
                5120 + ((close(s0) * 4 + close(s1)) * 4 + n) * 16 + min(scale >> 2, 15),
                6144
                + (min(self.energy[p].bit_length(), 15) * 16 + min((e >> 8).bit_length(), 15)) * 8
                + min(w1 + u + beyond, 7),
            )
            while more and d < 8:
                more = reader.mixed(d, contexts, t, scale)
                d += more
            if more:
                x = 0
                while reader.counted(reader.of["exponents"][scale >> 2], x, 255):
                    x += 1
                    assert x < 26
                d = 7 + (1 << x) + reader.bits(x)
        down = 0
        if d > 0:
            down = reader.bits(1) if mode == 0 else reader.counted(reader.of["signs"][t], level, 255)
        return d, -d if down else d


def decode(data, shapes, tables, kinds, state):
    reader, made, coarser = Reader(data, state), [], []
    for shape, table, kind in zip(shapes, tables, kinds, strict=True):
        part = Part(reader, shape, table, coarser, kind)
        made.append(part.symbols)
        coarser = part.rows[part.coarser :]
    assert reader.bits(8) == 0 and len(data) <= reader.read and (not data or data[-1])
    return made


def same(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


SHAPES = [
    [(6, 61)],
    [(6, 7, 9)],
    [(7, 3, 5, 4)],
    [(6, 2, 3, 2, 4)],
    [(6, 1, 1, 5)],
    [(3, 7), (4, 7), (3, 13)],
    [(3, 1, 3), (4, 2, 5), (8, 2, 10)],
    [(3, 2, 3, 2), (4, 3, 5, 4)],
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [0.05, 2.0, 700.0])
def test_a_decoder_by_the_document_gives_the_symbols(shapes, scale):
    def parts(seed):
        return [signal(seed, shape, scale) for shape in shapes]

    rows, axes = [shape[0] for shape in shapes], len(shapes[0]) - 1
    symbols, state = parts(1), fresh()
    generic = [generic_tables(n, axes, outer) for n, outer in zip(rows, [0, *rows], strict=False)]
    for tables in (generic, fit_parts([parts(seed) for seed in (2, 3)], rows, axes)):
        encoder = SmallEncoder(shapes, tables, kinds_of(rows, 1), state)
        for part in symbols:
            encoder.put(part)
        data = encoder.finish()
        assert same(decode(data, shapes, tables, kinds(rows, 1), state), symbols)
        state = careful(encoder.state)  # a second time from what was learnt
        encoder = SmallEncoder(shapes, tables, kinds_of(rows, 1), state)
        chosen = [encoder.add(part.astype(np.float32) * np.float32(0.37)) for part in symbols]
        data = encoder.finish()
        assert same(decode(data, shapes, tables, kinds(rows, 1), state), chosen)
        decoder = SmallDecoder(data, shapes, tables, kinds_of(rows, 1), state, "x")
        assert same([decoder.next() for _ in shapes], chosen)


def test_nothing_at_all_is_no_bytes_by_the_document():
    shapes, tables = [(3, 2, 2)], [generic_tables(3, 2)]
    state = fresh()._replace(heads=np.zeros((64, 16), np.uint32))  # sure of 0
    encoder = SmallEncoder(shapes, tables, kinds_of([3], 1), state)
    encoder.put(np.zeros((3, 2, 2), np.int32))
    assert decode(encoder.finish(), shapes, tables, kinds([3], 1), state)[0].tolist() == [[[0, 0], [0, 0]]] * 3


@pytest.mark.parametrize("rows", [[1], [64], [200], [3, 9, 60], [1, 3, 3, 63], [2] * 40, [4096, 1]])
def test_kinds_by_the_document_are_ours(rows):
    for components in (1, 3):
        assert [found.tolist() for found in kinds_of(rows, components)] == kinds(rows, components)


def test_numbers_and_the_state_are_those_of_the_page():
    number = b"".join(
        int(v).to_bytes(2, "little", signed=v < 0) for v in (*(LOGISTIC[i] for i in range(-2048, 2048)), *LOGIT, *RATE)
    )
    assert len(number) == 2 * 8448 and f"`{hashlib.sha256(number).hexdigest()}`" in PAGE
    rows = re.findall(r"^\| `(\w+)` \| (u?int32) `\[([\d, ]+)\]` \|.*\| ([^|]+) \|$", PAGE, re.MULTILINE)
    state = fresh()._asdict()
    assert [name for name, *_ in rows] == list(Mixing._fields)
    for name, dtype, shape, begin in rows:
        assert state[name].dtype == dtype and list(state[name].shape) == [int(n) for n in shape.split(",")]
        if begin == "2^31":
            assert (state[name] == 1 << 31).all()
    assert state["by_magnitude"].tolist() == state["by_kind"].tolist() == [[26214] * 4 + [0]] * 512
    line = [LOGISTIC[128 * (n - 16)] for n in range(32)] + [65504]
    assert state["corrections"].tolist() == [line] * 512


def test_the_digest_is_that_of_the_page():
    tables, states = [generic_tables(2, 1)], [fresh(), fresh()._replace(signs=np.full((64, 4), 5, np.uint32))]

    def digest(state):
        found = hashlib.sha256()
        for name, array in sorted(state._asdict().items()):
            found.update(name.encode() + str(list(array.shape)).encode() + array.tobytes())
        return found.hexdigest()

    row = tables_digest(tables) + "".join(map(digest, states))
    assert mixing_digest(tables_digest(tables), states) == hashlib.sha256(row.encode()).hexdigest()
    assert mixing_digest(tables_digest(tables), states) != mixing_digest(tables_digest(tables), states[::-1])
