"""What Numba compiles, and how long that takes: once on a machine, then it lies in Numba's cache."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter, process_time

from numba.core import event
from numba.core.registry import cpu_target


class Compiling(event.Listener):  # type: ignore[misc]
    """Seconds that this process has spent compiling, on the clock (``wall``) and of the processor (``cpu``).

    Numba compiles one function at a time, whatever the threads, and those that it calls within.
    """

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        self._began, self._depth = (0.0, 0.0), 0
        self._stages = list[Callable[[str], None]]()

    @contextmanager
    def told(self, stage: Callable[[str], None]) -> Iterator[None]:
        """Say ``compiling once`` to ``stage`` wherever that begins within."""
        self._stages.append(stage)
        try:
            yield
        finally:
            self._stages.remove(stage)

    def on_start(self, event: object) -> None:
        """Numba begins with a function."""
        if not self._depth:
            self._began = perf_counter(), process_time()
            for stage in self._stages:
                stage("compiling once")
        self._depth += 1

    def on_end(self, event: object) -> None:
        """Numba is done with a function."""
        self._depth -= 1
        if not self._depth:
            wall, cpu = self._began
            self.wall += perf_counter() - wall
            self.cpu += process_time() - cpu


COMPILING = Compiling()
event.register("numba:compile", COMPILING)
# What Numba loads before its first function of a process, cached or not, a second or so: here, where no clock runs.
cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()
