"""A picture of a hyperspectral image and its reconstruction: false colours, the error, and spectra of four pixels."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from liveaction.modalities.drawing import DARK, LIGHT, apart, bare, dress, quiet_bar, save_figure, start_figure

_MARKS = ("#4cc9f0", "#f9d65c", "#ff7a8a", "#8ce99a")
_RED_GREEN_BLUE = (640.0, 550.0, 460.0)  # nm
_PLACES = (0.75, 0.5, 0.25)  # of the bands, where no wavelengths are known
_QUANTILES = (0.1, 0.4, 0.7, 0.99)  # of brightness


class Panel(NamedTuple):
    """``before`` (or None), ``after`` and ``missing``, all ``[band, y, x]``."""

    before: NDArray[Any] | None
    after: NDArray[Any]
    missing: NDArray[np.bool_]


def draw_preview(panel: Panel, wavelengths: NDArray[np.float64] | None, unit: str, path: Path, title: str) -> None:
    """Draw a PNG, 1500 pixels wide.

    Args:
        panel: what to draw; missing entries (bad bands too) are left blank.
        wavelengths: nm per band, or None.
        unit: of the values.
        path: the file to write.
        title: a line above the picture.
    """
    source = panel.after if panel.before is None else panel.before
    chosen = colour_bands(panel.missing, wavelengths)
    limits = [stretch(source[band], panel.missing[band]) for band in chosen]
    names = ["reconstruction"] if panel.before is None else ["original", "reconstruction", "error"]
    tall = float(np.clip(source.shape[1] / source.shape[2], 0.3, 1.4))
    pictures = 4.6 * tall
    figure = start_figure(15, pictures + 6.9)
    high = figure.get_figheight()
    grid = figure.add_gridspec(
        1, len(names), left=0.06, right=0.985, wspace=0.06, top=1 - 1.15 / high, bottom=5.75 / high
    )
    below = figure.add_gridspec(1, 1, left=0.06, right=0.985, top=4.55 / high, bottom=0.65 / high)
    pixels = _pixels(source, panel.missing)
    for column, name in enumerate(names):
        axes = figure.add_subplot(grid[0, column])
        if name == "error":
            _draw_error(axes, panel, unit)
        else:
            image = panel.before if name == "original" and panel.before is not None else panel.after
            axes.imshow(false_colour(image, panel.missing, chosen, limits), interpolation="nearest")
            axes.set_title(f"{name}\n{told(chosen, wavelengths)}", color=LIGHT, fontsize=12, pad=8)
            _mark(axes, pixels)
        bare(axes)
    _draw_spectra(figure.add_subplot(below[0]), panel, pixels, wavelengths, unit)
    save_figure(figure, path, title, down=0.25)


def colour_bands(missing: NDArray[np.bool_], wavelengths: NDArray[np.float64] | None) -> list[int]:
    """Bands shown as red, green and blue: the measured ones that are nearest to what is wanted."""
    there = np.flatnonzero(~missing.all(axis=(1, 2)))
    there = there if len(there) else np.arange(len(missing))
    if wavelengths is not None and wavelengths.min() < 700 and wavelengths.max() > 500:
        return [int(there[np.abs(wavelengths[there] - wanted).argmin()]) for wanted in _RED_GREEN_BLUE]
    return [int(there[np.abs(there - place * (len(missing) - 1)).argmin()]) for place in _PLACES]


def stretch(band: NDArray[Any], missing: NDArray[np.bool_]) -> tuple[float, float]:
    """2nd and 98th percentile of what was measured."""
    there = band[~missing]
    low, high = np.percentile(there, (2, 98)) if there.size else (0.0, 1.0)
    return apart(float(low), float(high))


def false_colour(
    image: NDArray[Any], missing: NDArray[np.bool_], chosen: list[int], limits: list[tuple[float, float]]
) -> NDArray[Any]:
    """``[y, x, 3]`` from 0 to 1; dark grey where one of the three is missing."""
    layers = [
        np.clip((image[band].astype(np.float64) - low) / (high - low), 0, 1)
        for band, (low, high) in zip(chosen, limits, strict=True)
    ]
    picture = np.stack(layers, axis=-1)
    picture[missing[chosen].any(axis=0)] = 0.13
    return picture


def _pixels(source: NDArray[Any], missing: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Up to four pixels, from dark to bright, each with as many measured bands as any."""
    counts = (~missing).sum(axis=0)
    light = np.where(missing, 0, source).sum(axis=0, dtype=np.float64)
    rows, columns = np.nonzero(counts == counts.max())
    order = np.argsort(light[rows, columns], kind="stable")
    places = dict.fromkeys(int(order[int(q * (len(order) - 1))]) for q in _QUANTILES)
    return [(int(rows[i]), int(columns[i])) for i in places]


def told(chosen: list[int], wavelengths: NDArray[np.float64] | None) -> str:
    """The bands that a false colour is made of, by wavelength where it is known, else by number from 1."""
    if wavelengths is None:
        return "bands " + ", ".join(str(band + 1) for band in chosen)
    return ", ".join(f"{wavelengths[band]:.0f}" for band in chosen) + " nm"


def _draw_error(axes: Any, panel: Panel, unit: str) -> None:
    """Root-mean-square error over the measured bands of every pixel."""
    assert panel.before is not None
    error = np.where(panel.missing, 0, panel.after.astype(np.float64) - np.where(panel.missing, 0, panel.before))
    counts = (~panel.missing).sum(axis=0)
    squares = np.square(error).sum(axis=0)
    drawn = np.sqrt(np.divide(squares, counts, out=np.full(counts.shape, np.nan), where=counts > 0))
    top = float(np.nanpercentile(drawn, 99.5)) if counts.any() else 1.0
    shown = axes.imshow(drawn, cmap="magma", vmin=0, vmax=top or 1.0, interpolation="nearest")
    axes.set_facecolor("#212121")
    rms = float(np.sqrt(squares.sum() / max(int(counts.sum()), 1)))
    axes.set_title(
        f"error, root mean square over bands\nall {rms:.4g} {unit}".rstrip(), color=LIGHT, fontsize=12, pad=8
    )
    place = axes.inset_axes((0.0, -0.05, 1.0, 0.03))
    bar = axes.figure.colorbar(shown, cax=place, orientation="horizontal")
    quiet_bar(bar)


def _mark(axes: Any, pixels: list[tuple[int, int]]) -> None:
    """Rings around the pixels whose spectra are drawn."""
    for (y, x), colour in zip(pixels, _MARKS, strict=False):
        for ink, thick in (("black", 3.5), (colour, 1.8)):
            axes.plot(x, y, "o", ms=9, mfc="none", mec=ink, mew=thick, clip_on=False)


def _gaps(across: NDArray[Any]) -> NDArray[np.intp]:
    """Where a line breaks: before bands that lie far from the last one, or back (detectors that overlap)."""
    steps = np.diff(across)
    usual = float(np.median(np.abs(steps))) if len(steps) else 0.0
    return np.flatnonzero((steps <= 0) | (steps > 5 * usual)) + 1


def _line(axes: Any, across: NDArray[Any], values: NDArray[Any], gaps: NDArray[np.intp], **style: Any) -> None:
    axes.plot(np.insert(across.astype(np.float64), gaps, np.nan), np.insert(values, gaps, np.nan), **style)


def _draw_spectra(
    axes: Any, panel: Panel, pixels: list[tuple[int, int]], wavelengths: NDArray[np.float64] | None, unit: str
) -> None:
    """Spectra of the marked pixels, before as lines and after dashed; gaps where bands are missing."""
    across = np.arange(1, len(panel.after) + 1) if wavelengths is None else wavelengths
    single = "o" if len(panel.after) == 1 else None
    gaps = _gaps(across)
    for (y, x), colour in zip(pixels, _MARKS, strict=False):
        gone = panel.missing[:, y, x]
        after = np.where(gone, np.nan, panel.after[:, y, x].astype(np.float64))
        if panel.before is None:
            _line(axes, across, after, gaps, color=colour, linewidth=1.3, marker=single, label=f"line {y}, sample {x}")
            continue
        before = np.where(gone, np.nan, panel.before[:, y, x].astype(np.float64))
        _line(axes, across, before, gaps, color=colour, linewidth=1.8, marker=single, label=f"line {y}, sample {x}")
        _line(axes, across, after, gaps, color="white", linewidth=1.1, linestyle=(0, (4, 3)), marker=single)
    dress(axes, frame="#3a3e44", size=9)
    axes.set_xlabel("band" if wavelengths is None else "wavelength in nm", color=LIGHT, fontsize=11)
    axes.set_ylabel(unit or "value", color=LIGHT, fontsize=11)
    axes.margins(x=0.01)
    if panel.before is not None:
        axes.plot([], [], color="white", linewidth=1.1, linestyle=(0, (4, 3)), label="reconstruction (dashed)")
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=10, facecolor=DARK, edgecolor="none", labelcolor=LIGHT,
        ncols=5,
    )  # fmt: skip
