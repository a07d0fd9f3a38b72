"""Stems, bodies and heads: shapes on odd grids, statistics that come along, gradients, costs, refusals."""

import numpy as np
import pytest
import torch
from torch import nn

from liveaction.errors import ShapeError, SpecError
from liveaction.learning.heads import DenseHead, shuffle
from liveaction.learning.macs import count_macs, encoder_macs
from liveaction.learning.nets import token_net
from liveaction.learning.stem import LatentStem, Scaling
from liveaction.recipe import load_recipe


def test_one_scale_keeps_faint_channels_faint(spec_of):
    spec = spec_of()  # means and deviations 0, 1, 2
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    scaled = Scaling(spec, "one")(x)
    expected = (x - torch.arange(3).view(1, 3, 1, 1)) / np.sqrt(5 / 3)
    torch.testing.assert_close(scaled, expected, rtol=1e-6, atol=1e-6)


def test_a_scale_per_channel_leaves_what_never_changes(spec_of):
    x = torch.randn(2, 3, 5, 7)
    scaled = Scaling(spec_of(), "channel")(x)
    torch.testing.assert_close(scaled[:, 0], x[:, 0])
    torch.testing.assert_close(scaled[:, 2], (x[:, 2] - 2) / 2)
    assert torch.equal(Scaling(spec_of(), "none")(x), x)


def test_a_constant_training_split_is_no_division_by_zero(spec_of):
    flat = {"mean": [1.0], "deviation": [0.0], "least": [1.0], "most": [1.0]}
    for scale in ("one", "channel"):
        scaled = Scaling(spec_of(channels=1, statistics=flat), scale)(torch.ones(1, 1, 5, 7))
        assert torch.equal(scaled, torch.zeros(1, 1, 5, 7))


def test_statistics_come_with_the_weights(spec_of):
    stem = LatentStem(spec_of(), 8)
    other = {"mean": [0.0] * 3, "deviation": [1.0] * 3, "least": [0.0] * 3, "most": [0.0] * 3}
    loaded = LatentStem(spec_of(statistics=other), 8)
    loaded.load_state_dict(stem.state_dict())
    x = torch.randn(2, 3, 5, 7)
    assert torch.equal(loaded(x), stem(x))
    assert not [name for name, _ in stem.named_parameters() if "scal" in name]


@pytest.mark.parametrize("grid", [(7,), (5, 7), (3, 1, 5)])
def test_token_nets_learn_on_any_grid(spec_of, grid):
    net = token_net(spec_of(grid), widths=(4, 6))
    out = net(torch.randn(2, 3, *grid))
    assert out.shape == (2, 4)
    out.square().sum().backward()
    assert all(each.grad is not None for each in net.parameters())


@pytest.mark.parametrize("stem", ["patch", "pyramid"])
@pytest.mark.parametrize(("extents", "patch"), [((65,), (8,)), ((9, 16), (4, 8)), ((5, 7, 8), (1, 2, 4))])
def test_samples_land_on_the_grid_of_tokens(spec_of, stem, extents, patch):
    net = token_net(spec_of(extents, factors=(1,) * len(extents)), widths=(4, 6), patch=patch, stem=stem)
    tokens = net.body.stem(torch.randn(2, 3, *extents))
    assert tokens.shape == (2, 4, *(-(-n // side) for n, side in zip(extents, patch, strict=True)))
    assert net(torch.randn(2, 3, *extents)).shape == (2, 4)


def test_the_body_is_the_same_whatever_the_input(spec_of):
    shapes = [
        {name: each.shape for name, each in net.body.blocks.state_dict().items()}
        for net in (token_net(spec_of()), token_net(spec_of(channels=1), patch=8), token_net(spec_of(), stem="pyramid"))
    ]
    assert shapes[0] == shapes[1] == shapes[2]


def test_equal_seeds_give_equal_networks(spec_of):
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(token_net(spec_of())(torch.ones(2, 3, 5, 7)))
    assert torch.equal(*found)


@pytest.mark.parametrize("grid", [(7,), (5, 7), (3, 1, 5)])
def test_shuffle_is_the_pixel_shuffle(grid):
    factors = (2, 3, 4)[: len(grid)]
    x = torch.randn(2, 5 * int(np.prod(factors)), *grid)
    y = shuffle(x, factors)
    place = tuple((n - 1) * f + f - 1 for n, f in zip(grid, factors, strict=True))
    assert y.shape == (2, 5, *(n * f for n, f in zip(grid, factors, strict=True)))
    last = x.reshape(2, 5, -1, *grid)[(slice(None), slice(None), -1, *(n - 1 for n in grid))]
    assert torch.equal(y[(slice(None), slice(None), *place)], last)


def test_shuffle_of_squares_is_torchs():
    x = torch.randn(2, 27, 5, 7)
    assert torch.equal(shuffle(x, (3, 3)), nn.functional.pixel_shuffle(x, 3))


@pytest.mark.parametrize(
    ("labels", "patch", "wanted"), [((8, 4), 1, (40, 28)), ((), 1, (5, 7)), ((1, 1), 2, (5, 7)), ((3, 2), 2, (15, 14))]
)
def test_maps_get_a_class_at_every_label(spec_of, labels, patch, wanted):
    net = token_net(spec_of(task="map", label_factors=labels), widths=(4, 6), patch=patch)
    assert isinstance(net, DenseHead)
    out = net(torch.randn(2, 3, 5, 7))
    assert out.shape == (2, 4, *wanted)
    out.sum().backward()
    assert net(torch.randn(1, 3, 5, 7), (4, 6)).shape == (1, 4, 4, 6)


def test_a_dense_head_of_other_factors(spec_of):
    head = DenseHead(token_net(spec_of((3, 1, 5), task="map"), widths=(4,)), classes=42, factors=(2, 1, 3))
    assert head(torch.randn(1, 3, 3, 1, 5)).shape == (1, 42, 6, 1, 15)


def test_macs_are_counted_by_hand(spec_of):
    net = token_net(spec_of((4, 6)), widths=(2,)).train()
    # projection, two convolutions of 3 x 3, head
    assert count_macs(net, spec_of((4, 6))) == 24 * (3 * 2 + 2 * 9 * 4) + 2 * 4
    assert net.training


def test_attention_is_counted_on_the_cpu(spec_of):
    class Attention(nn.Module):
        def forward(self, x):
            q = x.flatten(2).transpose(1, 2)[:, None]
            return nn.functional.scaled_dot_product_attention(q, q, q)

    assert count_macs(Attention(), spec_of((5, 7), channels=8)) == 2 * 35 * 35 * 8


def test_macs_of_an_encoder():
    recipe = load_recipe("rgb_smoke", ["codec.encoder={kind: linear}", "codec.levels=2", "codec.latent_channels=4"])
    small, large = encoder_macs(recipe, (8, 8)), encoder_macs(recipe, (15, 16))
    assert large == 4 * small
    assert small > 4 * 48 * 4  # tokens, width and latents of the projection


@pytest.mark.parametrize(
    ("words", "make"),
    [
        ("1 to 3 axes, got 4", lambda spec: token_net(spec((2, 2, 2, 2)))),
        ("expected one of one, channel, none, got 'all'", lambda spec: token_net(spec(), scale="all")),
        ("widths: expected at least one", lambda spec: token_net(spec(), widths=())),
        ("drop: expected a share", lambda spec: token_net(spec(), drop=1.0)),
        ("patch: expected a number or 2 of them", lambda spec: token_net(spec(), patch=(2,))),
        ("expected powers of two for a pyramid", lambda spec: token_net(spec(), patch=6, stem="pyramid")),
        ("stem: expected 'patch' or 'pyramid'", lambda spec: token_net(spec(), stem="unet")),
        ("expected a network that keeps its grid", lambda spec: DenseHead(token_net(spec()), 4, (8, 8))),
    ],
)
def test_what_does_not_fit_is_refused(spec_of, words, make):
    with pytest.raises(SpecError, match=words):
        make(spec_of)


def test_other_shapes_are_refused(spec_of):
    with pytest.raises(ShapeError, match=r"expected \[B, 3, \*G\], got \(1, 2, 5, 7\)"):
        token_net(spec_of())(torch.zeros(1, 2, 5, 7))
    with pytest.raises(ShapeError, match="shuffle: expected"):
        shuffle(torch.zeros(1, 7, 5, 7), (2, 2))
