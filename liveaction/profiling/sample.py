"""What a sample of the data says about a recipe: range, clipping, padding, advice."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from liveaction.codec.summary import summarise
from liveaction.mapped import parts
from liveaction.signal import Signal
from liveaction.spec import Recipe
from liveaction.transforms.wavelet import level_filters

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality


@dataclass(frozen=True)
class SampleFacts:
    """One signal against one recipe.

    Attributes:
        name: of the file.
        shape: ``[C, *S]``; ``padding`` samples added per axis.
        dtype, unit: of the source.
        least, largest: of what was measured, in the unit; NaN where nothing was.
        range: the values that map onto -1 and 1.
        clipped_share: of what was measured, outside the range; ``missing_share`` of all values.
        native_bytes: in the source's dtype.
        read_seconds: the reader took.
        advice: lines of what to change, those of the recipe first.
    """

    name: str
    shape: tuple[int, ...]
    padding: tuple[int, ...]
    dtype: str
    unit: str
    least: float
    largest: float
    range: tuple[float, float]
    clipped_share: float
    missing_share: float
    native_bytes: int
    read_seconds: float
    advice: tuple[str, ...]


def sample_facts(
    name: str, signal: Signal, modality: "Modality", recipe: Recipe, read_seconds: float = 0.0
) -> SampleFacts:
    """Look at one signal.

    Raises:
        SpecError: the recipe's range does not fit the signal's dtype.
    """
    summary = summarise(recipe, signal.shape, signal.values.shape[0])
    low, high = modality.range_of(signal)
    least, largest, clipped = _spread(signal, low, high)
    missing = 0.0 if signal.missing is None else float(signal.missing.mean())
    padding = tuple(p - n for p, n in zip(summary.padded, signal.shape, strict=True))
    lines = [*summary.advice, *_of_values(least, largest, (low, high), clipped, missing)]
    lines += _of_extents(recipe, signal.shape, padding, summary.grid)
    return SampleFacts(
        name=name,
        shape=signal.values.shape,
        padding=padding,
        dtype=signal.dtype,
        unit=signal.unit,
        least=least,
        largest=largest,
        range=(low, high),
        clipped_share=clipped,
        missing_share=missing,
        native_bytes=signal.native_bits // 8,
        read_seconds=read_seconds,
        advice=tuple(lines),
    )


def _spread(signal: Signal, low: float, high: float) -> tuple[float, float, float]:
    """Least and largest of what was measured, NaN where nothing was, and which share lies outside the limits."""
    least, largest, count, clipped = [], [], 0, 0
    for part in parts(signal.values):
        values = signal.values[part] if signal.missing is None else signal.values[part][~signal.missing[part]]
        if values.size:
            least.append(float(values.min()))
            largest.append(float(values.max()))
            count += values.size
            clipped += int(np.count_nonzero((values < low) | (values > high)))
    return (min(least), max(largest), clipped / count) if count else (float("nan"), float("nan"), 0.0)


def _of_values(least: float, largest: float, limits: tuple[float, float], clipped: float, missing: float) -> list[str]:
    low, high = limits
    if np.isnan(least):
        return ["nothing was measured in this file; take another one"]
    lines = []
    if least == largest:
        lines.append(f"the signal is constant, {least:g}; take another file, or check modality.options")
    if clipped > 0.01:
        lines.append(
            f"the range [{low:g}, {high:g}] clips {clipped:.1%} of the values, which lie from {least:g} to "
            f"{largest:g}; widen modality.range"
        )
    used = (min(largest, high) - max(least, low)) / (high - low)
    if least < largest and 0 <= used < 0.1:
        lines.append(
            f"the values take {used:.1%} of the range [{low:g}, {high:g}]; a range near [{least:g}, {largest:g}] "
            "spends the quantiser on them"
        )
    if missing > 0.5:
        lines.append(f"{missing:.0%} of the values are missing; crop the file where most of it is measured")
    return lines


def _of_extents(recipe: Recipe, shape: tuple[int, ...], padding: tuple[int, ...], grid: tuple[int, ...]) -> list[str]:
    lines = []
    levels, blocks = recipe.codec.levels_per_axis(recipe.axes), recipe.codec.blocks_per_axis(recipe.axes)
    taps = len(level_filters(recipe.codec.wavelet)[0])
    for name, n, level, block, more in zip(recipe.modality.axes, shape, levels, blocks, padding, strict=True):
        reach = block or (taps * 2 ** (level - 1) if level else 1)
        what, way = f"the filter of level {level}", "fewer codec.levels"
        if block:
            what, way = "a block of codec.lapped", "a smaller one"
        if n < reach:
            lines.append(f"axis {name} has {n} samples and {what} spans {reach}; {way} there")
        if more > 0.1 * n:
            lines.append(f"padding adds {more} to the {n} samples of axis {name}; {way} there")
    if prod(grid) < 8:
        way = "a smaller codec.lapped" if any(blocks) else "fewer codec.levels"
        lines.append(f"the {'blocks' if any(blocks) else 'levels'} leave {prod(grid)} token(s) of this file; {way}")
    if any(extent > n for crop in recipe.crops for extent, n in zip(crop, shape, strict=True)):
        crop = max(recipe.crops, key=prod)
        lines.append(
            f"training crops of {list(crop)} are longer than this file, and repeat its edge; shorten training.crop"
        )
    return lines + _of_warm_start(recipe, prod(grid))


def _of_warm_start(recipe: Recipe, tokens: int) -> list[str]:
    """Whether there are tokens enough for the moments that a warm start measures; a sparse encoder's takes none."""
    if recipe.training.start != "warm" or recipe.codec.encoder.sparse:
        return []
    lines, factors = [], recipe.codec.factors(recipe.axes)
    seen = recipe.training.warm_crops * prod(n // f for n, f in zip(recipe.crops[0], factors, strict=True))
    if seen < 4 * recipe.hidden:
        lines.append(
            f"the warm start measures {seen} tokens for a hidden width of {recipe.hidden}; more "
            f"training.warm_crops, at least {-(-4 * recipe.hidden * recipe.training.warm_crops // seen)}"
        )
    if tokens < 4 * recipe.hidden:
        files = -(-4 * recipe.hidden // tokens)
        lines.append(
            f"this file has {tokens} tokens of their own for a hidden width of {recipe.hidden}; train on at least "
            f"{files} such files, or with fewer codec.levels"
        )
    return lines
