"""Companding and quantising against the float64 reference; registration; resources ahead of time."""

from functools import partial
from itertools import product

import pytest
import torch

from liveaction.errors import MissingDependencyError, ShapeError
from liveaction.kernels import dispatch
from liveaction.kernels import quantize as quantize_module
from liveaction.kernels.quantize import (
    compand,
    draw_seed,
    expand,
    laplace_compand,
    laplace_quantize,
    quantize,
    uniform,
)
from liveaction.testing import assert_kernel_close, poisoned

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = [torch.float32, torch.float16] + ([torch.bfloat16] if DEVICE == "cuda" else [])
SHAPES = [(1, (1,)), (2, (7,)), (1, (63,)), (2, (65,)), (1, (3, 5)), (2, (2, 3, 4)), (1, (2, 1, 3, 2))]
POWERS = {"compand": compand, "expand": expand}


def by(provider, function, *inputs):
    """Outputs and gradients; the last input is the gradient of the output."""
    *inputs, dy = [t.detach().clone(memory_format=torch.preserve_format) for t in inputs]
    for t in inputs:
        t.requires_grad_()
    with dispatch.use(provider):
        y = function(*inputs)
        return [y, *torch.autograd.grad(y, inputs, dy)]


def compare(function, *inputs):
    reference = by("reference", function, *(t.double() for t in inputs))
    composed = by("composed", function, *inputs)
    with poisoned():
        found = by("triton", function, *inputs)
    for i, (k, r, c) in enumerate(zip(found, reference, composed, strict=True)):
        assert k.dtype == inputs[0].dtype or i == 2
        assert_kernel_close(k, r, c, f"output {i}")
    return found


def latents(channels, extents, dtype, batch=2):
    y = torch.randn(batch, channels, *extents) * 30
    sigma = torch.rand(channels) * 60 + 1
    return [t.to(DEVICE, dtype) for t in (y, sigma, torch.randn(batch, channels, *extents))]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", POWERS)
@pytest.mark.parametrize(("batch", "extents"), SHAPES, ids=str)
def test_powers(name, extents, batch, dtype):
    x = torch.randn(batch, 5, *extents).mul(10).to(DEVICE, dtype)
    x.view(-1)[0] = 0
    y, dx = compare(POWERS[name], x, torch.randn_like(x))
    assert y.view(-1)[0] == 0 and dx.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("batch", "extents"), SHAPES, ids=str)
def test_laplace(extents, batch, dtype):
    y, sigma, du = latents(12, extents, dtype, batch)
    y.view(-1)[0] = 0
    compare(laplace_compand, y, sigma, du)


@pytest.mark.parametrize("channels", [1, 28, 48, pytest.param(512, marks=pytest.mark.slow)])
@pytest.mark.parametrize("noise", [False, True], ids=["rounded", "noise"])
def test_laplace_with_quantising(channels, noise):
    y, sigma, du = latents(channels, (33,), torch.float32)
    seed = torch.tensor([2**61 + 12345], device=DEVICE) if noise else None
    compare(partial(laplace_quantize, step=0.7, noise_seed=seed), y, sigma, du)


def test_rounding_is_torchs():
    halves = torch.arange(-9, 10, device=DEVICE) * 0.5
    large = torch.tensor([2.0**21 + 0.5, 2.0**22 + 0.5, 2.0**22 + 1.5, 2.0**23 - 0.5, 2.0**23 + 1, 2.0**24 + 2, 1e30])
    y = torch.cat([halves, large.to(DEVICE), -large.to(DEVICE), torch.randn(200, device=DEVICE) * 100])
    y = torch.cat([y, y.new_tensor([float("inf"), float("nan")])])
    for step, provider in product((1.0, 0.25, 0.3), ("triton", "reference", "composed")):
        with dispatch.use(provider):
            assert torch.equal(quantize(y, step).nan_to_num(7), torch.round(y / y.new_tensor(step)).nan_to_num(7))


@pytest.mark.parametrize("provider", ["composed", "triton"])
def test_the_gradient_passes_rounding(provider):
    y, dy = torch.randn(2, 3, 5, device=DEVICE), torch.randn(2, 3, 5, device=DEVICE)
    symbols, gradient = by(provider, partial(quantize, step=0.25), y, dy)
    assert torch.equal(symbols, torch.round(y * 4)) and torch.equal(gradient, dy * 4)


def test_noise_is_the_same_for_every_implementation_and_any_strides():
    y, sigma, _ = latents(6, (5, 31), torch.float32)
    seed = draw_seed(y.device, torch.Generator(DEVICE).manual_seed(4))
    assert torch.equal(seed, draw_seed(y.device, torch.Generator(DEVICE).manual_seed(4)))
    noise = 0.5 * (uniform(y, seed) - 0.5)
    last = y.movedim(1, -1).contiguous().movedim(-1, 1)
    for provider, given in product(("composed", "triton"), (y, last)):
        with dispatch.use(provider):
            added = laplace_quantize(given, sigma, 0.5, seed) - laplace_compand(given, sigma)
        assert (added - noise).abs().max() < 2e-5
    with dispatch.use("triton"):
        assert not torch.equal(laplace_quantize(y, sigma, 0.5, seed + 1), laplace_quantize(y, sigma, 0.5, seed))


def test_noise_is_uniform_and_philoxs():
    drawn = uniform(torch.empty(2, 5, 100, 100, dtype=torch.float64), torch.tensor([7]))
    assert drawn.min() >= 0 and drawn.max() < 1 and len(drawn.unique()) > 99_000
    assert abs(drawn.mean() - 0.5) < 0.005 and drawn.var().item() == pytest.approx(1 / 12, rel=0.02)
    # the known answer of Random123 for counter and key 0: 6627e8d5 as the first word
    first = uniform(torch.empty(1, 1, 1, dtype=torch.float64), torch.tensor([0])).item()
    assert first == (0x6627E8D5 >> 8) * 2**-24


@pytest.mark.parametrize("provider", ["composed", "numba", "triton"])
@pytest.mark.parametrize("name", POWERS)
def test_powers_from_the_least_to_the_largest(name, provider):
    if provider == "numba" and DEVICE == "cuda":
        pytest.skip("numba takes CPU tensors")
    function = POWERS[name]
    x = torch.cat([torch.logspace(-40, 38 if name == "compand" else 15, 50_000), torch.rand(50_000) * 200])
    x = torch.cat([x, -x, torch.tensor([0.0, -0.0, 1e-45])]).to(DEVICE)
    with dispatch.use(provider):
        y = function(x)
    with dispatch.use("composed"):
        truth = function(x.double())
    share = 3e-7 if provider == "numba" else 7e-7  # the exponent multiplies the rounding of what it is applied to
    assert ((y.double() - truth).abs() <= share * truth.abs() + 1e-6).all()
    if provider == "triton" and dispatch.interpreting():
        return  # NumPy warns of infinity times 0, which is then not chosen
    with dispatch.use(provider):
        ends = function(torch.tensor([float("inf"), -float("inf"), float("nan"), 0.0], device=DEVICE))
    assert ends[:2].tolist() == [float("inf"), -float("inf")] and ends[2].isnan() and ends[3] == 0


@pytest.mark.skipif(DEVICE == "cuda", reason="numba takes CPU tensors")
@pytest.mark.parametrize("name", POWERS)
def test_numba_keeps_strides_and_leaves_gradients_to_plain_pytorch(name):
    function, base = POWERS[name], torch.randn(3, 4, 6, 8) * 5
    for x in (base.movedim(1, -1), base[:, ::2, 1:], base[:1].expand(2, 4, 6, 8), base[0, 0, 0, 0], base[:0]):
        with dispatch.use("numba"):
            y = function(x)
        assert y.shape == x.shape and (y.double() - function(x.double())).abs().lt(3e-5).all()
        assert y.stride() == torch.empty_like(x).stride()
    large = torch.randn(300_001)
    with dispatch.use("numba"):
        assert torch.equal(function(large)[-5:], function(large[-5:].clone()))
        with pytest.raises(MissingDependencyError, match="Numba kernels give no gradient"):
            function(base.requires_grad_())
        with pytest.raises(MissingDependencyError, match=r"it takes float32, not torch\.float64"):
            function(torch.zeros(3, dtype=torch.float64))


def test_extremes_of_the_laplace_compander_have_no_nan():
    y = torch.tensor([-1e38, -1e5, -1.0, 0.0, 1e-38, 1.0, 1e30], device=DEVICE).view(1, 1, -1).repeat(1, 3, 1)
    sigma = torch.tensor([-1.0, 1e-6, 42.0], device=DEVICE)
    u, dy, dsigma = by("triton", laplace_compand, y, sigma, torch.ones_like(y))
    assert u[:, 2].flatten()[[0, 1, 3, 6]].tolist() == [-127, -127, 0, 127] and u[0, 0, 4] > 0
    assert all(t.isfinite().all() for t in (u, dy, dsigma))
    assert dsigma[0] == 0 and dy[0, 2, 3].item() == pytest.approx(127 / 42, rel=1e-6)


def test_any_strides_a_gradient_without_strides_and_an_empty_batch():
    base = torch.randn(2, 8, 6, 9, device=DEVICE) * 5
    sigma = torch.rand(8, device=DEVICE) + 1
    last = base.movedim(1, -1).contiguous().movedim(-1, 1)
    for x in (last, base[:, :, ::2, 1:], base[:1, :, :1, :1].expand(3, 8, 4, 2)):
        ones = torch.ones((), device=DEVICE).expand(x.shape)
        for function, inputs in [(compand, (x,)), (expand, (x,)), (laplace_compand, (x, sigma))]:
            compare(function, *inputs, ones)
            with dispatch.use("triton"):
                assert torch.equal(function(*inputs), function(x.contiguous(), *inputs[1:]))
    empty = base[:0]
    for function, inputs in [(compand, (empty,)), (partial(quantize, step=1), (empty,))]:
        assert by("triton", function, *inputs, empty)[1].shape == empty.shape
    assert by("triton", laplace_compand, empty, sigma, empty)[2].abs().max() == 0


def test_the_gradient_of_the_scales_is_an_inner_product_and_stays_the_same():
    y, sigma, du = latents(20, (65,), torch.float32)
    first, again = (by("triton", laplace_compand, y, sigma, du) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    # u depends on y / sigma alone, so scaling both changes nothing
    zero = (first[1].double() * y).sum((0, 2)) + first[2].double() * sigma
    assert zero.abs().max() < 1e-4 * (first[1].double() * y).abs().sum((0, 2)).max()


def test_the_references_have_these_gradients():
    y = torch.randn(2, 3, 4, dtype=torch.float64) * 5
    sigma = torch.tensor([0.5, 5.0, 40.0], dtype=torch.float64, requires_grad=True)
    with dispatch.use("reference"):
        for function, inputs in [(compand, ()), (expand, ()), (laplace_compand, (sigma,))]:
            assert torch.autograd.gradcheck(function, (y.requires_grad_(), *inputs))
            at_zero = torch.zeros(1, 3, 1, dtype=torch.float64, requires_grad=True)
            (slope,) = torch.autograd.grad(function(at_zero, *inputs).sum(), at_zero)
            difference = (function(at_zero + 1e-7, *inputs) - function(at_zero - 1e-7, *inputs)) / 2e-7
            assert torch.allclose(slope, difference, rtol=1e-4)


OPERATIONS = {
    "compand": (),
    "expand": (),
    "quantize": (0.5,),
    "laplace_quantize": (torch.tensor([3.0, 1, 9, 30], device=DEVICE), torch.tensor([5], device=DEVICE), 0.5, False),
    "signed_power_backward": (torch.randn(2, 3, 5, 4, device=DEVICE).movedim(-1, 1), False),
    "laplace_quantize_backward": (
        torch.randn(2, 4, 3, 5, device=DEVICE),
        torch.tensor([3.0, 1, 9, 30], device=DEVICE),
        2.0,
        [True, True],
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_registration(name):
    op = getattr(torch.ops.liveaction, name).default
    x = torch.randn(2, 4, 3, 5, device=DEVICE, requires_grad=not name.endswith("backward"))
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(op, (x, *OPERATIONS[name]), test_utils=tests)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_fake_has_the_strides_and_dtype_of_the_real_one(name):
    op = getattr(torch.ops.liveaction, name)
    base = torch.randn(2, 4, 3, 10, device=DEVICE).half()
    for x in (base[..., :5].contiguous(), base[..., :5].movedim(1, -1).contiguous().movedim(-1, 1), base[..., ::2]):
        inputs = (x, *OPERATIONS[name])
        with torch._subclasses.fake_tensor.FakeTensorMode() as mode:
            fake = op(*(mode.from_tensor(t) if isinstance(t, torch.Tensor) else t for t in inputs))
        real = op(*inputs)
        pairs = zip(fake, real, strict=True) if isinstance(real, list) else [(fake, real)]
        for f, r in pairs:
            assert (f.shape, f.stride(), f.dtype) == (r.shape, r.stride(), r.dtype)


def everything(y, sigma, seed):
    u = laplace_quantize(y, sigma, 0.5, seed) + laplace_quantize(y, sigma, 0.5)
    return compand(u) + expand(y) + quantize(y, 2.0)


def test_plain_pytorch_compiles_whole_and_exports():
    y, sigma, _ = latents(4, (3, 5), torch.float32)
    seed = torch.tensor([3], device=DEVICE)
    with dispatch.use("composed"):
        expected = everything(y.requires_grad_(), sigma, seed)
        (gradient,) = torch.autograd.grad(expected.sum(), y)
        compiled = torch.compile(everything, fullgraph=True, backend="aot_eager")(y, sigma, seed)
        assert torch.allclose(compiled, expected)
        assert torch.allclose(torch.autograd.grad(compiled.sum(), y)[0], gradient)

        class Module(torch.nn.Module):
            def forward(self, y, sigma, seed):
                return everything(y, sigma, seed)

        exported = torch.export.export(Module(), (y.detach(), sigma, seed)).module()
        assert torch.allclose(exported(y.detach(), sigma, seed), expected)


def test_triton_compiles_whole():
    y, sigma, _ = latents(4, (3, 5), torch.float32)
    seed = torch.tensor([3], device=DEVICE)
    with dispatch.use("triton"):
        expected = everything(y.requires_grad_(), sigma, seed)
        (gradient,) = torch.autograd.grad(expected.sum(), y)
        compiled = torch.compile(everything, fullgraph=True, backend="aot_eager")(y, sigma, seed)
        assert torch.equal(compiled, expected)
        assert torch.equal(torch.autograd.grad(compiled.sum(), y)[0], gradient)


def test_laplace_is_accurate_near_0_too():
    y, sigma = torch.logspace(-12, 3, 5000, device=DEVICE).repeat(1, 2, 1), torch.tensor([1.0, 37.0], device=DEVICE)
    with dispatch.use("triton"):
        u = laplace_compand(y, sigma)
    with dispatch.use("composed"):
        truth = laplace_compand(y.double(), sigma.double())
    assert ((u - truth).abs() <= 4e-7 * truth).all()


def test_what_is_not_taken_is_said():
    y, sigma, _ = latents(4, (3,), torch.float64)
    with dispatch.use("triton"):
        for function in (compand, expand, partial(quantize, step=1.0), partial(laplace_compand, sigma=sigma)):
            with pytest.raises(MissingDependencyError, match=r"it takes float32, bfloat16 .*, not torch.float64"):
                function(y)
    with pytest.raises(
        ShapeError, match=r"laplace_quantize: expected y \[B, C, \*S\] and sigma \[C\], got \(2, 4, 3\) and \(3,\)"
    ):
        laplace_compand(y, sigma[:3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", ["compand", "expand"])
def test_the_slope_near_0_is_not_lost_to_rounding(name, dtype):
    x = torch.tensor([1e-12, -1e-9, 2e-8, 1e-7, -3e-7, 1e-5, -1e-4, 1e-3], dtype=dtype).requires_grad_()
    truth = x.detach().double().requires_grad_()
    y, expected = getattr(quantize_module, f"{name}_composed")(x), getattr(quantize_module, f"{name}_reference")(truth)
    y.sum().backward()
    expected.sum().backward()
    assert torch.allclose(x.grad.double(), truth.grad, rtol=4 * torch.finfo(dtype).eps)
    assert torch.allclose(y.double(), expected, rtol=4 * torch.finfo(dtype).eps, atol=4e-7)
