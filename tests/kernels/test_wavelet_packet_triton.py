"""Triton wavelet packets: against the reference in float64, adjoints, layouts, tables."""

from dataclasses import replace

import pytest
import torch

from liveaction.errors import MissingDependencyError
from liveaction.kernels import dispatch, wavelet_packet_ops
from liveaction.kernels import wavelet_packet_tables_triton as tables_module
from liveaction.kernels.quantize import compand
from liveaction.kernels.wavelet_packet import analysis_matrix, synthesis_matrix
from liveaction.testing import assert_kernel_close, poisoned
from liveaction.transforms.packet import WaveletPacket

device = "cuda" if torch.cuda.is_available() else "cpu"

# wavelet, levels, boundary, order, shape
CASES = [
    ("bior4.4", (3,), "symmetric", "level", (2, 1, 200)),
    ("bior4.4", (3,), "periodic", "level", (1, 2, 200)),
    ("bior4.4", (4,), "symmetric", "level", (1, 1, 320)),
    ("haar", (3,), "symmetric", "level", (1, 1, 8)),
    ("db4", (3,), "periodic", "level", (2, 3, 8)),
    ("db4", (1,), "periodic", "level", (1, 1, 2 * 65)),
    ("bior4.4", (7,), "symmetric", "level", (1, 7, 640)),
    ("bior6.8", (3,), "symmetric", "level", (2, 1, 456)),
    ("bior6.8", (4,), "periodic", "level", (1, 1, 512)),
    ("bior6.8", (2, 3), "symmetric", "level", (1, 2, 100, 16)),
    ("bior4.4", (2, 2), "symmetric", "level", (2, 3, 36, 20)),
    ("bior4.4", (3, 3), "periodic", "level", (1, 1, 8, 200)),
    ("bior4.4", (3, 3), "symmetric", "level", (1, 3, 136, 16)),
    ("bior4.4", (3, 3), "folded", "level", (1, 1, 48, 40)),
    ("bior4.4", (0, 2), "symmetric", "level", (1, 2, 5, 12)),
    ("bior4.4", (2, 0), "symmetric", "level", (2, 2, 76, 3)),
    ("bior4.4", (0, 0), "symmetric", "level", (2, 2, 3, 5)),
    ("bior4.4", (1, 2, 3), "symmetric", "level", (1, 2, 6, 12, 24)),
    ("bior4.4", (2, 2, 2), "folded", "paper", (1, 1, 8, 20, 4)),
    ("bior4.4", (1, 1, 1), "folded", "paper", (1, 3, 10, 12, 14)),
    ("bior4.4", (3, 3, 3), "symmetric", "level", (1, 1, 8, 16, 24)),
    ("bior4.4", (1, 1, 1, 1), "symmetric", "level", (1, 2, 4, 6, 2, 10)),
]


def made(wavelet, levels, boundary, order, shape, companded=False):
    return WaveletPacket(wavelet, levels, boundary, order, companded), torch.randn(shape, device=device)


def run(provider, function, x):
    with dispatch.use(provider):
        return function(x)


def norm_error(result, expected):
    return float((result.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_directions_are_the_reference(case):
    transform, x = made(*case)
    expected, composed = (run("reference", transform, x.double()), run("composed", transform, x))
    with poisoned():
        y = run("triton", transform, x)
    assert_kernel_close(y, expected, composed, "analysis")
    assert norm_error(y, expected) < 5e-7
    assert y.movedim(1, -1).is_contiguous()
    expected, composed = (run("reference", transform.inverse, y.double()), run("composed", transform.inverse, y))
    with poisoned():
        back = run("triton", transform.inverse, y)
    assert_kernel_close(back, expected, composed, "synthesis")
    assert norm_error(back, expected) < 5e-7
    assert back.is_contiguous()
    if case[2] != "folded":
        assert (back - x).abs().max() <= 1e-5 * x.abs().max()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_those_of_the_reference(case):
    transform, x = made(*case)
    y = torch.randn_like(run("composed", transform, x))
    for function, given, cotangent in ((transform, x, y), (transform.inverse, y, x)):
        for weight in (cotangent, torch.ones((), device=device).expand_as(cotangent)):
            found = {}
            for provider in ("reference", "composed", "triton"):
                leaf = (given.double() if provider == "reference" else given.clone()).requires_grad_()
                with poisoned():
                    run(provider, function, leaf).backward(weight.to(leaf.dtype))
                found[provider] = leaf.grad
            assert_kernel_close(found["triton"], found["reference"], found["composed"], function.__class__.__name__)


# D = 1, 2 and 3; every boundary; one pass and several; channels placed by the last pass and picked behind it; no pass
COMPANDED = [
    ("haar", (3,), "symmetric", "level", (2, 1, 24)),
    ("bior4.4", (3,), "periodic", "level", (1, 3, 200)),
    ("bior4.4", (4,), "symmetric", "level", (2, 1, 320)),
    ("bior4.4", (2, 2), "symmetric", "level", (2, 3, 36, 20)),
    ("bior4.4", (3, 3), "periodic", "level", (1, 3, 8, 136)),
    ("bior4.4", (3, 3), "folded", "level", (2, 1, 48, 40)),
    ("bior4.4", (0, 0), "symmetric", "level", (2, 2, 3, 5)),
    ("bior4.4", (1, 2, 3), "symmetric", "level", (2, 3, 4, 8, 16)),
    ("bior4.4", (1, 1, 1), "folded", "paper", (1, 3, 10, 12, 14)),
    ("haar", (1, 1, 1), "periodic", "level", (2, 1, 4, 6, 2)),
]


@pytest.mark.parametrize("case", COMPANDED, ids=str)
def test_companded_packets_and_their_gradients_are_those_of_the_reference(case):
    transform, x = made(*case, companded=True)
    x *= 0.3  # so that rounding of the few packets beside 0, where the slope changes fastest, does not rule the error
    x[:1, :1] = 0  # packets of exactly 0, where the derivative is the true one
    packets = run("composed", transform, x)
    with dispatch.use("composed"):
        assert torch.equal(packets, compand(made(*case)[0](x)))
    dy, dx = torch.randn_like(packets), torch.randn_like(x)
    for function, given, cotangent in ((transform, x, dy), (transform.inverse, packets, dx)):
        found = {}
        for provider in ("reference", "composed", "triton"):
            leaf = (given.double() if provider == "reference" else given.clone()).requires_grad_()
            with poisoned():
                result = run(provider, function, leaf)
                (gradient,) = torch.autograd.grad(result, leaf, cotangent.to(leaf.dtype))
            found[provider] = (result.detach(), gradient)
        for i, name in enumerate(("value", "gradient")):
            k, r, c = (found[provider][i] for provider in ("triton", "reference", "composed"))
            assert_kernel_close(k, r, c, name)
            assert norm_error(k, r) < 1e-6
            assert k.is_contiguous() or k.movedim(1, -1).is_contiguous()


def test_companding_takes_no_kernel_of_its_own_and_keeps_the_result_alone(monkeypatch):
    from liveaction.kernels import wavelet_packet_launch_triton as launch

    def refuse(*_):
        raise AssertionError("companding on its own")

    for name in ("signed_power", "signed_power_backward"):
        monkeypatch.setattr(launch, name, refuse)
    transform, x = made("bior4.4", (1, 2), "symmetric", "level", (1, 1, 12, 20), companded=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = run("triton", transform, x.requires_grad_())
    assert [t.data_ptr() for t in kept if t.shape == y.shape] == [y.data_ptr()]
    assert not any(t.shape == x.shape for t in kept)
    run("triton", transform.inverse, y).sum().backward()


def test_companded_packets_have_no_second_derivative():
    transform, x = made("bior4.4", (1, 1), "symmetric", "level", (1, 1, 6, 4), companded=True)
    y = run("triton", transform, x.requires_grad_())
    (dx,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="companded ones have no second derivative"):
        dx.sum().backward()


@pytest.mark.parametrize("name", ["analysis", "synthesis"])
@pytest.mark.parametrize("case", CASES[5:12], ids=str)
def test_the_adjoint_by_inner_products(case, name):
    transform, x = made(*case)
    y = torch.randn_like(run("composed", transform, x))
    given, other = (x, y) if name == "analysis" else (y, x)
    function = transform if name == "analysis" else transform.inverse
    leaf = given.clone().requires_grad_()
    result = run("triton", function, leaf)
    result.backward(other)
    left = (result.detach().double() * other.double()).sum()
    right = (given.double() * leaf.grad.double()).sum()
    assert abs(left - right) < 1e-6 * result.detach().double().norm() * other.double().norm()


def test_the_gradient_has_a_gradient():
    transform, x = made("bior4.4", (1, 1), "symmetric", "level", (1, 1, 6, 4))
    x.requires_grad_()
    dy = torch.randn(1, 4, 3, 2, device=device, requires_grad=True)
    y = run("triton", transform, x)
    (dx,) = torch.autograd.grad(y, x, dy, create_graph=True)
    (again,) = torch.autograd.grad(dx, dy, x.detach())
    assert (again - y.detach()).abs().max() < 1e-5


@pytest.mark.parametrize("size", [1e-25, 1e-4, 1e4, 1e36])
def test_values_of_any_size_keep_their_accuracy(size):
    transform, x = made("bior4.4", (3, 3), "symmetric", "level", (1, 1, 16, 136))
    x *= size
    y = run("triton", transform, x)
    assert norm_error(y, run("reference", transform, x.double())) < 5e-7
    assert norm_error(run("triton", transform.inverse, y), x.double()) < 1e-6


def test_a_block_of_zeros_beside_large_values_stays_zero():
    transform, x = made("haar", (3,), "symmetric", "level", (1, 1, 640))
    x[..., 320:] = 0
    y = run("triton", transform, x)
    assert (y[..., 40:] == 0).all() and (y[..., :40] != 0).any()


def test_any_strides_and_an_empty_batch():
    transform, x = made("bior4.4", (1, 2), "symmetric", "level", (2, 3, 12, 20))
    y = run("triton", transform, x)
    last = x.movedim(1, -1).contiguous().movedim(-1, 1)
    wide = torch.randn(2, 3, 24, 20, device=device)
    wide[:, :, ::2] = x
    for other in (last, wide[:, :, ::2], x.transpose(0, 1).contiguous().transpose(0, 1)):
        assert not other.is_contiguous() and torch.equal(run("triton", transform, other), y)
    assert torch.equal(run("triton", transform.inverse, y.contiguous()), run("triton", transform.inverse, y))
    same = x[:1, :1].expand(3, 2, -1, -1)
    single = run("triton", transform, x[:1, :1])
    assert (run("triton", transform, same) - torch.cat([single, single], 1)).abs().max() < 1e-5
    assert run("triton", transform, x[:0]).shape == (0, 24, 6, 5)
    assert run("triton", transform.inverse, y[:0]).shape == (0, 3, 12, 20)


def test_tables_kept_in_inference_mode_serve_training():
    transform, x = made("bior4.4", (2,), "symmetric", "level", (1, 1, 44))
    with torch.inference_mode():
        y = run("triton", transform, x)
    x.requires_grad_()
    again = run("triton", transform, x)
    again.sum().backward()
    assert torch.equal(again.detach(), y) and x.grad is not None


def plan_of(transform, x, monkeypatch):
    """The plan that a transform makes for ``x``."""
    plans = []
    with monkeypatch.context() as patch:
        patch.setattr(wavelet_packet_ops, "analysis", lambda x, plan, companded: plans.append(plan) or x)
        run("triton", transform, x)
    return plans[0]


OPERATIONS = {
    "wavelet_packet_analysis": True,
    "wavelet_packet_analysis_backward": False,
    "wavelet_packet_synthesis": False,
    "wavelet_packet_synthesis_backward": True,
}


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # opcheck's own
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("levels", [(1, 1), (2, 0)], ids=str)
@pytest.mark.parametrize("companded", [False, True])
def test_the_operations_are_registered_rightly(name, levels, companded, monkeypatch):
    transform, x = made("bior4.4", levels, "symmetric", "level", (2, 3, 8, 4))
    tables, layout = wavelet_packet_ops.flat(plan_of(transform, x, monkeypatch))
    packets = run("composed", transform, x).contiguous()
    given = x if OPERATIONS[name] else packets
    operation = getattr(torch.ops.liveaction, name).default
    backward = name.endswith("backward")
    last = (packets if companded else None) if backward else companded
    torch.library.opcheck(operation, (given.requires_grad_(not (backward and companded)), tables, layout, last))
    real = operation(given.detach(), tables, layout, last)
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = operation(mode.from_tensor(given.detach()), [mode.from_tensor(t) for t in tables], layout, last)
    assert (fake.shape, fake.stride(), fake.dtype) == (real.shape, real.stride(), real.dtype)


class Both(torch.nn.Module):
    """There and back through the operations."""

    def __init__(self, plan, companded):
        super().__init__()
        self.plan, self.companded = plan, companded

    def forward(self, x):
        y = wavelet_packet_ops.analysis(x, self.plan, self.companded)
        return wavelet_packet_ops.synthesis(2 * y, self.plan, self.companded)


@pytest.mark.parametrize("companded", [False, True])
def test_they_compile_and_export(companded, monkeypatch):
    transform, x = made("bior4.4", (1, 1), "symmetric", "level", (2, 3, 8, 4))
    module = Both(plan_of(transform, x, monkeypatch), companded)
    expected = module(x.requires_grad_())
    (gradient,) = torch.autograd.grad(expected.square().sum(), x)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")(x)
    assert torch.equal(compiled, expected)
    assert torch.equal(torch.autograd.grad(compiled.square().sum(), x)[0], gradient)
    assert torch.equal(torch.export.export(module, (x.detach(),)).module()(x), expected)


def test_what_is_refused(monkeypatch):
    transform, x = made("bior4.4", (1, 1), "symmetric", "level", (2, 3, 8, 4))
    plan = plan_of(transform, x, monkeypatch)
    assert wavelet_packet_ops.refused(x, plan) == ""
    assert "float32, not torch.float64" in wavelet_packet_ops.refused(x.double(), plan)
    large = replace(plan, stages=((0, replace(plan.stages[0][1], factor=32)),))
    assert "not 32" in wavelet_packet_ops.refused(x, large)
    long = replace(plan, stages=((0, replace(plan.stages[0][1], matrix=torch.empty(5000, 1))),))
    assert "at most 4096 samples, not 5000" in wavelet_packet_ops.refused(x, long)
    with pytest.raises(MissingDependencyError, match=r"float32, not torch\.float64"):
        run("triton", transform, x.double())


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("wavelet", "levels", "boundary", "n"),
    [
        ("bior4.4", 1, "symmetric", 2),
        ("bior4.4", 2, "symmetric", 1004),
        ("bior4.4", 3, "symmetric", 72),
        ("bior4.4", 3, "symmetric", 136),
        ("bior4.4", 3, "symmetric", 200),
        ("bior4.4", 3, "periodic", 840),
        ("bior4.4", 4, "symmetric", 1360),
        ("db4", 3, "periodic", 272),
        ("haar", 1, "symmetric", 130),
        ("db10", 2, "periodic", 1044),
    ],
)
def test_tiles_are_the_matrix(wavelet, levels, boundary, n, merge, transposed, monkeypatch):
    """Put the tiles back together as the kernels read them; fp16 parts hold 22 bits."""
    transform = WaveletPacket(wavelet, (levels,), boundary)
    plan = plan_of(transform, torch.zeros(1, 1, n), monkeypatch)
    ((_, stage),) = plan.stages
    tables, layout = wavelet_packet_ops.flat(plan)
    source = tables_module.Constants(*tables[:-1])
    found = tables_module.band(source, layout[3], stage.factor, stage.periodic, n, merge, transposed)
    full = (synthesis_matrix if merge != transposed else analysis_matrix)(stage, n).double()
    full = full.T if (merge != transposed) else full
    full = full.unflatten(0, (stage.factor, -1)).transpose(0, 1).flatten(0, 1)  # packets count (block, band)
    expected = full.T if merge else full
    values = (found.high.double() + found.low.double()) / 2.0**found.exponent
    matrix = torch.zeros(found.tiles * found.tile, n, dtype=torch.float64)
    for t in range(found.tiles):
        tail = t - found.tiles + found.edges
        bank = t if t < found.heads else tail if tail >= found.heads else found.edges
        columns = t * found.shift - found.pad + torch.arange(found.window)
        inside = (columns >= 0) & (columns < n)
        columns = torch.where(inside, columns, columns % n)
        part = values[bank].T * (1.0 if found.periodic else inside)
        matrix[t * found.tile : (t + 1) * found.tile].index_add_(1, columns, part)
    assert found.window % found.step == 0 and found.pad % 16 == 0
    assert found.periodic <= (found.window <= n)
    assert (matrix[:n] - expected).abs().max() < 2**-22 * expected.abs().max()


def test_orders_of_binary_digits_are_found():
    bits = tables_module._bits
    assert bits(torch.arange(12)) == ()
    assert bits(torch.tensor([0, 2, 1, 3, 4, 6, 5, 7])) == (1, 0)
    assert bits(torch.tensor([0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15, 16])) is None
    assert bits(torch.tensor([0, 4, 1, 5, 2, 6, 3, 7])) == (1, 2, 0)
    assert bits(torch.tensor([1, 0, 2, 3])) is None
