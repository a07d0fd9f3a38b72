"""Where a codec runs, and with which numbers: what ``auto``, ``cpu``, ``bfloat16`` and an empty name stand for."""

import torch

from liveaction.errors import SpecError
from liveaction.spec import Recipe


def choose_dtype(name: str, recipe: Recipe) -> torch.dtype:
    """The dtype of the networks' products, ``float32`` or ``bfloat16``; the recipe's for an empty name.

    Raises:
        SpecError: another name.
    """
    if name not in ("", "float32", "bfloat16"):
        raise SpecError(f"--dtype: expected float32 or bfloat16, got {name!r}")
    chosen: torch.dtype = getattr(torch, name or recipe.codec.compute_dtype)
    return chosen


def choose_device(name: str) -> str:
    """The torch device that ``auto``, ``cpu`` or ``cuda`` stands for on this machine.

    Raises:
        SpecError: another name, or ``cuda`` without a CUDA device.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise SpecError(f"--device: expected auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise SpecError("--device: expected a CUDA device for 'cuda', got none; take auto or cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
