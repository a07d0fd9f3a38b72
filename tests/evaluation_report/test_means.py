"""Means over sources: deltas against several curves, and costs at one ratio."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from liveaction.errors import UnknownNameError
from liveaction.evaluation.groups import sources_of
from liveaction.evaluation.means import (
    all_cost_rows,
    all_delta_rows,
    cost_rows,
    mean_cost_rows,
    mean_rows,
    unit_of,
    wide_rows,
)
from liveaction.evaluation.measures import MAIN
from liveaction.evaluation.outputs import write_outputs
from liveaction.evaluation.tables import delta_rows, heading_of, markdown, setting_rows

REFERENCES = ["x265 slow", "JPEG 2000", "of nobody"]


def test_means_are_over_the_sources_that_have_a_delta_against_each_reference(measured):
    deltas = all_delta_rows(measured, MAIN, REFERENCES)
    assert {row["reference"] for row in deltas} == {"x265 slow", "JPEG 2000"}, "nobody measured the third"
    means = {(row["curve"], row["reference"]): row for row in mean_rows(deltas)}
    each = [delta_rows(measured, s, MAIN, "x265 slow")[0]["bd_rate_percent"] for s in sources_of(measured)]
    ours = means["ours", "x265 slow"]
    assert ours["mean_bd_rate_percent"] == pytest.approx(np.mean(each))
    assert (ours["sources"], ours["of"], ours["losses"]) == (3, 3, sum(value > 0 for value in each))
    assert (ours["least_bd_rate_percent"], ours["most_bd_rate_percent"]) == (min(each), max(each))
    rarer = means["ours", "JPEG 2000"]
    assert (rarer["sources"], rarer["of"]) == (2, 3), "one source is without JPEG 2000"
    refused = means["<b>Zip & co</b>", "x265 slow"]
    assert (refused["mean_bd_rate_percent"], refused["sources"], refused["losses"]) == (None, 0, 0)
    behind = means["JPEG 2000", "x265 slow"]
    assert behind["mean_bd_rate_percent"] > 0 and behind["losses"] == behind["sources"] > 0
    with pytest.raises(UnknownNameError, match=r"reference: expected one of .*, got 'of nobody'"):
        all_delta_rows(measured, MAIN, REFERENCES[::-1])


def test_costs_are_read_between_settings_and_never_beyond_them(measured):
    source = sources_of(measured)[0]
    settings = setting_rows(measured, source)
    rows = {row["codec"]: row for row in cost_rows(settings, MAIN, "x265 slow")}
    (ratio,) = {row["ratio"] for row in rows.values()}
    for codec, row in rows.items():
        line = sorted((s for s in settings if s["codec"] == codec), key=lambda s: s["ratio"])
        reached = line[0]["ratio"] <= ratio <= line[-1]["ratio"]
        assert reached == (row["encode_cpu_s"] is not None) == (row[MAIN] is not None)
        if reached:
            places = np.log([s["ratio"] for s in line])
            wanted = np.interp(np.log(ratio), places, [s["encode_cpu_s"] for s in line])
            assert row["encode_cpu_s"] == pytest.approx(wanted)
    slow = rows["x265 slow"]["encode_cpu_s"]
    assert rows["x265 slow"]["takes"] is None
    assert rows["KLT"]["takes"] == pytest.approx(slow / rows["KLT"]["encode_cpu_s"]) and rows["KLT"]["takes"] > 10
    beyond = cost_rows([{**row, "ratio": row["ratio"] * 1e6} if row["codec"] == "KLT" else row for row in settings],
                       MAIN, "x265 slow")  # fmt: skip
    assert next(row for row in beyond if row["codec"] == "KLT")["takes"] is None and beyond[-1]["codec"] == "KLT"
    assert cost_rows([{**row, MAIN: np.inf} for row in settings], MAIN, "x265 slow") == []
    assert {row["takes"] for row in cost_rows(settings, MAIN, "of nobody")} == {None}


def test_mean_costs_are_geometric_means_of_those_that_reach_the_ratio(measured):
    costs = all_cost_rows(measured, MAIN, "x265 slow")
    assert [row["source"] for row in costs] == sorted((row["source"] for row in costs), key=_order(measured))
    means = {row["codec"]: row for row in mean_cost_rows(costs)}
    mine = [row for row in costs if row["codec"] == "KLT"]
    assert means["KLT"]["sources"] == len(mine) == 3
    assert means["KLT"]["takes"] == pytest.approx(np.prod([row["takes"] for row in mine]) ** (1 / 3))
    assert means["x265 slow"]["takes"] is None and means["x265 slow"]["encode_cpu_s"] > 0


def _order(items):
    return [source.label for source in sources_of(items)].index


def test_a_row_of_the_report_has_a_codec_with_all_that_is_said_of_it(measured):
    means, costs = mean_rows(all_delta_rows(measured, MAIN, REFERENCES)), mean_cost_rows(
        all_cost_rows(measured, MAIN, "x265 slow")
    )  # fmt: skip
    rows = {row["codec"]: row for row in wide_rows(means, costs)}
    assert rows["ours small"]["against x265 slow"] == rows["ours large"]["against x265 slow"] < 0
    assert rows["ours small"]["compared"] == "3, 2" and rows["x265 slow"]["compared"] == "–, 2"
    assert rows["x265 slow"]["against x265 slow"] is None
    text = markdown(list(rows.values()))
    assert "against x265 slow" in text and "x265 slow takes, times" in text
    assert f"{rows['KLT']['against x265 slow']:+.1f}" in text
    assert heading_of("takes", rows["KLT"]) == "x265 slow takes, times"


@pytest.mark.parametrize(
    ("speed", "unit"), [("Mvoxel/s", "Mvoxel"), ("frames/s", "frame"), ("x real time", "second of sound")]
)
def test_units_are_in_the_singular(speed, unit):
    assert unit_of({"speed": speed}) == unit


def test_all_tables_are_written_and_the_report_has_every_reference(measured, tmp_path):
    write_outputs(measured, tmp_path, "t", [], "x265 slow", MAIN, ["JPEG 2000"])
    read = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert set(read) == {"settings", "deltas", "means", "costs", "mean_costs"}
    assert {row["reference"] for row in read["deltas"]} == {row["reference"] for row in read["means"]} == {
        "x265 slow", "JPEG 2000",
    }  # fmt: skip
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "against x265 slow" in page and "against JPEG 2000" in page and "x265 slow takes, times" in page
    assert "the anchor is x265 slow, JPEG 2000, the test" in page


def test_the_record_of_an_evaluation_prints_means_then_our_curves(measured, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import evaluations

    monkeypatch.setattr(evaluations, "KEPT", tmp_path)
    once = [item for item in measured if item.seed in (None, 1)]
    write_outputs(once, tmp_path / "all", "t", [], "x265 slow", MAIN, ["JPEG 2000"])
    (tmp_path / "mine").mkdir()
    for name in evaluations.RECORDS:
        shutil.copy(tmp_path / "all" / f"{name}.json", tmp_path / "mine")
    means, ours, klt, *files = evaluations.tables("mine").split("\n\n")
    assert means.startswith("| mean over 3 files | bits against x265 slow | bits against JPEG 2000 | encoding, CPU sec")
    for table in (means, ours, klt, *files):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    read = json.loads((tmp_path / "mine" / "means.json").read_text())
    of_klt = next(row for row in read if row["curve"] == "KLT" and row["reference"] == "x265 slow")
    said = f"{of_klt['mean_bd_rate_percent']:+.1f} %, more on {of_klt['losses']} of 3"
    assert next(line for line in means.splitlines() if "`KLT`" in line).split(" | ")[1] == said
    assert next(line for line in means.splitlines() if "`x265 slow`" in line).split(" | ")[1] == "0"
    assert klt.startswith("| `KLT`: bits at equal PSNR (PSNR at equal bits) | against x265 slow | against JPEG 2000 |")
    assert not files and len(klt.splitlines()) == 2 + 3 and " × at " in klt
