"""How ``--step`` and ``--quality`` become a quantiser step."""

import pytest

from liveaction.codec.quality import COMMON_STEP, QUALITIES, choose_step
from liveaction.errors import SpecError
from liveaction.spec import CodecSpec


def spec_of(step=0.4, kind="uniform", **more):
    return CodecSpec.model_validate({"latent_channels": 4, "quantizer": {"kind": kind, "step": step}, **more})


def test_a_quality_is_the_same_step_for_all_models_whose_steps_can_be_compared():
    assert choose_step(spec_of(0.4)) == 0.4 and choose_step(spec_of(0.4), step=3) == 3.0
    for trained in (0.05, 0.1, 0.4):
        steps = [choose_step(spec_of(trained), quality=quality) for quality in range(1, 8)]
        assert steps == [COMMON_STEP * m for m in QUALITIES.values()] and steps[3] == 0.1
    for other in (spec_of(0.5, "laplace"), spec_of(0.5, compand=True)):
        assert [choose_step(other, quality=quality) for quality in range(1, 8)] == [0.5 * m for m in QUALITIES.values()]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"step": 1.0, "quality": 4}, "--step, --quality: expected one of them, got both", id="both"),
        pytest.param({"step": 0.0}, r"--step: expected a positive number, got 0\.0", id="zero"),
        pytest.param({"step": float("nan")}, "--step: expected a positive number, got nan", id="nan"),
        pytest.param({"step": float("inf")}, "--step: expected a positive number, got inf", id="inf"),
        pytest.param({"step": -1}, "--step: expected a positive number, got -1", id="negative"),
        pytest.param({"step": 1e300}, r"--step: expected a number from 7.9e-31 to 1.3e\+30, got 1e\+300", id="huge"),
        pytest.param({"step": 1e-300}, r"--step: expected a number from 7.9e-31 to 1.3e\+30, got 1e-300", id="tiny"),
        pytest.param({"step": "0.4"}, "--step: expected a positive number, got '0.4'", id="text"),
        pytest.param({"quality": True}, "--quality: expected a number from 1 to 7, got True", id="bool"),
        pytest.param({"quality": [1]}, r"--quality: expected a number from 1 to 7, got \[1\]", id="list"),
        pytest.param({"quality": 0}, "--quality: expected a number from 1 to 7, got 0", id="low"),
        pytest.param({"quality": 8}, "--quality: expected a number from 1 to 7, got 8", id="high"),
    ],
)
def test_both_and_what_is_out_of_range_are_refused(given, words):
    with pytest.raises(SpecError, match=words):
        choose_step(spec_of(), **given)


def test_the_step_that_a_quality_gives_is_one():
    with pytest.raises(SpecError, match=r"\[codec.quantizer\] step: expected a number from .*, got 8e\+30"):
        choose_step(spec_of(1e30, "laplace"), quality=1)
