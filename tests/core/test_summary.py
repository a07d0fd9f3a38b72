"""What ``check`` prints: the published figures for the published recipe, and advice."""

import pytest

from liveaction.codec.summary import summarise
from liveaction.errors import SpecError
from liveaction.recipe import load_recipe


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
