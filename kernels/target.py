"""What kernels are launched on: the device of a tensor, or one that a block pretends, for compiling without a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import torch

F = TypeVar("F")

SHARED_LIMIT = {80: 163 * 1024, 86: 99 * 1024, 89: 99 * 1024, 90: 227 * 1024, 100: 227 * 1024, 120: 99 * 1024}
"""Bytes of shared memory that one block may take, by compute capability: CUDA C++ Programming Guide, table of technical
specifications."""


@dataclass(frozen=True)
class Target:
    """A GPU as launches see it.

    Attributes:
        capability: compute capability, times ten.
        shared: bytes of shared memory that a block may take.
        multiprocessors: how many there are; grids of persistent programs depend on it, compiled kernels do not.
    """

    capability: int
    shared: int
    multiprocessors: int


_H100 = Target(90, SHARED_LIMIT[90], 3)  # stands for a device that has no shared memory: the interpreter's
_pretended: list[Target] = []


@contextmanager
def pretend(capability: int) -> Iterator[Target]:
    """Have tensors of any device count as tensors of such a GPU in the block: kernels are compiled, none is run."""
    _pretended.append(Target(capability, SHARED_LIMIT[capability], 100))
    try:
        yield _pretended[-1]
    finally:
        _pretended.pop()


def pretended() -> Target | None:
    """The target of the innermost :func:`pretend`."""
    return _pretended[-1] if _pretended else None


def constant_in_graphs(function: F) -> F:
    """Have traced graphs call ``function`` once, while they are traced, and keep what it gives.

    What ``torch.compiler.assume_constant_result`` does, without importing ``torch._dynamo``, which takes seconds.
    """
    marked: Any = function
    marked._dynamo_marked_constant = True
    return function


def target_of(device: torch.device) -> Target:
    """What a kernel is launched on for tensors on ``device``."""
    if _pretended:
        return _pretended[-1]
    return _properties(device) if device.type == "cuda" else _H100


@constant_in_graphs
def shared_limit(device: torch.device) -> int:
    """Bytes of shared memory that a block may take; those of compute capability 9.0 where there is no such device."""
    return target_of(device).shared


@lru_cache
def _properties(device: torch.device) -> Target:
    found: Any = torch.cuda.get_device_properties(device)
    return Target(
        10 * found.major + found.minor, int(found.shared_memory_per_block_optin), int(found.multi_processor_count)
    )
