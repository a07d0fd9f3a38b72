"""Which implementation of an operation runs.

Every operation has some of these: ``reference``, the obvious one, exact in float64; ``composed``, fast plain PyTorch,
for any device; ``numba``, for CPUs where no gradient is wanted; ``triton``, for CUDA devices of compute capability 8.0
or more. Without a wish, CUDA tensors take ``triton``, CPU tensors ``numba`` where there is one, and all others
``composed``. ``LIVEACTION_KERNELS`` names one for a whole process, :func:`use` for a block.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch

from liveaction.errors import LiveactionWarning, MissingDependencyError, SpecError
from liveaction.kernels.target import constant_in_graphs, pretended

PROVIDERS = ("reference", "composed", "numba", "triton")
VARIABLE = "LIVEACTION_KERNELS"
TRITON_INSTALLED = find_spec("triton") is not None

Refusal = Callable[[], str]
"""Says why a kernel cannot take certain arguments, or nothing where it can; asked only where the kernel may run."""


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


def has_none() -> str:
    """The refusal of a kernel that does not exist."""
    return "it has none"


def choose(
    op: str,
    x: torch.Tensor,
    refused: Refusal,
    numba_refused: Refusal = has_none,
    parameters: tuple[torch.Tensor, ...] = (),
) -> str:
    """The implementation that ``op`` takes for ``x``.

    Args:
        op: the operation's name, for messages.
        x: its first tensor; decides by its device.
        refused: why the Triton kernel cannot take these arguments.
        numba_refused: the same for the Numba kernel, gradients apart.
        parameters: further tensors that may want a gradient.

    Returns:
        One of :data:`PROVIDERS`. A kernel that cannot run on a CUDA tensor says so once, and ``composed`` runs; an
        operation that has no Triton kernel at all (``refused`` is :func:`has_none`) says nothing.

    Raises:
        MissingDependencyError: a kernel was asked for by name and cannot run.
    """
    if _wish in ("reference", "composed"):
        return _wish
    if _wish == "numba" or (not _wish and not _on_gpu(x)):
        reason = numba_refused() or numba_missing(x, parameters)
        if _wish and reason:
            raise MissingDependencyError(f"{op}: expected Numba, as {VARIABLE} asks, got none: {reason}")
        return "composed" if reason else "numba"
    reason = refused() or triton_missing(x.device)
    if not reason:
        return "triton"
    if _wish:
        raise MissingDependencyError(f"{op}: expected Triton, as {VARIABLE} asks, got none: {reason}")
    if refused is not has_none:
        tell(f"{op}: no Triton kernel runs here, plain PyTorch does: {reason}")
    return "composed"


def _on_gpu(x: torch.Tensor) -> bool:
    """Whether Triton kernels come first where nothing is wished."""
    return x.is_cuda


def forced() -> bool:
    """Whether Triton kernels are asked for by name."""
    return _wish == "triton"


def triton_missing(device: torch.device) -> str:
    """Why Triton kernels cannot run on ``device``; empty where they can."""
    if not TRITON_INSTALLED:
        return "the package triton is not installed"
    if interpreting() or pretended():
        return ""
    if torch.version.hip:
        return "Triton kernels use tf32x3 products and PTX, which are NVIDIA's, and this torch is built for ROCm"
    if device.type != "cuda":
        return f"Triton kernels need a CUDA device, this tensor is on {device.type}"
    return _capability_missing(device.index or 0)


def numba_missing(x: torch.Tensor, parameters: tuple[torch.Tensor, ...] = ()) -> str:
    """Why Numba kernels cannot take ``x`` with these parameters; empty where they can."""
    if x.device.type != "cpu" or type(x) is not torch.Tensor or torch.compiler.is_compiling():
        return "Numba kernels take plain CPU tensors"
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *parameters)):
        return "Numba kernels give no gradient"
    return ""


def dtype_refused(x: torch.Tensor) -> str:
    """Why a Triton kernel for floating-point numbers of 16 and 32 bits cannot take ``x``; empty where it can."""
    if x.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"it takes float32, bfloat16 or float16, not {x.dtype}"
    return ""


def interpreting() -> bool:
    """Whether Triton kernels run in Triton's interpreter, hence on any device, slowly; not where a GPU is pretended."""
    return os.environ.get("TRITON_INTERPRET") == "1" and not pretended()


@constant_in_graphs
def _capability_missing(index: int) -> str:
    found = torch.cuda.get_device_capability(index)
    return "" if found >= (8, 0) else f"Triton kernels need compute capability 8.0, this device has {found}"


@constant_in_graphs
def tell(message: str) -> None:
    """Warn of what runs instead of a kernel, once in a process; from a graph that is traced while it is traced."""
    if message not in _told:
        warnings.warn(message, LiveactionWarning, stacklevel=4)
        _told.add(message)  # not where the warning is an error: it is one every time


_told: set[str] = set()


def working_dtype(x: torch.Tensor) -> torch.dtype:
    """The dtype an operation computes in: autocast's where that is on for the device of ``x``, else that of ``x``."""
    kind = x.device.type
    if kind != "meta" and torch.is_autocast_enabled(kind) and x.dtype != torch.float64:
        return torch.get_autocast_dtype(kind)
    return x.dtype
