"""What a report says of a judge: whether it can tell at all, its scores against bytes, and curves against others."""

from collections.abc import Sequence
from functools import partial
from html import escape

from liveaction.evaluation.judges.figures import Judged
from liveaction.evaluation.judges.rows import judged_delta_rows, judged_rows
from liveaction.evaluation.measures import MEASURES
from liveaction.evaluation.plots import accuracy_plot
from liveaction.evaluation.report_html import plot_html, table_html


def judged_html(judged: Judged, references: Sequence[str], shown: int, sources: int) -> str:
    """A section over all items together.

    Args:
        references: curves that deltas are taken against.
        shown: how many of the ``sources`` have a section of their own below.
    """
    label = MEASURES[judged.measure].label
    words = f"{label} over {judged.original.items} items against mean bytes per item; bars and band: 95 %, "
    words += f"{judged.interval}; line: originals, dashed: an eighth of their resolution"
    rows, deltas = judged_rows(judged), judged_delta_rows(judged, references)
    against = table_html(
        deltas, ["curve", "reference", "bd_rate_percent", "bd_score_points", "overlap", "points", "reason"],
        f"Bjontegaard deltas of {label} over all items; negative is fewer bytes at equal score",
    ) if deltas else ""  # fmt: skip
    columns = ["codec", "value", "setting", "items", "bytes", "ratio", judged.measure, "low", "high", "from_originals"]
    every = table_html(
        rows, [*columns, "p"], f"{judged.title}: all settings; p by {judged.test}, not adjusted for their number"
    )
    below = f"<p>Below, {shown} of {sources} sources one by one; tables have all.</p>" if shown < sources else ""
    return (
        f'<section id="judged"><h2>{escape(judged.title)}</h2><p>{escape(judged.words)}.</p>'
        f'<div class="plots">{plot_html(partial(accuracy_plot, judged), words)}</div>{against}{every}{below}</section>'
    )
