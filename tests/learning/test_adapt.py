"""Networks of timm and MONAI on small grids: shapes, strides that are taken out, local weights, refusals."""

import pytest
import torch
from safetensors.torch import save_file

from liveaction.errors import FormatError, LiveactionWarning, SpecError, UnknownNameError
from liveaction.learning.adapt import adapt_timm, monai_net
from liveaction.learning.macs import count_macs

SMALL = {
    "vit_tiny_patch16_224": {"depth": 1, "embed_dim": 24, "num_heads": 2},
    "swin_tiny_patch4_window7_224": {"depths": (1, 1), "embed_dim": 16, "num_heads": (2, 2), "window_size": 4},
    "convnext_atto": {"depths": (1, 1, 1, 1), "dims": (4, 8, 8, 16)},
    "test_resnet": {},
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("grid", [(8, 12), (7, 9)])
def test_families_take_latents(spec_of, name, grid):
    net = adapt_timm(name, spec_of(grid), **SMALL[name])
    out = net(torch.randn(2, 3, *grid))
    assert out.shape == (2, 4)
    out.sum().backward()
    assert "scaling.mean" in net.state_dict()
    assert net.unused == ()


def last_grid(net, grid):
    with torch.no_grad():
        return tuple(net.eval().net.forward_features(torch.zeros(1, 3, *grid)).shape[2:])


@pytest.mark.parametrize("name", ["convnext_atto", "test_resnet", "resnet18d"])
@pytest.mark.parametrize(
    ("grid", "cost_of", "wanted"),
    [
        ((16, 16), None, (4, 4)),
        ((8, 8), None, (4, 4)),
        ((2, 2), None, (2, 2)),
        ((64, 64), 256, (8, 8)),
        ((16, 16), 256, (8, 8)),
        ((16, 16), 512, (16, 16)),
        ((16, 16), 128, (4, 4)),
    ],
)
def test_strides_come_after_the_grid(spec_of, name, grid, cost_of, wanted):
    net = adapt_timm(name, spec_of(grid), cost_of=cost_of, **SMALL.get(name, {}))
    assert last_grid(net, grid) == wanted


def test_strides_that_are_taken_out_cost(spec_of):
    spec = spec_of((16, 16))
    cheap, dear = (count_macs(adapt_timm("test_resnet", spec, cost_of=cost), spec) for cost in (None, 512))
    assert cheap < dear


def test_local_weights_are_taken_where_they_fit(spec_of, tmp_path):
    other = adapt_timm("test_resnet", spec_of((8, 8), channels=5))
    save_file({name: each.contiguous() for name, each in other.net.state_dict().items()}, tmp_path / "w.safetensors")
    with pytest.warns(LiveactionWarning, match=r"do not fit and start anew: conv1\.(0\.)?weight"):
        net = adapt_timm("test_resnet", spec_of((8, 8)), pretrained=tmp_path / "w.safetensors")
    (stem,) = net.unused
    same = {name for name, each in net.net.state_dict().items() if each.shape == other.net.state_dict()[name].shape}
    assert all(torch.equal(net.net.state_dict()[name], other.net.state_dict()[name]) for name in same)
    assert set(net.net.state_dict()) - same == {stem}


def test_files_that_hold_no_such_weights_are_refused(spec_of, tmp_path):
    with pytest.raises(FormatError, match="give a file that is here"):
        adapt_timm("test_resnet", spec_of((8, 8)), pretrained=tmp_path / "none.safetensors")
    save_file({"other": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(FormatError, match="got none that fits"):
        adapt_timm("test_resnet", spec_of((8, 8)), pretrained=tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("name", "rest", "options", "error", "words"),
    [
        ("resnet_of_mine", {}, {}, UnknownNameError, "expected a network of timm, got 'resnet_of_mine'"),
        ("maxvit_rmlp_pico_rw_256", {}, {}, SpecError, "got 'maxvit_rmlp_pico_rw_256' of maxxvit; take a ViT, Swin"),
        ("efficientnet_b0", {}, {}, SpecError, "of efficientnet; take a ViT"),
        ("test_resnet", {"task": "map"}, {}, SpecError, "task 'map'; take monai_net or token_net"),
        ("test_resnet", {"grid": (3, 8, 8)}, {}, SpecError, "expected a grid of two axes"),
        ("vit_tiny_patch16_224", {}, {"cost_of": 256}, SpecError, "cost_of: expected a ConvNeXt or ResNet"),
        ("test_resnet", {}, {"colour": 1}, SpecError, "expected options that 'test_resnet' takes"),
    ],
)
def test_what_does_not_fit_is_refused(spec_of, name, rest, options, error, words):
    with pytest.raises(error, match=words):
        adapt_timm(name, spec_of(**({"grid": (8, 8)} | rest)), **options)


@pytest.mark.parametrize(
    ("name", "grid", "options"),
    [
        ("UNet", (3, 5, 6), {"channels": (4, 8, 8)}),
        ("UNet", (5, 7), {"channels": (4, 8, 8)}),
        ("SegResNet", (3, 5, 6), {"init_filters": 8}),
        ("SwinUNETR", (33, 5), {"feature_size": 12, "depths": (1, 1, 1, 1)}),
    ],
)
def test_monai_gives_maps_at_the_labels(spec_of, name, grid, options):
    factors = (2, 3, 1)[: len(grid)]
    net = monai_net(name, spec_of(grid, task="map", label_factors=factors), **options).eval()
    with torch.no_grad():
        out = net(torch.randn(1, 3, *grid))
    assert out.shape == (1, 4, *(n * f for n, f in zip(grid, factors, strict=True)))


def test_monai_classifies_volumes(spec_of):
    options = {"hidden_size": 24, "mlp_dim": 24, "num_layers": 1, "num_heads": 2}
    assert monai_net("ViT", spec_of((3, 5, 6)), **options)(torch.randn(2, 3, 3, 5, 6)).shape == (2, 4)


@pytest.mark.parametrize(
    ("name", "rest", "options", "error", "words"),
    [
        ("VNet", {}, {}, UnknownNameError, "expected one of ViT, DenseNet121 for task 'class', got 'VNet'"),
        ("ViT", {"task": "map"}, {}, UnknownNameError, "expected one of UNet, .* got 'ViT'; or take token_net"),
        ("ViT", {"grid": (9,)}, {}, SpecError, "expected two or three axes"),
        ("SwinUNETR", {"task": "map"}, {}, SpecError, "expected a grid of more than 32 positions"),
        ("ViT", {}, {"colour": 1}, SpecError, "expected options that ViT takes, .*'colour'"),
    ],
)
def test_what_monai_does_not_take_is_refused(spec_of, name, rest, options, error, words):
    with pytest.raises(error, match=words):
        monai_net(name, spec_of(**({"grid": (5, 7)} | rest)), **options)
