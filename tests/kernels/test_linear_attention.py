"""ReLU linear attention against its quadratic form in float64."""

import pytest
import torch

from liveaction.errors import ShapeError
from liveaction.kernels import dispatch
from liveaction.kernels.linear_attention import (
    absorbed_attention,
    absorbed_attention_composed,
    absorbed_attention_reference,
    linear_attention,
    linear_attention_reference,
)
from liveaction.nn.attention import LinearAttention


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


@pytest.mark.parametrize("heads", [1, 3])
def test_the_reference_is_the_quadratic_form_too(heads):
    q, k, v = (torch.randn(2, heads, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    assert (linear_attention_reference(q, k, v, 1e-5) - quadratic(q, k, v)).abs().max() < 1e-12
    assert torch.autograd.gradcheck(lambda q, k, v: linear_attention_reference(q, k, v, 1e-5), (q, k, v))


def test_the_result_takes_the_dtype_asked_for():
    q, k, v = torch.randn(3, 1, 2, 4, 5).bfloat16()
    assert linear_attention(q, k, v).dtype == torch.float32
    narrow = linear_attention(q, k, v, dtype=torch.bfloat16)
    assert torch.equal(narrow, linear_attention(q, k, v).bfloat16())


def weights(channels, dtype=torch.float64):
    return [torch.randn(n * channels, channels, dtype=dtype) / channels**0.5 for n in (3, 1)]


# T <= C runs one step after the other, T > C the absorbed form
EXTENTS = [1, 7, 8, 9, 63, 65]


@pytest.mark.parametrize("tokens", EXTENTS)
@pytest.mark.parametrize("batch", [1, 2])
def test_the_absorbed_form_is_attention_between_projections(batch, tokens):
    x, (w_qkv, w_out) = torch.randn(batch, 8, tokens, dtype=torch.float64), weights(8)
    q, k, v = ((w @ x)[:, None] for w in w_qkv.chunk(3))
    for eps in (1e-5, 0.5):
        expected = w_out @ linear_attention(q, k, v, eps)[:, 0]
        for provider in ("reference", "composed"):
            with dispatch.use(provider):
                assert torch.allclose(absorbed_attention(x, w_qkv, w_out, eps), expected, rtol=1e-9)


@pytest.mark.parametrize("tokens", [2, 5])
def test_gradients_of_the_absorbed_form(tokens):
    leaves = [torch.randn(2, 3, tokens, dtype=torch.float64), *weights(3)]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    both = []
    for run in (absorbed_attention_reference, absorbed_attention_composed):
        out = run(*leaves, 1e-5)
        both.append(torch.autograd.grad((out * torch.arange(tokens)).sum(), leaves))
        assert torch.autograd.gradcheck(lambda *t, run=run: run(*t, 1e-5), leaves)
    for composed, reference in zip(*both, strict=True):
        assert torch.allclose(composed, reference, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("tokens", [300, 700])
def test_the_absorbed_form_in_float32_errs_no_more_than_the_plain_one(tokens):
    x, (w_qkv, w_out) = torch.randn(1, 512, tokens), weights(512, torch.float32)
    exact = absorbed_attention_reference(x.double(), w_qkv.double(), w_out.double(), 1e-5)
    error = (absorbed_attention(x, w_qkv, w_out) - exact).norm() / exact.norm()
    assert error <= 1e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_long_sums_of_the_absorbed_form_run_in_float32(dtype):
    # all queries and keys are 1: every token becomes the mean of all
    x = torch.linspace(0, 1, 50_000).to(dtype).expand(1, 2, -1).clone()
    x[:, 1] = 1
    rows = torch.tensor([[0.0, 1.0]])
    w_qkv = torch.cat([rows.expand(4, 2), torch.eye(2)]).to(dtype)
    y = absorbed_attention(x, w_qkv, torch.eye(2, dtype=dtype))
    assert y.dtype == dtype
    assert (y[:, 0].double() - x[:, 0].double().mean()).abs().max() < torch.finfo(dtype).eps


def test_autocast_sets_the_dtype_of_the_absorbed_form():
    x, (w_qkv, w_out) = torch.randn(1, 4, 9), weights(4, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = absorbed_attention(x, w_qkv, w_out)
    assert torch.equal(y, absorbed_attention(x.bfloat16(), w_qkv.bfloat16(), w_out.bfloat16()))


@pytest.mark.parametrize("tokens", [5, 33])
@pytest.mark.parametrize("head_dim", [None, 4], ids=["wide", "heads"])
def test_the_module_compiles_in_one_graph(head_dim, tokens):
    module, x = LinearAttention(16, head_dim, 1e-5), torch.randn(2, 16, tokens)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    y = compiled(x)
    assert torch.allclose(y, module(x), atol=1e-5)
    y.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters())


@pytest.mark.parametrize("head_dim", [None, 4], ids=["wide", "heads"])
def test_the_module_exports_for_any_extent(head_dim):
    module, x = LinearAttention(16, head_dim, 1e-5).eval(), torch.randn(2, 16, 4, 5)
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)
    program = torch.export.export(module, (x,), dynamic_shapes=(free,)).module()
    for shape in [(1, 16, 3, 2), (3, 16, 9, 7)]:
        larger = torch.randn(shape)
        assert torch.allclose(program(larger), module(larger), atol=1e-5)


@pytest.mark.parametrize("tokens", [5, 33])
def test_one_wide_head_is_attention_between_projections(tokens):
    module, x = LinearAttention(16, None, 1e-5).double(), torch.randn(2, 16, tokens, dtype=torch.float64)
    assert sorted(dict(module.named_parameters())) == ["norm.bias", "norm.weight", "project.weight", "qkv.weight"]
    q, k, v = module.qkv(x)[:, None].chunk(3, 2)
    expected = module.norm(module.project(linear_attention(q, k, v)[:, 0]))
    assert torch.allclose(module(x), expected, rtol=1e-8)


def test_the_absorbed_form_runs_on_the_meta_device():
    x = torch.empty(1, 4, 9, device="meta")
    w_qkv, w_out = (torch.empty(n, 4, device="meta") for n in (12, 4))
    assert absorbed_attention(x, w_qkv, w_out).shape == (1, 4, 9)


@pytest.mark.parametrize(
    "shapes",
    [
        ((1, 4, 5), (12, 4), (4, 3)),
        ((1, 4, 5), (8, 4), (4, 4)),
        ((1, 3, 5), (12, 4), (4, 4)),
        ((4, 5), (12, 4), (4, 4)),
    ],
    ids=str,
)
def test_other_shapes_of_the_absorbed_form_are_refused(shapes):
    with pytest.raises(ShapeError, match=r"absorbed attention: expected x \[B, C, T\], w_qkv \[3\*C, C\]"):
        absorbed_attention(*(torch.zeros(shape) for shape in shapes))
