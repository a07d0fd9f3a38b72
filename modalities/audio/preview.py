"""A picture of a recording and its reconstruction: waveforms, their error, spectrograms."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import ShapeError
from liveaction.modalities.drawing import DIM, LIGHT, check_pair, dress, quiet_bar, save_figure, start_figure
from liveaction.signal import Signal

_BEFORE, _AFTER, _ERROR = "#c8ccd2", "#ff9d3c", "#de4f2b"
_SHOWN = 4  # channels
DECIBELS = 80.0
"""What a spectrogram shows below its largest level."""
_COLUMNS = 1600  # of a waveform


def draw_preview(original: Signal | None, reconstruction: Signal, path: Path, title: str = "") -> None:
    """Draw up to four channels, whole and 20 ms around the loudest place, with the error, and spectrograms of one.

    Args:
        original: ``[C, T]``; None draws the reconstruction alone.
        reconstruction: ``[C, T]``; spacing is the time between samples in s.
        path: the PNG to write.
        title: a line above the picture.

    Raises:
        ShapeError: the two shapes differ, or are not ``[C, T]``.
    """
    if reconstruction.values.ndim != 2:
        raise ShapeError(f"preview: expected values [C, T], got {reconstruction.values.shape}")
    check_pair(original, reconstruction)

    pair = [full_scale(signal) for signal in (original, reconstruction) if signal is not None]
    rows, step = min(len(pair[0]), _SHOWN), reconstruction.spacing[0]
    height = (2.1 if original is not None else 1.4) * rows + 5.4
    figure = start_figure(15, height)
    places = figure.add_gridspec(
        2, 1, height_ratios=[height - 5.4, 3.6], left=0.06, right=0.95, top=1 - 0.95 / height, bottom=0.6 / height,
        hspace=1.1 / (height / 2 - 1),
    )  # fmt: skip
    _draw_waves(figure, places[0].subgridspec(rows, 2, width_ratios=[3, 1.15], wspace=0.1, hspace=0.3), pair, step)
    _draw_spectrograms(figure, places[1], pair, step)
    shown = f", {rows} of {len(pair[0])} channels" if rows < len(pair[0]) else ""
    about = f"{pair[0].shape[1] * step:.2f} s at {1 / step:g} Hz{shown}"
    save_figure(figure, path, f"{title or 'audio'}\n{about}", size=13, down=0.12)


def full_scale(signal: Signal) -> NDArray[np.float32]:
    """Values in shares of full scale."""
    dtype = np.dtype(signal.dtype)
    if dtype.kind == "f":
        return signal.values.astype(np.float32)
    half = 2.0 ** ((signal.bits or 8 * dtype.itemsize) - 1)
    return ((signal.values.astype(np.float32) - (half if dtype.kind == "u" else 0)) / half).astype(np.float32)


def _draw_waves(figure: Any, grid: Any, pair: list[NDArray[np.float32]], step: float) -> None:
    """Per channel: the whole on the left, a close look on the right, and below each the error on its own scale."""
    both, last = len(pair) == 2, grid.nrows - 1
    for c in range(grid.nrows):
        channel = [values[c] for values in pair]
        error = channel[1] - channel[0] if both else None
        loudest = int(np.abs(channel[0]).argmax())
        around = max(round(0.01 / step), 4)
        first = min(max(loudest - around, 0), max(len(channel[0]) - 2 * around, 0))
        for side, part in enumerate((slice(None), slice(first, first + 2 * around))):
            cell = grid[c, side].subgridspec(1 + both, 1, height_ratios=[3, 1.3][: 1 + both], hspace=0.12)
            axes = figure.add_subplot(cell[0])
            start = 0 if side == 0 else first
            for values, colour, width in zip(
                channel, (_BEFORE, _AFTER) if both else (_AFTER,), (1.6, 0.8), strict=False
            ):
                _draw_wave(axes, values[part], start, step, colour, width, side)
            _dress(axes, "" if side else f"channel {c}", labels=not both, last=c == last)
            if error is not None:
                below = figure.add_subplot(cell[1], sharex=axes)
                _draw_wave(below, error[part], start, step, _ERROR, 0.8, side)
                _dress(below, "" if side else "error", labels=True, last=c == last)
                _limit(below, error[part])
            _limit(axes, np.concatenate([values[part] for values in channel]))
            if side == 1:
                axes.locator_params(axis="x", nbins=5)
            if c == 0:
                _head(axes, side, both)
            if c == last:
                figure.axes[-1].set_xlabel("time in s" if side == 0 else "time in ms", color=DIM, fontsize=9)


def _head(axes: Any, side: int, both: bool) -> None:
    """What is drawn, and in which colours, right of the exponent that ticks of quiet sounds have."""
    axes.set_title(
        ("whole, in shares of full scale", "20 ms around the loudest sample")[side], color=LIGHT, fontsize=11
    )
    if side == 0:
        names = (("original", _BEFORE), ("reconstruction", _AFTER)) if both else (("reconstruction", _AFTER),)
        for k, (name, colour) in enumerate(names):
            place = {"x": 0.04 + 0.075 * k, "y": 1.04, "va": "bottom", "transform": axes.transAxes}
            axes.text(s=name, color=colour, fontsize=9, weight="bold", **place)


def _draw_wave(
    axes: Any, values: NDArray[np.float32], first: int, step: float, colour: str, width: float, side: int
) -> None:
    """A line, or where there are more samples than columns the span of each column."""
    scale = step * (1.0 if side == 0 else 1000.0)
    if len(values) <= 2 * _COLUMNS:
        mark = "." if len(values) <= 2 else None
        axes.plot((first + np.arange(len(values))) * scale, values, color=colour, linewidth=width, marker=mark)
        return
    size = -(-len(values) // _COLUMNS)
    columns = np.pad(values, (0, -len(values) % size), mode="edge").reshape(-1, size)
    time = (np.arange(len(columns)) + 0.5) * size * scale
    axes.fill_between(time, columns.min(1), columns.max(1), color=colour, linewidth=0.6, alpha=0.75)


def _limit(axes: Any, values: NDArray[np.float32]) -> None:
    """The same reach up and down, a little more than the largest value."""
    reach = max(float(np.abs(values).max()) * 1.1, 1e-6)  # silence too has some height
    axes.set_ylim(-reach, reach)
    axes.margins(x=0)


def _dress(axes: Any, label: str, labels: bool, last: bool) -> None:
    """Dark panel, quiet grid; ticks of time only below the lowest."""
    dress(axes, length=0, labelbottom=labels)
    axes.set_axisbelow(True)
    axes.locator_params(axis="y", nbins=3)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 3))
    axes.yaxis.get_offset_text().set(color=DIM, fontsize=7)
    axes.set_ylabel(label, color=LIGHT, fontsize=9)


def _draw_spectrograms(figure: Any, place: Any, pair: list[NDArray[np.float32]], step: float) -> None:
    """Level in dB over time and frequency of the loudest channel, one scale for before and after."""
    loudest = int(np.argmax([np.square(channel, dtype=np.float64).sum() for channel in pair[0]]))
    levels = [spectrogram(values[loudest], step) for values in pair]
    top = float(levels[0].max())
    grid = place.subgridspec(1, len(levels) + 1, width_ratios=[*[1.0] * len(levels), 0.02], wspace=0.06)
    names = ("original", "reconstruction")[-len(levels) :]
    for k, (level, name) in enumerate(zip(levels, names, strict=True)):
        axes = figure.add_subplot(grid[0, k])
        drawn = axes.imshow(
            level, origin="lower", aspect="auto", cmap="magma", vmin=top - DECIBELS, vmax=top, interpolation="nearest",
            extent=(0, pair[0].shape[1] * step, 0, 0.5e-3 / step),
        )  # fmt: skip
        axes.set_title(f"{name}, channel {loudest}", color=LIGHT, fontsize=11)
        axes.set_xlabel("time in s", color=DIM, fontsize=9)
        axes.tick_params(colors=DIM, labelsize=8, length=0, labelleft=k == 0)
        if k == 0:
            axes.set_ylabel("frequency in kHz", color=LIGHT, fontsize=9)
    bar = figure.colorbar(drawn, cax=figure.add_subplot(grid[0, -1]))
    bar.set_label("dB of full scale", color=DIM, fontsize=9)
    quiet_bar(bar, size=8)


def coloured(level: NDArray[np.float64], top: float) -> NDArray[Any]:
    """Levels ``[bins, frames]`` in dB to colours ``[bins, frames, 3]`` from 0 to 1, the highest frequency first."""
    from matplotlib import colormaps

    shown: NDArray[Any] = colormaps["magma"](((level[::-1] - top) / DECIBELS + 1).clip(0, 1))[..., :3]
    return shown


def spectrogram(values: NDArray[np.float32], step: float, columns: int = 700) -> NDArray[np.float64]:
    """Levels ``[bins, frames]`` in dB; Hann windows of some 32 ms, so many that the picture is full."""
    width = 1 << (max(16, round(0.032 / step)).bit_length() - 1)
    values = np.pad(values, (0, max(width - len(values), 0)))
    starts = np.unique(np.linspace(0, len(values) - width, columns).astype(np.int64))
    window = np.hanning(width + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(values, width)[starts] * window
    level: NDArray[np.float64] = 20 * np.log10(np.abs(np.fft.rfft(frames, axis=1)).T * (2 / window.sum()) + 1e-9)
    return level
