"""The container: round trips of anything, no damage that gives a wrong answer."""

import json
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveaction.coding.container import LONGEST_HEADER, MAGIC, VERSION, pack, unpack, unpack_header
from liveaction.errors import FormatError, IntegrityError

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
    return pack({"shape": [2, 4], "step": 0.2}, bytes(range(100, 160)))


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
