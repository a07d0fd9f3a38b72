"""Runs of a study as rows: what every input reaches, what it costs, and how it stands beside the reference."""

from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

from liveaction.probing.protocol import BOUNDS, SMALLEST, ProbeProtocol
from liveaction.probing.run import Run
from liveaction.probing.scores import mcnemar, sign_test, spread

Row = dict[str, Any]
SCORES = ("dice", "accuracy", "si_sdr", "psnr_normalised", "rmse")
"""Measures of which the first that a study has is what inputs are compared by."""
CERTAIN = 0.05
"""Of the test between two inputs, below which they are said to differ."""
MARGIN = 2.0
"""Points, or dB, that 1/8 of the samples may be behind and still be called level where the test finds no difference."""
SHARES = ("dice", "accuracy", "macro_recall")
"""Measures that are shares, and stand in tables in percent."""
UNITS = {"rmse": "", "si_sdr": " dB", "psnr_normalised": " dB"}
"""Of measures that are none."""


def main_score(runs: Sequence[Run]) -> str:
    """The measure that inputs are compared by: Dice of maps, accuracy of classes, SI-SDR of sound, PSNR of
    other signals, the error of numbers."""
    return next(key for key in SCORES if key in runs[0].scores)


def input_rows(runs: Sequence[Run], reference: str) -> list[Row]:
    """A row per input, in the order of the protocol: means over folds and seeds, with their deviation.

    ``p`` is McNemar's against the reference, or of signals that of the paired sign test, of the items of all folds
    together; the median over seeds.
    """
    key = main_score(runs)
    anchor = [run for run in runs if run.input == reference]
    base = fmean(run.scores[key] for run in anchor)
    rows = []
    for name in dict.fromkeys(run.input for run in runs):
        mine = [run for run in runs if run.input == name]
        scores = {each: spread([run.scores[each] for run in mine]) for each in mine[0].scores}
        mean = scores[key][0]
        row: Row = {
            "input": name, "kind": "model" if "latents" in mine[0].words else "baseline", "words": mine[0].words,
            "reduction": mine[0].reduction, "values": mine[0].values, "bytes": fmean(run.bytes for run in mine),
            "of_it_container": fmean(run.container for run in mine),
        }  # fmt: skip
        for each, (value, around) in scores.items():
            row[each] = value * _times(each)
            row[f"{each}_deviation"] = None if around is None else around * _times(each)
        row["difference"] = (mean - base) * _times(key) if name != reference else None
        row["p"] = p_between(mine, anchor) if name != reference else None
        row |= {
            "macs": mine[0].macs, "encoder_macs": mine[0].encoder_macs, "parameters": mine[0].parameters,
            "epoch_cpu_s": fmean(run.cpu_seconds for run in mine), "items": mine[0].items, "runs": len(mine),
        }  # fmt: skip
        rows.append(row)
    return rows


def _times(key: str) -> int:
    return 100 if key in SHARES else 1


def p_between(one: Sequence[Run], two: Sequence[Run]) -> float | None:
    """The median over seeds of p, of the test items of all folds; None where nothing is said of single items."""
    found = []
    for seed in dict.fromkeys(run.seed for run in one):
        sides = [[run for run in runs if run.seed == seed] for runs in (one, two)]
        close = [[value for run in runs for value in run.each] for runs in sides]
        right = [[told for run in runs for told in run.right] for runs in sides]
        if close[0] and len(close[0]) == len(close[1]):
            found.append(sign_test(*close))
        if right[0] and len(right[0]) == len(right[1]):
            found.append(mcnemar(*right))
    return median(found) if found else None


def verdicts(runs: Sequence[Run], protocol: ProbeProtocol) -> list[str]:
    """What the study says, in sentences: whether the task can tell inputs apart, and where latents stand."""
    rows = {row["input"]: row for row in input_rows(runs, protocol.reference)}
    key = main_score(runs)
    lines = [line for line in (_can_tell(runs, protocol, rows), _as_good_in_words(list(rows.values()), key)) if line]
    unit = UNITS.get(key, " points")
    reference = rows[protocol.reference]
    for name, row in rows.items():
        if name == protocol.reference or name in BOUNDS or protocol.inputs[name].latents == "":
            continue
        lines.append(
            f"{name} ({row['words']}): {row[key]:.1f}, {row['difference']:+.1f}{unit}, {_beside(row, key)} "
            f"{protocol.reference}, at {row['bytes']:.0f} bytes an item for its {reference['bytes']:.0f}."
        )
    return lines


def as_good(rows: Sequence[Row], key: str) -> dict[str, Row]:
    """Of latents, of fewer samples and of other codecs, what reads the fewest bytes and is as good as all samples.

    As good: the mean is no worse than that of samples by more than the deviation of their runs.

    Args:
        rows: of :func:`input_rows`.
        key: the measure.

    Returns:
        ``samples``: the row of all samples; ``latents``, ``fewer samples``, ``another codec``: the row of each such
        kind; a kind of which none is as good is not there, and nothing is where samples are not.
    """
    whole = next((row for row in rows if row["words"] == "samples"), None)
    if whole is None:
        return {}
    sign = -1 if key == "rmse" else 1
    least = sign * whole[key] - (whole[f"{key}_deviation"] or 0.0)
    found = {"samples": whole}
    for row in sorted(rows, key=lambda row: float(row["bytes"])):
        if row["input"] not in (whole["input"], *BOUNDS) and sign * row[key] >= least:
            found.setdefault(_kind(row), row)
    return found


def _kind(row: Row) -> str:
    if row["kind"] == "model":
        return "latents"
    return "another codec" if row["words"].startswith("decoded") else "fewer samples"


def _as_good_in_words(rows: Sequence[Row], key: str) -> str:
    found = as_good(rows, key)
    if len(found) < 2:
        return ""
    whole = found.pop("samples")
    parts = []
    for row in found.values():
        read, numbers, pace = (whole[each] / row[each] for each in ("bytes", "values", "epoch_cpu_s"))
        fewer = f"1/{numbers:.3g} of the numbers" if numbers > 1 else "as many numbers"
        parts.append(f"{row['input']} with 1/{read:.3g} of the bytes, {fewer}, {_pace(pace)}")
    return f"As good as {whole['input']} ({whole[key]:.1f}): {'; '.join(parts)}."


def _pace(times: float) -> str:
    if abs(times - 1) < 0.05:  # what two runs of one training differ by
        return "as fast in training"
    word = "faster" if times >= 1 else "slower"
    return f"{max(times, 1 / times):.2g} times {word} in training"


def _beside(row: Row, key: str) -> str:
    """How an input stands beside the reference, in words that say no more than the test does."""
    if row["p"] is not None and row["p"] >= CERTAIN:
        return f"not certainly different (p {row['p']:.1g}) from"
    if row["p"] is None and abs(row["difference"]) <= (row[f"{key}_deviation"] or 0.0):
        return "within the deviation of the runs of"
    return "worse than" if (row["difference"] < 0) != (key == "rmse") else "better than"


def _can_tell(runs: Sequence[Run], protocol: ProbeProtocol, rows: dict[str, Row]) -> str:
    """A sentence where a look at few samples does as well as all of them."""
    entries = protocol.inputs
    whole = next((name for name, entry in entries.items() if entry.resample == 1 and entry.stem == "patch"), None)
    few = [name for name, entry in entries.items() if entry.resample and entry.resample >= SMALLEST]
    if whole is None or not few:
        return "Whether this task can tell inputs apart is not known: that takes samples, and 1/8 of them or fewer."
    name = min(few, key=lambda each: entries[each].resample or 0)
    key = main_score(runs)
    worse = rows[name][key] > rows[whole][key] if key == "rmse" else rows[name][key] < rows[whole][key]
    p = p_between([run for run in runs if run.input == name], [run for run in runs if run.input == whole])
    if worse and (p is None or p < CERTAIN):
        return ""
    lost = abs(rows[name][key] - rows[whole][key])
    if worse and lost > MARGIN:
        return (
            f"Too few items to know whether this task can tell: {rows[name][key]:.1f} with 1/{entries[name].resample} "
            f"of the samples along every axis, {rows[whole][key]:.1f} with all of them (p {p or 1:.1g})."
        )
    return (
        f"This task cannot tell: with 1/{entries[name].resample} of the samples along every axis it is solved as well "
        f"({rows[name][key]:.1f}) as with all of them ({rows[whole][key]:.1f})."
    )
