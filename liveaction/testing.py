"""What tests of operations need, ours and a user's own: closeness, poisoned memory, kernels compiled without a GPU."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

# Shared memory that a block of one kernel may take, in bytes.
SHARED_LIMIT = {80: 163 * 1024, 86: 99 * 1024, 89: 99 * 1024, 90: 227 * 1024}


def assert_kernel_close(kernel: torch.Tensor, reference: torch.Tensor, composed: torch.Tensor, what: str = "") -> None:
    """A kernel may err about as much as plain PyTorch at the same dtype does, and no more.

    rms(k - r) <= 2 rms(c - r) + eps rms(r) and max|k - r| <= 3 max|c - r| + 4 eps max|r|, eps of the kernel's dtype.

    Args:
        kernel: k, what is tested.
        reference: r, the truth, computed in float64.
        composed: c, the same in plain PyTorch at the kernel's dtype.
        what: named in the message.
    """
    assert kernel.shape == reference.shape == composed.shape, (what, kernel.shape, reference.shape, composed.shape)
    eps = torch.finfo(kernel.dtype).eps
    k, r, c = (t.detach().double().cpu() for t in (kernel, reference, composed))
    assert torch.isfinite(k).all(), f"{what}: expected finite values, got {(~torch.isfinite(k)).sum().item()} others"
    if k.numel() == 0:
        return
    rms, allowed_rms = _rms(k - r), 2 * _rms(c - r) + eps * _rms(r)
    largest, allowed = (k - r).abs().max(), 3 * (c - r).abs().max() + 4 * eps * r.abs().max()
    assert rms <= allowed_rms, f"{what}: expected a root-mean-square error of {allowed_rms:.2e} at most, got {rms:.2e}"
    assert largest <= allowed, f"{what}: expected a largest error of {allowed:.2e} at most, got {largest:.2e}"


def _rms(x: torch.Tensor) -> float:
    return float(x.square().mean().sqrt())


@contextmanager
def poisoned() -> Iterator[None]:
    """Uninitialised memory of ``torch.empty`` and the like is NaN in the block: no kernel leaves a hole unseen."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = fill


@dataclass(frozen=True)
class AheadCase:
    """One Triton kernel with what its compilation depends on.

    Attributes:
        kernel: ``package.module:name`` of a function under ``triton.jit``.
        signature: Triton types of the arguments that are not constants: ``*fp32``, ``i32``, ...
        constants: the values of the ``tl.constexpr`` arguments.
        divisible: arguments that are multiples of 16, beside all pointers.
    """

    kernel: str
    signature: dict[str, str]
    constants: dict[str, Any]
    num_warps: int = 4
    num_stages: int = 2
    divisible: tuple[str, ...] = ()


@dataclass(frozen=True)
class Resources:
    """What a compiled kernel takes: ``registers`` and ``spills`` (bytes) per thread, ``shared`` bytes per block.

    ``instructions`` counts machine instructions by family (``HMMA``, ``HGMMA``, ``LDG``, ...).
    """

    registers: int
    spills: int
    shared: int
    instructions: dict[str, int] = field(default_factory=dict)

    @property
    def matrix_instructions(self) -> int:
        """Tensor-core instructions of any kind."""
        return sum(self.instructions.get(name, 0) for name in ("HMMA", "HGMMA", "IMMA", "DMMA"))


def compile_ahead(cases: Sequence[AheadCase], capability: int) -> list[Resources]:
    """Compile Triton kernels for a GPU that need not be here, in a process of its own without the interpreter.

    Args:
        capability: 80 for A100, 90 for H100, ...

    Raises:
        RuntimeError: a kernel does not compile; with the compiler's last lines.
    """
    environment = os.environ | {"TRITON_INTERPRET": "0"}
    command = [sys.executable, "-P", "-m", "liveaction.testing", str(capability)]
    text = json.dumps([asdict(case) for case in cases])
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"sm_{capability}, exit status {done.returncode}: {done.stderr.strip()[-2000:]}")
    return [Resources(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def _compile(case: AheadCase, capability: int) -> Resources:
    import importlib

    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    module, _, name = case.kernel.partition(":")
    kernel: Any = getattr(importlib.import_module(module), name)
    names: list[str] = kernel.arg_names
    signature = {n: "constexpr" if n in case.constants else case.signature[n] for n in names}
    constants = {(names.index(n),): value for n, value in case.constants.items()}
    aligned = {
        (i,): [["tt.divisibility", 16]]
        for i, n in enumerate(names)
        if n not in case.constants and (signature[n].startswith("*") or n in case.divisible)
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)
    options = {"num_warps": case.num_warps, "num_stages": case.num_stages}
    compiled: Any = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    return _read_resources(compiled)


def _read_resources(compiled: Any) -> Resources:
    import tempfile

    import triton

    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(compiled.asm["cubin"])
        usage = _run(tools / "cuobjdump", "--dump-resource-usage", str(path))
        code = _run(tools / "cuobjdump", "-sass", str(path))
    families: Counter[str] = Counter()
    for match in re.finditer(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)", code):
        families[match[1]] += 1
    registers = re.search(r"REG:(\d+)", usage)
    stack = re.search(r"STACK:(\d+)", usage)
    local = re.search(r"LOCAL:(\d+)", usage)
    if registers is None or stack is None or local is None or not families:
        raise RuntimeError(f"cuobjdump: expected resources and code, got {usage[:200]!r}")
    spills = int(stack[1]) + int(local[1]) + 4 * (families["LDL"] + families["STL"])
    return Resources(int(registers[1]), spills, int(compiled.metadata.shared), dict(families))


def _run(*command: str | Path) -> str:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    _cases = [AheadCase(**case) for case in json.load(sys.stdin)]
    print(json.dumps([asdict(_compile(case, int(sys.argv[1]))) for case in _cases]))
