"""The coder ``small``: symbols come back, whatever they are, and damage does no harm."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveaction.codec.chunk_coder import MOST_COMPONENTS
from liveaction.coding.entropy import LARGEST
from liveaction.coding.fast import encode_chunk
from liveaction.coding.fit import fit_parts
from liveaction.coding.mixing import CAREFUL, COUNT_MASK, Mixing, careful, fresh, kinds_of
from liveaction.coding.small import SmallDecoder, SmallEncoder, most_small
from liveaction.coding.tables import EntropyTables, generic_tables
from liveaction.errors import FormatError, SpecError
from tests.core.test_chunk_coder import coder, latents
from tests.core.test_entropy_parts import SHAPES, parts_of, same, tables_of

ALL = [*SHAPES, [(3, 1)], [(2, 4096)], [(5, 63, 65)], [(4, 7, 5, 9)], [(2, 3, 4, 5, 3)]]


@lru_cache(maxsize=1)
def new():
    return fresh()


def encoder_of(shapes, tables=None, state=None, **options):
    kinds = kinds_of([shape[0] for shape in shapes], 1)
    return SmallEncoder(shapes, tables or tables_of(shapes), kinds, state or new(), **options)


def put(parts, tables=None, state=None):
    encoder = encoder_of([part.shape for part in parts], tables, state)
    for part in parts:
        encoder.put(part)
    return encoder.finish()


def decoded(data, shapes, tables=None, state=None):
    kinds = kinds_of([shape[0] for shape in shapes], 1)
    decoder = SmallDecoder(data, shapes, tables or tables_of(shapes), kinds, state or new(), "here")
    parts = [decoder.next() for _ in shapes]
    decoder.finish()
    return parts


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@lru_cache
def learnt():
    """A state that coded some chunks of two axes."""
    state = new()
    for seed in range(4):
        encoder = encoder_of(SHAPES[1], state=state)
        for part in parts_of(seed, SHAPES[1], 2.0):
            encoder.put(part)
        state = encoder.state
    return careful(state)


@pytest.mark.parametrize("shapes", ALL, ids=str)
@pytest.mark.parametrize("scale", [0.0, 0.02, 0.5, 30.0, 1e6])
def test_symbols_come_back(shapes, scale):
    parts = parts_of(0, shapes, scale)
    for state in (new(), learnt()):
        data = put(parts, state=state)
        found = decoded(data, shapes, state=state)
        assert same(found, parts) and [part.dtype for part in found] == [np.int32] * len(parts)
        assert len(data) <= sum(most_small(shape[0], int(np.prod(shape[1:]))) for shape in shapes)


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [0.2, 3.0, 1e5])
@pytest.mark.parametrize("dead_zone", [None, 0.0, 0.3])
def test_what_is_chosen_is_what_is_decoded(shapes, scale, dead_zone):
    rows, axes = [shape[0] for shape in shapes], len(shapes[0]) - 1
    drawn = [np.asarray(part, np.float32) * np.float32(0.37) + 0.1 for part in parts_of(3, shapes, scale)]
    for part in drawn:
        part[0] = np.cumsum(part[0], -1) / 2 + 90  # is predicted, around a border value
    for tables in (tables_of(shapes), fit_parts([parts_of(seed, shapes, scale) for seed in (1, 2)], rows, axes)):
        encoder = encoder_of(shapes, tables, dead_zone=dead_zone)
        chosen = [encoder.add(part) for part in drawn]
        assert same(decoded(encoder.finish(), shapes, tables), chosen)
        most = 0.5 + dead_zone if dead_zone is not None else 2.5  # zero is tried in place of a 2
        assert all(np.abs(a - b).max() <= most + 1e-2 for a, b in zip(drawn, chosen, strict=True))


def test_strides_do_not_matter():
    (part,) = parts_of(0, [(4, 6, 10)], 2.0)
    whole = np.repeat(np.repeat(part, 2, 2), 2, 0)[::2, :, ::2]
    assert not whole.flags.c_contiguous and put([whole]) == put([part])
    one, two = encoder_of([part.shape]), encoder_of([part.shape])
    assert np.array_equal(one.add(whole.astype(np.float32)[:, :, :]), two.add(np.float32(0) + whole))
    assert one.finish() == two.finish()


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
@pytest.mark.parametrize("value", [LARGEST - 1, -(LARGEST - 1)])
def test_the_largest_symbols_come_back(axes, value):
    shape = (4, *(3, 2, 3, 2)[:axes])
    for pattern in ([value], [value, -value], [value, 0], [0, 0, 0, 0, value]):
        part = np.resize(np.array(pattern, np.int32), shape)
        assert np.array_equal(decoded(put([part]), [shape])[0], part)
    latent = np.full(shape, value, np.float32)
    encoder = encoder_of([shape])
    with pytest.raises(FormatError, match=r"^latents: expected sizes below 2\*\*24, got 16777215.0; take a greater"):
        encoder.add(latent)
    with pytest.raises(FormatError, match=r"^symbols: expected sizes below 2\*\*24, got 16777216; take a greater"):
        encoder.put(np.full(shape, LARGEST, np.int64))


def test_channels_without_symbols_and_flat_predicted_ones():
    shape = (6, 7, 9)
    part = np.zeros(shape, np.int32)
    part[2], part[4] = 50000, -3  # a predicted channel of class 0 is its border value
    part[5, 3, 4] = 1
    data = put([part], state=learnt())
    assert np.array_equal(decoded(data, [shape], state=learnt())[0], part) and len(data) < 40
    zeros = put([np.zeros(shape, np.int32)], state=learnt())
    assert len(zeros) < 6 and not decoded(zeros, [shape], state=learnt())[0].any()


def test_coding_does_not_change_the_state():
    shapes, state = SHAPES[2], careful(learnt())
    before = [array.copy() for array in state]
    parts = parts_of(0, shapes, 2.0)
    assert equal(decoded(put(parts, state=state), shapes, state=state), parts)
    assert equal(state, before)
    encoder = encoder_of(shapes, state=state)
    encoder.put(parts[0])
    assert not equal(encoder.state, before) and equal(state, before)


def test_the_state_that_is_left_makes_the_next_chunk_smaller():
    parts = parts_of(9, SHAPES[1], 2.0)
    assert len(put(parts, state=learnt())) < 0.95 * len(put(parts))
    counters = [array for array in learnt() if array.dtype == np.uint32]
    assert max(int((array & np.uint32(COUNT_MASK)).max()) for array in counters) == CAREFUL
    assert isinstance(learnt(), Mixing)


def test_fewer_bytes_than_of_the_fast_coder():
    rng = np.random.default_rng(0)

    def chunk():
        size = np.exp(np.cumsum(rng.normal(size=(32, 32)) / 4, 1))
        return [np.rint(rng.laplace(size=(8, 32, 32)) * size).astype(np.int32)]

    tables = fit_parts([chunk() for _ in range(8)], [8], 2)
    state = new()
    for _ in range(8):
        encoder = encoder_of([(8, 32, 32)], tables, state)
        encoder.put(chunk()[0])
        state = encoder.state
    symbols = [chunk() for _ in range(4)]
    small = sum(len(put(part, tables, careful(state))) for part in symbols)
    assert small < 0.995 * sum(len(encode_chunk(part, tables)) for part in symbols)


@pytest.mark.parametrize("components", [1, 3, MOST_COMPONENTS + 5])
@pytest.mark.parametrize("dead_zone", [None, 0.2])
def test_components_and_parts_of_a_chunk(components, dead_zone):
    made = coder(2, basis="own")
    x = latents(made, components, (7, 5))
    with pytest.raises(
        SpecError, match=r"^coder small: expected a state to start from, got none; liveaction freeze mak"
    ):
        made.encode(x, 0.5, dead_zone, "small")
    made.mixing = fresh()
    data = made.encode(x, 0.5, dead_zone, "small")
    back = made.decode(data, components, (7, 5), 0.5, "x", "small")
    most = 1.0 if dead_zone is None else 0.5 * (0.5 + dead_zone)
    pairs = zip(made.parts(x), made.parts(back), strict=True)
    assert all(np.abs(a - b).max() <= most + 1e-4 for a, b in pairs)
    assert data != made.encode(x, 0.5, dead_zone, "fast")
    with pytest.raises(FormatError, match=r"^x: "):
        made.decode(data[: len(data) // 2], components, (7, 5), 0.5, "x", "small")


def test_no_components_are_no_bytes():
    made = coder(2, basis="own")
    made.mixing = fresh()
    assert made.encode(np.zeros((0, 5, 7), np.float32), 0.5, coder="small") == b""
    assert made.decode(b"", 0, (5, 7), 0.5, "x", "small").shape == (0, 5, 7)


def test_threads_give_equal_bytes():
    made = coder(2)
    made.mixing = fresh()
    drawn = [latents(made, 1, (16, 15), seed) for seed in range(8)]
    alone = [made.encode(x, 0.5, coder="small") for x in drawn]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda x: made.encode(x, 0.5, coder="small"), drawn)) == alone


def test_what_each_refusal_of_an_encoder_says():
    encoder = encoder_of(SHAPES[1])
    with pytest.raises(FormatError, match=r"^latents: expected a part \(2, 7\), got \(7, 2\)$"):
        encoder.add(np.zeros((7, 2), np.float32))
    with pytest.raises(FormatError, match=r"^latents: expected a part \(2, 7\), got \(1, 7\)$"):
        encoder.put(np.zeros((1, 7), np.int32))
    with pytest.raises(FormatError, match=r"^latents: expected sizes below 2\*\*24, got (nan|inf); take a"):
        encoder.add(np.full((2, 7), np.nan, np.float32))
    with pytest.raises(FormatError, match=r"^latents: expected a chunk of 1 parts, got 3"):
        SmallEncoder(SHAPES[1], tables_of(SHAPES[1])[:1], [], new())


def test_what_each_refusal_of_a_decoder_says():
    shapes = SHAPES[1]
    data = put(parts_of(0, shapes, 2.0))
    for changed, words in [
        (b"\xff" * 4 + data, "expected no four bytes of 255 in front, got them; the data are damaged"),
        (data + b"\0", rf"expected at most \d+ bytes and no 0 last, got {len(data) + 1}; the data are damaged"),
        (data + b"\1" * 9, rf"expected at most \d+ bytes and no 0 last, got {len(data) + 9}; the data are damaged"),
        (data[: len(data) // 3], "expected .*; the data are damaged"),
    ]:
        with pytest.raises(FormatError, match=f"^here: {words}$"):
            decoded(changed, shapes)
    table = generic_tables(2, 1)
    plain = EntropyTables.from_arrays({**table.arrays(), "predict": np.zeros_like(table.predict)}, "here")
    for row, words in [
        (table, r"symbols below 2\*\*24 in size, got others"),  # a border value of 31 bits: nothing but 1 is read
        (plain, "a class, got a number without meaning"),
    ]:
        with pytest.raises(FormatError, match=f"^here: expected {words}; the data are damaged$"):
            decoded(b"", [(2, 7)], [row])


def test_every_cut_and_every_byte_changed_is_a_format_error_or_the_right_shapes():
    shapes, passed, count = [(2, 3, 4), (3, 5, 7)], 0, 0
    data = put(parts_of(0, shapes, 3.0))
    for cut in range(len(data)):
        with contextlib.suppress(FormatError):
            assert [part.shape for part in decoded(data[:cut], shapes)] == shapes
            passed += 1
    for at in range(len(data)):
        for other in (0, 1, 127, 128, 255, data[at] ^ 1):
            changed = bytearray(data)
            changed[at] = other
            count += changed != data
            with contextlib.suppress(FormatError):
                assert [part.shape for part in decoded(bytes(changed), shapes)] == shapes
                passed += changed != data
    assert passed <= 0.03 * (count + len(data)), "the even decisions at the end find most"


@given(st.binary(max_size=300), st.sampled_from(SHAPES), st.booleans())
@settings(deadline=None, max_examples=150)
def test_arbitrary_bytes_give_the_right_shapes_or_a_format_error(data, shapes, wise):
    with contextlib.suppress(FormatError):
        found = decoded(data, shapes, state=learnt() if wise else None)
        assert [part.shape for part in found] == shapes and all(abs(part).max() < LARGEST for part in found)


@given(st.integers(0, 2**32 - 1), st.sampled_from(SHAPES), st.binary(max_size=200))
@settings(deadline=None, max_examples=100)
def test_any_state_that_is_taken_does_no_harm(seed, shapes, data):
    rng = np.random.default_rng(seed)
    made = {}
    for name, usual in new()._asdict().items():
        low, high = (
            (0, 2**22) if usual.dtype == np.uint32 else (0, 65535) if name == "corrections" else (-(2**28), 2**28)
        )
        drawn = rng.choice([low, high - 1, 0, rng.integers(low, high)], usual.shape)
        made[name] = (drawn << 10 | 24).astype(np.uint32) if usual.dtype == np.uint32 else drawn.astype(np.int32)
    state = Mixing(**made)
    with contextlib.suppress(FormatError):
        assert [part.shape for part in decoded(data, shapes, state=state)] == shapes
    parts = parts_of(seed, shapes, 3.0)
    assert same(decoded(put(parts, state=state), shapes, state=state), parts)


@pytest.mark.parametrize("data", [b"", b"\1", b"\xfe" * 7, bytes(range(256))])
def test_time_is_bounded_by_the_shapes(data):
    shape = (16, 4096)
    tables = [generic_tables(16, 1)]
    began = time.process_time()
    with contextlib.suppress(FormatError):
        decoded(data, [shape], tables)
    assert time.process_time() - began < 60 * 16 * 4096 * 2e-6 + 1  # at most 60 decisions a symbol
