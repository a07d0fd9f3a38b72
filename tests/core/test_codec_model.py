"""The codec between tensors: shapes, crops, token slices, quantisers, noise."""

import math

import pytest
import torch

from liveaction.codec import codec as codec_model
from liveaction.codec import grid
from liveaction.codec.codec import Codec, build_codec
from liveaction.errors import SpecError
from liveaction.kernels import parallel
from liveaction.nn.blocks import Block, Depthwise, LightBlock, PaperBlock, PointwiseBlock, ViTBlock
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
        packets = codec.analyse(x)
        whole = codec.to_symbols(x, 0.01)
        seen = []
        latents = codec._latents
        monkeypatch.setattr(codec, "_latents", lambda v, *rest: seen.append(v) or latents(v, *rest))
        monkeypatch.setattr(grid, "CHUNK_TOKENS", 64)
        monkeypatch.setattr(grid, "SLAB_SAMPLES", 8**3 * 200)
        layout = codec.layout(extents)
        boxes = [box for box, _ in codec.encode_slabs(codec_model.Whole(x), layout, 0.01)]
        assert len(boxes) > 2
        for box, v in zip(boxes, seen, strict=True):  # the packets themselves to the last bit
            assert torch.equal(v, packets[(slice(None), slice(None), *grid.slices(box))])
        assert (codec.to_symbols(x, 0.01) - whole).abs().max() <= 1  # other chunks, other pieces: ties may differ


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
    assert symbols.dtype == torch.int32 and symbols.unique().numel() > 5
    assert (symbols - expected).abs().max() <= 1 and (symbols == expected).float().mean() > 0.99  # ties of rounding
    if kind != "paper":
        assert max(sizes) < symbols.numel() == sum(sizes)  # where they are made, not as a whole
    monkeypatch.setattr(grid, "SLAB_SAMPLES", x.numel() // 4)
    assert torch.equal(codec.to_symbols(x, 0.01), symbols)


def test_a_step_too_small_for_exact_symbols_is_refused():
    codec = small(1, 2)
    y = torch.full((1, 4, 2, 2), 8.0)
    assert codec.quantize(y, 1e-6).unique().tolist() == [8_000_000]
    with pytest.raises(SpecError, match=r"expected symbols below 2\*\*24, got .* take a step of at least 1e-06"):
        codec.quantize(y, 1e-9)
    with pytest.raises(SpecError, match="expected finite latents, got nan; look for NaN or infinite samples"):
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
        monkeypatch.setattr(grid, "WINDOW_SAMPLES", math.prod(extents) // 6)
        monkeypatch.setattr(grid, "CHUNK_TOKENS", 8)
        monkeypatch.setattr(grid, "halo_of", lambda axes: 4)  # as far as the wavelets reach
        assert len(list(codec.layout(extents).windows())) > 2
        again = codec.decode(symbols, extents, 0.01)
    assert again.shape == whole.shape and (again - whole).abs().max() < 1e-5


def test_parts_of_a_network_know_their_neighbours(monkeypatch):
    torch.manual_seed(0)
    codec = build_codec(load_recipe("ct_smoke")).eval()
    symbols = torch.randint(-3, 4, (1, 32, 40, 2, 2))
    with torch.no_grad():
        whole = codec.decode(symbols, (320, 16, 16))
        monkeypatch.setattr(grid, "WINDOW_SAMPLES", 16 * 16 * 8 * 10)
        monkeypatch.setattr(grid, "CHUNK_TOKENS", 16)
        assert len(list(codec.layout((320, 16, 16)).windows())) == 5
        parts = codec.decode(symbols, (320, 16, 16))
        linear = codec.decode(symbols * 0, (320, 16, 16))
    error = (parts - whole).square().mean((0, 1, 3, 4)).sqrt()
    assert error.max() < 0.05 * (whole - linear).square().mean().sqrt() and (error < 1e-6).float().mean() > 0.5


def test_a_large_signal_is_asked_for_slab_by_slab(monkeypatch):
    codec = build_codec(load_recipe("ct_klt")).eval()
    x = torch.rand(1, 1, 400, 16, 16) * 2 - 1
    whole = codec.to_symbols(x)
    asked = []

    class Source:
        shape = x.shape

        def crop(self, box):
            asked.append(box[0][1] - box[0][0])
            return x[(slice(None), slice(None), *grid.slices(box))]

    monkeypatch.setattr(grid, "SLAB_SAMPLES", 16 * 16 * 160)
    monkeypatch.setattr(grid, "CHUNK_TOKENS", 40)
    assert (codec.to_symbols(Source()) - whole).abs().max() <= 1
    assert len(asked) > 3 and max(asked) <= 192


class Neighbours(Block):
    """A block of a user's own that looks at the tokens around and declares nothing."""

    def __init__(self, width, axes):
        super().__init__()
        self.depthwise = Depthwise(width, axes)

    def forward(self, x):
        return x + self.depthwise(x)


@pytest.mark.parametrize("wrap", [lambda block: block, torch.nn.Sequential], ids=["block", "bare module"])
def test_a_block_that_declares_nothing_sees_the_whole_signal(wrap, monkeypatch):
    torch.manual_seed(0)
    codec = small(1, 2, decoder={"kind": "light", "depth": 1}).eval().requires_grad_(False)
    x = torch.rand(1, 1, 61, 200) * 2 - 1
    monkeypatch.setattr(grid, "CHUNK_TOKENS", 40)
    monkeypatch.setattr(grid, "SLAB_SAMPLES", x.numel() // 8)
    monkeypatch.setattr(grid, "WINDOW_SAMPLES", x.numel() // 8)
    layout = codec.layout(x.shape[2:])
    assert len(codec.slabs(layout)) > 1 and len(list(layout.windows())) > 1  # pointwise encoder, light decoder
    codec.encoder.blocks.append(wrap(Neighbours(16, 2)))
    codec.decoder.network.insert(1, wrap(Neighbours(16, 2)))
    layout = codec.layout(x.shape[2:])
    assert len(codec.slabs(layout)) == len(list(layout.windows())) == 1
    packets = codec.analyse(x)
    whole = codec.quantize(codec.encoder(packets), 0.01)
    assert torch.equal(codec.to_symbols(x, 0.01), whole)
    assert torch.equal(codec.quantize(codec.encode(x), 0.01), whole)


def test_what_blocks_declare_is_true():
    torch.manual_seed(0)
    blocks = {
        "pointwise": PointwiseBlock(16),
        "paper": PaperBlock(16, 2),
        "vit": ViTBlock(16, 2, 4, 2, False, 1e-5),
        "light": LightBlock(16, 2),
    }
    x, other = torch.randn(1, 16, 6, 6), torch.randn(1, 16, 6, 6)
    other[..., 2, 3] = x[..., 2, 3]
    for name, block in blocks.items():
        alone = torch.allclose(block(x)[..., 2, 3], block(other)[..., 2, 3], atol=1e-6)
        assert block.tokenwise == alone == (name == "pointwise"), name
        assert block.windowed == (name != "paper"), name
