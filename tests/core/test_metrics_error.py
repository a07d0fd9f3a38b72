"""Percentiles as NumPy has them; PSNR in windows and along axes by hand."""

import math
from typing import Any

import numpy as np
import pytest

from liveaction.errors import ShapeError
from liveaction.metrics import Percentile, psnr_along, psnr_within


@pytest.mark.parametrize("count", [1, 2, 7, 999, 1000, 1001, 54321])
@pytest.mark.parametrize("kind", ["float64", "float32", "int16", "few", "equal", "rising"])
@pytest.mark.parametrize("percent", [0.0, 50.0, 99.9, 100.0])
def test_percentiles_in_parts_are_numpys(count: int, kind: str, percent: float) -> None:
    rng = np.random.default_rng(count)
    values: Any = np.abs(rng.standard_normal(count)) * 100
    if kind == "rising":
        values = np.sort(values)
    elif kind in ("few", "equal"):
        values = np.floor(values / (1e9 if kind == "equal" else 60))
    else:
        values = values.astype(kind)
    found, at = Percentile(count, percent), 0
    while at < count:
        size = int(rng.integers(1, 9000))
        found.add(values[at : at + size])
        at += size
    assert found.value == pytest.approx(np.percentile(values.astype(np.float64), percent), rel=1e-12)


def test_only_what_is_above_a_percentile_is_held() -> None:
    found, rng = Percentile(10**6, 99.9), np.random.default_rng(0)
    for _ in range(100):
        found.add(rng.random((100, 100)))
        assert found._largest.size <= 1001


def test_a_window_clips_both_sides_and_its_width_is_the_peak() -> None:
    x = np.array([[-1000.0, -200.0, 0.0, 100.0, 3000.0]])
    y = np.array([[-900.0, -100.0, 10.0, 100.0, 200.0]])
    lung, soft, none = psnr_within(x, y, [(-1350, 150), (-160, 240), (-3000, -2000)])
    assert lung == pytest.approx(10 * math.log10(1500**2 / ((100**2 + 100**2 + 10**2) / 5)))
    assert soft == pytest.approx(10 * math.log10(400**2 / ((60**2 + 10**2 + 40**2) / 5)))
    assert none == math.inf


def test_windows_of_parts_views_and_gaps_are_those_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liveaction.mapped.PART", 50)
    rng = np.random.default_rng(0)
    x = rng.integers(-1024, 3000, (1, 9, 8, 7)).astype(np.int16)
    y = np.asfortranarray(x + rng.integers(-99, 99, x.shape)).astype(np.int16)
    missing = rng.random(x.shape) < 0.2
    a, b = x[~missing].astype(float).clip(-160, 240), y[~missing].astype(float).clip(-160, 240)
    expected = 10 * math.log10(400**2 / np.mean((a - b) ** 2))
    assert psnr_within(x, y, [(-160, 240)], missing) == [pytest.approx(expected, rel=1e-12)]


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("gaps", [False, True])
def test_psnr_along_an_axis_is_that_of_each_slice(axis: int, gaps: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liveaction.mapped.PART", 50)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 50, (2, 9, 8, 7))
    y = np.asfortranarray(x + rng.normal(0, 9, x.shape))
    missing = rng.random(x.shape) < 0.2 if gaps else np.zeros(x.shape, bool)
    first = (slice(None),) * axis + (0,)
    y[first] = x[first]
    if gaps:
        missing[(slice(None),) * axis + (1,)] = True
        x[missing] = np.nan
    curve = psnr_along(x, y, (-60, 70), axis, missing if gaps else None)
    assert len(curve) == x.shape[axis] and curve[0] == math.inf
    for place in range(1, len(curve)):
        here = ~np.take(missing, place, axis)
        one, two = (np.take(v, place, axis)[here].clip(-60, 70) for v in (x, y))
        if here.any():
            assert curve[place] == pytest.approx(10 * math.log10(130**2 / np.mean((one - two) ** 2)), rel=1e-12)
        else:
            assert math.isnan(curve[place])


def test_what_cannot_be_compared_is_refused() -> None:
    one, two = np.zeros((1, 3)), np.zeros((1, 4))
    for measure in (lambda: psnr_within(one, two, [(0, 1)]), lambda: psnr_along(one, two, (0, 1), 0)):
        with pytest.raises(ShapeError, match=r"metrics: expected two arrays of equal shape .* got \(1, 3\), \(1, 4\)"):
            measure()
    with pytest.raises(ShapeError, match="psnr_within: expected values to compare, got none that were measured"):
        psnr_within(one, one, [(0, 1)], np.ones(one.shape, bool))
