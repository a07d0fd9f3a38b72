"""The roofline: attained rate over operations per byte, under the ceilings measured in the same run.

Source: Williams, Waterman and Patterson, "Roofline", 2009.
"""

from pathlib import Path
from typing import Any

from liveaction.files import atomic_path
from liveaction.profiling.records import Report, Row

COLOURS = {
    "composed": "#4477aa",
    "numba": "#66ccee",
    "triton": "#ee6677",
    "compiled": "#228833",
    "anchor": "#888888",
    "reference": "#ccbb44",
    "function": "#aa3377",
}
MARKERS = "osD^vP*Xh<>pd"


def draw_roofline(report: Report, path: Path) -> Path | None:
    """Draw every measured row as a point; returns the path, None where there is no point."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    rows = [row for row in report.rows if row.tflop_s and row.bytes and row.flops]
    if not rows:
        return None
    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    intensities = [_intensity(row) for row in rows]
    low, high = min(intensities) / 4, max(intensities) * 4
    for top in report.ceilings:
        ridge = 1e3 * top["matmul_tflop_s"] / top["copy_gb_s"]
        low, high = min(low, ridge / 8), max(high, ridge * 4)
    for top in report.ceilings:
        _draw_ceiling(axes, top, low, high)
    for intensity in set(intensities):
        roof = max(min(intensity * top["copy_gb_s"], 1e3 * top["matmul_tflop_s"]) for top in report.ceilings)
        axes.plot([intensity, intensity], [1e-9, roof], color="0.75", lw=0.8, ls=":", zorder=1)
    _draw_points(axes, rows)
    axes.set(xscale="log", yscale="log", xlim=(low, high))
    rates = [row.tflop_s * 1e3 for row in rows if row.tflop_s]
    axes.set_ylim(min(rates) / 3, 2 * max(top["matmul_tflop_s"] for top in report.ceilings) * 1e3)
    axes.set_xlabel("operations per byte, both counted: the fewest that the operation needs")
    axes.set_ylabel("GFLOP/s")
    axes.grid(True, which="major", color="0.92")
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    where = report.circumstances
    axes.set_title(
        f"{where['gpu'] or where['cpu']}, {where['threads']} threads, torch {where['torch']}", fontsize=10, loc="left"
    )
    with atomic_path(path) as part:
        figure.savefig(part, dpi=130, format="png")
    return path


def _intensity(row: Row) -> float:
    assert row.flops is not None and row.bytes is not None
    return row.flops / row.bytes


def _draw_ceiling(axes: Any, top: dict[str, Any], low: float, high: float) -> None:
    copy, product = top["copy_gb_s"], 1e3 * top["matmul_tflop_s"]
    ridge = product / copy
    axes.plot([low, ridge, high], [low * copy, product, product], color="0.25", lw=1.4, zorder=1)
    axes.annotate(
        f"{top['dtype']} product, {product:,.0f} GFLOP/s", (ridge, product), (4, 5),
        textcoords="offset points", fontsize=8,
    )  # fmt: skip
    middle = (low * ridge) ** 0.5
    axes.annotate(f"copy, {copy:,.1f} GB/s", (middle, middle * copy), (8, -10), textcoords="offset points", fontsize=8)


def _draw_points(axes: Any, rows: list[Row]) -> None:
    from matplotlib.lines import Line2D

    ops = list(dict.fromkeys(row.op for row in rows))
    for row in rows:
        index = ops.index(row.op)
        hollow = row.mode != "forward"
        colour = COLOURS[row.provider]
        axes.plot(
            _intensity(row), (row.tflop_s or 0) * 1e3, MARKERS[index % len(MARKERS)], ms=8, zorder=3,
            mfc="none" if hollow else colour, mec=colour if hollow else "white", mew=1.4 if hollow else 0.7,
        )  # fmt: skip
    providers = list(dict.fromkeys(row.provider for row in rows))
    colours = [Line2D([], [], ls="", marker="s", ms=8, color=COLOURS[name], label=name) for name in providers]
    shapes = [
        Line2D([], [], ls="", marker=MARKERS[i % len(MARKERS)], ms=7, mfc="0.6", mec="0.6", label=_label(name, rows))
        for i, name in enumerate(ops)
    ]
    if any(row.mode != "forward" for row in rows):
        shapes.append(Line2D([], [], ls="", marker="o", ms=7, mfc="none", mec="0.3", label="hollow: forward+backward"))
    axes.figure.legend(handles=[*colours, *shapes], loc="outside right upper", frameon=False, fontsize=8)


def _label(op: str, rows: list[Row]) -> str:
    """The operation with its shapes, each in a line."""
    shapes = dict.fromkeys("x".join(map(str, row.shape)) for row in rows if row.op == op)
    return "\n".join([op, *shapes])
