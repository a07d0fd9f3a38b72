"""Clips: what is written back equals what was read, colours are what the tags say, damage is refused in one line."""

import gc
import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageCms

from liveaction.errors import FormatError, LiveactionWarning, ShapeError, SpecError
from liveaction.modalities.video import store as video_store
from liveaction.modalities.video.colour import SHARES, fill_frame
from liveaction.modalities.video.modality import Video
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec


def _spec(channels: int = 3, **options: Any) -> ModalitySpec:
    return ModalitySpec(name="video", axes=("t", "y", "x"), channels=channels, range="native", options=options)


@pytest.fixture
def video() -> Video:
    return Video(_spec())


@pytest.fixture
def grey() -> Video:
    return Video(_spec(1))


def _clip(
    path: Path,
    planes: Sequence[Sequence[np.ndarray]],
    name: str,
    codec: str = "ffv1",
    rate: Fraction = Fraction(25),
    stamps: Sequence[int] = (),
    base: Fraction | None = None,
    **context: Any,
) -> Path:
    """Write frames, each a tuple of planes, with libav alone."""
    with av.open(str(path), "w", options={"strict": "-1"}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *planes[0][0].shape[1::-1], name
        if base is not None:
            stream.codec_context.time_base = base
        for key, value in context.items():
            setattr(stream.codec_context, key, value)
        for number, each in enumerate(planes):
            frame = av.VideoFrame(stream.width, stream.height, name)
            fill_frame(frame, tuple(each))
            frame.pts = stamps[number] if stamps else number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _noise(shape: tuple[int, ...], bits: int, seed: int = 0) -> np.ndarray:
    dtype = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**bits, shape).astype(dtype)


def _signal(values: np.ndarray, bits: int = 0, **metadata: Any) -> Signal:
    about = {"frame_rate": "25", "time_base": "1/25", "pixel_aspect": "1", **metadata}
    step = float(1 / Fraction(about["frame_rate"])) if about["frame_rate"] else 1.0
    return Signal(
        values, ("t", "y", "x"), "", (step, 1.0, float(Fraction(about["pixel_aspect"]))), values.dtype.name, about, bits
    )


@pytest.mark.parametrize("name", ["a.mkv", "a_frames"])
@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_depth_comes_back(tmp_path: Path, channels: int, bits: int, name: str) -> None:
    video = Video(_spec(channels))
    signal = _signal(_noise((channels, 3, 7, 5), bits), 0 if bits in (8, 16) else bits, frame_rate="30000/1001")
    video.write(replace(signal, metadata=json.loads(json.dumps(signal.metadata))), tmp_path / name)
    back = video.read(tmp_path / name)
    np.testing.assert_array_equal(back.values, signal.values)
    assert (back.dtype, back.bits, back.spacing) == (signal.dtype, signal.bits, signal.spacing)
    assert back.metadata["frame_rate"] == "30000/1001"
    assert video.range_of(back) == (0, 2**bits - 1)


@pytest.mark.parametrize("name", ["a.mkv", "a_frames"])
def test_values_of_another_dtype_are_rounded_and_clipped(video: Video, tmp_path: Path, name: str) -> None:
    values = np.array([-3, 1.4, 1.6, 300], np.float32).reshape(1, 1, 1, 4).repeat(3, 0)
    video.write(replace(_signal(values), dtype="uint8"), tmp_path / name)
    assert video.read(tmp_path / name).values[0].ravel().tolist() == [0, 1, 2, 255]


RATES = ["25", "24000/1001", "30000/1001", "120000/1001", "25/2", "7/3", "1/3", "240", "1000", "12345/678"]


@pytest.mark.parametrize("name", ["a.mkv", "a_frames"])
@pytest.mark.parametrize("rate", RATES)
def test_the_frame_rate_is_exact(video: Video, tmp_path: Path, rate: str, name: str) -> None:
    video.write(_signal(_noise((3, 40, 2, 2), 8), frame_rate=rate), tmp_path / name)
    back = video.read(tmp_path / name)
    assert Fraction(back.metadata["frame_rate"]) == Fraction(rate)
    assert "timestamps" not in back.metadata


@pytest.mark.parametrize("name", ["a.mkv", "a_frames"])
def test_variable_frame_rate_rotation_and_aspect_come_back(video: Video, tmp_path: Path, name: str) -> None:
    about = {"timestamps": [0, 40, 100, 120, 333], "time_base": "1/1000", "frame_rate": "4000/333"}
    signal = _signal(_noise((3, 5, 4, 6), 8), **about, rotation=90, pixel_aspect="128/117")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LiveactionWarning)
        video.write(signal, tmp_path / name)
    back = video.read(tmp_path / name)
    for key in (*about, "rotation", "pixel_aspect"):
        assert back.metadata[key] == signal.metadata[key], key
    np.testing.assert_allclose(back.spacing, (333 / 4000, 1, 128 / 117))


def test_what_a_container_does_not_keep_is_said(video: Video, grey: Video, tmp_path: Path) -> None:
    values = _noise((3, 3, 4, 6), 8)
    with pytest.warns(LiveactionWarning, match=r"rounded to the milliseconds of .mkv"):
        video.write(_signal(values, timestamps=[0, 1, 5], time_base="1/30"), tmp_path / "a.mkv")
    with pytest.warns(LiveactionWarning, match=r"players show them square"):
        video.write(_signal(values, pixel_aspect="4/3"), tmp_path / "a.mkv")
    with pytest.warns(LiveactionWarning, match=r"no frame rate is known; 25 per second is written"):
        video.write(_signal(values, frame_rate=None), tmp_path / "a.mkv")
    with pytest.warns(LiveactionWarning, match=r"does not keep pixel_aspect and rotation"):
        grey.write(_signal(values[:1], pixel_aspect="4/3", rotation=90), tmp_path / "a.y4m")
    with pytest.warns(LiveactionWarning, match=r"does not keep colour as written here"):
        grey.write(_signal(values[:1], colour={"primaries": 9, "transfer": 16}), tmp_path / "a.y4m")
    with pytest.raises(FormatError, match=r"expected a constant frame rate, got timestamps, which \.y4m cannot hold"):
        grey.write(_signal(values[:1], timestamps=[0, 1, 5]), tmp_path / "b.y4m")
    assert not (tmp_path / "b.y4m").exists()


def test_timestamps_of_mp4_are_kept(video: Video, tmp_path: Path) -> None:
    stamps = [0, 512, 1024, 1700, 2300]
    planes = [(_noise((8, 8), 8), _noise((4, 4), 8), _noise((4, 4), 8))] * 5
    path = _clip(tmp_path / "a.mp4", planes, "yuv420p", "mpeg4", stamps=stamps, base=Fraction(1, 12800))
    signal = video.read(path)
    assert (signal.metadata["timestamps"], signal.metadata["time_base"]) == (stamps, "1/12800")


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_y4m_holds_grey_exactly_and_colour_nearly(video: Video, grey: Video, tmp_path: Path, bits: int) -> None:
    kept = 0 if bits in (8, 16) else bits
    values = _noise((3, 2, 5, 7), bits)
    grey.write(_signal(values[:1], kept), tmp_path / "a.y4m")
    np.testing.assert_array_equal(grey.read(tmp_path / "a.y4m").values, values[:1])
    with pytest.warns(LiveactionWarning, match=r"holds no RGB: written as YUV 4:4:4 \(bt601, limited range\)"):
        video.write(_signal(values, kept), tmp_path / "b.y4m")
    back = video.read(tmp_path / "b.y4m")
    assert np.abs(back.values.astype(int) - values).max() <= 2
    assert (back.bits, back.metadata["frame_rate"]) == (kept, "25")


def _expected(yuv: np.ndarray, matrix: str, full: bool, bits: int) -> np.ndarray:
    """RGB by the formulas of ITU-R BT.601, BT.709 and BT.2020, in float64."""
    red, blue = SHARES[matrix]
    unit, top = 2.0 ** (bits - 8), 2**bits - 1
    y, u, v = yuv.astype(float)
    if full:
        y, u, v = y / top, (u - 128 * unit) / top, (v - 128 * unit) / top
    else:
        y, u, v = (y - 16 * unit) / (219 * unit), (u - 128 * unit) / (224 * unit), (v - 128 * unit) / (224 * unit)
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([r, g, b]) * top, 0, top)


CODES = {"bt601": 6, "bt709": 1, "bt2020": 9, "fcc": 4, "smpte240m": 7}


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", CODES)
def test_yuv_becomes_rgb_by_the_tags(video: Video, tmp_path: Path, matrix: str, full: bool, bits: int) -> None:
    yuv = _noise((3, 16, 16), bits)
    name = "yuv444p" if bits == 8 else f"yuv444p{bits}le"
    path = _clip(tmp_path / "a.mkv", [yuv], name, colorspace=CODES[matrix], color_range=2 if full else 1)
    signal = video.read(path)
    error = np.abs(signal.values[:, 0] - _expected(yuv, matrix, full, bits))
    assert error.max() <= 0.5 + 2.0 ** (bits - 21)  # rounding, and float32 in between
    assert signal.metadata["colour"]["matrix"] == CODES[matrix]
    assert signal.metadata["converted_from"] == f"{matrix}, {'full' if full else 'limited'} range"


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_known_colours_of_subsampled_clips(video: Video, tmp_path: Path, matrix: str, bits: int) -> None:
    red, blue = SHARES[matrix]
    unit, top = 2 ** (bits - 8), 2**bits - 1
    for rgb in ((1, 1, 1), (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0.25, 0.75)):
        y = red * rgb[0] + (1 - red - blue) * rgb[1] + blue * rgb[2]
        u, v = (rgb[2] - y) / (2 - 2 * blue), (rgb[0] - y) / (2 - 2 * red)
        levels = [round((219 * y + 16) * unit), round((224 * u + 128) * unit), round((224 * v + 128) * unit)]
        dtype = np.uint8 if bits == 8 else np.uint16
        planes = [np.full(size, n, dtype) for size, n in zip([(7, 9), (4, 5), (4, 5)], levels, strict=True)]
        name = "yuv420p" if bits == 8 else "yuv420p10le"
        values = video.read(_clip(tmp_path / "a.mkv", [planes], name, colorspace=CODES[matrix], color_range=1)).values
        assert values.shape == (3, 1, 7, 9)
        assert np.abs(values.reshape(3, -1) - top * np.array(rgb)[:, None]).max() <= 2


@pytest.mark.parametrize(
    ("size", "rule", "matrix"),
    [((576, 704), "by_size", "bt601"), ((720, 1280), "by_size", "bt709"), ((8, 8), "bt2020", "bt2020")],
    ids=["sd", "hd", "named"],
)
def test_untagged_yuv(tmp_path: Path, size: tuple[int, int], rule: str, matrix: str) -> None:
    half = (size[0] // 2, size[1] // 2)
    planes = [np.full(s, n, np.uint8) for s, n in ((size, 90), (half, 60), (half, 200))]
    path = _clip(tmp_path / "a.mkv", [planes], "yuv420p")
    signal = Video(_spec(untagged_matrix=rule)).read(path)
    expected = _expected(np.array([90, 60, 200]).reshape(3, 1, 1), matrix, False, 8).ravel()
    np.testing.assert_allclose(signal.values[:, 0, 3, 3], expected, atol=0.5)
    assert signal.metadata["converted_from"] == f"{matrix}, limited range"


def test_a_matrix_that_is_none_is_refused(video: Video, tmp_path: Path) -> None:
    path = _clip(tmp_path / "a.mkv", [_noise((3, 8, 8), 8)], "yuv444p", colorspace=8)
    with pytest.raises(FormatError, match=r"expected a colour matrix of bt601, .*, got H.273 code 8; convert"):
        video.read(path)


@pytest.mark.parametrize("full", [1, 2], ids=["limited", "full"])
def test_luma_is_as_stored(tmp_path: Path, full: int) -> None:
    planes = (_noise((7, 9), 8), _noise((4, 5), 8), _noise((4, 5), 8))
    path = _clip(tmp_path / "a.mkv", [planes], "yuv420p", color_range=full)
    luma = Video(_spec(1, luma=True))
    signal = luma.read(path)
    np.testing.assert_array_equal(signal.values[0, 0], planes[0])
    luma.write(signal, tmp_path / "b.mkv")
    back = luma.read(tmp_path / "b.mkv")
    np.testing.assert_array_equal(back.values, signal.values)
    assert back.metadata["colour"]["range"] == full


def test_grey_and_colour_are_not_mixed_up(video: Video, grey: Video, tmp_path: Path) -> None:
    one = _clip(tmp_path / "a.mkv", [[_noise((8, 8), 8)]], "gray")
    three = _clip(tmp_path / "b.mkv", [_noise((3, 8, 8), 8)], "yuv444p")
    rgb = _clip(tmp_path / "c.mkv", [_noise((3, 8, 8), 10)], "gbrp10le")
    with pytest.raises(FormatError, match=r"expected colour, got 'gray'; take a recipe with modality.channels 1"):
        video.read(one)
    with pytest.raises(FormatError, match=r"expected grey, got 'yuv444p'; .* or modality.options.luma true"):
        grey.read(three)
    with pytest.raises(FormatError, match=r"expected grey, got 'gbrp10le'; .* or convert it to grey"):
        Video(_spec(1, luma=True)).read(rgb)


@pytest.mark.parametrize(
    ("suffix", "codec", "name"),
    [(".mov", "mpeg4", "yuv420p"), (".avi", "ffv1", "yuv444p"), (".webm", "libvpx-vp9", "yuv420p"),
     (".MP4", "libx264", "yuv420p10le"), (".mkv", "mjpeg", "yuvj420p"), (".y4m", "rawvideo", "yuv422p")],
)  # fmt: skip
def test_other_containers_are_read(video: Video, tmp_path: Path, suffix: str, codec: str, name: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    bits = 10 if "10" in name else 8
    half = {"yuv444p": (34, 34), "yuv422p": (34, 17)}.get(name, (17, 17))
    dtype = np.uint8 if bits == 8 else np.uint16
    levels = [(100 + 5 * t, 128, 128) for t in range(5)]
    planes = [
        [np.full(s, n << (bits - 8), dtype) for s, n in zip(((34, 34), half, half), each, strict=True)]
        for each in levels
    ]
    signal = video.read(_clip(tmp_path / f"a{suffix}", planes, name, codec))
    assert signal.values.shape == (3, 5, 34, 34)
    assert (signal.bits, signal.metadata["frame_rate"]) == (10 if bits == 10 else 0, "25")
    assert (np.diff(signal.values[0].mean((1, 2), dtype=float)) > 0).all()


@pytest.mark.parametrize("ending", [".mkv", ".y4m", ".avi", ".mp4"])
@pytest.mark.parametrize("keep", [0.0, 0.001, 0.3, 0.9, 0.997])
def test_a_file_cut_short_is_refused(video: Video, tmp_path: Path, ending: str, keep: float) -> None:
    codec = {".y4m": "rawvideo", ".mp4": "mpeg4"}.get(ending, "ffv1")
    planes = [[_noise((64, 64), 8, t), *_noise((2, 32, 32), 8)] for t in range(8)]
    path = _clip(tmp_path / f"a{ending}", planes, "yuv420p", codec)
    assert video.read(path).shape[0] == 8
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(FormatError) as caught:
        video.read(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_damaged_ffv1_frame_is_refused(video: Video, tmp_path: Path) -> None:
    video.write(_signal(_noise((3, 8, 64, 64), 8)), tmp_path / "a.mkv")
    content = bytearray((tmp_path / "a.mkv").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "a.mkv").write_bytes(content)
    level = av.logging.get_level()
    with pytest.raises(FormatError, match=r"expected sound FFV1 frames, got 'slice CRC mismatch"):
        video.read(tmp_path / "a.mkv")
    assert av.logging.get_level() == level


def test_a_file_of_another_kind_is_refused(video: Video, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
    with pytest.raises(FormatError, match=r"a\.mp4: expected a clip as \.mp4 files are, got invalid data .*; check"):
        video.read(tmp_path / "a.mp4")
    with av.open(str(tmp_path / "b.mkv"), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))
    with pytest.raises(FormatError, match=r"expected a video track, got 1 others"):
        video.read(tmp_path / "b.mkv")


def test_tracks_left_out_and_opacity_are_said(video: Video, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        picture, sound = container.add_stream("ffv1", rate=25), container.add_stream("pcm_s16le", rate=8000)
        picture.width, picture.height, picture.pix_fmt = 4, 4, "bgra"
        container.mux(picture.encode(av.VideoFrame(4, 4, "bgra")))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))
        container.mux(picture.encode())
    with pytest.warns(LiveactionWarning) as caught:
        assert video.read(tmp_path / "a.mkv").shape == (1, 4, 4)
    said = sorted(str(warning.message) for warning in caught)
    assert said == [
        f"{tmp_path}/a.mkv: its opacity (alpha) is not kept",
        f"{tmp_path}/a.mkv: not kept: audio track 1 (pcm_s16le)",
    ]


def test_tags_and_chapters_are_said(video: Video, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        container.metadata.update({"title": "x", "creation_time": "2024-01-01T00:00:00Z", "Bad\nname": "y"})
        container.set_chapters([{"id": 1, "start": 0, "end": 9, "time_base": Fraction(1), "metadata": {"title": "z"}}])
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 4, 4, "yuv444p"
        container.mux(stream.encode(av.VideoFrame(4, 4, "yuv444p")))
        container.mux(stream.encode())
    with pytest.warns(LiveactionWarning, match=r"a\.mkv: not kept: chapters, .*tag 'title'$") as caught:
        video.read(tmp_path / "a.mkv")
    assert len(caught) == 1 and "\n" not in str(caught[0].message) and "time" not in str(caught[0].message).lower()


def test_opacity_beside_the_frames_is_said(video: Video, tmp_path: Path) -> None:
    planes = [np.zeros(size, np.uint8) for size in ((16, 16), (8, 8), (8, 8), (16, 16))]
    path = _clip(tmp_path / "a.webm", [planes], "yuva420p", "libvpx-vp9")
    with pytest.warns(LiveactionWarning, match=r"a\.webm: its opacity \(alpha\) is not kept"):
        video.read(path)


def test_what_frames_hold_beside_pixels_is_said(video: Video, tmp_path: Path) -> None:
    if "libx265" not in av.codecs_available:
        pytest.skip("this PyAV has no libx265")
    planes = [np.zeros(size, np.uint16) for size in ((32, 32), (16, 16), (16, 16))]
    options = {"x265-params": "log-level=none:max-cll=1000,400"}
    path = _clip(tmp_path / "a.mkv", [planes], "yuv420p10le", "libx265", options=options)
    with pytest.warns(LiveactionWarning, match=r"a\.mkv: not kept: content light level$"):
        video.read(path)


def test_texts_beside_pixels_do_not_end_the_process(video: Video, tmp_path: Path) -> None:
    """PyAV frees texts of side data twice, so they are not looked at where there may be some."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (4, 3), (1, 2, 3)).save(tmp_path / "a.png", icc_profile=profile)
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 4, 3, "rgb24"
        packet = av.Packet((tmp_path / "a.png").read_bytes())
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 25)
        container.mux(packet)
    assert video.read(tmp_path / "a.mov").values[:, 0, 0, 0].tolist() == [1, 2, 3]
    gc.collect()


def test_a_codec_that_is_not_known_is_said(video: Video, tmp_path: Path) -> None:
    video.write(video.synthetic(0, (1, 4, 4)), tmp_path / "a.mkv")
    data = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(data.replace(b"V_FFV1", b"V_NONE"))
    with pytest.raises(FormatError, match=r"a\.mkv: expected a codec that PyAV decodes, got one it does not know"):
        video.read(tmp_path / "a.mkv")


@pytest.mark.parametrize("sizes", [b"W99999999 H99999999", b"H30000 F25:1 W30000", b"W20 C420 H20"])
def test_a_y4m_file_shorter_than_a_frame_is_refused(video: Video, tmp_path: Path, sizes: bytes) -> None:
    (tmp_path / "a.y4m").write_bytes(b"YUV4MPEG2 " + sizes + b"\nFRAME\n" + bytes(99))
    with pytest.raises(FormatError, match=r"a\.y4m: expected \d+ bytes as its header says, got \d+: cut short"):
        video.read(tmp_path / "a.y4m")


def test_a_small_file_has_no_giant_frames(video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video.write(video.synthetic(0, (1, 16, 32)), tmp_path / "a.mkv")
    monkeypatch.setattr("liveaction.modalities.video.read.MOST_PIXELS", 500)
    monkeypatch.setattr("liveaction.modalities.video.read.MOST_UNPACKED", 0)
    with pytest.raises(FormatError, match=r"expected frames of at most 500 pixels in a file of \d+ bytes, got 32 x 16"):
        video.read(tmp_path / "a.mkv")


def test_long_clips_lie_on_disk(video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signal = _signal(_noise((3, 9, 16, 16), 8))
    video.write(signal, tmp_path / "a.mkv")
    assert not isinstance(video.read(tmp_path / "a.mkv").values, np.memmap)
    monkeypatch.setattr(video_store, "IN_MEMORY", 3 * 3 * 16 * 16)
    values = video.read(tmp_path / "a.mkv").values
    assert isinstance(values, np.memmap)
    np.testing.assert_array_equal(values, signal.values)
    long = replace(signal, values=values)
    assert video.compare(signal, long)["max_error"] == 0
    video.write(long, tmp_path / "b_frames")
    np.testing.assert_array_equal(video.read(tmp_path / "b_frames").values, signal.values)


def test_a_full_disk_is_said(video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    video.write(_signal(_noise((3, 4, 8, 8), 8)), tmp_path / "a.mkv")
    monkeypatch.setattr(video_store, "IN_MEMORY", 0)
    monkeypatch.setattr(video_store.tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(FormatError, match=r"got a full disk after 1 frames; free some there, or set TMPDIR"):
        video.read(tmp_path / "a.mkv")


def test_frames_that_change_size_are_refused(tmp_path: Path) -> None:
    store = video_store.FrameStore(tmp_path)
    store.append(np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(FormatError, match=r"expected frames of one size and depth, \(3, 4, 4\) uint8 as the first"):
        store.append(np.zeros((3, 4, 5), np.uint8))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm"])
def test_lossy_targets_are_refused(video: Video, tmp_path: Path, suffix: str) -> None:
    with pytest.raises(FormatError, match=r"whose codecs would lose detail a second time; take \.mkv"):
        video.write(video.synthetic(0, (1, 4, 4)), tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_refused(video: Video, tmp_path: Path) -> None:
    signal = _signal(_noise((3, 2, 4, 4), 8))
    with pytest.raises(ShapeError, match=r"expected values \[1 or 3, T, H, W\], got \(2, 2, 4, 4\)"):
        video.write(replace(signal, values=signal.values[:2]), tmp_path / "a.mkv")
    with pytest.raises(
        FormatError, match=r"expected unsigned integers of 8, 9, 10, 12, 14, 16 bits, got float32 of 32"
    ):
        video.write(replace(signal, dtype="float32"), tmp_path / "a.mkv")
    with pytest.raises(FormatError, match=r"expected frames at least two wide, got one, which FFV1 refuses"):
        video.write(replace(signal, values=signal.values[..., :1]), tmp_path / "a.mkv")
    with pytest.raises(FormatError, match=r"expected 2 timestamps, one per frame, got 3"):
        video.write(replace(signal, metadata={"timestamps": [0, 1, 2]}), tmp_path / "a.mkv")
    assert not list(tmp_path.iterdir())


def test_metrics_by_frame(video: Video) -> None:
    one = _signal(np.full((3, 3, 8, 8), 100, np.uint8))
    values = one.values.copy()
    values[:, 1] += 2
    values[:, 2] += 1
    report = video.compare(one, replace(one, values=values))
    assert report["worst_frame_psnr"] == pytest.approx(10 * np.log10(255**2 / 4))
    assert report["mean_frame_psnr"] == np.inf
    values[:, 0] += 1
    report = video.compare(one, replace(one, values=values))
    assert report["mean_frame_psnr"] == pytest.approx(10 * np.log10(255**2) - 10 * np.log10(4) / 3)


def test_ssim_of_a_long_clip_is_that_of_stretches(video: Video, monkeypatch: pytest.MonkeyPatch) -> None:
    one = video.synthetic(0, (64, 24, 32))
    noise = np.random.default_rng(0).integers(-9, 9, one.values.shape)
    two = replace(one, values=(one.values.astype(int) + noise).clip(0, 255).astype(np.uint8))
    whole = video.compare(one, two)
    monkeypatch.setattr("liveaction.modalities.video.modality._LONG", 1000)
    # a stretch is too short to be halved in time, and 32 samples hold three scales
    some = {"ssim": pytest.approx(whole["ssim"], abs=0.01), "ms_ssim": pytest.approx(whole["ms_ssim"], abs=0.01)}
    assert video.compare(one, two) == {**whole, **some, "ms_ssim_scales": 3.0}
    assert video.compare(one, two)["ssim"] != whole["ssim"]


def test_the_phantom_moves(video: Video) -> None:
    signal = video.synthetic(3)
    assert (signal.values.shape, signal.dtype, signal.spacing[0]) == ((3, 24, 144, 176), "uint8", 0.04)
    still = np.abs(np.diff(signal.values.astype(int), axis=1)).mean()
    assert 4 < still < 40
    assert int(signal.values.astype(np.int64).sum()) == PHANTOM_SUM
    assert Video(_spec(1)).synthetic(3, (2, 5, 9)).values.shape == (1, 2, 5, 9)


PHANTOM_SUM = 209_840_507


@pytest.mark.parametrize("extents", [(1, 1, 1), (2, 33, 5), (5, 8, 60)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_previews(tmp_path: Path, channels: int, extents: tuple[int, int, int]) -> None:
    video = Video(_spec(channels))
    signal = video.synthetic(1, extents)
    for original in (None, signal, video.synthetic(2, extents)):
        video.preview(original, signal, tmp_path / "a.png", "title")
        assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
        (tmp_path / "a.png").unlink()
    with pytest.raises(ShapeError, match=r"preview: expected a reconstruction of shape"):
        video.preview(video.synthetic(1, (3, 9, 9)), signal, tmp_path / "a.png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": ("y", "x")}, "[modality] video: expected 3 axes and 3 channels, or 1 for grey"),
        ({"channels": 2}, "[modality] video: expected 3 axes and 3 channels, or 1 for grey"),
        (
            {"options": {"lumma": True}},
            "[modality.options] lumma: expected a known key, got 'lumma'; did you mean luma?",
        ),
        ({"options": {"luma": True}}, "[modality.options] luma: expected modality.channels 1 with it, got 3"),
        ({"options": {"untagged_matrix": "bt"}}, "[modality.options] untagged_matrix: expected 'by_size', 'bt601'"),
        ({"options": {"frame_rate": "-1"}}, "[modality.options] frame_rate: expected a positive ratio such as 30000"),
    ],
)
def test_wrong_recipes(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Video(ModalitySpec.model_validate({**_spec().model_dump(), **change}))
    assert str(caught.value).startswith(message)


FILES = {
    "bigbuckbunny.mp4": (132, 720, 1280, "25"),
    "carphone_pristine.mp4": (120, 144, 176, "30000/1001"),
    "ntia_aspen_540p.mkv": (24, 540, 960, "30000/1001"),
    "park_joy_480x270_10f.y4m": (10, 270, 480, "50"),
    "sam2_juggle_720p.mp4": (247, 720, 1280, "24"),
    "vid4_foliage_480p.mkv": (24, 480, 720, "30000/1001"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_sample_files_come_back(video: Video, data_dir: Path, tmp_path: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(not kept: audio track|players show them square)")
        signal = video.read(data_dir / "video" / name)
        assert (*signal.shape, signal.metadata["frame_rate"]) == FILES[name]
        part = signal.crop(slice(0, 7), slice(None), slice(None))
        video.write(part, tmp_path / "a.mkv")
    back = video.read(tmp_path / "a.mkv")
    np.testing.assert_array_equal(back.values, part.values)
    assert back.spacing == signal.spacing


@pytest.mark.parametrize(("matrix", "rotation"), [((-1, 0, 0, 1), 0), ((0, -1, -1, 0), 90)])
def test_mirroring_is_said_to_be_lost_and_is_no_rotation(
    video: Video, tmp_path: Path, matrix: tuple[int, ...], rotation: int
) -> None:
    a, b, c, d = (65536 * each for each in matrix)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        container.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        container.mux(stream.encode())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert video.read(tmp_path / "a.mp4").metadata["rotation"] == rotation
    assert any("a.mp4: not kept: mirroring" in str(one.message) for one in caught)


def test_timestamps_that_go_back_are_refused_for_mkv(video: Video, tmp_path: Path) -> None:
    signal = _signal(_noise((3, 4, 4, 6), 8), frame_rate=None, time_base="1/1000", timestamps=[0, 40, 0, 40])
    with pytest.raises(FormatError, match=r"a.mkv: expected timestamps that do not go back, .* 0 behind 40 at frame 2"):
        video.check_target(signal, tmp_path / "a.mkv")
    video.write(signal, tmp_path / "a")
    assert video.read(tmp_path / "a").metadata["timestamps"] == [0, 40, 0, 40]
