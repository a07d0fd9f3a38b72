"""Tables of an evaluation as plain rows: every setting of every codec, and curves against a reference."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from liveaction.evaluation.bd import bd_psnr, bd_rate, best_of
from liveaction.evaluation.groups import Line, Point, check_reference, curves_of, lines_of
from liveaction.evaluation.item import Measurement, Source
from liveaction.evaluation.measures import MEASURES
from liveaction.files import atomic_path

Row = dict[str, Any]
"""Numbers, texts and None by key; keys of one table are in the same order in every row."""

AGAINST = "against "
"""What keys begin with that hold a delta in rate, in percent, against the curve they name."""


def speed_unit(unit: str) -> str:
    """What a speed in an item's pace is stated in: ``Mvoxel/s``; of sound "x real time"."""
    return "x real time" if unit == "s" else f"{unit}/s"


def setting_rows(items: Sequence[Measurement], source: Source) -> list[Row]:
    """A row per codec and setting on a source, models first; seeds are averaged and counted.

    ``encode`` and ``decode`` are speeds on the clock from signal to bytes and back, entropy coding included, in
    ``speed``; ``entropy_coding`` and ``entropy_decoding`` are the seconds of it that the coding of latents took, None
    where the library does not tell; ``encode_cpu_s`` the processor seconds of all threads per unit of pace. Measures
    are those that any item of the source has, in the order of :data:`MEASURES`.
    """
    keys = measure_keys(items, source)
    return [_setting_row(line, point, keys) for line in lines_of(items, source) for point in line.points]


def measure_keys(items: Sequence[Measurement], source: Source) -> list[str]:
    """The measures that any item of a source has, in the order of :data:`MEASURES`; unknown ones last."""
    found = {key for item in items if item.source == source for key in item.metrics}
    return [key for key in MEASURES if key in found] + sorted(found - set(MEASURES))


def delta_rows(items: Sequence[Measurement], source: Source, measure: str, reference: str) -> list[Row]:
    """Every other curve on a source against ``reference``: Bjontegaard deltas, or the reason why there is none.

    Of a curve of several codecs it is the best of them at every rate that counts.

    Returns:
        rows with ``bd_rate_percent`` (negative: fewer bits at equal quality; of points that are means over seeds),
        ``bd_rate_deviation`` of the seeds, each against the reference of that seed, None unless there are several,
        ``bd_quality`` in the unit of the measure (positive: better at equal rate), ``overlap`` of the ranges of
        quality, ``points`` of reference and curve, and ``reason`` where a delta is refused or points were left out.

    Raises:
        UnknownNameError: no item is of that curve.
    """
    check_reference(items, reference)
    return known_delta_rows(items, source, measure, reference)


def known_delta_rows(items: Sequence[Measurement], source: Source, measure: str, reference: str) -> list[Row]:
    """As :func:`delta_rows`, of a reference that may have been measured on other sources alone."""
    curves = curves_of(lines_of(items, source))
    better = MEASURES[measure].sign
    pairs = {name: _points(family, measure, better) for name, family in curves.items()}
    rows = []
    for name, family in curves.items():
        if name == reference:
            continue
        rate, quality = (delta(pairs.get(reference, []), pairs[name]) for delta in (bd_rate, bd_psnr))
        reasons = dict.fromkeys(reason for reason in (rate.reason, quality.reason) if reason)
        rows.append(
            {
                "source": source.label,
                "curve": name,
                "kind": family[0].kind,
                "reference": reference,
                "measure": measure,
                "bd_rate_percent": rate.value,
                "bd_rate_deviation": _deviation(items, source, measure, reference, name),
                "bd_quality": None if quality.value is None else better * quality.value,
                "overlap": rate.overlap,
                "points": f"{rate.points[0]} and {rate.points[1]}",
                "reason": "; ".join(reasons),
            }
        )
    return rows


def _deviation(items: Sequence[Measurement], source: Source, measure: str, reference: str, curve: str) -> float | None:
    """Standard deviation over seeds of the delta in rate; None for fewer than two seeds that have one."""
    better = MEASURES[measure].sign
    found = []
    for seed in sorted({item.seed for item in items if item.curve == curve and item.seed is not None}):
        pairs = []
        for name in (reference, curve):
            mine = [item for item in items if item.curve == name and item.seed in (seed, None)]
            pairs.append(_points(lines_of(mine, source), measure, better))
        value = bd_rate(*pairs).value
        found += [] if value is None else [value]
    return stdev(found) if len(found) > 1 else None


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write rows as CSV, all digits; None is empty. Atomic."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    _write(text.getvalue(), path)


def write_json(rows: Sequence[Row], path: Path) -> None:
    """Write rows as a JSON list; infinities, which JSON lacks, as the texts that items have. Atomic."""
    plain = [{key: _plain(value) for key, value in row.items()} for row in rows]
    _write(json.dumps(plain, indent=1, allow_nan=False) + "\n", path)


def write_markdown(rows: Sequence[Row], path: Path) -> None:
    """Write rows as a Markdown table, numbers to four digits; None is a dash. Atomic."""
    _write(markdown(rows), path)


def markdown(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table."""
    if not rows:
        return ""
    lines = [[heading_of(key, rows[0]) for key in rows[0]], ["---"] * len(rows[0])]
    lines += [[text_of(key, value) for key, value in row.items()] for row in rows]
    return "".join("| " + " | ".join(_cell(text) for text in line) + " |\n" for line in lines)


def heading_of(key: str, row: Mapping[str, Any]) -> str:
    """A column's heading, with its unit."""
    if key in MEASURES:
        unit = MEASURES[key].unit
        return f"{MEASURES[key].label}, {unit}" if unit else MEASURES[key].label
    if key in ("encode", "decode"):
        return f"{key}, {row['speed']}"
    if key == "takes":
        return f"{row['reference']} takes, times"
    return _HEADINGS.get(key, key if key.startswith(AGAINST) else key.replace("_", " "))


def text_of(key: str, value: Any) -> str:
    """A cell's text: measures with their decimals, other numbers to four digits."""
    if value is None or value == "":
        return "–"
    if isinstance(value, str | int):
        return str(value)
    if key in MEASURES:
        return "∞" if math.isinf(value) else MEASURES[key].text(value).split(" ")[0]
    if key.endswith("bd_rate_percent") or key.startswith(AGAINST):
        return f"{value:+.1f}"
    if key == "overlap":
        return f"{100 * value:.0f} %"
    if key in ("bd_quality", "bd_score_points"):
        return f"{value:+.2f}"
    return f"{value:+.4f}" if key == "from_originals" else f"{value:.4g}"


_HEADINGS = {
    "bits_per_element": "bits per element",
    "entropy_coding": "of that entropy coding, s",
    "entropy_decoding": "of that entropy decoding, s",
    "encode_cpu_s": "encode, processor s per unit",
    "macs_encode": "encode, MACs per element",
    "macs_decode": "decode, MACs per element",
    "bd_rate_percent": "BD-rate, %",
    "bd_rate_deviation": "± over seeds",
    "bd_quality": "BD-quality",
    "bd_score_points": "BD-score, points of 100",
    "from_originals": "difference to originals",
    "p": "p of no difference",
    "low": "95 % from",
    "high": "to",
    "mean_bd_rate_percent": "mean BD-rate, %",
    "least_bd_rate_percent": "least, %",
    "most_bd_rate_percent": "most, %",
    "losses": "sources of more bits",
    "sources": "sources compared",
    "of": "sources measured",
    "points": "points, anchor and test",
    "reason": "refused or left out",
}


def _setting_row(line: Line, point: Point, keys: list[str]) -> Row:
    first = point.item
    seeds = [item for item in point.items if item.seed is not None]

    def speed(item: Measurement, seconds: float) -> float:
        return item.pace.amount / seconds if seconds > 0 else math.inf

    row: Row = {
        "curve": line.curve, "codec": line.codec, "kind": line.kind, "seeds": len(seeds), "setting": first.setting,
        "value": first.value, "bytes": round(point.mean(lambda item: item.bytes)), "ratio": point.ratio,
        "bits_per_element": point.bits,
    }  # fmt: skip
    for key in keys:
        values = point.measures(key)
        row[key] = fmean(values) if values else None
    row["encode"] = point.mean(lambda item: speed(item, item.seconds("encode")))
    row["decode"] = point.mean(lambda item: speed(item, item.seconds("decode")))
    row["speed"] = speed_unit(first.pace.unit)
    for key in ("entropy_coding", "entropy_decoding"):
        told = [spent.wall.median for item in point.items if (spent := getattr(item, key)) is not None]
        row[key] = fmean(told) if told else None
    row["encode_cpu_s"] = point.mean(lambda item: item.seconds("encode", "cpu") / item.pace.amount)
    for way in ("encode", "decode"):
        row[f"macs_{way}"] = None if first.macs is None else first.macs.get(way)
    return row


def _points(family: Sequence[Line], measure: str, better: float) -> list[tuple[float, float]]:
    """What a delta is computed of: of several codecs where each is best; of one infinite measures stay, to be told."""
    curves = [
        [(point.bits, better * fmean(values)) for point in line.points if (values := point.measures(measure))]
        for line in family
    ]
    return curves[0] if len(curves) == 1 else best_of(curves)


def _cell(text: str) -> str:
    """Text that ends no cell and starts no markup."""
    for sign in "\\|<>&*_`[]":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def _write(text: str, path: Path) -> None:
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
