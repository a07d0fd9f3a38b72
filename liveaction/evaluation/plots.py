"""Plots of an evaluation: rate against distortion, quality against the cost of encoding, quality along an axis."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liveaction.evaluation.bd import best_of
from liveaction.evaluation.costs import Cost
from liveaction.evaluation.groups import Line, curves_of
from liveaction.evaluation.item import Source
from liveaction.evaluation.judges.figures import Judged
from liveaction.evaluation.measures import MEASURES
from liveaction.evaluation.plot_style import LIGHT, Style, Theme, styles_of
from liveaction.files import atomic_path

_SIZE = 7.0, 5.0  # inches
_ALIKE = 1.5  # a setting's ratio may be this many times off the one that a plot is of


def measure_label(key: str, source: Source) -> str:
    """What an axis of a measure says: "PSNR in dB, range -1024 to 3071 HU"."""
    measure = MEASURES[key]
    unit = source.unit if measure.unit is None else measure.unit
    words = f"{measure.label} in {unit}" if unit else measure.label
    if "psnr" not in key and "ssim" not in key:
        return words
    return f"{words}, range {source.limits[0]:g} to {source.limits[1]:g} {source.unit}".rstrip()


def rate_plot(lines: Sequence[Line], source: Source, key: str, theme: Theme = LIGHT) -> Any:
    """A measure against bits per element, the ratio on top; a figure.

    Of a curve of several codecs each is a thin line and their best, the envelope, a thick one. Seeds are averaged,
    with a band from the least to the most. What codes without loss is a mark on the upper edge.
    """
    figure, axes = _start(theme)
    styles = styles_of(lines, theme)
    better = MEASURES[key].sign
    for curve, family in curves_of(lines).items():
        style = styles[curve]
        for line in family:
            _draw_codec(axes, line, key, style, alone=len(family) == 1)
        if len(family) > 1:
            curves = [[(bits, better * value) for bits, value in line.pairs(key)] for line in family]
            best = [(bits, better * value) for bits, value in best_of(curves)]
            _line(axes, best, style, f"{curve}, best of {len(family)}", thin=False)
    axes.set_ylabel(measure_label(key, source), color=theme.ink)
    _rate_axes(axes, source, theme)
    return _finish(figure, axes, theme)


def cost_plot(
    costs: Sequence[Cost], lines: Sequence[Line], source: Source, key: str, ratio: float, theme: Theme = LIGHT
) -> Any:
    """A measure at a ratio against processor seconds of encoding per unit of pace; the upper left is best. A figure.

    Args:
        costs: from :func:`~liveaction.evaluation.costs.costs_at`, of the same ``ratio``.
        lines: all codecs of the source, so that colours are those of its other plots.
    """
    figure, axes = _start(theme)
    styles = styles_of(lines, theme)
    for cost in costs:
        style = styles[cost.line.curve]
        first = cost.line is next(line for line in lines if line.curve == cost.line.curve)
        axes.plot(
            cost.seconds, cost.value, linestyle="none", marker=style.marker, color=style.colour, label=cost.line.name,
            markersize=10, markerfacecolor=style.colour if first else theme.paper, markeredgewidth=1.8,
        )  # fmt: skip
    unit = lines[0].points[0].item.pace.unit
    per = {"s": "second of sound", "frames": "frame"}.get(unit, unit)
    axes.set_xscale("log")
    axes.set_xlabel(f"encoding, seconds of one thread's processor time per {per}", color=theme.ink)
    axes.set_ylabel(f"{measure_label(key, source)}\nat ratio {ratio:g}", color=theme.ink)
    axes.margins(0.12)
    plain_log(axes.xaxis, theme)
    return _finish(figure, axes, theme)


def curve_plot(lines: Sequence[Line], name: str, ratio: float, theme: Theme = LIGHT) -> Any:
    """A measure in dB along an axis, of every codec's setting nearest to a ratio; a figure.

    Args:
        name: of one of ``Measurement.curves``.
        ratio: settings whose own is more than 1.5 times off are left out.
    """
    figure, axes = _start(theme)
    styles = styles_of(lines, theme)
    count = 0
    for line in lines:
        point = line.nearest(ratio)
        values = point.item.curves.get(name)
        if not values or abs(math.log(point.ratio / ratio)) > math.log(_ALIKE):
            continue
        shown = [value if math.isfinite(value) else math.nan for value in values]
        style, count = styles[line.curve], max(count, len(values))
        first = line is next(other for other in lines if other.curve == line.curve)
        axes.plot(
            np.arange(1, len(shown) + 1), shown, color=style.colour, label=f"{line.name} ({point.ratio:.3g})",
            linestyle=style.dashes if first else ":", linewidth=style.width * 0.8,
            marker=style.marker if len(shown) < 40 else "", markersize=4,
        )  # fmt: skip
    measure, _, axis = name.rpartition("_by_")
    axes.set_xlabel({"t": "frame", "z": "slice along z"}.get(axis, axis), color=theme.ink)
    label = measure.upper().replace("_", "-")
    axes.set_ylabel(f"{label} in dB, settings nearest to ratio {ratio:g}", color=theme.ink)
    axes.set_xlim(0.5, max(count, 1) + 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return _finish(figure, axes, theme)


def accuracy_plot(judged: Judged, theme: Theme = LIGHT) -> Any:
    """A judge's score over all items against mean bytes per item, intervals as bars; originals are a line. A figure."""
    figure, axes = _start(theme)
    styles = styles_of(judged.lines, theme)
    for line in judged.lines:
        style = styles[line.curve]
        columns = [(p.bytes, p.score, p.score - p.low, p.high - p.score) for p in line.points]
        places, scores, below, above = zip(*columns, strict=True)
        first = line is next(other for other in judged.lines if other.curve == line.curve)
        axes.errorbar(
            places, scores, yerr=np.maximum([below, above], 0), color=style.colour, label=line.name,
            linestyle=style.dashes if first else ":", marker=style.marker, markersize=6, linewidth=style.width,
            elinewidth=0.8, capsize=2,
        )  # fmt: skip
    axes.axhline(judged.original.score, color=theme.ink, linewidth=1.4, label="originals")
    axes.axhspan(judged.original.low, judged.original.high, color=theme.ink, alpha=0.08, linewidth=0)
    words = "1/8 resolution" if judged.tells else "1/8 resolution: the judge cannot tell"
    axes.axhline(judged.eighth.score, color=theme.dim, linewidth=1.4, linestyle="--", label=words)
    axes.set_xscale("log")
    axes.set_xlabel(f"mean bytes per item, container included ({judged.original.bytes:.0f} native)", color=theme.ink)
    label = MEASURES[judged.measure].label
    axes.set_ylabel(f"{label}, {judged.original.items} items, {judged.interval} 95 %", color=theme.ink)
    axes.margins(x=0.04, y=0.07)
    plain_log(axes.xaxis, theme)
    return _finish(figure, axes, theme)


def write_plot(figure: Any, path: Path) -> None:
    """Write a figure to a PNG or, by its suffix, an SVG; atomic."""
    with atomic_path(path) as part:
        part.write_bytes(svg_bytes(figure) if path.suffix == ".svg" else _png_bytes(figure))


def svg_bytes(figure: Any) -> bytes:
    """A figure as SVG whose texts are texts; equal figures give equal bytes."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "liveaction"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _png_bytes(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def _start(theme: Theme) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=_SIZE, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1), facecolor=theme.paper)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_facecolor(theme.paper)
    return figure, axes


def _draw_codec(axes: Any, line: Line, key: str, style: Style, alone: bool) -> None:
    """One codec, its band over seeds, and a mark where it loses nothing."""
    pairs = line.pairs(key)
    bands = [(p.bits, min(values), max(values)) for p in line.points if len(values := p.measures(key)) > 1]
    if bands and all(math.isfinite(high) for *_, high in bands):
        places, low, high = zip(*bands, strict=True)
        axes.fill_between(places, low, high, color=style.colour, alpha=0.25, linewidth=0)
    _line(axes, pairs, style, line.name if alone else "", thin=not alone)
    exact = [p.bits for p in line.points if (values := p.measures(key)) and not all(map(math.isfinite, values))]
    for bits in exact:
        axes.plot(
            bits, 1.0, transform=axes.get_xaxis_transform(), marker=style.marker, color=style.colour, clip_on=False,
            linestyle="none", markersize=8, label=f"{line.name}, without loss" if not pairs else "",
        )  # fmt: skip
        axes.axvline(bits, color=style.colour, linewidth=0.8, linestyle=":")


def _line(axes: Any, pairs: Sequence[tuple[float, float]], style: Style, label: str, thin: bool) -> None:
    if not pairs:
        return
    bits, values = zip(*pairs, strict=True)
    axes.plot(
        bits, values, color=style.colour, linestyle=style.dashes, marker=style.marker, label=label or "_",
        linewidth=0.9 if thin else style.width, markersize=3 if thin else 6, alpha=0.75 if thin else 1.0,
        zorder=3 if style.dashes == "-" else 2,
    )  # fmt: skip


def _rate_axes(axes: Any, source: Source, theme: Theme) -> None:
    """Bits per element below and the ratio above, both on log scales with plain numbers."""
    axes.set_xscale("log")
    axes.margins(x=0.04, y=0.07)
    axes.set_xlabel(f"bits per element (of {source.bits}), container included", color=theme.ink)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high)
    top = axes.twiny()
    top.set_xscale("log")
    top.set_xlim(source.bits / low, source.bits / high)
    top.set_xlabel("ratio on native bits", color=theme.ink, labelpad=7)
    top.tick_params(colors=theme.dim, labelsize=9, length=3)
    for axis in (axes.xaxis, top.xaxis):
        plain_log(axis, theme)
    for spine in top.spines.values():
        spine.set_visible(False)


def plain_log(axis: Any, theme: Theme) -> None:
    """Ticks at 1, 2 and 5 times powers of ten, as 0.05 and 200 rather than as powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0), numticks=40))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(which="minor", length=0)


def _finish(figure: Any, axes: Any, theme: Theme) -> Any:
    """Quiet grid and spines, and a legend below the axes, where it covers nothing."""
    axes.grid(color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.dim, labelsize=9, length=3)
    for side, spine in axes.spines.items():
        spine.set_color(theme.grid)
        spine.set_visible(side in ("left", "bottom"))
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        legend = figure.legend(
            handles,
            labels,
            loc="outside lower left",
            frameon=False,
            fontsize=9,
            handlelength=2.8,
            ncols=_columns(labels),
        )
        for text in legend.get_texts():
            text.set_color(theme.ink)
    return figure


def _columns(labels: Sequence[str]) -> int:
    """Columns of a legend that fit below the axes."""
    return max(1, min(3, 84 // (max(map(len, labels)) + 9)))
