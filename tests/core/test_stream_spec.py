"""docs/stream.md is enough to write a reader: this one knows the page, struct, json and zlib, and nothing else."""

import json
import re
import struct
import zlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from liveaction import strict_json
from liveaction.codec import grid
from liveaction.codec import header as headers
from liveaction.codec.chunks import unpack_mask, unpack_symbols
from liveaction.codec.codec import build_codec
from liveaction.codec.grid import ChunkLayout
from liveaction.codec.model import Model
from liveaction.codec.stream import compress
from liveaction.coding import container
from liveaction.coding.entropy import POSITIONS
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


def read(data):
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
    (length,) = struct.unpack("<I", chunk[:4])
    mask = zlib.decompress(chunk[4 : 4 + length]) if length else bytes(-(-count // 8))
    assert len(mask) == -(-count // 8)
    bits = [mask[n // 8] >> 7 - n % 8 & 1 for n in range(8 * len(mask))]
    assert not any(bits[count:])
    return bits[:count], chunk[4 + length :]


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
        symbols = unpack_symbols(chunk, [wanted], codec.tables, "x")[0]
        again = unpack_symbols(b"\0\0\0\0" + rest, [wanted], codec.tables, "x")[0]
        assert symbols.shape == wanted and np.array_equal(symbols, again)
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


def test_the_page_names_every_key_with_what_is_required():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", TEXT, re.MULTILINE))
    fields = headers.StreamHeader.model_fields
    assert list(rows) == list(fields)
    assert [name for name, text in rows.items() if "optional" in text] == [
        n for n, f in fields.items() if not f.is_required()
    ]
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
    assert powers["values, C · ∏ S"] == headers.MAX_VOXELS and powers["ends and width of `range`"] == headers.LARGEST
    assert rows["latents of a chunk"] == str(POSITIONS) == "16384" and "16 384 positions" in ENTROPY
    shares = headers.MAX_VOXELS // headers.WINDOW_SHARE, headers.MAX_VOXELS // headers.WHOLE_SHARE
    assert shares == (2**25, 2**28) and headers.MOST_HALO == 16
    assert rows["objects and lists within each other"] == str(strict_json.DEEPEST)
