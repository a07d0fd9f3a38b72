"""What ``check`` prints: the published figures for the published recipe, and advice."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.codec.summary import summarise
from liveaction.errors import SpecError
from liveaction.profiling.sample import sample_facts
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.spec import Recipe


def test_the_published_figures():
    summary = summarise(load_recipe("paper_ct_f8c8"), (512, 512, 512))
    assert summary.encoder_parameters == pytest.approx(0.284e6, rel=0.002)
    assert summary.encoder_parameters + summary.decoder_parameters == pytest.approx(34.7e6, rel=0.002)
    assert summary.encoder_macs == pytest.approx(390, abs=1)
    assert summary.decoder_macs == pytest.approx(75e3 - 16 * 512, rel=0.01)  # the absorbed attention saves 16 E
    assert (summary.hidden, summary.latent_channels, summary.dimension_reduction) == (512, 8, 64)
    assert summary.advice == ()


def test_sizes_of_an_odd_shape():
    summary = summarise(load_recipe("ct_f8c8"), (512, 511, 300))
    assert summary.padded == (512, 512, 304) and summary.grid == (64, 64, 38)
    assert summary.dimension_reduction == pytest.approx(512 * 511 * 300 / (8 * 64 * 64 * 38))
    assert summary.wavelet_macs == 3 * 64
    with pytest.raises(SpecError, match="expected 3 positive extents"):
        summarise(load_recipe("ct_f8c8"), (512, 512))


def test_sizes_with_lapped_axes():
    changes = ["codec.levels=[0,0,2]", "codec.lapped=[8,5,0]", "training.crop=[40]", "codec.latent_channels=16"]
    summary = summarise(load_recipe("ct_f8c8", changes), (63, 61, 30))
    assert summary.padded == (64, 65, 32) and summary.grid == (8, 13, 8) and summary.hidden == 160
    assert summary.wavelet_macs == 0.75 * 13 + 28


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("codec.levels=2", "the hidden width .* is 64, outside 512 to 1536; try more codec.levels"),
        ("codec.levels=4", "the hidden width .* is 4096, .* try fewer"),
        ("codec.encoder.depth=1", "encoder depth is 1"),
        ("codec.decoder.depth=2", "decoder depth is 2"),
        ("codec.latent_channels=2", "the dimension reduction is 256"),
    ],
)
def test_advice_where_a_heuristic_is_broken(override, words):
    lines = summarise(load_recipe("ct_f8c8", [override])).advice
    import re

    assert any(re.search(words, line) for line in lines), lines


def own(**codec: Any) -> Recipe:
    """A recipe of any number of bands, each signal with a basis of its own."""
    plain: dict[str, Any] = {
        "name": "own",
        "modality": {"name": "hyperspectral", "axes": ["y", "x"], "channels": 0, "range": {"percentiles": [0, 100]}},
        "codec": {
            "levels": 2,
            "encoder": {"kind": "sparse", "basis": "own"},
            "decoder": {"kind": "linear"},
            **codec,
        },
        "training": {"steps": 0, "crop": [[240, 64]]},
    }
    return Recipe.model_validate(plain)


@pytest.mark.parametrize("channels", [None, 1, 5, 7, 224])
def test_a_signal_of_any_number_of_channels(channels: int | None) -> None:
    summary = summarise(own(), (63, 65), channels)
    assert (summary.channels, summary.hidden, summary.latent_channels) == (channels or 1, 16, 16)
    assert (summary.padded, summary.grid) == ((64, 68), (16, 17))
    assert summary.dimension_reduction == pytest.approx(63 * 65 / (64 * 68))
    assert summary.basis_macs == (channels or 1) and summary.advice == ()


def test_sizes_of_lapped_blocks() -> None:
    summary = summarise(own(levels=[0, 2], lapped=[6, 0]), (63, 65), 7)
    assert (summary.padded, summary.grid, summary.hidden) == ((66, 68), (11, 17), 24)


@pytest.mark.parametrize(
    ("recipe", "channels", "words"),
    [
        (own(), 0, "--channels: expected at least 1 as recipe own has, got 0"),
        (
            load_recipe("array_audio_smoke"),
            5,
            "expected 4 as recipe array_audio_smoke has, got 5; change",
        ),
    ],
)
def test_channels_that_a_recipe_does_not_take(recipe: Recipe, channels: int, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        summarise(recipe, None, channels)


def test_an_own_basis_and_channels_of_a_fixed_number() -> None:
    assert summarise(load_recipe("array_audio_smoke"), None, 4) == summarise(load_recipe("array_audio_smoke"))
    assert summarise(load_recipe("array_audio_smoke")).channels == 4
    assert summarise(load_recipe("array_audio_smoke")).basis_macs == 0


def test_what_a_file_of_any_number_of_channels_says() -> None:
    recipe = own(levels=[0, 2], lapped=[80, 0])
    modality = build_modality(recipe.modality)
    facts = sample_facts("phantom", modality.synthetic(0, (63, 65)), modality, recipe)
    assert facts.shape == (32, 63, 65) and facts.padding == (17, 3)
    for words in (
        "axis y has 63 samples and a block of codec.lapped spans 80; a smaller one there",
        "padding adds 17 to the 63 samples of axis y; a smaller one there",
    ):
        assert words in facts.advice
    assert not any("warm start" in line or "hidden width" in line or "channels" in line for line in facts.advice)


def test_check_states_the_channels(tmp_path: Any) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(json.dumps(own().model_dump(mode="json")))

    def said(*words: str) -> Any:
        return CliRunner().invoke(app, ["check", str(path), *words])

    assert "240 x 64 y, x; 1 channel(s), of any number" in said().stdout
    text = said("--shape", "63,65", "--channels", "224").stdout
    assert "63 x 65 y, x; 224 channel(s), of any number" in text and "16 x 16 x 17 tokens per component" in text
    assert "own basis at most 224 each way" in " ".join(text.split())
    assert json.loads(said("--channels", "5", "--json").stdout)["channels"] == 5
    refused = CliRunner().invoke(app, ["check", "array_audio_smoke", "--channels", "5"])
    assert isinstance(refused.exception, SpecError) and "--channels: expected 4" in str(refused.exception)
    refused = said("--channels", "5", "--data", "a.npy")
    assert isinstance(refused.exception, SpecError) and "--channels, --data: expected one of" in str(refused.exception)
