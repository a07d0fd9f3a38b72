"""MS-SSIM against a plain NumPy one with every window laid out, and against SSIM where there is one scale."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from skimage.metrics import structural_similarity

from liveaction.errors import ShapeError
from liveaction.metrics import Similarity, ms_ssim, scales_of, similarity_by_slab, ssim

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def _pair(shape: tuple[int, ...], noise: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    for axis in range(1, len(shape)):  # some structure at every scale
        x = np.cumsum(x, axis) / math.sqrt(shape[axis])
    x /= np.abs(x).max()
    return torch.from_numpy(x), torch.from_numpy(x + noise * np.abs(x).std() * rng.standard_normal(shape))


def _plain(x: Any, y: Any, peak: float) -> tuple[float, int]:
    """MS-SSIM of one channel, by its definition."""
    terms = []
    while True:
        windows = tuple(min(7, n) for n in x.shape)
        a, b = (sliding_window_view(v, windows).reshape(-1, math.prod(windows)) for v in (x, y))
        mean_a, mean_b = a.mean(1), b.mean(1)
        cov = ((a - mean_a[:, None]) * (b - mean_b[:, None])).sum(1) / (a.shape[1] - 1)
        c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
        structure = (2 * cov + c2) / (a.var(1, ddof=1) + b.var(1, ddof=1) + c2)
        light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        terms.append((structure.mean(), (structure * light).mean()))
        longer = [axis for axis, n in enumerate(x.shape) if n >= 14]
        if len(terms) == 5 or not longer:
            break
        for axis in longer:
            even, odd = (slice(start, x.shape[axis] // 2 * 2, 2) for start in (0, 1))
            x, y = ((np.moveaxis(v, axis, 0)[even] + np.moveaxis(v, axis, 0)[odd]) / 2 for v in (x, y))
            x, y = (np.moveaxis(v, 0, axis) for v in (x, y))
    weights = np.array(WEIGHTS[: len(terms)])
    weights *= sum(WEIGHTS) / weights.sum()
    factors = [structure for structure, _ in terms[:-1]] + [terms[-1][1]]
    return float(np.prod(np.power(factors, weights))), len(terms)


@pytest.mark.parametrize(
    ("extents", "scales"),
    [((117, 131), 5), ((63, 65), 4), ((20, 13), 2), ((29, 15, 33), 3), ((5, 40, 31), 3), ((13, 9), 1), ((1, 1, 9), 1)],
    ids=str,
)
def test_ms_ssim_is_the_plain_one(extents: tuple[int, ...], scales: int) -> None:
    x, y = _pair((2, *extents))
    each = [_plain(a.numpy(), b.numpy(), 2.0) for a, b in zip(x, y, strict=True)]
    assert {count for _, count in each} == {scales} == {scales_of(extents)}
    expected = np.mean([value for value, _ in each])
    assert ms_ssim(x, y, 2.0) == pytest.approx(expected, abs=1e-6)  # coarser scales are kept in float32
    assert 0.2 < expected < 0.999
    assert ms_ssim(x, x, 2.0) == pytest.approx(1.0)


def test_one_scale_is_ssim_to_the_power_of_the_sum_of_weights() -> None:
    x, y = _pair((1, 13, 12))
    expected = structural_similarity(x[0].numpy(), y[0].numpy(), win_size=7, data_range=2.0)
    assert ms_ssim(x, y, 2.0) == pytest.approx(expected ** sum(WEIGHTS), abs=1e-9)


def test_five_scales_need_112_samples_along_an_axis() -> None:
    assert [scales_of((3, n)) for n in (13, 14, 28, 56, 111, 112, 4000)] == [1, 2, 3, 4, 4, 5, 5]


def test_noise_and_offsets_count_less_than_at_one_scale() -> None:
    x, noisy = _pair((1, 128, 128), noise=0.5)
    assert ms_ssim(x, noisy, 2.0) > ssim(x, noisy, 2.0)  # noise averages out with the scale
    assert ms_ssim(x, x + 0.2, 2.0) > ssim(x, x + 0.2, 2.0)  # and so light counts at the coarsest alone


def test_a_mean_below_zero_counts_as_zero() -> None:
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 32, 32)))
    assert ssim(9 + x, 9 - x, 2.0) < 0
    assert ms_ssim(9 + x, 9 - x, 2.0) == 0


@pytest.mark.parametrize("extents", [(57, 61), (31, 18, 33), (300,)], ids=str)
def test_tiles_change_nothing(extents: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = (part.float() for part in _pair((2, *extents)))
    whole = Similarity(ssim(x, y, 2.0), ms_ssim(x, y, 2.0), scales_of(extents))
    monkeypatch.setattr("liveaction.metrics.similarity._TILE", 100)
    monkeypatch.setattr("liveaction.mapped.LARGE", 8)
    asked = []

    def take(channel: int, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(part.stop - part.start)
        return x[channel, part], y[channel, part]

    assert similarity_by_slab(take, x.shape, 2.0) == pytest.approx(whole, rel=1e-12)
    assert len(asked) > 8 and (len(extents) == 1 or max(asked) <= 20)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"ms_ssim: expected two tensors \[C, \*S\], got \(1, 3\), \(1, 4\)"):
        ms_ssim(torch.zeros(1, 3), torch.zeros(1, 4), 1)
