"""Arrays described in YAML: every format gives back what it was given; what does not fit is refused in one line."""

import json
import re
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

from liveaction.errors import FormatError, LiveactionWarning, ShapeError, SpecError
from liveaction.modalities.array.modality import Array
from liveaction.spec import ModalitySpec
from liveaction.testing_modalities import check_modality

SUFFIXES = [".npy", ".npz", ".h5", ".zarr", ".zarr.zip"]
SHAPE = (5, 7, 3, 2)


def make(axes: str = "yxt", channels: int = 1, limits: Any = (-3000, 3000), **options: Any) -> Array:
    return Array(ModalitySpec(name="array", axes=tuple(axes), channels=channels, range=limits, options=options))


def save(path: Path, array: np.ndarray, key: str = "scan/raw") -> Path:
    """A file of one array, made without the modality."""
    if path.name.endswith(".npy"):
        np.save(path, array)
    elif path.name.endswith(".npz"):
        np.savez_compressed(path, **{key: array})
    elif path.name.endswith(".h5"):
        with h5py.File(path, "w") as file:
            file.create_dataset(key, data=array)
    elif path.name.endswith(".zip"):
        with zarr.storage.ZipStore(path, mode="w") as store:
            zarr.create_array(store, name=key, data=array)
    else:
        zarr.create_array(path, name=key, data=array)
    return path


def values(shape: tuple[int, ...] = SHAPE, dtype: str = "int16") -> np.ndarray:
    return (np.random.default_rng(0).normal(0, 500, shape)).clip(0 if dtype[-2] == "u" else None).astype(dtype)


def again(signal: Any) -> Any:
    """The signal with metadata that went through JSON, as in a stream."""
    return replace(signal, metadata=json.loads(json.dumps(signal.metadata)))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", ["int8", ">i2", "<u2", "int32", "uint64", "float16", ">f4", "float64"])
def test_values_and_dtypes_come_back(tmp_path: Path, suffix: str, dtype: str) -> None:
    modality = make("yxt", 2, order=["y", "x", "t", "c"])
    raw = values(dtype=dtype) if dtype != "int8" else values().astype("int8")
    signal = modality.read(save(tmp_path / f"a{suffix}", raw))
    assert signal.values.shape == (2, 5, 7, 3) and signal.dtype == np.dtype(dtype).name
    assert signal.values.dtype.isnative
    np.testing.assert_array_equal(signal.values, raw.transpose(3, 0, 1, 2))
    modality.write(again(signal), tmp_path / f"b{suffix}")
    back = modality.read(tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(back.values, signal.values)
    assert back.metadata == signal.metadata
    if suffix == ".npy":
        assert (tmp_path / "b.npy").read_bytes() == (tmp_path / "a.npy").read_bytes()


@pytest.mark.parametrize(
    ("axes", "channels", "options", "shape"),
    [
        pytest.param("yx", 1, {}, (5, 7), id="as-listed"),
        pytest.param("yx", 3, {}, (3, 5, 7), id="channels-first"),
        pytest.param("yx", 3, {"order": ["y", "c", "x"]}, (5, 3, 7), id="channels-between"),
        pytest.param("yx", 1, {"order": ["y", "x", "c"]}, (5, 7, 1), id="one-channel"),
        pytest.param("xy", 1, {"order": ["t", "y", "z", "x"]}, (1, 5, 1, 7), id="extents-of-one"),
        pytest.param("cy", 2, {"order": ["c", "y", "mic"], "channel_axis": "mic"}, (5, 7, 2), id="another-name"),
        pytest.param("x", 1, {}, (9,), id="line"),
    ],
)
@pytest.mark.parametrize("fortran", [False, True])
def test_axes_are_found_by_their_names(
    tmp_path: Path, axes: str, channels: int, options: dict[str, Any], shape: tuple[int, ...], fortran: bool
) -> None:
    modality = make(axes, channels, **options)
    raw = values(shape)
    save(tmp_path / "a.npy", np.asfortranarray(raw) if fortran else raw)
    signal = modality.read(tmp_path / "a.npy")
    order = options.get("order") or (["c"] if channels > 1 else []) + list(axes)
    sizes = dict(zip(order, shape, strict=True))
    assert signal.values.shape == (channels, *(sizes[name] for name in axes))
    place = [order.index(name) for name in axes]
    sample = [1 if n > 1 else 0 for n in shape]
    channel = sample[order.index(options.get("channel_axis", "c"))] if options.get("channel_axis", "c") in order else 0
    assert signal.values[(channel, *(sample[i] for i in place))] == raw[tuple(sample)]
    modality.write(again(signal), tmp_path / "b.npy")
    assert (tmp_path / "b.npy").read_bytes() == (tmp_path / "a.npy").read_bytes()


def test_a_large_npy_is_mapped(tmp_path: Path) -> None:
    signal = make("yxt", 2, order=["c", "y", "x", "t"]).read(save(tmp_path / "a.npy", values((2, 5, 7, 3))))
    assert isinstance(signal.values.base, np.memmap) or isinstance(signal.values.base.base, np.memmap)


@pytest.mark.parametrize("key", [None, "scan/raw", "/scan/raw"])
def test_hdf5_keeps_attributes_and_storage(tmp_path: Path, key: str | None) -> None:
    raw = values((9, 8, 7))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset(
            "scan/raw", data=raw, chunks=(4, 8, 2), compression="gzip", compression_opts=7, shuffle=True,
            fletcher32=True, maxshape=(None, 8, 7), fillvalue=-5,
        )  # fmt: skip
        data.attrs["unit"] = "counts"
        data.attrs["gain"] = np.float32(0.25)
        data.attrs["_FillValue"] = np.float64("nan")
        data.attrs["names"] = ["a", "bc"]
        data.attrs["fixed"] = np.bytes_(b"xyz")
        data.attrs["matrix"] = np.arange(6, dtype=">i2").reshape(2, 3)
        data.attrs["flag"] = True
        file["scan"].attrs["site"] = "north"
        file.attrs["version"] = 3
        file["scan/name"] = "text beside"
    modality = make(key=key) if key else make()
    signal = modality.read(tmp_path / "a.h5")
    with pytest.warns(LiveactionWarning, match=r"b\.h5: written without the array scan/name"):
        modality.write(again(signal), tmp_path / "b.h5")
    with h5py.File(tmp_path / "a.h5") as one, h5py.File(tmp_path / "b.h5") as two:
        before, after = one["scan/raw"], two["scan/raw"]
        np.testing.assert_array_equal(before[...], after[...])
        for name in ("chunks", "compression", "compression_opts", "shuffle", "fletcher32", "maxshape", "fillvalue"):
            assert getattr(before, name) == getattr(after, name), name
        for place in ("/", "scan", "scan/raw"):
            assert one[place].attrs.keys() == two[place].attrs.keys()
            for label, value in one[place].attrs.items():
                other = two[place].attrs[label]
                np.testing.assert_array_equal(value, other)
                assert type(value) is type(other) and getattr(value, "dtype", 0) == getattr(other, "dtype", 0)


def test_what_hdf5_cannot_keep_is_said(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("raw", data=values((4, 4, 4)), chunks=(4, 4, 4), scaleoffset=0)
        data.attrs["there"] = file.ref
    signal = make().read(tmp_path / "a.h5")
    with pytest.warns(LiveactionWarning, match="without filter scaleoffset, attribute there"):
        make().write(signal, tmp_path / "b.h5")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("suffix", [".zarr", ".zarr.zip"])
def test_zarr_keeps_its_documents(tmp_path: Path, version: int, suffix: str) -> None:
    path, more = tmp_path / f"a{suffix}", {} if version == 2 else {"dimension_names": ("y", "x", "t")}
    store = zarr.storage.ZipStore(path, mode="w") if suffix.endswith("zip") else zarr.storage.LocalStore(path)
    group = zarr.create_group(store, zarr_format=version, attributes={"site": "north"})
    array = group.require_group("scan").create_array(
        "raw", shape=(9, 8, 7), chunks=(4, 8, 2), dtype="float32", fill_value=np.nan, attributes={"gain": 0.5}, **more
    )
    raw = values((9, 8, 7), "float32")
    array[...] = raw
    store.close()
    signal = make().read(path)
    np.testing.assert_array_equal(signal.values[0], raw)
    assert signal.metadata["stored"]["key"] == "scan/raw"
    make().write(again(signal), tmp_path / f"b{suffix}")
    back = make().read(tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(back.values, signal.values)
    assert back.metadata == signal.metadata and len(signal.metadata["stored"]["documents"]) in (3, 6)


def test_zarr_shards_and_compressors_come_back(tmp_path: Path) -> None:
    codec = zarr.codecs.BloscCodec(cname="lz4", clevel=3)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(8, 8, 8), chunks=(2, 2, 2), shards=(4, 8, 8), dtype="uint16", compressors=codec
    )
    array[...] = 7
    signal = make().read(tmp_path / "a.zarr")
    make().write(signal, tmp_path / "b.zarr")
    one, two = (json.loads((tmp_path / name / "zarr.json").read_text()) for name in ("a.zarr", "b.zarr"))
    assert one == two
    assert sorted(p.name for p in (tmp_path / "b.zarr").rglob("*")) == sorted(
        p.name for p in (tmp_path / "a.zarr").rglob("*")
    )


def test_a_store_takes_the_place_of_a_store(tmp_path: Path) -> None:
    modality, one, two = make(), values((3, 4, 5)), values((3, 4, 5)) + 1
    save(tmp_path / "a.zarr", one, "values")
    modality.write(modality.read(save(tmp_path / "b.zarr", two, "values")), tmp_path / "a.zarr")
    np.testing.assert_array_equal(modality.read(tmp_path / "a.zarr").values[0], two)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]
    (tmp_path / "c.zarr").mkdir()
    (tmp_path / "c.zarr" / "mine.txt").write_text("keep")
    with pytest.raises(FormatError, match=r"c\.zarr: expected a new name or a zarr store to replace"):
        modality.write(modality.read(tmp_path / "b.zarr"), tmp_path / "c.zarr")
    assert (tmp_path / "c.zarr" / "mine.txt").exists()


def test_another_format_keeps_the_values_and_says_what_not(tmp_path: Path) -> None:
    modality = make()
    signal = modality.read(save(tmp_path / "a.h5", values((3, 4, 5))))
    with pytest.warns(LiveactionWarning, match=r"b\.npy: written without attributes and storage of its hdf5 source"):
        modality.write(signal, tmp_path / "b.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), values((3, 4, 5)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        modality.write(modality.read(tmp_path / "b.npy"), tmp_path / "c.h5")


def test_npz_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", first=values((3, 4, 5)), other=np.zeros(3))
    words = r"a\.npz: expected one array, got first, other; name the one to take in modality\.options\.key"
    with pytest.raises(FormatError, match=words):
        make().read(tmp_path / "a.npz")
    with pytest.raises(FormatError, match=r"expected an array 'firs' as modality\.options\.key says, got first, other"):
        make(key="firs").read(tmp_path / "a.npz")
    signal = make(key="first").read(tmp_path / "a.npz")
    with pytest.warns(LiveactionWarning, match="without the array other"):
        make(key="first").write(signal, tmp_path / "b.npz")
    assert np.load(tmp_path / "b.npz").files == ["first"]


@pytest.mark.parametrize(
    ("no_data", "dtype"), [("nan", "float32"), ("nan", "float64"), (-9999, "float32"), (-9999, "int16"), (0, "uint16")]
)
def test_no_data_is_missing_and_comes_back(tmp_path: Path, no_data: Any, dtype: str) -> None:
    raw = values((6, 5, 4), "float64").clip(1).astype(dtype)
    raw[2:, 0] = float(no_data)
    modality = make(no_data=no_data)
    signal = modality.read(save(tmp_path / "a.npy", raw))
    assert signal.missing is not None and signal.missing.sum() == 16
    decoded = np.full_like(signal.values, 5)
    decoded[0, 0, 1, 0] = 0 if no_data == "nan" else no_data  # measured, and decoded to the mark
    decoded[signal.missing] = float(no_data)
    modality.write(replace(signal, values=decoded), tmp_path / "b.npy")
    back = modality.read(tmp_path / "b.npy")
    np.testing.assert_array_equal(back.missing, signal.missing)
    np.testing.assert_array_equal(np.isnan(back.values[back.missing]), no_data == "nan")


OPTIONS = [
    ("yx", 1, {"no_data": "nan"}, "float32", ".npy"),
    ("yx", 1, {"no_data": -9999, "dtype": "int16"}, "int16", ".h5"),
    ("yx", 3, {"order": ["y", "x", "c"], "dtype": "uint8"}, "uint8", ".npz"),
    ("x", 2, {"dtype": "float64", "spacing": [0.5]}, "float64", ".zarr"),
    ("tzyx", 1, {"dtype": "uint16", "key": "/scan/raw"}, "uint16", ".h5"),
    ("zyx", 1, {"dtype": "float16"}, "float16", ".npy"),
    ("zyx", 1, {"dtype": "uint32", "no_data": 4294967295}, "uint32", ".zarr.zip"),
]


@pytest.mark.parametrize(("axes", "channels", "options", "dtype", "suffix"), OPTIONS)
def test_the_battery(
    tmp_path: Path, axes: str, channels: int, options: dict[str, Any], dtype: str, suffix: str
) -> None:
    limits = (0, 250) if dtype == "uint8" else (-100, 1000) if dtype[0] != "u" else (0, 1000)
    modality = make(axes, channels, limits, **options)
    assert modality.synthetic(0).dtype == dtype
    check_modality(modality, tmp_path, suffix, [(1,) * len(axes), (3,) * len(axes), (5, 9, 1, 7)[: len(axes)]])


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        ("complex64", "real and imaginary"), ("bool", "uint8"), ("<U3", "such numbers"), ("datetime64[s]", "such"),
        ([("a", "i4"), ("b", "f4")], "such numbers"), ("O", "npy file of real numbers"),
    ],
    ids=["complex", "bool", "text", "date", "structure", "object"],
)  # fmt: skip
def test_other_things_than_real_numbers_are_refused(tmp_path: Path, dtype: Any, words: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 2, 2), dtype=dtype))
    with pytest.raises(FormatError, match=words) as caught:
        make().read(tmp_path / "a.npy")
    assert str(caught.value).startswith(f"{tmp_path / 'a.npy'}: expected") and "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr"])
def test_complex_numbers_are_refused_in_every_format(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(FormatError, match=r"expected real numbers .*, got complex64; split it into real and imaginary"):
        make().read(save(tmp_path / f"a{suffix}", np.zeros((2, 2, 2), np.complex64)))


def test_a_codec_that_runs_what_it_reads_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.zarr", values((2, 2, 2)))
    zarr.create_array(
        tmp_path / "b.zarr", shape=(2, 2, 2), chunks=(2, 2, 2), dtype="int32", zarr_format=2, compressors=None
    )[...] = 3
    document = tmp_path / "b.zarr" / ".zarray"
    document.write_text(json.dumps({**json.loads(document.read_text()), "compressor": {"id": "pickle"}}))
    with pytest.raises(FormatError, match="pickle"):
        make().read(tmp_path / "b.zarr")
    signal = make().read(save(tmp_path / "c.zarr", values((2, 2, 2)), "raw"))
    documents = {"../../evil/zarr.json": {}}
    bad = replace(signal, metadata={**signal.metadata, "stored": {"key": "../../evil", "documents": documents}})
    with pytest.raises(FormatError, match="expected a plain name as key"):
        make().write(bad, tmp_path / "d.zarr")
    assert not (tmp_path / "d.zarr").exists()


READS: list[tuple[tuple[int, ...], dict[str, Any], str]] = [
    ((5, 7), {}, r"expected axes ['y', 'x', 't'], got shape (5, 7); list them in modality.options.order"),
    ((5, 7, 3), {"order": ["y", "x", "t"], "dtype": "uint16"}, "expected uint16 as modality.options.dtype says, got i"),
    ((5, 7, 3, 2), {"order": ["y", "x", "t", "z"]}, "expected extent 1 on axis 'z', which is neither in modality.axes"),
    ((5, 7, 3, 2), {"order": ["y", "x", "t", "c"]}, "expected 1 channel(s) on axis 'c', got 2; change modality.chan"),
    ((5, 0, 3), {}, "expected at least one sample per axis"),
    ((5, 7, 3), {"key": "raw"}, "expected no modality.options.key for an npy file, got 'raw'; remove it"),
    ((5, 7, 3), {"no_data": "nan"}, "expected values that can hold modality.options.no_data nan, got int16"),
    ((5, 7, 3), {"no_data": -99999}, "expected values that can hold modality.options.no_data -99999"),
]


@pytest.mark.parametrize(("shape", "options", "words"), READS)
def test_files_that_do_not_fit(tmp_path: Path, shape: tuple[int, ...], options: dict[str, Any], words: str) -> None:
    save(tmp_path / "a.npy", values(shape))
    with pytest.raises(FormatError, match=re.escape(words)) as caught:
        make(**options).read(tmp_path / "a.npy")
    assert str(caught.value).startswith(f"{tmp_path / 'a.npy'}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ordr": ["y"]}, "[modality.options] ordr: expected a known key, got 'ordr'; did you mean order?"),
        ({"order": ["y", "x"]}, "[modality.options] order: expected each of ['t', 'x', 'y'] once, got ['y', 'x']"),
        ({"order": ["y", "x", "t", "t"]}, "[modality.options] order: expected each of"),
        ({"order": 3}, "[modality.options] order: expected a valid tuple, got 3"),
        ({"dtype": "complex64"}, "[modality.options] dtype: expected one of int8, "),
        ({"no_data": float("nan")}, "[modality.options] no_data: expected a number or the word nan, got YAML's .nan"),
        ({"no_data": "none"}, "[modality.options] no_data: expected a number or the word nan, got 'none'"),
        ({"no_data": True}, "[modality.options] no_data: expected a number or the word nan, got True"),
        ({"spacing": [1, 2]}, "[modality.options] spacing: expected one number per axis ['y', 'x', 't'], got [1.0, 2"),
        ({"spacing": [1, 2, 0]}, "[modality.options] spacing.2: expected greater than 0, got 0"),
        ({"channel_axis": "y"}, "[modality.options] channel_axis: expected a name that is not in axes"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        make(**options)
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value)


def test_other_refusals(tmp_path: Path) -> None:
    nan = save(tmp_path / "nan.npy", np.full((2, 2, 2), np.nan))
    with pytest.raises(FormatError, match=r"got 8 NaN or infinite.*, or say no_data: nan in modality\.options"):
        make().read(nan)
    signal = make().read(save(tmp_path / "a.npy", values((2, 2, 2))))
    with pytest.raises(ShapeError, match=r"expected values \[1, "):
        make().write(replace(signal, values=signal.values[:, 0], axes=("x", "t"), spacing=(1, 1)), tmp_path / "b.npy")
    with pytest.raises(SpecError, match="expected \\[low, high\\] or percentiles for int64 values, got 'native'"):
        make(limits="native").range_of(make().read(save(tmp_path / "i.npy", values((2, 2, 2), "int64"))))
    (tmp_path / "hollow.zarr").mkdir()
    with pytest.raises(FormatError, match=r"hollow\.zarr: expected an array \(\.h5, \.hdf5, \.npy"):
        make().read(tmp_path / "hollow.zarr")


def test_folders_are_searched(tmp_path: Path) -> None:
    for name in ("a.npy", "b.zarr", "deep/c.h5", ".hidden/d.npy", "e.zarr.zip"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(tmp_path / name, values((2, 2, 2)))
    (tmp_path / "notes.txt").write_text("-")
    found = [path.relative_to(tmp_path).as_posix() for path in make().find(tmp_path)]
    assert found == ["a.npy", "b.zarr", "deep/c.h5", "e.zarr.zip"]


@pytest.mark.parametrize("axes", ["x", "yx", "zyx", "tzyx"])
@pytest.mark.parametrize(("channels", "size"), [(1, None), (6, 1), (6, 7)])
def test_previews(tmp_path: Path, axes: str, channels: int, size: int | None) -> None:
    modality = make(axes, channels, no_data="nan")
    signal = modality.synthetic(0, None if size is None else (size,) * len(axes))
    path = tmp_path / "p.png"
    for original in (signal, None):
        modality.preview(original, signal, path, "a title")
        assert path.read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ShapeError, match="expected a reconstruction of shape"):
        modality.preview(replace(signal, values=signal.values[:, :0], missing=None), signal, path)


def test_sample_arrays_come_back(data_dir: Path, tmp_path: Path) -> None:
    modality = make("yxb", limits=(0, 10000), order=["y", "x", "b"], dtype="uint16")
    source = data_dir / "hyperspectral" / "indian_pines_corrected.npy"
    signal = modality.read(source)
    assert signal.values.shape == (1, 145, 145, 200)
    modality.write(again(signal), tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(source))


def test_npz_members_are_deflated_as_before(tmp_path: Path) -> None:
    for deflated, save_it in ((True, np.savez_compressed), (False, np.savez)):
        save_it(tmp_path / "a.npz", raw=values((2, 3, 4)))
        make().write(make().read(tmp_path / "a.npz"), tmp_path / "b.npz")
        (info,) = zipfile.ZipFile(tmp_path / "b.npz").infolist()
        assert (info.compress_type == zipfile.ZIP_DEFLATED) is deflated
