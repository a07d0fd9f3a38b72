"""Metadata of streams and files made to do harm: nothing is written beside the target, no memory taken for nothing."""

import base64
import io
import json
import struct
import time
import tracemalloc
import warnings
import zipfile
import zlib
from contextlib import suppress
from dataclasses import replace
from functools import cache

import h5py
import numpy as np
import PIL.Image
import pytest
import tifffile
import zarr

from liveaction.errors import FormatError, LiveactionError, LiveactionWarning, SpecError
from liveaction.modalities.array import zarr as array_zarr
from liveaction.modalities.video.timing import parse_fraction
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal

RECIPE = load_recipe("array_smoke")
AUDIO = load_recipe("array_audio_smoke").modality.channels


def write_outcome(name, spec, metadata, dtype, target, shape=(1, 4, 4, 4), bits=0):
    """Write a signal with such metadata; whether it was refused."""
    recipe = load_recipe(name, spec)
    values = (np.arange(np.prod(shape)).reshape(shape) % 200).astype(dtype)
    signal = Signal(values, recipe.modality.axes, "", (1.0,) * (len(shape) - 1), dtype, metadata, bits)
    try:
        build_modality(recipe.modality).write(signal, target)
    except LiveactionError as error:
        assert "\n" not in str(error)
        return True
    return False


KEYS = ["../../evil", "/evil", "..", "a/../../evil", "C:evil", "..\\evil", "a\0b", "x" * 5000, 7, None, ["a"]]


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr", ".zarr.zip"])
@pytest.mark.parametrize("key", KEYS, ids=lambda key: repr(key)[:16])
def test_a_key_is_a_name_inside_the_file(tmp_path, suffix, key):
    inside = tmp_path / "a" / "b" / "c"
    inside.mkdir(parents=True)
    kind = {".npz": "npz", ".h5": "hdf5"}.get(suffix, "zarr")
    stored = {"key": key, "documents": {f"{key}/zarr.json": {}, "../x/zarr.json": {}}, "attributes": {"": {}}}
    refused = write_outcome("array_smoke", [], {"format": kind, "stored": stored}, "float32", inside / f"t{suffix}")
    assert refused or key == "/evil"  # a slash in front is dropped
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {f"t{suffix}"}
    if suffix in (".npz", ".zarr.zip") and not refused:
        assert all(".." not in n and not n.startswith("/") for n in zipfile.ZipFile(inside / f"t{suffix}").namelist())


@pytest.mark.parametrize(
    "metadata",
    [
        {"dtype": "O"}, {"dtype": "no such"}, {"dtype": ["<f4"]}, {"dtype": {"names": ["a"], "formats": ["f4"]}},
        {"format": "npy", "stored": "text"}, {"dtype": "S8"}, {"dtype": "<c16"},
    ],
)  # fmt: skip
def test_a_dtype_is_one_of_real_numbers(tmp_path, metadata):
    assert write_outcome("array_smoke", [], metadata, "float32", tmp_path / "t.npy")
    assert list(tmp_path.iterdir()) == []


def test_hdf5_takes_no_plug_in(tmp_path):
    for compression in (32015, "nosuch", 307):
        stored = {"key": "a", "storage": {"compression": compression, "chunks": [2, 2, 2]}}
        assert write_outcome("array_smoke", [], {"format": "hdf5", "stored": stored}, "float32", tmp_path / "t.h5")


def test_zarr_makes_no_million_of_files(tmp_path, monkeypatch):
    monkeypatch.setattr(array_zarr, "MOST_FILES", 10)
    signal = build_modality(RECIPE.modality)
    source = tmp_path / "s.zarr"
    zarr.create_array(source, data=np.ones((4, 4, 4), np.float32), chunks=(1, 1, 1))
    metadata = replace(signal.read(source)).metadata
    assert write_outcome("array_smoke", [], metadata, "float32", tmp_path / "t.zarr")
    assert not (tmp_path / "t.zarr").exists()


@pytest.mark.parametrize(
    "metadata",
    [
        {"tags": {"write": "x"}}, {"tags": {"_file": "x"}}, {"tags": {"__class__": "x"}}, {"tags": ["title"]},
        {"tags": {"title": 7}}, {"channel_mask": -1}, {"channel_mask": 2**32}, {"rate": 2**40}, {"subtype": "../x"},
    ],
)  # fmt: skip
def test_audio_sets_no_other_attribute_than_tags(tmp_path, metadata):
    about = {"rate": 8000, "container": "WAV", "subtype": "PCM_16", **metadata}
    assert write_outcome("array_audio_smoke", [], about, "int16", tmp_path / "t.wav", (AUDIO, 400))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "1/1e99999999", "9" * 10**6, "1_0e9", "٣e9"])
def test_a_ratio_of_a_clip_takes_no_time(text):
    began = time.perf_counter()
    assert parse_fraction(text) is None
    assert time.perf_counter() - began < 0.1
    with pytest.raises(SpecError, match="expected a positive ratio"):
        build_modality(load_recipe("video_smoke", [f"modality.options.frame_rate='{text[:2000]}'"]).modality)


def test_ratios_that_are_meant_are_read():
    found = {text: parse_fraction(text) for text in ("30000/1001", "25", "29.97", " 4:3 ", "0", "-1", "", "a", "1/0")}
    assert [str(value) for value in found.values()] == ["30000/1001", "25", "2997/100", "4/3", *["None"] * 5]


@pytest.mark.parametrize("ending", ["/../../evil", "\0", ".py", ".hdr", 7, None, "_x"])
def test_an_envi_image_is_two_files_of_known_endings(tmp_path, ending):
    cube = build_modality(load_recipe("hyperspectral_smoke").modality)
    phantom = cube.synthetic(0, (8,) * len(cube.spec.axes))
    (tmp_path / "in").mkdir()
    cube.write(replace(phantom, metadata={**phantom.metadata, "ending": ending}), tmp_path / "in" / "t.hdr")
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"t.hdr", "t.img"}


def test_a_nifti_header_does_not_say_where_samples_begin(tmp_path):
    ct = build_modality(load_recipe("ct_smoke").modality)
    phantom = ct.synthetic(0, (8, 9, 10))
    ct.write(phantom, tmp_path / "a.nii")
    signal = ct.read(tmp_path / "a.nii")
    header = bytearray(base64.b64decode(signal.metadata["header"]))
    struct.pack_into("<f", header, 108, 1e12)
    about = {**signal.metadata, "header": base64.b64encode(header).decode()}
    ct.write(replace(signal, metadata=about), tmp_path / "b.nii")
    assert (tmp_path / "b.nii").stat().st_size == (tmp_path / "a.nii").stat().st_size
    assert np.array_equal(ct.read(tmp_path / "b.nii").values, signal.values)


def test_png_and_tiff_take_only_what_was_kept(tmp_path):
    picture = build_modality(load_recipe("grey_smoke").modality)
    phantom = picture.synthetic(0, (16, 17))
    about = {"png": [["IEND", ""], ["IDAT", "AAAA"], ["x" * 50, ""]], "tiff": [[273, 4, 1, 0], [256, 4, 1, 9]]}
    for name in ("t.png", "t.tif"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture.write(replace(phantom, metadata={"source": "png", **about}), tmp_path / name)
        assert np.array_equal(picture.read(tmp_path / name).values, phantom.values)


@pytest.mark.parametrize("name", ["t.png", "t.tif", "t.ome.tif", "t.pgm"])
@pytest.mark.parametrize("value", [7, None, "x", ["x"], {"a": ["x"]}, [["caNv"]], {"Comment": 7, "Description": {}}])
def test_metadata_of_pictures_are_what_they_may_be(tmp_path, name, value):
    """Written, or refused in one line."""
    for key in ("png", "tiff", "text", "icc", "exif", "resolution", "orientation"):
        signal = Signal(np.ones((1, 4, 5), np.uint8), ("y", "x"), "", (1.0, 1.0), "uint8", {key: value})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                grey().write(signal, tmp_path / name)
            except FormatError as error:
                assert "\n" not in str(error)


STORED = [
    {"scales": 7}, {"scales": [7]}, {"scales": [{"axis": 9}]}, {"scales": [{"axis": 0, "values": "x"}]},
    {"documents": 7}, {"documents": {".zattrs": {"multiscales": [{"datasets": [{"path": "a"}]}]}}},
    {"documents": {".zattrs": {"multiscales": [{"datasets": [
        {"path": "a", "coordinateTransformations": [{"type": "scale", "scale": ["x", 1, 1]}]}]}]}}},
    {"documents": {"zarr.json": 7}}, {"documents": {}, "numbers": [["x", [], "nan"]]}, {"key": 7},
]  # fmt: skip


@pytest.mark.parametrize("stored", STORED, ids=str)
@pytest.mark.parametrize("kind", ["hdf5", "zarr"])
def test_a_region_of_metadata_that_are_wrong(tmp_path, stored, kind):
    metadata = {"format": kind, "stored": {"key": "a", **stored}}
    values = np.ones((1, 4, 4, 4), np.float32)
    signal = Signal(values, any_array().spec.axes, "", (1.0,) * 3, "float32", metadata)
    try:
        part = signal
        with suppress(
            AttributeError, LookupError, TypeError, ValueError
        ):  # which the reader of streams makes a line of
            part = any_array().cropped(signal, ((1, 4),) * 3, (4, 4, 4))
        any_array().write(
            replace(part, values=values[:, 1:, 1:, 1:]), tmp_path / f"t.{'h5' if kind == 'hdf5' else kind}"
        )
    except FormatError as error:
        assert "\n" not in str(error)


# -- readers that unpack


@cache
def grey():
    return build_modality(load_recipe("grey_smoke").modality)


@cache
def any_array():
    return build_modality(load_recipe("array_smoke", ["modality.options.dtype=null"]).modality)


def array(path):
    return any_array().read(path)


def test_a_zip_in_an_array_declares_what_it_has(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1048576, 1048576, 64), }"
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + bytes(64)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("values.npy", npy)
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"expected 281474976710656 bytes of 'values.npy', got 64"):
        array(tmp_path / "a.npz")
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_arrays_that_are_not_there_take_no_memory(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(2**20, 2**20, 64), chunks=(64, 64, 64), dtype="float32")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (2**20, 2**20, 64), "f4", chunks=(64, 64, 64))
    for name in ("a.zarr", "a.h5"):
        with pytest.raises(
            FormatError, match=r"expected at most 16384 times the \d+ bytes stored, got an array of 2814"
        ):
            array(tmp_path / name)


def test_hdf5_reads_no_other_file(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(4000))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (10, 10, 10), "f4", external=[(str(tmp_path / "secret"), 0, 4000)])
    with pytest.raises(FormatError, match="expected 'a' to hold its values, got a list of other files"):
        array(tmp_path / "a.h5")


def test_names_in_a_zip_lead_nowhere(tmp_path):
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    file = io.BytesIO()
    np.save(file, np.zeros((4, 4, 4), np.float32))
    with zipfile.ZipFile(here / "x.npz", "w") as archive:
        archive.writestr("../../evil.npy", file.getvalue())
    with zipfile.ZipFile(here / "x.zarr.zip", "w") as archive:
        archive.writestr("../../zarr.json", "{}")
    before = sorted(tmp_path.rglob("*"))
    signal = array(here / "x.npz")
    with pytest.raises(FormatError, match=r"expected a plain name as key of the array, got '\.\./\.\./evil'"):
        build_modality(RECIPE.modality).write(signal, here / "y.npz")
    with pytest.raises(FormatError):
        array(here / "x.zarr.zip")
    assert sorted(tmp_path.rglob("*")) == before


READ = {
    ".npy": "hyperspectral_smoke", ".mat": "hyperspectral_smoke", ".img": "hyperspectral_smoke",
    ".tif": "hyperspectral_smoke", ".wav": "array_audio_smoke", ".w64": "array_audio_smoke",
    ".flac": "array_audio_smoke", ".aiff": "array_audio_smoke", ".mkv": "video_smoke", ".y4m": "video_smoke",
}  # fmt: skip


@pytest.mark.parametrize("suffix", READ)
@pytest.mark.filterwarnings("ignore::liveaction.errors.LiveactionWarning")
def test_files_cut_anywhere_or_changed_are_refused_in_one_line(tmp_path, suffix):
    if suffix == ".tif":
        pytest.importorskip("rasterio")
    kind = build_modality(load_recipe(READ[suffix]).modality)
    extents = {"hyperspectral_smoke": (5, 6, 7), "array_audio_smoke": (300,), "video_smoke": (2, 8, 8)}[READ[suffix]]
    path = tmp_path / f"a{suffix}"
    kind.write(kind.synthetic(0, extents), path)
    data, random = path.read_bytes(), np.random.default_rng(0)

    def refused(content):
        path.write_bytes(content)
        try:
            kind.read(path)
        except FormatError as error:
            assert str(error).startswith(str(tmp_path)) and "\n" not in str(error)
            return True
        return False

    for length in (*range(0, 65, 4), *random.integers(64, len(data) - 1, 8)):
        assert refused(data[:length]), length
    assert refused(b"no such thing" * 9)
    for _ in range(30):
        changed = bytearray(data)
        for place in random.integers(0, len(data), 3):
            changed[place] = random.integers(256)
        refused(bytes(changed))
    path.unlink()
    path.mkdir()
    with pytest.raises(FormatError, match="expected"):
        kind.read(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"guid": "xy"}, {"guid": 7}, {"valid_bits": -1}, {"valid_bits": "8"}, {"chunks": [["data", ""]]},
        {"chunks": [["RIFF", ""]]}, {"chunks": [["a\nbc", ""]]}, {"chunks": [["bext"]]}, {"chunks": "bext"},
        {"chunks": [["bext", "no base64"]]},
    ],
)  # fmt: skip
def test_chunks_of_metadata_are_no_other_part_of_a_file(tmp_path, metadata):
    about = {"rate": 8000, "container": "WAVEX", "subtype": "PCM_16", "channel_mask": 0, **metadata}
    assert write_outcome("array_audio_smoke", [], about, "int16", tmp_path / "t.wav", (AUDIO, 400))
    assert list(tmp_path.iterdir()) == []


def test_chunks_are_no_larger_than_what_they_hold(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        most = (None, None, None)
        file.create_dataset("a", (4, 4, 4), "f8", maxshape=most, chunks=(600, 600, 600), compression="gzip")
    zarr.create_array(tmp_path / "a.zarr", data=np.ones((4, 4, 4), np.float64), chunks=(4, 4, 4))
    document = tmp_path / "a.zarr" / "zarr.json"
    about = json.loads(document.read_text())
    about["chunk_grid"]["configuration"]["chunk_shape"] = [600, 600, 600]
    document.write_text(json.dumps(about))
    for name in ("a.h5", "a.zarr"):
        with pytest.raises(FormatError, match=r"no larger than the array of 512 bytes, got some of 1728000000; store"):
            array(tmp_path / name)


SAMPLES = np.random.default_rng(0).integers(1, 255, (9, 8, 7)).astype(np.uint8)
PICTURES = {
    "a.png": {}, "a.jpg": {}, "b.jpg": {"progressive": True}, "a.webp": {"lossless": True}, "a.bmp": {}, "a.ppm": {},
    "a.tif": {}, "b.tif": {"tile": (16, 16), "compression": "zlib"}, "c.tif": {"rowsperstrip": 5, "compression": "lzw"},
}  # fmt: skip


def picture_file(path):
    """A small picture in colour."""
    pixels = np.random.default_rng(0).integers(0, 255, (24, 21, 3)).astype(np.uint8)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="rgb", **PICTURES[path.name])
    else:
        PIL.Image.fromarray(pixels).save(path, **PICTURES[path.name])
    return path


def array_file(path):
    """A small array, in chunks where there are some."""
    if path.suffix == ".npy":
        np.save(path, SAMPLES)
    elif path.suffix == ".npz":
        np.savez_compressed(path, a=SAMPLES)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("a", data=SAMPLES, chunks=(5, 8, 7), compression="gzip")
    else:
        with zarr.storage.ZipStore(path, mode="w") as store:
            zarr.create_array(store, data=SAMPLES, chunks=(5, 8, 7), shards=(10, 8, 7))
    return path


def outcome(read, path):
    """What is read, None where it is refused in one line; a warning is as good as a refusal."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", LiveactionWarning)
        try:
            return read(path).values
        except (FormatError, LiveactionWarning) as error:
            assert "\n" not in str(error) and str(error).startswith(f"{path}: expected ")


@pytest.mark.parametrize("name", [*PICTURES, "a.npy", "a.npz", "a.h5", "a.zarr.zip"])
def test_what_is_cut_or_changed_is_refused_or_read(tmp_path, name):
    """Cut at every length up to 64 and at others: one line, or, where what is lost says nothing, the same values."""
    picture = build_modality(load_recipe("rgb_smoke").modality)
    read, make = (picture.read, picture_file) if name in PICTURES else (array, array_file)
    source = make(tmp_path / name)
    content, whole = source.read_bytes(), read(source).values
    cut = tmp_path / f"cut{''.join(source.suffixes)}"
    rng = np.random.default_rng(0)
    for length in (*range(65), *rng.integers(65, len(content), 9), len(content) - 1):
        cut.write_bytes(content[:length])
        got = outcome(read, cut)
        assert got is None or np.array_equal(got, whole)
    for _ in range(15):
        changed = bytearray(content)
        changed[int(rng.integers(min(len(content), 400)))] = int(rng.choice([0, 1, 127, 255]))
        cut.write_bytes(changed)
        outcome(read, cut)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_pictures_that_declare_more_than_they_hold(tmp_path):
    grey = build_modality(load_recipe("grey_smoke").modality)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
    image = io.BytesIO()
    PIL.Image.fromarray(np.zeros((64, 64), np.uint8)).save(image, "jpeg")
    jpeg = bytearray(image.getvalue())
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 13000, 13000)
    (tmp_path / "a.jpg").write_bytes(jpeg)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), np.uint8), tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        places = {tag.code: tag.valueoffset for tag in file.pages[0].tags}
    whole = (tmp_path / "a.tif").read_bytes()
    for name, codes, number in (("a.tif", (256, 257, 322, 323), 60000), ("b.tif", (322, 323), 2**17)):
        tiff = bytearray(whole)
        for code in codes:
            tiff[places[code] : places[code] + 4] = struct.pack("<I", number)
        (tmp_path / name).write_bytes(tiff)
    words = {
        "a.png": "expected a whole PNG, got 17 bytes for 30000 x 30000 samples",
        "a.jpg": r"expected a whole JPEG, got \d+ bytes for 13000 x 13000 samples",
        "a.tif": r"expected at most 16384 times the \d+ bytes stored, got an array of 3600000000 bytes",
        "b.tif": "expected chunks no larger than the array of 4096 bytes, got some of 17179869184",
    }
    for name, said in words.items():
        tracemalloc.start()
        with pytest.raises(FormatError, match=said):
            grey.read(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 10e6
        tracemalloc.stop()
