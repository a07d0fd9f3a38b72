"""PSNR by its formula, SSIM as scikit-image has it."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from liveaction.errors import ShapeError
from liveaction.metrics import mean_squared_error, psnr, ssim


def test_psnr():
    x = torch.zeros(3, 5)
    assert psnr(x, x + 0.1, 2.0) == pytest.approx(10 * math.log10(4 / 0.01), abs=1e-5)
    assert psnr(x, x, 2.0) == math.inf
    big = torch.zeros(5_000_001)
    big[-1] = 1
    assert mean_squared_error(big, torch.zeros_like(big)) == pytest.approx(1 / 5_000_001)


@pytest.mark.parametrize("extents", [(40,), (23, 31), (11, 12, 13), (3, 20, 20)], ids=str)
def test_ssim_is_scikit_images(extents):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, *extents))
    y = x + 0.3 * rng.standard_normal(x.shape)
    if min(extents) >= 7:
        expected = np.mean([structural_similarity(a, b, win_size=7, data_range=4.0) for a, b in zip(x, y, strict=True)])
        assert ssim(torch.from_numpy(x), torch.from_numpy(y), 4.0) == pytest.approx(expected, abs=1e-9)
    assert ssim(torch.from_numpy(x), torch.from_numpy(x), 4.0) == pytest.approx(1.0)
    assert ssim(torch.from_numpy(x), torch.from_numpy(y), 4.0) < 0.99


def test_ssim_in_slabs_is_ssim_at_once(monkeypatch):
    x = torch.rand(1, 300, 130, 130, dtype=torch.float32)
    y = x + 0.1 * torch.rand_like(x)
    slabs = ssim(x, y, 1.0)
    parts = [ssim(x[:, i : i + 107], y[:, i : i + 107], 1.0) for i in (0, 101, 202)]
    counts = [101, 101, 92]
    assert slabs == pytest.approx(np.average(parts, weights=counts), abs=1e-9)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ShapeError, match="metrics: expected two tensors of equal shape"):
        psnr(torch.zeros(3), torch.zeros(4), 1)
    with pytest.raises(ShapeError, match="ssim: expected two tensors"):
        ssim(torch.zeros(1, 3), torch.zeros(1, 4), 1)
