"""Tables of a judge, as plain rows: every setting over all items, and curves against a reference."""

from collections.abc import Sequence

from liveaction.evaluation.bd import bd_psnr, bd_rate, best_of
from liveaction.evaluation.judges.figures import Judged, Pooled, PooledLine
from liveaction.evaluation.tables import Row

ORIGINALS = "originals"
EIGHTH = "1/8 resolution"


def judged_rows(judged: Judged) -> list[Row]:
    """The originals, an eighth of their resolution, then a row per codec and setting: scores over all items."""
    none = PooledLine(ORIGINALS, ORIGINALS, "original", "no codec", 0, (judged.original,))
    least = PooledLine(EIGHTH, EIGHTH, "original", "factor per axis", 0, (judged.eighth,))
    return [_row(judged, line, point) for line in (none, least, *judged.lines) for point in line.points]


def judged_delta_rows(judged: Judged, references: Sequence[str]) -> list[Row]:
    """Every curve against each reference that was judged: Bjontegaard deltas of the score, over all items together.

    Bytes are means per item. Settings that were not measured on all items take no part.

    Returns:
        rows with ``bd_rate_percent`` (negative: fewer bytes at equal score), ``bd_score_points`` (in hundredths,
        positive: better at equal bytes), ``overlap`` of the ranges of the score, ``points``, ``reason``.
    """
    families: dict[str, list[PooledLine]] = {}
    for line in judged.lines:
        families.setdefault(line.curve, []).append(line)
    pairs = {curve: _points(family, judged.original.items) for curve, family in families.items()}
    rows: list[Row] = []
    for reference in dict.fromkeys(name for name in references if name in pairs):
        for curve, family in families.items():
            if curve == reference:
                continue
            rate, score = (delta(pairs[reference], pairs[curve]) for delta in (bd_rate, bd_psnr))
            reasons = [reason for reason in (rate.reason, score.reason) if reason]
            for name in (reference, curve):
                partly = sum(p.items < judged.original.items for line in families[name] for p in line.points)
                reasons += [f"{name}: {partly} left out, not of all items"] if partly else []
            rows.append(
                {
                    "curve": curve,
                    "kind": family[0].kind,
                    "reference": reference,
                    "measure": judged.measure,
                    "bd_rate_percent": rate.value,
                    "bd_score_points": None if score.value is None else 100 * score.value,
                    "overlap": rate.overlap,
                    "points": f"{rate.points[0]} and {rate.points[1]}",
                    "judge": _told(judged),
                    "reason": "; ".join(dict.fromkeys(reasons)),
                }
            )
    return rows


def _points(family: Sequence[PooledLine], items: int) -> list[tuple[float, float]]:
    curves = [line.pairs(items) for line in family]
    return curves[0] if len(curves) == 1 else best_of(curves)


def _row(judged: Judged, line: PooledLine, point: Pooled) -> Row:
    return {
        "curve": line.curve, "codec": line.codec, "kind": line.kind, "seeds": line.seeds, "setting": line.setting,
        "value": point.value, "items": point.items, "bytes": point.bytes, "ratio": point.ratio,
        judged.measure: point.score, "low": point.low, "high": point.high, "from_originals": point.difference,
        "p": point.p, "judge": _told(judged),
    }  # fmt: skip


def _told(judged: Judged) -> str:
    return f"{judged.title}: {'can tell' if judged.tells else 'cannot tell'}"
