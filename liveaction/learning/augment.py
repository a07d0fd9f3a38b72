"""Changes of items that are drawn anew in every epoch, on what is kept of a signal in the signal's place.

Only what has an exact counterpart there is taken, as :class:`liveaction.learning.inputs.Exact` says; all else is
refused, since a network would learn from items that no signal has.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.errors import SpecError
from liveaction.learning.inputs import InputSpec

Values = NDArray[np.float32]
_WAY = "put it in front of the encoder with liveaction.learning.encode.Encode"
_LINEAR = f"take a linear encoder, or {_WAY}"


class Augmentation(ABC):
    """One change of an item."""

    @abstractmethod
    def apply(self, values: Values, label: Any, rng: np.random.Generator) -> tuple[Values, Any]:
        """Change an item.

        Args:
            values: ``[L, *G]``, dequantised; left as it is.
            label: a class, numbers, or a map ``[*]`` with as many axes as the grid.
            rng: what is drawn comes from it alone.

        Returns:
            New values, float32, and the label that belongs to them.
        """


@dataclass(frozen=True)
class Flip(Augmentation):
    """The mirror image along an axis, for half of the items; maps are mirrored, too.

    Attributes:
        axis: number of the axis of the grid.
        signs: that each channel takes.
        turns: whether the label is a map, which is mirrored along.
    """

    axis: int
    signs: tuple[int, ...]
    turns: bool = False

    def apply(self, values: Values, label: Any, rng: np.random.Generator) -> tuple[Values, Any]:
        """See :meth:`Augmentation.apply`."""
        if rng.random() < 0.5:
            return values, label
        flipped = np.flip(values, self.axis + 1) * _column(self.signs, values.ndim)
        return flipped, np.flip(label, self.axis) if self.turns else label


@dataclass(frozen=True)
class Gain(Augmentation):
    """Louder or fainter around what a signal of zeros has: a factor, evenly drawn between two."""

    low: float
    high: float
    zero: tuple[float, ...]

    def apply(self, values: Values, label: Any, rng: np.random.Generator) -> tuple[Values, Any]:
        """See :meth:`Augmentation.apply`."""
        return _scaled(values, rng.uniform(self.low, self.high), self.zero), label


@dataclass(frozen=True)
class Polarity(Augmentation):
    """The signal times -1, for half of the items."""

    zero: tuple[float, ...]

    def apply(self, values: Values, label: Any, rng: np.random.Generator) -> tuple[Values, Any]:
        """See :meth:`Augmentation.apply`."""
        return (_scaled(values, -1.0, self.zero) if rng.random() < 0.5 else values), label


@dataclass(frozen=True)
class Offset(Augmentation):
    """A constant more, evenly drawn between two, in the unit of the signal."""

    low: float
    high: float
    one: tuple[float, ...]

    def apply(self, values: Values, label: Any, rng: np.random.Generator) -> tuple[Values, Any]:
        """See :meth:`Augmentation.apply`."""
        amount = np.float32(rng.uniform(self.low, self.high))
        return values + amount * _column(self.one, values.ndim), label


@dataclass(frozen=True)
class Noise(Augmentation):
    """Evenly drawn in [-step / 2, step / 2): what rounding took, so that a network does not learn the steps."""

    step: float

    def apply(self, values: Values, label: Any, rng: np.random.Generator) -> tuple[Values, Any]:
        """See :meth:`Augmentation.apply`."""
        noise = rng.random(values.shape, np.float32) - np.float32(0.5)
        return values + np.float32(self.step) * noise, label


@dataclass(frozen=True)
class Mixup:
    """Each item of a batch with a share of another one (Zhang et al., "mixup", ICLR 2018).

    It needs two items, so a training loop calls it; a data set does not.

    Attributes:
        alpha: of the Beta distribution that the share comes from.

    Example:
        >>> spec = InputSpec(
        ...     channels=1, grid=(4,), axes=("t",), factors=(1,), task="class", outputs=2,
        ...     statistics={"mean": (0,), "deviation": (1,), "least": (-4,), "most": (4,)},
        ...     exact={"linear": True, "zero": (0,)},
        ... )
        >>> mixed = Mixup.parse("mixup:0.2", spec)(torch.zeros(2, 1, 4), torch.tensor([0, 1]), np.random.default_rng(0))
        >>> mixed.loss(lambda labels: labels.float().mean())
        tensor(0.5000)
    """

    alpha: float

    @classmethod
    def parse(cls, text: str, spec: InputSpec) -> "Mixup":
        """Of a text such as ``mixup:0.2``.

        Raises:
            SpecError: another text, or mixtures are not exact for these inputs.
        """
        name, _, alpha = text.partition(":")
        (number,) = _numbers(text, alpha, 1)
        if name != "mixup" or number <= 0:
            raise SpecError(f"augment: expected mixup:ALPHA with ALPHA above 0, got {text!r}")
        _require_linear(text, spec)
        return cls(number)

    def __call__(self, values: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator) -> "Mixed":
        """Values ``[B, L, *G]`` mixed with those of the same batch in another order, and the labels of both."""
        share = float(rng.beta(self.alpha, self.alpha))
        order = torch.from_numpy(rng.permutation(len(values))).to(values.device)
        others = labels[order.to(labels.device)]
        return Mixed(share * values + (1 - share) * values[order], labels, others, share)


@dataclass(frozen=True)
class Mixed:
    """A batch that is mixed: ``share`` of the items with ``labels``, the rest of those with ``others``."""

    values: torch.Tensor
    labels: torch.Tensor
    others: torch.Tensor
    share: float

    def loss(self, of: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """A loss, as a function of labels, weighed by the shares."""
        return self.share * of(self.labels) + (1 - self.share) * of(self.others)


def parse_augmentations(texts: Sequence[str], spec: InputSpec) -> tuple[Augmentation, ...]:
    """Augmentations by name, each bound to the inputs that it was checked against.

    Args:
        texts: ``flip:AXIS``, or ``flip:AXIS:invariant`` where numbers that are labels do not depend on direction;
            ``gain:LOW:HIGH``, ``offset:LOW:HIGH``, ``polarity``, ``noise``. They are applied in this order.
        spec: of the inputs.

    Raises:
        SpecError: an unknown one, numbers that do not fit, or one that is not exact for these inputs.

    Example:
        >>> spec = InputSpec(
        ...     channels=1, grid=(4,), axes=("t",), factors=(1,), task="class", outputs=2,
        ...     statistics={"mean": (0,), "deviation": (1,), "least": (-4,), "most": (4,)},
        ...     exact={"flips": {"t": (-1,)}},
        ... )
        >>> parse_augmentations(["flip:t"], spec)
        (Flip(axis=0, signs=(-1,), turns=False),)
    """
    if isinstance(texts, str):
        raise SpecError(f"augment: expected a list of texts, got the text {texts!r}; write [{texts!r}]")
    return tuple(_parse(text, spec) for text in texts)


def _parse(text: str, spec: InputSpec) -> Augmentation:
    name, _, rest = text.partition(":")
    if name == "flip":
        return _flip(text, rest, spec)
    if name in ("gain", "offset"):
        low, high = _numbers(text, rest, 2)
        if not low <= high:
            raise SpecError(f"augment: expected {name}:LOW:HIGH with LOW up to HIGH, got {text!r}")
        _require_linear(text, spec)
        return Gain(low, high, spec.exact.zero) if name == "gain" else Offset(low, high, _one(text, spec))
    if text == "polarity":
        _require_linear(text, spec)
        return Polarity(spec.exact.zero)
    if text == "noise":
        if not spec.step:
            raise SpecError("augment: expected values that were rounded for 'noise', got a step of 0; leave it out")
        return Noise(spec.step)
    if name == "mixup":
        raise SpecError(
            f"augment: expected changes of one item, got {text!r}; mix batches in the loop with Mixup.parse"
        )
    known = "flip:AXIS, gain:LOW:HIGH, offset:LOW:HIGH, polarity, noise"
    raise SpecError(f"augment: expected one of {known}, got {text!r}; for others {_WAY}")


def _flip(text: str, rest: str, spec: InputSpec) -> Flip:
    axis, _, word = rest.partition(":")
    if axis not in spec.axes or word not in ("", "invariant"):
        raise SpecError(f"augment: expected flip:AXIS with one of {spec.axes}, got {text!r}")
    signs = spec.exact.flips.get(axis)
    if signs is None:
        raise SpecError(
            f"augment: expected an encoder whose latents can be mirrored along {axis!r} for {text!r}, got one whose "
            f"flips are exact along {tuple(spec.exact.flips)}; keep mirrored views in the store, or {_WAY}"
        )
    if spec.task == "number" and not word:
        raise SpecError(
            f"augment: expected labels that a flip leaves alone for {text!r}, got numbers, which may be directions; "
            f"say {text}:invariant where they are not"
        )
    return Flip(spec.axes.index(axis), signs, spec.task == "map")


def _numbers(text: str, rest: str, count: int) -> list[float]:
    try:
        found = [float(part) for part in rest.split(":")]
    except ValueError:
        found = []
    if len(found) != count or not np.isfinite(found).all():
        raise SpecError(f"augment: expected {count} finite number{'s' * (count > 1)} after the name, got {text!r}")
    return found


def _require_linear(text: str, spec: InputSpec) -> None:
    if not spec.exact.linear:
        raise SpecError(f"augment: expected a linear encoder for {text!r}, got another one; {_LINEAR}")


def _one(text: str, spec: InputSpec) -> tuple[float, ...]:
    if not spec.exact.one:
        raise SpecError(
            f"augment: expected inputs that say what a signal of ones adds for {text!r}, got none, as every file has a "
            f"range of its own; take a recipe with a range of two numbers, or {_WAY}"
        )
    return spec.exact.one


def _column(numbers: Sequence[float], ndim: int) -> Values:
    return np.asarray(numbers, np.float32).reshape(-1, *(1,) * (ndim - 1))


def _scaled(values: Values, factor: float, zero: tuple[float, ...]) -> Values:
    base = _column(zero, values.ndim)
    return (values - base) * np.float32(factor) + base
