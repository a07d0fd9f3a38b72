"""Range compression on CPUs: one pass over pieces that stay in the cache, compiled by Numba.

No logarithm is taken. For w = |v| + 0.1 the bits of s start near w**(-1/5), one step of third order brings s within
4e-4, and with p = w s**3 and e = 1 - p**5 / w**2 the power w**(2/5) is p (1 - e)**(-1/5), whose series ends after e**2.
The gain, which float32 rounds, comes in two parts.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, untyped-decorator"

from typing import Any

import numba
import numpy as np
import torch

from liveaction.kernels.parallel import in_threads
from liveaction.kernels.quantize import GAIN, OFFSET, POWER, ROOT

PIECE = 2**17  # values of a task

_OFFSET = np.float32(OFFSET)
_ROOT = np.float32(ROOT)
_GAIN, _GAIN_REST = np.float32(GAIN), np.float32(GAIN - float(np.float32(GAIN)))
_SHIFT = np.float32(GAIN * float(_OFFSET) ** POWER)
_STEEPNESS = np.float32(1.0 / GAIN)
_MAGIC = np.int32(0x4C2B4395)  # minus a fifth of the bits of w: the bits of w**(-1/5) within 3 %

_compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"}, error_model="numpy")


@_compiled
def _compand(source, target):
    for i in range(source.size):
        v = source[i]
        w = np.float32(abs(v) + _OFFSET)
        bits = np.float32(w.view(np.int32)) * np.float32(0.2)
        s = np.int32(_MAGIC - np.int32(bits)).view(np.float32)
        square = s * s
        error = np.float32(1) - (w * s) * (square * square)
        s += s * error * (np.float32(0.2) + error * np.float32(0.12))
        power = (w * s) * (s * s)
        ratio = power * power / w
        error = np.float32(1) - power * (ratio * ratio)
        rest = power * (error * (np.float32(0.2 * GAIN) + error * np.float32(0.12 * GAIN)) + _GAIN_REST)
        magnitude = np.float32((_GAIN * power - _SHIFT) + rest)
        target[i] = np.copysign(magnitude, v) if v != 0 and w != np.inf else v


@_compiled
def _expand(source, target):
    for i in range(source.size):
        c = source[i]
        m = np.float32(abs(c) * _STEEPNESS + _ROOT)
        magnitude = np.float32(m * m * np.sqrt(m) - _OFFSET)
        target[i] = np.copysign(magnitude, c) if c != 0 else c


def compand(v: torch.Tensor) -> torch.Tensor:
    """See :func:`liveaction.kernels.quantize.compand`; float32 of any shape and strides, no gradient."""
    return _over_memory(_compand, v)


def expand(c: torch.Tensor) -> torch.Tensor:
    """See :func:`liveaction.kernels.quantize.expand`; float32 of any shape and strides, no gradient."""
    return _over_memory(_expand, c)


def _over_memory(function: Any, x: torch.Tensor) -> torch.Tensor:
    """Element by element in the order of memory, which the result has too."""
    out = torch.empty_like(x)
    if x.stride() != out.stride():
        x = torch.empty_like(x).copy_(x)
    count = x.numel()
    source, target = (t.detach().as_strided((count,), (1,)).numpy() for t in (x, out))
    in_threads(
        lambda start: function(source[start : start + PIECE], target[start : start + PIECE]), range(0, count, PIECE)
    )
    return out
