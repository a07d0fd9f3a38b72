"""DICOM series: they lie where their tags say, and a damaged one is refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.mapped import is_mapped
from liveaction.modalities.third_party import quiet
from liveaction.modalities.volume.ct import CT
from liveaction.modalities.volume.dicom_header import read_header
from liveaction.modalities.volume.dicom_pixels import read_plane
from liveaction.spec import ModalitySpec

Write = Callable[..., Path]
SPEC = ModalitySpec(name="ct", axes=("x", "y", "z"), channels=1, unit="HU", range=(-1024, 3071))
ROW, COLUMN = np.array([0.96, 0.28, 0.0]), np.array([-0.224, 0.768, -0.6])  # orthonormal, oblique


@pytest.fixture
def ct() -> CT:
    return CT(SPEC)


def _header(path: Path) -> Any:
    """The header as it lies on disk: nibabel hides slope and intercept of a loaded image."""
    kind = type(nibabel.load(path).header)
    with nibabel.openers.ImageOpener(path) as file:
        return kind.from_fileobj(file)


def _edit(path: Path, **tags: Any) -> None:
    data = pydicom.dcmread(path)
    with quiet():
        for name, value in tags.items():
            setattr(data, name, value)
        data.save_as(path)


def _expected(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """HU and affine straight from the tags (PS3.3 C.7.6.2.1.1), independent of the reader."""
    slices = [pydicom.dcmread(path) for path in folder.iterdir()]
    row, column = np.split(np.array(slices[0].ImageOrientationPatient, dtype=float), 2)
    slices.sort(key=lambda s: float(np.cross(row, column) @ np.array(s.ImagePositionPatient, dtype=float)))
    first, last = (np.array(s.ImagePositionPatient, dtype=float) for s in (slices[0], slices[-1]))
    down, across = (float(n) for n in slices[0].PixelSpacing)
    lps = np.eye(4)
    lps[:3] = np.stack([row * across, column * down, (last - first) / (len(slices) - 1), first], axis=1)
    hu = np.stack(
        [s.pixel_array.T.astype(int) * int(s.RescaleSlope) + int(s.RescaleIntercept) for s in slices], axis=-1
    )
    return hu, np.diag([-1, -1, 1, 1]) @ lps


def test_dicom_lies_where_its_tags_say(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    folder = dicom_series(tmp_path / "series")
    signal = ct.read(folder)
    hu, affine = _expected(folder)
    np.testing.assert_array_equal(signal.values[0], hu)
    np.testing.assert_allclose(signal.metadata["affine"], affine, atol=1e-5)
    np.testing.assert_allclose(signal.spacing, (0.7, 0.9, 2.5), atol=1e-5)
    assert (signal.dtype, signal.values.dtype, signal.shape) == ("int16", np.int16, (8, 6, 5))
    assert signal.metadata["kernel"] == "B\\C"
    assert "ecret" not in json.dumps(signal.metadata)


@pytest.mark.parametrize("tags", [{}, {"RescaleSlope": "0.37", "RescaleIntercept": "-1000.1"}], ids=["whole", "share"])
@pytest.mark.filterwarnings("ignore:.*rescaled values are not whole")
def test_monai_reads_dicom_alike(ct: CT, tmp_path: Path, tags: dict[str, str], dicom_series: Write) -> None:
    with quiet():
        from monai.data import PydicomReader
    signal = ct.read(dicom_series(tmp_path, 1, SliceThickness=1, **tags))
    reader = PydicomReader()
    plane, metadata = reader.get_data(reader.read(next(tmp_path.iterdir())))
    header = read_header(next(tmp_path.iterdir()))
    np.testing.assert_array_equal(read_plane(header).values * header.rescale[0] + header.rescale[1], plane)
    np.testing.assert_array_equal(signal.values[0, :, :, 0], np.rint(plane))
    ours, theirs = np.array(signal.metadata["affine"]), np.array(metadata["affine"])
    np.testing.assert_array_equal(ours[:, [0, 1, 3]], theirs[:, [0, 1, 3]])  # MONAI has no step between slices here


def test_dicom_is_written_as_nifti(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    signal = ct.read(dicom_series(tmp_path / "series"))
    ct.write(signal, tmp_path / "a.nii.gz")
    header = _header(tmp_path / "a.nii.gz")
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    assert (header.get_xyzt_units()[0], header.get_data_dtype()) == ("mm", np.int16)
    np.testing.assert_allclose(header.get_sform(), signal.metadata["affine"], atol=1e-4)
    np.testing.assert_allclose(header.get_qform(), signal.metadata["affine"], atol=1e-4)
    np.testing.assert_array_equal(ct.read(tmp_path / "a.nii.gz").values, signal.values)


def test_a_tilted_gantry_keeps_its_shear(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    folder = dicom_series(tmp_path / "series")
    for path in folder.iterdir():
        i = int(path.stem[1])
        _edit(
            path,
            ImagePositionPatient=[10.0, -20.0 + 0.5 * i, 30.0 + 2.5 * i],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )
    signal = ct.read(folder)
    ct.write(signal, tmp_path / "a.nii")
    assert int(_header(tmp_path / "a.nii")["qform_code"]) == 0
    np.testing.assert_allclose(nibabel.load(tmp_path / "a.nii").affine, _expected(folder)[1], atol=1e-4)


def test_one_slice_is_as_thick_as_it_says(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    signal = ct.read(dicom_series(tmp_path / "series", count=1, SliceThickness=4))
    np.testing.assert_allclose(signal.spacing, (0.7, 0.9, 4), atol=1e-6)
    np.testing.assert_allclose(
        np.array(signal.metadata["affine"])[:3, 2], np.cross(ROW, COLUMN) * (-4, -4, 4), atol=1e-6
    )


def test_large_folders_are_read_alike(
    ct: CT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dicom_series: Write
) -> None:
    dicom_series(tmp_path)
    small = ct.read(tmp_path)
    monkeypatch.setattr("liveaction.mapped.LARGE", 8)
    large = ct.read(tmp_path)
    assert is_mapped(large.values) and not is_mapped(small.values)
    np.testing.assert_array_equal(large.values, small.values)
    assert (large.values.dtype, large.metadata) == (small.values.dtype, small.metadata)


def test_values_between_hu_are_rounded_aloud(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    folder = dicom_series(tmp_path / "series", RescaleSlope=0.5)
    with pytest.warns(LiveactionWarning, match="rescaled values are not whole"):
        assert ct.read(folder).values.dtype == np.int16


def test_sample_dicom_lies_where_its_tags_say(ct: CT, data_dir: Path) -> None:
    folder = data_dir / "ct" / "lung_dx_A0001_dicom"
    signal = ct.read(folder)
    hu, affine = _expected(folder)
    np.testing.assert_array_equal(signal.values[0], hu)
    np.testing.assert_allclose(signal.metadata["affine"], affine, atol=1e-6)
    assert signal.metadata["orientation"] == "LPS"


def _edit_one(**tags: Any) -> Any:
    return lambda folder: _edit(sorted(folder.iterdir())[1], **tags)


def _cut(path: Path, keep: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def _double(folder: Path) -> None:
    first = min(folder.iterdir())
    (folder / "copy.dcm").write_bytes(first.read_bytes())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(_edit_one(SeriesInstanceUID="1.2.3"), "expected one DICOM series, got 2", id="mixed"),
        pytest.param(_edit_one(PixelSpacing=[1, 1]), r"expected PixelSpacing \[0.9, 0.7\] as in", id="spacing"),
        pytest.param(
            _edit_one(PixelSpacing=[1]), "expected 2 finite numbers as PixelSpacing, got '1.0'", id="one-spacing"
        ),
        pytest.param(_edit_one(Rows=3), "expected Rows 6 as in '00.dcm', got 3", id="rows"),
        pytest.param(_edit_one(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]), "expected orientation", id="orientation"),
        pytest.param(_edit_one(PixelSpacing=[0, 1]), "expected positive spacing and two directions", id="flat"),
        pytest.param(
            _edit_one(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]),
            "two directions of length 1 at a right",
            id="parallel",
        ),
        pytest.param(_edit_one(RescaleSlope=0), "expected a RescaleSlope other than 0, got '0", id="slope"),
        pytest.param(_edit_one(BitsStored=17), "expected BitsStored and HighBit within 16 bits, got 17", id="bits"),
        pytest.param(_edit_one(BitsAllocated=12), "expected 8, 16 or 32 bits for each value", id="allocated"),
        pytest.param(_edit_one(SeriesInstanceUID="../x"), "SeriesInstanceUID of digits and dots, got '../x'", id="uid"),
        pytest.param(_edit_one(RescaleIntercept=-40000), "HU, got -39[0-9]*; if that is padding, name", id="below"),
        pytest.param(_edit_one(NumberOfFrames=4), "expected one frame per file, got 4", id="frames"),
        pytest.param(_edit_one(SamplesPerPixel=3), r"got 3 of MONOCHROME2 \(a colour image\)", id="colour"),
        pytest.param(_edit_one(PhotometricInterpretation="PALETTE COLOR"), "got 1 of PALETTE COLOR", id="palette"),
        pytest.param(_edit_one(ImageType=["ORIGINAL", "MOSAIC"]), "one slice per file, got a mosaic", id="mosaic"),
        pytest.param(_edit_one(PixelRepresentation=None), "got no PixelRepresentation; remove it", id="no-sign"),
        pytest.param(_edit_one(Rows=0), "got no Rows; remove it", id="no-rows"),
        pytest.param(_edit_one(ImagePositionPatient=None), "got no ImagePositionPatient", id="no-position"),
        pytest.param(_edit_one(PixelData=b"12"), "expected whole, readable pixel data", id="short"),
        pytest.param(_edit_one(RescaleSlope=100), "expected at most 32767 HU", id="out-of-range"),
        pytest.param(lambda f: (f / "42.dcm").unlink(), r"\(a missing slice or uneven spacing\)", id="missing"),
        pytest.param(_double, "expected slices at different places", id="doubled"),
        pytest.param(lambda f: _cut(f / "00.dcm", 0.95), "expected whole, readable pixel data", id="truncated"),
        pytest.param(lambda f: (f / "42.dcm").write_text("no"), "expected a DICOM header", id="text"),
    ],
)
def test_damaged_series_are_refused(ct: CT, tmp_path: Path, damage: Any, words: str, dicom_series: Write) -> None:
    folder = dicom_series(tmp_path / "series")
    damage(folder)
    with pytest.raises(FormatError, match=words) as caught:
        ct.read(folder)
    assert "\n" not in str(caught.value)


def test_find(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    (tmp_path / "b").mkdir()
    one, two = tmp_path / "b" / "one.nii.gz", tmp_path / "two.NII"
    for path in (one, two):
        path.write_bytes(b"")
    series = dicom_series(tmp_path / "a" / "series")
    bare = dicom_series(tmp_path / "c")
    for path in list(bare.iterdir()):
        path.rename(path.with_suffix(""))
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.nii").write_text("x")
    assert ct.find(two) == [two]
    assert ct.find(series) == [series]
    assert ct.find(bare) == [bare]
    assert ct.find(tmp_path) == sorted([one, two, series, bare])


def test_a_lone_dicom_file_is_answered_with_the_way_out(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    folder = dicom_series(tmp_path / "series")
    for call in (ct.find, ct.read):
        with pytest.raises(FormatError, match="give the folder of its series"):
            call(folder / "00.dcm")


def test_a_folder_without_slices_is_no_series(ct: CT, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="expected DICOM files of one series in HU, got none"):
        ct.read(tmp_path)
