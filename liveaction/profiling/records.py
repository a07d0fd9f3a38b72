"""What `liveaction profile kernels` is asked for, and what it records."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from liveaction.errors import SpecError

PROVIDERS = ("composed", "numba", "triton", "compiled", "anchor", "reference", "function")
USUAL = ("composed", "numba", "triton", "compiled", "anchor", "function")
"""What is measured where nobody asks: all but the reference, which is written to be read."""


@dataclass(frozen=True)
class Options:
    """What the command asks for; see its help."""

    dtype: str = "float32"
    device: str = "cpu"
    providers: tuple[str, ...] = USUAL
    backward: bool = False
    rounds: int = 30
    trace: Path | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.providers if name not in PROVIDERS]
        if unknown or not self.providers:
            raise SpecError(f"--providers: expected some of {', '.join(PROVIDERS)}, got {', '.join(unknown) or 'none'}")
        if self.rounds < 1:
            raise SpecError(f"--rounds: expected a positive number, got {self.rounds}")


@dataclass
class Row:
    """One implementation of one operation on one shape, in one mode.

    Attributes:
        mode: ``forward``, or ``forward+backward`` with the gradients of all floating-point arguments.
        gate: ``green``, or what is wrong; nothing else is given then.
        bytes, flops: counted, not measured: what the operation needs at least.
        copy_share, matmul_share: of the ceilings.
        peak_bytes: what a call takes beyond its inputs.
        input_sets: how many sets of inputs were rotated.
    """

    op: str
    shape: list[int]
    dtype: str
    device: str
    provider: str
    mode: str
    gate: str
    gate_shapes: list[list[int]]
    bytes: int | None = None
    flops: int | None = None
    median_us: float | None = None
    p20_us: float | None = None
    p80_us: float | None = None
    least_us: float | None = None
    rounds: int | None = None
    gb_s: float | None = None
    copy_share: float | None = None
    tflop_s: float | None = None
    matmul_share: float | None = None
    peak_bytes: int | None = None
    input_sets: int | None = None


@dataclass
class Report:
    """Everything one command found; ``asdict`` of it is the record."""

    circumstances: dict[str, Any]
    ceilings: list[dict[str, Any]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    format: int = 1

    @property
    def red(self) -> list[Row]:
        """Rows whose gate is red."""
        return [row for row in self.rows if row.gate != "green"]

    def record(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)
