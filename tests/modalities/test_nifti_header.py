"""Headers of NIfTI: what a region keeps, extensions, scaling, and files that are not what they say."""

import gzip
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Extension

from liveaction import mapped as signals
from liveaction.errors import FormatError, LiveactionWarning
from liveaction.mapped import is_mapped
from liveaction.modalities.base import Modality
from liveaction.modalities.volume import nifti_header
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal

SFORM = np.array([[-0.7, 0.02, 0.1, 90.5], [0.03, -0.8, 0.2, -40.25], [0.05, 0.1, 2.5, 600.0], [0, 0, 0, 1]])
QFORM = np.array([[0.8, 0, 0, -7], [0, 0, 0.9, 5], [0, -1.1, 0, 3], [0, 0, 0, 1.0]])


def _modality(kind: str) -> Modality:
    return build_modality(load_recipe("ct_klt" if kind == "ct" else f"{kind}_smoke").modality)


def _image(shape: tuple[int, ...] = (7, 6, 5), dtype: str = "int16", kind: Any = nibabel.Nifti1Image) -> Any:
    image = kind(np.random.default_rng(0).integers(0, 100, shape).astype(dtype), SFORM, dtype=np.dtype(dtype))
    image.set_qform(QFORM, code=1)
    image.set_sform(SFORM, code=2)
    return image


def _region(modality: Modality, signal: Signal, *box: tuple[int, int]) -> Signal:
    return modality.cropped(signal.crop(*(slice(*ends) for ends in box)), box, signal.shape)


def _first_bytes(path: Path) -> bytes:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data)[:1000]


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image], ids=["nifti1", "nifti2"])
@pytest.mark.parametrize("codes", [(1, 2), (0, 3), (1, 0)])
def test_a_region_keeps_both_forms_and_codes_moved(tmp_path: Path, kind: Any, codes: tuple[int, int]) -> None:
    image = _image(kind=kind)
    image.header["qform_code"], image.header["sform_code"] = codes
    image.header["descrip"] = b"kept"
    nibabel.save(kind(image.dataobj, None, image.header), tmp_path / "a.nii")
    ct = _modality("ct")
    part = _region(ct, _region(ct, ct.read(tmp_path / "a.nii"), (1, 7), (0, 6), (0, 4)), (1, 5), (3, 6), (1, 3))
    ct.write(part, tmp_path / "b.nii")
    found = nibabel.load(tmp_path / "b.nii")
    assert (int(found.header["qform_code"]), int(found.header["sform_code"])) == codes
    assert found.shape == (4, 3, 2) and found.header["descrip"].item() == b"kept"
    for code, form, before in zip(codes, (found.get_qform(), found.get_sform()), (QFORM, SFORM), strict=True):
        if code:
            np.testing.assert_allclose(form[:, 3], before @ [2, 3, 1, 1], atol=1e-4)
            np.testing.assert_allclose(form[:3, :3], before[:3, :3], atol=1e-5)
    np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(image.dataobj)[2:6, 3:6, 1:3])


def test_a_region_without_a_code_and_another_affine_take_the_sform(tmp_path: Path) -> None:
    image = _image()
    image.header["qform_code"] = image.header["sform_code"] = 0
    nibabel.save(nibabel.Nifti1Image(image.dataobj, None, image.header), tmp_path / "a.nii")
    ct = _modality("ct")
    signal = ct.read(tmp_path / "a.nii")
    part = _region(ct, signal, (2, 6), (0, 6), (0, 5))
    for changed in (part, replace(signal, metadata={**signal.metadata, "affine": np.diag([2.0, 3, 4, 1]).tolist()})):
        ct.write(changed, tmp_path / "b.nii")
        np.testing.assert_allclose(nibabel.load(tmp_path / "b.nii").affine, changed.metadata["affine"], rtol=1e-6)
        assert int(nibabel.load(tmp_path / "b.nii").header["sform_code"]) == 2


def test_forms_that_place_nothing(tmp_path: Path) -> None:
    image, ct = _image(), _modality("ct")
    image.header["quatern_b"] = 9
    nibabel.save(nibabel.Nifti1Image(image.dataobj, None, image.header), tmp_path / "a.nii")
    part = _region(ct, ct.read(tmp_path / "a.nii"), (2, 6), (0, 6), (0, 5))
    ct.write(part, tmp_path / "b.nii")
    found = nibabel.load(tmp_path / "b.nii")
    assert (int(found.header["qform_code"]), int(found.header["sform_code"])) == (0, 2)
    np.testing.assert_allclose(found.affine[:, 3], SFORM @ [2, 0, 0, 1], atol=1e-4)
    for code, row, words in ((0, SFORM[0], "w2 should be positive"), (2, [2e38] * 4, "three independent axes")):
        image.header["sform_code"], image.header["srow_x"] = code, row
        nibabel.save(nibabel.Nifti1Image(image.dataobj, None, image.header), tmp_path / "a.nii")
        with pytest.raises(FormatError, match=words):
            ct.read(tmp_path / "a.nii")


def test_times_stay_where_they_still_hold(tmp_path: Path) -> None:
    image = _image((6, 5, 4, 7))
    header = image.header
    header.set_xyzt_units("mm", "sec")
    header.set_dim_info(slice=2)
    header["pixdim"][4], header["toffset"], header["slice_code"], header["slice_duration"] = 2, 0.5, 3, 0.5
    header["slice_end"] = 3
    nibabel.save(image, tmp_path / "a.nii")
    series = _modality("series")
    signal = series.read(tmp_path / "a.nii")
    for z, code in (((0, 4), 3), ((1, 4), 0)):
        series.write(_region(series, signal, (3, 7), (0, 6), (1, 5), z), tmp_path / "b.nii")
        found = nibabel.load(tmp_path / "b.nii").header
        assert (int(found["slice_code"]), int(found["slice_end"])) == (code, code)
        assert (float(found["toffset"]), float(found["pixdim"][4]), float(found["slice_duration"])) == (6.5, 2, 0.5)
        assert found.get_dim_info() == (None, None, 2)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image], ids=["nifti1", "nifti2"])
def test_extensions_come_back_byte_by_byte(tmp_path: Path, kind: Any, ending: str, byte_order: str) -> None:
    image = _image(kind=kind)
    image = kind(image.dataobj, SFORM, image.header.as_byteswapped(byte_order))
    image.header.extensions.append(Nifti1Extension("comment", b"said by hand"))
    image.header.extensions.append(Nifti1Extension("afni", b"<AFNI_attributes />" * 40))
    nibabel.save(image, tmp_path / f"a{ending}")
    ct = _modality("ct")
    ct.write(ct.read(tmp_path / f"a{ending}"), tmp_path / f"b{ending}")
    assert _first_bytes(tmp_path / f"a{ending}") == _first_bytes(tmp_path / f"b{ending}")
    found = nibabel.load(tmp_path / f"b{ending}")
    assert [entry.get_code() for entry in found.header.extensions] == [6, 4]
    np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(image.dataobj))


def test_long_extensions_are_left_out_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = _image()
    image.header.extensions.append(Nifti1Extension("comment", b"x" * 500))
    nibabel.save(image, tmp_path / "a.nii")
    ct = _modality("ct")
    kept = ct.read(tmp_path / "a.nii")
    for module in (nifti_header, __import__("liveaction.modalities.volume.nifti", fromlist=["nifti"])):
        monkeypatch.setattr(module, "LONGEST_EXTENSIONS", 400)
    with pytest.warns(LiveactionWarning, match="a.nii: header extensions are left out, at most 400 bytes of them are"):
        signal = ct.read(tmp_path / "a.nii")
    ct.write(signal, tmp_path / "b.nii")
    assert not nibabel.load(tmp_path / "b.nii").header.extensions
    np.testing.assert_array_equal(np.asarray(nibabel.load(tmp_path / "b.nii").dataobj), np.asarray(image.dataobj))
    with pytest.raises(FormatError, match="expected metadata with at most 400 bytes of header extensions, got more"):
        ct.write(kept, tmp_path / "b.nii")
    with pytest.raises(FormatError, match="expected metadata with a NIfTI header"):
        ct.write(replace(kept, metadata={**kept.metadata, "header_extensions": "AAAA"}), tmp_path / "b.nii")


@pytest.mark.parametrize(("slope", "inter"), [(0, 0), (0, 7), (np.nan, np.nan), (np.nan, 0), (np.inf, 3)])
def test_a_slope_of_0_or_nan_scales_nothing_and_comes_back(tmp_path: Path, slope: float, inter: float) -> None:
    nibabel.save(_image(), tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[112:120] = struct.pack("<ff", slope, inter)
    (tmp_path / "a.nii").write_bytes(data)
    ct = _modality("ct")
    signal = ct.read(tmp_path / "a.nii")
    assert signal.values.dtype == np.int16
    ct.write(signal, tmp_path / "b.nii")
    assert (tmp_path / "b.nii").read_bytes() == bytes(data)


def test_stripped_metadata_place_and_scale_the_samples_alone(tmp_path: Path) -> None:
    image = _image((6, 5, 4, 3), "uint16")
    for key in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[key] = b"a name"
    image.header["cal_max"], image.header["pixdim"][4] = 7, 2.5
    image.header.extensions.append(Nifti1Extension("comment", b"a name"))
    image.header.set_slope_inter(1, -5)
    nibabel.save(image, tmp_path / "a.nii")
    series = _modality("series")
    signal = series.read(tmp_path / "a.nii")
    series.write(series.stripped(signal), tmp_path / "b.nii")
    back = series.read(tmp_path / "b.nii")
    assert b"a name" not in (tmp_path / "b.nii").read_bytes()
    np.testing.assert_array_equal(back.values, signal.values)
    found, before = nibabel.load(tmp_path / "b.nii").header, image.header
    assert (back.spacing, back.dtype, float(found["cal_max"])) == (signal.spacing, "uint16", 0)
    for key in ("qform_code", "sform_code", "srow_x", "qoffset_x", "pixdim", "xyzt_units"):
        np.testing.assert_array_equal(found[key], before[key])


def _cifti(path: Path) -> None:
    image = _image((1, 1, 1, 1, 6, 6), "float32", nibabel.Nifti2Image)
    image.header["intent_code"] = 3001
    nibabel.save(image, path)


def _pair(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(np.zeros((3, 3, 3), np.int16), np.eye(4)), path.with_suffix(".img"))
    path.with_suffix(".hdr").rename(path)


def _analyze(path: Path) -> None:
    nibabel.save(nibabel.AnalyzeImage(np.zeros((3, 3, 3), np.int16), np.eye(4)), path.with_suffix(".img"))
    path.with_suffix(".hdr").rename(path)


def _changed(at: int, form: str, *values: Any, shape: tuple[int, ...] = (7, 6, 5)) -> Any:
    def make(path: Path) -> None:
        nibabel.save(_image(shape), path.with_name("other.nii"))
        data = bytearray(path.with_name("other.nii").read_bytes())
        struct.pack_into(form, data, at, *values)
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)

    return make


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        pytest.param("a.nii", _cifti, "a volume, got CIFTI-2 .* as with wb_command -cifti-separate", id="cifti"),
        pytest.param("a.nii", _pair, r"in one, got the header of a pair \(.hdr, .img\); convert it", id="pair"),
        pytest.param("a.nii", _analyze, "in one, got an Analyze header; convert it", id="analyze"),
        pytest.param("a.nii", _changed(40, "<hh", 3, 0), r"got shape \(0, 6, 5\)", id="no-extent"),
        pytest.param("a.nii", _changed(40, "<hh", 3, -7), r"got shape \(-7, 6, 5\)", id="negative"),
        pytest.param("a.nii", _changed(40, "<h", 9), "expected a", id="rank"),
        pytest.param("a.nii", _changed(40, "<h", 0), r"got shape \(\)|whole NIfTI", id="rank-0"),
        pytest.param("a.nii", _image((3, 3, 3, 2, 2)).to_filename, r"\(3, 3, 3, 2, 2\); split or stack it", id="5d"),
        pytest.param("a.nii", _image((3, 3, 3, 2)).to_filename, r"or take a recipe for series", id="4d"),
        pytest.param(
            "a.nii",
            lambda path: path.write_bytes(gzip.compress(np.random.default_rng(1).bytes(400))),
            "a packed one",
            id="packed",
        ),
        pytest.param("a.nii", _changed(42, "<hhh", 9999, 9999, 9999), r"of \d+ bytes .*, got 772; copy", id="huge"),
        pytest.param("a.nii.gz", _changed(42, "<hhh", 9999, 9999, 9999), "packed ones; copy or convert", id="huge-gz"),
        pytest.param("a.nii", _changed(108, "<f", 1e30), "expected a whole NIfTI file of", id="far"),
        pytest.param("a.nii", _changed(108, "<f", np.nan), "expected a whole NIfTI file, got ValueError", id="nowhere"),
        pytest.param("a.nii", _changed(70, "<h", 999), "expected a whole NIfTI file, got HeaderDataError", id="dtype"),
        pytest.param("a.nii", _changed(112, "<ff", 2, np.nan), "got HeaderDataError: Valid slope but inv", id="inter"),
    ],
)
def test_what_is_no_volume_is_one_line(tmp_path: Path, name: str, make: Any, words: str) -> None:
    make(tmp_path / name)
    for kind in ("ct", "mri"):
        with pytest.raises(FormatError, match=words) as caught:
            _modality(kind).read(tmp_path / name)
        assert "\n" not in str(caught.value) and str(caught.value).count(str(tmp_path)) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_changed(80, "<fff", 0, 0.8, -2), r"cannot be: pixdim \[1.0, 0.8.*, 2.0\] for \[0.0, 0.8.*, -2.0\]$"),
        (_changed(254, "<h", 99), "cannot be: sform_code 0 for 99$"),
    ],
)
def test_geometry_that_nibabel_repairs_is_said(tmp_path: Path, change: Any, words: str) -> None:
    change(tmp_path / "a.nii")
    with pytest.warns(LiveactionWarning, match=words):
        _modality("ct").read(tmp_path / "a.nii")


def test_odd_times_and_units_are_read(tmp_path: Path) -> None:
    image = _image((3, 3, 3, 2))
    image.header["pixdim"][4], image.header["xyzt_units"] = np.nan, 7
    nibabel.save(image, tmp_path / "a.nii")
    assert _modality("series").read(tmp_path / "a.nii").spacing[0] == 1.0


@pytest.mark.parametrize("large", [False, True])
def test_the_checksum_of_a_packed_file_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    nibabel.save(_image(), tmp_path / "a.nii.gz")
    if large:
        monkeypatch.setattr(signals, "LARGE", 8)
    data = bytearray((tmp_path / "a.nii.gz").read_bytes())
    data[-6] ^= 1
    for content, words in ((data, "CRC check failed"), (data[:-6], "ended before the end-of-stream")):
        (tmp_path / "a.nii.gz").write_bytes(content)
        with pytest.raises(FormatError, match=f"expected a whole NIfTI file, got .*{words}"):
            _modality("ct").read(tmp_path / "a.nii.gz")


def test_a_mapped_file_that_shrinks_is_an_error_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nibabel.save(_image((30, 20, 20)), tmp_path / "a.nii")
    monkeypatch.setattr(signals, "LARGE", 8)
    mri = _modality("mri")
    signal = mri.read(tmp_path / "a.nii")
    assert is_mapped(signal.values)
    part = signal.crop(slice(0, 2), slice(0, 2), slice(19, 20))
    with (tmp_path / "a.nii").open("r+b") as file:
        file.truncate(400)
    words = "a.nii: expected 24352 bytes as when it was opened, got 400; leave a file as it is while it is read"
    for touch in (
        lambda: mri.range_of(signal),
        lambda: mri.normalise(part.values, (0, 9)),
        lambda: mri.normalise(part.values, (0, 5e-324)),
        lambda: mri.compare(signal, signal),
        lambda: mri.write(signal, tmp_path / "b.nii"),
    ):
        with pytest.raises(FormatError, match=words):
            touch()
    assert not (tmp_path / "b.nii").exists()
