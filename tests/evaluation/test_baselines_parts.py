"""What baselines are made of: headers, integers of planes, pixel formats, sound in its place, lossless parts."""

import numpy as np
import pytest
from scipy.signal import chirp, correlate

from liveaction.errors import FormatError
from liveaction.evaluation.baselines.base import Array
from liveaction.evaluation.baselines.frames import PixelFormat, without_remarks
from liveaction.evaluation.baselines.packing import Reader, Writer
from liveaction.evaluation.baselines.planes import Levels, PlaneLayout
from liveaction.evaluation.baselines.registry import make_baseline


def test_headers_there_and_back() -> None:
    to = Writer()
    to.whole(0, 127, 128, 2**40)
    to.pack("dB", 0.1, 7)
    to.parts([b"abcd", b"abc", b"abcx"])
    to.parts([b"alone"])
    to.parts([])
    to.integers(np.array([-5, 900, 3]))
    to.integers(np.array([4, 4]))
    to.raw(b"")
    data = to.done() + b"tail"
    source = Reader(data)
    assert source.wholes(4) == (0, 127, 128, 2**40)
    assert source.unpack("dB") == (0.1, 7)
    assert source.parts() == [b"abcd", b"abc", b"abcx"]
    assert source.parts() == [b"alone"] and source.parts() == []
    assert source.integers(3).tolist() == [-5, 900, 3] and source.integers(2).tolist() == [4, 4]
    assert source.raw() == b"" and source.rest() == b"tail"
    assert len(data) < 75
    with pytest.raises(FormatError, match=r"baseline: expected 2 bytes, got 1; decode what encode gave"):
        Reader(b"\x01").raw()


@pytest.mark.parametrize(
    ("shape", "axes", "planes"),
    [
        ((1, 4, 5, 6), ("x", "y", "z"), (6, 4, 5)),
        ((1, 4, 5, 6), ("y", "x", "band"), (6, 4, 5)),
        ((1, 4, 5, 6), ("a", "b", "c"), (4, 5, 6)),
        ((1, 2, 4, 5, 6), ("t", "x", "y", "z"), (12, 4, 5)),
        ((3, 4, 5, 6), ("t", "y", "x"), (4, 5, 6, 3)),
        ((3, 5, 6), ("y", "x"), (1, 5, 6, 3)),
        ((7, 5, 6), ("y", "x"), (7, 5, 6)),
        ((2, 5, 6), ("t", "x"), (2, 5, 6)),
        ((1, 4, 5, 6), ("z", "band", "t"), (6, 5, 4)),
    ],
)
def test_planes_there_and_back(shape: tuple[int, ...], axes: tuple[str, ...], planes: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape)).reshape(shape)
    layout = PlaneLayout.of(Array(values, axes, (0.0, 1.0)))
    to = Writer()
    layout.write(to)
    assert layout.planes(values).shape == planes or axes == ("z", "band", "t")
    np.testing.assert_array_equal(PlaneLayout.read(Reader(to.done())).array(layout.planes(values)), values)


def test_twelve_bits_of_ct_are_exact() -> None:
    values = np.arange(-1024, 3072, dtype=np.int16).reshape(1, 64, 64)
    levels = Levels.of(Array(values, ("y", "x"), (-1024.0, 3071.0)), 12)
    assert levels == Levels(-1024.0, 1.0, 4095)
    integers = levels.integers(values)
    assert integers.min() == 0 and integers.max() == 4095
    np.testing.assert_array_equal(levels.values(integers), values)
    grey = PixelFormat("gray12le", 12)
    (plane,) = grey.planes(integers[0], 12)
    np.testing.assert_array_equal(grey.pixels([plane], 12, (64, 64)), integers[0])


@pytest.mark.parametrize(
    ("values", "limits", "deepest", "levels"),
    [
        (np.array([[[0, 255]]], np.uint8), (0.0, 255.0), 16, Levels(0.0, 1.0, 255)),
        (np.array([[[100, 1100]]], np.uint16), (0.0, 65535.0), 10, Levels(100.0, 1.0, 1000)),
        (np.array([[[0, 65535]]], np.uint16), (0.0, 65535.0), 12, Levels(0.0, 65535 / 4095, 4095)),
        (np.array([[[0.5, 1.5]]], np.float32), (0.0, 2.0), 10, Levels(0.5, 1 / 1023, 1023)),
        (np.array([[[0.5, 0.5]]], np.float32), (0.0, 2.0), 10, Levels(0.5, 1.0, 1023)),
    ],
)
def test_levels(values: np.ndarray, limits: tuple[float, float], deepest: int, levels: Levels) -> None:
    made = Levels.of(Array(values, ("y", "x"), limits), deepest)
    assert made == levels
    assert np.abs(made.values(made.integers(values)) - values).max() <= made.step / 2
    to = Writer()
    made.write(to)
    assert Levels.read(Reader(to.done())) == made


def test_full_range_ten_bits_hold_eight_bits_of_colour(rng_colours: np.ndarray) -> None:
    pixels = PixelFormat("yuv444p10le", 10)
    back = pixels.pixels(pixels.planes(rng_colours, 8), 8, rng_colours.shape)
    np.testing.assert_array_equal(np.rint(back), rng_colours)


@pytest.fixture
def rng_colours() -> np.ndarray:
    """Random 8-bit colours with the corners of the cube among them."""
    colours = np.random.default_rng(3).integers(0, 256, (71, 67, 3)).astype(np.uint16)
    colours[0, :8] = np.stack(np.meshgrid([0, 255], [0, 255], [0, 255]), -1).reshape(8, 3)
    return colours


def test_halved_colour_keeps_what_is_smooth() -> None:
    """Grey is exact to the rounding of 10 bits; a slope of colour loses nothing but at the border."""
    y, x = np.mgrid[:70, :66]
    pixels = PixelFormat("yuv420p10le", 10)
    grey = np.repeat((x + y)[..., np.newaxis], 3, 2).astype(np.uint16)
    slope = np.stack([2 * x, 100 + 0 * x, 200 - y], -1).astype(np.uint16)
    np.testing.assert_allclose(pixels.pixels(pixels.planes(grey, 8), 8, grey.shape), grey, atol=0.6)
    back = pixels.pixels(pixels.planes(slope, 8), 8, slope.shape)
    np.testing.assert_allclose(back[1:-1, 1:-1], slope[1:-1, 1:-1], atol=0.8)


def test_the_finest_video_is_nearly_the_source(rng_colours: np.ndarray) -> None:
    video = np.repeat(np.moveaxis(rng_colours, -1, 0)[:, np.newaxis, :, :66], 2, axis=1).astype(np.uint8)
    array = Array(video, ("t", "y", "x"), (0.0, 255.0))
    for name, value in (("x265_medium", -6), ("x264_slow", 0)):
        baseline = make_baseline(name)
        error = baseline.decode(baseline.encode(array, value)) - video.astype(float)
        assert np.abs(error).max() < 4 and np.sqrt(np.square(error).mean()) < 1


def test_coarse_quantisers_of_x265_do_not_break() -> None:
    """With 12 bits, x265 loses the picture there: PSNR below 10 dB."""
    rng = np.random.default_rng(0)
    field = rng.standard_normal((9, 96, 96)).cumsum(1).cumsum(2)
    field = (field - field.min()) / np.ptp(field) * 4095 - 1024
    array = Array(np.rint(field).astype(np.int16)[np.newaxis], ("z", "y", "x"), (-1024.0, 3071.0))
    baseline = make_baseline("x265_slow")
    errors = [
        float(np.square(baseline.decode(baseline.encode(array, value)) - array.values.astype(float)).mean())
        for value in (28, 40, 51)
    ]
    assert errors == sorted(errors) and errors[-1] < 4095**2 / 10**2


def test_htj2k_does_not_wrap_around() -> None:
    noise = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (3, 33, 35))
    baseline, array = make_baseline("htj2k"), Array(noise, ("y", "x"), (0.0, 255.0))
    assert np.abs(baseline.decode(baseline.encode(array, 0.006)) - noise.astype(float)).max() < 6
    assert np.abs(baseline.decode(baseline.encode(array, 0.05)) - noise.astype(float)).max() < 40


def test_remarks_of_x264_are_left_out() -> None:
    units = [b"\0\0\0\1\x67abc", b"\0\0\1\x06\x05options", b"\0\0\1\x65\x88"]
    assert without_remarks(b"".join(units)) == units[0] + units[2]
    assert without_remarks(units[0]) == units[0]


@pytest.mark.parametrize("name", ["opus", "opus_mono"])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_opus_puts_samples_where_they_were(name: str, rate: int) -> None:
    time = np.arange(rate * 2 // 3) / rate
    sweep = chirp(time, 100, time[-1], 0.35 * min(rate, 48000))
    values = np.stack([3000 * sweep, -2000 * sweep, 1000 * sweep + 2500]).astype(np.int16)  # one with an offset
    array = Array(values, ("t",), (-32768.0, 32768.0), float(rate))
    baseline = make_baseline(name)
    back = baseline.decode(baseline.encode(array, 96))
    assert back.shape == values.shape
    for one, two in zip(values.astype(float), back, strict=True):
        assert int(correlate(two - two.mean(), one - one.mean(), method="fft").argmax()) == len(one) - 1
        assert np.square(two - one).mean() < 0.02 * one.var()


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("int16", -(2**15), 2**15), ("int32", -(2**23), 2**23), ("uint8", 0, 256), ("int8", -128, 128)],
)
def test_flac_is_lossless(dtype: str, low: int, high: int) -> None:
    values = np.random.default_rng(0).integers(low, high, (11, 301)).astype(dtype)
    baseline, array = make_baseline("flac"), Array(values, ("t",), (float(low), float(high)), 16000.0)
    assert baseline.refuses(array) is None
    np.testing.assert_array_equal(baseline.decode(baseline.encode(array, 8)), values)


@pytest.mark.parametrize(
    ("shape", "dtype", "rate"),
    [
        ((3, 33, 35), "uint8", None),
        ((1, 5, 33, 35), "int16", None),
        ((1, 5, 33, 35), "uint16", None),
        ((2, 33, 35), "float32", None),
        ((2, 33, 35), "float64", None),
        ((2, 33, 35), "int32", None),
        ((2, 333), "int16", 16000.0),
        ((2, 333), "float32", 16000.0),
        ((2, 333), "int16", None),
    ],
)
def test_a_factor_of_one_is_lossless(shape: tuple[int, ...], dtype: str, rate: float | None) -> None:
    rng = np.random.default_rng(0)
    span = (-1.0, 1.0) if dtype.startswith("float") else (float(np.iinfo(dtype).min), float(np.iinfo(dtype).max))
    values = rng.uniform(*span, shape).astype(dtype)
    baseline = make_baseline("resample")
    array = Array(values, ("t", "y", "x")[-len(shape) + 1 :], span, rate)
    np.testing.assert_array_equal(baseline.decode(baseline.encode(array, 1)), values)


def test_resampling_keeps_what_is_smooth() -> None:
    y, x = np.mgrid[:97, :65]
    values = (2000 * np.cos(np.pi * (x + 0.5) / 65) * np.cos(np.pi * (y + 0.5) / 97)).astype(np.float32)[np.newaxis]
    baseline, array = make_baseline("resample"), Array(values, ("y", "x"), (-2000.0, 2000.0))
    for factor in (1.5, 2, 4):
        error = baseline.decode(baseline.encode(array, factor)) - values
        assert np.abs(error[:, 16:-16, 16:-16]).max() < 10
