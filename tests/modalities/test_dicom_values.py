"""What stands in DICOM slices: numbers of any length, rescale, padding, transfer syntaxes, equal to what was put in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import nibabel
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.pixels import get_encoder

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.modalities.third_party import quiet
from liveaction.modalities.volume.ct import CT
from liveaction.spec import ModalitySpec

Write = Callable[..., Path]
RANDOM = np.random.default_rng(2)
SIGNED = RANDOM.integers(-1000, 1000, (6, 8)).astype(np.int16)
UNSIGNED = RANDOM.integers(0, 4096, (6, 8)).astype(np.uint16)
BYTES = RANDOM.integers(0, 256, (6, 8)).astype(np.uint8)


@pytest.fixture
def ct() -> CT:
    return CT(ModalitySpec(name="ct", axes=("x", "y", "z"), channels=1, unit="HU", range=(-1024, 3071)))


def test_numbers_of_any_length_are_read(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    place = {
        "PixelSpacing": ["0.80000000000000004", "0.59999999999999998"],
        "ImageOrientationPatient": [f"{value:.20f}" for value in (0.96, 0.28, 0, -0.224, 0.768, -0.6)],
        "ImagePositionPatient": lambda i: ["10.000000000000000000", "-20.00000000000000000", f"{30 + 2.5 * i:.20f}"],
    }
    signal = ct.read(dicom_series(tmp_path, 3, **place))
    np.testing.assert_allclose(signal.spacing, (0.6, 0.8, 2.5), rtol=1e-12)
    np.testing.assert_allclose(
        signal.metadata["affine"],
        [[-0.576, 0.1792, 0, -10], [-0.168, -0.6144, 0, 20], [0, -0.48, 2.5, 30], [0, 0, 0, 1]],
        atol=1e-12,
    )


@pytest.mark.parametrize("text", ["0,8\\0,6", "0.8", "nan\\0.6", "0.8\\wide", "1_0\\1", "0.8\\0.6\\1"])
def test_numbers_that_are_none_are_refused(ct: CT, tmp_path: Path, dicom_series: Write, text: str) -> None:
    folder = dicom_series(tmp_path, 1, PixelSpacing=["0.123", "0.456"])
    (path,) = folder.iterdir()
    place = path.read_bytes().replace(b"0.123\\0.456 ", text.encode().ljust(12))
    path.write_bytes(place)
    with pytest.raises(FormatError, match=r"expected 2 finite numbers as PixelSpacing, got .*; repair the header"):
        ct.read(folder)


@pytest.mark.parametrize("value", ["", None], ids=["empty", "absent"])
def test_without_rescale_values_are_as_stored(ct: CT, tmp_path: Path, dicom_series: Write, value: Any) -> None:
    folder = dicom_series(tmp_path, 2, Stored=SIGNED, RescaleSlope=value, RescaleIntercept=value)
    with pytest.warns(LiveactionWarning, match="no RescaleIntercept; stored values are taken for HU"):
        signal = ct.read(folder)
    np.testing.assert_array_equal(signal.values[0, :, :, 0], SIGNED.T)


def test_a_slope_that_is_no_number_is_refused(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    with pytest.raises(FormatError, match="expected a finite number as RescaleSlope, got 'nan'"):
        ct.read(dicom_series(tmp_path, 2, RescaleSlope="nan"))


def test_one_slice_without_thickness_is_said(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    with pytest.warns(LiveactionWarning, match="a slice without thickness; it is taken for 1 mm"):
        assert ct.read(dicom_series(tmp_path, 1)).spacing[2] == pytest.approx(1)


def _words(stored: np.ndarray, bits: int) -> np.ndarray:
    """Two's complement in as many bits as a compressed picture says it has."""
    return (stored.astype(np.int64) & ((1 << bits) - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def _j2k(stored: np.ndarray, bits: int) -> bytes:
    return imagecodecs.jpeg2k_encode(stored, level=0, codecformat="j2k", reversible=True, bitspersample=bits)


def _rle(stored: np.ndarray, bits: int) -> bytes:
    about = {"rows": 6, "columns": 8, "samples_per_pixel": 1, "number_of_frames": 1, "bits_stored": bits}
    about |= {"bits_allocated": 8 * stored.itemsize, "pixel_representation": int(stored.dtype.kind == "i")}
    encoder = get_encoder(uid.RLELossless)
    return encoder.encode(
        stored, encoding_plugin="pydicom", photometric_interpretation="MONOCHROME2", validate=False, **about
    )


ENCODERS: dict[str, Callable[[np.ndarray, int], bytes]] = {
    uid.JPEGLossless: lambda stored, bits: imagecodecs.ljpeg_encode(_words(stored, bits), bitspersample=bits),
    uid.JPEGLosslessSV1: lambda stored, bits: imagecodecs.ljpeg_encode(_words(stored, bits), bitspersample=bits),
    uid.JPEGLSLossless: lambda stored, bits: imagecodecs.jpegls_encode(_words(stored, bits)),
    uid.JPEG2000Lossless: _j2k,
    uid.JPEG2000: lambda stored, bits: _j2k(_words(stored, bits), bits),
    uid.HTJ2KLossless: lambda stored, bits: imagecodecs.htj2k_encode(_words(stored, bits)),
    uid.RLELossless: _rle,
}


@pytest.mark.parametrize("syntax", [pytest.param(each, id=uid.UID(each).keyword) for each in ENCODERS])
@pytest.mark.parametrize(
    ("stored", "bits"),
    [(SIGNED, 16), (SIGNED, 12), (UNSIGNED, 12), (UNSIGNED, 16), (BYTES, 8)],
    ids=["signed", "signed-12", "unsigned-12", "unsigned", "bytes"],
)
def test_compressed_slices_are_read(
    ct: CT, tmp_path: Path, dicom_series: Write, syntax: str, stored: np.ndarray, bits: int
) -> None:
    frame = ENCODERS[syntax](stored, bits)
    folder = dicom_series(tmp_path, 2, Stored=stored, Syntax=syntax, Frame=frame, BitsStored=bits)
    np.testing.assert_array_equal(ct.read(folder).values[0, :, :, 1], stored.T.astype(int) - 1024)


@pytest.mark.parametrize(("syntax", "stored"), [(uid.JPEGBaseline8Bit, BYTES), (uid.JPEGExtended12Bit, UNSIGNED)])
def test_jpeg_slices_are_read(ct: CT, tmp_path: Path, dicom_series: Write, syntax: str, stored: np.ndarray) -> None:
    bits = 8 if stored is BYTES else 12
    frame = imagecodecs.jpeg8_encode(stored, level=100, bitspersample=bits)
    folder = dicom_series(tmp_path, 2, Stored=stored, Syntax=syntax, Frame=frame + b"\xff")
    np.testing.assert_allclose(ct.read(folder).values[0, :, :, 1], stored.T.astype(int) - 1024, atol=3)


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless])
def test_compressed_slices_that_are_cut_are_refused(ct: CT, tmp_path: Path, dicom_series: Write, syntax: str) -> None:
    frame = ENCODERS[syntax](UNSIGNED, 12)
    folder = dicom_series(tmp_path, 2, Syntax=syntax, Frame=frame[: len(frame) * 3 // 4])
    with pytest.raises(FormatError, match=r"expected whole, readable pixel data, got .*; copy it again") as caught:
        ct.read(folder)
    assert "\n" not in str(caught.value)


def test_a_compression_that_is_not_known_is_named(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    folder = dicom_series(tmp_path, 2, Syntax=uid.MPEG2MPML, Frame=b"film")
    with pytest.raises(FormatError, match=r"got 'MPEG2 Main Profile .*'; convert it with dcmdjpeg"):
        ct.read(folder)


@pytest.mark.parametrize(
    "syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian]
)
@pytest.mark.parametrize("stored", [SIGNED, BYTES, SIGNED.astype(np.int32)], ids=["words", "bytes", "long"])
def test_native_slices_are_read(ct: CT, tmp_path: Path, dicom_series: Write, syntax: str, stored: np.ndarray) -> None:
    folder = dicom_series(tmp_path, 2, Syntax=syntax, Stored=stored)
    np.testing.assert_array_equal(ct.read(folder).values[0, :, :, 1], stored.T.astype(int) - 1024)


def test_a_picture_in_fragments_is_read(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    frame = ENCODERS[uid.JPEGLSLossless](UNSIGNED, 12)
    folder = dicom_series(tmp_path, 2, Stored=UNSIGNED, Syntax=uid.JPEGLSLossless, Frame=frame)
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.PixelData = pydicom.encaps.encapsulate([frame], fragments_per_frame=3, has_bot=False)
        data.save_as(path)
    np.testing.assert_array_equal(ct.read(folder).values[0, :, :, 0], UNSIGNED.T.astype(int) - 1024)


@pytest.mark.parametrize("implicit", [True, False])
def test_files_without_a_preamble_are_read(ct: CT, tmp_path: Path, dicom_series: Write, implicit: bool) -> None:
    folder = dicom_series(tmp_path, 3)
    whole = ct.read(folder)
    for path in list(folder.iterdir()):
        data = pydicom.dcmread(path)
        with quiet():
            bare = pydicom.Dataset({element.tag: element for element in data})
            bare.save_as(path.with_suffix(""), implicit_vr=implicit, little_endian=True)
        path.unlink()
    assert ct.find(tmp_path) == [tmp_path]
    np.testing.assert_array_equal(ct.read(folder).values, whole.values)


def test_bits_that_are_not_used_do_not_count(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    folder = dicom_series(tmp_path, 2, Stored=UNSIGNED | np.uint16(0xF000), BitsStored=12)
    np.testing.assert_array_equal(ct.read(folder).values[0, :, :, 0], UNSIGNED.T.astype(int) - 1024)


@pytest.mark.parametrize(
    ("padding", "signed", "bits", "dtype"),
    [
        pytest.param(-2000, True, 16, "int16", id="circle"),
        pytest.param(-32768, True, 16, "int32", id="beyond-int16"),
        pytest.param(-2000, True, 11, "int16", id="beyond-bits-stored"),
        pytest.param(63536, False, 16, "int32", id="unsigned"),
        pytest.param(0, False, 12, "int16", id="zero"),
    ],
)
def test_padding_is_missing_and_comes_back(
    ct: CT, tmp_path: Path, dicom_series: Write, padding: int, signed: bool, bits: int, dtype: str
) -> None:
    stored = (SIGNED if signed else UNSIGNED).clip(1 if not signed else -1000).copy()
    stored[:2] = np.array(padding & 0xFFFF, np.uint16).view(stored.dtype)
    folder = dicom_series(tmp_path, 2, Stored=stored, BitsStored=bits, PixelPaddingValue=padding)
    signal = ct.read(folder)
    assert signal.missing is not None and signal.no_data == padding - 1024 == signal.metadata["padding"]
    assert (signal.dtype, signal.native_bits) == (dtype, 16 * stored.size * 2)
    np.testing.assert_array_equal(signal.missing[0, :, :, 1], (stored == stored[0, 0]).T)
    there = stored.astype(int) - 1024
    there[:2] = padding - 1024
    np.testing.assert_array_equal(signal.values[0, :, :, 1], there.T)
    ct.write(signal, tmp_path / "back.nii")
    np.testing.assert_array_equal(np.asarray(nibabel.load(tmp_path / "back.nii").dataobj), signal.values[0])


def test_padding_that_is_nowhere_changes_nothing(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    signal = ct.read(dicom_series(tmp_path, 2, Stored=SIGNED, PixelPaddingValue=-32768))
    assert (signal.missing, signal.dtype, signal.values.dtype) == (None, "int16", np.int16)


def test_a_range_of_padding_comes_back_as_one_value_aloud(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    stored = SIGNED.copy()
    stored[0], stored[1] = -2000, -1900
    folder = dicom_series(tmp_path, 2, Stored=stored, PixelPaddingValue=-1900, PixelPaddingRangeLimit=-2000)
    with pytest.warns(LiveactionWarning, match="padding of 2 values; all of it comes back as -3024"):
        signal = ct.read(folder)
    assert signal.missing is not None and np.count_nonzero(signal.missing) == 2 * 2 * 8
    assert np.unique(signal.values[signal.missing]).tolist() == [-3024]


@pytest.mark.parametrize("step", [0.625, 0.4, 1.25])
def test_positions_rounded_to_a_tenth_are_even(ct: CT, tmp_path: Path, dicom_series: Write, step: float) -> None:
    flat = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    folder = dicom_series(tmp_path, 24, ImagePositionPatient=lambda i: [0, 0, f"{step * i:.1f}"], **flat)
    assert ct.read(folder).spacing[2] == pytest.approx(step, abs=0.1 / 23)


@pytest.mark.parametrize(
    ("places", "words"),
    [
        pytest.param([f"{0.625 * i:.1f}" for i in range(12) if i != 6], "a missing slice", id="missing-of-rounded"),
        pytest.param([f"{0.2 * i:.1f}" for i in (0, 1, 3)], "a missing slice", id="missing-of-thin"),
        pytest.param([f"{2.5 * i + 0.08 * (i == 3):.2f}" for i in range(6)], "uneven spacing", id="shifted"),
        pytest.param(["0", "1", "3", "4"], "uneven spacing", id="whole-numbers"),
    ],
)
def test_real_gaps_are_refused(ct: CT, tmp_path: Path, dicom_series: Write, places: list[str], words: str) -> None:
    flat = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    folder = dicom_series(tmp_path, len(places), ImagePositionPatient=lambda i: [0, 0, places[i]], **flat)
    with pytest.raises(FormatError, match=words):
        ct.read(folder)


def test_padding_that_some_slices_name_is_missing_in_all(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    stored = np.where(RANDOM.random((6, 8)) < 0.3, -2000, SIGNED).astype(np.int16)
    tags = {"Stored": stored, "PixelPaddingValue": lambda i: -2000 if i == 1 else None, "RescaleIntercept": 0}
    signal = ct.read(dicom_series(tmp_path, 3, **tags))
    assert signal.missing is not None and signal.no_data == -2000
    np.testing.assert_array_equal(signal.missing[0], np.repeat((stored == -2000).T[:, :, np.newaxis], 3, 2))
