"""The container: any chunks there and back, byte by byte as documented, every damage noticed."""

import io
import json
import os
import pickle
import struct
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveaction.coding.container import LONGEST_HEADER, MAGIC, MOST_CHUNKS, ContainerReader, ContainerWriter
from liveaction.coding.container1 import FIXED
from liveaction.coding.source import Guard, Source
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
        (fixed(b"\xff\xfe"), "expected a JSON header, got bytes that are no UTF-8 at 0"),
        (fixed('{"a":1}'.encode("utf-16")), "expected a JSON header, got bytes that are no UTF-8 at 0"),
        (fixed('{"a":1}'.encode("utf-16-le")), "expected a JSON header, got JSONDecodeError"),
        (fixed(b"\xef\xbb\xbf{}"), "expected a JSON header, got JSONDecodeError: Unexpected UTF-8 BOM"),
        (fixed(b'{"a":1,"b":2,"a":1}'), "expected a JSON header, got ValueError: the key 'a' twice in one object"),
        (fixed(b'{"m":[{"a":1,"a":2}]}'), "expected a JSON header, got ValueError: the key 'a' twice in one object"),
        (fixed(b'{"m":{"a":[0,1e999]}}'), "expected a JSON header, got inf, which is no number in JSON, in m.a.1"),
        (fixed(b'{"m":-Infinity}'), "expected a JSON header, got ValueError: -Infinity, which is no number"),
        (fixed(b'{"m":"a\\ud800b"}'), r"expected a JSON header, got 'a\\ud800b', which is no Unicode text, in m"),
        (
            fixed(b'{"m":{"\\udfff":1}}'),
            r"expected a JSON header, got the key '\\udfff', which is no Unicode text, in m",
        ),
        (fixed(b'{"m":' + b"9" * 4200 + b"}"), "expected a JSON header, got an integer of more than 4000 digits in m"),
        (fixed(b'{"m":' + b"9" * 5000 + b"}"), "expected a JSON header, got ValueError: Exceeds the limit"),
        (
            fixed(b'{"m":' + b"[" * 200 + b"]" * 200 + b"}"),
            "expected a JSON header, got more than 200 objects and lists",
        ),
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


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"m": {"a": ["x", "\ud800"]}}, r"got '\\ud800', which is no Unicode text, in m.a.1; change it in the source"),
        ({"m": {"\udc80": 1}}, r"got the key '\\udc80', which is no Unicode text, in m; change"),
        ({"m": {"b": float("nan")}}, "got nan, which is no number in JSON, in m.b; change it in the source, or leave"),
        ({"m": {"b": {1: 2}}}, "got the key 1, which is no Unicode text, in m.b; change"),
        ({"m": {"b": object()}}, "got a value of type object, which JSON does not have, in m.b; change"),
        ({"m": {"b": b"x"}}, "got a value of type bytes, which JSON does not have, in m.b; change"),
        ({"m": {"b": 10**4000}}, "got an integer of more than 4000 digits in m.b; change"),
        ({"m": {"b" * 500: object()}}, r"in m\.b+\.\.\.b{30}; change"),
        ({"m": {"b": {"c": "x" * LONGEST_HEADER, "d": 1}}}, r"got \d+, of which m.b.c takes 16777218; change it"),
    ],
)
def test_what_no_reader_takes_is_not_written(header, words):
    file = io.BytesIO()
    with pytest.raises(FormatError, match=f"^stream: expected .*{words}") as caught:
        ContainerWriter(file, header, 1)
    assert file.getvalue() == b"" and file.tell() == 0 and str(caught.value).isprintable()


def test_the_deepest_header_that_is_written_is_read():
    deep = 0
    for _ in range(199):
        deep = [deep]
    assert read(write({"m": deep}, CHUNKS))[0] == {"m": deep}
    with pytest.raises(FormatError, match=r"got more than 200 objects and lists within each other in m\.0\.0"):
        ContainerWriter(io.BytesIO(), {"m": [deep]}, 0)


def test_a_sparse_index_takes_no_memory(tmp_path):
    count = 1 << 22
    prefix = struct.pack("<8sHIIII", MAGIC, 1, 2, zlib.crc32(b"{}"), count, zlib.crc32(bytes(16 * count)))
    with (tmp_path / "a.lva").open("wb") as file:
        file.write(prefix + struct.pack("<I", zlib.crc32(prefix)) + b"{}")
        file.truncate(FIXED + 2 + 16 * count)
    with Source(tmp_path / "a.lva") as source:
        reader = ContainerReader(source, "here")
        tracemalloc.start()
        with pytest.raises(FormatError, match=f"here: expected chunk 0 at byte {FIXED + 2 + 16 * count}, got 0"):
            reader.read(0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1e7


def test_an_index_is_a_sequence_of_entries():
    entries = ContainerReader(io.BytesIO(write({}, CHUNKS)), "here").entries
    assert [entry.length for entry in entries] == [5, 0, 5] and entries[-1] == entries[2]
    assert list(entries[1:]) == [entries[1], entries[2]] and entries.bytes_of_chunks == 10
    with pytest.raises(IndexError):
        entries[3]


# -- where the bytes are


class Seeking(io.BytesIO):
    """A file object without a descriptor, slow between seek and read."""

    def read(self, size=-1):
        time.sleep(0.0005)
        return super().read(size)


def sources(tmp_path):
    """The same bytes in every kind of source."""
    data = write({"a": 1}, [bytes([n]) * 50 for n in range(40)])
    (tmp_path / "a.lva").write_bytes(data)
    file = (tmp_path / "a.lva").open("rb")
    return {"bytes": data, "path": tmp_path / "a.lva", "text": str(tmp_path / "a.lva"), "file": file,
            "object": Seeking(data)}  # fmt: skip


def test_threads_may_share_a_reader(tmp_path):
    for name, place in sources(tmp_path).items():
        with Source(place) as source, ThreadPoolExecutor(8) as pool:
            reader = ContainerReader(source, name)
            found = list(pool.map(reader.read, list(range(40)) * (1 if name == "object" else 10)))
        assert all(chunk == bytes([n % 40]) * 50 for n, chunk in enumerate(found)), name
        if name == "file":
            place.close()


def test_what_is_pickled_opens_its_file_again_or_takes_its_bytes_along(tmp_path, monkeypatch):
    every = sources(tmp_path)
    monkeypatch.chdir(tmp_path)
    every["text"] = "a.lva"
    for name in ("bytes", "path", "text"):
        with Source(every[name]) as source:
            data = pickle.dumps(ContainerReader(source, name))
        monkeypatch.chdir("/")
        again = pickle.loads(data)
        assert again.read(3) == b"\3" * 50 and again.header == {"a": 1}
        monkeypatch.chdir(tmp_path)
    every["file"].close()
    with pytest.raises(TypeError, match="stream: expected bytes or a path to go to another process, got an open file"):
        pickle.dumps(ContainerReader(every["object"], "x"))
    (tmp_path / "a.lva").write_bytes(write({"a": 1}, [b"other"]))
    with pytest.raises(FormatError, match="text: expected the stream that was opened, got another one; it changed, op"):
        pickle.loads(data)
    (tmp_path / "a.lva").unlink()
    with pytest.raises(FormatError, match=r"a.lva: expected a readable .lva file, got No such file"):
        pickle.loads(data)


def test_a_lock_that_is_held_is_open_in_a_forked_process():
    guard = Guard()
    with guard.held():
        if (child := os.fork()) == 0:
            with guard.held():
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


def test_fifos_and_devices_are_refused(tmp_path):
    os.mkfifo(tmp_path / "a.lva")
    for path, kind in [(tmp_path / "a.lva", "a FIFO"), (Path("/dev/zero"), "a device")]:
        with pytest.raises(FormatError, match=f"{path}: expected a file or a folder, got {kind}; copy what it gives"):
            Source(path)
