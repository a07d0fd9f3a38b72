"""A Case: one operation with all that checking and measuring it needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from liveaction.errors import SpecError

Shape = tuple[int, ...]
Arguments = tuple[Any, ...]
Result = torch.Tensor | tuple[torch.Tensor, ...]


def odd_shapes(shape: Shape) -> tuple[Shape, ...]:
    """Two small shapes of as many axes whose token counts no tile divides: one token, and a batch of two."""
    axes = len(shape) - 2
    odd = {1: (65,), 2: (5, 13), 3: (3, 5, 7)}.get(axes, (3,) * axes)
    return (1, shape[1], *(1,) * axes), (2, shape[1], *odd)


def _takes_all(shape: Shape) -> str:
    return ""


@dataclass(frozen=True)
class Case:
    """One operation.

    A shape is ``[B, C, *S]``, batch, channels and extents, whatever tensors ``make_inputs`` makes of it.

    Attributes:
        name: what tables and records call it.
        make_inputs: (shape, dtype, device, generator) -> the arguments of ``function``. The generator lives on the CPU.
        function: the operation; returns a tensor or a tuple of them.
        reference: the same in plain PyTorch, obvious rather than fast; also called with float64 arguments, in which it
            is the truth.
        bytes: (shape, dtype) -> the fewest bytes to move: each input read once, each output written once.
        flops: shape -> operations needed, a multiplication and an addition counted as two.
        shapes: those measured where none is asked for; ``large`` are measured on CUDA devices as well.
        dispatched: implementations that ``function`` chooses from through :mod:`liveaction.kernels.dispatch`. Empty for
            a function that does not: it is then measured as it is, beside its reference.
        anchor: the published package's form of the operation, on the same arguments. An ImportError means that the
            package is not installed.
        anchor_reference: the truth for ``anchor`` where it computes something a little different.
        refuses: shape -> why the operation cannot take it; empty where it can.
        gate_shapes: shape -> further shapes to check correctness on.
        dtypes: names of the dtypes that it takes.
        backward_bytes, backward_flops: what the backward pass alone moves and computes; where left out, backward is
            timed without rates.
        candidates: values of launch settings to try when tuning; others are halved and doubled.
    """

    name: str
    make_inputs: Callable[[Shape, torch.dtype, torch.device, torch.Generator], Arguments]
    function: Callable[..., Result]
    reference: Callable[..., Result]
    bytes: Callable[[Shape, torch.dtype], int]
    flops: Callable[[Shape], int]
    shapes: tuple[Shape, ...]
    large: tuple[Shape, ...] = ()
    dispatched: tuple[str, ...] = ()
    anchor: Callable[..., Result] | None = None
    anchor_reference: Callable[..., Result] | None = None
    refuses: Callable[[Shape], str] = _takes_all
    gate_shapes: Callable[[Shape], tuple[Shape, ...]] = odd_shapes
    dtypes: tuple[str, ...] = ("float32", "bfloat16", "float16")
    backward_bytes: Callable[[Shape, torch.dtype], int] | None = None
    backward_flops: Callable[[Shape], int] | None = None
    candidates: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def parse_shape(text: str) -> Shape:
    """``512,32768`` (channels, tokens) or ``1,512,32,32,32`` (batch, channels, extents) as ``[B, C, *S]``.

    Raises:
        SpecError: something else.
    """
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) < 2 or min(numbers) < 1:
        raise SpecError(
            f"--shape: expected channels,tokens such as 512,32768 or batch,channels,extents such as 1,512,32,32,32, "
            f"got {text!r}"
        )
    return (1, *numbers) if len(numbers) == 2 else numbers


def parse_dtype(text: str, case: Case) -> torch.dtype:
    """The torch dtype of that name.

    Raises:
        SpecError: not one that the case takes.
    """
    if text not in case.dtypes:
        raise SpecError(f"--dtype: expected one of {', '.join(case.dtypes)} for {case.name}, got {text!r}")
    dtype: torch.dtype = getattr(torch, text)
    return dtype
