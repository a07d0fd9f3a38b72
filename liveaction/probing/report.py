"""A report of a study: one HTML file, tables as CSV, JSON and Markdown, plots as PNG."""

from collections.abc import Sequence
from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from liveaction.evaluation.plot_style import LIGHT, Theme
from liveaction.evaluation.plots import plain_log, write_plot
from liveaction.evaluation.report import POLICY
from liveaction.evaluation.report_html import distinct, flat, list_html, plot_html, table_html
from liveaction.evaluation.tables import write_csv, write_json, write_markdown
from liveaction.files import atomic_path
from liveaction.probing.protocol import BOUNDS, ProbeProtocol
from liveaction.probing.run import Run
from liveaction.probing.tables import SHARES, UNITS, Row, input_rows, main_score, verdicts

_AXES = {"bytes": "bytes per item", "total_macs": "multiply-accumulates per item, encoder included"}
_TESTS = "McNemar's exact test", "paired sign test over items"


def write_study(runs: Sequence[Run], protocol: ProbeProtocol, out: Path) -> list[Row]:
    """Write ``report.html``, ``inputs.csv``, ``.json`` and ``.md``, and ``plots/``; atomic each.

    Returns:
        the rows of the table.
    """
    rows = [{**row, "total_macs": row["macs"] + row["encoder_macs"]} for row in input_rows(runs, protocol.reference)]
    for suffix, write in (("csv", write_csv), ("json", write_json), ("md", write_markdown)):
        write(rows, out / f"inputs.{suffix}")
    key = main_score(runs)
    (out / "plots").mkdir(exist_ok=True)
    for axis in _AXES:
        write_plot(score_plot(rows, key, axis), out / "plots" / f"{key}_against_{axis}.png")
    with atomic_path(out / "report.html") as part:
        part.write_text(_page(runs, rows, protocol), encoding="utf-8")
    return rows


def score_plot(rows: Sequence[Row], key: str, axis: str, theme: Theme = LIGHT) -> Any:
    """A score against bytes or compute, with deviations; latents whole, all else hollow. A figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 5.0), facecolor=theme.paper, layout="constrained")
    axes = figure.add_subplot(facecolor=theme.paper)
    for row in (row for row in rows if row["input"] in BOUNDS):
        axes.axhline(row[key], color=theme.dim, linewidth=1, linestyle="--")
        axes.annotate(row["input"].replace("_", " "), (0.01, row[key]), (0, 3), xycoords=("axes fraction", "data"),
                      textcoords="offset points", color=theme.dim, size=8)  # fmt: skip
    for number, row in enumerate(row for row in rows if row["input"] not in BOUNDS):
        model = row["kind"] == "model"
        colours = theme.models if model else theme.baselines
        colour = colours[number % len(colours)]
        axes.errorbar(
            row[axis], row[key], yerr=row[f"{key}_deviation"] or 0.0, color=colour, marker="o" if model else "s",
            markerfacecolor=colour if model else theme.paper, markersize=9, capsize=3, linestyle="none",
        )  # fmt: skip
        axes.annotate(row["input"], (row[axis], row[key]), (7, 5), textcoords="offset points", color=theme.ink, size=9)
    axes.set_xscale("log")
    plain_log(axes.xaxis, theme)
    axes.set_xlabel(_AXES[axis], color=theme.ink)
    unit = ", %" if key in SHARES else UNITS.get(key, "").replace(" ", ", ")
    axes.set_ylabel(key.replace("_", " ") + unit, color=theme.ink)
    axes.tick_params(colors=theme.dim, which="both")
    axes.grid(True, color=theme.grid, linewidth=0.8)
    axes.margins(x=0.18, y=0.12)
    for side in axes.spines.values():
        side.set_color(theme.grid)
    return figure


def _page(runs: Sequence[Run], rows: Sequence[Row], protocol: ProbeProtocol) -> str:
    key = main_score(runs)
    said = "".join(f"<li>{escape(line)}</li>" for line in verdicts(runs, protocol))
    summary = (
        f'<section id="summary"><h2>Summary</h2><p>{escape(protocol.description)}</p><ul class="verdicts">{said}</ul>'
        f"<details open><summary>How it was measured</summary>{list_html(_facts(runs, protocol))}</details></section>"
    )
    plots = [
        plot_html(
            partial(score_plot, rows, key, axis), f"{key.replace('_', ' ')} against {words}; the upper left is best"
        )
        for axis, words in _AXES.items()
    ]
    columns = [name for name in rows[0] if name != "kind" and any(row[name] is not None for row in rows)]
    table = table_html(rows, columns, f"All inputs; difference and p are against {protocol.reference}")
    parts = f'<section id="inputs"><h2>Inputs</h2><div class="plots">{"".join(plots)}</div>{table}</section>'
    return _text("report.html").format(
        policy=escape(POLICY), title=escape(protocol.name), style=_text("report.css"),
        links='<a href="#inputs">inputs</a>', summary=summary, parts=parts, data="[]", script=_text("report.js"),
    )  # fmt: skip


def _facts(runs: Sequence[Run], protocol: ProbeProtocol) -> list[tuple[str, str]]:
    folds = list(dict.fromkeys(run.fold for run in runs))
    training, network = protocol.training, protocol.network
    found = [
        ("folds", f"{len(folds)}, of {distinct([len(run.tested) for run in runs])} items tested; groups never cross"),
        ("seeds", distinct([run.seed for run in runs])),
        ("network", f"tokens of {network.token} samples, widths {network.widths}, the same for all inputs"),
        ("training", f"{training.epochs} epochs, batches of {training.batch}, AdamW along one cycle to "
                     f"{training.learning_rate:g}; the last epoch's network is tested"),
        ("scale", "inputs less their channels' means, over one number for all channels unless an input says otherwise"),
        ("± and p", f"deviation over folds and seeds; {_TESTS[bool(protocol.target)]}, the median over seeds"),
    ]  # fmt: skip
    tables = [flat(run.circumstances) for run in runs]
    for key in dict.fromkeys(key for table in tables for key in table):
        if words := distinct([table.get(key) for table in tables]):
            found.append((key.replace("_", " "), words))
    return found


def _text(name: str) -> str:
    return files("liveaction.evaluation").joinpath(name).read_text(encoding="utf-8")
