"""The pieces that only published codecs use, against their definitions; the packages themselves are in published/."""

import numpy as np
import pytest
import torch

from liveaction.codec.summary import summarise
from liveaction.coding.quantize import GaussianQuantizer, build_quantizer
from liveaction.errors import SpecError
from liveaction.nn.blocks import PaperBlock
from liveaction.nn.monarch import Monarch, MonarchConv
from liveaction.recipe import load_recipe
from liveaction.spec import QuantizerSpec
from liveaction.transforms.packet import WaveletPacket
from liveaction.transforms.wavelet import level_filters


def _one_fold(x):
    """One level of bior4.4 on an axis of 6 samples or more, by the published rule: convolve over zeros, fold once."""
    bands = []
    for taps in level_filters("bior4.4"):
        length, n = len(taps), len(x)
        padded = np.concatenate([np.zeros(length - 1), np.roll(x, -(length // 2)), np.zeros(length - 1)])
        full = np.array([padded[2 * k : 2 * k + length] @ taps[::-1] for k in range((n + length) // 2)])
        tail = full[n // 2 : n // 2 + length // 2]
        full[: len(tail)] += tail
        bands.append(full[: n // 2])
    return np.stack(bands)


@pytest.mark.parametrize("n", [6, 8, 10, 12, 32])
def test_folded_is_one_fold_of_the_tail(n):
    x = np.random.default_rng(0).normal(size=n)
    ours = WaveletPacket("bior4.4", (1,), "folded")(torch.from_numpy(x)[None, None])[0].numpy()
    np.testing.assert_allclose(ours, _one_fold(x), atol=1e-12)


@pytest.mark.parametrize("levels", [(3,), (2, 2), (2, 2, 2)], ids=str)
def test_folded_is_periodic_on_long_axes_and_not_invertible_on_short_ones(levels):
    folded, periodic = (WaveletPacket("bior4.4", levels, rule) for rule in ("folded", "periodic"))
    shortest = 10 * 2 ** (levels[0] - 1)
    extents = shortest, shortest - 2 ** levels[0]
    long, short = (torch.randn(1, 2, *(extent,) * len(levels), dtype=torch.float64) for extent in extents)
    assert torch.allclose(folded(long), periodic(long), atol=1e-12)
    assert torch.allclose(folded.inverse(folded(long)), long, atol=1e-9)
    assert (folded.inverse(folded(short)) - short).abs().max() > 1e-3


def test_the_paper_order_is_a_permutation_of_the_channels_on_three_axes_alone():
    x = torch.randn(1, 2, 40, 40, 40)
    level, paper = (WaveletPacket("bior4.4", (2, 2, 2), "folded", order)(x) for order in ("level", "paper"))
    norms = [torch.sort(v.flatten(2).norm(dim=2)).values for v in (level, paper)]
    assert torch.allclose(*norms) and not torch.allclose(level, paper)
    packets = WaveletPacket("bior4.4", (2, 2, 2), "folded", "paper")
    assert torch.allclose(packets.inverse(packets(x)), x, atol=1e-4)
    flat = torch.randn(1, 2, 40, 40)
    assert torch.equal(*(WaveletPacket("bior4.4", (2, 2), "folded", order)(flat) for order in ("level", "paper")))


def test_one_level_in_the_paper_order_keeps_low_passes_at_every_eighth_channel():
    x = torch.randn(1, 3, 12, 14, 16)
    level, paper = (WaveletPacket("bior4.4", (1, 1, 1), "folded", order)(x) for order in ("level", "paper"))
    channels = level.shape[1] // 8
    expected = torch.empty_like(level)
    for c in range(channels):
        expected[:, 8 * c] = level[:, c]
        for k in range(7):
            expected[:, 8 * c + 1 + k] = level[:, channels + 7 * c + k]
    assert torch.equal(paper, expected)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_monarch_convolution_is_monarch_where_only_the_middle_tap_counts(axes):
    plain, conv = Monarch(24, 36), MonarchConv(24, 36, 3, axes)
    with torch.no_grad():
        for ours, theirs in ((conv.w1, plain.w1), (conv.w2, plain.w2)):
            ours.zero_()
            ours[(..., *(1,) * axes)] = theirs
    x = torch.randn(2, 24, *(4, 5, 3)[:axes])
    assert torch.allclose(conv(x), plain(x), atol=1e-6)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_paper_block_of_kernel_size_three_has_that_many_taps(axes):
    one, three = PaperBlock(32, axes, 1), PaperBlock(32, axes, 3)
    taps = sum(p.numel() for name, p in one.named_parameters() if name.split(".")[0] in ("first", "second"))
    more = sum(p.numel() for p in three.parameters()) - sum(p.numel() for p in one.parameters())
    assert more == taps * (3**axes - 1)
    x = torch.randn(1, 32, *(4, 5, 3)[:axes])
    assert three(x).shape == x.shape


@pytest.mark.parametrize("bits", [2, 5, 8])
def test_the_gaussian_compander_is_the_normal_distribution_function(bits):
    quantizer = build_quantizer(QuantizerSpec(kind="gaussian", step=1, bits=bits), 3)
    assert isinstance(quantizer, GaussianQuantizer) and not list(quantizer.parameters())
    largest, scale = 2 ** (bits - 1) - 0.5 - 1e-3, (2 ** (bits - 1) - 1) / 1.85
    y = torch.linspace(-6, 6, 303, dtype=torch.float64).view(1, 3, -1) * scale
    u = quantizer.compand(y)
    expected = 2 * largest * (torch.distributions.Normal(0.0, torch.tensor(scale, dtype=torch.float64)).cdf(y) - 0.5)
    assert (u - expected).abs().max() < 1e-12
    inner = y.abs() < 3.7 * scale
    assert torch.allclose(quantizer.expand(u)[inner], y[inner], atol=1e-9 * scale)
    assert quantizer.expand(u).abs().max() == pytest.approx(3.719 * scale, rel=1e-3)
    assert u.round().abs().max() == 2 ** (bits - 1) - 1


PUBLISHED = {
    "paper_ct_f8c8": (3, 1, 3, 8),
    "paper_hyperspectral_f8c8": (3, 1, 3, 8),
    "paper_hyperspectral_f4c56": (2, 224, 2, 56),
    "paper_video_f8c12": (3, 3, 3, 12),
    "paper_video_f8c48": (3, 3, 3, 48),
    "paper_array_audio_f128c28": (1, 7, 7, 28),
    "paper_music_f512c16": (1, 2, 9, 16),
    "paper_rgb_f16c12": (2, 3, 4, 12),
    "paper_rgb_f16c48": (2, 3, 4, 48),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_recipes_run_on_the_meta_device(name):
    recipe = load_recipe(name)
    axes, channels, levels, latent = PUBLISHED[name]
    assert (recipe.axes, recipe.modality.channels, recipe.codec.levels) == (axes, channels, levels)
    summary = summarise(recipe, (5 * 2**levels,) * axes)
    assert summary.grid == (5,) * axes and summary.latent_channels == latent
    assert summary.dimension_reduction == channels * 2 ** (levels * axes) / latent
    assert f"dimension reduction {summary.dimension_reduction:g}" in recipe.description
    spec = recipe.codec
    assert (spec.boundary, spec.packet_order, spec.compand) == ("folded", "paper", True)
    assert (spec.encoder.kind, spec.encoder.depth, spec.decoder.kind, spec.decoder.depth) == ("paper", 4, "vit", 8)
    assert (recipe.training.rate, recipe.training.rate_weight) == ("global", 0.03)


def test_too_short_an_axis_is_advised_against():
    assert not summarise(load_recipe("paper_ct_f8c8"), (40, 40, 40)).advice
    (line,) = summarise(load_recipe("paper_ct_f8c8"), (40, 32, 40)).advice
    assert "shorter than 40, 40, 40 samples, got 40, 32, 40" in line


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["codec.levels=[1, 2, 1]", "training.crop=[48]"], "paper needs one number of levels"),
        (["codec.encoder={kind: pointwise, kernel_size: 3}"], "expected kernel_size 1 for kind pointwise"),
        (["codec.decoder.kernel_size=3"], "expected kernel_size 1 for kind vit"),
        (["codec.quantizer.bits=6"], "expected bits 8 for kind laplace"),
        (["codec.encoder.kernel_size=3", "modality.axes=[a, b, c, d]", "codec.levels=1"], "at most 3 axes"),
    ],
)
def test_settings_that_belong_elsewhere_are_refused(overrides, words):
    with pytest.raises(SpecError, match=words):
        load_recipe("paper_ct_f8c8", overrides)
