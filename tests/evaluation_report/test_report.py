"""The report: what is in it, that nothing escapes, and that it works in a browser."""

import html
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from liveaction.errors import FormatError, ShapeError, UnknownNameError
from liveaction.evaluation.exhibits import folder_of_item, save_exhibits
from liveaction.evaluation.measures import MAIN
from liveaction.evaluation.report import write_report
from liveaction.evaluation.report_exhibits import exhibits_data, shown_items

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OF_PAGES = 101845102  # traffic annotation of Chromium's "blink_resource_loader"; others are the browser's own
TITLE = "Codecs & <i>friends</i>"


@pytest.fixture(scope="module")
def report(measured, shown, tmp_path_factory):
    """The file of a report."""
    out = tmp_path_factory.mktemp("out") / "deep" / "report.html"
    write_report(measured, shown, out, TITLE, ["A note </section>."], "x265 slow", MAIN)
    return out


def _data(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_everything_is_there_and_nothing_escapes(report, measured):
    text = report.read_text(encoding="utf-8")
    for item in measured:
        assert html.escape(item.codec) in text
        assert html.escape(item.source.label) in text
    for words in ("A processor", "abc1234", "x265 3.5", "median of 5 runs", "test has 2 of 4 points", "Mvoxel/s"):
        assert words in text
    assert html.escape(TITLE) in text
    for raw in ("<b>Zip", "<i>friends", "<script>alert", "<neck>", "note </section>"):
        assert raw not in text
    assert text.count("<section") == text.count("</section>") == 4


def test_nothing_is_asked_for_from_anywhere(report):
    text = report.read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href|poster|action)="([^"]*)"', text)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "default-src &#x27;none&#x27;" in text
    assert "@import" not in text
    assert "url(" not in text


def test_the_settings_nearest_to_common_ratios_are_shown_once(report, measured):
    data = _data(report.read_text(encoding="utf-8"))
    assert [entry["number"] for entry in data] == [0, 1, 2]
    volume = data[0]
    assert [kind["kind"] for kind in volume["kinds"]] == ["picture"] * 4
    wanted = shown_items(measured, measured[0].source)
    assert [entry["ratio"] for entry in volume["ratios"]] == [f"{ratio:g}" for ratio in wanted]
    for entry in volume["ratios"]:
        assert [volume["shows"][k]["name"] for k in entry["shows"]][:3] == [
            "original",
            "ours: ours small",
            "ours: ours large",
        ]
    assert len({show["files"][0] for show in volume["shows"]}) == len(volume["shows"])
    assert re.fullmatch(r"quantiser step \S+, seed 1, ratio \S+, PSNR \d+\.\d\d dB", volume["shows"][1]["note"])
    assert data[2]["shows"][0]["files"][0].startswith("data:audio/flac;base64,")


def test_a_report_without_exhibits_is_a_report(measured, tmp_path):
    write_report(measured[:60], tmp_path / "none", tmp_path / "r.html", "t", [], "KLT", "rmse")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert _data(text) == []
    assert "against KLT" in text


def test_what_cannot_be_reported_is_refused(measured, shown, tmp_path):
    with pytest.raises(ShapeError, match=r"report: expected at least one item, got none; measure something first"):
        write_report([], shown, tmp_path / "r.html", "t", [], "ours", MAIN)
    with pytest.raises(UnknownNameError, match=r"reference: expected one of 'ours', .*, got 'x264'"):
        write_report(measured, shown, tmp_path / "r.html", "t", [], "x264", MAIN)
    with pytest.raises(UnknownNameError, match=r"measure: expected one of 'psnr_normalised', .*, got 'vmaf'"):
        write_report(measured, shown, tmp_path / "r.html", "t", [], "ours", "vmaf")
    assert not (tmp_path / "r.html").exists()


def test_exhibits_that_do_not_fit_their_original_are_refused(measured, shown, tmp_path):
    folder = tmp_path / "shown"
    shutil.copytree(shown, folder)
    item = next(iter(shown_items(measured, measured[0].source).values()))[0]
    other = next(item for item in measured if item.source.name == "room.wav")
    items = [one for one in measured if one.source == item.source]
    save_exhibits([], folder_of_item(folder, item))
    write_report(items, folder, tmp_path / "r.html", "t", [], "KLT", MAIN)  # nothing saved: left out
    shutil.rmtree(folder_of_item(folder, item))
    shutil.copytree(folder_of_item(folder, other), folder_of_item(folder, item))
    with pytest.raises(FormatError, match=r"expected exhibits as the original has them, .*; save the exhibits again"):
        write_report(items, folder, tmp_path / "r.html", "t", [], "KLT", MAIN)


def test_large_exhibits_are_shown_at_one_ratio(measured, shown, tmp_path, monkeypatch):
    source = measured[0].source
    whole = exhibits_data(measured, source, shown, MAIN)
    monkeypatch.setattr("liveaction.evaluation.report_exhibits._MOST", 1000)
    bounded = exhibits_data(measured, source, shown, MAIN)
    assert [entry["ratio"] for entry in bounded["ratios"]] == [whole["ratios"][1]["ratio"]]
    names = [
        [data["shows"][k]["name"] for k in e["shows"]]
        for data, e in ((bounded, bounded["ratios"][0]), (whole, whole["ratios"][1]))
    ]
    assert names[0] == names[1]
    assert len(bounded["shows"]) == len(names[0]) < len(whole["shows"])


def _run(command):
    """A browser's run; one that hangs is ended with all its processes."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=100)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, err[-2000:]
    return subprocess.CompletedProcess(command, 0, out, err)


def _browse(address, folder):
    """What a browser without a network makes of a page, and the addresses that the page, not the browser, asked for."""
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder}", "--virtual-time-budget=30000", "--dump-dom", f"--log-net-log={folder}.json",
        "--enable-logging=stderr", address,
    ]  # fmt: skip
    done = _run(command)
    events = json.loads(folder.with_suffix(".json").read_text(encoding="utf-8"))["events"]
    starts = [event["params"] for event in events if "traffic_annotation" in event.get("params", {})]
    asked = {start["url"] for start in starts if start["traffic_annotation"] == OF_PAGES and "url" in start}
    return done, {address for address in asked if not address.startswith(("file:", "data:"))}


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_browser_goes_through_it(report, tmp_path):
    other = tmp_path / "other.html"
    other.write_text('<img src="http://asked.invalid/x.png">', encoding="utf-8")
    _, asked = _browse(other.as_uri(), tmp_path / "other")
    assert asked == {"http://asked.invalid/x.png"}, "what a page asks for is seen"
    done, asked = _browse(f"{report.as_uri()}#selftest", tmp_path / "profile")
    outcome = json.loads(html.unescape(re.search(r'<pre id="selftest">(\{.*?)</pre>', done.stdout)[1]))
    assert outcome["problems"] == outcome["requests"] == []
    assert [name for name, good in outcome["steps"].items() if not good] == []
    assert outcome["sources"] == ["head & <neck>.nii.gz", "clip.mkv", "room.wav"]
    for words in ("sort descending", "drag", "slider", "blinks", "error is drawn", "no error against itself", "sound"):
        assert any(name.startswith(words) for name in outcome["steps"]), words
    assert ":CONSOLE" not in done.stderr, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    assert asked == set()
