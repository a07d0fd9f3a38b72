"""The search for a place whose height is in a window: on functions that grow, jitter, jump, stay flat or dip."""

import math

import numpy as np
import pytest

from liveaction.codec.search import MOST, NARROW, search

BOUNDS = (-12.0, 12.0)


def run(function, width=0.03, start=0.0, **more):
    asked = []

    def measure(place):
        asked.append(place)
        return function(place)

    found = search(measure, start, lambda: BOUNDS, width, **more)
    assert [place for place, _ in found.trials] == asked and len(set(asked)) == len(asked) <= MOST
    assert all(BOUNDS[0] <= place <= BOUNDS[1] for place in asked[1:])
    return found


@pytest.mark.parametrize("root", [-11.0, -6.3, -0.02, 0.0, 0.7, 5.1, 11.4])
@pytest.mark.parametrize(
    ("shape", "most"),
    [
        pytest.param(lambda x: 0.7 * x, 3, id="as-thought"),
        pytest.param(lambda x: 3 * x, 6, id="steep"),
        pytest.param(lambda x: 0.1 * x, 6, id="slow"),
        pytest.param(lambda x: math.sinh(x / 3), 10, id="curved"),
        pytest.param(lambda x: math.log1p(math.exp(min(x, 50.0))), 16, id="flat-below"),
    ],
)
def test_a_function_that_grows_is_met_in_few_trials(root, shape, most):
    found = run(lambda place: shape(place) - shape(root))
    assert found.hit and -0.03 <= found.trials[-1][1] <= 0 and found.best == found.trials[-1]
    assert len(found.trials) <= most


@pytest.mark.parametrize("seed", range(20))
def test_jitter_within_the_window_costs_little(seed):
    rng = np.random.default_rng(seed)
    found = run(lambda place: 0.8 * place - 3.3 + 0.01 * rng.standard_normal())
    assert found.hit and len(found.trials) <= 8


@pytest.mark.parametrize("seed", range(20))
def test_jitter_wider_than_the_window_ends(seed):
    rng = np.random.default_rng(seed)
    found = run(lambda place: 0.8 * place - 3.3 + rng.standard_normal(), width=0.001)
    assert found.hit or (found.crossed and found.best is not None)
    assert found.best is None or found.best[1] == max(height for _, height in found.trials if height <= 0)


@pytest.mark.parametrize("jump", [-2.21, 0.37, 7.0])
def test_a_jump_over_the_window_is_found_closely_and_the_side_that_is_allowed_is_the_best(jump):
    found = run(lambda place: -1.0 if place < jump else 2.0)
    assert not found.hit and found.crossed
    under = max(place for place, height in found.trials if height < 0)
    over = min(place for place, height in found.trials if height > 0)
    assert under < jump <= over <= under + NARROW
    assert found.best[1] == -1


@pytest.mark.parametrize("height", [-math.inf, -1.0, 0.5])
def test_a_flat_function_ends_at_a_bound(height):
    found = run(lambda place: height)
    assert not found.hit and not found.crossed and len(found.trials) <= 8
    assert found.trials[-1][0] == (BOUNDS[0] if height > 0 else BOUNDS[1])
    assert (found.best is None) == (height > 0)


def test_heights_that_are_not_finite_are_halved_away():
    found = run(lambda place: -math.inf if place < 2.7 else 0.7 * (place - 4))
    assert found.hit


def test_a_dip_that_was_leapt_over_is_looked_into():
    found = run(lambda place: (place + 7) ** 2 / 4 - 0.02 if place < 1 else 16.0 + place, width=0.03)
    assert found.hit and abs(found.trials[-1][0] + 7) < 0.3


def test_what_only_dips_to_above_the_window_ends():
    found = run(lambda place: (place + 7) ** 2 / 4 + 0.2)
    assert not found.hit and not found.crossed and found.best is None
    assert min(height for _, height in found.trials) < 0.25


def test_no_more_trials_than_there_may_be():
    assert len(run(lambda place: -1.0 if place < 0.37 else 2.0, most=5).trials) == 5
    assert len(run(lambda place: 1.0, most=1).trials) == 1


def test_where_nothing_can_change_there_is_one_trial():
    found = search(lambda place: -3.0, 0.5, lambda: (0.5, 0.5), 0.1)
    assert found.trials == ((0.5, -3.0),) and not found.hit
