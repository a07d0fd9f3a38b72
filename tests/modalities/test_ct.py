"""CT volumes in NIfTI: what is written back equals what was read; what cannot be read is refused in one line."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from liveaction.errors import FormatError, LiveactionWarning, ShapeError, SpecError
from liveaction.modalities.third_party import quiet
from liveaction.modalities.volume.ct import CT
from liveaction.recipe import load_recipe
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

LIMITS = (-1024.0, 3071.0)
SPEC = ModalitySpec(name="ct", axes=("x", "y", "z"), channels=1, unit="HU", range=(-1024, 3071))
AFFINE = np.array([[-0.7, 0.02, 0.1, 90.5], [0.03, -0.8, 0.2, -40.25], [0.05, 0.1, 2.5, 600.0], [0, 0, 0, 1]])


@pytest.fixture
def ct() -> CT:
    return CT(SPEC)


def _nifti(path: Path, raw: np.ndarray, slope: float = 1, inter: float = 0, kind: Any = nibabel.Nifti1Image) -> Path:
    header = kind.header_class()
    header.set_data_dtype(raw.dtype)
    header.set_slope_inter(slope, inter)
    header.set_xyzt_units("mm", "sec")
    header["descrip"] = b"kept"
    header["cal_max"] = 300
    image = kind(raw, AFFINE, header)
    image.header.set_slope_inter(slope, inter)
    image.set_sform(AFFINE, code=3)
    image.set_qform(AFFINE, code=1)
    nibabel.save(image, path)
    return path


def _raw(dtype: str, shape: tuple[int, ...] = (7, 6, 5)) -> np.ndarray:
    values = np.random.default_rng(0).normal(300, 500, shape)
    return values.astype(dtype) if dtype.startswith("f") else np.abs(values).astype(dtype)


def _header(path: Path) -> Any:
    """The header as it lies on disk: nibabel hides slope and intercept of a loaded image."""
    kind = type(nibabel.load(path).header)
    with nibabel.openers.ImageOpener(path) as file:
        return kind.from_fileobj(file)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image], ids=["nifti1", "nifti2"])
@pytest.mark.parametrize(
    ("dtype", "slope", "inter", "holds"),
    [
        pytest.param("int16", 1, 0, "int16", id="int16"),
        pytest.param("uint8", 1, 0, "uint8", id="uint8"),
        pytest.param("int32", 1, 0, "int32", id="int32"),
        pytest.param("uint16", 1, -1024, "int16", id="uint16-1024"),
        pytest.param("int16", 0.5, 3, "float32", id="int16-half"),
        pytest.param("float32", 1, 0, "float32", id="float32"),
        pytest.param("float64", 1, 0, "float64", id="float64"),
        pytest.param(">i2", 1, 0, "int16", id="big-endian"),
    ],
)
def test_nifti_comes_back(
    ct: CT, tmp_path: Path, ending: str, kind: Any, dtype: str, slope: float, inter: float, holds: str
) -> None:
    raw = _raw(dtype)
    source = _nifti(tmp_path / f"a{ending}", raw, slope, inter, kind)
    signal = ct.read(source)
    assert signal.values.shape == (1, 7, 6, 5)
    assert (signal.dtype, signal.values.dtype.name) == (np.dtype(dtype).name, holds)
    np.testing.assert_array_equal(signal.values[0], raw.astype(np.float64) * slope + inter)
    np.testing.assert_allclose(signal.spacing, np.linalg.norm(AFFINE[:3, :3], axis=0), rtol=1e-6)
    assert signal.metadata["orientation"] == "LPS"
    again = replace(signal, metadata=json.loads(json.dumps(signal.metadata)))
    ct.write(again, tmp_path / f"b{ending}")
    before, after = _header(source), _header(tmp_path / f"b{ending}")
    assert before.binaryblock == after.binaryblock
    written = ct.read(tmp_path / f"b{ending}")
    np.testing.assert_array_equal(written.values, signal.values)
    assert written.metadata == signal.metadata


@pytest.mark.parametrize(("dtype", "slope", "inter"), [("int16", 0.37, -3.1), ("uint16", 1, -1024), (">i2", 2, 0)])
def test_monai_reads_nifti_alike(ct: CT, tmp_path: Path, dtype: str, slope: float, inter: float) -> None:
    with quiet():
        from monai.data import NibabelReader
    signal = ct.read(_nifti(tmp_path / "a.nii.gz", _raw(dtype), slope, inter))
    reader = NibabelReader()
    values, metadata = reader.get_data(reader.read(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(signal.values[0], values.astype(signal.values.dtype))
    np.testing.assert_array_equal(signal.metadata["affine"], metadata["affine"])


def test_uint16_that_outgrows_int16_is_int32(ct: CT, tmp_path: Path) -> None:
    raw = np.array([0, 65535], dtype=np.uint16).reshape(2, 1, 1)
    values = ct.read(_nifti(tmp_path / "a.nii", raw, 1, -1024)).values
    assert values.dtype == np.int32
    assert values.ravel().tolist() == [-1024, 64511]


def test_other_dtypes_are_rounded_and_clipped_on_writing(ct: CT, tmp_path: Path) -> None:
    signal = ct.read(_nifti(tmp_path / "a.nii", np.zeros((3, 1, 1), np.uint16), 1, -1024))
    values = np.array([-2000.0, 1.6, 40.4], dtype=np.float32).reshape(1, 3, 1, 1)
    ct.write(replace(signal, values=values), tmp_path / "b.nii")
    assert ct.read(tmp_path / "b.nii").values.ravel().tolist() == [-1024, 2, 40]


def test_trailing_axes_of_one_come_back(ct: CT, tmp_path: Path) -> None:
    signal = ct.read(_nifti(tmp_path / "a.nii", _raw("int16", (4, 3, 2, 1, 1))))
    assert signal.shape == (4, 3, 2)
    ct.write(signal, tmp_path / "b.nii")
    assert nibabel.load(tmp_path / "b.nii").shape == nibabel.load(tmp_path / "a.nii").shape


def test_another_unit_of_length_is_read_in_mm(ct: CT, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(_raw("int16"), np.diag([0.001, 0.001, 0.002, 1]))
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "a.nii")
    np.testing.assert_allclose(ct.read(tmp_path / "a.nii").spacing, (1, 1, 2), rtol=1e-6)


def test_a_part_of_a_volume_takes_its_own_affine(ct: CT, tmp_path: Path) -> None:
    signal = ct.read(_nifti(tmp_path / "a.nii", _raw("int16")))
    affine = AFFINE.copy()
    affine[:3, 3] += AFFINE[:3, :3] @ (2, 1, 0)
    part = replace(signal, values=signal.values[:, 2:, 1:], metadata={**signal.metadata, "affine": affine.tolist()})
    ct.write(part, tmp_path / "b.nii")
    np.testing.assert_allclose(nibabel.load(tmp_path / "b.nii").affine, affine, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (9, 5, 1)], ids=["one-sample", "flat"])
def test_constant_volumes(ct: CT, tmp_path: Path, shape: tuple[int, int, int]) -> None:
    signal = ct.read(_nifti(tmp_path / "a.nii.gz", np.full(shape, 40, np.int16)))
    ct.write(signal, tmp_path / "b.nii.gz")
    assert (ct.read(tmp_path / "b.nii.gz").values == 40).all()
    ct.preview(signal, signal, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_sample_nifti_comes_back(ct: CT, data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "ct" / "totalsegmentator_example_abdomen_3mm.nii.gz"
    signal = ct.read(source)
    ct.write(signal, tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(ct.read(tmp_path / "a.nii.gz").values, signal.values)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "a.nii.gz").affine, nibabel.load(source).affine)
    assert (signal.dtype, int(_header(tmp_path / "a.nii.gz")["sform_code"])) == ("int32", 2)


def _cut(path: Path, keep: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def _zipped_part(path: Path) -> None:
    _nifti(path, _raw("int16", (40, 40, 40)))
    _cut(path, 0.6)


def _plain_part(path: Path) -> None:
    _nifti(path, _raw("int16"))
    _cut(path, 0.8)


def _colour(path: Path) -> None:
    rgb = np.zeros((3, 3, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(rgb, np.eye(4)), path)


def _flat_affine(path: Path) -> None:
    image = nibabel.Nifti1Image(_raw("int16"), np.eye(4))
    image.set_sform(np.diag([1.0, 1.0, 0.0, 1.0]), code=1)
    nibabel.save(image, path)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        pytest.param("a.nii.gz", _zipped_part, "expected a whole NIfTI file", id="truncated-gz"),
        pytest.param("a.nii", _plain_part, "expected a whole NIfTI file", id="truncated"),
        pytest.param("a.nii", lambda p: p.write_text("hello\n" * 200), "expected a whole NIfTI file", id="text"),
        pytest.param("a.nii.gz", lambda p: p.write_text("hello\n"), "expected a whole NIfTI file", id="text-gz"),
        pytest.param("a.nii.gz", lambda p: p.write_bytes(gzip.compress(b"x" * 999)), "whole NIfTI file", id="other-gz"),
        pytest.param("a.nii", lambda p: p.write_bytes(b""), "expected a whole NIfTI file", id="empty"),
        pytest.param("a.nii", lambda p: _nifti(p, _raw("int16", (4, 4))), r"got shape \(4, 4\)", id="2d"),
        pytest.param("a.nii", lambda p: _nifti(p, _raw("int16", (4, 4, 4, 2))), r"got shape \(4, 4, 4, 2\)", id="4d"),
        pytest.param("a.nii", lambda p: _nifti(p, _raw("c8", (4, 4, 4))), "got 'complex64'", id="complex"),
        pytest.param("a.nii", _colour, "expected real numbers", id="colour"),
        pytest.param("a.nii", _flat_affine, "three independent axes", id="affine"),
    ],
)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_damaged_nifti_is_refused(ct: CT, tmp_path: Path, name: str, make: Any, words: str, capfd: Any) -> None:
    make(tmp_path / name)
    capfd.readouterr()
    with pytest.raises(FormatError, match=words) as caught:
        ct.read(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(ct: CT, tmp_path: Path, bad: float) -> None:
    raw = _raw("float32")
    raw[1, 2, 3] = bad
    with pytest.raises(
        FormatError, match=r"expected finite values in HU, got 1 NaN or infinite, the first at \(0, 1, 2"
    ):
        ct.read(_nifti(tmp_path / "a.nii", raw))
    signal = Signal(raw[np.newaxis], SPEC.axes, "HU", (1.0, 1.0, 1.0), "float32", {"affine": np.eye(4).tolist()})
    with pytest.raises(FormatError, match="expected finite values"):
        ct.write(signal, tmp_path / "b.nii")
    assert not (tmp_path / "b.nii").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("nowhere", "got no such path", id="missing"),
        pytest.param("empty", "got an empty folder", id="empty"),
        pytest.param("texts", "got other files only", id="others"),
        pytest.param("texts/a.txt", "got a file named 'a.txt'", id="suffix"),
        pytest.param("texts/a.nrrd", "got a file named 'a.nrrd'", id="nrrd"),
    ],
)
def test_nothing_found(ct: CT, tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    for other in ("a.txt", "a.nrrd"):
        (tmp_path / "texts" / other).write_text("x")
    with pytest.raises(FormatError, match=words):
        ct.find(tmp_path / name)


def test_a_failed_write_leaves_the_old_file(ct: CT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signal = ct.read(_nifti(tmp_path / "a.nii", _raw("int16")))
    before = (tmp_path / "a.nii").read_bytes()

    def half(*arguments: Any) -> None:
        arguments[-1].write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("liveaction.modalities.volume.nifti.write_samples", half)
    with pytest.raises(OSError, match="disk full"):
        ct.write(signal, tmp_path / "a.nii")
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii"]
    assert (tmp_path / "a.nii").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "change", "error", "words"),
    [
        pytest.param(
            "a.mha", {}, FormatError, "expected a name ending in '.nii' or '.nii.gz', got 'a.mha'", id="suffix"
        ),
        pytest.param("no/a.nii", {}, FormatError, "expected a folder to write into", id="folder"),
        pytest.param("a.nii", {"metadata": {}}, FormatError, "a 4x4 affine, got None", id="affine"),
        pytest.param(
            "a.nii",
            {"metadata": {"affine": np.eye(4).tolist(), "header": "!"}},
            FormatError,
            "NIfTI header",
            id="header",
        ),
        pytest.param("a.nii", {"values": np.zeros((2, 1, 1, 1), np.int16)}, ShapeError, "1, X, Y, Z", id="channels"),
    ],
)
def test_what_cannot_be_written(
    ct: CT, tmp_path: Path, name: str, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    signal = Signal(
        np.zeros((1, 1, 1, 1), np.int16), SPEC.axes, "HU", (1.0, 1.0, 1.0), "int16", {"affine": np.eye(4).tolist()}
    )
    with pytest.raises(error, match=words):
        ct.write(replace(signal, **change), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_normalise_comes_back_within_half_a_unit(ct: CT) -> None:
    values = np.arange(-1024, 3072, dtype=np.int16).reshape(1, 16, 16, 16)
    x = ct.normalise(values, LIMITS)
    assert (float(x.min()), float(x.max())) == (-1, 1)
    assert np.abs(ct.denormalise(x, "float32", LIMITS) - values).max() <= 0.5
    np.testing.assert_array_equal(ct.denormalise(x, "int16", LIMITS), values)
    assert ct.denormalise(ct.normalise(np.full((1, 1, 1, 1), 9000), LIMITS), "int16", LIMITS).item() == 3071


@pytest.mark.parametrize("name", ["ct_f8c8"])
def test_shipped_recipes_make_a_ct(name: str) -> None:
    assert CT(load_recipe(name).modality).spec.unit == "HU"


@pytest.mark.parametrize("change", [{"axes": ("x", "y")}, {"channels": 2}], ids=["axes", "channels"])
def test_a_recipe_of_another_kind_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="expected 3 axes and 1 channel"):
        CT(SPEC.model_copy(update=change))


def test_an_original_that_lies_elsewhere_is_said(ct: CT) -> None:
    signal = ct.synthetic(0, (9, 8, 7))
    near = np.array(signal.metadata["affine"]) + 1e-4
    ct.compare(signal, replace(signal, metadata={**signal.metadata, "affine": near.tolist()}))
    flipped = np.array(signal.metadata["affine"])
    flipped[0] *= -1
    with pytest.warns(LiveactionWarning, match="--against: the original lies elsewhere, by up to .* mm; its axes may"):
        ct.compare(replace(signal, metadata={**signal.metadata, "affine": flipped.tolist()}), signal)


def test_a_target_of_another_name_is_told_both_ways_out(ct: CT, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"got '1\.2\.3'; rename it, or add --suffix \.nii\.gz for a folder"):
        ct.check_target(ct.synthetic(0, (3, 3, 3)), tmp_path / "1.2.3")
