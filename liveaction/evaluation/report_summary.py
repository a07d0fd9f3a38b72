"""What stands on top of a report: who wins by how much, what was coded, with what, on what, and how it was timed."""

from collections.abc import Sequence
from html import escape

from liveaction.evaluation.groups import sources_of
from liveaction.evaluation.item import Measurement
from liveaction.evaluation.means import all_cost_rows, mean_cost_rows, mean_rows, wide_rows
from liveaction.evaluation.measures import MEASURES
from liveaction.evaluation.report_html import distinct, flat, list_html, table_html
from liveaction.evaluation.tables import AGAINST, Row

_MOST = 8  # sources of which every one has a sentence in sight


def summary_html(
    items: Sequence[Measurement], notes: Sequence[str], measure: str, reference: str, deltas: Sequence[Row]
) -> str:
    """The first part of a report; ``deltas`` are those of all sources and references."""
    mine = [row for row in deltas if row["reference"] == reference]
    lines = [f"<li>{escape(line)}</li>" for line in verdicts(items, measure, reference, mine)]
    told = f'<ul class="verdicts">{"".join(lines)}</ul>'
    if len(lines) > _MOST:
        told = f"<details><summary>Every one of {len(lines)} sources</summary>{told}</details>"
    noted = "".join(f"<p>{escape(note)}</p>" for note in notes)
    rows = wide_rows(mean_rows(deltas), mean_cost_rows(all_cost_rows(items, measure, reference)))
    keys = ["codec", *(key for key in rows[0] if key.startswith(AGAINST))] if rows else []
    sources = len(sources_of(items))
    table = table_html(
        rows, [*keys, "compared", "encode_cpu_s", "takes"],
        f"Bits in % at equal {MEASURES[measure].label} against others, mean over those of {sources} sources that can "
        f"be compared; negative is fewer. Processor seconds of encoding per {rows[0]['unit']}, geometric means, each "
        "source at one ratio",
    ) if rows else ""  # fmt: skip
    return (
        f'<section id="summary"><h2>Summary</h2>{told}{table}{noted}'
        f"<details open><summary>What was measured, and how</summary>{list_html(facts(items))}</details></section>"
    )


def verdicts(items: Sequence[Measurement], measure: str, reference: str, deltas: Sequence[Row]) -> list[str]:
    """A sentence per source: how our best curve, and the best baseline, do against the reference of the deltas."""
    lines = []
    label = MEASURES[measure].label
    for source in sources_of(items):
        rows = [row for row in deltas if row["source"] == source.label]
        known = sorted((row for row in rows if row["bd_rate_percent"] is not None), key=lambda r: r["bd_rate_percent"])
        said = []
        for kind, words in (("model", "of our codecs"), ("baseline", "of the other baselines")):
            best = next((row for row in known if row["kind"] == kind), None)
            if best is not None:
                percent = best["bd_rate_percent"]
                amount = f"{abs(percent):.1f} % {'fewer' if percent < 0 else 'more'} bits"
                said.append(f"{words} {best['curve']} does best, with {amount}")
        refused = sum(row["bd_rate_percent"] is None for row in rows)
        if not said:
            said = ["no curve can be compared, for the reasons given below"]
        elif refused:
            said.append(f"{refused} of {len(rows)} curves cannot be compared, for the reasons given below")
        lines.append(f"{source.label}: at equal {label} as {reference}, {'; '.join(said)}.")
    return lines


def facts(items: Sequence[Measurement]) -> list[tuple[str, str]]:
    """Terms and figures of everything that was measured, each distinct value once."""
    sources = sources_of(items)
    coded = [
        f"{s.label}: {' × '.join(map(str, s.shape))} {s.dtype}, {s.limits[0]:g} to {s.limits[1]:g} {s.unit}".rstrip()
        for s in sources
    ]
    runs = sorted({item.encode.wall.runs for item in items})
    times = " or ".join(map(str, runs))
    found = [
        ("coded", "; ".join(coded)),
        ("codecs of ours", distinct([item.codec for item in items if item.kind == "model"]) or "none"),
        ("baselines", distinct([_library(item) for item in items if item.kind == "baseline"]) or "none"),
        ("seeds", distinct([item.seed for item in items if item.kind == "model"]) or "none named"),
        ("threads", distinct([item.threads for item in items])),
        ("timing", f"median of {times} runs after a warm-up, from signal to bytes and back, files not included"),
        ("transfers", distinct([item.transfers for item in items])),
    ]
    tables = [flat(item.circumstances) for item in items]
    for key in dict.fromkeys(key for table in tables for key in table):
        words = distinct([table.get(key) for table in tables])
        if words:
            found.append((key.replace("_", " "), words))
    return found


def _library(item: Measurement) -> str:
    return f"{item.codec} ({item.library})" if item.library else item.codec
