"""Figures over all sources of an evaluation: mean Bjontegaard deltas, and what codecs cost to encode at one ratio."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, geometric_mean, median
from typing import Any

import numpy as np

from liveaction.evaluation.groups import by_source, check_reference
from liveaction.evaluation.item import Measurement
from liveaction.evaluation.tables import AGAINST, Row, known_delta_rows, setting_rows


def all_delta_rows(items: Sequence[Measurement], measure: str, references: Sequence[str]) -> list[Row]:
    """Rows as ``delta_rows`` has them, of every source against every reference that anybody measured, source by source.

    Raises:
        UnknownNameError: nobody measured the first reference.
    """
    check_reference(items, references[0])
    known = {item.curve for item in items}
    chosen = [name for name in dict.fromkeys(references) if name in known]
    groups = by_source(items).items()
    return [row for source, mine in groups for name in chosen for row in known_delta_rows(mine, source, measure, name)]


def mean_rows(deltas: Sequence[Row]) -> list[Row]:
    """Per curve and reference the mean over sources of the delta in rate.

    Args:
        deltas: from :func:`all_delta_rows`.

    Returns:
        rows with ``mean_bd_rate_percent`` of the ``sources`` that have a delta ``of`` those measured, None of none;
        ``least`` and ``most`` of them, and at how many of them the curve takes more bits, ``losses``.
    """
    found: dict[tuple[str, str], list[Row]] = {}
    for row in deltas:
        found.setdefault((row["reference"], row["curve"]), []).append(row)
    sources = len({row["source"] for row in deltas})
    rows = []
    for (reference, curve), group in found.items():
        values = [row["bd_rate_percent"] for row in group if row["bd_rate_percent"] is not None]
        rows.append(
            {
                "curve": curve,
                "kind": group[0]["kind"],
                "reference": reference,
                "measure": group[0]["measure"],
                "mean_bd_rate_percent": fmean(values) if values else None,
                "least_bd_rate_percent": min(values, default=None),
                "most_bd_rate_percent": max(values, default=None),
                "losses": sum(value > 0 for value in values),
                "sources": len(values),
                "of": sources,
            }
        )
    return rows


def cost_rows(settings: Sequence[Row], measure: str, reference: str) -> list[Row]:
    """Every codec of one source at the ratio that most of them reach between their settings, best first.

    Measure and processor seconds are read between settings, straight over the log of the ratio; nothing is
    extrapolated: a codec that does not reach the ratio has None.

    Args:
        settings: rows of :func:`setting_rows`, those of one source.
        reference: curve of the codec that others are held against.

    Returns:
        rows with ``ratio``, the measure by its key, ``encode_cpu_s`` per ``unit`` of pace, and ``takes``, how many
        times as long the reference takes, None where one of the two does not reach the ratio. None at all where no row
        has a finite measure.
    """
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in settings:
        if row[measure] is not None and math.isfinite(float(row[measure])):
            lines.setdefault((row["curve"], row["codec"]), []).append(row)
    if not lines:
        return []
    ratio = _common_ratio([[row["ratio"] for row in line] for line in lines.values()])
    at = {key: _at(line, ratio, measure) for key, line in lines.items()}
    anchor = next((seconds for (curve, _), (_, seconds) in at.items() if curve == reference), None)
    rows = [
        {
            "source": lines[key][0].get("source", ""),
            "ratio": ratio,
            "curve": key[0],
            "codec": key[1],
            "kind": lines[key][0]["kind"],
            "reference": reference,
            measure: quality,
            "encode_cpu_s": seconds,
            "unit": unit_of(lines[key][0]),
            "takes": anchor / seconds if anchor and seconds and key[0] != reference else None,
        }
        for key, (quality, seconds) in at.items()
    ]
    return sorted(rows, key=lambda row: -math.inf if row[measure] is None else row[measure], reverse=True)


def mean_cost_rows(costs: Sequence[Row]) -> list[Row]:
    """Per codec the geometric means over sources of what encoding costs, each at its source's ratio.

    Args:
        costs: from :func:`cost_rows`, of all sources.

    Returns:
        rows with ``encode_cpu_s`` of the ``sources`` where the codec reaches the ratio, and ``takes``.
    """
    found: dict[tuple[str, str], list[Row]] = {}
    for row in costs:
        found.setdefault((row["curve"], row["codec"]), []).append(row)
    rows = []
    for (curve, codec), group in found.items():
        seconds, takes = ([row[key] for row in group if row[key] is not None] for key in ("encode_cpu_s", "takes"))
        rows.append(
            {
                "curve": curve,
                "codec": codec,
                "kind": group[0]["kind"],
                "reference": group[0]["reference"],
                "encode_cpu_s": geometric_mean(seconds) if seconds else None,
                "unit": group[0]["unit"],
                "takes": geometric_mean(takes) if takes else None,
                "sources": len(seconds),
            }
        )
    return rows


def all_cost_rows(items: Sequence[Measurement], measure: str, reference: str) -> list[Row]:
    """:func:`cost_rows` of every source."""
    rows = [[{"source": s.label, **row} for row in setting_rows(mine, s)] for s, mine in by_source(items).items()]
    return [row for each in rows if measure in each[0] for row in cost_rows(each, measure, reference)]


def wide_rows(means: Sequence[Row], costs: Sequence[Row]) -> list[Row]:
    """A row per codec: its curve's mean delta against each reference, and what it costs; as reports show them.

    Args:
        means: from :func:`mean_rows`; ``costs`` from :func:`mean_cost_rows`.
    """
    references = list(dict.fromkeys(row["reference"] for row in means))
    by_pair = {(row["curve"], row["reference"]): row for row in means}
    rows: list[Row] = []
    for cost in costs:
        row: Row = {"codec": cost["codec"], "curve": cost["curve"], "kind": cost["kind"]}
        mine = [by_pair.get((cost["curve"], name)) for name in references]
        for name, mean in zip(references, mine, strict=True):
            row[AGAINST + name] = mean["mean_bd_rate_percent"] if mean else None
        row["compared"] = ", ".join(f"{mean['sources']}" if mean else "–" for mean in mine)
        row |= {key: cost[key] for key in ("reference", "encode_cpu_s", "unit", "takes")}
        rows.append(row)
    return rows


def unit_of(row: Mapping[str, Any]) -> str:
    """What a row's processor seconds are per, in the singular: "Mvoxel", "frame", "second of sound"."""
    unit = str(row["speed"]).removesuffix("/s")
    return "second of sound" if unit.startswith("x ") else unit.removesuffix("s")


def _common_ratio(spans: Sequence[Sequence[float]]) -> float:
    """Two digits of the ratio, of 200 between the least and the largest, that most codecs reach between settings."""
    low, high = (math.log(f(ratio for span in spans for ratio in span)) for f in (min, max))
    steps = [math.exp(low + (high - low) * k / 200) for k in range(201)]
    counts = [sum(min(span) <= step <= max(span) for span in spans) for step in steps]
    best = [step for step, count in zip(steps, counts, strict=True) if count == max(counts)]
    return float(f"{median(best):.2g}")


def _at(line: Sequence[Row], ratio: float, measure: str) -> tuple[float | None, float | None]:
    """The measure and seconds of encoding at a ratio, between settings on a log scale; None beyond them."""
    line = sorted(line, key=lambda row: float(row["ratio"]))
    places = np.log([row["ratio"] for row in line])
    if not places[0] <= math.log(ratio) <= places[-1]:
        return None, None
    quality, seconds = (
        np.interp(math.log(ratio), places, [row[key] for row in line]) for key in (measure, "encode_cpu_s")
    )
    return float(quality), float(seconds)
