"""Monarch and linear attention against their float64 definitions."""

import pytest
import torch

from liveaction.errors import ShapeError
from liveaction.kernels.linear_attention import linear_attention
from liveaction.kernels.monarch import monarch, monarch_to_dense
from liveaction.nn.monarch import Dense, Monarch
from liveaction.nn.sizes import choose_groups


def factors(c_in, c_out):
    g1, g2 = choose_groups(c_in, c_out)
    return torch.randn(g1, g2, g2, dtype=torch.float64), torch.randn(g2, c_out // g2, g1, dtype=torch.float64)


@pytest.mark.parametrize("extents", [(5,), (3, 4), (2, 3, 4), (1, 2, 1, 3)], ids=str)
@pytest.mark.parametrize(("c_in", "c_out"), [(12, 12), (64, 8), (8, 64), (7, 5), (30, 45), (1, 1)])
def test_monarch_is_its_formula_and_its_dense_matrix(c_in, c_out, extents):
    w1, w2 = factors(c_in, c_out)
    x, bias = torch.randn(2, c_in, *extents, dtype=torch.float64), torch.randn(c_out, dtype=torch.float64)
    y = monarch(x, w1, w2, bias)
    h = torch.einsum("aij,baj...->bai...", w1, x.unflatten(1, w1.shape[:2]))
    expected = torch.einsum("ioa,bai...->bio...", w2, h).flatten(1, 2)
    expected = expected + bias.view(-1, *(1,) * len(extents))
    assert y.shape == (2, c_out, *extents)
    assert (y - expected).abs().max() < 1e-12
    dense = torch.einsum("oc,bc...->bo...", monarch_to_dense(w1, w2), x)
    assert (monarch(x, w1, w2) - dense).abs().max() < 1e-12
    strided = torch.randn(*extents, c_in, 2, dtype=torch.float64).movedim((-1, -2), (0, 1))
    assert (monarch(strided, w1, w2) - monarch(strided.contiguous(), w1, w2)).abs().max() < 1e-12


def test_monarch_gradients():
    w1, w2 = factors(6, 4)
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    bias = torch.randn(4, dtype=torch.float64)
    assert torch.autograd.gradcheck(monarch, [t.requires_grad_() for t in (x, w1, w2, bias)])


def test_monarch_after_dense_is_one_dense_matrix():
    first, second = Dense(10, 12).double(), Monarch(12, 8).double()
    x = torch.randn(1, 10, 7, dtype=torch.float64)
    matrix = second.dense() @ first.weight
    with torch.no_grad():
        offset = second.dense() @ first.bias
        assert (second(first(x)) - (matrix @ x + offset[:, None])).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("c_in", "c_out", "groups"),
    [
        (512, 512, (16, 32)),
        (768, 768, (24, 32)),
        (896, 896, (28, 32)),
        (1536, 1536, (32, 48)),
        (512, 8, (128, 4)),
        (1536, 48, (192, 8)),
        (8, 512, (1, 8)),
    ],
)
def test_the_groups_of_the_published_sizes(c_in, c_out, groups):
    assert choose_groups(c_in, c_out) == groups


@pytest.mark.parametrize("c_in", [1, 7, 12, 192, 384, 448, 512, 768, 896, 1536])
@pytest.mark.parametrize("c_out", [1, 8, 28, 32, 48, 128, 192])
def test_groups_fit_and_cost_least(c_in, c_out):
    g1, g2 = choose_groups(c_in, c_out)
    assert g1 * g2 == c_in and c_out % g2 == 0
    costs = [
        c_in * c_in / (c_in // d) + c_in * c_out / d for d in range(1, c_in + 1) if c_in % d == 0 and c_out % d == 0
    ]
    assert c_in * c_in / g1 + c_in * c_out / g2 == min(costs)


def test_monarch_refuses_factors_that_do_not_fit():
    w1, w2 = factors(12, 12)
    with pytest.raises(ShapeError, match="monarch: expected x"):
        monarch(torch.zeros(1, 13, 2, dtype=torch.float64), w1, w2)
    with pytest.raises(ShapeError, match="monarch: expected x"):
        monarch(torch.zeros(1, 12, 2, dtype=torch.float64), w1, w2[:-1])


@pytest.mark.parametrize("heads", [1, 3])
def test_linear_attention_is_its_quadratic_form(heads):
    q, k, v = torch.randn(3, 2, heads, 4, 11, dtype=torch.float64)
    weights = torch.einsum("bhdi,bhdj->bhij", q.relu(), k.relu())
    expected = torch.einsum("bhij,bhdj->bhdi", weights, v) / (weights.sum(-1).unsqueeze(2) + 1e-5)
    assert (linear_attention(q, k, v) - expected).abs().max() < 1e-12
    # tokens have no positions
    order = torch.randperm(11)
    assert torch.allclose(linear_attention(q[..., order], k[..., order], v[..., order]), expected[..., order])


def test_linear_attention_gradients_dtypes_and_refusal():
    q, k, v = (torch.randn(1, 2, 3, 5, dtype=torch.float64, requires_grad=True) for _ in range(3))
    assert torch.autograd.gradcheck(linear_attention, (q, k, v))
    half = [t.detach().bfloat16() for t in (q, k, v)]
    with torch.autocast("cpu", torch.bfloat16):
        assert linear_attention(*half).dtype == torch.float32
    with pytest.raises(ShapeError, match="linear attention: expected q, k, v"):
        linear_attention(q, k, v[..., :4])
