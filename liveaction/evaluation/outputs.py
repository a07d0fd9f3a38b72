"""What an evaluation leaves beside its items: the report, tables, plots."""

from collections.abc import Sequence
from pathlib import Path

from liveaction.evaluation.groups import lines_of, sources_of
from liveaction.evaluation.item import Measurement
from liveaction.evaluation.plots import rate_plot, write_plot
from liveaction.evaluation.report import write_report
from liveaction.evaluation.run import EXHIBITS
from liveaction.evaluation.sources import short_name
from liveaction.evaluation.tables import delta_rows, setting_rows, write_csv, write_json, write_markdown


def write_outputs(
    items: Sequence[Measurement], out: Path, title: str, notes: Sequence[str], reference: str, measure: str
) -> None:
    """Write ``report.html``, and of settings and deltas one table each as CSV, JSON and Markdown; plots as PNG.

    Args:
        items: all measurements, not none; their exhibits lie in ``out``.
        notes: lines on top of the report.
        reference: curve that Bjontegaard deltas are against, on ``measure``.

    Raises:
        UnknownNameError: nobody measured the reference.
    """
    write_report(items, out / EXHIBITS, out / "report.html", title, notes, reference, measure)
    sources = sources_of(items)
    tables = {
        "settings": [{"source": s.label, **row} for s in sources for row in setting_rows(items, s)],
        "deltas": [row for s in sources for row in delta_rows(items, s, measure, reference)],
    }
    for name, rows in tables.items():
        for suffix, write in (("csv", write_csv), ("json", write_json), ("md", write_markdown)):
            write(rows, out / f"{name}.{suffix}")
    (out / "plots").mkdir(exist_ok=True)
    for source in sources:
        plot = rate_plot(lines_of(items, source), source, measure)
        write_plot(plot, out / "plots" / f"{short_name(source.label.replace('/', '_').replace(' ', '_'))}.png")
