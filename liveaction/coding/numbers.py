"""Lists of numbers in a text, as short bytes: decimals by their differences, float32 as they are.

Texts are the ones of JSON in ASCII, which may hold other texts with lists in them, such as wavelengths of an image's
header. What is packed comes back to the letter; what would not stays text.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

import numpy as np

from liveaction.coding.varint import read_varint, write_varint, write_varints

LEAST = 6
"""Numbers of a list that is worth a place; fewer are shorter as text."""

MOST_DECIMALS = 17
MOST_DIGITS = 17
"""Of a decimal number, its point left out: three differences of them stay below 2**63."""

ORDERS = 4
"""A list's numbers themselves, their differences, differences of these, and once more."""

STYLES = 3
"""Zeros at the end: left out, and the point with them; left out but for the one of ``1.0``; kept."""

_NUMBER = r"-?(?:0|[1-9]\d{0,16})(?:\.\d{1,17})?"
_BETWEEN = r",(?: |\\n)? ?| ,? ?"
_RUN = re.compile(rf"(?<![\d.+-]){_NUMBER}(?P<between>{_BETWEEN}){_NUMBER}(?:(?P=between){_NUMBER})+(?![\w.+-])")
_FLOAT = r"-?\d+\.\d+(?:e[+-]\d+)?"
_FLOATS = re.compile(rf"(?<=\[){_FLOAT}(?:,{_FLOAT})*(?=\])")


def find_decimals(text: str) -> Iterator[tuple[int, int, bytes]]:
    """Lists of decimal numbers in a text: where they begin and end, and their bytes, which are fewer than the text."""
    for found in _RUN.finditer(text):
        between = found["between"]
        numbers = found[0].split(between)
        if len(numbers) < LEAST:
            continue
        whole, parts = [(0, len(numbers))], list(_alike(numbers))
        made = min((_pack_parts(numbers, cut, between) for cut in (whole, parts)), key=_cost)
        places = [found.start()]
        for number in numbers:
            places.append(places[-1] + len(number) + len(between))
        for low, high, data in made:
            start, end = places[low], places[high] - len(between)
            if len(data) < end - start:
                yield start, end, data


def find_floats(text: str) -> Iterator[tuple[int, int, bytes]]:
    """Lists of JSON within which a number is long, and all are float32: where they stand, and their bytes."""
    for found in _FLOATS.finditer(text):
        numbers = found[0].split(",")
        if max(map(len, numbers)) < 9:
            continue
        with np.errstate(over="ignore"):
            values = np.array([float(number) for number in numbers]).astype("<f4")
        if _write_floats(values.tobytes()) == found[0]:
            yield found.start(), found.end(), write_varint(len(values)) + values.tobytes()


def read_floats(data: bytes, at: int) -> tuple[str, int]:
    """The text of a list that :func:`find_floats` found, and the place behind it.

    Raises:
        ValueError: no such bytes.
    """
    count, at = read_varint(data, at)
    end = at + 4 * count
    if end > len(data):
        raise ValueError(f"expected {count} numbers, got fewer")
    return _write_floats(data[at:end]), end


def read_decimals(data: bytes, at: int, most: int) -> tuple[str, int]:
    """The text of a list that :func:`find_decimals` found, and the place behind it.

    Raises:
        ValueError: no such bytes, or more than ``most`` numbers.
    """
    count, at = read_varint(data, at)
    kind, at = read_varint(data, at)
    decimals, style, order = kind // (ORDERS * STYLES), kind // ORDERS % STYLES, kind % ORDERS
    size, at = read_varint(data, at)
    between = data[at : at + size].decode("ascii")
    at += size
    if decimals > MOST_DECIMALS or count > min(most, len(data) - at) or size > 4:
        raise ValueError(f"expected {count} numbers of {decimals} decimals, got other bytes")
    sums, texts = [0] * (order + 1), []
    for _ in range(count):
        value, at = read_varint(data, at)
        sums[order] = value >> 1 ^ -(value & 1)
        for level in range(order - 1, -1, -1):
            sums[level] += sums[level + 1]
        if abs(sums[0]) >= 10**MOST_DIGITS:
            raise ValueError(f"expected numbers of at most {MOST_DIGITS} digits, got more")
        texts.append(_text(sums[0], decimals, style))
    return between.join(texts), at


def _alike(numbers: list[str]) -> Iterator[tuple[int, int]]:
    """Where a list is cut so that numbers of a part have as many digits before the point: six digits in all, say."""
    sizes = [len(number.partition(".")[0]) for number in numbers]
    cuts = [0, *(n + 1 for n, (one, two) in enumerate(pairwise(sizes)) if one != two), len(numbers)]
    return ((low, high) for low, high in pairwise(cuts) if high - low >= LEAST)


def _pack_parts(numbers: list[str], cut: list[tuple[int, int]], between: str) -> list[tuple[int, int, bytes]]:
    made = ((low, high, _pack(numbers[low:high], between)) for low, high in cut)
    return [(low, high, data) for low, high, data in made if data is not None]


def _cost(parts: list[tuple[int, int, bytes]]) -> float:
    """Bytes per number, those that stay text counted as four."""
    return sum(len(data) - 4 * (high - low) for low, high, data in parts)


def _pack(numbers: list[str], between: str) -> bytes | None:
    """Bytes of a list; None where no style gives its text."""
    decimals = max(len(number.partition(".")[2]) for number in numbers)
    if max(len(number.partition(".")[0]) for number in numbers) + decimals > MOST_DIGITS:
        return None
    values = [int(Decimal(number).scaleb(decimals)) for number in numbers]
    for style in range(STYLES):
        if all(_text(value, decimals, style) == number for value, number in zip(values, numbers, strict=True)):
            break
    else:
        return None
    made = []
    for order in range(ORDERS):
        kind = (decimals * STYLES + style) * ORDERS + order
        head = write_varints([len(values), kind, len(between)]) + between.encode("ascii")
        made.append(head + write_varints(2 * value if value >= 0 else -2 * value - 1 for value in values))
        values = [value - before for before, value in pairwise([0, *values])]
    return min(made, key=len)


def _text(value: int, decimals: int, style: int) -> str:
    sign, digits = "-" * (value < 0), f"{abs(value):0{decimals + 1}d}"
    whole, part = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    if style < 2:
        part = part.rstrip("0") or "0" * style
    return f"{sign}{whole}.{part}" if part else sign + whole


def _write_floats(data: bytes) -> str:
    return ",".join(repr(float(value)) for value in np.frombuffer(data, "<f4"))
