"""Kernels of lapped axes: Numba and Triton against the reference, in every mixture with packets."""

import numpy as np
import pytest
import torch

from liveaction.errors import MissingDependencyError
from liveaction.kernels import dispatch
from liveaction.kernels.quantize import compand, expand
from liveaction.testing import assert_kernel_close, poisoned
from liveaction.transforms.lapped import axis_blocks, dct, differences
from liveaction.transforms.packet import WaveletPacket

# levels, blocks, extents; both sides of a tile of 128 columns or blocks, and of a task
CASES = [
    *(((0,), (block,), (block * count,)) for block in (2, 3, 5, 8, 16) for count in (1, 2, 125, 126, 127, 300)),
    ((0,), (64,), (64 * 40,)),
    ((0,), (255,), (255 * 3,)),
    ((0, 0), (40, 32), (120, 96)),
    ((0, 0), (64, 48), (64, 144)),
    ((0, 0), (8, 8), (24, 1040)),
    ((0, 0), (8, 0), (80, 129)),
    ((0, 0), (3, 5), (63, 65)),
    ((0, 0), (5, 8), (5, 8)),
    ((0, 2), (7, 0), (70, 132)),
    ((2, 0), (0, 16), (44, 112)),
    ((0, 0, 0), (8, 8, 0), (24, 40, 7)),
    ((0, 0, 1), (8, 8, 0), (24, 16, 66)),
    ((1, 0, 0), (0, 2, 3), (6, 14, 9)),
    ((0, 1, 0, 2), (2, 0, 3, 0), (6, 4, 9, 8)),
    ((0, 0, 0, 0), (2, 3, 2, 5), (4, 3, 6, 10)),
]


def run(provider, function, x):
    with dispatch.use(provider):
        return function(x)


@pytest.mark.parametrize("companded", [False, True], ids=["plain", "companded"])
@pytest.mark.parametrize(("levels", "blocks", "extents"), CASES, ids=str)
def test_numba_agrees_with_the_reference(levels, blocks, extents, companded):
    packets = WaveletPacket("bior4.4", levels, companded=companded, lapped=blocks)
    x = torch.randn(2, 3, *extents)
    expected, composed = run("reference", packets, x.double()), run("composed", packets, x)
    y = run("numba", packets, x)
    assert y.dtype == torch.float32 and y.is_contiguous()
    assert_kernel_close(y, expected, composed, "analysis")
    given = expected.float()
    expected, composed = run("reference", packets.inverse, given.double()), run("composed", packets.inverse, given)
    back = run("numba", packets.inverse, given)
    assert back.is_contiguous()
    assert_kernel_close(back, expected, composed, "synthesis")
    assert (back - x).abs().max() <= 1e-5 * x.abs().max()


@pytest.mark.parametrize(
    ("block", "folds"), [(2, 0), (3, 0), (5, 0), (8, 0), (31, 0), (32, 1), (40, 1), (48, 1), (64, 2)]
)
@pytest.mark.parametrize("inverse", [False, True], ids=["forth", "back"])
def test_the_folded_tables_are_the_transform_and_the_filter(block, folds, inverse):
    axis, half = axis_blocks(block), block // 2
    assert axis.folds == folds
    even, odd, border = (
        (axis.even_back.T, axis.odd_back, axis.border_back) if inverse else (axis.even, axis.odd, axis.border)
    )
    tables, at, n = [], 0, block
    for fold in range(folds + 1):  # every table as its rows over all samples
        wide = -(-(n // 2) // 4) * 4
        table = odd[at : at + wide * wide].reshape(wide, wide)
        table = (table.T if inverse else table)[:, : n // 2][:, ::-1]
        tables.append(np.concatenate([table, np.zeros((wide, n % 2)), -table[:, ::-1]], 1))
        at, n = at + wide * wide, n // 2 if fold < folds else n
    even = even[:, : n - n // 2]
    tables.insert(0, np.concatenate([even, even[:, : n // 2][:, ::-1]], 1))
    for _ in range(block.bit_length()):
        tables = [t if t.shape[1] == block else np.concatenate([t, t[:, ::-1]], 1) for t in tables]
    assert at == len(odd) and np.abs(np.concatenate(tables)[axis.rows] - dct(block)).max() < 1e-7
    assert np.abs(2 * border[:half, :half] - differences(block, inverse)).max() < 1e-6
    for given in (axis.border, axis.even, axis.border_back, axis.even_back):
        assert given.dtype == np.float32 and not any(size % 4 for size in given.shape)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("blocks", "extents"), [((8, 8, 0), (64, 136, 200)), ((8, 5), (800, 1500)), ((256,), (256 * 9000,))], ids=str
)
def test_the_number_of_threads_changes_no_bit(blocks, extents, threads):
    packets = WaveletPacket("bior4.4", (0,) * len(blocks), lapped=blocks)
    x = torch.randn(1, 1, *extents)
    before = torch.get_num_threads()
    whole = run("numba", packets, x)
    back = run("numba", packets.inverse, whole)
    torch.set_num_threads(threads)
    try:
        assert torch.equal(run("numba", packets, x), whole)
        assert torch.equal(run("numba", packets.inverse, whole), back)
    finally:
        torch.set_num_threads(before)
    assert (back - x).abs().max() <= 1e-5 * x.abs().max()


def test_numba_takes_strided_input_and_leaves_it_alone():
    packets = WaveletPacket("bior4.4", (0, 0), lapped=(8, 5))
    base = torch.randn(1, 72, 2, 80)
    kept, x = base.clone(), base.transpose(1, 2)
    y = run("numba", packets, x)
    again = y.clone()
    run("numba", packets.inverse, y)
    assert torch.equal(base, kept) and torch.equal(y, again)
    assert torch.equal(y, run("numba", packets, x.contiguous()))


@pytest.mark.parametrize("blocks", [(8,), (8, 0)], ids=str)
def test_a_sample_spoils_no_more_than_a_block_and_half_of_its_neighbours(blocks):
    packets = WaveletPacket("bior4.4", (0,) * len(blocks), lapped=blocks)
    x = torch.randn(1, 2, 8 * 200, *(3,) * (len(blocks) - 1))
    clean = run("numba", packets, x)
    broken = x.clone()
    broken[0, 0, 8 * 100] = torch.nan
    y = run("numba", packets, broken)
    spoilt = y.isnan().flatten(3).any(3).any(1)[0] if len(blocks) > 1 else y.isnan().any(1)[0]
    assert spoilt.nonzero().flatten().tolist() == [99, 100]
    keep = ~y.isnan()
    assert torch.equal(y[keep], clean[keep]) and not y[0, 8:].isnan().any()


@pytest.mark.parametrize("levels", [(2, 0), (0, 0)], ids=str)
def test_a_last_axis_that_nothing_splits_is_companded_and_placed_as_any(levels):
    x = 10 * torch.randn(2, 3, 44, 65)
    plain, companded = (WaveletPacket("bior4.4", levels, companded=c) for c in (False, True))
    y = run("numba", plain, x)
    assert_kernel_close(y, run("reference", plain, x.double()), run("composed", plain, x), "analysis")
    assert torch.equal(run("numba", companded, x), compand(y))
    assert torch.equal(run("numba", companded.inverse, y), run("numba", plain.inverse, expand(y)))


TRITON = [
    ((0,), (8,), (2, 1, 200)),
    ((0,), (8,), (1, 2, 8)),
    ((0,), (16,), (1, 3, 320)),
    ((0, 0), (4, 8), (2, 3, 36, 24)),
    ((0, 1), (8, 0), (1, 1, 136, 12)),
    ((0, 0, 1), (2, 4, 0), (1, 2, 6, 12, 10)),
]


@pytest.mark.parametrize(("levels", "blocks", "shape"), TRITON, ids=str)
def test_triton_agrees_with_the_reference_gradients_included(levels, blocks, shape):
    transform = WaveletPacket("bior6.8", levels, lapped=blocks)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.randn(shape, device=device)
    y = torch.randn_like(run("composed", transform, x))
    for function, given, cotangent in ((transform, x, y), (transform.inverse, y, x)):
        found = {}
        for provider in ("reference", "composed", "triton"):
            leaf = (given.double() if provider == "reference" else given.clone()).requires_grad_()
            with poisoned():
                result = run(provider, function, leaf)
                result.backward(cotangent.to(leaf.dtype))
            found[provider] = (result.detach(), leaf.grad)
        for i, name in enumerate(("value", "gradient")):
            assert_kernel_close(*(found[p][i] for p in ("triton", "reference", "composed")), name)


@pytest.mark.parametrize("block", [5, 6, 32])
def test_triton_names_the_blocks_that_it_does_not_take(block):
    packets = WaveletPacket("bior4.4", (0,), lapped=(block,))
    with dispatch.use("triton"), pytest.raises(MissingDependencyError, match=f"2, 4, 8 or 16, not {block}"):
        packets(torch.randn(1, 1, block * 2))


def test_it_compiles_and_exports_whole():
    packets = WaveletPacket("bior4.4", (0, 2), lapped=(3, 0)).eval()
    x = torch.randn(1, 2, 24, 40)
    expected = packets(x)
    compiled = torch.compile(packets, fullgraph=True, backend="aot_eager")
    assert (compiled(x) - expected).abs().max() < 1e-5
    assert (torch.export.export(packets, (x,)).module()(x) - expected).abs().max() < 1e-5
