"""Headers, recipes and models made to do harm: refused in one line, no memory taken for what is not there."""

import io
import json
import pickle
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.codec.codec import build_codec
from liveaction.codec.header import MAX_VOXELS, check_codec, parse_header
from liveaction.codec.model import Model, load, verify
from liveaction.codec.stream import compress, decompress, open_reader
from liveaction.codec.weights import save_model, save_tables
from liveaction.coding.container import MAGIC, ContainerReader, ContainerWriter
from liveaction.errors import FormatError, SpecError
from liveaction.recipe import load_recipe, parse_recipe
from liveaction.signal import Signal

RECIPE = load_recipe(
    "array_smoke", ["codec.levels=1", "codec.latent_channels=3", "modality.range=[-1,1]", "training.crop=[8]"]
)
EXTENTS = (9, 7, 11)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A codec in its folder and a stream of it."""
    torch.manual_seed(0)
    codec = build_codec(RECIPE).eval()
    folder = tmp_path_factory.mktemp("model")
    model = Model(codec, RECIPE, save_model(codec, RECIPE, folder))
    values = np.random.default_rng(0).uniform(-1, 1, (1, *EXTENTS)).astype(np.float32)
    signal = Signal(values, RECIPE.modality.axes, "dB", (1.0,) * 3, "float32", {"format": "npy"})
    return model, folder, compress(signal, model)[0]


def changed(data, path=None, **keys):
    """The same chunks under another header."""
    container, file = ContainerReader(io.BytesIO(data), "x"), io.BytesIO()
    writer = ContainerWriter(file, {**container.header, **keys}, container.chunks)
    for number in range(container.chunks):
        writer.add(container.read(number))
    writer.close()
    return file.getvalue() if path is None else path.write_bytes(file.getvalue())


def modality(made, **keys):
    return json.loads(RECIPE.modality.model_dump_json()) | keys


# -- headers


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"range": [-1e308, 1e308]}, "expected a range within what float32 holds"),
        ({"dtype": "uint8", "range": [-9, -2]}, "expected a range that uint8 values meet"),
        ({"shape": [1, 2**63, 1, 1]}, "header key 'shape.1' to be right"),
        ({"window": [10**400, 1, 1]}, "header key 'window.0' to be right"),
        ({"axes": ["a\n", "b", "c"]}, "header key 'axes.0' to be right"),
        ({"unit": "\x1b[2J"}, "header key 'unit' to be right"),
        ({"modality": modality(0, channels=2)}, "expected a modality of 1 channels and 3 axes"),
        ({"modality": modality(0, name="nosuch")}, "expected a modality that this installation has, got: .*'nosuch'"),
        ({"modality": modality(0, options={"no": 1})}, "expected a modality that this installation has, got: .* no: "),
        ({"modality": modality(0, options={"o\x7f\n": 1})}, r"expected a modality that .* o\\x7f : expected a known"),
        ({"modality": modality(0, options={"_target_": "os.system"})}, "the key '_target_', which looks like"),
        ({"modality": modality(0, options={"a": [{"__class__": 1}]})}, "the key '__class__', which looks like"),
        ({"modality": modality(0, options={"$ref": 1})}, r"the key '\$ref', which looks like a program"),
    ],
)  # fmt: skip
def test_a_header_that_asks_for_too_much_is_refused(made, keys, words):
    model, _, data = made
    with pytest.raises(FormatError, match=words) as caught:
        decompress(changed(data, **keys), model)
    assert str(caught.value).isprintable()


def test_a_header_is_strict_json(made):
    model, _, data = made
    header = ContainerReader(io.BytesIO(data), "x").header
    patched = {**header, "step": "here"}
    text = json.dumps(patched).replace('"here"', "NaN").encode()
    prefix = struct.pack("<8sHIIII", MAGIC, 1, len(text), zlib.crc32(text), 0, 0)
    whole = prefix + struct.pack("<I", zlib.crc32(prefix)) + text
    with pytest.raises(FormatError, match="expected a JSON header, got ValueError"):
        decompress(whole, model)


def test_windows_are_bounded_by_what_the_codec_takes(made, monkeypatch):
    model, _, _ = made
    extents = (4096, 4096, 512)
    own = model.codec.layout(extents)
    whole = tuple(-(-g // c) * c for g, c in zip(own.grid, own.chunk, strict=True))
    header = json.loads(json.dumps(ContainerReader(io.BytesIO(made[2]), "x").header))
    about = {"shape": [1, *extents], "chunk": own.chunk, "factors": own.factors}
    fine = parse_header({**header, **about, "window": own.window, "halo": own.halo}, own.chunks, "x")
    check_codec(fine, model.codec, model.digest, "x")
    for more in ({"window": whole, "halo": 0}, {"window": own.window, "halo": 2**16}):
        with pytest.raises(FormatError, match=r"expected windows of at most \d+ latents with their halo, got \d+"):
            check_codec(parse_header({**header, **about, **more}, own.chunks, "x"), model.codec, model.digest, "x")


def test_2_to_the_60_values_are_refused_in_10_ms_and_10_mb(made):
    model, _, data = made
    data = changed(data, shape=[1, 2**20, 2**20, 2**20])
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        with pytest.raises(FormatError, match=f"expected at most {MAX_VOXELS} values, got {2**60}.*--max-voxels"):
            decompress(data, model)
        seconds.append(time.perf_counter() - began)
    tracemalloc.start()
    with pytest.raises(FormatError, match="--max-voxels"):
        decompress(data, model)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert min(seconds) < 0.01 and peak < 10e6  # the least of five: other work may take the processor


def test_max_voxels_raises_and_lowers_the_limit(made, tmp_path):
    _, folder, data = made
    (tmp_path / "a.lva").write_bytes(data)
    changed(data, tmp_path / "b.lva", shape=[1, 2**20, 2**20, 2**20])
    for name, limit, words in [
        ("a.lva", "100", "expected at most 100 values, got 693"), ("b.lva", f"{2**60}", "chunks for shape"),
    ]:  # fmt: skip
        for command in (["verify", tmp_path / name], ["decompress", tmp_path / name, tmp_path / "x.npy"]):
            done = CliRunner().invoke(app, [*map(str, command), "--model", str(folder), "--max-voxels", limit])
            assert isinstance(done.exception, FormatError) and words in str(done.exception)
    assert not (tmp_path / "x.npy").exists()


def test_a_wrong_index_is_no_damaged_chunk(made, tmp_path):
    model, _, data = made
    broken = bytearray(data)
    broken[ContainerReader(io.BytesIO(data), "x").entries[0].offset - 16] ^= 1
    with pytest.raises(FormatError, match="expected index checksum"):
        decompress(bytes(broken), model, fill=0.0)
    (tmp_path / "a.lva").write_bytes(broken)
    with pytest.raises(FormatError, match="expected index checksum"):
        verify(tmp_path / "a.lva")


def test_room_is_made_when_something_was_decoded(made, monkeypatch):
    model, _, data = made
    from liveaction.codec import reader

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reader, "empty_values", full)
    with pytest.raises(FormatError, match=r"expected room for \(1, 9, 7, 11\) values of float32 in .*, got No space"):
        decompress(data, model)
    broken = bytearray(data)
    broken[-1] ^= 1
    with pytest.raises(FormatError, match="expected checksum"):
        decompress(bytes(broken), model)


@pytest.mark.parametrize(
    ("dtype", "limits", "no_data"),
    [
        ("uint64", [0, 1e20], None), ("int64", [-1e19, 1e19], 1e30), ("float16", [-1e6, 1e6], 1e30),
        ("uint8", [254.5, 900], -1),
    ],
)  # fmt: skip
def test_values_stay_within_the_dtype(made, dtype, limits, no_data):
    model, _, data = made
    found, _ = decompress(changed(data, dtype=dtype, range=limits, no_data=no_data), model)
    assert found.values.dtype == dtype and found.values.shape == (1, *EXTENTS) and np.isfinite(found.values).all()
    most = np.finfo(dtype).max if dtype == "float16" else np.iinfo(dtype).max
    assert found.values.max() <= most and found.values.max() > 0.4 * most


def test_metadata_that_place_no_region_are_one_line(made):
    model, _, data = made
    data = changed(data, modality=modality(0, name="ct", options={}), metadata={"affine": "no"})
    with open_reader(data, model) as reader, pytest.raises(FormatError, match="metadata that place a region"):
        reader.read(((0, 4), (0, 4), (0, 4)))


def test_what_a_writer_cannot_use_is_one_line(made, tmp_path):
    _, folder, data = made
    spec = modality(0, name="ct", options={})
    changed(data, tmp_path / "a.lva", modality=spec, metadata={"affine": "no"})
    before = {path.name for path in tmp_path.iterdir()}
    done = CliRunner().invoke(app, ["decompress", str(tmp_path / "a.lva"), str(tmp_path / "b.nii"), "-m", str(folder)])
    assert isinstance(done.exception, FormatError) and "expected metadata as they were read" in str(done.exception)
    assert {path.name for path in tmp_path.iterdir()} == before


# -- recipes


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("modality.options._target_=os.system", "got the key '_target_', which looks like a program; remove it"),
        ("codec._partial_=true", "got the key '_partial_', which looks like a program"),
        ("training.__class__=x", "got the key '__class__', which looks like a program"),
        ("codec.$ref=x", r"got the key '\$ref', which looks like a program"),
        ("description=${oc.env:HOME}", r"got '\$\{oc.env:HOME\}', which looks like a program; write its value"),
        (
            "codec.levels=!!python/name:os.system",
            "got the tag '!!python/name:os.system', which asks for more than plain",
        ),
        ("codec.levels=!exec x", "got the tag '!exec', which asks for more than plain data; remove it"),
    ],
)
def test_recipes_are_no_programs(override, words):
    with pytest.raises(SpecError, match=words):
        load_recipe("array_smoke", [override])


def test_recipes_are_bounded(tmp_path):
    def refuse(text, words):
        (tmp_path / "a.yaml").write_text(text)
        began = time.process_time()
        with pytest.raises(SpecError, match=words):
            load_recipe(tmp_path / "a.yaml")
        assert time.process_time() - began < 5

    laughs = "a0: &a0 [1, 1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    refuse(laughs, "expected at most 65536 entries, got more; aliases count each time")
    refuse("a: " + "[" * 5000, "expected YAML, got")
    refuse("a: " + "x" * 2**20, "more than 1048576 bytes")
    refuse("".join(f"k{n}: 1\n" for n in range(5000)), "5000 keys in one table")


# -- model directories


def tensors(about, data=b""):
    """A safetensors file that says so of itself."""
    text = json.dumps(about).encode()
    return struct.pack("<Q", len(text)) + text + data


def copy(folder, target):
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def config(folder, **recipe):
    path = folder / "config.json"
    data = json.loads(path.read_text())
    for table, keys in recipe.items():
        data["recipe"][table].update(keys)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    "text", ['{"format": 1}', "[" * 10**5, "nul", '{"a": ' + '"x"' * 10 + "}", " " * (2**24 + 1), "\xff"]
)
def test_a_model_whose_configuration_is_no_such_thing(made, tmp_path, text):
    folder = copy(made[1], tmp_path / "m")
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError, match=r"expected a (model|recipe)"):
        load(folder)


def test_a_model_wider_than_its_weights_takes_no_memory(made, tmp_path):
    for keys in ({"levels": [12, 12, 12], "latent_channels": 1}, {"levels": [5, 5, 5]}):
        folder = copy(made[1], tmp_path / f"m{len(list(tmp_path.iterdir()))}")
        config(folder, codec=keys, training={"crop": [4096]})
        tracemalloc.start()
        with pytest.raises(FormatError, match="expected the weights of recipe 'array_smoke'"):
            load(folder)
        assert tracemalloc.get_traced_memory()[1] < 50e6
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        b"", struct.pack("<Q", 2**63), struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 10) + b"{" * 10,
        tensors({"a": {"dtype": "F32", "shape": [1099511627776], "data_offsets": [0, 4]}}, bytes(4)),
        tensors({"a": {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]}}, bytes(4)),
        tensors({"../a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
        pickle.dumps({"a": 1}),
    ],
    ids=range(8),
)  # fmt: skip
def test_safetensors_that_are_none(made, tmp_path, data):
    for name in ("model.safetensors", "entropy.safetensors"):
        folder = copy(made[1], tmp_path / name)
        (folder / name).write_bytes(data)
        with pytest.raises(FormatError, match=r"expected (the weights|entropy tables|tables)"):
            load(folder)


def test_entropy_tables_of_another_shape(made, tmp_path):
    model, folder, _ = made
    other = build_codec(load_recipe("array_smoke", ["codec.levels=1", "codec.latent_channels=2", "training.crop=[8]"]))
    target = copy(folder, tmp_path / "m")
    save_tables(other.tables, target)
    with pytest.raises(
        FormatError, match="expected tables of 3 latent channels and 3 axes as recipe 'array_smoke' has"
    ):
        load(target)
    arrays = model.codec.tables.arrays()
    for wrong in (
        {}, {"x": np.zeros(3)}, {name: array[:0] for name, array in arrays.items()},
        {name: array.astype(np.float64) + 1 for name, array in arrays.items()},
    ):  # fmt: skip
        save_file(wrong, target / "entropy.safetensors")
        with pytest.raises(FormatError):
            load(target)


def test_what_is_saved_replaces_a_link_and_does_not_follow_it(made, tmp_path):
    model, folder, _ = made
    target = copy(folder, tmp_path / "m")
    (tmp_path / "elsewhere").write_text("mine")
    for name in ("config.json", "model.safetensors", "encoder.safetensors", "entropy.safetensors"):
        (target / name).unlink()
        (target / name).symlink_to(tmp_path / "elsewhere")
    save_model(model.codec, RECIPE, target)
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert not any(path.is_symlink() for path in target.iterdir()) and load(target)


def test_a_configuration_is_data_not_paths(made, tmp_path):
    folder = copy(made[1], tmp_path / "m")
    data = json.loads((folder / "config.json").read_text())
    data["recipe"]["name"] = "../../etc/passwd"
    (folder / "config.json").write_text(json.dumps(data))
    with pytest.raises(SpecError, match=r"config.json name: "):
        load(folder)
    with pytest.raises(SpecError, match="name"):
        parse_recipe(data["recipe"], str(Path("here")))
