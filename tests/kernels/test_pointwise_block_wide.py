"""Pointwise block of many channels or uneven groups: the kernel that goes through its own output, and its gradients."""

import pytest
import torch

from liveaction.errors import MissingDependencyError
from liveaction.kernels import dispatch, launch, launcher, pointwise_block_wide_triton
from liveaction.kernels.pointwise_block import (
    pointwise_block,
    pointwise_block_composed,
    pointwise_block_reference,
)
from liveaction.nn.blocks import PointwiseBlock
from liveaction.nn.sizes import choose_groups
from liveaction.testing import assert_kernel_close, poisoned

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = [torch.float32, torch.float16] + ([torch.bfloat16] if DEVICE == "cuda" else [])
NAMES = ["out", "x", "w1", "w2", "gain1", "v1", "v2", "gain2", "scale"]
EPS = 1e-6
OP = "pointwise_block_wide"


def case(channels, extents, dtype, batch=2, of_x=None):
    """x and the gradient of the output, the seven parameters; values exact in ``dtype``."""
    g1, g2 = choose_groups(channels, channels)
    half = [(g1, g2, g2), (g2, g1, g1), (channels,)]
    parameters = [torch.randn(s) / (s[-1] ** 0.5 if len(s) == 3 else 1) for s in (*half, *half, (channels,))]
    tensors = torch.randn(2, batch, channels, *extents)
    return [t.to(dtype).to(DEVICE, of_x or dtype) for t in tensors], [t.to(DEVICE, dtype) for t in parameters]


def kernel(*inputs):
    with dispatch.use("triton"), poisoned():
        return pointwise_block(*inputs)


def run(function, x, dout, parameters):
    inputs = [t.detach().clone().requires_grad_() for t in (x, *parameters)]
    out = function(*inputs, EPS)
    with poisoned():
        return [out, *torch.autograd.grad(out, inputs, dout)]


def compare(tensors, parameters):
    reference = run(pointwise_block_reference, *(t.double() for t in tensors), [t.double() for t in parameters])
    plain = run(pointwise_block_composed, *tensors, parameters)
    for name, k, r, c in zip(NAMES, run(kernel, *tensors, parameters), reference, plain, strict=True):
        assert k.dtype == c.dtype, name
        assert_kernel_close(k, r, c, name)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("channels", "extents"),
    [(96, (2, 1, 3, 1)), (192, (1,)), (192, (33,)), (384, (7,)), (768, (3,)), (896, (3, 3))],
    ids=str,
)
def test_the_kernel_is_the_reference(channels, extents, dtype):
    compare(*case(channels, extents, dtype))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_kernel_at_1536_channels(dtype):
    compare(*case(1536, (9,), dtype))


def test_the_kernel_with_a_float32_skip_around_16_bit_projections():
    compare(*case(384, (19,), torch.float16, of_x=torch.float32))


@pytest.mark.parametrize("values", [{"BLOCK_T": 8}, {"W_CHUNK": 32}, {"W_CHUNK": 8, "num_stages": 3}], ids=str)
def test_any_launch_settings_give_the_same(values):
    (x, _), parameters = case(896, (9,), torch.float16)
    expected = kernel(x, *parameters)
    with launch.override(OP, values):
        assert torch.allclose(kernel(x, *parameters), expected, rtol=1e-3, atol=2e-3)


def test_the_forward_is_one_kernel():
    (x, _), parameters = case(192, (5,), torch.float16)
    with launch.watch() as asked:
        kernel(x.requires_grad_(), *parameters)
    assert list(asked) == [(OP, "192 float16 float16")]


def test_nothing_is_written_beside_the_tokens():
    (x, _), parameters = case(192, (37,), torch.float32, 1)
    rows, whole = x[0].T.contiguous(), torch.full((37 + 32, 192), torch.nan, device=DEVICE)
    pointwise_block_wide_triton.forward_kernel[(2,)](
        rows, *parameters, whole[16:53], 37, 16, 12, 16, 16, 16, 0, EPS, 16, 16, 1, False, num_warps=8, num_stages=1
    )
    assert torch.isnan(whole[:16]).all() and torch.isnan(whole[53:]).all()
    assert torch.allclose(whole[16:53].T[None], kernel(x, *parameters), atol=1e-5)


def test_any_strides_a_gradient_without_strides_and_an_empty_batch():
    (x, _), parameters = case(192, (4, 6), torch.float32)
    cut = torch.randn(2, 192, 8, 7, device=DEVICE)[:, :, ::2, 1:]
    for strided in (x.movedim(1, -1).contiguous().movedim(-1, 1), cut, x[:, :, :, :1].expand(2, 192, 4, 3)):
        assert torch.equal(kernel(strided, *parameters), kernel(strided.contiguous(), *parameters))
        compare((strided, torch.ones((), device=DEVICE).expand(strided.shape)), parameters)
    inputs = [t.requires_grad_() for t in (x[:0].clone(), *parameters)]
    kernel(*inputs).sum().backward()
    assert inputs[0].grad.shape == (0, 192, 4, 6) and all(t.grad.abs().max() == 0 for t in inputs[1:])


def test_the_kernel_gives_the_same_gradients_every_time():
    tensors, parameters = case(192, (65,), torch.float32)
    for first, second in zip(run(kernel, *tensors, parameters), run(kernel, *tensors, parameters), strict=True):
        assert torch.equal(first, second)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # read by opcheck itself
def test_registration_and_the_fake():
    (x, _), parameters = case(192, (3, 5), torch.float16, of_x=torch.float32)
    parameters[0] = parameters[0].mT.contiguous().mT
    op = torch.ops.liveaction.pointwise_block.default
    inputs = [t.clone().requires_grad_() for t in (x, *parameters)]
    torch.library.opcheck(op, (*inputs, EPS), rtol=1e-3, atol=1e-3)
    with torch._subclasses.fake_tensor.FakeTensorMode() as mode:
        fake = op(*(mode.from_tensor(t) for t in (x, *parameters)), EPS)
    real = op(x, *parameters, EPS)
    assert (fake.shape, fake.stride(), fake.dtype) == (real.shape, real.stride(), real.dtype)


@pytest.mark.parametrize("export", [False, True])
def test_the_kernel_compiles_and_exports(export):
    (x, dout), parameters = case(192, (3, 5), torch.float32)
    block = PointwiseBlock(192).to(DEVICE)
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
            wanted = (x, *block.parameters())
            gradients = [torch.autograd.grad(y, wanted, dout) for y in (traced(x), expected)]
            assert all(torch.allclose(*pair, atol=1e-4) for pair in zip(*gradients, strict=True))


@pytest.mark.parametrize(
    ("channels", "dtype"), [(12, torch.float16), (97, torch.float16), (3072, torch.float16), (2048, torch.float32)]
)
def test_groups_that_it_does_not_take_are_named(channels, dtype):
    (x, _), parameters = case(channels, (3,), dtype, 1)
    words = r"groups of at most 32 x 64 .*not \({}, {}\) in {}".format(*choose_groups(channels, channels), dtype)
    with dispatch.use("triton"), pytest.raises(MissingDependencyError, match=words):
        pointwise_block(x, *parameters)


def test_two_projections_in_groups_of_their_own_are_refused():
    (x, _), parameters = case(192, (3,), torch.float16, 1)
    parameters[3:5] = torch.zeros(16, 12, 12).half(), torch.zeros(12, 16, 16).half()
    with (
        dispatch.use("triton"),
        pytest.raises(MissingDependencyError, match=r"same groups, not \(12, 16\) and \(16, 12\)"),
    ):
        pointwise_block(x, *(p.to(DEVICE) for p in parameters))


class Watch:
    """Interpreter's loads and stores of a program: what they touch that others of its threads may still be at."""

    def __init__(self, monkeypatch, place):
        from triton.runtime.interpreter import InterpreterBuilder as Builder

        self.ours = place.data_ptr(), place.data_ptr() + place.numel() * place.element_size()
        self.loads, self.stores, self.barriers, self.races = [], [], 0, []
        load, store = Builder.create_masked_load, Builder.create_masked_store

        def watched_load(builder, ptrs, mask, *rest):
            self.touch(ptrs.data[mask.data], self.loads, (self.stores,))
            return load(builder, ptrs, mask, *rest)

        def watched_store(builder, ptrs, value, mask, *rest):
            self.touch(ptrs.data[mask.data], self.stores, (self.loads, self.stores))
            return store(builder, ptrs, value, mask, *rest)

        def barrier(builder):
            self.barriers += 1
            self.loads.clear(), self.stores.clear()

        monkeypatch.setattr(Builder, "create_masked_load", watched_load)
        monkeypatch.setattr(Builder, "create_masked_store", watched_store)
        monkeypatch.setattr(Builder, "create_barrier", barrier)

    def touch(self, addresses, kept, others):
        """A thread that goes on with the very elements that it had is no race."""
        ours = [int(a) for a in addresses.ravel() if self.ours[0] <= a < self.ours[1]]
        self.races += [1 for other in others for before in other if before != ours and {*before} & {*ours}]
        kept.append(ours)


@pytest.mark.skipif(DEVICE == "cuda", reason="watches the interpreter")
def test_barriers_stand_between_what_threads_write_and_others_read(monkeypatch):
    (x, _), parameters = case(192, (21,), torch.float32, 1)
    rows, out = x[0].T.contiguous(), torch.empty(21, 192)
    watch = Watch(monkeypatch, out)
    pointwise_block_wide_triton.forward_kernel[(1,)](
        rows, *parameters, out, 21, 16, 12, 16, 16, 16, 0, EPS, 16, 16, 1, False, num_warps=8, num_stages=1
    )
    assert watch.barriers == 6 and not watch.races


def test_tiles_are_launched_without_a_pipeline():
    """One would read the output's tile before its threads have written it, which the interpreter cannot see."""
    (x, _), parameters = case(192, (3,), torch.float16, 1)
    with dispatch.use("triton"), launch.override(OP, {"num_stages": 4}), launcher.watch() as launched:
        pointwise_block(x, *parameters)
    assert [(one.num_stages, one.constants["STAGES"]) for one in launched] == [(1, 4)]
