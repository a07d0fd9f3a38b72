"""Triton's Monarch projection against its float64 reference and plain PyTorch; registration."""

import pytest
import torch

from liveaction.errors import MissingDependencyError
from liveaction.kernels import dispatch
from liveaction.kernels.monarch import monarch, monarch_composed, monarch_reference
from liveaction.kernels.monarch_tiling import gradient_tiling, is_dense, padded, projection_tiling, two_parts
from liveaction.nn.monarch import Monarch
from liveaction.nn.sizes import choose_groups
from liveaction.testing import assert_kernel_close, poisoned

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = [torch.float32, torch.float16] + ([torch.bfloat16] if DEVICE == "cuda" else [])
SIZES = [(512, 512), (896, 896), (1536, 1536)]  # 768 pads as 896 does
ALL = [True] * 3


def case(c_in, c_out, extents, dtype, batch=2):
    """x, w1, w2 and dy whose values are exact in ``dtype``."""
    g1, g2 = choose_groups(c_in, c_out)
    x = torch.randn(batch, c_in, *extents)
    w1, w2 = torch.randn(g1, g2, g2) / g2**0.5, torch.randn(g2, c_out // g2, g1) / g1**0.5
    return [t.to(DEVICE, dtype) for t in (x, w1, w2, torch.randn(batch, c_out, *extents))]


def run(function, x, w1, w2, dy):
    inputs = [t.detach().clone().requires_grad_() for t in (x, w1, w2)]
    y = function(*inputs)
    return [y, *torch.autograd.grad(y, inputs, dy)]


def kernel(*inputs):
    with dispatch.use("triton"), poisoned():
        return monarch(*inputs)


def compare(inputs):
    reference = run(monarch_reference, *(t.double() for t in inputs))
    composed = run(monarch_composed, *inputs)
    with poisoned():
        found = run(kernel, *inputs)
    for name, k, r, c in zip(("y", "dx", "dw1", "dw2"), found, reference, composed, strict=True):
        assert k.dtype == inputs[0].dtype
        assert_kernel_close(k, r, c, name)
    return found


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("c_in", "c_out"), [(128, 128), (96, 96), (96, 192), (256, 64), (8, 128), (128, 8), (12, 12)], ids=str
)
def test_it_is_the_reference(c_in, c_out, dtype):
    compare(case(c_in, c_out, (5, 13), dtype))


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("extents", [(1,), (7,), (63,), (65,), (3, 5), (2, 3, 4), (2, 1, 3, 2)], ids=str)
def test_any_number_of_tokens_and_axes(extents, batch):
    compare(case(128, 128, extents, torch.float32, batch))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("channels", "dtype"), [(512, torch.float16), (512, torch.float32), (896, torch.float16), (1536, torch.float32)]
)
def test_published_sizes(channels, dtype):
    compare(case(channels, channels, (67,), dtype, 1))


def test_any_strides_a_gradient_without_strides_and_an_empty_batch():
    x, w1, w2, _ = case(128, 128, (4, 6), torch.float32)
    last = x.movedim(1, -1).contiguous().movedim(-1, 1)
    cut = torch.randn(2, 128, 8, 7, device=DEVICE)[:, :, ::2, 1:]
    for strided in (last, cut, x[:1, :, :1, :1].expand(3, 128, 4, 2)):
        ones = torch.ones((), device=DEVICE).expand(strided.shape)
        assert torch.equal(kernel(strided, w1.mT.contiguous().mT, w2), kernel(strided.contiguous(), w1, w2))
        compare([strided, w1, w2, ones])
    inputs = [t.requires_grad_() for t in (x[:0].clone(), w1, w2)]
    y = kernel(*inputs)
    y.sum().backward()
    assert y.shape == (0, 128, 4, 6) and w1.grad.abs().max() == w2.grad.abs().max() == 0


def test_gradients_do_not_change_from_run_to_run():
    inputs = case(128, 128, (65,), torch.float32)
    for first, second in zip(run(kernel, *inputs), run(kernel, *inputs), strict=True):
        assert torch.equal(first, second)


def test_the_gradient_is_the_adjoint():
    x, w1, w2, dy = case(96, 192, (5, 7), torch.float32)
    y, dx, dw1, dw2 = run(kernel, x, w1, w2, dy)
    inner = (y.double() * dy.double()).sum()
    for gradient, at in ((dx, x), (dw1, w1), (dw2, w2)):
        assert torch.allclose((gradient.double() * at.double()).sum(), inner, rtol=1e-5)


@pytest.mark.parametrize(("c_in", "c_out"), [(128, 128), (128, 8)])
def test_registration(c_in, c_out):
    x, w1, w2, dy = case(c_in, c_out, (3, 5), torch.float32)
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    inputs = tuple(t.clone().requires_grad_() for t in (x, w1, w2))
    torch.library.opcheck(torch.ops.liveaction.monarch.default, inputs, test_utils=tests)
    torch.library.opcheck(torch.ops.liveaction.monarch_backward.default, (dy, x, w1, w2, ALL), test_utils=tests)


@pytest.mark.parametrize("export", [False, True])
@pytest.mark.parametrize("c_out", [128, 8])
def test_it_compiles_and_exports(c_out, export):
    x, dy = (t.requires_grad_() for t in case(128, c_out, (3, 5), torch.float32)[::3])
    module = Monarch(128, c_out).to(DEVICE)
    with dispatch.use("triton"):
        if export:
            traced = torch.export.export(module, (x,), strict=False).module()
        else:
            traced = torch.compile(module, fullgraph=True, backend="aot_eager")
        assert torch.equal(traced(x), module(x))
        if not export:
            assert torch.equal(*(torch.autograd.grad(y, x, dy)[0] for y in (traced(x), module(x))))


@pytest.mark.parametrize("limit", [99, 163, 227])
def test_every_published_size_in_16_bits_fits_any_device(limit):
    for c_in, c_out in SIZES:
        g1, g2 = choose_groups(c_in, c_out)
        for sizes in ((g1, g2, g2, c_out // g2), (g2, c_out // g2, g1, g2)):
            assert projection_tiling(sizes, 2, limit * 1024)
            assert projection_tiling(sizes, 4, limit * 1024) or (limit, c_in) == (99, 1536)
        assert gradient_tiling((g1, g2, g2, c_out // g2), 2, limit * 1024)


@pytest.mark.parametrize(("c_in", "c_out"), [(128, 96), (128, 8)])
def test_the_fake_has_the_strides_and_dtype_of_the_real_one(c_in, c_out):
    inputs = case(c_in, c_out, (3, 5), torch.float16)
    inputs[1] = inputs[1].mT.contiguous().mT
    forward, backward = torch.ops.liveaction.monarch, torch.ops.liveaction.monarch_backward
    with torch._subclasses.fake_tensor.FakeTensorMode() as mode:
        fakes = [mode.from_tensor(t) for t in inputs]
        fake = [forward(*fakes[:3]), *backward(fakes[3], *fakes[:3], ALL)]
    real = [forward(*inputs[:3]), *backward(inputs[3], *inputs[:3], ALL)]
    for f, r in zip(fake, real, strict=True):
        assert (f.shape, f.stride(), f.dtype) == (r.shape, r.stride(), r.dtype)


def test_what_the_kernel_does_not_take_is_said():
    x, w1, w2, _ = case(128, 128, (3,), torch.float64)
    with dispatch.use("triton"):
        with pytest.raises(
            MissingDependencyError, match=r"monarch: expected Triton.* it takes float32.*not torch.float64"
        ):
            monarch(x, w1, w2)
        x, w1, w2, _ = case(4096, 4096, (3,), torch.float32)
        with pytest.raises(MissingDependencyError, match=r"factors \(64, 64, 64\) and .* do not fit into \d+ KiB"):
            monarch(x, w1, w2)


def test_few_channels_take_the_dense_matrix():
    for c_in, c_out, dense in [(512, 8, True), (1536, 48, True), (8, 512, True), (97, 97, True), (512, 512, False)]:
        w1, w2 = case(c_in, c_out, (1,), torch.float32, 1)[1:3]
        assert is_dense(w1, w2) == dense, (c_in, c_out)
    assert [padded(n) for n in (1, 16, 17, 28, 48)] == [16, 16, 32, 32, 64]
    assert [two_parts(n) for n in (8, 24, 28, 32, 48, 96)] == [(16, 0), (32, 0), (32, 0), (32, 0), (32, 16), (64, 32)]
