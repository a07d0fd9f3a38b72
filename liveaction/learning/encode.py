"""An encoder in front of a network, in the training loop: samples are augmented at will and encoded each time."""

from copy import deepcopy
from math import prod
from typing import Literal

import torch
from torch import nn

from liveaction.codec.model import Model
from liveaction.coding.quantize import add_noise, to_symbols
from liveaction.errors import ShapeError, SpecError
from liveaction.learning.inputs import InputSpec, Statistics, Task

Rounding = Literal["round", "noise", "none"]


class Encode(nn.Module):
    """Samples to the dequantised latents that a store or a stream of them holds: ``[B, C, *S]`` to ``[B, L, *G]``.

    Args:
        model: with as many latents for every signal.
        grad: whether gradients pass, to the samples and to the encoder, of which this then has weights of its own.
        rounding: ``round``, as in a stream, past which gradients go straight; ``noise``, evenly drawn of one step, as
            in the training of codecs; ``none``.
        step: of the quantiser; the model's where None.
        normalised: samples are in [-1, 1] already, not in the unit.
        limits: what maps onto -1 and 1, the recipe's where None; such as (0, 255) of pictures whose range is
            ``native``.

    Raises:
        SpecError: the number of latents, or what they mean, depends on the signal; a range that is not two numbers,
            where samples are not normalised and no limits are given; another rounding; a step that is not positive.

    Example:
        >>> import liveaction
        >>> encode = Encode(liveaction.load("runs/ct", device="cpu"), rounding="noise")
        >>> encode(torch.zeros(2, 1, 32, 24, 16)).shape[:2] == (2, encode.codec.latents)
        True
    """

    def __init__(
        self,
        model: Model,
        grad: bool = False,
        rounding: Rounding = "round",
        step: float | None = None,
        normalised: bool = False,
        limits: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        codec, recipe = model.codec, model.recipe
        if codec.own or codec.others or recipe.codec.encoder.kind == "predicted":
            kind = "a basis of each signal's own" if codec.own else "several trees" if codec.others else "predicted"
            raise SpecError(
                f"encode: expected a model with the same latents for every signal, got {kind}; take a recipe of kind "
                "linear or pointwise"
            )
        if rounding not in ("round", "noise", "none"):
            raise SpecError(f"rounding: expected round, noise or none, got {rounding!r}")
        if step is not None and not 0 < step < float("inf"):
            raise SpecError(f"step: expected a positive number, got {step!r}")
        self.codec = deepcopy(codec) if grad else codec
        self.codec.encoder.requires_grad_(grad)
        self.grad, self.rounding = grad, rounding
        self.limits = None if normalised else _limits(limits or recipe.modality.range)
        self.step, self.axes = step or codec.quantizer.step, recipe.modality.axes

    def train(self, mode: bool = True) -> "Encode":
        """As of any module; an encoder that does not learn stays in evaluation mode."""
        super().train(mode)
        if not self.grad:
            self.codec.eval()
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Latents, float32.

        Raises:
            ShapeError: ``x`` is not ``[B, C, *S]`` of the model.
            SpecError: samples that are not finite, where latents are rounded.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.grad):
            return self._latents(x if self.limits is None else self._normalised(x, self.limits))

    def _latents(self, x: torch.Tensor) -> torch.Tensor:
        quantizer = self.codec.quantizer
        if x.ndim != len(self.axes) + 2 or 0 in x.shape[2:]:
            raise ShapeError(
                f"encode: expected [B, C, *S] with at least one sample along {self.axes}, got {tuple(x.shape)}"
            )
        if self.rounding == "round" and not torch.is_grad_enabled():
            return quantizer.expand(self.codec.to_symbols(x, self.step).float() * self.step)
        u = quantizer.compand(self.codec.encode(x))
        if self.rounding == "round":
            rounded = to_symbols(u, self.step, self.codec.spec.quantizer.dead_zone) * self.step
            u = rounded + (u - u.detach())  # the rounded value to the bit, with the gradient of the other
        elif self.rounding == "noise":
            u = add_noise(u, self.step, None)
        return quantizer.expand(u)

    @staticmethod
    def _normalised(x: torch.Tensor, limits: tuple[float, float]) -> torch.Tensor:
        """In the arithmetic of a modality's ``normalise``, with gradients."""
        low, high = limits
        fine = high - low < max(max(abs(low), abs(high)) * 2.0**-12, 2.0**-100)
        if fine:
            return (2 * ((x.double().clamp(low, high) - low) / (high - low)) - 1).float()
        return x.float().clamp(low, high).sub(low).mul(2.0 / (high - low)).sub(1.0)

    @torch.no_grad()
    def measure(self, x: torch.Tensor) -> Statistics:
        """Of the latents of samples ``[B, C, *S]`` that are learnt from, for the scale of a network behind this."""
        y = self(x).transpose(0, 1).flatten(1).double()
        parts = (y.mean(1), y.std(1, unbiased=False), y.amin(1), y.amax(1))
        mean, deviation, least, most = (tuple(part.tolist()) for part in parts)
        return Statistics(mean=mean, deviation=deviation, least=least, most=most)

    def spec(
        self, extents: tuple[int, ...], task: Task, outputs: int, statistics: Statistics, names: tuple[str, ...] = ()
    ) -> InputSpec:
        """What a network behind this needs to know.

        Args:
            extents: S of the samples.
            task, outputs, names: of the labels; of maps at the samples.
            statistics: as :meth:`measure` gives them.

        Raises:
            SpecError: other axes than the model's.
        """
        factors = self.codec.packets.factors
        if len(extents) != len(factors) or not prod(extents):
            raise SpecError(f"extents: expected positive ones of {self.axes}, got {extents}")
        return InputSpec(
            channels=self.codec.latents,
            grid=tuple(-(-n // factor) for n, factor in zip(extents, factors, strict=True)),
            axes=self.axes,
            factors=factors,
            task=task,
            outputs=outputs,
            names=names,
            label_factors=factors if task == "map" else (),
            step=self.step if self.rounding == "round" else 0.0,
            statistics=statistics,
        )


def _limits(known: object) -> tuple[float, float]:
    if not isinstance(known, tuple) or not known[0] < known[1]:
        raise SpecError(
            f"encode: expected a range of two numbers for samples in the unit, got {known!r}; give limits=(low, high), "
            "or samples in [-1, 1] and normalised=True"
        )
    return float(known[0]), float(known[1])
