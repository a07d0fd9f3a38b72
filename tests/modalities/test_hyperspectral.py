"""Hyperspectral images: layouts, what is missing, bad bands, ranges, measures, pictures."""

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spectral
import torch

from liveaction.errors import FormatError, ShapeError, SpecError
from liveaction.metrics import spectral_angle
from liveaction.modalities.hyperspectral.modality import Hyperspectral
from liveaction.modalities.hyperspectral.phantom import hyperspectral_phantom
from liveaction.recipe import load_recipe
from liveaction.spec import ModalitySpec
from liveaction.training.data import TrainingItem

WHOLE = {"percentiles": [0, 100]}


def modality(axes: tuple[str, ...] = ("band", "y", "x"), channels: int = 1, **options: Any) -> Hyperspectral:
    return Hyperspectral(
        ModalitySpec(name="hyperspectral", axes=axes, channels=channels, unit="DN", range=WHOLE, options=options)
    )


def _cube(dtype: str = "int16", shape: tuple[int, ...] = (5, 4, 3)) -> np.ndarray:
    """``[band, y, x]``, no value twice."""
    return (np.arange(np.prod(shape)) * 7 + 3).reshape(shape).astype(dtype)


def _npy(path: Path, cube: np.ndarray) -> Path:
    np.save(path, cube.transpose(1, 2, 0))
    return path


# --- layouts


@pytest.mark.parametrize(
    ("axes", "turn"),
    [
        pytest.param(("band", "y", "x"), (0, 1, 2), id="band-y-x"),
        pytest.param(("y", "x", "band"), (1, 2, 0), id="y-x-band"),
        pytest.param(("x", "band", "y"), (2, 0, 1), id="x-band-y"),
    ],
)
def test_bands_as_an_axis(tmp_path: Path, axes: tuple[str, ...], turn: tuple[int, ...]) -> None:
    cube = _cube()
    signal = modality(axes).read(_npy(tmp_path / "a.npy", cube))
    np.testing.assert_array_equal(signal.values, cube.transpose(turn)[np.newaxis])
    assert (signal.axes, signal.dtype, signal.spacing) == (axes, "int16", (1.0, 1.0, 1.0))
    modality(axes).write(signal, tmp_path / "b.npy")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


@pytest.mark.parametrize("axes", [("y", "x"), ("x", "y")], ids=["y-x", "x-y"])
def test_bands_as_channels(tmp_path: Path, axes: tuple[str, ...]) -> None:
    cube = _cube()
    kind = modality(axes, channels=5)
    signal = kind.read(_npy(tmp_path / "a.npy", cube))
    np.testing.assert_array_equal(signal.values, cube if axes == ("y", "x") else cube.transpose(0, 2, 1))
    kind.write(signal, tmp_path / "b.npy")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_another_number_of_bands_is_refused(tmp_path: Path) -> None:
    path = _npy(tmp_path / "a.npy", _cube())
    with pytest.raises(FormatError, match=r"a\.npy: expected 4 bands as the recipe has channels, got 5; set modality"):
        modality(("y", "x"), channels=4).read(path)


@pytest.mark.parametrize(
    ("axes", "channels"),
    [
        pytest.param(("band", "y", "x"), 3, id="both"),
        pytest.param(("y",), 1, id="one-axis"),
        pytest.param(("z", "y", "x"), 1, id="z"),
        pytest.param(("y", "y"), 1, id="twice"),
    ],
)
def test_other_axes_are_refused(axes: tuple[str, ...], channels: int) -> None:
    with pytest.raises(SpecError, match=r"expected axes band, y, x with 1 channel, or y, x with as many channels"):
        modality(axes, channels)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keys": "x"}, r"\[modality.options\] keys: expected a known key, got 'keys'; did you mean key\?"),
        ({"order": ["y", "x"]}, r"\[modality.options\] .*expected y, x and band in the order of the file"),
        ({"no_data": "none"}, r"\[modality.options\] no_data: expected a valid number.*got 'none'"),
        ({"no_data": float("inf")}, r"\[modality.options\] no_data: expected a finite number"),
    ],
    ids=["unknown", "order", "no-number", "infinite"],
)
def test_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        modality(**options)
    assert "\n" not in str(caught.value)


def test_the_order_of_the_file_may_be_said(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", _cube())
    kind = modality(order=["band", "y", "x"])
    signal = kind.read(tmp_path / "a.npy")
    np.testing.assert_array_equal(signal.values[0], _cube())
    kind.write(signal, tmp_path / "b.npy")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


# --- what is missing


def test_no_data_is_missing_and_comes_back(tmp_path: Path) -> None:
    cube = _cube()
    cube[2], cube[0, 0, 0] = -9999, -9999
    kind = modality(no_data=-9999)
    signal = kind.read(_npy(tmp_path / "a.npy", cube))
    assert signal.missing is not None and signal.no_data == -9999
    np.testing.assert_array_equal(signal.missing[0], cube == -9999)
    assert kind.range_of(signal) == (cube[cube > -9999].min(), cube.max())
    decoded = kind.denormalise(kind.normalise(signal.filled(), kind.range_of(signal)), "int16", kind.range_of(signal))
    decoded[signal.missing] = -9999
    np.testing.assert_array_equal(decoded[0], cube)


def test_nan_is_missing_in_files_of_floats(tmp_path: Path) -> None:
    cube = _cube("float32")
    cube[1, 2, 1] = np.nan
    signal = modality().read(_npy(tmp_path / "a.npy", cube))
    assert signal.missing is not None and signal.missing.sum() == 1 and np.isnan(signal.no_data)
    modality().write(signal, tmp_path / "b.npy")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    cube[0, 0, 0] = -1
    with pytest.raises(FormatError, match="expected either NaN or -1 where nothing was measured, got both"):
        modality(no_data=-1).read(_npy(tmp_path / "c.npy", cube))
    cube[0, 0, 0] = np.inf
    with pytest.raises(FormatError, match=r"expected finite values in DN, got 1 NaN or infinite"):
        modality().read(_npy(tmp_path / "d.npy", cube))


def test_no_data_that_the_type_cannot_hold_is_nowhere(tmp_path: Path) -> None:
    assert modality(no_data=-1).read(_npy(tmp_path / "a.npy", _cube("uint8"))).missing is None
    assert modality(no_data=3.5).read(_npy(tmp_path / "a.npy", _cube())).missing is None


@pytest.mark.parametrize("said", [-3.40282347e38, -3.4028234663852886e38, -1e30], ids=["outwards", "exact", "inside"])
def test_the_least_float32_is_no_data_however_it_is_rounded(tmp_path: Path, said: float) -> None:
    cube = _cube("float32")
    cube[1, 2, 1] = np.float32(said)
    signal = modality(no_data=said).read(_npy(tmp_path / "a.npy", cube))
    assert signal.missing is not None and signal.missing.sum() == 1


@pytest.mark.parametrize(("no_data", "beside"), [(10, 11), (32767, 32766)], ids=["up", "down-at-the-top"])
def test_a_measured_value_is_not_written_as_no_data(tmp_path: Path, no_data: int, beside: int) -> None:
    cube = _cube()
    cube[0, 0, 0] = no_data
    kind = modality(no_data=no_data)
    signal = kind.read(_npy(tmp_path / "a.npy", cube))
    values = signal.values.copy()
    values[0, 4, 3, 2] = no_data
    kind.write(replace(signal, values=values), tmp_path / "b.npy")
    again = kind.read(tmp_path / "b.npy")
    assert again.values[0, 4, 3, 2] == beside
    np.testing.assert_array_equal(again.missing, signal.missing)


def test_values_of_another_dtype_are_rounded_and_clipped(tmp_path: Path) -> None:
    signal = modality().read(_npy(tmp_path / "a.npy", _cube("uint8")))
    values = np.full(signal.values.shape, 12.6, np.float32)
    values[0, 0, 0, :2] = -5, 300
    modality().write(replace(signal, values=values), tmp_path / "b.npy")
    again = modality().read(tmp_path / "b.npy").values
    assert again.dtype == np.uint8 and set(again.ravel()) == {0, 13, 255}


def test_bad_bands_count_in_no_range_and_no_measure() -> None:
    kind = modality()
    signal = kind.synthetic(0)
    bad = np.array(signal.metadata["bad_bands"], dtype=bool)
    assert bad.any() and signal.missing is not None and not signal.missing[0, bad].all()
    loud = replace(signal, values=signal.values.copy())
    noisy = bad & ~signal.missing[0].all(axis=(1, 2))
    loud.values[0, noisy] = np.where(signal.missing[0, noisy], signal.values[0, noisy], 30000)
    assert kind.range_of(loud) == kind.range_of(signal)
    report = kind.compare(signal, loud)
    assert (report["rmse"], report["spectral_angle_degrees"]) == (0, 0)
    marked = replace(signal, metadata={**signal.metadata, "bad_bands": [1] * 96})  # of no use: all are left in
    assert kind.compare(marked, loud)["rmse"] > 0


# --- measures


def test_the_spectral_angle_is_what_the_package_spectral_says() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(1, 9, (2, 30, 6, 7))
    members = y.reshape(30, -1).T
    expected = spectral.spectral_angles(x.transpose(1, 2, 0), members).reshape(42, 42).diagonal()
    ours = spectral_angle(torch.from_numpy(x), torch.from_numpy(y))
    assert ours == pytest.approx(np.degrees(expected.mean()), rel=1e-12)


def test_the_spectral_angle_of_known_cases() -> None:
    one = torch.tensor([[1.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1e-6]], dtype=torch.float64)
    other = torch.tensor([[2.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0]], dtype=torch.float64)
    assert spectral_angle(one[:, :1], other[:, :1]) == 0  # a gain
    assert spectral_angle(one[:, :2], other[:, :2]) == pytest.approx(22.5)  # 0 and 45 degrees
    assert spectral_angle(one[:, :3], other[:, :3]) == pytest.approx(22.5)  # no length: left out
    assert spectral_angle(one[:, 3:], other[:, 3:]) == pytest.approx(np.degrees(1e-6), rel=1e-9)
    assert np.isnan(spectral_angle(one[:, 2:3], other[:, 2:3]))
    known = torch.tensor([[True, True], [True, False]])
    assert spectral_angle(one[:, :2], other[:, :2], known) == 0
    with pytest.raises(ShapeError, match="spectral_angle: expected tensors"):
        spectral_angle(one, other[:, :2])


def test_compare_is_the_same_in_both_layouts() -> None:
    axis, channels = modality(), modality(("x", "y"), channels=40)
    one, two = axis.synthetic(1, (40, 30, 20)), channels.synthetic(1, (20, 30))
    np.testing.assert_array_equal(one.values[0], two.values.transpose(0, 2, 1))
    reports = []
    for kind, signal in ((axis, one), (channels, two)):
        values = np.where(signal.missing, signal.values, signal.values // 64 * 64)
        reports.append(kind.compare(signal, replace(signal, values=values)))
    assert reports[0] == pytest.approx(reports[1])
    assert 0 < reports[0]["spectral_angle_degrees"] < 5


def test_an_image_without_light_has_no_angle(tmp_path: Path) -> None:
    signal = modality().read(_npy(tmp_path / "a.npy", np.zeros((5, 4, 3), np.uint8)))
    assert "spectral_angle_degrees" not in modality().compare(signal, signal)


# --- phantom, picture


def test_the_phantom_is_the_same_on_every_machine() -> None:
    import hashlib

    scene = hyperspectral_phantom(0, (40, 24, 20))
    assert hashlib.sha256(scene.values.tobytes()).hexdigest()[:16] == "95f37818cb2af2b2"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_phantom_holds_what_a_scene_holds(seed: int) -> None:
    scene = hyperspectral_phantom(seed, (120, 80, 80))
    nm, gone = np.array(scene.wavelengths), scene.values == scene.no_data
    assert nm.min() > 400 and nm.max() < 2500 and (np.diff(nm) > 0).all()
    lost = gone.all(axis=(1, 2))
    assert 0 < lost.sum() < 15 and ((nm[lost] > 1800) & (nm[lost] < 1950)).all()
    assert lost.sum() < sum(scene.bad_bands) < 25
    border = gone[~lost].all(axis=0)
    assert 0.005 < border.mean() < 0.15 and (gone[~lost] == border).all()
    values = scene.values[:, ~border]
    assert values[~lost].min() > -600 and 2000 < values[~lost].max() < 9000
    red, near = (values[np.abs(nm - w).argmin()].astype(float) for w in (670, 860))
    green = (near - red) / (near + red) > 0.6
    assert 0.01 < green.mean() < 0.6  # plants


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 40), (33, 2, 5)])
def test_phantoms_of_any_shape(shape: tuple[int, int, int]) -> None:
    scene = hyperspectral_phantom(0, shape)
    assert scene.values.shape == shape and (scene.values != scene.no_data).any()


@pytest.mark.parametrize("compared", [True, False], ids=["compared", "alone"])
@pytest.mark.parametrize("recipe", ["hyperspectral_smoke", "hyperspectral_bands"])
def test_a_preview_is_a_png(tmp_path: Path, recipe: str, compared: bool) -> None:
    kind = Hyperspectral(load_recipe(recipe).modality)
    signal = kind.synthetic(0)
    decoded = replace(signal, values=np.where(signal.missing, signal.values, signal.values // 256 * 256))
    kind.preview(signal if compared else None, decoded, tmp_path / "a.png", "a phantom")
    content = (tmp_path / "a.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    wide, high = struct.unpack(">II", content[16:24])
    assert (wide, 800 < high < 1500) == (1500, True)
    assert 50_000 < len(content) < 3_000_000


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 1, 30), (2, 30, 1)])
def test_previews_of_thin_images_without_wavelengths(tmp_path: Path, shape: tuple[int, ...]) -> None:
    signal = modality().read(_npy(tmp_path / "a.npy", _cube("float32", shape)))
    modality().preview(signal, signal, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000
    other = modality().synthetic(0, (6, 7, 8))
    with pytest.raises(ShapeError, match="preview: expected a reconstruction of shape"):
        modality().preview(signal, other, tmp_path / "b.png")


# --- real files

REAL = {
    "abu-airport-2.mat": ((205, 100, 100), "uint16", ".mat"),
    "abu-beach-1.mat": ((188, 150, 150), "int16", ".mat"),
    "abu-urban-1.mat": ((204, 100, 100), "int16", ".mat"),
    "hydice.mat": ((162, 80, 100), "uint16", ".mat"),
    "indian_pines_corrected.npy": ((200, 145, 145), "uint16", ".npy"),
    "enmap_potsdam_96x64.hdr": ((224, 64, 96), "int16", ".hdr"),
    "enmap_potsdam_96x64.img": ((224, 64, 96), "int16", ".img"),
    "plantcv_corn_kernel.raw": ((580, 31, 43), "uint16", ".raw"),
}


@pytest.mark.filterwarnings("ignore:.*holds 'data' alone:liveaction.errors.LiveactionWarning")
@pytest.mark.parametrize("name", REAL)
def test_real_files_come_back(data_dir: Path, tmp_path: Path, name: str) -> None:
    shape, dtype, suffix = REAL[name]
    source = data_dir / "hyperspectral" / name
    signal = modality().read(source)
    assert (signal.shape, signal.dtype) == (shape, dtype)
    target = tmp_path / f"back{suffix}"
    modality().write(signal, target)
    again = modality().read(target)
    np.testing.assert_array_equal(again.values, signal.values)
    for path in {".npy": [target], ".mat": []}.get(suffix, [target, target.with_suffix(".hdr")]):
        assert path.read_bytes() == source.with_suffix(path.suffix).read_bytes()


def test_real_bands_without_data_are_missing(data_dir: Path) -> None:
    signal = modality().read(data_dir / "hyperspectral" / "enmap_potsdam_96x64.img")
    assert signal.missing is not None
    assert np.flatnonzero(signal.missing[0].all(axis=(1, 2))).tolist() == list(range(129, 135))
    assert signal.missing[0].any(axis=(1, 2)).sum() == 6
    assert modality().range_of(signal)[0] >= 0


def test_find_lists_every_real_image_once(data_dir: Path) -> None:
    found = modality().find(data_dir / "hyperspectral")
    assert len(found) == 7 and all(path.suffix in {".mat", ".npy", ".hdr"} for path in found)
    parts = modality().parts(data_dir / "hyperspectral" / "enmap_potsdam_96x64.hdr")
    assert [path.suffix for path in parts] == [".hdr", ".img"]
    assert modality().parts(parts[1]) == parts


def test_a_changed_raw_file_is_another_item(tmp_path: Path) -> None:
    kind = modality()
    kind.write(kind.synthetic(0, (4, 5, 6)), tmp_path / "a.hdr")
    item = TrainingItem("a", tmp_path / "a.hdr")
    before = item.key(kind)
    (tmp_path / "a.img").write_bytes(bytes(7))
    assert item.key(kind) != before
