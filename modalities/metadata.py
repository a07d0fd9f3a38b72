"""What readers may hand over as metadata: plain JSON, of texts and numbers that a stream can hold."""

import json
from math import isfinite
from pathlib import Path
from typing import Any

from liveaction.errors import FormatError

DEEPEST, LONGEST = 64, 15 << 20  # a stream's header holds 16 MiB


def check_metadata(path: Path, metadata: dict[str, Any]) -> None:
    """Refuse metadata that no stream can hold, naming the entry.

    Args:
        path: of the source, named in the message.
        metadata: of a signal.

    Raises:
        FormatError: something else than JSON, a text with a lone surrogate, NaN or infinity, tables within tables more
            than 64 deep, or more than 15 MiB as JSON.
    """
    open_ones: list[tuple[Any, tuple[Any, ...]]] = [(metadata, ())]
    while open_ones:
        value, where = open_ones.pop()
        if isinstance(value, dict | list | tuple):
            entries = list(value.items() if isinstance(value, dict) else enumerate(value))
            if len(where) >= DEEPEST and entries:
                _refuse(path, where, f"tables at most {DEEPEST} deep", "deeper ones")
            for label, entry in entries:
                if isinstance(label, str) and not _is_text(label):
                    _refuse(path, (*where, label), "names that UTF-8 can hold", "a lone surrogate")
                open_ones.append((entry, (*where, label)))
        elif isinstance(value, str):
            if not _is_text(value):
                _refuse(path, where, "texts that UTF-8 can hold", "a lone surrogate")
        elif isinstance(value, float) and not isfinite(value):
            _refuse(path, where, "finite numbers", repr(value))
        elif isinstance(value, int) and value.bit_length() > 1024:
            _refuse(path, where, "numbers of at most 1024 bits", f"one of {value.bit_length()}")
        elif not isinstance(value, int | float | None):
            _refuse(path, where, "texts and numbers", type(value).__name__)
    sizes = {label: len(json.dumps(value)) for label, value in _parts(metadata)}
    if sum(sizes.values()) > LONGEST:
        most = max(sizes, key=sizes.__getitem__)
        _refuse(path, most, f"metadata of at most {LONGEST} bytes in all", f"{sum(sizes.values())}, {sizes[most]} here")


def _parts(metadata: dict[str, Any]) -> list[tuple[tuple[Any, ...], Any]]:
    """Entries, and those of tables among them, three levels down."""
    found: list[tuple[tuple[Any, ...], Any]] = [((label,), value) for label, value in metadata.items()]
    for _ in range(3):
        found = [
            entry
            for where, value in found
            for entry in (
                [((*where, label), inner) for label, inner in value.items()]
                if isinstance(value, dict)
                else [(where, value)]
            )
        ]
    return found


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(path: Path, where: tuple[Any, ...], expected: str, got: str) -> None:
    labels = [str(label).encode(errors="backslashreplace").decode()[:40] for label in where]
    shown = labels if len(labels) <= 6 else [*labels[:3], "...", *labels[-2:]]
    raise FormatError(f"{path}: expected {expected}, got {got} at {'/'.join(shown)!r}; change it in the source")
