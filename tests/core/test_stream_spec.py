"""docs/stream.md is enough to write a reader: this one knows the page, struct, json and zlib, and nothing else."""

import base64
import hashlib
import io
import json
import re
import struct
import zlib
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, product
from pathlib import Path

import numpy as np
import pytest
import torch

from liveaction import strict_json
from liveaction.codec import grid, lean
from liveaction.codec import header as headers
from liveaction.codec.chunks import most_bytes, unpack_coded, unpack_mask
from liveaction.codec.codec import build_codec
from liveaction.codec.grid import ChunkLayout
from liveaction.codec.lean import fill
from liveaction.codec.model import Model
from liveaction.codec.stream import compress
from liveaction.coding import container
from liveaction.coding.container2 import MOST_ITEMS
from liveaction.coding.dictionary import DICTIONARY
from liveaction.coding.entropy import POSITIONS
from liveaction.coding.fast import decode_chunk
from liveaction.recipe import load_recipe
from liveaction.signal import Signal

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "stream.md").read_text(encoding="utf-8")
ENTROPY = " ".join((Path(__file__).resolve().parents[2] / "docs" / "entropy.md").read_text(encoding="utf-8").split())
EXTENTS = (21, 10, 13)


@pytest.fixture(scope="module")
def made():
    """A stream of many chunks, its signal, and the codec."""
    recipe = load_recipe(
        "array_smoke", ["codec.levels=[1,2,1]", "codec.latent_channels=5", "modality.range=[-1,1]", "training.crop=[8]"]
    )
    torch.manual_seed(0)
    codec = build_codec(recipe).eval()
    rng = np.random.default_rng(0)
    values = rng.uniform(-1, 1, (1, *EXTENTS)).astype(np.float32)
    missing = np.zeros(values.shape, bool)
    missing[0, 3:9, :, 7:] = rng.random((6, 10, 6)) < 0.4
    signal = Signal(values, recipe.modality.axes, "dB", (1, 2, 3), "float32", {}, missing=missing, no_data=-5.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "CHUNK_TOKENS", 30)
        patch.setattr(grid, "WINDOW_SAMPLES", 16 * 60)
        return compress(signal, Model(codec, recipe, "0" * 64))[0], signal, codec


def varint(data, at):
    value = shift = 0
    while True:
        value, at, shift = value | (data[at] & 0x7F) << shift, at + 1, shift + 7
        if data[at - 1] < 0x80:
            assert data[at - 1] or shift == 7
            return value, at


def dictionary():
    """The block of the page."""
    block = re.search(r"### The dictionary.*?```text\n(.*?)\n```", TEXT, re.DOTALL)[1]
    return re.sub(rb"\\x(..)", lambda found: bytes.fromhex(found[1].decode()), block.replace("\n", "").encode())


def decimals(data, at):
    """A list of decimal numbers, and the place behind it."""
    n, at = varint(data, at)
    k, at = varint(data, at)
    s, at = varint(data, at)
    between, at = data[at : at + s].decode(), at + s
    order, style, places = k % 5, k // 5 % 3, k // 15
    values = []
    for _ in range(n):
        z, at = varint(data, at)
        values.append(z // 2 if z % 2 == 0 else -(z + 1) // 2)
    for _ in range(order):
        values = list(accumulate(values))
    texts = []
    for value in values:
        text = f"{Decimal(value).scaleb(-places):f}"
        if style < 2 and "." in text:
            text = text.rstrip("0").rstrip(".")
        texts.append(text + ".0" if style == 1 and "." not in text else text)
    return between.join(texts), at


def expand(payload):
    """The JSON of what was deflated."""
    text, _, rest = payload.partition(b"\0")
    out, at = "", 0
    for byte in text:
        if byte < 0x80:
            out += chr(byte)
        elif byte == 0x82:
            more, at = decimals(rest, at)
            out += more
        else:
            n, at = varint(rest, at)
            size = 4 * n if byte == 0x83 else n
            data, at = rest[at : at + size], at + size
            floats = [] if byte != 0x83 else [float(value) for value in np.frombuffer(data, "<f4")]
            out += {
                0x80: base64.b64encode(data).decode(), 0x81: data.hex(), 0x83: ",".join(map(repr, floats)),
            }[byte]  # fmt: skip
    assert at == len(rest)
    return json.loads(out)


def filled(header):
    """A header with what was left out."""
    full = {
        "bits": 0,
        "metadata": {},
        "no_data": 0.0,
        "tree": 0,
        "components": 0,
        "coder": "fast",
        "extras": {},
    } | header
    modality = {"channels": 1, "unit": "", "options": {}} | header["modality"]
    native, axes = header["native_dtype"], len(header["shape"]) - 1
    limits = (
        np.iinfo(native) if modality["range"] == "native" and native in ("int8", "uint8", "int16", "uint16") else None
    )
    if isinstance(full["factors"], int):
        full["factors"] = [full["factors"]] * axes
    sizes = [-(-s // f) for s, f in zip(full["shape"][1:], full["factors"], strict=True)]
    chunk, left = [0] * axes, Fraction(4096)
    for done, axis in enumerate(sorted(range(axes), key=lambda axis: (sizes[axis], axis))):
        power = max(i for i in range(13) if 2 ** (i * (axes - done)) <= left)
        chunk[axis] = min(2**power, sizes[axis])
        left /= chunk[axis]
    chunk = full.get("chunk", chunk)
    counts = [-(-g // c) for g, c in zip(sizes, chunk, strict=True)]
    most = 2**24 // ((1 if full["components"] else full["shape"][0]) * int(np.prod(full["factors"])))

    def length(axis):
        return min(counts[axis] * chunk[axis], sizes[axis])

    while np.prod([length(axis) for axis in range(axes)]) > most and max(counts) > 1:
        axis = min((axis for axis in range(axes) if counts[axis] > 1), key=lambda axis: (-length(axis), axis))
        counts[axis] = -(-counts[axis] // 2)
    return {
        "dtype": native, "axes": modality["axes"], "unit": modality["unit"], "spacing": [1.0] * axes,
        "range": [float(limits.min), float(limits.max)] if limits else modality["range"],
        "chunk": chunk, "window": [n * c for n, c in zip(counts, chunk, strict=True)], "halo": 4 if axes < 3 else 2,
    } | full | {"modality": modality}  # fmt: skip


def items(data):
    """Header as it is packed, side and chunks of every item, every checksum looked at."""
    assert data[:8] == bytes.fromhex("894C56410D0A1A0A") and struct.unpack("<H", data[8:10]) == (2,)
    size, at = varint(data, 10)
    end = at + size
    assert struct.unpack("<I", data[end : end + 4])[0] == zlib.crc32(data[:end])
    count, at = varint(data, at)
    place, before, found = end + 4, b"", []
    for _ in range(count):
        sizes = []
        for _ in range(4):
            value, at = varint(data, at)
            sizes.append(value)
        h, z, n, v = sizes
        unpacker = zlib.decompressobj(-15, (dictionary() + before)[-(2**15) :])
        payload = unpacker.decompress(data[at : at + h])
        assert unpacker.eof
        before = before or payload
        side, at = data[at + h : at + h + z], at + h + z
        crcs, chunks, last = struct.unpack(f"<{n}I", data[at + v : at + v + 4 * n]), [], at + v
        for crc in crcs:
            length, at = varint(data, at)
            chunks.append(data[place : place + length])
            place += length
            assert zlib.crc32(chunks[-1]) == crc and chunks[-1]
        assert at == last
        at = last + 4 * n
        found.append((payload, side, chunks))
    assert at == end and place == len(data)
    return found


def read(data):
    """Header and chunks of the first item."""
    payload, _, chunks = items(data)[0]
    return filled(expand(payload)), chunks


def read_version_1(data):
    """Header and chunks, every checksum looked at."""
    magic, version, length, header_crc, count, index_crc = struct.unpack("<8sHIIII", data[:26])
    assert magic == bytes.fromhex("894C56410D0A1A0A") and version == 1
    assert struct.unpack("<I", data[26:30])[0] == zlib.crc32(data[:26])
    text, index = data[30 : 30 + length], data[30 + length : 30 + length + 16 * count]
    assert zlib.crc32(text) == header_crc and zlib.crc32(index) == index_crc
    place, chunks = 30 + length + 16 * count, []
    for offset, size, crc in struct.iter_unpack("<QII", index):
        assert offset == place and zlib.crc32(data[offset : offset + size]) == crc
        chunks.append(data[offset : offset + size])
        place += size
    assert place == len(data)
    return json.loads(text), chunks


def boxes(header, size):
    """Latents of chunks or windows in raster order, the last axis fastest."""
    latents = [-(-s // f) for s, f in zip(header["shape"][1:], header["factors"], strict=True)]
    counts = [-(-g // c) for g, c in zip(latents, header[size], strict=True)]
    for place in product(*map(range, counts)):
        yield tuple((k * c, min((k + 1) * c, g)) for k, c, g in zip(place, header[size], latents, strict=True))


def samples(header, box):
    """The samples of a box of latents."""
    sizes = zip(box, header["factors"], header["shape"][1:], strict=True)
    return tuple((low * f, min(high * f, s)) for (low, high), f, s in sizes)


def inflated(chunk, count):
    """The mask of a chunk of so many values, and the bytes of its symbols."""
    length, at = varint(chunk, 0)
    mask, rest = chunk[at : at + length], chunk[at + length :]
    if not mask:
        return [0] * count, rest
    content = zlib.decompress(mask[1:], -15)
    if mask[0] == 1:
        bits, at, kind = [], 0, 0
        while at < len(content):
            run, at = varint(content, at)
            bits, kind = bits + [kind] * run, 1 - kind
        assert len(bits) == count
    else:
        assert mask[0] == 0 and len(content) == -(-count // 8)
        bits = [content[n // 8] >> 7 - n % 8 & 1 for n in range(8 * len(content))]
        assert not any(bits[count:])
    return bits[:count], rest


def test_a_reader_made_from_the_page_finds_header_index_masks_and_symbols(made):
    data, signal, codec = made
    header, chunks = read(data)
    assert header["shape"] == [1, *EXTENTS] and header["factors"] == [2, 4, 2] and len(chunks) > 8
    found = np.zeros(signal.values.shape, bool)
    for chunk, box in zip(chunks, boxes(header, "chunk"), strict=True):
        place = (slice(None), *(slice(low, high) for low, high in samples(header, box)))
        shape = found[place].shape
        bits, rest = inflated(chunk, int(np.prod(shape)))
        found[place] = np.array(bits, bool).reshape(shape)
        ours = unpack_mask(chunk, shape, "x")
        assert np.array_equal(found[place], np.zeros(shape, bool) if ours is None else ours)
        wanted = (header["latent_channels"], *(high - low for low, high in box))
        assert unpack_coded(chunk, "x") == rest
        (symbols,) = decode_chunk(rest, [wanted], codec.tables, "x")
        assert symbols.shape == wanted
    assert found.any() and np.array_equal(found, signal.missing)


def test_the_geometry_is_the_one_of_the_page(made):
    header, chunks = read(made[0])
    keys = ("factors", "chunk", "window")
    layout = ChunkLayout(tuple(header["shape"][1:]), *(tuple(header[key]) for key in keys), header["halo"])
    assert [layout.chunk_box(number) for number in range(len(chunks))] == list(boxes(header, "chunk"))
    windows = list(layout.windows())
    assert windows == list(boxes(header, "window")) and len(windows) > 2
    halo, latents = header["halo"], layout.grid
    for window in windows:
        assert layout.samples(window) == samples(header, window)
        assert layout.around(window) == tuple(
            (max(low - halo, 0), min(high + halo, g)) for (low, high), g in zip(window, latents, strict=True)
        )


def test_the_page_has_the_dictionary():
    assert dictionary() == DICTIONARY
    assert f"{len(DICTIONARY)} bytes, SHA-256 `{hashlib.sha256(DICTIONARY).hexdigest()}`" in TEXT


def test_a_header_with_all_that_can_be_packed_and_several_items():
    header = {
        "weights": "00112233445566778899aabbccddeeff", "metadata": {
            "header": base64.b64encode(bytes(range(65))).decode(), "affine": [0.1, float(np.float32(0.7)), -0.0, 1e-20],
            "floats": [float(np.float32(value)) for value in (0.7, -1e10, 3e-5)],
            "text": "wavelength = {" + ", ".join(f"{400 + k * k / 7:.6g}" for k in range(65)) + "}",
            "kept": "{0.10, 0.20, 0.30, 0.40, 0.50, 0.60, 0.70}", "list": [float(k * k - 40) for k in range(63)],
            "whole": [-(7**k) for k in range(20)],
        },
    }  # fmt: skip
    file = io.BytesIO()
    writer = container.ContainerWriter(file, header, 1, b"basis")
    writer.add(b"one")
    writer.next_item({"other": 1, **header}, 2)
    writer.add(b"two")
    writer.add(b"three")
    writer.close()
    first, second = items(file.getvalue())
    assert {byte for byte in first[0].partition(b"\0")[0] if byte >= 0x80} == {0x80, 0x81, 0x82, 0x83}
    assert (expand(first[0]), *first[1:]) == (header, b"basis", [b"one"])
    assert (expand(second[0]), *second[1:]) == ({"other": 1, **header}, b"", [b"two", b"three"])


def test_version_1_is_the_one_of_the_page():
    data = (Path(__file__).resolve().parents[1] / "golden" / "v1" / "volume.lva").read_bytes()
    reader = container.ContainerReader(io.BytesIO(data), "x")
    assert read_version_1(data) == (reader.header, [reader.read(number) for number in range(reader.chunks)])


@pytest.mark.parametrize("components", [0, 3])
@pytest.mark.parametrize(
    "shape", [[1, 63], [3, 768, 512], [2, 1, 65], [1, 300, 900, 7], [7, 65, 63, 1, 20], [1, 10**6]]
)
def test_what_is_left_out_is_what_the_page_says(shape, components):
    axes = ["a", "b", "c", "d"][: len(shape) - 1]
    modality = {"name": "array", "axes": axes, "unit": "dB", "range": "native"}
    for factors, native in [(1, "uint8"), (8, "int16"), ([2, 16, 4, 1][: len(axes)], "uint16")]:
        raw = {
            "modality": modality,
            "shape": shape,
            "factors": factors,
            "native_dtype": native,
            "components": components,
        }
        ours, page = fill(raw), filled(raw)
        for name in page.keys() - {"modality"}:
            assert json.dumps(ours[name]) == json.dumps(page[name]), name


def test_the_page_names_every_key_with_what_is_left_out():
    part = TEXT[TEXT.index("| `recipe` |") : TEXT.index("### The dictionary")]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", part, re.MULTILINE))
    assert list(rows) == list(headers.StreamHeader.model_fields)
    told = {name for name, text in rows.items() if "; left out: " in text}
    assert told == {*lean._RULES, *lean._CONSTANT}
    assert all(f"`{name}`" in rows["dtype"] for name in headers.DTYPES)


def test_the_limits_are_the_ones_of_the_page():
    digits = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", TEXT[TEXT.index("## Limits") :], re.MULTILINE))
    powers = {
        name: 2 ** int(found[1].translate(digits))
        for name, text in rows.items()
        if (found := re.match(r"2([⁰-⁹¹²³]+)", text))
    }
    assert powers["header"] == container.LONGEST_HEADER and powers["chunks"] == container.MOST_CHUNKS
    assert powers["side"] == container.LONGEST_SIDE and powers["items"] == MOST_ITEMS
    assert f"at most {most_bytes(0, (0, 0))} bytes, twice" in TEXT
    assert powers["values, C · ∏ S"] == headers.MAX_VOXELS and powers["ends and width of `range`"] == headers.LARGEST
    assert rows["latents of a chunk"] == str(POSITIONS) == "16384" and "16 384 positions" in ENTROPY
    shares = headers.MAX_VOXELS // headers.WINDOW_SHARE, headers.MAX_VOXELS // headers.WHOLE_SHARE
    assert shares == (2**25, 2**28) and headers.MOST_HALO == 16
    assert rows["objects and lists within each other"] == str(strict_json.DEEPEST)
