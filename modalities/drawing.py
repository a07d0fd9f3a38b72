"""What all previews share: colours, a dark figure, quiet axes, colour bars, and the PNG at the end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from liveaction.errors import ShapeError, escaped
from liveaction.files import atomic_path
from liveaction.signal import Signal

DARK, PANEL, GRID = "#101214", "#17191c", "#2a2d31"
"""Behind everything, behind curves, and the lines of their grid."""
LIGHT, DIM, INK = "#e8eaed", "#9aa0a6", "#f9d65c"
"""Words, lesser words, and marks on pictures."""
_ERROR = ("#b8e3ff", "#2f86dd", "#17191c", "#de4f2b", "#ffd18c")  # below zero, zero, above


def check_pair(original: Signal | None, reconstruction: Signal) -> None:
    """Refuse a reconstruction that is none of ``original``.

    Raises:
        ShapeError: the shapes differ.
    """
    if original is not None and original.values.shape != reconstruction.values.shape:
        raise ShapeError(
            f"preview: expected a reconstruction of shape {original.values.shape}, got {reconstruction.values.shape}"
        )


def apart(low: float, high: float) -> tuple[float, float]:
    """Two values to draw between: themselves, or where they are equal, the next that a picture can tell from them."""
    step = max(1.0, abs(low) * 2.0**-10)
    return (low, high) if low < high else (low - step, low + step)


def start_figure(width: float, height: float) -> Any:
    """A dark figure of that many inches, 100 pixels each, without a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor=DARK)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: Path, title: str, size: float = 15, down: float = 0.3) -> None:
    """Write a figure as PNG under its title; atomic.

    Args:
        figure: from :func:`start_figure`.
        path: the file to write.
        title: one or more lines.
        size: of its letters in points.
        down: inches from the upper edge to its own.
    """
    shown = "\n".join(map(escaped, title.split("\n")))  # a file's name may stand in it: no formulas, nothing but text
    height = figure.get_figheight()
    figure.suptitle(shown, color=LIGHT, fontsize=size, y=1 - down / height, va="top", parse_math=False)
    with atomic_path(path) as part:
        figure.savefig(part, dpi=100, facecolor=DARK, format="png")


def error_colours() -> Any:
    """Shades of a signed error: blue below zero, dark at zero, red above."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("error", _ERROR)


def bare(axes: Any) -> None:
    """Take ticks and frame away, as around a picture."""
    axes.set(xticks=[], yticks=[])
    unframe(axes)


def unframe(axes: Any) -> None:
    """Take the frame away."""
    for spine in axes.spines.values():
        spine.set_visible(False)


def dress(axes: Any, background: str = PANEL, frame: str | None = None, size: float = 8, **ticks: Any) -> None:
    """Axes of curves: a quiet grid, dim ticks, a frame of the colour ``frame`` or none."""
    axes.set_facecolor(background)
    axes.grid(color=GRID, linewidth=0.6)
    axes.tick_params(colors=DIM, labelsize=size, **ticks)
    for spine in axes.spines.values():
        spine.set(visible=frame is not None, edgecolor=frame or background)


def colour_bar(figure: Any, place: Any, drawn: Any, unit: str, number: Callable[[float], str]) -> None:
    """A colour bar below a column of pictures: its ends and its middle, the latter with the unit.

    Args:
        figure: from :func:`start_figure`.
        place: the cell of a grid.
        drawn: what ``imshow`` gave.
        unit: of the values.
        number: how a value is written.
    """
    axes = figure.add_subplot(place.subgridspec(1, 3, width_ratios=[0.08, 0.84, 0.08])[0, 1])
    bar = figure.colorbar(drawn, cax=axes, orientation="horizontal")
    low, high = drawn.get_clim()
    ticks = [low, (low + high) / 2, high]
    labels = [number(value) for value in ticks]
    bar.set_ticks(ticks, labels=[labels[0], f"{labels[1]} {unit}".rstrip(), labels[2]])
    quiet_bar(bar)


def quiet_bar(bar: Any, size: float = 9) -> None:
    """Dim numbers without ticks or outline."""
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=DIM, labelsize=size, length=0)
