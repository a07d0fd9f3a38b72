"""Lapped axes: perfect reconstruction, the explicit matrices, orders, ends, gradients, crops, refusals."""

import itertools

import numpy as np
import pytest
import scipy.fft
import torch

from liveaction.codec import codec as codec_model
from liveaction.codec import grid
from liveaction.codec.codec import Codec
from liveaction.errors import ShapeError, SpecError
from liveaction.kernels.wavelet_packet import analysis_matrix, synthesis_matrix
from liveaction.spec import CodecSpec
from liveaction.transforms.lapped import SCALE, border_filter, dct, lapped_bank
from liveaction.transforms.packet import WaveletPacket
from liveaction.transforms.window import crop, pad_to_multiple

BLOCKS = (2, 3, 5, 8, 16)

# levels, blocks, extents
CASES = [
    *(((0,), (block,), (block * count,)) for block in BLOCKS for count in (1, 2, 3, 65)),
    ((0,), (256,), (256 * 7,)),
    ((0, 0), (8, 8), (8, 200)),
    ((0, 0), (3, 16), (63, 48)),
    ((2, 0), (0, 5), (44, 35)),
    ((0, 3), (5, 0), (10, 136)),
    ((0, 0), (8, 0), (24, 7)),
    ((0, 0, 1), (8, 8, 0), (24, 16, 6)),
    ((1, 0, 0), (0, 2, 3), (2, 14, 9)),
    ((0, 0, 2), (16, 5, 0), (16, 5, 64)),
    ((0, 1, 0, 2), (2, 0, 3, 0), (6, 4, 9, 8)),
    ((0, 0, 0, 0), (2, 3, 2, 5), (2, 3, 4, 10)),
]


def draw(*shape, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape)).to(dtype)


def made(levels, blocks, **more):
    return WaveletPacket("bior4.4", levels, lapped=blocks, **more)


def explicit(block, count):
    """Filters across all borders, then the transform of all blocks: ``[n, n]``, rows (block, band)."""
    n, half = block * count, block // 2
    eye = np.eye(half)
    butterfly = np.block([[eye, eye[::-1]], [eye[::-1], -eye]])
    k = np.arange(half) + 0.5
    four = np.sqrt(2 / half) * np.cos(np.pi / half * np.outer(k, k))
    two = scipy.fft.dct(eye, axis=0, norm="ortho")
    v = eye[::-1] @ two.T @ np.diag([1.3] + [1.0] * (half - 1)) @ four @ eye[::-1]
    across = butterfly @ np.block([[eye, 0 * eye], [0 * eye, v]]) @ butterfly / 2
    filters = np.eye(n)
    for border in range(block, n, block):
        filters[border - half : border + half, border - half : border + half] = across
    return np.kron(np.eye(count), scipy.fft.dct(np.eye(block), axis=0, norm="ortho")) @ filters


@pytest.mark.parametrize(("levels", "blocks", "extents"), CASES, ids=str)
def test_perfect_reconstruction(levels, blocks, extents):
    packets = made(levels, blocks)
    assert packets.factors == tuple(m or 2**j for j, m in zip(levels, blocks, strict=True))
    x = draw(2, 3, *extents)
    y = packets(x)
    assert y.shape == (2, 3 * packets.bands, *(n // f for n, f in zip(extents, packets.factors, strict=True)))
    assert (packets.inverse(y) - x).abs().max() <= 1e-12 * x.abs().max()
    single = packets.inverse(packets(x.float()))
    assert single.dtype == torch.float32 and (single - x.float()).abs().max() <= 1e-5 * x.abs().max()


@pytest.mark.parametrize("extents", [(1, 1, 1), (1, 7, 63), (9, 17, 65)], ids=str)
def test_odd_and_tiny_extents_after_padding(extents):
    packets = made((0, 0, 2), (8, 5, 0))
    x = draw(1, 1, *extents)
    back = crop(packets.inverse(packets(pad_to_multiple(x, packets.factors))), extents)
    assert (back - x).abs().max() <= 1e-12 * x.abs().max()


@pytest.mark.parametrize("block", [*BLOCKS, 7, 64])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_it_is_the_explicit_filters_and_transforms(block, count):
    packets = made((0,), (block,))
    expected = explicit(block, count)
    eye = torch.eye(block * count, dtype=torch.float64)[:, None]
    ours = packets(eye).mT.flatten(1).T.numpy()  # rows (block, band)
    assert np.abs(ours - expected).max() < 1e-13
    bands = torch.eye(block * count, dtype=torch.float64).unflatten(1, (count, block)).mT
    assert np.abs(packets.inverse(bands)[:, 0].T.numpy() - np.linalg.inv(expected)).max() < 1e-12


@pytest.mark.parametrize("block", [*BLOCKS, 64])
def test_the_transform_is_orthonormal_and_the_filter_of_a_border_but_for_its_scale(block):
    assert np.abs(dct(block) @ dct(block).T - np.eye(block)).max() < 1e-13
    assert np.abs(border_filter(block) @ border_filter(block, inverse=True) - np.eye(block // 2 * 2)).max() < 1e-13
    singular = np.linalg.svd(border_filter(block), compute_uv=False)
    assert singular[0] == pytest.approx(SCALE) and np.abs(singular[1:] - 1).max() < 1e-13


@pytest.mark.parametrize("block", BLOCKS)
def test_the_bank_holds_from_two_blocks_on(block):
    bank = lapped_bank(block)
    assert bank.analysis.shape == (block, block + 2 * (block // 2)) and bank.synthesis.shape == (block, block, 3)
    assert bank.head.shape == bank.tail.shape == (block, block + block // 2) and bank.shortest == 2 * block
    for count in (2, 3):
        plan = made((0,), (block,))._plan(1, (block * count,), draw(1))
        ((_, tables),) = plan.stages
        assert tables.matrix is None
        forth, back = analysis_matrix(tables, block * count), synthesis_matrix(tables, block * count)
        assert (forth @ back - torch.eye(block * count)).abs().max() < 1e-12


def test_bands_count_axis_by_axis_the_last_fastest():
    """Every band of each axis by a transform of that axis alone."""
    levels, blocks, extents = (0, 2, 0), (3, 0, 2), (9, 8, 4)
    x = draw(1, 1, *extents)
    whole = made(levels, blocks)(x)[0].unflatten(0, (3, 4, 2))
    ways = [made((j,), (m,)) for j, m in zip(levels, blocks, strict=True)]
    for bands in itertools.product(range(3), range(4), range(2)):
        y = x[0, 0]
        for axis, (way, band) in enumerate(zip(ways, bands, strict=True)):
            if not way.lapped[0]:  # of packets alone, the channels count the bit of level 1 first
                band = int(f"{band:02b}", 2)
            lines = y.movedim(axis, -1)
            y = way(lines.reshape(-1, 1, lines.shape[-1]))[:, band].unflatten(0, lines.shape[:-1]).movedim(-1, axis)
        assert (whole[bands] - y).abs().max() < 1e-13, bands


def test_signal_channels_come_first_and_the_order_without_lapped_axes_stays():
    packets = made((0, 1), (3, 0))
    x = draw(2, 3, 9, 4)
    y = packets(x)
    for channel in range(3):
        assert (packets(x[:, channel : channel + 1]) - y[:, 6 * channel : 6 * channel + 6]).abs().max() < 1e-13
    x = draw(1, 2, 16, 8)
    assert torch.equal(WaveletPacket("bior4.4", (2, 1), lapped=(0, 0))(x), WaveletPacket("bior4.4", (2, 1))(x))


@pytest.mark.parametrize(("levels", "blocks", "extents"), CASES, ids=str)
def test_a_constant_has_one_packet(levels, blocks, extents):
    packets = made(levels, blocks)
    y = packets(torch.full((1, 1, *extents), 0.7, dtype=torch.float64))
    assert (y[:, 0] - 0.7 * packets.bands**0.5).abs().max() < 1e-9
    assert packets.bands == 1 or y[:, 1:].abs().max() < 1e-9


@pytest.mark.parametrize("blocks", [(0, 3, 2), (5, 0, 2)], ids=str)
@pytest.mark.parametrize("count", [1, 2], ids=["matrix", "bank"])
def test_gradients(blocks, count):
    packets = made(tuple(0 if m else 1 for m in blocks), blocks)
    x = draw(1, 1, *(count * f for f in packets.factors)).requires_grad_()
    assert torch.autograd.gradcheck(packets, x)
    assert torch.autograd.gradcheck(packets.inverse, packets(x).detach().requires_grad_())


@pytest.mark.parametrize("block", [3, 8])
def test_ends_reflect_whatever_the_boundary_of_the_packets(block):
    x = torch.zeros(1, 1, block * 9, 16, dtype=torch.float64)
    x[:, :, 0] = 1
    for boundary in ("symmetric", "periodic", "folded"):
        y = WaveletPacket("bior4.4", (0, 1), boundary, lapped=(block, 0))(x)
        assert y[:, :, 1:].abs().max() == 0
    mirrored = torch.cat([x.flip(2), x, x.flip(2)], 2)
    packets = made((0, 1), (block, 0))
    assert (packets(mirrored)[:, :, 9:18] - packets(x)).abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("blocks", [(8, 5), (16, 0), (0, 3)], ids=str)
def test_a_crop_with_its_reach_has_the_packets_of_the_whole(blocks, dtype):
    """In float32 to the bit, which is what encoding slab by slab builds on."""
    packets = made(tuple(0 if m else 2 for m in blocks), blocks)
    more = [-(-reach // f) for reach, f in zip(packets.reaches, packets.factors, strict=True)]
    assert all(reach == m for reach, m in zip(packets.reaches, blocks, strict=True) if m)
    x = draw(1, 2, *(f * 31 for f in packets.factors), dtype=dtype)
    box = [slice((12 - r) * f, (15 + r) * f) for r, f in zip(more, packets.factors, strict=True)]
    whole, inside = packets(x), packets(x[:, :, *box])
    inside = inside[:, :, *(slice(r, r + 3) for r in more)]
    part = whole[:, :, 12:15, 12:15]
    assert torch.equal(inside, part) if dtype == torch.float32 else (inside - part).abs().max() < 1e-13
    around = packets.inverse(whole[:, :, *(slice(12 - r, 15 + r) for r in more)])
    around = around[:, :, *(slice(r * f, (r + 3) * f) for r, f in zip(more, packets.factors, strict=True))]
    back = packets.inverse(whole)[:, :, *(slice(12 * f, 15 * f) for f in packets.factors)]
    assert (around - back).abs().max() < (1e-5 if dtype == torch.float32 else 1e-13)


def test_bands_reach_half_a_block_into_both_neighbours():
    packets = made((0,), (8,))
    y = packets(draw(1, 1, 80))
    other = y.clone()
    other[..., 4] += 1
    change = (packets.inverse(other) - packets.inverse(y)).abs()[0, 0]
    assert change[:28].max() < 1e-12 < change[28:44].min() and change[44:].max() < 1e-12


def lapped_codec(levels, blocks):
    torch.manual_seed(0)
    encoder, decoder = {"kind": "pointwise", "depth": 1}, {"kind": "linear"}
    spec = {"latent_channels": 4, "levels": levels, "lapped": blocks, "encoder": encoder, "decoder": decoder}
    return Codec(CodecSpec.model_validate(spec), 1, len(levels)).eval()


def test_a_codec_has_lapped_axes():
    codec = lapped_codec([0, 2], [3, 0])
    assert codec.packets.lapped == (3, 0) and codec.packets.factors == (3, 4)
    assert codec._reaches(codec.layout((90, 80))) == [1, 3]
    x = torch.rand(1, 1, 65, 63) * 2 - 1
    symbols = codec.to_symbols(x)
    assert symbols.shape == (1, 4, 22, 16)
    assert codec.decode(symbols, (65, 63)).shape == x.shape


@pytest.mark.parametrize(("levels", "blocks"), [([0, 0], [8, 5]), ([0, 1, 0], [4, 0, 3]), ([0], [64])], ids=str)
def test_slabs_have_the_packets_of_the_whole_to_the_bit_and_windows_its_samples(levels, blocks, monkeypatch):
    codec = lapped_codec(levels, blocks)
    tokens = {1: (300,), 2: (31, 33), 3: (13, 11, 9)}[len(levels)]
    extents = tuple(f * n - 1 for f, n in zip(codec.packets.factors, tokens, strict=True))
    x = torch.rand(1, 1, *extents) * 2 - 1
    with torch.no_grad():
        packets = codec.analyse(x)
        symbols = codec.to_symbols(x, 0.01)
        whole = codec.decode(symbols, extents, 0.01)
        monkeypatch.setattr(grid, "CHUNK_TOKENS", 64)
        monkeypatch.setattr(grid, "SLAB_SAMPLES", x.numel() // 3)
        monkeypatch.setattr(grid, "WINDOW_SAMPLES", x.numel() // 3)
        layout = codec.layout(extents)
        seen, latents = [], codec._latents
        monkeypatch.setattr(codec, "_latents", lambda v, *rest: seen.append(v) or latents(v, *rest))
        boxes = [box for box, _ in codec.encode_slabs(codec_model.Whole(x), layout, 0.01)]
        assert len(boxes) > 2 and layout.count_windows() > 2
        for box, v in zip(boxes, seen, strict=True):
            assert torch.equal(v, packets[(slice(None), slice(None), *grid.slices(box))])
        # wavelets on three axes reach further than the halo of a window
        tolerance = 0.05 if any(levels) else 1e-6
        assert (codec.decode(symbols, extents, 0.01) - whole).abs().max() <= tolerance * whole.abs().max()


@pytest.mark.parametrize(
    ("levels", "blocks", "words"),
    [
        ((0, 0), (8,), r"expected one block per axis, 0 where an axis has levels, got \(8,\) with \(0, 0\)"),
        ((1, 0), (8, 0), r"expected one block per axis, 0 where an axis has levels, got \(8, 0\) with \(1, 0\)"),
        ((0,), (1,), "expected 0 or a block of 2 to 1024 samples, got 1"),
        ((0,), (1025,), "expected 0 or a block of 2 to 1024 samples, got 1025"),
        ((0,), (-8,), "expected 0 or a block of 2 to 1024 samples, got -8"),
    ],
)
def test_wrong_blocks_are_refused(levels, blocks, words):
    with pytest.raises(SpecError, match=words):
        made(levels, blocks)


def test_other_refusals_and_how_it_prints():
    with pytest.raises(SpecError, match="paper with equal levels and no lapped axis, got 'paper'"):
        made((0, 0, 0), (8, 8, 8), order="paper")
    packets = made((0, 1), (3, 0))
    with pytest.raises(ShapeError, match=r"positive multiples of \(3, 2\)"):
        packets(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ShapeError, match="expected a multiple of 6 channels"):
        packets.inverse(torch.zeros(1, 5, 2, 2))
    assert repr(packets) == "WaveletPacket('bior4.4', levels=(0, 1), boundary='symmetric', lapped=(3, 0))"


def test_blocks_of_the_largest_size_reconstruct():
    packets = made((0,), (1024,))
    x = draw(1, 1, 3 * 1024)
    assert (packets.inverse(packets(x)) - x).abs().max() <= 1e-12 * x.abs().max()
