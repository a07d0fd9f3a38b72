"""GroupNorm with GELU: reference, torch's and Numba's; the approximation of tanh."""

import numpy as np
import pytest
import torch

from liveaction.errors import MissingDependencyError
from liveaction.kernels import activation_numba, dispatch
from liveaction.kernels.group_norm import group_norm, group_norm_composed, group_norm_reference
from liveaction.testing import assert_kernel_close

SHAPES = [(1, 16, 1), (2, 24, 7), (1, 16, 5, 9), (2, 16, 3, 4, 5), (1, 8, 70001)]


@pytest.mark.parametrize("activate", [False, True], ids=["plain", "gelu"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("offset", [0.0, 300.0], ids=["centred", "offset"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_numba_errs_no_more_than_torch(shape, activate, offset, dtype):
    x = (torch.randn(shape) * 3 + offset).to(dtype)
    weight, bias = (torch.rand(shape[1]) + 0.5).to(dtype), torch.randn(shape[1]).to(dtype)
    truth = group_norm_reference(x.double(), 8, weight.double(), bias.double(), 1e-5, activate)
    plain = group_norm_composed(x, 8, weight, bias, 1e-5, activate)
    kept = x.clone()
    with dispatch.use("numba"):
        ours = group_norm(x, 8, weight, bias, 1e-5, activate)
    assert torch.equal(x, kept) and ours.dtype == dtype
    assert_kernel_close(ours, truth, plain, f"group norm {shape}")


def test_the_reference_is_torchs():
    x = torch.randn(2, 12, 5, 4, dtype=torch.float64)
    weight, bias = torch.randn(12, dtype=torch.float64), torch.randn(12, dtype=torch.float64)
    for activate in (False, True):
        ours = group_norm_reference(x, 4, weight, bias, 1e-5, activate)
        assert torch.allclose(ours, group_norm_composed(x, 4, weight, bias, 1e-5, activate), atol=1e-12)
        inputs = [
            t[..., :1].clone().requires_grad_() if t.ndim > 1 else t.clone().requires_grad_() for t in (x, weight, bias)
        ]
        assert torch.autograd.gradcheck(
            lambda x, w, b, activate=activate: group_norm_reference(x, 4, w, b, 1e-5, activate), inputs
        )


def test_gradients_take_torchs():
    x, weight, bias = torch.randn(1, 8, 9), torch.ones(8, requires_grad=True), torch.zeros(8)
    group_norm(x, 8, weight, bias, 1e-5, True).sum().backward()
    assert weight.grad is not None
    with dispatch.use("numba"), pytest.raises(MissingDependencyError, match="no gradient"):
        group_norm(x, 8, weight, bias, 1e-5)


def test_bfloat16_rounds_half_to_even_and_keeps_what_is_no_number():
    values = torch.cat(
        [torch.randn(5000) * 10.0 ** torch.randint(-30, 30, (5000,)), torch.tensor([1.00390625, 1.01171875])]
    )
    special = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan])
    x = torch.cat([values, special]).bfloat16()[None]
    scale = np.full(1, 1.0009765625, np.float32)
    out = x.clone()
    activation_numba.affine(activation_numba.as_array(out), 0, 1, scale, np.zeros(1, np.float32), False)
    expected = (x.float() * 1.0009765625).bfloat16()
    assert torch.equal(out.nan_to_num(7), expected.nan_to_num(7)) and out[0, -1].isnan()


def test_gelu_is_float32_grade():
    values = np.linspace(-12, 12, 200_001, dtype=np.float32)
    out, one, zero = values[None].copy(), np.ones(1, np.float32), np.zeros(1, np.float32)
    activation_numba.affine(out, 0, 1, one, zero, True)
    v = values.astype(np.float64)
    truth = 0.5 * v * (1 + np.tanh(np.sqrt(2 / np.pi) * (v + 0.044715 * v**3)))
    assert (np.abs(out[0] - truth) <= 2.5e-7 * np.abs(v) + 1e-12).all()
    assert (out[0][v > 9] == values[v > 9]).all() and (out[0][v < -9] == 0).all()


def test_memory_is_taken_only_where_it_may_be():
    x, weight, bias = torch.randn(1, 16, 40), torch.ones(16), torch.zeros(16)
    expected = group_norm_composed(x, 8, weight, bias, 1e-5, True)
    strided = torch.randn(1, 40, 16).transpose(1, 2)
    kept = strided.clone()
    with torch.no_grad():
        out = group_norm(x, 8, weight, bias, 1e-5, True, overwrite=True)
        group_norm(strided, 8, weight, bias, 1e-5, True, overwrite=True)
    assert out.data_ptr() == x.data_ptr() and torch.allclose(out, expected, atol=1e-6)
    assert torch.equal(strided, kept)
