"""The codec between tensors: shapes, crops, token slices, quantisers, noise."""

import math

import pytest
import torch

import liveaction.codec.model as model
from liveaction.codec.model import Codec, build_codec
from liveaction.coding.quantize import LaplaceQuantizer, add_noise, to_symbols
from liveaction.errors import ShapeError, SpecError
from liveaction.kernels import parallel
from liveaction.recipe import load_recipe
from liveaction.spec import CodecSpec
from liveaction.transforms.wavelet import support

SMALL = {"latent_channels": 4, "levels": 2, "encoder": {"depth": 2}, "decoder": {"depth": 1, "head_dim": 4}}


def small(channels, axes, **changes):
    return Codec(CodecSpec.model_validate(SMALL | changes), channels, axes)


@pytest.mark.parametrize("decoder", ["vit", "light", "linear"])
@pytest.mark.parametrize(
    ("channels", "extents"),
    [(7, (65,)), (3, (9, 17)), (1, (7, 8, 5)), (1, (3, 5, 4, 6)), (1, (1, 1, 1)), (2, (1,))],
    ids=str,
)
def test_any_number_of_axes_any_extent(channels, extents, decoder):
    codec = small(channels, len(extents), decoder=SMALL["decoder"] | {"kind": decoder}).eval()
    x = torch.rand(2, channels, *extents) * 2 - 1
    with torch.no_grad():
        y = codec.encode(x)
        symbols = codec.quantize(y)
        back = codec.decode(symbols, extents)
        one = codec.encode(x[1:])
    assert y.shape == (2, 4, *(-(-n // 4) for n in extents)) and y.dtype == torch.float32
    assert symbols.dtype == torch.int32 and back.shape == x.shape
    assert torch.allclose(y[1:], one, atol=1e-5)
    out = codec(x)
    assert out.reconstruction.shape == x.shape and out.companded.shape == y.shape


def pointwise_codec():
    torch.manual_seed(0)
    return build_codec(load_recipe("ct_f8c8", ["codec.decoder.kind=linear"])).eval()


def test_encoding_a_crop_equals_cropping_the_encoding():
    codec = pointwise_codec()
    halo = support("bior4.4", 3)
    x = torch.rand(1, 1, 96, 104, 120) * 2 - 1
    with torch.no_grad():
        whole = codec.encode(x)
        inside = codec.encode(x[:, :, :64, 40 - halo : 56 + halo, 48:])
    part = whole[:, :, :4, 5:7, 10:]
    crop = inside[:, :, :4, halo // 8 : halo // 8 + 2, 4:]
    assert crop.shape == part.shape
    assert (crop - part).abs().max() < 2e-5 * whole.abs().max()


def test_the_published_encoder_looks_at_the_whole_input():
    torch.manual_seed(0)
    codec = build_codec(load_recipe("paper_ct_f8c8", ["codec.decoder.depth=0"])).eval()
    x = torch.rand(1, 1, 48, 48, 48) * 2 - 1
    other = x.clone()
    other[..., 40:] = 0.9
    with torch.no_grad():
        assert (codec.encode(x) - codec.encode(other))[..., 0].abs().max() > 1e-3


def test_pieces_of_tokens_change_nothing(monkeypatch):
    codec = pointwise_codec()
    x = torch.rand(2, 1, 40, 48, 56) * 2 - 1
    with torch.no_grad():
        whole = codec.encode(x)
        monkeypatch.setattr(parallel, "TOKENS", 17)
        monkeypatch.setattr(parallel, "SMALLEST", 5)
        assert torch.allclose(codec.encode(x), whole, atol=1e-5)


@pytest.mark.parametrize("extents", [(40, 152, 56), (203, 40, 33)], ids=str)
def test_slabs_change_nothing(monkeypatch, extents):
    codec = pointwise_codec()
    x = torch.rand(2, 1, *extents) * 2 - 1
    with torch.no_grad():
        whole = codec.encode(x)
        seen = []
        analyse = codec.analyse
        monkeypatch.setattr(codec, "analyse", lambda part: seen.append((part, analyse(part))) or seen[-1][1])
        monkeypatch.setattr(model, "MOST_AT_ONCE", x.numel() * 9 // 10)
        assert torch.allclose(codec.encode(x), whole, atol=1e-5)
        assert len(seen) > 1 and sum(part.numel() for part, _ in seen) > x.numel()
        # the packets themselves to the last bit
        packets = analyse(x)
        first = seen[0][1]
        axis = max(range(3), key=lambda a: extents[a]) + 2
        inner = first.narrow(axis, 0, first.shape[axis] - 4)
        assert torch.equal(inner, packets.narrow(axis, 0, inner.shape[axis]))


def test_float64_and_bfloat16():
    torch.manual_seed(0)
    codec = small(1, 2)
    x = torch.rand(1, 1, 32, 32) * 2 - 1
    with torch.no_grad():
        single = codec.encode(x)
        codec.compute_dtype = torch.bfloat16
        half = codec.encode(x)
        codec.compute_dtype = torch.float32
        double = codec.double().encode(x.double())
    assert single.dtype == half.dtype == torch.float32 and double.dtype == torch.float64
    scale = double.abs().max()
    assert (single - double).abs().max() < 1e-5 * scale
    assert 1e-5 * scale < (half - double).abs().max() < 0.1 * scale


def test_wrong_tensors_are_refused():
    codec = small(1, 2)
    for shape in [(1, 2, 8, 8), (1, 1, 8), (1, 1, 8, 0), (0, 1, 8, 8)]:
        with pytest.raises(ShapeError, match=r"codec: expected \[B, 1, \*S\] with 2 axes"):
            codec.encode(torch.zeros(shape))
    with pytest.raises(ShapeError, match="expected symbols"):
        codec.decode(torch.zeros(1, 4, 2, 3), (8, 8))
    with pytest.raises(SpecError, match="expected a divisor of the hidden width 16, got 5"):
        small(1, 2, decoder={"depth": 1, "head_dim": 5})


def test_noise_stands_for_rounding():
    u = torch.zeros(100_000)
    noise = add_noise(u, 0.4, torch.Generator().manual_seed(0))
    assert noise.min() >= -0.2 and noise.max() < 0.2
    assert noise.var().item() == pytest.approx(0.4**2 / 12, rel=0.02)
    assert torch.equal(noise, add_noise(u, 0.4, torch.Generator().manual_seed(0)))


def test_rounding_is_half_to_even_and_gives_the_encoder_no_gradient():
    assert to_symbols(torch.tensor([0.5, 1.5, -0.5, 2.5, 0.26]), 1.0).tolist() == [0, 2, 0, 2, 0]
    codec = small(1, 2)
    codec(torch.rand(1, 1, 16, 16), rounded=True).reconstruction.sum().backward()
    assert all(p.grad is None for p in codec.encoder.parameters())
    assert any(p.grad is not None for p in codec.decoder.parameters())


def test_the_laplace_quantiser_is_the_distribution_function():
    quantizer = LaplaceQuantizer(1.0, 3).double()
    y = torch.randn(2, 3, 50, dtype=torch.float64) * 60
    expected = 254 * torch.distributions.Laplace(0.0, torch.tensor(42.0, dtype=torch.float64)).cdf(y) - 127
    u = quantizer.compand(y)
    assert (u - expected).abs().max() < 1e-10 and u.abs().max() < 127
    zero = torch.zeros(1, 3, 1, dtype=torch.float64, requires_grad=True)
    quantizer.compand(zero).sum().backward()
    assert torch.allclose(zero.grad, torch.full_like(zero, 127 / 42))
    assert torch.autograd.gradcheck(quantizer.compand, y[:, :, :5].requires_grad_())


def test_another_step_is_used_both_ways():
    codec = small(1, 2)
    y = torch.randn(1, 4, 2, 2) * 3
    coarse, fine = codec.quantize(y, 2.0), codec.quantize(y, 0.5)
    assert (coarse * 2.0 - y).abs().max() <= 1.0 and (fine * 0.5 - y).abs().max() <= 0.25
    with torch.no_grad():
        assert torch.allclose(codec.decode(coarse, (8, 8), 2.0), codec.synthesise(coarse * 2.0, (8, 8)))


@pytest.mark.parametrize("kind", ["pointwise", "linear", "paper"])
@pytest.mark.parametrize("quantizer", ["uniform", "laplace"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_symbols_are_the_quantised_latents(kind, quantizer, dtype, monkeypatch):
    changes = {"encoder": {"kind": kind}, "quantizer": {"kind": quantizer}, "compute_dtype": dtype}
    codec = small(2, 2, **changes)
    x = torch.rand(2, 2, 61, 200) * 2 - 1
    with torch.no_grad():
        expected = codec.quantize(codec.encode(x), 0.01)
    sizes = []
    quantize = codec.quantize
    monkeypatch.setattr(codec, "quantize", lambda y, step: sizes.append(y.numel()) or quantize(y, step))
    symbols = codec.to_symbols(x, 0.01)
    assert symbols.dtype == torch.int32 and torch.equal(symbols, expected) and symbols.unique().numel() > 5
    if kind != "paper":
        assert max(sizes) < symbols.numel() == sum(sizes)  # where they are made, not as a whole
    monkeypatch.setattr(model, "MOST_AT_ONCE", x.numel() // 2)
    assert torch.equal(codec.to_symbols(x, 0.01), expected)


def test_a_step_too_small_for_exact_symbols_is_refused():
    codec = small(1, 2)
    y = torch.full((1, 4, 2, 2), 8.0)
    assert codec.quantize(y, 1e-6).unique().tolist() == [8_000_000]
    with pytest.raises(SpecError, match=r"expected symbols below 2\*\*24, got .* take a step of at least 1e-06"):
        codec.quantize(y, 1e-9)
    with pytest.raises(SpecError, match="expected symbols below"):
        codec.quantize(y * float("nan"))
    with pytest.raises(SpecError, match="expected symbols below"):
        codec.to_symbols(torch.rand(1, 1, 40, 40), 1e-12)


@pytest.mark.parametrize(("extents", "levels"), [((203, 12, 9), 2), ((9, 150, 17), 1), ((2000,), 3), ((8, 8, 400), 3)])
def test_parts_of_a_linear_codec_are_those_of_the_whole(extents, levels, monkeypatch):
    axes = ["x", "y", "z"][: len(extents)]
    settings = [f"codec.levels={levels}", "codec.latent_channels=2", "training.crop=[8]", f"modality.axes={axes}"]
    codec = build_codec(load_recipe("ct_klt", settings)).eval()
    with torch.no_grad():
        symbols = codec.to_symbols(torch.rand(1, 1, *extents) * 2 - 1, 0.01)
        whole = codec.decode(symbols, extents, 0.01)
        monkeypatch.setattr(model, "MOST_AT_ONCE", math.prod(extents) // 6)
        parts = list(codec.decode_slabs(symbols, extents, 0.01))
        again = codec.decode(symbols, extents, 0.01)
    axis = extents.index(max(extents))
    assert len(parts) > 2 and {part.axis for part in parts} == {axis}
    ends = [part.start + part.x.shape[axis + 2] for part in parts]
    assert [part.start for part in parts] == [0, *ends[:-1]] and ends[-1] == extents[axis]
    assert again.shape == whole.shape and (again - whole).abs().max() < 1e-5


def test_parts_of_a_network_know_their_neighbours(monkeypatch):
    torch.manual_seed(0)
    codec = build_codec(load_recipe("ct_smoke")).eval()
    symbols = torch.randint(-3, 4, (1, 32, 40, 2, 2))
    with torch.no_grad():
        whole = codec.decode(symbols, (320, 16, 16))
        monkeypatch.setattr(model, "MOST_AT_ONCE", 16 * 16 * 8 * 10)
        parts = codec.decode(symbols, (320, 16, 16))
        linear = codec.decode(symbols * 0, (320, 16, 16))
    # two blocks that look one latent far each: with a halo of one, only what is next to a cut may differ
    error = (parts - whole).square().mean((0, 1, 3, 4)).sqrt()
    assert error.max() < 0.05 * (whole - linear).square().mean().sqrt() and (error < 1e-6).float().mean() > 0.5


def test_a_large_signal_is_asked_for_slab_by_slab(monkeypatch):
    codec = build_codec(load_recipe("ct_klt")).eval()
    x = torch.rand(1, 1, 400, 16, 16) * 2 - 1
    whole = codec.to_symbols(x)
    asked = []

    class Source:
        shape = x.shape

        def narrow(self, dim, start, length):
            asked.append(length)
            return x.narrow(dim, start, length)

    monkeypatch.setattr(model, "MOST_AT_ONCE", 16 * 16 * 160)
    assert torch.equal(codec.to_symbols(Source()), whole)
    assert len(asked) > 3 and max(asked) <= 176
