"""The coder ``small`` in streams and model directories: what it starts from belongs to the model, and is checked."""

import io
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from liveaction.codec.codec import build_codec
from liveaction.codec.info import read_info
from liveaction.codec.model import Model, load
from liveaction.codec.stream import compress, compress_file, decompress, open_reader
from liveaction.codec.weights import save_model
from liveaction.coding.container import ContainerReader
from liveaction.coding.mixing import HEAVIEST, fresh
from liveaction.errors import FormatError, IntegrityError, SpecError
from liveaction.model_folder import MIXING
from liveaction.recipe import load_recipe
from liveaction.training.data import Crops
from liveaction.training.freeze import freeze
from tests.core.test_hostile import tensors
from tests.core.test_sparse_streams import model_of, signal_of


@pytest.fixture(autouse=True, scope="module")
def two_qualities():
    """Fewer chunks to fit tables to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("liveaction.training.freeze.QUALITIES", {4: 1.0, 7: 0.2})
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A sparse model of two trees with what training leaves, in a folder, and a signal."""
    model = model_of(2, trees=[{"levels": 2}])
    signal = signal_of(model, 1, (123, 125))
    freeze(model.codec, Crops.of(model.modality, signal), 0)
    folder = tmp_path_factory.mktemp("made") / "model"
    save_model(model.codec, model.recipe, folder)
    return load(folder), folder, signal


def copied(made, tmp_path):
    target = tmp_path / "copy"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(made[1], target)
    return target


def header_of(data):
    return ContainerReader(io.BytesIO(data), "x").header


def latents_of(data, model):
    with open_reader(data, model) as reader:
        return [chunk.latents for chunk in reader._chunks(list(range(reader.layout.chunks)))]


def test_streams_are_coded_small_where_nothing_else_is_asked_for(made):
    model, _, signal = made
    found = {
        name: compress(signal, model, step=0.01, **options)[0]
        for name, options in {
            "default": {},
            "small": {"coder": "small"},
            "fast": {"coder": "fast"},
            "quick": {"fast": True},
            "both": {"fast": True, "coder": "small"},
        }.items()
    }
    assert found["default"] == found["small"] and header_of(found["small"])["coder"] == "small"
    assert len(found["small"]) < len(found["fast"]) and len(found["both"]) < len(found["quick"])
    assert all("coder" not in header_of(found[name]) for name in ("fast", "quick"))
    rounded = [latents_of(found[name], model) for name in ("quick", "both")]
    assert all(np.array_equal(*pair) for pair in zip(*rounded, strict=True)), "the same symbols, by two coders"
    for data in found.values():
        back = decompress(data, model)[0]
        assert np.abs(back.values - signal.values).max() < 0.1
        part = decompress(data, model, region=((5, 23), (60, 65)))[0]
        assert np.array_equal(part.values, back.values[:, 5:23, 60:65])


@pytest.mark.slow
@pytest.mark.parametrize("companded", [False, True])
def test_codecs_with_a_network_are_coded_small(companded):
    settings = ["codec.levels=2", "codec.latent_channels=5", "training.crop=[32]", "modality.range=[0,255]"]
    if not companded:
        settings.append("codec.quantizer={kind: uniform, step: 0.1, dead_zone: 0.2}")
    recipe = load_recipe("rgb_smoke", settings)
    torch.manual_seed(1)
    codec = build_codec(recipe).eval()
    assert codec.optimises is not (companded and codec.spec.quantizer.kind != "uniform")
    model = Model(codec, recipe, "0" * 64)
    signal = model.modality.synthetic(4, (70, 90))
    freeze(codec, Crops.of(model.modality, signal), 0)
    data = [compress(signal, model, coder=coder, fast=True)[0] for coder in ("small", "fast")]
    assert all(np.array_equal(*pair) for pair in zip(*(latents_of(one, model) for one in data), strict=True))
    assert data[0] != data[1]


@pytest.mark.slow
def test_freezing_again_gives_the_same_state(made):
    model, folder, signal = made
    again = model_of(2, trees=[{"levels": 2}])
    freeze(again.codec, Crops.of(again.modality, signal), 0)
    assert again.codec.coding_digest("small") == model.codec.coding_digest("small") != model.codec.tables_digest
    for tree, other in zip(again.codec.trees, load(folder).codec.trees, strict=True):
        assert all(np.array_equal(*pair) for pair in zip(tree.chunks.mixing, other.chunks.mixing, strict=True))
    freeze(again.codec, Crops.of(again.modality, signal), 1)
    assert again.codec.coding_digest("small") != model.codec.coding_digest("small")


def test_a_model_of_before_there_was_the_coder_codes_fast(made, tmp_path):
    folder, (_, _, signal) = copied(made, tmp_path), made
    small = compress(signal, made[0])[0]
    (folder / MIXING).unlink()
    old = load(folder)
    assert not old.codec.codes_small
    data = compress(signal, old)[0]
    assert "coder" not in header_of(data) and data == compress(signal, made[0], coder="fast")[0]
    with pytest.raises(SpecError) as caught:
        compress(signal, old, coder="small")
    assert str(caught.value) == (
        "coder small: expected a model with a state to start from, got one without; liveaction freeze makes it"
    )
    with pytest.raises(SpecError, match=r"^coder: expected one of fast, small, got 'tiny'$"):
        compress(signal, old, coder="tiny")
    with pytest.raises(IntegrityError) as caught:
        decompress(small, old)
    assert str(caught.value) == (
        "stream: expected the state of the coder small it was made with, got a model without; pass the model directory "
        "that compressed it"
    )


def test_a_codec_that_loses_its_state_loses_the_file(made, tmp_path):
    folder = copied(made, tmp_path)
    model = load(folder)
    model.codec.trees[1].chunks.mixing = None
    save_model(model.codec, model.recipe, folder)
    assert not (folder / MIXING).exists() and not load(folder).codec.codes_small


def test_another_state_is_another_model(made, tmp_path):
    folder, (model, _, signal) = copied(made, tmp_path), made
    data, fast = compress(signal, model)[0], compress(signal, model, coder="fast")[0]
    arrays = load_file(folder / MIXING)
    arrays["1.quiet"][63, 19] ^= 1 << 31
    save_file(arrays, folder / MIXING)
    changed = load(folder)
    with pytest.raises(
        IntegrityError, match=r"^stream: expected the entropy tables [0-9a-f]{12} it was made with, got"
    ):
        decompress(data, changed)
    assert np.array_equal(decompress(fast, changed)[0].values, decompress(fast, model)[0].values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"0.quiet": None}, "got none of the name '0.quiet'"),
        ({"2.quiet": np.zeros((64, 20), np.uint32)}, "got one that does not belong there of the name '2.quiet'"),
        ({"0.steps\n": np.zeros(4)}, r"got one that does not belong there of the name '0.steps"),
        ({"1.signs": np.zeros((64, 4), np.int32)}, r"1.signs as uint32 \(64, 4\), got int32 \(64, 4\)"),
        ({"1.signs": np.zeros((64, 5), np.uint32)}, r"1.signs as uint32 \(64, 4\), got uint32 \(64, 5\)"),
        ({"1.contexts": np.zeros(2**20, np.uint32)}, r"1.contexts as uint32 \(65536,\), got uint32 \(1048576,\)"),
        (
            {"1.heads": np.full((64, 16), 25, np.uint32)},
            "expected heads, counters that have seen 0 to 24, got 25 to 25",
        ),
        (
            {"0.corrections": np.full((512, 33), -1, np.int32)},
            "expected corrections, numbers from 0 to 65535, got -1 to -1",
        ),
        (
            {"0.corrections": np.full((512, 33), 65536, np.int32)},
            "expected corrections, numbers from 0 to 65535, got 65536 to 65536",
        ),
        (
            {"0.by_kind": np.full((512, 5), -HEAVIEST - 1, np.int32)},
            "expected by_kind, numbers from -268435456 to 268435456, got -268435457 to",
        ),
        (
            {"0.by_magnitude": np.full((512, 5), -(2**31), np.int32)},
            "expected by_magnitude, numbers from -268435456 to 268435456, got -2147483648 to",
        ),
    ],
)
def test_states_that_are_none_are_one_line(made, tmp_path, change, words):
    folder = copied(made, tmp_path)
    arrays = load_file(folder / MIXING) | change
    save_file({name: array for name, array in arrays.items() if array is not None}, folder / MIXING)
    with pytest.raises(FormatError, match=words) as caught:
        load(folder)
    text = str(caught.value)
    assert text.startswith(f"{folder / MIXING}: expected ") and text.endswith(f"liveaction freeze {folder} makes it")
    assert text.isprintable()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        (2**40).to_bytes(8, "little") + b"{}",
        tensors({}, b""),
        tensors({"0.quiet": {"dtype": "U32", "shape": [64, 20], "data_offsets": [0, 4]}}, bytes(4)),
        tensors({"0.quiet": {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]}}, bytes(4)),
        pickle.dumps({"a": 1}),
        json.dumps({"a": 1}).encode(),
    ],
    ids=range(8),
)
def test_files_that_are_no_state_are_one_line(made, tmp_path, data):
    folder = copied(made, tmp_path)
    (folder / MIXING).write_bytes(data)
    with pytest.raises(FormatError, match=r"mixing\.safetensors: expected .*; liveaction freeze .* makes it$"):
        load(folder)
    (folder / MIXING).unlink()
    (folder / MIXING).mkdir()
    with pytest.raises(FormatError, match=r"mixing\.safetensors: expected .*; liveaction freeze .* makes it$"):
        load(folder)


def test_a_state_is_copied_and_never_changed(made):
    model, _, signal = made
    before = model.codec.coding_digest("small")
    for _ in range(2):
        data = compress(signal, model)[0]
        decompress(data, model)
    assert model.codec.coding_digest("small") == before
    assert fresh().quiet is not fresh().quiet


def test_threads_give_equal_bytes(made):
    model, _, signal = made
    threads, found = torch.get_num_threads(), set()
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            found.add(compress(signal, model, fast=True, coder="small")[0])
    finally:
        torch.set_num_threads(threads)
    assert len(found) == 1


def test_info_and_what_is_written_say_the_coder(made, tmp_path):
    model, _, signal = made
    for coder in ("small", "fast"):
        written = compress_file(signal, tmp_path / "a.lva", model, coder=coder)
        assert written.coder == coder == read_info(tmp_path / "a.lva")["coder"]


def test_damage_of_a_chunk_is_filled(made):
    model, _, signal = made
    data = bytearray(compress(signal, model)[0])
    data[-3] ^= 4
    with pytest.raises(IntegrityError, match="--fill VALUE decodes the rest"):
        decompress(bytes(data), model)
    with open_reader(bytes(data), model, fill=0.0) as reader:
        assert np.isfinite(reader.read().values).all() and len(reader.damaged) == 1
