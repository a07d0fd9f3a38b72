"""Signals decoded at a scale, in every format that says where samples lie: independent readers find them there."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import soundfile
import tifffile
import zarr
from nibabel.affines import apply_affine
from PIL import Image as Pillow

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.modalities.base import Modality
from liveaction.registry import build_modality
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec
from tests.modalities.test_hyperspectral_regions import HEADER, _envi, _tiff, needs_rasterio

BOXES, SAMPLES = "boxes", "samples"
"""Where a small sample lies: in the middle of the samples it stands for, or at the first of them."""


def built(name: str, axes: list[str], channels: int = 1, **options: Any) -> Modality:
    table = {"name": name, "axes": axes, "channels": channels, "range": {"percentiles": [0, 100]}, "options": options}
    modality: Modality = build_modality(ModalitySpec.model_validate(table))
    return modality


def scaled(modality: Modality, signal: Signal, factor: int, place: str) -> tuple[Signal, tuple[float, ...]]:
    """A signal with every so-manieth sample, and where the first one lies."""
    signal = replace(signal, metadata=json.loads(json.dumps(signal.metadata)))
    factors = tuple(factor if on else 1 for on in modality.scaled_axes(signal.axes))
    origin = tuple((f - 1) / 2 if place == BOXES else 0.0 for f in factors)
    few = signal.values[(slice(None), *(slice(None, None, f) for f in factors))]
    missing = None if signal.missing is None else np.zeros(few.shape, bool)
    return modality.scaled(replace(signal, values=few, missing=missing), factors, origin), origin


@pytest.mark.parametrize("place", [BOXES, SAMPLES])
@pytest.mark.parametrize("form", ["sform", "qform", "both", "neither"])
def test_voxels_lie_where_nibabel_finds_them(tmp_path: Path, form: str, place: str) -> None:
    turn = np.array([[0.0, -0.8, 0.3, 5.0], [0.7, 0.0, 0.0, -3.0], [0.0, 0.2, 2.5, 7.0], [0, 0, 0, 1]])
    if form in ("qform", "both"):
        turn[:3, :3] = np.linalg.qr(turn[:3, :3])[0] @ np.diag([0.7, 0.8, 2.5])
    image = nibabel.Nifti1Image(np.arange(8 * 9 * 10, dtype=np.int16).reshape(8, 9, 10), None)
    image.header.set_zooms((0.7, 0.8, 2.5))
    if form in ("sform", "both"):
        image.set_sform(turn, 2)
    if form in ("qform", "both"):
        image.set_qform(turn, 1)
    nibabel.save(image, tmp_path / "a.nii")
    modality = built("mri", ["x", "y", "z"])
    few, origin = scaled(modality, modality.read(tmp_path / "a.nii"), 4, place)
    modality.write(few, tmp_path / "b.nii.gz")
    whole, part = nibabel.load(tmp_path / "a.nii"), nibabel.load(tmp_path / "b.nii.gz")
    for index in ((0, 0, 0), (1, 2, 2)):
        there = apply_affine(whole.affine, np.array(origin) + 4 * np.array(index))
        np.testing.assert_allclose(apply_affine(part.affine, index), there, rtol=0, atol=1e-4)
    np.testing.assert_allclose(part.header.get_zooms(), np.array(whole.header.get_zooms()) * 4, rtol=1e-5)
    if form != "neither":
        for key in ("sform_code", "qform_code"):
            assert part.header[key] == whole.header[key]
    np.testing.assert_allclose(few.spacing, np.linalg.norm(whole.affine[:3, :3], axis=0) * 4, rtol=1e-5)


def test_a_series_keeps_its_times(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((5, 6, 7, 3), np.int16), np.diag([2.0, 3, 4, 1]))
    image.header.set_zooms((2, 3, 4, 1.5))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, tmp_path / "a.nii")
    modality = built("series", ["t", "x", "y", "z"])
    few, _ = scaled(modality, modality.read(tmp_path / "a.nii"), 2, SAMPLES)
    modality.write(few, tmp_path / "b.nii")
    part = nibabel.load(tmp_path / "b.nii")
    assert part.shape == (3, 3, 4, 3) and part.header.get_zooms() == (4, 6, 8, 1.5) and few.spacing == (1.5, 4, 6, 8)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_picture_stays_as_large_on_paper(tmp_path: Path, suffix: str) -> None:
    Pillow.fromarray(np.zeros((24, 36, 3), np.uint8)).save(tmp_path / f"a{suffix}", dpi=(300, 150))
    modality = built("rgb", ["y", "x"], 3)
    few, _ = scaled(modality, modality.read(tmp_path / f"a{suffix}"), 4, BOXES)
    modality.write(few, tmp_path / f"b{suffix}")
    with Pillow.open(tmp_path / f"b{suffix}") as image:
        assert image.size == (9, 6)
        np.testing.assert_allclose([float(n) for n in image.info["dpi"]], (75, 37.5), rtol=0.01)


@pytest.mark.parametrize("place", [BOXES, SAMPLES])
@pytest.mark.parametrize("kind", ["area", "point"])
def test_a_geotiff_picture_lies_on_the_map_where_it_was(tmp_path: Path, kind: str, place: str) -> None:
    keys = (1, 1, 0, 1, 1025, 0, 1, 2 if kind == "point" else 1)
    tie, matrix = (1.0, 2.0, 0.0, 500.0, 900.0, 0.0), (2.0, 0.5, 0, 100, 0.25, -2, 0, 200, 0, 0, 0, 0, 0, 0, 0, 1)
    for tag in ((33922, 12, 6, tie, True), (34264, 12, 16, tuple(map(float, matrix)), True)):
        extra = [(33550, 12, 3, (10.0, 5.0, 0.0), True), (34735, 3, 8, keys, True), tag]
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 16), np.uint8), metadata=None, extratags=extra)
        modality = built("grey", ["y", "x"])
        few, (top, left) = scaled(modality, modality.read(tmp_path / "a.tif"), 4, place)
        modality.write(few, tmp_path / "b.tif")
        with tifffile.TiffFile(tmp_path / "a.tif") as one, tifffile.TiffFile(tmp_path / "b.tif") as two:
            middle = 0.0 if kind == "point" else 0.5  # of a pixel, as its tags count
            for row, column in ((0, 0), (3, 1)):
                whole = _on_map(one.pages[0].tags, left + 4 * column + middle, top + 4 * row + middle)
                np.testing.assert_allclose(_on_map(two.pages[0].tags, column + middle, row + middle), whole, atol=1e-9)


def _on_map(tags: Any, x: float, y: float) -> tuple[float, float]:
    """Easting and northing of a place of a raster, by its tags."""
    if 34264 in tags:
        m = tags[34264].value
        return m[0] * x + m[1] * y + m[3], m[4] * x + m[5] * y + m[7]
    i, j, _, east, north, _ = tags[33922].value
    wide, high, _ = tags[33550].value
    return east + (x - i) * wide, north - (y - j) * high


@needs_rasterio
@pytest.mark.parametrize("place", [BOXES, SAMPLES])
@pytest.mark.parametrize("kind", ["geotiff", "envi", "envi turned"])
def test_gdal_finds_a_cube_where_it_was(tmp_path: Path, kind: str, place: str) -> None:
    import rasterio

    if kind == "geotiff":
        source, target = _tiff(tmp_path / "a.tif", transform=rasterio.Affine(26, 15, 1e6, 15, -26, 2e6)), "b.tif"
        opened = source, tmp_path / target
    else:
        text = HEADER.replace(", units=Meters", ", rotation=30" if "turned" in kind else "")
        source, target = _envi(tmp_path, text=text.replace("{UTM, 1.0, 1.0,", "{UTM, 2.5, -3,")), "b.hdr"
        opened = tmp_path / "a.img", tmp_path / "b.img"
    modality = built("hyperspectral", ["band", "y", "x"])
    signal = modality.read(source)
    if kind == "geotiff":
        few, (_, top, left) = scaled(modality, signal, 2, place)
    else:
        with pytest.warns(LiveactionWarning, match="x start, y start of the whole left out for a scale"):
            few, (_, top, left) = scaled(modality, signal, 2, place)
    modality.write(few, tmp_path / target)
    with rasterio.open(opened[0]) as whole, rasterio.open(opened[1]) as part:
        assert (part.width, part.height, part.count) == (4, 3, 5)
        for x, y in ((0, 0), (3, 1)):  # middles of pixels
            there = whole.transform @ (left + 2 * x + 0.5, top + 2 * y + 0.5)
            np.testing.assert_allclose(part.transform @ (x + 0.5, y + 0.5), there, rtol=0, atol=1e-6)


def test_points_and_sizes_of_an_envi_header(tmp_path: Path) -> None:
    modality = built("hyperspectral", ["band", "y", "x"])
    signal = modality.read(_envi(tmp_path, text=HEADER + "pixel size = {2.5, 4, units=Meters}\nrpc info = {1, 2}\n"))
    with pytest.warns(LiveactionWarning, match="rpc info"):
        few, _ = scaled(modality, signal, 2, BOXES)
    modality.write(few, tmp_path / "b.hdr")
    text = (tmp_path / "b.hdr").read_text(encoding="utf-8")
    assert "geo points = {1, 1, 52.5, 13.25, 4, 3.5, 52, 13}" in text and "rpc" not in text
    assert "pixel size = {5.0, 8, units=Meters}" in text and "wavelength = {0.46, 0.55" in text


def test_sound_has_a_lower_rate(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((60, 2), np.int16), 44100)
    modality = built("music", ["t"], 2)
    signal = modality.read(tmp_path / "a.wav")
    few, _ = scaled(modality, signal, 4, BOXES)
    modality.write(few, tmp_path / "b.wav")
    assert soundfile.info(tmp_path / "b.wav").samplerate == 11025 and few.spacing == (4 / 44100,)
    with pytest.raises(FormatError, match="--scale: expected a rate that 8 divides, got 44100 Hz"):
        scaled(modality, signal, 8, BOXES)


def test_scales_of_hdf5_go_along(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("raw", data=np.zeros((6, 8), np.float32))
        for axis, values in ((0, np.arange(6) * 10), (1, 2.0 + 0.5 * np.arange(8))):
            scale = file.create_dataset(f"along{axis}", data=values)
            scale.make_scale(f"along{axis}")
            data.dims[axis].attach_scale(scale)
    modality = built("array", ["a", "b"])
    few, _ = scaled(modality, modality.read(tmp_path / "a.h5"), 2, BOXES)
    modality.write(few, tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["along0"][...].tolist() == [0, 20, 40]  # integers: the nearest before
        assert file["along1"][...].tolist() == [2.25, 3.25, 4.25, 5.25]
        assert file["raw"].dims[1][0].name == "/along1"


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("place", [BOXES, SAMPLES])
def test_ome_zarr_goes_along(tmp_path: Path, version: int, place: str) -> None:
    moved = [{"type": "scale", "scale": [2.0, 0.5, 0.25]}, {"type": "translation", "translation": [1.0, 0.0, 3.0]}]
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    datasets = [{"path": "0", "coordinateTransformations": moved}]
    about: Any = {"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}]}
    given = about if version == 2 else {"ome": about}
    zarr.open_group(tmp_path / "a.zarr", zarr_format=version, attributes=given).create_array(
        "0", data=np.ones((4, 8, 8))
    )  # type: ignore[arg-type]
    modality = built("array", ["z", "y", "x"], key=0)
    signal = modality.read(tmp_path / "a.zarr")
    few, origin = scaled(modality, signal, 4, place)
    modality.write(few, tmp_path / "b.zarr")
    attributes: Any = zarr.open_group(tmp_path / "b.zarr", mode="r").attrs.asdict()
    (level,) = (attributes if version == 2 else attributes["ome"])["multiscales"][0]["datasets"]
    steps = {step["type"]: step[step["type"]] for step in level["coordinateTransformations"]}
    assert steps["scale"] == [8.0, 2.0, 1.0]
    assert steps["translation"] == [1 + 2 * origin[0], 0.5 * origin[1], 3 + 0.25 * origin[2]]
    assert modality.read(tmp_path / "a.zarr").metadata == signal.metadata


def test_what_has_no_place_has_a_spacing() -> None:
    modality = built("video", ["t", "y", "x"], 3)
    signal = modality.synthetic(0, (4, 16, 24))
    few, _ = scaled(modality, signal, 8, BOXES)
    assert few.shape == (4, 2, 3) and few.spacing == (signal.spacing[0], 8 * signal.spacing[1], 8 * signal.spacing[2])
    assert importlib.util.find_spec("av")
