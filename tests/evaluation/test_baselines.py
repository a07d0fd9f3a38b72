"""Every baseline, there and back, on small phantoms of odd sizes."""

import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from liveaction.errors import UnknownNameError
from liveaction.evaluation.baselines.base import Array
from liveaction.evaluation.baselines.registry import baseline_names, make_baseline
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality

PHANTOMS = {
    "ct": ("ct_smoke", (65, 63, 7)),
    "cube": ("hyperspectral_smoke", (21, 33, 35)),
    "bands": ("hyperspectral_bands", (33, 35)),
    "video": ("video_smoke", (5, 66, 71)),
    "picture": ("rgb_smoke", (67, 65)),
    "series": ("series_smoke", (3, 17, 19, 5)),
    "sound": ("array_audio_smoke", (4001,)),
}
LOSSLESS = {"flac"}


@cache
def phantom(kind: str) -> Array:
    """A modality's phantom, clipped to its limits."""
    name, extents = PHANTOMS[kind]
    modality = build_modality(load_recipe(name).modality)
    signal = modality.synthetic(1, extents)
    limits = modality.range_of(signal)
    rate = 1 / signal.spacing[0] if kind == "sound" else None
    return Array(signal.values.clip(*limits).astype(signal.values.dtype), signal.axes, limits, rate)


def takers() -> list[object]:
    """Every baseline with every phantom that it takes."""
    pairs = [(name, kind) for name in baseline_names() for kind in PHANTOMS]
    return [
        pytest.param(name, kind, id=f"{name}-{kind}")
        for name, kind in pairs
        if make_baseline(name).refuses(phantom(kind)) is None
    ]


def there_and_back(name: str, array: Array, value: float) -> tuple[int, float]:
    """Bytes, and the mean squared error."""
    data = make_baseline(name).encode(array, value)
    assert isinstance(data, bytes)
    back = make_baseline(name).decode(data)  # another object: it knows the bytes alone
    assert back.shape == array.values.shape
    assert back.dtype.kind in "iuf"
    assert back.min() >= array.limits[0] - 1 and back.max() <= array.limits[1] + 1
    return len(data), float(np.square(back.astype(np.float64) - array.values).mean())


@pytest.mark.parametrize(("name", "kind"), takers())
def test_more_bytes_mean_less_error(name: str, kind: str) -> None:
    array, ladder = phantom(kind), make_baseline(name).ladder
    if name in LOSSLESS:
        assert there_and_back(name, array, ladder[0])[1] == 0
        return
    one, two = sorted(there_and_back(name, array, value) for value in (ladder[1], ladder[-2]))
    assert one[0] < two[0]
    assert one[1] > two[1]


def test_every_phantom_has_rivals() -> None:
    taken = {
        kind: {name for name in baseline_names() if make_baseline(name).refuses(phantom(kind)) is None}
        for kind in PHANTOMS
    }
    assert taken["ct"] >= {"jpeg2000", "jpeg2000_klt", "htj2k", "jpegxl", "avif", "x265_slow", "svtav1", "zfp", "sz3"}
    assert taken["picture"] >= {"jpeg2000", "jpegxl", "avif", "webp", "resample"}
    assert taken["cube"] >= {"jpeg2000_klt", "x265_medium"} and taken["bands"] >= {"jpeg2000_klt", "x264_slow"}
    assert taken["sound"] == {"opus", "opus_mono", "flac", "resample", "zfp", "sz3"}


@pytest.mark.parametrize(
    "name", [name for name in baseline_names() if name not in {"webp", "flac", "opus", "opus_mono"}]
)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 1, 3), (3, 1, 2)])
def test_the_smallest_and_constant_arrays(name: str, shape: tuple[int, ...]) -> None:
    axes = ("z", "y", "x")[-len(shape) + 1 :]
    baseline = make_baseline(name)
    array = Array(np.full(shape, 77, np.int16), axes, (-1024.0, 3071.0))
    if baseline.refuses(array):
        assert name == "jpeg2000_klt" and shape != (1, 2, 1, 3)
        return
    back = baseline.decode(baseline.encode(array, sorted(baseline.ladder)[len(baseline.ladder) // 2]))
    assert back.shape == shape
    assert np.abs(back - 77).max() < 0.3 * 4095


@pytest.mark.parametrize(
    "name", ["jpeg2000", "jpegxl", "avif", "jpeg2000_klt", "x265_medium", "x264_slow", "svtav1", "zfp"]
)
def test_threads_change_nothing_that_matters(name: str) -> None:
    array = phantom("ct")
    value = make_baseline(name).ladder[3]
    one, two = (make_baseline(name, threads) for threads in (1, 2))
    first, second = one.encode(array, value), two.encode(array, value)
    errors = [float(np.square(two.decode(data) - array.values.astype(float)).mean()) for data in (first, second)]
    assert errors[1] == pytest.approx(errors[0], rel=0.2)
    assert len(second) == pytest.approx(len(first), rel=0.2)


@pytest.mark.parametrize(("name", "value"), [("jpeg2000", 30), ("jpegxl", 8), ("htj2k", 0.2)])
def test_slices_share_their_header(name: str, value: float) -> None:
    """Forty empty slices cost few bytes each."""
    array = Array(np.zeros((1, 64, 64, 40), np.int16), ("x", "y", "z"), (-1024.0, 3071.0))
    assert len(make_baseline(name).encode(array, value)) < 40 * 50 + 250


@pytest.mark.parametrize("shape", [(1, 300, 9, 7), (1, 257, 1, 2), (5, 2, 3), (4, 3, 4), (2, 1, 9)])
def test_jpeg2000_of_few_and_many_planes(shape: tuple[int, ...]) -> None:
    """More than one codestream, one of a single plane, and shapes that look like colours."""
    values = np.random.default_rng(0).integers(0, 65536, shape).astype(np.uint16)
    axes = ("z", "y", "x")[-len(shape) + 1 :]
    assert there_and_back("jpeg2000", Array(values, axes, (0.0, 65535.0)), 80)[1] < 65535**2 / 10**7.5


def test_a_transform_across_bands_helps_cubes() -> None:
    """Bands that are mixtures of three: one transform is worth more than many planes."""
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((3, 48, 50)).cumsum(1).cumsum(2)
    mixed = np.tensordot(rng.random((30, 3)), maps / np.abs(maps).max(), 1)
    values = np.rint(mixed * 1500 + 2000 + rng.standard_normal(mixed.shape)).astype(np.uint16)[np.newaxis]
    array = Array(values, ("band", "y", "x"), (0.0, 4095.0))
    plain, together = (there_and_back(name, array, 40) for name in ("jpeg2000", "jpeg2000_klt"))
    assert together[0] < plain[0] / 2 and together[1] < plain[1]


def test_video_codecs_help_volumes() -> None:
    slices, video = there_and_back("jpeg2000", phantom("ct"), 32), there_and_back("x265_slow", phantom("ct"), 28)
    assert video[0] < slices[0] and video[1] < slices[1]


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "rate", "words"),
    [
        ("jpeg2000", (2, 99), "int16", 16000.0, "one axis"),
        ("x265_slow", (2, 99), "int16", 16000.0, "one axis"),
        ("x264_slow", (1, 1, 9000), "int16", None, "more than 8192"),
        ("jpeg2000_klt", (2, 99), "int16", 16000.0, "one axis"),
        ("jpeg2000_klt", (3, 9, 9), "uint8", None, "three channels are colours"),
        ("jpeg2000_klt", (1, 9, 9), "uint8", None, "one plane has nothing"),
        ("webp", (3, 9, 9), "uint16", None, "three 8-bit colours"),
        ("webp", (1, 9, 9), "uint8", None, "three 8-bit colours"),
        ("webp", (3, 1, 16384), "uint8", None, "more than 16383"),
        ("webp", (2, 99), "int16", 16000.0, "one axis"),
        ("opus", (3, 9, 9), "uint8", None, "it codes sound"),
        ("opus", (3, 99), "int16", None, "it codes sound"),
        ("flac", (3, 9, 9), "uint8", None, "it codes sound"),
        ("flac", (2, 99), "float32", 16000.0, "it codes integers, not float32"),
        ("zfp", (2, 2, 2, 2, 2), "float32", None, "at most 4 axes"),
        ("sz3", (2, 2, 2, 2, 2), "float32", None, "at most 4 axes"),
    ],
)
def test_refusals(name: str, shape: tuple[int, ...], dtype: str, rate: float | None, words: str) -> None:
    axes = tuple("abcde"[: len(shape) - 1])
    assert words in str(make_baseline(name).refuses(Array(np.zeros(shape, dtype), axes, (0.0, 255.0), rate)))


def test_flac_refuses_more_than_24_bits() -> None:
    array = Array(np.array([[0, 2**23]], np.int32), ("t",), (-(2.0**31), 2.0**31), 48000.0)
    assert make_baseline("flac").refuses(array) == "it codes integers of at most 24 bits"


def test_registry() -> None:
    assert baseline_names() == sorted(baseline_names()) and len(baseline_names()) == 16
    for name in baseline_names():
        baseline = make_baseline(name, 3)
        assert (
            baseline.name == name and baseline.threads == 3 and len(baseline.ladder) >= (1 if name in LOSSLESS else 6)
        )
        assert any(letter.isdigit() for letter in baseline.library) and baseline.label and baseline.setting
    assert len({make_baseline(name).label for name in baseline_names()}) == len(baseline_names())
    with pytest.raises(UnknownNameError, match=r"--baselines: expected a baseline, got 'x265'; did you mean x265_slow"):
        make_baseline("x265")
    with pytest.raises(UnknownNameError, match=r"did you mean avif, flac, "):
        make_baseline("???")


def test_names_load_no_codec() -> None:
    code = (
        "import sys; from liveaction.evaluation.baselines.registry import baseline_names; baseline_names();"
        "sys.exit(any(name in sys.modules for name in ('av', 'imagecodecs', 'scipy', 'soundfile', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], cwd="/").returncode == 0


def test_svt_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    there_and_back("svtav1", phantom("picture"), 50)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="no such call here")
@pytest.mark.parametrize("name", ["svtav1", "x265_slow", "x264_slow"])
def test_an_encoder_leaves_the_process_as_it_was(name):
    def schedule():
        return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority, os.sched_getaffinity(0)

    before = schedule()
    there_and_back(name, phantom("ct"), 40)
    assert schedule() == before
