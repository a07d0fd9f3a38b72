"""The container: any chunks there and back, byte by byte as documented, every damage noticed."""

import io
import json
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveaction.coding.container import FIXED, LONGEST_HEADER, MAGIC, MOST_CHUNKS, ContainerReader, ContainerWriter
from liveaction.errors import FormatError, IntegrityError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CHUNKS = (b"first", b"", b"third")


def write(header, chunks):
    file = io.BytesIO()
    writer = ContainerWriter(file, header, len(chunks))
    for chunk in chunks:
        writer.add(chunk)
    assert writer.close() == len(file.getvalue())
    return file.getvalue()


def read(data):
    reader = ContainerReader(io.BytesIO(data), "here")
    return reader.header, [reader.read(number) for number in range(reader.chunks)]


def fixed(text=b"{}", chunks=(), version=1, length=None, count=None, index=None):
    """A container by hand, as the specification says."""
    place, entries = FIXED + len(text) + 16 * len(chunks), b""
    for chunk in chunks:
        entries += struct.pack("<QII", place, len(chunk), zlib.crc32(chunk))
        place += len(chunk)
    index = entries if index is None else index
    prefix = struct.pack(
        "<8sHIIII",
        MAGIC,
        version,
        len(text) if length is None else length,
        zlib.crc32(text),
        len(chunks) if count is None else count,
        zlib.crc32(index),
    )
    return prefix + struct.pack("<I", zlib.crc32(prefix)) + text + index + b"".join(chunks)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4), st.lists(st.binary(max_size=30), max_size=5))
@settings(deadline=None, max_examples=60)
def test_any_header_and_chunks_come_back(header, chunks):
    assert read(write(header, chunks)) == (header, chunks)


def test_the_layout_is_the_one_documented():
    assert write({"a": [1, "x"]}, CHUNKS) == fixed(b'{"a":[1,"x"]}', CHUNKS)
    assert MAGIC[0] & 0x80 and b"\r\n" in MAGIC and MAGIC.endswith(b"\n")


def test_every_truncation_is_refused():
    data = write({"shape": [2, 4]}, CHUNKS)
    for cut in range(len(data)):
        with pytest.raises(FormatError, match=r"^here: expected"):
            read(data[:cut])


def test_every_changed_byte_is_refused():
    data = write({"shape": [2, 4]}, CHUNKS)
    for position in range(len(data)):
        for change in (0x01, 0x20, 0x80, 0xFF):
            broken = bytearray(data)
            broken[position] ^= change
            with pytest.raises(FormatError, match=r"^here: expected"):
                read(bytes(broken))


def test_a_damaged_chunk_leaves_the_others():
    data = bytearray(write({}, CHUNKS))
    data[-1] ^= 1
    reader = ContainerReader(io.BytesIO(bytes(data)), "here")
    assert reader.read(0) == b"first" and reader.read(1) == b""
    with pytest.raises(IntegrityError, match=r"expected checksum [0-9a-f]{8} of chunk 2, got another; the file is"):
        reader.read(2)


def test_only_the_chunks_asked_for_are_read():
    file = io.BytesIO(write({}, [bytes(1000)] * 50))
    asked = []
    file.read = lambda n=-1, plain=file.read: asked.append(n) or plain(n)
    ContainerReader(file, "here").read(7)
    assert sum(asked) < 1000 + 50 * 16 + 100


@pytest.mark.parametrize("start", [14, 22, 26, FIXED, FIXED + 5])
def test_a_checksum_that_does_not_match_is_an_integrity_error(start):
    broken = bytearray(write({"a": 1}, CHUNKS))
    broken[start] ^= 0x10
    with pytest.raises(IntegrityError, match="checksum"):
        read(bytes(broken))


def test_other_files_and_text_transfers():
    data = write({"a": 1}, CHUNKS)
    for other in (b"", b"PK\x03\x04" + data[4:], b"\x89PNG" + data[4:]):
        with pytest.raises(FormatError, match=r"expected a liveaction stream, got other bytes$"):
            read(other)
    for changed in (
        data.replace(b"\r\n", b"\n"),
        data.replace(b"\n", b"\r\n"),
        bytes(b & 0x7F for b in data),
        data.decode("latin-1").encode("ascii", "replace"),
    ):
        with pytest.raises(FormatError, match=r"got other bytes; it went through a transfer as text$"):
            read(changed)


def test_what_each_refusal_says():
    text = json.dumps({"a": 1}).encode()
    gap = struct.pack("<QII", FIXED + 8 + 16 + 1, 2, zlib.crc32(b"ab"))
    for data, words in [
        (fixed(text, version=2), "expected stream version 1, got 2; use the version that wrote it"),
        (fixed(text, version=0), "expected stream version 1, got 0, a draft; compress the source again"),
        (fixed(text, length=LONGEST_HEADER + 1), "expected a header of at most 16777216 bytes, got 16777217"),
        (fixed(text, count=MOST_CHUNKS + 1), "expected at most 268435456 chunks, got 268435457"),
        (fixed(text, count=2**20), "expected at least 16777254 bytes of header and index, got 38; the file is cut"),
        (fixed(text)[:20], "expected at least 30 bytes, got 20; the file is cut short"),
        (fixed(b"{"), "expected a JSON header, got"),
        (fixed(b"[" * 10**5), "expected a JSON header, got"),
        (fixed(b"\xff\xfe"), "expected a JSON header, got"),
        (fixed(b"[1]"), "expected a JSON object as header, got list"),
        (fixed(text, [b"ab"], index=gap), "expected chunk 0 at byte 54, got 55"),
        (fixed(text, [b"abc"])[:-1], "expected 57 bytes, got 56; the file is cut short"),
        (fixed(text, [b"abc"]) + b"d", "expected 57 bytes, got 58; something was appended"),
    ]:
        with pytest.raises(FormatError, match=f"^here: {words}"):
            read(data)


def test_a_writer_wants_the_chunks_it_was_promised():
    writer = ContainerWriter(io.BytesIO(), {}, 2)
    writer.add(b"one")
    with pytest.raises(ValueError, match="expected 2 chunks, got 1"):
        writer.close()
    with pytest.raises(FormatError, match="expected a header of at most"):
        ContainerWriter(io.BytesIO(), {"a": "x" * LONGEST_HEADER}, 0)
