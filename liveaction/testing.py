"""What tests of operations need, ours and a user's own: closeness, poisoned memory.

Kernels compiled without a GPU are in :mod:`liveaction.testing_ahead`.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


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
    """Uninitialised memory of ``torch.empty`` and the like is NaN in the block: no kernel leaves a hole unseen.

    torch fills memory so only where deterministic algorithms are asked for; that others are not, cuBLAS' without
    ``CUBLAS_WORKSPACE_CONFIG`` for one, is of no interest here, and its warnings are not shown.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Deterministic behavior was enabled", UserWarning)
            warnings.filterwarnings("ignore", r".* does not have a deterministic implementation", UserWarning)
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = fill
