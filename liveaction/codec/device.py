"""Where a codec runs, and with which numbers: what ``auto``, ``cpu``, ``bfloat16`` and an empty name stand for."""

import re

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
    """The torch device that ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` stands for on this machine.

    Raises:
        SpecError: another name, or a CUDA device that is not there.
    """
    if re.fullmatch(r"auto|(cpu|cuda)(:\d+)?", name) is None:
        raise SpecError(f"--device: expected auto, cpu, cuda or cuda:N, got {name!r}")
    there = torch.cuda.device_count() if name.startswith("cuda") else 0
    if name.startswith("cuda") and int(name.partition(":")[2] or 0) >= there:
        raise SpecError(f"--device: expected a CUDA device for {name!r}, got {there or 'none'}; take auto or cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
