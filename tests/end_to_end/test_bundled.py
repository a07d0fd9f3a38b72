"""The models that come along: a file of every modality there and back, without an option."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.home import BUNDLED, known_models
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality

FILES = {
    "ct": ("ct_smoke", "scan.nii.gz", (40, 48, 24)),
    "mri": ("mri_smoke", "brain.nii.gz", (40, 48, 24)),
    "hyperspectral": ("hyperspectral_smoke", "cube.hdr", (48, 40)),
    "rgb": ("rgb_smoke", "hat.png", (64, 80)),
    "grey": ("grey_smoke", "page.png", (64, 80)),
    "video": ("video_smoke", "clip.mkv", (8, 64, 80)),
    "array_audio": ("array_audio_smoke", "table.wav", (8000,)),
    "music": ("music_smoke", "song.wav", (8000,)),
}


def test_there_is_one_for_every_modality_and_they_weigh_little() -> None:
    bundled = [model for model in known_models() if model.origin == BUNDLED]
    assert sorted(each for model in bundled for each in model.default_for) == sorted(FILES)
    assert sum(model.bytes for model in bundled) < 4e6
    for model in bundled:
        about = json.loads((model.folder / "about.json").read_text())
        card = (model.folder / "README.md").read_text()
        assert about["data"] and all(each["from"] in card and each["file"] in card for each in about["data"])
        assert about["not_for"] in card and model.digest[:12] in card
        assert not {each["file"] for each in about["data"]} & set(about["measured_on"]) or model.name == "mri"


@pytest.mark.parametrize("kind", FILES)
def test_a_file_goes_there_and_back_without_an_option(kind: str, tmp_path: Path) -> None:
    recipe, name, extents = FILES[kind]
    modality = build_modality(load_recipe(recipe).modality)
    source, stream, back = tmp_path / name, tmp_path / "x.lva", tmp_path / f"back_{name}"
    modality.write(modality.synthetic(0, extents), source)
    told = []
    for words in (["compress", source, stream], ["decompress", stream, back, "--against", source]):
        done = CliRunner().invoke(app, [*map(str, words), "--json"])
        assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
        told.append(json.loads(done.stdout))
    assert told[0]["model"]["name"] == told[1]["model"]["name"] == kind
    assert told[0]["ratio"] > 1.5
    assert told[1]["psnr_normalised"] > 30
