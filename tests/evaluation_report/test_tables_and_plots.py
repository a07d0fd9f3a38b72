"""Tables' values and files, and plots that are not blank."""

import csv
import json
import math

import numpy as np
import pytest
from PIL import Image

from liveaction.errors import UnknownNameError
from liveaction.evaluation.bd import bd_psnr, bd_rate, best_of
from liveaction.evaluation.costs import costs_at
from liveaction.evaluation.groups import common_ratios, curves_of, lines_of, sources_of
from liveaction.evaluation.measures import MAIN
from liveaction.evaluation.plot_style import DARK, LIGHT, styles_of
from liveaction.evaluation.plots import cost_plot, curve_plot, measure_label, rate_plot, svg_bytes, write_plot
from liveaction.evaluation.tables import (
    delta_rows,
    markdown,
    measure_keys,
    setting_rows,
    write_csv,
    write_json,
    write_markdown,
)


def _lossless(items):
    """Items with one of the volume turned lossless."""
    number = next(k for k, item in enumerate(items) if item.curve == "JPEG 2000")
    changed = items[number].model_copy(update={"metrics": {**items[number].metrics, MAIN: math.inf}})
    return [*items[:number], changed, *items[number + 1 :]]


def test_items_are_grouped_by_source_codec_and_setting(measured):
    sources = sources_of(measured)
    assert [s.name for s in sources] == ["head & <neck>.nii.gz", "clip.mkv", "room.wav"]
    lines = lines_of(measured, sources[0])
    assert [line.name for line in lines[:3]] == ["ours: ours small", "ours: ours large", "KLT"]
    assert list(curves_of(lines)) == ["ours", "KLT", "x265 slow", "JPEG 2000", "<b>Zip & co</b>"]
    small = lines[0]
    assert [len(point.items) for point in small.points] == [2] * 7
    assert all(a.bits < b.bits for a, b in zip(small.points, small.points[1:], strict=False))
    assert small.nearest(1e9).ratio == max(point.ratio for point in small.points)


def test_common_ratios_are_reached_by_as_many_codecs_as_any(measured):
    lines = lines_of(measured, sources_of(measured)[0])
    ratios = common_ratios(lines)
    assert len(ratios) == 3
    assert ratios == sorted(ratios)
    assert 40 <= ratios[0] <= ratios[-1] <= 160, "where all spans overlap"
    assert len(common_ratios(lines[:1], most=1)) == 1
    assert common_ratios([]) == []


def test_rows_hold_what_was_measured(measured):
    source = sources_of(measured)[0]
    rows = setting_rows(measured, source)
    assert len(rows) == 7 + 5 + 5 + 5 + 5 + 2
    assert measure_keys(measured, source) == [MAIN, "rmse", "max_error"]
    mine = [row for row in rows if row["codec"] == "ours small" and row["value"] == 1.0]
    items = [i for i in measured if i.codec == "ours small" and i.value == 1.0 and i.source == source]
    (row,) = mine
    assert row["seeds"] == len(items) == 2
    assert row[MAIN] == pytest.approx(np.mean([item.metrics[MAIN] for item in items]))
    seconds = items[0].encode.wall.median + items[0].entropy_coding.wall.median
    assert row["encode"] == pytest.approx(items[0].pace.amount / seconds)
    assert row["entropy_coding"] == items[0].entropy_coding.wall.median
    assert row["speed"] == "Mvoxel/s"
    assert row["macs_decode"] == 5400.0
    baseline = next(row for row in rows if row["codec"] == "x265 slow")
    assert baseline["seeds"] == 0
    assert baseline["macs_encode"] is baseline["entropy_coding"] is None
    assert setting_rows(measured, sources_of(measured)[2])[0]["speed"] == "x real time"


def test_deltas_are_those_of_the_envelope_against_the_reference(measured):
    source = sources_of(measured)[0]
    rows = {row["curve"]: row for row in delta_rows(measured, source, MAIN, "x265 slow")}
    assert list(rows) == ["ours", "KLT", "JPEG 2000", "<b>Zip & co</b>"]
    curves = curves_of(lines_of(measured, source))
    anchor = curves["x265 slow"][0].pairs(MAIN)
    test = best_of([line.pairs(MAIN) for line in curves["ours"]])
    assert rows["ours"]["bd_rate_percent"] == bd_rate(anchor, test).value < 0
    assert rows["ours"]["bd_quality"] == bd_psnr(anchor, test).value > 0
    assert rows["JPEG 2000"]["bd_rate_percent"] > 0
    refused = rows["<b>Zip & co</b>"]
    assert refused["bd_rate_percent"] is None
    assert refused["reason"] == "test has 2 of 4 points"


def test_the_deviation_is_that_of_each_seed_against_the_reference_of_its_own(measured):
    source = sources_of(measured)[0]
    mine = [item for item in measured if item.codec in ("ours small", "x265 slow") and item.source == source]
    shifted = [
        item.model_copy(update={"seed": item.seed, "bits_per_element": item.bits_per_element * (1 + item.seed / 10)})
        if item.seed is not None
        else item
        for item in mine
    ]
    row = delta_rows(shifted, source, MAIN, "x265 slow")[0]
    each = []
    for seed in sorted({item.seed for item in shifted if item.seed is not None}):
        part = [item for item in shifted if item.seed in (seed, None)]
        each.append(delta_rows(part, source, MAIN, "x265 slow")[0]["bd_rate_percent"])
    assert len(each) == 2 and row["bd_rate_deviation"] == pytest.approx(np.std(each, ddof=1)) and each[0] != each[1]
    first = next(item.seed for item in shifted if item.seed is not None)
    alone = delta_rows([item for item in shifted if item.seed in (first, None)], source, MAIN, "x265 slow")[0]
    assert alone["bd_rate_deviation"] is None


def test_a_measure_of_which_less_is_better_counts_the_other_way(measured):
    source = sources_of(measured)[0]
    rows = {row["curve"]: row for row in delta_rows(measured, source, "rmse", "x265 slow")}
    assert rows["ours"]["bd_rate_percent"] < 0, "fewer bits at equal error"
    assert rows["ours"]["bd_quality"] < 0, "less error at equal rate"


def test_a_curve_that_is_not_there(measured):
    source = sources_of(measured)[2]
    rows = delta_rows(measured, source, MAIN, "JPEG 2000")
    assert {row["bd_rate_percent"] for row in rows} == {None}
    assert all("anchor has 0 of 4 points" in row["reason"] for row in rows)
    with pytest.raises(UnknownNameError, match=r"reference: expected one of 'ours', 'KLT', .*, got 'x264'"):
        delta_rows(measured, source, MAIN, "x264")


def test_lossless_points_are_left_out_and_said(measured):
    items = _lossless(measured)
    rows = {row["curve"]: row for row in delta_rows(items, sources_of(items)[0], MAIN, "x265 slow")}
    assert "lossless" in rows["JPEG 2000"]["reason"]
    assert "∞" in markdown(setting_rows(items, sources_of(items)[0]))


def test_tables_are_written(measured, tmp_path):
    items = _lossless(measured)
    rows = setting_rows(items, sources_of(items)[0])
    write_csv(rows, tmp_path / "t.csv")
    write_json(rows, tmp_path / "t.json")
    write_markdown(rows, tmp_path / "t.md")
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert len(read) == len(rows)
    assert float(read[0]["ratio"]) == rows[0]["ratio"]
    assert read[-1]["macs_encode"] == ""
    back = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    assert back[0] == rows[0]
    assert [row[MAIN] for row in back].count("Infinity") == 1
    lines = (tmp_path / "t.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(rows) + 2
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "\\<b\\>Zip \\& co\\</b\\>" in lines[-1]
    assert markdown([]) == ""
    write_csv([], tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text().strip() == ""


def test_costs_are_read_between_settings(measured):
    source = sources_of(measured)[0]
    lines = lines_of(measured, source)
    point = lines[2].points[2]
    (cost,) = (c for c in costs_at(lines, source, MAIN, point.ratio) if c.line.curve == "KLT")
    assert cost.value == pytest.approx(point.measures(MAIN)[0])
    assert cost.seconds == pytest.approx(point.item.seconds("encode", "cpu") / point.item.pace.amount)
    assert costs_at(lines, source, MAIN, 5000) == [], "nothing is extrapolated"


def test_labels_say_measure_and_range(measured):
    source = sources_of(measured)[0]
    assert measure_label(MAIN, source) == "PSNR in dB, range -1024 to 3071 HU"
    assert measure_label("rmse", source) == "root-mean-square error in HU"


@pytest.mark.parametrize(
    ("name", "up", "along"),
    [("psnr_by_z", "PSNR in dB", "slice along z"), ("si_sdr_by_channel", "SI-SDR in dB", "channel")],
)
def test_a_curve_is_labelled_by_its_measure_and_axis(measured, name, up, along):
    items = [item.model_copy(update={"curves": {name: [1.0, 2.0, 3.0]}}) for item in measured]
    axes = curve_plot(lines_of(items, sources_of(items)[0]), name, 60).axes[0]
    assert axes.get_ylabel().startswith(up) and axes.get_xlabel() == along


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_plots_show_every_curve(measured, theme, tmp_path):
    items = _lossless(measured)
    source = sources_of(items)[0]
    lines = lines_of(items, source)
    figures = {
        "rate": rate_plot(lines, source, MAIN, theme),
        "error": rate_plot(lines, source, "rmse", theme),
        "cost": cost_plot(costs_at(lines, source, MAIN, 60), lines, source, MAIN, 60, theme),
        "curve": curve_plot(lines, "psnr_by_x", 60, theme),
    }
    for name, figure in figures.items():
        write_plot(figure, tmp_path / f"{name}.png")
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")).astype(int)
        paper, mark = (np.array([int(c[k : k + 2], 16) for k in (1, 3, 5)]) for c in (theme.paper, theme.models[0]))
        assert (pixels == paper).all(axis=2).mean() > 0.5
        assert (np.abs(pixels - mark).sum(axis=2) < 12).sum() > 100, "our first curve is there"
    write_plot(rate_plot(lines, source, MAIN, theme), tmp_path / "rate.svg")
    text = (tmp_path / "rate.svg").read_text(encoding="utf-8")
    assert text == svg_bytes(rate_plot(lines, source, MAIN, theme)).decode(), "equal figures, equal bytes"
    assert "&lt;b&gt;Zip" in text
    assert "ours, best of 2" in text
    assert "ratio on native bits" in text


def test_models_are_strong_and_baselines_muted_and_no_two_look_alike(measured):
    lines = lines_of(measured, sources_of(measured)[0])
    styles = styles_of(lines, LIGHT)
    assert {styles[c].colour for c in ("ours", "KLT")} <= set(LIGHT.models)
    assert {styles[c].colour for c in ("x265 slow", "JPEG 2000")} <= set(LIGHT.baselines)
    assert len({(s.colour, s.marker) for s in styles.values()}) == len(styles)
