"""Try launch settings of a kernel: each setting in turn over a few values, what is right and fastest stays.

The result has the shape of ``kernels/tuned.json``; ``LIVEACTION_TUNED=FILE`` has it read.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

from liveaction.errors import LiveactionWarning
from liveaction.kernels.launch import device_name, override, watch
from liveaction.profiling.case import Case, Result, Shape, parse_dtype
from liveaction.profiling.gate import Gate
from liveaction.profiling.kernels import implementations, prepare_calls
from liveaction.profiling.measure import interleaved
from liveaction.profiling.records import Options

SWEEPS = 2
GAIN = 0.98
"""Settings replace those found before where they take less than so much of their time."""

Say = Callable[[str], None]
Table = dict[str, dict[str, dict[str, dict[str, int]]]]


def tune(case: Case, shapes: tuple[Shape, ...], options: Options, say: Say = lambda text: None) -> Table:
    """Measure launch settings on a device.

    Returns:
        device name -> op -> key -> settings; empty where nothing that runs here has launch settings.
    """
    device = torch.device(options.device)
    dtype = parse_dtype(options.dtype, case)
    kernel = implementations(case)["triton" if "triton" in case.dispatched else "function"]
    table: Table = {}
    for shape in shapes:
        try:
            _Search(case, shape, dtype, device, options, kernel, say).run(table)
        except (ImportError, torch.OutOfMemoryError) as error:
            say(f"{case.name} {shape}: not tuned: {' '.join(str(error).split())[:200]}")
    return table


class _Search:
    """One case on one shape."""

    def __init__(
        self,
        case: Case,
        shape: Shape,
        dtype: torch.dtype,
        device: torch.device,
        options: Options,
        kernel: Callable[..., Result],
        say: Say,
    ) -> None:
        self.case, self.shape, self.device, self.options, self.kernel, self.say = (
            case, shape, device, options, kernel, say,
        )  # fmt: skip
        self.dtype = dtype
        self.arguments = case.make_inputs(shape, dtype, device, torch.Generator().manual_seed(0))

    def run(self, table: Table) -> None:
        """Tune every kernel that a run asks settings for."""
        mode = "forward+backward" if self.options.backward else "forward"
        self.call = prepare_calls(mode)(self.kernel, [self.arguments], iter(int, 1))
        with watch() as asked:
            self.call()
        if not asked:
            return
        self.gate = Gate(self.case, self.shape, self.dtype, self.device, 0, self.options.backward)
        plain = implementations(self.case)["composed" if self.case.dispatched else "reference"]
        self.gate.yardstick(plain)
        for (op, key), start in asked.items():
            best = self._improve(op, key, dict(start))
            table.setdefault(device_name(self.device), {}).setdefault(op, {})[key] = best

    def _improve(self, op: str, key: str, best: dict[str, int]) -> dict[str, int]:
        for _ in range(SWEEPS):
            before = dict(best)
            for trial in self._trials(best):
                self.say(f"{op} {key}: {trial}")
                if self._faster(op, trial, best):
                    best = trial
            if best == before:
                break
        return best

    def _trials(self, best: dict[str, int]) -> Iterator[dict[str, int]]:
        """One setting changed at a time: to the case's candidates, else to half and double."""
        for name, value in best.items():
            for other in self.case.candidates.get(name, _neighbours(name, value)):
                if other != value:
                    yield best | {name: other}

    def _faster(self, op: str, trial: dict[str, int], best: dict[str, int]) -> bool:
        """Whether ``trial`` runs as it is, is right, and takes clearly less time than ``best``; both timed in turn."""
        try:
            with override(op, trial), warnings.catch_warnings():
                warnings.simplefilter("error", LiveactionWarning)  # the launcher would step down to other settings
                if self.gate.check(self.kernel):
                    return False
            times = interleaved(
                {"trial": self._under(op, trial), "best": self._under(op, best)}, self.device, self.options.rounds
            )
        except Exception:  # too large for the device, or the compiler gives up
            return False
        return times["trial"].median_us < GAIN * times["best"].median_us

    def _under(self, op: str, values: dict[str, int]) -> Callable[[], Any]:
        def call() -> Any:
            with override(op, values):
                return self.call()

        return call


def _neighbours(name: str, value: int) -> tuple[int, ...]:
    if name == "num_stages":
        return tuple(n for n in (value - 1, value + 1) if 1 <= n <= 5)
    limit = 16 if name == "num_warps" else 1024
    return tuple(n for n in (value // 2, value * 2) if 1 <= n <= limit)
