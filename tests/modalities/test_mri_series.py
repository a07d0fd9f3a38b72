"""MRI volumes and series of volumes in NIfTI: values, geometry and repetition time come back; others are refused."""

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from liveaction.errors import FormatError, ShapeError, SpecError
from liveaction.modalities.volume.head_phantom import head_phantom
from liveaction.modalities.volume.heart_phantom import heart_phantom
from liveaction.modalities.volume.mri import MRI
from liveaction.modalities.volume.series import Series
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal

AFFINE = np.array([[-0.7, 0.02, 0.1, 90.5], [0.03, -0.8, 0.2, -40.25], [0.05, 0.1, 2.5, 600.0], [0, 0, 0, 1]])


@pytest.fixture
def mri() -> MRI:
    return MRI(load_recipe("mri_smoke").modality)


@pytest.fixture
def series() -> Series:
    return Series(load_recipe("series_smoke").modality)


def _nifti(path: Path, shape: tuple[int, ...], dtype: str = "int16", tr: float = 2.5, time: str = "sec") -> Path:
    raw = np.random.default_rng(0).integers(0, 900, shape).astype(dtype)
    image = nibabel.Nifti1Image(raw, AFFINE)
    image.set_qform(AFFINE, code=1)
    image.header["descrip"] = b"kept"
    image.header.set_xyzt_units("mm", time)
    if len(shape) > 3:
        image.header["pixdim"][4] = tr
    nibabel.save(image, path)
    return path


def _header(path: Path) -> bytes:
    with nibabel.openers.ImageOpener(path) as file:
        return bytes(nibabel.Nifti1Header.from_fileobj(file).binaryblock)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_mri_comes_back(mri: MRI, tmp_path: Path, dtype: str, ending: str) -> None:
    source = _nifti(tmp_path / f"a{ending}", (7, 6, 5), dtype)
    signal = mri.read(source)
    assert (signal.values.shape, signal.dtype, signal.unit) == ((1, 7, 6, 5), dtype, "a.u.")
    mri.write(replace(signal, metadata=json.loads(json.dumps(signal.metadata))), tmp_path / f"b{ending}")
    np.testing.assert_array_equal(mri.read(tmp_path / f"b{ending}").values, signal.values)
    assert _header(tmp_path / f"b{ending}") == _header(source)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("shape", [(7, 6, 5, 4), (7, 6, 5, 1), (1, 1, 1, 3)])
def test_series_come_back(series: Series, tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    source = _nifti(tmp_path / "a.nii.gz", shape, dtype)
    signal = series.read(source)
    assert signal.values.shape == (1, shape[3], *shape[:3])
    assert signal.spacing == (2.5, *(pytest.approx(n) for n in np.linalg.norm(AFFINE[:3, :3], axis=0)))
    np.testing.assert_array_equal(signal.values[0, 0], np.asarray(nibabel.load(source).dataobj)[..., 0])
    series.write(replace(signal, metadata=json.loads(json.dumps(signal.metadata))), tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(series.read(tmp_path / "b.nii.gz").values, signal.values)
    assert _header(tmp_path / "b.nii.gz") == _header(source)


@pytest.mark.parametrize(("tr", "time", "seconds"), [(2.5, "sec", 2.5), (720, "msec", 0.72), (0, "unknown", 1.0)])
def test_repetition_time_is_in_seconds(series: Series, tmp_path: Path, tr: float, time: str, seconds: float) -> None:
    signal = series.read(_nifti(tmp_path / "a.nii", (2, 2, 2, 3), tr=tr, time=time))
    assert signal.spacing[0] == pytest.approx(seconds)
    assert signal.metadata["repetition_time"] == pytest.approx(seconds if tr else 0)


def test_a_phantom_keeps_its_repetition_time(series: Series, tmp_path: Path) -> None:
    series.write(series.synthetic(0, (3, 6, 5, 4)), tmp_path / "a.nii.gz")
    header = nibabel.load(tmp_path / "a.nii.gz").header
    assert (header["pixdim"][4], header.get_xyzt_units()) == (pytest.approx(0.1), ("mm", "sec"))
    np.testing.assert_allclose(header.get_zooms(), (60, 60, 60, 0.1))


def test_axes_of_another_count_are_refused(mri: MRI, series: Series, tmp_path: Path) -> None:
    flat, long = _nifti(tmp_path / "a.nii", (4, 4, 4)), _nifti(tmp_path / "b.nii", (4, 4, 4, 2))
    with pytest.raises(FormatError, match=r"a series of volumes \[X, Y, Z, T\], got shape \(4, 4, 4\); take a recipe"):
        series.read(flat)
    with pytest.raises(FormatError, match=r"expected a volume \[X, Y, Z\], got shape \(4, 4, 4, 2\); .* for series"):
        mri.read(long)
    with pytest.raises(ShapeError, match=r"expected values \[1, T, X, Y, Z\], got \(1, 4, 4, 4\)"):
        series.write(mri.read(flat), tmp_path / "c.nii")
    with pytest.raises(ShapeError, match=r"expected values \[1, X, Y, Z\], got \(1, 2, 4, 4, 4\)"):
        mri.write(series.read(long), tmp_path / "c.nii")


@pytest.mark.parametrize("kind", ["mri", "series"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"axes": ("x", "y")}, "expected . axes"),
        ({"channels": 2}, "and 1 channel, got axes"),
        ({"options": {"tesla": 3}}, "tesla: expected a known key, got 'tesla'"),
    ],
)
def test_a_recipe_of_another_kind_is_refused(kind: str, change: dict[str, Any], words: str) -> None:
    spec = load_recipe(f"{kind}_smoke").modality.model_copy(update=change)
    with pytest.raises(SpecError, match=words):
        build_modality(spec)


def test_values_that_are_not_finite_are_refused(mri: MRI, tmp_path: Path) -> None:
    raw = np.zeros((3, 3, 3), np.float32)
    raw[1, 2, 0] = np.inf
    nibabel.save(nibabel.Nifti1Image(raw, AFFINE), tmp_path / "a.nii")
    with pytest.raises(FormatError, match=r"expected finite values in a.u., got 1 NaN or infinite.*\(0, 1, 2, 0\)"):
        mri.read(tmp_path / "a.nii")


def test_the_range_is_robust(mri: MRI) -> None:
    values = np.zeros((1, 20, 20, 20), np.float32)
    values.reshape(-1)[:] = np.arange(8000)
    values[0, 0, 0, 0] = 1e9
    low, high = mri.range_of(Signal(values, ("x", "y", "z"), "a.u.", (1.0, 1.0, 1.0), "float32"))
    assert low == 1 and 7980 < high < 8000


def test_the_phantoms_are_the_same_on_every_machine() -> None:
    head, (heart, seconds) = head_phantom(0, (18, 21, 18)), heart_phantom(0, (3, 12, 10, 8))
    assert hashlib.sha256(head.values.tobytes()).hexdigest()[:16] == "bda96f04a467e1d6"
    assert (hashlib.sha256(heart.values.tobytes()).hexdigest()[:16], seconds) == ("cc292d821c78e249", 0.1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_head_holds_what_a_head_holds(seed: int) -> None:
    values = head_phantom(seed, (72, 84, 72)).values.astype(float)
    brain = values[20:52, 20:60, 30:58]
    white = np.median(brain[brain > np.percentile(brain, 60)])
    shares = {
        "air": (values < 0.12 * white).mean(),
        "white": (np.abs(brain - white) < 0.15 * white).mean(),
        "grey": ((brain > 0.5 * white) & (brain < 0.8 * white)).mean(),
        "fluid": ((brain > 0.05 * white) & (brain < 0.35 * white)).mean(),
    }
    bounds = {"air": (0.3, 0.75), "white": (0.25, 0.85), "grey": (0.1, 0.5), "fluid": (0.005, 0.2)}
    assert all(low < shares[name] < high for name, (low, high) in bounds.items()), shares
    corner = values[:6, :6, -6:]
    assert corner.min() >= 0 and 4 < corner.std() < 12  # magnitudes of noise: no negative values, a Rayleigh spread


def test_the_heart_beats() -> None:
    phantom, _ = heart_phantom(1, (8, 36, 30, 24))
    moving = phantom.values.astype(float).std(axis=0)
    assert np.percentile(moving, 99.5) > 5 * np.median(moving)
    assert np.median(moving) < 25


@pytest.mark.parametrize("compared", [True, False])
@pytest.mark.parametrize(
    ("kind", "shape"), [("mri", (24, 28, 20)), ("series", (5, 16, 14, 12)), ("series", (1, 1, 1, 1))]
)
def test_previews_are_png(tmp_path: Path, kind: str, shape: tuple[int, ...], compared: bool) -> None:
    modality = build_modality(load_recipe(f"{kind}_smoke").modality)
    signal = modality.synthetic(0, shape)
    decoded = replace(signal, values=signal.values // 64 * 64)
    modality.preview(signal if compared else None, decoded, tmp_path / "a.png", "a phantom")
    content = (tmp_path / "a.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">I", content[16:20])[0] == (1350 if compared else 600)
    with pytest.raises(ShapeError, match="expected a reconstruction of shape"):
        modality.preview(modality.synthetic(0, tuple(n + 1 for n in shape)), decoded, tmp_path / "b.png")


def test_the_sample_mri_comes_back(mri: MRI, data_dir: Path, tmp_path: Path) -> None:
    signal = mri.read(data_dir / "ct" / "mri_t1_studyforrest_0p67mm.nii.gz")
    assert (signal.shape, signal.dtype) == ((274, 384, 96), "int16")
    assert mri.range_of(signal)[1] < signal.values.max()
    mri.write(signal.crop(slice(0, 274), slice(0, 384), slice(0, 96)), tmp_path / "a.nii")
    np.testing.assert_array_equal(mri.read(tmp_path / "a.nii").values, signal.values)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "a.nii").affine, np.asarray(signal.metadata["affine"]))


MR: dict[str, Any] = {"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}
PET: dict[str, Any] = {"Modality": "PT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.128", "Units": "BQML"}


@pytest.mark.parametrize(
    ("tags", "dtype"),
    [
        ({"RescaleSlope": None, "RescaleIntercept": None}, "int16"),
        ({"RescaleSlope": 1, "RescaleIntercept": 0, "BitsStored": 16}, "uint16"),
        ({"RescaleSlope": 20, "RescaleIntercept": -5}, "int32"),
        ({"RescaleSlope": "", "RescaleIntercept": "0.5"}, "float32"),
    ],
    ids=["stored", "wide", "whole", "share"],
)
def test_dicom_of_mri_keeps_its_own_unit(
    mri: MRI, tmp_path: Path, dicom_series: Callable[..., Path], tags: dict[str, Any], dtype: str
) -> None:
    stored = np.random.default_rng(1).integers(0, 4096, (6, 8), dtype=np.uint16)
    signal = mri.read(dicom_series(tmp_path / "mr", Stored=stored, **MR, **tags))
    slope, intercept = (
        float(tags[name] or default) for name, default in (("RescaleSlope", 1), ("RescaleIntercept", 0))
    )
    np.testing.assert_array_equal(signal.values[0, :, :, 2], stored.T * slope + intercept)
    assert (signal.dtype, signal.values.dtype.name, signal.unit) == (dtype, dtype, "a.u.")
    assert signal.native_bits == 16 * signal.values.size
    mri.write(replace(signal, metadata=json.loads(json.dumps(signal.metadata))), tmp_path / "b.nii")
    back = mri.read(tmp_path / "b.nii")
    np.testing.assert_array_equal(back.values, signal.values)
    np.testing.assert_allclose(back.metadata["affine"], signal.metadata["affine"], atol=1e-5)


def test_pet_has_a_slope_for_each_slice_and_its_unit(
    mri: MRI, tmp_path: Path, dicom_series: Callable[..., Path]
) -> None:
    stored = np.random.default_rng(1).integers(0, 30000, (6, 8)).astype(np.int16)
    tags = {"RescaleSlope": lambda i: f"{0.001 * (i + 1):.3f}", "RescaleIntercept": 0}
    signal = mri.read(dicom_series(tmp_path, Stored=stored, **PET, **tags))
    expected = np.stack([stored.T * (0.001 * (i + 1)) for i in range(5)], axis=-1)
    np.testing.assert_allclose(signal.values[0], expected, rtol=1e-6)
    assert (signal.unit, signal.dtype, signal.bits) == ("BQML", "float32", 16)
