"""Every modality through the same battery."""

import importlib.util

import pytest

from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.testing_modalities import check_modality

# a recipe, the suffix of its files, sizes beside the phantom's own
CASES = [
    ("ct_smoke", ".nii.gz", [(1, 1, 1), (7, 1, 12), (17, 33, 5)]),
    ("ct_smoke", ".nii", [(8, 8, 8)]),
    ("rgb_smoke", ".png", [(1, 1), (7, 1), (63, 65)]),
    ("rgb_smoke", ".tif", [(1, 1), (63, 65)]),
    ("rgb_smoke", ".ppm", [(1, 1), (33, 7)]),
    ("grey_smoke", ".png", [(1, 1), (1, 7), (63, 65)]),
    ("grey_smoke", ".pgm", [(33, 7)]),
    ("mri_smoke", ".nii.gz", [(1, 1, 1), (7, 1, 12), (17, 33, 5)]),
    ("mri_smoke", ".nii", [(8, 8, 8)]),
    ("series_smoke", ".nii.gz", [(1, 1, 1, 1), (3, 7, 1, 12), (5, 9, 11, 3)]),
    ("series_smoke", ".nii", [(2, 8, 8, 8)]),
    ("hyperspectral_smoke", ".hdr", [(1, 1, 1), (7, 1, 12), (33, 17, 21)]),
    ("hyperspectral_smoke", ".tif", [(1, 1, 1), (40, 5, 16)]),
    ("hyperspectral_bands", ".hdr", [(1, 1), (17, 33)]),
    ("video_smoke", ".mkv", [(1, 1, 1), (7, 9, 2), (3, 21, 37)]),
    ("video_smoke", "_frames", [(1, 1, 1), (7, 9, 1), (3, 21, 37)]),
    ("array_smoke", ".npy", [(1, 1, 1), (7, 1, 12), (17, 33, 5)]),
    ("array_smoke", ".npz", [(3, 5, 2)]),
    ("array_smoke", ".h5", [(1, 1, 1), (17, 33, 5)]),
    ("array_smoke", ".zarr", [(1, 1, 1), (17, 33, 5)]),
    ("array_smoke", ".zarr.zip", [(3, 5, 2)]),
    ("array_4d_smoke", ".npy", [(1, 1, 1, 1), (3, 9, 5, 7)]),
    ("array_audio_smoke", ".wav", [(1,), (2,), (4097,)]),
    ("array_audio_smoke", ".flac", [(1,), (333,)]),
    ("array_audio_smoke", ".w64", [(7,)]),
    ("array_audio_smoke", ".aiff", [(7,)]),
    ("music_smoke", ".wav", [(1,), (44101,)]),
    ("music_smoke", ".flac", [(63,)]),
]


@pytest.mark.parametrize(("recipe", "suffix", "extents"), CASES, ids=[f"{c[0]}{c[1]}" for c in CASES])
def test_the_battery(recipe, suffix, extents, tmp_path):
    if (recipe, suffix) == ("hyperspectral_smoke", ".tif") and not importlib.util.find_spec("rasterio"):
        pytest.skip("rasterio is not installed: pip install -e '.[geo]'")
    check_modality(build_modality(load_recipe(recipe).modality), tmp_path, suffix, extents)
