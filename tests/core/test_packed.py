"""Headers as few bytes: what is packed comes back to the letter, and what real files keep takes little."""

import base64
import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from liveaction.coding.packed import pack_text, payload_of, unpack_text
from liveaction.coding.varint import read_varint, read_varints, write_varint, write_varints
from liveaction.errors import FormatError

LONGEST = 1 << 24
DECIMALS = st.decimals(-(10**9), 10**9, allow_nan=False, allow_infinity=False).map(lambda value: f"{value:f}")
LISTS = st.tuples(st.sampled_from([",", ", ", ",\n", ",\n ", " , ", " ", ";"]), st.lists(DECIMALS, max_size=65)).map(
    lambda drawn: drawn[0].join(drawn[1])
)
FLOATS = st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=7)
TEXTS = st.one_of(
    LISTS,
    LISTS.map(lambda text: f"ENVI\nwavelength = {{{text}}}\nfwhm={text}"),
    st.binary(max_size=65).map(lambda data: base64.b64encode(data).decode()),
    st.binary(max_size=65).map(bytes.hex),
    st.text(max_size=30),
)


def packed(data):
    text = json.dumps(data, separators=(",", ":")).encode()
    short = pack_text(text)
    assert unpack_text(short, b"", LONGEST, "x") == (text, payload_of(text))
    assert len(payload_of(text)) <= len(text)  # or a reader would refuse what is as long as it may be
    return len(short)


@given(st.lists(TEXTS | FLOATS | st.lists(st.integers(-(2**70), 2**70)), max_size=4))
@example(["1, 2, 3, 4, 5, 6, 7e5", "0, -0, 0, 0, 0, 0, 0", "01, 02, 03, 04, 05, 06, 07", "1., 2., 3., 4., 5., 6., 7."])
@example(
    ["0.10, 0.20, 0.30, 0.40, 0.50, 0.60", "9.5, 9.75, 10, 10.25, 10.5, 11.125, 12, 13, 14", "é€😀\x00\x7f\x80\xff"]
)
@example(
    [[1.5e300, 0.1, -0.0, 1e-45], [float(np.float32(0.1)), -0.0, 1e-45, 3.4028234663852886e38], "A" * 64, "0" * 64]
)
@example([[float(np.float32(0.1)), *[0.0] * 65]])
@example([[99999999999999999.0] * 9, [10**16] * 9, [10**17 - 1, -(10**17) + 1] * 9, [10**17] * 9])
@settings(deadline=None, max_examples=150)
def test_any_header_comes_back_to_the_letter(data):
    packed({"metadata": data})


def test_lists_of_smooth_numbers_take_a_byte_each():
    centres = [f"{400 + 2.7 * band + 0.0009 * band * band:.3f}" for band in range(300)]
    for between in (", ", ",\n", ","):
        assert packed({"header": between.join(centres)}) < 330
    significant = [f"{418 + 5.3 * band + 0.01 * band * band:.6g}" for band in range(224)]  # 3 decimals, then 2
    assert packed({"header": ", ".join(significant)}) < 330
    assert packed({"bbl": ", ".join(["1"] * 200 + ["0"] * 24)}) < 40


def test_affine_and_header_of_a_volume_are_kept_once():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((3, 4)).astype("<f4")
    header = bytes(280) + rows.tobytes() + bytes(20)
    affine = [[float(value) for value in row] for row in rows]
    one = packed({"affine": affine})
    assert one < 80  # 48 are the numbers
    assert packed({"affine": affine, "header": base64.b64encode(header).decode()}) < one + 35


def test_more_lists_than_a_reader_takes_stay_text():
    text = json.dumps(
        {"a": list(range(0, 300_000, 2)), "b": [k * k for k in range(63)]}, separators=(",", ":")
    ).encode()
    assert unpack_text(pack_text(text), b"", LONGEST, "x")[0] == text
    payload = payload_of(text)
    assert payload.partition(b"\0")[0].count(b"\x82") == 1 and len(payload) > 900_000


def test_a_text_is_bounded_while_it_is_made():
    data = pack_text(b'{"a":"' + b"QUJD" * 10_000 + b'"}')
    assert len(data) < 200
    for longest in (100, 35_000):
        with pytest.raises(FormatError, match=f"x: expected a deflated header, got more than {longest} bytes"):
            unpack_text(data, b"", longest, "x")


@given(st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 300), max_size=65))
@settings(deadline=None)
def test_varints_come_back(values):
    data = write_varints(values)
    assert read_varints(data).tolist() == values
    at, found = 0, []
    while at < len(data):
        value, at = read_varint(data, at)
        found.append(value)
    assert found == values and len(data) == sum(max(1, math.ceil(value.bit_length() / 7)) for value in values)


@pytest.mark.parametrize("data", [b"\x80", b"\x80\0", b"\xff\x80\0", b"\xff" * 9 + b"\1", b"\xff" * 40])
def test_varints_have_one_form_and_an_end(data):
    with pytest.raises(ValueError, match="expected"):
        read_varint(data, 0)
    with pytest.raises(ValueError, match="expected"):
        read_varints(write_varint(5) + data)
