"""Symbols and the container: any integers there and back, every damage noticed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from liveaction.coding.container import pack, unpack, unpack_header
from liveaction.coding.entropy import decode_symbols, encode_symbols
from liveaction.errors import FormatError, IntegrityError

SHAPES = st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple)
INTEGERS = st.integers(-(2**31), 2**31 - 1)


@given(SHAPES.flatmap(lambda shape: arrays(np.int32, shape, elements=INTEGERS | st.integers(-3, 3))))
@settings(deadline=None)
def test_any_symbols_come_back(symbols):
    assert np.array_equal(decode_symbols(encode_symbols(symbols), symbols.shape, "here"), symbols)


@pytest.mark.parametrize(("largest", "width"), [(127, 1), (-128, 1), (128, 2), (-32768, 2), (32768, 4)])
def test_the_narrowest_width_is_taken(largest, width):
    assert encode_symbols(np.array([[0, largest]], np.int32))[0] == width


@given(arrays(np.int32, (2, 3, 4), elements=INTEGERS), st.data())
@settings(deadline=None)
def test_symbols_cut_short_or_of_another_shape_are_refused(symbols, data):
    coded = encode_symbols(symbols)
    cut = data.draw(st.integers(0, len(coded) - 1))
    with pytest.raises(FormatError):
        decode_symbols(coded[:cut], symbols.shape, "here")
    for shape in [(3, 3, 4), (1, 3, 4), (2, 3, 5), (2, 10**9, 10**6)]:
        with pytest.raises(FormatError):
            decode_symbols(coded, shape, "here")


@given(st.binary(max_size=40))
def test_a_container_comes_back(payload):
    header = {"a": 1, "b": [None, "ü"]}
    assert unpack(pack(header, payload), "here") == (header, payload)


def test_every_truncation_and_every_flipped_bit_is_noticed():
    data = pack({"name": "x", "n": 3}, b"payload")
    for cut in range(len(data)):
        with pytest.raises(FormatError):
            unpack(data[:cut], "here")
    for position in range(len(data)):
        for bit in range(8):
            broken = bytearray(data)
            broken[position] ^= 1 << bit
            with pytest.raises(FormatError):
                unpack(bytes(broken), "here")


def test_the_messages_say_what_is_wrong():
    data = pack({"name": "x"}, b"payload")
    with pytest.raises(IntegrityError, match="here: expected payload checksum"):
        unpack(data[:-1] + b"X", "here")
    with pytest.raises(IntegrityError, match="expected header checksum"):
        unpack(data.replace(b"name", b"nome"), "here")
    with pytest.raises(FormatError, match="expected a liveaction stream, got other bytes"):
        unpack(b"PK" + data[2:], "here")
    with pytest.raises(FormatError, match="something was appended"):
        unpack(data + b"1", "here")
    assert unpack_header(data[:-7], "here")[0] == {"name": "x"}
