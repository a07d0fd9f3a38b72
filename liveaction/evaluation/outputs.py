"""What an evaluation leaves beside its items: the report, tables, plots."""

from collections.abc import Sequence
from pathlib import Path

from liveaction.evaluation.groups import by_source, lines_of
from liveaction.evaluation.item import Measurement
from liveaction.evaluation.judges.figures import Judged
from liveaction.evaluation.judges.rows import judged_delta_rows, judged_rows
from liveaction.evaluation.means import all_cost_rows, all_delta_rows, mean_cost_rows, mean_rows
from liveaction.evaluation.plots import accuracy_plot, rate_plot, write_plot
from liveaction.evaluation.report import write_report
from liveaction.evaluation.run import EXHIBITS, SHOWN
from liveaction.evaluation.sources import short_name
from liveaction.evaluation.tables import setting_rows, write_csv, write_json, write_markdown


def write_outputs(
    items: Sequence[Measurement],
    out: Path,
    title: str,
    notes: Sequence[str],
    reference: str,
    measure: str,
    against: Sequence[str] = (),
    scores: Judged | None = None,
) -> None:
    """Write ``report.html``, and tables as CSV, JSON and Markdown; plots as PNG.

    The tables: ``settings``; ``deltas`` of curves on every source, and their ``means`` over sources; ``costs``, what
    codecs take at one ratio of every source, and ``mean_costs``; with a judge ``judged``, its scores over all sources,
    and ``judged_deltas``.

    Args:
        items: all measurements, not none; their exhibits lie in ``out``.
        notes: lines on top of the report.
        reference: curve that Bjontegaard deltas are against, on ``measure``; ``against`` further ones.
        scores: what a judge says over all items; of so many sources the first eight are drawn one by one.

    Raises:
        UnknownNameError: nobody measured the reference.
    """
    shown = None if scores is None else SHOWN
    write_report(items, out / EXHIBITS, out / "report.html", title, notes, reference, measure, against, scores, shown)
    sources = by_source(items)
    deltas = all_delta_rows(items, measure, [reference, *against])
    costs = all_cost_rows(items, measure, reference)
    tables = {
        "settings": [{"source": s.label, **row} for s, mine in sources.items() for row in setting_rows(mine, s)],
        "deltas": deltas,
        "means": mean_rows(deltas),
        "costs": costs,
        "mean_costs": mean_cost_rows(costs),
    }
    if scores is not None:
        tables["judged"] = judged_rows(scores)
        tables["judged_deltas"] = judged_delta_rows(scores, [reference, *against])
    for name, rows in tables.items():
        for suffix, write in (("csv", write_csv), ("json", write_json), ("md", write_markdown)):
            write(rows, out / f"{name}.{suffix}")
    (out / "plots").mkdir(exist_ok=True)
    if scores is not None:
        write_plot(accuracy_plot(scores), out / "plots" / f"{scores.measure}.png")
    for source, mine in list(sources.items())[:shown]:
        plot = rate_plot(lines_of(mine, source), source, measure)
        write_plot(plot, out / "plots" / f"{short_name(source.label.replace('/', '_').replace(' ', '_'))}.png")
