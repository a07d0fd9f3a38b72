"""Measures of audio against their formulas."""

import math

import numpy as np
import pytest
import torch

from liveaction.errors import ShapeError
from liveaction.metrics import covariance_error, si_sdr, spatial_errors


def _noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_si_sdr_is_the_angle_between_the_two() -> None:
    x, y = _noise(999), _noise(999, seed=1)
    cosine = float((x @ y) / (x.norm() * y.norm()))
    expected = 10 * math.log10(cosine**2 / (1 - cosine**2))  # the same, geometrically
    assert si_sdr(x, y) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("scale", [0.01, -1.0, 7.0])
def test_si_sdr_does_not_see_scale(scale: float) -> None:
    x = _noise(500)
    y = x + 0.1 * _noise(500, seed=1)
    assert si_sdr(x, scale * y) == pytest.approx(si_sdr(x, y), rel=1e-9)
    assert si_sdr(scale * x, y) == pytest.approx(si_sdr(x, y), rel=1e-9)


def test_si_sdr_of_noise_that_does_not_correlate() -> None:
    x, n = _noise(400), _noise(400, seed=1)
    n -= x * (x @ n) / (x @ x)
    n *= x.norm() / n.norm() / 10
    assert si_sdr(x, x + n) == pytest.approx(20.0, abs=1e-9)


def test_si_sdr_at_its_ends() -> None:
    x, silence = _noise(64), torch.zeros(64, dtype=torch.float64)
    assert si_sdr(x, x) == math.inf
    assert si_sdr(silence, silence) == math.inf
    assert si_sdr(x, silence) == -math.inf
    assert si_sdr(silence, x) == -math.inf
    assert si_sdr(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])) == -math.inf
    assert si_sdr(torch.tensor([2]), torch.tensor([3])) == math.inf  # one sample is always a multiple


@pytest.mark.parametrize("shapes", [((3,), (4,)), ((2, 3), (2, 3)), ((0,), (0,))])
def test_si_sdr_refuses_other_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ShapeError, match=r"expected two tensors \[T\]"):
        si_sdr(*(torch.zeros(shape) for shape in shapes))


def test_a_gain_is_a_level_error_alone() -> None:
    x = _noise(3, 5000)
    y = x.clone()
    y[1] *= 10 ** (3 / 20)
    level, phase = spatial_errors(x, y)
    # one of two pairs is 3 dB off, the other right; the weights of the two differ a little
    assert level == pytest.approx(1.5, abs=0.05)
    assert phase == pytest.approx(0, abs=1e-6)
    assert spatial_errors(x[:2], y[:2])[0] == pytest.approx(3, abs=1e-9)


def test_a_turned_channel_is_180_degrees_off() -> None:
    x = _noise(2, 3000)
    level, phase = spatial_errors(x, x * torch.tensor([[1.0], [-1.0]]))
    assert (level, phase) == (pytest.approx(0, abs=1e-9), pytest.approx(180))


def test_a_delay_of_a_tone_is_its_phase() -> None:
    t = torch.arange(8000, dtype=torch.float64)
    tone = torch.sin(2 * math.pi * t / 32)
    late = torch.sin(2 * math.pi * (t - 2) / 32)  # 2 of 32 samples: 22.5 degrees
    level, phase = spatial_errors(torch.stack([tone, tone]), torch.stack([tone, late]), window=512)
    assert phase == pytest.approx(22.5, abs=0.3)
    assert level < 0.2


def test_changes_common_to_all_channels_are_no_error_of_space() -> None:
    x = _noise(4, 2000)
    level, phase = spatial_errors(x, -0.3 * x, window=128, reference=2)
    assert (level, phase) == (pytest.approx(0, abs=1e-9), pytest.approx(0, abs=1e-6))


def test_where_nothing_came_back_the_phase_is_chance() -> None:
    x = _noise(2, 2000)
    y = x.clone()
    y[1] = 0
    level, phase = spatial_errors(x, y)
    assert phase == pytest.approx(90)
    assert math.isfinite(level) and level > 30


def test_no_cues_no_errors() -> None:
    assert spatial_errors(torch.zeros(2, 100), _noise(2, 100)) == (0, 0)
    x = _noise(2, 100)
    x[1] = 0
    assert spatial_errors(x, x) == (0, 0)


def test_pieces_give_what_the_whole_gives() -> None:
    """Frames are taken 256 at a time: a long signal repeated has the cues of one."""
    x, y = _noise(2, 64 * 1000), _noise(2, 64 * 1000, seed=1)
    whole = spatial_errors(x, y, window=64)
    stft = [torch.stft(s, 64, 32, window=torch.hann_window(64, dtype=torch.float64), center=False, return_complex=True)
            for s in (x, y)]  # fmt: skip
    cross, back = (s[1] * s[0].conj() for s in stft)
    share = cross.abs()
    turn = torch.rad2deg(torch.angle(back / cross).abs())
    gain = 20 * torch.log10((stft[1][1] / stft[1][0]).abs() / (stft[0][1] / stft[0][0]).abs()).abs()
    assert whole[1] == pytest.approx(float((share * turn).sum() / share.sum()), rel=1e-9)
    assert whole[0] == pytest.approx(float((share * gain).sum() / share.sum()), rel=1e-3)  # but for the floor


@pytest.mark.parametrize("shape", [(1, 9), (9,), (2, 0)])
def test_spatial_errors_need_two_channels(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"expected two tensors \[C >= 2, T\]"):
        spatial_errors(torch.zeros(shape), torch.zeros(shape))


def test_covariance_error_by_hand() -> None:
    t = torch.linspace(0, 40 * math.pi, 4000, dtype=torch.float64)
    x = torch.stack([t.sin(), 2 * t.sin(), t.cos()])
    assert covariance_error(x, x + torch.tensor([[3.0], [0.0], [-1.0]])) == pytest.approx(0, abs=1e-12)  # no offsets
    assert covariance_error(x, x / 2) == pytest.approx(0.75)
    assert covariance_error(x, -x) == pytest.approx(0)  # what the channels have in common stays
    swapped = x.clone()
    swapped[1] *= -1
    one, two = (np.cov(v.numpy()) for v in (x, swapped))
    assert covariance_error(x, swapped) == pytest.approx(np.linalg.norm(two - one) / np.linalg.norm(one), rel=1e-9)
    silent = torch.zeros_like(x)
    assert covariance_error(silent, silent) == 0 and covariance_error(silent, x) == math.inf
    with pytest.raises(
        ShapeError, match=r"covariance_error: expected two tensors \[C, T\], got \(3, 4000\), \(2, 4000\)"
    ):
        covariance_error(x, x[:2])
