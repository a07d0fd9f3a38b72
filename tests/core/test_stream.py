"""Streams: the same bytes however they are made, the same samples whatever is asked for, damage that stays local."""

import io
import json
import os
import pickle
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from signal import alarm

import numpy as np
import pytest
import torch

import liveaction
from liveaction.codec import grid
from liveaction.codec.codec import build_codec
from liveaction.codec.header import MAX_VOXELS
from liveaction.codec.info import read_info
from liveaction.codec.model import Model, verify
from liveaction.codec.stream import compress, compress_file, decompress, open_reader, write_stream
from liveaction.codec.weights import save_model
from liveaction.coding.container import ContainerReader, ContainerWriter
from liveaction.errors import FormatError, IntegrityError, LiveactionWarning, ShapeError
from liveaction.recipe import load_recipe
from liveaction.signal import Signal

RECIPE = load_recipe("array_smoke", ["codec.levels=2", "codec.latent_channels=6", "modality.range=[-1,1]"])
EXTENTS = (70, 41, 52)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A codec in its folder, and a signal of several windows and chunks, some of it missing."""
    torch.manual_seed(0)
    codec = build_codec(RECIPE).eval()
    folder = tmp_path_factory.mktemp("model")
    model = Model(codec, RECIPE, save_model(codec, RECIPE, folder))
    rng = np.random.default_rng(0)
    ramps = np.meshgrid(*(np.linspace(0, 3, n) for n in EXTENTS), indexing="ij")
    values = (0.4 * np.sin(sum(ramps)) + 0.02 * rng.standard_normal(EXTENTS)).astype(np.float32)[None]
    missing = np.zeros(values.shape, bool)
    missing[0, 60:, :, 3] = True
    values[missing] = -9
    about = RECIPE.modality.axes, "", (1.0,) * 3, "float32", {"format": "npy"}
    return model, folder, Signal(values, *about, missing=missing, no_data=-9.0)


@pytest.fixture
def small(monkeypatch):
    """Windows and slabs so small that the signal has many of both."""
    monkeypatch.setattr(grid, "CHUNK_TOKENS", 200)
    monkeypatch.setattr(grid, "WINDOW_SAMPLES", 64 * 500)
    monkeypatch.setattr(grid, "SLAB_SAMPLES", 64 * 900)


def write(made, **more):
    model, _, signal = made
    return compress(signal, model, **more)[0]


def changed(data, **keys):
    """The same chunks under another header."""
    container, file = ContainerReader(io.BytesIO(data), "x"), io.BytesIO()
    writer = ContainerWriter(file, {**container.header, **keys}, container.chunks)
    for number in range(container.chunks):
        writer.add(container.read(number))
    writer.close()
    return file.getvalue()


@pytest.mark.parametrize("slab", [1, 64 * 300, 64 * 2000, 2**30])
def test_the_bytes_do_not_depend_on_the_slabs(made, small, slab, monkeypatch):
    data = write(made)
    monkeypatch.setattr(grid, "SLAB_SAMPLES", slab)
    assert write(made) == data


def test_the_bytes_do_not_depend_on_the_threads(made, small):
    threads, data = torch.get_num_threads(), write(made)
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            assert write(made) == data
    finally:
        torch.set_num_threads(threads)


def test_a_file_holds_the_same_bytes_and_a_failure_leaves_none(made, small, tmp_path):
    model, _, signal = made
    written = compress_file(signal, tmp_path / "a.lva", model, extras={"note": "kept"})
    data = (tmp_path / "a.lva").read_bytes()
    assert data == write(made, extras={"note": "kept"}) and written.bytes == len(data)
    info = read_info(tmp_path / "a.lva")
    assert info["extras"] == {"note": "kept"} and info["bytes"] == len(data) and info["chunks"] > 8
    assert info["grid"] == [18, 11, 13] and info["tables"] == model.codec.tables_digest[:16]
    with pytest.raises(ZeroDivisionError):
        compress_file(signal, tmp_path / "b.lva", model, stage=lambda text: 1 // (text != "encoding, 100%"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.lva"]


@pytest.mark.parametrize(
    "box",
    [
        ((0, 70), (0, 41), (0, 52)),
        ((3, 4), (40, 41), (51, 52)),
        ((0, 9), (7, 30), (20, 21)),
        ((33, 70), (0, 41), (2, 5)),
    ],
)
def test_a_region_has_the_samples_of_the_whole(made, small, box):
    model, _, signal = made
    data = write(made)
    whole, _ = decompress(data, model)
    part, _ = decompress(data, model, region=box)
    place = (slice(None), *(slice(low, high) for low, high in box))
    assert np.array_equal(part.values, whole.values[place])
    gone = whole.missing[place]
    assert np.array_equal(part.missing, gone) if gone.any() else part.missing is None or not part.missing.any()
    assert np.array_equal(whole.missing, signal.missing) and (whole.values[whole.missing] == -9).all()


def test_a_region_reads_only_its_chunks(made, small):
    model, _, _ = made
    data = write(made)
    with open_reader(data, model) as reader:
        asked = []
        plain = reader.container.read
        reader.container.read = lambda number, most: asked.append(number) or plain(number, most)
        reader.read(((0, 4), (0, 4), (0, 4)))
        around = reader.layout.around(next(reader.layout.windows()))
        assert asked == list(reader.layout.chunks_in(around)) and len(asked) < reader.container.chunks / 2


@pytest.mark.parametrize(
    "box", [((0, 71), (0, 41), (0, 52)), ((5, 5), (0, 41), (0, 52)), ((-1, 5), (0, 41), (0, 52)), ((0, 5),)]
)
def test_a_region_outside_is_refused(made, box):
    model, _, _ = made
    with pytest.raises(ShapeError, match=r"expected a region within \(\(0, 70\), \(0, 41\), \(0, 52\)\)"):
        decompress(write(made), model, region=box)


def test_windows_differ_little_from_the_whole(made, small, monkeypatch):
    model, _, signal = made
    cut, _ = decompress(write(made, fast=True), model)  # what symbols cost depends on how chunks are cut
    monkeypatch.undo()
    whole, _ = decompress(write(made, fast=True), model)
    there = ~signal.missing
    error = np.sqrt(np.mean((whole.values - signal.values)[there] ** 2))
    assert 0 < np.sqrt(np.mean((cut.values - whole.values)[there] ** 2)) < 0.1 * error


@pytest.mark.parametrize("step", [0.4, 0.02])
def test_borders_of_windows_are_no_worse_than_what_lies_between(made, small, step, monkeypatch):
    model, _, signal = made
    data = write(made, step=step)
    layout = model.codec.layout(EXTENTS)
    near = np.zeros(EXTENTS, bool)
    for axis, n in enumerate(EXTENTS):
        for cut in range(layout.window[axis] * 4, n, layout.window[axis] * 4):
            np.moveaxis(near, axis, 0)[cut - 2 : cut + 2] = True
    cut, _ = decompress(data, model)
    monkeypatch.undo()
    whole, _ = decompress(write(made, step=step), model)
    wrong, right = ((s.values[0].astype(float) - signal.values[0]) ** 2 for s in (cut, whole))
    there = ~signal.missing[0]
    border, inside = (wrong[part & there].mean() / right[part & there].mean() for part in (near, ~near))
    assert near.mean() > 0.1 and border / inside < 1.05


def test_a_damaged_chunk_costs_what_it_held(made, small):
    model, _, _ = made
    data = write(made)
    whole, _ = decompress(data, model)
    container = ContainerReader(io.BytesIO(data), "x")
    broken = bytearray(data)
    broken[container.entries[5].offset + 6] ^= 0x40
    with pytest.raises(
        IntegrityError, match=r"checksum .* of chunk 5.*\(chunk 5 holds .* \d+:\d+; --fill VALUE decodes"
    ):
        decompress(bytes(broken), model)
    with open_reader(bytes(broken), model, fill=7.0) as reader:
        back = reader.read()
        assert list(reader.damaged) == [5]
        layout, box = reader.layout, reader.damaged[5].samples
        readers = [layout.samples(w) for w in layout.windows() if 5 in layout.chunks_in(layout.around(w))]
    lost = (0, *(slice(low, high) for low, high in box))
    assert (back.values[lost] == 7).all()
    same = np.ones(EXTENTS, bool)
    for samples in readers:
        same[tuple(slice(low, high) for low, high in samples)] = False
    assert same.any() and np.array_equal(back.values[0][same], whole.values[0][same])


@pytest.mark.parametrize(
    ("dtype", "fill", "value"), [("uint8", 300.0, 255), ("int16", -1.6, -2), ("uint8", float("nan"), 0)]
)
def test_a_fill_value_becomes_what_the_dtype_holds(dtype, fill, value):
    from liveaction.codec.reader import _as

    assert _as(fill, np.dtype(dtype)) == value


def test_verify_finds_what_is_damaged(made, small, tmp_path):
    model, _, signal = made
    path, data = tmp_path / "a.lva", write(made)
    path.write_bytes(data)
    good = verify(path)
    assert good.damaged == () and good.decoded is None and good.bytes == len(data)
    full = verify(path, model)
    assert full.damaged == () and np.array_equal(full.decoded.missing, signal.missing)
    broken = bytearray(data)
    container = ContainerReader(io.BytesIO(data), "x")
    for number in (2, 9):
        broken[container.entries[number].offset] ^= 1
    path.write_bytes(broken)
    assert [damage.chunk for damage in verify(path).damaged] == [2, 9]
    assert [damage.chunk for damage in verify(path, model).damaged] == [2, 9]
    broken[40] ^= 1
    path.write_bytes(broken)
    with pytest.raises(IntegrityError, match=r"expected checksum [0-9a-f]{8} of header and index, got another"):
        verify(path)


def test_chunks_with_right_checksums_and_wrong_content_are_found(made, small, tmp_path):
    model, _, _ = made
    container, file = ContainerReader(io.BytesIO(write(made)), "x"), io.BytesIO()
    writer = ContainerWriter(file, container.header, container.chunks)
    for number in range(container.chunks):
        chunk = container.read(number)
        writer.add({3: b"\0", 4: chunk[:-2], 6: b"\xff\xff\xff\x7f" + chunk[1:]}.get(number, chunk))
    writer.close()
    (tmp_path / "a.lva").write_bytes(file.getvalue())
    assert verify(tmp_path / "a.lva").damaged == ()  # nothing to see without the model
    assert [damage.chunk for damage in verify(tmp_path / "a.lva", model).damaged] == [3, 4, 6]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"shape": [1, 2**20, 2**20, 2**20]}, r"expected at most 17179869184 values, got 1152921504606846976 as"),
        ({"shape": [1, 70, 41]}, "header key 'axes' with one entry per axis"),
        ({"shape": [1, 700, 41, 52]}, r"expected \d+ chunks for shape"),
        ({"shape": [1, 0, 41, 52]}, "header key 'shape.1'"),
        ({"dtype": "object"}, "header key 'dtype' to be right, got: expected a dtype"),
        ({"step": -1.0}, "header key 'step'"),
        ({"range": [1, -1]}, "header key 'range'"),
        ({"chunk": [99, 99, 99]}, "expected chunks within the grid"),
        ({"chunk": [1, 1]}, "header key 'chunk' with one entry per axis"),
        ({"window": [7, 1, 1]}, "expected windows of whole chunks"),
        ({"factors": [4, 4, 2]}, "expected"),
        ({"latent_channels": 7}, "expected 1 channels, 6 latent channels, factors"),
        ({"needed_later": 1}, "expected known header keys, got 'needed_later'; take the version of liveaction that"),
        ({"weights": "0" * 64}, "pass the model directory that compressed it"),
        ({"tables": "0" * 64}, "expected the entropy tables 000000000000 it was made with, got"),
    ],
)  # fmt: skip
def test_a_header_that_does_not_hold_together_is_refused(made, keys, words):
    model, _, _ = made
    with pytest.raises(FormatError, match=words):
        decompress(changed(write(made), **keys), model)


def test_unknown_optional_keys_are_kept(made, tmp_path):
    model, _, _ = made
    data = changed(write(made), extras={"by": {"a": "later version"}})
    (tmp_path / "a.lva").write_bytes(data)
    assert read_info(tmp_path / "a.lva")["extras"] == {"by": {"a": "later version"}}
    assert decompress(data, model)[0].values.shape == (1, *EXTENTS)


def test_a_declared_2_to_the_60_values_take_no_time_and_no_memory(made):
    model, _, _ = made
    data = changed(write(made), shape=[1, 2**20, 2**20, 2**20])
    decompress_refused(data, model)  # what is imported on first use
    tracemalloc.start()
    began = time.perf_counter()
    decompress_refused(data, model)
    seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6 and seconds < 0.5  # some ms; a margin for a busy machine
    # a higher limit lets it go on to the next thing that is wrong
    with pytest.raises(FormatError, match=r"expected \d+ chunks"):
        decompress(data, model, max_voxels=2**60)


def decompress_refused(data, model):
    with pytest.raises(FormatError, match=f"expected at most {MAX_VOXELS} values"):
        decompress(data, model)


INDICES = [
    np.s_[...], np.s_[3], np.s_[-1, 5], np.s_[2:30, ..., 7], np.s_[::-1, 4, 40:10:-3], np.s_[60:90, :, -5:],
    np.s_[5:5], np.s_[1, 2, 3], np.s_[:, 40:, ::7],
]  # fmt: skip


def test_a_stream_opens_as_an_array(made, small, tmp_path):
    model, folder, _ = made
    data = write(made)
    (tmp_path / "a.lva").write_bytes(data)
    whole = decompress(data, model)[0].values[0]
    with liveaction.open(tmp_path / "a.lva", folder) as view:
        assert view.shape == EXTENTS and view.dtype == np.float32 and view.ndim == 3 and len(view) == 70
        assert view.size == whole.size and "float32" in repr(view)
        for index in INDICES:
            assert np.array_equal(view[index], whole[index]), index
        assert np.array_equal(np.asarray(view), whole) and np.asarray(view, np.float64).dtype == np.float64
        for index, kind in [(70, IndexError), ((0, 0, 0, 0), IndexError), ([1, 2], TypeError), (None, TypeError)]:
            with pytest.raises(kind):
                view[index]


def test_slice_by_slice_each_window_is_decoded_once(made, small, tmp_path, monkeypatch):
    folder = made[1]
    (tmp_path / "a.lva").write_bytes(write(made))
    with liveaction.open(tmp_path / "a.lva", folder) as view:
        decoded = []
        reader = view._reader
        decode = reader._decode_window
        monkeypatch.setattr(reader, "_decode_window", lambda window: decoded.append(window) or decode(window))
        for z in range(70):
            view[z]
        assert len(decoded) == len(list(reader.layout.windows())) > 4


def test_several_channels_come_first(tmp_path):
    recipe = load_recipe("rgb_smoke")
    codec = build_codec(recipe).eval()
    model = Model(codec, recipe, save_model(codec, recipe, tmp_path / "model"))
    values = np.random.default_rng(0).integers(0, 255, (3, 40, 30), dtype=np.uint8)
    data, _ = compress(Signal(values, ("y", "x"), "", (1, 1), "uint8", {}), model)
    (tmp_path / "a.lva").write_bytes(data)
    back = decompress(data, model)[0].values
    with liveaction.open(tmp_path / "a.lva", tmp_path / "model") as view:
        assert view.shape == (3, 40, 30)
        for index in (np.s_[1], np.s_[:2, 5:9], np.s_[..., 3], np.s_[::-1, 4]):
            assert np.array_equal(view[index], back[index])


def deep(levels):
    found = 1
    for _ in range(levels):
        found = {"a": found}
    return found


@pytest.mark.parametrize(
    ("about", "extras", "words"),
    [
        (
            {"metadata": {"attributes": {"title": "\ud800"}}},
            {},
            r"'\\ud800', which is no .* in metadata.attributes.title",
        ),
        ({"metadata": {"attributes": deep(199)}}, {}, "more than 200 objects and lists .* in metadata.attributes.a.a"),
        (
            {"metadata": {"stamp": np.int16(3)}},
            {},
            "a value of type int16, which JSON does not have, in metadata.stamp",
        ),
        ({}, {"note": float("nan")}, "nan, which is no number in JSON, in extras.note"),
        ({}, {"note": float("inf")}, "inf, which is no number in JSON, in extras.note"),
        ({}, {"note": object()}, "a value of type object, which JSON does not have, in extras.note"),
        ({}, {3: 1}, "the key 3, which is no Unicode text, in extras"),
        ({"spacing": (1.0, float("nan"), 1.0)}, {}, "nan, which is no number in JSON, in spacing.1"),
        ({"unit": "a\nb"}, {}, "header key 'unit' to be right"),
        ({"unit": "x" * 1001}, {}, "header key 'unit' to be right, got: string should have at most 1000"),
        ({"axes": ("a", "b\x1b", "c")}, {}, "header key 'axes.1' to be right"),
        ({"dtype": "complex64"}, {}, "header key 'native_dtype' to be right"),
        ({"bits": 65}, {}, "header key 'bits' to be right"),
        ({"no_data": float("inf")}, {}, "inf, which is no number in JSON, in no_data"),
    ],
)
def test_what_no_reader_takes_is_refused_before_a_byte_is_written(made, tmp_path, about, extras, words):
    model, _, signal = made
    signal = replace(signal.crop(slice(0, 5), slice(0, 5), slice(0, 5)), **about)
    file = io.BytesIO()
    with pytest.raises(FormatError, match=f"^stream: expected .*{words}") as caught:
        write_stream(signal, file, model, extras=extras)
    assert file.getvalue() == b"" and str(caught.value).isprintable() and len(str(caught.value)) < 500
    with pytest.raises(FormatError, match=words):
        model.compress(signal, extras=extras)
    (tmp_path / "a.lva").write_bytes(b"before")
    with pytest.raises(FormatError, match=words):
        model.compress_file(signal, tmp_path / "a.lva", extras=extras)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.lva": b"before"}


def test_metadata_come_back_as_they_were_written(made):
    model, _, signal = made
    metadata = {"attributes": deep(196), "é": ["\U0001f600", (1, 2.5, None, True), 10**300, -0.0, 1e308]}
    data = model.compress(replace(signal.crop(slice(0, 5), slice(0, 5), slice(0, 5)), metadata=metadata))
    assert model.decompress(data).metadata == {
        **metadata,
        "é": ["\U0001f600", [1, 2.5, None, True], *metadata["é"][2:]],
    }


@pytest.fixture
def few(made, small, monkeypatch, tmp_path):
    """A model's folder, a small stream of many windows on disk, and what it decodes to ``[24, 20, 16]``."""
    monkeypatch.setattr(grid, "CHUNK_TOKENS", 16)
    monkeypatch.setattr(grid, "WINDOW_SAMPLES", 64 * 40)
    model, folder, signal = made
    path = tmp_path / "a.lva"
    model.compress_file(signal.crop(slice(24), slice(20), slice(16)), path)
    return folder, path, model.decompress(path).values[0]


def test_threads_may_share_a_view(few):
    folder, path, whole = few
    rng = np.random.default_rng(0)
    places = [(int(rng.integers(24)), int(rng.integers(20))) for _ in range(60)]
    for given in (path, path.read_bytes()):
        with liveaction.open(given, folder) as view, ThreadPoolExecutor(8) as pool:
            # what is kept is thrown away again and again
            view._reader._kept.most, view._reader._windows.most = 1000, 3000
            found = list(pool.map(lambda place, view=view: view[place], places))
        assert all(np.array_equal(row, whole[place]) for row, place in zip(found, places, strict=True))


def test_forked_processes_may_share_a_view(few):
    folder, path, whole = few
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # whose threads are not there in a forked process
    try:
        with liveaction.open(path, folder) as view:
            assert np.array_equal(view[3], whole[3])
            children = []
            for _ in range(2):
                if (child := os.fork()) == 0:
                    alarm(20)  # ends a process that waits for ever
                    same = np.array_equal(view[3], whole[3]) and np.array_equal(view[23], whole[23])
                    os._exit(0 if same and torch.get_num_threads() == 1 else 1)
                children.append(child)
            assert np.array_equal(view[23], whole[23])
            assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    finally:
        torch.set_num_threads(threads)


def test_a_view_a_reader_and_a_model_may_be_pickled(few, made, monkeypatch):
    folder, path, whole = few
    model, data = made[0], path.read_bytes()
    monkeypatch.chdir(path.parent)
    with liveaction.open("a.lva", folder) as view, liveaction.open(data, model) as inner:
        pickled = pickle.dumps(view), pickle.dumps(inner)
    monkeypatch.chdir("/")
    for text in pickled:
        with pickle.loads(text) as again:
            assert np.array_equal(again[5], whole[5])
    with open_reader(path, model, fill=3.0) as reader:
        again = pickle.loads(pickle.dumps(reader))
    assert np.array_equal(again.read(((5, 6), (0, 20), (0, 16))).values[0, 0], whole[5]) and again.fill == 3.0
    other = pickle.loads(pickle.dumps(model))
    assert other.digest == model.digest and np.array_equal(other.decompress(data).values[0], whole)
    with pytest.raises(ValueError, match="got one that was closed"):
        pickle.dumps(view)
    path.write_bytes(write(made, step=0.7))
    with pytest.raises(
        FormatError, match=r"a.lva: expected the stream that was opened, got another one; it changed, op"
    ):
        pickle.loads(pickled[0])
    path.unlink()
    with pytest.raises(FormatError, match=r"a.lva: expected a readable .lva file"):
        pickle.loads(pickled[0])


LOADER = """
import sys
import numpy as np
import torch
import liveaction

class Slices(torch.utils.data.Dataset):
    def __init__(self, view):
        self.view = view

    def __len__(self):
        return 4

    def __getitem__(self, place):
        return self.view[place]

if __name__ == "__main__":
    with liveaction.open(sys.argv[1], sys.argv[2]) as view:
        loader = torch.utils.data.DataLoader(Slices(view), num_workers=1, multiprocessing_context="spawn")
        np.save(sys.argv[3], torch.cat(list(loader)).numpy())
"""


@pytest.mark.slow
def test_a_loader_with_spawned_workers_reads_a_view(few, tmp_path):
    folder, path, whole = few
    script, found = tmp_path / "loader.py", tmp_path / "found.npy"
    script.write_text(LOADER)
    subprocess.run([sys.executable, "-P", script, path, folder, found], check=True, timeout=300)
    assert np.array_equal(np.load(found), whole[:4])


def test_the_header_is_plain_json(made):
    header = ContainerReader(io.BytesIO(write(made)), "x").header
    assert json.loads(json.dumps(header, allow_nan=False)) == header


def test_a_view_that_was_closed_gives_nothing(made, tmp_path):
    model, _, signal = made
    model.compress_file(signal, tmp_path / "a.lva")
    with model.open(tmp_path / "a.lva") as view:
        assert view[0, 0].shape == EXTENTS[2:]
    with pytest.raises(ValueError, match="got one that was closed"):
        view[0, 0]


def test_filling_in_from_python_warns(made):
    model, _, _ = made
    broken = bytearray(write(made))
    broken[-3] ^= 1
    with pytest.warns(LiveactionWarning, match=r"stream: 1 damaged chunks are filled with 3\.40282\S*, the first with"):
        signal = model.decompress(bytes(broken), fill=1e300)  # the nearest that float32 holds
    assert (signal.values == np.finfo(np.float32).max).any()


def test_bytes_of_any_kind_are_a_stream(made):
    model, _, _ = made
    data = write(made)
    whole = model.decompress(data)
    for same in (bytearray(data), memoryview(data)):
        assert np.array_equal(model.decompress(same).values, whole.values)
        with model.open(same) as view:
            assert np.array_equal(view[:3], whole.values[0, :3])
    for wrong in (None, 5):
        with pytest.raises(TypeError, match=r"stream: expected bytes or a path, got (NoneType|int)"):
            model.decompress(wrong)


def test_verify_takes_a_model_or_its_folder(made, tmp_path):
    model, folder, signal = made
    model.compress_file(signal, tmp_path / "a.lva")
    found = [verify(str(tmp_path / "a.lva"), given) for given in (model, folder, str(folder))]
    assert all(one.damaged == () and one.decoded is not None for one in found)
    assert verify(tmp_path / "a.lva").decoded is None


def test_no_region_is_not_all_of_it(made):
    model, _, _ = made
    with pytest.raises(ShapeError, match="expected a region within"):
        model.decompress(write(made), region=())
