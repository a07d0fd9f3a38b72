"""Is it right: every implementation against the float64 reference, on fresh random inputs, before anything is timed."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch

from liveaction.profiling.case import Arguments, Case, Result, Shape
from liveaction.testing import assert_kernel_close, poisoned

# Relative root-mean-square error that plain PyTorch may have at a dtype.
PLAIN = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
LARGEST = 2**26
"""The gate checks the timed shape itself up to so many elements of all inputs, and a part of it beyond."""

Run = Callable[..., Result]


def gate_shapes(case: Case, shape: Shape) -> tuple[Shape, ...]:
    """The timed shape, its longest extent halved until it fits, and the case's odd ones."""
    part = shape
    while _elements(part) > LARGEST:
        longest = max(range(2, len(part)), key=lambda axis: part[axis])
        smaller = (*part[:longest], part[longest] // 2, *part[longest + 1 :])
        if not part[longest] > 1 or case.refuses(smaller):
            break
        part = smaller
    odd = tuple(other for other in case.gate_shapes(shape) if not case.refuses(other))
    return (part, *odd)


def _elements(shape: Shape) -> int:
    total = 1
    for n in shape:
        total *= n
    return total


class Gate:
    """Checks implementations of a case on one shape with one draw of inputs.

    Args:
        case, shape, dtype, device: what is checked.
        seed: of the inputs.
        backward: check the gradients of all floating-point arguments too.

    Raises:
        Exception: whatever the reference or the yardstick raises.
    """

    def __init__(
        self, case: Case, shape: Shape, dtype: torch.dtype, device: torch.device, seed: int, backward: bool
    ) -> None:
        self.case, self.shape, self.dtype, self.device = case, shape, dtype, device
        self.seed, self.backward = seed, backward
        self.arguments = case.make_inputs(shape, dtype, device, torch.Generator().manual_seed(seed))
        self.truth = self._evaluate(case.reference, wide(self.arguments))

    def yardstick(self, plain: Run) -> None:
        """Take what plain PyTorch at the dtype gives as the measure of what error is allowed."""
        self.plain = self._evaluate(plain, self.arguments)

    def check(self, run: Run, gradients: bool = True) -> str:
        """What is wrong with ``run`` by :func:`liveaction.testing.assert_kernel_close`; empty when it is right."""
        with poisoned(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # which operations have no deterministic form does not matter here
            found = self._evaluate(run, self.arguments, gradients)
        return self._compare(found, self._wanted(self.truth, gradients))

    def check_plain(self, run: Run, reference: Run | None = None, gradients: bool = True) -> str:
        """The same for plain PyTorch, compiled or not, and published code: by the error that a dtype explains."""
        truth = self.truth if reference is None else self._evaluate(reference, wide(self.arguments))
        found = self._evaluate(run, self.arguments, gradients)
        limit = PLAIN[self.dtype]
        for name, right in self._wanted(truth, gradients).items():
            if (wrong := _wrong_shape(name, found.get(name), right)) or name not in found:
                return wrong
            k, r = found[name].double(), right.double()
            error = float((k - r).square().mean().sqrt() / r.square().mean().sqrt().clamp(min=1e-30))
            if not error <= limit:
                return f"{name}: expected a relative error of {limit:.0e} at most, got {error:.1e}"
        return ""

    @staticmethod
    def _wanted(truth: dict[str, torch.Tensor], gradients: bool) -> dict[str, torch.Tensor]:
        return {name: right for name, right in truth.items() if gradients or not name.startswith("gradient")}

    def _compare(self, found: dict[str, torch.Tensor], truth: dict[str, torch.Tensor]) -> str:
        for name, right in truth.items():
            if (wrong := _wrong_shape(name, found.get(name), right)) or name not in found:
                return wrong
            if not found[name].is_floating_point():
                if not torch.equal(found[name], self.plain[name]):
                    return f"{name}: expected the integers of plain PyTorch, got others"
                continue
            try:
                assert_kernel_close(found[name], right, self.plain[name], name)
            except AssertionError as error:
                return " ".join(str(error).split())
        return ""

    def _evaluate(self, run: Run, arguments: Arguments, gradients: bool = True) -> dict[str, torch.Tensor]:
        """Outputs and, if wanted, gradients by name; the upstream gradient is the same for all."""
        gradients = gradients and self.backward
        with torch.set_grad_enabled(gradients):
            leaves = tuple(leaf(value, gradients) for value in arguments)
            outputs = as_tuple(run(*leaves))
            found = {f"output {i}" if i else "output": tensor.detach() for i, tensor in enumerate(outputs)}
            if gradients:
                found |= self._gradients(outputs, leaves)
        return found

    def _gradients(self, outputs: tuple[torch.Tensor, ...], leaves: Arguments) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(self.seed + 1)
        upstream = [(y, torch.randn(y.shape, generator=generator)) for y in outputs if y.requires_grad]
        wanted = [(i, value) for i, value in enumerate(leaves) if is_leaf(value)]
        if not upstream:
            return {}
        gradients = torch.autograd.grad(
            [y for y, _ in upstream],
            [value for _, value in wanted],
            [dy.to(self.dtype).to(y) for y, dy in upstream],
            allow_unused=True,
        )
        pairs = zip(wanted, gradients, strict=True)
        return {f"gradient of argument {i}": dx for (i, _), dx in pairs if dx is not None}


def _wrong_shape(name: str, found: torch.Tensor | None, right: torch.Tensor) -> str:
    if found is None:
        return f"{name}: expected one, got none"
    if found.shape != right.shape:
        return f"{name}: expected shape {tuple(right.shape)} as of the reference, got {tuple(found.shape)}"
    return ""


def as_tuple(result: Result) -> tuple[torch.Tensor, ...]:
    """The outputs as a tuple."""
    return (result,) if isinstance(result, torch.Tensor) else tuple(result)


def tensors(arguments: Iterable[Any]) -> list[torch.Tensor]:
    """The tensors among the arguments."""
    return [value for value in arguments if isinstance(value, torch.Tensor)]


def wide(arguments: Arguments) -> Arguments:
    """Floating-point tensors in float64, the rest as it is."""
    return tuple(
        value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for value in arguments
    )


def leaf(value: Any, gradient: bool) -> Any:
    """A floating-point tensor as a leaf of its own, the rest as it is."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.detach().requires_grad_(gradient)
    return value


def is_leaf(value: Any) -> bool:
    """Whether a gradient for it is wanted."""
    return isinstance(value, torch.Tensor) and value.requires_grad
