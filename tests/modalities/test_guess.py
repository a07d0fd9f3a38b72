"""Which modality a file is taken for: by its name and its header, or by nobody."""

import json
import subprocess
import sys

import numpy as np
import pytest

from liveaction.errors import FormatError
from liveaction.modalities.guess import guess_modality
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality


def nifti(path, values, dtype=None):
    import nibabel

    nibabel.Nifti1Image(np.asarray(values, dtype), np.eye(4)).to_filename(path)
    return path


def ramp(low, high, shape=(5, 6, 7), dtype=np.int16):
    return np.linspace(low, high, int(np.prod(shape))).reshape(shape).astype(dtype)


def phantom(recipe, path, extents):
    modality = build_modality(load_recipe(recipe).modality)
    modality.write(modality.synthetic(0, extents), path)
    return path


@pytest.mark.parametrize(
    ("low", "high", "dtype", "expected", "why"),
    [
        pytest.param(-1024, 900, np.int16, "ct", "integers below -500", id="air"),
        pytest.param(900, -501, np.int16, "ct", "integers below -500", id="last-voxel"),
        pytest.param(-500, 900, np.int16, "mri", "integers, none below -500", id="no-air"),
        pytest.param(0, 4000, np.uint16, "mri", "none below", id="unsigned"),
        pytest.param(-1024, 900, np.float32, "mri", "NIfTI of float32", id="floats"),
    ],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII.GZ"])
def test_volumes(tmp_path, low, high, dtype, expected, why, suffix):
    path = nifti(tmp_path / "a.nii.gz", ramp(low, high, dtype=dtype))
    if suffix == ".nii":
        path = nifti(tmp_path / "a.nii", ramp(low, high, dtype=dtype))
    found = guess_modality(path.rename(tmp_path / f"scan{suffix}"))
    assert found.modality == expected and why in found.why


def test_scaled_integers_are_looked_at_as_they_read(tmp_path):
    import nibabel

    image = nibabel.Nifti1Image(ramp(0, 3000), np.eye(4))
    image.header.set_slope_inter(1, -1024)
    image.to_filename(tmp_path / "a.nii")
    assert guess_modality(tmp_path / "a.nii").modality == "ct"


@pytest.mark.parametrize(("tag", "expected"), [("CT", "ct"), ("MR", "mri"), ("PT", "mri"), ("XX", "ct"), (3, "ct")])
def test_the_json_beside_a_volume_decides(tmp_path, tag, expected):
    path = nifti(tmp_path / "a.nii.gz", ramp(-1024, 900))
    (tmp_path / "a.json").write_text(json.dumps({"Modality": tag}) if tag != 3 else "[")
    assert guess_modality(path).modality == expected


def test_a_series_has_four_axes(tmp_path):
    assert guess_modality(nifti(tmp_path / "a.nii", ramp(-1024, 0, (4, 5, 6, 3)))).modality == "series"
    assert guess_modality(nifti(tmp_path / "b.nii", ramp(-1024, 0, (4, 5, 6, 1)))).modality == "ct"


def test_dicom_by_its_tags(tmp_path, dicom_series):
    folder = dicom_series(tmp_path / "series")
    assert guess_modality(folder) == ("ct", "'series': DICOM Modality CT")
    assert guess_modality(next(folder.iterdir())).modality == "ct"
    other = dicom_series(tmp_path / "head", Modality="MR", RescaleType=None)
    assert guess_modality(other).modality == "mri"
    import pydicom

    uid = pydicom.dcmread(next(folder.iterdir())).SeriesInstanceUID
    assert guess_modality(folder / uid).modality == "ct"
    with pytest.raises(FormatError, match=r"items of one modality, got mri in 'head' and ct in 'series'; name a model"):
        guess_modality(tmp_path)


def test_pictures_by_their_channels(tmp_path):
    import PIL.Image

    for suffix in ("png", "tif", "pgm"):
        assert guess_modality(phantom("grey_sparse", tmp_path / f"a.{suffix}", (8, 9))) == ("grey", "1 channel")
    for suffix in ("png", "tif", "ppm"):
        assert guess_modality(phantom("rgb_sparse", tmp_path / f"b.{suffix}", (8, 9))) == ("rgb", "3 channels")
    for mode, expected in (("L", "grey"), ("RGB", "rgb")):
        PIL.Image.new(mode, (8, 9)).save(tmp_path / "c.jpg")
        assert guess_modality(tmp_path / "c.jpg").modality == expected
    for mode, name in (("RGBA", "d.png"), ("P", "e.png"), ("CMYK", "f.tif"), ("RGBA", "g.webp")):
        PIL.Image.new(mode, (8, 9)).save(tmp_path / name)
        assert guess_modality(tmp_path / name) is None
    for name in ("h.jpg", "i.tif"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(FormatError, match=r"expected a picture, got"):
            guess_modality(tmp_path / name)


def test_sound_by_its_channels(tmp_path):
    import soundfile

    for channels, expected in ((1, "music"), (2, "music"), (3, "array_audio"), (8, "array_audio")):
        for suffix in ("wav", "flac"):
            path = tmp_path / f"{channels}.{suffix}"
            soundfile.write(path, np.zeros((64, channels)), 16000)
            assert guess_modality(path).modality == expected
    (tmp_path / "cut.wav").write_bytes(path.read_bytes()[:20])
    with pytest.raises(FormatError):
        guess_modality(tmp_path / "cut.wav")


def test_clips_and_cubes_by_their_names(tmp_path):
    for name in ("a.mkv", "b.mp4", "c.y4m"):
        (tmp_path / name).write_bytes(b"")
        assert guess_modality(tmp_path / name).modality == "video"
    (tmp_path / "cube.mat").write_bytes(b"")
    (tmp_path / "image.hdr").write_bytes(b"ENVI\nlines = 3")
    for name in ("image.raw", "alone.raw"):
        (tmp_path / name).write_bytes(bytes(40))
    for name in ("cube.mat", "image.hdr", "image.raw"):
        assert guess_modality(tmp_path / name).modality == "hyperspectral"
    assert guess_modality(tmp_path / "alone.raw") is None
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "clip.json").write_text("{}")
    assert guess_modality(tmp_path / "frames").modality == "video"


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5", "a.zarr", "a.zarr.zip", "a.lva", "a.txt", "a"])
def test_what_may_be_anything(tmp_path, name):
    (tmp_path / name).write_bytes(b"some bytes")
    assert guess_modality(tmp_path / name) is None


def test_of_a_folder_the_first_item_decides(tmp_path):
    for name in ("b.png", "sub/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        phantom("rgb_sparse", tmp_path / name, (8, 9))
    (tmp_path / "README.txt").write_text("about")
    (tmp_path / "a.jpg").write_bytes(b"damaged: its own work says so")
    (tmp_path / ".z.npy").write_bytes(b"hidden")
    assert guess_modality(tmp_path) == ("rgb", "'b.png': 3 channels")
    phantom("grey_sparse", tmp_path / "sub" / "d.png", (8, 9))
    with pytest.raises(FormatError, match=r"got rgb in 'b.png' and grey in 'd.png'; name a model with --model"):
        guess_modality(tmp_path)
    (tmp_path / "sub" / "d.png").unlink()
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(FormatError, match=r"got rgb in 'b.png' and what may be several in 'x.npy'"):
        guess_modality(tmp_path)
    (tmp_path / "x.npy").rename(tmp_path / "a.npy")
    assert guess_modality(tmp_path) is None


def test_volumes_of_a_folder_are_not_read_but_the_first(tmp_path):
    nifti(tmp_path / "a.nii", ramp(-1024, 900))
    nifti(tmp_path / "b.nii", ramp(0, 900))
    assert guess_modality(tmp_path).modality == "ct"
    nifti(tmp_path / "c.nii", ramp(0, 900, (4, 5, 6, 2)))
    with pytest.raises(FormatError, match=r"got ct in 'a.nii' and series in 'c.nii'"):
        guess_modality(tmp_path)


def test_nothing_to_guess_from(tmp_path):
    with pytest.raises(FormatError, match=r"got no such path; check the spelling"):
        guess_modality(tmp_path / "none.nii")
    with pytest.raises(FormatError, match=r"expected a signal in the folder, got none"):
        guess_modality(tmp_path)
    (tmp_path / "cut.nii.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(FormatError, match=r"NIfTI"):
        guess_modality(tmp_path / "cut.nii.gz")


def test_guessing_needs_no_torch(tmp_path):
    path = nifti(tmp_path / "a.nii.gz", ramp(-1024, 900))
    code = (
        "import sys; from pathlib import Path; from liveaction.modalities.guess import guess_modality; "
        "print(guess_modality(Path(sys.argv[1])).modality); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code, path], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "ct\n", done.stderr
