"""Every modality through the same battery."""

import pytest

from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.testing_modalities import check_modality

# a recipe, the suffix of its files, sizes beside the phantom's own
CASES = [
    ("ct_smoke", ".nii.gz", [(1, 1, 1), (7, 1, 12), (17, 33, 5)]),
    ("ct_smoke", ".nii", [(8, 8, 8)]),
    ("array_audio_smoke", ".wav", [(1,), (2,), (4097,)]),
    ("array_audio_smoke", ".flac", [(1,), (333,)]),
    ("array_audio_smoke", ".w64", [(7,)]),
    ("array_audio_smoke", ".aiff", [(7,)]),
    ("music_smoke", ".wav", [(1,), (44101,)]),
    ("music_smoke", ".flac", [(63,)]),
]


@pytest.mark.parametrize(("recipe", "suffix", "extents"), CASES, ids=[f"{c[0]}{c[1]}" for c in CASES])
def test_the_battery(recipe, suffix, extents, tmp_path):
    check_modality(build_modality(load_recipe(recipe).modality), tmp_path, suffix, extents)
