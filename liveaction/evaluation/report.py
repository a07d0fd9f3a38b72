"""A report of an evaluation: one HTML file that needs nothing else, to read, to sort and to look at side by side."""

import math
from collections.abc import Sequence
from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path

from liveaction.errors import ShapeError, UnknownNameError
from liveaction.evaluation.costs import costs_at
from liveaction.evaluation.groups import Line, by_source, check_reference, common_ratios, lines_of
from liveaction.evaluation.item import Measurement, Source
from liveaction.evaluation.judges.figures import Judged
from liveaction.evaluation.means import all_delta_rows
from liveaction.evaluation.measures import MEASURES
from liveaction.evaluation.plots import cost_plot, curve_plot, rate_plot
from liveaction.evaluation.report_exhibits import exhibits_data
from liveaction.evaluation.report_html import plot_html, script_json, table_html
from liveaction.evaluation.report_judged import judged_html
from liveaction.evaluation.report_summary import summary_html
from liveaction.evaluation.tables import Row, measure_keys, setting_rows
from liveaction.files import atomic_path

POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write_report(
    items: Sequence[Measurement],
    folder_of_exhibits: Path,
    out: Path,
    title: str,
    notes: Sequence[str],
    reference: str,
    measure: str,
    against: Sequence[str] = (),
    judged: Judged | None = None,
    most: int | None = None,
) -> None:
    """Write one HTML file, pictures and sounds within; it asks for nothing from anywhere. Atomic.

    Args:
        items: all measurements.
        folder_of_exhibits: as :func:`~liveaction.evaluation.exhibits.folder_of_item` and ``folder_of_source`` fill it;
            what is not there is not shown.
        out: the file.
        title: heading of the page.
        notes: paragraphs below the summary.
        reference: the curve that others are held against.
        measure: key of ``Measurement.metrics`` for plots and deltas.
        against: curves that deltas are taken against beside it.
        judged: what a judge says.
        most: sources that have a section of their own; None for all.

    Raises:
        ShapeError: there are no items.
        UnknownNameError: no item is of the curve ``reference``, or has ``measure``.
        FormatError: saved exhibits are damaged.
    """
    if not items:
        raise ShapeError("report: expected at least one item, got none; measure something first")
    check_reference(items, reference)
    groups = by_source(items)
    known = [key for source, mine in groups.items() for key in measure_keys(mine, source) if key in MEASURES]
    if measure not in known:
        listed = ", ".join(map(repr, dict.fromkeys(known)))
        raise UnknownNameError(f"measure: expected one of {listed}, got {measure!r}")
    sources = list(groups)
    deltas = all_delta_rows(items, measure, [reference, *against])
    alone = sources[:most]
    parts = [_source_html(groups[source], source, n, measure, deltas) for n, source in enumerate(alone)]
    shown = [exhibits_data(groups[source], source, folder_of_exhibits, measure) for source in alone]
    links = "".join(f'<a href="#source-{n}">{escape(source.label)}</a>' for n, source in enumerate(alone))
    if judged is not None:
        parts.insert(0, judged_html(judged, [reference, *against], len(alone), len(sources)))
        links = f'<a href="#judged">{escape(judged.title)}</a>{links}'
        notes = [f"{judged.words}.", *notes]
    page = _text("report.html").format(
        policy=escape(POLICY), title=escape(title), style=_text("report.css"), links=links,
        summary=summary_html(items, notes, measure, reference, deltas), parts="".join(parts),
        data=script_json([{**data, "number": n} for n, data in enumerate(shown) if data]),
        script=_text("report.js") + _text("report_selftest.js"),
    )  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as part:
        part.write_text(page, encoding="utf-8")


def _source_html(items: Sequence[Measurement], source: Source, number: int, measure: str, deltas: Sequence[Row]) -> str:
    lines = lines_of(items, source)
    label = MEASURES[measure].label
    plots = [
        plot_html(partial(rate_plot, lines, source, measure), f"{source.label}: {label} against bits per element"),
        *_cost_html(lines, source, measure),
        *_curves_html(lines, source),
    ]
    rows = setting_rows(items, source)
    columns = ["codec", "value", "setting", "bytes", "ratio", "bits_per_element", *measure_keys(items, source)]
    columns += ["encode", "decode", "encode_cpu_s", "entropy_coding", "entropy_decoding", "macs_encode", "macs_decode"]
    if any(row["seeds"] > 1 for row in rows):
        columns.insert(2, "seeds")
    columns = _there(rows, " ".join(columns))
    deltas = [row for row in deltas if row["source"] == source.label]
    anchors = list(dict.fromkeys(row["reference"] for row in deltas))
    columns_of = "curve" if len(anchors) == 1 else "curve reference"
    against = table_html(
        deltas, _there(deltas, f"{columns_of} bd_rate_percent bd_rate_deviation bd_quality overlap points reason"),
        f"Bjontegaard deltas of {label}; the anchor is {', '.join(anchors)}, the test each curve; negative is fewer "
        "bits",
    ) if deltas else ""  # fmt: skip
    return (
        f'<section id="source-{number}"><h2>{escape(source.label)}</h2><div class="plots">{"".join(plots)}</div>'
        f"{against}{table_html(rows, columns, f'All settings on {source.label}')}"
        f"{_viewer_html(number)}</section>"
    )


def _there(rows: Sequence[Row], columns: str) -> list[str]:
    """The columns of which any row has something."""
    return [key for key in columns.split() if any(row[key] is not None for row in rows)]


def _cost_html(lines: Sequence[Line], source: Source, measure: str) -> list[str]:
    ratios = common_ratios(lines)
    ratio = ratios[len(ratios) // 2]
    costs = costs_at(lines, source, measure, ratio)
    if not costs:
        return []
    absent = [line.name for line in lines if line not in [cost.line for cost in costs]]
    words = f"{MEASURES[measure].label} at ratio {ratio:g} against the cost of encoding; the upper left is best"
    words += f"; not measured around this ratio: {', '.join(absent)}" if absent else ""
    return [plot_html(partial(cost_plot, costs, lines, source, measure, ratio), words)]


def _curves_html(lines: Sequence[Line], source: Source) -> list[str]:
    ratios = common_ratios(lines)
    ratio = ratios[len(ratios) // 2]
    names = dict.fromkeys(
        name for line in lines for name, values in line.nearest(ratio).item.curves.items()
        if sum(map(math.isfinite, values)) > 1
    )  # fmt: skip
    words = "{} of the settings nearest to ratio {:g}, their own ratios in brackets"
    return [
        plot_html(partial(curve_plot, lines, name, ratio), words.format(name.replace("_", " "), ratio))
        for name in names
    ]


def _viewer_html(number: int) -> str:
    """Where the script puts the side-by-side part of a source."""
    return f'<div class="viewer" data-source="{number}"></div>'


def _text(name: str) -> str:
    return files("liveaction.evaluation").joinpath(name).read_text(encoding="utf-8")
