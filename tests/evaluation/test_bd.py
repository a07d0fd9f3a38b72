"""Bjontegaard deltas of curves whose answer is known, refusals in words, envelopes, reading between points."""

import math
import sys
import warnings

import numpy as np
import pytest

from liveaction.errors import SpecError
from liveaction.evaluation.bd import Delta, Point, bd_psnr, bd_rate, best_of, envelope, quality_at, rate_at

CURVE: list[Point] = [(0.05, 31.0), (0.11, 34.5), (0.3, 38.0), (0.7, 41.8), (1.9, 45.0)]


def _by(curve: list[Point], factor: float = 1.0, gain: float = 0.0) -> list[Point]:
    return [(bits * factor, quality + gain) for bits, quality in curve]


def test_half_the_rate_is_minus_50_percent() -> None:
    found = bd_rate(CURVE, _by(CURVE, factor=0.5))
    assert found == Delta(pytest.approx(-50, abs=1e-9), "", 1.0, (5, 5))
    assert bd_rate(CURVE, _by(CURVE, factor=2)).value == pytest.approx(100, abs=1e-9)
    assert bd_rate(CURVE, CURVE).value == pytest.approx(0, abs=1e-9)


def test_a_decibel_more_is_a_decibel() -> None:
    assert bd_psnr(CURVE, _by(CURVE, gain=1.0)) == Delta(pytest.approx(1, abs=1e-9), "", 1.0, (5, 5))
    assert bd_psnr(_by(CURVE, gain=1.0), CURVE[::-1]).value == pytest.approx(-1, abs=1e-9)  # in any order


def test_lines_in_log_rate_by_hand() -> None:
    # quality 30 + 6 log2(bits) beside 32 + 5 log2(bits): over log2 rates 0..4 the mean difference is 2 - 2
    one = [(2.0**k, 30 + 6.0 * k) for k in range(5)]
    two = [(2.0**k, 32 + 5.0 * k) for k in range(5)]
    assert bd_psnr(one, two).value == pytest.approx(0, abs=1e-9)
    # qualities 32..52 are common: mean of (q - 32)/5 - (q - 30)/6 in octaves, q on average 42
    octaves = 10 / 5 - 12 / 6
    assert bd_rate(one, two).value == pytest.approx((2**octaves - 1) * 100, abs=1e-9)
    steeper = [(2.0**k, 32 + 8.0 * k) for k in range(5)]  # qualities 32..54 are common, on average 43
    assert bd_rate(one, steeper).value == pytest.approx((2 ** (11 / 8 - 13 / 6) - 1) * 100, abs=1e-9)


def test_numbers_of_points_may_differ_and_no_warning_comes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bd_rate(CURVE, _by(CURVE[:4], 0.5, gain=-7))
    assert found.points == (5, 4)
    assert found.overlap == pytest.approx((34.8 - 31) / 14)  # the library would warn below 75 %


def test_few_points_are_refused() -> None:
    found = bd_rate(CURVE[:3], CURVE)
    assert (found.value, found.reason) == (None, "anchor has 3 of 4 points")
    found = bd_psnr(CURVE, [*CURVE[:3], (0.9, math.inf)])
    assert found.value is None
    assert found.reason == "test has 3 of 4 points; test: 1 left out, lossless"
    assert bd_rate([], CURVE[:1]) == Delta(None, "anchor has 0 of 4 points; test has 1 of 4 points", 0.0, (0, 1))


def test_points_that_fall_are_left_out_until_too_few_are_left() -> None:
    fallen = [*CURVE, (2.5, 44.0)]
    found = bd_rate(CURVE, fallen)
    assert found == Delta(pytest.approx(0, abs=1e-9), "test: 1 left out, beaten by others of its own", 1.0, (5, 5))
    found = bd_rate(CURVE, [(0.1, 40.0), (0.2, 39.0), (0.3, 38.0), (0.4, 41.0), (0.5, 37.0)])
    assert found.value is None
    assert found.reason == "test has 2 of 4 points; test: 3 left out, beaten by others of its own"


@pytest.mark.parametrize("bad", [(1.0, math.nan), (math.nan, 40.0), (0.0, 40.0), (1.0, -math.inf), (math.inf, 40.0)])
def test_what_is_no_number_is_left_out_and_said(bad: Point) -> None:
    found = bd_rate(CURVE, [*_by(CURVE, 0.5), bad, (3.0, math.inf)])
    assert found.value == pytest.approx(-50, abs=1e-9)
    assert found.reason == "test: 1 left out, lossless, test: 1 left out, not a number or without bits"


def test_curves_that_hardly_meet_are_refused() -> None:
    found = bd_rate(CURVE, _by(CURVE, 8, gain=13))
    assert (found.value, found.reason) == (None, "overlap 7 % of quality, 15 % needed")
    assert found.overlap == pytest.approx(1 / 14)
    assert bd_psnr(CURVE, _by(CURVE, factor=100)).reason == "overlap 0 % of rate, 15 % needed"
    inside = [(0.3 + k / 1000, 38 + k / 10) for k in range(5)]  # all of it is common, but little of the other
    assert bd_rate(CURVE, inside).reason == "overlap 2 % of quality, 15 % needed"


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bjontegaard", None)
    with pytest.raises(SpecError, match=r"expected the package bjontegaard, got none; pip install '\.\[evaluate\]' in"):
        bd_rate(CURVE, CURVE)


def test_the_envelope_is_what_no_other_point_beats() -> None:
    one, two = [(0.1, 30.0), (0.4, 36.0), (1.0, 38.0)], [(0.2, 35.0), (0.4, 35.5), (0.8, 41.0), (0.8, 41.0)]
    best = [(0.1, 30.0), (0.2, 35.0), (0.4, 36.0), (0.8, 41.0)]
    assert envelope([*one, *two]) == envelope([*two, *one]) == best  # (0.4, 36) lies below the hull, and stays
    assert envelope([]) == []
    assert envelope([(1.0, math.nan), (2.0, math.inf), (0.0, 3.0), (1.0, 5.0), (0.5, 5.0)]) == [(0.5, 5.0)]


def test_the_best_of_several_curves_is_where_none_of_the_others_would_do_better() -> None:
    one = [(2.0**k, 30 + 6.0 * k) for k in range(5)]
    between = [(2**1.5, 36.5)]  # beats the point at 2 bits, yet the first curve has 39 dB there
    ahead = [(2**2.5, 47.0), (64.0, 48.0)]  # the first curve has 45 dB at 2**2.5, and ends at 16 bits
    assert best_of([one, between]) == one
    assert best_of([one, ahead]) == best_of([ahead, one]) == [*one[:3], (2**2.5, 47.0), *one[3:]]
    assert best_of([one]) == one and best_of([]) == []
    assert best_of([one, one]) == one
    assert best_of([[(1.0, math.inf), (2.0, 3.0)], [(4.0, 5.0)]]) == [(2.0, 3.0), (4.0, 5.0)]


def test_the_envelope_of_any_points() -> None:
    points = [tuple(p) for p in np.random.default_rng(0).integers(1, 30, (200, 2)).astype(float)]
    best = envelope(points)
    beaten = [any(b <= p[0] and q >= p[1] and (b, q) != p for b, q in points) for p in points]
    assert set(best) == {p for p, lost in zip(points, beaten, strict=True) if not lost}
    assert best == sorted(set(best)) and sorted(q for _, q in best) == [q for _, q in best]


def test_reading_between_points() -> None:
    line = [(2.0**k, 30 + 6.0 * k) for k in range(5)]
    assert quality_at(line, 2**1.5) == pytest.approx(39)
    assert rate_at(line, 45) == pytest.approx(2**2.5)
    for bits, quality in CURVE:
        assert quality_at(CURVE[::-1], bits) == pytest.approx(quality)
        assert rate_at(CURVE, quality) == pytest.approx(bits)
    steps = np.geomspace(0.05, 1.9, 200)[1:-1]
    read = [quality_at(CURVE, float(bits)) for bits in steps]
    assert None not in read and all(np.diff(np.array(read, float)) > 0)


def test_nothing_is_read_beyond_the_ends() -> None:
    assert quality_at(CURVE, 0.049) is None and quality_at(CURVE, 1.91) is None and quality_at(CURVE, 0) is None
    assert rate_at(CURVE, 30.9) is None and rate_at(CURVE, 45.1) is None
    assert rate_at(CURVE[:1], 31.0) is None and quality_at([], 1.0) is None
