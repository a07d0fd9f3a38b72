"""``modality.channels: 0``: files of any number of channels, read, checked, written, compared and drawn."""

import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from scipy.io import savemat

from liveaction.errors import FormatError, ShapeError, SpecError
from liveaction.modalities.base import Modality
from liveaction.published import importer
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec
from liveaction.testing_modalities import check_modality

ANY = {"channels": 0, "range": {"percentiles": [0, 100]}}
NUMBERS = [1, 2, 5, 7, 33]


def build(name: str, *axes: str, **changes: Any) -> Modality:
    return build_modality(ModalitySpec.model_validate({"name": name, "axes": axes, **ANY, **changes}))


BATTERY = [
    ("hyperspectral", ("y", "x"), ".hdr", [(1, 1), (17, 33)]),
    ("hyperspectral", ("x", "y"), ".tif", [(7, 1)]),
    ("hyperspectral", ("y", "x"), ".npy", [(1, 7)]),
    ("array_audio", ("t",), ".wav", [(1,), (4097,)]),
    ("array_audio", ("t",), ".flac", [(333,)]),
    ("music", ("t",), ".flac", [(63,)]),
    ("array", ("y", "x"), ".npy", [(1, 1), (17, 33)]),
    ("array", ("t",), ".h5", [(1,), (65,)]),
    ("array", ("z", "y", "x"), ".zarr", [(3, 5, 2)]),
]


@pytest.mark.parametrize(("name", "axes", "suffix", "extents"), BATTERY, ids=[f"{c[0]}{c[2]}" for c in BATTERY])
def test_the_battery(name: str, axes: tuple[str, ...], suffix: str, extents: Any, tmp_path: Path) -> None:
    if suffix == ".tif":
        pytest.importorskip("rasterio")
    options = {"no_data": -32768} if suffix == ".npy" and name == "hyperspectral" else {}
    check_modality(build(name, *axes, options=options), tmp_path, suffix, extents)


def test_phantoms_of_a_number_that_makes_sense() -> None:
    assert build("hyperspectral", "y", "x").synthetic(0, (7, 5)).values.shape == (32, 7, 5)
    assert build("array_audio", "t").synthetic(0, (99,)).values.shape == (4, 99)
    assert build("music", "t").synthetic(0, (99,)).values.shape == (2, 99)
    assert build("array", "t").synthetic(0, (99,)).values.shape == (3, 99)


def check_pictures(modality: Modality, signal: Signal, folder: Path) -> None:
    """Measures, curves, preview and exhibits of a signal and a worse one."""
    worse = replace(signal, values=(signal.values * 0.9).astype(signal.values.dtype))
    assert modality.compare(signal, signal)["max_error"] == 0 < modality.compare(signal, worse)["max_error"]
    assert all(len(curve) == len(signal.values) for curve in modality.curves(signal, worse).values())
    modality.preview(signal, worse, folder / "preview.png", "any")
    assert (folder / "preview.png").stat().st_size > 1000 and modality.exhibits(worse, signal)


# --- bands


def _cube(bands: int, dtype: str = "int16") -> np.ndarray:
    return np.random.default_rng(bands).integers(1, 4000, (bands, 9, 11)).astype(dtype)


def _cube_file(path: Path, cube: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, cube.transpose(1, 2, 0))
    elif path.suffix == ".mat":
        savemat(path, {"data": np.moveaxis(cube, 0, -1)})
    else:
        maker = build("hyperspectral", "y", "x")
        about = {"source": "synthetic", "wavelengths": np.linspace(400, 900, len(cube)).tolist()}
        about["bad_bands"] = [int(len(cube) > 1 and band == 1) for band in range(len(cube))]
        maker.write(Signal(cube, ("y", "x"), "", (1.0, 1.0), cube.dtype.name, about), path)
    return path


@pytest.mark.parametrize("bands", NUMBERS)
@pytest.mark.parametrize("suffix", [".npy", ".mat", ".hdr", ".tif"])
def test_files_of_any_number_of_bands(tmp_path: Path, suffix: str, bands: int) -> None:
    if suffix == ".tif" and not importlib.util.find_spec("rasterio"):
        pytest.skip("rasterio is not installed")
    modality, cube = build("hyperspectral", "y", "x"), _cube(bands)
    path = _cube_file(tmp_path / f"a{suffix}", cube)
    signal = modality.read(path)
    np.testing.assert_array_equal(signal.values, cube)
    bare = modality.stripped(signal)
    assert modality.check_target(bare, tmp_path / f"b{suffix}")
    modality.write(bare, tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(modality.read(tmp_path / f"b{suffix}").values, cube)
    part = modality.cropped(signal.crop(slice(2, 7), slice(1, 4)), ((2, 7), (1, 4)), signal.shape)
    modality.write(part, tmp_path / f"c{suffix}")
    np.testing.assert_array_equal(modality.read(tmp_path / f"c{suffix}").values, cube[:, 2:7, 1:4])
    check_pictures(modality, signal, tmp_path)


def test_bad_bands_and_no_data_stay_out_of_range_and_measures(tmp_path: Path) -> None:
    modality, cube = build("hyperspectral", "y", "x"), _cube(5)
    cube[1] = 30000
    signal = modality.read(_cube_file(tmp_path / "a.hdr", cube))
    assert modality.range_of(signal)[1] < 4000
    worse = replace(signal, values=np.where(np.arange(5)[:, None, None] == 1, 0, cube).astype("int16"))
    assert modality.compare(signal, worse)["max_error"] == 0
    assert np.isnan(modality.curves(signal, worse)["psnr_by_band"][1])
    marked = build("hyperspectral", "y", "x", options={"no_data": 7})
    cube[:, 0, 0] = 7
    read = marked.read(_cube_file(tmp_path / "b.npy", cube))
    assert read.missing is not None
    np.testing.assert_array_equal(read.missing, cube == 7)
    assert "spectral_angle_degrees" in marked.compare(read, read)


def test_values_of_another_number_than_the_header_describes_are_refused(tmp_path: Path) -> None:
    modality = build("hyperspectral", "y", "x")
    signal = modality.read(_cube_file(tmp_path / "a.hdr", _cube(5)))
    with pytest.raises(ShapeError, match=r"b\.hdr: expected values \(5, 9, 11\) as the header says, got \(4, 9, 11\)"):
        modality.write(replace(signal, values=signal.values[:4]), tmp_path / "b.hdr")
    with pytest.raises(ShapeError, match=r"expected values \[C, y, x\], got \(9, 11\)"):
        modality.write(replace(signal, values=signal.values[0], axes=("x",), spacing=(1.0,)), tmp_path / "b.hdr")
    with pytest.raises(ShapeError, match=r"expected shape \(4, 9, 11\), got \(5, 9, 11\)"):
        modality.compare(signal, replace(signal, values=signal.values[:4]))


def test_any_number_of_bands_is_not_for_bands_as_an_axis() -> None:
    with pytest.raises(SpecError, match=r"or y, x with as many channels as bands or 0 for any number, got axes"):
        build("hyperspectral", "band", "y", "x")


# --- microphones


@pytest.mark.parametrize("channels", [*NUMBERS, 64])
def test_recordings_of_any_number_of_microphones(tmp_path: Path, channels: int) -> None:
    modality = build("array_audio", "t")
    values = np.random.default_rng(0).integers(-9000, 9000, (channels, 4001)).astype("int16")
    soundfile.write(tmp_path / "a.wav", values.T, 16000)
    signal = modality.read(tmp_path / "a.wav")
    np.testing.assert_array_equal(signal.values, values)
    modality.write(modality.stripped(signal), tmp_path / "b.wav")
    np.testing.assert_array_equal(modality.read(tmp_path / "b.wav").values, values)
    if channels > 8:
        with pytest.raises(FormatError, match=rf"b\.flac: expected at most 8 channels .*, got {channels}"):
            modality.check_target(signal, tmp_path / "b.flac")
    worse = replace(signal, values=values // 2)
    report = modality.compare(signal, worse)
    assert report["si_sdr"] > 20 and ("covariance_error" in report) == (channels > 1)
    modality.preview(signal, worse, tmp_path / "preview.png")
    assert (tmp_path / "preview.png").stat().st_size > 1000 and modality.exhibits(worse, signal)


def test_microphones_to_select_of_any_number(tmp_path: Path) -> None:
    values = np.arange(7 * 50, dtype="int16").reshape(7, 50)
    soundfile.write(tmp_path / "a.wav", values.T, 16000)
    picked = build("array_audio", "t", options={"select": [6, 0, 3]}).read(tmp_path / "a.wav")
    np.testing.assert_array_equal(picked.values, values[[6, 0, 3]])
    with pytest.raises(FormatError, match=r"expected channels 0 to 6 in modality\.options\.select"):
        build("array_audio", "t", options={"select": [7]}).read(tmp_path / "a.wav")
    with pytest.raises(SpecError, match=r"expected any number of different channels .*, got \[1, 1\]; change one"):
        build("array_audio", "t", options={"select": [1, 1]})


# --- arrays


@pytest.mark.parametrize("channels", NUMBERS)
@pytest.mark.parametrize(
    ("options", "axis"),
    [({}, 0), ({"order": ["y", "band", "x"], "channel_axis": "band"}, 1), ({"order": ["x", "y", "c"]}, 2)],
)
def test_arrays_of_any_number_of_channels(tmp_path: Path, options: dict[str, Any], axis: int, channels: int) -> None:
    modality = build("array", "y", "x", options=options)
    raw = np.moveaxis(np.random.default_rng(0).normal(size=(channels, 9, 11)).astype("float32"), 0, axis)
    np.save(tmp_path / "a.npy", raw)
    signal = modality.read(tmp_path / "a.npy")
    wanted = np.moveaxis(raw, axis, 0)
    np.testing.assert_array_equal(signal.values, wanted.swapaxes(1, 2) if axis == 2 else wanted)
    modality.write(modality.stripped(signal), tmp_path / "b.npy")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    check_pictures(modality, signal, tmp_path)


def test_an_array_of_any_channels_needs_their_axis(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=re.escape("expected each of ['c', 'x', 'y'] once, got ['y', 'x']")):
        build("array", "y", "x", options={"order": ["y", "x"]})
    np.save(tmp_path / "a.npy", np.zeros((9, 11)))
    with pytest.raises(FormatError, match=re.escape("expected axes ['c', 'y', 'x'], got shape (9, 11)")):
        build("array", "y", "x").read(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.zeros((0, 9, 11)))
    with pytest.raises(FormatError, match="expected at least one sample per axis"):
        build("array", "y", "x").read(tmp_path / "b.npy")
    signal = build("array", "x").synthetic(0, (11,))
    with pytest.raises(ShapeError, match=re.escape("expected values [C, y, x], got (3, 11)")):
        build("array", "y", "x").write(signal, tmp_path / "c.npy")


# --- shipped recipes


@pytest.mark.parametrize(("name", "made"), [("hyperspectral_own", "hyperspectral"), ("array_audio_own", "array_audio")])
def test_shipped_recipes_of_any_number(tmp_path: Path, name: str, made: str) -> None:
    recipe = load_recipe(name)
    assert (recipe.modality.name, recipe.modality.channels, recipe.channels) == (made, 0, 1)
    modality, axes = build_modality(recipe.modality), recipe.modality.axes
    for channels in NUMBERS:
        extents = (9, 11)[: len(axes)]
        spec = recipe.modality.model_copy(update={"channels": channels})
        signal = build_modality(spec).synthetic(channels, extents)
        path = tmp_path / f"{channels}{'.wav' if made == 'array_audio' else '.hdr'}"
        modality.write(signal, path)
        np.testing.assert_array_equal(modality.read(path).values, signal.values)


def test_published_codecs_have_a_fixed_number(tmp_path: Path) -> None:
    assert all(table.channels for table in importer._modality_tables(""))
    assert {table.channels for table in importer._modality_tables("array_audio")} == {4, 7}


# --- kinds of a fixed number


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("rgb_smoke", "expected 2 axes [y, x] and 3 channels, got axes ('y', 'x') and channels 0"),
        ("grey_smoke", "and 1 channels, got axes ('y', 'x') and channels 0"),
        ("video_smoke", "expected 3 axes and 3 channels, or 1 for grey"),
        ("ct_smoke", "and 1 channel, got axes ('x', 'y', 'z') and channels 0"),
        ("mri_smoke", "and 1 channel, got axes"),
        ("series_smoke", "and 1 channel, got axes"),
    ],
)
def test_kinds_of_a_fixed_number_refuse_any(recipe: str, words: str) -> None:
    spec = load_recipe(recipe).modality.model_copy(update={"channels": 0})
    with pytest.raises(SpecError, match=re.escape(words)) as caught:
        build_modality(spec)
    assert "\n" not in str(caught.value)
