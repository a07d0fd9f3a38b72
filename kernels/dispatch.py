"""Which implementation of an operation runs.

Every operation has up to three: ``reference``, the obvious one, exact in float64; ``composed``, fast plain PyTorch,
for any device; ``triton``, for CUDA devices of compute capability 8.0 or more. Without a wish, CUDA tensors take
``triton`` and all others ``composed``. ``LIVEACTION_KERNELS`` names one for a whole process, :func:`use` for a block.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec

import torch

from liveaction.errors import LiveactionWarning, MissingDependencyError, SpecError

PROVIDERS = ("reference", "composed", "triton")
VARIABLE = "LIVEACTION_KERNELS"


def _checked(name: str) -> str:
    if name not in ("", *PROVIDERS):
        raise SpecError(f"{VARIABLE}: expected one of {', '.join(PROVIDERS)}, or nothing, got {name!r}")
    return name


_wish = _checked(os.environ.get(VARIABLE, ""))


@contextmanager
def use(provider: str) -> Iterator[None]:
    """Have all operations in the block take one implementation; an empty name stands for no wish.

    Raises:
        SpecError: no such implementation.
    """
    global _wish
    before, _wish = _wish, _checked(provider)
    try:
        yield
    finally:
        _wish = before


def choose(op: str, x: torch.Tensor, refused: str = "") -> str:
    """The implementation that ``op`` takes for ``x``.

    Args:
        op: the operation's name, for messages.
        x: its first tensor; decides by its device.
        refused: why the Triton kernel cannot take these arguments; empty where it can.

    Returns:
        One of :data:`PROVIDERS`. A kernel that cannot run on a CUDA tensor says so once, and ``composed`` runs.

    Raises:
        MissingDependencyError: ``triton`` was asked for by name and cannot run.
    """
    if _wish in ("reference", "composed"):
        return _wish
    if not _wish and not x.is_cuda:
        return "composed"
    reason = refused or triton_missing(x.device)
    if not reason:
        return "triton"
    if _wish:
        raise MissingDependencyError(f"{op}: expected Triton, as {VARIABLE} asks, got none: {reason}")
    _tell(op, reason)
    return "composed"


def triton_missing(device: torch.device) -> str:
    """Why Triton kernels cannot run on ``device``; empty where they can."""
    if find_spec("triton") is None:
        return "the package triton is not installed"
    if interpreting():
        return ""
    if device.type != "cuda":
        return f"Triton kernels need a CUDA device, this tensor is on {device.type}"
    return _capability_missing(device.index or 0)


def interpreting() -> bool:
    """Whether Triton kernels run in Triton's interpreter, hence on any device, slowly."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@lru_cache
def _capability_missing(index: int) -> str:
    found = torch.cuda.get_device_capability(index)
    return "" if found >= (8, 0) else f"Triton kernels need compute capability 8.0, this device has {found}"


@lru_cache
def _tell(op: str, reason: str) -> None:
    warnings.warn(f"{op}: no Triton kernel runs here, plain PyTorch does: {reason}", LiveactionWarning, stacklevel=4)


def working_dtype(x: torch.Tensor) -> torch.dtype:
    """The dtype an operation computes in: autocast's where that is on for the device of ``x``, else that of ``x``."""
    kind = x.device.type
    if kind != "meta" and torch.is_autocast_enabled(kind) and x.dtype != torch.float64:
        return torch.get_autocast_dtype(kind)
    return x.dtype
