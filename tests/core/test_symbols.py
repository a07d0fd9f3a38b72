"""The latents of a stream are those that were coded, without decoding a sample."""

import numpy as np
import pytest
import torch

from liveaction.codec.codec import build_codec
from liveaction.codec.model import Model
from liveaction.codec.stream import open_reader
from liveaction.codec.symbols import read_latents
from liveaction.coding.mixing import fresh
from liveaction.errors import IntegrityError
from liveaction.recipe import load_recipe


def model_of(name, *settings):
    recipe = load_recipe(name, list(settings))
    codec = build_codec(recipe).eval().requires_grad_(False)
    for tree in codec.trees:
        tree.chunks.mixing = fresh()
    return Model(codec, recipe, "0" * 64)


@pytest.mark.parametrize(
    ("name", "extents"), [("rgb_smoke", (63, 65)), ("ct_smoke", (17, 40, 33)), ("array_audio_smoke", (3001,))]
)
def test_latents_of_a_stream_are_the_symbols_that_were_coded(name, extents, monkeypatch):
    model = model_of(name)
    signal = model.modality.synthetic(0, extents)
    x = model.modality.normalise(signal.values, model.modality.range_of(signal))[None]
    wanted = model.codec.to_symbols(x, 0.25)[0].numpy()
    with open_reader(model.compress(signal, step=0.25, fast=True), model) as reader:
        monkeypatch.setattr(model.codec.packets, "inverse", None)
        latents, step = read_latents(reader)
    assert step == 0.25 and latents.dtype == np.float32
    assert np.array_equal(np.rint(latents / step), wanted) and np.any(wanted)


def test_of_a_predict_step_they_are_what_the_decoder_is_given():
    model = model_of("rgb_predicted", "codec.encoder.width=2")
    signal = model.modality.synthetic(1, (70, 64))
    with open_reader(model.compress(signal), model) as reader:
        latents, step = read_latents(reader)
        layout, back = reader.layout, reader.read()
    tree = reader.codec
    with torch.no_grad():
        x = tree.decode_window(torch.from_numpy(latents)[None], layout, tuple((0, n) for n in layout.grid), step)[0]
    assert np.array_equal(model.modality.denormalise(x, "uint8", reader.header.range), back.values)


def test_damage_is_refused_or_zero():
    model = model_of("rgb_smoke")
    data = bytearray(model.compress(model.modality.synthetic(0, (32, 32))))
    data[-1] ^= 1
    with open_reader(bytes(data), model) as reader, pytest.raises(IntegrityError, match="chunk 0"):
        read_latents(reader)
    with open_reader(bytes(data), model, fill=0.0) as reader:
        assert not read_latents(reader)[0].any() and list(reader.damaged) == [0]
