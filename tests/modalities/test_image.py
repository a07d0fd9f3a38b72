"""Pictures: values and metadata come back exactly; other kinds of picture are refused in one line."""

import json
import struct
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile

from liveaction.errors import FormatError, LiveactionWarning, ShapeError, SpecError
from liveaction.modalities.image.modality import Image
from liveaction.recipe import load_recipe
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

RGB = ModalitySpec(name="rgb", axes=("y", "x"), channels=3, range="native")
GREY = ModalitySpec(name="grey", axes=("y", "x"), channels=1, range="native")


@pytest.fixture
def rgb() -> Image:
    return Image(RGB)


@pytest.fixture
def grey() -> Image:
    return Image(GREY)


def _noise(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if dtype == "float32":
        return rng.normal(0, 3, shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def _signal(values: np.ndarray, **metadata: Any) -> Signal:
    return Signal(values, ("y", "x"), "", (1.0, 1.0), values.dtype.name, metadata)


def _as_json(signal: Signal) -> Signal:
    return replace(signal, metadata=json.loads(json.dumps(signal.metadata)))


@pytest.mark.parametrize("ending", [".png", ".tif", ".tiff", ".pnm"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (63, 1), (33, 65)])
def test_values_come_back(tmp_path: Path, ending: str, dtype: str, channels: int, shape: tuple[int, int]) -> None:
    modality, values = Image(RGB if channels == 3 else GREY), _noise((channels, *shape), dtype)
    modality.write(_signal(values), tmp_path / f"a{ending}")
    back = modality.read(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(back.values, values)
    assert (back.values.dtype.name, back.dtype, back.bits) == (dtype, dtype, 0)


def test_float32_tiff(grey: Image, tmp_path: Path) -> None:
    values = _noise((1, 9, 5), "float32")
    grey.write(_signal(values), tmp_path / "a.tif")
    back = grey.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(back.values, values)
    with pytest.raises(SpecError, match="got 'native', which is for integers"):
        grey.range_of(back)
    for name in ("a.png", "a.pgm"):
        with pytest.raises(FormatError, match=r"got float32; write \.tif"):
            grey.write(back, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_other_readers_agree(rgb: Image, grey: Image, tmp_path: Path) -> None:
    values = _noise((3, 8, 9), "uint16")
    rgb.write(_signal(values), tmp_path / "a.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), np.moveaxis(values, 0, -1))
    rgb.write(_signal((values >> 8).astype(np.uint8)), tmp_path / "a.png")
    with PIL.Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.array(image), np.moveaxis(values >> 8, 0, -1))
    for name in ("g.png", "g.pgm"):
        grey.write(_signal(values[:1]), tmp_path / name)
        with PIL.Image.open(tmp_path / name) as image:
            np.testing.assert_array_equal(np.array(image), values[0])


@pytest.mark.parametrize("ending", ["jpg", "webp", "bmp"])
def test_formats_that_are_read_only(rgb: Image, tmp_path: Path, ending: str) -> None:
    pixels = np.moveaxis(rgb.synthetic(0, (40, 50)).values, 0, -1)
    PIL.Image.fromarray(pixels).save(tmp_path / f"a.{ending}")
    with PIL.Image.open(tmp_path / f"a.{ending}") as image:
        expected = np.array(image)
    signal = rgb.read(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(signal.values, np.moveaxis(expected, -1, 0))
    rgb.write(signal, tmp_path / "b.png")
    np.testing.assert_array_equal(rgb.read(tmp_path / "b.png").values, signal.values)
    with pytest.raises(FormatError, match=r"expected a name ending in \.pgm, \.png, "):
        rgb.write(signal, tmp_path / f"b.{ending}")


def _photo(path: Path, **extra: Any) -> Path:
    """A picture with EXIF (turned, a maker), a resolution and a colour profile."""
    exif = PIL.Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    pixels = np.moveaxis(_noise((3, 9, 8), "uint8"), 0, -1)
    PIL.Image.fromarray(pixels).save(path, exif=exif.tobytes(), dpi=(300, 150), icc_profile=b"profile" * 99, **extra)
    return path


def test_png_keeps_everything(rgb: Image, tmp_path: Path) -> None:
    info = PIL.PngImagePlugin.PngInfo()
    info.add_text("Title", "plain")
    info.add_itxt("Description", "größer", lang="de")
    info.add(b"gAMA", struct.pack(">I", 45455))
    info.add(b"tIME", bytes(7))
    signal = _as_json(rgb.read(_photo(tmp_path / "a.png", pnginfo=info)))
    assert signal.metadata["orientation"] == 6
    assert signal.metadata["text"] == {"Title": "plain", "Description": "größer"}
    assert signal.metadata["resolution"] == [11811, 5906, "m"]
    rgb.write(signal, tmp_path / "b.png")
    again = rgb.read(tmp_path / "b.png")
    assert again.metadata == signal.metadata
    with PIL.Image.open(tmp_path / "a.png") as one, PIL.Image.open(tmp_path / "b.png") as two:
        for key in ("icc_profile", "dpi", "gamma"):
            assert one.info[key] == two.info[key]
        assert dict(one.getexif()) == dict(two.getexif()) == {0x0112: 6, 0x010F: "maker"}


def test_orientation_is_kept_not_applied(rgb: Image, tmp_path: Path) -> None:
    signal = rgb.read(_photo(tmp_path / "a.jpg"))
    assert signal.shape == (9, 8) and signal.metadata["orientation"] == 6
    rgb.write(signal, tmp_path / "b.png")
    with pytest.warns(LiveactionWarning, match="without room for EXIF but its orientation; it is left out"):
        rgb.write(signal, tmp_path / "b.tif")
    with PIL.Image.open(tmp_path / "b.png") as image:
        assert (image.size, image.getexif()[0x0112], image.info["icc_profile"]) == ((8, 9), 6, b"profile" * 99)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        tags = file.pages[0].tags
        assert (tags[274].value, tags[34675].value, file.pages[0].shape) == (6, b"profile" * 99, (9, 8, 3))
    assert rgb.read(tmp_path / "b.tif").metadata["orientation"] == 6
    np.testing.assert_allclose(rgb.read(tmp_path / "b.tif").metadata["resolution"][:2], (300, 150))


def test_tiff_keeps_its_tags(rgb: Image, tmp_path: Path) -> None:
    pixels = np.moveaxis(_noise((3, 9, 8), "uint16"), 0, -1)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb", compression="lzw", byteorder=">", metadata=None,
        description="a leaf", software="camera 1", iccprofile=b"profile" * 9, resolution=(71.5, 60), resolutionunit=3,
        extratags=[(274, 3, 1, 8, True), (33550, 12, 3, (10.0, 10.0, 0.0), True), (42112, 2, 0, "<GDAL/>", True),
                   (700, 1, 0, "<größer/>".encode(), True), (65000, 7, 0, b"\x00\xff", True)],
    )  # fmt: skip
    signal = _as_json(rgb.read(tmp_path / "a.tif"))
    np.testing.assert_array_equal(signal.values, np.moveaxis(pixels, -1, 0))
    assert signal.metadata["text"]["XML:com.adobe.xmp"] == "<größer/>"
    rgb.write(signal, tmp_path / "b.tif")
    assert rgb.read(tmp_path / "b.tif").metadata == signal.metadata
    with pytest.warns(LiveactionWarning, match="tags that only TIFF has"):
        rgb.write(signal, tmp_path / "b.png")
    there = rgb.read(tmp_path / "b.png").metadata
    assert there["orientation"] == 8
    assert (there["text"], there["icc"]) == (signal.metadata["text"], signal.metadata["icc"])
    np.testing.assert_allclose(there["resolution"][:2], (7150, 6000))


def test_planar_tiff(rgb: Image, tmp_path: Path) -> None:
    values = _noise((3, 9, 8), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", planarconfig="separate", metadata=None)
    np.testing.assert_array_equal(rgb.read(tmp_path / "a.tif").values, values)


def test_a_table_in_tiff_is_left_out_with_a_warning(rgb: Image, tmp_path: Path) -> None:
    exif = b"MM\x00*" + struct.pack(">IHHHIIIHHHII6xII", 8, 1, 0x8769, 4, 1, 26, 0, 1, 0x829A, 5, 1, 46, 1, 100)
    PIL.Image.new("RGB", (4, 3)).save(tmp_path / "a.tif", exif=b"Exif\x00\x00" + exif)
    with pytest.warns(LiveactionWarning, match=r"got tables ExifTag; they are left out"):
        rgb.read(tmp_path / "a.tif")


def test_significant_bits_of_netpbm(grey: Image, tmp_path: Path) -> None:
    values = np.arange(1024, dtype=np.uint16).reshape(1, 32, 32)
    (tmp_path / "a.pgm").write_bytes(b"P5\n# a comment\n32 32\n1023\n" + values.astype(">u2").tobytes())
    signal = grey.read(tmp_path / "a.pgm")
    assert (signal.bits, grey.range_of(signal), signal.native_bits) == (10, (0, 1023), 10240)
    np.testing.assert_array_equal(signal.values, values)
    grey.write(signal, tmp_path / "b.pgm")
    assert (tmp_path / "b.pgm").read_bytes().startswith(b"P5\n# a comment\n32 32\n1023\n")
    assert grey.read(tmp_path / "b.pgm").metadata == signal.metadata
    with pytest.warns(LiveactionWarning, match="the 10 significant bits"):
        grey.write(signal, tmp_path / "b.png")


def test_what_netpbm_cannot_hold_is_warned_about(rgb: Image, tmp_path: Path) -> None:
    signal = rgb.read(_photo(tmp_path / "a.png"))
    with pytest.warns(LiveactionWarning, match="the colour profile, the resolution, EXIF"):
        rgb.write(signal, tmp_path / "a.ppm")
    with pytest.raises(FormatError, match=r"expected a name ending in \.ppm for this picture, got 'a\.pgm'"):
        rgb.write(signal, tmp_path / "a.pgm")


def test_other_dtypes_are_rounded_and_clipped_on_writing(grey: Image, tmp_path: Path) -> None:
    signal = replace(_signal(np.array([[[-3.0, 1.6, 400.0]]])), dtype="uint8")
    grey.write(signal, tmp_path / "a.png")
    assert grey.read(tmp_path / "a.png").values.ravel().tolist() == [0, 2, 255]


def _palette(path: Path) -> None:
    pixels = np.moveaxis(_noise((3, 20, 20), "uint8"), 0, -1)
    PIL.Image.fromarray(pixels).quantize(64).save(path)


def _mode(mode: str) -> Any:
    return lambda path: PIL.Image.new(mode, (4, 4)).save(path)


def _cut(path: Path) -> None:
    _photo(path)
    path.write_bytes(path.read_bytes()[:-40])


def _flipped(path: Path) -> None:
    _photo(path)
    data = bytearray(path.read_bytes())
    data[-60] ^= 1
    path.write_bytes(data)


def _animation(path: Path) -> None:
    frames = [PIL.Image.new("RGB", (4, 4), (n, 0, 0)) for n in (0, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def _tiff(shape: tuple[int, ...], dtype: str, **options: Any) -> Any:
    return lambda path: tifffile.imwrite(path, np.zeros(shape, dtype), metadata=None, **options)


def _jpeg_as_png(path: Path) -> None:
    _photo(path.with_suffix(".jpg")).rename(path)


REFUSED = [
    ("a.png", _mode("RGBA"), "got an alpha channel; convert it to one"),
    ("a.png", _mode("LA"), "got an alpha channel; convert it to one"),
    ("a.png", _palette, "got a palette; convert it to one"),
    ("a.png", _mode("1"), "expected 8 or 16 bits per sample, got 1"),
    ("a.png", lambda p: PIL.Image.new("RGB", (4, 4)).save(p, transparency=(0, 0, 0)), "got transparency"),
    ("a.png", _animation, "expected one picture, got an animation"),
    ("a.png", _cut, "expected a whole PNG, got one cut short"),
    ("a.png", _flipped, "expected a whole PNG, got a damaged chunk"),
    ("a.png", _jpeg_as_png, "expected a whole PNG, got other bytes"),
    ("a.png", _mode("L"), "got a grey picture; use a recipe for grey ones, or convert it"),
    ("a.jpg", _mode("CMYK"), "got CMYK inks; convert it to one"),
    ("a.jpg", _mode("L"), "got a grey picture"),
    ("a.jpg", _cut, "expected a whole picture, got OSError"),
    ("a.jpg", lambda p: PIL.Image.new("RGB", (4, 4)).save(p, format="PNG"), "expected JPG, got PNG; rename it"),
    ("a.webp", _mode("RGBA"), "got an alpha channel"),
    ("a.webp", _animation, "expected one picture, got 2"),
    ("a.bmp", _palette, "got a palette"),
    ("a.tif", _tiff((2, 4, 4, 3), "uint8", photometric="rgb"), "expected one page, got 2; split it into files"),
    ("a.tif", _tiff((4, 4, 4), "uint8", photometric="rgb", extrasamples=["unassalpha"]), "got an alpha channel"),
    ("a.tif", _tiff((4, 4), "uint8", photometric="miniswhite"), "got white as 0"),
    ("a.tif", _tiff((4, 4, 4), "uint8", photometric="separated"), "got CMYK inks"),
    ("a.tif", _tiff((4, 4), "uint8", photometric="palette", colormap=np.zeros((3, 256), "u2")), "got a palette"),
    ("a.tif", _tiff((4, 4, 3), "float32", photometric="rgb"), "expected uint8, uint16 samples, got 32-bit float32"),
    ("a.tif", _tiff((4, 4), "int16", photometric="minisblack"), "got 16-bit int16"),
    ("a.tif", _tiff((4, 4), "uint8", photometric="minisblack"), "got a grey picture"),
    ("a.tif", lambda p: p.write_bytes(b"hello"), "expected a whole TIFF"),
    ("a.ppm", lambda p: p.write_bytes(b"P3\n1 1\n255\n1 2 3"), r"expected binary PPM or PGM \(P6, P5\), got b'P3'"),
    ("a.ppm", lambda p: p.write_bytes(b"P6 1 1 100 123"), "such as 255, got 1 x 1 and 100"),
    ("a.ppm", lambda p: p.write_bytes(b"P6 2 1 255 12345"), "expected 6 bytes of samples"),
    ("a.ppm", lambda p: p.write_bytes(b"P6 1 1 255 1234"), "expected 3 bytes of samples"),
    ("a.ppm", lambda p: p.write_bytes(b"P6 1 1 127 12\xff"), "expected values up to 127"),
    ("a.ppm", lambda p: p.write_bytes(b"P5 1 1 255 1"), "got a grey picture"),
]


@pytest.mark.parametrize(("name", "make", "words"), REFUSED, ids=[f"{r[0]}-{r[2][-20:]}" for r in REFUSED])
def test_pictures_that_are_refused(rgb: Image, tmp_path: Path, name: str, make: Any, words: str, capfd: Any) -> None:
    make(tmp_path / name)
    capfd.readouterr()
    with pytest.raises(FormatError, match=words) as caught:
        rgb.read(tmp_path / name)
    assert "\n" not in str(caught.value) and str(tmp_path / name) in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_colour_for_a_grey_recipe_is_refused(grey: Image, rgb: Image, tmp_path: Path) -> None:
    rgb.write(rgb.synthetic(0, (8, 8)), tmp_path / "a.png")
    with pytest.raises(FormatError, match="expected a grey picture, got red, green and blue; use a recipe for rgb"):
        grey.read(tmp_path / "a.png")
    with pytest.raises(ShapeError, match=r"expected values \[1, Y, X\], got \(3, 8, 8\)"):
        grey.write(rgb.read(tmp_path / "a.png"), tmp_path / "b.png")


def test_a_folder_of_pictures(rgb: Image, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/z.PNG", "a.tif", ".hidden.png"):
        rgb.write(rgb.synthetic(0, (3, 3)), tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    assert [path.name for path in rgb.find(tmp_path)] == ["a.tif", "z.PNG"]
    with pytest.raises(FormatError, match="expected one picture, got a folder"):
        rgb.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"channels": 1}, r"expected 2 axes \[y, x\] and 3 channels"),
        ({"axes": ("y", "x", "z")}, r"expected 2 axes \[y, x\] and 3 channels"),
        ({"options": {"gamma": 2}}, r"\[modality.options\] gamma: expected a known key, got 'gamma'"),
    ],
)
def test_a_recipe_of_another_kind_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Image(RGB.model_copy(update=change))


@pytest.mark.parametrize(
    "name", ["rgb_smoke", "rgb_light", "rgb_f16c12", "rgb_f16c48", "grey_smoke", "paper_rgb_f16c12"]
)
def test_shipped_recipes_take_their_own_pictures(name: str) -> None:
    modality = Image(load_recipe(name).modality)
    assert modality.range_of(modality.synthetic(0, (4, 4))) == (0, 255)


def test_the_phantom_is_the_same_on_every_machine_and_has_all_tones() -> None:
    import hashlib

    small = Image(RGB).synthetic(0, (24, 32)).values
    assert hashlib.sha256(small.tobytes()).hexdigest()[:16] == "6914155265b12132"
    values = Image(RGB).synthetic(1).values
    assert values.shape == (3, 512, 768)
    assert np.percentile(values, 2) < 50 and np.percentile(values, 98) > 225
    grey = Image(GREY).synthetic(1).values[0].astype(int)
    assert np.abs(grey - np.tensordot((0.299, 0.587, 0.114), values.astype(float), 1)).mean() < 1


@pytest.mark.parametrize(("spec", "compared"), [(RGB, True), (GREY, True), (RGB, False)])
@pytest.mark.parametrize("shape", [(1, 1), (90, 40), (60, 90)])
def test_a_preview_is_a_png(tmp_path: Path, spec: ModalitySpec, compared: bool, shape: tuple[int, int]) -> None:
    modality = Image(spec)
    signal = modality.synthetic(0, shape)
    decoded = replace(signal, values=signal.values // 8 * 8)
    modality.preview(signal if compared else None, decoded, tmp_path / "a.png", "a phantom")
    with PIL.Image.open(tmp_path / "a.png") as image:
        assert image.width >= (1200 if compared else 400) and image.height < 2000
    with pytest.raises(ShapeError, match="expected a reconstruction of shape"):
        modality.preview(modality.synthetic(0, (5, 6)), decoded, tmp_path / "b.png")


def test_kodak_pictures_come_back(rgb: Image, data_dir: Path, tmp_path: Path) -> None:
    found = rgb.find(data_dir / "images")
    assert len(found) == 12
    for path in found[:3]:
        signal = rgb.read(path)
        assert (signal.dtype, sorted(signal.shape)) == ("uint8", [512, 768])
        rgb.write(signal, tmp_path / path.name)
        again = rgb.read(tmp_path / path.name)
        np.testing.assert_array_equal(again.values, signal.values)
        assert again.metadata == signal.metadata
        assert rgb.compare(signal, again)["psnr_normalised"] == np.inf
        with PIL.Image.open(path) as image, warnings.catch_warnings():
            np.testing.assert_array_equal(np.moveaxis(np.array(image), -1, 0), signal.values)
