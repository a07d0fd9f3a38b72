"""JSON of headers and metadata: one writer and one reader, with one set of rules: what is written can be read.

UTF-8 without a byte order mark, no key twice in an object, no number that is not finite, no half of a surrogate pair,
at most :data:`DEEPEST` objects and lists within each other.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from liveaction.errors import FormatError, printable

DEEPEST = 200
"""Objects and lists within each other, the outermost counted."""

BEYOND = 10**4000
"""Integers are smaller in size; Python reads 4300 digits unless it is told otherwise."""

_Place = tuple[Any, str] | None  # where a value stands: the place of what holds it, and its key there


def write_json_bytes(data: Any, where: str, way: str, longest: int) -> bytes:
    """JSON bytes that :func:`read_json_bytes` takes.

    Args:
        data: None, booleans, numbers, texts, lists, tuples and dicts with texts as keys.
        where: stands first in errors.
        way: out of them.
        longest: how many bytes there may be.

    Raises:
        FormatError: it is something else, breaks a rule, or is too long; the key at fault is named.
    """
    if (found := _fault(data)) is not None:
        place, reason = found
        raise FormatError(f"{where}: expected JSON data that can be read back, got {reason} in {place}; {way}")
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).encode("ascii")
    if len(text) > longest:
        place, size = _largest(data)
        raise FormatError(
            f"{where}: expected at most {longest} bytes as JSON, got {len(text)}, of which {place} takes {size}; {way}"
        )
    return text


def read_json_bytes(text: bytes, where: str, expected: str = "a JSON header") -> Any:
    """The data that :func:`write_json_bytes` wrote.

    Raises:
        FormatError: no JSON, or it breaks a rule.
    """
    try:
        data = json.loads(text.decode("utf-8"), object_pairs_hook=_table, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: expected {expected}, got {_reason(error)}") from error
    if (found := _fault(data)) is not None:
        raise FormatError(f"{where}: expected {expected}, got {found[1]} in {found[0]}")
    return data


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"bytes that are no UTF-8 at {error.start}"
    if isinstance(error, RecursionError):
        return f"more than {DEEPEST} objects and lists within each other"
    return f"{type(error).__name__}: {printable(error)[:160]}"


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        counted = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {ascii(counted.most_common(1)[0][0])[:80]} twice in one object")
    return table


def _refuse_constant(name: str) -> None:
    """NaN and infinities are no JSON."""
    raise ValueError(f"{name}, which is no number")


def _fault(data: Any) -> tuple[str, str] | None:
    """The first value that breaks a rule: where it stands, and what it is; None where none does."""
    left: list[tuple[Any, _Place, int]] = [(data, None, 1)]
    while left:
        value, place, depth = left.pop()
        reason = _wrong(value)
        if reason is None and isinstance(value, dict | list | tuple):
            if depth <= DEEPEST:
                left += [(inner, (place, key), depth + 1) for key, inner in _inside(value) if not _is_usual(inner)]
                continue
            reason = f"more than {DEEPEST} objects and lists within each other"
        if reason is not None:
            return _said(place), reason
    return None


def _is_usual(value: Any) -> bool:
    """Whether a value is one of those that most are and that need no second look."""
    kind = type(value)
    return value is None or kind is bool or (kind is str and value.isascii())


def _inside(value: Any) -> Iterator[tuple[Any, Any]]:
    yield from value.items() if isinstance(value, dict) else enumerate(value)


def _wrong(value: Any) -> str | None:
    """What is wrong with a value, apart from what it holds."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or not _is_text(key):
                return f"the key {ascii(key)[:80]}, which is no Unicode text,"
    elif isinstance(value, str):
        return None if _is_text(value) else f"{ascii(value)[:80]}, which is no Unicode text,"
    elif isinstance(value, float):
        return None if math.isfinite(value) else f"{float(value)!r}, which is no number in JSON,"
    elif isinstance(value, int):
        return None if -BEYOND < value < BEYOND else "an integer of more than 4000 digits"
    elif value is not None and not isinstance(value, list | tuple):
        return f"a value of type {type(value).__name__}, which JSON does not have,"
    return None


def _is_text(text: str) -> bool:
    """Whether a text has no half of a surrogate pair."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _said(place: _Place) -> str:
    """A place as ``metadata.attributes.title``, in printable letters, its middle left out where it is long."""
    keys = list[str]()
    while place is not None:
        place, key = place
        keys.append(str(key))
    shown = ascii(".".join(reversed(keys)))[1:-1] or "the outermost value"
    return shown if len(shown) <= 120 else f"{shown[:80]}...{shown[-30:]}"


def _largest(data: Any) -> tuple[str, int]:
    """What makes data long: where it stands, and its bytes."""
    value, size = data, 0
    place: _Place = None
    while isinstance(value, dict) and value:
        sizes = {name: len(json.dumps(inner)) for name, inner in value.items()}
        key = max(sizes, key=sizes.__getitem__)
        if place is not None and sizes[key] < size // 2:
            break
        size, value, place = sizes[key], value[key], (place, key)
    return _said(place), size
