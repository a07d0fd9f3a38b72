"""docs/entropy.md as a plain Python decoder, which must give what the compiled one gives."""

from itertools import product
from math import isqrt

import numpy as np
import pytest

from liveaction.coding.fast import FastEncoder, encode_chunk
from liveaction.coding.fit import fit_parts, fit_tables
from liveaction.coding.layout import neighbours as ours
from liveaction.coding.tables import generic_tables

START, STEP = 1 << 24, 1 << 16


class Reader:
    """The state and the words."""

    def __init__(self, data):
        self.x = int.from_bytes(data[:5], "little")
        self.words = [int.from_bytes(data[i : i + 2], "little") for i in range(5, len(data), 2)]

    def take(self, start, frequency):
        self.x = frequency * (self.x >> 16) + (self.x & 65535) - start
        if self.x < START:
            self.x = self.x << 16 | self.words.pop(0)

    def entry(self, row):
        t, start = 0, 0
        while start + row[t] <= self.x & 65535:
            start += row[t]
            t += 1
        self.take(start, row[t])
        return t

    def bits(self, n):
        high = 0
        if n > 12:
            high = (self.x & 65535) >> (28 - n)
            self.take(high << (28 - n), 1 << (28 - n))
            n = 12
        low = (self.x & 65535) >> (16 - n)
        self.take(low << (16 - n), 1 << (16 - n))
        return high << 12 | low

    def value(self, row):
        t = self.entry(row)
        if t == 116:
            t = self.bits(7)
        if t < 32:
            return t
        n = 3 + (t - 32) // 4
        return (4 + ((t - 32) & 3)) << n | self.bits(n)


def neighbours(axes):
    zero = (0,) * axes
    first = [(*zero[1:], -1), (*zero[1:], -2)]
    near = [o for o in product((-1, 0, 1), repeat=axes) if o < zero and sum(map(bool, o)) in (1, 2)]
    far = [tuple(-2 * (i == axis) for i in range(axes)) for axis in range(axes - 1)]
    rest = [o for o in near if o not in first] + far
    return first + [o for o in rest if not any(o[:-2])] + [o for o in rest if any(o[:-2])]


def signed(v):
    return (v + 1) // 2 if v % 2 else -(v // 2)


def clamp(v, least, most):
    return min(max(v, least), most)


def quarters(v):
    if v >= 4096:
        return quarters(v >> 6) + 24
    e = v.bit_length() - 1
    return 4 * e + ((4 * v >> e) & 3)


def root(doubled):
    """floor(2**(doubled / 2))."""
    return isqrt(1 << doubled) if doubled >= 0 else 0


def normalised(r, k):
    return min(min(abs(r), root(k - 26 + 12) + 1) * root(26 - k + 60) >> 24, 4096)


def predictor(t, c, mode, axes, offsets):
    if mode == 1:
        return t["predict"][c]
    weights = [0] * len(offsets)
    for axis in range(axes) if mode else ():
        at = offsets.index(tuple(-(i == axis) for i in range(axes)))
        weights[at] = 256 * (axis + 1) // axes - 256 * axis // axes if mode == 2 else 256 * (mode == 3 + axis)
    return weights


def heads(reader, t):
    found, before = [], 78
    for c, offset in enumerate(t["class_offset"]):
        k = before = reader.entry(t["classes"][before if before in (0, 78) else clamp(before + offset, 1, 77)])
        mode, border = reader.entry(t["modes"][c][0 if k == 0 else 1]), 0
        if mode:
            n = reader.bits(5)
            border = signed((1 << (n - 1)) + (reader.bits(n - 1) if n > 1 else 0)) if n else 0
        found.append((k, mode, border))
    return found


def decode(data, shapes, tables):
    reader, made, before = Reader(data), [], None
    for shape, table in zip(shapes, tables, strict=True):
        part, before = decode_part(reader, shape, table, before)
        made.append(part)
    assert reader.x == START and not reader.words
    return made


class Magnitudes:
    """m of one channel, {} for one of class 0, on the grid ``shape``."""

    def __init__(self, m, shape):
        self.m, self.shape = m, shape
        axes = range(len(shape))
        self.next_to = [tuple(sign * (i == axis) for i in axes) for axis in axes for sign in (-1, 1)]

    def at(self, p, shape):
        """At the position that p of ``shape`` lies in; and around it."""
        q = tuple(min(x // 2 if n > m else x, m - 1) for x, n, m in zip(p, shape, self.shape, strict=True))
        ring = [tuple(a + b for a, b in zip(q, o, strict=True)) for o in self.next_to]
        return self.m.get(q, 64), sum(self.m.get(r, 64) for r in ring)


def decode_part(reader, shape, tables, before):
    """Symbols of a part, and the magnitudes of its channels; ``before`` are those of the coarser part."""
    t = {name: array.tolist() for name, array in tables.arrays().items()}
    axes, grid = len(shape) - 1, shape[1:]
    offsets = neighbours(axes)
    rows = list(before or [])
    assert t.get("outer", [0]) == [len(rows)]
    count, channels = len(offsets), []
    for c, (k, mode, border) in enumerate(heads(reader, t)):
        s, m = {}, {}
        weights, near = predictor(t, c, mode, axes, offsets), t["activity"][c]
        for p in np.ndindex(*grid):
            around = [tuple(a + b for a, b in zip(p, o, strict=True)) for o in offsets]
            total = sum(w * s.get(q, border) for w, q in zip(weights, around, strict=True))
            total = (total + (1 << 31)) % (1 << 32) - (1 << 31)
            whole = (total + 128) >> 8
            rest, r = total - 256 * whole, 0
            if k:
                active = sum(near[j] * m.get(q, 64) for j, q in enumerate(around)) + 64 * near[count]
                for i, source in enumerate(t["sources"][c]):
                    one, ring = rows[source].at(p, grid) if source >= 0 else (64, 2 * axes * 64)
                    active += near[count + 1 + 2 * i] * one + near[count + 2 + 2 * i] * ring
                scale = clamp(quarters(clamp(active >> 6, 1, (1 << 18) - 1)) + 2 * (k - 26), 0, 127)
                r = signed(reader.value(t["residuals"][4 * scale + min(abs(rest) >> 5, 3)])) * (-1 if rest < 0 else 1)
                m[p] = normalised(r, k)
            s[p] = whole + r
        channels.append([s[p] for p in np.ndindex(*grid)])
        rows.append(Magnitudes(m, grid))
    return np.array(channels, np.int32).reshape(shape), rows[len(before or []) :]


def signal(seed, shape, scale):
    """A smooth first channel, a constant one, one of zeros, and noise with something enormous in it."""
    rng = np.random.default_rng(seed)
    symbols = np.rint(rng.laplace(size=shape) * scale * (1 + np.arange(shape[-1]))).astype(np.int32)
    symbols[0] = np.rint(np.cumsum(symbols[0], -1) / 4) + 300
    symbols[1], symbols[2] = -77, 0
    symbols[-1].flat[0] = -(2**23) - 5
    return symbols


@pytest.mark.parametrize("shape", [(6, 61), (6, 7, 9), (7, 3, 5, 4), (6, 2, 3, 2, 4), (6, 1, 1, 5)], ids=str)
@pytest.mark.parametrize("scale", [0.05, 2.0, 700.0])
def test_a_decoder_by_the_document_gives_the_symbols(shape, scale):
    symbols, axes = signal(1, shape, scale), len(shape) - 1
    assert tuple(neighbours(axes)) == ours(axes)
    fitted = fit_tables([signal(seed, shape, scale) for seed in (2, 3)], shape[0], axes)
    for tables in (generic_tables(shape[0], axes), fitted):
        assert np.array_equal(decode(encode_chunk([symbols], [tables]), [shape], [tables])[0], symbols)


@pytest.mark.parametrize(
    "shapes",
    [[(3, 7), (4, 7), (3, 13)], [(3, 1, 3), (4, 2, 5), (3, 2, 10)], [(3, 2, 3, 2), (4, 3, 5, 4)]],
    ids=str,
)
def test_a_decoder_by_the_document_gives_the_parts(shapes):
    def parts(seed, rows):
        return [signal(seed, (n, *shape[1:]), 3.0) for n, shape in zip(rows, shapes, strict=True)]

    rows, axes = [shape[0] for shape in shapes], len(shapes[0]) - 1
    symbols = parts(1, rows)
    generic = [generic_tables(n, axes, outer) for n, outer in zip(rows, [0, *rows], strict=False)]
    fitted = fit_parts([parts(seed, rows) for seed in (2, 3)], rows, axes)
    latents = [part.astype(np.float32) * np.float32(0.37) for part in symbols]
    for tables in (generic, fitted):
        found = decode(encode_chunk(symbols, tables), shapes, tables)
        assert all(np.array_equal(a, b) for a, b in zip(found, symbols, strict=True))
        coder = FastEncoder([part.shape for part in latents], tables)
        chosen = [coder.add(part) for part in latents]
        found = decode(coder.finish(), shapes, tables)
        assert all(np.array_equal(a, b) for a, b in zip(found, chosen, strict=True))


def components(table, count, bands):
    """Tables of so many components, as plain arrays by the document; n is ``bands``."""
    t = {name: array.astype(int) for name, array in table.arrays().items()}
    known, outer = table.channels // bands, int(t.get("outer", [0])[0])
    coarse = outer // known
    of_rows = ("predict", "activity", "sources", "class_offset", "modes")
    made = {name: [] for name in of_rows}
    for i, b in product(range(count), range(bands)):
        for name in of_rows:
            made[name].append(t[name][min(i, known - 1) * bands + b].tolist())
        d = max(i - (known - 1), 0)
        moved = [s + d * coarse if s < outer else s - outer + d * bands + count * coarse for s in made["sources"][-1]]
        gone = [0 <= s < outer and s + d * coarse >= count * coarse for s in made["sources"][-1]]
        lost = zip(made["sources"][-1], moved, gone, strict=True)
        made["sources"][-1] = [-1 if s < 0 or away else new for s, new, away in lost]
    return made


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_components_by_the_document_are_ours(count):
    rng = np.random.default_rng(0)
    chunks = [[rng.integers(-3, 4, (3 * n, 6, 6)).astype(np.int32) for n in (2, 4)] for _ in range(2)]
    for table, bands in zip(fit_parts(chunks, (6, 12), 2), (2, 4), strict=True):
        made = table.for_components(count, bands)
        assert made.outer == count * table.outer // 3
        for name, wanted in components(table, count, bands).items():
            assert getattr(made, name).tolist() == wanted
