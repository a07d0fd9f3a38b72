"""Streams of the past: every later version decodes them to the same symbols, and to the same samples within rounding.

``LIVEACTION_UPDATE_GOLDEN=1`` writes what is missing; what is there is never written again.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from liveaction.codec.chunks import unpack_coded
from liveaction.codec.codec import build_codec
from liveaction.codec.grid import shape_of
from liveaction.codec.info import read_info
from liveaction.codec.model import Model, load, verify
from liveaction.codec.stream import compress_file, decompress, open_reader
from liveaction.codec.weights import save_model
from liveaction.coding.fast import decode_chunk
from liveaction.coding.mixing import kinds_of
from liveaction.coding.small import SmallDecoder
from liveaction.errors import FormatError
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal
from liveaction.training.data import Crops
from liveaction.training.freeze import freeze

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
FOLDERS = {1: GOLDEN / "v1", 2: GOLDEN / "v2"}
WRITTEN = 2
CASES = {
    "line": ("array_smoke", (5000,), ("modality.axes=[t]", "codec.levels=5", "training.crop=[64]")),
    "picture": ("rgb_smoke", (70, 90), ("codec.levels=2", "codec.latent_channels=5", "training.crop=[32]")),
    "volume": ("array_smoke", (30, 34, 26), ("codec.levels=1", "codec.latent_channels=3", "training.crop=[16]")),
}
SMALL = ("codec.encoder.depth=1", "codec.decoder.depth=1")
SPARSE = (
    "codec.levels=1", "codec.latent_channels=null", "codec.wavelet=bior6.8", "codec.continuation=1",
    "codec.decoder={kind: linear}", "codec.quantizer={kind: uniform, step: 0.05}", "training.crop=[16]",
    "training.steps=0", "training.start=warm", "modality.range=[-1, 1]",
)  # fmt: skip
MIXED = {
    "sparse": ((1, 70, 45), (*SPARSE, "codec.encoder={kind: sparse}", "modality.axes=[y, x]")),
    "own": (
        (5, 900),
        (
            *SPARSE,
            "codec.encoder={kind: sparse, basis: own}",
            "codec.levels=2",
            "codec.continuation=0",
            "modality.axes=[t]",
            "modality.channels=0",
        ),
    ),
}
"""Of the coder ``small``: channels and extents, and settings."""


def _write(name):
    """A tiny model, a stream and what it decodes to."""
    recipe_name, extents, overrides = CASES[name]
    if recipe_name == "array_smoke":
        overrides = (*overrides, "modality.options={no_data: -99, dtype: float32}", "modality.range=[-90, 30]")
    recipe = load_recipe(recipe_name, [*overrides, *SMALL, f"codec.latent_channels={min(5, len(extents) + 2)}"])
    torch.manual_seed(1)
    codec = build_codec(recipe).eval()
    modality = build_modality(recipe.modality)
    signal = modality.synthetic(4, extents)
    freeze(codec, Crops.of(modality, signal), 0)
    folder = FOLDERS[WRITTEN]
    model = Model(codec, recipe, save_model(codec, recipe, folder / name))
    compress_file(signal, folder / f"{name}.lva", model, extras={"note": name})
    sums, signal = _read(folder, name)
    np.savez_compressed(folder / f"{name}.npz", values=signal.values[:, ::3])
    (folder / f"{name}.json").write_text(json.dumps({"symbols": sums, "info": read_info(folder / f"{name}.lva")}))


def _write_mixed(name):
    """A sparse model that has learnt from its signal, a stream of the coder ``small``, and what it decodes to."""
    extents, overrides = MIXED[name]
    recipe = load_recipe("array_smoke", [*overrides, "modality.options={dtype: float32}"])
    codec = build_codec(recipe).eval()
    modality = build_modality(recipe.modality)
    rng = np.random.default_rng(3)
    places = sum(np.meshgrid(*(np.linspace(0, 3 + n / 20, n) for n in extents[1:]), indexing="ij"))
    parts = [np.sin(places), np.cos(places * places / 4) * (places > 4)]
    values = 0.4 * np.tensordot(rng.uniform(-1, 1, (extents[0], 2)), np.stack(parts), 1)
    values = (values + 0.01 * rng.standard_normal(extents)).clip(-1, 1).astype(np.float32)
    signal = Signal(values, recipe.modality.axes, "", (1.0,) * (len(extents) - 1), "float32")
    freeze(codec, Crops.of(modality, signal), 0)
    folder = FOLDERS[WRITTEN]
    model = Model(codec, recipe, save_model(codec, recipe, folder / name))
    compress_file(signal, folder / f"{name}.lva", model, step=0.03, coder="small", extras={"note": name})
    sums, signal = _read(folder, name)
    np.savez_compressed(folder / f"{name}.npz", values=signal.values[..., ::3])
    (folder / f"{name}.json").write_text(json.dumps({"symbols": sums, "info": read_info(folder / f"{name}.lva")}))


def _read(folder, name):
    model = load(folder / name)
    path = folder / f"{name}.lva"
    with open_reader(path, model) as reader:
        symbols = [_symbols(reader, number) for number in range(reader.layout.chunks)]
    sums = [hashlib.sha256(part.astype("<i4").tobytes()).hexdigest() for part in symbols]
    return sums, decompress(path, model)[0]


def _symbols(reader, number):
    """Those of a chunk in one part, ``[L, *c]``."""
    header, codec = reader.header, reader.codec
    coded = unpack_coded(reader.container.read(number, header.chunk_bytes(number)), "x", reader.container.version)
    if header.coder == "small":
        return _mixed_symbols(coded, codec.chunks, max(1, header.components), shape_of(reader.layout.chunk_box(number)))
    shape = (codec.latents, *shape_of(reader.layout.chunk_box(number)))
    (found,) = decode_chunk(coded, [shape], codec.tables, "x")
    assert codec.chunks.shapes(1, shape[1:]) == [shape]
    return found


def _mixed_symbols(coded, chunks, components, extents):
    """Those of all parts in a row."""
    shapes, tables = chunks.shapes(components, extents), chunks.tables_of(components)
    decoder = SmallDecoder(coded, shapes, tables, kinds_of(chunks.rows, components), chunks.mixing, "x")
    found = [decoder.next().reshape(-1) for _ in shapes]
    decoder.finish()
    return np.concatenate(found)


@pytest.mark.parametrize("name", MIXED)
def test_streams_of_the_coder_small_decode_for_ever(name):
    folder = FOLDERS[2]
    if WRITTEN == 2 and not (folder / f"{name}.json").exists() and os.environ.get("LIVEACTION_UPDATE_GOLDEN"):
        _write_mixed(name)
    expected = json.loads((folder / f"{name}.json").read_text())
    sums, signal = _read(folder, name)
    assert sums == expected["symbols"] and len(sums) >= 1  # to the last bit, on any machine
    values = np.load(folder / f"{name}.npz")["values"]
    assert np.abs(signal.values[..., ::3] - values).max() <= 1e-4
    info = read_info(folder / f"{name}.lva")
    assert info["coder"] == "small" and {key: info[key] for key in expected["info"]} == expected["info"]
    assert verify(folder / f"{name}.lva", load(folder / name)).damaged == ()


@pytest.mark.parametrize("version", FOLDERS)
@pytest.mark.parametrize("name", CASES)
def test_every_version_decodes_for_ever(name, version):
    folder = FOLDERS[version]
    if version == WRITTEN and not (folder / f"{name}.json").exists() and os.environ.get("LIVEACTION_UPDATE_GOLDEN"):
        folder.mkdir(parents=True, exist_ok=True)
        _write(name)
    expected = json.loads((folder / f"{name}.json").read_text())
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            sums, signal = _read(folder, name)
            assert sums == expected["symbols"]  # to the last bit, on any machine
            values = np.load(folder / f"{name}.npz")["values"].astype(float)
            range_ = expected["info"]["range"]
            assert np.abs(signal.values[:, ::3] - values).max() <= max(1e-4 * (range_[1] - range_[0]), 1)
    finally:
        torch.set_num_threads(threads)
    info = read_info(folder / f"{name}.lva")
    assert (
        info["version"] == version and {key: info[key] for key in expected["info"]} == expected["info"]
    )  # later versions say more
    assert verify(folder / f"{name}.lva", load(folder / name)).damaged == ()


def test_version_0_was_a_draft_and_is_refused():
    with pytest.raises(FormatError, match="expected stream version 2, got 0, a draft; compress the source again"):
        read_info(GOLDEN / "v0" / "line.lva")
