"""Gradients of custom operations that are computed only where they are wanted.

An operation's backward form takes flags in the order of its inputs and returns a list of what they name: the schema of
an operation knows no tensor that is not there.
"""

from collections.abc import Sequence
from typing import TypeVar

import torch

T = TypeVar("T")


def only_wanted(values: Sequence[T], wanted: Sequence[bool]) -> list[T]:
    """Those values whose flag is set."""
    return [value for value, flag in zip(values, wanted, strict=True) if flag]


def spread(gradients: Sequence[torch.Tensor], wanted: Sequence[bool]) -> tuple[torch.Tensor | None, ...]:
    """The wanted gradients at their inputs' places, None at the others: the inverse of :func:`only_wanted`."""
    rest = iter(gradients)
    return tuple(next(rest) if flag else None for flag in wanted)
