"""What this device can do at most, measured now: the lines that a roofline is drawn with."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch

from liveaction.profiling.measure import cache_bytes, interleaved


@dataclass(frozen=True)
class Ceilings:
    """Measured limits.

    Attributes:
        copy_gb_s: of a large copy, bytes read plus bytes written, 1e9 per second.
        matmul_tflop_s: of a large square matrix product at ``dtype`` as PyTorch runs it (float32 without TF32 unless
            that was switched on), 1e12 operations per second.
        matmul_extent: its side.
    """

    dtype: str
    copy_gb_s: float
    matmul_tflop_s: float
    matmul_extent: int


def ceilings(dtype: torch.dtype, device: torch.device) -> Ceilings:
    """Measure, or give what was measured before in this process with as many threads."""
    return _ceilings(dtype, device, torch.get_num_threads())


@lru_cache
def _ceilings(dtype: torch.dtype, device: torch.device, threads: int) -> Ceilings:
    copy = _copy_rate(device, threads)
    extent, seconds = _matmul(dtype, device)
    return Ceilings(str(dtype).removeprefix("torch."), copy / 1e9, 2 * extent**3 / seconds / 1e12, extent)


@lru_cache
def _copy_rate(device: torch.device, threads: int) -> float:
    size = 2**30 if device.type == "cuda" else max(4 * cache_bytes(device), 2**26)
    source = torch.rand(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _seconds(lambda: target.copy_(source), device)


def _matmul(dtype: torch.dtype, device: torch.device) -> tuple[int, float]:
    """The side of the product that runs at the highest rate, and its seconds; on CPUs up to some 50 ms of work."""
    best = (0, 1.0)
    for n in (8192,) if device.type == "cuda" else (512, 1024, 2048):
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        seconds = _seconds(partial(torch.matmul, a, b), device)
        if n**3 / seconds > best[0] ** 3 / best[1]:
            best = (n, seconds)
        if seconds > 0.05:
            break
    return best


def _seconds(run: Callable[[], Any], device: torch.device) -> float:
    """The least of several: a ceiling is what can be reached."""
    return interleaved({"": run}, device, 9)[""].least_us / 1e6
