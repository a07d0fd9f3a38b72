"""Launch settings of the Triton kernels: measured ones from ``tuned.json``, else what a kernel's own rule says.

The table maps a device name to operations, and those to keys such as ``512x512 bfloat16``. Nothing is searched at
import or at run time; ``liveaction profile kernels --tune`` measures and writes.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from liveaction.errors import FormatError

VARIABLE = "LIVEACTION_TUNED"  # a file of one's own, read beside the shipped one


def settings(op: str, key: str, device: torch.device, default: dict[str, int]) -> dict[str, int]:
    """Launch settings such as ``{"BLOCK_T": 16, "num_warps": 8}``.

    Args:
        op: name of the kernel.
        key: what else they depend on: sizes and dtype.
        device: where it is launched.
        default: what holds for a device or a key that was never measured; names all settings there are.
    """
    found = tables().get(device_name(device), {}).get(op, {}).get(key, {}) | _overrides.get(op, {})
    taken = {name: int(found.get(name, value)) for name, value in default.items()}
    for asked in _watchers:
        asked[op, key] = taken
    return taken


_overrides: dict[str, dict[str, int]] = {}
_watchers: list[dict[tuple[str, str], dict[str, int]]] = []


@contextmanager
def override(op: str, values: Mapping[str, int]) -> Iterator[None]:
    """Have ``op`` launch with these settings in the block, whatever is in the tables; for tuning.

    Args:
        op: name of the kernel, as it asks for its settings.
        values: some or all of its settings; names that it does not have are ignored.
    """
    before = dict(_overrides)
    _overrides[op] = _overrides.get(op, {}) | dict(values)
    try:
        yield
    finally:
        _overrides.clear()
        _overrides.update(before)


@contextmanager
def watch() -> Iterator[dict[tuple[str, str], dict[str, int]]]:
    """Collect which settings are asked for in the block: (op, key) to what was taken."""
    asked: dict[tuple[str, str], dict[str, int]] = {}
    _watchers.append(asked)
    try:
        yield asked
    finally:
        _watchers.pop()


def device_name(device: torch.device) -> str:
    """The name that ``tuned.json`` knows a device by."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@lru_cache
def tables() -> dict[str, Any]:
    """The shipped table, with the user's own on top.

    Raises:
        FormatError: the user's file is not such a table.
    """
    shipped: dict[str, Any] = json.loads(files("liveaction.kernels").joinpath("tuned.json").read_text(encoding="utf-8"))
    own = os.environ.get(VARIABLE)
    if not own:
        return shipped
    try:
        more = json.loads(Path(own).read_text(encoding="utf-8"))
        for device, ops in more.items():
            for op, keys in ops.items():
                shipped.setdefault(device, {}).setdefault(op, {}).update(keys)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        line = " ".join(str(error).split())
        raise FormatError(f"{VARIABLE}={own}: expected a table of launch settings in JSON, got {line}") from error
    return shipped
