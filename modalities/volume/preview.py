"""A picture of a volume and its reconstruction: three planes in one or more windows, the signed error."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import ShapeError
from liveaction.mapped import spread_sample
from liveaction.modalities.drawing import (
    DARK,
    INK,
    LIGHT,
    apart,
    bare,
    check_pair,
    colour_bar,
    error_colours,
    save_figure,
    start_figure,
)
from liveaction.signal import Signal

PLANES = {"axial": (2, 0, 1), "coronal": (1, 0, 2), "sagittal": (0, 1, 2)}
"""Of each plane the normal, the axis across and the axis down, among L, P, S."""
_ENDS = {0: ("R", "L"), 1: ("A", "P"), 2: ("S", "I")}


@dataclass(frozen=True)
class Look:
    """How a kind of volume is drawn.

    Attributes:
        name: stands above the picture where it has no title.
        unit: of the values.
        windows: words, and the values drawn black and white.
        body: what is above counts as the patient, in whose middle the planes lie.
        faint: the error scale reaches at least this far.
    """

    name: str
    unit: str
    windows: tuple[tuple[str, float, float], ...]
    body: float
    faint: float


Below = tuple[float, Callable[[Any], None]]


def percentile_look(signal: Signal, name: str) -> Look:
    """One window from the first to the 99.5th percentile of the values of a volume that are not missing."""
    sample = spread_sample(signal.values, signal.missing, 2**22)  # enough to know a percentile
    low, high = (float(v) for v in np.percentile(sample, (1, 99.5))) if sample.size else (0.0, 1.0)
    low, high = apart(low, high)
    words = f"window {low:.4g} to {high:.4g} {signal.unit}".rstrip()
    return Look(name, signal.unit, ((words, low, high),), body=low + 0.2 * (high - low), faint=0.002 * (high - low))


def draw_preview(
    original: Signal | None,
    reconstruction: Signal,
    path: Path,
    look: Look,
    title: str = "",
    below: Below | None = None,
) -> None:
    """Draw axial, coronal and sagittal planes through the middle of the body, as a radiologist reads them, to a PNG.

    The patient's right is on the left, the front or the head is up; millimetres have the same length across and down.

    Args:
        original: ``[1, X, Y, Z]``; None draws the reconstruction alone.
        reconstruction: ``[1, X, Y, Z]``; metadata may hold ``affine`` (4x4, RAS+), else axes are L, P, S.
        path: the file to write.
        look: windows and unit.
        title: a line above the picture.
        below: height in inches, and what draws into axes over the whole width below the planes.

    Raises:
        ShapeError: the volumes differ in shape, or are not one channel of three axes.
    """
    if reconstruction.values.ndim != 4 or reconstruction.values.shape[0] != 1:
        raise ShapeError(f"preview: expected values [1, X, Y, Z], got {reconstruction.values.shape}")
    check_pair(original, reconstruction)
    decoded, steps = upright(reconstruction)
    source = None if original is None else upright(original, reconstruction)[0]
    middle = middle_of(decoded if source is None else source, look.body)
    columns = _columns(source, decoded, look)
    figure, grid = _layout(decoded, steps, len(columns), below[0] if below else 0.0)
    for c, (name, volume, low, high, colours) in enumerate(columns):
        for r, plane in enumerate(PLANES):
            axes = figure.add_subplot(grid[r, c])
            drawn = _draw_plane(axes, volume, steps, middle, plane, (low, high, colours))
            if c == 0:
                axes.set_ylabel(plane, color=LIGHT, fontsize=12)
            if r == 0:
                axes.set_title(name, color=LIGHT, fontsize=12, pad=8)
        colour_bar(figure, grid[3, c], drawn, look.unit, _short)
    if below:
        below[1](figure.add_axes((0.07, 0.55 / figure.get_figheight(), 0.9, below[0] / figure.get_figheight())))
    save_figure(figure, path, title or look.name)


def _layout(volume: NDArray[Any], steps: tuple[float, ...], columns: int, below: float) -> tuple[Any, Any]:
    """A dark figure, and a grid whose rows are as high as the planes are against the widest; room for more below."""
    extents = [n * step for n, step in zip(volume.shape, steps, strict=True)]
    widths, heights = max(extents[0], extents[1]), [max(extents[down], 1e-9) for _, _, down in PLANES.values()]
    heights = [float(np.clip(h / widths, 0.35, 1.4)) for h in heights]
    across = {1: 6.0, 5: 3.6}.get(columns, 4.5)
    below = below + 0.75 if below else 0.0
    figure = start_figure(across * columns, across * sum(heights) + 1.9 + below)
    grid = figure.add_gridspec(
        4, columns, height_ratios=[*heights, 0.045], left=0.54 / (across * columns), right=0.985,
        wspace=0.03, hspace=0.04, top=1 - 1.05 / figure.get_figheight(), bottom=(0.55 + below) / figure.get_figheight(),
    )  # fmt: skip
    return figure, grid


def upright(signal: Signal, like: Signal | None = None) -> tuple[NDArray[Any], tuple[float, ...]]:
    """Samples with axes in the order and sense L, P, S, NaN where missing, and the spacing of each in mm."""
    from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

    spacing = (like or signal).spacing
    affine = (like or signal).metadata.get("affine")
    if affine is None:
        return known_values(signal)[0], spacing
    turn = ornt_transform(io_orientation(np.asarray(affine)), axcodes2ornt("LPS"))
    steps = [0.0, 0.0, 0.0]
    for axis, (target, _) in enumerate(turn):
        steps[int(target)] = spacing[axis]
    return apply_orientation(known_values(signal)[0], turn), tuple(steps)


def known_values(signal: Signal) -> NDArray[Any]:
    """The values; where some are missing as floats, NaN there."""
    if signal.missing is None:
        return signal.values
    return np.where(signal.missing, np.array(np.nan, np.result_type(signal.values, np.float32)), signal.values)


def middle_of(volume: NDArray[Any], body: float) -> tuple[int, ...]:
    """Index of the centre of the body: where half of what is above ``body`` lies before it, per axis."""
    mask = volume > body
    if not mask.any():
        return tuple(n // 2 for n in volume.shape)
    sums = (mask.sum(axis=tuple(j for j in range(3) if j != i)).cumsum() for i in range(3))
    return tuple(int(np.searchsorted(total, total[-1] / 2)) for total in sums)


def plane_of(volume: NDArray[Any], middle: tuple[int, ...], plane: str) -> NDArray[Any]:
    """One slice of an upright volume as it is drawn: rows from above to below, columns from left to right."""
    normal, _, down = PLANES[plane]
    picture: NDArray[Any] = np.take(volume, middle[normal], axis=normal).T
    return picture[::-1] if down == 2 else picture


def _columns(
    source: NDArray[Any] | None, decoded: NDArray[Any], look: Look
) -> list[tuple[str, NDArray[Any], float, float, str]]:
    """What is drawn from left to right: heading, volume, lowest and highest value, colour map."""
    columns = []
    for words, low, high in look.windows:
        pair = {"reconstruction": decoded} if source is None else {"original": source, "reconstruction": decoded}
        for kind, volume in pair.items():
            columns.append((f"{kind}\n{words}", volume, low, high, "gray"))
    if source is not None:
        error = np.subtract(decoded, source, dtype=np.float32)
        there = error[~np.isnan(error)] if error.size and np.isnan(error).any() else error
        rms = float(np.sqrt(np.mean(np.square(there, dtype=np.float64)))) if there.size else 0.0
        limit = max(float(np.percentile(np.abs(there), 99.5)) if there.size else 0.0, look.faint)
        columns.append((f"error, reconstruction − original\nrms {rms:.3g} {look.unit}", error, -limit, limit, "error"))
    return columns


def _draw_plane(
    axes: Any,
    volume: NDArray[Any],
    steps: tuple[float, ...],
    middle: tuple[int, ...],
    plane: str,
    colours: tuple[float, float, str],
) -> Any:
    """One slice in mm, ``colours`` being lowest and highest value and map; returns what a colour bar needs."""
    _, across, down = PLANES[plane]
    wide, tall = volume.shape[across] * steps[across], volume.shape[down] * steps[down]
    low, high, name = colours
    shades = error_colours() if name == "error" else name
    drawn = axes.imshow(
        plane_of(volume, middle, plane),
        cmap=shades,
        vmin=low,
        vmax=high,
        extent=(0, wide, tall, 0),
        aspect="equal",
        interpolation="nearest",
    )
    _annotate(axes, across, down, wide, tall)
    return drawn


def _annotate(axes: Any, across: int, down: int, wide: float, tall: float) -> None:
    """The patient's sides, and a scale bar in mm."""
    from matplotlib.patheffects import Normal, Stroke, withStroke

    axes.set_facecolor(DARK)
    bare(axes)
    halo = [withStroke(linewidth=2, foreground="black")]
    for x, y, text in (
        (0.015, 0.5, _ENDS[across][0]), (0.985, 0.5, _ENDS[across][1]),
        (0.5, 0.98, _ENDS[down][0]), (0.5, 0.02, _ENDS[down][1]),
    ):  # fmt: skip
        side = {0.015: "left", 0.985: "right"}.get(x, "center")
        level = {0.98: "top", 0.02: "bottom"}.get(y, "center")
        axes.text(x, y, text, transform=axes.transAxes, ha=side, va=level, color=INK, fontsize=8, path_effects=halo)
    length = _round_length(wide)
    x, y = wide * 0.04, tall * 0.95
    axes.plot(
        [x, x + length],
        [y, y],
        color=INK,
        linewidth=2,
        solid_capstyle="butt",
        path_effects=[Stroke(linewidth=4, foreground="black"), Normal()],
    )
    axes.text(x, y - tall * 0.02, f"{length:g} mm", color=INK, fontsize=8, va="bottom", path_effects=halo)


def _short(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 10 else f"{value:.0f}"


def _round_length(wide: float) -> float:
    """The largest of 1, 2, 5, 10, ... mm that is at most a third of the picture's width."""
    ten: float = 10.0 ** np.floor(np.log10(wide / 3))
    return max(ten * m for m in (1, 2, 5) if ten * m <= wide / 3 * (1 + 1e-9))
