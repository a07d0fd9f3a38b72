"""Regions of hyperspectral images: all metadata that still hold come along, place moved, lists by band cut."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spectral.io.envi

from liveaction.errors import LiveactionWarning
from liveaction.modalities.hyperspectral.envi_header import DTYPES, INTERLEAVES, crop_header, listed, parse_header
from liveaction.modalities.hyperspectral.modality import Hyperspectral
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

needs_rasterio = pytest.mark.skipif(not importlib.util.find_spec("rasterio"), reason="rasterio is not installed")
WHOLE = {"percentiles": [0, 100]}
Box = tuple[tuple[int, int], ...]
BOX: Box = ((2, 5), (1, 4), (2, 6))  # bands, lines, samples
HEADER = """ENVI
; a comment = kept
Samples = 7
lines   = 6
bands = 5
file type = ENVI Standard
data type = 2
interleave = %s
byte order = 0
x start = 11
y start = 21
map info = {UTM, 1.0, 1.0, 364095.25, 5809965, 30, 20.5, 33, North, WGS-84, units=Meters}
geo points = {1, 1, 52.5, 13.25, 7, 6, 52, 13}
coordinate system string = {PROJCS["x",GEOGCS["y"]]}
wavelength units = Micrometers
wavelength = {0.46, 0.55,
 0.64, 0.9, 2.2}
fwhm = {0.01, 0.011, 0.012, 0.013, 0.02}
bbl = {1, 1, 1, 0, 1}
default bands = {5, 4, 3}
data gain values = {1, 0, NaN, 4, 5}
data ignore value = 7
reflectance scale factor = 10000.0
band names = {b, g, r, n, s}
My Own Field = Größe
my own list = {10, 20, 30, 40, 50}
acquisition time = 2022-07-24T10:00:00Z
"""


def modality(axes: tuple[str, ...] = ("band", "y", "x"), channels: int = 1) -> Hyperspectral:
    spec = {
        "name": "hyperspectral",
        "axes": axes,
        "channels": channels,
        "unit": "DN",
        "range": {"percentiles": [0, 100]},
    }
    return Hyperspectral(ModalitySpec.model_validate(spec))


def _cube(dtype: str = "int16") -> np.ndarray:
    return (np.arange(210) * 2 + 3).reshape(5, 6, 7).astype(dtype)


def _envi(folder: Path, interleave: str = "bsq", text: str = HEADER, lead: bytes = b"") -> Path:
    (folder / "a.hdr").write_bytes((text % interleave).encode())
    cube = _cube().transpose(INTERLEAVES[interleave])
    (folder / "a.img").write_bytes(lead + np.ascontiguousarray(cube, DTYPES[2]).tobytes())
    return folder / "a.hdr"


def _region(kind: Hyperspectral, signal: Signal, box: Box) -> Signal:
    """As a reader of a stream crops, from metadata that went through JSON."""
    whole = replace(signal, metadata=json.loads(json.dumps(signal.metadata)))
    return kind.cropped(whole.crop(*(slice(*ends) for ends in box)), box, signal.shape)


@pytest.mark.filterwarnings("ignore:Parameters with non-lowercase names:UserWarning")
@pytest.mark.parametrize("interleave", INTERLEAVES)
def test_a_region_of_an_envi_image_keeps_what_holds(tmp_path: Path, interleave: str) -> None:
    kind = modality()
    part = _region(kind, kind.read(_envi(tmp_path, interleave)), BOX)
    kind.write(part, tmp_path / "b.hdr")
    written = (tmp_path / "b.hdr").read_text(encoding="utf-8")
    expected = (HEADER % interleave).replace("Samples = 7", "Samples = 4").replace("lines   = 6", "lines = 3")
    for old, new in {
        "bands = 5\n": "bands = 3\n", "x start = 11": "x start = 13", "y start = 21": "y start = 22",
        "364095.25, 5809965": "364155.25, 5809944.5", "{1, 1, 52.5, 13.25, 7, 6,": "{-1, 0, 52.5, 13.25, 5, 5,",
        "{0.46, 0.55,\n 0.64, 0.9, 2.2}": "{0.64, 0.9, 2.2}",
        "{0.01, 0.011, 0.012, 0.013, 0.02}": "{0.012, 0.013, 0.02}",
        "{1, 1, 1, 0, 1}": "{1, 0, 1}", "{5, 4, 3}": "{3, 2, 1}", "{1, 0, NaN, 4, 5}": "{NaN, 4, 5}",
        "{b, g, r, n, s}": "{r, n, s}", "{10, 20, 30, 40, 50}": "{30, 40, 50}",
    }.items():  # fmt: skip
        assert old in expected
        expected = expected.replace(old, new)
    assert written == expected
    np.testing.assert_array_equal(kind.read(tmp_path / "b.hdr").values[0], _cube()[2:5, 1:4, 2:6])
    image = spectral.io.envi.open(str(tmp_path / "b.hdr"))
    assert image.bands.centers == [0.64, 0.9, 2.2] and image.bands.bandwidths == [0.012, 0.013, 0.02]
    assert image.scale_factor == 10000 and image.metadata["interleave"] == interleave
    np.testing.assert_array_equal(kind._bands(part).wavelengths, [640, 900, 2200])


@needs_rasterio
@pytest.mark.parametrize("more", ["", ", rotation=30", ", rotation=-12.5"], ids=["north", "turned", "back"])
@pytest.mark.parametrize("tie", ["1.0, 1.0", "2.5, -3"])
def test_gdal_finds_a_region_where_it_was(tmp_path: Path, tie: str, more: str) -> None:
    import rasterio
    from rasterio.windows import Window

    kind = modality()
    text = HEADER.replace("{UTM, 1.0, 1.0,", f"{{UTM, {tie},").replace(", units=Meters", more)
    kind.write(_region(kind, kind.read(_envi(tmp_path, text=text)), BOX), tmp_path / "b.hdr")
    with rasterio.open(tmp_path / "a.img") as whole, rasterio.open(tmp_path / "b.img") as part:
        corner = whole.transform @ rasterio.Affine.translation(2, 1)
        np.testing.assert_allclose(list(part.transform), list(corner), rtol=0, atol=1e-6)
        np.testing.assert_array_equal(part.read(), whole.read(window=Window(2, 1, 4, 3))[2:5])


def test_a_region_that_is_all_of_an_image_is_the_image(tmp_path: Path) -> None:
    kind = modality()
    signal = kind.read(_envi(tmp_path))
    kind.write(_region(kind, signal, ((0, 5), (0, 6), (0, 7))), tmp_path / "b.hdr")
    for name in ("hdr", "img"):
        assert (tmp_path / f"a.{name}").read_bytes() == (tmp_path / f"b.{name}").read_bytes()


def test_a_region_with_bands_as_channels(tmp_path: Path) -> None:
    kind = modality(("x", "y"), 5)
    kind.write(_region(kind, kind.read(_envi(tmp_path)), ((2, 6), (1, 4))), tmp_path / "b.hdr")
    fields = parse_header((tmp_path / "b.hdr").read_text(encoding="utf-8"), tmp_path)
    assert [fields[name] for name in ("bands", "lines", "samples")] == ["5", "3", "4"]
    assert fields["wavelength"] == parse_header(HEADER, tmp_path)["wavelength"]
    np.testing.assert_array_equal(modality().read(tmp_path / "b.hdr").values[0], _cube()[:, 1:4, 2:6])


@pytest.mark.parametrize(
    ("old", "new", "box", "lost"),
    [
        ("{5, 4, 3}", "{1, 4, 3}", BOX, "default bands"),
        ("{5, 4, 3}", "{one}", BOX, "default bands"),
        ("x start = 11", "x start = left", BOX, "x start"),
        ("364095.25", "1e999999999", BOX, "map info"),
        ("units=Meters", "rotation=some", BOX, "map info"),
        ("7, 6, 52, 13", "7, 6, 52", BOX, "geo points"),
        ("geo points", "rpc info", BOX, "rpc info"),
        ("{b, g, r, n, s}", "{b, 450 nm, g, r, n, s}", BOX, "band names"),
        ("x start = 11", "x start = left", ((2, 5), (0, 6), (0, 7)), ""),
        ("{5, 4, 3}", "{1, 4, 3}", ((0, 5), *BOX[1:]), ""),
    ],
)
def test_what_does_not_hold_in_a_region_is_left_out_and_said(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, old: str, new: str, box: Box, lost: str
) -> None:
    assert old in HEADER
    text = crop_header(HEADER.replace(old, new) % "bsq", box, Path("region"))  # type: ignore[arg-type]
    said = [str(warning.message) for warning in recwarn]
    assert said == ([f"region: {lost} of the whole left out for a region"] if lost else [])
    assert (lost or "none") not in parse_header(text, tmp_path)


def test_headers_keep_line_ends_letters_and_lists_without_braces(tmp_path: Path) -> None:
    text = HEADER.replace("{1, 1, 1, 0, 1}", "1, 1, 1, 0, 1").replace("\n", "\r\n").encode("latin-1") % b"bip"
    _envi(tmp_path, "bip")
    (tmp_path / "a.hdr").write_bytes(text)
    kind = modality()
    kind.write(_region(kind, kind.read(tmp_path / "a.hdr"), BOX), tmp_path / "b.hdr")
    written = (tmp_path / "b.hdr").read_bytes()
    assert written.count(b"\n") == written.count(b"\r\n") == text.count(b"\n") - 1  # wavelengths stood on two lines
    fields = parse_header(written.decode("latin-1"), tmp_path)
    assert (fields["my own field"], listed(fields, "bbl")) == ("Größe", ["1", "0", "1"])


def test_bytes_before_the_samples_are_left_out_of_a_region(tmp_path: Path) -> None:
    kind = modality()
    text = HEADER.replace("bands = 5\n", "bands = 5\nheader offset = 6\n")
    signal = kind.read(_envi(tmp_path, text=text, lead=b"ofours"))
    with pytest.warns(LiveactionWarning, match=r"region: the 6 bytes before the samples left out for a region"):
        part = _region(kind, signal, BOX)
    kind.write(part, tmp_path / "b.hdr")
    assert "header offset = 0\n" in (tmp_path / "b.hdr").read_text(encoding="utf-8")
    np.testing.assert_array_equal(kind.read(tmp_path / "b.hdr").values[0], _cube()[2:5, 1:4, 2:6])


# --- GeoTIFF


def _tiff(path: Path, count: int = 5, dtype: str = "int16", **profile: Any) -> Path:
    import rasterio

    about = {"driver": "GTiff", "dtype": dtype, "count": count, "height": 6, "width": 7, "nodata": 7}
    with rasterio.open(path, "w", **about | {"crs": "EPSG:32633"} | profile) as image:
        image.write(_cube(dtype)[:count])
        image.update_tags(SENSOR="somebody's", AREA_OR_POINT="Point")
        for i in image.indexes:
            image.set_band_description(i, f"band {i}")
            image.update_tags(i, wavelength=str(0.4 + i / 10), wavelength_units="Micrometers", STATISTICS_MEAN="3")
        image.scales, image.offsets = [0.5 * i for i in range(count)], list(range(count))
        image.units = [f"unit {i}" for i in range(count)]
    return path


@needs_rasterio
@pytest.mark.parametrize(
    ("turn", "profile"),
    [
        pytest.param((30, 0, 364095, 0, -30, 5809965), {}, id="north"),
        pytest.param((26, 15, 1e6, 15, -26, 2e6), {"compress": "deflate", "interleave": "band"}, id="turned"),
        pytest.param((26, 9, 1e6, 0, -26, 2e6), {"tiled": True, "blockxsize": 16, "blockysize": 16}, id="sheared"),
        pytest.param((0.5, 0, 13, 0, 0.25, 52), {"crs": "EPSG:4326"}, id="south-up"),
    ],
)
def test_a_region_of_a_geotiff_keeps_what_holds(
    tmp_path: Path, turn: tuple[float, ...], profile: dict[str, Any]
) -> None:
    import rasterio
    from rasterio.windows import Window

    kind = modality()
    source = _tiff(tmp_path / "a.tif", transform=rasterio.Affine(*turn), **profile)
    kind.write(_region(kind, kind.read(source), BOX), tmp_path / "b.tif")
    with rasterio.open(source) as whole, rasterio.open(tmp_path / "b.tif") as part:
        corner = whole.transform @ rasterio.Affine.translation(2, 1)
        np.testing.assert_allclose(list(part.transform), list(corner), rtol=1e-12)
        np.testing.assert_array_equal(part.read(), whole.read(window=Window(2, 1, 4, 3))[2:5])
        for name in ("descriptions", "scales", "offsets", "units"):
            assert getattr(part, name) == getattr(whole, name)[2:5], name
        assert (part.crs, part.nodata, part.tags()) == (whole.crs, whole.nodata, whole.tags())
        assert all(part.profile[key] == whole.profile[key] for key in ("interleave", "tiled", "dtype"))
        assert part.profile.get("compress") == whole.profile.get("compress")
        assert part.tags(1) == {key: text for key, text in whole.tags(3).items() if key != "STATISTICS_MEAN"}
    np.testing.assert_allclose(kind._bands(kind.read(tmp_path / "b.tif")).wavelengths, [700, 800, 900])


@needs_rasterio
@pytest.mark.parametrize(("count", "bands"), [(3, (0, 3)), (3, (1, 3)), (4, (2, 4)), (4, (0, 4))])
def test_a_region_of_a_colour_geotiff(tmp_path: Path, count: int, bands: tuple[int, int]) -> None:
    import rasterio

    kind = modality()
    about = {"photometric": "RGB", "nodata": None, "transform": rasterio.Affine.scale(2)}
    signal = kind.read(_tiff(tmp_path / "a.tif", count, "uint8", **about))
    kind.write(_region(kind, signal, (bands, *BOX[1:])), tmp_path / "b.tif")
    with rasterio.open(tmp_path / "a.tif") as whole, rasterio.open(tmp_path / "b.tif") as part:
        assert part.colorinterp == whole.colorinterp[slice(*bands)]
        np.testing.assert_array_equal(part.read(), whole.read()[slice(*bands), 1:4, 2:6])


# --- arrays


@pytest.mark.parametrize("suffix", [".npy", ".mat"])
def test_a_region_of_an_array_keeps_type_order_and_name(tmp_path: Path, suffix: str) -> None:
    from scipy.io import savemat, whosmat

    kind = modality()
    stored = np.asfortranarray(_cube().transpose(1, 2, 0), ">i2")
    if suffix == ".npy":
        np.save(tmp_path / "a.npy", stored)
    else:
        savemat(tmp_path / "a.mat", {"scene": stored.astype(float)})
    kind.write(_region(kind, kind.read(tmp_path / f"a{suffix}"), BOX), tmp_path / f"b{suffix}")
    if suffix == ".npy":
        back = np.load(tmp_path / "b.npy")
        assert back.dtype == ">i2" and back.flags.f_contiguous
        np.testing.assert_array_equal(back, stored[1:4, 2:6, 2:5])
    else:
        assert whosmat(tmp_path / "b.mat") == [("scene", (3, 4, 3), "double")]


def test_a_region_of_a_phantom_has_its_bands() -> None:
    kind = modality()
    whole = kind.synthetic(0, (40, 6, 7))
    part = _region(kind, whole, BOX)
    for name in ("wavelengths", "bad_bands"):
        assert part.metadata[name] == whole.metadata[name][2:5]
