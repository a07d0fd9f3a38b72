"""Triton kernels compiled for GPUs that need not be here: exactly what operations launch, with the launcher's settings.

A process of its own pretends a device (:func:`liveaction.kernels.target.pretend`), calls the operations, and compiles
each launch instead of running it. Nothing describes a launch a second time.
"""

import importlib
import json
import os
import re
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from liveaction.errors import LiveactionWarning, MissingDependencyError
from liveaction.kernels import dispatch, target
from liveaction.kernels.launcher import Launch, watch

Calls = Iterable[tuple[str, Callable[[], Any]]]
"""Names of operations with their sizes, and what calls them on CPU or meta tensors."""


@dataclass(frozen=True)
class Compiled:
    """One kernel as it would be launched.

    Attributes:
        call: the first call that launches it.
        kernel: its name.
        types: dtypes of its tensors and types of its numbers, by the names of its parameters.
        constants: values of its ``tl.constexpr`` parameters.
        registers, spills: of one thread; spills are bytes of its stack.
        shared: bytes of shared memory that a block takes.
        instructions: PTX instructions by their first two words (``mma.sync``, ``st.global``, ...).
    """

    call: str
    kernel: str
    types: dict[str, str]
    constants: dict[str, Any]
    num_warps: int
    num_stages: int
    registers: int
    spills: int
    shared: int
    instructions: dict[str, int]

    @property
    def matrix_instructions(self) -> int:
        """Tensor-core instructions of any kind."""
        return sum(count for name, count in self.instructions.items() if name.startswith(("mma.", "wgmma.mma")))


@dataclass(frozen=True)
class Ahead:
    """What calls launch on one kind of GPU.

    Attributes:
        kernels: each once.
        refused: by call, why plain PyTorch runs instead.
        stepped: what the launcher said of settings that it had to change.
    """

    capability: int
    kernels: tuple[Compiled, ...]
    refused: dict[str, str]
    stepped: tuple[str, ...]


def compile_ahead(calls: str, capabilities: Sequence[int], processes: int = 2) -> list[Ahead]:
    """Compile what calls of operations launch, in processes of their own without the interpreter.

    Args:
        calls: ``package.module:function``, a function that takes a compute capability and gives the calls.
        capabilities: 80 for A100, 90 for H100, ...; see :data:`liveaction.kernels.target.SHARED_LIMIT`.
        processes: at a time.

    Raises:
        RuntimeError: a kernel does not compile, with the compiler's last lines.
    """

    def compiled(capability: int) -> Ahead:
        command = [sys.executable, "-P", "-m", "liveaction.testing_ahead", calls, str(capability)]
        environment = os.environ | {"TRITON_INTERPRET": "0", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise RuntimeError(f"sm_{capability}, exit status {done.returncode}: {done.stderr.strip()[-2000:]}")
        found = json.loads(done.stdout.splitlines()[-1])
        rows = tuple(Compiled(**row) for row in found["kernels"])
        return Ahead(capability, rows, found["refused"], tuple(found["stepped"]))

    with ThreadPoolExecutor(processes) as pool:
        return list(pool.map(compiled, capabilities))


@dataclass
class Launched:
    """What calls launch on a pretended device: each kernel once, with the first call of it; the rest as in Ahead."""

    launches: list[tuple[str, Launch]]
    refused: dict[str, str]
    stepped: list[str]


def launched(calls: Calls, capability: int) -> Launched:
    """Call everything on a pretended device; compiled where Triton does not interpret, else described alone."""
    found: dict[Hashable, tuple[str, Launch]] = {}
    refused: dict[str, str] = {}
    with target.pretend(capability), dispatch.use("triton"), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=LiveactionWarning)
        for call, run in calls:
            with watch() as seen:
                try:
                    run()
                except MissingDependencyError as error:
                    refused[call] = str(error)
            for one in seen:
                found.setdefault(one.signature, (call, one))
    return Launched(list(found.values()), refused, [str(warning.message) for warning in told])


def describe(one: Launch) -> dict[str, Any]:
    """A launch in plain values: what of :class:`Compiled` is known before it is compiled."""
    return {
        "kernel": one.kernel.fn.__name__,
        "types": {name: _type(value) for name, value in one.arguments.items()},
        "constants": {name: value for name, value in one.constants.items() if name != "enable_fp_fusion"},
        "num_warps": one.num_warps,
        "num_stages": one.num_stages,
    }


def main(calls: str, capability: int) -> None:
    """Compile and print what :func:`compile_ahead` reads."""
    from triton.runtime.driver import driver

    module, _, name = calls.partition(":")
    given: Calls = getattr(importlib.import_module(module), name)(capability)
    driver.set_active(_Driver(capability))
    found = launched(given, capability)
    rows = [asdict(row) for row in _read(found.launches)]
    print(json.dumps({"kernels": rows, "refused": found.refused, "stepped": found.stepped}))


class _Driver:
    """What Triton asks about the device before it compiles."""

    def __init__(self, capability: int) -> None:
        from triton.backends.compiler import GPUTarget

        self._target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> Any:
        return self._target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def _read(launches: Iterable[tuple[str, Launch]]) -> Iterator[Compiled]:
    import tempfile

    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        for call, one in launches:
            (compiled,) = one.compiled
            cubin.write_bytes(compiled.asm["cubin"])
            command = [str(tool), "--dump-resource-usage", str(cubin)]
            usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found = {key: re.search(rf"{key}:(\d+)", usage) for key in ("REG", "STACK", "LOCAL")}
            if None in found.values():
                raise RuntimeError(f"cuobjdump: expected resources, got {usage[:200]!r}")
            registers, stack, local = (int(match[1]) for match in found.values() if match)
            families = Counter(
                re.findall(r"^\s+(?:@!?%p\d+ )?([a-z]+(?:\.[a-z]+)?)", compiled.asm["ptx"], re.MULTILINE)
            )
            taken: dict[str, Any] = {
                "registers": registers,
                "spills": stack + local,
                "shared": int(compiled.metadata.shared),
            }
            yield Compiled(call, **describe(one), **taken, instructions=dict(families))


def _type(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.") if isinstance(value, torch.Tensor) else type(value).__name__


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
