"""Headers without what can be told: nothing changes by it, and older and newer keys are checked."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from liveaction.codec.codec import build_codec
from liveaction.codec.header import check_codec, parse_header
from liveaction.codec.lean import fill, lean
from liveaction.codec.model import Model
from liveaction.codec.stream import compress
from liveaction.coding.container import ContainerReader
from liveaction.errors import FormatError, IntegrityError
from liveaction.recipe import load_recipe
from liveaction.signal import Signal

SETTINGS = ["codec.levels=1", "codec.latent_channels=3", "codec.encoder.depth=0", "codec.decoder.depth=0"]
FULL = {
    "recipe": "r", "weights": "0" * 32, "tables": "1" * 16,
    "modality": {"name": "array", "axes": ["a", "b"], "unit": "dB", "range": [-1.0, 1.0]},
    "shape": [2, 63, 65], "dtype": "int16", "native_dtype": "int16", "bits": 0, "axes": ["a", "b"], "unit": "dB",
    "spacing": [1.0, 1.0], "metadata": {}, "no_data": 0.0, "range": [-1.0, 1.0], "latent_channels": 6,
    "factors": [8, 8], "chunk": [8, 9], "window": [8, 9], "halo": 4, "step": 0.5, "tree": 0, "components": 0,
    "coder": "fast", "extras": {},
}  # fmt: skip
LEFT = {"recipe", "weights", "tables", "modality", "shape", "native_dtype", "latent_channels", "factors", "step"}


def plain(header):
    """What tells 1 from 1.0, and a tuple not from a list."""
    return repr(header).replace("(", "[").replace(")", "]")


def test_what_can_be_told_is_left_out_and_comes_back():
    short = lean(FULL)
    assert short.keys() == LEFT and short["factors"] == 8
    assert json.dumps(fill(short), sort_keys=True) == json.dumps(FULL, sort_keys=True)


@pytest.mark.parametrize(
    "keys",
    [
        {"dtype": "float32"}, {"bits": 12}, {"axes": ["a", "c"]}, {"unit": ""}, {"spacing": [1, 1.0]},
        {"spacing": [1.0, 0.5]}, {"metadata": {"a": 1}}, {"no_data": None}, {"no_data": -0.0}, {"no_data": 0},
        {"range": [-1, 1.0]}, {"range": [-1.0, 2.0]}, {"factors": [8, 4], "chunk": [8, 16], "window": [8, 16]},
        {"chunk": [4, 4], "window": [4, 12]}, {"window": [16, 9]}, {"halo": 0}, {"tree": 3}, {"components": 2},
        {"coder": "small"}, {"extras": {"a": None}}, {"metadata": {"b": float("nan")}}, {"metadata": {1: object()}},
    ],
)  # fmt: skip
def test_what_is_another_stays(keys):
    full = FULL | keys
    short = lean(full)
    assert keys.keys() - {"factors"} <= short.keys()
    back = fill(short)
    assert plain({key: back[key] for key in full}) == plain(full)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"shape": None}, "'shape' to be right"),
        ({"shape": [2]}, "'factors' to be right"),
        ({"shape": [2, 63]}, "'axes' with one entry per axis .1., got 2"),
        ({"shape": [2, 63, 2**62]}, "at most 17179869184 values"),
        ({"shape": [2, "x", 65]}, "'shape.1' to be right"),
        ({"shape": [2] * 10**5}, "'shape' to be right"),
        ({"factors": 0}, "'factors.0' to be right"),
        ({"factors": True}, "'factors' to be right"),
        ({"factors": 10**30}, "'factors.0' to be right"),
        ({"factors": [8]}, "'factors' with one entry per axis .2., got 1"),
        ({"factors": None}, "'factors' to be right"),
        ({"modality": None}, "'modality' to be right"),
        ({"modality": {"axes": "x" * 10**6, "range": {}}}, "'modality.* to be right"),
        ({"native_dtype": ["int16"]}, "'native_dtype' to be right"),
        ({"native_dtype": "object"}, "'native_dtype' to be right, got: expected a dtype among"),
        ({"weights": "0" * 31}, "'weights' to be right"),
        ({"weights": "0" * 16}, "'weights' to be right"),
        ({"tables": "0" * 32}, "'tables' to be right"),
        ({"tree": 8}, "'tree' to be right"),
        ({"tree": 1.0}, "'tree' to be right"),
        ({"components": -1}, "'components' to be right"),
        ({"components": 4}, "expected latent channels for each of 4 components, got 6 in all"),
        (
            {"coder": "careful"},
            "expected a coder among fast, small, got 'careful'; take the version of liveaction that wrote",
        ),
        ({"coder": 5}, "'coder' to be right"),
    ],
)
def test_headers_that_leave_out_what_cannot_be_told(keys, words):
    with pytest.raises(FormatError, match=words) as caught:
        parse_header(lean(FULL) | keys, 1, "here")
    assert str(caught.value).startswith("here: expected") and len(str(caught.value)) < 500


def test_a_modality_of_any_number_of_channels_takes_those_of_the_shape():
    some = {**FULL["modality"], "channels": 0}
    for channels in (1, 7, 63):
        keys = {"modality": some, "shape": [channels, 63, 65], "components": 3}
        header = parse_header(lean(FULL) | keys, 1, "here")
        assert header.shape[0] == channels and header.components == 3
    with pytest.raises(FormatError, match="expected a modality of 2 channels and 2 axes as the shape has, got 3 and 2"):
        parse_header(lean(FULL) | {"modality": {**some, "channels": 3}}, 1, "here")


def test_latent_channels_are_those_of_all_components():
    codec = SimpleNamespace(
        coding_digest=lambda coder: "1" * 64, channels=1, axes=2, latents=3, own=True,
        packets=SimpleNamespace(factors=(8, 8), bands=64), layout=lambda extents, batch: header.layout,
    )  # fmt: skip
    codec.trees = [codec]
    model = SimpleNamespace(codec=codec, digest="0" * 64)
    header = parse_header(lean(FULL) | {"modality": {**FULL["modality"], "channels": 0}, "components": 2}, 1, "here")
    check_codec(header, model, "here")
    wrong = header.model_copy(update={"components": 3})
    with pytest.raises(FormatError, match=r"expected 1 channels, 9 latent channels, .*, got 1, 6, "):
        check_codec(wrong, model, "here")
    none = header.model_copy(update={"components": 0})
    with pytest.raises(FormatError, match=r"expected 1 channels, 0 latent channels, .*, got 1, 6, "):
        check_codec(none, model, "here")
    codec.own = False
    for wrong in (header, none):
        with pytest.raises(FormatError, match=r"expected 1 channels, 3 latent channels, .* and 0 comp.*, got 2, 6, "):
            check_codec(wrong, model, "here")


def test_digests_are_compared_by_what_is_written_of_them():
    recipe = load_recipe("array_smoke", [*SETTINGS, "modality.range=[-1,1]", "training.crop=[8]"])
    torch.manual_seed(0)
    codec = build_codec(recipe).eval()
    signal = Signal(np.zeros((1, 7, 1, 63), np.float32), recipe.modality.axes, "dB", (1.0,) * 3, "float32")
    digest = "0123456789abcdef" * 4
    model = Model(codec, recipe, digest)
    data = compress(signal, model)[0]
    container = ContainerReader(io.BytesIO(data), "x")
    assert container.header["weights"] == digest[:32] and container.header["tables"] == codec.tables_digest[:16]
    assert container.entries[0].offset < 125 + 7 * container.chunks  # header and index of a small signal
    header = parse_header(container.header, container.chunks, "x")
    check_codec(header, model, "x")
    for weights, tables in [(digest[:31] + "0", header.tables), (digest[:32], "0" * 16), ("0" * 64, header.tables)]:
        with pytest.raises(IntegrityError, match=r"x: expected the (weights|entropy tables) [0-9a-f]{12} "):
            check_codec(header.model_copy(update={"weights": weights, "tables": tables}), model, "x")
    whole = header.model_copy(update={"weights": digest, "tables": codec.tables_digest})  # as in version 1
    check_codec(whole, model, "x")
