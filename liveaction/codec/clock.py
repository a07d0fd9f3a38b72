"""Seconds spent on the two stages of coding: tensors, and entropy coding."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from time import perf_counter, process_time


class Stopwatch:
    """Seconds on the clock (``wall``) and of all threads of the process together (``cpu``), added up.

    What Numba compiles on the way does not count: it does so once on a machine, and is no speed of a codec.
    """

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    @contextmanager
    def running(self, stage: Callable[[str], None] = lambda text: None) -> Iterator[None]:
        """Add what passes within; ``stage`` is told where compiling begins."""
        from liveaction.kernels.compile_numba import COMPILING

        wall, cpu = perf_counter() - COMPILING.wall, process_time() - COMPILING.cpu
        try:
            with COMPILING.told(stage):
                yield
        finally:
            self.wall += perf_counter() - COMPILING.wall - wall
            self.cpu += process_time() - COMPILING.cpu - cpu


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


def total(spent: Iterable[Timings]) -> Timings:
    """All of it together, of one at least."""
    return Timings(*(sum(parts) for parts in zip(*map(astuple, spent), strict=True)))


def timings(whole: Stopwatch, coding: Stopwatch) -> Timings:
    """Of all that was spent, and of the share that coding had in it."""
    return Timings(whole.wall - coding.wall, coding.wall, whole.cpu - coding.cpu, coding.cpu)
