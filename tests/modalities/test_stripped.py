"""Metadata that describe go when they are asked to; geometry, type and unit stay."""

import json

import h5py
import nibabel
import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest
import soundfile
import tifffile
import zarr

from liveaction.errors import SpecError
from liveaction.modalities.base import Modality
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality

WORD = "Jane Doe"
VALUES = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def nifti(path):
    image = nibabel.Nifti1Image(VALUES, np.diag([0.5, 0.6, 2.0, 1.0]))
    image.header["descrip"], image.header["aux_file"], image.header["intent_name"] = WORD, WORD, WORD
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", WORD.encode()))
    image.set_qform(image.affine, 1)
    nibabel.save(image, path)


def hdf5(path):
    with h5py.File(path, "w") as file:
        file.attrs["operator"] = WORD
        data = file.create_dataset("a", data=VALUES, chunks=(2, 5, 6), compression="gzip")
        data.attrs["patient"] = WORD


def ome_zarr(path):
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]}
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    group = zarr.open_group(path, mode="w")
    scale = {"axes": axes, "datasets": [level], "name": WORD, "metadata": {"by": WORD}}
    group.attrs.update({"ome": {"version": "0.5", "multiscales": [scale], "omero": {"name": WORD}}, "by": WORD})
    group.create_array("0", data=VALUES, attributes={"by": WORD})


def wav(path):
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
        file.artist, file.title = WORD, WORD
        file.write(VALUES.reshape(-1))


def png(path):
    info = PIL.PngImagePlugin.PngInfo()
    info.add_text("Author", WORD)
    exif = PIL.Image.Exif()
    exif[315], exif[274] = WORD, 6
    PIL.Image.fromarray(VALUES[0].astype(np.uint8)).save(path, pnginfo=info, exif=exif, dpi=(300, 300))


def tiff(path):
    tags = [(315, 2, 0, WORD, True), (316, 2, 0, WORD, True), (33550, 12, 3, (2.0, 2.0, 0.0), True)]
    tifffile.imwrite(path, VALUES[0].astype(np.uint8), description=WORD, software=WORD, extratags=tags)


def envi(path):
    fields = "samples = 6\nlines = 5\nbands = 4\ndata type = 2\ninterleave = bsq\nbyte order = 0\n"
    fields += "map info = {UTM, 1, 1, 500000, 5000000, 30, 30, 33, North}\nreflectance scale factor = 10000\n"
    path.write_text(f"ENVI\ndescription = {{{WORD}}}\n{fields}sensor type = {WORD}\nheader offset = {len(WORD)}\n")
    path.with_suffix(".img").write_bytes(WORD.encode() + VALUES.tobytes())


def geotiff(path):
    rasterio = pytest.importorskip("rasterio")
    profile = {"driver": "GTiff", "count": 4, "height": 5, "width": 6, "dtype": "int16", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", transform=rasterio.Affine(30, 0, 5e5, 0, -30, 5e6), **profile) as image:
        image.write(VALUES)
        image.update_tags(TIFFTAG_ARTIST=WORD, TIFFTAG_HOSTCOMPUTER=WORD, note=WORD)
        image.set_band_description(1, WORD)


CASES = {
    "a.nii": ("ct_smoke", nifti), "a.h5": ("array_smoke", hdf5), "a.zarr": ("array_smoke", ome_zarr),
    "a.wav": ("array_audio_smoke", wav), "a.png": ("grey_smoke", png), "a.tif": ("grey_smoke", tiff),
    "a.hdr": ("hyperspectral_smoke", envi), "b.tif": ("hyperspectral_smoke", geotiff),
}  # fmt: skip


def kind_of(name):
    spec = load_recipe(CASES[name][0]).modality
    changes = {"a.wav": {"channels": 1}, "a.h5": {"options": {}}, "a.zarr": {"options": {}}}.get(name, {})
    return build_modality(spec.model_copy(update=changes))


def written(path):
    """The bytes of a file, of those beside it with its stem, or in its folder."""
    files = path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.stem}.*")
    return b"".join(file.read_bytes() for file in files if file.is_file())


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::liveaction.errors.LiveactionWarning")
def test_only_what_describes_goes(tmp_path, name):
    kind, source = kind_of(name), tmp_path / name
    CASES[name][1](source)
    signal = kind.read(source)
    plain = kind.stripped(signal)
    assert plain.values is signal.values and plain.spacing == signal.spacing
    assert WORD not in json.dumps(plain.metadata)
    (tmp_path / "whole").mkdir()
    (tmp_path / "plain").mkdir()
    kind.write(signal, tmp_path / "whole" / name)
    kind.write(plain, tmp_path / "plain" / name)
    assert WORD.encode() in written(tmp_path / "whole" / name)
    assert WORD.encode() not in written(tmp_path / "plain" / name)
    back = kind.read(tmp_path / "plain" / name)
    assert np.array_equal(back.values, signal.values)
    assert (back.spacing, back.dtype, back.unit) == (signal.spacing, signal.dtype, signal.unit)
    placing = ("affine", "orientation", "resolution", "rate", "subtype", "key", "format")
    assert {key: back.metadata.get(key) for key in placing} == {key: signal.metadata.get(key) for key in placing}


@pytest.mark.filterwarnings("ignore::liveaction.errors.LiveactionWarning")
def test_places_stay(tmp_path):
    pytest.importorskip("rasterio")
    for name in ("a.zarr", "a.hdr", "b.tif", "a.tif"):
        kind = kind_of(name)
        CASES[name][1](tmp_path / name)
        (tmp_path / "plain").mkdir(exist_ok=True)
        kind.write(kind.stripped(kind.read(tmp_path / name)), tmp_path / "plain" / name)
    ome = zarr.open_group(tmp_path / "plain" / "a.zarr", mode="r").attrs["ome"]
    assert ome["version"] == "0.5" and len(ome["multiscales"][0]["axes"]) == 3
    assert ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] == [1.0, 0.5, 0.5]
    header = (tmp_path / "plain" / "a.hdr").read_text()
    assert "500000, 5000000, 30, 30" in header and "reflectance scale factor = 10000" in header
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(tmp_path / "plain" / "b.tif") as image:
        assert image.crs.to_epsg() == 32633 and image.transform.c == 5e5
    with tifffile.TiffFile(tmp_path / "plain" / "a.tif") as file:
        assert file.pages[0].tags[33550].value == (2.0, 2.0, 0.0)


def test_a_modality_that_does_not_say_is_named():
    kind = build_modality(load_recipe("ct_smoke").modality)
    with pytest.raises(SpecError, match=r"--strip-metadata: expected a modality that says which .* got 'ct'; give its"):
        Modality.stripped(kind, kind.synthetic(0, (8, 8, 8)))
