"""An encoder in the loop gives what a stream holds, passes gradients where asked, refuses what has no fixed latents."""

import pytest
import torch

import liveaction
from liveaction.codec.model import Model
from liveaction.errors import ShapeError, SpecError
from liveaction.learning.encode import Encode
from liveaction.learning.nets import token_net
from liveaction.learning.sources import LatentSource

LIMITS = (0.0, 255.0)
LINEAR = ["codec.encoder={kind: linear}", "codec.levels=2", "codec.latent_channels=6", "codec.quantizer.step=0.1"]


def model_of(recipe="rgb_smoke", settings=LINEAR):
    made = liveaction.load_recipe(recipe, settings)
    codec = liveaction.build_codec(made).eval().requires_grad_(False)
    return Model(codec, made, "0" * 64)


@pytest.fixture
def model():
    return model_of()


@pytest.fixture
def pictures():
    return torch.randint(0, 256, (3, 3, 17, 23)).float()


@pytest.mark.parametrize(
    "settings", [LINEAR, [*LINEAR, "codec.quantizer={kind: laplace, step: 1.0}", "training.start=random"]]
)
def test_latents_are_those_of_a_stream(pictures, settings):
    model = model_of(settings=settings)
    encode = Encode(model, limits=LIMITS)
    for signal, latents in zip(pictures, encode(pictures), strict=True):
        x = model.modality.normalise(signal.numpy(), encode.limits)
        symbols = model.codec.to_symbols(x[None])[0]
        assert torch.equal(latents, model.codec.quantizer.expand(symbols * encode.step))
    assert latents.dtype == torch.float32


def test_symbols_that_are_no_latents_are_not_kept():
    bent = model_of(settings=[*LINEAR, "codec.quantizer={kind: gaussian, bits: 8}", "training.start=random"])
    with pytest.raises(SpecError, match="with a quantiser whose symbols times a step are no latents"):
        LatentSource(bent)


@pytest.mark.parametrize("rounding", ["round", "noise", "none"])
@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 3, 0, 16), (1, 4, 16, 16)])
def test_samples_of_another_shape_are_refused(model, rounding, shape):
    with pytest.raises(ShapeError, match=r"expected \[B, "):
        Encode(model, limits=LIMITS, rounding=rounding)(torch.zeros(shape))


def test_missing_samples_are_told(model):
    with pytest.raises(SpecError, match="expected finite latents, got nan; look for NaN or infinite samples"):
        Encode(model, limits=LIMITS)(torch.full((1, 3, 16, 16), float("nan")))


@pytest.mark.parametrize("limits", [(-1024.0, 3071.0), (1e6, 1e6 + 1)])
def test_samples_in_the_unit_are_normalised_as_by_the_modality(model, limits):
    x = torch.linspace(limits[0] - 1, limits[1] + 1, 63).reshape(1, 7, 9)
    assert torch.equal(Encode._normalised(x, limits), model.modality.normalise(x.numpy(), limits))


@pytest.mark.parametrize("step", [None, 0.25])
def test_rounding_with_gradients_gives_the_same(model, pictures, step):
    plain, learning = Encode(model, step=step, limits=LIMITS), Encode(model, grad=True, step=step, limits=LIMITS)
    assert torch.equal(learning(pictures), plain(pictures))


@pytest.mark.parametrize("rounding", ["round", "noise", "none"])
def test_gradients_pass_to_samples_and_to_an_encoder_of_its_own(model, pictures, rounding):
    encode = Encode(model, grad=True, rounding=rounding, normalised=True)
    x = (pictures / 255).requires_grad_()
    encode(x).square().sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(each.grad is not None for each in encode.codec.encoder.parameters())
    assert not any(each.requires_grad for each in model.codec.parameters())


def test_without_gradients_nothing_learns_and_nothing_changes_mode(model, pictures):
    encode = Encode(model, limits=LIMITS).train()
    assert not encode(pictures.requires_grad_()).requires_grad
    assert not model.codec.training


def test_noise_stays_within_half_a_step(model, pictures):
    exact, noisy = (Encode(model, rounding=rounding, limits=LIMITS)(pictures) for rounding in ("none", "noise"))
    error = (noisy - exact).abs().max()
    assert 0.04 < error <= 0.0501


def test_a_network_behind_is_told_of_the_latents(model, pictures):
    encode = Encode(model, limits=LIMITS)
    statistics = encode.measure(pictures)
    spec = encode.spec((17, 23), "map", 5, statistics, names=tuple("abcde"))
    assert (spec.channels, spec.grid, spec.label_factors, spec.step) == (6, (5, 6), (4, 4), 0.1)
    net = torch.nn.Sequential(encode, token_net(spec, widths=(4,)))
    assert net(pictures).shape == (3, 5, 20, 24)
    scaled = net[1].body.stem.scaling(encode(pictures))
    assert float(scaled.mean((0, 2, 3)).abs().max()) < 1e-5
    assert float(scaled.square().mean()) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize(
    ("recipe", "settings", "words"),
    [
        ("hyperspectral_own", [], "same latents for every signal, got a basis of each signal's own"),
        ("rgb_predicted", [], "got predicted; take a recipe of kind linear or pointwise"),
        ("rgb_sparse", ["codec.trees=[{levels: 2}]"], "got several trees"),
        ("rgb_smoke", [*LINEAR, "modality.range={percentiles: [0, 100]}"], "give limits=.*, or samples in"),
    ],
)
def test_models_without_fixed_latents_are_refused(recipe, settings, words):
    with pytest.raises(SpecError, match=words):
        Encode(model_of(recipe, settings))


def test_settings_that_do_not_fit_are_refused(model, pictures):
    with pytest.raises(SpecError, match="rounding: expected round, noise or none, got 'up'"):
        Encode(model, rounding="up")
    with pytest.raises(SpecError, match="step: expected a positive number, got 0"):
        Encode(model, step=0)
    with pytest.raises(SpecError, match="extents: expected positive ones"):
        Encode(model, limits=LIMITS).spec((17,), "class", 2, Encode(model, limits=LIMITS).measure(pictures))
    with pytest.raises(ShapeError, match="codec: expected"):
        Encode(model, limits=LIMITS)(pictures[:, :1])
