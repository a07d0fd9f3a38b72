"""Quantisers: rounding, the Laplace compander by torch.distributions, noise."""

import pytest
import torch

from liveaction.codec.codec import build_codec
from liveaction.coding.quantize import LaplaceQuantizer, UniformQuantizer, add_noise, build_quantizer, to_symbols
from liveaction.recipe import load_recipe
from liveaction.spec import QuantizerSpec


def test_rounding_is_half_to_even_in_units_of_the_step():
    halves = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5])
    assert to_symbols(halves, 1.0).tolist() == [-2, -2, 0, 0, 2, 2, 4]
    assert to_symbols(halves * 0.25, 0.25).tolist() == [-2, -2, 0, 0, 2, 2, 4]
    u = torch.randn(1000, dtype=torch.float64) * 9
    assert (0.3 * to_symbols(u, 0.3) - u).abs().max() <= 0.15 + 1e-12


def test_a_dead_zone_draws_values_towards_0_before_they_are_rounded():
    u = torch.tensor([-1.65, -0.65, -0.55, 0.0, 0.55, 0.59, 0.61, 1.59, 1.61, 7.7])
    assert to_symbols(u, 1.0, 0.1).tolist() == [-2, -1, 0, 0, 0, 0, 1, 1, 2, 8]
    assert torch.equal(to_symbols(u * 0.3, 0.3, 0.1), to_symbols(u, 1.0, 0.1))
    assert torch.equal(to_symbols(u, 1.0, 0.0), to_symbols(u, 1.0))


def test_a_codec_rounds_as_its_recipe_says_in_coding_and_in_training():
    plain, dead = (
        build_codec(load_recipe("ct_klt", ["codec.latent_channels=8", f"codec.quantizer.dead_zone={zone}"]))
        for zone in (0, 0.2)
    )
    dead.load_state_dict(plain.state_dict())
    x = torch.rand(1, 1, 16, 16, 16) * 2 - 1
    u = plain.encode(x) / plain.quantizer.step
    symbols = dead.to_symbols(x)
    assert torch.equal(symbols, to_symbols(u, 1.0, 0.2).int()) and not torch.equal(symbols, plain.to_symbols(x))
    rounded = dead(x, rounded=True).reconstruction
    assert torch.allclose(rounded, dead.decode(symbols, (16, 16, 16)), atol=1e-6)


def test_a_recipe_names_the_quantiser():
    uniform = build_quantizer(QuantizerSpec(kind="uniform", step=0.7), 3)
    laplace = build_quantizer(QuantizerSpec(kind="laplace", step=1), 3)
    assert isinstance(uniform, UniformQuantizer) and uniform.step == 0.7 and not list(uniform.parameters())
    assert isinstance(laplace, LaplaceQuantizer) and laplace.sigma.tolist() == [42, 42, 42]
    y = torch.randn(1, 3, 4)
    assert uniform.compand(y) is y


@pytest.mark.parametrize("grid", [(40,), (5, 8), (2, 4, 5)], ids=str)
def test_the_laplace_compander_is_254_times_the_distribution_function_less_127(grid):
    quantizer = LaplaceQuantizer(1.0, 3).double()
    with torch.no_grad():
        quantizer.sigma.copy_(torch.tensor([0.5, 42.0, 900.0]))
    y = torch.randn(2, 3, *grid, dtype=torch.float64) * 60
    u = quantizer.compand(y)
    for channel, sigma in enumerate(quantizer.sigma.detach()):
        expected = 254 * torch.distributions.Laplace(0.0, sigma).cdf(y[:, channel]) - 127
        assert (u[:, channel] - expected).abs().max() < 1e-10
    assert torch.equal(quantizer.compand(-y), -u)


def test_laplace_symbols_fit_8_bits_and_stay_finite():
    y = torch.tensor([-1e30, -1e5, 0.0, 1e-30, 1e5, 1e30]).view(1, 1, -1)
    u = LaplaceQuantizer(1.0, 1).compand(y)
    assert to_symbols(u, 1.0).flatten().tolist() == [-127, -127, 0, 0, 127, 127]
    assert u[0, 0, 3] > 0


def test_a_scale_that_reaches_0_gives_no_nan():
    quantizer = LaplaceQuantizer(1.0, 1)
    with torch.no_grad():
        quantizer.sigma.fill_(-1.0)
    y = torch.tensor([[[-1.0, 0.0, 2.0]]], requires_grad=True)
    u = quantizer.compand(y)
    u.sum().backward()
    assert u.flatten().tolist() == [-127, 0, 127] and torch.isfinite(y.grad).all()


@pytest.mark.parametrize("sigma", [0.3, 42.0])
def test_the_derivative_at_0_is_127_over_sigma(sigma):
    quantizer = LaplaceQuantizer(1.0, 2).double()
    with torch.no_grad():
        quantizer.sigma.fill_(sigma)
    for zero in (0.0, -0.0):
        y = torch.full((1, 2, 3), zero, dtype=torch.float64, requires_grad=True)
        quantizer.compand(y).sum().backward()
        assert torch.allclose(y.grad, torch.full_like(y, 127 / sigma))


def test_gradients_of_latents_and_scales():
    quantizer = LaplaceQuantizer(1.0, 2).double()
    y = torch.randn(2, 2, 4, dtype=torch.float64) * 50

    def compand(latents, sigma):
        return torch.func.functional_call(quantizer, {"sigma": sigma}, (latents,))

    quantizer.forward = quantizer.compand
    sigma = torch.tensor([3.0, 42.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(compand, (y.requires_grad_(), sigma))


@pytest.mark.parametrize("step", [0.05, 1.0, 7.0])
def test_noise_fills_half_a_step_to_either_side(step):
    u = torch.randn(2, 3, 20_000, dtype=torch.float64)
    noise = add_noise(u, step, torch.Generator().manual_seed(1)) - u
    assert noise.abs().max() <= step / 2 * (1 + 1e-9)
    assert noise.min() < -0.499 * step and noise.max() > 0.499 * step
    assert abs(noise.mean().item()) < 0.01 * step
    assert noise.var().item() == pytest.approx(step**2 / 12, rel=0.02)


def test_noise_comes_from_the_generator_it_is_given_or_the_global_one():
    u = torch.zeros(50)
    first = add_noise(u, 1.0, torch.Generator().manual_seed(3))
    assert torch.equal(first, add_noise(u, 1.0, torch.Generator().manual_seed(3)))
    torch.manual_seed(3)
    assert torch.equal(first, add_noise(u, 1.0, None))
    assert not torch.equal(first, add_noise(u, 1.0, None))


def test_noise_passes_the_gradient_unchanged():
    u = torch.randn(2, 3, 4, requires_grad=True)
    add_noise(u, 0.4, None).sum().backward()
    assert torch.equal(u.grad, torch.ones_like(u))
