"""What pictures say beside their samples: OME-XML, places on a page or map, chunks and blocks; kept or warned of."""

import json
import struct
import warnings
import xml.etree.ElementTree as ET
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.modalities.image.modality import Image
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

RGB = Image(ModalitySpec(name="rgb", axes=("y", "x"), channels=3, range="native"))
GREY = Image(ModalitySpec(name="grey", axes=("y", "x"), channels=1, range="native"))
PIXELS = np.random.default_rng(0).integers(0, 60000, (9, 13), dtype=np.uint16)


def again(signal: Signal) -> Signal:
    return replace(signal, metadata=json.loads(json.dumps(signal.metadata)))


def region(signal: Signal) -> Signal:
    """Rows 2 to 8, columns 3 to 12."""
    box = ((2, 8), (3, 12))
    return GREY.cropped(signal.crop(*(slice(*ends) for ends in box)), box, signal.shape)


def written(modality: Image, signal: Signal, path: Path) -> tifffile.TiffPage:
    """The page of what is written, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        modality.write(signal, path)
    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        assert all(tag.value is not None for tag in page.tags)  # read while the file is open
        np.testing.assert_array_equal(page.asarray(), np.squeeze(np.moveaxis(signal.values, 0, -1)))
        return page


def pixels_of(page: tifffile.TiffPage) -> dict[str, str]:
    """Attributes of the one image that OME-XML describes."""
    (found,) = ET.fromstring(page.description).iter("{http://www.openmicroscopy.org/Schemas/OME/2016-06}Pixels")
    return found.attrib


SIZES = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm"}


@pytest.mark.parametrize("ending", [".ome.tif", ".tif"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_ome_xml_comes_back(tmp_path: Path, ending: str, dtype: str) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS.astype(dtype), ome=True, metadata={"axes": "YX", **SIZES})
    signal = again(GREY.read(tmp_path / "a.ome.tif"))
    page = written(GREY, signal, tmp_path / f"b{ending}")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert page.description == file.ome_metadata
    part = pixels_of(written(GREY, region(signal), tmp_path / f"c{ending}"))
    wanted = {key: str(value) for key, value in SIZES.items()}
    wanted |= {"SizeX": "9", "SizeY": "6", "SizeC": "1", "SizeZ": "1", "SizeT": "1"}
    assert wanted.items() <= part.items() and part["Type"] == {"float32": "float"}.get(dtype, dtype)
    with tifffile.TiffFile(tmp_path / f"c{ending}") as file:
        assert file.is_ome and file.series[0].shape == (6, 9)


def test_ome_xml_in_colour_comes_back(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 255, (9, 13, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", values, photometric="rgb", metadata={"axes": "YXS", **SIZES})
    page = written(RGB, again(RGB.read(tmp_path / "a.ome.tif")), tmp_path / "b.ome.tif")
    assert (pixels_of(page)["SizeC"], pixels_of(page)["PhysicalSizeX"]) == ("3", "0.5")


def test_ome_xml_of_several_planes_is_left_out(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, metadata={"axes": "YX", **SIZES})
    signal = GREY.read(tmp_path / "a.ome.tif")
    text = {"Description": signal.metadata["text"]["Description"].replace('SizeZ="1"', 'SizeZ="7"')}
    with pytest.warns(
        LiveactionWarning, match=r"b\.tif: .* without room for OME-XML of several planes; it is left out"
    ):
        GREY.write(replace(signal, metadata={**signal.metadata, "text": text}), tmp_path / "b.tif")
    assert "text" not in GREY.read(tmp_path / "b.tif").metadata


def test_a_name_of_ome_tiff_gets_ome_xml(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, metadata=None, description="a leaf")
    signal = GREY.read(tmp_path / "a.tif")
    with pytest.warns(LiveactionWarning, match="without room for the text 'Description'"):
        GREY.write(signal, tmp_path / "b.ome.tif")
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as file:
        assert (file.is_ome, file.series[0].shape) == (True, (9, 13))


def test_imagej_metadata_come_back(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, imagej=True, resolution=(2, 4), metadata={"unit": "um", "axes": "YX"})
    signal = again(GREY.read(tmp_path / "a.tif"))
    for part in (signal, region(signal)):
        written(GREY, part, tmp_path / "b.tif")
        with tifffile.TiffFile(tmp_path / "b.tif") as file:
            about: Any = file.imagej_metadata
            tags: Any = file.pages[0].tags  # type: ignore[union-attr]
            assert (about["unit"], tags[282].value, tags[283].value) == ("um", (2, 1), (4, 1))


def test_imagej_lengths_of_tables_go_with_the_tables(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, imagej=True, metadata={"Overlays": [b"abc"], "axes": "YX"})
    with pytest.warns(LiveactionWarning, match="got tables IJMetadata; they are left out"):
        signal = again(GREY.read(tmp_path / "a.tif"))
    assert not {50838, 50839} & {tag.code for tag in written(GREY, signal, tmp_path / "b.tif").tags}


def test_a_description_with_a_shape_says_the_shape_that_is_written(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, metadata={"axes": "YX", "note": "kept"})
    signal = again(GREY.read(tmp_path / "a.tif"))
    assert json.loads(written(GREY, signal, tmp_path / "b.tif").description)["shape"] == [9, 13]
    said = json.loads(written(GREY, region(signal), tmp_path / "b.tif").description)
    assert said == {"shape": [6, 9], "axes": "YX", "note": "kept"}
    planes = np.stack([PIXELS] * 3)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate", metadata={"axes": "SYX"})
    page = written(RGB, again(RGB.read(tmp_path / "a.tif")), tmp_path / "b.tif")
    assert json.loads(page.description) == {"shape": [9, 13, 3], "axes": "YXS"}
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert (file.series[0].kind, file.series[0].axes) == ("shaped", "YXS")


def test_places_on_page_and_map_move_with_a_region(tmp_path: Path) -> None:
    tie, matrix = (0.0, 0.0, 0.0, 500.0, 900.0, 0.0), (2.0, 0.5, 0, 100, 0.25, -2, 0, 200, 0, 0, 0, 0, 0, 0, 0, 1)
    extra = [(286, 5, 1, (7, 2), True), (287, 5, 1, (1, 3), True), (33550, 12, 3, (10.0, 5.0, 0.0), True)]
    for tag in ((33922, 12, 6, tie, True), (34264, 12, 16, tuple(map(float, matrix)), True)):
        tifffile.imwrite(tmp_path / "a.tif", PIXELS, metadata=None, resolution=(4, 8), resolutionunit=3,
                         extratags=[*extra, tag])  # fmt: skip
        signal = again(GREY.read(tmp_path / "a.tif"))
        tags: Any = written(GREY, region(signal), tmp_path / "b.tif").tags
        assert (tags[286].value, tags[287].value) == ((17, 4), (7, 12))  # 3 columns of 1/4 cm, 2 rows of 1/8 cm
        assert tags[33550].value == (10, 5, 0)
        if tag[0] == 33922:
            assert tags[33922].value == (-3, -2, 0, 500, 900, 0)
        else:
            assert tags[34264].value[3::4] == (100 + 2 * 3 + 0.5 * 2, 200 + 0.25 * 3 - 2 * 2, 0, 1)
        same: Any = written(GREY, signal, tmp_path / "c.tif").tags
        assert same[286].value == (7, 2) and same[tag[0]].value == tag[3]


def test_tags_that_no_stream_can_hold_are_said(tmp_path: Path) -> None:
    extra = [(65000, 12, 2, (1.0, float("nan")), True), (65001, 12, 1, float("inf"), True), (65002, 12, 1, 0.5, True)]
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, metadata=None, extratags=extra)
    with pytest.warns(LiveactionWarning, match=r"tables 65000, 65001; they are left out"):
        signal = GREY.read(tmp_path / "a.tif")
    assert again(signal).metadata["tiff"] == [[65002, 12, 1, 0.5]]


def test_strips_that_are_not_stored_are_said(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((48, 32), 7, np.uint8), tile=(16, 16), metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        counts = file.pages[0].tags[325]  # type: ignore[union-attr]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[counts.valueoffset : counts.valueoffset + 2] = bytes(2)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.warns(
        LiveactionWarning, match="expected all 6 strips or tiles of the array, got 5; the others read as"
    ):
        signal = GREY.read(tmp_path / "a.tif")
    assert (signal.values[0, :16, :16] == 0).all() and (signal.values[0, 16:] == 7).all()


def _png(path: Path, *extra: tuple[bytes, bytes]) -> Path:
    GREY.write(Signal((PIXELS[np.newaxis] >> 8).astype(np.uint8), ("y", "x"), "", (1.0, 1.0), "uint8"), path)
    packed = b"".join(struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in extra)
    content = path.read_bytes()
    path.write_bytes(content[:33] + packed + content[33:])
    return path


def test_chunks_of_png_are_kept_or_said(tmp_path: Path) -> None:
    _png(tmp_path / "a.png", (b"caNv", b"1234"), (b"bKGD", bytes(2)), (b"iDOT", b"x"), (b"oFFs", bytes(9)))
    with pytest.warns(LiveactionWarning, match=r"can be written again, got bKGD, oFFs; they are left out"):
        signal = again(GREY.read(tmp_path / "a.png"))
    GREY.write(signal, tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes().count(b"caNv1234") == 1
    assert GREY.read(tmp_path / "b.png").metadata == signal.metadata


def test_blocks_of_a_photo_are_kept_or_said(tmp_path: Path) -> None:
    photo = PIL.Image.new("RGB", (8, 8))
    photo.save(tmp_path / "a.jpg", comment="größer".encode("latin-1"))
    content = (tmp_path / "a.jpg").read_bytes()
    block = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x04abcd"
    (tmp_path / "a.jpg").write_bytes(
        content[:2] + b"\xff\xed" + struct.pack(">H", len(block) + 2) + block + content[2:]
    )
    with pytest.warns(LiveactionWarning, match=r"that can be kept, got Photoshop's block \(IPTC\) as well; left out"):
        signal = RGB.read(tmp_path / "a.jpg")
    assert signal.metadata["text"] == {"Comment": "größer"}


def _png(path: Path, *chunks: tuple[bytes, bytes]) -> Path:
    """A grey PNG with chunks behind its header."""
    PIL.Image.fromarray(PIXELS.astype("uint8")).save(path)
    data = path.read_bytes()
    packed = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    path.write_bytes(data[:33] + b"".join(packed) + data[33:])
    return path


def test_all_texts_of_one_keyword_are_kept(tmp_path: Path) -> None:
    texts = (b"tEXt", b"Note\0one"), (b"zTXt", b"Note\0\0" + zlib.compress(b"two")), (b"tEXt", b"Other\0more")
    signal = GREY.read(_png(tmp_path / "a.png", *texts, (b"iTXt", b"Note\0\0\0de\0Notiz\0drei")))
    GREY.write(again(signal), tmp_path / "b.png")
    with PIL.Image.open(tmp_path / "b.png") as image:
        assert image.text == {"Note": "one\ntwo\ndrei", "Other": "more"}  # type: ignore[attr-defined]
    path = _png(tmp_path / "a.png", *[texts[0]] * 1001)
    with pytest.raises(FormatError, match="expected at most 1000 texts, got 1001; take some out"):
        GREY.read(path)


def test_a_picture_of_more_pixels_than_pillow_takes_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PIL.Image.fromarray(PIXELS.astype("uint8")).save(tmp_path / "a.bmp")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(FormatError, match="expected at most 100 pixels, got more; convert it to PNG or TIFF"):
        GREY.read(tmp_path / "a.bmp")
