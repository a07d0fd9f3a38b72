"""Companding, padding, norms and blocks."""

import pytest
import torch

from liveaction.errors import ShapeError
from liveaction.kernels.quantize import compand, expand
from liveaction.nn.blocks import Depthwise, LightBlock, MBConv, PaperBlock, PointwiseBlock, ViTBlock
from liveaction.nn.norm import ChannelNorm
from liveaction.transforms.window import crop, pad_to_multiple


def test_compand_is_its_formula_and_expand_its_inverse():
    v = torch.cat([torch.linspace(-30, 30, 601, dtype=torch.float64), torch.tensor([1e-9, -1e-9, 0.0]).double()])
    expected = 12.8 * v.sign() * ((v.abs() + 0.1) ** 0.4 - 0.1**0.4)
    assert torch.allclose(compand(v), expected, atol=1e-12)
    assert torch.allclose(expand(compand(v)), v, rtol=1e-12, atol=1e-14)
    assert torch.equal(compand(-v), -compand(v))


@pytest.mark.parametrize(("function", "slope"), [(compand, 12.8 * 0.4 * 0.1**-0.6), (expand, 0.1**0.6 / (12.8 * 0.4))])
def test_the_derivative_at_0_is_the_true_one(function, slope):
    zero = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    function(zero).backward()
    assert zero.grad.item() == pytest.approx(slope)
    near = torch.tensor([1e-7, -1e-7], dtype=torch.float64)
    assert (function(near) / near).tolist() == pytest.approx([slope, slope], rel=1e-4)
    assert torch.autograd.gradcheck(function, torch.tensor([-2.0, -0.1, 0.3, 5.0]).double().requires_grad_())


def test_padding_repeats_the_last_sample_and_crop_undoes_it():
    x = torch.arange(2 * 3 * 5.0).reshape(1, 2, 3, 5)
    padded = pad_to_multiple(x, (4, 8))
    assert padded.shape == (1, 2, 4, 8)
    assert torch.equal(padded[:, :, 3], padded[:, :, 2])
    assert torch.equal(padded[..., 5:], padded[..., 4:5].expand(-1, -1, -1, 3))
    assert torch.equal(crop(padded, (3, 5)), x)
    assert pad_to_multiple(x, (3, 5)) is x
    with pytest.raises(ShapeError, match="at least one sample"):
        pad_to_multiple(x[..., :0], (4, 8))


def test_channel_norm_normalises_each_token_by_itself():
    x = torch.randn(2, 16, 3, 4) * torch.tensor([0.01, 1, 100, 1])
    y = ChannelNorm(16)(x)
    assert torch.allclose(y.square().mean(1), torch.ones(2, 3, 4), atol=0.02)
    assert torch.equal(ChannelNorm(16)(x[..., :1]), y[..., :1])


def test_a_pointwise_block_looks_at_one_token_only_and_a_paper_block_does_not():
    x = torch.randn(1, 16, 5)
    other = x.clone()
    other[..., 3:] += 1
    with torch.no_grad():
        block = PointwiseBlock(16)
        assert torch.allclose(block(x)[..., :3], block(other)[..., :3], atol=1e-6)
        assert not torch.allclose(block(x)[..., 3:], block(other)[..., 3:])
        paper = PaperBlock(16)
        assert not torch.allclose(paper(x)[..., :3], paper(other)[..., :3], atol=1e-4)


@pytest.mark.parametrize("grid", [(7,), (1, 5), (3, 2, 4), (2, 3, 1, 2)], ids=str)
@pytest.mark.parametrize(
    "make",
    [
        lambda axes: ViTBlock(16, axes, 8, 2, False, 1e-5),
        lambda axes: ViTBlock(16, axes, None, 2, True, 1e-7),
        lambda axes: LightBlock(16, axes),
        lambda axes: MBConv(16, axes, 3, False, 1e-5),
    ],
    ids=["vit", "vit one head", "light", "mbconv"],
)
def test_blocks_take_any_number_of_axes_and_pass_gradients(make, grid):
    block = make(len(grid))
    x = torch.randn(2, 16, *grid, requires_grad=True)
    y = block(x)
    assert y.shape == x.shape and torch.isfinite(y).all()
    (y * torch.randn_like(y)).sum().backward()
    missing = [name for name, p in block.named_parameters() if p.grad is None]
    assert not missing and x.grad.abs().max() > 0


@pytest.mark.parametrize("grid", [(6,), (4, 5), (3, 4, 5), (3, 2, 4, 5)], ids=str)
def test_depthwise_per_axis_is_the_product_of_its_filters(grid):
    depthwise = Depthwise(2, len(grid), separable=True).double()
    x = torch.zeros(1, 2, *grid, dtype=torch.float64)
    centre = tuple(n // 2 for n in grid)
    x[(0, slice(None), *centre)] = 1
    with torch.no_grad():
        depthwise.convs[-1].bias.zero_()
        y = depthwise(x)
        taps = [conv.weight[:, 0] for conv in depthwise.convs]
    for offset in [(0,) * len(grid), (1,) * len(grid), (-1, *(0,) * (len(grid) - 1))]:
        place = tuple(c + o for c, o in zip(centre, offset, strict=True))
        if any(not 0 <= p < n for p, n in zip(place, grid, strict=True)):
            continue
        expected = torch.ones(2, dtype=torch.float64)
        for axis_taps, o in zip(taps, offset, strict=True):
            expected = expected * axis_taps[:, 1 - o]
        assert torch.allclose(y[(0, slice(None), *place)], expected)
