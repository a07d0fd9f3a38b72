"""Profile kernels: the gate, then times of every implementation beside the ceilings of the same device."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from liveaction.errors import LiveactionError, MissingDependencyError, SpecError
from liveaction.kernels.dispatch import interpreting, use
from liveaction.profiling.case import Arguments, Case, Result, Shape, parse_dtype
from liveaction.profiling.ceilings import Ceilings, ceilings
from liveaction.profiling.circumstances import circumstances
from liveaction.profiling.gate import Gate, as_tuple, gate_shapes, is_leaf, leaf, tensors
from liveaction.profiling.measure import CallTime, input_sets, interleaved, peak_memory, write_trace
from liveaction.profiling.records import USUAL, Options, Report, Row

Say = Callable[[str], None]


def profile(cases: Sequence[Case], shape: Shape | None, options: Options, say: Say = lambda text: None) -> Report:
    """Check and measure.

    Args:
        cases: what to measure.
        shape: ``[B, C, *S]``; each case's own where None. With several cases those that cannot take it are left out.
        say: told what is being done.

    Raises:
        SpecError: a dtype or a shape that the only case does not take.
    """
    report = Report(circumstances())
    for case in cases:
        try:
            dtype = parse_dtype(options.dtype, case)
            shapes = shapes_of(case, shape, options.device)
        except SpecError as error:
            if len(cases) == 1:
                raise
            report.skipped.append({"op": case.name, "shape": None, "provider": "all", "why": str(error)})
            continue
        say(f"measuring what {options.device} can do at most")
        _ceilings(options.dtype, options)
        for one in shapes:
            _Measurement(case, one, dtype, options, report, say).run()
    used = {row.dtype for row in report.rows if row.median_us is not None}
    report.ceilings = [asdict(_ceilings(name, options)) for name in sorted(used)]
    return report


def shapes_of(case: Case, shape: Shape | None, device: str) -> tuple[Shape, ...]:
    """What to measure: the asked shape, or the case's own.

    Raises:
        SpecError: the case cannot take it.
    """
    if shape is None:
        return case.shapes + (case.large if device == "cuda" else ())
    if why := case.refuses(shape):
        raise SpecError(f"--shape: {case.name}: {why}, got {shape}")
    return (shape,)


def _ceilings(dtype: str, options: Options) -> Ceilings:
    return ceilings(getattr(torch, dtype), torch.device(options.device))


def implementations(case: Case) -> dict[str, Callable[..., Result]]:
    """The callables that a case can be run by, by provider."""
    found: dict[str, Callable[..., Result]] = {}
    if case.dispatched:
        for name in case.dispatched:
            found[name] = _with(name, case.function)
        # not through torch.compile of a block that changes the wish: the wish is a global that it would guard on
        found["compiled"] = _with("composed", torch.compile(case.function, dynamic=False))
    else:
        found = {"function": case.function, "reference": case.reference}
        found["compiled"] = torch.compile(case.reference, dynamic=False)
    if case.anchor is not None:
        found["anchor"] = case.anchor
    return found


def _with(provider: str, function: Callable[..., Result]) -> Callable[..., Result]:
    def run(*arguments: Any) -> Result:
        with use(provider):
            return function(*arguments)

    return run


class _Measurement:
    """One case on one shape."""

    def __init__(
        self, case: Case, shape: Shape, dtype: torch.dtype, options: Options, report: Report, say: Say
    ) -> None:
        self.case, self.shape, self.dtype, self.options, self.report, self.say = (
            case,
            shape,
            dtype,
            options,
            report,
            say,
        )
        self.device = torch.device(options.device)
        self.label = f"{case.name} {'x'.join(map(str, shape))} {options.dtype}"
        self.checked = gate_shapes(case, shape)
        found = implementations(case)
        self.plain = found["composed" if case.dispatched else "reference"]
        self.runs = {name: found[name] for name in options.providers if name in found}
        torch.compiler.reset()

    def run(self) -> None:
        """Gate, then time what is green, forward and, if wanted, backward."""
        self._skip_what_cannot_run()
        if not self.runs:
            return
        self.forward_only: set[str] = set()
        verdicts = self._gate()
        green = {name: run for name, run in self.runs.items() if verdicts[name] == "green"}
        modes = tuple(_MODES) if self.options.backward else ("forward",)
        for mode in modes:
            left = self.forward_only if mode != "forward" else set()
            measured = self._time({name: run for name, run in green.items() if name not in left}, mode)
            for name in (name for name in self.runs if name not in left):
                self.report.rows.append(self._row(name, mode, verdicts[name], measured.get(name)))
        if self.options.trace is not None:
            self._trace(green, self.options.trace)

    def _skip(self, provider: str, why: str) -> None:
        self.runs.pop(provider, None)
        if why == "it has none" and self.options.providers is USUAL:
            return
        line = " ".join(why.split())[:300]
        self.report.skipped.append({"op": self.case.name, "shape": list(self.shape), "provider": provider, "why": line})

    def _skip_what_cannot_run(self) -> None:
        if "triton" in self.runs and interpreting():
            self._skip("triton", "Triton's interpreter (TRITON_INTERPRET=1) says nothing of speed")
        for name in self.options.providers:
            if name not in self.runs and self.options.providers is not USUAL and name != "triton":
                self._skip(name, "the case has no such implementation")

    def _gate(self) -> dict[str, str]:
        verdicts = dict.fromkeys(self.runs, "green")
        for number, shape in enumerate(self.checked):
            self.say(f"{self.label}: checking {'x'.join(map(str, shape))}")
            gate = self._prepare(shape)
            for name, run in list(self.runs.items()):
                wanted = number == 0 or name not in ("compiled", "anchor")
                if verdicts[name] == "green" and wanted and (wrong := self._check(gate, name, run, number == 0)):
                    verdicts[name] = f"{wrong} (shape {shape}, seed {gate.seed})"
        return verdicts

    def _prepare(self, shape: Shape) -> Gate:
        seed = secrets.randbits(31)
        try:
            gate = Gate(self.case, shape, self.dtype, self.device, seed, self.options.backward)
            gate.yardstick(self.plain)
        except LiveactionError:
            raise
        except Exception as error:  # a user's case may raise anything
            line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise SpecError(
                f"{self.case.name}: expected inputs and a reference for shape {shape}, in float64 and {self.dtype}, "
                f"got {line}"
            ) from error
        return gate

    def _check(self, gate: Gate, name: str, run: Callable[..., Result], timed: bool) -> str:
        """What is wrong, or nothing; what cannot take the timed shape is left out, further shapes are passed over."""
        try:
            try:
                return self._verdict(gate, name, run, self.options.backward and name not in self.forward_only)
            except MissingDependencyError:
                if not self.options.backward:
                    raise
                verdict = self._verdict(gate, name, run, False)
                if timed:
                    self.forward_only.add(name)
                return verdict
        except ImportError as error:  # MissingDependencyError is one
            if timed:
                self._skip(name, str(error).rpartition("got none: ")[2])
        except torch.OutOfMemoryError as error:
            self._skip(name, f"out of memory: {error}")
        except Exception as error:  # a stranger's code may raise anything
            line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            if name != "compiled" and "not enough memory" not in line:
                return f"raised {line}"
            self._skip(name, line)
        return ""

    def _verdict(self, gate: Gate, name: str, run: Callable[..., Result], gradients: bool) -> str:
        if name in ("composed", "compiled", "reference"):
            return gate.check_plain(run, gradients=gradients)
        if name != "anchor":
            return gate.check(run, gradients)
        if wrong := gate.check_plain(run, self.case.anchor_reference, gradients):
            self._skip(name, f"the published form computes something else here: {wrong}")
        return ""

    def _time(self, runs: dict[str, Callable[..., Result]], mode: str) -> dict[str, tuple[CallTime, int | None, int]]:
        if not runs:
            return {}
        self.say(f"{self.label}: timing {mode}")
        first = self._inputs(0)
        count = input_sets(sum(t.nbytes for t in tensors(first)), self.device)
        sets = [first, *(self._inputs(i) for i in range(1, count))]
        counter = iter(range(2**62))
        calls = {name: _MODES[mode](run, sets, counter) for name, run in runs.items()}
        times = interleaved(calls, self.device, self.options.rounds)
        return {name: (times[name], peak_memory(call, self.device), count) for name, call in calls.items()}

    def _inputs(self, number: int) -> Arguments:
        return self.case.make_inputs(self.shape, self.dtype, self.device, torch.Generator().manual_seed(number))

    def _row(self, provider: str, mode: str, gate: str, measured: tuple[CallTime, int | None, int] | None) -> Row:
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
        checked = [list(shape) for shape in self.checked]
        name = str(self.dtype).removeprefix("torch.")
        row = Row(self.case.name, list(self.shape), name, device, provider, mode, gate, checked)
        if measured is None:
            return row
        timing, row.peak_bytes, row.input_sets = measured
        row.median_us, row.least_us, row.rounds = timing.median_us, timing.least_us, timing.rounds
        row.p20_us, row.p80_us = timing.p20_us, timing.p80_us
        row.bytes, row.flops = counts(self.case, self.shape, self.dtype, mode)
        top = _ceilings(name, self.options)
        if row.bytes is not None:
            row.gb_s = row.bytes / timing.median_us / 1e3
            row.copy_share = row.gb_s / top.copy_gb_s
        if row.flops is not None:
            row.tflop_s = row.flops / timing.median_us / 1e6
            row.matmul_share = row.tflop_s / top.matmul_tflop_s
        return row

    def _trace(self, runs: dict[str, Callable[..., Result]], folder: Path) -> None:
        for name, run in runs.items():
            self.say(f"{self.label}: tracing {name}")
            counter = iter(range(2**62))
            mode = "forward+backward" if self.options.backward else "forward"
            path = folder / f"trace_{self.case.name}_{'x'.join(map(str, self.shape))}_{name}.json"
            call = _MODES[mode](run, [self._inputs(0)], counter)
            call()
            write_trace(call, path, self.device)


def counts(case: Case, shape: Shape, dtype: torch.dtype, mode: str) -> tuple[int | None, int | None]:
    """Bytes and operations of a mode, as far as the case counts them."""
    moved, operations = case.bytes(shape, dtype), case.flops(shape)
    if mode == "forward":
        return moved, operations
    return (
        None if case.backward_bytes is None else moved + case.backward_bytes(shape, dtype),
        None if case.backward_flops is None else operations + case.backward_flops(shape),
    )


def _forward(run: Callable[..., Result], sets: Sequence[Arguments], counter: Any) -> Callable[[], Any]:
    def call() -> Result:
        with torch.no_grad():
            return run(*sets[next(counter) % len(sets)])

    return call


def _both(run: Callable[..., Result], sets: Sequence[Arguments], counter: Any) -> Callable[[], Any]:
    """Forward and backward; gradients of all floating-point arguments."""
    leaves = [tuple(leaf(value, True) for value in arguments) for arguments in sets]
    upstream: dict[int, torch.Tensor] = {}

    def call() -> Any:
        arguments = leaves[next(counter) % len(leaves)]
        with torch.enable_grad():
            outputs = [y for y in as_tuple(run(*arguments)) if y.requires_grad]
            for i, y in enumerate(outputs):
                if i not in upstream:
                    upstream[i] = torch.randn_like(y)
            wanted = [value for value in arguments if is_leaf(value)]
            return torch.autograd.grad(outputs, wanted, list(upstream.values()), allow_unused=True)

    return call


_MODES = {"forward": _forward, "forward+backward": _both}


def prepare_calls(mode: str) -> Callable[..., Callable[[], Any]]:
    """The function that makes a call without arguments of an implementation, sets of inputs and a counter."""
    return _MODES[mode]
