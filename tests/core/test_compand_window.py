"""Range compression by its formula and back; padding by the last sample and back."""

import pytest
import torch

from liveaction.errors import ShapeError
from liveaction.kernels.quantize import compand, expand
from liveaction.transforms.window import crop, pad_to_multiple, padded_extents

VALUES = torch.cat(
    [
        torch.linspace(-100, 100, 4001, dtype=torch.float64),
        torch.logspace(-12, 3, 60, dtype=torch.float64),
        -torch.logspace(-12, 3, 60, dtype=torch.float64),
    ]
)


def test_compand_is_the_published_formula():
    expected = 12.8 * VALUES.sign() * ((VALUES.abs() + 0.1) ** 0.4 - 0.1**0.4)
    assert (compand(VALUES) - expected).abs().max() < 1e-12
    assert compand(torch.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_expand_undoes_compand_and_the_other_way_round(dtype, tolerance):
    v = VALUES.to(dtype)
    assert ((expand(compand(v)) - v).abs() <= tolerance * (v.abs() + 0.1)).all()
    assert ((compand(expand(v)) - v).abs() <= tolerance * (v.abs() + 5)).all()
    assert compand(v).dtype == expand(v).dtype == dtype


@pytest.mark.parametrize("function", [compand, expand])
def test_odd_and_rising(function):
    assert torch.equal(function(-VALUES), -function(VALUES))
    assert (function(VALUES.unique()).diff() > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("function", "slope"), [(compand, 12.8 * 0.4 * 0.1**-0.6), (expand, 0.1**0.6 / (12.8 * 0.4))])
def test_the_derivative_at_0_is_the_true_one(function, slope, dtype):
    for zero in (0.0, -0.0):
        x = torch.tensor([zero], dtype=dtype, requires_grad=True)
        function(x).sum().backward()
        assert x.grad.item() == pytest.approx(slope, rel=1e-6)
    step = 1e-6
    ends = function(torch.tensor([-step, step], dtype=torch.float64))
    assert (ends[1] - ends[0]).item() / (2 * step) == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("function", [compand, expand])
def test_gradients(function):
    x = torch.tensor([-30.0, -1.0, -0.01, 0.0, 0.02, 0.5, 7.0], dtype=torch.float64, requires_grad=True)
    # the second derivative jumps at 0, so a finite difference there is off by its step
    assert torch.autograd.gradcheck(function, x, atol=1e-4)
    assert torch.autograd.gradcheck(function, x[x != 0].detach().requires_grad_())


@pytest.mark.parametrize("extents", [(1,), (5,), (8,), (1, 7), (3, 8, 9), (1, 2, 3, 5)], ids=str)
def test_padding_repeats_the_last_sample_and_crop_undoes_it(extents):
    factors = (4, 8, 2, 3)[: len(extents)]
    x = torch.randn(2, 3, *extents)
    padded = pad_to_multiple(x, factors)
    assert tuple(padded.shape[2:]) == padded_extents(extents, factors)
    assert all(n % f == 0 and 0 <= n - m < f for n, m, f in zip(padded.shape[2:], extents, factors, strict=True))
    clamped = [torch.arange(n).clamp(max=m - 1) for n, m in zip(padded.shape[2:], extents, strict=True)]
    expected = x
    for axis, index in enumerate(clamped):
        expected = expected.index_select(axis + 2, index)
    assert torch.equal(padded, expected)
    assert torch.equal(crop(padded, extents), x)


def test_nothing_is_copied_where_nothing_is_missing():
    x = torch.zeros(1, 1, 8, 4)
    assert pad_to_multiple(x, (8, 2)) is x and pad_to_multiple(x, (1, 1)) is x


def test_padding_passes_gradients_to_the_last_sample():
    x = torch.zeros(1, 1, 5, requires_grad=True)
    pad_to_multiple(x, (8,)).sum().backward()
    assert x.grad.flatten().tolist() == [1, 1, 1, 1, 4]


@pytest.mark.parametrize("shape", [(1, 1, 8), (1, 1, 8, 0), (1, 1, 0, 8), (8, 8)], ids=str)
def test_wrong_axes_and_empty_ones_are_refused(shape):
    with pytest.raises(ShapeError, match=r"codec: expected \[B, C, \*S\] with 2 axes of at least one sample, got \("):
        pad_to_multiple(torch.zeros(shape), (4, 4))
