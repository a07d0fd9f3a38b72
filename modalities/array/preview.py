"""A picture of an array and its reconstruction: lines of one axis, an image of two, middle planes of more."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.modalities.drawing import (
    DARK,
    DIM,
    GRID,
    LIGHT,
    apart,
    check_pair,
    colour_bar,
    dress,
    error_colours,
    save_figure,
    start_figure,
)
from liveaction.signal import Signal

_LINES = {"original": "#7cc4ff", "reconstruction": "#f9d65c", "error": "#ff7a59"}
_LOST = "#4a3f55"
_ROWS = 4  # channels that lines are drawn of, at most
_POINTS = 2000  # of a line; longer ones are drawn as the band between least and largest

Kinds = dict[str, NDArray[Any]]


def draw_preview(original: Signal | None, reconstruction: Signal, path: Path, title: str = "") -> None:
    """Draw before, after and error to a PNG, in the signal's unit; what is missing is left out.

    Args:
        original: ``[C, *S]``, or None.
        reconstruction: the same shape.
        path: the file to write.
        title: a line above the picture.

    Raises:
        ShapeError: the two shapes differ.
    """
    check_pair(original, reconstruction)
    kinds: Kinds = {} if original is None else {"original": known_values(original)}
    kinds["reconstruction"] = known_values(reconstruction)
    if original is not None:
        kinds["error"] = kinds["reconstruction"] - kinds["original"]
    draw = _lines if len(reconstruction.shape) == 1 else _planes
    figure = draw(kinds, reconstruction)
    save_figure(figure, path, title or "array", size=14, down=0.25)


def known_values(signal: Signal) -> NDArray[Any]:
    """float64 values, NaN where missing."""
    values = signal.values.astype(np.float64)
    return values if signal.missing is None else np.where(signal.missing, np.nan, values)


def _in_unit(word: str, unit: str) -> str:
    return f"{word} / {unit}" if unit else word


def _lines(kinds: Kinds, signal: Signal) -> Any:
    """Per channel the signals over one another, and the error below."""
    channels = min(signal.values.shape[0], _ROWS)
    heights = [2.0, 1.0] * channels if "error" in kinds else [2.0] * channels
    figure = start_figure(13, 1.3 + 1.25 * sum(heights))
    grid = figure.add_gridspec(
        len(heights), 1, height_ratios=heights, left=0.08, right=0.98, hspace=0.35,
        top=1 - 0.85 / figure.get_figheight(), bottom=0.6 / figure.get_figheight(),
    )  # fmt: skip
    rows = []
    for channel in range(channels):
        mine = [name for name in kinds if name != "error"]
        rows.append((channel, mine, _in_unit("value", signal.unit)))
        if "error" in kinds:
            rows.append((channel, ["error"], _in_unit("error", signal.unit)))
    for row, (channel, names, label) in enumerate(rows):
        axes = figure.add_subplot(grid[row, 0])
        dress(axes, DARK, frame=GRID)
        for name in names:
            _line(axes, kinds[name][channel], signal.spacing[0], name)
        axes.set_ylabel(label, color=LIGHT, fontsize=9)
        if names != ["error"]:
            more = f" of {signal.values.shape[0]}" if signal.values.shape[0] > 1 else ""
            axes.set_title(f"channel {channel + 1}{more}" if more else "", color=LIGHT, fontsize=10, loc="left")
            axes.legend(loc="upper right", fontsize=8, facecolor=DARK, edgecolor=GRID, labelcolor=LIGHT, ncols=2)
        if row < len(rows) - 1:
            axes.tick_params(labelbottom=False)
        else:
            axes.set_xlabel(signal.axes[0], color=LIGHT, fontsize=10)
    return figure


def _line(axes: Any, values: NDArray[Any], step: float, name: str) -> None:
    place = np.arange(len(values)) * step
    width = -(-len(values) // _POINTS)
    if width == 1:
        axes.plot(place, values, color=_LINES[name], linewidth=1, label=name, marker="." if len(values) == 1 else "")
    else:
        cut = values[: len(values) // width * width].reshape(-1, width)
        some = ~np.isnan(cut).all(axis=1)
        low, high = np.nanmin(cut[some], axis=1), np.nanmax(cut[some], axis=1)
        at = place[: cut.size : width][some]
        axes.fill_between(at, low, high, color=_LINES[name], linewidth=0.6, alpha=0.65, label=name)
    axes.set_xlim(place[0] - step / 2, place[-1] + step / 2)


def _planes(kinds: Kinds, signal: Signal) -> Any:
    """Rows of planes, columns of before, after and error, a colour bar below each column."""
    pairs = plane_pairs(signal.shape)
    sizes = [[signal.shape[a] * signal.spacing[a] for a in pair] for pair in pairs]
    shapes = [float(np.clip(tall / wide, 0.3, 1.1)) for tall, wide in sizes]
    across = 16.0 / max(len(kinds), 2)
    figure = start_figure(across * len(kinds) + 0.8, across * sum(shapes) + 0.4 * len(pairs) + 2.1)
    high = figure.get_figheight()
    grid = figure.add_gridspec(
        len(pairs) + 1, len(kinds), height_ratios=[*shapes, 0.05], left=0.65 / figure.get_figwidth(), right=0.985,
        wspace=0.06, hspace=0.16, top=1 - 1.15 / high, bottom=0.6 / high,
    )  # fmt: skip
    channel = signal.values.shape[0] // 2
    limits = limits_of(kinds, channel)
    for c, (name, values) in enumerate(kinds.items()):
        for r, pair in enumerate(pairs):
            axes = figure.add_subplot(grid[r, c])
            colours = (*limits[name], name == "error")
            drawn = _plane(axes, values[channel], pair, signal, colours)
            if c == 0:
                axes.set_ylabel(signal.axes[pair[0]], color=LIGHT, fontsize=10)
            else:
                axes.tick_params(labelleft=False)
            if r == 0:
                axes.set_title(_heading(name, values, signal), color=LIGHT, fontsize=11, pad=22)
        colour_bar(figure, grid[len(pairs), c], drawn, signal.unit, "{:.4g}".format)
    if signal.values.shape[0] > 1:
        note = f"channel {channel + 1} of {signal.values.shape[0]}"
        figure.text(0.015, 1 - 0.3 / high, note, color=DIM, fontsize=10, va="center")
    return figure


def plane_pairs(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Axes down and across: the only two, or each pair of the three longest."""
    if len(shape) == 2:
        return [(0, 1)]
    a, b, c = sorted(sorted(range(len(shape)), key=lambda axis: -shape[axis])[:3])
    return [(b, c), (a, c), (a, b)]


def limits_of(kinds: Kinds, channel: int) -> dict[str, tuple[float, float]]:
    """Values of the darkest and brightest colour: the same before and after, symmetric for the error."""
    found = {}
    first = next(iter(kinds.values()))[channel]
    there = first[~np.isnan(first)]
    low, high = np.percentile(there, (0.2, 99.8)) if there.size else (0.0, 1.0)
    low, high = apart(float(low), float(high))
    for name, values in kinds.items():
        found[name] = (low, high)
        if name == "error":
            size = np.abs(values[channel])
            size = size[~np.isnan(size)]
            most = float(np.percentile(size, 99.5)) if size.size else 0.0
            found[name] = (-most, most) if most > 0 else (-1.0, 1.0)
    return found


def _heading(name: str, values: NDArray[Any], signal: Signal) -> str:
    if name != "error":
        return name
    known = values[~np.isnan(values)]
    rms = float(np.sqrt(np.mean(known**2))) if known.size else 0.0
    return f"error, reconstruction − original; rms {rms:.3g} {signal.unit}".rstrip()


def _plane(
    axes: Any, values: NDArray[Any], pair: tuple[int, int], signal: Signal, colours: tuple[float, float, bool]
) -> Any:
    """One middle plane, ``colours`` being the least and largest value and whether it is an error."""
    from matplotlib import colormaps

    low, high, signed = colours
    where = tuple(slice(None) if axis in pair else n // 2 for axis, n in enumerate(values.shape))
    shades = error_colours() if signed else colormaps["gray"]
    shades = shades.with_extremes(bad=_LOST)
    down, across = (values.shape[axis] * signal.spacing[axis] for axis in pair)
    aspect = "equal" if 0.3 <= down / across <= 1.1 else "auto"
    drawn = axes.imshow(
        values[where], cmap=shades, vmin=low, vmax=high, extent=(0, across, down, 0), aspect=aspect,
        interpolation="nearest",
    )  # fmt: skip
    dress(axes, DARK, frame=GRID)
    axes.grid(False)
    others = [f"{signal.axes[a]} {n // 2} of {n}" for a, n in enumerate(values.shape) if a not in pair]
    axes.text(0, 1.02, ", ".join(others), transform=axes.transAxes, color=DIM, fontsize=9, va="bottom")
    axes.set_xlabel(signal.axes[pair[1]], color=LIGHT, fontsize=10, labelpad=1)
    return drawn
