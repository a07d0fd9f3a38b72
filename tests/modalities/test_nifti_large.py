"""Large NIfTI files: the same values and bytes as small ones, in memory that does not grow."""

import gzip
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from liveaction import mapped as signals
from liveaction.errors import FormatError
from liveaction.mapped import is_mapped
from liveaction.modalities.base import Modality
from liveaction.modalities.volume.nifti_header import unpack_header
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal

AFFINE = np.array([[-0.7, 0.02, 0.1, 90.5], [0.03, -0.8, 0.2, -40.25], [0.05, 0.1, 2.5, 600.0], [0, 0, 0, 1]])
SHAPES = {"ct": (7, 6, 5), "series": (7, 6, 5, 3)}
CASES = [
    *[(dtype, 1, 0) for dtype in ("uint8", "int8", "int16", ">i2", "uint16", "int32", "int64", "float32", ">f4", "f8")],
    *[("uint16", 1, -1024), ("int16", 1, 5), ("int32", 1, -7), ("uint8", 1, -3), (">u2", 1, -1024)],
    *[("int16", 0.5, 3), ("uint8", 1, 0.5), ("float32", 2, 1), ("int64", 1, 4), ("float64", 0.25, 0)],
]


@pytest.fixture
def lower(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Everything is large from now on, and worked on in small parts."""

    def now() -> None:
        monkeypatch.setattr(signals, "LARGE", 8)
        monkeypatch.setattr(signals, "PART", 20)
        monkeypatch.setattr("liveaction.modalities.volume.nifti_samples.BLOCK", 11)

    return now


def _modality(kind: str) -> Modality:
    return build_modality(load_recipe(f"{kind}_smoke" if kind == "series" else "ct_light").modality)


def _save(path: Path, dtype: str, slope: float, inter: float, shape: tuple[int, ...], kind: Any) -> Path:
    raw = np.random.default_rng(0).integers(0, 120, shape).astype(dtype)
    raw.flat[3] = 127
    image = kind(raw, AFFINE, dtype=raw.dtype)
    image = kind(raw, AFFINE, image.header.as_byteswapped(">") if raw.dtype.byteorder == ">" else image.header)
    image.header.set_slope_inter(slope, inter)
    image.set_sform(AFFINE, code=3)
    nibabel.save(image, path)
    return path


def _equal(one: Signal, other: Signal) -> None:
    assert one.values.dtype == other.values.dtype
    np.testing.assert_array_equal(one.values, other.values)
    assert replace(one, values=other.values) == other


@pytest.mark.parametrize("kind", ["ct", "series"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("dtype", "slope", "inter"), CASES)
@pytest.mark.parametrize("version", [nibabel.Nifti1Image, nibabel.Nifti2Image], ids=["nifti1", "nifti2"])
def test_large_and_small_are_read_and_written_alike(
    tmp_path: Path, lower: Any, kind: str, ending: str, dtype: str, slope: float, inter: float, version: Any
) -> None:
    modality = _modality(kind)
    source = _save(tmp_path / f"a{ending}", dtype, slope, inter, SHAPES[kind], version)
    small = modality.read(source)
    assert not is_mapped(small.values) and small.values.flags.c_contiguous
    modality.write(small, tmp_path / f"small{ending}")
    lower()
    large = modality.read(source)
    assert is_mapped(large.values)
    _equal(large, small)
    for name, signal in (("one", large), ("other", small)):
        modality.write(signal, tmp_path / f"{name}{ending}")
        assert _content(tmp_path / f"{name}{ending}") == _content(tmp_path / f"small{ending}")


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("dtype", "slope", "inter"), CASES)
@pytest.mark.parametrize("values_dtype", ["same", "float32"])
def test_the_written_file_is_the_one_that_nibabel_saves(
    tmp_path: Path, ending: str, dtype: str, slope: float, inter: float, values_dtype: str
) -> None:
    ct = _modality("ct")
    signal = ct.read(_save(tmp_path / f"a{ending}", dtype, slope, inter, (7, 6, 5, 1), nibabel.Nifti1Image))
    if values_dtype != "same":
        signal = replace(signal, values=(signal.values * 1.37 - 200.3).astype(values_dtype))
    ct.write(signal, tmp_path / f"b{ending}")
    header, _ = unpack_header(signal.metadata, tmp_path)
    values, disk = signal.values.reshape(7, 6, 5, 1), header.get_data_dtype()
    if values.dtype != disk.newbyteorder("=") or (slope, inter) != (1, 0):
        values = (values.astype(np.float64) - inter) / slope
        if disk.kind != "f":
            limits = np.iinfo(disk)
            values = np.rint(values).clip(limits.min, limits.max if disk.itemsize < 8 else 2.0**63 - 1024)
    image = nibabel.Nifti1Image(values.astype(disk), AFFINE, header)
    for key in ("scl_slope", "scl_inter"):
        image.header[key] = header[key]
    nibabel.save(image, tmp_path / f"c{ending}")
    assert (tmp_path / f"b{ending}").read_bytes()[:3] == (tmp_path / f"c{ending}").read_bytes()[:3]
    assert _content(tmp_path / f"b{ending}") == _content(tmp_path / f"c{ending}")


def test_a_large_image_that_outgrows_its_dtype_is_read_alike(tmp_path: Path, lower: Any) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint16)
    image = nibabel.Nifti1Image(np.array([0, 65535] * 20, np.uint16).reshape(2, 4, 5), AFFINE, header)
    image.header.set_slope_inter(1, -1024)
    nibabel.save(image, tmp_path / "a.nii")
    small = _modality("ct").read(tmp_path / "a.nii")
    lower()
    large = _modality("ct").read(tmp_path / "a.nii")
    assert large.values.dtype == np.int32
    _equal(large, small)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("inter", [0, -3])
def test_a_large_file_that_is_cut_short_is_refused(tmp_path: Path, lower: Any, ending: str, inter: float) -> None:
    path = _save(tmp_path / f"a{ending}", "int16", 1, inter, (20, 20, 20), nibabel.Nifti1Image)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.6)])
    lower()
    with pytest.raises(FormatError, match="expected a whole NIfTI file") as caught:
        _modality("ct").read(path)
    assert "\n" not in str(caught.value)


def test_infinity_in_a_large_file_is_named_by_its_first_place(tmp_path: Path, lower: Any) -> None:
    raw = np.zeros((5, 6, 7), np.float32)
    raw[3, 0, 0] = raw[1, 2, 6] = raw[1, 5, 0] = np.inf
    raw[0, 0, 0] = np.nan  # is missing
    nibabel.save(nibabel.Nifti1Image(raw, AFFINE), tmp_path / "a.nii")
    for prepare in (lambda: None, lower):
        prepare()
        with pytest.raises(FormatError, match=r"got 3 NaN or infinite, the first at \(0, 1, 2, 6\)"):
            _modality("ct").read(tmp_path / "a.nii")


def test_ranges_and_closeness_of_large_signals_are_those_of_small_ones(tmp_path: Path, lower: Any) -> None:
    mri = build_modality(load_recipe("mri_smoke").modality)
    source = _save(tmp_path / "a.nii", "int16", 1, 0, (9, 8, 7), nibabel.Nifti1Image)
    small = mri.read(source)
    decoded = replace(small, values=small.values // 7 * 7)
    report = mri.compare(small, decoded)
    lower()
    large = mri.read(source)
    assert mri.range_of(large) == mri.range_of(small)
    assert np.array_equal(mri.normalise(large.values, (0, 9)), mri.normalise(small.values, (0, 9)))
    assert mri.compare(large, decoded) == pytest.approx(report, rel=1e-12)


MEASURE = """
import resource, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction import mapped as signals
signals.LARGE = 1 << 22
ct = build_modality(load_recipe("ct_light").modality)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
folder = Path(sys.argv[1])
ct.write(ct.read(folder / "small.nii"), folder / "warm.nii")
before = peak()
for large in folder.glob("a*.nii"):
    signal = ct.read(large)
    ct.write(signal, folder / f"b{large.name}")
    made = signals.converted(signal.values, signal.values.dtype)
    ct.write(replace(signal, values=made), folder / f"c{large.name}")
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is counted as Linux does")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    side = 320  # 66 MB
    plane = np.arange(side * side, dtype=np.int16)
    for inter in (0, -100):
        _save(tmp_path / "small.nii", "int16", 1, inter, (16, 16, 16), nibabel.Nifti1Image)
        header = nibabel.load(tmp_path / "small.nii").header
        header.set_data_shape((side,) * 3)
        header.set_slope_inter(1, inter)
        with (tmp_path / f"a{inter}.nii").open("wb") as file:
            header["vox_offset"] = 352
            header.write_to(file)
            for z in range(side):
                file.write((plane + z).tobytes())
    words = [sys.executable, "-c", MEASURE, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    for inter in (0, -100):
        one, *others = ((tmp_path / f"{name}a{inter}.nii").read_bytes() for name in ("", "b", "c"))
        assert others == [one, one]
    assert int(done.stdout) < 32, done.stdout  # MiB, of 62
