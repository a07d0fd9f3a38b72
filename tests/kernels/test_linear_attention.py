"""ReLU linear attention against its quadratic form in float64."""

import pytest
import torch

from liveaction.errors import ShapeError
from liveaction.kernels.linear_attention import linear_attention


def quadratic(q, k, v, eps=1e-5):
    """Every query against every key, one by one."""
    out = torch.zeros_like(v)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            weights = q[b, h].relu().T @ k[b, h].relu()
            for t, row in enumerate(weights):
                out[b, h, :, t] = (v[b, h] * row).sum(1) / (row.sum() + eps)
    return out


@pytest.mark.parametrize("tokens", [1, 2, 13])
@pytest.mark.parametrize("head_dim", [1, 5])
@pytest.mark.parametrize("heads", [1, 3])
def test_it_is_its_quadratic_form(heads, head_dim, tokens):
    q, k, v = torch.randn(3, 2, heads, head_dim, tokens, dtype=torch.float64)
    assert (linear_attention(q, k, v) - quadratic(q, k, v)).abs().max() < 1e-12
    assert (linear_attention(q, k, v, eps=0.5) - quadratic(q, k, v, 0.5)).abs().max() < 1e-12


def test_heads_do_not_mix():
    q, k, v = torch.randn(3, 1, 4, 3, 7, dtype=torch.float64)
    whole = linear_attention(q, k, v)
    for h in range(4):
        part = slice(h, h + 1)
        assert torch.allclose(linear_attention(q[:, part], k[:, part], v[:, part]), whole[:, part], rtol=1e-12)
    joint = (t.reshape(1, 1, 12, 7) for t in (q, k, v))
    assert not torch.allclose(linear_attention(*joint).reshape(whole.shape), whole, atol=1e-3)


def test_tokens_have_no_positions():
    q, k, v = torch.randn(3, 2, 2, 4, 11, dtype=torch.float64)
    order = torch.randperm(11)
    mixed = linear_attention(q[..., order], k[..., order], v[..., order])
    assert torch.allclose(mixed, linear_attention(q, k, v)[..., order])


def test_outputs_are_averages_of_the_values():
    q, k = torch.rand(2, 1, 1, 4, 9, dtype=torch.float64)
    v = torch.randn(1, 1, 4, 9, dtype=torch.float64)
    y = linear_attention(q, k, v, eps=0.0)
    assert (y <= v.amax(3, keepdim=True)).all() and (y >= v.amin(3, keepdim=True)).all()


def test_a_query_that_matches_nothing_gives_0():
    q, k, v = torch.rand(3, 1, 2, 3, 5)
    assert linear_attention(-q, k, v).abs().max() == 0
    assert linear_attention(q, -k, v).abs().max() == 0


def test_gradients():
    q, k, v = (torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    assert torch.autograd.gradcheck(linear_attention, (q, k, v))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_over_16_bit_tokens_run_in_float32(dtype):
    # the normaliser counts tokens: 16-bit sums stop growing at 256 (bfloat16) or overflow (float16)
    q = torch.ones(1, 1, 2, 50_000, dtype=dtype)
    v = torch.linspace(-1, 1, 50_000).to(dtype).expand(1, 1, 2, -1)
    with torch.autocast("cpu", torch.bfloat16):
        y = linear_attention(q, q, v)
    assert y.dtype == torch.float32
    assert (y - v.double().mean()).abs().max() < 1e-5


def test_any_strides():
    packed = torch.randn(2, 7, 3, 3, 4, dtype=torch.float64)
    q, k, v = packed.permute(2, 0, 3, 4, 1).unbind(0)
    assert not q.is_contiguous()
    assert torch.allclose(linear_attention(q, k, v), quadratic(q, k, v), rtol=1e-12)


def test_it_runs_on_the_meta_device():
    q = torch.empty(1, 2, 3, 5, device="meta")
    assert linear_attention(q, q, q).shape == (1, 2, 3, 5)


@pytest.mark.parametrize(
    "shapes",
    [
        ((1, 2, 3, 5), (1, 2, 3, 4), (1, 2, 3, 5)),
        ((1, 2, 3, 5), (1, 2, 3, 5), (1, 2, 4, 5)),
        ((1, 1, 3, 5), (1, 2, 3, 5), (1, 2, 3, 5)),
        ((2, 3, 5),) * 3,
        ((1, 1, 2, 3, 5),) * 3,
    ],
    ids=str,
)
def test_other_shapes_are_refused(shapes):
    with pytest.raises(ShapeError, match=r"linear attention: expected q, k, v \[B, heads, head_dim, T\], got \("):
        linear_attention(*(torch.zeros(shape) for shape in shapes))
