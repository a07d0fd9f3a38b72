"""Monarch projection: against its float64 definition and its dense form, the choice of groups, gradients, errors."""

import numpy as np
import pytest
import torch

from liveaction.errors import ShapeError
from liveaction.kernels import dispatch
from liveaction.kernels.monarch import monarch, monarch_composed, monarch_reference, monarch_to_dense
from liveaction.nn.monarch import Dense, Monarch
from liveaction.nn.sizes import choose_groups

PAIRS = [(1, 1), (6, 4), (7, 5), (8, 64), (12, 12), (30, 45), (64, 8), (512, 8)]

# No divisor pair that the published search may take has a g2 that divides C_out.
FAILED = [(c_in, c_out) for c_in in (192, 384, 768, 1536) for c_out in (8, 28, 32, 128)]
FAILED += [(c_in, c_out) for c_in in (448, 896) for c_out in (32, 48, 128, 192)]


def factors(c_in, c_out, dtype=torch.float64):
    g1, g2 = choose_groups(c_in, c_out)
    return torch.randn(g1, g2, g2, dtype=dtype), torch.randn(g2, c_out // g2, g1, dtype=dtype)


def definition(x, w1, w2):
    """The two sums as they are written."""
    tokens = x.double().numpy().reshape(x.shape[0], w1.shape[0], w1.shape[1], -1)
    h = np.einsum("aij,najt->nait", w1.double().numpy(), tokens)
    y = np.einsum("ioa,nait->niot", w2.double().numpy(), h)
    return torch.from_numpy(y).reshape(x.shape[0], -1, *x.shape[2:])


@pytest.mark.parametrize("extents", [(1,), (5,), (3, 4), (2, 3, 4), (1, 2, 1, 3)], ids=str)
@pytest.mark.parametrize(("c_in", "c_out"), PAIRS)
def test_it_is_its_definition(c_in, c_out, extents):
    w1, w2 = factors(c_in, c_out)
    x = torch.randn(2, c_in, *extents, dtype=torch.float64)
    y = monarch(x, w1, w2)
    expected = definition(x, w1, w2)
    assert y.shape == (2, c_out, *extents) and y.dtype == torch.float64
    assert (y - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_at_a_working_dtype_it_stays_near_float64(dtype):
    w1, w2 = factors(64, 32, dtype)
    x = torch.randn(2, 64, 9, dtype=dtype)
    y, expected = monarch(x, w1, w2), definition(x, w1, w2)
    assert y.dtype == dtype
    assert (y.double() - expected).abs().max() <= 8 * torch.finfo(dtype).eps * expected.abs().max()


@pytest.mark.parametrize(("c_in", "c_out"), PAIRS)
def test_the_dense_form_is_exact(c_in, c_out):
    w1, w2 = factors(c_in, c_out)
    dense = monarch_to_dense(w1, w2)
    assert dense.shape == (c_out, c_in)
    g1, g2 = w1.shape[:2]
    q = c_out // g2
    for row, column in [(0, 0), (c_out - 1, c_in - 1), (c_out // 2, c_in // 3), (c_out // 3, c_in // 2)]:
        (i, o), (a, j) = divmod(row, q), divmod(column, g2)
        assert dense[row, column] == w2[i, o, a] * w1[a, i, j]
    eye = torch.eye(c_in, dtype=torch.float64)[None]
    assert torch.equal(monarch(eye, w1, w2)[0], dense)
    assert g1 * g2 == c_in


def test_a_dense_projection_after_a_monarch_one_composes():
    first, second = Monarch(30, 45, bias=True).double(), Dense(45, 7).double()
    with torch.no_grad():
        first.bias.normal_()
        second.bias.normal_()
        x = torch.randn(2, 30, 3, 5, dtype=torch.float64)
        matrix = second.weight @ first.dense()
        offset = second.weight @ first.bias + second.bias
        expected = torch.einsum("oc,bc...->bo...", matrix, x) + offset.view(-1, 1, 1)
        assert (second(first(x)) - expected).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("c_in", "c_out", "g1", "g2", "q", "macs"),
    [
        (512, 512, 16, 32, 16, 24576),
        (768, 768, 24, 32, 24, 43008),
        (896, 896, 28, 32, 28, 53760),
        (1536, 1536, 32, 48, 32, 122880),
        (512, 8, 128, 4, 2, 3072),
        (1536, 48, 192, 8, 6, 21504),
        (8, 512, 1, 8, 64, 576),
    ],
)
def test_the_groups_and_multiplications_of_published_sizes(c_in, c_out, g1, g2, q, macs):
    assert choose_groups(c_in, c_out) == (g1, g2)
    module = Monarch(c_in, c_out)
    assert module.w1.shape == (g1, g2, g2) and module.w2.shape == (g2, q, g1)
    assert module.w1.numel() + module.w2.numel() == macs


@pytest.mark.parametrize(("c_in", "c_out"), FAILED)
def test_sizes_that_the_published_search_fails_on(c_in, c_out):
    module = Monarch(c_in, c_out)
    with torch.no_grad():
        y = module(torch.randn(1, c_in, 2))
    assert y.shape == (1, c_out, 2) and torch.isfinite(y).all()
    g1, g2 = choose_groups(c_in, c_out)
    assert g1 * g2 == c_in and c_out % g2 == 0


def test_no_divisor_pair_needs_fewer_multiplications():
    assert len(FAILED) == 24
    sizes = [1, 2, 7, 12, 30, 36, 64, 97, 100]
    for c_in, c_out in [*FAILED, *((a, b) for a in sizes for b in sizes)]:
        macs = []
        for g1 in range(1, c_in + 1):
            g2 = c_in // g1
            if g1 * g2 == c_in and c_out % g2 == 0:
                macs.append(g1 * g2 * g2 + g2 * (c_out // g2) * g1)
        g1, g2 = choose_groups(c_in, c_out)
        assert g1 * g2 * g2 + c_out * g1 == min(macs), (c_in, c_out)


def test_the_bias_is_added_per_channel_and_starts_at_0():
    module = Monarch(12, 6, bias=True)
    x = torch.randn(2, 12, 3, 4)
    plain = monarch(x, module.w1, module.w2)
    assert torch.equal(module(x), plain) and Monarch(12, 6).bias is None
    with torch.no_grad():
        module.bias.copy_(torch.arange(6.0))
    assert torch.allclose(module(x), plain + torch.arange(6.0).view(6, 1, 1))


@pytest.mark.parametrize("with_bias", [False, True])
def test_gradients(with_bias):
    w1, w2 = factors(6, 4)
    inputs = [torch.randn(2, 6, 2, 3, dtype=torch.float64), w1, w2]
    inputs += [torch.randn(4, dtype=torch.float64)] if with_bias else []
    assert torch.autograd.gradcheck(monarch, [t.requires_grad_() for t in inputs])
    assert torch.autograd.gradcheck(monarch_to_dense, (w1, w2))


def test_any_strides_and_an_empty_batch():
    w1, w2 = factors(12, 8)
    last = torch.randn(2, 5, 7, 12, dtype=torch.float64).movedim(-1, 1)
    broadcast = torch.randn(1, 12, 1, 1, dtype=torch.float64).expand(3, 12, 4, 2)
    for x in (last, last[:, :, ::2, 1:], broadcast):
        assert not x.is_contiguous()
        assert (monarch(x, w1, w2) - monarch(x.contiguous(), w1, w2)).abs().max() < 1e-13
    assert monarch(last[:0], w1, w2).shape == (0, 8, 5, 7)


def test_factors_that_do_not_fit_are_refused():
    w1, w2 = factors(12, 8)
    x = torch.zeros(1, 12, 2, dtype=torch.float64)
    words = r"monarch: expected x \[B, g1\*g2, \*S\], w1 \[g1, g2, g2\], w2 \[g2, q, g1\], got \(1, "
    for wrong in [(x[:, :-1], w1, w2), (x, w1[:, :, :-1], w2), (x, w1, w2[:-1]), (x, w1, w2[..., :-1])]:
        with pytest.raises(ShapeError, match=words):
            monarch(*wrong)


def test_the_start_is_uniform_within_one_over_the_root_of_the_fan_in():
    module = Monarch(512, 512)
    for weight, fan in ((module.w1, 32), (module.w2, 16)):
        assert weight.abs().max() <= fan**-0.5
        assert weight.std().item() == pytest.approx((3 * fan) ** -0.5, rel=0.05)
    assert Dense(48, 5).weight.abs().max() <= 48**-0.5 and Dense(48, 5).bias.abs().max() == 0


def test_what_print_shows():
    assert repr(Monarch(512, 8)) == "Monarch(512, 8, groups=(128, 4))" and repr(Dense(8, 3)) == "Dense(8, 3)"


@pytest.mark.parametrize(("c_in", "c_out"), PAIRS)
def test_the_reference_and_plain_pytorch_agree(c_in, c_out):
    w1, w2 = factors(c_in, c_out)
    x = torch.randn(2, c_in, 3, 2, dtype=torch.float64)
    expected = monarch_reference(x, w1, w2)
    assert torch.allclose(monarch_composed(x, w1, w2), expected, atol=1e-12)
    with dispatch.use("reference"):
        assert torch.equal(monarch(x, w1, w2), expected)


def test_the_reference_has_the_gradients_of_its_formula():
    inputs = [torch.randn(2, 6, 2, 3, dtype=torch.float64), *factors(6, 4)]
    assert torch.autograd.gradcheck(monarch_reference, [t.requires_grad_() for t in inputs])


@pytest.mark.parametrize("export", [False, True])
def test_plain_pytorch_compiles_and_exports(export):
    module, x = Monarch(12, 8, bias=True), torch.randn(2, 12, 3, 5)
    if export:
        traced = torch.export.export(module, (x,), strict=False).module()
    else:
        traced = torch.compile(module, fullgraph=True, backend="aot_eager")
    assert torch.allclose(traced(x), module(x), atol=1e-6)
