"""Depthwise convolution: reference, plain PyTorch, and the Triton kernels in the interpreter or on a GPU."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from liveaction.errors import MissingDependencyError, ShapeError
from liveaction.kernels import dispatch
from liveaction.kernels.depthwise import JOINT, depthwise, depthwise_composed, depthwise_reference
from liveaction.testing import assert_kernel_close, poisoned

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
GRIDS = [(1,), (7,), (63,), (65,), (1, 1), (5, 7), (1, 9), (3, 4, 5), (1, 2, 1), (2, 3, 2, 3)]
CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def inputs(batch, channels, grid, separable, dtype=torch.float64, bias=True):
    axes = len(grid)
    joint = axes <= 3 and not separable
    shapes = [(channels, 1, *(3,) * axes)] if joint else [(channels, 1, 3)] * axes
    x = torch.randn(batch, channels, *grid, dtype=dtype, device=DEVICE)
    weights = [torch.randn(shape, dtype=dtype, device=DEVICE) / 3 for shape in shapes]
    return x, weights, torch.randn(channels, dtype=dtype, device=DEVICE) if bias else None


def run(provider, x, weights, bias, dy):
    """Output and gradients by one implementation."""
    leaves = [t.detach().clone().requires_grad_() for t in (x, *weights, *([] if bias is None else [bias]))]
    with dispatch.use(provider), poisoned() if provider == "triton" else nullcontext():
        y = depthwise(leaves[0], leaves[1 : 1 + len(weights)], None if bias is None else leaves[-1])
        (y.sum() if dy is None else (y * dy).sum()).backward()
    return [y, *(leaf.grad for leaf in leaves)]


def compare(x, weights, bias, dtype, dy):
    wide = [t.to(dtype).double() for t in (x, *weights, *([] if bias is None else [bias]))]
    narrow = [t.to(dtype) for t in wide]
    given = [None if dy is None else dy.to(dtype).to(t) for t in (wide[0], narrow[0])]

    def split(tensors):
        return tensors[0], tensors[1 : 1 + len(weights)], None if bias is None else tensors[-1]

    reference = run("reference", *split(wide), given[0])
    composed = run("composed", *split(narrow), given[1])
    kernel = run("triton", *split(narrow), given[1])
    names = ["y", "dx", *(f"dweight {i}" for i in range(len(weights))), "dbias"]
    for name, k, r, c in zip(names, kernel, reference, composed, strict=False):
        assert k.dtype == dtype
        assert_kernel_close(k, r, c, name)


@pytest.mark.parametrize("grid", [g for g in GRIDS if len(g) <= 3], ids=str)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "plain"])
def test_a_joint_kernel_is_torchs_convolution(grid, bias):
    x, weights, offset = inputs(2, 3, grid, False, bias=bias)
    expected = CONVOLVE[len(grid)](x, weights[0], offset, padding=1, groups=3)
    assert torch.allclose(depthwise_reference(x, weights[0], offset, JOINT), expected, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_one_kernel_per_axis_is_torchs_convolution_along_each(grid):
    x, weights, bias = inputs(2, 3, grid, True)
    expected = x
    for axis, weight in enumerate(weights):
        moved = expected.movedim(axis + 2, -1)
        rows = moved.reshape(2, 3, -1, moved.shape[-1])
        y = F.conv2d(rows, weight.unsqueeze(2), padding=(0, 1), groups=3)
        expected = y.reshape(moved.shape).movedim(-1, axis + 2)
    expected = expected + bias.view(3, *(1,) * len(grid))
    with dispatch.use("reference"):
        assert torch.allclose(depthwise(x, weights, bias), expected, atol=1e-12)


@pytest.mark.parametrize("separable", [False, True], ids=["joint", "per-axis"])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("batch", [1, 2])
def test_plain_pytorch_agrees_with_the_reference_in_float32(batch, grid, separable):
    x, weights, bias = inputs(batch, 5, grid, separable, torch.float32)
    dy = torch.randn_like(x)
    exact = run("reference", x.double(), [w.double() for w in weights], bias.double(), dy.double())
    for c, r in zip(run("composed", x, weights, bias, dy), exact, strict=True):
        assert (c - r).norm() <= 1e-6 * r.norm() + 1e-12


def test_plain_pytorch_takes_some_channels_at_a_time():
    x, weights, bias = inputs(1, 3, (64, 80, 110), False, torch.float32)
    expected = F.conv3d(x, weights[0], bias, padding=1, groups=3)
    for offset in (bias, None):
        y = depthwise_composed(x, weights[0], offset, JOINT)
        assert torch.allclose(y if offset is not None else y + bias.view(3, 1, 1, 1), expected, atol=1e-5)


@pytest.mark.parametrize(("grid", "separable"), [((5,), False), ((2, 3), False), ((2, 2, 3), False), ((2, 3), True)])
def test_gradients_of_the_reference(grid, separable):
    x, weights, bias = inputs(1, 2, grid, separable)
    leaves = [t.requires_grad_() for t in (x, *weights, bias)]
    with dispatch.use("reference"):
        assert torch.autograd.gradcheck(lambda x, *rest: depthwise(x, rest[:-1], rest[-1]), leaves)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize(
    ("batch", "channels", "grid", "separable"),
    [
        (1, 5, (1,), False),
        (2, 16, (7,), False),
        (1, 48, (63,), False),
        (2, 16, (65,), False),
        (2, 7, (5, 3), False),
        (1, 28, (1, 9), False),
        (2, 16, (2, 3, 5), False),
        (1, 12, (3, 1, 2), False),
        (1, 6, (3, 4), True),
        (2, 8, (2, 3, 5), True),
        (1, 4, (2, 3, 1, 3), False),
    ],
    ids=str,
)
def test_the_kernels_agree_in_outputs_and_gradients(batch, channels, grid, separable, dtype):
    x, weights, bias = inputs(batch, channels, grid, separable)
    compare(x, weights, bias, dtype, torch.randn_like(x))


@pytest.mark.parametrize("grid", [(7,), (3, 2, 4)], ids=str)
def test_the_kernels_without_a_bias_on_other_strides_and_a_gradient_without_strides(grid):
    x, weights, _ = inputs(2, 8, grid, False, bias=False)
    compare(x, weights, None, torch.float32, None)
    strided = torch.randn(*grid, 2, 16, device=DEVICE).movedim((-2, -1), (0, 1))[:, ::2]
    assert not strided.is_contiguous()
    compare(strided.double(), weights, None, torch.float32, torch.randn_like(x))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_the_kernels_at_512_channels(dtype):
    x, weights, bias = inputs(1, 512, (2, 3, 3), False)
    compare(x, weights, bias, dtype, torch.randn_like(x))


@pytest.mark.skipif(DEVICE == "cpu", reason="the interpreter is slow")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("channels", "grid"), [(896, (4099,)), (512, (63, 65)), (3072, (15, 16, 17))], ids=str)
def test_the_kernels_at_real_sizes(channels, grid, dtype):
    x, weights, bias = inputs(2, channels, grid, False)
    compare(x, weights, bias, dtype, torch.randn_like(x))


@pytest.mark.parametrize("separable", [False, True], ids=["joint", "per-axis"])
@pytest.mark.parametrize("provider", ["reference", "composed", "triton"])
def test_the_gradient_is_the_adjoint(provider, separable):
    x, weights, _ = inputs(2, 4, (3, 5), separable, torch.float32)
    u, v = torch.randn_like(x), torch.randn_like(x)
    y, dx, *_ = run(provider, u, weights, None, v)
    assert torch.allclose((y * v).sum(), (u * dx).sum(), rtol=1e-4)


def test_bfloat16_in_the_kernels():
    # the interpreter is right about loads, casts and stores of bfloat16, and the kernels do no more with it
    x, weights, bias = inputs(1, 8, (5, 6), False)
    compare(x, weights, bias, torch.bfloat16, torch.randn_like(x))


def test_autocast_sets_the_dtype():
    x, weights, bias = inputs(1, 4, (3, 3), False, torch.float32)
    with torch.autocast(DEVICE, torch.bfloat16):
        assert depthwise(x, weights, bias).dtype == torch.bfloat16


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
@pytest.mark.parametrize("axis", [JOINT, 1])
def test_the_ops_pass_opcheck(axis):
    x, weights, bias = inputs(2, 4, (3, 2), axis != JOINT, torch.float32)
    weight = weights[0]
    for offset in (bias, None):
        arguments = [t if t is None else t.requires_grad_() for t in (x, weight, offset)]
        torch.library.opcheck(torch.ops.liveaction.depthwise, (*arguments, axis))
    plain = [t.detach() for t in (torch.randn_like(x), x, weight)]
    torch.library.opcheck(torch.ops.liveaction.depthwise_backward, (*plain, axis, [True] * 3))


@pytest.mark.parametrize("grid", [(7,), (3, 5), (2, 3, 4)], ids=str)
def test_the_fake_op_has_the_strides_of_the_real_one(grid):
    x, weights, bias = inputs(2, 8, grid, False, torch.float16)
    real = torch.ops.liveaction.depthwise(x, weights[0], bias, JOINT)
    with FakeTensorMode() as mode:
        fakes = [mode.from_tensor(t) for t in (x, weights[0], bias)]
        fake = torch.ops.liveaction.depthwise(*fakes, JOINT)
    assert (fake.shape, fake.stride(), fake.dtype) == (real.shape, real.stride(), real.dtype)
    assert real.stride(1) == 1


@pytest.mark.parametrize("provider", ["composed", "triton"])
@pytest.mark.parametrize(("grid", "separable"), [((7,), False), ((3, 5), True), ((2, 3, 4), False)], ids=str)
def test_it_compiles_in_one_graph(grid, separable, provider):
    x, weights, bias = inputs(2, 4, grid, separable, torch.float32)
    x.requires_grad_()
    with dispatch.use(provider):
        expected = depthwise(x, weights, bias)
        (gradient,) = torch.autograd.grad(expected.square().sum(), x)
        y = torch.compile(depthwise, fullgraph=True, backend="aot_eager")(x, weights, bias)
        (again,) = torch.autograd.grad(y.square().sum(), x)
    assert torch.allclose(y, expected, atol=1e-6) and torch.allclose(again, gradient, atol=1e-5)


class Layer(torch.nn.Module):
    """The operation with parameters, for export."""

    def __init__(self, weights, bias):
        super().__init__()
        self.weights, self.bias = torch.nn.ParameterList(weights), torch.nn.Parameter(bias)

    def forward(self, x):
        return depthwise(x, list(self.weights), self.bias)


@pytest.mark.parametrize(("grid", "separable"), [((7,), False), ((3, 5), True), ((3, 4, 5), False)], ids=str)
def test_it_exports_with_any_extent(grid, separable):
    x, weights, bias = inputs(2, 4, grid, separable, torch.float32)
    free = dict.fromkeys((0, *range(2, x.ndim)), torch.export.Dim.AUTO)
    with dispatch.use("composed"):
        program = torch.export.export(Layer(weights, bias), (x,), dynamic_shapes=(free,))
        larger = torch.randn(3, 4, *(n + 3 for n in grid), device=DEVICE)
        expected = depthwise(larger, weights, bias)
    assert torch.allclose(program.module()(larger), expected, atol=1e-6)


@pytest.mark.parametrize("provider", ["reference", "composed", "triton"])
def test_an_empty_batch(provider):
    x, weights, bias = inputs(0, 4, (3, 2, 5), False, torch.float32)
    y, dx, dweight, dbias = run(provider, x, weights, bias, None)
    assert y.shape == dx.shape == x.shape and not dweight.any() and not dbias.any()


@pytest.mark.parametrize(
    ("shape", "kernels"),
    [
        ((1, 4, 5), [(4, 1, 3, 3)]),
        ((1, 4, 5, 5), [(4, 1, 3)]),
        ((1, 4, 5, 5), [(3, 1, 3, 3)]),
        ((1, 4, 5, 5), [(4, 1, 3), (4, 1, 5)]),
        ((1, 2, 3, 3, 3, 3), [(2, 1, 3, 3, 3, 3)]),
    ],
    ids=str,
)
def test_kernels_that_do_not_fit_are_refused(shape, kernels):
    with pytest.raises(ShapeError, match=r"depthwise: expected x \[B, C, \*S\] and one kernel \[C, 1, 3, ..., 3\]"):
        depthwise(torch.zeros(shape), [torch.zeros(kernel) for kernel in kernels])


def test_the_kernel_says_what_it_does_not_take():
    x, weights, bias = inputs(1, 2, (3,), False)
    with dispatch.use("triton"), pytest.raises(MissingDependencyError, match=r"float16, not torch\.float64"):
        depthwise(x, weights, bias)
