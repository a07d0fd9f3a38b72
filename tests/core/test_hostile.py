"""Headers, recipes and models made to do harm: refused in one line, no memory taken for what is not there."""

import io
import json
import os
import pickle
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.codec import grid
from liveaction.codec.chunks import most_bytes, pack_chunk, unpack_mask
from liveaction.codec.codec import build_codec
from liveaction.codec.header import MAX_VOXELS, check_codec, parse_header
from liveaction.codec.kept import Kept
from liveaction.codec.model import Model, load, verify
from liveaction.codec.stream import compress, decompress, open_reader
from liveaction.codec.weights import save_model, save_tables
from liveaction.coding.container import MAGIC, ContainerReader, ContainerWriter
from liveaction.coding.container2 import NewItem, build_head
from liveaction.coding.fast import encode_chunk
from liveaction.coding.packed import pack_text
from liveaction.errors import FormatError, SpecError
from liveaction.reading import read
from liveaction.recipe import dump_recipe, load_recipe, parse_recipe
from liveaction.signal import Signal
from liveaction.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

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
        ({"recipe": "a\x1b"}, "header key 'recipe' to be right"),
        ({"dtype": "x" * 10**5}, "header key 'dtype' to be right, got: string should have at most 1000"),
        ({"native_dtype": "\x1b[2J"}, "header key 'native_dtype' to be right"),
        ({"modality": modality(0, name="\x1b[2J")}, "header key 'modality.name' to be right"),
        ({"modality": modality(0, name="x" * 1001)}, "header key 'modality.name' to be right"),
        ({"modality": modality(0, axes=["x" * 1001] * 3)}, "header key 'modality.axes.0' to be right"),
        ({"modality": modality(0, axes=["x"] * 17)}, "header key 'modality.axes' to be right"),
        ({"modality": modality(0, unit="\n")}, "header key 'modality.unit' to be right"),
        ({"modality": modality(0, options={"a": [0] * 2**16})}, "'modality.options' .*at most 65536 entries"),
        ({"modality": modality(0, options={"o" * 10**5: 1})}, "a modality that this installation has, got: "),
        ({"x" * 10**5: 1}, "expected known header keys, got 'x+'; take"),
        ({"axes": ["a"] * 10**5}, "header key 'axes' to be right, got: tuple should have at most 16 items"),
        ({"spacing": [1] * 10**5}, "header key 'spacing' to be right"),
        ({"spacing": ["1", 1, 1]}, "header key 'spacing.0' to be right"),
        ({"spacing": [True, 1, 1]}, "header key 'spacing.0' to be right"),
        ({"bits": "8"}, "header key 'bits' to be right"),
        ({"bits": 8.0}, "header key 'bits' to be right"),
        ({"no_data": "1"}, "header key 'no_data' to be right"),
        ({"range": ["0", 1]}, "header key 'range.0' to be right"),
        ({"range": [-(10**400), 1]}, "header key 'range.0' to be right"),
        ({"step": "1"}, "header key 'step' to be right"),
        ({"step": 1e300}, "header key 'step' to be right, got: input should be less than or equal to 17014"),
        ({"modality": modality(0, channels=2)}, "expected a modality of 1 channels and 3 axes"),
        ({"modality": modality(0, name="nosuch")}, "expected a modality that this installation has, got: .*'nosuch'"),
        ({"modality": modality(0, options={"no": 1})}, "expected a modality that this installation has, got: .* no: "),
        ({"modality": modality(0, options={"o\x7f\n": 1})}, r"expected a modality that .* o\\x7f: expected a known"),
        ({"modality": modality(0, options={"_target_": "os.system"})}, "the key '_target_', which looks like"),
        ({"modality": modality(0, options={"a": [{"__class__": 1}]})}, "the key '__class__', which looks like"),
        ({"modality": modality(0, options={"$ref": 1})}, r"the key '\$ref', which looks like a program"),
    ],
)  # fmt: skip
def test_a_header_that_asks_for_too_much_is_refused(made, keys, words):
    model, _, data = made
    with pytest.raises(FormatError, match=words) as caught:
        decompress(changed(data, **keys), model)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 700


def test_a_header_is_strict_json(made):
    model, _, data = made
    header = ContainerReader(io.BytesIO(data), "x").header
    text = json.dumps({**header, "step": "here"}).replace('"here"', "NaN").encode()
    item = NewItem(pack_text(text), b"", 0)
    with pytest.raises(FormatError, match="expected a JSON header, got ValueError: NaN, which is no number"):
        decompress(build_head(MAGIC + b"\2\0", [item]), model)


def test_windows_are_bounded_by_what_the_codec_takes_and_by_max_voxels(made):
    model, _, data = made
    extents = (4096, 4096, 512)
    own = model.codec.layout(extents)
    whole = tuple(-(-g // c) * c for g, c in zip(own.grid, own.chunk, strict=True))
    header = ContainerReader(io.BytesIO(data), "x").header

    def check(max_voxels=MAX_VOXELS, **keys):
        about = {"shape": [1, *extents], "chunk": own.chunk, "factors": own.factors, "halo": own.halo, **keys}
        check_codec(parse_header({**header, **about}, own.chunks, "x"), model, "x", max_voxels)

    check(window=own.window)
    check(window=own.window, max_voxels=1000)  # what the codec itself takes is always taken
    words = r"expected windows of at most \d+ latents with their halo, got \d+ as .* the limit with --max-voxels (\d+)"
    for window, halo in [(whole, 0), (own.window, 2**16)]:
        with pytest.raises(FormatError, match=words):
            check(window=window, halo=halo)
    with pytest.raises(FormatError, match=words) as caught:
        check(window=whole)
    enough = int(str(caught.value).split()[-1])
    check(window=whole, max_voxels=enough)
    with pytest.raises(FormatError, match="expected windows of at most"):
        check(window=whole, max_voxels=enough - 1)


def test_halos_are_bounded_by_their_windows(made):
    model, _, data = made
    keys = {"shape": [1, 64, 64, 64], "chunk": [1, 1, 1], "window": [1, 1, 1], "halo": 8}
    header = parse_header({**ContainerReader(io.BytesIO(data), "x").header, **keys}, 32**3, "x")
    with pytest.raises(FormatError, match="expected halos of at most 16 times the latents of a window, got 4913 lat"):
        check_codec(header, model, "x")


def test_a_window_is_not_decoded_for_what_a_header_declares(tmp_path):
    """Sixteen chunks of some bytes each, a window of 512 x 512 x 512 samples, a region of 8 x 8 x 8 asked for."""
    recipe = load_recipe("array_smoke", ["codec.levels=3", "codec.latent_channels=3", "modality.range=[-1,1]"])
    codec = build_codec(recipe).eval()
    model = Model(codec, recipe, save_model(codec, recipe, tmp_path / "m"))
    small = Signal(np.zeros((1, 8, 8, 8), np.float32), recipe.modality.axes, "", (1.0,) * 3, "float32")
    header, file = ContainerReader(io.BytesIO(model.compress(small)), "x").header, io.BytesIO()
    keys = {"shape": [1, 512, 512, 512], "chunk": [16, 32, 32], "window": [64, 64, 64], "halo": 2}
    writer = ContainerWriter(file, {**header, **keys}, 16)
    for _ in range(16):
        writer.add(pack_chunk(encode_chunk([np.zeros((3, 16, 32, 32), np.int32)], codec.tables), None))
    writer.close()
    (tmp_path / "a.lva").write_bytes(file.getvalue())
    assert len(file.getvalue()) < 2000 and verify(tmp_path / "a.lva").damaged == ()
    words = "expected windows of at most 65536 latents with their halo, got 262144 as .* with --max-voxels 68719476736"
    for act in (model.decompress, model.open, model.verify):
        with pytest.raises(FormatError, match=words):
            act(tmp_path / "a.lva")
    region = ["--region", "0:8,0:8,0:8", "--model", str(tmp_path / "m")]
    done = CliRunner().invoke(app, ["decompress", str(tmp_path / "a.lva"), str(tmp_path / "x.npy"), *region])
    assert isinstance(done.exception, FormatError) and "--max-voxels 68719476736" in str(done.exception)
    model.open(tmp_path / "a.lva", max_voxels=68719476736).close()


def test_chunks_are_no_longer_than_what_they_hold(made, tmp_path):
    model, _, data = made
    container, file = ContainerReader(io.BytesIO(data), "x"), io.BytesIO()
    writer = ContainerWriter(file, container.header, container.chunks)
    for number in range(container.chunks):
        writer.add(container.read(number) + bytes(10**6 * (number == 0)))
    writer.close()
    with pytest.raises(FormatError, match=r"expected at most \d+ bytes for what chunk 0 holds, got 1\d{6}"):
        decompress(file.getvalue(), model)
    (tmp_path / "a.lva").write_bytes(file.getvalue())
    tracemalloc.start()
    assert [damage.chunk for damage in verify(tmp_path / "a.lva").damaged] == [0]
    changed(data, tmp_path / "b.lva", latent_channels=2**20)  # a chunk may be long then, and is looked at in pieces
    assert verify(tmp_path / "b.lva").damaged == () and tracemalloc.get_traced_memory()[1] < 1e7
    tracemalloc.stop()


def test_the_worst_chunk_has_the_bytes_that_it_may_have(made):
    model, _, _ = made
    rng = np.random.default_rng(0)
    symbols = rng.integers(-(2**24) + 1, 2**24, (3, 8, 16, 16)).astype(np.int32)
    symbols[rng.random(symbols.shape) < 0.5] = 0
    missing = rng.random((1, 16, 32, 32)) < 0.5
    coded = encode_chunk([symbols], model.codec.tables)
    assert len(pack_chunk(coded, missing)) < most_bytes(missing.size, (3, 8 * 16 * 16))


def test_bits_beyond_a_mask_are_refused():
    def chunk(last):
        mask = zlib.compress(bytes([255, last]))
        return len(mask).to_bytes(4, "little") + mask, bytes([len(mask) - 5, 0]) + mask[2:-4]

    for version in (1, 2):
        assert unpack_mask(chunk(0xC0)[version - 1], (1, 10), "x", version).all()
        with pytest.raises(FormatError, match="x: expected a mask of 10 values, got bits beyond its last"):
            unpack_mask(chunk(0xE0)[version - 1], (1, 10), "x", version)


def test_many_small_chunks_are_kept_without_looking_at_all_of_them():
    kept = Kept[int, np.ndarray](10**9)
    began = time.process_time()
    for number in range(20_000):
        kept.keep(number, np.zeros(1))
    assert time.process_time() - began < 1 and kept.get(3) is not None and kept.get(-1) is None


def test_room_is_taken_as_windows_come(made, monkeypatch):
    from liveaction import mapped

    model, taken = made[0], []
    monkeypatch.setattr(mapped, "LARGE", 1)
    monkeypatch.setattr(mapped.os, "posix_fallocate", lambda handle, at, size: taken.append((at, size)))
    monkeypatch.setattr(grid, "CHUNK_TOKENS", 8)
    monkeypatch.setattr(grid, "WINDOW_SAMPLES", 64)
    values = np.zeros((1, 9, 7, 11), np.float32)
    small = compress(Signal(values, RECIPE.modality.axes, "dB", (1.0,) * 3, "float32"), model)[0]
    assert decompress(small, model)[0].values.shape == values.shape
    ends = [at + size for at, size in taken]
    assert len(taken) > 3 and ends[0] < values.nbytes / 2 and ends[-1] == values.nbytes
    assert [at for at, _ in taken[1:]] == ends[:-1]


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
    broken[ContainerReader(io.BytesIO(data), "x").entries[0].offset - 6] ^= 1
    with pytest.raises(FormatError, match=r"expected checksum [0-9a-f]{8} of header and index, got"):
        decompress(bytes(broken), model, fill=0.0)
    (tmp_path / "a.lva").write_bytes(broken)
    with pytest.raises(FormatError, match=r"expected checksum [0-9a-f]{8} of header and index, got"):
        verify(tmp_path / "a.lva")


def test_room_is_made_when_something_was_decoded(made, monkeypatch):
    model, _, data = made
    from liveaction import mapped

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mapped, "LARGE", 1)
    monkeypatch.setattr(mapped.os, "posix_fallocate", full)
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


def test_tensors_are_looked_at_before_they_are_read(made, tmp_path):
    for name in ("model.safetensors", "entropy.safetensors"):
        folder = copy(made[1], tmp_path / name)
        plain = load_file(folder / name)
        some = sorted(plain)[-1]
        kind = plain[some].dtype
        for change, words in [
            ({"ex\x1b\n": np.zeros(1)}, r"got one that does not belong there of the name 'ex"),
            ({some: np.zeros(2**18, kind)}, rf"{some} as {kind.name} \(.*\), got {kind.name} \(262144,\)"),
            ({some: plain[some].astype(np.float64)}, rf"{some} as {kind.name} \(.*\), got float64 \("),
        ]:
            save_file(plain | change, folder / name)
            with pytest.raises(FormatError, match=rf"{name}: expected (the weights|tables) of .*{words}") as caught:
                load(folder)
            assert str(caught.value).isprintable()
        # one of 64 GB in a file that is as large, but for the disk that it takes
        data = (made[1] / name).read_bytes()
        length = int.from_bytes(data[:8], "little")
        about, first = json.loads(data[8 : 8 + length]), len(data) - 8 - length
        about["extra"] = {"dtype": "U8", "shape": [2**36], "data_offsets": [first, first + 2**36]}
        with (folder / name).open("wb") as file:
            file.write(tensors(about, data[8 + length :]))
            file.truncate(file.tell() + 2**36)
        with pytest.raises(FormatError, match="got one that does not belong there of the name 'extra'"):
            load(folder)
        save_file({key: value for key, value in plain.items() if key != some}, folder / name)
        with pytest.raises(FormatError, match=f"got none of the name '{some}'"):
            load(folder)


def test_checkpoints_are_looked_at_before_they_are_read(made, tmp_path):
    state = {name: tensor.clone() for name, tensor in made[0].codec.state_dict().items()}
    moments = {0: {"step": 3, "exp_avg": torch.zeros(4)}}
    optimizer = {"state": moments, "param_groups": [{"params": [0]}]}

    def saved(number, weights=state, **parts):
        about = Checkpoint(number, dump_recipe(RECIPE), weights, optimizer | parts)
        return save_checkpoint(about, tmp_path / str(number))

    whole = load_checkpoint(saved(1))
    assert whole.step == 1 and whole.weights.keys() == state.keys() and whole.optimizer["state"][0]["step"] == 3
    with pytest.raises(FormatError, match=r"expected a whole checkpoint, got .* one that does not belong .*'extra'"):
        load_checkpoint(saved(2, state | {"extra": torch.zeros(2)}))
    first = next(iter(state))
    with pytest.raises(FormatError, match=rf"{first} as float32 .*, got float32 \(2,\)"):
        load_checkpoint(saved(3, state | {first: torch.zeros(2)}))
    large = saved(4)
    with (large / "optimizer.safetensors").open("r+b") as file:
        file.truncate(2**36)
    with pytest.raises(FormatError, match=r"expected a whole checkpoint, got more than .* bytes in optimizer.saf"):
        load_checkpoint(large)
    with (saved(5) / "state.json").open("r+b") as file:
        file.truncate(2**36)
    with pytest.raises(FormatError, match=r"expected a whole checkpoint, got .*more than 16777216 bytes"):
        load_checkpoint(tmp_path / "5" / "step_00000005")


def test_a_model_of_fifos_is_refused(made, tmp_path):
    for name in ("config.json", "model.safetensors", "entropy.safetensors"):
        folder = copy(made[1], tmp_path / name)
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(FormatError, match="got a FIFO; copy what it gives to a file"):
            load(folder)


def test_data_that_are_fifos_or_devices_are_refused(made, tmp_path):
    model, folder, _ = made
    (tmp_path / "store.zarr").mkdir()
    (tmp_path / "store.zarr" / "zarr.json").write_text("{}")
    for path in (tmp_path / "a.npy", tmp_path / "store.zarr" / "c"):
        os.mkfifo(path)
    (tmp_path / "link.npy").symlink_to("/dev/zero")
    for name, kind in [("a.npy", "a FIFO"), ("store.zarr", "a FIFO"), ("link.npy", "a device")]:
        for recipe in ("array_smoke", "ct_smoke", "rgb_smoke", "hyperspectral_smoke", "video_smoke", "music_smoke"):
            with pytest.raises(FormatError, match=f"expected a file or a folder, got {kind}; copy what it gives to"):
                read(tmp_path / name, recipe)
    done = CliRunner().invoke(app, ["compress", str(tmp_path / "a.npy"), str(tmp_path / "x.lva"), "-m", str(folder)])
    assert isinstance(done.exception, FormatError) and "got a FIFO" in str(done.exception)
    with pytest.raises(FormatError, match="got a FIFO"):
        model.modality.find(tmp_path / "a.npy")


def test_entropy_tables_of_another_shape(made, tmp_path):
    model, folder, _ = made
    other = build_codec(load_recipe("array_smoke", ["codec.levels=1", "codec.latent_channels=2", "training.crop=[8]"]))
    target = copy(folder, tmp_path / "m")
    save_tables(other, target)
    with pytest.raises(
        FormatError, match="expected tables of 3 latent channels and 3 axes as recipe 'array_smoke' has"
    ):
        load(target)
    arrays = model.codec.tables[0].arrays()
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
