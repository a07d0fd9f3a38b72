"""The container: any chunks there and back, byte by byte as documented, every damage noticed."""

import io
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

from liveaction.coding import container
from liveaction.coding.container import LONGEST_HEADER, MAGIC, MOST_CHUNKS, ContainerReader, ContainerWriter
from liveaction.coding.container1 import FIXED
from liveaction.coding.dictionary import DICTIONARY
from liveaction.coding.source import Guard, Source
from liveaction.errors import FormatError, IntegrityError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CHUNKS = (b"first", b"2", b"third")


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


def varint(value):
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def one(text=b"{}", chunks=(), **fields):
    """An item by hand, as the specification says; fields stand in place of the right ones."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=DICTIONARY)
    deflated = fields.get("deflated", packer.compress(text) + packer.flush())
    lengths = fields.get("lengths", b"".join(varint(len(chunk)) for chunk in chunks))
    crcs = b"".join(struct.pack("<I", zlib.crc32(chunk)) for chunk in chunks)
    sizes = {"header": len(deflated), "side": 0, "count": len(chunks), "bytes": len(lengths)} | fields
    return b"".join(varint(sizes[name]) for name in ("header", "side", "count", "bytes")) + deflated + lengths + crcs


def second(text=b"{}", chunks=(), version=2, items=1, size=None, item=None, **fields):
    """A container of version 2 by hand."""
    head = varint(items) + (one(text, chunks, **fields) if item is None else item)
    whole = MAGIC + struct.pack("<H", version) + varint(len(head) if size is None else size) + head
    return whole + struct.pack("<I", zlib.crc32(whole)) + b"".join(chunks)


def first(text=b"{}", chunks=(), version=1, length=None, count=None, index=None):
    """A container of version 1 by hand."""
    place, entries = FIXED + len(text) + 16 * len(chunks), b""
    for chunk in chunks:
        entries += struct.pack("<QII", place, len(chunk), zlib.crc32(chunk))
        place += len(chunk)
    index = entries if index is None else index
    sizes = len(text) if length is None else length, len(chunks) if count is None else count
    prefix = struct.pack("<8sHIIII", MAGIC, version, sizes[0], zlib.crc32(text), sizes[1], zlib.crc32(index))
    return prefix + struct.pack("<I", zlib.crc32(prefix)) + text + index + b"".join(chunks)


BOTH = pytest.mark.parametrize("make", [first, second])


@given(
    st.dictionaries(st.text(max_size=5), JSON, max_size=4), st.lists(st.binary(min_size=1, max_size=300), max_size=5)
)
@settings(deadline=None, max_examples=60)
def test_any_header_and_chunks_come_back(header, chunks):
    assert read(write(header, chunks)) == (header, chunks)


def test_the_layout_is_the_one_documented():
    assert read(second(b'{"a":[1,"x"]}', CHUNKS)) == ({"a": [1, "x"]}, list(CHUNKS))
    assert len(write({"a": [1, "x"]}, CHUNKS)) <= len(second(b'{"a":[1,"x"]}', CHUNKS))
    assert read(first(b'{"a":[1,"x"]}', (*CHUNKS, b""))) == ({"a": [1, "x"]}, [*CHUNKS, b""])
    assert MAGIC[0] & 0x80 and b"\r\n" in MAGIC and MAGIC.endswith(b"\n")


def test_one_item_costs_a_byte_and_the_next_ones_little():
    header = {"recipe": "ct_light", "shape": [1, 63, 65, 7], "weights": "0123456789abcdef" * 2, "range": [-1.5, 99.0]}
    file = io.BytesIO()
    writer = ContainerWriter(file, header, 1, b"side")
    for number in range(1, 5):
        writer.add(bytes([number]) * 100)
        writer.next_item({**header, "range": [-1.5, 99.0 + number]}, 1, bytes(number))
        assert len(writer._items[-1].build()) < 25 + number < len(writer._items[0].build()) - 20
    writer.add(b"last")
    assert writer.close() == len(file.getvalue())
    for number in range(5):
        reader = ContainerReader(io.BytesIO(file.getvalue()), "here", number)
        assert reader.items == 5 and reader.chunks == 1
        assert reader.header["range"][1] == 99 + number and reader.header["weights"] == header["weights"]
        assert reader.side == (bytes(number) if number else b"side")
        assert reader.read(0) == (bytes([number + 1]) * 100 if number < 4 else b"last")
        assert pickle.loads(pickle.dumps(ContainerReader(Source(file.getvalue()), "x", number))).side == reader.side
    for wrong in (-1, 5):
        with pytest.raises(FormatError, match=f"here: expected an item from 0 to 4, got {wrong}"):
            ContainerReader(io.BytesIO(file.getvalue()), "here", wrong)
    with pytest.raises(FormatError, match="here: expected an item from 0 to 0, got 1"):
        ContainerReader(io.BytesIO(first()), "here", 1)


@BOTH
def test_every_truncation_is_refused(make):
    data = make(b'{"shape":[2,4]}', CHUNKS)
    for cut in range(len(data)):
        with pytest.raises(FormatError, match=r"^here: expected"):
            read(data[:cut])


@BOTH
def test_every_changed_byte_is_refused(make):
    data = make(b'{"shape":[2,4]}', CHUNKS)
    for position in range(len(data)):
        for change in (0x01, 0x20, 0x80, 0xFF):
            broken = bytearray(data)
            broken[position] ^= change
            with pytest.raises(FormatError, match=r"^here: expected"):
                read(bytes(broken))


@BOTH
def test_a_damaged_chunk_leaves_the_others(make):
    data = bytearray(make(b"{}", CHUNKS))
    data[-1] ^= 1
    reader = ContainerReader(io.BytesIO(bytes(data)), "here")
    assert reader.read(0) == b"first" and reader.read(1) == b"2"
    with pytest.raises(IntegrityError, match=r"expected checksum [0-9a-f]{8} of chunk 2, got another; the file is"):
        reader.read(2)


def test_only_the_chunks_asked_for_are_read():
    file = io.BytesIO(write({}, [bytes(5000)] * 50))
    asked = []
    file.read = lambda n=-1, plain=file.read: asked.append(n) or plain(n)
    ContainerReader(file, "here").read(7)
    assert sum(asked) < 5000 + 4 * 50 * 6 + 500


def test_a_writer_moves_chunks_longer_than_a_piece(monkeypatch):
    monkeypatch.setattr(container, "_PIECE", 7)
    chunks = [bytes([n]) * n for n in range(1, 65)]
    assert read(write({"a": "x" * 63}, chunks)) == ({"a": "x" * 63}, chunks)


@pytest.mark.parametrize("start", [14, 22, 26, FIXED, FIXED + 5])
def test_a_checksum_that_does_not_match_is_an_integrity_error(start):
    broken = bytearray(first(b'{"a":1}', CHUNKS))
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


TEXT = b'{"a": 1}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "expected a JSON header, got"),
        (b"[" * 10**5, "expected a JSON header, got"),
        (b'{"a":1,"b":2,"a":1}', "expected a JSON header, got ValueError: the key 'a' twice in one object"),
        (b'{"m":[{"a":1,"a":2}]}', "expected a JSON header, got ValueError: the key 'a' twice in one object"),
        (b'{"m":{"a":[0,1e999]}}', "expected a JSON header, got inf, which is no number in JSON, in m.a.1"),
        (b'{"m":-Infinity}', "expected a JSON header, got ValueError: -Infinity, which is no number"),
        (b'{"m":"a\\ud800b"}', r"expected a JSON header, got 'a\\ud800b', which is no Unicode text, in m"),
        (b'{"m":{"\\udfff":1}}', r"expected a JSON header, got the key '\\udfff', which is no Unicode text, in m"),
        (b'{"m":' + b"9" * 4200 + b"}", "expected a JSON header, got an integer of more than 4000 digits in m"),
        (b'{"m":' + b"9" * 5000 + b"}", "expected a JSON header, got ValueError: Exceeds the limit"),
        (b'{"m":' + b"[" * 200 + b"]" * 200 + b"}", "expected a JSON header, got more than 200 objects and lists"),
        (b"[1]", "expected a JSON object as header, got list"),
    ],
)
@BOTH
def test_a_header_is_one_object_of_strict_json(make, text, words):
    with pytest.raises(FormatError, match=f"^here: {words}"):
        read(make(text))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (first(b"\xff\xfe"), "expected a JSON header, got bytes that are no UTF-8 at 0"),
        (first('{"a":1}'.encode("utf-16")), "expected a JSON header, got bytes that are no UTF-8 at 0"),
        (first('{"a":1}'.encode("utf-16-le")), "expected a JSON header, got JSONDecodeError"),
        (first(b"\xef\xbb\xbf{}"), "expected a JSON header, got JSONDecodeError: Unexpected UTF-8 BOM"),
        (first(TEXT, length=LONGEST_HEADER + 1), "expected a header of at most 16777216 bytes, got 16777217"),
        (first(TEXT, count=MOST_CHUNKS + 1), "expected at most 268435456 chunks, got 268435457"),
        (first(TEXT, count=2**20), "expected at least 16777254 bytes of header and index, got 38; the file is cut"),
        (first(TEXT)[:20], "expected at least 30 bytes, got 20; the file is cut short"),
        (first(TEXT, [b"ab"], index=struct.pack("<QII", 55, 2, zlib.crc32(b"ab"))), "expected chunk 0 at byte 54, got"),
        (first(TEXT, [b"abc"])[:-1], "expected 57 bytes, got 56; the file is cut short"),
        (first(TEXT, [b"abc"]) + b"d", "expected 57 bytes, got 58; something was appended"),
        (second(TEXT, version=3), "expected stream version 2, got 3; use the version that wrote it"),
        (second(TEXT, version=0), "expected stream version 2, got 0, a draft; compress the source again"),
        (second(TEXT)[:9], "expected at least 10 bytes, got 9; the file is cut short"),
        (second(TEXT)[:10], "expected sizes of header and index, got: expected a number of at most 9 bytes, got none"),
        (second(TEXT)[:15], "expected at least [0-9]+ bytes of header and index, got 15; the file is cut short"),
        (second(TEXT, size=2**62), "expected at least [0-9]+ bytes of header and index, got"),
        (second(TEXT, size=3), "expected checksum .* of header and index, got another; the file is damaged"),
        (second(TEXT, items=0), "expected 1 to 65536 items, got 0"),
        (second(TEXT, items=2**16 + 1), "expected 1 to 65536 items, got 65537"),
        (second(TEXT, items=2), "expected sizes of header and index, got: expected a number of at most 9 bytes, got"),
        (second(item=one() + b"x"), "expected header and index to end at byte"),
        (second(TEXT, header=LONGEST_HEADER + 1), "expected a header of at most 16777216 bytes, got 16777217"),
        (second(TEXT, side=2**24 + 1), "expected at most 16777216 bytes beside the header, got 16777217"),
        (second(TEXT, side=1), "expected header and index to end at byte"),
        (second(TEXT, count=MOST_CHUNKS + 1), "expected at most 268435456 chunks, got 268435457"),
        (second(TEXT, count=2**20, bytes=2**20), "expected header and index to end at byte"),
        (second(TEXT, [b"abc"], lengths=b""), "expected 1 lengths of chunks, got 0 bytes of them"),
        (second(TEXT, [b"abc"], lengths=b"\x83\0"), "expected sizes .* got: expected the shortest form of a number"),
        (second(TEXT, [b"abc"], lengths=b"\1\1"), "expected 1 lengths of chunks, got 2"),
        (second(TEXT, [b"abc"], lengths=b"\x83"), "expected 1 lengths of chunks, got 0"),
        (second(TEXT, [b"abc"], lengths=b"\0"), "expected chunks of 1 to [0-9]+ bytes, got 0"),
        (second(TEXT, [b"abc"], lengths=varint(2**62)), f"expected chunks of 1 to [0-9]+ bytes, got {2**62}"),
        (second(TEXT, [b"abc"])[:-1], "expected [0-9]+ bytes, got [0-9]+; the file is cut short"),
        (second(TEXT, [b"abc"]) + b"d", "expected [0-9]+ bytes, got [0-9]+; something was appended"),
        (second(deflated=b"\xff"), "expected a deflated header, got"),
        (second(deflated=one(b"{}")[4:] + b"x"), "expected a deflated header, got bytes that do not end with it"),
        (second(b" " * (LONGEST_HEADER + 1)), "expected a deflated header, got more than 16777216 bytes"),
        (second(b'{"a":\x90}'), "expected a deflated header, got the byte 90, which stands for nothing"),
        (second(b'{"a":1}\0'), "expected a deflated header, got bytes that stand for nothing"),
        (second(b'{"a":1}\0x'), "expected a deflated header, got bytes that stand for nothing"),
        (second(b'{"a":"\x80"}\0\x09x'), "expected a deflated header, got expected 9 bytes, got fewer"),
        (second(b'{"a":[\x83]}\0\x02\0\0\0\0'), "expected a deflated header, got expected 2 numbers, got fewer"),
        (second(b'{"a":[\x83]}\0\x01\0\0\x80\x7f'), "expected a JSON header, got JSONDecodeError"),  # inf
        (second(b'{"a":[\x82]}\0\x02\0\1,\1'), "expected a deflated header, got expected 2 numbers of 0 decimals"),
        (
            second(b'{"a":[\x82]}\0' + varint(2**17 + 1) + b"\0\1," + bytes(2**17 + 1)),
            "expected a deflated header, got",
        ),
        (second(b'{"a":[\x82]}\0\1' + varint(18 * 12) + b"\0\1"), "expected a deflated .* 1 numbers of 18 decimals"),
        (second(b'{"a":[\x82]}\0\1\0\0' + varint(2 * 10**17)), "expected a deflated .* of at most 17 digits, got more"),
    ],
)
def test_what_each_refusal_says(data, words):
    with pytest.raises(FormatError, match=f"^here: {words}") as caught:
        read(data)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


def test_a_writer_wants_the_chunks_it_was_promised():
    writer = ContainerWriter(io.BytesIO(), {}, 2)
    writer.add(b"one")
    for act in (writer.close, lambda: writer.next_item({}, 0)):
        with pytest.raises(ValueError, match="expected 2 chunks, got 1"):
            act()
    with pytest.raises(ValueError, match="expected a chunk of at least one byte, got none"):
        writer.add(b"")
    with pytest.raises(FormatError, match="stream: expected at most 16777216 bytes beside the header, got 16777217"):
        ContainerWriter(io.BytesIO(), {}, 0, bytes(2**24 + 1))


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


@pytest.mark.parametrize("version", [1, 2])
def test_a_sparse_index_takes_no_memory(tmp_path, version):
    count = 1 << 22
    if version == 1:
        prefix = struct.pack("<8sHIIII", MAGIC, 1, 2, zlib.crc32(b"{}"), count, zlib.crc32(bytes(16 * count)))
        start, size = prefix + struct.pack("<I", zlib.crc32(prefix)) + b"{}", FIXED + 2 + 16 * count
        words = f"here: expected chunk 0 at byte {size}, got 0"
    else:
        item = one(count=count, bytes=count)
        start = MAGIC + b"\2\0" + varint(1 + len(item) + 5 * count) + b"\1" + item
        size, words = len(start) + 5 * count, "here: expected chunks of 1 to [0-9]+ bytes, got 0"
    with (tmp_path / "a.lva").open("wb") as file:
        file.write(start)
        file.truncate(size)
        if version == 2:
            file.seek(size)
            file.write(struct.pack("<I", zlib.crc32(bytes(5 * count), zlib.crc32(start))))
    with Source(tmp_path / "a.lva") as source:
        tracemalloc.start()
        reader = ContainerReader(source, "here")
        with pytest.raises(FormatError, match=words):
            reader.read(0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1e7


def test_an_index_of_many_pieces_takes_twelve_bytes_an_entry():
    lengths = [1 + number % 300 for number in range(150_001)]
    chunks = [bytes(length) for length in lengths]
    data = write({}, chunks)
    reader = ContainerReader(io.BytesIO(data), "here")
    tracemalloc.start()
    entries = reader.entries
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [entry.length for entry in entries] == lengths and reader.read(150_000) == chunks[-1]
    assert entries[150_000].offset + lengths[-1] == len(data)
    assert kept < 13 * len(lengths) and peak < 13e6


def test_an_index_is_a_sequence_of_entries():
    entries = ContainerReader(io.BytesIO(write({}, CHUNKS)), "here").entries
    assert [entry.length for entry in entries] == [5, 1, 5] and entries[-1] == entries[2]
    assert list(entries[1:]) == [entries[1], entries[2]] and entries.bytes_of_chunks == 11
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
