"""Pointwise block: its formula, plain PyTorch, Triton's kernels, dtypes, registration."""

import pytest
import torch
import torch.nn.functional as F

from liveaction.errors import MissingDependencyError, ShapeError
from liveaction.kernels import dispatch, launch
from liveaction.kernels.monarch import monarch
from liveaction.kernels.pointwise_block import (
    pointwise_block,
    pointwise_block_composed,
    pointwise_block_reference,
)
from liveaction.nn.blocks import PointwiseBlock
from liveaction.nn.norm import ChannelNorm
from liveaction.nn.sizes import choose_groups
from liveaction.testing import assert_kernel_close, poisoned

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = [torch.float32, torch.float16] + ([torch.bfloat16] if DEVICE == "cuda" else [])
NAMES = ["out", "x", "w1", "w2", "gain1", "v1", "v2", "gain2", "scale"]
EPS = 1e-6
ALL = [True] * 8


def case(channels, extents, dtype, batch=2, of_x=None):
    """x, the seven parameters and the gradient of the output, with values exact in ``dtype``."""
    g1, g2 = choose_groups(channels, channels)
    shapes = [(g1, g2, g2), (g2, g1, g1), (channels,), (g1, g2, g2), (g2, g1, g1), (channels,), (channels,)]
    parameters = [torch.randn(shape) / (shape[-1] ** 0.5 if len(shape) == 3 else 1) for shape in shapes]
    x, dout = torch.randn(2, batch, channels, *extents)
    return [t.to(dtype).to(DEVICE, of_x or dtype) for t in (x, dout)], [t.to(DEVICE, dtype) for t in parameters]


def run(function, x, dout, parameters):
    inputs = [t.detach().clone().requires_grad_() for t in (x, *parameters)]
    out = function(*inputs, EPS)
    return [out, *torch.autograd.grad(out, inputs, dout)]


def kernel(*inputs):
    with dispatch.use("triton"), poisoned():
        return pointwise_block(*inputs)


def composed(*inputs):
    with dispatch.use("composed"):
        return pointwise_block_composed(*inputs)


def compare(tensors, parameters):
    reference = run(pointwise_block_reference, *(t.double() for t in tensors), [t.double() for t in parameters])
    with poisoned():
        found = run(kernel, *tensors, parameters)
    plain = run(composed, *tensors, parameters)
    for name, k, r, c in zip(NAMES, found, reference, plain, strict=True):
        assert k.dtype == c.dtype, name
        assert_kernel_close(k, r, c, name)


def test_the_reference_has_the_gradients_of_its_formula():
    (x, _), parameters = case(4, (2, 2), torch.float64)
    inputs = [t.requires_grad_() for t in (x, *parameters)]
    assert torch.autograd.gradcheck(lambda *t: pointwise_block_reference(*t, EPS), inputs)
    assert torch.autograd.gradcheck(lambda *t: pointwise_block(*t, EPS), inputs)


@pytest.mark.parametrize("extents", [(1,), (7,), (3, 5), (2, 3, 4), (2, 1, 3, 2)], ids=str)
def test_plain_pytorch_is_the_reference(extents):
    tensors, parameters = case(12, extents, torch.float64)
    for c, r in zip(
        run(composed, *tensors, parameters), run(pointwise_block_reference, *tensors, parameters), strict=True
    ):
        assert torch.allclose(c, r, atol=1e-12)
    with dispatch.use("reference"):
        assert torch.equal(
            pointwise_block(tensors[0], *parameters), run(pointwise_block_reference, *tensors, parameters)[0]
        )


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_module_gives_what_its_parts_give_bit_by_bit(dtype, autocast):
    block = PointwiseBlock(24)
    norms = [ChannelNorm(24), ChannelNorm(24)]
    with torch.no_grad():
        for mine, own in zip(norms, (block.norm1, block.norm2), strict=True):
            own.gain.normal_()
            mine.gain.copy_(own.gain)
        block.scale.factor.normal_()
    block, norms = block.to(dtype), [norm.to(dtype) for norm in norms]
    x = torch.randn(2, 24, 5, 3, dtype=dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        h = F.gelu(norms[0](monarch(x, block.first.w1, block.first.w2)), approximate="tanh")
        expected = x + block.scale(norms[1](monarch(h, block.second.w1, block.second.w2)))
        out = block(x)
    assert out.dtype == expected.dtype == dtype and torch.equal(out, expected)


def test_names_of_the_parameters_and_a_block_whose_scale_is_0():
    block = PointwiseBlock(12, scale=0.0)
    names = "first.w1 first.w2 norm1.gain second.w1 second.w2 norm2.gain scale.factor"
    assert list(block.state_dict()) == names.split()
    x = torch.randn(2, 12, 5)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.scale.factor.grad.abs().min() > 0 and block.first.w1.grad.abs().max() == 0


def test_what_does_not_fit_is_refused():
    (x, _), p = case(12, (3,), torch.float32)
    words = r"pointwise block: expected x \[B, g1\*g2, \*S\], first factors .* got \(2, "
    for wrong in [(x[:, 1:], *p), (x, p[0][:, 1:], *p[1:]), (x, p[0], p[1][1:], *p[2:]), (x, *p[:4], p[4][1:], *p[5:])]:
        with pytest.raises(ShapeError, match=words):
            pointwise_block(*wrong)
    with pytest.raises(ShapeError, match=r"pointwise block: expected gains and scale \[12\], got \(11,\), \(12,\)"):
        pointwise_block(x, *p[:2], p[2][1:], *p[3:])


def test_what_the_kernel_does_not_take_is_said():
    with dispatch.use("triton"):
        (x, _), parameters = case(256, (3,), torch.float64)
        with pytest.raises(MissingDependencyError, match=r"pointwise_block: expected Triton.*not torch.float64"):
            pointwise_block(x, *parameters)


@pytest.mark.parametrize("export", [False, True])
def test_plain_pytorch_compiles_and_exports(export):
    block, x = PointwiseBlock(12), torch.randn(2, 12, 5, 3)
    if export:
        traced = torch.export.export(block, (x,), strict=False).module()
    else:
        traced = torch.compile(block, fullgraph=True, backend="aot_eager")
    assert torch.allclose(traced(x), block(x), atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("extents", [(1,), (7,), (65,)], ids=str)
def test_the_kernel_is_the_reference(extents, dtype):
    compare(*case(256, extents, dtype, 1))


@pytest.mark.parametrize("extents", [(3, 5), (2, 3, 2), (2, 1, 3, 1)], ids=str)
def test_the_kernel_on_more_axes(extents):
    compare(*case(256, extents, torch.float16))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_kernel_at_512_channels(dtype):
    compare(*case(512, (33,), dtype))


def test_the_kernel_with_a_float32_skip_around_16_bit_projections():
    compare(*case(256, (21,), torch.float16, of_x=torch.float32))


@pytest.mark.parametrize("of_x", [torch.float16, torch.float32], ids=str)
def test_halves_that_leave_the_sums_to_the_projections(of_x):
    values, op = {"WEIGHTS": 0, "RESIDENT": 0}, "pointwise_block_backward"
    with launch.override(f"{op}_first", values), launch.override(f"{op}_second", values):
        compare(*case(256, (21,), torch.float16, of_x=of_x))


@pytest.mark.parametrize("export", [False, True])
def test_the_kernel_compiles_and_exports(export):
    (x, dout), parameters = case(256, (3, 5), torch.float32)
    block = PointwiseBlock(256).to(DEVICE)
    block.load_state_dict(dict(zip(block.state_dict(), parameters, strict=True)))
    x.requires_grad_()
    with dispatch.use("triton"):
        expected = block(x)
        if export:
            traced = torch.export.export(block, (x,), strict=False).module()
        else:
            traced = torch.compile(block, fullgraph=True, backend="aot_eager")
        assert torch.equal(traced(x), expected)
        if not export:
            gradients = [torch.autograd.grad(y, x, dout)[0] for y in (traced(x), expected)]
            assert torch.equal(*gradients)


def test_any_strides_a_gradient_without_strides_and_an_empty_batch():
    (x, _), parameters = case(256, (4, 6), torch.float32)
    cut = torch.randn(2, 256, 8, 7, device=DEVICE)[:, :, ::2, 1:]
    for strided in (x.movedim(1, -1).contiguous().movedim(-1, 1), cut, x[:, :, :, :1].expand(2, 256, 4, 3)):
        assert torch.equal(kernel(strided, *parameters), kernel(strided.contiguous(), *parameters))
        compare((strided, torch.ones((), device=DEVICE).expand(strided.shape)), parameters)
    inputs = [t.requires_grad_() for t in (x[:0].clone(), *parameters)]
    kernel(*inputs).sum().backward()
    assert inputs[0].grad.shape == (0, 256, 4, 6) and all(t.grad.abs().max() == 0 for t in inputs[1:])


def test_the_kernel_gives_the_same_gradients_every_time():
    tensors, parameters = case(256, (65,), torch.float32)
    for first, second in zip(run(kernel, *tensors, parameters), run(kernel, *tensors, parameters), strict=True):
        assert torch.equal(first, second)


def test_registration_and_the_fake():
    (x, dout), parameters = case(256, (3, 5), torch.float16, of_x=torch.float32)
    parameters[0] = parameters[0].mT.contiguous().mT
    ops = torch.ops.liveaction.pointwise_block.default, torch.ops.liveaction.pointwise_block_backward.default
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    inputs = [t.clone().requires_grad_() for t in (x, *parameters)]
    torch.library.opcheck(ops[0], (*inputs, EPS), test_utils=tests)
    torch.library.opcheck(ops[1], (dout, x, *parameters, EPS, ALL), test_utils=tests)
    with torch._subclasses.fake_tensor.FakeTensorMode() as mode:
        fakes = [mode.from_tensor(t) for t in (dout, x, *parameters)]
        fake = [ops[0](*fakes[1:], EPS), *ops[1](*fakes, EPS, ALL)]
    real = [ops[0](x, *parameters, EPS), *ops[1](dout, x, *parameters, EPS, ALL)]
    for f, r in zip(fake, real, strict=True):
        assert (f.shape, f.stride(), f.dtype) == (r.shape, r.stride(), r.dtype)


@pytest.mark.parametrize("shape", [(1, 64, 1), (2, 64, 7), (1, 48, 5, 13), (2, 512, 3, 5, 5), (1, 64, 2100)], ids=str)
@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
def test_numba_errs_no_more_than_plain_pytorch(shape, autocast):
    torch.manual_seed(0)
    block = PointwiseBlock(shape[1], scale=0.7).requires_grad_(False)
    for gain in (block.norm1.gain, block.norm2.gain):
        gain.add_(0.3 * torch.randn_like(gain))
    x = torch.randn(shape)
    with dispatch.use("reference"):
        truth = block.double()(x.double())
    block.float()
    kept = x.clone()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        with dispatch.use("composed"):
            plain = block(x)
        with dispatch.use("numba"):
            ours, again = block(x), block(x)
    assert torch.equal(x, kept) and ours.dtype == torch.float32
    assert torch.equal(ours, again)  # what a thread keeps is not what it gave
    assert_kernel_close(ours, truth, plain, f"pointwise block {shape}")
