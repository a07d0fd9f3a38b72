"""Projection to symbols in one kernel: against the float64 reference, registration."""

from itertools import product

import pytest
import torch

from liveaction.errors import MissingDependencyError, ShapeError
from liveaction.kernels import dispatch
from liveaction.kernels.monarch import monarch
from liveaction.kernels.monarch_quantize import monarch_quantize
from liveaction.kernels.quantize import laplace_quantize, quantize
from liveaction.nn.monarch import Dense
from liveaction.nn.sizes import choose_groups
from liveaction.testing import poisoned

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = [torch.float32, torch.float16] + ([torch.bfloat16] if DEVICE == "cuda" else [])


def case(c_in, c_out, extents, dtype=torch.float32, batch=2):
    """x, w1, w2, bias and sigma whose values are exact in ``dtype``."""
    g1, g2 = choose_groups(c_in, c_out)
    x, bias, sigma = 3 * torch.randn(batch, c_in, *extents), torch.randn(c_out), torch.rand(c_out) * 6 + 1
    w1, w2 = torch.randn(g1, g2, g2) / g2**0.5, torch.randn(g2, c_out // g2, g1) / g1**0.5
    return [t.to(DEVICE, dtype) for t in (x, w1, w2, bias, sigma)]


def run(provider, x, w1, w2, bias, step, sigma):
    with dispatch.use(provider), poisoned():
        return monarch_quantize(x, w1, w2, bias, step, sigma)


def before_rounding(x, w1, w2, bias, step, sigma):
    """u / step in float64."""
    fine = 2.0**-40
    wide = [None if t is None else t.double() for t in (x, w1, w2, bias)]
    return run("reference", *wide, fine, None if sigma is None else sigma.double()) * fine / step


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("biased", "companded"), list(product([False, True], repeat=2)))
@pytest.mark.parametrize(
    ("c_in", "c_out", "extents"), [(1, 1, (1,)), (28, 7, (65,)), (96, 12, (7, 9)), (64, 72, (2, 3, 5)), (130, 8, (63,))]
)
def test_symbols_are_those_of_the_reference(c_in, c_out, extents, biased, companded, dtype):
    x, w1, w2, bias, sigma = case(c_in, c_out, extents, dtype)
    given = (x, w1, w2, bias if biased else None, 0.5, sigma if companded else None)
    exact = before_rounding(*given)
    symbols = run("triton", *given)
    assert symbols.dtype == torch.float32 and torch.equal(symbols, symbols.round())
    assert symbols.movedim(1, -1).is_contiguous() and not symbols.requires_grad
    # a weight of the dense matrix is a product, rounded to the dtype
    scale = x.double().abs().max() * c_in**0.5 / 0.5 * (127 / float(sigma.min()) if companded else 1)
    assert (symbols - exact).abs().max() <= 0.5 + 2 * torch.finfo(dtype).eps * scale
    assert (symbols == exact.round()).float().mean() > (0.99 if dtype == torch.float32 else 0.8)


@pytest.mark.parametrize("provider", ["reference", "composed"])
@pytest.mark.parametrize("companded", [False, True])
def test_elsewhere_they_are_the_two_steps(companded, provider):
    x, w1, w2, bias, sigma = case(24, 6, (4, 5))
    symbols = run(provider, x, w1.requires_grad_(), w2, bias, 0.25, sigma if companded else None)
    with dispatch.use(provider):
        y = monarch(x, w1, w2, bias)
        expected = laplace_quantize(y, sigma, 0.25) if companded else quantize(y, 0.25)
    assert torch.equal(symbols, expected) and not symbols.requires_grad


def test_half_way_goes_to_even_as_torch_rounds():
    x = (torch.arange(-9, 10, device=DEVICE) * 0.5)[None, None]
    one = torch.ones(1, 1, 1, device=DEVICE)
    assert torch.equal(run("triton", x, one, one, None, 1.0, None), torch.round(x))


def test_a_dense_layer_is_served_by_its_weight():
    layer = Dense(40, 5).to(DEVICE)
    x = 20 * torch.randn(2, 40, 3, 7, device=DEVICE)
    factors = torch.ones(40, 1, 1, device=DEVICE), layer.weight[None]
    symbols = run("triton", x, *factors, layer.bias, 0.5, None)
    assert ((symbols - layer(x).detach() / 0.5).abs() <= 0.5 + 1e-3).all() and symbols.abs().max() > 5


def test_any_strides_and_nothing_at_all():
    x, w1, w2, bias, sigma = case(32, 6, (3, 8))
    expected = run("triton", x, w1, w2, bias, 1.0, sigma)
    last = x.movedim(1, -1).contiguous().movedim(-1, 1)
    assert torch.equal(run("triton", last, w1.mT.contiguous().mT, w2, bias, 1.0, sigma), expected)
    assert run("triton", x[:0], w1, w2, bias, 1.0, sigma).shape == (0, 6, 3, 8)


def test_it_computes_in_autocasts_dtype():
    x, w1, w2, bias, sigma = case(32, 6, (9,))
    with torch.autocast(DEVICE, torch.float16):
        symbols = run("triton", x, w1, w2, bias, 1.0, sigma)
    half = [t.half() for t in (x, w1, w2)]
    assert symbols.dtype == torch.float32 and torch.equal(symbols, run("triton", *half, bias, 1.0, sigma))


@pytest.mark.parametrize("companded", [False, True])
def test_it_is_registered_compiles_and_exports(companded):
    x, w1, w2, bias, sigma = case(16, 4, (3, 5))
    given = (x, w1, w2, bias, 0.5, sigma) if companded else (x, w1, w2, None, 0.5, None)
    operation = torch.ops.liveaction.monarch_quantize.default
    torch.library.opcheck(operation, given)
    real = operation(*given)
    with torch._subclasses.FakeTensorMode() as mode:
        fake = operation(*(mode.from_tensor(t) if isinstance(t, torch.Tensor) else t for t in given))
    assert (fake.shape, fake.stride(), fake.dtype) == (real.shape, real.stride(), real.dtype)

    class Module(torch.nn.Module):
        def forward(self, x):
            return monarch_quantize(x, *given[1:])

    with dispatch.use("triton"):
        assert torch.equal(torch.compile(Module(), fullgraph=True, backend="aot_eager")(x), real)
        assert torch.equal(torch.export.export(Module(), (x,)).module()(x), real)


def test_what_is_not_taken_is_said():
    x, w1, w2, bias, sigma = case(16, 4, (3,), torch.float64)
    with dispatch.use("triton"), pytest.raises(MissingDependencyError, match=r"it takes float32.*not torch.float64"):
        monarch_quantize(x, w1, w2, bias, 1.0)
    with pytest.raises(ShapeError, match=r"monarch_quantize: expected sigma \[4\], got \(3,\)"):
        monarch_quantize(x, w1, w2, bias, 1.0, sigma[:3])
    with pytest.raises(ShapeError, match=r"monarch: expected x \[B, g1\*g2, \*S\]"):
        monarch_quantize(x[:, :3], w1, w2, bias, 1.0)
