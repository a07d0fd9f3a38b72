"""Symbols to bytes and the container: round trips of anything, no damage that gives a wrong answer."""

import contextlib
import json
import struct
import zlib

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from liveaction.coding.container import LONGEST_HEADER, MAGIC, VERSION, pack, unpack, unpack_header
from liveaction.coding.entropy import decode_symbols, encode_symbols
from liveaction.errors import FormatError, IntegrityError

EXTREMES = [-(2**31), 2**31 - 1, -(2**15) - 1, -(2**15), 2**15 - 1, 2**15, -129, -128, 127, 128, -1, 0, 1]
SHAPES = st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple)
SYMBOLS = SHAPES.flatmap(
    lambda shape: arrays(np.int32, shape, elements=st.sampled_from(EXTREMES) | st.integers(-(2**31), 2**31 - 1))
)


@given(SYMBOLS)
@settings(deadline=None, max_examples=60)
def test_any_integers_come_back(symbols):
    back = decode_symbols(encode_symbols(symbols), symbols.shape, "here")
    assert back.dtype == np.int32 and back.shape == symbols.shape and np.array_equal(back, symbols)


@pytest.mark.parametrize("shape", [(3, 1), (1, 1), (1, 1, 1, 1), (3, 0), (2, 4, 0), (200, 1, 1)], ids=str)
def test_shapes_with_next_to_nothing_in_them(shape):
    symbols = np.full(shape, -7, np.int32)
    assert np.array_equal(decode_symbols(encode_symbols(symbols), shape, "here"), symbols)


@pytest.mark.parametrize("value", EXTREMES)
def test_every_extreme_by_itself_and_in_the_narrowest_width(value):
    symbols = np.array([[0, value, 0], [1, 1, 1]], np.int32)
    data = encode_symbols(symbols)
    assert data[0] == next(w for w in (1, 2, 4) if -(2 ** (8 * w - 1)) <= value < 2 ** (8 * w - 1))
    assert np.array_equal(decode_symbols(data, symbols.shape, "here"), symbols)


def test_the_bytes_are_the_same_every_time_and_for_any_strides():
    symbols = np.random.default_rng(0).integers(-300, 300, (3, 8, 10), dtype=np.int32)
    strided = np.asfortranarray(symbols)
    assert encode_symbols(symbols) == encode_symbols(symbols) == encode_symbols(strided)


def test_channels_of_zeros_cost_next_to_nothing():
    symbols = np.zeros((8, 64, 64, 64), np.int32)
    assert len(encode_symbols(symbols)) < 8 * 40


def frames(*parts, width=1):
    return bytes([width]) + b"".join(struct.pack("<I", len(p)) + p for p in parts)


def frame(data, **options):
    return zstandard.ZstdCompressor(**options).compress(data)


def test_the_layout_is_a_width_then_a_length_and_a_frame_per_channel_in_planes():
    data = frames(frame(b"\x01\x03\x02\x04"), frame(b"\xff\x00\xff\x80"), width=2)
    assert decode_symbols(data, (2, 2), "here").tolist() == [[0x0201, 0x0403], [-1, -32768]]


def test_a_frame_of_another_size_is_refused_before_it_is_expanded(monkeypatch):
    bomb = frame(bytes(1 << 24))
    assert len(bomb) < 2000

    class Untouched:
        def decompress(self, *_):
            raise AssertionError("the frame was expanded")

    monkeypatch.setattr(zstandard, "ZstdDecompressor", Untouched)
    for data in (frames(bomb), frames(frame(b"123")), frames(frame(b"1234", write_content_size=False))):
        with pytest.raises(FormatError, match=r"here: expected 4 symbols in a channel, got another number"):
            decode_symbols(data, (1, 2, 2), "here")


@pytest.mark.parametrize("shape", [(1, 4), (3, 4), (2, 5), (2, 3), (4, 2), (2, 1 << 40)], ids=str)
def test_other_channel_counts_and_sizes_are_refused(shape):
    data = encode_symbols(np.arange(8, dtype=np.int32).reshape(2, 4))
    with pytest.raises(FormatError):
        decode_symbols(data, shape, "here")


def test_what_each_refusal_says():
    good = frame(b"1234")
    for data, words in [
        (b"", "here: expected symbols of 1, 2 or 4 bytes, got 0"),
        (frames(good, width=3), "expected symbols of 1, 2 or 4 bytes, got 3"),
        (frames(good), "expected 2 channels of symbols, got 1"),
        (frames(good, good, good), r"expected \d+ bytes of symbols, got \d+"),
        (frames(good, b"abcdefgh"), "expected a Zstandard frame, got"),
        (frames(good, good[:-2]), "expected a Zstandard frame, got"),
        (frames(good, b""), "expected a Zstandard frame, got"),
    ]:
        with pytest.raises(FormatError, match=words):
            decode_symbols(data, (2, 4), "here")


@given(SYMBOLS, st.data())
@settings(deadline=None, max_examples=60)
def test_no_truncation_of_symbols_is_taken(symbols, data):
    coded = encode_symbols(symbols)
    with pytest.raises(FormatError):
        decode_symbols(coded[: data.draw(st.integers(0, len(coded) - 1))], symbols.shape, "here")


@given(SYMBOLS, st.data())
@settings(deadline=None, max_examples=100)
def test_damaged_symbols_raise_no_other_error(symbols, data):
    """The checksum is the container's; here damage may pass, but in the promised shape or as a FormatError."""
    coded = bytearray(encode_symbols(symbols))
    coded[data.draw(st.integers(0, len(coded) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(FormatError):
        assert decode_symbols(bytes(coded), symbols.shape, "here").shape == symbols.shape


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4), st.binary(max_size=60))
@settings(deadline=None, max_examples=60)
def test_any_header_and_payload_come_back(header, payload):
    data = pack(header, payload)
    assert unpack(data, "here") == (header, payload)
    read, start, length, crc = unpack_header(data[: len(data) - len(payload)], "here")
    assert (read, data[start:], length, crc) == (header, payload, len(payload), zlib.crc32(payload))


def container():
    symbols = np.array([[0, 1, -1, 300], [5, 5, 5, 5]], np.int32)
    return pack({"shape": [2, 4], "step": 0.2}, encode_symbols(symbols))


def test_every_truncation_is_refused():
    data = container()
    for cut in range(len(data)):
        with pytest.raises(FormatError, match=r"^here: expected"):
            unpack(data[:cut], "here")


def test_every_changed_byte_is_refused():
    data = container()
    for position in range(len(data)):
        for change in (0x01, 0x20, 0x80, 0xFF):
            broken = bytearray(data)
            broken[position] ^= change
            with pytest.raises(FormatError, match=r"^here: expected"):
                unpack(bytes(broken), "here")


@pytest.mark.parametrize("start", [14, 26, 30, -1], ids=["header sum", "payload sum", "header", "payload"])
def test_a_checksum_that_does_not_match_is_an_integrity_error(start):
    broken = bytearray(container())
    broken[start] ^= 0x10
    with pytest.raises(IntegrityError, match=r"checksum [0-9a-f]{8}, got another; the file is damaged"):
        unpack(bytes(broken), "here")


def test_other_files_and_text_transfers():
    data = container()
    for other in (b"", b"PK\x03\x04" + data[4:], b"\x89PNG" + data[4:]):
        with pytest.raises(FormatError, match=r"expected a liveaction stream, got other bytes$"):
            unpack(other, "here")
    for changed in (
        data.replace(b"\r\n", b"\n"),
        data.replace(b"\n", b"\r\n"),
        bytes(b & 0x7F for b in data),
        data.decode("latin-1").encode("ascii", "replace"),
    ):
        with pytest.raises(FormatError, match=r"got other bytes; it went through a transfer as text$"):
            unpack(changed, "here")


def fixed(text, payload=b"", version=VERSION, length=None):
    return (
        struct.pack(
            "<8sHIIQI",
            MAGIC,
            version,
            len(text) if length is None else length,
            zlib.crc32(text),
            len(payload),
            zlib.crc32(payload),
        )
        + text
        + payload
    )


def test_the_layout_is_the_one_documented():
    assert pack({"a": [1, "x"]}, b"abc") == fixed(b'{"a":[1,"x"]}', b"abc")


def test_what_each_refusal_of_a_container_says():
    text = json.dumps({"a": 1}).encode()
    for data, words in [
        (fixed(text, version=VERSION + 1), "expected stream version 0, got 1; use the version that wrote it"),
        (fixed(text, length=LONGEST_HEADER + 1), "expected a header of at most 16777216 bytes, got 16777217"),
        (fixed(text)[:20], "expected at least 30 bytes, got 20; the file is cut short"),
        (fixed(text)[:33], "expected a header of 8 bytes, got less; the file is cut short"),
        (fixed(b"{"), "expected a JSON header, got"),
        (fixed(b"\xff\xfe"), "expected a JSON header, got"),
        (fixed(b"[1]"), "expected a JSON object as header, got list"),
        (fixed(text, b"abc")[:-1], "expected a payload of 3 bytes, got 2; the file is cut short"),
        (fixed(text, b"abc") + b"d", "expected a payload of 3 bytes, got 4; something was appended"),
    ]:
        with pytest.raises(FormatError, match=f"^here: {words}"):
            unpack(data, "here")
