"""What a network is told of the items that it learns from: shapes, scale, labels, and which augmentations are exact."""

from math import prod
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Task = Literal["class", "number", "map"]
"""What a label is: one class of an item, numbers of an item, or a class at every position of a grid."""
Wanted = Task | Literal["signal"]
"""What a network gives: a label, or the latents of another signal, on one grid of tokens with its input."""

Extent = Annotated[int, Field(ge=1, strict=True)]
Sign = Literal[-1, 1]
Deviation = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Statistics(_Table):
    """Of every channel over the items of the training split alone; of latents after dequantising, in latent units.

    Attributes:
        mean, deviation: per channel; ``least`` and ``most`` are the ends of its values.
        entropy: bits of a symbol by the frequencies of its channel; empty where values are no symbols.
    """

    mean: tuple[Number, ...]
    deviation: tuple[Deviation, ...]
    least: tuple[Number, ...]
    most: tuple[Number, ...]
    entropy: tuple[Deviation, ...] = ()

    @model_validator(mode="after")
    def _of_all_channels(self) -> Self:
        channels = len(self.mean)
        others = {len(self.deviation), len(self.least), len(self.most), len(self.entropy) or channels}
        if others != {channels}:
            raise ValueError(f"expected every number for each of {channels} channels, got {sorted(others)}")
        return self

    @property
    def scale(self) -> float:
        """Root mean square over all channels, of which each counts alike, after its mean is taken off."""
        count = max(1, len(self.deviation))
        return float((sum(value * value for value in self.deviation) / count) ** 0.5)


class Exact(_Table):
    """Which changes of a signal have an exact counterpart on what is kept of it.

    Attributes:
        linear: gain, polarity, offsets and mixtures are those of the values, once ``zero`` is taken off.
        zero: per channel, what a signal of zeros has; empty where not linear.
        one: per channel, what 1 more everywhere in the signal's unit adds; empty where nobody knows.
        flips: per axis that can be flipped, the sign that each channel takes while the grid is mirrored; exact where
            the extent is a multiple of the factor.
        reach: positions next to the border of a crop that know of what lies beyond; per axis.
    """

    linear: bool = False
    zero: tuple[Number, ...] = ()
    one: tuple[Number, ...] = ()
    flips: dict[str, tuple[Sign, ...]] = Field(default_factory=dict)
    reach: tuple[int, ...] = ()


class InputSpec(_Table):
    """What a network needs to know of its inputs ``[B, channels, *grid]`` and of its outputs.

    Attributes:
        channels: of an item: L latents, or C samples.
        grid: extents of an item, or of the crop that is taken of every item.
        axes: names of the axes of the grid.
        factors: samples of the signal per position, along each axis.
        task: see :data:`Wanted`; ``outputs`` is the number of classes, of numbers, or of latents; ``names`` those of
            classes.
        label_factors: of maps, label positions per position of the grid along each axis; 1 where both are one grid.
        step: of the quantiser, in the unit of the values; 0 of values that nobody rounded.
        statistics: of the training split.
        exact: see :class:`Exact`.
    """

    channels: Extent
    grid: Annotated[tuple[Extent, ...], Field(min_length=1, max_length=4)]
    axes: tuple[str, ...]
    factors: tuple[Extent, ...]
    task: Wanted
    outputs: Extent
    names: tuple[str, ...] = ()
    label_factors: tuple[Extent, ...] = ()
    step: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    statistics: Statistics
    exact: Exact = Exact()

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if not len(self.grid) == len(self.axes) == len(self.factors):
            raise ValueError(
                f"expected as many axes and factors as extents {self.grid}, got {self.axes}, {self.factors}"
            )
        if len(self.statistics.mean) != self.channels:
            raise ValueError(f"expected statistics of {self.channels} channels, got {len(self.statistics.mean)}")
        return self

    @property
    def samples(self) -> tuple[int, ...]:
        """Extents of the signal that the grid covers."""
        return tuple(n * factor for n, factor in zip(self.grid, self.factors, strict=True))

    @property
    def values(self) -> int:
        """Values of an item."""
        return self.channels * prod(self.grid)
