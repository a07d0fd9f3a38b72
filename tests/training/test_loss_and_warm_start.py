"""Rate terms by their formulas; the warm start against a plain eigendecomposition."""

import math

import numpy as np
import pytest
import torch

from liveaction.codec.codec import Codec, build_codec
from liveaction.errors import SpecError
from liveaction.nn.blocks import Block
from liveaction.recipe import load_recipe
from liveaction.spec import CodecSpec
from liveaction.training.loss import distortion, rate, symbol_entropy
from liveaction.training.warm_start import packet_moments, warm_start


def test_distortion():
    x = torch.zeros(2, 3)
    assert distortion(x, x + 0.1).item() == pytest.approx(-2)
    assert distortion(x, x).item() == pytest.approx(-10)


def test_rate_terms_are_their_formulas():
    u = torch.randn(3, 4, 5, 6, dtype=torch.float64) * torch.tensor([0.1, 1, 2, 30]).view(1, 4, 1, 1) + 5
    flat = (u / 0.5).transpose(0, 1).reshape(4, -1).numpy()
    assert rate(u, 0.5, "global").item() == pytest.approx(np.log2(flat.std()))
    assert rate(u, 0.5, "channel").item() == pytest.approx(np.mean(np.log2(flat.std(1))))
    assert rate(u, 0.5, "gaussian").item() == pytest.approx(np.sum(0.5 * np.log2(1 + 12 * flat.var(1))))
    deviation = flat - flat.mean(1, keepdims=True)
    assert rate(u, 0.5, "local").item() == pytest.approx(np.sum(np.mean(0.5 * np.log2(1 + 12 * deviation**2), 1)))


@pytest.mark.parametrize("kind", ["local", "gaussian", "channel", "global"])
def test_rates_of_constants_are_finite_with_gradients(kind):
    u = torch.full((1, 2, 4), 3.0, requires_grad=True)
    value = rate(u, 0.2, kind)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(u.grad).all()


def test_symbol_entropy_of_known_histograms():
    even = torch.tensor([[[0, 1, 2, 3]], [[0, 1, 2, 3]]]).transpose(0, 1)
    assert symbol_entropy(even) == pytest.approx(2)
    assert symbol_entropy(torch.zeros(1, 3, 9, dtype=torch.int32)) == 0
    mixed = torch.tensor([[[0, 0, 0, 1], [5, 5, 5, 5]]])
    assert symbol_entropy(mixed) == pytest.approx((0.25 * math.log2(4) + 0.75 * math.log2(4 / 3)) / 2)


SPEC = CodecSpec.model_validate(
    {"latent_channels": 3, "levels": 2, "encoder": {"depth": 2}, "decoder": {"depth": 1, "head_dim": 4}}
)


def test_step_0_is_the_best_affine_map_of_its_rank():
    torch.manual_seed(0)
    codec = Codec(SPEC, 1, 2).double()
    x = torch.randn(6, 1, 24, 28, dtype=torch.float64).cumsum(2).cumsum(3) / 50 - 0.3
    moments = packet_moments(codec, x.split(2))
    v = codec.packets(x).transpose(0, 1).flatten(1).numpy()
    assert moments.tokens == v.shape[1]
    assert np.allclose(moments.mean, v.mean(1)) and np.allclose(moments.covariance, np.cov(v, bias=True))
    values = warm_start(codec, moments)
    centred = v - v.mean(1, keepdims=True)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(values[: len(singular)], singular**2 / v.shape[1])
    best = left[:, :3] @ left[:, :3].T @ centred + v.mean(1, keepdims=True)
    with torch.no_grad():
        ours = codec.decoder(codec.encoder(codec.packets(x))).transpose(0, 1).flatten(1).numpy()
    assert np.abs(ours - best).max() < 1e-6 * np.abs(v).max()
    assert all(block.scale.factor.abs().max() == 0 for block in codec.encoder.blocks)


def test_without_layer_scale_the_warm_start_is_the_same_codec_and_the_last_gain_learns():
    encoder = SPEC.encoder.model_copy(update={"layer_scale": None})
    codecs = [Codec(SPEC, 1, 2), Codec(SPEC.model_copy(update={"encoder": encoder}), 1, 2)]
    x = torch.randn(2, 1, 24, 24).cumsum(2) / 5
    for codec in codecs:
        warm_start(codec, packet_moments(codec, [x]))
    assert torch.equal(*(codec.encode(x) for codec in codecs))
    block = codecs[1].encoder.blocks[0]
    assert dict(block.scale.named_parameters()) == {} and torch.equal(
        block.scale.factor, torch.ones(block.scale.factor.shape)
    )
    codecs[1](x).reconstruction.square().mean().backward()
    assert block.norm2.gain.grad.abs().max() > 0


@pytest.mark.parametrize("kind", ["pointwise", "paper"])
def test_whatever_its_blocks_the_encoder_starts_as_its_projection(kind):
    torch.manual_seed(0)
    encoder = SPEC.encoder.model_copy(update={"kind": kind})
    codec = Codec(SPEC.model_copy(update={"encoder": encoder}), 1, 2)
    x = torch.randn(2, 1, 24, 24).cumsum(2) / 5
    before = codec.encode(x)
    warm_start(codec, packet_moments(codec, [x]))
    assert codec.encoder.blocks and torch.equal(codec.encode(x), codec.encoder.down(codec.analyse(x)))
    assert not torch.allclose(before, codec.encode(x))
    codec(x).reconstruction.square().mean().backward()
    first = codec.encoder.blocks[0]
    last = first.scale.factor if kind == "pointwise" else first.norm2.weight
    assert last.grad.abs().max() > 0


def test_a_block_that_cannot_start_as_the_identity_is_refused():
    codec = Codec(SPEC, 1, 2)
    codec.encoder.blocks.append(Block())
    with pytest.raises(SpecError, match="encoder blocks that can start as the identity, got Block; set start to rand"):
        warm_start(codec, packet_moments(codec, [torch.randn(1, 1, 24, 24)]))


def test_the_warm_start_leaves_gradients_everywhere_it_can_and_is_reproducible():
    weights = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        codec = Codec(SPEC, 1, 2)
        x = torch.linspace(-1, 1, 4 * 32 * 32).reshape(4, 1, 32, 32) ** 3
        x = x + 0.1 * torch.sin(torch.arange(4 * 32 * 32.0).reshape(4, 1, 32, 32) / 7)
        warm_start(codec, packet_moments(codec, [x]))
        weights.append(codec.encoder.down.weight.detach())
    assert torch.allclose(weights[0], weights[1], atol=1e-6)
    codec(x).reconstruction.square().mean().backward()
    assert codec.encoder.blocks[0].scale.factor.grad.abs().max() > 0
    assert codec.decoder.network[-1].w2.grad.abs().max() > 0


def test_codecs_that_cannot_take_it_are_refused():
    codec = build_codec(load_recipe("paper_ct_f8c8", ["codec.decoder.depth=0", "codec.encoder.depth=0"]))
    moments = packet_moments(codec, [torch.zeros(1, 1, 8, 8, 8)])
    with pytest.raises(SpecError, match="warm needs a dense encoder projection"):
        warm_start(codec, moments)
    with pytest.raises(SpecError, match="expected at least one crop"):
        packet_moments(codec, [])
