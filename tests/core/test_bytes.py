"""The container: anything there and back, every damage noticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveaction.coding.container import pack, unpack, unpack_header
from liveaction.errors import FormatError, IntegrityError


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
