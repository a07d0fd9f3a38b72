"""The shipped cases: every public operation of :mod:`liveaction.kernels`."""

from functools import lru_cache

from liveaction.profiling import element_cases, network_cases, packet_cases
from liveaction.profiling.case import Case


@lru_cache
def cases() -> dict[str, Case]:
    """By name."""
    found = (
        network_cases.monarch(),
        network_cases.block(),
        packet_cases.analysis(),
        packet_cases.synthesis(),
        packet_cases.companded_analysis(),
        packet_cases.companded_synthesis(),
        network_cases.attention(),
        network_cases.absorbed(),
        network_cases.depthwise(),
        network_cases.norm(),
        element_cases.compand(),
        element_cases.expand(),
        element_cases.laplace(),
    )
    return {case.name: case for case in found}
