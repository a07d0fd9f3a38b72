"""What `compare` gives on phantoms is in the table of measures; curves and paces of every modality."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from liveaction.cli.findings import closeness_text
from liveaction.evaluation.measures import JUDGED, MAIN, MEASURES, Measure
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal

SMALL: dict[str, tuple[int, ...]] = {
    "array_smoke": (9, 12, 13),
    "array_4d_smoke": (3, 8, 9, 10),
    "array_audio_smoke": (6000,),
    "ct_smoke": (17, 19, 9),
    "grey_smoke": (21, 33),
    "hyperspectral_bands": (24, 24),
    "hyperspectral_smoke": (40, 24, 25),
    "mri_smoke": (17, 19, 9),
    "music_smoke": (6000,),
    "rgb_smoke": (21, 33),
    "series_smoke": (4, 16, 15, 9),
    "video_smoke": (5, 24, 33),
}
CURVES = {
    "array_audio_smoke": ("si_sdr_by_channel", 4),
    "ct_smoke": ("psnr_by_z", 9),
    "hyperspectral_bands": ("psnr_by_band", 224),
    "hyperspectral_smoke": ("psnr_by_band", 40),
    "mri_smoke": ("psnr_by_z", 9),
    "music_smoke": ("si_sdr_by_channel", 2),
    "series_smoke": ("psnr_by_t", 4),
    "video_smoke": ("psnr_by_t", 5),
}
PACES = {
    "array_smoke": (9 * 12 * 13 / 1e6, "Msample"),
    "array_audio_smoke": (0.375, "s"),
    "ct_smoke": (17 * 19 * 9 / 1e6, "Mvoxel"),
    "grey_smoke": (21 * 33 / 1e6, "Mpixel"),
    "hyperspectral_smoke": (40 * 24 * 25 / 1e6, "Msample"),
    "mri_smoke": (17 * 19 * 9 / 1e6, "Mvoxel"),
    "music_smoke": (6000 / 44100, "s"),
    "rgb_smoke": (21 * 33 / 1e6, "Mpixel"),
    "series_smoke": (4 * 16 * 15 * 9 / 1e6, "Mvoxel"),
    "video_smoke": (5.0, "frames"),
}


def _noisy(modality: Any, signal: Signal) -> Signal:
    low, high = modality.range_of(signal)
    noise = np.random.default_rng(0).normal(0, (high - low) / 50, signal.values.shape)
    values = (signal.values + noise).clip(low, high)
    return replace(signal, values=values.astype(signal.values.dtype))


def _pair(recipe: str) -> tuple[Any, Signal, Signal]:
    modality = build_modality(load_recipe(recipe).modality)
    signal = modality.synthetic(0, SMALL[recipe])
    return modality, signal, _noisy(modality, signal)


@pytest.mark.parametrize("recipe", SMALL)
def test_every_measure_is_in_the_table(recipe: str) -> None:
    modality, one, two = _pair(recipe)
    report = modality.compare(one, two)
    assert set(report) <= set(MEASURES)
    assert all(isinstance(value, float) and math.isfinite(value) for value in report.values())
    assert 0 < report["p999_error"] <= report["max_error"]
    several = len(one.axes) > 1 and one.missing is None
    assert ("ms_ssim" in report) == ("ssim" in report) == ("ms_ssim_scales" in report) == several
    if one.missing is None:
        error = np.abs(one.values.astype(np.float64) - two.values)
        assert report["p999_error"] == pytest.approx(np.percentile(error, 99.9), rel=1e-12)
    better = modality.compare(one, replace(two, values=(one.values / 2.0 + two.values / 2.0).astype(one.dtype)))
    for name, measure in MEASURES.items():
        if name in report and measure.higher_is_better is not None:
            assert (better[name] > report[name]) == measure.higher_is_better, name


def test_all_measures_of_the_table_are_given_by_some_modality() -> None:
    given = {
        name for recipe in SMALL for name in build_modality(load_recipe(recipe).modality).compare(*_pair(recipe)[1:])
    }
    assert given == set(MEASURES) - set(JUDGED)


@pytest.mark.parametrize("recipe", SMALL)
def test_curves_have_a_value_per_place(recipe: str) -> None:
    modality, one, two = _pair(recipe)
    curves = modality.curves(one, two)
    if recipe not in CURVES:
        assert curves == {}
        return
    name, places = CURVES[recipe]
    assert {key: len(values) for key, values in curves.items()} == {name: places}
    known = np.array([value for value in curves[name] if not math.isnan(value)])
    assert len(known) > places / 2 and np.isfinite(known).all()
    if name != "si_sdr_by_channel" and not np.isnan(curves[name]).any() and one.missing is None:
        # the whole is the mean of its slices, which are all as large
        whole = modality.compare(one, two)[MAIN]
        assert -10 * math.log10(np.mean(10 ** (-known / 10))) == pytest.approx(whole, abs=1e-4)


def test_a_curve_shows_where_the_error_is() -> None:
    ct = build_modality(load_recipe("ct_smoke").modality)
    one = ct.synthetic(0, (17, 19, 9))
    values = one.values.copy()
    values[..., 4] += 10
    curve = ct.curves(one, replace(one, values=values))["psnr_by_z"]
    assert [place for place, value in enumerate(curve) if value < math.inf] == [4]
    assert curve[4] == pytest.approx(10 * math.log10(4095**2 / 100), abs=0.01)


def test_bands_marked_bad_are_not_judged() -> None:
    modality, one, two = _pair("hyperspectral_smoke")
    bad = [int(band in (3, 7)) for band in range(40)]
    one = replace(one, metadata={**one.metadata, "bad_bands": bad})
    curve = modality.curves(one, two)["psnr_by_band"]
    assert {band for band, value in enumerate(curve) if math.isnan(value)} >= {3, 7}
    assert not math.isnan(curve[20])


def test_channels_of_sound() -> None:
    modality, one, two = _pair("array_audio_smoke")
    values = one.values.copy()
    values[1] = 0
    curve = modality.curves(replace(one, values=values), two)["si_sdr_by_channel"]
    assert [math.isnan(value) for value in curve] == [False, True, False, False]
    report = modality.compare(one, two)
    whole = modality.curves(one, two)["si_sdr_by_channel"]
    assert (min(whole), np.mean(whole)) == (report["si_sdr_worst"], pytest.approx(report["si_sdr"]))
    mono = build_modality(load_recipe("music_smoke", ["modality.channels=1", "codec.latent_channels=64"]).modality)
    assert mono.curves(mono.synthetic(0, (500,)), mono.synthetic(1, (500,))) == {}


def test_windows_of_ct_are_those_of_radiologists() -> None:
    ct = build_modality(load_recipe("ct_smoke").modality)
    one = ct.synthetic(0, (8, 8, 8))
    one = replace(one, values=np.full_like(one.values, -1350))
    for level, change in {-1350: 100, -160: 100, -300: 100}.items():
        values = np.full_like(one.values, level)
        report = ct.compare(replace(one, values=values), replace(one, values=values + np.int16(change)))
        seen = {"lung": (-1350, 150), "soft_tissue": (-160, 240), "bone": (-300, 1200)}
        for name, (low, high) in seen.items():
            error = min(max(level + change, low), high) - min(max(level, low), high)
            expected = 10 * math.log10((high - low) ** 2 / error**2) if error else math.inf
            assert report[f"psnr_{name}"] == pytest.approx(expected)


@pytest.mark.parametrize("recipe", PACES)
def test_paces(recipe: str) -> None:
    modality = build_modality(load_recipe(recipe).modality)
    amount, unit = modality.pace(modality.synthetic(0, SMALL[recipe]))
    assert (pytest.approx(amount), unit) == PACES[recipe]


def test_figures_are_shown_with_their_units() -> None:
    assert MEASURES["rmse"].text(47.8812, "HU") == "47.88 HU"
    assert MEASURES["rmse"].text(0.0012) == "0.0012"
    assert MEASURES["ssim"].text(0.97654, "HU") == "0.9765"
    assert MEASURES[MAIN].text(math.inf) == "inf dB"


def test_what_decompress_prints_fits_two_lines() -> None:
    modality, one, two = _pair("ct_smoke")
    said = "\n".join(closeness_text(modality.compare(one, two), "HU", (-1024.0, 3071.0)))
    first, second = said.split("\n")
    assert first.startswith("PSNR ") and "dB (range -1024 to 3071 HU, that is peak to peak 2)" in first
    assert "99.9 % of errors up to" in first and "largest error" in first and first.endswith(" HU")
    assert second.startswith("  SSIM ") and "(2 scales), PSNR lung " in second and "PSNR bone " in second
    assert all(len(line) < 180 for line in (first, second))
    foreign = {MAIN: 30.0, "rmse": 1.0, "max_error": 2.0, "clipped_share": 0.0, "my_measure": 12.345}
    values, rest = closeness_text(foreign, "", (0.0, 1.0))
    assert values.endswith("largest error 2") and rest == "  my measure 12.35"
    assert Measure("x", "", True, 1).text(1.25) == "1.2"
