"""Mirrored warm starts: a flip of a signal is one of its latents, with a sign per channel; what does not keep it."""

import numpy as np
import pytest
import torch

import liveaction
from liveaction.codec.codec import build_codec
from liveaction.codec.flips import flip_signs, packet_signs
from liveaction.codec.model import Model
from liveaction.errors import SpecError
from liveaction.learning.exact import exact_of
from liveaction.recipe import load_recipe
from liveaction.spec import Recipe
from liveaction.training.warm_start import Moments, mirrored, packet_moments, parities, start_warm, warm_start

NAMES = ["t", "z", "y", "x"]


def recipe_of(axes, channels, wavelet, levels=2, **training):
    return Recipe.model_validate(
        {
            "name": "mirrored",
            "modality": {"name": "array", "axes": NAMES[4 - axes :], "channels": channels, "range": [-2, 1]},
            "codec": {
                "wavelet": wavelet,
                "levels": levels,
                "latent_channels": min(11, channels * 2 ** (levels * axes)),
                "encoder": {"kind": "linear"},
                "decoder": {"kind": "linear"},
            },
            "training": {"steps": 0, "crop": [16], "mirror": NAMES[4 - axes :]} | training,
        }
    )


def like_signals(channels, extents, seed=0):
    """Brownian fields with a mean, edges and channels that have something in common."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, channels, *extents, generator=generator)
    for axis in range(2, x.ndim):
        x = x.cumsum(axis) / extents[axis - 2] ** 0.5
    return (x + x[:, :1] + 0.3).clamp(-1, 1)


@pytest.mark.parametrize("wavelet", ["haar", "rbio1.3", "bior3.3"])
@pytest.mark.parametrize(
    ("channels", "extents"), [(3, (36, 52)), (1, (4, 8)), (5, (28, 4)), (1, (64,)), (2, (12, 16, 8))]
)
def test_every_symbol_of_a_mirrored_signal_is_its_own_with_a_sign(wavelet, channels, extents):
    recipe = recipe_of(len(extents), channels, wavelet)
    codec = build_codec(recipe).eval().requires_grad_(False)
    x = like_signals(channels, extents)
    values = warm_start(codec, packet_moments(codec, x.split(1)), range(len(extents)))
    assert (values.diff() <= 0).all()
    symbols = codec.to_symbols(x, 0.03)
    assert symbols.abs().max() > 9
    for axis in range(len(extents)):
        signs = flip_signs(codec, axis)
        assert signs.shape == (codec.latents,) and {*signs.tolist()} == {-1, 1}
        wanted = symbols.flip(axis + 2) * signs.view(-1, *(1 for _ in extents))
        assert torch.equal(codec.to_symbols(x.flip(axis + 2), 0.03), wanted)


def test_moments_are_those_of_the_signals_and_all_their_mirror_images():
    codec = build_codec(recipe_of(2, 2, "bior1.3"))
    x = like_signals(2, (24, 16)).double()
    images = [x, x.flip(2), x.flip(3), x.flip(2, 3)]
    ours = mirrored(packet_moments(codec, [x]), parities(codec, [0, 1]))
    theirs = packet_moments(codec, images)
    assert ours.tokens == theirs.tokens
    assert torch.allclose(ours.mean, theirs.mean, atol=1e-12)
    assert torch.allclose(ours.covariance, theirs.covariance, atol=1e-12)


def test_equal_eigenvalues_do_not_mix_parities():
    codec = build_codec(recipe_of(1, 1, "haar"))
    mixed = torch.ones(4, 4, dtype=torch.float64) + torch.eye(4)
    warm_start(codec, Moments(9, torch.ones(4, dtype=torch.float64), mixed - 1), [0])
    signs = flip_signs(codec, 0)
    assert signs.sum() == 0 and not codec.encoder.down.bias[signs < 0].any()


def test_without_it_flips_are_none_of_the_latents():
    x = like_signals(1, (32, 32))
    codec = build_codec(recipe_of(2, 1, "haar"))
    warm_start(codec, packet_moments(codec, [x]), [1])
    assert flip_signs(codec, 0) is None and flip_signs(codec, 1) is not None
    codec.encoder.down.bias.data += 1e-3
    assert flip_signs(codec, 1) is None
    assert packet_signs(build_codec(load_recipe("rgb_light")), 0) is None
    pointwise = build_codec(load_recipe("rgb_light", ["codec.wavelet=haar"]))
    assert packet_signs(pointwise, 0) is not None and flip_signs(pointwise, 0) is None


def test_sparse_latents_have_the_signs_of_their_packets():
    settings = ["codec.wavelet=haar", "codec.trees=[]", "codec.levels=2", "codec.lapped=0", "codec.continuation=0"]
    codec = build_codec(load_recipe("rgb_sparse", settings)).eval().requires_grad_(False)
    x = like_signals(3, (24, 40))
    for axis in (0, 1):
        wanted = codec.encode(x).flip(axis + 2) * flip_signs(codec, axis).view(-1, 1, 1)
        assert torch.allclose(codec.encode(x.flip(axis + 2)), wanted, atol=1e-6)


def test_a_wavelet_of_odd_length_is_refused_before_data_are_read(tmp_path):
    recipe = recipe_of(2, 1, "bior4.4")
    with pytest.raises(SpecError, match=r"mirror: expected a wavelet of even length, .* got 'bior4.4' along axis 0"):
        liveaction.train(recipe, "synthetic:1", tmp_path / "run", device="cpu")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["training.mirror=[q]"], r"expected axes among \['y', 'x'\], each once, got \['q'\]"),
        (["training.mirror=[y, y]"], r"each once, got \['y', 'y'\]"),
        (["training.steps=5"], "training.steps 0, or training.freeze_at 0 so that the decoder alone learns, got 5"),
        (["codec.encoder={kind: pointwise}"], "codec.encoder.kind linear and training.start warm, got pointwise and"),
        (["training.start=random"], "got linear and random"),
    ],
)
def test_settings_that_do_not_keep_flips_are_refused(settings, message):
    with pytest.raises(SpecError, match=message):
        load_recipe("rgb_learn", settings)


def test_a_decoder_that_learns_leaves_flips_as_they_are(tmp_path):
    few = {"crop": [16], "warm_crops": 4}
    still = recipe_of(2, 1, "haar", **few, steps=2, freeze_at=0)
    learner = still.codec.decoder.model_copy(update={"kind": "light", "depth": 1})
    still = still.model_copy(update={"codec": still.codec.model_copy(update={"decoder": learner})})
    made = liveaction.train(still, "synthetic:2", tmp_path / "run", device="cpu")
    exact = exact_of(liveaction.load(made.folder, device="cpu"))
    assert [*exact.flips] == ["y", "x"] and exact.linear
    plain = liveaction.train(recipe_of(2, 1, "haar", **few, mirror=[]), "synthetic:2", tmp_path / "plain", device="cpu")
    again = recipe_of(2, 1, "haar", **few)
    with pytest.raises(SpecError, match=r"expected latents that flip along 'y' as training.mirror says, got others"):
        liveaction.train(again, "synthetic:2", tmp_path / "new", device="cpu", start_from=plain.folder)


def test_what_is_exact_on_latents():
    recipe = recipe_of(2, 1, "rbio1.3")
    codec = build_codec(recipe).eval().requires_grad_(False)
    warm_start(codec, packet_moments(codec, [like_signals(1, (32, 32))]), [0, 1])
    model = Model(codec, recipe, "0" * 64)
    exact = exact_of(model)
    assert exact.linear and exact.reach == (2, 2) and [*exact.flips] == ["y", "x"]
    signal = model.modality.synthetic(0, (32, 32))
    zero = model.modality.normalise(np.zeros_like(signal.values), (-2, 1))[None]
    there = torch.tensor(exact.zero)[:, None, None]
    assert torch.allclose(codec.encode(zero)[0], there.expand(-1, 8, 8), atol=1e-6)
    ones = codec.encode(model.modality.normalise(np.ones_like(signal.values), (-2, 1))[None])[0]
    assert torch.allclose(ones - there, torch.tensor(exact.one)[:, None, None].expand(-1, 8, 8), atol=1e-6)
    x = model.modality.normalise(signal.values / 2, (-2, 1))[None]
    half = (model.encode(signal)[0] - there) / 2 + there
    assert torch.allclose(codec.encode(x)[0], half, atol=1e-5)


@pytest.mark.parametrize(("name", "linear"), [("rgb_light", False), ("rgb_predicted", True), ("ct_sparse", False)])
def test_what_is_exact_of_shipped_recipes(name, linear):
    recipe = load_recipe(name)
    exact = exact_of(Model(build_codec(recipe), recipe, "0" * 64))
    assert exact.linear == linear and exact.flips == {}


@pytest.mark.parametrize("mirror", [[], [0, 1]])
def test_detail_keeps_a_basis_that_decorrelates_and_flips(mirror):
    codec = build_codec(load_recipe("rgb_learn", ["codec.latent_channels=12"])).eval()
    torch.manual_seed(3)
    x = torch.randn(4, 3, 48, 40).cumsum(-1).cumsum(-2)
    x = x / x.abs().max()
    found = {}
    for detail in (0.0, 1.0):
        start_warm(codec, [x], mirror, detail)
        weight = codec.encoder.down.weight.double()
        assert torch.allclose(weight @ weight.T, torch.eye(12, dtype=torch.float64), atol=1e-6)
        y = codec.encode(x).transpose(0, 1).flatten(1).double()
        moments = torch.cov(y) if not mirror else y @ y.T / y.shape[1]
        between = moments - torch.diag(moments.diagonal())
        assert between.abs().max() < (0.35 if mirror else 1e-3) * moments.diagonal().max()
        assert all(flip_signs(codec, axis) is not None for axis in mirror)
        found[detail] = weight, codec.decoder.linear.weight.double()
    v = codec.analyse(x).transpose(0, 1).flatten(1).double()
    v = v - v.mean(1, keepdim=True)
    left = {detail: (v - up @ (down @ v)).square().mean(1) for detail, (down, up) in found.items()}
    assert left[0.0].sum() < left[1.0].sum()  # the KLT leaves least
    shares = {detail: (error / v.square().mean(1)).mean() for detail, error in left.items()}
    assert shares[1.0] < shares[0.0]  # but not of each packet's own variance
