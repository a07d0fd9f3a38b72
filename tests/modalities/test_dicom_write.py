"""Derived DICOM series: stored values, flags, geometry, as other readers see them; what does not fit is refused."""

import doctest
import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.config import RAISE
from pydicom.dataset import Dataset

from liveaction.errors import FormatError, SpecError, WriteError
from liveaction.modalities.third_party import quiet
from liveaction.modalities.volume.ct import CT
from liveaction.modalities.volume.dicom_derived import Origin
from liveaction.modalities.volume.mri import MRI
from liveaction.spec import ModalitySpec

Write = Callable[..., Path]
LOSSLESS = Origin("ct_sparse", "0f" * 16, 3.5, 0.0)
LOSSY = Origin("ct_sparse", "0f" * 16, 25.314, None)
MR = {"SOPClassUID": uid.MRImageStorage, "Modality": "MR", "RescaleSlope": None, "RescaleIntercept": None}
RANDOM = np.random.default_rng(3)
SIGNED = RANDOM.integers(-2048, 2048, (6, 8)).astype(np.int16)
UNSIGNED = RANDOM.integers(0, 4096, (6, 8)).astype(np.uint16)
FLAT = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}


@pytest.fixture
def ct() -> CT:
    return CT(ModalitySpec(name="ct", axes=("x", "y", "z"), channels=1, unit="HU", range=(-1024, 3071)))


@pytest.fixture
def mri() -> MRI:
    return MRI(ModalitySpec(name="mri", axes=("x", "y", "z"), channels=1, unit="a.u.", range=(0, 4095)))


def _by_place(folder: Path, **options: Any) -> list[Dataset]:
    with quiet():
        slices = [pydicom.dcmread(path, **options) for path in folder.iterdir()]
    return sorted(slices, key=lambda data: float(data.ImagePositionPatient[2]))


def _stored(data: Dataset) -> np.ndarray:
    """The stored values, by pydicom alone: the bits that count, with their sign."""
    with quiet():
        if data.file_meta.TransferSyntaxUID.is_compressed:
            data.decompress()
        words = np.frombuffer(data.PixelData, f"<u{data.BitsAllocated // 8}")[: data.Rows * data.Columns]
    words = words.astype(np.int64) >> (data.HighBit + 1 - data.BitsStored)
    words &= (1 << data.BitsStored) - 1
    if data.PixelRepresentation:
        words -= (words >> (data.BitsStored - 1)) << data.BitsStored
    return words.reshape(data.Rows, data.Columns)


def _check_whole(source: Path, out: Path) -> None:
    """What holds of every derived series; the slices' own bytes are read strictly."""
    before, after = _by_place(source, force=True), _by_place(out)
    assert len(before) == len(after) == len({data.SOPInstanceUID for data in after})
    assert len({data.SeriesInstanceUID for data in after}) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pydicom.config.settings, "reading_validation_mode", RAISE)
        for path in out.iterdir():
            str(pydicom.dcmread(path))
    for old, new in zip(before, after, strict=True):
        for fresh in (new.SOPInstanceUID, new.SeriesInstanceUID):
            assert uid.UID(fresh).is_valid and len(fresh) <= 64
        assert new.SOPInstanceUID != old.SOPInstanceUID and new.SeriesInstanceUID != old.SeriesInstanceUID
        assert new.file_meta.MediaStorageSOPInstanceUID == new.SOPInstanceUID
        assert new.file_meta.TransferSyntaxUID == uid.ExplicitVRLittleEndian
        assert list(new.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        (item,) = new.SourceImageSequence
        assert (item.ReferencedSOPInstanceUID, item.ReferencedSOPClassUID) == (old.SOPInstanceUID, old.SOPClassUID)
        assert len(new.SeriesDescription) <= 64 and new.DerivationDescription.startswith("liveaction ")
        kept = (
            *("PatientName", "PatientID", "StudyDate", "StudyInstanceUID", "FrameOfReferenceUID", "InstanceNumber"),
            *("SeriesNumber", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns"),
            *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept"),
            *("PixelPaddingValue", "PhotometricInterpretation", "SOPClassUID"),
        )
        assert {name: str(new.get(name)) for name in kept} == {name: str(old.get(name)) for name in kept}


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param({}, id="12 bits unsigned"),
        pytest.param({"Stored": SIGNED, "BitsStored": 12, "RescaleIntercept": 0}, id="12 bits signed"),
        pytest.param({"Stored": SIGNED, "RescaleSlope": 2}, id="slope 2"),
        pytest.param({"Stored": SIGNED, "RescaleSlope": -1, "RescaleIntercept": "0.0"}, id="negative slope"),
        pytest.param({"Stored": SIGNED, "RescaleSlope": "1.37", "RescaleIntercept": "-1.3"}, id="slope 1.37"),
        pytest.param({"RescaleSlope": lambda i: 1 + i, "RescaleIntercept": lambda i: -10 * i}, id="a rescale each"),
        pytest.param({"Stored": UNSIGNED << 4, "BitsStored": 12, "HighBit": 15}, id="high bit 15"),
        pytest.param({"Stored": UNSIGNED | 0x5000}, id="bits of an overlay"),
        pytest.param({"Stored": (UNSIGNED >> 4).astype(np.uint8)}, id="8 bits"),
        pytest.param({"PhotometricInterpretation": "MONOCHROME1"}, id="MONOCHROME1"),
        pytest.param({"Syntax": uid.ImplicitVRLittleEndian}, id="implicit"),
        pytest.param({"Syntax": uid.DeflatedExplicitVRLittleEndian}, id="deflated"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*rescaled values are not whole")
def test_a_lossless_stream_gives_the_stored_values(
    ct: CT, tmp_path: Path, dicom_series: Write, tags: dict[str, Any]
) -> None:
    source, out = dicom_series(tmp_path / "in", **FLAT, **tags), tmp_path / "out"
    signal = ct.read(source)
    done = ct.write_series(signal, out, source, LOSSLESS)
    assert (done.files, done.lossy, done.clipped, done.moved) == (5, False, 0, 0)
    _check_whole(source, out)
    for old, new in zip(_by_place(source), _by_place(out), strict=True):
        np.testing.assert_array_equal(_stored(new), _stored(old))
        assert not {"LossyImageCompression", "LossyImageCompressionRatio", "DerivationCodeSequence"} & set(new.dir())
        assert new.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert new.SeriesDescription == "liveaction lossless"
    back = ct.read(out)
    np.testing.assert_array_equal(back.values, signal.values)
    assert back.metadata["affine"] == signal.metadata["affine"]


def test_a_bare_data_set_becomes_a_file(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    source = dicom_series(tmp_path / "in", Syntax=uid.ImplicitVRLittleEndian)
    for path in source.iterdir():
        data = pydicom.dcmread(path)
        data.file_meta, data.preamble = pydicom.dataset.FileMetaDataset(), None
        pydicom.dcmwrite(path, data, implicit_vr=True, little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
    ct.write_series(ct.read(source), tmp_path / "out", source, LOSSLESS)
    _check_whole(source, tmp_path / "out")


def test_an_origin_says_what_its_example_says() -> None:
    found = doctest.DocTestFinder(recurse=False).find(Origin, globs={"Origin": Origin})
    assert found and found[0].examples and doctest.DocTestRunner().run(found[0]).failed == 0


def test_an_odd_number_of_bytes_is_padded(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    source, stored = dicom_series(tmp_path / "in", Stored=np.zeros((6, 8), np.uint8)), UNSIGNED.astype(np.uint8)[:5, :7]
    for path in source.iterdir():
        data = pydicom.dcmread(path)
        data.Rows, data.Columns, data.PixelData = 5, 7, stored.tobytes() + b"\0"
        data.save_as(path)
    ct.write_series(ct.read(source), tmp_path / "out", source, LOSSLESS)
    for data in _by_place(tmp_path / "out"):
        assert (data["PixelData"].VR, len(data.PixelData)) == ("OB", 36)
        np.testing.assert_array_equal(data.pixel_array, stored)


def test_compressed_templates(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    near, exact = (UNSIGNED >> 4).astype(np.uint8), UNSIGNED
    kinds = {
        "baseline": {"Stored": near, "Syntax": uid.JPEGBaseline8Bit, "Frame": imagecodecs.jpeg8_encode(near)},
        "lossless": {"Stored": exact, "Syntax": uid.JPEGLSLossless, "Frame": imagecodecs.jpegls_encode(exact)},
    }
    for name, tags in kinds.items():
        source, out = dicom_series(tmp_path / name, **tags), tmp_path / f"{name}_out"
        signal = ct.read(source)
        assert not ct.write_series(signal, out, source, LOSSLESS).lossy
        np.testing.assert_array_equal(ct.read(out).values, signal.values)
        _check_whole(source, out)
        for data in _by_place(out):  # baseline JPEG has lost something whatever its header says
            assert data.get("LossyImageCompression") == {"baseline": "01", "lossless": None}[name]


def test_a_lossy_stream_says_so_and_how(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    tags = {"SeriesDescription": "x" * 60, "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "SeriesNumber": 7}
    source, out = dicom_series(tmp_path / "in", DerivationDescription="by hand", **tags), tmp_path / "out"
    signal = ct.read(source)
    near = replace(signal, values=signal.values + RANDOM.integers(-2, 3, signal.values.shape).astype(np.int16))
    done = ct.write_series(near, out, source, replace(LOSSY, bound=2.0))
    _check_whole(source, out)
    wanted = np.clip(near.values[0], -1024, 3071)
    assert done.clipped == np.count_nonzero(wanted != near.values[0]) and done.lossy and not done.rounded
    np.testing.assert_array_equal(ct.read(out).values[0], wanted)
    for data in _by_place(out):
        assert data.ImageType == ["DERIVED", "SECONDARY", "AXIAL"]
        assert (data.LossyImageCompression, data.LossyImageCompressionMethod) == ("01", "LIVEACTION")
        assert float(data.LossyImageCompressionRatio) == 25.31
        assert [code.CodeValue for code in data.DerivationCodeSequence] == ["113040"]
        assert data.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121320"
        assert data.SeriesDescription == "x" * 38 + ", liveaction 25.31:1 lossy"
        said = data.DerivationDescription
        assert all(word in said for word in ("ct_sparse", "0f" * 16, "no error above 2 HU", "Before: by hand"))
        assert data.ContributingEquipmentSequence[-1].Manufacturer == "liveaction"


def test_what_was_lossy_stays_lossy(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    tags = {"LossyImageCompression": "01", "LossyImageCompressionRatio": ["10", "2"]}
    methods = {"LossyImageCompressionMethod": ["ISO_10918_1", "ISO_15444_1"]}
    source = dicom_series(tmp_path / "in", **tags, **methods)
    signal = ct.read(source)
    ct.write_series(signal, tmp_path / "lossy", source, LOSSY)
    ct.write_series(signal, tmp_path / "lossless", source, LOSSLESS)
    lossy, lossless = (_by_place(tmp_path / name)[0] for name in ("lossy", "lossless"))
    assert [float(ratio) for ratio in lossy.LossyImageCompressionRatio] == [10, 2, 25.31]
    assert lossy.LossyImageCompressionMethod == [*methods["LossyImageCompressionMethod"], "LIVEACTION"]
    assert lossless.LossyImageCompression == lossy.LossyImageCompression == "01"
    assert lossless.LossyImageCompressionRatio == [10, 2]
    assert lossless.LossyImageCompressionMethod == methods["LossyImageCompressionMethod"]
    for data in (lossy, lossless):  # its source is no uncompressed one
        assert data.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    ct.write_series(signal, tmp_path / "twice", tmp_path / "lossy", replace(LOSSY, ratio=3.0))
    twice = _by_place(tmp_path / "twice")[0]
    assert [float(ratio) for ratio in twice.LossyImageCompressionRatio] == [10, 2, 25.31, 3]
    assert [code.CodeValue for code in twice.DerivationCodeSequence] == ["113040"]
    assert twice.ImageType == ["DERIVED", "SECONDARY"]


def test_ratios_without_methods_stay_without(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    source = dicom_series(tmp_path / "in", LossyImageCompression="01", LossyImageCompressionRatio="10")
    ct.write_series(ct.read(source), tmp_path / "out", source, LOSSY)
    data = _by_place(tmp_path / "out")[0]
    assert [float(ratio) for ratio in data.LossyImageCompressionRatio] == [10, 25.31]
    assert "LossyImageCompressionMethod" not in data


def test_mr_without_rescale(mri: MRI, tmp_path: Path, dicom_series: Write) -> None:
    source = dicom_series(tmp_path / "in", **MR, Stored=UNSIGNED)
    signal = mri.read(source)
    mri.write_series(signal, tmp_path / "out", source, LOSSLESS)
    _check_whole(source, tmp_path / "out")
    for data in _by_place(tmp_path / "out"):
        assert "RescaleSlope" not in data and "RescaleIntercept" not in data
        np.testing.assert_array_equal(_stored(data), UNSIGNED)
    far = replace(signal, values=signal.values.astype(np.int32) * 0 + 70000)
    assert mri.write_series(far, tmp_path / "far", source, LOSSY).clipped == signal.values.size
    assert (mri.read(tmp_path / "far").values == 4095).all()


@pytest.mark.parametrize("padding", [0, 63536, 40], ids=["stored", "all bits", "inside"])
def test_padding_comes_back_and_nothing_else_becomes_it(
    ct: CT, tmp_path: Path, dicom_series: Write, padding: int
) -> None:
    stored = np.maximum(UNSIGNED, 100)
    stored[:2, :3] = padding
    source = dicom_series(tmp_path / "in", Stored=stored, PixelPaddingValue=padding)
    signal = ct.read(source)
    ct.write_series(signal, tmp_path / "same", source, LOSSLESS)
    for data in _by_place(tmp_path / "same"):
        np.testing.assert_array_equal(np.frombuffer(data.PixelData, "<u2").reshape(6, 8), stored)
    assert signal.missing is not None
    values = np.where(signal.missing, signal.values, padding - 1024).astype(signal.values.dtype)
    done = ct.write_series(replace(signal, values=values), tmp_path / "out", source, LOSSY)
    back = ct.read(tmp_path / "out")
    np.testing.assert_array_equal(back.missing, signal.missing)
    off = np.abs(back.values - values)[~signal.missing]
    beyond = padding > 4095
    assert (done.moved, done.clipped) == ((0, off.size) if beyond else (off.size, 0))
    assert beyond or (off == 1).all()
    said = _by_place(tmp_path / "out")[0].DerivationDescription
    assert ("42 values put beside the padding value" in said) is not beyond


def test_several_padding_values_come_back_each(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    stored = np.maximum(UNSIGNED, 100)
    stored[0], stored[1] = 5, 9
    source = dicom_series(tmp_path / "in", Stored=stored, PixelPaddingValue=5, PixelPaddingRangeLimit=9)
    with pytest.warns(match="padding of 2 values"):
        signal = ct.read(source)
    assert not ct.write_series(signal, tmp_path / "out", source, LOSSLESS).lossy
    for data in _by_place(tmp_path / "out"):
        np.testing.assert_array_equal(_stored(data), stored)


def test_padding_that_no_header_names(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    stored = np.maximum(SIGNED, -1000)
    stored[:3] = -3024
    source = dicom_series(tmp_path / "in", Stored=stored, RescaleIntercept=0)
    signal = ct.read(source)
    assert signal.missing is not None and signal.missing.sum() == 5 * 24
    ct.write_series(signal, tmp_path / "out", source, LOSSLESS)
    np.testing.assert_array_equal(_stored(_by_place(tmp_path / "out")[0]), stored)
    unknown = replace(signal, no_data=-1e6)
    with pytest.raises(FormatError, match="expected PixelPaddingValue for values that are missing, got none, and -1e"):
        ct.write_series(unknown, tmp_path / "none", source, LOSSY)
    assert not (tmp_path / "none").exists()


@pytest.mark.filterwarnings("ignore:.*rescaled values are not whole")
def test_values_that_were_rounded_when_read_are_lossy(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    source = dicom_series(tmp_path / "in", RescaleSlope="0.37", RescaleIntercept="-1000.1")
    done = ct.write_series(ct.read(source), tmp_path / "out", source, LOSSLESS)
    data = _by_place(tmp_path / "out")[0]
    assert done.lossy and done.rounded and data.LossyImageCompression == "01"
    assert "values that were rounded to whole ones when read" in data.DerivationDescription


def test_what_no_longer_holds_is_taken_out(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    icon, mac = Dataset(), Dataset()
    icon.Rows, mac.MACIDNumber = 1, 1
    tags = {"IconImageSequence": [icon], "DigitalSignaturesSequence": [mac], "MACParametersSequence": [mac]}
    tags |= {"SmallestImagePixelValue": 3, "LargestImagePixelValue": 4, "InstanceCreatorUID": "1.2.3"}
    source = dicom_series(tmp_path / "in", **tags, WindowCenter=40, WindowWidth=400)
    for path in source.iterdir():
        data = pydicom.dcmread(path)
        data.add_new((0x6000, 0x0102), "US", 13)  # an overlay in the pixels' bits
        data.add_new((0x6002, 0x3000), "OW", b"\1\0")
        data.add_new((0x5000, 0x0005), "US", 2)
        data.private_block(0x0019, "SCANNER", create=True).add_new(1, "LO", "kept")
        data.save_as(path)
    ct.write_series(ct.read(source), tmp_path / "out", source, LOSSY)
    for data in _by_place(tmp_path / "out"):
        assert not {*tags} & set(data.dir()) and data.WindowWidth == 400
        assert (0x6000, 0x0102) not in data and (0x5000, 0x0005) not in data and (0x6002, 0x3000) in data
        assert data.private_block(0x0019, "SCANNER")[1].value == "kept"


def test_dates_are_in_the_time_zone_of_the_slice(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    zones = {0: "+1400", 1: "-1200"}
    source = dicom_series(tmp_path / "in", 2, TimezoneOffsetFromUTC=zones.get)
    ct.write_series(ct.read(source), tmp_path / "out", source, LOSSY)
    times = {
        data.TimezoneOffsetFromUTC: np.datetime64(
            f"{data.ContentDate[:4]}-{data.ContentDate[4:6]}-{data.ContentDate[6:]}T{data.ContentTime[:2]}"
        )
        for data in _by_place(tmp_path / "out")
    }
    assert times["+1400"] - times["-1200"] == np.timedelta64(26, "h")


def test_long_numbers_and_other_letters_stay(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    place = {
        "PixelSpacing": ["0.80000000000000004", "0.59999999999999998"],
        "ImagePositionPatient": lambda i: ["10.000000000000000000", "-20.00000000000000000", f"{30 + 2.5 * i:.20f}"],
        "SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Jörg", "SeriesDescription": "Schädel",
        "DerivationDescription": "größer", "Syntax": uid.ImplicitVRLittleEndian,
    }  # fmt: skip
    source = dicom_series(tmp_path / "in", 3, **FLAT, **place)
    signal = ct.read(source)
    ct.write_series(signal, tmp_path / "out", source, LOSSLESS)
    assert ct.read(tmp_path / "out").metadata["affine"] == signal.metadata["affine"]
    data = _by_place(tmp_path / "out")[0]
    assert data.PatientName == "Müller^Jörg" and data.SeriesDescription == "Schädel, liveaction lossless"
    assert data.DerivationDescription.endswith("größer")


def test_monai_finds_the_series_in_the_same_place(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    with quiet():
        from monai.data import PydicomReader
    source = dicom_series(tmp_path / "in", SliceThickness=2.5)
    ct.write_series(ct.read(source), tmp_path / "out", source, LOSSLESS)
    found = []
    for folder in (source, tmp_path / "out"):
        with quiet():
            reader = PydicomReader()
            values, metadata = reader.get_data(reader.read(folder))
        found.append((values, np.array(metadata["affine"])))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize(
    ("count", "tags", "words"),
    [
        pytest.param(4, {}, r"5 slices of 6 rows and 8 columns, as the stream holds, got 4 slices", id="slices"),
        pytest.param(
            5, {"Stored": UNSIGNED.T.copy(), "Rows": 8, "Columns": 6}, "got 5 slices of 8 rows and 6 col", id="extents"
        ),
        pytest.param(
            5, {"PixelSpacing": [0.9, 0.8]}, r"expected a template of spacing \[0.7, 0.9, 2.5\]", id="spacing"
        ),
        pytest.param(5, FLAT, "expected a template of axes along", id="orientation"),
        pytest.param(
            5,
            {"ImagePositionPatient": lambda i: [11 - 0.42 * i, -20 + 1.44 * i, 30 + 2 * i]},
            r"expected a template of a first voxel at \[-10.0, 20.0, 30.0\] mm, .* got a first voxel at \[-11.0, ",
            id="place",
        ),
        pytest.param(
            5,
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.128"},
            "expected CT or MR slices to write DICOM like",
            id="class",
        ),
        pytest.param(5, {"Syntax": uid.ExplicitVRBigEndian}, "expected little-endian slices .* dcmconv", id="big"),
        pytest.param(5, {"NumberOfFrames": 2}, "expected one frame per file, got 2; convert", id="frames"),
        pytest.param(
            5,
            {"Stored": UNSIGNED << 4, "BitsStored": 12, "HighBit": 15, "PixelPaddingValue": 65535},
            "expected HighBit 11 beside PixelPaddingValue, got 15",
            id="high bit",
        ),
        pytest.param(5, MR, "expected DICOM files of one series in HU, got 1 series", id="unit"),
        pytest.param(5, {"Stored": UNSIGNED}, "expected the slice that a lossless stream was made from", id="values"),
    ],
)
def test_another_template_is_refused(
    ct: CT, tmp_path: Path, dicom_series: Write, count: int, tags: dict[str, Any], words: str
) -> None:
    signal = ct.read(dicom_series(tmp_path / "in"))
    with quiet():
        other = dicom_series(tmp_path / "other", count, **tags)
    with pytest.raises(FormatError, match=words) as caught:
        ct.write_series(signal, tmp_path / "out", other, LOSSLESS)
    assert "\n" not in str(caught.value) and sorted(path.name for path in tmp_path.iterdir()) == ["in", "other"]
    if "values" not in words and "lossless" not in words:  # known before anything is decoded
        with pytest.raises(FormatError, match=words):
            ct.check_series(signal, tmp_path / "out", other)


def test_a_template_without_instances_is_refused(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    source = dicom_series(tmp_path / "in")
    for path in source.iterdir():
        data = pydicom.dcmread(path)
        del data.SOPInstanceUID
        data.save_as(path)
    with pytest.raises(FormatError, match="expected a SOPInstanceUID to refer to, got none"):
        ct.check_series(ct.read(source), tmp_path / "out", source)


def test_a_template_that_is_not_there(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    signal = ct.read(dicom_series(tmp_path / "in"))
    with pytest.raises(FormatError, match="expected the folder of a DICOM series, got no such path"):
        ct.check_series(signal, tmp_path / "out", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="expected DICOM files of one series in HU, got none"):
        ct.check_series(signal, tmp_path / "out", tmp_path / "empty")


def test_nothing_is_written_over_the_template(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    source = dicom_series(tmp_path / "study" / "in")
    signal = ct.read(source)
    number = pydicom.dcmread(next(source.iterdir())).SeriesInstanceUID
    (tmp_path / "link").symlink_to(source)
    (tmp_path / "linked").mkdir()
    for path in source.iterdir():
        (tmp_path / "linked" / path.name).symlink_to(path)
    before = {path: path.read_bytes() for path in source.iterdir()}
    for template in (source, source / number, tmp_path / "link", tmp_path / "linked"):
        for target in (source, source / "out", source.parent, tmp_path / "link", tmp_path / "link" / "x"):
            if template.name == "linked" and target.name in ("out", "x"):
                continue  # beside the slices
            with pytest.raises(SpecError, match=r"expected a place of its own, got .*; choose another one"):
                ct.write_series(signal, target, template, LOSSLESS)
    assert {path: path.read_bytes() for path in source.iterdir()} == before


def test_only_a_derived_series_is_replaced(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    source, copy, out = dicom_series(tmp_path / "in"), dicom_series(tmp_path / "copy"), tmp_path / "out"
    signal = ct.read(source)
    first = ct.write_series(signal, out, source, LOSSLESS)
    second = ct.write_series(signal, out, source, LOSSLESS)
    assert first.uid != second.uid and _by_place(out)[0].SeriesInstanceUID == second.uid
    (out / "note.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FormatError, match=r"one of a derived series to replace, got a folder that holds 'note.txt'"):
        ct.write_series(signal, out, source, LOSSLESS)
    with pytest.raises(FormatError, match=r"one of a derived series to replace, got a folder that holds '00.dcm'"):
        ct.write_series(signal, copy, source, LOSSLESS)
    with pytest.raises(FormatError, match="one of a derived series to replace, got a file"):
        ct.write_series(signal, tmp_path / "file", source, LOSSLESS)
    assert len(list(copy.iterdir())) == 5 and (out / "note.txt").exists()


def test_an_interrupted_write_leaves_nothing(
    ct: CT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dicom_series: Write
) -> None:
    source, out = dicom_series(tmp_path / "in"), tmp_path / "out"
    signal, whole, calls = ct.read(source), pydicom.dcmwrite, list[Any]()
    for error, seen in (
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), WriteError),
        (ValueError("a tag\nof no use"), FormatError),
    ):
        calls.clear()

        def write(*given: Any, error: BaseException = error, **named: Any) -> None:
            calls.append(given)
            if len(calls) == 3:
                raise error
            whole(*given, **named)

        monkeypatch.setattr(pydicom, "dcmwrite", write)
        with pytest.raises(seen):
            ct.write_series(signal, out, source, LOSSLESS)
        assert [path.name for path in tmp_path.iterdir()] == ["in"]
    monkeypatch.setattr(pydicom, "dcmwrite", whole)
    ct.write_series(signal, out, source, LOSSLESS)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    calls.clear()
    monkeypatch.setattr(pydicom, "dcmwrite", write)
    with pytest.raises(FormatError, match="expected a header that can be written again, got ValueError: a tag of no"):
        ct.write_series(signal, out, source, LOSSLESS)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_nan_is_refused(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    source = dicom_series(tmp_path / "in")
    signal = ct.read(source)
    values = signal.values.astype(np.float32)
    values[0, 1, 2, 3] = np.nan
    with pytest.raises(FormatError, match="finite"):
        ct.write_series(replace(signal, values=values), tmp_path / "out", source, LOSSY)
    assert not (tmp_path / "out").exists()


def test_a_sample_series_comes_back_to_the_bit(ct: CT, data_dir: Path, tmp_path: Path) -> None:
    source, out = data_dir / "ct" / "lung_dx_A0001_dicom", tmp_path / "out"
    signal = ct.read(source)
    ct.write_series(signal, out, source, LOSSLESS)
    _check_whole(source, out)
    for old, new in zip(_by_place(source), _by_place(out), strict=True):
        assert old.PixelData == new.PixelData
        assert {element.tag for element in old if element.tag.is_private} <= {element.tag for element in new}
    back = ct.read(out)
    np.testing.assert_array_equal(back.values, signal.values)
    assert back.metadata == signal.metadata
