"""Seconds spent on the two stages of coding: tensors, and entropy coding."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter, process_time


class Stopwatch:
    """Seconds on the clock (``wall``) and of all threads of the process together (``cpu``), added up."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add what passes within."""
        wall, cpu = perf_counter(), process_time()
        try:
            yield
        finally:
            self.wall += perf_counter() - wall
            self.cpu += process_time() - cpu


@dataclass(frozen=True)
class Timings:
    """Seconds on the clock and of the processor: transform and network, and entropy coding with the container.

    With a device, its work and the transfers to it and back are within ``tensors``: what entropy coding takes is
    waited for first.
    """

    tensors: float
    coding: float
    tensors_cpu: float
    coding_cpu: float


def timings(whole: Stopwatch, coding: Stopwatch) -> Timings:
    """Of all that was spent, and of the share that coding had in it."""
    return Timings(whole.wall - coding.wall, coding.wall, whole.cpu - coding.cpu, coding.cpu)
