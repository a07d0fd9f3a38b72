"""WaveletPacket: perfect reconstruction, agreement with PyWavelets and pytorch-wavelets, boundaries, gradients."""

import itertools

import numpy as np
import pytest
import pywt
import torch

from liveaction.errors import ShapeError, SpecError
from liveaction.transforms.packet import WaveletPacket
from liveaction.transforms.wavelet import filter_bank, packet_matrix, support
from liveaction.transforms.window import crop, pad_to_multiple

INVERTIBLE = ("symmetric", "periodic")

CASES = [
    ((1,), (2,)),
    ((3,), (8,)),
    ((3,), (104,)),
    ((3,), (112,)),
    ((3,), (1000,)),
    ((7,), (1280,)),
    ((9,), (512,)),
    ((9,), (5120,)),
    ((3, 3), (8, 136)),
    ((4, 4), (16, 272)),
    ((3, 3, 3), (8, 24, 120)),
    ((2, 0, 3), (12, 7, 128)),
    ((1, 1, 1, 1), (2, 4, 6, 8)),
    ((2, 2, 2, 2), (8, 4, 16, 4)),
]


def draw(*shape, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape)).to(dtype)


@pytest.mark.parametrize("boundary", INVERTIBLE)
@pytest.mark.parametrize("wavelet", ["bior4.4", "bior6.8"])
@pytest.mark.parametrize(("levels", "extents"), CASES, ids=str)
def test_perfect_reconstruction(levels, extents, wavelet, boundary):
    packets = WaveletPacket(wavelet, levels, boundary)
    x = draw(2, 3, *extents)
    y = packets(x)
    grid = tuple(n // 2**j for n, j in zip(extents, levels, strict=True))
    assert y.shape == (2, 3 * packets.bands, *grid)
    assert (packets.inverse(y) - x).abs().max() <= 1e-12 * x.abs().max()
    x = x.float()
    assert (packets.inverse(packets(x)) - x).abs().max() <= 1e-5 * x.abs().max()


@pytest.mark.parametrize("boundary", INVERTIBLE)
@pytest.mark.parametrize("extents", [(1, 1, 1), (1, 7, 63), (9, 17, 5), (65, 3, 1)], ids=str)
def test_odd_and_tiny_extents_after_padding(extents, boundary):
    packets = WaveletPacket("bior4.4", (3, 3, 3), boundary)
    x = draw(1, 1, *extents)
    back = crop(packets.inverse(packets(pad_to_multiple(x, packets.factors))), extents)
    assert (back - x).abs().max() <= 1e-12 * x.abs().max()


@pytest.mark.parametrize(
    "wavelet", ["haar", "db4", "sym5", "coif2", "bior1.3", "bior2.2", "bior3.5", "rbio2.4", "dmey"]
)
@pytest.mark.parametrize("boundary", INVERTIBLE)
def test_other_wavelets(wavelet, boundary):
    if boundary == "symmetric" and wavelet in {"db4", "sym5", "coif2"}:
        with pytest.raises(SpecError, match=f"expected periodic for '{wavelet}', whose filters are not symmetric"):
            WaveletPacket(wavelet, (2,), boundary)
        return
    packets = WaveletPacket(wavelet, (2,), boundary)
    for n in (4, 20, filter_bank(wavelet, 2, boundary).shortest + 4):
        x = draw(1, 1, n - n % 4 if n > 4 else 4)
        assert (packets.inverse(packets(x)) - x).abs().max() <= 1e-10 * x.abs().max()


def test_unknown_names_are_refused():
    with pytest.raises(SpecError, match="expected a discrete wavelet of PyWavelets, got 'bior4'"):
        WaveletPacket("bior4", (1,))(draw(1, 1, 4))
    with pytest.raises(SpecError, match="expected one of symmetric, periodic, folded, got 'zero'"):
        WaveletPacket("bior4.4", (1,), "zero")


@pytest.mark.parametrize(
    ("extents", "levels"), [((256,), 3), ((8,), 3), ((64, 48), 2), ((160, 144), 3), ((32, 16, 64), 2)], ids=str
)
def test_pywavelets_gives_the_same_packets_in_level_major_order(extents, levels):
    axes = len(extents)
    x = draw(*extents)

    def packets(signal, left):
        if left == 0:
            return [signal]
        bands = pywt.dwtn(signal, "bior4.4", "periodization")
        keys = ["".join(reversed(bits)) for bits in itertools.product("ad", repeat=axes)]
        return [packet for key in keys for packet in packets(bands[key], left - 1)]

    expected = np.stack(packets(x.numpy(), levels))
    ours = WaveletPacket("bior4.4", (levels,) * axes, "periodic")(x[None, None])[0].numpy()
    assert np.abs(ours - expected).max() <= 1e-12 * np.abs(expected).max()


def test_pytorch_wavelets_gives_the_same_bands():
    from pytorch_wavelets import DWTForward

    x = draw(1, 1, 64, 48, dtype=torch.float32)
    low, (high,) = DWTForward(J=1, wave="bior4.4", mode="periodization")(x)
    ours = WaveletPacket("bior4.4", (1, 1), "periodic")(x)
    assert (ours[:, :1] - low).abs().max() < 1e-5
    theirs = {tuple(b.flatten()[:3].tolist()): b for b in high[0, 0]}
    for band in ours[0, 1:]:
        assert min((band - other).abs().max().item() for other in theirs.values()) < 1e-5


@pytest.mark.parametrize("boundary", INVERTIBLE)
@pytest.mark.parametrize("n", [16, 64], ids=["matrix", "bank"])
def test_gradients(boundary, n):
    packets = WaveletPacket("bior2.2", (2,), boundary)
    assert (n >= filter_bank("bior2.2", 2, boundary).shortest) == (n == 64)
    x = draw(1, 1, n).requires_grad_()
    assert torch.autograd.gradcheck(packets, x)
    assert torch.autograd.gradcheck(packets.inverse, packets(x).detach().requires_grad_())


@pytest.mark.parametrize("boundary", INVERTIBLE)
@pytest.mark.parametrize("wavelet", ["bior4.4", "haar", "bior3.5"])
def test_the_bank_is_the_exact_matrix(wavelet, boundary):
    for levels in (1, 3):
        bank = filter_bank(wavelet, levels, boundary)
        for blocks in (0, 1, 5):
            factor = 2**levels
            n = factor * (-(-bank.shortest // factor) + blocks) or factor
            x = draw(1, 1, n)
            exact = packet_matrix(wavelet, levels, n, boundary) @ x[0, 0].numpy()
            assert np.abs(WaveletPacket(wavelet, (levels,), boundary)(x)[0].numpy().reshape(-1) - exact).max() < 1e-12


def test_symmetric_axes_do_not_wrap_and_periodic_ones_do():
    x = torch.zeros(1, 1, 512, dtype=torch.float64)
    x[..., 0] = 1
    symmetric = WaveletPacket("bior4.4", (3,), "symmetric")(x)
    periodic = WaveletPacket("bior4.4", (3,), "periodic")(x)
    assert symmetric[..., -8:].abs().max() == 0
    assert periodic[..., -8:].abs().max() > 0.01


def test_a_constant_has_one_packet():
    y = WaveletPacket("bior4.4", (3, 3))(torch.ones(1, 1, 120, 16, dtype=torch.float64))
    assert (y[:, 0] - 8.0).abs().max() < 1e-9
    assert y[:, 1:].abs().max() < 1e-9


def test_a_crop_with_halo_has_the_packets_of_the_whole():
    packets = WaveletPacket("bior4.4", (3,))
    halo = support("bior4.4", 3)
    x = draw(1, 1, 640)
    inside = packets(x[..., 320 - halo : 400 + halo])[..., halo // 8 : -(halo // 8)]
    assert (inside - packets(x)[..., 40:50]).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((1, 1, 8), torch.float32, "expected .* with 2 axes"),
        ((1, 1, 8, 9), torch.float32, "positive multiples of .8, 8."),
        ((1, 1, 8, 0), torch.float32, "positive multiples"),
        ((1, 1, 8, 8), torch.float16, "expected float32 or float64"),
    ],
)
def test_wrong_tensors_are_refused(shape, dtype, words):
    with pytest.raises(ShapeError, match=words):
        WaveletPacket("bior4.4", (3, 3))(torch.zeros(shape, dtype=dtype))
    with pytest.raises(ShapeError, match="expected a multiple of 64 channels"):
        WaveletPacket("bior4.4", (3, 3)).inverse(torch.zeros(1, 63, 2, 2))


@pytest.mark.parametrize("boundary", INVERTIBLE)
@pytest.mark.parametrize("wavelet", ["bior1.3", "bior2.2", "bior3.5", "rbio2.4", "rbio3.3", "haar"])
@pytest.mark.parametrize("extents", [(2, 4, 2), (10, 12, 6), (2, 44, 90)], ids=str)
def test_biorthogonal_wavelets_reconstruct_to_the_last_digits(wavelet, extents, boundary):
    packets = WaveletPacket(wavelet, (1, 2, 1), boundary)
    x = draw(2, 2, *extents)
    assert (packets.inverse(packets(x)) - x).abs().max() <= 1e-12 * x.abs().max()


@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym8"])
def test_orthogonal_wavelets_keep_the_energy(wavelet):
    x = draw(1, 2, 4, 40)
    y = WaveletPacket(wavelet, (2, 3), "periodic")(x)
    # the filters of PyWavelets are orthogonal to about 1e-12
    assert y.square().sum().item() == pytest.approx(x.square().sum().item(), rel=1e-10)


@pytest.mark.parametrize("boundary", INVERTIBLE)
@pytest.mark.parametrize("levels", [(3,), (3, 0), (1, 2, 1), (1, 0, 1, 2)], ids=str)
def test_just_below_and_at_the_shortest_bank(levels, boundary):
    packets = WaveletPacket("bior4.4", levels, boundary)
    banked = [-(-filter_bank("bior4.4", j, boundary).shortest // 2**j) if j else 3 for j in levels]
    for change in (-1, 0):
        extents = [(blocks + change) * 2**j for blocks, j in zip(banked, levels, strict=True)]
        x = draw(1, 1, *extents)
        back = packets.inverse(packets(x))
        assert (back - x).abs().max() <= 1e-12 * x.abs().max()
        single = packets.inverse(packets(x.float()))
        assert single.dtype == torch.float32 and (single - x.float()).abs().max() <= 1e-5 * x.abs().max()


@pytest.mark.parametrize("boundary", INVERTIBLE)
def test_linear_and_every_channel_and_signal_by_itself(boundary):
    packets = WaveletPacket("bior4.4", (2, 1), boundary)
    x, other = draw(2, 3, 80, 6), torch.randn(2, 3, 80, 6, dtype=torch.float64)
    y = packets(x)
    assert (packets(2 * x - 3 * other) - (2 * y - 3 * packets(other))).abs().max() < 1e-12
    for b, c in itertools.product(range(2), range(3)):
        assert (packets(x[b : b + 1, c : c + 1])[0] - y[b, 8 * c : 8 * c + 8]).abs().max() < 1e-13
    strided = packets(x.transpose(2, 3).contiguous().transpose(2, 3))
    assert (strided - y).abs().max() < 1e-13


@pytest.mark.parametrize("levels", [(2, 1), (0, 2, 1), (3, 1, 2)], ids=str)
def test_level_major_order_where_levels_differ(levels):
    """An impulse response per band: the bits of the channel index name the branch taken at each level and axis."""
    extents = tuple(2**j * 3 for j in levels)
    x = draw(*extents)
    ours = WaveletPacket("bior2.2", levels, "periodic")(x[None, None])[0].numpy()
    bits = [
        (axis, level) for level in range(max(levels)) for axis in reversed(range(len(levels))) if level < levels[axis]
    ]
    for index, choice in enumerate(itertools.product((0, 1), repeat=len(bits))):
        band = x.numpy()
        for bit, (axis, _) in sorted(zip(choice, bits, strict=True), key=lambda item: item[1][1]):
            band = pywt.dwt(band, "bior2.2", "periodization", axis=axis)[bit]
        assert np.abs(ours[index] - band).max() < 1e-12, (index, choice)


def test_pytorch_wavelets_gives_the_same_bands_in_the_same_order():
    from pytorch_wavelets import DWTForward

    x = draw(2, 3, 32, 48, dtype=torch.float32)
    low, (high,) = DWTForward(J=1, wave="bior4.4", mode="periodization")(x)
    ours = WaveletPacket("bior4.4", (1, 1), "periodic")(x).unflatten(1, (3, 4))
    assert (ours - torch.cat([low.unsqueeze(2), high], 2)).abs().max() < 1e-5


@pytest.mark.parametrize("boundary", INVERTIBLE)
def test_gradients_on_several_axes(boundary):
    packets = WaveletPacket("bior4.4", (1, 0, 2), boundary)
    x = draw(1, 2, 4, 3, 8).requires_grad_()
    assert torch.autograd.gradcheck(packets, x)
    assert torch.autograd.gradcheck(packets.inverse, packets(x).detach().requires_grad_())


@pytest.mark.parametrize("extents", [(64,), (512,)], ids=["matrix", "bank"])
def test_an_impulse_at_either_end_stays_there_unless_the_axis_wraps(extents):
    for place, far in ((0, -1), (-1, 0)):
        x = torch.zeros(1, 1, *extents, dtype=torch.float64)
        x[..., place] = 1
        assert WaveletPacket("bior4.4", (2,), "symmetric")(x)[..., far].abs().max() < 1e-15
        assert WaveletPacket("bior4.4", (2,), "periodic")(x)[..., far].abs().max() > 1e-3


@pytest.mark.parametrize("extents", [(2, 8), (16, 24), (120, 200)], ids=str)
@pytest.mark.parametrize("wavelet", ["bior4.4", "bior1.3", "haar"])
def test_a_constant_has_one_packet_in_either_way_of_reflecting(wavelet, extents):
    y = WaveletPacket(wavelet, (1, 3))(torch.full((1, 1, *extents), 0.7, dtype=torch.float64))
    assert (y[:, 0] - 0.7 * 2 ** (4 / 2)).abs().max() < 1e-9
    assert y[:, 1:].abs().max() < 1e-9


def test_no_levels_leave_the_signal_alone():
    x = draw(1, 2, 3, 5)
    packets = WaveletPacket("bior4.4", (0, 0))
    assert torch.equal(packets(x), x) and torch.equal(packets.inverse(x), x)
    assert repr(packets) == "WaveletPacket('bior4.4', levels=(0, 0), boundary='symmetric')"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int32])
def test_only_float32_and_float64_are_taken_both_ways(dtype):
    packets = WaveletPacket("bior4.4", (1,))
    for way in (packets, packets.inverse):
        with pytest.raises(ShapeError, match=r"expected float32 or float64, got torch.* convert with .float\(\)"):
            way(torch.zeros(1, 2, 4, dtype=dtype))


@pytest.mark.parametrize("n", [12, 2012], ids=["matrix", "bank"])
def test_gradients_after_the_same_extent_was_seen_in_inference_mode(n):
    packets = WaveletPacket("bior5.5", (2,))
    with torch.inference_mode():
        packets(torch.zeros(1, 1, n))
    x = torch.zeros(1, 1, n, requires_grad=True)
    packets(x).sum().backward()
    assert x.grad is not None
