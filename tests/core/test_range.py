"""The range coder: decisions of any probability come back, carries run through, and few bytes are spent."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveaction.coding.range_numba import AT, CACHE, CODE, EVEN, FULL, HELD, LOW, RANGE, TAIL, begin, code, finish

LEAST, MOST = 32, 65536 - 32


def encoded(bits, ps):
    state, room = begin(), np.full(2 * len(bits) + 8, 170, np.uint8)
    for bit, p in zip(bits, ps, strict=True):
        assert code(bit, p, state, room) == bit
    before = int(state[AT]) + int(state[HELD])
    end = finish(state, room)
    assert end <= before + TAIL and (room[state[AT] :] == 170).all(), "it writes as many bytes as it says"
    return room[:end].copy()


def decoded(data, ps):
    state = begin(data)
    bits = [code(0, p, state, data) for p in ps]
    return [int(bit) for bit in bits], state


def bits_of(bits, ps):
    return sum(-np.log2(p / 65536 if bit else 1 - p / 65536) for bit, p in zip(bits, ps, strict=True))


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([LEAST, 33, 1000, EVEN, 65000, MOST])), max_size=400))
@settings(deadline=None, max_examples=200)
def test_decisions_come_back(drawn):
    bits, ps = [int(bit) for bit, _ in drawn], [p for _, p in drawn]
    data = encoded(bits, ps)
    found, state = decoded(data, ps)
    assert found == bits and state[AT] >= len(data), "no bytes but those that are read"
    assert not len(data) or data[-1]


@pytest.mark.parametrize("p", [LEAST, EVEN, MOST])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 1.0])
def test_bytes_are_what_the_probabilities_say(p, share):
    bits = (np.random.default_rng(0).random(5000) < share).astype(int).tolist()
    data = encoded(bits, [p] * len(bits))
    assert decoded(data, [p] * len(bits))[0] == bits
    # a range of 24 bits divides a least probability of 2**-11 to 2**-8 of itself
    assert 8 * len(data) <= 1.006 * bits_of(bits, [p] * len(bits)) + 16


def test_what_is_sure_is_hardly_a_byte_and_no_bytes_are_ones():
    data = encoded([0] * 1000, [LEAST] * 1000)
    assert len(data) <= 1
    assert len(encoded([], [])) == 0
    assert decoded(np.zeros(0, np.uint8), [EVEN] * 9)[0] == [1] * 9


@pytest.mark.parametrize("held", [1, 2, 7, 300])
@pytest.mark.parametrize("carry", [False, True])
def test_a_carry_runs_through_the_bytes_that_are_held_back(held, carry):
    state, room = begin(), np.zeros(held + 16, np.uint8)
    state[LOW], state[RANGE], state[CACHE], state[HELD] = 0xFFFFFF00 + carry * 0x100, 0x1000000, 41, held
    end = finish(state, room)
    # the number from low on that ends with most zeros is 2**32, a carry, in both cases
    assert end == 1 and room[0] == 42 and not room[1:].any()
    state = begin()
    state[CACHE], state[HELD], state[LOW], state[RANGE] = 41, held, 0x12345678, 1
    assert finish(state, room) == held + 5
    assert room[: held + 5].tolist() == [41, *[255] * held, 0x12, 0x34, 0x56, 0x78]


def test_a_walk_along_the_top_of_the_range_holds_bytes_back_and_carries():
    # 0s of the least probability keep the low end at 0xFF.. until a 1 or a 0 decides
    rng = np.random.default_rng(1)
    most = 0
    for _ in range(200):
        ps = [int(p) for p in rng.choice([LEAST, EVEN, MOST], 300, p=[0.1, 0.8, 0.1])]
        state, room = begin(), np.zeros(700, np.uint8)
        bits = []
        for p in ps:
            # whichever half keeps 0xFFFFFF.. within the range: there a carry may always come
            low, bound = int(state[LOW]), (int(state[RANGE]) >> 16) * p
            bit = int(low + bound > FULL)
            bits.append(bit)
            code(bit, p, state, room)
            most = max(most, int(state[HELD]))
        data = room[: finish(state, room)].copy()
        assert decoded(data, ps)[0] == bits
    assert most >= 1


@given(st.binary(max_size=30), st.integers(1, 300))
@settings(deadline=None, max_examples=100)
def test_any_bytes_but_four_of_255_stay_within_the_range(data, count):
    array = np.frombuffer(bytearray(data), np.uint8)
    state = begin(array)
    if state[CODE] == FULL:
        return
    for i in range(count):
        code(0, (LEAST, EVEN, MOST)[i % 3], state, array)
        assert 0 <= state[CODE] < state[RANGE] and 1 << 24 <= state[RANGE] <= FULL
