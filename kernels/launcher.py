"""The one way in which Triton kernels are launched: on their tensors' device, with settings that fit its shared memory.

A host function describes what it launches for given settings. Before a description is first launched on a device it is
compiled, and the compiled kernels say how much shared memory they take. Where that is more than there is, fewer stages
are tried, then smaller tiles. What was settled is kept.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch

from liveaction.errors import MissingDependencyError
from liveaction.kernels.dispatch import forced, interpreting, tell
from liveaction.kernels.launch import settings
from liveaction.kernels.target import pretended, target_of

R = TypeVar("R")
Settings = dict[str, int]


class DoesNotFitError(MissingDependencyError):
    """No launch settings bring a kernel into the device's shared memory, or this Triton cannot compile it."""


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel under ``triton.jit``.

    Attributes:
        grid: programs.
        arguments: tensors and numbers by the names of the kernel's parameters.
        constants: values of its ``tl.constexpr`` parameters, and options of the compiler.
    """

    kernel: Any
    grid: tuple[int]
    arguments: Mapping[str, Any]
    constants: Mapping[str, Any]
    num_warps: int
    num_stages: int
    compiled: list[Any] = field(default_factory=list, compare=False)

    @property
    def signature(self) -> Hashable:
        """All that its compilation depends on, apart from the device."""
        given = tuple(_kind(value) for value in self.arguments.values())
        return self.kernel, given, tuple(self.constants.items()), self.num_warps, self.num_stages

    def compile(self) -> int:
        """Compile without running; bytes of shared memory that a block takes, 0 in the interpreter, which has none.

        Raises:
            DoesNotFitError: the installed Triton cannot do what the kernel asks for: 3.6 has no products over 8 tokens.
        """
        options = {"num_warps": self.num_warps, "num_stages": self.num_stages}
        try:
            compiled = self.kernel.warmup(grid=self.grid, **self.arguments, **self.constants, **options)
        except Exception as error:
            if type(error).__name__ != "CompilationError":  # Triton's own, which is imported where kernels are alone
                raise
            reason = str(error).strip().splitlines()[-1].strip()
            name = self.kernel.__name__
            raise DoesNotFitError(f"{name}: expected a Triton that compiles it, got {reason}") from error
        self.compiled[:] = [compiled]
        return 0 if compiled is None else int(compiled.metadata.shared)

    def run(self) -> None:
        """Launch it on the current device."""
        options = {"num_warps": self.num_warps, "num_stages": self.num_stages}
        self.kernel[self.grid](**self.arguments, **self.constants, **options)


def _kind(value: Any) -> Hashable:
    """What Triton specialises on: the dtype, and whether addresses and numbers are multiples of 16."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.data_ptr() % 16 == 0
    return (value == 1, value % 16 == 0) if isinstance(value, int) else None


Describe = Callable[[Settings], Sequence[Launch]]


def launch(
    op: str, key: str, device: torch.device, default: Settings, least: Settings, describe: Describe
) -> Sequence[Launch]:
    """Launch what ``describe`` gives for the first settings that fit.

    Args:
        op, key, default: as for :func:`liveaction.kernels.launch.settings`, which has the first word.
        device: of all tensors.
        least: settings that may be halved until they are so small, in this order; see :func:`ladder`.
        describe: launches for given settings, with their outputs allocated.

    Returns:
        What was launched.

    Raises:
        DoesNotFitError: nothing fits; says so.
    """
    chosen = settings(op, key, device, default)
    launches = describe(chosen)
    if not interpreting():
        place = target_of(device), device, tuple(one.signature for one in launches)
        if place not in _settled:
            with _on(device):
                _settled[place] = _settle(op, key, device, chosen, least, describe)
        if _settled[place]:
            launches = describe(chosen | _settled[place])
    with _on(device):
        for one in launches:
            for seen in _watchers:
                seen.append(one)
            if pretended():
                one.compile()
            else:
                one.run()
    return launches


_settled: dict[Hashable, Settings] = {}  # what to change of the settings, by what depends on it
_watchers: list[list[Launch]] = []


def _settle(op: str, key: str, device: torch.device, chosen: Settings, least: Settings, describe: Describe) -> Settings:
    """What to change of the chosen settings so that the kernels fit; says so where that is anything."""
    limit = target_of(device).shared
    rungs = list(ladder(chosen, least))
    number, needed = first_that_fits([partial(_shared, describe, rung) for rung in rungs], limit)
    said = f"{op}, {key}: expected at most {limit // 1024} KiB of shared memory, got {needed[0] / 1024:g}"
    if number is None:
        raise DoesNotFitError(f"{said}, {min(needed) / 1024:g} with the smallest tiles; LIVEACTION_KERNELS=composed")
    changed = {name: value for name, value in rungs[number].items() if chosen[name] != value}
    if changed:
        tell(f"{said}; launched with {changed} instead of { ({name: chosen[name] for name in changed}) }")
    return changed


def _shared(describe: Describe, chosen: Settings) -> int:
    return max((one.compile() for one in describe(chosen)), default=0)


def ladder(chosen: Settings, least: Settings) -> Iterator[Settings]:
    """Settings in the order in which they are tried: as they are, with fewer stages, then with smaller tiles as well.

    Args:
        chosen: what is wanted; ``num_stages`` goes down to 1 where it is there.
        least: by name, what a setting is halved down to; one setting after the other, 1 becomes 0.
    """
    yield chosen
    for name, smallest in {"num_stages": 1, **least}.items():
        while chosen.get(name, smallest) > smallest:
            step = 1 if name == "num_stages" else (chosen[name] + 1) // 2
            chosen = chosen | {name: max(smallest, chosen[name] - step)}
            yield chosen


def first_that_fits(candidates: Sequence[Callable[[], int]], limit: int) -> tuple[int | None, list[int]]:
    """The number of the first candidate that takes at most ``limit`` bytes, or None; what all that were asked take."""
    needed: list[int] = []
    for number, ask in enumerate(candidates):
        needed.append(ask())
        if needed[-1] <= limit:
            return number, needed
    return None, needed


@contextmanager
def watch() -> Iterator[list[Launch]]:
    """Collect what is launched in the block, in order."""
    seen: list[Launch] = []
    _watchers.append(seen)
    try:
        yield seen
    finally:
        _watchers.remove(seen)


def kernel_or_composed(op: str, kernel: Callable[[], R], composed: Callable[[], R]) -> R:
    """What ``kernel`` gives; where nothing fits what ``composed`` gives, which is then said once.

    Raises:
        DoesNotFitError: the Triton kernel was asked for by name.
    """
    try:
        return kernel()
    except DoesNotFitError as error:
        if forced():
            raise
        tell(f"{op}: no Triton kernel runs here, plain PyTorch does: {error}")
        return composed()


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Triton launches on the current device, whatever its tensors' is."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
