"""NaN, padding and named values in NIfTI: missing, left out of all measures, and back as they were."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from liveaction import mapped as signals
from liveaction.codec.codec import build_codec
from liveaction.codec.model import Model
from liveaction.codec.stream import compress, decompress
from liveaction.errors import FormatError, SpecError
from liveaction.mapped import is_mapped
from liveaction.modalities.base import Modality
from liveaction.modalities.volume.preview import percentile_look
from liveaction.modalities.volume.volume_file import VolumeFile
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality

AFFINE = np.array([[-0.7, 0.02, 0.1, 90.5], [0.03, -0.8, 0.2, -40.25], [0.05, 0.1, 2.5, 600.0], [0, 0, 0, 1]])
SMALL = ["codec.levels=1", "codec.latent_channels=8", "training.crop=[8]"]
SHAPES = {"ct": (9, 8, 7), "mri": (9, 8, 7), "series": (9, 8, 7, 3)}


def _modality(kind: str, **options: Any) -> Modality:
    spec = load_recipe("ct_klt" if kind == "ct" else f"{kind}_smoke").modality
    return build_modality(spec.model_copy(update={"options": options}))


def _save(path: Path, raw: np.ndarray, slope: float = 1, inter: float = 0) -> Path:
    image = nibabel.Nifti1Image(raw, AFFINE)
    image.header.set_slope_inter(slope, inter)
    nibabel.save(image, path)
    return path


def _stored(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj.get_unscaled())


def _values(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).integers(-900, 900, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", ">f4", "float64"])
@pytest.mark.parametrize("kind", ["ct", "mri", "series"])
def test_nan_is_missing_and_comes_back(tmp_path: Path, kind: str, dtype: str) -> None:
    raw = _values(SHAPES[kind], dtype)
    raw[:2] = raw[5, 3, 2] = np.nan
    modality = _modality(kind)
    signal = modality.read(_save(tmp_path / "a.nii.gz", raw))
    assert signal.missing is not None and np.isnan(signal.no_data)
    assert np.array_equal(signal.missing, np.isnan(signal.values)) and signal.missing.sum() == np.isnan(raw).sum()
    decoded = replace(signal, values=np.where(signal.missing, np.float32(np.nan), signal.values + 1))
    report = modality.compare(signal, decoded)
    assert (report["rmse"], report["max_error"]) == (1, 1) and np.isfinite(report["psnr_normalised"])
    assert np.isfinite(modality.range_of(signal)).all()
    modality.write(decoded, tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(_stored(tmp_path / "b.nii.gz"), raw + 1)


def test_nan_comes_back_through_a_stream(tmp_path: Path) -> None:
    recipe = load_recipe("ct_klt", SMALL)
    model = Model(build_codec(recipe), recipe, "0" * 64)
    raw = _values((9, 8, 7))
    raw[:, :3] = np.nan
    data, _ = compress(model.modality.read(_save(tmp_path / "a.nii", raw)), model)
    back, _ = decompress(data, model)
    model.modality.write(back, tmp_path / "b.nii")
    np.testing.assert_array_equal(np.isnan(_stored(tmp_path / "b.nii")), np.isnan(raw))
    raw[...] = np.nan
    nothing = model.modality.read(_save(tmp_path / "a.nii", raw))
    back, _ = decompress(compress(nothing, model)[0], model)
    model.modality.write(back, tmp_path / "b.nii")
    assert np.isnan(_stored(tmp_path / "b.nii")).all()
    assert percentile_look(nothing, "nothing").windows[0][1:] == (0, 1)


@pytest.mark.parametrize("kind", ["ct", "series"])
def test_nan_in_a_large_file_is_missing_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    raw = _values(SHAPES[kind])
    raw[3:, 2] = np.nan
    modality, path = _modality(kind), _save(tmp_path / "a.nii", raw)
    small = modality.read(path)
    monkeypatch.setattr(signals, "LARGE", 8)
    monkeypatch.setattr(signals, "PART", 20)
    large = modality.read(path)
    assert large.missing is not None and small.missing is not None and is_mapped(large.missing)
    np.testing.assert_array_equal(large.missing, small.missing)
    modality.write(large, tmp_path / "b.nii")
    np.testing.assert_array_equal(_stored(tmp_path / "b.nii"), raw)


@pytest.mark.parametrize("padding", [-2000, -3024, -32768])
@pytest.mark.parametrize("inter", [0, -24])
def test_padding_of_ct_is_missing_and_comes_back(tmp_path: Path, padding: int, inter: int) -> None:
    raw = _values((9, 8, 7), "int16")
    raw[0] = max(padding - inter, -32768)
    ct = _modality("ct")
    signal = ct.read(_save(tmp_path / "a.nii", raw, 1, inter))
    assert signal.no_data == raw[0, 0, 0] + inter and signal.missing is not None
    assert signal.missing[0, 0].all() and not signal.missing[0, 1:].any()
    measured = np.clip(signal.values + 3, -1024, 3071)
    ct.write(replace(signal, values=np.where(signal.missing, signal.values, measured)), tmp_path / "b.nii")
    np.testing.assert_array_equal(_stored(tmp_path / "b.nii")[0], raw[0])
    np.testing.assert_array_equal(_stored(tmp_path / "b.nii")[1:], np.clip(raw[1:] + inter + 3, -1024, 3071) - inter)


@pytest.mark.parametrize(
    ("low", "many"),
    [
        pytest.param([-1100], 400, id="near-air"),
        pytest.param([-2000], 3, id="rare"),
        pytest.param([-2000, -1900, -1800], 400, id="a-tail"),
    ],
)
def test_what_may_be_measured_is_no_padding(tmp_path: Path, low: list[int], many: int) -> None:
    raw = _values((20, 20, 20), "int16")
    raw.reshape(-1)[:many] = np.resize(low, many)
    signal = _modality("ct").read(_save(tmp_path / "a.nii", raw))
    assert signal.missing is None
    assert _modality("mri").read(tmp_path / "a.nii").missing is None


@pytest.mark.parametrize(("slope", "inter"), [(1, 0), (0.5, 3), (2, -1)])
def test_a_value_that_the_recipe_names_is_missing(tmp_path: Path, slope: float, inter: float) -> None:
    raw = _values((9, 8, 7), "int16")
    raw[:3] = -777
    named = -777 * slope + inter
    mri = _modality("mri", no_data=named)
    signal = mri.read(_save(tmp_path / "a.nii", raw, slope, inter))
    assert signal.missing is not None and signal.no_data == named
    np.testing.assert_array_equal(signal.missing[0], raw == -777)
    values = signal.values.copy()
    values[0, 4] = named  # measured, and decoded as what stands for no data
    mri.write(replace(signal, values=values), tmp_path / "b.nii")
    expected = raw.copy()
    expected[4] = -776
    np.testing.assert_array_equal(_stored(tmp_path / "b.nii"), expected)
    whole = replace(signal, values=np.full_like(values, named), missing=None, no_data=0.0)
    mri.write(whole, tmp_path / "b.nii")
    assert (_stored(tmp_path / "b.nii") == -776).all()


@pytest.mark.parametrize(("slope", "named"), [(0.001, -0.777), (1 / 3, -259), (0.1, -77.7)])
def test_a_value_named_in_decimals_is_found_among_scaled_integers(tmp_path: Path, slope: float, named: float) -> None:
    raw = _values((9, 8, 7), "int16")
    raw[:3] = -777
    mri = _modality("mri", no_data=named)
    signal = mri.read(_save(tmp_path / "a.nii", raw, slope, 0))
    assert signal.missing is not None
    np.testing.assert_array_equal(signal.missing[0], raw == -777)
    mri.write(signal, tmp_path / "b.nii")
    np.testing.assert_array_equal(_stored(tmp_path / "b.nii"), raw)


def test_two_values_for_no_data_and_values_that_cannot_be_are_refused(tmp_path: Path) -> None:
    raw = _values((4, 3, 2))
    raw[0], raw[1] = np.nan, -5
    path = _save(tmp_path / "a.nii", raw)
    with pytest.raises(FormatError, match=r"expected either nan or modality.options.no_data -5 where nothing was"):
        _modality("mri", no_data=-5).read(path)
    assert _modality("mri", no_data="nan").read(path).missing is not None
    _save(tmp_path / "b.nii", np.zeros((3, 3, 3), np.uint8))
    for value in (-1, 0.5, "nan"):
        with pytest.raises(FormatError, match=r"values that can hold modality.options.no_data .*got uint8; change"):
            _modality("ct", no_data=value).read(tmp_path / "b.nii")
    with pytest.raises(SpecError, match="expected a number or the word nan, got 'none'; change it in the recipe"):
        _modality("ct", no_data="none")
    with pytest.raises(SpecError, match="kernel: expected a known key, got 'kernel'"):
        _modality("ct", kernel=3)


def test_what_a_reader_found_missing_is_kept_and_nan_needs_floats(tmp_path: Path) -> None:
    ct, values = _modality("ct"), np.zeros((4, 3, 2), np.int16)
    values[0] = -2000
    found = VolumeFile(values, "int16", {"affine": np.eye(4).tolist(), "spacing": [1, 1, 1]}, values == 0, 0.0)
    signal = ct.signal_of(found, tmp_path)
    assert signal.missing is not None and signal.no_data == 0 and signal.missing.sum() == 18
    lost = replace(signal, values=np.where(signal.missing, np.nan, 1.0), no_data=float("nan"))
    with pytest.raises(FormatError, match="expected a header of floats, for NaN where none was measured, got int16"):
        ct.write(lost, tmp_path / "a.nii")


@pytest.mark.parametrize("no_data", ["nan", -30000.0])
@pytest.mark.parametrize("kind", ["ct", "mri", "series"])
def test_pictures_leave_out_what_is_missing(tmp_path: Path, kind: str, no_data: Any) -> None:
    modality = _modality(kind, no_data=no_data)
    values = _values(SHAPES[kind])
    values[:3] = float(no_data)
    signal = modality.read(_save(tmp_path / "a.nii", values))
    other = replace(signal, values=np.where(signal.missing, np.float32(7e6), signal.values))
    if kind == "series" and no_data == "nan":  # which draws volumes, too
        for name, pair in (("a", signal), ("b", other)):
            modality.preview(None, pair, tmp_path / f"{name}.png")
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    for one, two in zip(modality.exhibits(signal, signal), modality.exhibits(other, signal), strict=True):
        assert one.name == two.name
        np.testing.assert_array_equal(one.pixels, two.pixels)  # type: ignore[attr-defined]
