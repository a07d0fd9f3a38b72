"""Hyperspectral files: ENVI, MATLAB, .npy and GeoTIFF come back as they were, or are refused in one line."""

import base64
import importlib.util
import json
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import spectral.io.envi
import tifffile
from scipy.io import loadmat, savemat, whosmat
from scipy.sparse import csc_matrix

from liveaction.errors import FormatError, LiveactionWarning, MissingDependencyError, ShapeError
from liveaction.modalities.hyperspectral import mat5
from liveaction.modalities.hyperspectral.envi_header import DTYPES, INTERLEAVES
from liveaction.modalities.hyperspectral.modality import Hyperspectral
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec
from liveaction.testing_modalities import check_modality

needs_rasterio = pytest.mark.skipif(not importlib.util.find_spec("rasterio"), reason="rasterio is not installed")


def modality(**options: Any) -> Hyperspectral:
    spec = {"name": "hyperspectral", "axes": ("band", "y", "x"), "unit": "DN", "range": {"percentiles": [0, 100]}}
    return Hyperspectral(ModalitySpec.model_validate({**spec, "options": options}))


def _cube(dtype: str = "int16", shape: tuple[int, ...] = (5, 4, 3)) -> np.ndarray:
    return (np.arange(np.prod(shape)) * 2 + 3).reshape(shape).astype(dtype)


def _through_json(signal: Signal) -> Signal:
    return replace(signal, metadata=json.loads(json.dumps(signal.metadata)))


# --- ENVI

HEADER = """ENVI
; a comment = kept
description = {
  an image, of something}
Samples = 3
lines   = 4
bands = 5
header offset = %(offset)d
file type = ENVI Standard
data type = %(kind)d
interleave = %(interleave)s
sensor type = Unknown
byte order = %(order)d
map info = {UTM, 1.0, 1.0, 364095, 5809965, 30, 30, 33, North, WGS-84, units=Meters}
wavelength units = Micrometers
wavelength = {0.46, 0.55,
 0.64, 0.9, 2.2}
fwhm = {0.01, 0.01, 0.01, 0.01, 0.02}
bbl = {1, 1, 1, 0, 1}
data ignore value = 7
reflectance scale factor = 10000.0
band names = {b, g, r, n, s}
My Own Field = Größe
"""


def _envi(folder: Path, ending: str = ".img", edit: Callable[[str], str] = str, **told: Any) -> Path:
    """An ENVI pair; the values are those of :func:`_cube`. Returns the header."""
    told = {"offset": 0, "kind": 2, "interleave": "bil", "order": 0} | told
    header = folder / "a.hdr"
    header.write_bytes(edit(HEADER % told).encode())
    dtype = np.dtype("<>"[told["order"]] + DTYPES.get(told["kind"], "i2"))
    order = INTERLEAVES.get(told["interleave"].lower(), (0, 1, 2))
    lead = bytes(range(256)) * (told["offset"] // 256 + 1)
    values = np.ascontiguousarray(_cube(dtype.name).transpose(order), dtype)
    (folder / f"a{ending}").write_bytes(lead[: told["offset"]] + values.tobytes())
    return header


@pytest.mark.parametrize("order", [0, 1], ids=["little", "big"])
@pytest.mark.parametrize("interleave", ["bsq", "bil", "BIP"])
@pytest.mark.parametrize("kind", DTYPES)
def test_envi_comes_back_to_the_letter(tmp_path: Path, kind: int, interleave: str, order: int) -> None:
    header = _envi(tmp_path, kind=kind, interleave=interleave, order=order)
    signal = modality().read(header)
    np.testing.assert_array_equal(signal.values[0], _cube(DTYPES[kind]))
    assert signal.values.dtype.isnative and signal.dtype == np.dtype(DTYPES[kind]).name
    modality().write(_through_json(signal), tmp_path / "b.hdr")
    assert (tmp_path / "b.hdr").read_bytes() == header.read_bytes()
    assert (tmp_path / "b.img").read_bytes() == (tmp_path / "a.img").read_bytes()


@pytest.mark.filterwarnings("ignore:Parameters with non-lowercase names:UserWarning")
@pytest.mark.parametrize("interleave", INTERLEAVES)
def test_envi_is_what_the_package_spectral_reads(tmp_path: Path, interleave: str) -> None:
    header = _envi(tmp_path, kind=12, interleave=interleave, order=1, offset=100)
    modality().write(modality().read(header), tmp_path / "b.hdr")
    for name in ("a", "b"):
        image = spectral.io.envi.open(str(tmp_path / f"{name}.hdr"))
        np.testing.assert_array_equal(np.asarray(image.load(dtype="u2", scale=False)).transpose(2, 0, 1), _cube("u2"))
        assert image.metadata["my own field"] == "Größe"


@pytest.mark.parametrize("ending", ["", ".img", ".raw", ".dat", ".bil", ".bip", ".bsq", ".IMG"])
@pytest.mark.parametrize("by", ["header", "data"])
def test_either_file_may_be_named(tmp_path: Path, ending: str, by: str) -> None:
    header = _envi(tmp_path, ending)
    named = header if by == "header" else tmp_path / f"a{ending}"
    assert modality().find(named) == [named]
    assert modality().parts(named) == [header, tmp_path / f"a{ending}"]
    signal = modality().read(named)
    out = tmp_path / ("b.hdr" if by == "header" else f"b{ending}")
    modality().write(signal, out)
    assert (tmp_path / "b.hdr").read_bytes() == header.read_bytes()
    assert (tmp_path / f"b{ending}").read_bytes() == (tmp_path / f"a{ending}").read_bytes()


def test_a_header_named_after_the_whole_file(tmp_path: Path) -> None:
    _envi(tmp_path, ".img").rename(tmp_path / "a.img.hdr")
    signal = modality().read(tmp_path / "a.img")
    modality().write(signal, tmp_path / "b.img")
    assert (tmp_path / "b.img.hdr").read_bytes() == (tmp_path / "a.img.hdr").read_bytes()
    np.testing.assert_array_equal(modality().read(tmp_path / "b.img.hdr").values, signal.values)


def test_a_file_with_another_suffix_is_taken_by_its_header(tmp_path: Path) -> None:
    _envi(tmp_path, ".cube")
    assert modality().read(tmp_path / "a.cube").shape == (5, 4, 3)
    (tmp_path / "a.hdr").rename(tmp_path / "b.hdr")
    with pytest.raises(FormatError, match=r"expected an ENVI header .*got a file named 'a.cube'"):
        modality().read(tmp_path / "a.cube")


def test_what_an_envi_header_says_is_used(tmp_path: Path) -> None:
    signal = modality().read(_envi(tmp_path))
    assert signal.missing is not None and signal.no_data == 7
    np.testing.assert_array_equal(signal.missing[0], _cube() == 7)
    bands = modality()._bands(signal)
    np.testing.assert_allclose(bands.wavelengths, [460, 550, 640, 900, 2200])
    assert bands.bad.tolist() == [False, False, False, True, False]


def test_bytes_before_the_samples_are_kept(tmp_path: Path) -> None:
    header = _envi(tmp_path, offset=300)
    modality().write(_through_json(modality().read(header)), tmp_path / "b.img")
    assert (tmp_path / "b.img").read_bytes() == (tmp_path / "a.img").read_bytes()


def test_headers_with_other_letters_and_line_ends_are_kept(tmp_path: Path) -> None:
    header = _envi(tmp_path)
    header.write_bytes(header.read_bytes().decode().replace("\n", "\r\n").encode("latin-1"))
    modality().write(_through_json(modality().read(header)), tmp_path / "b.hdr")
    assert (tmp_path / "b.hdr").read_bytes() == header.read_bytes()


def _sub(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        pytest.param(_sub("ENVI\n;", "ENV\n;"), "expected an ENVI header, which begins with 'ENVI'", id="no-envi"),
        pytest.param(
            _sub("lines   = 4\n", ""), "whole number of at least 1 in the field 'lines', got no such", id="gone"
        ),
        pytest.param(_sub("bands = 5", "bands = 0"), "at least 1 in the field 'bands', got '0'", id="no-bands"),
        pytest.param(_sub("bands = 5", "bands = five"), "in the field 'bands', got 'five'", id="words"),
        pytest.param(_sub("data type = 2", "data type = 6"), r"data type among .* got 6 and 0", id="complex"),
        pytest.param(_sub("byte order = 0", "byte order = 2"), "byte order 0 or 1, got 2 and 2", id="order"),
        pytest.param(_sub("= bil", "= tiled"), "expected interleave bsq, bil or bip, got 'tiled'", id="interleave"),
        pytest.param(_sub("s, ", "s\n"), "", id="harmless"),
        pytest.param(_sub("b, g, r, n, s}", "b, g"), "expected a '}' that ends the field 'band names'", id="open-list"),
        pytest.param(_sub("bbl", "fwhm"), "expected every field once, got 'fwhm' twice", id="twice"),
        pytest.param(_sub("sensor type = Unknown", "file compression = 1"), "expected 'file compression' 0", id="gzip"),
        pytest.param(_sub("ENVI Standard", "ENVI Spectral Library"), "expected an image, got file type", id="library"),
        pytest.param(_sub("ENVI Standard", "ENVI Virtual Mosaic"), "expected an image, got file type", id="mosaic"),
        pytest.param(
            _sub("ENVI Standard", "ENVI Classification"), "'ENVI Classification', whose class numbers", id="classes"
        ),
        pytest.param(
            _sub("sensor type = Unknown", "major frame offsets = {8, 0}"),
            "expected 'major frame offsets' 0",
            id="frames",
        ),
        pytest.param(_sub("0.46, ", ""), "expected 5 numbers in the field 'wavelength', .*got 4", id="short-list"),
        pytest.param(_sub("0.46", "blue"), "expected numbers in the field 'wavelength', got could not", id="list"),
        pytest.param(
            _sub("value = 7", "value = none"), "a number in the field 'data ignore value', got 'none'", id="no"
        ),
        pytest.param(
            _sub("lines   = 4", "lines = 5"), "expected 150 bytes .* got 120; the file is cut short", id="short"
        ),
        pytest.param(
            _sub("lines   = 4", "lines = 3"), "expected 90 bytes .* got 120; the header belongs to", id="long"
        ),
    ],
)
def test_bad_headers_are_refused(tmp_path: Path, edit: Callable[[str], str], words: str) -> None:
    header = _envi(tmp_path, edit=edit)
    if not words:
        assert modality().read(header).shape == (5, 4, 3)
        return
    with pytest.raises(FormatError, match=words) as caught:
        modality().read(header)
    assert "\n" not in str(caught.value) and "/a." in str(caught.value)


def test_none_or_several_raw_files_are_refused(tmp_path: Path) -> None:
    header = _envi(tmp_path)
    (tmp_path / "a.dat").write_bytes(bytes(120))
    with pytest.raises(
        FormatError, match=r"one raw file of 120 bytes beside it.*got 'a\.dat' of 120, 'a\.img' of 120; name the one"
    ):
        modality().read(header)
    assert modality().read(tmp_path / "a.img").shape == (5, 4, 3)
    for name in ("a.img", "a.dat"):
        (tmp_path / name).unlink()
    for do in (modality().read, modality().parts):
        with pytest.raises(FormatError, match=r"one raw file of 120 bytes beside it.*got none; copy it there"):
            do(header)
    (tmp_path / "a.txt").write_text("a note")
    (tmp_path / "a.img").mkdir()
    with pytest.raises(FormatError, match=r"got 'a\.txt' of 6; copy it there"):
        modality().read(header)
    (tmp_path / "a.img").rmdir()
    header.unlink()
    _envi(tmp_path)
    header.unlink()
    with pytest.raises(FormatError, match=r"expected an ENVI header 'a\.hdr' beside it, got none"):
        modality().read(tmp_path / "a.img")


@pytest.mark.parametrize("ending", [".hyspex", ".HySpex", ".cube", "", ".dat"])
def test_the_raw_file_is_the_one_of_the_right_size(tmp_path: Path, ending: str) -> None:
    header = _envi(tmp_path, ending)
    (tmp_path / "a.txt").write_text("a note beside it")
    (tmp_path / "a.img").write_bytes(b"")
    (tmp_path / "a.b.img").write_bytes(bytes(120))  # of a header a.b.hdr
    assert modality().find(tmp_path) == [header]
    assert modality().parts(header) == [header, tmp_path / f"a{ending}"]
    signal = modality().read(header)
    np.testing.assert_array_equal(signal.values[0], _cube())
    modality().write(_through_json(signal), tmp_path / "b.hdr")
    np.testing.assert_array_equal(modality().read(tmp_path / "b.hdr").values, signal.values)
    assert (tmp_path / "b.hdr").read_bytes() == header.read_bytes()


def test_a_header_too_long_or_unreadable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = _envi(tmp_path)
    monkeypatch.setattr("liveaction.modalities.hyperspectral.envi.LONGEST_TEXT", 100)
    with pytest.raises(FormatError, match=r"a\.hdr: expected an ENVI header of at most 100 bytes, got a longer file"):
        modality().read(header)

    def denied(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert modality().find(tmp_path) == [header]  # it is there, and reading it says what is wrong
    with pytest.raises(FormatError, match=r"a\.hdr: expected a readable ENVI header, got Permission denied"):
        modality().read(header)


def test_writing_never_takes_a_strangers_file(tmp_path: Path) -> None:
    signal = modality().read(_envi(tmp_path))
    (tmp_path / "b.img").write_text("mine")
    with pytest.raises(
        FormatError, match=r"expected both 'b\.hdr' and 'b\.img' to be new, or to replace both, got 'b.img'"
    ):
        modality().write(signal, tmp_path / "b.hdr")
    assert (tmp_path / "b.img").read_text() == "mine" and not (tmp_path / "b.hdr").exists()
    modality().write(signal, tmp_path / "a.hdr")


def test_a_part_of_an_envi_image_is_refused(tmp_path: Path) -> None:
    signal = modality().read(_envi(tmp_path))
    with pytest.raises(ShapeError, match=r"expected values \(5, 4, 3\) as the header says, got \(5, 2, 3\)"):
        modality().write(signal.crop(slice(None), slice(0, 2), slice(None)), tmp_path / "b.hdr")


@pytest.mark.parametrize("damage", ["nonsense", "", "eJwLAAAA"], ids=["no-base64", "empty", "no-deflate"])
def test_damaged_metadata_are_refused(tmp_path: Path, damage: str) -> None:
    signal = modality().read(_envi(tmp_path))
    signal.metadata["header"] = damage
    with pytest.raises(FormatError, match="expected metadata with its source's"):
        modality().write(signal, tmp_path / "b.hdr")


def test_another_format_than_the_sources_is_refused(tmp_path: Path) -> None:
    signal = modality().read(_envi(tmp_path))
    with pytest.raises(FormatError, match=r"expected a name ending in \.hdr, .* as its source was, got 'b\.npy'"):
        modality().write(signal, tmp_path / "b.npy")


# --- .npy


@pytest.mark.parametrize("dtype", ["<i2", ">u2", "i1", "<f8", ">f4", "<u8"])
@pytest.mark.parametrize("fortran", [False, True], ids=["c", "fortran"])
def test_npy_comes_back_to_the_byte(tmp_path: Path, dtype: str, fortran: bool) -> None:
    np.save(tmp_path / "a.npy", np.asarray(_cube("i1").transpose(1, 2, 0), dtype, order="F" if fortran else "C"))
    signal = modality().read(tmp_path / "a.npy")
    np.testing.assert_array_equal(signal.values[0], _cube("i1"))
    modality().write(_through_json(signal), tmp_path / "b.npy")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 3)), r"expected an array with axes y, x, band, got shape \(2, 3\)"),
        (np.zeros((2, 0, 3)), r"got shape \(2, 0, 3\)"),
        (np.zeros((2, 2, 2), complex), "expected integers, float32 or float64, got 'complex128'"),
        (np.zeros((2, 2, 2), "f2"), "got 'float16'"),
        (np.zeros((2, 2, 2), bool), "got 'bool'"),
        (np.array([{}], object), "expected a whole .npy array, got ValueError"),
        (b"\x93NUMPY\1\0\x10\0{'descr': '<i2', (", "expected a whole .npy array, got "),
    ],
    ids=["two-axes", "empty", "complex", "half", "bool", "objects", "open-brace"],
)
def test_other_npy_arrays_are_refused(tmp_path: Path, array: np.ndarray | bytes, words: str) -> None:
    if isinstance(array, bytes):
        (tmp_path / "a.npy").write_bytes(array)
    else:
        np.save(tmp_path / "a.npy", array)
    with pytest.raises(FormatError, match=words):
        modality().read(tmp_path / "a.npy")


# --- MATLAB


def _mat73(path: Path, **arrays: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array.T
    return path


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint64", "float32", "float64"])
@pytest.mark.parametrize("version", ["5", "7.3"])
def test_mat_comes_back_under_its_name(tmp_path: Path, version: str, dtype: str) -> None:
    array = _cube(dtype).transpose(1, 2, 0)
    if dtype.startswith("f"):
        array = array + np.array(0.5, dtype)
    if version == "5":
        savemat(tmp_path / "a.mat", {"scene": array})
    else:
        _mat73(tmp_path / "a.mat", scene=array)
    signal = modality().read(tmp_path / "a.mat")
    np.testing.assert_array_equal(signal.values[0], array.transpose(2, 0, 1))
    assert (signal.dtype, signal.metadata["version"]) == (dtype, version)
    modality().write(_through_json(signal), tmp_path / "b.mat")
    if version == "5":
        back = loadmat(tmp_path / "b.mat", mat_dtype=True)["scene"]
        assert whosmat(tmp_path / "b.mat") == whosmat(tmp_path / "a.mat")
    else:
        assert (tmp_path / "b.mat").read_bytes()[:10] == b"MATLAB 7.3" and (tmp_path / "b.mat").read_bytes()[
            124:128
        ] == (b"\x00\x02IM")
        with h5py.File(tmp_path / "b.mat") as file:
            assert file["scene"].attrs["MATLAB_class"] == {"float64": b"double", "float32": b"single"}.get(
                dtype, dtype.encode()
            )
            back = file["scene"][()].T
    np.testing.assert_array_equal(back, array)
    assert back.dtype == dtype
    np.testing.assert_array_equal(modality().read(tmp_path / "b.mat").values, signal.values)


def test_mat_takes_no_values_from_elsewhere_and_says_what_is_not_there(tmp_path: Path) -> None:
    array = _cube("uint16")
    (tmp_path / "here").mkdir()
    _mat73(tmp_path / "far.h5", scene=array)
    layout = h5py.VirtualLayout(array.shape, "u2")
    layout[:] = h5py.VirtualSource("../far.h5", "scene", shape=array.shape)
    path = tmp_path / "here" / "a.mat"
    with h5py.File(path, "w") as file:
        file["scene"] = h5py.ExternalLink("../far.h5", "scene")
    with pytest.raises(FormatError, match="expected one numeric array of three axes, got none"):
        modality().read(path)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("scene", layout)
    words = r"expected the source '\.\./far\.h5' of the virtual dataset 'scene' in the folder of the file, got one else"
    with pytest.raises(FormatError, match=words):
        modality().read(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("scene", array.shape, "u2", chunks=(1, *array.shape[1:]))[0] = 1
    with pytest.warns(LiveactionWarning, match=rf"expected all {len(array)} chunks of 'scene', got 1"):
        modality().read(path)


def test_a_damaged_mat_is_one_line(tmp_path: Path) -> None:
    content = _mat73(tmp_path / "a.mat", scene=_cube("uint16")).read_bytes()
    for place in (content.index(b"SNOD"), content.index(b"HEAP"), content.index(b"TREE")):
        (tmp_path / "b.mat").write_bytes(content[:place] + b"x" + content[place + 1 :])
        with pytest.raises(FormatError, match="expected a whole MATLAB file, got ") as caught:
            modality().read(tmp_path / "b.mat")
        assert "\n" not in str(caught.value)


def test_doubles_that_matlab_stored_as_integers_are_integers(data_dir: Path, tmp_path: Path) -> None:
    signal = modality().read(data_dir / "hyperspectral" / "abu-beach-1.mat")
    assert (signal.dtype, signal.metadata["class"], signal.metadata["left_out"]) == ("int16", "double", ["map"])
    with pytest.warns(LiveactionWarning, match="holds 'data' alone; left out of its source: 'map'"):
        modality().write(signal, tmp_path / "b.mat")
    assert whosmat(tmp_path / "b.mat") == [("data", (150, 150, 188), "double")]


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_the_array_is_named_where_there_are_several(tmp_path: Path, version: str) -> None:
    arrays = {"one": _cube().transpose(1, 2, 0), "two": _cube().transpose(1, 2, 0) + 1, "map": np.zeros((4, 3))}
    if version == "5":
        savemat(tmp_path / "a.mat", {**arrays, "words": "text"})
    else:
        _mat73(tmp_path / "a.mat", **arrays)
    with pytest.raises(
        FormatError, match=r"got 2 \('one', 'two'\) beside 'map'.*; say which with \[modality.options\] key"
    ):
        modality().read(tmp_path / "a.mat")
    np.testing.assert_array_equal(modality(key="two").read(tmp_path / "a.mat").values[0], _cube() + 1)
    with pytest.raises(FormatError, match=r"three axes named 'map' as \[modality.options\] key says, got .*'two'"):
        modality(key="map").read(tmp_path / "a.mat")


def test_a_variable_that_is_there_but_no_numbers_is_said_so(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"data": _cube().transpose(1, 2, 0) > 0})
    with pytest.raises(FormatError, match=r"named 'data' as .* got 'data', of which none fits; name another"):
        modality(key="data").read(tmp_path / "a.mat")


def test_mat_files_without_a_cube_are_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"map": np.zeros((3, 4))})
    with pytest.raises(FormatError, match="one numeric array of three axes, got none beside 'map'; name a file"):
        modality().read(tmp_path / "a.mat")
    savemat(tmp_path / "a.mat", {"data": _cube().astype(complex) * 1j})
    with pytest.raises(FormatError, match="expected integers, float32 or float64, got 'complex128'"):
        modality().read(tmp_path / "a.mat")
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(300))
    with pytest.raises(FormatError, match="expected a whole MATLAB file, got "):
        modality().read(tmp_path / "a.mat")


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_variables_of_a_mat_file_are_what_scipy_finds(tmp_path: Path, packed: bool) -> None:
    cube = _cube().transpose(1, 2, 0)
    there = {
        "cube": cube, "c": cube.astype("f4"), "words": "text", "cell": np.array([1, "a"], object), "s": {"a": 1},
        "sparse": csc_matrix(np.eye(3)), "flags": cube > 9, "long_name_of_31_letters_or_less": cube * 1j, "row": [1, 2],
        "small": np.ones((1, 1, 2), "u1"), "four": np.zeros((2, 1, 2, 2), "i8"),
    }  # fmt: skip
    savemat(tmp_path / "a.mat", there, do_compression=packed)
    found = {one.name: one for one in mat5.variables(tmp_path / "a.mat")}
    said = whosmat(tmp_path / "a.mat")  # which counts texts rather than letters
    assert [(one.name, one.kind) for one in found.values()] == [(name, kind) for name, _, kind in said]
    assert all(found[name].shape == shape for name, shape, _ in said if name != "words")
    read = loadmat(tmp_path / "a.mat")
    for name in ("cube", "c", "row", "small", "four"):
        array = mat5.load(tmp_path / "a.mat", found[name])
        np.testing.assert_array_equal(array, read[name])
        assert array.dtype == read[name].dtype


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_a_damaged_mat_file_is_refused_and_ends_no_process(tmp_path: Path, packed: bool) -> None:
    """``scipy.io`` reads beyond its table for the type of the samples, byte 184 of this file."""
    savemat(tmp_path / "a.mat", {"x": _cube().transpose(1, 2, 0)}, do_compression=packed)
    data = (tmp_path / "a.mat").read_bytes()
    for at in range(126, min(len(data), 200)):
        for value in (0, 107, 255):
            (tmp_path / "a.mat").write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
            with suppress(FormatError):
                modality().read(tmp_path / "a.mat")
    if not packed:
        (tmp_path / "a.mat").write_bytes(data[:184] + b"\x6b" + data[185:])
        with pytest.raises(FormatError, match="a whole MATLAB file, got ValueError: 120 bytes of type 107 for 60"):
            modality().read(tmp_path / "a.mat")


def test_a_mat_file_names_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(4000))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = np.zeros((3, 4, 5))
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["linked"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "a")
        file.create_dataset("data", (10, 10, 10), "f4", external=[(str(tmp_path / "secret"), 0, 4000)])
    with pytest.raises(FormatError, match="expected 'data' to hold its values, got a list of other files; copy them"):
        modality().read(tmp_path / "a.mat")
    with h5py.File(tmp_path / "b.mat", "w") as file:
        file.create_dataset("data", (2**12, 2**12, 64), "f8", chunks=(64, 64, 64))
    with pytest.raises(FormatError, match=r"expected at most 16384 times the 0 bytes stored, got an array of 8589"):
        modality().read(tmp_path / "b.mat")


# --- GeoTIFF


def _tiff(path: Path, dtype: str = "int16", **profile: Any) -> Path:
    import rasterio
    from rasterio import Affine

    about = {"driver": "GTiff", "dtype": dtype, "count": 5, "height": 4, "width": 3, "nodata": 7} | {
        "crs": "EPSG:32633", "transform": Affine(30, 0, 364095, 0, -30, 5809965)
    } | profile  # fmt: skip
    with rasterio.open(path, "w", **about) as image:
        image.write(_cube(dtype)[: about["count"]])
        image.update_tags(SENSOR="somebody's", AREA_OR_POINT="Point")
        for i in image.indexes:
            image.set_band_description(i, f"band {i}")
            image.update_tags(i, wavelength=str(0.4 + i / 10), wavelength_units="Micrometers")
        count = image.count
        image.scales, image.offsets, image.units = [0.0001] * count, [0.5] * count, ["reflectance"] * count
    return path


def _all_of(path: Path) -> dict[str, Any]:
    import rasterio

    with rasterio.open(path) as image:
        band = [image.tags(i) for i in image.indexes]
        about = {"tags": image.tags(), "band": band, "descriptions": image.descriptions, "profile": dict(image.profile)}
        rest = {name: getattr(image, name) for name in ("scales", "offsets", "units", "colorinterp")}
        return {**about, **rest, "values": image.read().tolist()}


@needs_rasterio
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize(
    "profile",
    [
        pytest.param({}, id="plain"),
        pytest.param({"compress": "lzw", "interleave": "band"}, id="lzw"),
        pytest.param({"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 32}, id="tiled"),
        pytest.param({"nodata": None}, id="no-no-data"),
    ],
)
def test_geotiff_comes_back_with_all_it_says(tmp_path: Path, dtype: str, profile: dict[str, Any]) -> None:
    source = _tiff(tmp_path / "a.tif", dtype, **profile)
    signal = modality().read(source)
    np.testing.assert_array_equal(signal.values[0], _cube(dtype))
    assert (signal.missing is None) == (profile.get("nodata", 7) is None)
    np.testing.assert_allclose(modality()._bands(signal).wavelengths, [500, 600, 700, 800, 900])
    modality().write(_through_json(signal), tmp_path / "b.tif")
    assert _all_of(source) == _all_of(tmp_path / "b.tif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.tif"]


@needs_rasterio
@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_a_tiff_without_a_place(tmp_path: Path) -> None:
    source = _tiff(tmp_path / "a.tif", crs=None, transform=None)
    modality().write(modality().read(source), tmp_path / "b.tif")
    assert _all_of(source) == _all_of(tmp_path / "b.tif")


@needs_rasterio
def test_nan_as_no_data_in_a_geotiff(tmp_path: Path) -> None:
    import rasterio

    source = _tiff(tmp_path / "a.tif", "float32", nodata=np.nan)
    with rasterio.open(source, "r+") as image:
        image.write(np.full((4, 3), np.nan, np.float32), 2)
    signal = modality().read(source)
    assert signal.missing is not None and signal.missing[0, 1].all() and signal.missing.sum() == 12
    modality().write(_through_json(signal), tmp_path / "b.tif")
    np.testing.assert_array_equal(modality().read(tmp_path / "b.tif").values, signal.values)
    with rasterio.open(tmp_path / "b.tif") as image:
        assert np.isnan(image.nodata)


@needs_rasterio
@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_what_a_geotiff_loses_is_said(tmp_path: Path) -> None:
    import rasterio
    from rasterio.control import GroundControlPoint

    source = _tiff(tmp_path / "a.tif", crs=None, transform=None, nodata=None)
    with rasterio.open(source, "r+") as image:
        corners = [GroundControlPoint(row, col, col, -row) for row, col in ((0, 0), (0, 3), (4, 0))]
        image.gcps = corners, rasterio.crs.CRS.from_epsg(4326)
    with pytest.warns(LiveactionWarning, match=r"a\.tif: ground control points will not be written back"):
        modality().read(source)


@needs_rasterio
@pytest.mark.parametrize(("dtype", "no_data"), [("uint8", 3.5), ("int32", -(2**31)), ("int64", 5), ("float32", -1e30)])
def test_no_data_comes_back_as_it_was(tmp_path: Path, dtype: str, no_data: float) -> None:
    import rasterio

    source = _tiff(tmp_path / "a.tif", dtype, nodata=no_data)
    modality().write(_through_json(modality().read(source)), tmp_path / "b.tif")
    with rasterio.open(source) as one, rasterio.open(tmp_path / "b.tif") as two:
        assert one.nodata == two.nodata == pytest.approx(no_data)


@needs_rasterio
@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_no_data_that_rasterio_would_write_as_another_number_is_said(tmp_path: Path) -> None:
    import rasterio

    least, text = -(2**63), b"-9223372036854775808\0"  # rasterio writes -9.2e18, of which GDAL reads -9
    values = np.full((4, 3), least, np.int64)
    tifffile.imwrite(
        tmp_path / "a.tif", values, extratags=[(42113, 2, len(text), text, True)], photometric="minisblack"
    )
    signal = modality().read(tmp_path / "a.tif")
    assert signal.missing is not None and signal.missing.all()
    with pytest.warns(LiveactionWarning, match=f"rasterio cannot write {least} as no data of int64; read it with"):
        modality().write(signal, tmp_path / "b.tif")
    with rasterio.open(tmp_path / "b.tif") as image:
        assert image.nodata is None and (image.read() == least).all()


@needs_rasterio
@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_a_colour_map_is_kept_and_said(tmp_path: Path) -> None:
    import rasterio

    source = _tiff(tmp_path / "a.tif", "uint8", count=1, crs=None, transform=None, nodata=None)
    with rasterio.open(source, "r+") as image:
        image.write_colormap(1, {i: (i, 0, 255 - i, 255) for i in range(256)})
        image.update_tags(ns="ours", a="b")
    with pytest.warns(LiveactionWarning) as caught:
        signal = modality().read(source)
    said = sorted(str(warning.message).partition(": ")[2] for warning in caught)
    assert said[0] == "tags of 'ours' will not be written back" and "numbers of a colour map, which is kept" in said[1]
    modality().write(_through_json(signal), tmp_path / "b.tif")
    with rasterio.open(source) as one, rasterio.open(tmp_path / "b.tif") as two:
        assert one.colormap(1) == two.colormap(1) and one.colorinterp == two.colorinterp


@needs_rasterio
def test_scales_of_zero_and_nan_are_kept_and_alpha_is_a_band(tmp_path: Path) -> None:
    import rasterio

    source = _tiff(tmp_path / "a.tif", "uint8", count=4, nodata=None)  # which GDAL takes for red, green, blue, alpha
    with rasterio.open(source, "r+") as image:
        image.scales, image.offsets = [0.0, np.nan, 1.0, 2.0], [0.0, 1.0, 0.0, np.nan]
    modality().write(_through_json(modality().read(source)), tmp_path / "b.tif")
    one, two = _all_of(source), _all_of(tmp_path / "b.tif")
    assert str(one) == str(two) and str(two["scales"]) == "(0.0, nan, 1.0, 2.0)"


@needs_rasterio
def test_a_lossy_geotiff_is_not_coded_lossily_again(tmp_path: Path) -> None:
    about = {"compress": "jpeg", "photometric": "YCBCR", "tiled": True, "blockxsize": 16, "blockysize": 16}
    source = _tiff(tmp_path / "a.tif", "uint8", count=3, nodata=None, interleave="pixel", **about)
    signal = modality().read(source)
    with pytest.warns(LiveactionWarning, match=r"b\.tif: written with deflate, since jpeg as in its source would lose"):
        modality().write(signal, tmp_path / "b.tif")
    np.testing.assert_array_equal(modality().read(tmp_path / "b.tif").values, signal.values)
    assert _all_of(tmp_path / "b.tif")["colorinterp"] == _all_of(source)["colorinterp"]


@needs_rasterio
@pytest.mark.parametrize(("nodata", "words"), [(None, "0"), (-9, "-9.0")])
def test_a_geotiff_says_how_many_blocks_are_not_stored(tmp_path: Path, nodata: int | None, words: str) -> None:
    rasterio = pytest.importorskip("rasterio")
    about = {"driver": "GTiff", "width": 40, "height": 20, "count": 3, "dtype": "int16", "nodata": nodata}
    about |= {
        "crs": "EPSG:32633",
        "transform": rasterio.Affine(1, 0, 5, 0, -1, 7),
        "sparse_ok": True,
        "interleave": "band",
    }
    with rasterio.open(tmp_path / "a.tif", "w", tiled=True, blockxsize=16, blockysize=16, **about) as image:
        image.write(np.ones((16, 16), "int16"), 2, window=((0, 16), (16, 32)))
    with pytest.warns(LiveactionWarning, match=f"expected all 18 blocks .*, got 1; .* as the fill value {words}$"):
        values = modality().read(tmp_path / "a.tif").values
    assert (values == 1).sum() == 256 and (values == (nodata or 0)).sum() == 3 * 20 * 40 - 256


def test_a_geotiff_of_holes_takes_no_memory(tmp_path: Path) -> None:
    import rasterio

    about = {"driver": "GTiff", "dtype": "int16", "count": 1, "height": 2**17, "width": 2**17, "tiled": True}
    about |= {"blockxsize": 4096, "blockysize": 4096, "SPARSE_OK": True, "transform": rasterio.Affine.scale(2)}
    with rasterio.open(tmp_path / "a.tif", "w", **about):
        pass
    with pytest.raises(FormatError, match=r"a\.tif: expected at most 16384 times the \d+ bytes stored, got an array"):
        modality().read(tmp_path / "a.tif")


@needs_rasterio
def test_complex_and_damaged_tiffs_are_refused(tmp_path: Path) -> None:
    source = _tiff(tmp_path / "a.tif", "complex64", nodata=None)
    with pytest.raises(FormatError, match="expected integers, float32 or float64, got 'complex128'"):
        modality().read(source)
    (tmp_path / "a.tif").write_text("no")
    with pytest.raises(FormatError, match=r"a\.tif: expected a GeoTIFF that can be read, got RasterioIOError"):
        modality().read(tmp_path / "a.tif")


@needs_rasterio
def test_tags_cut_off_are_no_tags_passed_over(tmp_path: Path) -> None:
    modality().write(modality().synthetic(0, (5, 6, 7)), tmp_path / "a.tif")
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: data.index(b"</GDALMetadata>")])
    with pytest.raises(FormatError, match=r"a\.tif: expected a whole GeoTIFF, got '.*IO error.*; copy it again"):
        modality().read(tmp_path / "a.tif")


@needs_rasterio
def test_another_number_of_bands_than_described_is_refused(tmp_path: Path) -> None:
    signal = modality().read(_tiff(tmp_path / "a.tif"))
    with pytest.raises(ShapeError, match="expected 5 bands as the metadata say, got 2"):
        modality().write(signal.crop(slice(0, 2), slice(None), slice(None)), tmp_path / "b.tif")


@needs_rasterio
@pytest.mark.parametrize(
    "damage",
    ["nonsense", "eJwDAAAAAAE=", base64.b64encode(zlib.compress(b"{}")).decode()],
    ids=["no-base64", "no-json", "empty"],
)
def test_damaged_geotiff_metadata_are_refused(tmp_path: Path, damage: str) -> None:
    signal = modality().read(_tiff(tmp_path / "a.tif"))
    signal.metadata["about"] = damage
    with pytest.raises(FormatError, match=r"b\.tif: expected metadata (of a GeoTIFF|with its source's header), got"):
        modality().write(signal, tmp_path / "b.tif")


def test_without_rasterio_the_way_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)
    (tmp_path / "a.tif").write_bytes(b"II*\x00")
    with pytest.raises(
        MissingDependencyError,
        match=r"expected the package rasterio .*pip install '\.\[geo\]' in a clone",
    ):
        modality().read(tmp_path / "a.tif")


# --- the battery, in formats that cannot say what is missing


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".raw", ".bsq"])
def test_the_battery_in_other_formats(tmp_path: Path, suffix: str) -> None:
    check_modality(modality(no_data=-32768), tmp_path, suffix, [(1, 1, 1), (9, 7, 5)])


def test_formats_that_cannot_say_what_is_missing_warn(tmp_path: Path) -> None:
    with pytest.warns(LiveactionWarning, match=r"a\.npy: cannot say that -32768 is no data; read it with .* no_data"):
        modality().write(modality().synthetic(0, (40, 20, 20)), tmp_path / "a.npy")


@pytest.mark.parametrize("what", ["folder", "missing"])
def test_reading_what_is_no_file(tmp_path: Path, what: str) -> None:
    _envi(tmp_path)
    words = "expected one image, got a folder" if what == "folder" else "got no such path"
    with pytest.raises(FormatError, match=words):
        modality().read(tmp_path if what == "folder" else tmp_path / "b.hdr")
