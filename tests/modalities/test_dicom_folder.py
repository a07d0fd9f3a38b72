"""Folders of DICOM files as scanners and archives leave them: every series is found, all else is named."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import uid

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.modalities.third_party import quiet
from liveaction.modalities.volume.ct import CT
from liveaction.modalities.volume.mri import MRI
from liveaction.recipe import load_recipe

Write = Callable[..., Path]
MR: dict[str, Any] = {"SOPClassUID": uid.MRImageStorage, "Modality": "MR", "SeriesInstanceUID": "1.2.9"}
SCOUT: dict[str, Any] = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "SliceThickness": 5}


@pytest.fixture(scope="module")
def ct() -> CT:
    return CT(load_recipe("ct_smoke").modality)


@pytest.fixture(scope="module")
def mri() -> MRI:
    return MRI(load_recipe("mri_smoke").modality)


def _flat(folder: Path, write: Write, **series: dict[str, Any]) -> Path:
    """Series in one folder, their files named after them."""
    for name, tags in series.items():
        for path in write(folder / ".part", **tags).iterdir():
            path.rename(folder / f"{name}{path.name}")
    shutil.rmtree(folder / ".part")
    return folder


def _other(path: Path, kind: str, **tags: Any) -> Path:
    """A DICOM file that is no slice."""
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID, data.SeriesInstanceUID = kind, "1.2.3", "1.2.4"
    for name, value in tags.items():
        setattr(data, name, value)
    with quiet():
        data.save_as(path, enforce_file_format=True)
    return path


def _index(path: Path) -> None:
    """A DICOMDIR, its class in the file's meta header alone."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = uid.MediaStorageDirectoryStorage, "1.2.3"
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    data = pydicom.Dataset()
    data.file_meta, data.FileSetID = meta, "A"
    data.save_as(path, enforce_file_format=True)


def test_series_of_one_folder_are_items_of_their_own(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    one, two = ({"SeriesInstanceUID": f"1.2.{n}", "SeriesNumber": n, "Stored": None} for n in (10, 9))
    folder = _flat(tmp_path, dicom_series, a=one | {"count": 3}, b=two | {"RescaleIntercept": 0})
    found = ct.find(folder)
    assert found == [folder / "1.2.10", folder / "1.2.9"]
    assert [[part.name[0] for part in ct.parts(path)] for path in found] == [["a"] * 3, ["b"] * 5]
    signals = [ct.read(path) for path in found]
    assert [signal.shape for signal in signals] == [(8, 6, 3), (8, 6, 5)]
    assert signals[0].values.min() < -900 and signals[1].values.min() >= 0
    np.testing.assert_array_equal(ct.read(folder / "9").values, signals[1].values)
    assert ct.find(folder / "9") == ct.find(folder / "1.2.9") == [folder / "1.2.9"]
    with pytest.raises(FormatError, match="expected one DICOM series, got 2") as caught:
        ct.read(folder)
    words = "2 series: 1.2.9 (number 9, CT, 5 slices from 'b00.dcm'), 1.2.10 (number 10, CT, 3 slices from 'a00.dcm')"
    assert words.replace("from '", f"from '{folder.name}/") in str(caught.value)
    assert f"choose one with --series, or give '{folder}/1.2.9'" in str(caught.value)
    assert "ecret" not in str(caught.value)


def test_a_number_or_uid_that_names_none_is_answered_with_those_there_are(
    ct: CT, tmp_path: Path, dicom_series: Write
) -> None:
    tags = [{"SeriesInstanceUID": f"1.2.{n}", "SeriesNumber": 3} for n in (1, 2)]
    _flat(tmp_path, dicom_series, a=tags[0], b=tags[1])
    for name in ("3", "4", "1.2.3"):
        with pytest.raises(FormatError, match=f"a number that one alone has, got '{name}' among 2 series: 1.2.1 .*;"):
            ct.read(tmp_path / name)


def test_a_scout_above_two_series_is_named(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    dicom_series(tmp_path, 1, **SCOUT, SeriesInstanceUID="1.2.7")
    one, two = dicom_series(tmp_path / "s1"), dicom_series(tmp_path / "s2")
    with pytest.warns(LiveactionWarning, match=r"left out 1 series: 1\.2\.7 \(no number, CT localizer, 1 slice from"):
        assert ct.find(tmp_path) == [one, two]
    with pytest.raises(FormatError, match=r"got 1 series: 1\.2\.7 .*; give the folder of its scan, or .*1\.2\.7'"):
        ct.read(tmp_path)
    assert ct.read(tmp_path / "1.2.7").shape == (8, 6, 1)


def test_a_scout_among_the_slices_of_its_series_is_set_aside(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    tags = {"SeriesInstanceUID": "1.2.7"}
    folder = _flat(tmp_path, dicom_series, a=tags, scout=tags | SCOUT | {"count": 1, "Rows": 3})
    with pytest.warns(LiveactionWarning, match="left out 1 series: .* localizer"):
        assert ct.find(folder) == [folder / "1.2.7"]
    assert ct.read(folder / "1.2.7").shape == (8, 6, 5)
    with pytest.warns(LiveactionWarning, match="left out 1 series: .* localizer"):
        assert ct.read(folder).shape == (8, 6, 5)


def test_an_index_is_left_out_by_its_class(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    series = dicom_series(tmp_path / "s1")
    for folder in (tmp_path, series):
        _index(folder / "DIRFILE")
    assert ct.find(tmp_path) == ct.find(series) == [series]
    assert ct.read(series).shape == (8, 6, 5)
    assert series / "DIRFILE" not in ct.parts(series)


def test_an_index_alone_is_no_volume(ct: CT, tmp_path: Path) -> None:
    _index(tmp_path / "DIRFILE")
    with pytest.raises(FormatError, match="got an index alone; check what was copied there"):
        ct.find(tmp_path)


def test_nifti_beside_slices_is_found(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    folder = dicom_series(tmp_path, SeriesInstanceUID="1.2.3")
    images = [folder / "a.nii.gz", folder / "b.nii"]
    for image in images:
        ct.write(ct.synthetic(0, (4, 5, 6)), image)
    assert ct.find(folder) == [folder / "1.2.3", *images]
    with pytest.raises(FormatError, match=r"got 1 series: 1\.2\.3 .*, 2 NIfTI files; choose one"):
        ct.read(folder)


def test_what_is_no_slice_is_named_by_its_class(ct: CT, mri: MRI, tmp_path: Path, dicom_series: Write) -> None:
    folder = _flat(tmp_path, dicom_series, a={"SeriesInstanceUID": "1.2.3"}, m=MR)
    _other(folder / "r.dcm", uid.BasicTextSRStorage)
    for name in "cd":
        _other(folder / name, uid.SecondaryCaptureImageStorage, Rows=3, Columns=3)
    _other(folder / "dose", uid.RTDoseStorage, Rows=3, ImagePositionPatient=[0, 0, 0],
           ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[1, 1])  # fmt: skip
    for modality, kept, left in ((ct, "1.2.3", "1.2.9 (no number, MR"), (mri, "1.2.9", "1.2.3 (no number, CT")):
        with pytest.warns(LiveactionWarning) as caught:
            assert modality.find(folder) == [folder / kept]
        (said,) = (str(warning.message) for warning in caught)
        assert f"left out 1 series: {left}" in said and "\n" not in said
        assert f"2 files of 'Secondary Capture Image Storage' from '{folder.name}/c'" in said
        assert f"1 file of 'Basic Text SR Storage' from '{folder.name}/r.dcm'" in said and "'RT Dose Storage'" in said
    with pytest.raises(FormatError, match=r"1\.2\.9: expected a series in HU, got .*; take a recipe for MRI, such"):
        ct.read(folder / "1.2.9")


def test_a_file_that_cannot_be_read_may_be_a_slice_of_any(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    tags = [{"SeriesInstanceUID": f"1.2.{n}"} for n in (1, 2)]
    _flat(tmp_path, dicom_series, a=tags[0], b=tags[1])
    (tmp_path / "broken.dcm").write_bytes(b"DICM")
    dicom_series(tmp_path / "good")
    assert ct.find(tmp_path) == [tmp_path / name for name in ("1.2.1", "1.2.2", "good")]
    with pytest.raises(FormatError, match=r"broken\.dcm: expected a DICOM header, got .*; remove or replace it"):
        ct.read(tmp_path / "1.2.1")
    assert ct.read(tmp_path / "good").shape == (8, 6, 5)


def test_a_file_that_ends_within_its_header_is_no_series_of_its_own(
    ct: CT, tmp_path: Path, dicom_series: Write
) -> None:
    folder = dicom_series(tmp_path, SeriesInstanceUID="1.2.34567890", ContentTime=b"120000")
    path = folder / "00.dcm"
    data = path.read_bytes()
    for end in (data.index(b"1.2.34567890") + 5, data.index(b"120000") + 2):  # of what is read, of what is not
        path.write_bytes(data[:end])
        with pytest.raises(FormatError, match=r"00\.dcm: .* a header that ends within an element; remove"):
            ct.read(folder)


def test_a_deflated_file_that_is_cut_is_one_line(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    path = dicom_series(tmp_path, 2, Syntax=uid.DeflatedExplicitVRLittleEndian) / "00.dcm"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FormatError, match=r"00\.dcm: expected a DICOM header, got .*; remove or replace it"):
        ct.read(tmp_path)


def test_a_broken_file_alone_is_an_item_that_fails(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    good = dicom_series(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.dcm").write_text("words")
    assert ct.find(tmp_path) == [tmp_path / "bad", good]
    with pytest.raises(FormatError, match=r"a\.dcm: expected a DICOM header"):
        ct.read(tmp_path / "bad")


def test_a_folder_called_as_a_series_above_it_is_refused(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    _flat(tmp_path, dicom_series, a={"SeriesInstanceUID": "1.2.1"}, b={"SeriesInstanceUID": "1.2.2"})
    dicom_series(tmp_path / "1.2.2")
    with pytest.raises(FormatError, match="expected a series or a folder of that name, got both; move one elsewhere"):
        ct.find(tmp_path)


def test_a_file_may_be_called_as_its_series(ct: CT, tmp_path: Path, dicom_series: Write) -> None:
    folder = _flat(tmp_path, dicom_series, a={"SeriesInstanceUID": "1.2.1"}, b={"SeriesInstanceUID": "1.2.2"})
    (folder / "a00.dcm").rename(folder / "1.2.1")
    assert ct.find(folder) == [folder / "1.2.1", folder / "1.2.2"]
    assert ct.read(folder / "1.2.1").shape == (8, 6, 5)


def test_slices_of_many_frames_are_refused_with_the_way_out(ct: CT, tmp_path: Path) -> None:
    _other(tmp_path / "e.dcm", uid.EnhancedCTImageStorage, Modality="CT", Rows=3, Columns=3, NumberOfFrames=20)
    assert ct.find(tmp_path) == [tmp_path]
    with pytest.raises(FormatError, match="expected one frame per file, got 20; convert it to single-frame files"):
        ct.read(tmp_path)
    _other(tmp_path / "e.dcm", uid.EnhancedCTImageStorage, Modality="CT", Rows=3, Columns=3, NumberOfFrames=1)
    with pytest.raises(FormatError, match="one frame per file, got one in an enhanced file; convert it"):
        ct.read(tmp_path)


@pytest.mark.parametrize(
    ("tags", "in_hu"),
    [
        ({"Modality": "PT", "SOPClassUID": uid.PositronEmissionTomographyImageStorage}, False),
        ({"RescaleType": "MGML"}, False),
        ({"RescaleType": "HU", "Modality": "OT"}, True),
        ({"Modality": None}, True),
        ({"Modality": "NM", "SOPClassUID": uid.SecondaryCaptureImageStorage}, False),
    ],
    ids=["pet", "iodine", "said", "by-class", "nuclear"],
)
def test_a_series_goes_where_its_unit_is(
    ct: CT, mri: MRI, tmp_path: Path, dicom_series: Write, tags: dict[str, Any], in_hu: bool
) -> None:
    folder = dicom_series(tmp_path, **tags)
    right, wrong, recipe = (ct, mri, "CT, such as ct_light") if in_hu else (mri, ct, "MRI, such as mri_light")
    signal = right.read(folder)
    assert right.find(folder) == [folder] and signal.shape == (8, 6, 5)
    assert signal.unit == {"MGML": "MGML"}.get(tags.get("RescaleType", ""), right.spec.unit)
    for call in (wrong.find, wrong.read):
        with pytest.raises(FormatError, match=f"got 1 series: .*; take a recipe for {recipe}"):
            call(folder)
