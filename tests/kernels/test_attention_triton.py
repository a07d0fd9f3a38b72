"""Triton kernels of linear attention and its absorbed form, in the interpreter or on a GPU."""

from contextlib import nullcontext

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from liveaction.errors import MissingDependencyError
from liveaction.kernels import dispatch
from liveaction.kernels.linear_attention import absorbed_attention, linear_attention
from liveaction.testing import assert_kernel_close, poisoned

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = [torch.float32, torch.float16]
# opcheck reads .grad of what is no leaf
opcheck_warns = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")


def heads(batch, number, width, tokens, dtype=torch.float64):
    """q, k, v as slices of one projection with channels innermost, as a decoder has them."""
    packed = torch.randn(batch, tokens, 3, number, width, dtype=dtype, device=DEVICE)
    return packed.permute(2, 0, 3, 4, 1).unbind(0)


def widths(batch, channels, tokens, dtype=torch.float64):
    """x, w_qkv, w_out of one wide head."""
    x = torch.randn(batch, tokens, channels, dtype=dtype, device=DEVICE).transpose(1, 2)
    w_qkv, w_out = (torch.randn(n * channels, channels, device=DEVICE) / channels**0.5 for n in (3, 1))
    return x, w_qkv.to(dtype), w_out.to(dtype)


def run(operation, provider, tensors, dout):
    """Output and gradients by one implementation."""
    leaves = [t.detach().clone().requires_grad_() for t in tensors]
    with dispatch.use(provider), poisoned() if provider == "triton" else nullcontext():
        out = operation(*leaves)
        (out.sum() if dout is None else (out * dout.to(out)).sum()).backward()
    return [out, *(leaf.grad for leaf in leaves)]


def compare(operation, tensors, dtype, dout):
    narrow = [t.to(dtype) for t in tensors]
    dout = None if dout is None else dout.to(dtype)
    reference = run(operation, "reference", [t.double() for t in narrow], dout)
    composed = run(operation, "composed", narrow, dout)
    kernel = run(operation, "triton", narrow, dout)
    assert [k.dtype for k in kernel] == [c.dtype for c in composed]
    for i, (k, r, c) in enumerate(zip(kernel, reference, composed, strict=True)):
        assert_kernel_close(k, r, c, f"gradient {i}" if i else "output")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("wide", [True, False], ids=["float32-out", "same-out"])
@pytest.mark.parametrize(
    ("batch", "number", "width", "tokens"),
    [(1, 1, 16, 1), (2, 2, 32, 7), (1, 2, 64, 63), (2, 3, 32, 65), (1, 2, 16, 129)],
    ids=str,
)
def test_heads_agree_in_outputs_and_gradients(batch, number, width, tokens, wide, dtype):
    tensors = heads(batch, number, width, tokens)
    dout = torch.randn_like(tensors[0])
    compare(lambda q, k, v: linear_attention(q, k, v, dtype=None if wide else q.dtype), tensors, dtype, dout)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_many_tokens_are_split_and_summed(dtype):
    tensors = heads(1, 2, 32, 601)
    compare(linear_attention, tensors, dtype, torch.randn_like(tensors[0]))


@pytest.mark.slow
def test_512_channels_in_heads():
    tensors = heads(1, 16, 32, 65)
    compare(linear_attention, tensors, torch.float32, torch.randn_like(tensors[0]))


def test_heads_of_any_strides_and_a_gradient_without_strides():
    q, k, v = torch.randn(3, 2, 2, 16, 9, dtype=torch.float64, device=DEVICE)
    assert q.stride(2) != 1
    compare(linear_attention, (q, k, v), torch.float32, None)
    compare(linear_attention, (q[..., ::2], k[..., ::2], v[..., :5]), torch.float32, None)


def test_bfloat16_heads():
    tensors = heads(1, 2, 32, 33)
    compare(
        lambda q, k, v: linear_attention(q, k, v, dtype=q.dtype), tensors, torch.bfloat16, torch.randn_like(tensors[0])
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_queries_and_keys_that_match_nothing(dtype):
    q, k, v = (t.to(dtype) for t in heads(1, 1, 16, 5))
    with torch.no_grad():
        q = q.clone()
        q[..., 2] = 0
        q[..., 3] = -1
    for keys in (k, -k.abs()):
        out, dq, dk, dv = run(linear_attention, "triton", (q, keys, v), None)
        assert out[..., 2:4].abs().max() == 0 and dq[..., 2:4].abs().max() == 0
        assert torch.isfinite(dk).all() and torch.isfinite(dv).all()


@pytest.mark.parametrize("dtype", [*DTYPES, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("batch", "channels", "tokens"), [(1, 16, 1), (2, 16, 65), (1, 24, 63), (2, 40, 7), (1, 48, 300)], ids=str
)
def test_the_absorbed_form_agrees_in_outputs_and_gradients(batch, channels, tokens, dtype):
    tensors = widths(batch, channels, tokens)
    compare(absorbed_attention, tensors, dtype, torch.randn_like(tensors[0]))


def test_the_absorbed_form_on_other_strides_and_a_gradient_without_strides():
    x, w_qkv, w_out = widths(2, 16, 18)
    compare(absorbed_attention, (x.contiguous()[..., ::2], w_qkv.t().contiguous().t(), w_out.t()), torch.float32, None)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_absorbed_form_at_512_channels(dtype):
    tensors = widths(1, 512, 65)
    compare(absorbed_attention, tensors, dtype, torch.randn_like(tensors[0]))


def test_absorbed_queries_that_match_nothing():
    x, w_qkv, w_out = widths(1, 16, 9, torch.float16)
    with torch.no_grad():
        w_qkv[:16] = -w_qkv[:16].abs()
        x = x.abs()
    out, *gradients = run(absorbed_attention, "triton", (x, w_qkv, w_out), None)
    assert out.abs().max() == 0 and all(torch.isfinite(g).all() for g in gradients)


@pytest.mark.skipif(DEVICE == "cpu", reason="the interpreter is slow")
@pytest.mark.parametrize("dtype", [*DTYPES, torch.bfloat16], ids=str)
@pytest.mark.parametrize("channels", [512, 896, 1536])
def test_real_sizes(channels, dtype):
    tensors = heads(2, channels // 32, 32, 4099)
    compare(lambda q, k, v: linear_attention(q, k, v, dtype=q.dtype), tensors, dtype, torch.randn_like(tensors[0]))
    tensors = widths(2, channels, 4099)
    compare(absorbed_attention, tensors, dtype, torch.randn_like(tensors[0]))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_autocast_leaves_the_sums_alone(dtype):
    x, w_qkv, w_out = widths(1, 16, 33, torch.float32)
    with dispatch.use("triton"):
        expected = absorbed_attention(x.bfloat16(), w_qkv.bfloat16(), w_out.bfloat16())
        with torch.autocast(DEVICE, torch.bfloat16):
            assert torch.equal(absorbed_attention(x, w_qkv, w_out), expected)
        q, k, v = heads(1, 1, 16, 9, dtype)
        with torch.autocast(DEVICE, torch.bfloat16):
            assert linear_attention(q, k, v).dtype == torch.float32


@opcheck_warns
def test_the_ops_pass_opcheck():
    ops = torch.ops.liveaction
    tensors = [t.detach().requires_grad_() for t in heads(2, 2, 16, 5, torch.float32)]
    torch.library.opcheck(ops.linear_attention, (*tensors, 1e-5, torch.float32))
    plain = [t.detach() for t in tensors]
    out, state = ops.linear_attention(*plain, 1e-5, torch.float32)
    torch.library.opcheck(ops.linear_attention_backward, (torch.randn_like(out), *plain, state, 1e-5, [True] * 3))
    tensors = [t.detach().requires_grad_() for t in widths(2, 16, 5, torch.float32)]
    torch.library.opcheck(ops.absorbed_attention, (*tensors, 1e-5))
    plain = [t.detach() for t in tensors]
    out, state, weight = ops.absorbed_attention(*plain, 1e-5)
    given = (torch.randn_like(out), *plain, out, state, weight, 1e-5, [True] * 3)
    torch.library.opcheck(ops.absorbed_attention_backward, given)


@pytest.mark.parametrize("tokens", [1, 7])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_fake_ops_have_the_strides_and_dtypes_of_the_real_ones(batch, tokens):
    ops = torch.ops.liveaction
    calls = [
        (ops.linear_attention, heads(batch, 2, 16, tokens, torch.float16), (1e-5, torch.bfloat16)),
        (ops.absorbed_attention, widths(batch, 16, tokens, torch.float16), (1e-5,)),
    ]
    for op, tensors, rest in calls:
        real = op(*tensors, *rest)
        with FakeTensorMode() as mode:
            fake = op(*(mode.from_tensor(t) for t in tensors), *rest)
        for f, r in zip(fake, real, strict=True):
            assert (f.shape, f.stride(), f.dtype) == (r.shape, r.stride(), r.dtype)
        assert real[0].flatten(1, -2).stride(1) == 1


@pytest.mark.parametrize("operation", [linear_attention, absorbed_attention])
def test_it_compiles_in_one_graph(operation):
    tensors = heads(2, 2, 16, 5) if operation is linear_attention else widths(2, 16, 5)
    tensors = [t.float().requires_grad_() for t in tensors]
    with dispatch.use("triton"):
        expected = operation(*tensors)
        gradients = torch.autograd.grad(expected.square().sum(), tensors)
        out = torch.compile(operation, fullgraph=True, backend="aot_eager")(*tensors)
        again = torch.autograd.grad(out.square().sum(), tensors)
    for a, b in zip((out, *again), (expected, *gradients), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("tokens", [0, 3])
@pytest.mark.parametrize("operation", [linear_attention, absorbed_attention])
def test_nothing_to_attend(operation, tokens):
    batch = 1 if tokens == 0 else 0
    make = heads(batch, 2, 16, tokens) if operation is linear_attention else widths(batch, 16, tokens)
    with dispatch.use("triton"):
        tensors = [t.float().requires_grad_() for t in make]
        out = operation(*tensors)
        gradients = torch.autograd.grad(out.sum(), tensors)
    assert out.shape == tensors[0].shape and not any(g.any() for g in gradients)


def test_the_kernels_say_what_they_do_not_take():
    q = torch.zeros(1, 1, 24, 3, device=DEVICE)
    wide = torch.zeros(1, 1, 32, 3, dtype=torch.float64, device=DEVICE)
    with dispatch.use("triton"):
        with pytest.raises(MissingDependencyError, match="heads of width 16, 32, 64, not 24"):
            linear_attention(q, q, q)
        with pytest.raises(MissingDependencyError, match=r"float16, not torch\.float64"):
            linear_attention(wide, wide, wide)
        with pytest.raises(MissingDependencyError, match=r"one dtype, not torch\.float32, torch\.float16"):
            linear_attention(wide.float(), wide.half(), wide.half())
        with pytest.raises(MissingDependencyError, match=r"float16, not torch\.float64"):
            absorbed_attention(*widths(1, 4, 3))
        x, w_qkv, w_out = (torch.zeros(s, device=DEVICE) for s in ((1, 4097, 1), (3 * 4097, 4097), (4097, 4097)))
        with pytest.raises(MissingDependencyError, match="up to 4096 channels, not 4097"):
            absorbed_attention(x, w_qkv, w_out)
