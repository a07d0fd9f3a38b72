"""Wavelet packets on plans: the dense reference, plain PyTorch and Numba agree, for every rule, on any axes."""

import pytest
import torch

from liveaction.errors import MissingDependencyError, SpecError
from liveaction.kernels import dispatch
from liveaction.kernels.quantize import compand, expand
from liveaction.kernels.wavelet_packet import wavelet_packet_analysis, wavelet_packet_synthesis
from liveaction.transforms.packet import WaveletPacket
from liveaction.transforms.wavelet import FOLDED, level_pairs, packet_inverse, packet_matrix

# wavelet, levels, boundary, order, extents
CASES = [
    ("bior4.4", (2, 1, 2), "symmetric", "level", (64, 30, 48)),
    ("bior4.4", (3, 3, 3), "symmetric", "level", (136, 24, 40)),
    ("bior4.4", (3, 2), "periodic", "level", (8, 140)),
    ("bior4.4", (2, 2, 2), "folded", "paper", (16, 40, 24)),
    ("bior4.4", (3, 3, 3), "folded", "paper", (8, 48, 40)),
    ("bior4.4", (0, 2), "symmetric", "level", (5, 132)),
    ("bior4.4", (2, 0), "symmetric", "level", (132, 7)),
    ("bior4.4", (4, 4), "symmetric", "level", (336, 272)),
    ("bior2.2", (3, 3), "symmetric", "level", (128, 96)),
    ("bior6.8", (2, 1, 2), "symmetric", "level", (100, 34, 48)),
    ("bior6.8", (3, 3), "symmetric", "level", (8, 232)),
    ("bior6.8", (4, 2), "periodic", "level", (496, 12)),
    ("bior6.8", (2, 0), "folded", "level", (132, 7)),
    ("haar", (1, 1, 1, 1), "periodic", "level", (4, 6, 2, 4)),
    ("db4", (2, 2), "periodic", "level", (128, 96)),
    ("db4", (1, 1), "periodic", "level", (2, 2)),
]
IDS = [f"{case[0]}-{case[2]}-{'x'.join(map(str, case[4]))}" for case in CASES]


def _same(ours, theirs, tolerance):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


@pytest.mark.parametrize(("wavelet", "levels", "boundary", "order", "extents"), CASES, ids=IDS)
@pytest.mark.parametrize("batch", [1, 2])
def test_numba_agrees_with_the_reference(wavelet, levels, boundary, order, extents, batch):
    packets = WaveletPacket(wavelet, levels, boundary, order)
    x = torch.randn(batch, 3, *extents)
    with dispatch.use("reference"):
        expected = packets(x.double())
        back = packets.inverse(expected)
    with dispatch.use("numba"):
        y = packets(x)
        assert y.dtype == torch.float32 and y.is_contiguous()
        _same(y, expected, 1e-6)
        _same(packets.inverse(expected.float()), back, 1e-6)


@pytest.mark.parametrize(("wavelet", "levels", "boundary", "order", "extents"), CASES, ids=IDS)
def test_plain_pytorch_agrees_with_the_reference(wavelet, levels, boundary, order, extents):
    packets = WaveletPacket(wavelet, levels, boundary, order)
    x = torch.randn(2, 2, *extents, dtype=torch.float64)
    with dispatch.use("reference"):
        expected = packets(x)
        back = packets.inverse(x_packets := torch.randn_like(expected))
    with dispatch.use("composed"):
        _same(packets(x), expected, 1e-12)
        _same(packets.inverse(x_packets), back, 1e-12)


LINES = [
    *[("bior4.4", 7, "symmetric", 128 * n) for n in (1, 2, 3, 128, 129, 130, 255, 300)],
    ("bior4.4", 9, "symmetric", 512 * 150),
    ("bior4.4", 7, "folded", 128 * 200),
    ("bior2.2", 1, "symmetric", 2),
    ("bior6.8", 5, "symmetric", 32 * 1033),
    ("rbio4.4", 4, "symmetric", 16 * 1100),
    ("bior3.5", 4, "symmetric", 16 * 1100),
    ("bior1.3", 3, "symmetric", 8 * 2500),
    ("haar", 4, "symmetric", 16 * 2100),
    ("haar", 6, "periodic", 64 * 700),
    ("db4", 5, "periodic", 32 * 1500),
    ("db4", 5, "periodic", 32),
    ("sym8", 3, "periodic", 8 * 4100),
    ("coif3", 6, "periodic", 64 * 600),
    ("bior4.4", 0, "symmetric", 20000),
]


@pytest.mark.parametrize(("wavelet", "levels", "boundary", "n"), LINES, ids=[f"{c[0]}-{c[1]}-{c[3]}" for c in LINES])
def test_numba_agrees_on_one_axis_of_any_length(wavelet, levels, boundary, n):
    packets = WaveletPacket(wavelet, (levels,), boundary)
    x = torch.randn(2, 3, n)
    with dispatch.use("composed"):
        expected = packets(x.double())
        back = packets.inverse(expected.float().double())
    with dispatch.use("numba"):
        y = packets(x)
        assert y.dtype == torch.float32 and y.is_contiguous()
        _same(y, expected, 1e-6)
        _same(packets.inverse(expected.float()), back, 1e-6)


def test_one_axis_spoils_no_more_than_its_filters_reach():
    packets = WaveletPacket("bior4.4", (5,))
    x = torch.randn(1, 2, 32 * 2000)
    clean = packets(x)
    broken = x.clone()
    broken[0, 0, 32 * 1000] = torch.nan
    with dispatch.use("numba"):
        y = packets(broken)
        back = packets.inverse(y)
    spoilt = y.isnan().any(1)[0].nonzero().flatten()
    assert 1000 in spoilt and spoilt.min() > 990 and spoilt.max() < 1010
    keep = ~y.isnan()
    assert torch.equal(y[keep], clean[keep]) and not back[0, 1].isnan().any()
    assert not back[0, 0, : 32 * 980].isnan().any() and not back[0, 0, 32 * 1020 :].isnan().any()


@pytest.mark.parametrize("provider", ["numba", "composed"])
@pytest.mark.parametrize(
    ("wavelet", "levels", "boundary", "order", "extents"),
    [*CASES[:5], *(("bior4.4", (5,), "symmetric", "level", (32 * blocks,)) for blocks in (70, 700))],
    ids=[*IDS[:5], "bior4.4-one-axis", "bior4.4-one-axis-in-windows"],
)
def test_companded_packets_are_compand_of_packets(wavelet, levels, boundary, order, extents, provider):
    plain = WaveletPacket(wavelet, levels, boundary, order)
    companded = WaveletPacket(wavelet, levels, boundary, order, companded=True)
    assert "companded" in repr(companded) and "companded" not in repr(plain)
    x = 10 * torch.randn(2, 3, *extents)
    x[1] = 0
    # the reference, a dense matrix, takes gigabytes for an axis that is done in windows
    with dispatch.use("composed" if x.shape[-1] > 10000 else "reference"):
        expected = compand(plain(x.double()))
        assert torch.equal(companded(x.double()), expected)
        assert torch.equal(companded.inverse(expected), plain.inverse(expand(expected)))
    with dispatch.use(provider):
        y = companded(x)
        assert torch.equal(y, compand(plain(x)))
        assert torch.equal(companded.inverse(y), plain.inverse(expand(y)))
    _same(y, expected, 3e-6)


def test_the_companded_gradient_is_true_at_0():
    transform = WaveletPacket("haar", (1, 1), "periodic", companded=True)
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    y = transform(x).detach().requires_grad_()
    assert torch.autograd.gradcheck(transform, x) and torch.autograd.gradcheck(transform.inverse, y)
    zero = torch.zeros(1, 1, 2, 2, requires_grad=True)
    transform(zero)[0, 0].sum().backward()
    assert torch.allclose(zero.grad, torch.tensor(12.8 * 0.4 * 0.1**-0.6 / 2))  # Haar's low pass, of 1/2 on two axes


@pytest.mark.parametrize("boundary", ["symmetric", "periodic", "folded", "folded3"])
@pytest.mark.parametrize("n", [2, 4, 8, 10, 64, 66, 130])
def test_pairs_are_the_rows_of_one_level(boundary, n):
    analysis, synthesis = level_pairs("bior4.4", n, boundary)
    dense = torch.zeros(2, n // 2, n, dtype=torch.float64)
    for index, first, second in [analysis]:
        for k in range(n // 2):
            dense[0, k].index_add_(0, torch.from_numpy(index[k]), torch.from_numpy(first[k]))
            dense[1, k].index_add_(0, torch.from_numpy(index[k]), torch.from_numpy(second[k]))
    expected = torch.from_numpy(packet_matrix("bior4.4", 1, n, boundary))
    assert torch.allclose(dense.reshape(n, n), expected, atol=1e-11)
    back = torch.zeros(n, n, dtype=torch.float64)
    index, first, second = synthesis
    for k in range(n // 2):
        back[2 * k].index_add_(0, torch.from_numpy(index[k]), torch.from_numpy(first[k]))
        back[2 * k + 1].index_add_(0, torch.from_numpy(index[k]), torch.from_numpy(second[k]))
    assert torch.allclose(back, torch.from_numpy(packet_inverse("bior4.4", 1, n, boundary)), atol=1e-10)
    if boundary not in FOLDED:
        assert torch.allclose(dense.reshape(n, n) @ back, torch.eye(n, dtype=torch.float64), atol=1e-10)


def test_numba_takes_strided_input_and_leaves_it_alone():
    packets = WaveletPacket("bior4.4", (2, 2))
    base = torch.randn(1, 72, 2, 80)
    x = base.transpose(1, 2)
    kept = base.clone()
    with dispatch.use("numba"):
        y = packets(x)
        again = y.clone()
        packets.inverse(y)
    assert torch.equal(base, kept) and torch.equal(y, again)
    _same(y, packets(x.contiguous().double()), 1e-6)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("levels", "extents"), [((3, 3, 3), (64, 136, 200)), ((7,), (128 * 700,))], ids=["3-D", "1-D"])
def test_the_number_of_threads_changes_no_bit(levels, extents, threads):
    packets = WaveletPacket("bior4.4", levels)
    x = torch.randn(1, 2, *extents)
    before = torch.get_num_threads()
    whole = packets(x)
    torch.set_num_threads(threads)
    try:
        assert torch.equal(packets(x), whole)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_gradients_take_plain_pytorch():
    packets = WaveletPacket("bior4.4", (2, 2))
    x = torch.randn(1, 1, 24, 40, requires_grad=True)
    y = packets(x)
    y.square().sum().backward()
    assert x.grad is not None and x.grad.abs().max() > 0
    with dispatch.use("numba"), pytest.raises(MissingDependencyError, match="give no gradient"):
        packets(x)


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (torch.randn(1, 1, 64, dtype=torch.float64), "float32, not"),
        (torch.randn(1, 1, 16, 16, dtype=torch.float64), "float32, not"),
    ],
    ids=["1-D", "2-D"],
)
def test_what_numba_does_not_take(x, why):
    packets = WaveletPacket("bior4.4", (2,) * (x.ndim - 2))
    with dispatch.use("numba"), pytest.raises(MissingDependencyError, match=why):
        packets(x)
    assert packets(x).dtype == x.dtype


def test_an_unknown_implementation_is_refused():
    with pytest.raises(SpecError, match="expected one of reference, composed, numba, triton"), dispatch.use("cuda"):
        pass


@pytest.mark.parametrize("companded", [False, True])
def test_it_compiles_and_exports_whole(companded):
    packets = WaveletPacket("bior4.4", (2, 2), companded=companded).eval()
    x = torch.randn(1, 2, 24, 40)
    expected = packets(x)
    compiled = torch.compile(packets, fullgraph=True, backend="aot_eager")
    _same(compiled(x), expected, 1e-6)
    exported = torch.export.export(packets, (x,))
    _same(exported.module()(x), expected, 1e-6)


def test_the_public_functions_are_inverse():
    packets = WaveletPacket("bior4.4", (2, 1))
    x = torch.randn(2, 2, 36, 50)
    plan = packets._plan(2, (36, 50), x)
    _same(wavelet_packet_synthesis(wavelet_packet_analysis(x, plan), plan), x, 1e-5)
