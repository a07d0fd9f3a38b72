"""Norms, blocks, attention, encoder and decoder: formulas, shapes on any axes, what a token sees, gradients."""

import pytest
import torch
import torch.nn.functional as F

from liveaction.errors import SpecError
from liveaction.kernels.linear_attention import linear_attention
from liveaction.nn.attention import LinearAttention
from liveaction.nn.blocks import (
    Depthwise,
    LightBlock,
    MBConv,
    PaperBlock,
    PointwiseBlock,
    Scale,
    SqueezeExcite,
    ViTBlock,
)
from liveaction.nn.decoder import Decoder
from liveaction.nn.encoder import Encoder
from liveaction.nn.monarch import Dense, Monarch
from liveaction.nn.norm import ChannelNorm, make_group_norm
from liveaction.spec import DecoderSpec, EncoderSpec

GRIDS = [(7,), (5, 3), (2, 3, 4), (2, 1, 3, 2)]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_channel_norm_is_its_formula_token_by_token(grid):
    norm = ChannelNorm(6, eps=1e-3).double()
    with torch.no_grad():
        norm.gain.copy_(torch.arange(6.0))
    x = torch.randn(2, 6, *grid, dtype=torch.float64)
    for place in [(0, *(0,) * len(grid)), (1, *(n - 1 for n in grid))]:
        token = x[(place[0], slice(None), *place[1:])]
        expected = torch.arange(6.0) * token / (token.square().mean() + 1e-3).sqrt()
        assert torch.allclose(norm(x)[(place[0], slice(None), *place[1:])], expected)
    assert torch.autograd.gradcheck(norm, x[..., :2].requires_grad_())


def test_channel_norm_of_16_bit_tokens_sums_in_float32():
    x = torch.full((1, 300, 2), 300.0, dtype=torch.float16)
    y = ChannelNorm(300)(x)
    assert y.dtype == torch.float16 and torch.allclose(y.float(), torch.ones(1, 300, 2), atol=2e-3)


@pytest.mark.parametrize(("channels", "groups"), [(512, 8), (12, 4), (6, 2), (7, 1), (1, 1), (8, 8)])
def test_group_norm_takes_8_groups_or_what_divides(channels, groups):
    norm = make_group_norm(channels, 1e-7)
    assert (norm.num_groups, norm.num_channels, norm.eps) == (groups, channels, 1e-7)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_layer_scale_is_one_factor_per_channel(grid):
    scale = Scale(3, 0.1)
    assert torch.allclose(scale.factor, torch.full((3,), 0.1))
    with torch.no_grad():
        scale.factor.copy_(torch.tensor([1.0, 2, 3]))
    x = torch.randn(2, 3, *grid)
    assert torch.equal(scale(x), torch.stack([x[:, 0], 2 * x[:, 1], 3 * x[:, 2]], 1))


def test_a_pointwise_block_is_the_sequence_of_its_docstring():
    block = PointwiseBlock(12).double()
    x = torch.randn(2, 12, 5, dtype=torch.float64)

    def norm(v):
        return v / (v.square().mean(1, keepdim=True) + 1e-6).sqrt()

    first, second = block.first.dense(), block.second.dense()
    expected = x + 0.1 * norm(second @ F.gelu(norm(first @ x), approximate="tanh"))
    assert torch.allclose(block(x), expected, atol=1e-7)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_pointwise_block_looks_at_one_token_only(grid):
    block = PointwiseBlock(16).double()
    x = torch.randn(1, 16, *grid, dtype=torch.float64, requires_grad=True)
    place = tuple(n // 2 for n in grid)
    block(x)[(0, slice(None), *place)].sum().backward()
    touched = x.grad[0].abs().amax(0) > 0
    assert touched[place] and touched.sum() == 1


@pytest.mark.parametrize(
    "make",
    [
        PaperBlock,
        SqueezeExcite,
        lambda width: LinearAttention(width, 4, 1e-5),
        lambda width: ViTBlock(width, 2, 4, 2, False, 1e-5),
    ],
    ids=["paper", "squeeze-excite", "attention", "vit"],
)
def test_these_look_at_every_token(make):
    block = make(16).double()
    x = torch.randn(1, 16, 6, 7, dtype=torch.float64, requires_grad=True)
    (block(x)[0, :, 0, 0] * torch.randn(16)).sum().backward()
    assert (x.grad[0].abs().amax(0) > 0).all()


def test_squeeze_excite_gates_channels_by_the_pooled_vector():
    gate = SqueezeExcite(8).double()
    with torch.no_grad():
        gate.reduce.bias.normal_()
        gate.expand.bias.normal_()
    x = torch.randn(2, 8, 3, 4, dtype=torch.float64)
    pooled = x.mean((2, 3)).T
    hidden = F.gelu(gate.reduce.dense() @ pooled + gate.reduce.bias[:, None], approximate="tanh")
    factors = torch.sigmoid(gate.expand.dense() @ hidden + gate.expand.bias[:, None]).T
    assert gate.reduce.c_out == 2
    assert torch.allclose(gate(x), x * factors[:, :, None, None])


def test_attention_is_heads_of_the_kernel_then_projection_and_norm():
    module = LinearAttention(6, 2, 1e-5).double()
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    tokens = x.flatten(2)
    q, k, v = (module.qkv.weight[i * 6 : i * 6 + 6, :, 0] @ tokens for i in range(3))
    heads = [linear_attention(*(t[:, None, h : h + 2] for t in (q, k, v)))[:, 0] for h in (0, 2, 4)]
    expected = F.group_norm(module.project.weight[..., 0] @ torch.cat(heads, 1), 2)
    assert torch.allclose(module(x), expected.reshape(x.shape), atol=1e-9)
    assert LinearAttention(6, None, 1e-5).head_dim == 6
    with pytest.raises(SpecError, match="head_dim: expected a divisor of the hidden width 6, got 4"):
        LinearAttention(6, 4, 1e-5)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("separable", [False, True])
def test_depthwise_reads_the_neighbours_of_its_own_channel(grid, separable):
    depthwise = Depthwise(3, len(grid), separable).double()
    assert depthwise.joint == (len(grid) < 4 and not separable)
    x = torch.randn(1, 3, *grid, dtype=torch.float64, requires_grad=True)
    y = depthwise(x)
    assert y.shape == x.shape
    place = tuple(n // 2 for n in grid)
    y[(0, 1, *place)].backward()
    near = torch.ones(grid, dtype=torch.bool)
    for axis, (n, p) in enumerate(zip(grid, place, strict=True)):
        along = (torch.arange(n) - p).abs() <= 1
        near &= along.view(*(n if a == axis else 1 for a in range(len(grid))))
    assert torch.equal(x.grad[0, 1] != 0, near)
    assert x.grad[0, [0, 2]].abs().max() == 0


def test_depthwise_on_4_axes_is_one_convolution_per_axis():
    depthwise = Depthwise(2, 4).double()
    assert [conv.bias is None for conv in depthwise.convs] == [True, True, True, False]
    x = torch.randn(2, 2, 3, 4, 2, 5, dtype=torch.float64)
    expected = x
    for axis, conv in enumerate(depthwise.convs):
        padded = F.pad(expected.movedim(axis + 2, -1), (1, 1))
        n = x.shape[axis + 2]
        parts = [conv.weight[:, 0, t].view(2, 1, 1, 1, 1) * padded[..., t : t + n] for t in range(3)]
        expected = sum(parts).movedim(-1, axis + 2)
    assert torch.allclose(depthwise(x), expected + depthwise.convs[-1].bias.view(2, 1, 1, 1, 1))


@pytest.mark.parametrize("grid", [*GRIDS, (1,), (1, 1, 1), (1, 9)], ids=str)
@pytest.mark.parametrize(
    "make",
    [
        lambda axes: PointwiseBlock(16),
        lambda axes: PaperBlock(16),
        lambda axes: ViTBlock(16, axes, 8, 2, False, 1e-5),
        lambda axes: LightBlock(16, axes),
        lambda axes: MBConv(16, axes, 3, True, 1e-5),
    ],
    ids=["pointwise", "paper", "vit", "light", "mbconv"],
)
def test_blocks_keep_the_shape_on_any_axes_and_signals_apart(make, grid):
    block = make(len(grid))
    x = torch.randn(3, 16, *grid)
    y = block(x)
    assert y.shape == x.shape and torch.isfinite(y).all()
    for b in range(3):
        assert torch.allclose(block(x[b : b + 1]), y[b : b + 1], atol=1e-5)


@pytest.mark.parametrize("final", [False, True])
def test_the_published_activation_after_the_last_norm(final):
    block = MBConv(8, 1, 2, final, 1e-5)
    y = block(torch.randn(1, 8, 500))
    # GELU is never below -0.17; a normalised vector is
    assert (y.min() < -0.5) == (not final)


@pytest.mark.parametrize("kind", ["pointwise", "paper", "linear"])
@pytest.mark.parametrize("projection", ["dense", "monarch"])
def test_encoders(kind, projection):
    encoder = Encoder(EncoderSpec(kind=kind, depth=3, projection=projection), 1, 16, 4)
    assert len(encoder.blocks) == (0 if kind == "linear" else 3)
    assert isinstance(encoder.down, Dense if projection == "dense" else Monarch)
    assert projection == "dense" or encoder.down.bias is None
    for grid in GRIDS:
        assert encoder(torch.randn(2, 16, *grid)).shape == (2, 4, *grid)


def test_an_encoder_with_layer_scales_at_0_is_its_projection():
    encoder = Encoder(EncoderSpec(depth=2), 1, 16, 4)
    v = torch.randn(2, 16, 5)
    assert not torch.allclose(encoder(v), encoder.down(v))
    for block in encoder.blocks:
        torch.nn.init.zeros_(block.scale.factor)
    assert torch.equal(encoder(v), encoder.down(v))


@pytest.mark.parametrize("linear_path", [False, True])
@pytest.mark.parametrize("kind", ["vit", "light"])
@pytest.mark.parametrize("grid", [*GRIDS, (1,), (1, 1), (1, 1, 1), (13, 1, 2)], ids=str)
def test_decoders_take_any_extent(kind, linear_path, grid):
    spec = DecoderSpec(kind=kind, depth=2, head_dim=8, expansion=2, linear_path=linear_path)
    decoder = Decoder(spec, len(grid), 16, 4)
    y = torch.randn(2, 4, *grid)
    v = decoder(y)
    assert v.shape == (2, 16, *grid) and torch.isfinite(v).all()
    assert len(decoder.network) == 1 + 2 + linear_path
    residual = decoder.network(y)
    assert torch.allclose(v, residual + decoder.linear(y) if linear_path else residual)


def test_a_linear_decoder_is_its_linear_path():
    decoder = Decoder(DecoderSpec(kind="linear"), 2, 16, 4)
    y = torch.randn(1, 4, 3, 5)
    assert decoder.network is None and torch.equal(decoder(y), decoder.linear(y))


@pytest.mark.parametrize(
    "make", [PaperBlock, lambda width: ViTBlock(width, 3, None, 6, False, 1e-5)], ids=["paper", "vit"]
)
@pytest.mark.parametrize("width", [2, 4, 8])
def test_one_token_of_a_narrow_codec(make, width):
    x = torch.randn(1, width, 1, 1, 1)
    assert make(width)(x).shape == x.shape
