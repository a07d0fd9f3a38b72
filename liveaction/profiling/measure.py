"""Times, peak memory, traces. Times are medians of synchronised calls, with the 20th and 80th percentile."""

import ctypes
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

CACHE_FALLBACK = 64 * 2**20
SECONDS = 5.0
"""Rounds stop after so long, though not before the third."""


@dataclass(frozen=True)
class CallTime:
    """Microseconds of one call."""

    median_us: float
    p20_us: float
    p80_us: float
    least_us: float
    rounds: int


def interleaved(runs: Mapping[str, Callable[[], Any]], device: torch.device, rounds: int = 30) -> dict[str, CallTime]:
    """Time functions in turn, A-B-A-B, so that what disturbs the machine disturbs all of them.

    Each is called twice before. On CUDA devices events bracket the call on the device; work is queued before, so that
    the time that launching takes on the host is not counted.

    Args:
        rounds: at most so many calls of each.
    """
    clock = _cuda_seconds(device) if device.type == "cuda" else _host_seconds
    for run in runs.values():
        run()
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    began = time.perf_counter()
    for done in range(rounds):
        for name, run in runs.items():
            times[name].append(clock(run))
        if done >= 2 and time.perf_counter() - began > SECONDS:
            break
    return {name: summary(values) for name, values in times.items()}


def summary(seconds: list[float]) -> CallTime:
    """Median and percentiles of seconds, in microseconds."""
    levels = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    low, median, high = (torch.tensor(seconds, dtype=torch.float64).quantile(levels) * 1e6).tolist()
    return CallTime(median, low, high, min(seconds) * 1e6, len(seconds))


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _host_seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _cuda_seconds(device: torch.device) -> Callable[[Callable[[], Any]], float]:
    queue = torch.empty(256 * 2**20, dtype=torch.uint8, device=device)

    def clock(run: Callable[[], Any]) -> float:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize(device)
        queue.zero_()
        start.record()
        run()
        end.record()
        torch.cuda.synchronize(device)
        return float(start.elapsed_time(end)) / 1e3

    return clock


def cache_bytes(device: torch.device) -> int:
    """Size of the last cache before memory; 64 MiB where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    level = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
    try:
        text = level.read_text(encoding="ascii").strip()
        return int(text.removesuffix("K")) * 2**10
    except (OSError, ValueError):
        return CACHE_FALLBACK


def input_sets(bytes_of_one: int, device: torch.device) -> int:
    """How many sets of inputs to rotate so that together they are three times the cache; 64 at most."""
    return min(64, 1 + 3 * cache_bytes(device) // max(bytes_of_one, 1))


def peak_memory(run: Callable[[], Any], device: torch.device) -> int | None:
    """Bytes that one call takes beyond what is there before: results, temporaries, workspaces.

    On CUDA devices the allocator's peak; on Linux the peak of the process's resident memory, which the kernel keeps
    (pages, hence rough below a megabyte); None elsewhere.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    start = reset_resident_peak()
    if start is None:
        return None
    run()
    return max(resident("VmHWM") - start, 0)


def reset_resident_peak() -> int | None:
    """Have the kernel forget the process's peak; returns the resident bytes now, None where it cannot.

    Memory that the C library keeps for later is given back first, or a call that reuses it would seem to take none.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path(f"/proc/{os.getpid()}/clear_refs").write_text("5", encoding="ascii")
        return resident("VmRSS")
    except (OSError, StopIteration):
        return None


def resident(field: str) -> int:
    """``VmRSS`` or ``VmHWM`` of this process in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


def write_trace(run: Callable[[], Any], path: Path, device: torch.device) -> None:
    """One call as a Chrome trace, for chrome://tracing or ui.perfetto.dev."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities, record_shapes=True) as trace:
        run()
        synchronise(device)
    trace.export_chrome_trace(str(path))
