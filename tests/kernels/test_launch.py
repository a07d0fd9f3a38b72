"""How Triton kernels are launched: settings that fit, the tensors' device, what is said, and only wanted gradients."""

import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
import torch

from liveaction.errors import LiveactionWarning, MissingDependencyError
from liveaction.kernels import dispatch, launcher, target
from liveaction.kernels.depthwise import depthwise
from liveaction.kernels.group_norm import group_norm
from liveaction.kernels.launcher import DoesNotFitError, Launch, first_that_fits, ladder, launch, watch
from liveaction.kernels.linear_attention import absorbed_attention, linear_attention
from liveaction.kernels.monarch import monarch, monarch_composed
from liveaction.kernels.pointwise_block import pointwise_block
from liveaction.kernels.quantize import laplace_compand, quantize
from liveaction.nn.sizes import choose_groups
from liveaction.transforms.packet import WaveletPacket

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CPU = torch.device("cpu")


def test_stages_go_first_then_tiles_one_after_the_other():
    chosen = {"BLOCK_T": 32, "RESIDENT": 1, "num_warps": 8, "num_stages": 3}
    rungs = [
        tuple(r[k] for k in ("num_stages", "RESIDENT", "BLOCK_T"))
        for r in ladder(chosen, {"RESIDENT": 0, "BLOCK_T": 8})
    ]
    assert rungs == [(3, 1, 32), (2, 1, 32), (1, 1, 32), (1, 0, 32), (1, 0, 16), (1, 0, 8)]
    assert list(ladder({"BLOCK": 20}, {"BLOCK": 16})) == [{"BLOCK": 20}, {"BLOCK": 16}]
    assert list(ladder({"BLOCK": 16}, {"BLOCK": 16, "OTHER": 2})) == [{"BLOCK": 16}]


@pytest.mark.parametrize(
    ("needed", "number", "asked"), [([5], 0, 1), ([9, 6, 4], 2, 3), ([9, 5, 4], 1, 2), ([9, 8], None, 2)]
)
def test_the_first_that_fits_is_taken_and_no_more_are_asked(needed, number, asked):
    assert first_that_fits([lambda n=n: n for n in needed], 5) == (number, needed[:asked])


class Kernel:
    """Takes 64 KiB of shared memory per stage and 16 tokens; keeps how it was called."""

    def __init__(self):
        self.compiled, self.launched = [], []

    def warmup(self, *, grid, BLOCK_T, num_stages, **rest):
        self.compiled.append((BLOCK_T, num_stages))
        return SimpleNamespace(metadata=SimpleNamespace(shared=BLOCK_T * num_stages * 4096))

    def __getitem__(self, grid):
        return lambda **values: self.launched.append(values["BLOCK_T"])


@pytest.fixture
def compiled(monkeypatch):
    """A kernel that is compiled as on a device of 99 KiB, with nothing settled or told yet."""
    monkeypatch.setattr(launcher, "interpreting", lambda: False)
    monkeypatch.setattr(launcher, "target_of", lambda device: target.Target(86, 99 * 1024, 3))
    monkeypatch.setattr(launcher, "_settled", {})
    monkeypatch.setattr(dispatch, "_told", set())
    return Kernel()


def run(kernel, tokens, least, dtype=torch.float32):
    x = torch.empty(tokens, dtype=dtype)

    def describe(chosen):
        return [Launch(kernel, (1,), {"x_ptr": x}, {"BLOCK_T": chosen["BLOCK_T"]}, 4, chosen["num_stages"])]

    return launch("sums", "8", CPU, {"BLOCK_T": 32, "num_stages": 2}, {"BLOCK_T": least}, describe)


def test_settings_step_down_until_the_compiled_kernel_fits_and_that_is_said_and_settled_once(compiled):
    words = r"sums, 8: expected at most 99 KiB of shared memory, got 256; launched with .*'BLOCK_T': 16.* instead of"
    with pytest.warns(LiveactionWarning, match=words) as told:
        (done,) = run(compiled, 16, 8)
    assert done.constants == {"BLOCK_T": 16} and done.num_stages == 1 and compiled.launched == [16] and len(told) == 1
    assert compiled.compiled == [(32, 2), (32, 1), (16, 1)]
    for _ in range(2):
        run(compiled, 32, 8)
    assert compiled.launched == [16] * 3 and len(compiled.compiled) == 3
    run(compiled, 32, 8, torch.float16)  # another kernel to the compiler
    assert len(compiled.compiled) == 6


def test_a_warning_that_is_an_error_is_one_every_time(compiled):
    with warnings.catch_warnings():
        warnings.simplefilter("error", LiveactionWarning)
        for _ in range(2):
            with pytest.raises(LiveactionWarning, match="launched with"):
                run(compiled, 16, 8)
    assert compiled.launched == []


def test_where_nothing_fits_plain_pytorch_runs_and_says_so(compiled, monkeypatch):
    def kernel():
        return run(compiled, 16, 32)

    with pytest.raises(DoesNotFitError, match=r"99 KiB of shared memory, got 256, 128 with the smallest tiles"):
        kernel()
    with pytest.warns(LiveactionWarning, match="sums: no Triton kernel runs here, plain PyTorch does: sums, 8"):
        assert launcher.kernel_or_composed("sums", kernel, lambda: 7) == 7
    assert launcher.kernel_or_composed("sums", kernel, lambda: 7) == 7  # said once
    with dispatch.use("triton"), pytest.raises(MissingDependencyError, match="99 KiB"):
        launcher.kernel_or_composed("sums", kernel, lambda: 7)
    assert compiled.launched == []


def test_a_kernel_that_this_triton_cannot_compile_leaves_it_to_plain_pytorch(compiled, monkeypatch):
    class CompilationError(Exception):
        """As Triton's own."""

    def fails(**given):
        raise CompilationError("at 64:21:\n  dot(a, b)\n  ^\nInput shapes should have M >= 1, N >= 1 and K >= 16")

    one = Launch(SimpleNamespace(warmup=fails, __name__="gradient_kernel"), (1,), {}, {}, 8, 1)
    with pytest.raises(DoesNotFitError, match="gradient_kernel: expected a Triton that compiles it, got Input shapes"):
        one.compile()
    monkeypatch.setattr(one.kernel, "warmup", lambda **given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        one.compile()


def test_kernels_are_compiled_and_launched_on_their_tensors_device(compiled, monkeypatch):
    current = []

    class On:
        def __init__(self, device):
            self.device = device

        def __enter__(self):
            current.append(self.device.index)

        def __exit__(self, *_):
            current.append("left")

    monkeypatch.setattr(torch.cuda, "device", On)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    launches = [Launch(compiled, (1,), {}, {"BLOCK_T": 16}, 4, 1)]
    launch("sums", "8", torch.device("cuda", 1), {"BLOCK_T": 16}, {}, lambda chosen: launches)
    assert current == [1, "left", 1, "left"] and compiled.launched == [16]


def test_a_backward_pass_that_does_not_fit_is_computed_in_plain_pytorch(monkeypatch):
    from liveaction.kernels import monarch_triton

    def full(*_):
        raise DoesNotFitError("monarch: expected less")

    for name in ("forward", "backward"):
        monkeypatch.setattr(monarch_triton, name, full)
    monkeypatch.setattr(dispatch, "_told", set())
    x, w1, w2 = (torch.randn(s, device=DEVICE).requires_grad_() for s in ((2, 64, 5, 3), (8, 8, 8), (8, 8, 8)))
    expected = monarch_composed(x, w1, w2)
    dy = torch.randn_like(expected)
    with pytest.warns(LiveactionWarning, match="monarch: no Triton kernel runs here, plain PyTorch does"):
        y = torch.ops.liveaction.monarch(x, w1, w2)
    assert torch.allclose(y, expected, atol=1e-5) and y.movedim(1, -1).is_contiguous()
    for ours, theirs in zip(
        torch.autograd.grad(y, (x, w1, w2), dy), torch.autograd.grad(expected, (x, w1, w2), dy), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_told_survives_a_whole_graph(compiled, monkeypatch):
    monkeypatch.setattr(dispatch, "_told", set())
    monkeypatch.setattr(dispatch, "_on_gpu", lambda x: True)
    monkeypatch.setattr(dispatch, "interpreting", lambda: False)
    function = torch.compile(quantize, fullgraph=True, backend="eager") if compiled else quantize
    x = torch.randn(2, 3, 5)
    with pytest.warns(
        LiveactionWarning, match="quantize: no Triton kernel runs here, plain PyTorch does: .*on cpu"
    ) as told:
        y = function(x, 0.5)
    assert torch.equal(y, torch.round(x / 0.5)) and len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        function(torch.randn(2, 3, 5), 0.5)


@pytest.mark.parametrize("compiled", [False, True])
def test_an_operation_without_a_kernel_says_nothing(compiled, monkeypatch):
    monkeypatch.setattr(dispatch, "_on_gpu", lambda x: True)
    monkeypatch.setattr(dispatch, "interpreting", lambda: False)
    function = torch.compile(group_norm, fullgraph=True, backend="eager") if compiled else group_norm
    x, weight, bias = torch.randn(2, 8, 5), torch.randn(8), torch.randn(8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = function(x, 4, weight, bias, 1e-5)
    assert torch.allclose(y, torch.nn.functional.group_norm(x, 4, weight, bias, 1e-5))


def test_the_capability_is_asked_for_once_while_a_graph_is_traced(monkeypatch):
    """A cached function warns under Dynamo, which looks through the cache."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (7, 5))

    def function(x):
        return x + len(dispatch._capability_missing(0))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = torch.compile(function, fullgraph=True, backend="eager")(torch.zeros(1))
    assert dispatch._capability_missing(0) == "Triton kernels need compute capability 8.0, this device has (7, 5)"
    assert y.item() == len(dispatch._capability_missing(0))


def test_rocm_is_refused_with_a_reason(monkeypatch):
    monkeypatch.setattr(torch.version, "hip", "6.4")
    monkeypatch.setattr(dispatch, "interpreting", lambda: False)
    assert "NVIDIA's, and this torch is built for ROCm" in dispatch.triton_missing(torch.device("cuda", 0))
    with dispatch.use("triton"), pytest.raises(MissingDependencyError, match=r"quantize: expected Triton.*ROCm"):
        quantize(torch.zeros(1, 1, 1, device=DEVICE), 1.0)


@pytest.mark.slow
def test_importing_the_codec_does_not_import_the_tracer():
    code = "import sys, liveaction.codec.model; print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("provider", ["composed", "triton"])
def test_packets_compile_in_one_graph_with_their_plan_as_a_constant(provider):
    packets, x = WaveletPacket("bior4.4", (1, 2)), torch.randn(1, 2, 12, 20, device=DEVICE)
    torch.compiler.reset()  # a second extent in one process would be traced as a symbol, which makes no plan
    with dispatch.use(provider):
        assert torch.equal(torch.compile(packets, fullgraph=True, backend="aot_eager")(x), packets(x))
    torch.compiler.reset()


def factors(channels):
    g1, g2 = choose_groups(channels, channels)
    return [torch.randn(g1, g2, g2) / g2**0.5, torch.randn(g2, g1, g1) / g1**0.5]


def block(channels):
    return [
        torch.randn(2, channels, 5),
        *(t for _ in range(2) for t in (*factors(channels), torch.randn(channels))),
        torch.randn(channels),
    ]


OPERATIONS = {
    "monarch": (monarch, lambda: [torch.randn(2, 96, 5), *factors(96)]),
    "monarch as a dense matrix": (monarch, lambda: [torch.randn(2, 12, 5), *factors(12)]),
    "pointwise_block in registers": (pointwise_block, lambda: block(256)),
    "pointwise_block in 16 bits": (pointwise_block, lambda: [t.half() for t in block(256)]),
    "pointwise_block through its output": (pointwise_block, lambda: block(64)),
    "linear_attention": (linear_attention, lambda: list(torch.randn(3, 1, 2, 16, 9))),
    "absorbed_attention": (
        absorbed_attention,
        lambda: [torch.randn(1, 16, 9), torch.randn(48, 16), torch.randn(16, 16)],
    ),
    "depthwise": (
        lambda x, w, b: depthwise(x, [w], b),
        lambda: [torch.randn(1, 8, 5, 3), torch.randn(8, 1, 3, 3), torch.randn(8)],
    ),
    "laplace_compand": (laplace_compand, lambda: [torch.randn(1, 4, 7), torch.rand(4) + 1]),
}


def gradients(function, tensors, wanted):
    """The wanted gradients, and the launches of the backward pass: kernels with what they store."""
    leaves = [t.detach().to(DEVICE).requires_grad_(flag) for t, flag in zip(tensors, wanted, strict=True)]
    with dispatch.use("triton"):
        y = function(*leaves)
        with watch() as launched:
            found = torch.autograd.grad(y, [t for t in leaves if t.requires_grad], torch.ones_like(y))
    return found, [(one.kernel.__name__, {n for n, flag in one.constants.items() if flag is True}) for one in launched]


def stored(launched):
    return sum(len(flags) for _, flags in launched)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
def test_only_wanted_gradients_are_computed_and_they_stay_the_same(name):
    function, make = OPERATIONS[name]
    tensors = make()
    every, launched = gradients(function, tensors, [True] * len(tensors))
    for number in range(len(tensors)):
        wanted = [i == number for i in range(len(tensors))]
        (one,), fewer = gradients(function, tensors, wanted)
        assert torch.allclose(one, every[number], rtol=2e-3, atol=2e-3 * float(every[number].abs().max())), number
        assert len(fewer) <= len(launched) and stored(fewer) <= stored(launched)
    others, _ = gradients(function, tensors, [False] + [True] * (len(tensors) - 1))
    for one, other in zip(others, every[1:], strict=True):
        assert torch.allclose(one, other, rtol=2e-3, atol=2e-3 * float(other.abs().max()))


@pytest.mark.parametrize(
    ("name", "wanted", "expected"),
    [
        ("monarch", (True, False, False), [("project_kernel", set())]),
        ("monarch", (False, True, False), [("gradient_kernel", {"DFIRST"})]),
        ("linear_attention", (True, False, False), [("query_gradient_kernel", {"DQ"})]),
        (
            "linear_attention",
            (False, False, True),
            [("query_gradient_kernel", set()), ("state_kernel", {"GRADIENT"}), ("key_gradient_kernel", {"DV"})],
        ),
        ("absorbed_attention", (False, False, True), [("rectify_kernel", set()), ("scale_kernel", set())]),
        ("depthwise", (True, False, False), [("depthwise_kernel", set())]),
        ("depthwise", (False, False, True), [("depthwise_weight_kernel", set())]),
        ("laplace_compand", (True, False), [("laplace_backward_kernel", {"DY"})]),
        ("laplace_compand", (False, True), [("laplace_backward_kernel", {"DSIGMA"})]),
        ("pointwise_block in registers", (*[False] * 6, True, True), [("second_half_kernel", set())]),
        (
            "pointwise_block in 16 bits",
            (*[False] * 4, True, True, False, False),
            [("second_half_kernel", {"RESIDENT", "WEIGHTS"})],
        ),
        (
            "pointwise_block in 16 bits",
            (True, *[False] * 7),
            [("second_half_kernel", {"RESIDENT", "DZ"}), ("first_half_kernel", {"RESIDENT", "DX"})],
        ),
    ],
)  # fmt: skip
def test_what_nobody_wants_is_not_launched(name, wanted, expected):
    function, make = OPERATIONS[name]
    assert gradients(function, make(), wanted)[1] == expected
