"""Chunks of symbols to bytes and back: anything comes back, no damage does harm, the same bytes everywhere."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from liveaction.coding.entropy import HEAD, LARGEST, STATE_BOTTOM, ideal_bits
from liveaction.coding.fast import decode_chunk, encode_chunk
from liveaction.coding.fit import fit_tables
from liveaction.coding.tables import generic_tables
from liveaction.errors import FormatError

MOST = LARGEST - 1
EXTREMES = [-MOST, MOST, -(2**15) - 1, 2**15, -129, -128, 127, 128, -17, -16, 16, 17, -1, 0, 1]
SHAPES = st.lists(st.integers(1, 7), min_size=2, max_size=5).map(tuple)
VALUES = st.one_of(
    st.integers(-MOST, MOST), st.sampled_from(EXTREMES), st.integers(-3, 3), st.just(0), st.integers(-70, 70)
)
SYMBOLS = SHAPES.flatmap(lambda shape: arrays(np.int32, shape, elements=VALUES, fill=st.sampled_from(EXTREMES)))

tables_of = lru_cache(generic_tables)


def waves(seed, shape, scale=3.0):
    """Symbols whose size changes slowly along the last axis."""
    rng = np.random.default_rng(seed)
    size = 1.05 + np.sin(np.arange(shape[-1]) / 5)
    return np.rint(scale * rng.laplace(size=shape) * size).astype(np.int32)


def encode(symbols, tables):
    return encode_chunk([symbols], [tables])


def decode(data, shape, tables, where):
    return decode_chunk(data, [shape], [tables], where)[0]


def promised(symbols, tables):
    return ideal_bits([symbols], [tables])


def back(symbols, tables=None):
    tables = tables or tables_of(symbols.shape[0], symbols.ndim - 1)
    return decode(encode(symbols, tables), symbols.shape, tables, "here")


@given(SYMBOLS)
@settings(deadline=None, max_examples=150)
def test_any_symbols_come_back(symbols):
    found = back(symbols)
    assert found.dtype == np.int32 and found.shape == symbols.shape and np.array_equal(found, symbols)


@given(SHAPES, st.sampled_from(EXTREMES) | st.integers(-MOST, MOST))
@settings(deadline=None, max_examples=60)
def test_one_value_everywhere_comes_back(shape, value):
    assert (back(np.full(shape, value, np.int32)) == value).all()


@pytest.mark.parametrize(
    "shape", [(3, 1), (1, 1, 1, 1, 1), (200, 1, 1), (2, 4096), (1, 1, 63, 1), (3, 65, 63)], ids=str
)
@pytest.mark.parametrize("scale", [0.02, 1.0, 300.0])
def test_shapes_at_the_edges(shape, scale):
    symbols = waves(1, shape, scale)
    assert np.array_equal(back(symbols), symbols)


@pytest.mark.parametrize("value", EXTREMES)
def test_every_extreme_alone_among_zeros_escapes(value):
    symbols = np.zeros((2, 9, 11), np.int32)
    symbols[1, 4, 5] = value
    assert np.array_equal(back(symbols), symbols)


def test_tables_of_other_data_lose_nothing_but_bytes():
    fitted = fit_tables([waves(seed, (4, 16, 16), 0.2) for seed in range(3)], 4, 2)
    for scale in (0.0, 1.0, 1e3, 1e6):
        symbols = np.clip(waves(7, (4, 16, 16), scale), -MOST, MOST)
        assert np.array_equal(back(symbols, fitted), symbols)


def test_strides_and_wider_integers_give_the_same_bytes():
    symbols = waves(0, (3, 8, 10))
    tables = tables_of(3, 2)
    wide = np.zeros((3, 8, 20), np.int32)
    wide[..., ::2] = symbols
    frozen = symbols.copy()
    frozen.flags.writeable = False
    for same in (np.asfortranarray(symbols), wide[..., ::2], symbols.astype(np.int64), frozen):
        assert encode(same, tables) == encode(symbols, tables)


def test_threads_give_the_same_bytes_and_symbols():
    tables = generic_tables(4, 3)
    chunks = [waves(seed, (4, 7, 8, 9), 1 + seed) for seed in range(16)]
    alone = [encode(chunk, tables) for chunk in chunks]
    with ThreadPoolExecutor(4) as pool:
        coded = list(pool.map(lambda chunk: encode(chunk, tables), chunks))
        found = list(pool.map(lambda data: decode(data, (4, 7, 8, 9), tables, "here"), coded))
    assert coded == alone and all(np.array_equal(a, b) for a, b in zip(found, chunks, strict=True))


def test_zeros_cost_next_to_nothing():
    assert len(encode(np.zeros((64, 16, 16, 16), np.int32), tables_of(64, 3))) <= 11
    symbols = np.zeros((65, 16, 16), np.int32)
    symbols[0] = waves(0, (16, 16))
    more = promised(symbols, tables_of(65, 2)) - promised(symbols[:1], tables_of(1, 2))
    assert more < 64 * 0.5


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_a_constant_costs_next_to_nothing(axes):
    chunk = np.full((1, *(4096, 64, 16, 8)[axes - 1 : axes] * axes), -3701, np.int32)
    assert len(encode(chunk, tables_of(1, axes))) <= 15


def test_bytes_are_as_many_as_the_tables_promise():
    for seed, scale in enumerate((0.1, 1.0, 30.0)):
        chunk = waves(seed, (8, 64, 64), scale)
        bits, ideal = 8 * len(encode(chunk, tables_of(8, 2))), promised(chunk, tables_of(8, 2))
        assert ideal < bits < 1.001 * ideal + 64


def test_contexts_beat_the_chunks_own_order_0_entropy():
    chunk = waves(3, (4, 64, 64))
    own = 0.0
    for channel in chunk:
        share = np.unique(channel, return_counts=True)[1] / channel.size
        own -= channel.size * float((share * np.log2(share)).sum())
    assert promised(chunk, tables_of(4, 2)) < 0.98 * own


def test_tables_fitted_to_other_signals_stay_good():
    fitted = fit_tables([waves(seed, (4, 32, 32), 0.1) for seed in range(4)], 4, 2)
    chunk = np.cumsum(waves(5, (4, 32, 32), 1.0), -1, dtype=np.int32)
    assert promised(chunk, fitted) < 1.2 * promised(chunk, tables_of(4, 2))


def golden():
    rng = np.random.default_rng(20)
    symbols = np.rint(rng.laplace(size=(3, 4, 5, 6)) * 2).astype(np.int32)
    symbols[1] = 0
    symbols[2] += np.arange(6, dtype=np.int32) * 40
    symbols[0, 0, 0, 0] = -MOST
    return symbols


GOLDEN = (
    "a9f1fc9408ee1b92abfbffc5dfe3fffcfffefffa0df401e400fefffffffe0df01b0202fcfffffffffffd05f0055f11ffffff"
    "ffff07ff07f525c104ffffffffffffff03ff01fc0d3f02ffffffffff01ff05f10f7f10ffffffffff05f0052c02fffffffffe"
    "0304060100020000000400f0ff06060000010001000600f8ff531a0200000002000a000200f3ff00000800070004000000fb"
    "ffff05ff05f80b000af7fffffff00500080400000008000e00000000001300020000000000030002000200000003000000f0"
    "ff00020400000002000300f4ff7f04ffffffffff05ff05f00f0d0af0ff030005000300000001000800020000000600040004"
    "0002000200020007000c000000f0ff010202000d0000000100faddd65b3c9633fa089297b3999c519470b55e6ce735f1c1ae"
    "8f95be1a7598cd3f94a60705a15bafca7df7773548fa65b8fae9ba394c8918f6bc57a7ff4b0e947a0863abb199ac2ec956f2"
    "7ef35caa667381014a"
)


def test_the_bytes_of_a_chunk_never_change():
    assert encode(golden(), generic_tables(3, 3)).hex() == GOLDEN
    assert np.array_equal(decode(bytes.fromhex(GOLDEN), (3, 4, 5, 6), generic_tables(3, 3), "here"), golden())


@given(SYMBOLS, st.data())
@settings(deadline=None, max_examples=60)
def test_no_truncation_and_no_addition_is_taken(symbols, data):
    tables = tables_of(symbols.shape[0], symbols.ndim - 1)
    coded = encode(symbols, tables)
    cut = coded[: data.draw(st.integers(0, len(coded) - 1))]
    for other in (cut, coded + b"\0", coded + b"\0\0"):
        with pytest.raises(FormatError):
            decode(other, symbols.shape, tables, "here")


@given(SYMBOLS, st.data())
@settings(deadline=None, max_examples=150)
def test_damage_gives_the_right_shape_or_a_format_error(symbols, data):
    tables = tables_of(symbols.shape[0], symbols.ndim - 1)
    coded = bytearray(encode(symbols, tables))
    for _ in range(data.draw(st.integers(1, 3))):
        coded[data.draw(st.integers(0, len(coded) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(FormatError):
        found = decode(bytes(coded), symbols.shape, tables, "here")
        assert found.shape == symbols.shape and abs(found).max() < LARGEST


@given(st.binary(max_size=200), SHAPES)
@settings(deadline=None, max_examples=150)
def test_arbitrary_bytes_give_the_right_shape_or_a_format_error(data, shape):
    with contextlib.suppress(FormatError):
        assert decode(data, shape, tables_of(shape[0], len(shape) - 1), "here").shape == shape


def test_other_shapes_than_the_coded_one_are_refused_or_noticed():
    tables = tables_of(4, 2)
    coded = encode(waves(0, (4, 16, 16)), tables)
    for shape in [(3, 16, 16), (4, 16), (4, 16, 16, 1), (4, 0, 16), (4, 1 << 20, 1 << 20), (4, 15, 16), (4, 16, 17)]:
        with pytest.raises(FormatError, match=r"^here: expected"):
            decode(coded, shape, tables, "here")


def test_what_each_refusal_says():
    tables = tables_of(2, 1)
    coded = encode(waves(0, (2, 400)), tables)
    empty = STATE_BOTTOM.to_bytes(HEAD, "little")
    for data, words in [
        (b"", "expected 5 bytes and an even number more, got 0"),
        (coded[:-1], "expected 5 bytes and an even number more, got"),
        (bytes(5), "expected a state from 2\\*\\*24 on, got 0; the data are damaged"),
        (coded[:-2], r"expected \d+ or more words of symbols, got \d+; the data are damaged"),
        (coded + b"ab", r"expected \d+ words of symbols, got \d+; the data are damaged"),
        (empty + b"", r"expected .*; the data are damaged"),
    ]:
        with pytest.raises(FormatError, match=f"^here: {words}"):
            decode(data, (2, 400), tables, "here")
    with pytest.raises(FormatError, match=r"here: expected at most 16384 positions in a chunk, got 16385"):
        decode(coded, (2, 16385), tables, "here")
    with pytest.raises(FormatError, match=r"here: expected 2 channels and 1 axes, got \(2, 4, 100\)"):
        decode(coded, (2, 4, 100), tables, "here")


@pytest.mark.parametrize("value", [LARGEST, -LARGEST, 2**31 - 1, -(2**31)])
def test_symbols_that_are_too_large_are_refused(value):
    with pytest.raises(FormatError, match=r"symbols: expected sizes below 2\*\*24, got \d+; take a greater"):
        encode(np.array([[0, value]], np.int32), tables_of(1, 1))
