"""What networks of these tests are told of their inputs."""

from typing import Any

import pytest

from liveaction.learning.inputs import InputSpec


@pytest.fixture
def spec_of():
    """A function that makes a spec of so many channels on a grid."""

    def make(grid: tuple[int, ...] = (5, 7), channels: int = 3, **rest: Any) -> InputSpec:
        statistics = rest.pop(
            "statistics",
            {
                "mean": [float(k) for k in range(channels)],
                "deviation": [float(k) for k in range(channels)],
                "least": [-9.0] * channels,
                "most": [9.0] * channels,
            },
        )
        table = {"axes": ("z", "y", "x", "w")[: len(grid)], "factors": (8,) * len(grid), "task": "class", "outputs": 4}
        return InputSpec(channels=channels, grid=grid, statistics=statistics, **(table | rest))

    return make
