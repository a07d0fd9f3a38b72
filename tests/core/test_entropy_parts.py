"""Chunks of several parts, and tables for other numbers of components than they were fitted to."""

import contextlib
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveaction.coding.entropy import LARGEST, ideal_bits, trace_chunk
from liveaction.coding.fast import decode_chunk, encode_chunk
from liveaction.coding.fit import fit_parts, fit_tables, for_rows
from liveaction.coding.layout import raised
from liveaction.coding.tables import EntropyTables, generic_tables, tables_digest
from liveaction.errors import FormatError

SHAPES = [
    [(1, 1), (2, 1), (3, 2)],
    [(2, 7), (3, 13), (5, 26)],
    [(3, 4, 1), (6, 7, 1), (2, 7, 2)],
    [(4, 2, 3, 3), (7, 4, 5, 6)],
    [(2, 63), (3, 63), (2, 125)],
    [(1, 1, 1, 1, 1), (5, 2, 1, 2, 1), (3, 3, 2, 4, 1)],
]


generic = lru_cache(generic_tables)


def tables_of(shapes):
    outers = (0, *(shape[0] for shape in shapes[:-1]))
    return tuple(generic(shape[0], len(shape) - 1, outer) for shape, outer in zip(shapes, outers, strict=True))


def parts_of(seed, shapes, scale):
    """Parts that are busy at the same places: the right half ten times as much as the left."""
    rng = np.random.default_rng(seed)
    made = []
    for shape in shapes:
        size = np.where(np.arange(shape[-1]) >= shape[-1] / 2, scale, scale / 10)
        made.append(np.rint(rng.laplace(size=shape) * size).astype(np.int32))
    return made


def same(found, parts):
    return len(found) == len(parts) and all(np.array_equal(a, b) for a, b in zip(found, parts, strict=True))


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [0.0, 0.2, 3.0, 1e5])
def test_parts_come_back(shapes, scale):
    parts = parts_of(0, shapes, scale)
    channels, axes = [shape[0] for shape in shapes], len(shapes[0]) - 1
    for tables in (tables_of(shapes), fit_parts([parts_of(seed, shapes, 2.0) for seed in (1, 2)], channels, axes)):
        data = encode_chunk(parts, tables)
        found = decode_chunk(data, shapes, tables, "here")
        assert same(found, parts) and [part.dtype for part in found] == [np.int32] * len(parts)
        assert 8 * len(data) < 1.01 * ideal_bits(parts, tables) + 64


def test_a_position_looks_at_the_half_of_its_indices_on_axes_that_grew():
    assert raised((2, 3, 1), (4, 3, 1)).tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]
    assert raised((4,), (7,)).tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert raised((3,), (4,)).tolist() == [0, 0, 1, 1]


def test_the_coarser_part_tells_where_the_finer_one_is_busy():
    rng = np.random.default_rng(0)

    def example():
        busy = np.exp(2 * rng.normal(size=(16, 16)))
        wide = busy.repeat(2, 0).repeat(2, 1)
        return [np.rint(rng.laplace(size=(2, *b.shape)) * b).astype(np.int32) for b in (busy, wide)]

    tables = fit_parts([example() for _ in range(8)], (2, 2), 2)
    assert (tables[1].sources[0] >= 0).any() and tables[1].sources[0].max() < 2 == tables[1].outer
    alone = fit_tables([example()[1] for _ in range(8)], 2, 2)
    chunk = example()
    together = ideal_bits(chunk, tables) - ideal_bits(chunk[:1], tables[:1])
    assert together < 0.95 * ideal_bits(chunk[1:], [alone])


def test_an_empty_coarser_part_counts_as_even():
    shapes = SHAPES[3]
    zeros = [np.zeros(shapes[0], np.int32), parts_of(0, shapes, 2.0)[1]]
    tables = tables_of(shapes)
    lone = EntropyTables.from_arrays(
        {**tables[1].arrays(), "outer": np.array([4], np.uint16), "sources": np.full((7, 4), -1, np.int16)}, "here"
    )
    first = [trace_chunk(zeros, (tables[0], table))[1].contexts for table in (tables[1], lone)]
    assert np.array_equal(first[0][: 4 * 5 * 6], first[1][: 4 * 5 * 6])  # of the channel that has coarser sources alone


def test_what_each_refusal_says():
    shapes, parts = SHAPES[3], parts_of(0, SHAPES[3], 2.0)
    tables = tables_of(shapes)
    data = encode_chunk(parts, tables)
    for other, words in [
        (shapes[:1], "expected a chunk of 2 parts, got 1"),
        ([], "expected a chunk of 2 parts, got 0"),
        (
            [shapes[0], (7, 5, 5, 6)],
            r"expected axes as long as in the coarser part or .*, got \(5, 5, 6\)",
        ),
        (
            [shapes[0], (7, 1, 5, 6)],
            r"expected axes as long as in the coarser part or .*, got \(1, 5, 6\)",
        ),
        ([shapes[0], (6, 4, 5, 6)], "expected 7 channels and 3 axes, got"),
        ([shapes[0], (7, 4, 5)], "expected 7 channels and 3 axes, got"),
    ]:
        with pytest.raises(FormatError, match=f"^here: {words}"):
            decode_chunk(data, other, tables, "here")
    with pytest.raises(FormatError, match=r"^here: expected 0 channels in the coarser part, got 4"):
        decode_chunk(data, shapes, (tables[0], generic_tables(7, 3)), "here")
    with pytest.raises(FormatError, match=r"^symbols: expected sizes below"):
        encode_chunk([parts[0], np.full(shapes[1], LARGEST, np.int32)], tables)


@given(st.sampled_from(SHAPES), st.integers(0, 99), st.data())
@settings(deadline=None, max_examples=100)
def test_damage_and_truncation_do_no_harm(shapes, seed, data):
    tables = tables_of(shapes)
    coded = bytearray(encode_chunk(parts_of(seed, shapes, 2.0), tables))
    with pytest.raises(FormatError):
        decode_chunk(bytes(coded[: data.draw(st.integers(0, len(coded) - 1))]), shapes, tables, "here")
    for _ in range(data.draw(st.integers(1, 3))):
        coded[data.draw(st.integers(0, len(coded) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(FormatError):
        found = decode_chunk(bytes(coded), shapes, tables, "here")
        assert [part.shape for part in found] == shapes


@given(st.binary(max_size=200), st.sampled_from(SHAPES))
@settings(deadline=None, max_examples=100)
def test_arbitrary_bytes_give_the_right_shapes_or_a_format_error(data, shapes):
    with contextlib.suppress(FormatError):
        assert [part.shape for part in decode_chunk(data, shapes, tables_of(shapes), "here")] == shapes


def components(seed, count, side=8, bands=(2, 3)):
    """Component-major parts; every component is busy where the first is."""
    rng = np.random.default_rng(seed)
    busy = np.exp(rng.normal(size=(side, side)))
    wide = busy.repeat(2, 0).repeat(2, 1)
    return [
        np.rint(rng.laplace(size=(count * n, *b.shape)) * 2 * b).astype(np.int32)
        for n, b in zip(bands, (busy, wide), strict=True)
    ]


@pytest.fixture(scope="module")
def fitted():
    """Tables of three components, two rows coarse and three fine, fitted to signals of one to three."""
    return fit_parts([components(seed, 1 + seed % 3) for seed in range(12)], (6, 9), 2, (6, 0))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_any_number_of_components(fitted, count):
    chunk = components(50 + count, count)
    tables = [table.for_components(count, bands) for table, bands in zip(fitted, (2, 3), strict=True)]
    assert [table.channels for table in tables] == [2 * count, 3 * count] and tables[1].outer == 2 * count
    assert same(decode_chunk(encode_chunk(chunk, tables), [part.shape for part in chunk], tables, "here"), chunk)
    assert ideal_bits(chunk, tables) < ideal_bits(chunk, tables_of([part.shape for part in chunk]))
    assert tables[0].for_components(count, 2) is tables[0]
    assert fitted[0].for_components(count, 2) is tables[0]
    for table in tables:
        known = table.outer + np.arange(table.channels)[:, None]
        assert ((table.sources >= -1) & (table.sources < known)).all()


def test_sources_beyond_the_known_components_move_on(fitted):
    tables = fitted[1].for_components(5, 3)
    known = fitted[1].sources.astype(int)
    for extra in (1, 2):
        for old, new in zip(known[6:9], tables.sources[6 + 3 * extra : 9 + 3 * extra].astype(int), strict=True):
            coarse = np.where(old < 6, old + 2 * extra, old - 6 + 3 * extra + 10)
            assert np.array_equal(new, np.where(old < 0, -1, coarse))
    assert np.array_equal(tables.activity[9:12], fitted[1].activity[6:9])
    own = fitted[1].for_components(1, 3).sources
    assert np.array_equal(own, np.where(known[:3] >= 6, known[:3] - 4, np.where(known[:3] < 2, known[:3], -1)))


def test_fewer_rows_are_what_the_same_number_of_components_is(fitted):
    chunk = components(9, 2)
    first = for_rows(fitted, chunk)
    others = [table.for_components(2, bands) for table, bands in zip(fitted, (2, 3), strict=True)]
    assert encode_chunk(chunk, first) == encode_chunk(chunk, others)


def test_rows_that_an_example_lacks_count_nowhere():
    chunks = [components(seed, 2)[1] for seed in range(4)]
    full = fit_tables(chunks, 6, 2)
    wider = fit_tables(chunks, 9, 2)
    for name in ("predict", "sources", "class_offset", "modes"):
        assert np.array_equal(wider.arrays()[name][:6], full.arrays()[name])
    assert np.array_equal(wider.classes, full.classes)
    start = generic(9, 2)
    assert np.array_equal(wider.predict[6:], start.predict[6:]) and (wider.modes[6:] == start.modes[6:]).all()


def test_rows_that_are_not_predicted_have_no_predictor(fitted):
    assert fitted[0].predict.any(1).all() and not fitted[1].predict.any()
    chunk = components(3, 3)
    chunk[1] += 40  # which the search for a predictor would have found
    assert not trace_chunk(chunk, fitted)[1].taken.any()
    assert same(decode_chunk(encode_chunk(chunk, fitted), [part.shape for part in chunk], fitted, "here"), chunk)


def test_predictors_are_counted_in_each_component():
    tables = fit_parts([components(seed, 3) for seed in range(3)], (6, 9), 2, (2, 1), 3)
    assert tables[0].predict.any(1).all()
    assert tables[1].predict.any(1).tolist() == [True, False, False] * 3


def test_tables_of_parts_come_back_from_their_arrays_and_have_a_digest(fitted):
    for table in fitted:
        back = EntropyTables.from_arrays(table.arrays(), "here")
        assert back.digest == table.digest and back.outer == table.outer
    assert tables_digest(fitted[:1]) == fitted[0].digest and "outer" not in fitted[0].arrays()
    assert len({tables_digest(fitted), tables_digest(fitted[::-1]), *(table.digest for table in fitted)}) == 4
    for outer in (np.array([0], np.uint16), np.array([6], np.int64), np.array([32760], np.uint16), np.array(6)):
        with pytest.raises(FormatError, match=r"^here: expected outer as one uint16 from 1 to 32759, got"):
            EntropyTables.from_arrays({**fitted[1].arrays(), "outer": outer}, "here")
